# SPDX-License-Identifier: Apache-2.0
"""A model at work in one organisation: events in, scores, thresholds and reasons out.

``prepare`` reads the organisation's own past with the model, so that the first new
event already has neighbours, and holds the latest fifth of it apart: on its benign rows
the threshold is put that keeps to the budget of false alarms, and where some of it is
labelled as attack a gate chooses between the federation's model and one of its own
(gate.py). ``push`` scores what comes, ``explain`` says why, ``swap`` takes the
federation's next model between two batches.

It does NOT train, read logs or group events to findings (grouping.py). It does not
wait for late events (reordering.py). What it calibrates on is the past that it was
prepared with; what is pushed moves no threshold, so that nobody shifts it by patience.

Rules that always hold:
    1. Strictly causal: an event's score hangs on it and on earlier events only.
       However events in time order are cut into batches, scores have the same bits.
    2. Labels of what is pushed are not read. Of the past they say which rows are
       attacks; rows without a label count as benign.
    3. With fewer than ``calibration.FEWEST`` benign rows held out nothing is
       calibrated: the threshold is the one of ``Calibration.assumed``.
    4. What ``save`` gives is as private as the events: it stays with the organisation.
    5. Rows that a feature set does not read (alerts, for those of traffic) have score
       ``UNREAD`` and are nobody's context.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import (
    InvalidInput,
    InvalidPlan,
    InvalidTelemetry,
    MalformedMessage,
)
from fedxdr.core.ids import Digest
from fedxdr.learning import calibration, detector_state, explain, features, streaming
from fedxdr.learning.calibration import Calibration
from fedxdr.learning.detector_state import Held, State
from fedxdr.learning.explain import Asked, Explanation
from fedxdr.learning.gate import FEDERATED, LOCAL, Gate
from fedxdr.learning.scored import Numbers, Scored
from fedxdr.learning.scorer import Scorer
from fedxdr.learning.streaming import Stream
from fedxdr.models.graph import Floats, Integers
from fedxdr.telemetry.event import MALICIOUS, Events

BUDGET: Final = 0.01
"""Share of benign events that may alarm, if nothing else is said."""

HELD_OUT_SHARE: Final = 0.2
"""Part of the past, the latest, that thresholds and gate are chosen on."""

MOST_HELD: Final = 16_384
"""Held-out rows that are kept; of more, evenly spread ones."""

MOST_EXPLAINED: Final = 4096
"""Rows of the latest batch, those that score highest, that can be explained."""

MEMORY: Final = 32_768
"""Earlier events that an explanation can point to."""

UNREAD: Final = -1000.0
"""Score of rows that the feature set does not read."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Latest:
    """What is kept of the latest batch, to explain it.

    Attributes:
        events: as they were pushed.
        before: the read events before it.
        read: (m,) rows that were read, in the order of time.
        kept: (k,) places among them, ascending.
        features: (k, D) float32.
    """

    events: Events
    before: Events
    read: Integers
    kept: Integers
    features: Floats


