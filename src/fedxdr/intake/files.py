# SPDX-License-Identifier: Apache-2.0
"""Log files of an organisation, read whole into one sequence of events.

It does NOT follow files that grow or rotate (following.py), and keeps no text of any
log but in the dead-letter file, which is the organisation's own. All events are in
memory at once; who needs them only one after another takes ``stream``.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

from fedxdr.intake.stream import EXAMPLES, FileReport, expand, stream
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.parser import Tokenise, Tokeniser
from fedxdr.telemetry.suricata import LABEL_SEVERITY, mark_alerted

__all__ = ["EXAMPLES", "FileReport", "Intake", "expand", "read"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Intake:
    """All events of some files, sorted by time, and a report for each file."""

    events: Events
    files: tuple[FileReport, ...]

    @property
    def rejected(self) -> int:
        """Lines that could not be read, in all files."""
        return sum(report.rejected for report in self.files)


def read(
    sources: Iterable[str | os.PathLike[str]],
    *,
    tokenise: Tokenise | Tokeniser,
    dead_letter: Path | None = None,
    label_severity: int = LABEL_SEVERITY,
) -> Intake:
    """Return all events in some files.

    Labels of alerts are carried over to the other records of their connections.

    Args:
        sources: files, folders (their log files, not those of folders in them) and
            glob patterns (``**`` for any folders).
        tokenise: a ``Pseudonymiser``, or the function of one that knows addresses only,
            ``Pseudonymiser.address``; then no user is known.
        dead_letter: file to which rejected lines are appended, one JSON object per
            line; it is made readable by its owner only.
        label_severity: see ``EveParser``.

    Raises:
        InvalidTelemetry: a source that names nothing, a named file that cannot be read
            or is of no known format, or no readable file at all.
    """
    parts: list[Events] = []
    reports: list[FileReport] = []
    for batch in stream(
        sources,
        tokenise=tokenise,
        dead_letter=dead_letter,
        label_severity=label_severity,
    ):
        parts.append(batch.events)
        if batch.is_last:
            reports.append(batch.report)
    events = mark_alerted(Events.concatenate(parts).sort())
    return Intake(events=events, files=tuple(reports))
