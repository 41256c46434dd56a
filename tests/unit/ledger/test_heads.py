# SPDX-License-Identifier: Apache-2.0
"""Heads: signed twice by the log and by each member, and by nobody else."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import BadSignature, MalformedMessage
from fedxdr.core.ids import sha256
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import checkpoint, heads, merkle, note
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.cosignature import sign_log, sign_ml_dsa_44, timestamp_of
from fedxdr.ledger.note_form import Note, NoteSignature
from fedxdr.ledger.standing import witness_keys

ROOT = bytes.fromhex(sha256(b"root"))


@pytest.fixture
def told(federation):
    return federation().founded()


@pytest.fixture
def log(told):
    return told.standing().log


def with_lines(head, lines):
    return Note(text=note.parse(head).text, signatures=tuple(lines)).to_bytes()


def lines_of(head):
    return note.parse(head).signatures


def test_a_signed_head_is_read_back(told, log):
    head = told.head(cosigners=())
    says = heads.verify_log(head, log)
    assert says == Checkpoint(
        origin="test.example/ledger", size=2, root=says.root, extensions=()
    )
    assert says == checkpoint.parse(head)


def test_the_root_is_that_of_the_tree_over_the_bodies(told):
    leaves = [merkle.leaf_hash(signed.block.body()) for signed in told.blocks]
    root = heads.root_of([signed.block.hash for signed in told.blocks])
    assert bytes.fromhex(root) == merkle.root(leaves)
    assert checkpoint.parse(told.head()).root == merkle.root(leaves)


def test_another_logs_key_is_refused(told, log):
    with pytest.raises(BadSignature):
        heads.verify_log(told.head(signer=told.keys["alpha"]), log)


def test_another_origin_is_refused(told, log):
    with pytest.raises(BadSignature, match="did not sign"):
        heads.verify_log(told.head(origin="other.example/ledger"), log)


@pytest.mark.parametrize("kept", [0, 1], ids=["Ed25519", "ML-DSA-44"])
def test_a_head_has_both_of_the_logs_signatures(told, log, kept):
    head = told.head(cosigners=())
    heads.verify_log(head, log)
    half = with_lines(head, [lines_of(head)[kept]])
    with pytest.raises(BadSignature, match="did not sign"):
        heads.verify_log(half, log)


@pytest.mark.parametrize("at", [0, 1], ids=["Ed25519", "ML-DSA-44"])
def test_both_of_the_logs_signatures_are_good(told, log, at):
    head = told.head(cosigners=())
    other = lines_of(told.head(cosigners=(), root=ROOT.hex()))
    lines = list(lines_of(head))
    lines[at] = other[at]
    with pytest.raises(BadSignature, match="does not verify"):
        heads.verify_log(with_lines(head, lines), log)


def test_one_key_twice_is_not_two(told, log):
    head = told.head(cosigners=())
    first, second = lines_of(head)
    for lines in ((first, first), (second, second)):
        with pytest.raises(BadSignature, match="did not sign"):
            heads.verify_log(with_lines(head, lines), log)


def by_the_log(told, body, origin="test.example/ledger"):
    """Return a note over any body, signed as the log signs."""
    key, public = told.orchestrator, told.orchestrator.public
    lines = (
        sign_log(
            body,
            name=origin,
            sign=key.sign_tlog_ed25519,
            public_key=public.tlog_ed25519,
        ),
        sign_ml_dsa_44(
            body,
            name=origin,
            timestamp=1,
            sign=key.sign_tlog_ml_dsa_44,
            public_key=public.tlog_ml_dsa_44,
        ),
    )
    return Note(text=body, signatures=lines).to_bytes()


def test_a_head_with_extensions_is_refused(told, log):
    """ML-DSA-44 does not cover them, so nobody would know whose they are."""
    body = Checkpoint(origin=log.origin, size=2, root=ROOT, extensions=("more",)).body()
    with pytest.raises(MalformedMessage, match="another log"):
        heads.verify_log(by_the_log(told, body), log)


def test_a_head_that_names_another_log_is_refused(told, log):
    body = Checkpoint(origin="other.example/ledger", size=2, root=ROOT).body()
    with pytest.raises(MalformedMessage, match=r"another log, other\.example/ledger"):
        heads.verify_log(by_the_log(told, body), log)


@pytest.mark.parametrize("data", [b"", b"\n", b"no head", b"\xff\n\n"])
def test_anything_but_a_note_is_refused(log, data):
    with pytest.raises(MalformedMessage):
        heads.verify_log(data, log)


# A member's lines


@pytest.fixture
def alpha(told):
    """Return what ``member_lines`` wants to know of one member."""
    keys = witness_keys("alpha", told.standing().cosigners["alpha"].keys)
    return {"head": told.head(cosigners=()), "org": "alpha", "keys": keys}


def test_the_two_lines_of_a_member_are_put_to_the_head(told, alpha):
    lines = told.lines(alpha["head"], "alpha")
    found = heads.member_lines(lines, **alpha)
    assert found.signatures == (*lines_of(alpha["head"]), *lines)
    again = heads.member_lines(lines, **alpha | {"head": found.to_bytes()})
    assert again == found


@pytest.mark.parametrize("kept", [slice(0, 1), slice(1, 2), slice(0, 0)])
def test_a_member_cosigns_with_both_keys(told, alpha, kept):
    lines = told.lines(alpha["head"], "alpha")
    with pytest.raises(MalformedMessage, match="two lines by alpha"):
        heads.member_lines(lines[kept], **alpha)


def test_two_lines_by_one_key_are_refused(told, alpha):
    first, _ = told.lines(alpha["head"], "alpha")
    later, _ = told.lines(alpha["head"], "alpha", at=told.now + timedelta(seconds=1))
    with pytest.raises(BadSignature, match="both of its keys"):
        heads.member_lines((first, later), **alpha)


def test_lines_by_another_member_are_refused(told, alpha):
    lines = told.lines(alpha["head"], "bravo")
    with pytest.raises(MalformedMessage, match="two lines by alpha"):
        heads.member_lines(lines, **alpha)
    renamed = [dataclasses.replace(line, name="alpha") for line in lines]
    with pytest.raises(BadSignature, match="both of its keys"):
        heads.member_lines(renamed, **alpha)


def test_lines_for_another_head_are_refused(told, alpha):
    lines = told.lines(told.head(cosigners=(), root=ROOT.hex()), "alpha")
    with pytest.raises(BadSignature, match="does not verify"):
        heads.member_lines(lines, **alpha)


def test_lines_by_the_keys_of_statements_are_refused(told, alpha):
    """The keys for heads are keys of their own."""
    key = told.keys["alpha"]
    swapped = IdentityKey(seed=key.seed)
    object.__setattr__(swapped, "_tlog_ed25519", key._ed25519)
    lines = heads.cosign(alpha["head"], swapped, org="alpha", at=told.now)
    with pytest.raises(BadSignature, match="does not verify"):
        heads.member_lines(lines, **alpha)


# Strangers


def test_only_lines_of_the_log_and_the_members_are_kept(told):
    head = told.head()
    told.keys["zulu"] = told.new_key()
    more = with_lines(head, [*lines_of(head), *told.lines(head, "zulu")])
    assert heads.known_lines(more, told.standing()) == head


def test_a_line_under_a_members_name_and_another_key_is_a_strangers(told):
    head = told.head()
    other = heads.cosign(head, told.new_key(), org="alpha", at=told.now)
    more = with_lines(head, [*lines_of(head), *other])
    assert heads.known_lines(more, told.standing()) == head


def test_a_line_under_the_logs_name_and_another_key_is_a_strangers(told, log):
    head = told.head()
    stray = NoteSignature(name=log.origin, key_id=b"\0\0\0\0", signature=b"\0")
    more = with_lines(head, [*lines_of(head), stray])
    assert heads.known_lines(more, told.standing()) == head


def test_one_line_of_each_key_is_kept(told):
    head = told.head()
    later = told.lines(head, "bravo", at=told.now + timedelta(seconds=1))
    twice = with_lines(head, [*lines_of(head), lines_of(head)[-1], *later])
    assert heads.known_lines(twice, told.standing()) == head


@given(random=st.randoms(use_true_random=False))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lines_have_one_order(told, random):
    """The log's, then the members' by name; Ed25519 before ML-DSA-44."""
    head = told.head()
    mixed = [*lines_of(head)]
    random.shuffle(mixed)
    assert heads.known_lines(with_lines(head, mixed), told.standing()) == head
    names = [line.name for line in lines_of(head)]
    members = [org for org in sorted(told.standing().cosigners) for _ in range(2)]
    assert names == [told.standing().log.origin] * 2 + members


# When


def at_times(told, later):
    """Return a head that each member cosigned so many seconds late."""
    head = told.head(cosigners=())
    for org, seconds in later.items():
        lines = told.lines(head, org, at=told.now + timedelta(seconds=seconds))
        head = with_lines(head, [*lines_of(head), *lines])
    return head


def test_the_last_cosignature_tells_the_time_where_nobody_may_lie(told):
    head = at_times(told, {"alpha": 0, "bravo": 3600})
    found = heads.cosigned_at(head, told.standing(), ("alpha", "bravo"))
    assert found == told.now.replace(microsecond=0) + timedelta(hours=1)
    assert heads.cosigned_at(head, told.standing(), ("alpha",)) == told.now
    assert heads.cosigned_at(head, told.standing(), ()) is None


def test_f_liars_cannot_put_the_time_off(told):
    for org in ("delta", "echo"):
        told.enrol(org)
    told.adopt()
    standing = told.standing()
    assert len(standing.cosigners) == 5  # so one may lie
    late = {"alpha": 10, "bravo": 20, "charlie": 86_400 * 365, "delta": 30, "echo": 0}
    head = at_times(told, late)
    found = heads.cosigned_at(head, standing, tuple(late))
    assert found == told.now.replace(microsecond=0) + timedelta(seconds=30)


@pytest.mark.parametrize(
    ("when", "counts"),
    [
        (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), True),
        (253402300800, False),
        (2**63 - 1, False),
    ],
)
def test_a_time_that_no_calendar_has_is_passed_over(told, when, counts):
    """A witness may write any time below 2^63, and sign it."""
    head, key = told.head(cosigners=()), told.keys["alpha"]
    line = sign_ml_dsa_44(
        note.parse(head).text,
        name="alpha",
        timestamp=int(when.timestamp()) if counts else when,
        sign=key.sign_tlog_ml_dsa_44,
        public_key=key.public.tlog_ml_dsa_44,
    )
    assert timestamp_of(line) >= 253402300799
    head = with_lines(head, [*lines_of(head), line])
    found = heads.cosigned_at(head, told.standing(), ("alpha",))
    assert found == (when if counts else None)
