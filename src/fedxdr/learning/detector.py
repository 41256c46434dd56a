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
from fedxdr.learning import (
    calibration,
    campaigns,
    detector_state,
    explain,
    features,
    latest,
    streaming,
)
from fedxdr.learning.calibration import Calibration
from fedxdr.learning.campaigns import Campaigns, Examples
from fedxdr.learning.detector_state import Held, State
from fedxdr.learning.explain import Explanation
from fedxdr.learning.gate import FEDERATED, LOCAL, PREFILTER, Gate
from fedxdr.learning.latest import Latest
from fedxdr.learning.scored import Numbers, Scored
from fedxdr.learning.scorer import Scorer
from fedxdr.learning.streaming import Stream
from fedxdr.models.graph import Floats, Integers
from fedxdr.models.prefilter import Prefilter
from fedxdr.telemetry.event import MALICIOUS, Events

BUDGET: Final = 0.01
"""Share of benign events that may alarm, if nothing else is said."""

HELD_OUT_SHARE: Final = 0.2
"""Part of the past, the latest, that thresholds and gate are chosen on."""

MOST_HELD: Final = 4096
"""Benign held-out rows that are kept, and as many attacks; of more, evenly spread."""

MOST_EXPLAINED: Final = latest.MOST_EXPLAINED
"""Rows of the latest batch, those that score highest, that can be explained."""

UNREAD: Final = -1000.0
"""Score of rows that the feature set does not read."""


class Detector:
    """Scores an organisation's events; made by ``prepare`` or ``load``.

    Args:
        scorers: the federation's network and maybe the own one, by candidate.
        state: all the rest that is kept.

    Attributes:
        budget: share of benign events that may alarm.
        threshold: from which score on an event alarms.
        gate: which candidates are listened to.
        calibration: of the scores as ``push`` returns them.
        is_calibrated: False where the past was too short.
    """

    def __init__(self, scorers: dict[str, Scorer], state: State) -> None:
        self._scorers = scorers
        self._stream = state.stream
        self._prefilter = state.prefilter
        self._held = state.held
        self._examples = state.examples
        self._memory = state.memory
        self._latest: Latest | None = None
        self._campaigns: Campaigns | None = None
        self.budget = state.budget
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
            seed: >= 0, key of the pre-filter's hashes.

        Raises:
            MalformedMessage: not a snapshot.
            InvalidPlan: the own model reads other features.
            InvalidTelemetry: a feature set that cannot be streamed, or a budget outside
                its range.
        """
        scorers = {FEDERATED: Scorer(model)}
        if own_model is not None:
            scorers[LOCAL] = Scorer(own_model)
            _refuse_other_features(scorers[FEDERATED], scorers[LOCAL])
        name = scorers[FEDERATED].architecture.features
        stream, prefilter = Stream(name), Prefilter(seed=seed)
        read = past.select(_is_read(past, name)).sort()
        late = _held_out(read)
        shown, number, names = campaigns.labelled(read)
        kept, burst = _Rows(late, stream.width), _Rows(late, 1)
        examples = _Rows(shown, stream.width)
        for begin in range(0, len(read), streaming.PIECE):
            piece = read.select(slice(begin, begin + streaming.PIECE))
            found = stream.push(piece)
            kept.take(begin, found)
            examples.take(begin, found)
            burst.take(begin, _burst(prefilter, piece)[:, None])
        return cls(
            scorers,
            State(
                models={},
                stream=stream,
                prefilter=prefilter,
                held=Held(
                    features=kept.rows,
                    is_attack=read.label[late] == MALICIOUS,
                    burst=burst.rows[:, 0].astype(np.float64),
                ),
                examples=Examples(features=examples.rows, number=number, names=names),
                memory=latest.remembered(Events.empty(), read),
                budget=budget,
            ),
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
        kept = latest.Best()
        for begin in range(0, len(read), streaming.PIECE):
            piece = slice(begin, begin + streaming.PIECE)
            found = self._stream.push(read.select(piece))
            burst = _burst(self._prefilter, read.select(piece))
            numbers, tactics = self._score(found, burst)
            at = rows[piece]
            score[at] = numbers
            calibrated[at] = self.calibration.share(numbers)
            if tactics is not None:
                tactic[at] = np.where(numbers >= self.threshold, tactics, -1)
            kept.take(begin + np.arange(len(found)), numbers, found)
        self._latest = Latest(
            events=events,
            before=self._memory,
            read=rows,
            kept=kept.place,
            features=kept.features(self._stream.width),
        )
        self._memory = latest.remembered(self._memory, read)
        return Scored(events=events, score=score, calibrated=calibrated, tactic=tactic)

    def explain(self, scored: Scored, rows: Sequence[int]) -> list[Explanation]:
        """Return why some of the events score as they do.

        Contributions are to the logit of the network that the gate listens to most.

        Args:
            scored: what ``push`` returned last.
            rows: of it; at most ``latest.MOST_EXPLAINED`` of a batch can be asked
                about, those that score highest.

        Raises:
            InvalidTelemetry: an older batch, or rows that are not kept.
        """
        asked = self._latest_of(scored).asked(scored, rows)
        return explain.explain(self._speaker(), asked)

    def nearest(self, scored: Scored, row: int) -> str | None:
        """Return the technique of the own past that an event is most like.

        None where it is like none, where the past was not labelled with techniques, or
        where the row is not among those that can be explained.

        Args:
            scored: what ``push`` returned last.
            row: of it.

        Raises:
            InvalidTelemetry: an older batch.
        """
        found = self._latest_of(scored)
        spot = int(found.spots([row])[0])
        if spot < 0 or not self._examples.names:
            return None
        if self._campaigns is None:
            benign = self._held.features[~self._held.is_attack]
            self._campaigns = Campaigns(self._speaker(), self._examples, benign)
        return self._campaigns.nearest(found.features[spot])

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
                prefilter=self._prefilter,
                held=self._held,
                examples=self._examples,
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
            return cls(scorers, state)
        except (InvalidInput, KeyError) as error:
            raise MalformedMessage(f"not the state of a detector: {error}") from error

    def _calibrate(self) -> None:
        """Choose gate, calibration and threshold on the held-out past."""
        held = self._held
        said = {
            name: scorer.said(held.features).malicious.astype(np.float64)
            for name, scorer in self._scorers.items()
        }
        said[PREFILTER] = held.burst
        self._campaigns = None
        benign = ~held.is_attack
        if benign.sum() < calibration.FEWEST:
            assumed = Calibration.assumed()
            self.gate = Gate(weights={FEDERATED: 1.0}, scales={FEDERATED: assumed})
            self.calibration = assumed
        else:
            self.gate = Gate.choose(said, held.is_attack)
            self.calibration = Calibration.fit(self.gate.combine(said)[benign])
        self.threshold = self.calibration.threshold(self.budget)

    def _score(self, rows: Floats, burst: Floats) -> tuple[Numbers, Integers | None]:
        """Return scores, and tactics where the federation's model tells them."""
        said = {
            name: self._scorers[name].said(rows)
            for name in self._scorers
            if name in self.gate.weights or name == FEDERATED
        }
        scores = {name: one.malicious.astype(np.float64) for name, one in said.items()}
        tactics = said[FEDERATED].tactics
        score = self.gate.combine({**scores, PREFILTER: burst})
        return score, None if tactics is None else tactics.argmax(axis=1)

    def _speaker(self) -> Scorer:
        """Return the network that is listened to most, the federation's if alike."""
        weights = self.gate.weights
        if weights.get(LOCAL, 0.0) > weights.get(FEDERATED, 0.0):
            return self._scorers[LOCAL]
        return self._scorers[FEDERATED]

    def _latest_of(self, scored: Scored) -> Latest:
        """Return what is kept of a batch."""
        if self._latest is None or scored.events is not self._latest.events:
            raise InvalidTelemetry("only the latest batch can be explained")
        return self._latest


