# SPDX-License-Identifier: Apache-2.0
"""Statements: what they say, in which form, and who signed."""

import dataclasses
from datetime import UTC, datetime

import pytest

from fedxdr.core.canonical import encode
from fedxdr.core.errors import BadSignature, MalformedMessage
from fedxdr.core.ids import sha256
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto import envelope as dsse
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import statements
from fedxdr.ledger.entries import MemberKeys
from fedxdr.ledger.statements import (
    NO_PRIVACY,
    AcceptanceStatement,
    ContributionStatement,
    EnrolmentStatement,
    PrivacyClaim,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
D = sha256(b"something")
KEY = IdentityKey.generate(SeededEntropy(1))
OTHER = IdentityKey.generate(SeededEntropy(2))
KEYS = MemberKeys.of(KEY.public)

CONTRIBUTION = ContributionStatement(
    org="alpha",
    round_id="round-1",
    plan_digest=D,
    parent_model=D,
    contribution_digest=D,
    sample_exponent=7,
    privacy=NO_PRIVACY,
    issued_at=NOW,
)
ACCEPTANCE = AcceptanceStatement(
    org="alpha",
    round_id="round-1",
    prev_hash=D,
    parent_model=D,
    model_hash=D,
    sum_digest=D,
    contributions_root=D,
    replayed=True,
    verdict="accepted",
    issued_at=NOW,
)
ENROLMENT = EnrolmentStatement(
    org="alpha",
    name="Alpha Ltd",
    keys=KEYS,
    data_sources=("zeek-conn",),
    invitation_digest=D,
    issued_at=NOW,
)
STATEMENTS = [CONTRIBUTION, ACCEPTANCE, ENROLMENT]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_signed_statement_is_read_back(statement):
    envelope = statements.sign(statement, KEY)
    assert envelope.payload == encode(statement)
    assert statements.read(envelope) == statement
    kind = type(statement)
    assert statements.verify(envelope, kind=kind, keys=KEYS) == statement


def test_no_privacy_is_written_as_nothing_but_that():
    assert encode(NO_PRIVACY) == b'{"mechanism":"none"}'
    claim = PrivacyClaim(mechanism="gaussian", epsilon=1, delta=1e-5)
    assert encode(claim) == b'{"delta":0.00001,"epsilon":1,"mechanism":"gaussian"}'


def test_the_kinds_have_their_own_payload_types():
    types = {statements.sign(s, KEY).payload_type for s in STATEMENTS}
    assert len(types) == 3
    assert all(".v1+json" in payload_type for payload_type in types)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_another_signer_is_refused(statement):
    envelope = statements.sign(statement, OTHER)
    with pytest.raises(BadSignature):
        statements.verify(envelope, kind=type(statement), keys=KEYS)


def test_another_keys_signature_under_this_keyid_is_refused():
    good, bad = statements.sign(CONTRIBUTION, KEY), statements.sign(CONTRIBUTION, OTHER)
    forged = dataclasses.replace(bad.signatures[0], keyid=good.signatures[0].keyid)
    envelope = dataclasses.replace(good, signatures=(forged,))
    with pytest.raises(BadSignature):
        statements.verify(envelope, kind=ContributionStatement, keys=KEYS)


def test_another_kind_is_refused():
    envelope = statements.sign(ACCEPTANCE, KEY)
    with pytest.raises(BadSignature, match="signed as"):
        statements.verify(envelope, kind=ContributionStatement, keys=KEYS)
    renamed = dataclasses.replace(envelope, payload_type=statements.CONTRIBUTION_TYPE)
    with pytest.raises(BadSignature):
        statements.verify(renamed, kind=ContributionStatement, keys=KEYS)


def test_a_second_signature_is_refused():
    one, two = statements.sign(CONTRIBUTION, KEY), statements.sign(CONTRIBUTION, OTHER)
    both = dataclasses.replace(one, signatures=one.signatures + two.signatures)
    with pytest.raises(MalformedMessage, match="one signature"):
        statements.verify(both, kind=ContributionStatement, keys=KEYS)


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b"null", encode(CONTRIBUTION) + b" ", encode(ACCEPTANCE)],
)
def test_a_payload_that_is_no_such_statement_is_refused(payload):
    envelope = dsse.sign(statements.CONTRIBUTION_TYPE, payload, KEY)
    with pytest.raises(MalformedMessage):
        statements.read(envelope)
    with pytest.raises(MalformedMessage):
        statements.verify(envelope, kind=ContributionStatement, keys=KEYS)


