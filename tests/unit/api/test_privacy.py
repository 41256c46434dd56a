# SPDX-License-Identifier: Apache-2.0
"""Routes about privacy on the orchestrator, over the figures of a ledger."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI

from fedxdr.api import privacy, problems
from fedxdr.api.app import PREFIX
from fedxdr.core.ids import OrgId
from fedxdr.federation.protection import NO_PRIVACY, Privacy
from fedxdr.ledger.entries import RoundCommitted
from fedxdr.privacy import accountant

PROMISE = Privacy(
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    mechanism: str = "dp-sgd"
    unit: str = "event"
    noise_multiplier: float = 4.0
    sampling_rate: float = 1.0
    steps: int = 2
    own: int = 1
    occurrences: int = 0


def committed(*orgs):
    return SimpleNamespace(
        block=SimpleNamespace(
            entry=object.__new__(RoundCommitted),
            provenance=SimpleNamespace(
                privacy_params={OrgId(org): Claim() for org in orgs}
            ),
        )
    )


class Recorder:
    """A ledger of some claims, and what was asked of it."""

    def __init__(self, blocks, promise):
        plan = SimpleNamespace(
            collection_mode="secagg", privacy=promise, clip_norm=10.0
        )
        self.in_force = SimpleNamespace(plan=plan)
        self.stored = blocks

    def size(self):
        return len(self.stored)

    def blocks(self, *, begin, end):
        return self.stored[begin:end]


@pytest.fixture
def ask(make_api):
    api = make_api()

    def request(path, *, blocks=(), promise=PROMISE, headers=None):
        app = FastAPI()
        app.state.service = replace(
            api.service,
            orchestrator=SimpleNamespace(recorder=Recorder(list(blocks), promise)),
        )
        problems.install(app)
        app.include_router(privacy.router, prefix=PREFIX)
        transport = type(api.transport)(app)
        with httpx.Client(transport=transport, base_url="http://testserver") as client:
            return client.get(
                PREFIX + path, headers=api.bearer() if headers is None else headers
            )

    return request


def test_the_budget_is_that_of_the_worst_organisation_on_the_ledger(ask):
    blocks = [committed("alpha", "bravo"), committed("bravo"), committed("bravo")]
    found = ask("/privacy/budget", blocks=blocks).json()
    used = accountant.epsilon({PROMISE.charge: 3}, delta=1e-5)
    left = accountant.uses_left(
        {PROMISE.charge: 3}, PROMISE.charge, epsilon=8.0, delta=1e-5
    )
    assert found == {
        "mechanism": "dp-sgd",
        "unit": "event",
        "org_id": "bravo",
        "epsilon_total": 8.0,
        "epsilon_used": used,
        "epsilon_remaining": 8.0 - used,
        "delta": 1e-5,
        "rounds_trained": 3,
        "rounds_until_budget_exhausted": left,
        "textbook_epsilon": accountant.textbook_epsilon(
            {PROMISE.charge: 3}, delta=1e-5
        ),
    }


def test_the_architectures_path_has_the_same_figures(ask):
    blocks = [committed("alpha")]
    found = ask("/privacy/budget", blocks=blocks).json()
    assert ask("/privacy/privacy-budget", blocks=blocks).json() == {
        "remaining_epsilon": found["epsilon_remaining"],
        "remaining_delta": 1e-5,
        "total_used": found["epsilon_used"],
    }


def test_without_a_promise_there_is_no_budget(ask):
    found = ask("/privacy/budget", promise=NO_PRIVACY).json()
    assert found["mechanism"] == "none"
    assert found["epsilon_total"] is found["rounds_until_budget_exhausted"] is None


def test_who_asks_for_the_budget_says_who_he_is(ask, problem):
    for path in ("/privacy/budget", "/privacy/privacy-budget"):
        problem(ask(path, headers={}), 401, "unauthorised")


def test_what_protects_is_told_to_anybody(ask):
    found = ask("/privacy/config", headers={}).json()
    assert found["differential_privacy"]["unit"] == "event"
    assert found["differential_privacy"]["epsilon"] == 8.0
    assert found["secure_aggregation"] == "enabled"


def test_the_federation_at_a_glance_says_what_the_worst_has_spent(make_api):
    wishes = {
        "privacy": replace(PROMISE, noise_multiplier=40.0, context=16, index_keys=1),
        "max_weight_exponent": 0,
        "architecture": {"features": "alerts-event"},
    }
    api = make_api(wishes=wishes, rounds=1)
    path = "/federation/status"
    found = api.send("GET", path, headers=api.bearer()).json()
    once = accountant.epsilon({wishes["privacy"].charge: 1}, delta=1e-5)
    assert found["privacy_budget_used"] == once
    told = api.send("GET", "/privacy/budget", headers=api.bearer()).json()
    assert told["epsilon_used"] == once
    assert told["org_id"] == "alpha"
    plain = make_api(rounds=1)
    found = plain.send("GET", path, headers=plain.bearer()).json()
    assert found["privacy_budget_used"] is None
