# SPDX-License-Identifier: Apache-2.0
"""Sanitises log lines and records: what could name somebody is replaced or removed.

``Sanitiser`` reads each format by its fields: each is kept, dropped, made coarser or
given a pseudonym; whatever has no rule goes through the free-text pass. ``line`` takes
one line, ``lines`` a file's lines (it follows the headers of Zeek's tables), ``record``
a decoded record. Each result says what was found, where, and what became of it.

It does NOT talk to anybody, read files or learn: the same line under the same key and
rules gives the same result, in any order. It does NOT find a name that no field,
sentence or shape tells for one; name your own suffixes and fields in ``Rules``.

Rule 1: safe by default. An unknown field or format is free text; a line that is not
what it should be is free text.
Rule 2: the work is linear in the line, the memory bounded by the caches and the line.
Rule 3: no network, no files, no clock.

Source: redaction_fields.py, redaction_patterns.py.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
from typing_extensions import override

from fedxdr.core.errors import TooLarge
from fedxdr.privacy.redaction_fields import ACTIONS, Action, plan_of
from fedxdr.privacy.redaction_places import inside, places
from fedxdr.privacy.redaction_records import Mark, Records, split_syslog
from fedxdr.privacy.redaction_scan import find
from fedxdr.privacy.redaction_tokens import AddressForm, Tokens

Format = Literal[
    "auto", "eve", "zeek-json", "zeek-tsv", "wazuh", "json", "syslog", "text"
]
"""How a line is written; ``auto`` looks at it."""

LINE_LIMIT: Final = 16 * 2**20
"""Most characters of a line."""

_DECODER: Final = msgspec.json.Decoder()
_EMPTY_CELLS: Final = frozenset(["-", "(empty)", ""])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What an organisation adds to the rules of the formats.

    Attributes:
        addresses: how addresses are shown: as ``token``, or as addresses that keep
            shared ``prefix``es.
        suffixes: last labels of its own host names, in lower case (``acme-hq``).
        fields: own rules: (dotted field name, rule); a rule is ``keep``, ``text``,
            ``tree`` or a kind of ``ACTIONS``.
        cache_size: entities, and texts, that are remembered, >= 0.
    """

    addresses: AddressForm = "token"
    suffixes: frozenset[str] = frozenset()
    fields: tuple[tuple[str, str], ...] = ()
    cache_size: int = 131_072


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An entity that was found.

    Attributes:
        kind: what it is.
        begin: its first character in the line that was given.
        end: behind its last: [begin, end).
        action: what became of it.
        field: the dotted name of the field it stood in, empty in plain text.
    """

    kind: str
    begin: int
    end: int
    action: Action
    field: str = ""


class Sanitised(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """A line as it may leave.

    It is made once per line, so it is a ``msgspec`` structure: made in a quarter of the
    time of a frozen dataclass.

    Attributes:
        text: the line.
    """

    text: str
    _source: str
    _marks: list[Mark]
    _columns: tuple[str, ...] | None = None

    @override
    def __repr__(self) -> str:
        return f"Sanitised(text={self.text!r}, count={self.count})"

    @property
    def count(self) -> int:
        """How many entities were found."""
        return len(self._marks)

    @property
    def found(self) -> tuple[Finding, ...]:
        """The entities, by rising position; looked up when asked for."""
        if self._columns is not None:
            spans = list(_cell_spans(self._source, self._columns, self._marks))
        elif self._marks and self._marks[0][0]:
            spans = list(_json_spans(self._source, self._marks))
        else:
            spans = [("", begin, end, kind) for _, kind, begin, end in self._marks]
        return tuple(
            Finding(kind=kind, begin=begin, end=end, action=ACTIONS[kind], field=name)
            for name, begin, end, kind in sorted(spans, key=lambda span: span[1:3])
        )


class Sanitiser:
    """Sanitises under one key.

    Args:
        key: 32 secret bytes, of one organisation and one epoch (``epoch_key``).
        rules: what the organisation adds.

    Raises:
        InvalidSettings: a key of another length, or an own rule that is none.
    """

    def __init__(self, key: bytes, rules: Rules | None = None) -> None:
        self._rules = rules or Rules()
        self._tokens = Tokens(
            key,
            addresses=self._rules.addresses,
            cache_size=self._rules.cache_size,
        )
        self._records = Records(
            self._tokens,
            self._rules.suffixes,
            cache_size=self._rules.cache_size // 4,
        )
        self._plans = {
            log: plan_of(log, own=self._rules.fields)
            for log in ("eve", "wazuh", "json")
        }

    def line(
        self,
        line: bytes | str,
        *,
        format: Format = "auto",  # noqa: A002 - the word of the interface
        columns: tuple[str, ...] = (),
        stream: str = "",
    ) -> Sanitised:
        """Return a line as it may leave.

        Args:
            line: without its end; bytes are read as UTF-8, with U+FFFD for what is
                none. Positions of findings count characters.
            format: how it is written.
            columns: of ``zeek-tsv``, the names after ``#fields``; without them, the
                line is free text.
            stream: name of the Zeek log, where the line does not tell.

        Raises:
            TooLarge: a line above ``LINE_LIMIT`` characters.
        """
        text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
        if len(text) > LINE_LIMIT:
            raise TooLarge(f"a line of {len(text)} characters, at most {LINE_LIMIT}")
        if format == "zeek-tsv":
            return self._cells(text, columns, stream)
        if format not in {"syslog", "text"} and text[:1] == "{":
            try:
                record = _DECODER.decode(text)
                marks: list[Mark] = []
                self._records.planned(record, self._plan(record, format, stream), marks)
                sanitised = msgspec.json.encode(record).decode()
            except (msgspec.MsgspecError, RecursionError, UnicodeError, OverflowError):
                return self._text(text)
            return Sanitised(sanitised, text, marks)
        return self._text(text)

    def lines(
        self,
        lines: Iterable[bytes | str],
        *,
        format: Format = "auto",  # noqa: A002 - the word of the interface
    ) -> Iterator[Sanitised]:
        """Yield a file's lines as they may leave.

        Args:
            lines: without their ends. A header ``#fields`` names the columns of what
                follows, ``#path`` the log.
            format: how they are written.

        Raises:
            TooLarge: as ``line``.
        """
        columns: tuple[str, ...] = ()
        stream = ""
        for line in lines:
            text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
            if text.startswith("#fields\t"):
                columns = tuple(text.split("\t")[1:])
            elif text.startswith("#path\t"):
                stream = text.split("\t")[1]
            elif columns and text[:1] not in {"#", "{"} and "\t" in text:
                yield self.line(text, format="zeek-tsv", columns=columns, stream=stream)
                continue
            yield self.line(text, format=format, stream=stream)

    def record(
        self,
        record: dict[str, Any],
        *,
        format: Format = "json",  # noqa: A002 - the word of the interface
    ) -> tuple[dict[str, Any], tuple[Finding, ...]]:
        """Return a decoded record as it may leave, and what was found.

        Args:
            record: left as it is. Positions of findings count inside each value.
            format: as for ``line``.
        """
        copy: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(record))
        marks: list[Mark] = []
        self._records.planned(copy, self._plan(copy, format, ""), marks)
        return copy, tuple(
            Finding(
                kind=kind,
                begin=begin,
                end=end,
                action=ACTIONS[kind],
                field=_dotted(path),
            )
            for path, kind, begin, end in marks
        )

    def _plan(self, record: object, format: str, stream: str) -> Any:  # noqa: A002, ANN401 - a plan nests itself
        if not isinstance(record, dict):
            return {}
        if format == "auto":
            if "event_type" in record:
                return self._plans["eve"]
            if "rule" in record or "AMiner" in record:
                return self._plans["wazuh"]
            is_zeek = "uid" in record or "_path" in record or "@stream" in record
            format = "zeek-json" if is_zeek else "json"  # noqa: A001 - as above
        if format == "zeek-json":
            name = record.get("_path") or record.get("@stream") or stream
            return plan_of("zeek", str(name)[:32], self._rules.fields)
        return self._plans[format]

    def _text(self, text: str) -> Sanitised:
        pieces: list[str] = []
        marks: list[Mark] = []
        last = 0
        for begin, end, kind in self._hits(text):
            pieces += (text[last:begin], self._tokens.replace(kind, text[begin:end]))
            marks.append(((), kind, begin, end))
            last = end
        pieces.append(text[last:])
        return Sanitised("".join(pieces), text, marks)

    def _hits(self, text: str) -> list[tuple[int, int, str]]:
        """Return the entities of a line of text, that of a syslog header first."""
        head = split_syslog(text)
        if head is None:
            return find(text, self._rules.suffixes)
        return [head, *find(text, self._rules.suffixes, start=head[1])]

    def _cells(self, text: str, columns: tuple[str, ...], stream: str) -> Sanitised:
        cells = text.split("\t")
        if len(cells) != len(columns):
            return self._text(text)
        marks: list[Mark] = []
        for place, rule in self._column_rules(columns, stream):
            cell = cells[place]
            if cell not in _EMPTY_CELLS:
                cells[place] = self._records.cell(cell, rule, place, marks)
        return Sanitised("\t".join(cells), text, marks, columns)

    @functools.lru_cache(maxsize=64)  # noqa: B019 - one sanitiser lives as long as its process
    def _column_rules(
        self, columns: tuple[str, ...], stream: str
    ) -> tuple[tuple[int, str], ...]:
        """Return place and rule of the columns that are not simply kept."""
        plan = plan_of("zeek", stream, self._rules.fields)
        rules = [(place, plan.get(name, "text")) for place, name in enumerate(columns)]
        return tuple(
            (place, rule)
            for place, rule in rules
            if isinstance(rule, str) and rule not in {"keep", "tree"}
        )


def _dotted(path: tuple[str | int, ...]) -> str:
    return ".".join(part for part in path if isinstance(part, str))


def _json_spans(text: str, marks: list[Mark]) -> Iterator[tuple[str, int, int, str]]:
    known = places(text)
    for path, kind, begin, end in marks:
        place = known.get(path)
        if (
            place is None
        ):  # a whole branch of the record: from its first value to its last
            below = [p for key, p in known.items() if key[: len(path)] == path]
            first = min((b for b, _ in below), default=0)
            last = max((e for _, e in below), default=0)
            yield _dotted(path), first, last, kind
        else:
            yield _dotted(path), *inside(text, place, begin, end), kind


def _cell_spans(
    text: str, columns: tuple[str, ...], marks: list[Mark]
) -> Iterator[tuple[str, int, int, str]]:
    starts = [0]
    for cell in text.split("\t"):
        starts.append(starts[-1] + len(cell) + 1)
    for path, kind, begin, end in marks:
        column = path[0]
        if isinstance(column, int):
            start = starts[column]
            yield columns[column], start + begin, start + end, kind
