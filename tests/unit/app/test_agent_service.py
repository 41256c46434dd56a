# SPDX-License-Identifier: Apache-2.0
"""What an open agent tells on its own routes is what mirror and purse hold."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from fedxdr.api.agent_encryption import public_key
from fedxdr.app.agent_service import service_of
from fedxdr.core.errors import BelowFloor, WrongPhase
from fedxdr.core.layout import Layout, Segment
from fedxdr.federation.plan import Plan
from fedxdr.federation.protection import Privacy
from fedxdr.privacy import accountant
from fedxdr.privacy.budget import Reserved
from fedxdr.storage.purse import MemoryPurseLog

PROMISE = Privacy(
    mechanism="dp-sgd",
    unit="event",
    epsilon=8.0,
    delta=1e-5,
    noise_multiplier=40.0,
    sampling_rate=1.0,
    steps=2,
    clipping_norm=1.5,
    own=1,
    context=16,
    index_keys=1,
)
PLAN = Plan(
    federation="f",
    run_id="run-1",
    participants=3,
    threshold=3,
    layout=Layout(
        segments=(
            Segment(name="statistics.mean", shape=(2,)),
            Segment(name="weights.w", shape=(3,)),
        )
    ),
    architecture={"features": "alerts-event"},
    max_weight_exponent=0,
    privacy=PROMISE,
)


@pytest.fixture
def agent():
    mirror = SimpleNamespace(is_begun=True, in_force=SimpleNamespace(plan=PLAN))
    accuser = SimpleNamespace(proofs=lambda: {"equivocation-1.json": b"{}"})
    follower = SimpleNamespace(accuser=accuser)
    return SimpleNamespace(
        file=SimpleNamespace(org="alpha"),
        participant=SimpleNamespace(mirror=mirror, follower=follower),
        purse=MemoryPurseLog(),
    )


def test_the_budget_is_the_purses(agent):
    service = service_of(agent)
    assert service.budget().epsilon_used == 0.0
    agent.purse.append(Reserved(release_id="round-1/training", charge=PROMISE.charge))
    found = service.budget()
    assert found.epsilon_used == accountant.epsilon({PROMISE.charge: 1}, delta=1e-5)
    assert (found.org_id, found.epsilon_total, found.rounds_trained) == (
        "alpha",
        8.0,
        1,
    )
    assert service.config()["differential_privacy"]["occurrences"] == 16


def test_what_convicts_the_log_is_the_followers(agent):
    assert service_of(agent).proofs() == {"equivocation-1.json": b"{}"}


def test_a_purse_of_another_unit_is_not_told_as_this_ones(agent):
    charge = replace(PROMISE.charge, unit="entity")
    agent.purse.append(Reserved(release_id="round-1/training", charge=charge))
    with pytest.raises(BelowFloor, match="unit"):
        service_of(agent).budget()


def test_before_a_plan_nothing_is_made_up(agent):
    service = service_of(agent)
    assert service.ready() == {"ledger": True, "plan": True}
    agent.participant.mirror.is_begun = False
    assert service.ready() == {"ledger": False, "plan": False}
    assert service.budget().mechanism == "none"
    assert service.budget().epsilon_total is None
    assert service.config()["differential_privacy"]["mechanism"] == "none"
    with pytest.raises(WrongPhase, match="no plan is in force"):
        service.encrypt(np.zeros(2, np.float32), None)


def test_values_are_encrypted_as_the_plan_says(agent):
    found = service_of(agent).encrypt(
        np.array([0.5], np.float32), public_key(str(3**1292 | 1))
    )
    assert found.values == 1
    wider = replace(PLAN, quantisation_bits=16)
    agent.participant.mirror.in_force.plan = wider
    other = service_of(agent).encrypt(
        np.array([0.5], np.float32), public_key(str(3**1292 | 1))
    )
    assert other.steps_per_unit < found.steps_per_unit
