# SPDX-License-Identifier: Apache-2.0
"""The desk for members: invitations work once, requests are known and not replayed."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest

from fedxdr.core.errors import (
    BadSignature,
    InvalidInput,
    InvitationRefused,
    MalformedMessage,
    ReplayedRequest,
    VerificationFailed,
)
from fedxdr.core.ids import OrgId
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation.phases import Kind
from fedxdr.ledger import statements
from fedxdr.ledger.entries import MemberEnrolled, MemberSuspended
from fedxdr.parties import enrolment
from fedxdr.parties.enrolment import Application
from fedxdr.parties.registrar import NameTaken
from fedxdr.simulation.federation import SimulatedFederation

NEW = OrgId("org-new")


@pytest.fixture
def federation(plain_world):
    return plain_world(n=3)


def invite(federation, org="org-new", *, lifetime_s=3600):
    return federation.fed.registrar.invite(
        org, server="http://127.0.0.1:1", lifetime_s=lifetime_s
    )


def apply(federation, token, key):
    return enrolment.apply_to_join(
        token,
        orchestrator=federation.fed.identity.public,
        key=key,
        name="New",
        data_sources=("zeek",),
        now=federation.fed.clock.now(),
    )


def applied(federation):
    return federation.orchestrator.governance.applications()


def new_key(federation) -> IdentityKey:
    return IdentityKey.generate(federation.fed.entropy)


def test_an_application_becomes_a_proposal_and_nothing_else(federation):
    token, key = invite(federation), new_key(federation)
    recorder, registrar = federation.fed.recorder, federation.fed.registrar
    size = recorder.size()
    enrolled = registrar.enrol(apply(federation, token, key))
    receipt = read_receipt(federation, enrolled, key)
    assert receipt.federation == recorder.in_force.genesis.federation
    assert receipt.origin == recorder.in_force.log.origin
    assert enrolled.status == "pending" == registrar.status_of(NEW)
    assert recorder.size() == size
    assert NEW not in recorder.in_force.members
    change = applied(federation)[NEW]
    assert change.proposed_by == NEW
    assert change.approved_by == ()
    (filed,) = federation.orchestrator.governance.proposals()
    assert filed == change


def test_members_put_name_and_keys_on_the_ledger(federation):
    token, key = invite(federation), new_key(federation)
    registrar, recorder = federation.fed.registrar, federation.fed.recorder
    enrolled = registrar.enrol(apply(federation, token, key))
    federation.fed.step()
    federation.approve(applied(federation)[NEW], "org-a")
    assert NEW not in recorder.in_force.members
    federation.approve(applied(federation)[NEW], "org-b")
    assert recorder.in_force.identities[NEW] == key.public
    assert isinstance(recorder.in_force.head.entry, MemberEnrolled)
    assert registrar.status_of(NEW) == "active"
    assert registrar.recogniser.bearer(enrolled.token) == NEW
    registrar.recogniser.require_member(NEW)


def read_receipt(federation, enrolled, key):
    return enrolment.check_receipt(
        enrolled.receipt,
        orchestrator=federation.fed.identity.public,
        key=key,
        org=NEW,
    )


def test_an_invitation_works_once(federation):
    token = invite(federation)
    federation.fed.registrar.enrol(apply(federation, token, new_key(federation)))
    size = federation.fed.recorder.size()
    with pytest.raises(InvitationRefused, match="used before"):
        federation.fed.registrar.enrol(apply(federation, token, new_key(federation)))
    assert federation.fed.recorder.size() == size


def test_an_expired_invitation(federation):
    token = invite(federation, lifetime_s=10)
    federation.fed.clock.advance(seconds=10)
    with pytest.raises(InvitationRefused, match="expired"):
        federation.fed.registrar.enrol(apply(federation, token, new_key(federation)))


def test_an_invitation_that_was_never_given(federation):
    token = dataclasses.replace(invite(federation), secret=bytes(16))
    with pytest.raises(InvitationRefused, match="no such"):
        federation.fed.registrar.enrol(apply(federation, token, new_key(federation)))


@pytest.mark.parametrize("name", ["operator", "orchestrator", "auditor", "org-a"])
def test_names_that_nobody_can_be_invited_for(federation, name):
    with pytest.raises(NameTaken):
        invite(federation, name)


@pytest.mark.parametrize("name", ["", "Org", "a/b", "x" * 65])
def test_names_that_are_none(federation, name):
    with pytest.raises(MalformedMessage):
        invite(federation, name)


def test_of_two_invitations_for_one_name_one_is_used(federation):
    first, second = invite(federation), invite(federation)
    federation.fed.registrar.enrol(apply(federation, first, new_key(federation)))
    with pytest.raises(NameTaken):
        federation.fed.registrar.enrol(apply(federation, second, new_key(federation)))


def test_a_key_belongs_to_one_member(federation):
    token = invite(federation)
    with pytest.raises(NameTaken):
        federation.fed.registrar.enrol(
            apply(federation, token, federation.key("org-a"))
        )


def test_nobody_joins_while_a_round_runs(federation):
    """Neither the application nor its last approval moves a running round."""
    recorder = federation.fed.recorder
    federation.start()
    size = recorder.size()
    change = federation.apply("org-new")
    federation.approve(change, *federation.orgs)
    assert recorder.size() == size
    assert NEW not in recorder.in_force.members
    federation.go_on()
    federation.fed.step()
    assert NEW in recorder.in_force.members
    assert NEW not in federation.round.announcement.cohort


@pytest.mark.parametrize("later_s", [1, 7200])
def test_a_lost_answer_is_given_again_to_the_same_key(federation, later_s):
    token, key = invite(federation), new_key(federation)
    registrar = federation.fed.registrar
    first = registrar.enrol(apply(federation, token, key))
    # the answer was lost; a round runs now, and the invitation may have expired
    federation.start()
    size = federation.fed.recorder.size()
    federation.fed.clock.advance(seconds=later_s)
    second = registrar.enrol(apply(federation, token, key))
    assert second.receipt == first.receipt
    assert read_receipt(federation, second, key)
    assert federation.fed.recorder.size() == size
    assert len(applied(federation)) == 1
    # and once more when it is a member
    federation.go_on()
    federation.fed.step()
    federation.approve(applied(federation)[NEW], "org-a", "org-b")
    third = registrar.enrol(apply(federation, token, key))
    assert (third.receipt, third.status) == (first.receipt, "active")
    assert not applied(federation)


def test_killed_at_every_write_of_an_application_the_retry_finishes(federation, killed):
    token, key = invite(federation), new_key(federation)
    registrar = federation.fed.registrar
    deaths = 0
    for is_after, left in ((False, 1), (True, 1), (False, 1), (True, 1), (False, 3)):
        fuse = federation.make_orchestrator_mortal()
        registrar._registry = federation.orchestrator._registry
        fuse.is_after, fuse.left = is_after, left
        try:
            registrar.enrol(apply(federation, token, key))
        except killed:
            deaths += 1
        fuse.left = None
        federation.restart_orchestrator()
    assert deaths == 4
    assert federation.fed.registry.registration(NEW) is not None
    # one application, whatever was retried
    (change,) = federation.orchestrator.governance.proposals()
    federation.fed.step()
    federation.approve(change, "org-a", "org-b")
    members = federation.fed.recorder.in_force.members
    assert members[NEW].keys.identity == key.public
    with pytest.raises(InvitationRefused):
        registrar.enrol(apply(federation, token, new_key(federation)))


def test_an_application_travels_in_a_request_signed_by_the_key_it_enrols(federation):
    registrar, key = federation.fed.registrar, new_key(federation)
    application = apply(federation, invite(federation), key)
    proof = registrar.applicant(federation.request_by(key), application)
    assert proof.keyid == key.public.keyid
    with pytest.raises(BadSignature):
        registrar.applicant(federation.request_by(new_key(federation)), application)
    # the request that carried it is good for one answer only
    registrar.enrol(application, proof=proof)
    with pytest.raises(ReplayedRequest):
        registrar.enrol(application, proof=proof)
    again = registrar.applicant(federation.request_by(key), application)
    assert registrar.enrol(application, proof=again).receipt


def test_a_request_that_carries_no_enrolment_has_no_applicant(federation):
    registrar, key = federation.fed.registrar, new_key(federation)
    application = apply(federation, invite(federation), key)
    federation.play()
    for kind in ("contribution", "acceptance"):
        envelope = federation.orchestrator.envelopes(federation.round, Kind(kind))[
            OrgId("org-a")
        ]
        wrong = dataclasses.replace(application, enrolment=envelope)
        with pytest.raises(BadSignature, match="no enrolment statement"):
            registrar.applicant(federation.request_by(key), wrong)


def test_a_key_that_somebody_had_is_nobodys_any_more(federation):
    """A former member's keys included."""
    federation.fed.step()
    change = federation.orchestrator.governance.propose(
        MemberSuspended(change=1, org_id=OrgId("org-c"), reason="left"), by="operator"
    )
    federation.approve(change, "org-a", "org-b")
    with pytest.raises(VerificationFailed, match="belongs or belonged"):
        federation.fed.registrar.enrol(
            apply(federation, invite(federation), federation.key("org-c"))
        )
    assert not applied(federation)


