# SPDX-License-Identifier: Apache-2.0
"""Statements: what they say, in which form, and who signed."""

import dataclasses
from datetime import UTC, datetime

import pytest

from fedxdr.core.canonical import encode, jcs, parse_jcs
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
    ApprovalStatement,
    ContributionStatement,
    EnrolmentStatement,
    PrivacyClaim,
    RotationStatement,
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
    task="training",
    builder=D,
    plan_digest=D,
    prev_hash=D,
    parent_model=D,
    model_hash=D,
    sum_digest=D,
    contributions={"alpha": D, "bravo": sha256(b"bravo's")},
    contributions_root=D,
    data_volume={"alpha": 128, "bravo": 1},
    privacy_params={"alpha": NO_PRIVACY, "bravo": NO_PRIVACY},
    figures={"round": 1.0, "convergence": 0.25},
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
ROTATION = RotationStatement(org="alpha", keys=KEYS, previous=D, issued_at=NOW)
APPROVAL = ApprovalStatement(org="alpha", ledger=D, entry=D, expires=NOW, issued_at=NOW)
STATEMENTS = [CONTRIBUTION, ACCEPTANCE, ENROLMENT, ROTATION, APPROVAL]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_signed_statement_is_read_back(statement):
    envelope = statements.sign(statement, KEY)
    assert envelope.payload == statements.payload_of(statement)
    assert parse_jcs(envelope.payload)
    assert statements.read(envelope) == statement
    kind = type(statement)
    assert statements.verify(envelope, kind=kind, keys=KEYS) == statement


def test_no_privacy_is_written_as_nothing_but_that():
    assert encode(NO_PRIVACY) == b'{"mechanism":"none"}'
    claim = PrivacyClaim(mechanism="gaussian", epsilon=1, delta=1e-5)
    assert encode(claim) == b'{"delta":0.00001,"epsilon":1,"mechanism":"gaussian"}'


def test_the_kinds_have_their_own_payload_types():
    types = {statements.sign(s, KEY).payload_type for s in STATEMENTS}
    assert types == {
        "application/vnd.fedxdr.contribution-statement.v1+json",
        "application/vnd.in-toto+json",
        "application/vnd.fedxdr.enrolment-statement.v2+json",
        "application/vnd.fedxdr.rotation-statement.v1+json",
        "application/vnd.fedxdr.approval.v1+json",
    }


@pytest.mark.parametrize("statement", STATEMENTS)
def test_another_signer_is_refused(statement):
    envelope = statements.sign(statement, OTHER)
    with pytest.raises(BadSignature):
        statements.verify(envelope, kind=type(statement), keys=KEYS)


@pytest.mark.parametrize("which", [0, 1], ids=["Ed25519", "ML-DSA-65"])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_another_keys_signature_under_this_keyid_is_refused(statement, which):
    good, bad = statements.sign(statement, KEY), statements.sign(statement, OTHER)
    forged = list(good.signatures)
    forged[which] = dataclasses.replace(
        bad.signatures[which], keyid=good.signatures[which].keyid
    )
    envelope = dataclasses.replace(good, signatures=tuple(forged))
    with pytest.raises(BadSignature, match="does not verify"):
        statements.verify(envelope, kind=type(statement), keys=KEYS)


@pytest.mark.parametrize("which", [0, 1], ids=["Ed25519", "ML-DSA-65"])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_one_signature_of_the_two_is_not_enough(statement, which):
    good = statements.sign(statement, KEY)
    half = dataclasses.replace(good, signatures=(good.signatures[which],))
    with pytest.raises(BadSignature, match="not signed by"):
        statements.verify(half, kind=type(statement), keys=KEYS)


def test_another_kind_is_refused():
    envelope = statements.sign(ACCEPTANCE, KEY)
    with pytest.raises(BadSignature, match="signed as"):
        statements.verify(envelope, kind=ContributionStatement, keys=KEYS)
    renamed = dataclasses.replace(envelope, payload_type=statements.CONTRIBUTION_TYPE)
    with pytest.raises(BadSignature):
        statements.verify(renamed, kind=ContributionStatement, keys=KEYS)


