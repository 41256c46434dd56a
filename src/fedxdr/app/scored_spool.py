# SPDX-License-Identifier: Apache-2.0
"""The spool, scored once: events that were stored become findings that are put.

A segment of the spool is what is scored at once. Findings are put first; then, now and
then, the detector's state is stored with the number of the last segment that it holds,
in one file that is replaced whole. After kill -9 the segments behind that number are
scored again, with the same bits and so the same ids: the outbox and the sinks drop
what they have.

What waits at a start, or after a pause, came file by file; it is put in the order of
time and scored as one, after a note of how far it goes, so that it is scored as one
again after a kill.

It does NOT read logs or deliver findings, starts no thread (live.py) and never sleeps.

Rules that always hold:
    1. A segment counts as scored only when what was found in it is on the disk.
    2. A model is swapped between segments, and only once all is scored that an earlier
       process may have scored with the one before.
    3. The past is read in the order in which its records were written, as what comes
       later is: thresholds of another order would not fit.
    4. The state is as private as the events: a file of the organisation's own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from fedxdr.app.live_state import Card, decode, encode
from fedxdr.app.scoring import ModelFile, Scoring, arrived
from fedxdr.core.clock import Clock
from fedxdr.core.errors import InvalidInput, InvalidPlan
from fedxdr.core.ids import OrgId
from fedxdr.intake.lines import Lines
from fedxdr.intake.segments import Stored
from fedxdr.intake.spool import Spool
from fedxdr.learning.detector import Detector
from fedxdr.storage.files import replace_file
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.findings import Finding
from fedxdr.telemetry.suricata import mark_alerted

logger = logging.getLogger(__name__)

SAVE_S: Final = 30.0
"""How often the state is stored, about; seldomer where that takes long."""

MOST_PUT: Final = 1_000
"""Findings after which it is stored at once: the outbox must still know them."""

MOST_PAST: Final = 500_000
"""Newest events of the past that are calibrated on."""

FEWEST_MORE: Final = 500
"""Events that must have come before a past that was too short is read again."""

MANY: Final = 8
"""Segments from which on those that wait are scored as one."""

MOST_AT_ONCE: Final = 500_000
"""Events that are scored as one at most, but for one segment's."""

_PRIVATE: Final = 0o600
_PACE: Final = 20.0