def test_an_applicants_key_is_taken_as_well(federation):
    key = new_key(federation)
    federation.apply("org-late", key)
    with pytest.raises(NameTaken):
        federation.fed.registrar.enrol(apply(federation, invite(federation), key))


def claiming(
    federation, key: IdentityKey, *, invited: OrgId = NEW, **keys: bytes
) -> Application:
    """Return a whole application of a key's holder who claims other ones beside it."""
    token = invite(federation, invited)
    honest = apply(federation, token, key)
    stated = statements.read(honest.enrolment)
    lie = dataclasses.replace(stated, keys=dataclasses.replace(stated.keys, **keys))
    envelope = statements.sign(lie, key)
    return dataclasses.replace(
        honest,
        enrolment=envelope,
        proof=enrolment._proof(
            token.proof_key, envelope, federation.fed.identity.public
        ),
    )


@pytest.mark.parametrize("is_founded", [True, False])
def test_keys_that_no_member_may_have_do_not_apply(
    federation, plain_world, monkeypatch, is_founded
):
    """Cosigning keys prove nothing by themselves; one bad founder would stop all."""
    if not is_founded:
        monkeypatch.setattr(SimulatedFederation, "_found", lambda _: None)
        federation = plain_world(n=3)
    key, log = new_key(federation), federation.fed.identity.public
    registrar = federation.fed.registrar
    known = set(applied(federation))
    for keys in (
        {"tlog_ed25519": log.tlog_ed25519},
        {"tlog_ml_dsa_44": log.tlog_ml_dsa_44},
        {"tlog_ed25519": federation.fed.keys[OrgId("org-a")].public.tlog_ed25519},
        {"tlog_ed25519": key.public.ed25519},
        {"tlog_ed25519": bytes(32)},  # of order 4
        {"tlog_ed25519": b"\x01" + bytes(31)},  # of order 1
        {"tlog_ed25519": b"\xff" * 32},  # no point
    ):
        with pytest.raises((InvalidInput, NameTaken)):
            registrar.enrol(claiming(federation, key, **keys))
        assert set(applied(federation)) == known
    registrar.enrol(claiming(federation, key))
    assert set(applied(federation)) == known | {NEW}


