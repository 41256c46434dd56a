# SPDX-License-Identifier: Apache-2.0
"""Connection identifiers from Zeek's uids."""

from __future__ import annotations

import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.telemetry.catalogue import Kind
from fedxdr.telemetry.zeek_table import Table, flow_ids

MASK = (1 << 64) - 1


def by_definition(uid: str) -> int:
    """SplitMix64's finaliser over the words, one after another."""
    raw = uid.encode("utf-8", "replace")
    mixed = 0
    for begin in range(0, len(raw), 8):
        word = int.from_bytes(raw[begin : begin + 8], "little")
        state = mixed ^ word
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & MASK
        mixed = mixed if word == 0 else state ^ (state >> 31)
    return mixed


@given(st.lists(st.text(st.characters(exclude_characters="\x00"), max_size=30)))
def test_identifiers_do_not_depend_on_what_else_is_in_the_log(uids: list[str]) -> None:
    assert flow_ids(uids).tolist() == [by_definition(uid) for uid in uids]


def test_different_uids_differ() -> None:
    uids = [f"C{n:017d}" for n in range(50_000)]
    assert len(set(flow_ids(uids).tolist())) == len(uids)
    assert flow_ids([""]).tolist() == [0]
    assert flow_ids([]).dtype == np.uint64


def test_fields_that_are_absent_are_not_known() -> None:
    table = Table(
        time_ns=np.array([5, 6]),
        kind=np.full(2, Kind.FLOW, np.int16),
        texts={"id.orig_h": ["a", "a"], "id.resp_h": ["b", ""]},
        numbers={"orig_bytes": np.array([7.0, 8.0])},
    )
    events = table.events(lambda text: zlib.crc32(text.encode()))
    assert events.time_ns.tolist() == [5]
    assert events.bytes_out.tolist() == [7]
    assert events.bytes_in.tolist() == [-1]
    assert events.flow_id.tolist() == [0]
