# SPDX-License-Identifier: Apache-2.0
"""Requests and tokens are known by keys in force, and not replayed."""

from __future__ import annotations

import dataclasses

import pytest

from fedxdr.core.errors import (
    BadSignature,
    InvitationRefused,
    ReplayedRequest,
    Unauthorised,
    UnknownSender,
)
from fedxdr.core.ids import OrgId
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import statements
from fedxdr.ledger.entries import MemberKeyRotated, MemberKeys, MemberSuspended
from fedxdr.ledger.statements import RotationStatement
from fedxdr.parties.recognising import TOKEN_LIFETIME_S

NEW = OrgId("org-new")


@pytest.fixture
def federation(plain_world):
    return plain_world(n=3)


def new_key(federation) -> IdentityKey:
    return IdentityKey.generate(federation.fed.entropy)


def test_requests_are_known_by_their_key(federation):
    recogniser = federation.fed.registrar.recogniser
    by_a = federation.request_by(federation.key("org-a"))
    assert recogniser.signer(by_a, is_write=True) == "org-a"
    by_operator = federation.request_by(federation.fed.operator)
    assert recogniser.signer(by_operator, is_write=True) == "operator"
    stranger = federation.request_by(new_key(federation))
    with pytest.raises(UnknownSender, match="join first"):
        recogniser.signer(stranger, is_write=True)
    # the orchestrator's own key is nobody who sends requests
    with pytest.raises(UnknownSender):
        recogniser.signer(federation.request_by(federation.fed.identity), is_write=True)


def test_a_request_is_accepted_once(federation):
    recogniser = federation.fed.registrar.recogniser
    request = federation.request_by(federation.key("org-a"))
    recogniser.signer(request, is_write=True)
    for later_s in (0, 30, 59, 0.9):
        federation.fed.clock.advance(seconds=later_s)
        with pytest.raises(ReplayedRequest):
            recogniser.signer(request, is_write=True)
    federation.fed.clock.advance(seconds=1)
    with pytest.raises(BadSignature, match="expired"):
        recogniser.signer(request, is_write=True)


def test_a_nonce_is_remembered_as_long_as_its_signature_is_good(federation):
    recogniser = federation.fed.registrar.recogniser
    request = federation.request_by(federation.key("org-a"))
    recogniser.signer(request, is_write=True)
    # other requests make the registry forget what has expired
    for _ in range(91):
        federation.fed.clock.advance(seconds=1)
        recogniser.signer(federation.request_by(federation.key("org-b")), is_write=True)
        with pytest.raises((ReplayedRequest, BadSignature)):
            recogniser.signer(request, is_write=True)
    assert len(federation.fed.registry._nonces) <= 92


def test_a_request_that_only_reads_uses_no_nonce(federation):
    recogniser = federation.fed.registrar.recogniser
    request = federation.request_by(federation.key("org-a"))
    for _ in range(2):
        assert recogniser.signer(request, is_write=False) == "org-a"


def test_a_request_signed_for_another_organisations_key(federation):
    request = federation.request_by(federation.key("org-a"))
    keyid_a = federation.key("org-a").public.keyid
    keyid_b = federation.key("org-b").public.keyid
    headers = {k: v.replace(keyid_a, keyid_b) for k, v in request.headers.items()}
    with pytest.raises(BadSignature):
        federation.fed.registrar.recogniser.signer(
            dataclasses.replace(request, headers=headers), is_write=True
        )


def test_tokens_expire_and_are_ours(federation):
    recogniser = federation.fed.registrar.recogniser
    token = recogniser.issue_token(OrgId("org-a"))
    assert recogniser.bearer(token) == "org-a"
    federation.fed.clock.advance(seconds=TOKEN_LIFETIME_S)
    with pytest.raises(Unauthorised, match="expired"):
        recogniser.bearer(token)
    with pytest.raises(Unauthorised):
        recogniser.bearer("not.a.token")


def test_an_applicant_reads_the_founding_and_nothing_else(federation):
    registrar, key = federation.fed.registrar, new_key(federation)
    recogniser = registrar.recogniser
    enrolled = registrar.enrol(federation.application(NEW, key))
    # it is known by its token and key, so that it can look at what it may
    assert recogniser.bearer(enrolled.token) == NEW
    assert recogniser.signer(federation.request_by(key), is_write=True) == NEW
    with pytest.raises(UnknownSender, match="org-new is no member yet"):
        recogniser.require_member(NEW)
    with pytest.raises(UnknownSender):
        recogniser.require_member("org-z")
    for name in ("org-a", "operator"):
        recogniser.require_member(name)


