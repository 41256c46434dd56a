# SPDX-License-Identifier: Apache-2.0
"""Everyday traffic, at the border and inside: benign, in time, varied."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fedxdr.core.randomness import generator
from fedxdr.simulation.benign import border_traffic
from fedxdr.simulation.benign_inside import inside_traffic
from fedxdr.simulation.estate import HOUR_S, Estate, build_estate
from fedxdr.simulation.sessions import Sessions
from fedxdr.telemetry.catalogue import Service, State

END_S = 30 * HOUR_S
Traffic = Callable[..., Sessions]


@pytest.fixture(scope="module")
def estate() -> Estate:
    return build_estate(generator(1), 0)


@pytest.mark.parametrize("traffic", [border_traffic, inside_traffic])
def test_all_of_it_is_benign_and_in_time(estate: Estate, traffic: Traffic) -> None:
    made = traffic(generator(2), estate, end_s=END_S)
    assert len(made) > 1000
    assert (made.label == 0).all()
    assert set(made.technique.tolist()) == {""}
    assert made.start_s.min() >= 0
    assert made.start_s.max() < END_S
    assert (np.diff(made.start_s) >= 0).all()
    assert (made.source != made.destination).all()
    assert np.isfinite(made.duration_s).all()
    assert not np.isin(
        np.concatenate([made.source, made.destination]), estate.hostile
    ).any()


def test_the_border_is_crossed_or_a_name_is_asked_for(estate: Estate) -> None:
    made = border_traffic(generator(2), estate, end_s=END_S)
    own = estate.is_internal
    crosses = own[made.source] != own[made.destination]
    assert (crosses | (made.service == Service.DNS)).all()
    inside = inside_traffic(generator(2), estate, end_s=END_S)
    assert (own[inside.source] & own[inside.destination]).all()


def test_what_looks_like_an_attack_is_there(estate: Estate) -> None:
    """Scans, failures, long names, large uploads and regular calls are everyday."""
    border = border_traffic(generator(2), estate, end_s=END_S)
    inside = inside_traffic(generator(2), estate, end_s=END_S)
    tried = inside.source == estate.scanner
    assert len(set(inside.destination[tried].tolist())) > 20
    assert (inside.state[tried] != State.COMPLETED).mean() > 0.5
    assert (inside.state == State.RESET_BY_DESTINATION).sum() > 50
    asked = [len(name) for name in border.name[border.service == Service.DNS]]
    assert np.mean(np.array(asked) > 35) > 0.1
    assert (border.bytes_out > 1_000_000).sum() > 30
    vendor = border.destination == estate.vendors[0]
    gaps = np.diff(border.start_s[vendor & (border.service == Service.TLS)])
    assert len(gaps) > 20
    assert gaps.std() < 0.3 * gaps.mean()


def test_the_same_seed_gives_the_same_day(estate: Estate) -> None:
    one, two, other = (
        border_traffic(generator(seed), estate, end_s=END_S) for seed in (5, 5, 6)
    )
    assert one.start_s.tolist() == two.start_s.tolist()
    assert one.name.tolist() == two.name.tolist()
    assert one.start_s.tolist() != other.start_s.tolist()
