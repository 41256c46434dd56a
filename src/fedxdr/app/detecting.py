# SPDX-License-Identifier: Apache-2.0
"""Findings in log files: read, calibrate on the earlier part, score the later one.

It does NOT follow files that grow (live.py) and changes nothing on the disk.

Rules that always hold:
    1. No event is scored that was calibrated on, and most are later than all of those.
    2. All events of the files are in memory, features of one piece of them at a time.
    3. No label is read: alerts in the logs are no input (telemetry/event.py), and what
       nobody complained about counts as benign past.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedxdr.app.names import KnownNames
from fedxdr.app.scoring import ModelFile, Scoring
from fedxdr.core.clock import Clock
from fedxdr.core.errors import InvalidTelemetry
from fedxdr.core.ids import OrgId
from fedxdr.intake import files
from fedxdr.intake.stream import FileReport
from fedxdr.learning.detector import Detector
from fedxdr.models.graph import entities
from fedxdr.telemetry import attack
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.findings import Finding

PIECE: Final = 65_536
"""Events that are scored at once."""

_SAME: Final = (
    "time_ns", "source", "destination", "source_port", "destination_port", "kind",
    "flow_id", "user",
)  # fmt: skip
"""Columns by which a record is known again."""

_DAY_NS: Final = 86_400 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """What was found in some files.

    Attributes:
        findings: the earliest first.
        files: what was in each file that was scored, and in those of the past.
        is_half_past: whether the earlier half of the files was taken for the past.
        past: events that were calibrated on.
        events: events that were scored.
        refused: events with a time that cannot be.
        threshold: from which score on something is told.
        is_calibrated: whether the past was enough to choose it.
        false_alarms_per_day: expected at most, in events; findings put several
            together. None where the events span no time.
    """

    findings: tuple[Finding, ...]
    files: tuple[FileReport, ...]
    is_half_past: bool
    past: int
    events: int
    refused: int
    threshold: float
    is_calibrated: bool
    false_alarms_per_day: float | None


def detect(
    sources: Sequence[str | os.PathLike[str]],
    *,
    past: Sequence[str | os.PathLike[str]],
    model: ModelFile,
    org: OrgId,
    names: KnownNames,
    budget: float,
    clock: Clock,
) -> Detected:
    """Return what a model finds in some log files.

    Args:
        sources: files, folders and glob patterns.
        past: the same, of an earlier time; none: the earlier half of ``sources``.
        model: that scores.
        org: whose logs they are.
        names: makes tokens, and remembers whose they are.
        budget: share of benign events that may alarm, in (0, 1).
        clock: the time.

    Raises:
        InvalidTelemetry: a file that cannot be read, or nothing later than the past.
        InvalidPlan: a model of another network than this program knows.
    """
    read = files.read(sources, tokenise=names)
    reports = read.files
    events = _input(read.events)
    if not len(events):
        raise InvalidTelemetry(
            "the files hold no event with two ends, such as a connection or a logon: "
            "nothing to score"
        )
    if past:
        before = files.read(past, tokenise=names)
        reports = (*reports, *before.files)
        known = _input(before.events)
        events = events.select(~_is_in(events, known))
        newest_ns = int(known.time_ns[-1]) if len(known) else 0
        if not len(events) or int(np.median(events.time_ns)) <= newest_ns:
            raise InvalidTelemetry(
                "what is in the files is not later than the past: give --past older "
                "logs"
            )
    else:
        half = len(events) // 2
        known, events = events.select(slice(0, half)), events.select(slice(half, None))
    detector = Detector.prepare(model.content, known, budget=budget)
    scoring = Scoring(detector, org=org, ledger_index=model.ledger_index, clock=clock)
    findings: list[Finding] = []
    for begin in range(0, len(events), PIECE):
        findings += scoring.push(events.select(slice(begin, begin + PIECE)))
    span_ns = int(events.time_ns[-1] - events.time_ns[0])
    per_day = budget * len(events) * _DAY_NS / span_ns if span_ns else None
    return Detected(
        findings=tuple(findings),
        files=reports,
        is_half_past=not past,
        past=len(known),
        events=scoring.events,
        refused=scoring.refused,
        threshold=detector.threshold,
        is_calibrated=detector.is_calibrated,
        false_alarms_per_day=per_day,
    )


def summary(found: Detected, *, model: ModelFile, budget: float) -> dict[str, Any]:
    """Return figures of what was found, for programs; no entity is in them."""
    return {
        "files": [
            {
                "path": str(one.path),
                "format": None if one.format is None else one.format.value,
                "lines": one.lines,
                "kept": one.events,
                "skipped": one.skipped,
                "refused": one.rejected,
                "why_skipped": dict(one.why_skipped),
                "why_refused": dict(one.why_rejected),
                "problem": one.problem,
            }
            for one in found.files
        ],
        "past_events": found.past,
        "past_is_earlier_half": found.is_half_past,
        "events": found.events,
        "refused_times": found.refused,
        "findings": len(found.findings),
        "by_severity": _counted(one.severity.name.lower() for one in found.findings),
        "by_tactic": _counted(
            "none" if one.tactic is None else attack.tactic(one.tactic).name
            for one in found.findings
        ),
        "model": model.digest,
        "ledger_index": model.ledger_index,
        "budget": budget,
        "threshold": found.threshold,
        "is_calibrated": found.is_calibrated,
        "expected_false_alarms_per_day": found.false_alarms_per_day,
    }


def _input(events: Events) -> Events:
    return events.select(events.is_input)


def _is_in(events: Events, others: Events) -> npt.NDArray[np.bool_]:
    """Return (n,) mask of the events that stand among others as well."""
    one, two = (
        np.column_stack([getattr(part, name).astype(np.int64) for name in _SAME])
        for part in (events, others)
    )
    codes = entities(*np.vstack([one, two]).T)
    return np.isin(codes[: len(one)], codes[len(one) :])


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())
