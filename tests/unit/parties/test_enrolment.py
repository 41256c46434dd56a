# SPDX-License-Identifier: Apache-2.0
"""Joining: one line, one proof, one receipt, and every way to get them wrong."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.canonical import encode
from fedxdr.core.errors import (
    BadSignature,
    FedxdrError,
    InvalidSettings,
    InvitationRefused,
)
from fedxdr.core.ids import OrgId, RoundId, sha256
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto import envelope as dsse
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import statements
from fedxdr.ledger.entries import MemberKeys
from fedxdr.ledger.statements import NO_PRIVACY, ContributionStatement
from fedxdr.parties import enrolment
from fedxdr.parties.enrolment import (
    Application,
    InvitationToken,
    Receipt,
    apply_to_join,
    check_application,
    check_receipt,
    new_invitation,
    sign_receipt,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENTROPY = SeededEntropy(3)
SERVER = IdentityKey.generate(ENTROPY)
MINE = IdentityKey.generate(ENTROPY)
OTHER = IdentityKey.generate(ENTROPY)


def invitation(org: str = "org-a", *, lifetime_s: int = 60):
    return new_invitation(
        org=OrgId(org),
        server="https://federation.example:8443/",
        orchestrator=SERVER.public,
        expires=NOW + timedelta(seconds=lifetime_s),
        entropy=SeededEntropy(len(org) + lifetime_s),
    )


def application(token: InvitationToken, *, key: IdentityKey = MINE) -> Application:
    return apply_to_join(
        token,
        orchestrator=SERVER.public,
        key=key,
        name="A",
        data_sources=("zeek", "suricata", "zeek"),
        now=NOW,
    )


def check(found: Application, kept, *, now: datetime = NOW, orchestrator=None):
    return check_application(
        found, invitation=kept, orchestrator=orchestrator or SERVER.public, now=now
    )


def test_a_token_is_one_line_and_comes_back():
    token, kept = invitation()
    line = str(token)
    assert line.startswith("fedxdr+https://federation.example:8443/org-a#")
    assert len(line.split()) == 1
    assert InvitationToken.parse(f"  {line}\n") == token
    assert kept.invitation_id == token.invitation_id
    # all four of the server's keys are pinned, not the first one only
    assert token.pin == SERVER.public.fingerprint
    # what is kept does not give the secret, and neither does what is shown
    assert token.secret not in encode(kept)
    assert repr(token.secret) not in repr(token)


@pytest.mark.parametrize("cut", [1, 2, 4, 20, 60])
def test_a_token_that_was_cut_off(cut):
    line = str(invitation()[0])
    with pytest.raises(InvalidSettings, match="paste the whole line"):
        InvitationToken.parse(line[:-cut])


@pytest.mark.parametrize(
    "change",
    [
        lambda _: "",
        lambda _: "hello",
        lambda line: line.removeprefix("fedxdr+"),
        lambda line: line.replace("fedxdr+https", "fedxdr+ftp"),
        lambda line: line.replace("fedxdr+https", "fedxdr+"),
        lambda line: line.replace("org-a", "Org A"),
        lambda line: line.replace("org-a", ""),
        lambda line: line.replace("org-a", "org-a/b"),
        lambda line: line.replace("federation.example:8443", ""),
        lambda line: line.replace("#", "?"),
        lambda line: line + "AAAA",
        lambda line: line[:-3] + "!" + line[-3:],
        lambda line: "fedxdr+http://[::1" + line[30:],
    ],
)
def test_a_line_that_is_no_token(change):
    with pytest.raises(InvalidSettings):
        InvitationToken.parse(change(str(invitation()[0])))


@given(st.text())
def test_foreign_lines_raise_our_error_only(text):
    with pytest.raises(InvalidSettings):
        InvitationToken.parse(text)
    with pytest.raises(InvalidSettings):
        InvitationToken.parse(f"fedxdr+http://host/org#{text}")


def test_an_application_proves_the_secret_without_sending_it():
    token, kept = invitation()
    found = application(token)
    statement = check(found, kept)
    assert statement.org == "org-a"
    assert statement.keys == MemberKeys.of(MINE.public)
    assert statement.data_sources == ("suricata", "zeek")
    assert token.secret not in encode(found)
    assert token.secret.hex().encode() not in encode(found)


def test_nothing_is_made_for_a_server_that_is_not_the_pinned_one():
    token, _ = invitation()
    with pytest.raises(InvitationRefused, match="not the one that the invitation pins"):
        apply_to_join(
            token,
            orchestrator=OTHER.public,
            key=MINE,
            name="A",
            data_sources=(),
            now=NOW,
        )


def test_an_unknown_invitation():
    with pytest.raises(InvitationRefused, match="no such invitation"):
        check(application(invitation()[0]), None)


def test_an_invitation_that_was_used():
    token, kept = invitation()
    used = dataclasses.replace(kept, used_at=NOW)
    with pytest.raises(InvitationRefused, match="used before"):
        check(application(token), used)


def test_an_invitation_that_has_expired():
    token, kept = invitation(lifetime_s=60)
    check(application(token), kept, now=NOW + timedelta(seconds=59))
    with pytest.raises(InvitationRefused, match="expired"):
        check(application(token), kept, now=NOW + timedelta(seconds=60))


def test_a_proof_for_another_secret_server_or_enrolment():
    token, kept = invitation()
    found = application(token)
    other_secret = dataclasses.replace(token, secret=bytes(16))
    for wrong in (
        dataclasses.replace(found, proof=bytes(32)),
        dataclasses.replace(found, proof=b""),
        dataclasses.replace(found, proof=application(other_secret).proof),
        dataclasses.replace(found, enrolment=application(token, key=OTHER).enrolment),
    ):
        with pytest.raises(InvitationRefused, match="proof"):
            check(wrong, kept)
    # a man in the middle passes the application on to the true server
    with pytest.raises(InvitationRefused, match="proof"):
        check(found, kept, orchestrator=OTHER.public)


def proven(token: InvitationToken, envelope: dsse.Envelope) -> Application:
    """Return an application by somebody who knows the secret."""
    return Application(
        enrolment=envelope,
        invitation_id=token.invitation_id,
        proof=enrolment._proof(token.proof_key, envelope, SERVER.public),
    )


def test_an_enrolment_that_its_own_key_did_not_sign():
    token, kept = invitation()
    statement = statements.read(application(token).enrolment)
    with pytest.raises(BadSignature):
        check(proven(token, statements.sign(statement, OTHER)), kept)


def test_an_enrolment_under_another_name_than_the_invitations():
    token, kept = invitation()
    statement = statements.read(application(token).enrolment)
    other = dataclasses.replace(statement, org=OrgId("org-b"))
    with pytest.raises(InvitationRefused, match="for another organisation"):
        check(proven(token, statements.sign(other, MINE)), kept)


def test_an_enrolment_that_names_another_invitation():
    token, kept = invitation()
    statement = statements.read(application(token).enrolment)
    other = dataclasses.replace(statement, invitation_digest=sha256(b"x"))
    with pytest.raises(InvitationRefused, match="names another invitation"):
        check(proven(token, statements.sign(other, MINE)), kept)


def test_an_application_that_holds_something_else():
    token, kept = invitation()
    envelope = dsse.sign("application/other", b"{}", MINE)
    with pytest.raises(FedxdrError):
        check(proven(token, envelope), kept)
    contribution = ContributionStatement(
        org=OrgId("org-a"),
        round_id=RoundId("round-1"),
        plan_digest=sha256(b"x"),
        parent_model=sha256(b"x"),
        contribution_digest=sha256(b"x"),
        sample_exponent=0,
        privacy=NO_PRIVACY,
        issued_at=NOW,
    )
    with pytest.raises(BadSignature, match="no enrolment statement"):
        check(proven(token, statements.sign(contribution, MINE)), kept)


def receipt(**changed) -> Receipt:
    fields = {
        "org": OrgId("org-a"),
        "fingerprint": MINE.public.fingerprint,
        "enrolment": sha256(b"enrolment"),
        "federation": "f",
        "origin": "f.example/ledger",
        "received_at": NOW,
        **changed,
    }
    return Receipt(**fields)


def test_a_receipt_is_for_one_organisation_and_key():
    envelope = sign_receipt(receipt(), SERVER)
    pinned = SERVER.public
    want = receipt()
    assert (
        check_receipt(envelope, orchestrator=pinned, key=MINE, org=OrgId("org-a"))
        == want
    )
    for key, org, server in (
        (OTHER, "org-a", SERVER),
        (MINE, "org-b", SERVER),
        (MINE, "org-a", OTHER),
    ):
        with pytest.raises(BadSignature):
            check_receipt(envelope, orchestrator=server.public, key=key, org=OrgId(org))
    forged = dsse.sign("application/other", encode(want), SERVER)
    with pytest.raises(BadSignature):
        check_receipt(forged, orchestrator=pinned, key=MINE, org=OrgId("org-a"))
