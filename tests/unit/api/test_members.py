# SPDX-License-Identifier: Apache-2.0
"""Routes of membership: invited, enrolled once, listed in pages, known by token."""

import base64
import json

import pytest

from fedxdr.core.clock import rfc3339
from fedxdr.core.ids import org_id, round_id
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation.phases import Phase
from fedxdr.ledger.entries import RoundFailed
from fedxdr.parties import consent, enrolment
from fedxdr.parties.changes import ProposedChange
from fedxdr.parties.enrolment import InvitationToken


def application(api, token, key, *, org=None):
    """Return the body that an organisation sends to join."""
    made = enrolment.apply_to_join(
        token,
        orchestrator=api.world.identity.public,
        key=key,
        name="Echo",
        data_sources=("zeek-conn",),
        now=api.world.clock.now(),
    )
    return {
        "org_id": org or token.org,
        "org_name": "Echo",
        "data_sources": ["zeek-conn"],
        "invitation": {
            "id": made.invitation_id,
            "proof": base64.b64encode(made.proof).decode(),
        },
        "enrolment": made.enrolment.to_value(),
    }


def invited(api, org="echo", **form):
    answer = api.post("/federation/invitations", {"org_id": org, **form})
    assert answer.status_code == 201, answer.text
    return InvitationToken.parse(answer.json()["token"])


def test_an_invited_organisation_registers_and_the_members_take_it_in(api):
    key = IdentityKey.generate(api.entropy)
    form = application(api, invited(api), key)
    answer = api.send("POST", "/federation/register", form, by=key)
    assert answer.status_code == 201
    found = answer.json()
    assert set(found) == {
        "org_id", "registered_at", "status", "registration_token", "global_config",
        "receipt",
    }  # fmt: skip
    assert found["org_id"] == "echo"
    assert found["status"] == "pending"
    in_force = api.world.recorder.in_force
    assert found["global_config"] == {
        "federation": "simulation",
        "origin": "simulation.example/ledger",
        "genesis": in_force.genesis_hash,
        "plan_digest": in_force.plan.digest,
        "model_hash": in_force.model,
        "max_body_bytes": api.service.max_body_bytes,
    }
    receipt = enrolment.check_receipt(
        Envelope.from_value(found["receipt"]),
        orchestrator=api.world.identity.public,
        key=key,
        org="echo",
    )
    assert found["registered_at"] == rfc3339(receipt.received_at)
    assert receipt.fingerprint == key.public.fingerprint
    # it is no member before a quorum of them has said so, one approval is none
    approve(api, "alpha")
    assert "echo" not in api.world.recorder.in_force.members
    approve(api, "bravo", "charlie")
    member = api.world.recorder.in_force.members["echo"]
    assert member.keys.identity == key.public
    again = api.send("POST", "/federation/register", form, by=key).json()
    assert again["status"] == "active"
    assert again["receipt"] == found["receipt"]
    # the token that came first reads on
    bearer = {"authorization": f"Bearer {found['registration_token']}"}
    assert api.send("GET", "/federation/status", headers=bearer).status_code == 200


def approve(api, *members):
    """Let these members approve the only open change, as people do."""
    api.world.step()
    (change,) = api.get("/federation/changes").json()["changes"]
    for org in members:
        made = consent.approve(
            ProposedChange.from_value(change),
            me=org_id(org),
            identity=api.keys[org],
            ledger=api.world.recorder.in_force.genesis_hash,
            now=api.world.clock.now(),
        )
        path = f"/federation/changes/{change['digest']}/approval"
        answer = api.send("POST", path, made.to_json(), by=org)
        assert answer.status_code == 202, answer.text


def test_registering_without_an_invitation_is_401(api, problem):
    answer = api.send("POST", "/federation/register", {"org_id": "echo"})
    problem(answer, 401, "invitation-refused", "ask the operator")


def test_a_reused_invitation_is_refused(api, problem):
    token = invited(api)
    first, second = (IdentityKey.generate(api.entropy) for _ in range(2))
    form = application(api, token, first)
    assert api.send("POST", "/federation/register", form, by=first).status_code == 201
    form = application(api, token, second)
    answer = api.send("POST", "/federation/register", form, by=second)
    problem(answer, 401, "invitation-refused", "used before", "ask for a new one")


def test_a_retry_with_the_same_key_gets_its_answer_again(api):
    key = IdentityKey.generate(api.entropy)
    form = application(api, invited(api), key)
    first = api.send("POST", "/federation/register", form, by=key)
    again = api.send("POST", "/federation/register", form, by=key)
    assert (first.status_code, again.status_code) == (201, 201)
    receipts = [json.loads(base64.b64decode(a.json()["receipt"]["payload"]))
                for a in (first, again)]  # fmt: skip
    assert receipts[0] == receipts[1]
    assert receipts[0]["org"] == "echo"
    (change,) = api.get("/federation/changes").json()["changes"]
    assert change["proposed_by"] == "echo"


def test_an_overheard_registration_fetches_no_token(api, problem):
    key = IdentityKey.generate(api.entropy)
    form = application(api, invited(api), key)
    body = json.dumps(form).encode()
    headers = api.headers(key, "POST", "/federation/register", body)
    for status in (201, 409):
        answer = api.send("POST", "/federation/register", body, headers=dict(headers))
        assert answer.status_code == status
    problem(answer, 409, "replayed-request", "new nonce")
    unsigned = api.send("POST", "/federation/register", body)
    problem(unsigned, 401, "bad-signature")
    stranger = api.send("POST", "/federation/register", body, by="alpha")
    problem(stranger, 401, "bad-signature")


