# SPDX-License-Identifier: Apache-2.0
"""Blocks that are not rounds: links, enrolments, plans, failures; a mirror's use."""

import dataclasses
from datetime import timedelta

import pytest

from fedxdr.core.errors import VerificationFailed
from fedxdr.core.ids import sha256
from fedxdr.crypto import envelope as dsse
from fedxdr.ledger import entries, rules
from fedxdr.ledger.block import Provenance
from fedxdr.ledger.entries import KeyCeremony, MemberKeys
from fedxdr.ledger.standing import Standing
from fedxdr.ledger.statements import ENROLMENT_TYPE
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
        standing.follow(signed.block, signed.block.hash)
    with pytest.raises(VerificationFailed, match="height 7"):
        rules.check(told.blocks[-1], standing)


# (2) links


@pytest.mark.parametrize(
    ("order", "height"),
    [
        pytest.param([0, 2, 1, 3, 4, 5, 6], 1, id="two swapped"),
        pytest.param([0, 1, 2, 4, 3, 5, 6], 3, id="plan before a member"),
        pytest.param([0, 1, 2, 3, 4, 6, 5], 5, id="rounds swapped"),
        pytest.param([0, 1, 2, 3, 4, 6], 5, id="one left out"),
        pytest.param([0, 1, 1, 2, 3, 4, 5, 6], 2, id="one twice"),
        pytest.param([0, 0, 1, 2, 3, 4, 5, 6], 1, id="Genesis twice"),
    ],
)
def test_blocks_in_another_order(federation, order, height):
    told = federation().founded().commit().commit()
    told.blocks = [told.blocks[i] for i in order]
    refused(told, Step.LINKS, height)


def test_a_block_that_follows_on_another_past(federation):
    told, other = federation().founded(), federation().begin(federation="Other")
    told.blocks[0] = other.blocks[0]
    refused(told, Step.LINKS, 1, match="prev_hash")


def test_a_renumbered_block(federation):
    told = federation().founded()
    told.blocks[2] = dataclasses.replace(
        told.blocks[2], block=dataclasses.replace(told.blocks[2].block, height=9)
    )
    refused(told, Step.LINKS, 2, match="height 9")


def test_a_block_dated_before_the_one_it_follows(federation):
    told = federation().founded()
    early = told.last.timestamp - timedelta(hours=1)
    told.append(told.last.entry, timestamp=early)
    refused(told, Step.LINKS, 5, match="dated before")


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
@pytest.mark.parametrize("kind", ["member", "plan", "failure"])
def test_a_quiet_block_that_says_what_only_a_round_may(begun, kind, lie, step):
    match kind:
        case "member":
            begun.enrol("alpha")
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


def test_envelopes_beside_a_plan(begun):
    begun.adopt()
    stray = dsse.sign("text/plain", b"hello", begun.orchestrator)
    refused(begun.beside([stray]), Step.ACCEPTANCES, 1)


# (6) enrolment


def test_an_enrolment_without_proof_of_its_key_is_a_warning(begun):
    report = verify(begun.enrol("alpha", proven=False).export())
    assert "block 1: alpha did not prove that it holds its key" in report.warnings
    assert not any("alpha" in w for w in verify(begun.export()).warnings[1:])


def test_a_member_enrolled_twice(begun):
    again = {"invitation_digest": OTHER}
    begun.enrol("alpha").enrol("alpha", entry_lies=again, statement_lies=again)
    refused(begun, Step.MEMBERSHIP, 2, match="member already")


def test_a_key_of_another_member(begun):
    begun.keys["bravo"] = begun.keys["alpha"]
    refused(begun.enrol("alpha").enrol("bravo"), Step.MEMBERSHIP, 2, match="key")


def test_the_key_of_the_orchestrator(begun):
    begun.keys["alpha"] = begun.orchestrator
    refused(begun.enrol("alpha"), Step.MEMBERSHIP, 1, match="key")


def test_an_invitation_used_twice(begun):
    used = {"invitation_digest": sha256(b"invitation of alpha")}
    begun.enrol("alpha").enrol("bravo", entry_lies=used, statement_lies=used)
    refused(begun, Step.MEMBERSHIP, 2, match="invitation")