class ScoredSpool:
    """Scores what comes into a spool.

    All methods but ``offer`` belong to one thread.

    Args:
        path: of the state; its folder exists.
        spool: read only; nobody else uses this object.
        org: whose events they are.
        budget: share of benign events that may alarm, in (0, 1).
        until_ns: where the past ends that is never scored; None: what is stored when
            scoring begins for the first time is the past.
        put: stores findings durably; returns once they are.
        told: returns findings that were put before, oldest first.
        clock: the time.
        monotonic: seconds on a clock that never goes back.

    Attributes:
        number: of the last segment that was scored; 0 before the first.
        findings: put since the start.
        lost: segments that were forgotten before they were scored.
    """

    def __init__(
        self,
        path: Path,
        *,
        spool: Spool,
        org: OrgId,
        budget: float,
        until_ns: int | None,
        put: Callable[[Sequence[Finding]], None],
        told: Callable[[], Sequence[Finding]],
        clock: Clock,
        monotonic: Callable[[], float],
    ) -> None:
        self._path = path
        self._spool = spool
        self._org = org
        self._budget = budget
        self._until_ns = until_ns
        self._put = put
        self._told = told
        self._clock = clock
        self._monotonic = monotonic
        self._scoring: Scoring | None = None
        # guards the offer: it comes from the thread that takes part in rounds
        self._lock = threading.Lock()
        self._offered: ModelFile | None = None
        self._model: ModelFile | None = None
        """The newest that was taken; belongs to the scoring thread."""
        self._past = self._since = 0
        self._began = 0
        """Number of the newest segment that an earlier process may have scored."""
        self._until = 0
        """Number of the segment up to which all is scored as one."""
        self._saved_s = monotonic()
        self._cost_s = 0.0
        self._unsaved = 0
        self.number = 0
        self.findings = 0
        self.lost = 0
        self._noted = 0
        self._scoring = self._load()

    @property
    def is_scoring(self) -> bool:
        """Whether there is a model, and a past to judge by."""
        return self._scoring is not None

    def figures(self) -> dict[str, int]:
        """Return what was done since the start."""
        scoring = self._scoring
        return {
            "scored": 0 if scoring is None else scoring.events,
            "late": 0 if scoring is None else scoring.late,
            "refused_times": 0 if scoring is None else scoring.refused,
            "findings": self.findings,
            "segments_lost": self.lost,
        }

    def offer(self, model: ModelFile) -> None:
        """Let a model score, from the next turn on that can take it."""
        with self._lock:
            self._offered = model

    def turn(self, *, is_caught_up: bool, stopping: Callable[[], bool]) -> bool:
        """Score what has come; return whether anything was done.

        Args:
            is_caught_up: whether the logs were read as far as they went when reading
                began; what waits is not judged before.
            stopping: asked between segments.

        Raises:
            FedxdrError: what was found could not be put, or the disk said no.
        """
        if self._scoring is None and not self._begin(is_caught_up=is_caught_up):
            return False
        is_any = self._replay(stopping)
        if not is_caught_up or stopping():
            return is_any
        self._swap()
        is_any = self._go_on(stopping) or is_any
        self._calibrate_late()
        return is_any

    def save(self) -> None:
        """Store the state: what was scored until now is not scored again."""
        if self._scoring is None:
            return
        began_s = self._monotonic()
        file = encode(
            Card(
                number=self.number,
                until=max(self.number, self._until),
                ledger_index=self._scoring.ledger_index,
                past=self._past,
                since=self._since,
            ),
            told=self._scoring.told(),
            detector=self._scoring.detector,
        )
        replace_file(self._path, file, mode=_PRIVATE)
        self._saved_s = self._monotonic()
        self._cost_s = self._saved_s - began_s
        self._unsaved = 0

    # What waits.

    def _replay(self, stopping: Callable[[], bool]) -> bool:
        """Score what an earlier process may have scored, cut as it was."""
        is_any = False
        if self._until > self.number:
            self._score_as_one(
                [one for one in self._waiting() if one.number <= self._until]
            )
            is_any = True
        if self.number < self._began:
            for stored in self._waiting():
                if stored.number > self._began or stopping():
                    break
                self._score(stored)
                is_any = True
        return is_any

    def _go_on(self, stopping: Callable[[], bool]) -> bool:
        """Score what came since; a heap of it as one, else segment by segment."""
        waiting: list[Stored] = []
        rows = 0
        for stored in self._waiting():
            rows += len(stored.events)
            if waiting and rows > MOST_AT_ONCE:
                break
            waiting.append(stored)
        if len(waiting) >= MANY:
            self._until = waiting[-1].number
            self.save()
            self._score_as_one(waiting)
            return True
        for stored in waiting:
            self._score(stored)
            if stopping():
                break
        return bool(waiting)

    def _score_as_one(self, parts: Sequence[Stored]) -> None:
        if parts:
            one = Stored(
                number=parts[-1].number,
                events=Events.concatenate(part.events for part in parts),
                lines=Lines.concatenate([part.lines for part in parts]),
            )
            self._score(one)
        self._until = self.number
        self.save()

    def _score(self, stored: Stored) -> None:
        """Score a segment and put what is found (rule 1)."""
        scoring, events, lines = self._scoring, stored.events, stored.lines
        if scoring is None:
            return
        if self._until_ns is not None:
            is_later = events.time_ns > self._until_ns
            events, lines = events.select(is_later), lines.select(is_later)
        found = scoring.push(events, lines)
        if found:
            self._put(found)
            self.findings += len(found)
            self._unsaved += len(found)
        self.number = stored.number
        self._since += len(events)
        extra = {
            "segment": stored.number,
            "events": len(events),
            "findings": len(found),
        }
        logger.debug("scored", extra=extra)
        waits_s = max(SAVE_S, _PACE * self._cost_s)
        is_due = self._monotonic() - self._saved_s >= waits_s
        if is_due or self._unsaved >= MOST_PUT:
            self.save()

    def _waiting(self) -> Iterator[Stored]:
        """Yield the segments that were not scored, in order."""
        last = self.number
        for stored in self._spool.batches(after=self.number):
            missing = stored.number - last - 1
            last = stored.number
            if missing > 0 and stored.number > self._noted:
                self._noted = stored.number
                self.lost += missing
                extra = {"segments": missing}
                logger.warning("the spool forgot what was not scored", extra=extra)
            yield stored

    # Beginning, and another model.

    def _begin(self, *, is_caught_up: bool) -> bool:
        """Calibrate on what is stored; return False while that cannot be yet."""
        model = self._offered
        if model is None or not is_caught_up:
            return False
        self._calibrate(model)
        return True

    def _load(self) -> Scoring | None:
        """Return what was stored, None where nothing was or it does not fit."""
        try:
            card, told, detector = decode(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except InvalidInput as error:
            self._tell_anew(str(error))
            return None
        newest = max(
            (one.number for one in self._spool.batches(after=card.number - 1)),
            default=0,
        )
        if newest < card.number:
            self._tell_anew("the spool is another one")
            return None
        self.number, self._until, self._began = card.number, card.until, newest
        self._past, self._since = card.past, card.since
        if detector.budget != self._budget:
            self._tell_anew("another budget of false alarms")
            return None
        scoring = self._scored(detector, card.ledger_index)
        scoring.restore(told)
        return scoring

    def _calibrate(self, model: ModelFile) -> None:
        """Begin with a detector that has read the past: what was stored until now."""
        past, last = past_in(self._spool, most=MOST_PAST, last=self.number)
        if self._until_ns is not None:
            past = past.select(past.time_ns <= self._until_ns)
        detector = Detector.prepare(model.content, past, budget=self._budget)
        self._model, self._past, self._since = model, len(past), 0
        logger.info(
            "calibrated on this organisation's past",
            extra={
                "events": len(past),
                "threshold": round(detector.threshold, 3),
                "is_calibrated": detector.is_calibrated,
            },
        )
        if not self.number:
            # with an end of the past, what is stored behind it is scored
            self.number = last if self._until_ns is None else 0
            self._until = self._began = last
        self._scoring = self._scored(detector, model.ledger_index)
        # a state that was lost: what it had told is in the outbox
        self._scoring.recall(self._told())
        self.save()

    def _scored(self, detector: Detector, ledger_index: int | None) -> Scoring:
        return Scoring(
            detector,
            org=self._org,
            ledger_index=ledger_index,
            clock=self._clock,
            by_arrival=True,
        )

    def _swap(self) -> None:
        """Take the model that was offered, if it is another (rule 2)."""
        with self._lock:
            model, self._offered = self._offered, None
        scoring = self._scoring
        if scoring is None or model is None:
            return
        self._model = model
        if model.digest == scoring.detector.model_digest:
            return
        self.save()
        try:
            scoring.swap(model)
        except InvalidPlan:
            # it reads something else: all that is remembered is read anew
            self._calibrate(model)
        self.save()
        extra = {"model": model.digest, "ledger_index": model.ledger_index}
        logger.info("a new model scores", extra=extra)

    def _calibrate_late(self) -> None:
        """Calibrate where the past was too short for it, once as much more has come.

        Never again after that: who is in the network would raise the threshold by
        being there.
        """
        scoring, model = self._scoring, self._model
        if scoring is None or model is None or scoring.detector.is_calibrated:
            return
        if model.digest != scoring.detector.model_digest:
            return
        if self._since >= max(self._past, FEWEST_MORE):
            self._calibrate(model)

    @staticmethod
    def _tell_anew(reason: str) -> None:
        logger.warning("calibrating anew", extra={"reason": reason})


def past_in(spool: Spool, *, most: int, last: int = 0) -> tuple[Events, int]:
    """Return the newest events that are stored, as a stream reads them.

    Labels of alerts are carried over to the other records of their connections.

    Args:
        spool: is read only.
        most: how many, about.
        last: number of the last segment that counts, 0 for all.

    Returns:
        the events, see ``arrived``, and the number of the last segment, 0 for none.
    """
    parts: list[Events] = []
    rows, number = 0, 0
    for stored in spool.batches():
        if last and stored.number > last:
            break
        parts.append(stored.events)
        rows, number = rows + len(stored.events), stored.number
        while len(parts) > 1 and rows - len(parts[0]) >= most:
            rows -= len(parts.pop(0))
    return arrived(mark_alerted(Events.concatenate(parts))), number
