# SPDX-License-Identifier: Apache-2.0
"""The world: who is hit when, what is written, and that it repeats."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from fedxdr.core.errors import InvalidSettings, MalformedMessage
from fedxdr.intake import read
from fedxdr.privacy import Pseudonymiser
from fedxdr.simulation import (
    ALL_TECHNIQUES,
    EVERY_MIX,
    Sensors,
    cut_time,
    generate,
    read_truth,
    write,
)
from fedxdr.simulation.campaign import CAMPAIGN_TECHNIQUES, COLLECTION
from fedxdr.simulation.traffic import Organisation, World
from fedxdr.telemetry import Events, Kind

NAMES = ["alpha", "bravo", "charlie", "delta", "echo"]


@pytest.fixture(scope="module")
def world() -> World:
    return generate(organisations=NAMES, seed=1)


def campaign_times(one: Organisation) -> np.ndarray:
    return np.concatenate(
        [part.start_s[part.label == 1] for part in (one.border, one.inside)]
    )


def taken(world: World, folder: Path) -> dict[str, tuple[Events, Events]]:
    """Events with weak and with true labels, by organisation."""
    result = {}
    for number, (name, files) in enumerate(write(world, folder).items()):
        tokenise = Pseudonymiser(bytes([number] * 32)).address
        intake = read([files.eve, files.conn], tokenise=tokenise)
        assert intake.rejected == 0
        events = intake.events
        result[name] = events, read_truth(files.truth).applied_to(events)
    return result


def test_the_campaign_reaches_one_after_another(world: World) -> None:
    cut_s = 24 * 3600
    times = [campaign_times(one) for one in world.organisations]
    firsts = [float(found.min()) for found in times]
    assert firsts == sorted(firsts)
    past = [int((found < cut_s).sum()) for found in times]
    future = [int((found >= cut_s).sum()) for found in times]
    assert past[0] > 300
    assert past[1] > 300
    assert 0 < past[2] < past[1]
    assert past[3] == past[4] == 0
    assert min(future) > 150


def test_the_files_say_what_happened_and_no_more(world: World, tmp_path: Path) -> None:
    cut_ns = int(world.cut.timestamp()) * 10**9
    for weak, true in taken(world, tmp_path).values():
        assert 8_000 < len(weak) < 13_500
        assert {Kind.FLOW, Kind.DNS, Kind.HTTP, Kind.TLS, Kind.ALERT} == set(
            weak.kind.tolist()
        )
        assert not (true.label == -1).any()
        past = weak.time_ns < cut_ns
        campaign = true.label == 1
        found = weak.label == 1
        # Nothing tells of the campaign's future, most of its past is labelled, and
        # false alarms are few everywhere.
        assert not (found & campaign & ~past).any()
        if (campaign & past).any():
            share = found[campaign & past].mean()
            assert 0.8 < share < 0.97
        assert 0 < (found & ~campaign).sum() < 0.01 * len(weak)
        named = {true.techniques[index] for index in true.technique[campaign]}
        assert named <= set(CAMPAIGN_TECHNIQUES)
        assert not (weak.label == 0).any(), "no sensor calls anything benign"


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for folder, seed in (("one", 3), ("two", 3), ("other", 4)):
        write(
            generate(organisations=["alpha", "bravo"], seed=seed, hours=24),
            tmp_path / folder,
        )
    for name in ("alpha/eve.json", "bravo/conn.log", "bravo/truth.csv"):
        one = (tmp_path / "one" / name).read_bytes()
        assert one == (tmp_path / "two" / name).read_bytes()
        assert one != (tmp_path / "other" / name).read_bytes()


def test_connections_are_told_apart(world: World) -> None:
    for one in world.organisations:
        assert len(set(one.flow_id.tolist())) == len(one.border)
        assert len(set(one.uids)) == len(one.inside)


def test_a_private_intrusion_takes_the_campaign_s_place() -> None:
    world = generate(organisations=NAMES[:3], seed=2, private_campaign_at="bravo")
    for one in world.organisations:
        techniques = set(one.border.technique) | set(one.inside.technique)
        if one.name == "bravo":
            assert techniques == {"", COLLECTION}
            assert campaign_times(one).min() >= 24 * 3600
        else:
            assert COLLECTION not in techniques


def test_the_cut(world: World) -> None:
    assert cut_time(world, "echo") == dt.datetime(2025, 3, 4, tzinfo=dt.UTC)
    with pytest.raises(InvalidSettings, match="zulu"):
        cut_time(world, "zulu")


def test_worlds_that_cannot_be() -> None:
    for names in ([], ["alpha", "alpha"], [f"o{n}" for n in range(201)]):
        with pytest.raises(InvalidSettings, match="1 to 200"):
            generate(organisations=names, seed=1)
    for hours in (3, float("nan"), float("inf")):
        with pytest.raises(InvalidSettings, match="24 hours"):
            generate(organisations=["alpha"], seed=1, hours=hours)
    with pytest.raises(InvalidSettings, match="seed"):
        generate(organisations=["alpha"], seed=-1)
    with pytest.raises(InvalidSettings, match="zulu"):
        generate(organisations=["alpha"], seed=1, private_campaign_at="zulu")
    with pytest.raises(InvalidSettings, match="T1486"):
        generate(organisations=["alpha"], seed=1, techniques=["T0000"])
    with pytest.raises(InvalidSettings, match="T1486"):
        generate(organisations=["alpha"], seed=1, techniques=[])
    with pytest.raises(InvalidSettings, match="sensors"):
        generate(organisations=["alpha"], seed=1, sensors=[])
    with pytest.raises(MalformedMessage):
        generate(organisations=["../etc"], seed=1)
    assert len(generate(organisations=["alpha"], seed=1, hours=24).organisations) == 1


def test_sensors_are_dealt_in_turn_and_change_nothing_that_happened() -> None:
    names = [f"o{n}" for n in range(7)]
    asked = {"organisations": names, "seed": 1, "hours": 24}
    mixed = generate(**asked, techniques=ALL_TECHNIQUES)
    dealt = generate(**asked, techniques=ALL_TECHNIQUES, sensors=EVERY_MIX)
    found = [one.sensors for one in dealt.organisations]
    assert found == [*EVERY_MIX, *EVERY_MIX[:2]]
    for one, other in zip(mixed.organisations, dealt.organisations, strict=True):
        times = [
            np.sort(np.concatenate([part.border.start_s, part.inside.start_s]))
            for part in (one, other)
        ]
        np.testing.assert_array_equal(*times)
    suricata, zeek = dealt.organisations[1:3]
    assert (len(suricata.inside), len(zeek.border)) == (0, 0)
    assert suricata.sensors is Sensors.SURICATA


def test_a_world_that_begins_now() -> None:
    now = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
    world = generate(organisations=["alpha"], seed=1, hours=24, start=now)
    assert world.cut == now + dt.timedelta(hours=12)
    assert world.start_us == int(now.timestamp()) * 10**6
