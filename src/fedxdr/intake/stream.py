# SPDX-License-Identifier: Apache-2.0
"""Log files of an organisation, read in batches of events at bounded memory.

Takes files, folders and glob patterns, plain or gzipped, in any mixture of the formats
that can be read; tells for each file what was in it.

It does NOT follow files that grow or rotate (following.py) and does NOT sort: a batch
is in the order of its lines.

Rule 1: a bad line costs one line: it is counted and, where a dead-letter file is given,
kept there.
Rule 2: a file that is named and cannot be read is an error; a file that only a folder
or a pattern brought in is reported and passed over.
Rule 3: memory is bounded by a block of a file and ``batch_rows`` events. A batch is
made when it is asked for: who takes them slowly slows the reading, and nothing piles
up.
"""

from __future__ import annotations

import dataclasses
import glob
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from fedxdr.core.errors import InvalidInput, InvalidTelemetry, Refused
from fedxdr.intake.blocks import blocks_of
from fedxdr.intake.deadletter import DeadLetters
from fedxdr.intake.parsers import instant, parser_for
from fedxdr.intake.sniffing import LogFormat, sniff
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.parser import Parsed, Parser, Rejected, Tokenise, Tokeniser
from fedxdr.telemetry.suricata import LABEL_SEVERITY

logger = logging.getLogger(__name__)

EXAMPLES: Final = 3
"""Rejected lines that a report keeps to show."""

BATCH_ROWS: Final = 50_000
"""Events from which on a batch is handed out."""

