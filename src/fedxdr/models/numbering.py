# SPDX-License-Identifier: Apache-2.0
"""Numbers for values and the order of numbers, without comparing and sorting values.

Grouping a stream by node is most of what its features cost, and most of that is
sorting. Values get numbers by hashing, and small numbers are ordered digit by digit:
several times as fast as ``np.unique`` and a sort of int64.

It does NOT keep a table (slots.py does).

Rules that always hold: the same values give the same numbers on every machine; values
are compared whole, so that two never share a number; what two hash functions cannot
keep apart is sorted after all.

Source: multiplicative hashing with a finaliser in the manner of splitmix64, Steele et
al. 2014; least significant digit first, Knuth 1998, section 5.2.5.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.models.graph import NONE, Integers

_FACTORS: Final = (0xBF58476D1CE4E5B9, 0x9E3779B97F4A7C15)
_MIX: Final = 0x94D049BB133111EB
_BITS: Final = (16, 24)
"""Sizes of the tables: the first stays in the cache, and most streams need no other."""

_FEWEST_BITS: Final = 4
_DIGIT: Final = 16


def numbers(values: Integers, asked: Integers) -> tuple[Integers, Integers]:
    """Return one number per distinct value, and those of other values.

    Args:
        values: (n,) int64.
        asked: (q,) int64.

    Returns:
        (n,) int64, in [0, number of distinct values), in an order that means nothing;
        (q,) int64, the number of the same value, ``graph.NONE`` where there is none.
    """
    code, found = np.empty(len(values), np.int64), np.full(len(asked), NONE, np.int64)
    left, wanted = np.arange(len(values)), np.arange(len(asked))
    rest, sought, first = values, asked, 0
    for factor, most in zip(_FACTORS, _BITS, strict=True):
        if not rest.size:
            return code, found
        bits = max(_FEWEST_BITS, min(most, (2 * rest.size).bit_length()))
        cell, table = _hash(rest, factor, bits), np.empty(1 << bits, np.int64)
        is_taken = np.zeros(1 << bits, np.bool_)
        # of several values that want one cell the last has it
        table[cell] = rest
        is_taken[cell] = True
        number = np.cumsum(is_taken) + (first - 1)
        code[left] = number[cell]
        first = int(number[-1]) + 1
        out = np.flatnonzero(table[cell] != rest)
        # a value whose cell nobody took is not there; one of a taken cell may be
        place = _hash(sought, factor, bits)
        may = np.flatnonzero(is_taken[place])
        place, sought, wanted = place[may], sought[may], wanted[may]
        is_same = table[place] == sought
        found[wanted[is_same]] = number[place[is_same]]
        left, rest = left[out], rest[out]
        wanted, sought = wanted[~is_same], sought[~is_same]
    distinct, place = np.unique(rest, return_inverse=True)
    code[left] = first + place
    if distinct.size:
        place = np.minimum(np.searchsorted(distinct, sought), len(distinct) - 1)
        is_same = distinct[place] == sought
        found[wanted[is_same]] = first + place[is_same]
    return code, found


def order(codes: Integers) -> Integers:
    """Return what ``np.argsort(codes, kind="stable")`` does.

    Args:
        codes: (n,) int64 >= 0; the smaller the largest, the faster.

    Raises:
        InvalidTelemetry: a negative code.
    """
    if codes.min(initial=0) < 0:
        raise InvalidTelemetry("codes to order are numbers >= 0")
    found = np.argsort(codes.astype(np.uint16), kind="stable")
    for shift in range(_DIGIT, int(codes.max(initial=0)).bit_length(), _DIGIT):
        digit = (codes >> shift).astype(np.uint16)
        found = found[np.argsort(digit[found], kind="stable")]
    return found


def _hash(values: Integers, factor: int, bits: int) -> Integers:
    mixed = values.view(np.uint64) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    mixed *= np.uint64(_MIX)
    mixed >>= np.uint64(64 - bits)
    return mixed.view(np.int64)
