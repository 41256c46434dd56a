# SPDX-License-Identifier: Apache-2.0
"""Scored events become findings: one for who did what to whom in a window of time.

Events at or above the threshold are put together by source, destination, tactic and
window. A source that does it to ``fan`` or more others in the window is told once, with
no destination (a scan); so is, the other way round, a destination (a flood, a guessed
password). Windows lie at multiples of their length since 1970.

``Grouper`` remembers what it has told: later events of the same make another finding
only if that is more severe. What was told before a crash it learns from its own
``state``, or where that is lost from the outbox (``recall``). ``group`` is the same for
events that come at once.

It does NOT score, choose a threshold or explain: without ``contribution`` the best
event's is how far the score falls without it, that of others 0.

Rules that always hold:
    1. The same events in the same batches give the same findings, ids included.
    2. No label is read: neither ``label`` nor ``technique`` of an event.
    3. Memory is bounded: what is told is forgotten two windows later, and at
       ``MOST_TOLD`` in any case.
    4. There is no Python loop over events, only over findings and their evidence.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.core.ids import Digest, OrgId
from fedxdr.learning.scored import Numbers, Scored
from fedxdr.models.graph import Integers, entities
from fedxdr.telemetry import attack
from fedxdr.telemetry.catalogue import Kind, Service
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.findings import (
    MAX_EVIDENCE,
    Evidence,
    Finding,
    Position,
    Severity,
    finding_id,
)

WINDOW_S: Final = 300
"""Length of a window, seconds."""

FAN: Final = 4
"""Others from which on one finding stands for all."""

MOST_EVIDENCE: Final = 16
"""Events that a finding shows."""

MOST_TOLD: Final = 100_000
"""Findings that are remembered to tell nothing twice."""

_NS: Final = 10**9
_SEVERITIES: Final = (
    (1e-5, Severity.CRITICAL),
    (1e-4, Severity.HIGH),
    (1e-3, Severity.MEDIUM),
    (1e-2, Severity.LOW),
)

_Key = tuple[int, int, int, int]
"""Window, tactic, source, destination: what is told once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grouped:
    """A finding and where it comes from.

    Attributes:
        finding: what is told.
        rows: its events, rows of what was scored, the highest score first; all of
            them, not only those that are shown.
    """

    finding: Finding
    rows: Integers


