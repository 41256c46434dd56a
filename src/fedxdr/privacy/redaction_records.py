# SPDX-License-Identifier: Apache-2.0
"""Sanitises decoded records and cells of tables by the rules of their fields.

It does NOT know formats' fields (redaction_fields.py) and does not decode or encode
(redaction.py).

Rule 1: a value of another type than its rule expects is treated as unknown.
Rule 2: an unknown field is of the kind that its name tells, or else free text; a number
in it may be a card's; a key in it may be an entity too.
Rule 3: below ``MOST_LEVELS`` levels a record is content, and dropped.

Source: redaction_fields.py.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final

from fedxdr.privacy.redaction_fields import ACTIONS, KEEP, TREE, Plan
from fedxdr.privacy.redaction_names import is_plain_word, kind_of_key
from fedxdr.privacy.redaction_places import KEY, Path
from fedxdr.privacy.redaction_scan import Hit, find
from fedxdr.privacy.redaction_tokens import Tokens, is_address
from fedxdr.privacy.redaction_values import is_card, kind_of_name

Mark = tuple[Path, str, int, int]
"""A finding: path of the value, kind, and characters [begin, end) inside the value."""

MOST_LEVELS: Final = 32
_TEXT_CACHED: Final = 512
"""Longest text whose result is remembered."""
_SIMPLE_KEY: Final = re.compile(r"[A-Za-z_@#-][\w@#-]{0,63}")
_ENTITIES: Final = frozenset(ACTIONS) - {"content"}
_NAMES: Final = frozenset(["user", "host", "account"])
_LOCAL_RULES: Final = range(1_000_000, 2_000_000)
_SYSLOG: Final = re.compile(
    r"(?:<[0-9]{1,3}>)?(?:1 )?"
    r"(?:[A-Z][a-z]{2} [ 0-9][0-9] (?:[0-9]{4} )?[0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?)"
    r" ([0-9A-Za-z][\w.:-]{0,253}+)"
    r"(?= (?:[A-Za-z_(/-][\w./()@+ -]{0,63}?(?:\[[0-9]{1,9}\])?:"
    r"| ?-- |[\w.-]{1,48} [0-9-]))"
)


def split_syslog(text: str) -> Hit | None:
    """Return where the host of a syslog header stands, or None without one.

    Args:
        text: a line in the form of RFC 3164 or RFC 5424.
    """
    head = _SYSLOG.match(text)
    if head is None:
        return None
    return (*head.span(1), "address" if is_address(head[1]) else "host")


class Records:
    """Sanitises values in place.

    Args:
        tokens: what stands for entities.
        suffixes: last labels of the organisation's own names.
        cache_size: texts whose result is remembered, >= 0.
    """

    def __init__(
        self, tokens: Tokens, suffixes: frozenset[str], *, cache_size: int
    ) -> None:
        self._replace = tokens.replace
        self._suffixes = suffixes
        self._remembered = functools.lru_cache(maxsize=cache_size)(self._text)
        self._named = functools.lru_cache(maxsize=cache_size)(self._resolve)

    def planned(
        self, record: dict[str, Any], plan: Plan, marks: list[Mark], path: Path = ()
    ) -> None:
        """Sanitise an object by its plan.

        Args:
            record: an object; changed in place.
            plan: rules of its fields.
            marks: what is found is added here.
            path: where the object stands.
        """
        rule_of, named = plan.get, self._named
        removed: list[tuple[str, str]] = []
        for key, value in record.items():
            rule = rule_of(key)
            if rule is KEEP:
                if value.__class__ is dict or value.__class__ is list:
                    record[key] = self.unknown(key, value, (*path, key), marks)
            elif rule is TREE:
                continue
            elif value.__class__ is str and rule in _ENTITIES:
                kind, new = named(value, rule)
                if kind:
                    marks.append(((*path, key), kind, 0, len(value)))
                    record[key] = new
            elif isinstance(rule, str):
                if rule == "content":
                    length = len(value) if isinstance(value, str) else 0
                    marks.append(((*path, key), "content", 0, length))
                    removed.append((key, ""))
                elif rule != "signature" or not self._is_public(record):
                    record[key] = self._ruled(value, rule, (*path, key), marks)
            elif rule is not None and isinstance(value, dict):
                self.planned(value, rule, marks, (*path, key))
            elif rule is not None and isinstance(value, list):
                for place, item in enumerate(value):
                    where = (*path, key, place)
                    if isinstance(item, dict):
                        self.planned(item, rule, marks, where)
                    else:
                        value[place] = self.unknown(key, item, where, marks)
            else:
                record[key] = self.unknown(key, value, (*path, key), marks)
                if not _SIMPLE_KEY.fullmatch(key):
                    name = self._text_marked(key, (*path, key, KEY), marks)
                    if name != key:
                        removed.append((key, name))
        for key, name in removed:
            value = record.pop(key)
            if name:
                record[name] = value

    def unknown(self, key: str, value: Any, path: Path, marks: list[Mark]) -> Any:  # noqa: ANN401 - JSON in, JSON out
        """Return the value of a field without a rule, sanitised."""
        if isinstance(value, str):
            kind = kind_of_key(key) if key else ""
            if not kind:
                return self._text_marked(value, path, marks)
            return self._told(value, kind, key, path, marks)
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            kind = kind_of_key(key) if key else ""
            is_number = kind in {"secret", "phone"} and value >= 10_000
            if is_number or (value >= 10**11 and is_card(str(value))):
                kind = kind if is_number else "card"
                marks.append((path, kind, 0, len(str(value))))
                return self._replace(kind, str(value))
            return value
        if len(path) > MOST_LEVELS:
            marks.append((path, "content", 0, 0))
            return self._replace("content", "")
        if isinstance(value, list):
            return [
                self.unknown(key, item, (*path, place), marks)
                for place, item in enumerate(value)
            ]
        return {
            (
                below
                if _SIMPLE_KEY.fullmatch(below)
                else self._text_marked(below, (*path, below, KEY), marks)
            ): self.unknown(below, item, (*path, below), marks)
            for below, item in value.items()
        }

    def cell(self, cell: str, rule: str, place: int, marks: list[Mark]) -> str:
        """Return a cell of a table, sanitised.

        Args:
            cell: the text; a set or vector is comma-separated.
            rule: of its column.
            place: its number.
            marks: what is found is added here.
        """
        if rule == "text":
            return self._text_marked(cell, (place,), marks)
        if "," not in cell or rule in {"content", "url", "secret", "file"}:
            return str(self._valued(cell, rule, (place,), marks, 0))
        if rule == "certificate" and "=" in cell:  # a distinguished name has commas
            return str(self._valued(cell, rule, (place,), marks, 0))
        parts, at = [], 0
        for part in cell.split(","):
            parts.append(str(self._valued(part, rule, (place,), marks, at)))
            at += len(part) + 1
        return ",".join(parts)

    def _is_public(self, record: dict[str, Any]) -> bool:
        """Return whether an alert's rule is published, not the organisation's own."""
        number = record.get("signature_id")
        return isinstance(number, int) and number not in _LOCAL_RULES

    def _ruled(self, value: Any, rule: str, path: Path, marks: list[Mark]) -> Any:  # noqa: ANN401 - JSON in, JSON out
        if isinstance(value, str):
            if rule in {"text", "signature"}:
                return self._text_marked(value, path, marks)
            return self._valued(value, rule, path, marks, 0)
        if isinstance(value, list):
            return [
                self._ruled(item, rule, (*path, place), marks)
                for place, item in enumerate(value)
            ]
        if isinstance(value, dict) or rule in {"text", "signature"}:
            return self.unknown("", value, path, marks)
        if value is None or isinstance(value, bool):
            return value
        return self._valued(str(value), rule, path, marks, 0)

    def _valued(
        self, value: str, rule: str, path: Path, marks: list[Mark], at: int
    ) -> str:
        """Return what stands for a value that its field says is an entity."""
        kind, replacement = self._named(value, rule)
        if kind:
            marks.append((path, kind, at, at + len(value)))
        return replacement

    def _resolve(self, value: str, rule: str) -> tuple[str, str]:
        """Return kind and replacement of a value by its rule."""
        kind = rule
        if not value:
            return "", value
        if rule == "host":
            if is_address(value):
                kind = "address"
            elif value.startswith("TXT "):
                kind = "content"
        elif rule == "address" and not is_address(value):
            kind = "host"
        elif rule == "user" and is_plain_word(value):
            return "", value
        return kind, self._replace(kind, value)

    def _told(
        self, value: str, kind: str, key: str, path: Path, marks: list[Mark]
    ) -> str:
        """Return the value of a field whose name tells its kind."""
        if kind in _NAMES:
            kind = kind_of_name(kind, value, key.lower())
            if not kind or (kind == "host" and " " in value):
                return self._text_marked(value, path, marks)
            if kind == "host" and is_address(value):
                kind = "address"
        elif kind == "phone" and not any(map(str.isdigit, value)):
            return value
        if value:
            marks.append((path, kind, 0, len(value)))
            return self._replace(kind, value)
        return value

    def _text_marked(self, text: str, path: Path, marks: list[Mark]) -> str:
        """Return a text after the free-text pass."""
        if len(text) <= _TEXT_CACHED:
            result, hits = self._remembered(text)
        else:
            result, hits = self._text(text)
        for begin, end, kind in hits:
            marks.append((path, kind, begin, end))
        return result

    def _text(self, text: str) -> tuple[str, tuple[Hit, ...]]:
        head = split_syslog(text)
        hits = find(text, self._suffixes, start=head[1] if head else 0)
        if head is not None:
            hits.insert(0, head)
        pieces: list[str] = []
        last = 0
        for begin, end, kind in hits:
            pieces += (text[last:begin], self._replace(kind, text[begin:end]))
            last = end
        return "".join([*pieces, text[last:]]), tuple(hits)