class _Rows:
    """Collects wanted rows from pieces.

    Args:
        wanted: (k,) places, ascending.
        width: of a row.
    """

    def __init__(self, wanted: Integers, width: int) -> None:
        self._wanted = wanted
        self.rows: Floats = np.empty((len(wanted), width), np.float32)

    def take(self, begin: int, piece: Floats) -> None:
        """Take those that are wanted from the piece that begins there."""
        low, high = np.searchsorted(self._wanted, [begin, begin + len(piece)])
        self.rows[low:high] = piece[self._wanted[low:high] - begin]


def _burst(prefilter: Prefilter, events: Events) -> Floats:
    """Return what the pre-filter says, (n,) float32: log(1 + chi-squared)."""
    found = prefilter.push(events.time_ns, events.source, events.destination)
    return np.asarray(np.log1p(found.max(axis=1)), np.float32)


def _is_read(events: Events, name: str) -> npt.NDArray[np.bool_]:
    """Return (n,) mask of the rows that a feature set reads."""
    if name in features.OF_TRAFFIC:
        return events.is_input
    return np.ones(len(events), np.bool_)


def _held_out(past: Events) -> Integers:
    """Return which rows of a past are held out: the latest, evenly spread if many."""
    late = np.arange(len(past) - int(HELD_OUT_SHARE * len(past)), len(past))
    is_attack = past.label[late] == MALICIOUS
    return np.sort(np.concatenate([_even(late[~is_attack]), _even(late[is_attack])]))


def _even(rows: Integers) -> Integers:
    if len(rows) <= MOST_HELD:
        return rows
    return rows[np.linspace(0, len(rows) - 1, MOST_HELD).astype(np.int64)]


def _refuse_other_features(one: Scorer, two: Scorer) -> None:
    if one.architecture.features != two.architecture.features:
        raise InvalidPlan(
            f"a model of features {two.architecture.features!r} beside one of "
            f"{one.architecture.features!r}"
        )
