# SPDX-License-Identifier: Apache-2.0
"""The way in and the end: at the hosts it says, in time, as its techniques do."""

from __future__ import annotations

import numpy as np
import pytest

from fedxdr.core.randomness import generator
from fedxdr.simulation.campaign_ends import (
    DELIVERY_TECHNIQUES,
    DOWNLOAD,
    LURED,
    OPENED_BEFORE_S,
    PHISHING,
    RANSOM,
    delivery,
    ransomware,
)
from fedxdr.simulation.estate import HOUR_S, Estate, build_estate
from fedxdr.simulation.sessions import Sessions
from fedxdr.telemetry.catalogue import Service

BEGIN_S = 10 * HOUR_S


@pytest.fixture(scope="module")
def estate() -> Estate:
    return build_estate(generator(1), 0)


def delivered(estate: Estate, seed: int = 3, begin_s: float = BEGIN_S) -> Sessions:
    return delivery(
        generator(seed),
        estate,
        victim=int(estate.workstations[5]),
        hostile=estate.hostile[:3],
        begin_s=begin_s,
    )


def of(steps: Sessions, technique: str) -> Sessions:
    return steps.select(np.array(steps.technique == technique, np.bool_))


def test_several_look_one_opens_and_tools_follow(estate: Estate) -> None:
    steps = delivered(estate)
    assert set(steps.technique.tolist()) == set(DELIVERY_TECHNIQUES)
    assert (steps.label == 1).all()
    victim = estate.workstations[5]
    looked = set(of(steps, PHISHING).source.tolist())
    assert 4 <= len(looked) <= 6
    assert victim in looked
    for technique in (LURED, DOWNLOAD):
        assert set(of(steps, technique).source.tolist()) == {victim}
    assert of(steps, LURED).start_s.max() < BEGIN_S < of(steps, DOWNLOAD).start_s[1]
    assert steps.start_s.min() > BEGIN_S - OPENED_BEFORE_S - 1


def test_page_and_file_are_the_same_at_every_victim(estate: Estate) -> None:
    for technique in (PHISHING, LURED):
        sizes = []
        for seed in range(8):
            made = of(delivered(estate, seed), technique)
            sizes += made.bytes_in[made.service == Service.TLS].tolist()
        assert np.std(np.log(sizes)) < 0.4


def test_names_are_asked_for_and_belong_to_whom_is_visited(estate: Estate) -> None:
    steps = delivered(estate)
    asked = steps.service == Service.DNS
    assert 0.15 < asked.mean() < 0.45
    assert set(steps.destination[~asked].tolist()) == set(estate.hostile[:3].tolist())
    known = {estate.names[host] for host in estate.hostile[:3].tolist()}
    assert set(steps.name[asked].tolist()) <= known
    assert delivered(estate, begin_s=0.0).start_s.min() >= 0


def test_ransomware_writes_back_what_it_read(estate: Estate) -> None:
    neighbours = estate.workstations[6:12]
    steps = ransomware(
        generator(3), estate, source=4, neighbours=neighbours, begin_s=BEGIN_S
    )
    assert set(steps.technique.tolist()) == {RANSOM}
    assert set(steps.source.tolist()) == {4}
    assert (steps.service == Service.SMB).all()
    targets = np.concatenate([estate.file_servers, neighbours])
    assert np.isin(steps.destination, targets).all()
    assert np.isin(steps.destination, estate.file_servers).mean() > 0.5
    ratio = steps.bytes_out / steps.bytes_in
    assert 0.8 < np.median(ratio) < 1.4
    assert np.std(np.log(steps.bytes_out)) > 1, "files are of any size"
    assert BEGIN_S < steps.start_s.min() < steps.start_s.max() < BEGIN_S + 3 * HOUR_S
