# SPDX-License-Identifier: Apache-2.0
"""What is in force after each block."""

import pytest

from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import sha256
from fedxdr.ledger import entries
from fedxdr.ledger.standing import PlanTerms, Standing


@pytest.fixture
def after(federation):
    """Return the standings after each block of a small ledger."""

    def follow(count, told):
        standing = Standing()
        for signed in told.blocks[:count]:
            standing.follow(signed.block, signed.block.hash)
        return standing

    told = federation().founded().commit().fail("round-x")
    return lambda count: (follow(count, told), told)


def test_nothing_is_in_force_before_the_genesis(after):
    standing, _ = after(0)
    assert standing.height == -1
    assert standing.last_hash == "0" * 64
    assert standing.genesis is standing.plan is standing.model_hash is None
    assert standing.keys_in_use == set()


def test_the_genesis_brings_the_first_model_and_the_orchestrators_key(after):
    standing, told = after(1)
    assert standing.model_hash == sha256(b"model 0")
    assert standing.keys_in_use == {told.orchestrator.public.ed25519}
    assert standing.members == {}


def test_members_come_one_by_one(after):
    standing, told = after(3)
    assert list(standing.members) == ["alpha", "bravo"]
    bravo = standing.members["bravo"]
    assert (bravo.name, bravo.since) == ("Bravo Ltd", 2)
    assert bravo.keys.identity == told.keys["bravo"].public
    assert standing.plan is None


def test_the_plan_is_in_force_after_its_block(after):
    standing, told = after(5)
    assert standing.plan.digest == entries.plan_digest(told.plan)
    assert standing.plan.terms == PlanTerms(
        threshold=2,
        min_survivors=2,
        collection_mode="secagg",
        aggregation_method="fedavg",
    )


def test_rounds_are_remembered(after):
    standing, told = after(7)
    assert standing.committed == {"round-1": 5}
    assert standing.failed == {"round-x": 6}
    assert standing.has_round("round-1")
    assert standing.has_round("round-x")
    assert not standing.has_round("round-2")
    assert (standing.model_hash, standing.model_version) == (sha256(b"model 1"), "v1")
    assert (standing.height, standing.last_hash) == (6, told.last.hash)


def test_terms_of_a_plan_are_read_strictly():
    with pytest.raises(MalformedMessage, match="threshold"):
        PlanTerms.of({})
