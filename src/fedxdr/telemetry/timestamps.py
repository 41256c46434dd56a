# SPDX-License-Identifier: Apache-2.0
"""Times of logs as UTC nanoseconds, many at once.

Suricata writes ``2021-06-06T15:59:46.457984+0200``, always 31 characters; that form is
read column by column. Any other ISO 8601 form is read one by one.

It does NOT guess: a time that does not exist (30 February, 25 o'clock) is not a time.
A time without an offset is taken as UTC.

Source: ISO 8601; days of months are numpy's, whose calendar is the Gregorian one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

SECOND_NS: Final = 1_000_000_000
_WIDTH: Final = len("2021-06-06T15:59:46.457984+0200")
_TEMPLATE: Final = np.frombuffer(b"0000-00-00T00:00:00.000000+0000", np.uint8)
_LIMIT: Final = np.where(ord("0") == _TEMPLATE, 9, 0).astype(np.uint8)
_STAND_IN: Final = "-" * _WIDTH
_SIGN: Final = 26
_MINUS: Final = ord("+") ^ ord("-")
_LIMIT[_SIGN] = _MINUS
_PAIRS: Final = (0, 2, 5, 8, 11, 14, 17, 20, 22, 24, 27, 29)
"""Places of two digits each: century to minutes of the offset."""
_ROWS: Final = 1024
_TEMPLATES, _LIMITS = np.tile(_TEMPLATE, _ROWS), np.tile(_LIMIT, _ROWS)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_EARLIEST: Final = dt.datetime(1678, 1, 1, tzinfo=dt.UTC)
_LATEST: Final = dt.datetime(2262, 1, 1, tzinfo=dt.UTC)
_FIRST_YEAR: Final = _EARLIEST.year
_MONTHS: Final = np.arange(f"{_FIRST_YEAR}-01", f"{_LATEST.year}-02", dtype="M8[M]")
_MONTH_DAYS: Final = _MONTHS.astype("M8[D]").astype(np.int64)
_MONTH_BEGINS: Final = _MONTH_DAYS[:-1]
"""Days from 1970 to the first of every month in the Gregorian calendar."""
_MONTH_LENGTHS: Final = np.diff(_MONTH_DAYS)


class Moments:
    """Times in ISO 8601 that come some at a time and are read together.

    Texts of Suricata's form are joined as they come, so that none of them is kept.

    Attributes:
        joined: texts of 31 characters each, one behind the other.
        count: how many.
        others: texts of other lengths by number; ``joined`` has a stand-in for each.
    """

    def __init__(self) -> None:
        self.joined: list[str] = []
        self.count = 0
        self.others: dict[int, str] = {}

    def add(self, texts: Sequence[str]) -> None:
        """Add times behind those that are there."""
        if set(map(len, texts)) - {_WIDTH}:
            for number, text in enumerate(texts, self.count):
                if len(text) != _WIDTH:
                    self.others[number] = text
            texts = [text if len(text) == _WIDTH else _STAND_IN for text in texts]
        self.joined.append("".join(texts))
        self.count += len(texts)


def moments_ns(*parts: Moments) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the times of all parts in order, and which of them could be read.

    Returns:
        (n,) int64 UTC nanoseconds since 1970, 0 where unreadable; (n,) bool, readable.
    """
    joined = "".join(text for part in parts for text in part.joined)
    others: dict[int, str] = {}
    begin = 0
    for part in parts:
        others.update((begin + row, text) for row, text in part.others.items())
        begin += part.count
    times, sound = _regular(joined, begin)
    if sound.all():
        return times, sound
    for row in np.flatnonzero(~sound).tolist():
        text = others.get(row) or joined[row * _WIDTH : (row + 1) * _WIDTH]
        time = _single(text)
        if time is not None:
            times[row], sound[row] = time, True
    return times, sound


def iso_times_ns(
    texts: Sequence[str],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return times and which of them could be read.

    Args:
        texts: n times in ISO 8601.

    Returns:
        (n,) int64 UTC nanoseconds since 1970, 0 where unreadable; (n,) bool, readable.
    """
    moments = Moments()
    moments.add(texts)
    return moments_ns(moments)


def epoch_times_ns(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (n,) int64 nanoseconds for (n,) float64 seconds since 1970.

    Rounded to microseconds, the resolution of Zeek and of float64 until 2242.
    """
    return np.rint(seconds * 1e6).astype(np.int64) * 1000


def _regular(joined: str, count: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Read texts of exactly 31 characters, one behind the other."""
    if not count:
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    given = np.frombuffer(joined.encode("ascii", "replace"), np.uint8)
    # Digits become their values and marks zero, all others something larger.
    cells = np.empty_like(given)
    fits = np.empty(len(given), np.bool_)
    for begin in range(0, len(given), len(_TEMPLATES)):
        part = slice(begin, begin + len(_TEMPLATES))
        size = len(given[part])
        np.bitwise_xor(given[part], _TEMPLATES[:size], out=cells[part])
        np.less_equal(cells[part], _LIMITS[:size], out=fits[part])
    pairs = cells[:-1] * np.uint8(10) + cells[1:]
    century, of_century, month, day, hour, minute, second, *rest = (
        pairs[place::_WIDTH].astype(np.int32) for place in _PAIRS
    )
    *micro_pairs, off_hour, off_minute = rest
    sign = cells[_SIGN::_WIDTH]
    is_minus = sign == _MINUS
    sound = is_minus | (sign == 0)
    if not fits.all():
        sound &= fits.reshape(-1, _WIDTH).all(axis=1)
    sound &= (hour < 24) & (minute < 60) & (second < 60)
    sound &= (off_hour < 24) & (off_minute < 60)
    index = (century * 100 + of_century - _FIRST_YEAR) * 12 + month - 1
    sound &= (month >= 1) & (month <= 12) & (index >= 0) & (index < len(_MONTH_LENGTHS))
    index = np.where(sound, index, 0)
    sound &= (day >= 1) & (day <= _MONTH_LENGTHS[index])
    shift = (off_hour * 60 + off_minute) * np.where(is_minus, 60, -60)
    of_day = (hour * 60 + minute) * 60 + second + shift
    micros = (micro_pairs[0] * 100 + micro_pairs[1]) * 100 + micro_pairs[2]
    days = _MONTH_BEGINS[index] + (day - 1)
    times = (days * 86_400 + of_day) * SECOND_NS + micros * np.int64(1000)
    return np.where(sound, times, 0), sound


def _single(text: str) -> int | None:
    """Read one time in any ISO 8601 form; None where it is none."""
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=dt.UTC)
    if not _EARLIEST <= time < _LATEST:
        return None
    return (time - _EPOCH) // dt.timedelta(microseconds=1) * 1000
