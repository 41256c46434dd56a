# SPDX-License-Identifier: Apache-2.0
"""Everyday traffic that looks like what is new in the campaign."""

from __future__ import annotations

import numpy as np
import pytest

from fedxdr.core.randomness import generator
from fedxdr.simulation.estate import HOUR_S, Estate, build_estate
from fedxdr.simulation.lookalikes import lookalikes
from fedxdr.simulation.sessions import Sessions
from fedxdr.telemetry.catalogue import Service

END_S = 30 * HOUR_S


@pytest.fixture(scope="module")
def estate() -> Estate:
    return build_estate(generator(1), 0)


@pytest.fixture(scope="module")
def made(estate: Estate) -> Sessions:
    return lookalikes(generator(2), estate, end_s=END_S)


def test_all_of_it_is_benign_and_in_time(estate: Estate, made: Sessions) -> None:
    assert len(made) > 400
    assert (made.label == 0).all()
    assert set(made.technique.tolist()) == {""}
    assert made.start_s.min() >= 0
    assert made.start_s.max() < END_S
    assert (np.diff(made.start_s) >= 0).all()
    assert not np.isin(made.destination, estate.hostile).any()


def test_a_share_is_rewritten_file_by_file(estate: Estate, made: Sessions) -> None:
    job = made.select(
        (made.source == estate.servers[-1]) & (made.service == Service.SMB)
    )
    assert len(job) >= 60
    assert 0.6 < np.median(job.bytes_out / job.bytes_in) < 1.5


def test_many_visit_a_place_of_their_own(estate: Estate, made: Sessions) -> None:
    visits = made.select(np.isin(made.destination, estate.internet[40:]))
    people = {
        place: len(set(visits.source[visits.destination == place].tolist()))
        for place in set(visits.destination.tolist())
    }
    assert max(people.values()) >= 3
    assert min(people.values()) == 1


def test_passwords_are_guessed_from_inside_and_outside(
    estate: Estate, made: Sessions
) -> None:
    for source in ([estate.scanner], estate.strangers.tolist()):
        tried = made.select(np.isin(made.source, source) & (made.service == 4))
        assert len(tried) > 3
        assert (np.diff(tried.start_s) < 600).mean() > 0.5, "in bursts"


def test_people_ask_the_database(estate: Estate, made: Sessions) -> None:
    asked = made.select(made.service == Service.SQL)
    assert np.isin(asked.source, estate.workstations).all()
    assert len(asked) > 25


def test_two_months_are_no_more_than_more_of_it(estate: Estate) -> None:
    long = lookalikes(generator(2), estate, end_s=60 * 24 * HOUR_S)
    assert long.start_s.max() > 58 * 24 * HOUR_S
