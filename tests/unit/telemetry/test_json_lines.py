# SPDX-License-Identifier: Apache-2.0
"""A bad line costs one line."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedxdr.telemetry.json_lines import read_json_lines


class Record(msgspec.Struct):
    time: int
    text: str = ""


DECODER = msgspec.json.Decoder(Record)


def times_of(
    records: Sequence[Record],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    times = np.array([record.time for record in records], np.int64)
    return times, times >= 0


GOOD = st.integers(0, 9).map(lambda time: b'{"time":%d,"other":[1]}' % time)
BAD = st.sampled_from(
    [
        b'{"time":1',
        b'{"time":"x"}',
        b"{}",
        b"[]",
        b"\x00",
        b'{"time":-1}',
        b'{"time":1,"text":"\xff"}',
        b'{"time":1,"x":' + b"[" * 5000,
    ]
)


@given(st.lists(st.one_of(GOOD, BAD, st.just(b""), st.just(b"  \r"))))
def test_good_lines_are_read_and_bad_ones_numbered(lines: list[bytes]) -> None:
    records, times, rejected = read_json_lines(
        b"\n".join(lines), DECODER, times_of, first_line=101
    )
    is_good = [line.endswith(b"[1]}") for line in lines]
    assert [r.time for r in records] == times.tolist()
    assert times.tolist() == [
        msgspec.json.decode(line)["time"]
        for line, good in zip(lines, is_good, strict=True)
        if good
    ]
    want = [
        (number, line)
        for number, line in enumerate(lines, 101)
        if line.strip() and not is_good[number - 101]
    ]
    assert [(one.line_number, one.line) for one in rejected] == want


def test_reasons_say_what_is_wrong_and_not_what_was_written() -> None:
    lines = [
        b'{"time":"topsecret"}',
        b"topsecret",
        b'{"time":1,"text":"topsecret\xff"}',
        b'{"time":1,"topsecret":' + b"[" * 5000,
        b'{"time":-1,"text":"topsecret"}',
    ]
    _, _, rejected = read_json_lines(b"\n".join(lines), DECODER, times_of, first_line=1)
    reasons = [one.reason for one in rejected]
    assert reasons == [
        "Expected `int`, got `str` - at `$.time`",
        "not JSON",
        "not UTF-8",
        "nested too deep",
        "its time is not a time",
    ]
