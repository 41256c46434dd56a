# SPDX-License-Identifier: Apache-2.0
"""What founders and members decide: each rule has a lie that only it refuses."""

import copy
import dataclasses
import hashlib
from datetime import timedelta

import pytest

from fedxdr.core.errors import MalformedMessage, VerificationFailed
from fedxdr.core.ids import sha256
from fedxdr.crypto import envelope as dsse
from fedxdr.crypto.keys import IdentityKey
from fedxdr.crypto.publisher import PublisherKey
from fedxdr.ledger import change_rules, entries, statements
from fedxdr.ledger.block import next_block
from fedxdr.ledger.entries import Genesis, MemberKeys, MemberSuspended
from fedxdr.ledger.rules import check
from fedxdr.ledger.standing import Standing
from fedxdr.ledger.statements import APPROVAL_TYPE, ENROLMENT_TYPE, ROTATION_TYPE
from fedxdr.ledger.steps import Step
from fedxdr.ledger.verifier import verify

PUBLISHER = PublisherKey(seed=b"\x01" * 32).public_der
OTHER = sha256(b"something else")
ALL = ("alpha", "bravo", "charlie")

# RFC 8032, section 5.1.3 refuses the first two; the others are points of low order.
P = 2**255 - 19
BAD_POINTS = {
    "y is not below p": (P + 3).to_bytes(32, "little"),
    "minus zero": (1 | 1 << 255).to_bytes(32, "little"),
    "the neutral one": (1).to_bytes(32, "little"),
    "of order two": (P - 1).to_bytes(32, "little"),
    "of order four": bytes(32),
    "of order eight": bytes.fromhex(
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
    ),
    "no point": (2).to_bytes(32, "little"),
}


@pytest.fixture
def begun(federation):
    return federation().begin()


def refused(told, step, height, match=None):
    with pytest.raises(VerificationFailed, match=match) as caught:
        verify(told.export())
    assert (caught.value.step, caught.value.height) == (step, height), caught.value


def beside(told, kind):
    return [e for e in told.blocks[-1].envelopes if e.payload_type == kind]


def with_keys(key, **others):
    """Return the keys of an identity, some of them replaced."""
    return dataclasses.replace(MemberKeys.of(key.public), **others)


def without_ml_dsa(envelope):
    return dataclasses.replace(envelope, signatures=envelope.signatures[:1])


def with_ml_dsa_of(envelope, other):
    """Put another's ML-DSA-65 signature in, a good one, under the right key's name."""
    ed25519, ml_dsa = envelope.signatures
    wrong = dataclasses.replace(ml_dsa, sig=other.signatures[1].sig)
    return dataclasses.replace(envelope, signatures=(ed25519, wrong))


def test_every_kind_of_change_may_follow(whole):
    report = verify(whole.export())
    assert report.members == ("alpha", "bravo", "delta")
    assert report.blocks_verified == len(whole.blocks) == 12
    kinds = {type(signed.block.entry) for signed in whole.blocks}
    assert kinds == set(entries._KINDS.values())


# The Genesis


def test_a_single_founder_is_a_federation(federation):
    told = federation(("alpha",)).begin()
    assert verify(told.export()).members == ("alpha",)


@pytest.mark.parametrize("missing", ALL)
def test_a_genesis_that_a_founder_did_not_approve(federation, missing):
    by = [org for org in ALL if org != missing]
    told = federation().begin(approved_by=by)
    refused(told, Step.MEMBERSHIP, 0, match=r"approvals of .*, founders are")


def test_a_genesis_that_a_founder_did_not_enrol_for(federation):
    told = federation()
    told.begin(enrolments=[told.enrolment(org) for org in ("alpha", "bravo")])
    refused(told, Step.MEMBERSHIP, 0, match=r"enrolments of .*, founders are")


def test_a_stranger_enrolled_beside_the_founders(federation):
    told = federation((*ALL, "delta"))
    told.begin(founders=ALL, enrolments=[told.enrolment(org) for org in told.keys])
    refused(told, Step.MEMBERSHIP, 0, match="enrolments of")


def test_a_stranger_approved_the_genesis(federation):
    told = federation((*ALL, "delta"))
    told.begin(founders=ALL, approved_by=(*ALL, "delta"))
    refused(told, Step.MEMBERSHIP, 0, match="approvals of")


def test_a_founder_enrolled_with_other_keys_than_the_genesis_names(federation):
    told = federation()
    honest = told.keys["bravo"]
    told.keys["bravo"] = told.new_key()
    enrolments = [told.enrolment(org) for org in ALL]
    told.keys["bravo"] = honest
    told.begin(enrolments=enrolments)
    refused(told, Step.MEMBERSHIP, 0, match="bravo enrolled with other keys")