def test_unknown_kinds_are_refused():
    with pytest.raises(MalformedMessage, match="text/plain"):
        statements.read(dsse.sign("text/plain", b"{}", KEY))


def test_statements_are_found_by_organisation():
    bravo = dataclasses.replace(CONTRIBUTION, org="bravo")
    envelopes = [statements.sign(s, KEY) for s in (CONTRIBUTION, ACCEPTANCE, bravo)]
    found = statements.by_organisation(envelopes, ContributionStatement)
    assert found == {
        "alpha": (envelopes[0], CONTRIBUTION),
        "bravo": (envelopes[2], bravo),
    }
    assert list(statements.by_organisation(envelopes, AcceptanceStatement)) == ["alpha"]


def test_the_same_statement_twice_is_refused():
    again = dataclasses.replace(CONTRIBUTION, sample_exponent=8)
    envelopes = [statements.sign(s, KEY) for s in (CONTRIBUTION, again)]
    with pytest.raises(MalformedMessage, match="alpha states the same thing twice"):
        statements.by_organisation(envelopes, ContributionStatement)


@pytest.mark.parametrize(
    ("statement", "wrong"),
    [
        (CONTRIBUTION, {"org": "Alpha"}),
        (CONTRIBUTION, {"round_id": ""}),
        (CONTRIBUTION, {"plan_digest": ""}),
        (CONTRIBUTION, {"parent_model": ""}),
        (CONTRIBUTION, {"contribution_digest": ""}),
        (CONTRIBUTION, {"sample_exponent": -1}),
        (CONTRIBUTION, {"sample_exponent": 41}),
        (CONTRIBUTION, {"issued_at": NOW.replace(tzinfo=None)}),
        (ACCEPTANCE, {"org": ""}),
        (ACCEPTANCE, {"round_id": ""}),
        (ACCEPTANCE, {"prev_hash": ""}),
        (ACCEPTANCE, {"parent_model": ""}),
        (ACCEPTANCE, {"model_hash": ""}),
        (ACCEPTANCE, {"sum_digest": ""}),
        (ACCEPTANCE, {"contributions_root": ""}),
        (ACCEPTANCE, {"reason": "x" * 501}),
        (ACCEPTANCE, {"verdict": "rejected"}),
        (ACCEPTANCE, {"verdict": "rejected", "reason": "\n"}),
        (ACCEPTANCE, {"issued_at": NOW.replace(tzinfo=None)}),
        (ENROLMENT, {"org": ""}),
        (ENROLMENT, {"name": ""}),
        (ENROLMENT, {"data_sources": ("b", "a")}),
        (ENROLMENT, {"invitation_digest": ""}),
        (ENROLMENT, {"issued_at": NOW.replace(tzinfo=None)}),
        (NO_PRIVACY, {"mechanism": ""}),
    ],
)
def test_a_wrong_statement_cannot_be_built(statement, wrong):
    with pytest.raises(MalformedMessage):
        dataclasses.replace(statement, **wrong)


def test_a_sample_bucket_is_a_power_of_two():
    buckets = [
        dataclasses.replace(CONTRIBUTION, sample_exponent=e).sample_bucket
        for e in (0, 7, 40)
    ]
    assert buckets == [1, 128, 2**40]