class Grouper:
    """Groups what a detector says, batch by batch.

    Args:
        org: whose events they are.
        model: digest of the snapshot that scores.
        ledger_index: height of its block, None for a model on no ledger.
        threshold: from which score on an event counts.
        window_s: see the module, >= 1.
        fan: see the module, >= 2.
        most_evidence: events that a finding shows, 1 to ``MAX_EVIDENCE``.

    Raises:
        InvalidTelemetry: a number outside its range.
    """

    def __init__(
        self,
        *,
        org: OrgId,
        model: Digest,
        ledger_index: int | None,
        threshold: float,
        window_s: int = WINDOW_S,
        fan: int = FAN,
        most_evidence: int = MOST_EVIDENCE,
    ) -> None:
        if window_s < 1 or fan < 2 or not 1 <= most_evidence <= MAX_EVIDENCE:
            raise InvalidTelemetry("a window, fan or number of evidence is too small")
        self._org = org
        self._model = model
        self._ledger_index = ledger_index
        self._threshold = threshold
        self._window_ns = window_s * _NS
        self._fan = fan
        self._most_evidence = most_evidence
        self._told: dict[_Key, Severity] = {}
        # window, tactic, source, destination of every pair with an event, (m, 4)
        self._pairs: Integers = np.empty((0, 4), np.int64)
        self._newest = 0

    def recall(self, findings: Iterable[Finding]) -> None:
        """Remember what was told before, oldest first.

        Args:
            findings: as they were put into the outbox; those of another model or
                organisation say nothing.
        """
        for one in findings:
            if (one.org, one.model) != (self._org, self._model):
                continue
            window = one.first_ns // self._window_ns
            number = _tactic_number(one.tactic)
            self._tell((window, number, one.source, one.destination), one.severity)
            if one.source and one.destination:
                pair = (window, number, one.source, one.destination)
                self._pairs = np.vstack([self._pairs, np.array([pair], np.int64)])
        self._forget()

    def state(self) -> Integers:
        """Return all that is remembered, to go on exactly here after a restart.

        Returns:
            (m, 5) int64, as private as the events: window, tactic, source, destination
            and the severity that was told; 0 for a pair that only was seen.
        """
        told = np.array([(*key, how) for key, how in self._told.items()], np.int64)
        seen = np.column_stack([self._pairs, np.zeros(len(self._pairs), np.int64)])
        return np.vstack([told.reshape(-1, 5), seen])

    def restore(self, state: Integers) -> None:
        """Go on where another grouper stood.

        Args:
            state: what its ``state`` returned.

        Raises:
            InvalidTelemetry: not such rows.
        """
        if state.dtype != np.int64 or state.ndim != 2 or state.shape[1] != 5:
            raise InvalidTelemetry("what a grouper remembers is (m, 5) int64")
        is_told = state[:, 4] != 0
        if not np.isin(state[is_told, 4], [one.value for one in Severity]).all():
            raise InvalidTelemetry("a grouper remembers a severity that is none")
        self._told = {
            (window, tactic, source, destination): Severity(how)
            for window, tactic, source, destination, how in state[is_told].tolist()
        }
        self._pairs = state[~is_told, :4]
        self._newest = max((key[0] for key in self._told), default=0)

    def push(
        self,
        scored: Scored,
        *,
        now_ns: int,
        line: Callable[[int], Position | None] = lambda _: None,
        nearest: Callable[[int], str | None] = lambda _: None,
    ) -> list[Grouped]:
        """Return what is new in a batch, the earliest first.

        Args:
            scored: any number of events.
            now_ns: UTC nanoseconds, when they were found.
            line: where a row stands in which log.
            nearest: the known campaign that a row is most like.
        """
        # compared as doubles: the threshold must not be rounded to a float32's
        rows = np.flatnonzero(scored.score.astype(np.float64) >= self._threshold)
        if not len(rows):
            return []
        scored = _timed(scored, now_ns)
        keys = self._keys(scored, rows)
        found = []
        for part in _parts(keys, scored.score[rows]):
            window, number, source, destination = (int(one) for one in keys[part[0]])
            top = int(rows[part[0]])
            severity = severity_of(float(scored.calibrated[top]))
            key = (window, number, source, destination)
            if severity <= self._told.get(key, 0):
                continue
            self._tell(key, severity)
            shown = _Shown(scored, rows[part], self._threshold, self._most_evidence)
            finding = self._finding(
                shown,
                ends=(source, destination),
                severity=severity,
                now_ns=now_ns,
                line=line,
                nearest=nearest(top),
            )
            found.append(Grouped(finding=finding, rows=rows[part]))
        self._forget()
        return sorted(found, key=lambda one: (one.finding.first_ns, one.finding.id))

    def _keys(self, scored: Scored, rows: Integers) -> Integers:
        """Return what each row is told under, (m, 4) int64."""
        events = scored.events
        tactic = np.full(len(rows), -1)
        if scored.tactic is not None:
            # numbers of ours: they outlive the model's own list of names
            numbers = [_tactic_number(name) for name in scored.tactics]
            tactic = np.array([*numbers, -1])[scored.tactic[rows]]
        pairs = np.column_stack(
            [
                events.time_ns[rows] // self._window_ns,
                tactic,
                events.source[rows],
                events.destination[rows],
            ]
        ).astype(np.int64)
        # what earlier batches saw counts as well
        whole = np.vstack([pairs, self._pairs])
        _, first = np.unique(entities(*whole.T), return_index=True)
        whole_source = entities(*whole[:, [0, 1, 2]].T)
        whole_destination = entities(*whole[:, [0, 1, 3]].T)
        fan_out = np.bincount(whole_source[first])[whole_source[: len(rows)]]
        fan_in = np.bincount(whole_destination[first])[whole_destination[: len(rows)]]
        self._pairs = whole[np.sort(first)]
        is_out = (fan_out >= self._fan) & (pairs[:, 2] != 0)
        is_in = (fan_in >= self._fan) & (pairs[:, 3] != 0) & ~is_out
        keys = pairs.copy()
        keys[is_out, 3] = 0
        keys[is_in, 2] = 0
        return keys

    def _finding(
        self,
        shown: _Shown,
        *,
        ends: tuple[int, int],
        severity: Severity,
        now_ns: int,
        line: Callable[[int], Position | None],
        nearest: str | None,
    ) -> Finding:
        scored, rows, top = shown.scored, shown.rows, int(shown.rows[0])
        times, users = scored.events.time_ns[rows], scored.events.user[rows]
        tactic = _named(scored.tactic, scored.tactics, top)
        first_ns = int(times.min())
        return Finding(
            id=finding_id(
                org=self._org,
                model=self._model,
                source=ends[0],
                destination=ends[1],
                tactic=tactic,
                first_ns=first_ns,
            ),
            org=self._org,
            time_ns=now_ns,
            first_ns=first_ns,
            last_ns=int(times.max()),
            score=float(scored.score[top]),
            calibrated=float(scored.calibrated[top]),
            threshold=self._threshold,
            severity=severity,
            tactic=tactic,
            technique=_named(scored.technique, scored.techniques, top),
            model=self._model,
            ledger_index=self._ledger_index,
            source=ends[0],
            destination=ends[1],
            user=int(users[0]) if (users == users[0]).all() else 0,
            evidence=shown.evidence(line),
            sentence=shown.sentence(tactic),
            nearest=nearest,
        )

    def _tell(self, key: _Key, severity: Severity) -> None:
        self._told[key] = max(severity, self._told.get(key, severity))
        self._newest = max(self._newest, key[0])

    def _forget(self) -> None:
        """Forget old windows, and what is more than may be remembered."""
        oldest = self._newest - 1
        self._told = {key: how for key, how in self._told.items() if key[0] >= oldest}
        while len(self._told) > MOST_TOLD:
            del self._told[next(iter(self._told))]
        self._pairs = self._pairs[self._pairs[:, 0] >= oldest][-MOST_TOLD:]