def test_a_founders_enrolment_signed_by_somebody_else(federation):
    told = federation()
    enrolments = [told.enrolment(org) for org in ("alpha", "bravo")]
    told.begin(enrolments=[*enrolments, told.enrolment("charlie", signer="alpha")])
    refused(told, Step.MEMBERSHIP, 0, match="not signed by")


def test_a_founders_approval_signed_by_somebody_else(federation):
    told = federation().begin()
    entry = told.last.entry
    fake = told.approval("charlie", entry, signer="alpha", ledger="0" * 64)
    kept = [
        e
        for e in told.blocks[0].envelopes
        if (e.payload_type, statements.read(e).org) != (APPROVAL_TYPE, "charlie")
    ]
    refused(told.beside([*kept, fake]), Step.MEMBERSHIP, 0, match="not signed by")


def test_two_founders_with_one_invitation(federation):
    told = federation()
    used = {"invitation_digest": OTHER}
    enrolments = [told.enrolment(org, **used) for org in ("alpha", "bravo")]
    told.begin(enrolments=[*enrolments, told.enrolment("charlie")])
    refused(told, Step.MEMBERSHIP, 0, match="two founders used one invitation")


def test_two_founders_with_one_key(federation):
    told = federation()
    told.keys["bravo"] = told.keys["alpha"]
    refused(told.begin(), Step.MEMBERSHIP, 0, match="is somebody else's")


def test_a_founder_with_a_key_of_the_orchestrator(federation):
    told = federation()
    told.keys["bravo"] = told.orchestrator
    refused(told.begin(), Step.MEMBERSHIP, 0, match="is somebody else's")


def founding(federation, org, **keys):
    """Return a ledger one of whose founders enrols other keys than its own."""
    told = federation()
    mine = with_keys(told.keys[org], **keys)
    enrolments = [
        told.enrolment(one, **({"keys": mine} if one == org else {})) for one in ALL
    ]
    named = {one: told.keys[one].public.fingerprint for one in ALL}
    return told.begin(enrolments=enrolments, names=named | {org: mine.fingerprint})


def test_a_founder_with_one_key_twice(federation):
    told = federation()
    mine = told.keys["bravo"].public.ed25519
    told = founding(federation, "bravo", tlog_ed25519=mine)
    refused(told, Step.MEMBERSHIP, 0, match="bravo has one key twice")


@pytest.mark.parametrize("name", ["ed25519", "tlog_ed25519"])
@pytest.mark.parametrize("key", BAD_POINTS)
def test_a_founder_with_an_unsound_key(federation, key, name):
    told = founding(federation, "bravo", **{name: BAD_POINTS[key]})
    # (its own signature key cannot sign at all, which is found first)
    match = "not signed by" if name == "ed25519" else "an Ed25519 public key"
    refused(told, Step.MEMBERSHIP, 0, match=match)


def test_an_orchestrator_with_one_key_twice(federation):
    told = federation()
    mine = told.orchestrator.public.ed25519
    told.begin(orchestrator=with_keys(told.orchestrator, tlog_ed25519=mine))
    refused(told, Step.MEMBERSHIP, 0, match="test.example/ledger has one key twice")


@pytest.mark.parametrize("name", ["ed25519", "tlog_ed25519"])
@pytest.mark.parametrize("key", BAD_POINTS)
def test_an_orchestrator_with_an_unsound_key(federation, key, name):
    told = federation()
    told.begin(orchestrator=with_keys(told.orchestrator, **{name: BAD_POINTS[key]}))
    refused(told, Step.MEMBERSHIP, 0, match="an Ed25519 public key")


def test_another_kind_of_envelope_beside_a_genesis(begun):
    stray = begun.contribution("alpha", "round-1")
    begun.beside([*begun.blocks[0].envelopes, stray])
    refused(begun, Step.MEMBERSHIP, 0, match="beside such a block")


def test_a_genesis_with_another_model_than_it_names(begun):
    begun.blocks[0] = dataclasses.replace(
        begun.blocks[0], block=dataclasses.replace(begun.last, model_hash=OTHER)
    )
    refused(begun, Step.LINEAGE, 0)


# Approvals

CHANGES = {
    "enrol": lambda told, **how: told.enrol("delta", **how),
    "rotate": lambda told, **how: told.rotate("charlie", **how),
    "suspend": lambda told, **how: told.suspend("charlie", **how),
    "replace": lambda told, **how: told.replace("next.example/ledger", **how),
    "adopt": lambda told, **how: told.adopt(clip_norm=9.0, **how),
    "ceremony": lambda told, **how: told.ceremony("alpha", "bravo", **how),
    "retire": lambda told, **how: told.retire(b"model 1", b"model 0", **how),
}