def test_whoever_was_suspended_is_known_no_more(federation):
    registrar, key = federation.fed.registrar, federation.key("org-c")
    recogniser = registrar.recogniser
    token = recogniser.issue_token(OrgId("org-c"))
    assert recogniser.bearer(token) == "org-c"
    federation.fed.step()
    change = federation.orchestrator.governance.propose(
        MemberSuspended(change=1, org_id=OrgId("org-c"), reason="left"), by="operator"
    )
    federation.approve(change, "org-a", "org-b")
    with pytest.raises(Unauthorised, match="no member"):
        recogniser.bearer(token)
    with pytest.raises(UnknownSender):
        recogniser.signer(federation.request_by(key), is_write=True)
    with pytest.raises(UnknownSender):
        recogniser.require_member("org-c")
    assert registrar.status_of(OrgId("org-c")) == "unknown"


def test_an_application_that_was_withdrawn_is_known_no_more(federation):
    registrar, key = federation.fed.registrar, new_key(federation)
    recogniser = registrar.recogniser
    application = federation.application(NEW, key)
    enrolled = registrar.enrol(application)
    change = federation.orchestrator.governance.applications()[NEW]
    federation.orchestrator.governance.withdraw(change.digest)
    with pytest.raises(Unauthorised):
        recogniser.bearer(enrolled.token)
    with pytest.raises(UnknownSender):
        recogniser.signer(federation.request_by(key), is_write=True)
    with pytest.raises(InvitationRefused, match="used before"):
        registrar.enrol(application)


# Tokens and the keys they were issued for.


def rotation(federation, org, key) -> None:
    """Put an organisation's new key in force."""
    federation.fed.step()
    in_force = federation.fed.recorder.in_force
    statement = RotationStatement(
        org=OrgId(org),
        keys=MemberKeys.of(key.public),
        previous=in_force.members[OrgId(org)].keys.fingerprint,
        issued_at=federation.fed.clock.now(),
    )
    change = federation.orchestrator.governance.propose(
        MemberKeyRotated(
            change=in_force.changes + 1,
            org_id=statement.org,
            keys=statement.keys,
            previous=statement.previous,
        ),
        envelopes=[statements.sign(statement, key)],
        by=org,
    )
    federation.approve(change, "org-a", "org-b")
    assert federation.fed.recorder.in_force.identities[OrgId(org)] == key.public


def test_a_token_is_worth_nothing_once_its_bearer_has_other_keys(federation):
    recogniser, key = federation.fed.registrar.recogniser, new_key(federation)
    old, other = (recogniser.issue_token(OrgId(o)) for o in ("org-c", "org-a"))
    rotation(federation, "org-c", key)
    with pytest.raises(Unauthorised, match="POST /federation/token") as caught:
        recogniser.bearer(old)
    assert "keys that org-c has no more" in str(caught.value)
    assert recogniser.bearer(recogniser.issue_token(OrgId("org-c"))) == "org-c"
    assert recogniser.bearer(other) == "org-a"


def test_a_token_from_before_a_suspension_is_not_that_of_who_came_back(federation):
    """Neither while the members decide about the application, nor after."""
    registrar, key = federation.fed.registrar, new_key(federation)
    recogniser, back = registrar.recogniser, OrgId("org-c")
    old = recogniser.issue_token(back)
    federation.fed.step()
    change = federation.orchestrator.governance.propose(
        MemberSuspended(change=1, org_id=back, reason="left"), by="operator"
    )
    federation.approve(change, "org-a", "org-b")
    enrolled = registrar.enrol(federation.application(back, key))
    for _ in range(2):
        with pytest.raises(Unauthorised, match="keys that org-c has no more"):
            recogniser.bearer(old)
        assert recogniser.bearer(enrolled.token) == back
        for org in ("org-a", "org-b"):
            federation.participant(org).step(wait_s=0)
        for change in federation.orchestrator.governance.proposals():
            federation.approve(change, "org-a", "org-b")
    assert registrar.status_of(back) == "active"


def test_whoever_is_unknown_gets_no_token(federation):
    with pytest.raises(UnknownSender, match="org-z is no member"):
        federation.fed.registrar.recogniser.issue_token(OrgId("org-z"))