def test_keys_with_one_id_in_signed_heads_do_not_found(plain_world, monkeypatch):
    """The Genesis with such a founder could never stand on the ledger."""
    monkeypatch.setattr(SimulatedFederation, "_found", lambda _: None)
    federation = plain_world(n=3)
    key, mallory = new_key(federation), OrgId("mallory")
    # (see the test of change_rules: found by trying)
    alike = {
        "tlog_ed25519": IdentityKey(seed=(34771).to_bytes(32, "big")).public.ed25519,
        "tlog_ml_dsa_44": hashlib.shake_128((55477).to_bytes(4, "big")).digest(1312),
    }
    known = set(applied(federation))
    with pytest.raises(VerificationFailed, match="one ID in signed heads"):
        federation.fed.registrar.enrol(
            claiming(federation, key, invited=mallory, **alike)
        )
    assert set(applied(federation)) == known


def test_whoever_was_suspended_may_come_back_with_new_keys(federation):
    registrar, back = federation.fed.registrar, OrgId("org-c")
    federation.fed.step()
    change = federation.orchestrator.governance.propose(
        MemberSuspended(change=1, org_id=back, reason="left"), by="operator"
    )
    federation.approve(change, "org-a", "org-b")
    key = new_key(federation)
    token = invite(federation, back)
    enrolled = registrar.enrol(apply(federation, token, key))
    assert enrolled.status == "pending"
    receipt = enrolment.check_receipt(
        enrolled.receipt,
        orchestrator=federation.fed.identity.public,
        key=key,
        org=back,
    )
    assert receipt.fingerprint == key.public.fingerprint
    assert registrar.enrol(apply(federation, token, key)).receipt == enrolled.receipt
    for org in ("org-a", "org-b"):
        federation.participant(org).step(wait_s=0)
    federation.approve(applied(federation)[back], "org-a", "org-b")
    assert federation.fed.recorder.in_force.identities[back] == key.public
