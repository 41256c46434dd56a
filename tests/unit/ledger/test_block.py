# SPDX-License-Identifier: Apache-2.0
"""Blocks: their bytes, their hash, what binds signatures, and the builders."""

import dataclasses
import hashlib
from datetime import timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.canonical import parse_jcs
from fedxdr.core.errors import MalformedMessage, TooLarge
from fedxdr.core.ids import sha256
from fedxdr.ledger import block, entries, merkle, statements
from fedxdr.ledger.block import GENESIS_PREV_HASH, Provenance, next_block
from fedxdr.ledger.entries import PlanAdopted, RoundFailed
from fedxdr.ledger.statements import NO_PRIVACY

# Every field of the origin's block: architecture, sections 3.5 and 6.
FIELDS = {
    "height",
    "timestamp",
    "prev_hash",
    "model_hash",
    "org_signatures",
    "aggregation_metrics",
    "provenance",
}
PROVENANCE = {
    "model_version",
    "parent_model",
    "round_id",
    "training_orgs",
    "training_config",
    "data_sources",
    "data_volume",
    "aggregation_method",
    "privacy_params",
}

names = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)


@pytest.fixture
def told(federation):
    return federation().founded().commit(survivors=("alpha", "charlie"))


def test_every_block_has_every_field_of_the_origin(told):
    for signed in told.blocks:
        value = parse_jcs(signed.block.body())
        assert set(value) == FIELDS | {"entry", "signatures_digest"}
        assert set(value["provenance"]) == PROVENANCE


def test_the_hash_is_the_leaf_hash_of_the_body(told):
    for signed in told.blocks:
        body = signed.block.body()
        assert signed.block.hash == hashlib.sha256(b"\x00" + body).hexdigest()
        assert signed.block.hash == block.hash_of(body)
        assert b'"hash"' not in body


def test_a_block_is_read_back_from_its_bytes(told):
    for signed in told.blocks:
        assert block.parse(signed.block.body()) == signed.block


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b'{"height":0}'])
def test_anything_but_a_block_is_refused(data):
    with pytest.raises(MalformedMessage):
        block.parse(data)


def test_blocks_link_up(told):
    for before, after in zip(told.blocks, told.blocks[1:], strict=False):
        assert after.block.height == before.block.height + 1
        assert after.block.prev_hash == before.block.hash
    assert told.blocks[0].block.prev_hash == GENESIS_PREV_HASH == "0" * 64


def test_the_block_of_a_round_is_filled_from_its_statements(told):
    made, entry = told.last.provenance, told.last.entry
    contributed = {
        org: statement
        for org, (_, statement) in statements.by_organisation(
            told.blocks[-1].envelopes, statements.ContributionStatement
        ).items()
    }
    assert entry.cohort == ("alpha", "bravo", "charlie")
    assert entry.survivors == made.training_orgs == ("alpha", "charlie")
    assert entry.dropouts == ("bravo",)
    assert entry.plan_digest == entries.plan_digest(told.plan)
    assert entry.contributions == {
        org: statement.contribution_digest for org, statement in contributed.items()
    }
    assert entry.contributions_root == block.contributions_root(entry.contributions)
    assert made.parent_model == sha256(b"model 0")
    assert made.data_volume == {"alpha": 128, "charlie": 128}
    assert made.privacy_params == {"alpha": NO_PRIVACY, "charlie": NO_PRIVACY}
    assert made.aggregation_method == "fedavg"
    assert made.data_sources == ("suricata-eve",)
    assert told.last.aggregation_metrics["num_clients"] == 2
    assert told.last.model_hash == sha256(b"model 1")


def test_org_signatures_are_the_digests_of_the_acceptances(told):
    accepted = statements.by_organisation(
        told.blocks[-1].envelopes, statements.AcceptanceStatement
    )
    assert told.last.org_signatures == {
        org: sha256(envelope.to_json()) for org, (envelope, _) in accepted.items()
    }
    assert set(told.last.org_signatures) == {"alpha", "charlie"}


def test_what_binds_the_envelopes_is_as_documented(told):
    envelopes = told.blocks[-1].envelopes
    digests_ = sorted(sha256(e.to_json()) for e in envelopes)
    written = "[" + ",".join(f'"{d}"' for d in digests_) + "]"
    wanted = hashlib.sha256(written.encode()).hexdigest()
    assert told.last.signatures_digest == wanted
    assert [e.digest for e in envelopes] == digests_


def test_a_quiet_block_keeps_model_and_version(told):
    entry = RoundFailed(round_id="r", phase="keys", reason="late", sentence="Late.")
    after = next_block(told.last, entry=entry, timestamp=told.tick()).block
    assert after.model_hash == told.last.model_hash
    assert after.provenance == Provenance(model_version="v1")
    assert after.aggregation_metrics == {}


@given(st.dictionaries(names, digests, max_size=9))
def test_the_contributions_root_is_the_tree_over_sorted_pairs(contributions):
    leaves = [
        merkle.leaf_hash(f'["{org}","{contributions[org]}"]'.encode())
        for org in sorted(contributions)
    ]
    wanted = merkle.root(leaves).hex()
    assert block.contributions_root(contributions) == wanted
    turned = dict(reversed(contributions.items()))
    assert block.contributions_root(turned) == wanted


