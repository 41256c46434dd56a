# SPDX-License-Identifier: Apache-2.0
"""Log files of an organisation, read whole into one sequence of events.

Takes files, folders and glob patterns, plain or gzipped, in any mixture of the formats
that can be read; tells for each file what was in it.

It does NOT follow files that grow or rotate, and keeps no text of any log but in the
dead-letter file, which is the organisation's own.

Rule 1: a bad line costs one line: it is counted and, where a dead-letter file is given,
kept there.
Rule 2: a file that is named and cannot be read is an error; a file that only a folder
or a pattern brought in is reported and passed over.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import glob
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final, Self

import msgspec

from fedxdr.core.errors import InvalidInput, InvalidTelemetry, Refused
from fedxdr.intake.blocks import blocks_of
from fedxdr.intake.sniffing import LogFormat, sniff, zeek_log_of
from fedxdr.telemetry.cbs import CbsParser
from fedxdr.telemetry.ecs import EcsParser
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.netflow import NetflowParser
from fedxdr.telemetry.ocsf import OcsfParser
from fedxdr.telemetry.parser import Parsed, Parser, Rejected, Tokenise, Tokeniser
from fedxdr.telemetry.redteam import RedteamParser
from fedxdr.telemetry.suricata import LABEL_SEVERITY, EveParser, mark_alerted
from fedxdr.telemetry.syslog_parser import SyslogParser
from fedxdr.telemetry.wazuh import WazuhParser
from fedxdr.telemetry.windows import WindowsParser
from fedxdr.telemetry.zeek import ZeekTsvParser
from fedxdr.telemetry.zeek_json import ZeekJsonParser

logger = logging.getLogger(__name__)

EXAMPLES: Final = 3
"""Rejected lines that a report keeps to show."""

_LAST_SECOND: Final = 9_000_000_000.0
"""Of year 2255: what a damaged file system says beyond is no time of a log."""

_SUFFIXES: Final = (".json", ".log", ".labeled", ".ndjson", ".jsonl")


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
    found = expand(sources)
    parts: list[Events] = []
    reports: list[FileReport] = []
    with ExitStack() as stack:
        letters = None
        if dead_letter is not None:
            letters = stack.enter_context(_DeadLetters(dead_letter))
        for path, is_named in found:
            file_parts, report = _read_file(path, tokenise, label_severity, letters)
            if report.problem is not None:
                if is_named and report.format is None:
                    raise InvalidTelemetry(f"{path}: {report.problem}")
                logger.warning("log file passed over", extra={"reason": report.problem})
            parts += file_parts
            reports.append(report)
    if all(report.format is None for report in reports):
        raise InvalidTelemetry(
            f"none of {len(reports)} files is a log of a known format"
        )
    return Intake(
        events=mark_alerted(Events.concatenate(parts).sort()), files=tuple(reports)
    )


def expand(
    sources: Iterable[str | os.PathLike[str]],
) -> list[tuple[Path, bool]]:
    """Return the files that sources mean, each once, and whether each was named.

    Args:
        sources: see ``read``.

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
    letters: _DeadLetters | None,
) -> tuple[list[Events], FileReport]:
    """Read one file as far as it can be read."""
    report = FileReport(path=path)
    parts: list[Events] = []
    parser: Parser | None = None
    try:
        for block in blocks_of(path):
            if parser is None:
                format_ = sniff(block)
                report = dataclasses.replace(report, format=format_)
                if format_ is LogFormat.EMPTY:
                    continue
                parser = _parser_for(format_, path, tokenise, label_severity)
            parsed = parser.parse(block, first_line=report.lines + 1)
            parts.append(parsed.events)
            report = _counted(report, parsed)
            if letters is not None:
                letters.keep(path, parsed.rejected)
    except (InvalidInput, Refused) as error:
        return parts, dataclasses.replace(report, problem=str(error))
    if report.format is None:
        report = dataclasses.replace(report, format=LogFormat.EMPTY)
    return parts, report


def _counted(report: FileReport, parsed: Parsed) -> FileReport:
    return dataclasses.replace(
        report,
        lines=report.lines + parsed.lines,
        events=report.events + len(parsed.events),
        skipped=report.skipped + parsed.skipped,
        rejected=report.rejected + len(parsed.rejected),
        examples=(*report.examples, *parsed.rejected)[:EXAMPLES],
        why_skipped=Counter(report.why_skipped) + Counter(parsed.why_skipped),
    )


def _parser_for(
    format_: LogFormat,
    path: Path,
    tokenise: Tokenise | Tokeniser,
    label_severity: int,
) -> Parser:
    match format_:
        case LogFormat.EVE:
            return EveParser(tokenise, label_severity=label_severity)
        case LogFormat.ZEEK_TSV:
            return ZeekTsvParser(tokenise)
        case LogFormat.WINDOWS:
            return WindowsParser(tokenise)
        case LogFormat.WAZUH:
            return WazuhParser(tokenise, label_severity=label_severity)
        case LogFormat.OCSF:
            return OcsfParser(tokenise)
        case LogFormat.ECS:
            return EcsParser(tokenise, label_severity=label_severity)
        case LogFormat.NETFLOW:
            return NetflowParser(tokenise)
        case LogFormat.SYSLOG:
            return SyslogParser(tokenise, now=_written(path))
        case LogFormat.CBS:
            return CbsParser()
        case LogFormat.REDTEAM:
            return RedteamParser(tokenise)
        case _:
            return ZeekJsonParser(tokenise, log=zeek_log_of(path.name))


def _written(path: Path) -> dt.datetime:
    """Return when a file was last written: no line of it is of a later time."""
    try:
        seconds = path.stat().st_mtime
    except OSError as error:
        raise InvalidTelemetry(f"{path.name}: cannot be read") from error
    return dt.datetime.fromtimestamp(min(max(seconds, 0.0), _LAST_SECOND), dt.UTC)


class _DeadLetters:
    """The file of rejected lines; opened at once, so that a bad path shows early."""

    def __init__(self, path: Path) -> None:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise InvalidTelemetry(
                f"{path}: cannot be written: {error.strerror}"
            ) from error
        self._file: BinaryIO = os.fdopen(handle, "ab")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def keep(self, path: Path, rejected: Sequence[Rejected]) -> None:
        """Append rejected lines of a file."""
        for letter in _letters(path, rejected):
            self._file.write(letter + b"\n")


def _letters(path: Path, rejected: Sequence[Rejected]) -> Iterator[bytes]:
    for one in rejected:
        yield msgspec.json.encode(
            {
                "file": os.fspath(path),
                "line": one.line_number,
                "reason": one.reason,
                "text": one.line.decode("utf-8", "backslashreplace"),
            }
        )
