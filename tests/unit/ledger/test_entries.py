# SPDX-License-Identifier: Apache-2.0
"""Entries: a closed union by type, read strictly, never wrongly built."""

import dataclasses
import hashlib
from datetime import UTC, datetime, timedelta, timezone

import pytest

from fedxdr.core.canonical import encode, parse_jcs
from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import sha256
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import entries, forms
from fedxdr.ledger.entries import (
    Genesis,
    KeyCeremony,
    MemberEnrolled,
    MemberKeyRotated,
    MemberKeys,
    MemberSuspended,
    ModelRetired,
    OrchestratorReplaced,
    PlanAdopted,
    RoundCommitted,
    RoundFailed,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEYS = MemberKeys.of(IdentityKey.generate(SeededEntropy(1)).public)
D = sha256(b"something")
# RFC 5480: a P-256 key in DER, uncompressed
P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004") + (
    bytes(range(64))
)

ENTRIES = {
    "fedxdr/genesis/v2": Genesis(
        federation="Fédération 七",
        origin="soc.example/ledger",
        orchestrator=KEYS,
        publisher=P256,
        created=NOW,
        protocol_version=1,
        initial_model=D,
        layout_digest=D,
        founders={"alpha": D, "bravo": D},
    ),
    "fedxdr/member-enrolled/v2": MemberEnrolled(
        change=1,
        org_id="alpha",
        name="Alpha Ltd",
        keys=KEYS,
        data_sources=("suricata-eve", "zeek-conn"),
        invitation_digest=D,
    ),
    "fedxdr/member-key-rotated/v1": MemberKeyRotated(
        change=2, org_id="alpha", keys=KEYS, previous=D
    ),
    "fedxdr/member-suspended/v1": MemberSuspended(
        change=3, org_id="alpha", reason="It left."
    ),
    "fedxdr/orchestrator-replaced/v1": OrchestratorReplaced(
        change=4, orchestrator=KEYS, publisher=P256, origin="next.example/ledger"
    ),
    "fedxdr/model-retired/v1": ModelRetired(
        change=5, model_hash=D, successor=sha256(b"earlier"), reason="Poisoned."
    ),
    "fedxdr/plan-adopted/v2": PlanAdopted(
        change=6,
        plan={"threshold": 2, "nested": {"rate": 1e-05, "on": True, "none": None}},
        plan_digest=D,
    ),
    "fedxdr/key-ceremony/v2": KeyCeremony(
        change=2**53 - 1,
        record={"key": {"threshold": 2}},
        fingerprint=D,
        holders=("alpha", "bravo"),
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
    ("genesis", {"publisher": b""}),
    ("genesis", {"publisher": P256[:-1]}),
    ("genesis", {"publisher": P256 + b"\0"}),
    ("genesis", {"publisher": P256[:-65] + b"\x02" + P256[-64:]}),
    ("genesis", {"publisher": b"\x31" + P256[1:]}),
    ("genesis", {"founders": {}}),
    ("genesis", {"founders": {"Alpha": D}}),
    ("genesis", {"founders": {"alpha": "00"}}),
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
    ("member-key-rotated", {"org_id": "Alpha"}),
    ("member-key-rotated", {"previous": "00"}),
    ("member-suspended", {"org_id": "Alpha"}),
    ("member-suspended", {"reason": ""}),
    ("member-suspended", {"reason": "two\nlines"}),
    ("orchestrator-replaced", {"origin": "has blank"}),
    ("orchestrator-replaced", {"publisher": P256[1:]}),
    ("model-retired", {"model_hash": "00"}),
    ("model-retired", {"successor": "00"}),
    ("model-retired", {"reason": ""}),
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
    *(
        (name, {"change": number})
        for name in (
            "member-enrolled",
            "member-key-rotated",
            "member-suspended",
            "orchestrator-replaced",
            "model-retired",
            "plan-adopted",
            "key-ceremony",
        )
        for number in (0, -1)
    ),
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
    (truth,) = (e for tag, e in ENTRIES.items() if tag.split("/")[1] == name)
    with pytest.raises(MalformedMessage):
        dataclasses.replace(truth, **wrong)


@pytest.mark.parametrize("more", [-1, 1])
@pytest.mark.parametrize("name", MemberKeys.__slots__)
def test_a_key_of_another_length_cannot_be_built(name, more):
    size = len(getattr(KEYS, name))
    with pytest.raises(MalformedMessage, match=f"{name}: got {size + more} bytes"):
        dataclasses.replace(KEYS, **{name: bytes(size + more)})


def test_the_keys_of_a_member_are_those_of_its_identity():
    identity = IdentityKey.generate(SeededEntropy(1)).public
    assert KEYS.identity == identity
    assert KEYS.fingerprint == identity.fingerprint
    assert KEYS.all == {
        identity.ed25519,
        identity.ml_dsa_65,
        identity.tlog_ed25519,
        identity.tlog_ml_dsa_44,
    }


def test_whatever_members_decide_is_numbered():
    decided = [e for e in ENTRIES.values() if isinstance(e, entries.Change)]
    assert sorted(e.change for e in decided) == [1, 2, 3, 4, 5, 6, 2**53 - 1]
    undecided = {type(e) for e in ENTRIES.values() if not hasattr(e, "change")}
    assert undecided == {Genesis, RoundCommitted, RoundFailed}


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
        {"type": "fedxdr/genesis/v1"},
        {"type": "fedxdr/genesis/v3"},
        {"type": "fedxdr/member-enrolled/v1"},
        {"type": "Genesis"},
    ],
)
def test_unknown_kinds_of_entry_are_refused(value):
    with pytest.raises(MalformedMessage, match="an entry is one of"):
        entries.parse(value)


@pytest.mark.parametrize("tag", ENTRIES)
def test_the_digest_of_an_entry_is_as_documented(tag):
    written = b"fedxdr/entry/v1\x00" + encode(ENTRIES[tag])
    assert entries.entry_digest(ENTRIES[tag]) == hashlib.sha256(written).hexdigest()


def test_the_digest_of_a_change_tells_its_number():
    entry = ENTRIES["fedxdr/member-suspended/v1"]
    later = dataclasses.replace(entry, change=entry.change + 1)
    assert entries.entry_digest(entry) != entries.entry_digest(later)


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
    forms.require_shallow(nested(32, kind=kind), "this")
    forms.require_shallow("scalar", "this")
    with pytest.raises(MalformedMessage, match="this is nested deeper than 32"):
        forms.require_shallow(nested(33, kind=kind), "this")
    with pytest.raises(MalformedMessage, match="a plan"):
        PlanAdopted(change=1, plan=nested(33, kind=dict), plan_digest=D)


def test_in_order_sorts_and_removes_repetition():
    assert forms.in_order(["b", "a", "b"]) == ("a", "b")
