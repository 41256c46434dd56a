# SPDX-License-Identifier: Apache-2.0
"""Times of logs as UTC nanoseconds, many at once.

Suricata writes ``2021-06-06T15:59:46.457984+0200``, always 31 characters; that form is
read column by column. Any other ISO 8601 form is read one by one.

It does NOT guess: a time that does not exist (30 February, 25 o'clock) is not a time.
A time without an offset is taken as UTC.

Source: ISO 8601; Hinnant, "chrono-Compatible Low-Level Date Algorithms",
``days_from_civil``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

SECOND_NS: Final = 1_000_000_000
_WIDTH: Final = len("2021-06-06T15:59:46.457984+0200")
_SEPARATORS: Final = {4: "-", 7: "-", 10: "T", 13: ":", 16: ":", 19: "."}
_PLACES: Final = np.array(list(_SEPARATORS))
_MARKS: Final = np.frombuffer("".join(_SEPARATORS.values()).encode(), np.uint8)
_SIGN: Final = 26
_DIGITS: Final = np.array(
    [place for place in range(_WIDTH) if place not in (*_SEPARATORS, _SIGN)]
)
_DAYS_IN_MONTH: Final = np.array(
    [0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0, 0, 0], np.int64
)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_EARLIEST: Final = dt.datetime(1678, 1, 1, tzinfo=dt.UTC)
_LATEST: Final = dt.datetime(2262, 1, 1, tzinfo=dt.UTC)


def iso_times_ns(
    texts: Sequence[str],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return times and which of them could be read.

    Args:
        texts: n times in ISO 8601.

    Returns:
        (n,) int64 UTC nanoseconds since 1970, 0 where unreadable; (n,) bool, readable.
    """
    rows = len(texts)
    regular = np.fromiter(map(len, texts), np.int64, rows) == _WIDTH
    if regular.all():
        times, sound = _regular(texts)
    else:
        times, sound = np.zeros(rows, np.int64), np.zeros(rows, np.bool_)
        where = np.flatnonzero(regular)
        times[where], sound[where] = _regular([texts[row] for row in where.tolist()])
    for row in np.flatnonzero(~sound).tolist():
        time = _single(texts[row])
        if time is not None:
            times[row], sound[row] = time, True
    return times, sound


def epoch_times_ns(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (n,) int64 nanoseconds for (n,) float64 seconds since 1970.

    Rounded to microseconds, the resolution of Zeek and of float64 until 2242.
    """
    return np.rint(seconds * 1e6).astype(np.int64) * 1000


def _regular(
    texts: Sequence[str],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Read texts of exactly 31 characters."""
    joined = "".join(texts).encode("ascii", "replace")
    cells = np.frombuffer(joined, np.uint8).reshape(len(texts), _WIDTH)
    digits = (cells[:, _DIGITS] - np.uint8(ord("0"))).T
    plus = cells[:, _SIGN] == ord("+")
    sound = (digits <= 9).all(axis=0)
    sound &= (cells[:, _PLACES] == _MARKS).all(axis=1)
    sound &= plus | (cells[:, _SIGN] == ord("-"))
    digit = digits.astype(np.int64)
    year = ((digit[0] * 10 + digit[1]) * 10 + digit[2]) * 10 + digit[3]
    month, day, hour, minute, second = (
        digit[place] * 10 + digit[place + 1] for place in (4, 6, 8, 10, 12)
    )
    micros = np.zeros(len(texts), np.int64)
    for place in range(14, 20):
        micros = micros * 10 + digit[place]
    off_hour, off_minute = (digit[p] * 10 + digit[p + 1] for p in (20, 22))
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    longest = _DAYS_IN_MONTH[np.minimum(month, 15)] - ((month == 2) & ~leap)
    sound &= (year >= _EARLIEST.year) & (year < _LATEST.year)
    sound &= (day >= 1) & (day <= longest)
    sound &= (hour < 24) & (minute < 60) & (second < 60)
    sound &= (off_hour < 24) & (off_minute < 60)
    shift = (off_hour * 60 + off_minute) * np.where(plus, 60, -60)
    of_day = (hour * 60 + minute) * 60 + second - shift
    times = (_days(year, month, day) * 86_400 + of_day) * SECOND_NS + micros * 1000
    return np.where(sound, times, 0), sound


def _days(
    year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Days since 1970-01-01 in the Gregorian calendar (Hinnant, days_from_civil)."""
    shifted = year - (month <= 2)
    era = shifted // 400
    of_era = shifted - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days: NDArray[np.int64] = era * 146_097 + of_era * 365 + of_era // 4
    days += of_year - of_era // 100 - 719_468
    return days


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
