# SPDX-License-Identifier: Apache-2.0
import math
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest

from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import OrgId
from fedxdr.federation.protection import NO_PRIVACY, Privacy
from fedxdr.ledger.entries import RoundCommitted
from fedxdr.ledger.statements import NO_PRIVACY as NO_CLAIM
from fedxdr.parties import privacy_views
from fedxdr.privacy import accountant
from fedxdr.privacy.budget import Purse
from fedxdr.privacy.mechanism import Charge

A, B, C = OrgId("alpha"), OrgId("bravo"), OrgId("charlie")
PRIVACY = Privacy(
    mechanism="dp-sgd",
    unit="event",
    epsilon=8.0,
    delta=1e-5,
    noise_multiplier=4.0,
    sampling_rate=1.0,
    steps=2,
    clipping_norm=1.5,
    own=1,
)
ROUND = PRIVACY.charge
HOSTS = Charge(unit="entity", noise_multiplier=0.5, own=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a claim on the ledger says, with the figures it is charged by."""

    mechanism: str = "dp-sgd"
    unit: str = "event"
    noise_multiplier: float = 4.0
    sampling_rate: float = 1.0
    steps: int = 2
    own: int = 1
    occurrences: int = 0
    clipping_norm: float = 1.5
    delta: float = 1e-5
    epsilon: float = 2.0


def block(entry, **claims):
    params = {OrgId(org): claim for org, claim in claims.items()}
    provenance = SimpleNamespace(privacy_params=params)
    return SimpleNamespace(block=SimpleNamespace(entry=entry, provenance=provenance))


def committed(**claims):
    return block(object.__new__(RoundCommitted), **claims)


def test_a_claim_is_read_as_the_charge_it_is():
    assert privacy_views.charge_of(Claim()) == ROUND
    sampled = Claim(sampling_rate=0.01, occurrences=16)
    assert privacy_views.charge_of(sampled) == replace(
        ROUND, sampling_rate=0.01, occurrences=16
    )
    summed = Claim(mechanism="discrete-gaussian", unit="organisation", steps=1)
    assert privacy_views.charge_of(summed) == Charge(
        unit="organisation", noise_multiplier=4.0, mechanism="discrete-gaussian"
    )
    assert privacy_views.charge_of(NO_CLAIM) is None


def test_a_claim_without_its_figures_is_not_taken_for_nothing():
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Short:
        mechanism: str = "dp-sgd"
        epsilon: float = 1.0

    with pytest.raises(MalformedMessage):
        privacy_views.charge_of(Short())


def test_claims_of_committed_rounds_are_counted():
    other = Claim(noise_multiplier=2.0)
    blocks = [
        committed(alpha=Claim(), bravo=Claim()),
        block(object(), alpha=Claim()),  # a failed round, a plan, a member
        committed(alpha=Claim(), bravo=other, charlie=NO_CLAIM),
    ]
    assert privacy_views.charges_on_ledger(blocks) == {
        A: {ROUND: 2},
        B: {ROUND: 1, replace(ROUND, noise_multiplier=2.0): 1},
    }


def test_the_organisation_that_spent_most_counts():
    charges = {A: {ROUND: 2}, B: {ROUND: 5}, C: {ROUND: 1}}
    found = privacy_views.spent_on_ledger(charges, PRIVACY)
    used = accountant.epsilon({ROUND: 5}, delta=1e-5)
    assert found.org_id == B
    assert found.epsilon_used == used
    assert found.epsilon_total == 8.0
    assert found.epsilon_remaining == 8.0 - used
    assert found.rounds_trained == 5
    assert found.delta == 1e-5
    assert found.unit == "event"
    assert found.rounds_until_budget_exhausted == accountant.uses_left(
        {ROUND: 5}, ROUND, epsilon=8.0, delta=1e-5
    )
    assert found.rounds_until_budget_exhausted > 0
    assert found.textbook_epsilon == accountant.textbook_epsilon({ROUND: 5}, delta=1e-5)
    assert found.textbook_epsilon > 2 * used


def test_few_noisy_rounds_can_cost_more_than_many_quiet_ones():
    loud = replace(ROUND, noise_multiplier=0.5)
    charges = {A: {ROUND: 6}, B: {loud: 1}}
    assert privacy_views.spent_on_ledger(charges, PRIVACY).org_id == B


def test_another_unit_is_another_budget():
    found = privacy_views.spent_on_ledger({A: {ROUND: 1, HOSTS: 9}}, PRIVACY)
    assert found.epsilon_used == accountant.epsilon({ROUND: 1}, delta=1e-5)
    assert found.rounds_trained == 1


def test_a_new_federation_has_spent_nothing():
    found = privacy_views.spent_on_ledger({}, PRIVACY)
    assert found.epsilon_used == found.textbook_epsilon == 0.0
    assert found.epsilon_remaining == 8.0
    assert found.rounds_trained == 0
    assert found.org_id is None
    assert found.rounds_until_budget_exhausted > 3


def test_without_a_promise_no_figure_is_invented():
    for found in (
        privacy_views.spent_on_ledger({A: {ROUND: 1}}, NO_PRIVACY),
        privacy_views.spent_from_purse(None, NO_PRIVACY, org=None),
        privacy_views.spent_from_purse(None, PRIVACY, org=None),
    ):
        body = privacy_views.budget_body(found)
        assert body.pop("mechanism") in ("none", "dp-sgd")
        assert body.pop("rounds_trained") == 0
        assert not any(value is not None for value in body.values())


def test_what_is_overspent_has_nothing_left():
    quiet = replace(ROUND, noise_multiplier=0.01, steps=10**6)
    found = privacy_views.spent_on_ledger({A: {quiet: 1}}, PRIVACY)
    assert found.epsilon_remaining == 0.0
    assert found.rounds_until_budget_exhausted == 0
    assert found.epsilon_used is None or math.isfinite(found.epsilon_used)
    privacy_views.budget_body(found)  # has a form in JSON


def test_a_purse_counts_what_never_came_into_a_block():
    purse = Purse(epsilon=4.0, delta=1e-5, unit="event")
    for number in range(2):
        purse = purse.after(purse.reserve(f"round-{number}", ROUND))
    count = replace(ROUND, noise_multiplier=50.0)
    purse = purse.after(purse.reserve("clip-0", count, purpose="clipping"))
    found = privacy_views.spent_from_purse(purse, PRIVACY, org=A)
    assert found.epsilon_total == 4.0  # its own, below the plan's
    assert found.epsilon_used == purse.used()
    assert found.rounds_trained == 2
    assert found.rounds_until_budget_exhausted == purse.rounds_until_exhausted(ROUND)


def test_both_paths_have_the_same_figures():
    found = privacy_views.spent_on_ledger({A: {ROUND: 1}}, PRIVACY)
    body = privacy_views.budget_body(found)
    assert privacy_views.privacy_budget_body(found) == {
        "remaining_epsilon": body["epsilon_remaining"],
        "remaining_delta": body["delta"],
        "total_used": body["epsilon_used"],
    }


def plan(mode, privacy=NO_PRIVACY):
    return SimpleNamespace(collection_mode=mode, privacy=privacy, clip_norm=10.0)


def test_protection_names_what_is_on():
    found = privacy_views.protection(plan("secagg", PRIVACY))
    assert found["differential_privacy"] == {
        "mechanism": "dp-sgd",
        "epsilon": 8.0,
        "delta": 1e-5,
        "clipping_norm": 1.5,
        "unit": "event",
        "noise_multiplier": 4.0,
        "sampling_rate": 1.0,
        "steps_per_round": 2,
        "own": 1,
        "occurrences": 0,
        "adaptive_clipping": False,
    }
    assert found["secure_aggregation"] == "enabled"
    assert found["homomorphic_encryption"] == "disabled"


@pytest.mark.parametrize(
    ("mode", "masks", "ciphers"),
    [
        ("secagg", "enabled", "disabled"),
        ("committee", "enabled", "disabled"),
        ("paillier", "disabled", "enabled"),
        ("clear", "disabled", "disabled"),
    ],
)
def test_each_mode_claims_its_own_protection(mode, masks, ciphers):
    found = privacy_views.protection(plan(mode))
    assert found["secure_aggregation"] == masks
    assert found["homomorphic_encryption"] == ciphers
    assert found["differential_privacy"] == {
        "mechanism": "none",
        "epsilon": None,
        "delta": None,
        "clipping_norm": 10.0,
    }


def test_before_the_first_plan_nothing_is_on():
    found = privacy_views.protection(None)
    assert found["secure_aggregation"] == "disabled"
    assert found["differential_privacy"]["clipping_norm"] is None
    assert found["homomorphic_encryption"] == "disabled"


def test_noise_inside_the_sum_is_clipped_by_the_plan():
    summed = Privacy(
        mechanism="discrete-gaussian",
        unit="organisation",
        epsilon=8.0,
        delta=1e-5,
        noise_multiplier=4.0,
        sampling_rate=1.0,
        steps=1,
        own=1,
    )
    found = privacy_views.protection(plan("secagg", summed))
    assert found["differential_privacy"]["clipping_norm"] == 10.0
    assert found["differential_privacy"]["unit"] == "organisation"
