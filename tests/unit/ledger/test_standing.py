# SPDX-License-Identifier: Apache-2.0
"""What is in force after each block."""

import pytest

from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import sha256
from fedxdr.ledger import entries
from fedxdr.ledger.entries import MemberKeys
from fedxdr.ledger.standing import PlanTerms


@pytest.fixture
def after(federation):
    """Return the standings after each block of a small ledger, and the ledger."""
    told = federation().founded().commit().fail("round-x")
    return lambda count: (told.standing(count), told)


def test_nothing_is_in_force_before_the_genesis(after):
    standing, _ = after(0)
    assert standing.height == -1
    assert standing.last_hash == standing.genesis_hash == "0" * 64
    assert standing.genesis is standing.plan is standing.model_hash is None
    assert standing.log is None
    assert standing.keys_seen == set()
    with pytest.raises(MalformedMessage, match="without a Genesis"):
        standing.policy_text()


def test_the_genesis_brings_the_model_the_log_and_the_founders(after):
    standing, told = after(1)
    assert standing.model_hash == sha256(b"model 0")
    assert standing.genesis_hash == told.blocks[0].block.hash
    assert standing.log.keys.identity == told.orchestrator.public
    assert (standing.log.origin, standing.log.since) == ("test.example/ledger", 1)
    assert sorted(standing.members) == ["alpha", "bravo", "charlie"]
    bravo = standing.members["bravo"]
    assert (bravo.name, bravo.since) == ("Bravo Ltd", 0)
    assert bravo.keys.identity == told.keys["bravo"].public
    keys = [told.orchestrator, *told.keys.values()]
    assert standing.keys_seen == set().union(
        *(MemberKeys.of(key.public).all for key in keys)
    )
    assert standing.cosigners == standing.members
    assert standing.quorum == 2
    assert standing.plan is None
    assert standing.invitations == {
        sha256(b"invitation of ", org.encode()) for org in told.keys
    }


def test_a_member_comes_and_decides_from_the_next_block_on(after):
    _, told = after(4)
    standing = told.enrol("delta").standing()
    assert sorted(standing.members) == ["alpha", "bravo", "charlie", "delta"]
    assert sorted(standing.cosigners) == ["alpha", "bravo", "charlie"]
    assert standing.is_turn
    assert (standing.members["delta"].since, standing.quorum) == (4, 3)
    standing = told.fail("round-y").standing()
    assert sorted(standing.cosigners) == ["alpha", "bravo", "charlie", "delta"]
    assert not standing.is_turn


def test_a_member_goes_and_its_keys_stay_seen(after):
    _, told = after(4)
    standing = told.suspend("bravo").standing()
    assert sorted(standing.members) == ["alpha", "charlie"]
    assert sorted(standing.cosigners) == ["alpha", "bravo", "charlie"]
    assert standing.is_turn
    assert MemberKeys.of(told.keys["bravo"].public).all <= standing.keys_seen


def test_a_member_has_other_keys_from_the_next_block_on(after):
    _, told = after(4)
    old = told.keys["bravo"]
    standing = told.rotate("bravo").standing()
    new = told.keys["bravo"]
    assert standing.members["bravo"].keys.identity == new.public
    assert standing.members["bravo"].since == 0
    assert standing.cosigners["bravo"].keys.identity == old.public
    assert standing.is_turn
    for key in (old, new):
        assert MemberKeys.of(key.public).all <= standing.keys_seen


def test_another_orchestrator_signs_the_head_over_its_own_block(after):
    _, told = after(4)
    first = told.standing().log
    standing = told.replace("next.example/ledger").standing()
    assert standing.log.keys.identity == told.orchestrator.public
    assert (standing.log.origin, standing.log.since) == ("next.example/ledger", 5)
    assert standing.logs == [first, standing.log]
    assert standing.is_turn
    assert MemberKeys.of(told.orchestrator.public).all <= standing.keys_seen
    assert "log next.example/ledger+" in standing.policy_text()


def test_changes_are_counted_and_rounds_are_not(after):
    assert [after(count)[0].changes for count in range(5)] == [0, 0, 1, 1, 1]
    _, told = after(4)
    told.ceremony("alpha", "bravo").suspend("bravo")
    assert told.standing().changes == 3


@pytest.mark.parametrize("change", ["adopt", "commit", "fail", "ceremony"])
def test_what_leaves_the_cosigners_as_they_are_is_no_turn(after, change):
    _, told = after(4)
    match change:
        case "fail":
            told.fail("round-y")
        case "ceremony":
            told.ceremony("alpha")
        case _:
            getattr(told, change)()
    assert not told.standing().is_turn


def test_a_model_is_withdrawn_and_an_earlier_one_comes_back(after):
    _, told = after(4)
    standing = told.retire(b"model 1", b"model 0").standing()
    assert standing.retired == {sha256(b"model 1")}
    assert (standing.model_hash, standing.model_version) == (sha256(b"model 0"), "v0")
    assert standing.models == {sha256(b"model 0"): "v0", sha256(b"model 1"): "v1"}


def test_the_plan_is_in_force_after_its_block(after):
    standing, told = after(2)
    assert standing.plan.digest == entries.plan_digest(told.plan)
    assert standing.plan.terms == PlanTerms(
        threshold=2,
        min_survivors=2,
        collection_mode="secagg",
        aggregation_method="fedavg",
    )


def test_rounds_are_remembered(after):
    standing, told = after(4)
    assert standing.committed == {"round-1": 2}
    assert standing.failed == {"round-x": 3}
    assert standing.has_round("round-1")
    assert standing.has_round("round-x")
    assert not standing.has_round("round-2")
    assert (standing.model_hash, standing.model_version) == (sha256(b"model 1"), "v1")
    assert (standing.height, standing.last_hash) == (3, told.last.hash)


def test_the_policy_wants_a_quorum_by_both_keys_of_those_before(after):
    _, told = after(4)
    told.enrol("delta")
    lines = told.standing().policy_text().splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("witness")] == [
        ["witness", f"{org}.{kind}"]
        for org in ("alpha", "bravo", "charlie")
        for kind in ("ed25519", "ml-dsa-44")
    ]
    assert "group alpha all alpha.ed25519 alpha.ml-dsa-44" in lines
    assert lines[-2:] == ["group Quorum 2 alpha bravo charlie", "quorum Quorum"]


def test_terms_of_a_plan_are_read_strictly():
    with pytest.raises(MalformedMessage, match="threshold"):
        PlanTerms.of({})