def test_a_signature_by_somebody_else_besides_is_refused():
    one, two = statements.sign(CONTRIBUTION, KEY), statements.sign(CONTRIBUTION, OTHER)
    both = dataclasses.replace(one, signatures=one.signatures + two.signatures)
    with pytest.raises(BadSignature, match="not signed by"):
        statements.verify(both, kind=ContributionStatement, keys=KEYS)


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b"null", encode(CONTRIBUTION) + b" ", encode(APPROVAL)],
)
def test_a_payload_that_is_no_such_statement_is_refused(payload):
    envelope = dsse.sign_twice(statements.CONTRIBUTION_TYPE, payload, KEY)
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
    (found,) = statements.by_organisation(envelopes, AcceptanceStatement).items()
    assert found == ("alpha", (envelopes[1], ACCEPTANCE))


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
        (ACCEPTANCE, {"builder": ""}),
        (ACCEPTANCE, {"plan_digest": ""}),
        (ACCEPTANCE, {"contributions": {"Alpha": D}}),
        (ACCEPTANCE, {"contributions": {"alpha": ""}}),
        (ACCEPTANCE, {"data_volume": {"": 1}}),
        (ACCEPTANCE, {"privacy_params": {"Alpha": NO_PRIVACY}}),
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
        (ROTATION, {"org": ""}),
        (ROTATION, {"previous": ""}),
        (ROTATION, {"issued_at": NOW.replace(tzinfo=None)}),
        (APPROVAL, {"org": ""}),
        (APPROVAL, {"ledger": ""}),
        (APPROVAL, {"entry": ""}),
        (APPROVAL, {"expires": NOW.replace(tzinfo=None)}),
        (APPROVAL, {"issued_at": NOW.replace(tzinfo=None)}),
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


def without(value, *path):
    """Return a JSON value without one of its parts."""
    key, *rest = path
    if isinstance(value, list):
        return [
            *value[:key],
            *([without(value[key], *rest)] if rest else []),
            *value[key + 1 :],
        ]
    left = {k: v for k, v in value.items() if k != key}
    return left | {key: without(value[key], *rest)} if rest else left


BUILD, RUN = ("predicate", "buildDefinition"), ("predicate", "runDetails")
PARTS = [
    ("_type",),
    ("subject",),
    ("subject", 0),
    ("subject", 0, "name"),
    ("subject", 0, "digest", "sha256"),
    ("predicateType",),
    ("predicate",),
    (*BUILD, "buildType"),
    (*BUILD, "externalParameters", "dataVolume"),
    (*BUILD, "externalParameters", "plan"),
    (*BUILD, "externalParameters", "privacy"),
    (*BUILD, "externalParameters", "task"),
    (*BUILD, "resolvedDependencies"),
    (*BUILD, "resolvedDependencies", 0),
    (*BUILD, "resolvedDependencies", 0, "name"),
    (*BUILD, "resolvedDependencies", 1, "name"),
    (*BUILD, "resolvedDependencies", 2, "digest"),
    ("predicate", "fedxdr_acceptance"),
    ("predicate", "fedxdr_acceptance", "org"),
    ("predicate", "fedxdr_acceptance", "reason"),
    ("predicate", "fedxdr_acceptance", "verdict"),
    (*RUN, "builder", "id"),
    (*RUN, "byproducts"),
    (*RUN, "byproducts", 0),
    (*RUN, "byproducts", 1, "name"),
    (*RUN, "byproducts", 2, "annotations"),
    (*RUN, "metadata", "invocationId"),
]


@pytest.mark.parametrize("path", PARTS, ids=lambda path: ".".join(map(str, path)))
def test_an_acceptance_without_one_of_its_parts_is_refused(path):
    value = parse_jcs(statements.payload_of(ACCEPTANCE))
    payload = jcs(without(value, *path))
    with pytest.raises(MalformedMessage):
        statements.parse(payload, AcceptanceStatement)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"https://in-toto.io/Statement/v1", b"https://in-toto.io/Statement/v0"),
        (b"https://slsa.dev/provenance/v1", b"https://slsa.dev/provenance/v2"),
        (b"https://slsa.dev/provenance/v1", b"urn:fedxdr:rejection:v1"),
        (b"urn:fedxdr:round:v1", b"urn:fedxdr:round:v2"),
        (b"urn:fedxdr:orchestrator:", b""),
        (b"model.safetensors", b"model.pickle"),
        (b'"name":"sum"', b'"name":"som"'),
        (b"contribution/alpha", b"alpha"),
        (b"contribution/alpha", b"contribution/zulu"),
        (b'"verdict":"accepted"', b'"verdict":"rejected"'),
        (b'"verdict":"accepted"', b'"verdict":"ignored"'),
        (b'"task":"training"', b'"task":"guessing"'),
        (b'"replayed":true', b'"replayed":1'),
        (b'"_type":', b'"_more":1,"_type":'),
        (b'"org":"alpha"', b'"more":1,"org":"alpha"'),
        (b'"mechanism":"none"', b'"mechanism":"none","more":1'),
    ],
)
def test_an_acceptance_in_another_form_is_refused(old, new):
    payload = statements.payload_of(ACCEPTANCE)
    assert old in payload
    with pytest.raises(MalformedMessage):
        statements.parse(payload.replace(old, new, 1), AcceptanceStatement)


def test_a_rejection_is_no_provenance():
    no = dataclasses.replace(ACCEPTANCE, verdict="rejected", reason="Not my model.")
    kinds = {
        parse_jcs(statements.payload_of(s))["predicateType"] for s in (ACCEPTANCE, no)
    }
    assert kinds == {"https://slsa.dev/provenance/v1", "urn:fedxdr:rejection:v1"}
    assert statements.parse(statements.payload_of(no), AcceptanceStatement) == no
