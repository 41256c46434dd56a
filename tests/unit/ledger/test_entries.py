# SPDX-License-Identifier: Apache-2.0
"""Entries: a closed union by type, read strictly, never wrongly built."""

import dataclasses
import hashlib
from datetime import UTC, datetime, timedelta, timezone

import pytest

from fedxdr.core.canonical import encode, parse_jcs
from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import sha256
from fedxdr.ledger import entries
from fedxdr.ledger.entries import (
    Genesis,
    KeyCeremony,
    MemberEnrolled,
    MemberKeys,
    PlanAdopted,
    RoundCommitted,
    RoundFailed,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEYS = MemberKeys(ed25519=bytes(range(32)))
D = sha256(b"something")

ENTRIES = {
    "fedxdr/genesis/v1": Genesis(
        federation="Fédération 七",
        origin="soc.example/ledger",
        orchestrator=KEYS,
        created=NOW,
        protocol_version=1,
        initial_model=D,
        layout_digest=D,
    ),
    "fedxdr/member-enrolled/v1": MemberEnrolled(
        org_id="alpha",
        name="Alpha Ltd",
        keys=KEYS,
        data_sources=("suricata-eve", "zeek-conn"),
        invitation_digest=D,
    ),
    "fedxdr/plan-adopted/v1": PlanAdopted(
        plan={"threshold": 2, "nested": {"rate": 1e-05, "on": True, "none": None}},
        plan_digest=D,
    ),
    "fedxdr/key-ceremony/v1": KeyCeremony(
        record={"key": {"threshold": 2}}, fingerprint=D, holders=("alpha", "bravo")
    ),
    "fedxdr/round-committed/v1": RoundCommitted(
        round_id="round-1",
        task="training",
        plan_digest=D,
        collection_mode="secagg",
        cohort=("alpha", "bravo"),
        survivors=("alpha",),
        dropouts=("bravo",),
        contributions={"alpha": D},
        contributions_root=D,
        sum_digest=D,
    ),
    "fedxdr/round-failed/v1": RoundFailed(
        round_id="round-1",
        phase="shares",
        reason="too-few-participants",
        sentence="Only one organisation answered.",
    ),
}

WRONG = [
    ("key-ceremony", {"holders": ("bravo", "alpha")}),
    ("key-ceremony", {"fingerprint": "no digest"}),
    ("genesis", {"federation": ""}),
    ("genesis", {"federation": "x" * 501}),
    ("genesis", {"federation": "two\nlines"}),
    ("genesis", {"origin": ""}),
    ("genesis", {"origin": "has blank"}),
    ("genesis", {"origin": "has+plus"}),
    ("genesis", {"origin": "x" * 256}),
    ("genesis", {"origin": "ümlaut"}),
    ("genesis", {"origin": "ends\n"}),
    ("genesis", {"created": NOW.replace(tzinfo=None)}),
    ("genesis", {"created": NOW.astimezone(timezone(timedelta(hours=2)))}),
    ("genesis", {"protocol_version": 0}),
    ("genesis", {"initial_model": "00"}),
    ("genesis", {"layout_digest": D.upper()}),
    ("member-enrolled", {"org_id": "Alpha"}),
    ("member-enrolled", {"org_id": ""}),
    ("member-enrolled", {"name": ""}),
    ("member-enrolled", {"data_sources": ("b", "a")}),
    ("member-enrolled", {"data_sources": ("a", "a")}),
    ("member-enrolled", {"data_sources": ("",)}),
    ("member-enrolled", {"invitation_digest": ""}),
    ("plan-adopted", {"plan_digest": "x" * 64}),
    ("round-committed", {"round_id": "Round 1"}),
    ("round-committed", {"plan_digest": ""}),
    ("round-committed", {"collection_mode": ""}),
    ("round-committed", {"cohort": ("bravo", "alpha")}),
    ("round-committed", {"survivors": ("alpha", "alpha")}),
    ("round-committed", {"dropouts": ("-",)}),
    ("round-committed", {"contributions": {"Alpha": D}}),
    ("round-committed", {"contributions": {"alpha": "00"}}),
    ("round-committed", {"contributions_root": ""}),
    ("round-committed", {"sum_digest": ""}),
    ("round-failed", {"round_id": ""}),
    ("round-failed", {"phase": ""}),
    ("round-failed", {"reason": ""}),
    ("round-failed", {"sentence": "tab\there"}),
    ("round-failed", {"survivors": ("bravo", "alpha")}),
]


@pytest.mark.parametrize("tag", ENTRIES)
def test_an_entry_is_read_back_from_its_value(tag):
    value = parse_jcs(encode(ENTRIES[tag]))
    assert value["type"] == tag
    assert entries.parse(value) == ENTRIES[tag]


def test_every_kind_of_entry_is_in_the_union():
    assert set(entries._KINDS) == set(ENTRIES)


@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_a_wrong_entry_cannot_be_built(name, wrong):
    with pytest.raises(MalformedMessage):
        dataclasses.replace(ENTRIES[f"fedxdr/{name}/v1"], **wrong)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_length_cannot_be_built(size):
    with pytest.raises(MalformedMessage):
        MemberKeys(ed25519=bytes(size))


@pytest.mark.parametrize("tag", ENTRIES)
def test_unknown_missing_and_mistyped_fields_are_refused(tag):
    value = parse_jcs(encode(ENTRIES[tag]))
    with pytest.raises(MalformedMessage):
        entries.parse(value | {"more": 1})
    for field in set(value) - {"type"}:
        with pytest.raises(MalformedMessage):
            entries.parse({k: v for k, v in value.items() if k != field})
        with pytest.raises(MalformedMessage):
            entries.parse(value | {field: 1.5})


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        [],
        "fedxdr/genesis/v1",
        {},
        {"type": None},
        {"type": []},
        {"type": "fedxdr/genesis/v2"},
        {"type": "Genesis"},
    ],
)
def test_unknown_kinds_of_entry_are_refused(value):
    with pytest.raises(MalformedMessage, match="an entry is one of"):
        entries.parse(value)


def test_the_digest_of_a_plan_is_as_documented():
    plan = {"b": 1.0, "a": [True, None]}
    written = b'fedxdr/plan/v1\x00{"a":[true,null],"b":1}'
    assert entries.plan_digest(plan) == hashlib.sha256(written).hexdigest()


def nested(depth, *, kind=list):
    value = kind()
    for _ in range(depth - 1):
        value = [value] if kind is list else {"k": value}
    return value


@pytest.mark.parametrize("kind", [list, dict])
def test_values_nested_too_deeply_are_refused(kind):
    entries.require_shallow(nested(32, kind=kind), "this")
    entries.require_shallow("scalar", "this")
    with pytest.raises(MalformedMessage, match="this is nested deeper than 32"):
        entries.require_shallow(nested(33, kind=kind), "this")
    with pytest.raises(MalformedMessage, match="a plan"):
        PlanAdopted(plan=nested(33, kind=dict), plan_digest=D)


def test_in_order_sorts_and_removes_repetition():
    assert entries.in_order(["b", "a", "b"]) == ("a", "b")