class Detector:
    """Scores an organisation's events; made by ``prepare`` or ``load``.

    Args:
        scorers: the federation's network and maybe the own one, by candidate.
        stream: warmed up.
        held: of the past.
        memory: the last events of the past.
        budget: share of benign events that may alarm.

    Attributes:
        budget: see above.
        threshold: from which score on an event alarms.
        gate: which candidates are listened to.
        calibration: of the scores as ``push`` returns them.
        is_calibrated: False where the past was too short.
    """

    def __init__(
        self,
        *,
        scorers: dict[str, Scorer],
        stream: Stream,
        held: Held,
        memory: Events,
        budget: float,
    ) -> None:
        self._scorers = scorers
        self._stream = stream
        self._held = held
        self._memory = memory
        self._latest: _Latest | None = None
        self.budget = budget
        self._calibrate()

    @classmethod
    def prepare(
        cls,
        model: bytes,
        past: Events,
        *,
        budget: float = BUDGET,
        own_model: bytes | None = None,
        seed: int = 0,
    ) -> Self:
        """Return a detector that has read the organisation's own past.

        Args:
            model: a snapshot's file, the federation's.
            past: the organisation's own earlier events, in any order; may be none.
            budget: share of benign events that may alarm, in (0, 1).
            own_model: a snapshot of a network of the same feature set, fitted on the
                own past before its latest fifth; None without one.
            seed: >= 0, for what is drawn.

        Raises:
            MalformedMessage: not a snapshot.
            InvalidPlan: the own model reads other features.
            InvalidTelemetry: a feature set that cannot be streamed, or a budget outside
                its range.
        """
        del seed
        scorers = {FEDERATED: Scorer(model)}
        if own_model is not None:
            scorers[LOCAL] = Scorer(own_model)
            _refuse_other_features(scorers[FEDERATED], scorers[LOCAL])
        name = scorers[FEDERATED].architecture.features
        stream = Stream(name)
        read = past.select(_is_read(past, name)).sort()
        wanted = _held_out(len(read))
        kept = np.empty((len(wanted), stream.width), np.float32)
        for begin in range(0, len(read), streaming.PIECE):
            found = stream.push(read.select(slice(begin, begin + streaming.PIECE)))
            inside = (wanted >= begin) & (wanted < begin + len(found))
            kept[inside] = found[wanted[inside] - begin]
        return cls(
            scorers=scorers,
            stream=stream,
            held=Held(features=kept, is_attack=read.label[wanted] == MALICIOUS),
            memory=read.select(slice(-MEMORY, None)),
            budget=budget,
        )

    @property
    def model_digest(self) -> Digest:
        """Digest of the federation's model."""
        return self._scorers[FEDERATED].digest

    @property
    def is_calibrated(self) -> bool:
        """Whether the threshold comes from the own past."""
        return self.calibration.rows > 0

    @property
    def feature_set(self) -> str:
        """Name of the features that are read."""
        return self._scorers[FEDERATED].architecture.features

    def push(self, events: Events) -> Scored:
        """Return what the detector says of the next events, in their order.

        Args:
            events: n events. Those older than one that was pushed before are read as
                if they came at its time; within a batch any order will do.
        """
        rows = np.flatnonzero(_is_read(events, self.feature_set))
        rows = rows[np.argsort(events.time_ns[rows], kind="stable")]
        read = events.select(rows)
        score = np.full(len(events), UNREAD)
        calibrated = np.ones(len(events))
        tactic = np.full(len(events), -1)
        kept = _Best()
        for begin in range(0, len(read), streaming.PIECE):
            piece = slice(begin, begin + streaming.PIECE)
            found = self._stream.push(read.select(piece))
            numbers, tactics = self._score(found)
            at = rows[piece]
            score[at] = numbers
            calibrated[at] = self.calibration.share(numbers)
            if tactics is not None:
                tactic[at] = np.where(numbers >= self.threshold, tactics, -1)
            kept.take(begin + np.arange(len(found)), numbers, found)
        self._latest = _Latest(
            events=events,
            before=self._memory,
            read=rows,
            kept=kept.place,
            features=kept.features(self._stream.width),
        )
        self._memory = _tail_of(self._memory, read)
        return Scored(events=events, score=score, calibrated=calibrated, tactic=tactic)

    def explain(self, scored: Scored, rows: Sequence[int]) -> list[Explanation]:
        """Return why some of the events score as they do.

        Contributions are to the logit of the network that the gate listens to most.

        Args:
            scored: what ``push`` returned last.
            rows: of it; at most ``MOST_EXPLAINED`` of a batch can be asked about, those
                that score highest.

        Raises:
            InvalidTelemetry: an older batch, or rows that are not kept.
        """
        latest, spots = self._spots(scored, rows)
        # no further back than what would be remembered anyway
        first = max(int(latest.kept[spots].min(initial=len(latest.read))) - MEMORY, 0)
        last = int(latest.kept[spots].max(initial=-1)) + 1
        inside = latest.read[first:last]
        before = latest.before if first == 0 else Events.empty()
        asked = Asked(
            features=latest.features[spots],
            stream=Events.concatenate([before, latest.events.select(inside)]),
            place=len(before) + latest.kept[spots] - first,
            rows=np.concatenate([np.full(len(before), -1), inside]),
            calibrated=scored.calibrated[np.asarray(rows, np.int64)],
        )
        return explain.explain(self._speaker(), asked)

    def nearest(self, scored: Scored, row: int) -> str | None:
        """Return the known technique that an event is most like, None if none is.

        Model cards carry no techniques yet, so that nothing is known.

        Args:
            scored: what ``push`` returned last.
            row: of it.
        """
        self._spots(scored, [row])
        return None

    def swap(self, model: bytes) -> None:
        """Go on with the federation's next model.

        The threshold is chosen anew on what is kept of the held-out past.

        Args:
            model: a snapshot's file, of the same feature set.

        Raises:
            MalformedMessage: not a snapshot.
            InvalidPlan: a model that reads other features; the old one stays.
        """
        scorer = Scorer(model)
        _refuse_other_features(self._scorers[FEDERATED], scorer)
        self._scorers = {**self._scorers, FEDERATED: scorer}
        self._latest = None
        self._calibrate()

    def save(self) -> bytes:
        """Return all that has to be known to go on later, as one safetensors file.

        The latest batch is not among it: it cannot be explained any more.
        """
        models = {name: scorer.model for name, scorer in self._scorers.items()}
        return detector_state.pack(
            State(
                models=models,
                stream=self._stream,
                held=self._held,
                memory=self._memory,
                budget=self.budget,
            )
        )

    @classmethod
    def load(cls, file: bytes) -> Self:
        """Return a detector that goes on where another stood.

        Args:
            file: what its ``save`` returned.

        Raises:
            MalformedMessage: not such a file, of another version, or one of which a bit
                was changed.
        """
        state = detector_state.unpack(file)
        try:
            scorers = {name: Scorer(model) for name, model in state.models.items()}
            for scorer in scorers.values():
                _refuse_other_features(scorers[FEDERATED], scorer)
            return cls(
                scorers=scorers,
                stream=state.stream,
                held=state.held,
                memory=state.memory,
                budget=state.budget,
            )
        except (InvalidInput, KeyError) as error:
            raise MalformedMessage(f"not the state of a detector: {error}") from error

    def _calibrate(self) -> None:
        """Choose gate, calibration and threshold on the held-out past."""
        held = self._held
        said = self._said(held.features)
        benign = ~held.is_attack
        if benign.sum() < calibration.FEWEST:
            assumed = Calibration.assumed()
            self.gate = Gate(weights={FEDERATED: 1.0}, scales={FEDERATED: assumed})
            self.calibration = assumed
        else:
            self.gate = Gate.choose(said, held.is_attack)
            self.calibration = Calibration.fit(self.gate.combine(said)[benign])
        self.threshold = self.calibration.threshold(self.budget)

    def _said(self, rows: Floats) -> dict[str, Numbers]:
        return {
            name: scorer.said(rows).malicious.astype(np.float64)
            for name, scorer in self._scorers.items()
        }

    def _score(self, rows: Floats) -> tuple[Numbers, Integers | None]:
        """Return scores, and tactics where the federation's model tells them."""
        said = {
            name: self._scorers[name].said(rows)
            for name in self._scorers
            if name in self.gate.weights or name == FEDERATED
        }
        score = self.gate.combine(
            {name: one.malicious.astype(np.float64) for name, one in said.items()}
        )
        tactics = said[FEDERATED].tactics
        return score, None if tactics is None else tactics.argmax(axis=1)

    def _speaker(self) -> Scorer:
        """Return the network that is listened to most, the federation's if alike."""
        weights = self.gate.weights
        if weights.get(LOCAL, 0.0) > weights.get(FEDERATED, 0.0):
            return self._scorers[LOCAL]
        return self._scorers[FEDERATED]

    def _spots(self, scored: Scored, rows: Sequence[int]) -> tuple[_Latest, Integers]:
        """Return what is kept of the latest batch, and where these rows are in it."""
        latest = self._latest
        if latest is None or scored.events is not latest.events:
            raise InvalidTelemetry("only the latest batch can be explained")
        place = np.full(len(latest.events), -1, np.int64)
        place[latest.read[latest.kept]] = np.arange(len(latest.kept))
        wanted = np.asarray(rows, np.int64)
        if wanted.size and not (
            wanted.min() >= 0 and wanted.max() < len(place) and place[wanted].min() >= 0
        ):
            raise InvalidTelemetry(
                f"of a batch the {MOST_EXPLAINED} rows that score highest can be "
                "explained, if they were read"
            )
        return latest, place[wanted]


