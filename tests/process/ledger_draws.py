# SPDX-License-Identifier: Apache-2.0
"""Seeded changes of bytes, of JSON's spelling and of JSON values."""

from __future__ import annotations

import base64
import copy
import re
from typing import Any

import numpy as np

from fedxdr.core.ids import sha256

TEXTS = (
    "",
    "none",
    "constructor",
    "__proto__",
    "alpha",
    "zulu",
    "é",
    "\ue000\U0001f600",
    "a\u0301",
    "\u200b",
    "\x7f",
    "\u2028",
    "x" * 500,
    "\U0001f600" * 500,
    "x" * 501,
    "a-",
    "0" * 64,
    "F" * 64,
    "2026-01-02T03:04:05.500000Z",
    "2026-01-02T03:04:05.5Z",
    "2026-01-02T03:04:05+00:00",
    "2024-02-29T00:00:00Z",
    "2026-02-29T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "bW9kZWw=",
)
NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    0.5,
    -0.5,
    1e-7,
    1e20,
    1e21,
    1.5e300,
    2**53 - 1,
    2**53,
    2**64,
    5e-324,
    127,
    128,
)
OTHERS = (None, True, False, [], {}, "1", 1, [[[]]], {"a": 1})


class Draw:
    """Seeded choices."""

    def __init__(self, seed: int) -> None:
        self._numbers = np.random.default_rng(seed)

    def below(self, bound: int) -> int:
        return int(self._numbers.integers(bound))

    def of(self, options: Any) -> Any:
        found = list(options)
        return found[self.below(len(found))]

    def once_in(self, times: int) -> bool:
        return self.below(times) == 0


def changed_bytes(draw: Draw, data: bytes) -> bytes:
    found = bytearray(data)
    at = draw.below(len(found))
    match draw.below(6):
        case 0:
            found[at] ^= 1 << draw.below(8)
        case 1:
            found[at] = draw.below(256)
        case 2:
            del found[at : at + draw.of((1, 1, 2, 100))]
        case 3:
            found[at:at] = draw.of((b" ", b"\n", b"0", b'"', b"\xff", b"\\u0041", b"["))
        case 4:
            del found[at:]
        case _:
            found += draw.of((b"\n", b" ", bytes(found[at:])))
    return bytes(found)


SPELLINGS = (
    (rb":", b": "),
    (rb"\}\]", b"} ]"),
    (rb"(\d)([,}])", rb"\1.0\2"),
    (rb"([1-9])([,}])", rb"\1e0\2"),
    (rb":0([,}])", rb":-0\1"),
    (rb'"a', rb'"\\u0061'),
    (rb'("[a-z_]+":)([^,{}\[\]]+)', rb"\1\2,\1\2"),
    (rb"/", rb"\\/"),
    (rb'"', b'"\xff'),
    (rb'"', rb'"\\ud800'),
    (rb'"', rb'"\\ud83d\\ude00'),
    (rb'"', b'"\x7f'),
    (rb'"', b'"\x01'),
    (rb",", b",,"),
    (rb"([\[{])", rb"\1 "),
    (rb":[^,]+,", b":" + b"[" * 3000 + b"]" * 3000 + b","),
    (rb":[^,]+,", b":" + b"[" * 40 + b"]" * 40 + b","),
)


def respelled(draw: Draw, data: bytes) -> bytes:
    """Return JSON spelled otherwise in one place; often no JSON at all."""
    pattern, other = draw.of(SPELLINGS)
    places = list(re.finditer(pattern, data))
    if not places:
        return data + b" "
    at = draw.of(places)
    return data[: at.start()] + at.expand(other) + data[at.end() :]


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _paths(inner, (*path, key))
    if isinstance(value, list):
        for at, inner in enumerate(value):
            found += _paths(inner, (*path, at))
    return found


def changed_value(draw: Draw, value: Any, *, within: tuple[str, ...] = ()) -> Any:
    """Return a JSON value with one value in it changed, under one of these keys."""
    found = copy.deepcopy(value)
    paths = _paths(found)[1:]
    few = [
        path
        for path in paths
        if path[0] in within and (len(path) > 1 or isinstance(found[path[0]], str))
    ]
    *way, last = draw.of(few or paths)
    inside = found
    for step in way:
        inside = inside[step]
    old = inside[last]
    if draw.once_in(8):
        inside[last] = draw.of(OTHERS)
    elif isinstance(inside, dict) and draw.once_in(8):
        new = draw.of((last.upper(), *TEXTS[:8]))
        inside[new] = inside.pop(last) if draw.once_in(2) else old
    elif draw.once_in(8):
        del inside[last]
    else:
        inside[last] = _other(draw, old)
    return found


def _other(draw: Draw, old: Any) -> Any:
    match old:
        case bool():
            return not old
        case int() | float():
            return draw.of((*NUMBERS, old + 1, old - 1, old * 2, old * 1.5))
        case str() if draw.once_in(5):
            return draw.of(TEXTS)
        case str() if not draw.once_in(4) and (found := _alike(draw, old)) != old:
            return found
        case str() if old:
            at = draw.below(len(old))
            letter = draw.of("abcdef019Az-=+/ ")
            return draw.of(
                (old[:at] + letter + old[at + 1 :], old + letter, old[:-1], old[::-1])
            )
        case list() if old:
            return draw.of(
                (old[:-1], old[1:], old[::-1], [*old, old[0]], [*old, "zulu"], [])
            )
        case dict() if old:
            key = draw.of(old)
            return draw.of(
                ({}, {key: old[key]}, old | {"zulu": old[key]}, old | {"é": 1})
            )
        case _:
            return draw.of((*OTHERS, *TEXTS[:6], *NUMBERS[:4]))


def _alike(draw: Draw, old: str) -> str:
    """Return another text of the same form, so that it is read and then judged."""
    if re.fullmatch("[0-9a-f]{64}", old):
        return draw.of((sha256(old.encode()), sha256(b"model 0"), "0" * 64))
    if re.fullmatch(r"\d{4}-.*Z", old):
        return draw.of((old.replace("2026", "2025"), old.replace("2026", "2027")))
    if re.fullmatch("(?:[A-Za-z0-9+/]{4}){10,}.*", old):
        data = bytearray(base64.b64decode(old))
        data[draw.below(len(data))] ^= 1 << draw.below(8)
        return base64.b64encode(data).decode()
    return draw.of(("alpha", "bravo", "charlie", "zulu", "none", "rejected", old + "x"))
