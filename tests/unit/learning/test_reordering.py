# SPDX-License-Identifier: Apache-2.0
"""Events come out once, sorted; what is too late or too far ahead is counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning.reordering import LONGEST_AHEAD_NS, Reordering
from fedxdr.telemetry.event import Events

SECOND = 10**9
DAY_S = 86_400


def at(*seconds, begin=0):
    """Return events at these times, each named by its place in its source."""
    return Events.build(
        len(seconds),
        {
            "time_ns": np.array(seconds, np.int64) * SECOND,
            "source": begin + np.arange(len(seconds)),
        },
    )


def times(events):
    return (events.time_ns // SECOND).tolist()


@given(
    st.lists(st.lists(st.integers(0, 50), max_size=8), max_size=8),
    st.integers(0, 60),
    st.integers(0, 20),
)
def test_each_event_comes_out_once_in_sorted_blocks(blocks, lateness, most):
    waiting = Reordering(lateness, most_held=most)
    came, out = 0, []
    for block in blocks:
        out.append(waiting.push(at(*block, begin=came), now_ns=0))
        came += len(block)
        assert len(waiting) <= most
    out.append(waiting.flush())
    assert len(waiting) == 0
    assert all(events.is_sorted for events in out)
    whole = Events.concatenate(out)
    assert sorted(whole.source.tolist()) == list(range(came))
    # late ones, and no others, stand behind a newer event of a block before
    newest, late = -1, 0
    for events in out:
        late += int((events.time_ns < newest).sum())
        newest = max(newest, int(events.time_ns.max(initial=-1)))
    assert waiting.late == late
    if lateness >= 50 and most >= came:
        assert late == 0
        assert whole.is_sorted
        # equal times come out as they arrived
        order = np.lexsort((whole.source, whole.time_ns))
        assert order.tolist() == list(range(came))


def test_events_wait_for_their_turn_in_the_streams_own_time():
    waiting = Reordering(10)
    assert times(waiting.push(at(100, 103), now_ns=0)) == []
    assert times(waiting.push(at(95), now_ns=0)) == []
    assert times(waiting.push(at(112), now_ns=0)) == [95, 100]
    assert (len(waiting), waiting.late) == (2, 0)
    assert times(waiting.push(at(99), now_ns=0)) == [99]
    assert waiting.late == 1
    assert times(waiting.flush()) == [103, 112]


def test_without_lateness_events_go_through_at_once():
    waiting = Reordering(0)
    assert times(waiting.push(at(3, 1, 2), now_ns=0)) == [1, 2, 3]
    assert len(waiting) == 0


def test_a_time_far_ahead_is_refused_and_does_not_pin_the_stream():
    waiting = Reordering(0)
    now_ns = 1000 * SECOND
    wrong = at(1, 1000 + DAY_S, 1001 + DAY_S, 2**33)
    assert times(waiting.push(wrong, now_ns=now_ns)) == [1, 1000 + DAY_S]
    assert (waiting.refused, waiting.late) == (2, 0)
    assert LONGEST_AHEAD_NS == DAY_S * SECOND


def test_only_refused_events_leave_nothing():
    waiting = Reordering(5)
    assert len(waiting.push(at(2**33), now_ns=0)) == 0
    assert (waiting.refused, len(waiting), len(waiting.flush())) == (1, 0, 0)


@pytest.mark.parametrize(
    "wrong", [{"lateness_s": -1}, {"lateness_s": np.inf}, {"lateness_s": np.nan}]
)
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(InvalidTelemetry):
        Reordering(**wrong)
    with pytest.raises(InvalidTelemetry):
        Reordering(1, most_held=-1)