_SUFFIXES: Final = (".json", ".log", ".labeled", ".ndjson", ".jsonl", ".evtx")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """What one file held.

    Attributes:
        path: where it lies.
        format: what it was read as, None where that could not be told.
        lines: lines read.
        events: records that became events.
        skipped: sound records that are not about two endpoints.
        rejected: lines that could not be read.
        examples: the first few of them.
        problem: why reading stopped before the end, None where it did not.
        why_skipped: how many were skipped for which reason, where the parser tells.
        why_rejected: how many were rejected for which reason.
    """

    path: Path
    format: LogFormat | None = None
    lines: int = 0
    events: int = 0
    skipped: int = 0
    rejected: int = 0
    examples: tuple[Rejected, ...] = ()
    problem: str | None = None
    why_skipped: Mapping[str, int] = dataclasses.field(default_factory=dict)
    why_rejected: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Some events of one file.

    Attributes:
        events: in the order of their lines; only alerts are labelled, see
            ``mark_alerted``.
        report: what the file held so far.
        is_last: whether this was all of the file.
    """

    events: Events
    report: FileReport
    is_last: bool


def stream(
    sources: Iterable[str | os.PathLike[str]],
    *,
    tokenise: Tokenise | Tokeniser,
    batch_rows: int = BATCH_ROWS,
    dead_letter: Path | None = None,
    label_severity: int = LABEL_SEVERITY,
) -> Iterator[Batch]:
    """Yield all events in some files, file by file.

    Each file gives one last batch, which may be empty.

    Args:
        sources: files, folders (their log files, not those of folders in them) and
            glob patterns (``**`` for any folders).
        tokenise: a ``Pseudonymiser``, or the function of one that knows addresses only,
            ``Pseudonymiser.address``; then no user is known.
        batch_rows: events from which on a batch is handed out, >= 1. A batch has at
            most those of one block more.
        dead_letter: file to which rejected lines are appended, see ``DeadLetters``.
        label_severity: see ``EveParser``.

    Raises:
        InvalidTelemetry: a source that names nothing, a named file that cannot be read
            or is of no known format, or no readable file at all.
    """
    found = expand(sources)
    is_any = False
    with ExitStack() as stack:
        letters = None
        if dead_letter is not None:
            letters = stack.enter_context(DeadLetters(dead_letter))
        for path, is_named in found:
            batches = _read_file(path, tokenise, label_severity, letters, batch_rows)
            for batch in batches:
                report = batch.report
                if report.problem is not None:
                    if is_named and report.format is None:
                        raise InvalidTelemetry(f"{path}: {report.problem}")
                    logger.warning(
                        "log file passed over", extra={"reason": report.problem}
                    )
                is_any = is_any or report.format is not None
                yield batch
    if not is_any:
        raise InvalidTelemetry(f"none of {len(found)} files is a log of a known format")


def expand(
    sources: Iterable[str | os.PathLike[str]],
) -> list[tuple[Path, bool]]:
    """Return the files that sources mean, each once, and whether each was named.

    Args:
        sources: see ``stream``.

    Raises:
        InvalidTelemetry: a source that names nothing.
    """
    found: dict[Path, bool] = {}
    for source in sources:
        text = os.fspath(source)
        path = Path(text)
        if path.is_dir():
            files = [file for file in sorted(path.iterdir()) if _is_log(file)]
        elif path.exists() or not glob.has_magic(text):
            files = [path]
        else:
            matches = glob.glob(text, recursive=True)  # noqa: PTH207 - Path.glob refuses absolute patterns
            files = [Path(match) for match in sorted(matches) if Path(match).is_file()]
        if not files:
            raise InvalidTelemetry(
                f"{text}: no log file there; give files, a folder of logs or a pattern"
            )
        for file in files:
            found[file] = found.get(file, False) or files == [path]
    if not found:
        raise InvalidTelemetry("no source of logs given")
    return list(found.items())


def _is_log(path: Path) -> bool:
    return path.is_file() and any(suffix in _SUFFIXES for suffix in path.suffixes)


def _read_file(
    path: Path,
    tokenise: Tokenise | Tokeniser,
    label_severity: int,
    letters: DeadLetters | None,
    batch_rows: int,
) -> Iterator[Batch]:
    """Read one file as far as it can be read."""
    report = FileReport(path=path)
    parts: list[Events] = []
    rows = 0
    parser: Parser | None = None
    try:
        for block in blocks_of(path):
            if parser is None:
                format_ = sniff(block)
                report = dataclasses.replace(report, format=format_)
                if format_ is LogFormat.EMPTY:
                    continue
                parser = parser_for(
                    format_,
                    name=path.name,
                    written=instant(path.stat().st_mtime),
                    tokenise=tokenise,
                    label_severity=label_severity,
                )
            parsed = parser.parse(block, first_line=report.lines + 1)
            report = _counted(report, parsed)
            if letters is not None:
                letters.keep(path, parsed.rejected)
            parts.append(parsed.events)
            rows += len(parsed.events)
            if rows >= batch_rows:
                yield _batch(parts, report, is_last=False)
                parts, rows = [], 0
    except (InvalidInput, Refused) as error:
        report = dataclasses.replace(report, problem=str(error))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        problem = f"{path.name}: cannot be read: {reason}"
        report = dataclasses.replace(report, problem=problem)
    else:
        if report.format is None:
            report = dataclasses.replace(report, format=LogFormat.EMPTY)
    yield _batch(parts, report, is_last=True)


def _batch(parts: list[Events], report: FileReport, *, is_last: bool) -> Batch:
    return Batch(events=Events.concatenate(parts), report=report, is_last=is_last)


def _counted(report: FileReport, parsed: Parsed) -> FileReport:
    why = Counter(one.reason for one in parsed.rejected)
    return dataclasses.replace(
        report,
        lines=report.lines + parsed.lines,
        events=report.events + len(parsed.events),
        skipped=report.skipped + parsed.skipped,
        rejected=report.rejected + len(parsed.rejected),
        examples=(*report.examples, *parsed.rejected)[:EXAMPLES],
        why_skipped=Counter(report.why_skipped) + Counter(parsed.why_skipped),
        why_rejected=Counter(report.why_rejected) + why,
    )