@pytest.mark.parametrize("by", [(), ("alpha",)], ids=["none", "one"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_too_few_approved(federation, change, by):
    told = federation().founded().commit()
    CHANGES[change](told, approved_by=by)
    refused(told, Step.MEMBERSHIP, 3, match=f"{len(by)} of 3 members approved")


@pytest.mark.parametrize("by", [("alpha", "bravo"), ("bravo", "charlie"), ALL])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_a_quorum_approved(federation, change, by):
    told = federation().founded().commit()
    assert verify(CHANGES[change](told, approved_by=by).export()).blocks_verified == 4


@pytest.mark.parametrize("count", range(1, 11))
def test_the_quorum_is_of_the_members_before(federation, count):
    names = tuple(f"org-{i:02d}" for i in range(count))
    told = federation(names).begin()
    # Castro and Liskov 1999: more than (n + f) / 2 with f = floor((n - 1) / 3)
    enough = (count + (count - 1) // 3) // 2 + 1
    assert told.standing().quorum == enough
    verify(told.enrol("zulu", approved_by=names[:enough]).export())
    short = federation(names).begin().enrol("zulu", approved_by=names[: enough - 1])
    refused(short, Step.MEMBERSHIP, 1, match=f"a quorum is {enough}")


def changed(told, *approvals):
    """Append a suspension of charlie with these approvals."""
    entry = MemberSuspended(
        change=told.next_change, org_id="charlie", reason="It left."
    )
    return told.append(entry, [approve(told, entry) for approve in approvals])


def by(org, **lies):
    return lambda told, entry: told.approval(org, entry, **lies)


def test_an_approval_of_another_entry(begun):
    other = begun.blocks[0].block.entry
    changed(begun, by("alpha"), lambda told, _: told.approval("bravo", other))
    refused(begun, Step.MEMBERSHIP, 1, match="bravo approved another entry")


def test_an_approval_on_another_ledger(begun, federation):
    other = federation(seed=2).begin().blocks[0].block.hash
    changed(begun, by("alpha"), by("bravo", ledger=other))
    refused(begun, Step.MEMBERSHIP, 1, match="bravo approved on another ledger")


def test_an_approval_as_of_a_genesis(begun):
    changed(begun, by("alpha"), by("bravo", ledger="0" * 64))
    refused(begun, Step.MEMBERSHIP, 1, match="bravo approved on another ledger")


def test_an_approval_that_had_expired(begun):
    changed(begun, by("alpha"), by("bravo", expires=begun.now))
    refused(begun, Step.MEMBERSHIP, 1, match="the approval of bravo had expired")


def test_an_approval_counts_until_it_expires(begun):
    until = begun.now + timedelta(seconds=1)
    changed(begun, by("alpha"), by("bravo", expires=until))
    assert begun.last.timestamp == until
    verify(begun.export())


def test_an_approval_by_a_stranger(begun):
    begun.keys["zulu"] = begun.new_key()
    changed(begun, by("alpha"), by("zulu"))
    refused(begun, Step.MEMBERSHIP, 1, match="zulu approved and is no member")
    told = begun
    told.blocks.pop()
    changed(told, by("alpha"), by("bravo"), by("zulu"))
    refused(told, Step.MEMBERSHIP, 1, match="zulu approved and is no member")


def test_an_approval_by_the_orchestrator(begun):
    begun.keys["zulu"] = begun.orchestrator
    changed(begun, by("alpha"), by("bravo", signer="zulu"))
    refused(begun, Step.MEMBERSHIP, 1, match="not signed by")


def test_an_approval_by_a_member_that_was_suspended(begun):
    begun.suspend("bravo")
    changed(begun, by("alpha"), by("bravo"))
    refused(begun, Step.MEMBERSHIP, 2, match="bravo approved and is no member")


def test_an_approval_by_keys_that_were_replaced(begun):
    old = begun.keys["bravo"]
    begun.rotate("bravo")
    begun.keys["old"] = old
    changed(begun, by("alpha"), by("bravo", signer="old"))
    refused(begun, Step.MEMBERSHIP, 2, match="not signed by")


def test_an_approval_signed_by_another_member(begun):
    changed(begun, by("alpha"), by("bravo", signer="alpha"))
    refused(begun, Step.MEMBERSHIP, 1, match="not signed by")


def test_two_approvals_by_one_member(begun):
    changed(
        begun,
        by("alpha"),
        by("alpha", expires=begun.now + timedelta(days=1)),
    )
    refused(begun, Step.MEMBERSHIP, 1, match="alpha states the same thing twice")


def test_a_newcomer_approves_nothing_before_the_next_block(begun):
    begun.keys["delta"] = begun.new_key()
    begun.enrol("delta", approved_by=("alpha", "delta"))
    refused(begun, Step.MEMBERSHIP, 1, match="delta approved and is no member")


def test_an_approval_without_its_ml_dsa_signature(begun):
    changed(
        begun, by("alpha"), lambda told, e: without_ml_dsa(told.approval("bravo", e))
    )
    refused(begun, Step.MEMBERSHIP, 1, match="not signed by")


def test_an_approval_with_a_wrong_ml_dsa_signature(begun):
    changed(
        begun,
        by("alpha"),
        lambda told, e: with_ml_dsa_of(
            told.approval("bravo", e), told.approval("bravo", e, ledger=OTHER)
        ),
    )
    refused(begun, Step.MEMBERSHIP, 1, match="ml-dsa-65 signature does not verify")


def test_approvals_replayed_for_a_later_change(begun):
    """Suspend delta, let it in again, and suspend it by the old approvals."""
    begun.enrol("delta").suspend("delta", approved_by=ALL)
    old = begun.blocks[-1]
    begun.keys["delta"] = begun.new_key()
    again = {"invitation_digest": OTHER}
    begun.enrol("delta", entry_lies=again, statement_lies=again)
    verify(begun.export())
    approvals = [e for e in old.envelopes if e.payload_type == APPROVAL_TYPE]
    begun.append(old.block.entry, approvals)
    refused(begun, Step.MEMBERSHIP, 4, match="change 2 after change 3")
    begun.blocks.pop()
    renumbered = dataclasses.replace(old.block.entry, change=4)
    begun.append(renumbered, approvals)
    refused(begun, Step.MEMBERSHIP, 4, match="approved another entry")


@pytest.mark.parametrize("number", [1, 3, 2**53 - 1])
def test_a_change_under_another_number(begun, number):
    begun.adopt()
    begun.suspend("charlie", change=number)
    refused(begun, Step.MEMBERSHIP, 2, match=f"change {number} after change 1")


@pytest.mark.parametrize("change", CHANGES)
def test_a_stray_envelope_beside_a_change(federation, change):
    told = CHANGES[change](federation().founded().commit())
    stray = dsse.sign_twice("text/plain", b"hello", told.keys["alpha"])
    told.beside([*told.blocks[-1].envelopes, stray])
    refused(told, Step.MEMBERSHIP, 3, match="text/plain beside such a block")


@pytest.mark.parametrize("change", sorted(set(CHANGES) - {"enrol", "rotate"}))
def test_an_enrolment_beside_another_change(federation, change):
    told = CHANGES[change](federation().founded().commit())
    stray = told.enrolment("alpha")
    told.beside([*told.blocks[-1].envelopes, stray])
    refused(told, Step.MEMBERSHIP, 3, match="enrolment")


# Enrolment


def test_an_enrolment_without_proof_of_its_keys(begun):
    told = begun.enrol("delta", proven=False)
    refused(told, Step.MEMBERSHIP, 1, match="0 enrolment statements, want one")


def test_two_enrolment_statements(begun):
    told = begun.enrol("delta")
    again = told.enrolment("delta", name="Delta Inc")
    told.beside([*told.blocks[-1].envelopes, again])
    refused(told, Step.MEMBERSHIP, 1, match="2 enrolment statements")


def test_a_member_enrolled_twice(begun):
    again = {"invitation_digest": OTHER}
    begun.keys["bravo"] = begun.new_key()
    begun.enrol("bravo", entry_lies=again, statement_lies=again)
    refused(begun, Step.MEMBERSHIP, 1, match="bravo is a member already")


def owner(told, who):
    """Return somebody's identity, after what made it so."""
    match who:
        case "a member":
            return told.keys["alpha"]
        case "the orchestrator":
            return told.orchestrator
        case "an orchestrator before":
            old = told.orchestrator
            told.replace("next.example/ledger")
            return old
        case "a member suspended":
            told.suspend("charlie")
            return told.keys["charlie"]
        case _:
            old = told.keys["charlie"]
            told.rotate("charlie")
            return old


OWNERS = [
    "a member",
    "the orchestrator",
    "an orchestrator before",
    "a member suspended",
    "a member that replaced it",
]


@pytest.mark.parametrize("name", MemberKeys.__slots__)
@pytest.mark.parametrize("who", OWNERS)
def test_an_enrolment_with_a_key_seen_before(begun, who, name):
    stolen = getattr(owner(begun, who).public, name)
    begun.keys["delta"] = begun.new_key()
    keys = with_keys(begun.keys["delta"], **{name: stolen})
    lies = {"keys": keys}
    begun.enrol("delta", entry_lies=lies, statement_lies=lies)
    height = begun.last.height
    refused(begun, Step.MEMBERSHIP, height, match="belongs or belonged to somebody")


@pytest.mark.parametrize("name", MemberKeys.__slots__)
@pytest.mark.parametrize("who", OWNERS)
def test_a_rotation_to_a_key_seen_before(begun, who, name):
    stolen = getattr(owner(begun, who).public, name)
    key = begun.new_key()
    lies = {"keys": with_keys(key, **{name: stolen})}
    begun.rotate("bravo", key=key, entry_lies=lies, statement_lies=lies)
    height = begun.last.height
    refused(begun, Step.MEMBERSHIP, height, match="belongs or belonged to somebody")


@pytest.mark.parametrize("name", MemberKeys.__slots__)
@pytest.mark.parametrize("who", OWNERS)
def test_an_orchestrator_with_a_key_seen_before(begun, who, name):
    stolen = getattr(owner(begun, who).public, name)
    key = begun.new_key()
    lies = {"orchestrator": with_keys(key, **{name: stolen})}
    begun.replace("third.example/ledger", key=key, **lies)
    height = begun.last.height
    refused(begun, Step.MEMBERSHIP, height, match="belongs or belonged to somebody")


def test_an_enrolment_with_one_key_twice(begun):
    begun.keys["delta"] = begun.new_key()
    mine = begun.keys["delta"].public.ed25519
    lies = {"keys": with_keys(begun.keys["delta"], tlog_ed25519=mine)}
    begun.enrol("delta", entry_lies=lies, statement_lies=lies)
    refused(begun, Step.MEMBERSHIP, 1, match="delta has one key twice")


@pytest.mark.parametrize("name", ["ed25519", "tlog_ed25519"])
@pytest.mark.parametrize("key", BAD_POINTS)
def test_an_enrolment_with_an_unsound_key(begun, key, name):
    begun.keys["delta"] = begun.new_key()
    lies = {"keys": with_keys(begun.keys["delta"], **{name: BAD_POINTS[key]})}
    begun.enrol("delta", entry_lies=lies, statement_lies=lies)
    refused(begun, Step.MEMBERSHIP, 1, match="an Ed25519 public key")


@pytest.mark.parametrize("before", ["founder", "member"])
def test_an_invitation_used_twice(begun, before):
    used = {"invitation_digest": sha256(b"invitation of alpha")}
    if before == "member":
        begun.enrol("delta")
        used = {"invitation_digest": sha256(b"invitation of delta")}
    begun.enrol("echo", entry_lies=used, statement_lies=used)
    height = begun.last.height
    refused(begun, Step.MEMBERSHIP, height, match="invitation that was used before")


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
    told = begun.enrol("delta", entry_lies=lie)
    refused(told, Step.MEMBERSHIP, 1, match="otherwise")


@pytest.mark.parametrize("name", ["tlog_ed25519", "tlog_ml_dsa_44"])
def test_an_enrolment_with_another_key_for_heads_than_the_member_states(begun, name):
    other = begun.new_key()
    begun.keys["delta"] = begun.new_key()
    lie = {name: getattr(other.public, name)}
    lies = {"keys": with_keys(begun.keys["delta"], **lie)}
    refused(
        begun.enrol("delta", entry_lies=lies), Step.MEMBERSHIP, 1, match="otherwise"
    )


@pytest.mark.parametrize("name", ["ed25519", "ml_dsa_65"])
def test_an_enrolment_under_a_key_that_the_member_does_not_hold(begun, name):
    begun.keys["delta"] = begun.new_key()
    stolen = getattr(begun.new_key().public, name)
    lies = {"keys": with_keys(begun.keys["delta"], **{name: stolen})}
    begun.enrol("delta", entry_lies=lies, statement_lies=lies)
    refused(begun, Step.MEMBERSHIP, 1, match="not signed by")


def test_an_enrolment_without_its_ml_dsa_signature(begun):
    begun.enrol("delta")
    (proof,) = beside(begun, ENROLMENT_TYPE)
    begun.beside([without_ml_dsa(proof), *beside(begun, APPROVAL_TYPE)])
    refused(begun, Step.MEMBERSHIP, 1, match="not signed by")


def test_an_enrolment_with_a_wrong_ml_dsa_signature(begun):
    begun.enrol("delta")
    (proof,) = beside(begun, ENROLMENT_TYPE)
    wrong = with_ml_dsa_of(proof, begun.enrolment("delta", name="Another Ltd"))
    begun.beside([wrong, *beside(begun, APPROVAL_TYPE)])
    refused(begun, Step.MEMBERSHIP, 1, match="ml-dsa-65 signature does not verify")


@pytest.mark.parametrize("payload", [b"{}", b"not json", b""])
def test_an_enrolment_statement_that_is_none(begun, payload):
    begun.enrol("delta")
    fake = dsse.sign_twice(ENROLMENT_TYPE, payload, begun.keys["delta"])
    begun.beside([fake, *beside(begun, APPROVAL_TYPE)])
    refused(begun, Step.MEMBERSHIP, 1)


RESERVED = ["auditor", "none", "operator", "orchestrator"]


@pytest.mark.parametrize("name", RESERVED)
def test_an_organisation_under_the_name_of_somebody_else(begun, name):
    """A C2SP policy has ``none`` for no quorum at all; the others are callers."""
    told = begun.enrol(name)
    refused(told, Step.MEMBERSHIP, 1, match=f"called {name}")


@pytest.mark.parametrize("name", RESERVED)
def test_a_founder_under_the_name_of_somebody_else(federation, name):
    told = federation(("alpha", name)).begin()
    refused(told, Step.MEMBERSHIP, 0, match=f"called {name}")


@pytest.mark.parametrize("change", ["enrol", "rotate", "replace"])
def test_keys_that_look_alike_in_heads(federation, monkeypatch, change):
    """IDs have 32 bits, so that two alike can be made; here they all are."""
    told = CHANGES[change](federation().founded().commit())
    known = change_rules.key_hash
    old = {key.public.tlog_ed25519 for key in [*told.made.values()][:4]}

    def alike(*, public_key, **what):
        if len(public_key) == 32 and public_key not in old:
            return b"0000"
        return known(public_key=public_key, **what)

    verify(told.export())
    monkeypatch.setattr(change_rules, "key_hash", alike)
    refused(told, Step.MEMBERSHIP, 3, match="have one ID in signed heads")


@pytest.mark.parametrize("origin", ["alpha", "ledger", "localhost:8443"])
def test_a_ledger_under_a_name_that_a_member_could_have(federation, origin):
    told = federation().begin(origin=origin)
    refused(told, Step.MEMBERSHIP, 0, match="an origin with a dot or a slash")
    told = federation().begin().replace(origin)
    refused(told, Step.MEMBERSHIP, 1, match="an origin with a dot or a slash")


def test_a_publisher_with_a_key_that_is_no_point(federation):
    good = federation().begin().last.entry.publisher
    off = good[:-1] + bytes([good[-1] ^ 1])
    refused(federation().begin(publisher=off), Step.MEMBERSHIP, 0)
    told = federation().begin().replace("next.example/ledger", publisher=off)
    refused(told, Step.MEMBERSHIP, 1)


def test_an_organisation_that_was_suspended_comes_back_with_new_keys(begun):
    begun.suspend("charlie")
    again = {"invitation_digest": OTHER}
    begun.keys["charlie"] = begun.new_key()
    begun.enrol("charlie", entry_lies=again, statement_lies=again)
    assert verify(begun.adopt().commit().export()).members == ALL


def test_an_organisation_that_was_suspended_comes_back_with_its_old_keys(begun):
    again = {"invitation_digest": OTHER}
    begun.suspend("charlie").enrol("charlie", entry_lies=again, statement_lies=again)
    refused(begun, Step.MEMBERSHIP, 2, match="belongs or belonged to somebody")


def test_an_organisation_that_was_suspended_comes_back_by_its_old_invitation(begun):
    begun.suspend("charlie")
    begun.keys["charlie"] = begun.new_key()
    refused(begun.enrol("charlie"), Step.MEMBERSHIP, 2, match="used before")


# Rotation


def test_keys_are_replaced_again_and_again(begun):
    told = begun.adopt().rotate("bravo").rotate("bravo").rotate("alpha").commit()
    assert verify(told.export()).blocks_verified == 6


def test_a_rotation_without_proof_of_the_new_keys(begun):
    told = begun.rotate("bravo", proven=False)
    refused(told, Step.MEMBERSHIP, 1, match="0 rotation statements, want one")


def test_a_rotation_that_the_old_keys_sign(begun):
    told = begun.rotate("bravo", signer=begun.keys["bravo"])
    refused(told, Step.MEMBERSHIP, 1, match="not signed by")


def test_a_rotation_without_its_ml_dsa_signature(begun):
    begun.rotate("bravo")
    (proof,) = beside(begun, ROTATION_TYPE)
    begun.beside([without_ml_dsa(proof), *beside(begun, APPROVAL_TYPE)])
    refused(begun, Step.MEMBERSHIP, 1, match="not signed by")


def test_a_rotation_of_other_keys_than_those_in_force(begun):
    lies = {"previous": OTHER}
    told = begun.rotate("bravo", entry_lies=lies, statement_lies=lies)
    refused(told, Step.MEMBERSHIP, 1, match="other keys than those to be replaced")


def test_a_rotation_for_somebody_who_is_no_member(begun):
    begun.keys["zulu"] = begun.new_key()
    told = begun.rotate("zulu")
    refused(told, Step.MEMBERSHIP, 1, match="zulu is no member")


@pytest.mark.parametrize("lie", [{"org": "alpha"}, {"previous": OTHER}])
def test_a_rotation_that_states_something_else(begun, lie):
    told = begun.rotate("bravo", statement_lies=lie)
    refused(told, Step.MEMBERSHIP, 1, match="stated other keys")


@pytest.mark.parametrize("name", ["tlog_ed25519", "tlog_ml_dsa_44"])
def test_a_rotation_to_other_keys_for_heads_than_the_member_states(begun, name):
    key = begun.new_key()
    lie = {name: getattr(begun.new_key().public, name)}
    told = begun.rotate("bravo", key=key, entry_lies={"keys": with_keys(key, **lie)})
    refused(told, Step.MEMBERSHIP, 1, match="stated other keys")


@pytest.mark.parametrize("key", BAD_POINTS)
def test_a_rotation_to_an_unsound_key(begun, key):
    new = begun.new_key()
    lies = {"keys": with_keys(new, tlog_ed25519=BAD_POINTS[key])}
    told = begun.rotate("bravo", key=new, entry_lies=lies, statement_lies=lies)
    refused(told, Step.MEMBERSHIP, 1, match="an Ed25519 public key")


# Suspension, another orchestrator


def test_a_suspension_of_somebody_who_is_no_member(begun):
    refused(begun.suspend("zulu"), Step.MEMBERSHIP, 1, match="zulu is no member")


def test_a_suspension_twice(begun):
    told = begun.suspend("charlie").suspend("charlie")
    refused(told, Step.MEMBERSHIP, 2, match="charlie is no member")


def test_the_last_member_stays(begun):
    told = begun.suspend("charlie").suspend("bravo")
    verify(told.export())
    refused(told.suspend("alpha"), Step.MEMBERSHIP, 3, match="last member")


def test_a_member_may_approve_its_own_suspension(begun):
    told = begun.suspend("charlie", approved_by=("alpha", "charlie"))
    assert verify(told.export()).members == ("alpha", "bravo")


def test_another_orchestrator_keeps_the_ledger_under_another_name(begun):
    first = begun.orchestrator
    told = begun.adopt().commit().replace("next.example/ledger").commit()
    report = verify(told.export(), pinned_orchestrator_key=first.public.ed25519)
    assert report.origin == "test.example/ledger"
    assert report.blocks_verified == 5


@pytest.mark.parametrize("back", [False, True])
def test_another_orchestrator_under_a_name_that_the_ledger_had(begun, back):
    if back:
        begun.replace("next.example/ledger")
    begun.replace("test.example/ledger")
    height = begun.last.height
    refused(begun, Step.MEMBERSHIP, height, match="was called test.example/ledger")


@pytest.mark.parametrize("name", ["ed25519", "tlog_ed25519"])
def test_another_orchestrator_with_an_unsound_key(begun, name):
    key = begun.new_key()
    lie = with_keys(key, **{name: BAD_POINTS["of order eight"]})
    begun.replace("next.example/ledger", key=key, orchestrator=lie)
    refused(begun, Step.MEMBERSHIP, 1, match="an Ed25519 public key of low order")


# Plans, ceremonies


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


def test_a_key_ceremony_of_members(begun):
    told = begun.adopt().ceremony("alpha", "bravo").commit()
    assert verify(told.export()).generations == 2


@pytest.mark.parametrize("who", ["zulu", "charlie"])
def test_a_key_ceremony_with_somebody_who_is_no_member(begun, who):
    begun.suspend("charlie").ceremony("alpha", who)
    refused(begun, Step.MEMBERSHIP, 2, match=f"{who} is no member")


def test_a_key_ceremony_under_the_fingerprint_of_another(begun):
    told = begun.ceremony("alpha", "bravo", fingerprint=OTHER)
    refused(told, Step.MEMBERSHIP, 1, match="fingerprint is another")


# Withdrawals


def test_a_model_is_withdrawn_and_the_one_before_comes_back(federation):
    told = federation().founded().commit().commit().retire(b"model 2", b"model 1")
    report = verify(told.export())
    assert (report.model_hash, report.model_version) == (sha256(b"model 1"), "v1")
    assert report.generations == 2
    report = verify(told.commit().export())
    assert (report.model_version, report.generations) == ("v3", 3)


def test_an_earlier_model_is_withdrawn_and_the_newest_stays(federation):
    told = federation().founded().commit().commit().retire(b"model 1", b"model 2")
    assert verify(told.export()).model_hash == sha256(b"model 2")


@pytest.mark.parametrize(
    ("model", "successor", "match"),
    [
        (b"model 9", b"model 2", "no block names the model to withdraw"),
        (b"model 2", b"model 9", "no block names the model to return to"),
        (b"model 2", b"model 2", "the model to return to is withdrawn"),
        (b"model 1", b"model 0", "though another one is withdrawn"),
    ],
)
def test_a_withdrawal_that_makes_no_sense(federation, model, successor, match):
    told = federation().founded().commit().commit()
    told.models.append(b"model 9")
    refused(told.retire(model, successor), Step.LINEAGE, 4, match=match)


def test_a_model_is_withdrawn_once(federation):
    told = federation().founded().commit().commit()
    told.retire(b"model 1", b"model 2").retire(b"model 1", b"model 2")
    refused(told, Step.LINEAGE, 5, match="withdrawn already")


def test_no_model_that_was_withdrawn_comes_back(federation):
    told = federation().founded().commit().commit()
    told.retire(b"model 1", b"model 2").retire(b"model 2", b"model 1")
    refused(told, Step.LINEAGE, 5, match="the model to return to is withdrawn")


@pytest.mark.parametrize(
    "lie",
    [
        {"model_hash": sha256(b"model 2")},
        {"model_hash": sha256(b"model 0")},
        {"provenance": {"model_version": "v2"}},
        {"provenance": {"model_version": "v1", "round_id": "round-9"}},
    ],
)
def test_after_a_withdrawal_another_model_is_in_force_than_it_says(federation, lie):
    told = federation().founded().commit().commit().retire(b"model 2", b"model 1")
    block = told.last
    if "provenance" in lie:
        made = dataclasses.replace(block.provenance, **lie["provenance"])
        lie = {"provenance": made}
    told.blocks[-1] = dataclasses.replace(
        told.blocks[-1], block=dataclasses.replace(block, **lie)
    )
    refused(told, Step.LINEAGE, 4, match="without a round")


def test_a_round_starts_from_the_model_that_came_back(federation):
    told = federation().founded().commit().commit().retire(b"model 2", b"model 1")
    lie = {"parent_model": sha256(b"model 2")}
    told.commit(contribution_lies=lie, acceptance_lies=lie, provenance_lies=lie)
    refused(told, Step.LINEAGE, 5, match="the parent is")


def test_a_second_genesis_is_no_block(begun):
    """What Genesis at another height would be is not even a block."""
    entry = begun.last.entry
    assert isinstance(entry, Genesis)
    with pytest.raises(MalformedMessage, match="Genesis"):
        next_block(begun.last, entry=entry, timestamp=begun.now)
    with pytest.raises(VerificationFailed, match="height 0"):
        check(begun.blocks[0], begun.standing())


def test_names_of_others_are_nobodys(begun):
    for name in ("operator", "orchestrator", "auditor"):
        told = copy.deepcopy(begun)
        told.enrol(name)
        refused(told, Step.MEMBERSHIP, 1, match="the name of somebody else")


def test_a_ledger_is_not_called_as_a_member_could_be(federation):
    told = federation()
    told.begin(origin="alpha")
    with pytest.raises(VerificationFailed, match="a dot or a slash"):
        check(told.blocks[0], Standing())


def test_a_publishers_key_is_a_point_of_its_curve(federation):
    told = federation()
    told.begin(publisher=PUBLISHER[:-1] + bytes([PUBLISHER[-1] ^ 1]))
    with pytest.raises(VerificationFailed) as caught:
        check(told.blocks[0], Standing())
    assert caught.value.step == Step.MEMBERSHIP


def test_two_keys_with_one_id_in_signed_heads_never_enter(begun):
    # found by trying: IDs have 32 bits. With both in it a policy would be none, and the
    # ledger could go neither on nor back.
    ed25519 = IdentityKey(seed=(34771).to_bytes(32, "big")).public.ed25519
    ml_dsa = hashlib.shake_128((55477).to_bytes(4, "big")).digest(1312)
    begun.keys["mallory"] = begun.new_key()
    keys = with_keys(begun.keys["mallory"], tlog_ed25519=ed25519, tlog_ml_dsa_44=ml_dsa)
    lies = {"keys": keys}
    told = begun.enrol("mallory", entry_lies=lies, statement_lies=lies)
    with pytest.raises(VerificationFailed, match="one ID in signed heads") as caught:
        check(told.blocks[1], told.standing(1))
    assert caught.value.step == Step.MEMBERSHIP
