# SPDX-License-Identifier: Apache-2.0
"""What holds for any block: links, quiet blocks, failed rounds; a mirror's use."""

import dataclasses
from datetime import timedelta

import pytest

from fedxdr.core.errors import VerificationFailed
from fedxdr.core.ids import sha256
from fedxdr.ledger import rules
from fedxdr.ledger.block import Provenance
from fedxdr.ledger.standing import Standing
from fedxdr.ledger.steps import Step
from fedxdr.ledger.verifier import verify

OTHER = sha256(b"something else")


@pytest.fixture
def begun(federation):
    return federation().begin()


def refused(told, step, height, match=None):
    with pytest.raises(VerificationFailed, match=match) as caught:
        verify(told.export(models=[told.models[-1]]))
    assert (caught.value.step, caught.value.height) == (step, height), caught.value


def test_a_mirror_checks_each_block_as_it_comes(federation):
    told = federation().founded().commit().fail("round-x").commit()
    standing = Standing()
    for signed in told.blocks:
        rules.check(signed, standing)
        standing.follow(signed, signed.block.hash)
    with pytest.raises(VerificationFailed, match="height 4"):
        rules.check(told.blocks[-1], standing)


# (2) links


@pytest.mark.parametrize(
    ("order", "height"),
    [
        pytest.param([0, 2, 1, 3, 4], 1, id="two swapped"),
        pytest.param([0, 1, 3, 2, 4], 2, id="rounds swapped"),
        pytest.param([0, 1, 2, 4, 3], 3, id="round before a member"),
        pytest.param([0, 1, 2, 4], 3, id="one left out"),
        pytest.param([0, 1, 1, 2, 3, 4], 2, id="one twice"),
        pytest.param([0, 0, 1, 2, 3, 4], 1, id="Genesis twice"),
    ],
)
def test_blocks_in_another_order(federation, order, height):
    told = federation().founded().commit().enrol("delta").commit()
    told.blocks = [told.blocks[i] for i in order]
    refused(told, Step.LINKS, height)


def test_a_block_that_follows_on_another_past(federation):
    told, other = federation().founded(), federation().begin(federation="Other")
    told.blocks[0] = other.blocks[0]
    refused(told, Step.LINKS, 1, match="prev_hash")


def test_a_renumbered_block(federation):
    told = federation().founded()
    told.blocks[1] = dataclasses.replace(
        told.blocks[1], block=dataclasses.replace(told.blocks[1].block, height=9)
    )
    refused(told, Step.LINKS, 1, match="height 9")


def test_a_block_dated_before_the_one_it_follows(federation):
    told = federation().founded()
    early = told.last.timestamp - timedelta(hours=1)
    told.append(told.last.entry, timestamp=early)
    refused(told, Step.LINKS, 2, match="dated before")


# Quiet blocks


@pytest.mark.parametrize(
    ("lie", "step"),
    [
        ({"model_hash": OTHER}, Step.LINEAGE),
        ({"provenance": Provenance(model_version="v9")}, Step.LINEAGE),
        (
            {"provenance": Provenance(model_version="v0", parent_model=OTHER)},
            Step.LINEAGE,
        ),
        ({"aggregation_metrics": {"round": 1}}, Step.METRICS),
        ({"org_signatures": {"alpha": OTHER}}, Step.ACCEPTANCES),
    ],
    ids=["model", "version", "parent", "metrics", "signatures"],
)
@pytest.mark.parametrize(
    "kind",
    ["member", "keys", "suspension", "orchestrator", "plan", "ceremony", "failure"],
)
def test_a_quiet_block_that_says_what_only_a_round_may(begun, kind, lie, step):
    match kind:
        case "member":
            begun.enrol("delta")
        case "keys":
            begun.rotate("alpha")
        case "suspension":
            begun.suspend("alpha")
        case "orchestrator":
            begun.replace("next.example/ledger")
        case "ceremony":
            begun.ceremony("alpha", "bravo")
        case "plan":
            begun.adopt()
        case "failure":
            begun.fail("round-x")
    changed = dataclasses.replace(begun.last, **lie)
    begun.blocks[-1] = dataclasses.replace(begun.blocks[-1], block=changed)
    refused(begun, step, 1)


def test_a_genesis_with_another_model_than_it_names(federation):
    told = federation()
    told.begin()
    told.blocks[0] = dataclasses.replace(
        told.blocks[0], block=dataclasses.replace(told.last, model_hash=OTHER)
    )
    refused(told, Step.LINEAGE, 0)


# Failed rounds


def test_a_failed_round_leaves_the_model_in_force(federation):
    told = federation().founded().commit().fail("round-x").commit()
    report = verify(told.export())
    assert report.rounds_failed == ("round-x",)
    assert report.generations == 3


def test_survivors_of_a_failed_round_that_are_no_members(federation):
    told = federation().founded().fail("round-x", survivors=("alpha", "zulu"))
    refused(told, Step.MEMBERSHIP, 2, match="zulu")
    told = federation().founded().suspend("bravo")
    told.fail("round-x", survivors=("alpha", "bravo"))
    refused(told, Step.MEMBERSHIP, 3, match="bravo")


def test_an_envelope_beside_a_failed_round(federation):
    told = federation().founded()
    stray = told.contribution("alpha", "round-x")
    told.fail("round-x").beside([stray])
    refused(told, Step.ACCEPTANCES, 2, match="beside a round that failed")


@pytest.mark.parametrize("before", ["commit", "fail"])
def test_a_round_that_fails_after_it_ended(federation, before):
    told = federation().founded()
    getattr(told, before)("round-x")
    refused(told.fail("round-x"), Step.LINEAGE, 3, match="already")
