# SPDX-License-Identifier: Apache-2.0
"""Zeek's tab-separated logs as events.

Reads ``conn`` fully, and of every other log that names two endpoints (dns, http, ssl,
rdp, smtp, ntp, weird, ...) what it shares with it. Labels of ``conn.log.labeled``, as
Stratosphere writes them, are taken over. Logs without endpoints (x509) are skipped.

It does NOT read JSON (zeek_json.py).

Rule: columns are found by the header's names, never by position; a header in mid-file
(rotated logs put together) starts a new table.

Source: Zeek documentation, "Zeek Log Formats and Inspection".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fedxdr.telemetry import catalogue
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.parser import Parsed, Rejected, Tokenise, line_count, lines_of
from fedxdr.telemetry.timestamps import epoch_times_ns
from fedxdr.telemetry.zeek_table import (
    LARGEST,
    LARGEST_PORT,
    LAST_SECOND,
    NUMBERS,
    TEXTS,
    Table,
)


class ZeekTsvParser:
    """Reads tab-separated logs; the header is kept from block to block.

    Args:
        tokenise: turns an address into its token.
    """

    def __init__(self, tokenise: Tokenise) -> None:
        self._tokenise = tokenise
        self._header = _Header()

    def parse(self, block: bytes, *, first_line: int = 1) -> Parsed:
        """Return what a block of whole lines holds, see ``parser.Parser``."""
        parts: list[Events] = []
        rejected: list[Rejected] = []
        skipped = 0
        for begin, lines in self._runs(lines_of(block), first_line):
            table, bad = self._header.read(lines, begin)
            rejected += bad
            if table is not None:
                part = table.events(self._tokenise)
                skipped += len(table.time_ns) - len(part)
                parts.append(part)
        return Parsed(
            events=Events.concatenate(parts),
            rejected=tuple(rejected),
            skipped=skipped,
            lines=line_count(block),
        )

    def _runs(
        self, lines: list[bytes], first_line: int
    ) -> Iterator[tuple[int, list[bytes]]]:
        """Yield runs of data lines, taking in the header lines between them."""
        marks = [row for row, line in enumerate(lines) if line.lstrip()[:1] == b"#"]
        begin = 0
        for mark in [*marks, len(lines)]:
            if mark > begin:
                yield first_line + begin, lines[begin:mark]
            if mark < len(lines):
                self._header = self._header.with_line(lines[mark])
            begin = mark + 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """What the ``#`` lines of a tab-separated log have said so far."""

    separator: str = "\t"
    unset: str = "-"
    empty: str = "(empty)"
    path: str = ""
    fields: tuple[str, ...] = ()

    def with_line(self, line: bytes) -> _Header:
        """Return the header after one more ``#`` line."""
        text = line.decode("utf-8", "replace").strip("\r\n").lstrip()
        if text.startswith("#separator"):
            written = text.removeprefix("#separator").strip(" ")
            code = written.removeprefix("\\x")
            is_hex = len(code) == 2 and not set(code.lower()) - set("0123456789abcdef")
            separator = chr(int(code, 16)) if is_hex else written
            return dataclasses.replace(self, separator=separator or "\t")
        name, _, rest = text.partition(self.separator)
        match name:
            case "#unset_field":
                return dataclasses.replace(self, unset=rest)
            case "#empty_field":
                return dataclasses.replace(self, empty=rest)
            case "#path":
                return dataclasses.replace(self, path=rest)
            case "#fields":
                fields = tuple(self._cells(rest))
                return dataclasses.replace(self, fields=fields)
            case _:
                return self

    def _cells(self, text: str) -> list[str]:
        """Split a line; IoT-23 puts its labels behind three spaces, not a tab."""
        cells = text.split(self.separator)
        if "   " in cells[-1]:
            cells[-1:] = [part.strip() for part in cells[-1].split("   ")]
        return cells

    def read(
        self, lines: list[bytes], first_line: int
    ) -> tuple[Table | None, list[Rejected]]:
        """Return a run of data lines as a table, and those that cannot be read."""
        rejected: list[Rejected] = []
        rows: list[list[str]] = []
        numbers: list[int] = []
        width = len(self.fields)
        split_labels = "label" in self.fields[-2:]
        texts = b"\n".join(lines).decode("utf-8", "replace").split("\n")
        for number, text in enumerate(texts, first_line):
            cells = text.rstrip("\r").split(self.separator)
            if split_labels and len(cells) != width:
                cells = self._cells(text.rstrip("\r"))
            if len(cells) == width:
                rows.append(cells)
                numbers.append(number)
            elif text.strip():
                reason = f"{len(cells)} fields, the header names {width}"
                rejected.append(
                    Rejected.of(
                        number,
                        reason if width else "no header before this line",
                        lines[number - first_line],
                    )
                )
        table, bad = self._convert(rows)
        rejected += [
            Rejected.of(numbers[row], reason, lines[numbers[row] - first_line])
            for row, reason in bad.items()
        ]
        rejected.sort(key=lambda one: one.line_number)
        return table, rejected

    def _convert(self, rows: list[list[str]]) -> tuple[Table | None, dict[int, str]]:
        """Return rows of cells as a table, and the rows whose numbers are none."""
        if not rows:
            return None, {}
        bad: dict[int, str] = {}
        wanted = [name for name in ("ts", *NUMBERS) if name in self.fields]
        if "ts" not in wanted:
            return None, dict.fromkeys(range(len(rows)), "the header names no field ts")
        columns = dict(zip(self.fields, zip(*rows, strict=True), strict=True))
        numbers: dict[str, NDArray[np.float64]] = {}
        for name in wanted:
            top = LAST_SECOND if name == "ts" else _top_of(name)
            numbers[name], wrong = _floats(columns[name], self.unset, top)
            if name == "ts":
                wrong |= numbers[name] < 0
            for row in np.flatnonzero(wrong).tolist():
                bad.setdefault(row, f"{name} is not a number in range")
        keep = [row for row in range(len(rows)) if row not in bad]
        nothing = {self.unset, self.empty}
        texts: dict[str, Sequence[str]] = {
            name: [
                "" if (cell := columns[name][row]) in nothing else cell for row in keep
            ]
            for name in TEXTS
            if name in columns
        }
        kind = np.full(len(keep), catalogue.kind_of(self.path), np.int16)
        kept = {name: values[keep] for name, values in numbers.items()}
        time_ns = epoch_times_ns(kept.pop("ts"))
        return Table(time_ns=time_ns, kind=kind, texts=texts, numbers=kept), bad


def _top_of(name: str) -> float:
    return LARGEST_PORT if name.endswith("_p") else LARGEST


def _floats(
    cells: Sequence[str], unset: str, top: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return cells as numbers, -1 where unset, and which are no number in [0, top]."""
    try:
        values = np.array([-1.0 if cell == unset else float(cell) for cell in cells])
    except ValueError:
        values = np.array([-1.0 if c == unset else _float(c) for c in cells])
    is_unset = np.array([cell == unset for cell in cells], np.bool_)
    sound = is_unset | ((values >= 0) & (values <= top))
    return np.where(sound, values, -1.0), ~sound


def _float(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
