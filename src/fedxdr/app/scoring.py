# SPDX-License-Identifier: Apache-2.0
"""A model at work in one organisation: events in, findings with explanations out.

What ``detect`` (files) and the agent (live) do alike. It does NOT read logs and does
NOT send findings.

Rules that always hold:
    1. The same events in the same batches give the same findings, ids included.
    2. A finding names the model that scored: the SHA-256 of its file, and the height of
       the block that made it the federation's, if one did.
    3. Events with a time that cannot be (a day ahead of the clock) are left out and
       counted: were one taken for the newest, all that follows would come too late.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from fedxdr.app.ledger_folder import mirror_in
from fedxdr.app.participating import AgentFile
from fedxdr.core.clock import Clock
from fedxdr.core.errors import InvalidSettings, NotFound, Unavailable
from fedxdr.core.ids import Digest, OrgId, sha256
from fedxdr.intake.lines import Lines
from fedxdr.learning import features as feature_sets
from fedxdr.learning.detector import MOST_EXPLAINED, Detector
from fedxdr.learning.explain import Explanation
from fedxdr.learning.grouping import Grouped, Grouper
from fedxdr.learning.reordering import LONGEST_AHEAD_NS
from fedxdr.ledger.lineage import brings_model
from fedxdr.models import snapshot
from fedxdr.models.architecture import architecture_of
from fedxdr.models.graph import Integers
from fedxdr.parties.recording import Recorder
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.findings import MAX_SENTENCE, Finding

BUDGET: Final = 0.01
"""Share of benign events that may alarm, if nothing else is said."""

MOST_AROUND: Final = 16
"""Earlier events that a finding shows beside its own."""

_NS: Final = 10**9
_FIRST_SEED: Final = 0  # of ``server init``


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """A model that can score logs.

    Attributes:
        content: the snapshot's bytes.
        digest: SHA-256 of them.
        ledger_index: height of the block that made it the federation's, None for a
            model on no ledger.

    Raises:
        MalformedMessage: no snapshot.
        InvalidPlan: a network that this program does not know.
        InvalidSettings: one that does not read connections.
    """

    content: bytes = field(repr=False)
    digest: Digest
    ledger_index: int | None

    def __post_init__(self) -> None:
        card = snapshot.load(self.content).card
        name = architecture_of(card.architecture).features
        if name not in feature_sets.OF_TRAFFIC:
            raise InvalidSettings(
                f"the model reads {name!r}, which is not in logs of connections; use "
                f"one that reads {' or '.join(feature_sets.OF_TRAFFIC)}"
            )

    @property
    def is_trained(self) -> bool:
        """Whether its weights are others than those every federation begins with.

        Thresholds on a model that knows nothing tell of nothing but chance.
        """
        found = snapshot.load(self.content)
        begin, end = found.card.layout.span("weights.")
        first = architecture_of(found.card.architecture).first_vector(_FIRST_SEED)
        return not np.array_equal(found.vector[begin:end], first[begin:end])


def model_at(path: Path) -> ModelFile:
    """Return the model in a snapshot's file, which is on no ledger that we know.

    Raises:
        InvalidSettings: it cannot be read, does not fit, or was never trained.
        MalformedMessage: it is no snapshot.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidSettings(f"cannot read {path}: {error.strerror}") from error
    found = ModelFile(content=content, digest=sha256(content), ledger_index=None)
    if not found.is_trained:
        raise InvalidSettings(f"{path} is a first model, which nobody has trained yet")
    return found


def model_in(folder: Path) -> ModelFile:
    """Return the newest federated model in an organisation's folder.

    Raises:
        InvalidSettings: no member's folder, or the model does not fit.
        NotFound: the model is not there yet.
        Unavailable: it has not seen the ledger yet, or no round has trained a model.
    """
    AgentFile.read(folder)
    if not (folder / "agent.db").exists():
        raise Unavailable(f"{folder} has no model yet: its agent was never run")
    with mirror_in(folder) as mirror:
        try:
            found = model_of(mirror.recorder, mirror.blobs.get)
        except NotFound as error:
            raise NotFound(
                f"{folder} does not hold the newest model yet: let its agent run"
            ) from error
    if not found.is_trained:
        raise Unavailable(
            "the federation has trained no model yet: the operator opens rounds with "
            "`fedxdr round start`"
        )
    return found


def model_of(recorder: Recorder, content_of: Callable[[Digest], bytes]) -> ModelFile:
    """Return the model that a ledger has in force.

    Args:
        recorder: of the ledger, begun.
        content_of: returns a model's bytes by its digest.

    Raises:
        InvalidInput: a model that does not fit.
    """
    digest = recorder.in_force.model
    return ModelFile(
        content=content_of(digest),
        digest=digest,
        ledger_index=height_of(recorder, digest),
    )


def height_of(recorder: Recorder, model: Digest) -> int | None:
    """Return the height of the block that brought a model, None where none did."""
    for height in reversed(range(recorder.size())):
        (signed,) = recorder.blocks(begin=height, end=height + 1)
        if signed.block.model_hash == model and brings_model(signed.block):
            return height
    return None


