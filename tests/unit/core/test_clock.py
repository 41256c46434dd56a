# SPDX-License-Identifier: Apache-2.0
"""Two clocks, both in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from fedxdr.core.clock import ManualClock, SystemClock


def test_the_system_clock_tells_utc():
    first, second = SystemClock().now(), SystemClock().now()
    assert first.utcoffset() == timedelta(0)
    assert first <= second
    assert abs(first - datetime.now(UTC)) < timedelta(minutes=1)  # noqa: TID251 - held against it


def test_the_manual_clock_stands_until_it_is_moved():
    start = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    clock = ManualClock(start)
    assert clock.now() == clock.now() == start
    assert clock.now().utcoffset() == timedelta(0)
    clock.advance(seconds=1.5)
    assert clock.now() - start == timedelta(seconds=1.5)
    clock.advance(seconds=0)
    assert clock.now() - start == timedelta(seconds=1.5)


def test_it_does_not_run_backwards():
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(seconds=-0.001)
    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