def group(
    events: Events,
    scores: Numbers,
    *,
    calibrated: Numbers,
    org: OrgId,
    model: Digest,
    ledger_index: int | None,
    threshold: float,
    now_ns: int,
    tactic: npt.NDArray[np.integer] | None = None,
    window_s: int = WINDOW_S,
) -> list[Finding]:
    """Return the findings in events that come at once; see ``Grouper``.

    Args:
        events: (n,) rows.
        scores: (n,), finite.
        calibrated: (n,), in [0, 1].
        org: whose events they are.
        model: digest of the snapshot that scored.
        ledger_index: height of its block, None for a model on no ledger.
        threshold: from which score on an event counts.
        now_ns: UTC nanoseconds, when they were found.
        tactic: (n,) index into ``core.tactics.TACTICS``, -1 none; all none if None.
        window_s: see the module.
    """
    grouper = Grouper(
        org=org,
        model=model,
        ledger_index=ledger_index,
        threshold=threshold,
        window_s=window_s,
    )
    scored = Scored(events=events, score=scores, calibrated=calibrated, tactic=tactic)
    return [one.finding for one in grouper.push(scored, now_ns=now_ns)]


def severity_of(calibrated: float) -> Severity:
    """Return how soon somebody should look, by how rare such a score is.

    Args:
        calibrated: share of the own benign past that scores as high, in [0, 1]: up to
            1e-5 critical, 1e-4 high, 1e-3 medium, 1e-2 low, above informational.
    """
    for most, severity in _SEVERITIES:
        if calibrated <= most:
            return severity
    return Severity.INFORMATIONAL


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """One group's events, the highest score first, and what is shown of them."""

    scored: Scored
    rows: Integers
    threshold: float
    most: int

    def evidence(self, line: Callable[[int], Position | None]) -> tuple[Evidence, ...]:
        """Return the events that contribute most."""
        weight = self._contribution()
        order = np.argsort(-weight, kind="stable")[: self.most]
        events = self.scored.events
        return tuple(
            Evidence(
                time_ns=int(events.time_ns[row]),
                source=int(events.source[row]),
                destination=int(events.destination[row]),
                user=int(events.user[row]),
                kind=Kind(int(events.kind[row])),
                service=Service(int(events.service[row])),
                contribution=float(share),
                line=line(row),
            )
            for row, share in zip(
                self.rows[order].tolist(), weight[order].tolist(), strict=True
            )
        )

    def _contribution(self) -> Numbers:
        given = self.scored.contribution
        if given is not None:
            return given[self.rows].astype(np.float64)
        score = self.scored.score[self.rows].astype(np.float64)
        weight = np.zeros(len(self.rows))
        weight[0] = score[0] - (score[1] if len(score) > 1 else self.threshold)
        return weight

    def sentence(self, tactic: str | None) -> str:
        """Return what happened, in words of ours and numbers."""
        events = self.scored.events
        count = len(self.rows)
        times = events.time_ns[self.rows]
        seconds = (int(times.max()) - int(times.min())) / _NS
        one, two = (
            len(np.unique(column[self.rows]))
            for column in (events.source, events.destination)
        )
        services, often = np.unique(events.service[self.rows], return_counts=True)
        service = Service(int(services[often.argmax()])).name.lower().replace("_", " ")
        words = "" if tactic is None else f", {attack.tactic(tactic).name}"
        return (
            f"{_hosts(one)} to {_hosts(two).lower()}{words}. {count} "
            f"event{'s' * (count > 1)} in {seconds:.0f} s score above this "
            f"organisation's threshold, most often {service} ({often.max()} times)."
        )


def _hosts(count: int) -> str:
    return "One host" if count == 1 else f"{count} hosts"


def _timed(scored: Scored, now_ns: int) -> Scored:
    """Return the same, with events whose time is not known as if they were of now."""
    times = scored.events.time_ns
    if times.min() > 0:
        return scored
    known = np.where(times > 0, times, now_ns)
    return replace(scored, events=replace(scored.events, time_ns=known))


def _parts(keys: Integers, score: Numbers) -> list[Integers]:
    """Return the places of each group's rows, the highest score first."""
    code = entities(*keys.T)
    # equal scores: the first row first
    order = np.lexsort((np.arange(len(code)), -score, code)).astype(np.int64)
    return np.split(order, np.flatnonzero(np.diff(code[order])) + 1)


def _tactic_number(tactic: str | None) -> int:
    """Return a number for a tactic, -1 for none."""
    return -1 if tactic is None else int(tactic.removeprefix("TA"))


def _named(
    index: npt.NDArray[np.integer] | None, names: Sequence[str], row: int
) -> str | None:
    return None if index is None or index[row] < 0 else names[int(index[row])]
