# SPDX-License-Identifier: Apache-2.0
"""Hosts: private or test addresses, names that cannot exist."""

from __future__ import annotations

import dataclasses
import ipaddress

import numpy as np
import pytest

from fedxdr.core.randomness import generator
from fedxdr.simulation.estate import (
    HOUR_S,
    Estate,
    build_estate,
    coded,
    hashed,
    office_times,
    word,
)


@pytest.fixture(scope="module")
def estate() -> Estate:
    return build_estate(generator(1), 7)


def test_no_address_or_name_is_anybody_s(estate: Estate) -> None:
    inside = ipaddress.ip_network("10.27.0.0/16")
    outside = ipaddress.ip_network("198.18.0.0/15")
    for text, own in zip(estate.addresses, estate.is_internal, strict=True):
        assert ipaddress.ip_address(text) in (inside if own else outside)
    tops = {name.rsplit(".", 1)[1] for name in estate.names}
    assert tops <= {"example", "test"}
    own = [estate.addresses[host] for host in estate.inside]
    assert len(set(own)) == len(own)


def test_every_host_has_one_role(estate: Estate) -> None:
    groups = [
        np.atleast_1d(getattr(estate, field.name))
        for field in dataclasses.fields(estate)
        if field.name not in {"addresses", "names", "hours_ahead", "scale"}
    ]
    hosts = np.concatenate(groups)
    assert sorted(hosts.tolist()) == list(range(len(estate.addresses)))


def test_people_are_there_by_day_of_their_own_clock(estate: Estate) -> None:
    times = office_times(generator(2), estate, 20_000, end_s=36.5 * HOUR_S)
    assert times.min() >= 0
    assert times.max() < 36.5 * HOUR_S
    local = (times / HOUR_S + estate.hours_ahead) % 24
    day = ((local >= 8) & (local < 18)).mean() / 10
    night = ((local >= 0) & (local < 5)).mean() / 5
    assert day > 5 * night


def test_texts() -> None:
    draw = generator(3)
    assert len(word(draw, 4)) == 8
    assert {len(text) for text in coded(draw, 400, low=5, high=8)} == {5, 6, 7}
    assert set("".join(hashed(draw, 200, low=5, high=8))) == set("0123456789abcdef")