class _Best:
    """Keeps the rows that score highest, the earlier of equal ones."""

    def __init__(self) -> None:
        self.place = np.empty(0, np.int64)
        self._score = np.empty(0)
        self._rows: list[Floats] = []

    def take(self, place: Integers, score: Numbers, rows: Floats) -> None:
        """Take some more rows, ascending."""
        whole = np.concatenate([self._score, score])
        best = np.sort(np.argsort(-whole, kind="stable")[:MOST_EXPLAINED])
        self.place = np.concatenate([self.place, place])[best]
        self._score = whole[best]
        self._rows = [np.concatenate([*self._rows, rows])[best]]

    def features(self, width: int) -> Floats:
        """Return them, (k, D) float32."""
        return self._rows[0] if self._rows else np.empty((0, width), np.float32)


def _is_read(events: Events, name: str) -> npt.NDArray[np.bool_]:
    """Return (n,) mask of the rows that a feature set reads."""
    if name in features.OF_TRAFFIC:
        return events.is_input
    return np.ones(len(events), np.bool_)


def _held_out(rows: int) -> Integers:
    """Return which rows of a past are held out: the latest, evenly spread if many."""
    count = int(HELD_OUT_SHARE * rows)
    late = np.arange(rows - count, rows)
    if count <= MOST_HELD:
        return late
    return late[np.linspace(0, count - 1, MOST_HELD).astype(np.int64)]


def _tail_of(before: Events, more: Events) -> Events:
    """Return the last ``MEMORY`` events of both."""
    if len(more) >= MEMORY:
        return more.select(slice(-MEMORY, None))
    kept = before.select(slice(max(len(before) + len(more) - MEMORY, 0), None))
    return Events.concatenate([kept, more])


def _refuse_other_features(one: Scorer, two: Scorer) -> None:
    if one.architecture.features != two.architecture.features:
        raise InvalidPlan(
            f"a model of features {two.architecture.features!r} beside one of "
            f"{one.architecture.features!r}"
        )