class Scoring:
    """A detector, and what of its scores becomes findings.

    Args:
        detector: calibrated on this organisation's past, or going on after a restart.
        org: whose events they are.
        ledger_index: of the detector's model, see ``ModelFile``.
        clock: the time.
        by_arrival: whether events are read in the order in which their records were
            written, as a past that ``arrived`` was; else in that of their times.

    Attributes:
        detector: as handed in.
        ledger_index: of the model that scores now.
        events: scored so far.
        late: how many of them were older than one before.
        refused: events left out, see rule 3.
    """

    def __init__(
        self,
        detector: Detector,
        *,
        org: OrgId,
        ledger_index: int | None,
        clock: Clock,
        by_arrival: bool = False,
    ) -> None:
        self.detector = detector
        self.ledger_index = ledger_index
        self.events = 0
        self.late = 0
        self.refused = 0
        self._org = org
        self._clock = clock
        self._by_arrival = by_arrival
        self._newest = 0
        self._grouper = self._grouping()

    def recall(self, findings: Iterable[Finding]) -> None:
        """Remember what was told before, oldest first, to tell nothing twice."""
        self._grouper.recall(findings)

    def told(self) -> Integers:
        """Return what was told, see ``Grouper.state``."""
        return self._grouper.state()

    def restore(self, told: Integers) -> None:
        """Go on where what was told stood; see ``Grouper.restore``."""
        self._grouper.restore(told)

    def swap(self, model: ModelFile) -> None:
        """Let another model score from now on."""
        self.detector.swap(model.content)
        self.ledger_index = model.ledger_index
        self._grouper = self._grouping()

    def push(self, events: Events, lines: Lines | None = None) -> list[Finding]:
        """Return what is found in the next events, the earliest first.

        Args:
            events: in any order; those that are older than the newest before are read
                as if they came at its time.
            lines: where they stand, None where that was not kept.
        """
        now_ns = int(self._clock.now().timestamp() * _NS)
        lines = Lines.unknown(len(events)) if lines is None else lines
        is_plausible = events.time_ns <= now_ns + LONGEST_AHEAD_NS
        if not is_plausible.all():
            self.refused += int((~is_plausible).sum())
            events, lines = events.select(is_plausible), lines.select(is_plausible)
        if not len(events):
            return []
        order = _written(events) if self._by_arrival else _by_time(events)
        events, lines = events.select(order), lines.select(order)
        read = raised(events) if self._by_arrival else events
        scored = self.detector.push(read)
        self.events += len(events)
        self.late += int(
            (events.time_ns < np.maximum(read.time_ns, self._newest)).sum()
        )
        self._newest = max(self._newest, int(read.time_ns[-1]))
        grouped = self._grouper.push(
            # times as they are, not as they were read
            dataclasses.replace(scored, events=events),
            now_ns=now_ns,
            line=lines.of,
            nearest=lambda row: self.detector.nearest(scored, row),
        )
        # of more rows than that only the highest are kept to be explained
        least = (
            np.partition(scored.score, -MOST_EXPLAINED)[-MOST_EXPLAINED]
            if (len(events) > MOST_EXPLAINED)
            else -np.inf
        )
        clear = [one for one in grouped if scored.score[one.rows[0]] > least]
        reasons = self.detector.explain(scored, [int(one.rows[0]) for one in clear])
        why = {
            one.finding.id: reason for one, reason in zip(clear, reasons, strict=True)
        }
        return [_explained(one, why.get(one.finding.id), lines) for one in grouped]

    def _grouping(self) -> Grouper:
        return Grouper(
            org=self._org,
            model=self.detector.model_digest,
            ledger_index=self.ledger_index,
            threshold=self.detector.threshold,
        )


def arrived(events: Events) -> Events:
    """Return events as a stream reads them that gets records as they are written.

    Args:
        events: in any order.
    """
    return raised(events.select(_written(events)))


def raised(events: Events) -> Events:
    """Return events with times that never descend: the newest before counts."""
    return dataclasses.replace(events, time_ns=np.maximum.accumulate(events.time_ns))


def _written(events: Events) -> Integers:
    """Return the order in which records are written.

    A flow's record has the time of its begin and is written at its end.
    """
    lasted_ns = np.nan_to_num(events.duration_s.astype(np.float64)) * _NS
    return np.argsort(events.time_ns + lasted_ns.astype(np.int64), kind="stable")


def _by_time(events: Events) -> Integers:
    return np.argsort(events.time_ns, kind="stable")


def _explained(one: Grouped, why: Explanation | None, lines: Lines) -> Finding:
    """Return a finding with its reason, and the earlier events that speak for it."""
    if why is None:
        return one.finding
    rows = set(one.rows.tolist())
    around = [
        dataclasses.replace(
            near.event,
            contribution=near.contribution,
            line=None if near.row is None else lines.of(near.row),
        )
        for near in why.neighbours
        if near.event is not None and near.contribution > 0 and near.row not in rows
    ][:MOST_AROUND]
    return dataclasses.replace(
        one.finding,
        evidence=tuple(
            sorted(
                (*one.finding.evidence, *around), key=lambda edge: -edge.contribution
            )
        ),
        sentence=f"{one.finding.sentence} {why.sentence}"[:MAX_SENTENCE],
    )
