# SPDX-License-Identifier: Apache-2.0
"""Queries before sessions."""

from __future__ import annotations

import numpy as np
import pytest

from fedxdr.core.randomness import generator
from fedxdr.simulation.estate import Estate, build_estate
from fedxdr.simulation.lookups import lookups, with_lookups
from fedxdr.simulation.sessions import sessions
from fedxdr.telemetry.catalogue import Service


@pytest.fixture(scope="module")
def estate() -> Estate:
    return build_estate(generator(1), 0)


def test_lookups_are_as_long_as_their_names(estate: Estate) -> None:
    made = lookups(
        generator(1),
        estate,
        start_s=np.array([1.0, 2.0]),
        source=3,
        names=["a.example", "abc.example"],
    )
    assert made.bytes_out.tolist() == [9 + 18 + 28, 11 + 18 + 28]
    assert made.destination.tolist() == [estate.controllers[0]] * 2


def test_a_share_of_sessions_is_asked_for_before(estate: Estate) -> None:
    made = sessions(
        generator(1),
        start_s=np.linspace(10, 500, 400),
        source=3,
        destination=estate.internet[:40].repeat(10),
        port=443,
    )
    both = with_lookups(generator(2), estate, made, share=0.5)
    asked = both.select(both.service == Service.DNS)
    assert 150 < len(asked) < 250
    assert len(both) == 400 + len(asked)
    known = {estate.names[host] for host in estate.internet[:40].tolist()}
    assert set(asked.name.tolist()) <= known
    for start_s, name in zip(asked.start_s[:20], asked.name[:20], strict=True):
        host = estate.names.index(name)
        visits = made.start_s[made.destination == host]
        assert ((visits > start_s) & (visits < start_s + 0.5)).any()
    assert len(with_lookups(generator(2), estate, made, share=0.0)) == 400


def test_queries_of_a_technique_carry_its_truth(estate: Estate) -> None:
    made = sessions(
        generator(1), start_s=np.arange(9.0), source=3, destination=9, port=443
    )
    both = with_lookups(
        generator(2), estate, made, share=1.0, label=1, technique="T1105"
    )
    asked = both.select(both.service == Service.DNS)
    assert asked.label.tolist() == [1] * 9
    assert set(asked.technique.tolist()) == {"T1105"}