def test_an_expired_invitation_is_refused(api, problem):
    token = invited(api, lifetime_s=60)
    api.world.clock.advance(seconds=61)
    key = IdentityKey.generate(api.entropy)
    form = application(api, token, key)
    answer = api.send("POST", "/federation/register", form, by=key)
    problem(answer, 401, "invitation-refused", "expired")


def test_an_unknown_invitation_and_a_wrong_proof_are_refused(api, problem):
    key = IdentityKey.generate(api.entropy)
    form = application(api, invited(api), key)
    wrong = form | {"invitation": form["invitation"] | {"id": "0" * 64}}
    answer = api.send("POST", "/federation/register", wrong, by=key)
    problem(answer, 401, "invitation-refused", "no such invitation")
    proof = base64.b64encode(b"x" * 32).decode()
    wrong = form | {"invitation": form["invitation"] | {"proof": proof}}
    answer = api.send("POST", "/federation/register", wrong, by=key)
    problem(answer, 401, "invitation-refused", "proof")


def test_joining_waits_until_the_round_is_over(api):
    token, key = invited(api), IdentityKey.generate(api.entropy)
    assert api.post("/federation/round/start").status_code == 201
    form = application(api, token, key)
    answer = api.send("POST", "/federation/register", form, by=key)
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    approve(api, "alpha", "bravo", "charlie", "delta")
    assert not api.world.orchestrator.current.is_ended
    assert "echo" not in api.world.recorder.in_force.members
    for _ in range(20):
        api.world.step()
    round_ = api.world.orchestrator.current
    assert round_.phase is Phase.COMMITTED
    assert "echo" not in round_.announcement.cohort
    assert "echo" in api.world.recorder.in_force.members


def test_an_invitation_pins_a_head_that_a_quorum_cosigned(make_api):
    api = make_api()
    before = invited(api)
    assert (before.size, before.root) == (0, b"")
    api.world.step()
    after = invited(api, "foxtrot")
    assert after.size == api.world.recorder.size() == 1
    assert after.root.hex() == api.world.recorder.root_at(1)
    # a block that nobody has cosigned yet is not pinned
    api.agree()
    size = api.world.recorder.size()
    api.world.recorder.record(
        RoundFailed(
            round_id=round_id("round-9"), phase="keys", reason="a", sentence="b"
        )
    )
    assert invited(api, "golf").size == size


@pytest.mark.parametrize("org", ["alpha", "operator"])
def test_no_invitation_for_a_name_that_is_taken(api, problem, org):
    answer = api.post("/federation/invitations", {"org_id": org})
    problem(answer, 409, "name-taken")


def test_an_invitation_names_the_address_of_the_request_or_the_one_asked_for(api):
    assert invited(api).server == "http://testserver"
    assert invited(api, "fox", server="http://soc:8000/").server == "http://soc:8000"


def test_members_read_by_token_and_by_signature_and_others_do_not(settled, problem):
    path = "/federation/status"
    assert settled.get(path).status_code == 200
    assert settled.get(path, by="operator").status_code == 200
    by_token = settled.send("GET", path, headers=settled.bearer())
    assert by_token.status_code == 200
    problem(settled.send("GET", path), 401, "unauthorised", "bearer token")
    stranger = IdentityKey.generate(settled.entropy)
    problem(settled.get(path, by=stranger), 403, "unknown-sender", "join first")
    bad = {"authorization": "Bearer x.y.z"}
    problem(settled.send("GET", path, headers=bad), 401, "unauthorised")


def test_a_token_of_another_federation_or_past_its_time_is_refused(make_api, problem):
    api = make_api()
    headers = api.bearer()
    api.world.clock.advance(seconds=31 * 86_400)
    answer = api.send("GET", "/federation/status", headers=dict(headers))
    problem(answer, 401, "unauthorised", "expired")


def test_a_new_token_is_for_whoever_signs_with_a_key_in_force(make_api, problem):
    api = make_api()
    path = "/federation/token"
    answer = api.post(path, by="bravo")
    assert answer.status_code == 201
    found = answer.json()
    assert (found["org_id"], found["expires_in_s"]) == ("bravo", 30 * 86_400)
    assert set(found) == {"org_id", "registration_token", "expires_in_s"}
    assert api.service.recogniser.bearer(found["registration_token"]) == "bravo"
    # a token does not prolong itself, and what was overheard fetches none
    problem(api.send("POST", path, {}, headers=api.bearer()), 401, "bad-signature")
    headers = api.headers("bravo", "POST", path, b"{}")
    assert api.send("POST", path, b"{}", headers=dict(headers)).status_code == 201
    again = api.send("POST", path, b"{}", headers=dict(headers))
    problem(again, 409, "replayed-request")
    problem(api.post(path, by="operator"), 403, "unknown-sender", "organisation")
    stranger = IdentityKey.generate(api.entropy)
    problem(api.post(path, by=stranger), 403, "unknown-sender", "join first")


def test_organisations_are_listed_in_pages(settled, problem):
    found = settled.get("/federation/organizations?limit=3&offset=2").json()
    assert (found["total"], found["limit"], found["offset"]) == (4, 3, 2)
    assert [o["org_id"] for o in found["organizations"]] == ["charlie", "delta"]
    assert set(found["organizations"][0]) == {
        "org_id", "org_name", "status", "data_sources", "fingerprint",
        "enrolled_at_height", "last_update",
    }  # fmt: skip
    assert found["organizations"][0]["last_update"].endswith("Z")
    keys = settled.world.keys["charlie"].public
    assert found["organizations"][0]["fingerprint"] == keys.fingerprint
    whole = settled.get("/federation/organizations").json()
    assert len(whole["organizations"]) == 4
    for query in ("limit=0", "limit=201", "offset=-1", "limit=x"):
        answer = settled.get(f"/federation/organizations?{query}")
        problem(answer, 422, "malformed-message", query.split("=")[0])