def test_a_ledger_begins_with_a_genesis_and_has_one(told):
    genesis, failed = (
        told.blocks[0].block.entry,
        RoundFailed(round_id="r", phase="keys", reason="late", sentence="Late."),
    )
    with pytest.raises(MalformedMessage, match="begins with a Genesis"):
        next_block(None, entry=failed, timestamp=told.now)
    with pytest.raises(MalformedMessage, match="Genesis"):
        next_block(told.last, entry=genesis, timestamp=told.now)


def test_a_clock_that_ran_backwards_is_refused(told):
    entry = RoundFailed(round_id="r", phase="keys", reason="late", sentence="Late.")
    early = told.last.timestamp - timedelta(microseconds=1)
    with pytest.raises(MalformedMessage, match="not dated before"):
        next_block(told.last, entry=entry, timestamp=early)
    same = next_block(told.last, entry=entry, timestamp=told.last.timestamp)
    assert same.block.timestamp == told.last.timestamp


def test_the_same_statement_twice_is_refused(told):
    entry = RoundFailed(round_id="r", phase="keys", reason="late", sentence="Late.")
    twice = [
        told.acceptance("alpha", "r", b"", [], replayed=replayed)
        for replayed in (True, False)
    ]
    with pytest.raises(MalformedMessage, match="twice"):
        next_block(told.last, entry=entry, timestamp=told.tick(), envelopes=twice)


@pytest.mark.parametrize("key", ["collection_mode", "aggregation_method"])
def test_a_plan_without_what_the_block_repeats_is_refused(told, key):
    del told.plan[key]
    with pytest.raises(MalformedMessage, match=key):
        told.commit()


def test_a_block_that_is_too_long_is_refused(told):
    config = {"text": "x" * 65_535}
    huge = dataclasses.replace(told.last.provenance, training_config=config)
    with pytest.raises(TooLarge, match="limit 65535"):
        dataclasses.replace(told.last, provenance=huge).body()


def test_a_block_that_would_be_too_long_is_not_made(told):
    entry = PlanAdopted(change=2, plan={"text": "x" * 65_535}, plan_digest=sha256(b""))
    with pytest.raises(TooLarge, match="limit 65535"):
        next_block(told.last, entry=entry, timestamp=told.tick())


@pytest.mark.parametrize("zone", [None, timezone(timedelta(hours=2))])
def test_a_block_in_local_time_cannot_be_built(told, zone):
    with pytest.raises(MalformedMessage, match="UTC"):
        dataclasses.replace(told.last, timestamp=told.now.replace(tzinfo=zone))


def test_the_deepest_plan_is_written_and_read_and_no_deeper_one(told):
    plan = {}
    for _ in range(31):
        plan = {"k": plan}
    entry = PlanAdopted(change=2, plan=plan, plan_digest=entries.plan_digest(plan))
    made = next_block(told.last, entry=entry, timestamp=told.tick()).block
    assert block.parse(made.body()) == made
    deeper = (
        made.body()
        .replace(b'"plan":', b'"plan":{"k":')
        .replace(b',"plan_digest"', b'},"plan_digest"')
    )
    with pytest.raises(MalformedMessage, match="nested deeper"):
        block.parse(deeper)


@pytest.mark.parametrize("depth", [40, 500, 900, 5000])
def test_a_block_that_is_nested_too_deeply_is_refused(told, depth):
    deep = b"[" * depth + b"]" * depth
    body = told.last.body().replace(b'"clip_norm":1.5', b'"clip_norm":' + deep)
    with pytest.raises(MalformedMessage):
        block.parse(body)


def test_the_longest_block_is_written_and_read(told):
    def padded(length):
        config = {"text": "x" * length}
        made = dataclasses.replace(told.last.provenance, training_config=config)
        return dataclasses.replace(told.last, provenance=made)

    spare = 65_535 - len(padded(0).body())
    assert len(padded(spare).body()) == 65_535
    assert block.parse(padded(spare).body()) == padded(spare)
    with pytest.raises(TooLarge):
        padded(spare + 1).body()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_figure_that_is_not_finite_is_refused(told, value):
    figures = told.last.aggregation_metrics | {"loss": value}
    with pytest.raises(MalformedMessage):
        dataclasses.replace(told.last, aggregation_metrics=figures).body()


@pytest.mark.parametrize(
    "wrong",
    [
        {"height": -1},
        {"height": 0},
        {"prev_hash": GENESIS_PREV_HASH},
        {"prev_hash": ""},
        {"model_hash": ""},
        {"signatures_digest": ""},
        {"org_signatures": {"Alpha": "0" * 64}},
        {"org_signatures": {"alpha": "0"}},
    ],
)
def test_a_wrong_block_cannot_be_built(told, wrong):
    with pytest.raises(MalformedMessage):
        dataclasses.replace(told.last, **wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model_version": ""},
        {"parent_model": ""},
        {"round_id": ""},
        {"training_orgs": ("b", "a")},
        {"data_sources": ("b", "a")},
        {"data_volume": {"B": 1}},
        {"privacy_params": {"B": NO_PRIVACY}},
    ],
)
def test_a_wrong_provenance_cannot_be_built(wrong):
    with pytest.raises(MalformedMessage):
        Provenance(**{"model_version": "v1"} | wrong)
