# SPDX-License-Identifier: Apache-2.0
"""What a world is made of."""

from __future__ import annotations

import datetime as dt

import pytest

from fedxdr.core.errors import InvalidSettings
from fedxdr.simulation.world import EVERY_MIX, START, Sensors, World, cut_time


def test_every_mix_is_there_once() -> None:
    assert len(EVERY_MIX) == len(set(EVERY_MIX)) == len(Sensors) == 5
    assert EVERY_MIX[0] is Sensors.MIXED


def test_times() -> None:
    world = World(organisations=(), cut=START + dt.timedelta(days=1))
    assert world.start_us == int(START.timestamp()) * 1_000_000
    with pytest.raises(InvalidSettings, match="zulu"):
        cut_time(world, "zulu")
