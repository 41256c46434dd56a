# SPDX-License-Identifier: Apache-2.0
"""The intrusion: every step there, at the hosts it says, and none too late."""

from __future__ import annotations

import numpy as np
import pytest

from fedxdr.core.randomness import generator
from fedxdr.simulation.campaign import (
    ALL_TECHNIQUES,
    BEACON,
    BRUTE_FORCE,
    CAMPAIGN_TECHNIQUES,
    CHAIN_S,
    COLLECTION,
    EXFILTRATION,
    LATERAL,
    SCAN,
    TUNNEL,
    campaign_steps,
    private_steps,
)
from fedxdr.simulation.estate import HOUR_S, Estate, build_estate
from fedxdr.simulation.sessions import Sessions
from fedxdr.telemetry.catalogue import Service

BEGIN_S = 10 * HOUR_S
END_S = 48 * HOUR_S


@pytest.fixture(scope="module")
def estate() -> Estate:
    return build_estate(generator(1), 0)


@pytest.fixture(scope="module")
def steps(estate: Estate) -> Sessions:
    return campaign_steps(generator(4), estate, begin_s=BEGIN_S, end_s=END_S)


def of(steps: Sessions, technique: str) -> Sessions:
    return steps.select(np.array(steps.technique == technique, np.bool_))


def test_every_step_is_labelled(steps: Sessions) -> None:
    assert (steps.label == 1).all()
    assert set(steps.technique.tolist()) == set(CAMPAIGN_TECHNIQUES)
    begins = [of(steps, technique).start_s[0] for technique in (SCAN, BRUTE_FORCE)]
    assert begins == sorted(begins)
    assert steps.start_s.min() >= BEGIN_S
    assert steps.start_s.max() < BEGIN_S + 1.5 * CHAIN_S


def test_each_step_behaves_as_its_technique(estate: Estate, steps: Sessions) -> None:
    scan = of(steps, SCAN)
    assert len(set(scan.source.tolist())) == 1
    assert len(set(scan.destination.tolist())) > 30
    beacon = of(steps, BEACON)
    for call in set(beacon.destination.tolist()):
        gaps = np.diff(beacon.start_s[beacon.destination == call])
        assert gaps.std() < 0.2 * gaps.mean()
        assert len(set(beacon.source[beacon.destination == call].tolist())) == 1
    guesses = of(steps, BRUTE_FORCE)
    assert len(set(guesses.destination.tolist())) == 3
    assert np.isin(of(steps, LATERAL).destination, estate.workstations).mean() > 0.3
    tunnel = of(steps, TUNNEL)
    assert (tunnel.service == Service.DNS).all()
    assert len(set(tunnel.name.tolist())) == len(tunnel)
    carried = of(steps, EXFILTRATION)
    assert len(set(carried.destination.tolist())) == 1
    assert np.median(carried.bytes_out / carried.bytes_in) > 10


def test_only_hostile_hosts_outside_are_met(estate: Estate, steps: Sessions) -> None:
    outside = ~estate.is_internal[steps.destination]
    assert np.isin(steps.destination[outside], estate.hostile).all()
    assert estate.is_internal[steps.source].all()


def test_nothing_happens_after_the_end(estate: Estate) -> None:
    end_s = BEGIN_S + 3 * HOUR_S
    cut = campaign_steps(generator(4), estate, begin_s=BEGIN_S, end_s=end_s)
    assert 0 < len(cut) < 400
    assert cut.start_s.max() < end_s
    assert EXFILTRATION not in cut.technique.tolist()


def test_another_victim_other_hosts_same_tools(estate: Estate, steps: Sessions) -> None:
    other = campaign_steps(generator(5), estate, begin_s=BEGIN_S, end_s=END_S)
    ours, theirs = of(steps, BEACON), of(other, BEACON)
    assert set(ours.destination.tolist()) != set(theirs.destination.tolist())
    assert 0.75 < np.median(ours.bytes_out) / np.median(theirs.bytes_out) < 1.33


def test_the_private_intrusion_shares_no_technique(estate: Estate) -> None:
    private = private_steps(generator(4), estate, begin_s=BEGIN_S, end_s=END_S)
    assert set(private.technique.tolist()) == {COLLECTION}
    assert COLLECTION not in CAMPAIGN_TECHNIQUES
    assert np.isin(private.destination, estate.servers).all()
    assert len(private) > 100


def test_the_whole_chain_leaves_the_known_steps_as_they_are(
    estate: Estate, steps: Sessions
) -> None:
    chain = campaign_steps(
        generator(4), estate, begin_s=BEGIN_S, end_s=END_S, techniques=ALL_TECHNIQUES
    )
    assert set(chain.technique.tolist()) == set(ALL_TECHNIQUES)
    known = chain.select(np.isin(chain.technique.astype(str), CAMPAIGN_TECHNIQUES))
    assert known.start_s.tolist() == steps.start_s.tolist()
    assert known.bytes_out.tolist() == steps.bytes_out.tolist()
    assert of(chain, "T1566.002").start_s[0] < of(chain, BEACON).start_s[0]
    assert of(chain, "T1486").start_s[0] > of(chain, EXFILTRATION).start_s[0]
    assert of(chain, "T1486").source[0] in of(chain, BEACON).source


@pytest.mark.parametrize("techniques", [(SCAN,), ("T1486", BEACON)])
def test_some_techniques_only(estate: Estate, techniques: tuple[str, ...]) -> None:
    some = campaign_steps(
        generator(4), estate, begin_s=BEGIN_S, end_s=END_S, techniques=techniques
    )
    assert set(some.technique.tolist()) == set(techniques)
