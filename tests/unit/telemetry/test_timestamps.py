# SPDX-License-Identifier: Apache-2.0
"""Times, against the standard library's own reading."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.telemetry.timestamps import (
    Moments,
    epoch_times_ns,
    iso_times_ns,
    moments_ns,
)

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(
    lambda minutes: dt.timezone(dt.timedelta(minutes=minutes))
)
MOMENTS = st.datetimes(
    min_value=dt.datetime(1680, 1, 1),  # noqa: DTZ001 - the zone is drawn beside it
    max_value=dt.datetime(2260, 1, 1),  # noqa: DTZ001 - the zone is drawn beside it
    timezones=OFFSETS,
)


def suricata(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f%z")


@given(st.lists(MOMENTS, max_size=8))
def test_suricata_times_are_read_as_the_standard_library_does(
    moments: list[dt.datetime],
) -> None:
    times, sound = iso_times_ns([suricata(moment) for moment in moments])
    assert sound.all()
    microsecond = dt.timedelta(microseconds=1)
    assert times.tolist() == [(m - EPOCH) // microsecond * 1000 for m in moments]


@given(st.lists(st.one_of(st.text(max_size=32), MOMENTS.map(suricata)), max_size=6))
def test_anything_else_is_no_time_or_the_time_the_standard_library_reads(
    texts: list[str],
) -> None:
    times, sound = iso_times_ns(texts)
    for text, time, is_sound in zip(texts, times, sound, strict=True):
        if is_sound:
            moment = dt.datetime.fromisoformat(text)
            moment = moment.replace(tzinfo=moment.tzinfo or dt.UTC)
            assert time == (moment - EPOCH) // dt.timedelta(microseconds=1) * 1000
        else:
            assert time == 0


@pytest.mark.parametrize(
    "text",
    [
        "2021-02-30T15:59:46.457984+0200",
        "2021-02-29T15:59:46.457984+0200",
        "1900-02-29T15:59:46.457984+0200",
        "2021-13-01T15:59:46.457984+0200",
        "2021-00-10T15:59:46.457984+0200",
        "2021-06-06T24:59:46.457984+0200",
        "2021-06-06T15:60:46.457984+0200",
        "2021-06-06T15:59:46.457984+9900",
        "2021-06-06T15:59:46.45798x+0200",
        "2021-06-06T15:59:46.457984*0200",
        "9999-06-06T15:59:46.457984+0200",
        "0001-01-01T00:00:00",
        "yesterday",
        "",
    ],
)
def test_a_time_that_does_not_exist_is_no_time(text: str) -> None:
    times, sound = iso_times_ns(["2024-02-29T00:00:00.000000+0000", text])
    assert sound.tolist() == [True, False]
    assert times.tolist() == [1_709_164_800_000_000_000, 0]


def test_other_forms_and_the_missing_zone() -> None:
    times, sound = iso_times_ns(
        ["2019-01-02T03:50:11.315110", "2019-01-02T03:50:11Z", "2019-01-02T05:50:11+02"]
    )
    assert sound.all()
    assert times.tolist() == [
        1_546_401_011_315_110_000,
        1_546_401_011_000_000_000,
        1_546_401_011_000_000_000,
    ]


def test_epoch_seconds_are_exact_to_the_microsecond() -> None:
    seconds = np.array([0.0, 22.335172, 1588205199.82437, 1521911720.865716])
    assert epoch_times_ns(seconds).tolist() == [
        0,
        22_335_172_000,
        1_588_205_199_824_370_000,
        1_521_911_720_865_716_000,
    ]


def test_texts_are_never_read_across_their_ends() -> None:
    """Thirty and thirty-two characters are as many as twice thirty-one."""
    good = "2021-06-06T15:59:46.457984+0200"
    times, sound = iso_times_ns([good[:-1], good[-1] + good, good])
    assert sound.tolist() == [False, False, True]
    assert times.tolist() == [0, 0, 1_622_987_986_457_984_000]


def test_more_times_than_are_read_at_once() -> None:
    good = [f"2021-06-06T15:59:46.{n:06d}+0200" for n in range(5000)]
    bad = [*good[:3000], "2021-06-06T15:59:46.4579x4+0200", *good[3000:]]
    for texts in (good, bad):
        times, sound = iso_times_ns(texts)
        base = 1_622_987_986_000_000_000
        assert times[sound].tolist() == [base + n * 1000 for n in range(5000)]
    assert np.flatnonzero(~sound).tolist() == [3000]


@given(st.lists(st.lists(st.one_of(st.text(max_size=32), MOMENTS.map(suricata)))))
def test_times_that_come_in_parts_are_the_same(parts: list[list[str]]) -> None:
    whole = iso_times_ns([text for part in parts for text in part])
    several = [Moments() for _ in parts]
    for moments, part in zip(several, parts, strict=True):
        moments.add(part[:2])
        moments.add(part[2:])
    for got, want in zip(moments_ns(*several), whole, strict=True):
        np.testing.assert_array_equal(got, want)