@pytest.mark.parametrize(
    "lie",
    [
        {"org_id": "zulu"},
        {"name": "Another Ltd"},
        {"data_sources": ("zeek-conn",)},
        {"invitation_digest": OTHER},
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_an_enrolment_that_says_otherwise_than_the_member(begun, lie):
    told = begun.enrol("alpha", entry_lies=lie)
    refused(told, Step.MEMBERSHIP, 1, match="otherwise")


def test_an_enrolment_under_a_key_that_the_member_does_not_hold(federation):
    told, other = federation().begin(), federation(seed=2)
    stolen = {"keys": MemberKeys.of(other.keys["alpha"].public)}
    told.enrol("alpha", entry_lies=stolen, statement_lies=stolen)
    refused(told, Step.MEMBERSHIP, 1)


@pytest.mark.parametrize("payload", [b"{}", b"not json", b""])
def test_an_enrolment_statement_that_is_none(begun, payload):
    begun.enrol("alpha")
    begun.beside([dsse.sign(ENROLMENT_TYPE, payload, begun.keys["alpha"])])
    refused(begun, Step.MEMBERSHIP, 1)


def test_another_kind_of_statement_beside_an_enrolment(begun):
    stray = begun.contribution("alpha", "round-1")
    refused(begun.enrol("alpha").beside([stray]), Step.MEMBERSHIP, 1)


def test_two_envelopes_beside_an_enrolment(begun):
    begun.enrol("alpha")
    stray = begun.contribution("alpha", "round-1")
    begun.beside([*begun.blocks[-1].envelopes, stray])
    refused(begun, Step.ACCEPTANCES, 1)


# (7) plan


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": None},
        {"threshold": 0},
        {"threshold": True},
        {"threshold": 2.5},
        {"threshold": "2"},
        {"min_survivors": None},
        {"min_survivors": -1},
        {"collection_mode": None},
        {"collection_mode": ""},
        {"aggregation_method": None},
        {"aggregation_method": 7},
    ],
    ids=lambda change: "-".join(f"{k}={v}" for k, v in change.items()),
)
def test_a_plan_without_the_terms_that_the_ledger_reads(begun, change):
    refused(begun.adopt(**change), Step.METRICS, 1, match=next(iter(change)))


def test_a_plan_under_the_digest_of_another(begun):
    lie = {"plan_digest": entries.plan_digest({})}
    refused(begun.adopt(entry_lies=lie), Step.METRICS, 1, match="digest")


# Failed rounds


def test_a_failed_round_leaves_the_model_in_force(federation):
    told = federation().founded().commit().fail("round-x").commit()
    report = verify(told.export())
    assert report.rounds_failed == ("round-x",)
    assert report.generations == 3


def test_survivors_of_a_failed_round_that_are_no_members(federation):
    told = federation().founded().fail("round-x", survivors=("alpha", "zulu"))
    refused(told, Step.MEMBERSHIP, 5, match="zulu")


@pytest.mark.parametrize("before", ["commit", "fail"])
def test_a_round_that_fails_after_it_ended(federation, before):
    told = federation().founded()
    getattr(told, before)("round-x")
    refused(told.fail("round-x"), Step.LINEAGE, 6, match="already")


def test_a_key_ceremony_is_of_members_and_under_its_own_fingerprint(federation):
    record = {"key": {"holders": ["alpha", "bravo"]}}
    truth = {
        "record": record,
        "fingerprint": entries.ceremony_fingerprint(record),
        "holders": ("alpha", "bravo"),
    }
    told = federation().founded().append(KeyCeremony(**truth)).commit()
    assert verify(told.export()).generations == 2
    height = len(federation().founded().blocks)
    for lie, why in (
        ({"holders": ("alpha", "zulu")}, "zulu is no member"),
        ({"fingerprint": sha256(b"another")}, "fingerprint is another"),
    ):
        told = federation().founded().append(KeyCeremony(**truth | lie))
        refused(told, Step.MEMBERSHIP, height, match=why)
