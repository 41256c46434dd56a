# SPDX-License-Identifier: Apache-2.0
"""Where each value of a JSON line stands in its text.

Records are sanitised decoded, which is fast and exact; only who asks where a finding
stands pays for looking it up. ``places`` walks the text once and says for each value
and key which characters it takes; ``inside`` maps positions of a decoded string to
positions in its escaped form.

It does NOT check that the text is JSON: that was done when it was decoded.

Rule: the work is linear; the tokens' pattern never gives back.

Source: RFC 8259, sections 2 and 7.
"""

from __future__ import annotations

import re
from typing import Final

Path = tuple[str | int, ...]
"""Keys and list positions from the record down; a key itself ends in ``KEY``."""

KEY: Final = -1
"""Last part of the path of a key (not of its value)."""

_TOKEN: Final = re.compile(
    r'"((?:[^"\\]++|\\.)*+)"|[{}\[\],:]|[^\s{}\[\],:"]++', re.DOTALL
)
_CHARACTER: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|.",
    re.DOTALL,
)


def places(text: str) -> dict[Path, tuple[int, int]]:
    """Return where each text, number, truth value and key stands.

    Args:
        text: a JSON value. Of a key that occurs twice, the last one counts.
    """
    result: dict[Path, tuple[int, int]] = {}
    levels: list[str | int] = []
    is_key = False
    for found in _TOKEN.finditer(text):
        sign = found.group()
        match sign:
            case "{":
                levels.append("")
                is_key = True
            case "[":
                levels.append(0)
                is_key = False
            case "}" | "]":
                if levels:
                    levels.pop()
            case ",":
                is_key = bool(levels) and isinstance(levels[-1], str)
                if levels and isinstance(levels[-1], int):
                    levels[-1] += 1
            case ":":
                is_key = False
            case _:
                span = found.span(1) if sign[0] == '"' else found.span()
                if is_key and levels and sign[0] == '"':
                    levels[-1] = _decoded(found[1])
                    result[(*levels, KEY)] = span
                else:
                    result[tuple(levels)] = span
    return result


def inside(text: str, place: tuple[int, int], begin: int, end: int) -> tuple[int, int]:
    """Return where characters [begin, end) of a decoded string stand in the line.

    Args:
        text: the line.
        place: where the string stands, without its quotes.
        begin: position in the decoded string.
        end: likewise, behind the last.
    """
    first, last = place
    if "\\" not in text[first:last]:
        return first + begin, first + end
    starts = [m.start() for m in _CHARACTER.finditer(text, first, last)] + [last]
    return starts[min(begin, len(starts) - 1)], starts[min(end, len(starts) - 1)]


def _decoded(raw: str) -> str:
    if "\\" not in raw:
        return raw
    return _CHARACTER.sub(lambda found: _character(found.group()), raw)


def _character(raw: str) -> str:
    if raw.startswith("\\u"):
        units = bytes.fromhex(raw.replace("\\u", ""))
        return units.decode("utf-16-be", "replace")
    if raw.startswith("\\"):
        return {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}.get(
            raw[1], raw[1]
        )
    return raw
