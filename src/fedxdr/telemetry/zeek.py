# SPDX-License-Identifier: Apache-2.0
"""Zeek's tab-separated logs as events.

Reads ``conn`` fully, and of every other log that names two endpoints (dns, http, ssl,
ssh, rdp, smb_files, kerberos, ntlm, dce_rpc, dhcp, smtp, ntp, files, weird, ...) what
it shares with it, who acted (zeek_accounts.py), and which technique a notice means.
Labels of ``conn.log.labeled``, as Stratosphere writes them, are taken over. Logs
without endpoints (x509) are skipped.

It does NOT read JSON (zeek_json.py).

Rule: columns are found by the header's names, never by position; a header in mid-file
(rotated logs put together) starts a new table.

Source: Zeek documentation, "Zeek Log Formats and Inspection".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedxdr.telemetry import catalogue
from fedxdr.telemetry.edges import NO_ENDPOINTS
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.parser import (
    Parsed,
    Rejected,
    Tokenise,
    Tokeniser,
    line_count,
    lines_of,
)
from fedxdr.telemetry.timestamps import epoch_times_ns
from fedxdr.telemetry.zeek_table import (
    LARGEST,
    LARGEST_PORT,
    LAST_SECOND,
    MORE_LOGS,
    MORE_TEXTS,
    NUMBERS,
    TEXTS,
    Table,
    Tables,
)

_DECODER: Final = msgspec.json.Decoder(list[float])
_MARKS: Final = (b"\n#", b"\n\t#", b"\n #")
_WORDS: Final = frozenset({"proto", "service", "conn_state", "label", "detailedlabel"})
"""Fields of few different words, in whose catalogues ``-`` is known to say nothing."""

_WANTED: Final = frozenset({"ts", *TEXTS, *NUMBERS})
_WANTED_TOO: Final = _WANTED | frozenset(MORE_TEXTS)


class ZeekTsvParser:
    """Reads tab-separated logs; the header is kept from block to block.

    Args:
        tokenise: turns addresses, and users where it can, into tokens.
    """

    def __init__(self, tokenise: Tokenise | Tokeniser) -> None:
        self._tables = Tables(tokenise)
        self._header = _Header()

    def parse(self, block: bytes, *, first_line: int = 1) -> Parsed:
        """Return what a block of whole lines holds, see ``parser.Parser``."""
        parts: list[Events] = []
        rejected: list[Rejected] = []
        skipped = 0
        for begin, data in self._runs(block, first_line):
            table, bad = self._header.read(data, begin)
            rejected += bad
            if table is not None:
                part = table.events(self._tables)
                skipped += len(table.time_ns) - len(part)
                parts.append(part)
        return Parsed(
            events=Events.concatenate(parts),
            rejected=tuple(rejected),
            skipped=skipped,
            lines=line_count(block),
            why_skipped={NO_ENDPOINTS: skipped} if skipped else {},
        )

    def _runs(self, block: bytes, first_line: int) -> Iterator[tuple[int, bytes]]:
        """Yield runs of data lines, taking in the header lines between them."""
        starts_with_header = block[:64].lstrip()[:1] == b"#"
        if not starts_with_header and not any(mark in block for mark in _MARKS):
            yield first_line, block.removesuffix(b"\n")
            return
        lines = lines_of(block)
        marks = [row for row, line in enumerate(lines) if line.lstrip()[:1] == b"#"]
        begin = 0
        for mark in [*marks, len(lines)]:
            if mark > begin:
                yield first_line + begin, b"\n".join(lines[begin:mark])
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

    @property
    def _wanted(self) -> frozenset[str]:
        return _WANTED_TOO if self.path in MORE_LOGS else _WANTED

    def _cells(self, text: str) -> list[str]:
        """Split a line; IoT-23 puts its labels behind three spaces, not a tab."""
        cells = text.split(self.separator)
        if "   " in cells[-1]:
            cells[-1:] = [part.strip() for part in cells[-1].split("   ")]
        return cells

    def read(self, data: bytes, first_line: int) -> tuple[Table | None, list[Rejected]]:
        """Return a run of data lines as a table, and those that cannot be read."""
        data = data.replace(b"\r\n", b"\n").removesuffix(b"\r")
        rejected: list[Rejected] = []
        numbers: Sequence[int] = range(first_line, first_line + data.count(b"\n") + 1)
        columns = self._regular(data)
        if columns is None:
            columns, numbers, rejected = self._irregular(data, first_line)
        table, bad = self._convert(columns, len(numbers))
        if bad:
            lines = data.split(b"\n")
            rejected += [
                Rejected.of(numbers[row], reason, lines[numbers[row] - first_line])
                for row, reason in bad.items()
            ]
            rejected.sort(key=lambda one: one.line_number)
        return table, rejected

    def _regular(self, data: bytes) -> dict[str, Sequence[str]] | None:
        """Return the columns if every line has just the cells the header names."""
        width, separator = len(self.fields), self.separator.encode()
        if not width or len(separator) != 1:
            return None
        cells = np.frombuffer(data + b"\n", np.uint8)
        is_end = cells == ord("\n")
        ends = is_end[is_end | (cells == separator[0])]
        if len(ends) % width or not ends[width - 1 :: width].all():
            return None
        if np.count_nonzero(ends) != len(ends) // width:
            return None
        texts = data.decode("utf-8", "replace").replace("\n", self.separator)
        every = texts.split(self.separator)
        return {
            name: every[place::width]
            for place, name in enumerate(self.fields)
            if name in self._wanted
        }

    def _irregular(
        self, data: bytes, first_line: int
    ) -> tuple[dict[str, Sequence[str]], list[int], list[Rejected]]:
        """Return columns and numbers of the lines that fit, and the lines that do not.

        IoT-23's labels behind spaces are taken apart here.
        """
        rejected: list[Rejected] = []
        rows: list[list[str]] = []
        numbers: list[int] = []
        width = len(self.fields)
        for number, line in enumerate(data.split(b"\n"), first_line):
            cells = line.decode("utf-8", "replace").split(self.separator)
            if len(cells) != width and "label" in self.fields[-2:]:
                cells = self._cells(line.decode("utf-8", "replace"))
            if len(cells) == width:
                rows.append(cells)
                numbers.append(number)
            elif line.strip():
                reason = f"{len(cells)} fields, the header names {width}"
                if not width:
                    reason = "no header before this line"
                rejected.append(Rejected.of(number, reason, line))
        columns: dict[str, Sequence[str]] = {}
        if rows:
            columns = dict(zip(self.fields, zip(*rows, strict=True), strict=True))
        return columns, numbers, rejected

    def _convert(
        self, columns: dict[str, Sequence[str]], rows: int
    ) -> tuple[Table | None, dict[int, str]]:
        """Return columns as a table, and the rows whose numbers are none."""
        if not rows:
            return None, {}
        if "ts" not in columns:
            return None, dict.fromkeys(range(rows), "the header names no field ts")
        bad: dict[int, str] = {}
        numbers: dict[str, NDArray[np.float64]] = {}
        for name in ("ts", *NUMBERS):
            if name in columns:
                top = LAST_SECOND if name == "ts" else _top_of(name)
                numbers[name], wrong = _floats(columns[name], self.unset, top)
                if name == "ts":
                    wrong = wrong | (numbers[name] < 0)
                for row in np.flatnonzero(wrong).tolist():
                    bad.setdefault(row, f"{name} is not a number in range")
        texts: dict[str, Sequence[str]] = {}
        for name in (*TEXTS, *MORE_TEXTS) if self.path in MORE_LOGS else TEXTS:
            if name in columns:
                cells = columns[name]
                if cells.count(self.unset) == rows:
                    continue
                is_usual = name in _WORDS and self.unset == "-"
                nothing = (self.unset, self.empty)
                texts[name] = cells if is_usual else _known(cells, nothing)
        if bad:
            keep = [row for row in range(rows) if row not in bad]
            texts = {name: [cells[r] for r in keep] for name, cells in texts.items()}
            numbers = {name: values[keep] for name, values in numbers.items()}
        time_ns = epoch_times_ns(numbers.pop("ts"))
        kind = np.full(len(time_ns), catalogue.kind_of(self.path), np.int16)
        table = Table(
            time_ns=time_ns, kind=kind, texts=texts, numbers=numbers, logs=self.path
        )
        return table, bad


def _known(cells: Sequence[str], nothing: tuple[str, str]) -> Sequence[str]:
    """Return cells with the empty text for those that are unset or empty."""
    if nothing[0] not in cells and nothing[1] not in cells:
        return cells
    return ["" if cell in nothing else cell for cell in cells]


def _top_of(name: str) -> float:
    return LARGEST_PORT if name.endswith("_p") else LARGEST


def _floats(
    cells: Sequence[str], unset: str, top: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return cells as numbers, -1 where unset, and which are no number in [0, top]."""
    is_unset = np.zeros(len(cells), np.bool_)
    known = cells
    if unset in cells:
        is_unset = np.array([cell == unset for cell in cells], np.bool_)
        known = ["-1" if cell == unset else cell for cell in cells]
    # What Zeek writes as a number is one in JSON too, whose decoder is the fastest.
    try:
        decoded = _DECODER.decode(f"[{','.join(known)}]")
        values = np.fromiter(decoded, np.float64, len(decoded))
    except (msgspec.DecodeError, UnicodeEncodeError):
        values = np.zeros(0)
    if len(values) != len(cells):
        values = np.fromiter(map(_float, known), np.float64, len(cells))
    sound = is_unset | ((values >= 0) & (values <= top))
    return np.where(sound, values, -1.0), ~sound


def _float(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
