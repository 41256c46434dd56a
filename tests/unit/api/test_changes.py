# SPDX-License-Identifier: Apache-2.0
"""Who may read, propose, approve, withdraw and cosign, and what each of them gets."""

import asyncio
import dataclasses
import json

import numpy as np
import pytest
from tests.unit.api.conftest import LAYOUT, LIMIT
from tests.unit.api.test_members import application, invited

from fedxdr.api import service as serving
from fedxdr.api.app import PREFIX
from fedxdr.api.service import Service
from fedxdr.core import canonical
from fedxdr.core.errors import WaitingForQuorum
from fedxdr.core.ids import org_id, sha256
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation.phases import Phase
from fedxdr.ledger import heads, statements
from fedxdr.ledger.block import GENESIS_PREV_HASH
from fedxdr.ledger.entries import (
    MemberEnrolled,
    MemberKeyRotated,
    MemberKeys,
    MemberSuspended,
    PlanAdopted,
    entry_digest,
)
from fedxdr.ledger.statements import RotationStatement
from fedxdr.models import snapshot
from fedxdr.parties import consent
from fedxdr.parties.changes import ProposedChange
from fedxdr.parties.governance import MOST_OPEN
from fedxdr.simulation.federation import SimulatedFederation

CHANGES = "/federation/changes"
WORDS = {
    "digest", "entry", "envelopes", "proposed_by", "proposed_at", "approved_by",
    "outcome", "why",
}  # fmt: skip


def suspension(api, org="delta", *, change=None, reason="left"):
    number = change or api.world.orchestrator.governance.next_number
    return MemberSuspended(change=number, org_id=org_id(org), reason=reason)


def proposing(api, entry, *envelopes, by="operator"):
    form = {
        "entry": canonical.builtins(entry),
        "envelopes": [envelope.to_value() for envelope in envelopes],
    }
    return api.post(CHANGES, form, by=by)


def approval(api, change, org, *, key=None, ledger=None, me=None):
    """Return an organisation's signed approval of a change."""
    begun = api.world.recorder.is_begun
    genesis = api.world.recorder.in_force.genesis_hash if begun else GENESIS_PREV_HASH
    return consent.approve(
        change if isinstance(change, ProposedChange) else told(change),
        me=org_id(me or org),
        identity=key or api.keys[org],
        ledger=ledger or genesis,
        now=api.world.clock.now(),
    )


def told(value):
    return ProposedChange.from_value(value)


def approving(api, change, org, *, by=None, **how):
    path = f"{CHANGES}/{change['digest']}/approval"
    return api.post(path, approval(api, change, org, **how).to_json(), by=by or org)


@pytest.fixture
def applicant(api):
    """An organisation that has applied to a founded federation."""
    key = IdentityKey.generate(api.entropy)
    form = application(api, invited(api), key)
    answer = api.send("POST", "/federation/register", form, by=key)
    assert answer.json()["status"] == "pending"
    api.keys["echo"] = key
    return answer.json()


# Reading.


def test_members_read_what_waits_for_approvals(api, problem):
    assert api.get(CHANGES).json() == {"next_change": 2, "changes": []}
    made = proposing(api, suspension(api)).json()
    assert set(made) == WORDS
    assert (made["proposed_by"], made["approved_by"], made["outcome"]) == (
        "operator", [], "",
    )  # fmt: skip
    for reading in (api.get(CHANGES), api.get(CHANGES, by="operator"),
                    api.send("GET", CHANGES, headers=api.bearer())):  # fmt: skip
        assert reading.json() == {"next_change": 2, "changes": [made]}
    problem(api.send("GET", CHANGES), 401, "unauthorised")
    stranger = IdentityKey.generate(api.entropy)
    problem(api.get(CHANGES, by=stranger), 403, "unknown-sender")


def test_closed_changes_are_listed_when_asked_for(api):
    made = proposing(api, suspension(api)).json()
    api.post(f"{CHANGES}/{made['digest']}/withdrawal")
    assert api.get(CHANGES).json()["changes"] == []
    every = api.get(f"{CHANGES}?all=true").json()["changes"]
    found = [(c["outcome"], c["entry"]["type"].split("/")[1]) for c in every]
    # in the order in which they were proposed
    assert found == [
        *[("adopted", "member-enrolled")] * 4,
        ("adopted", "genesis"),
        ("adopted", "plan-adopted"),
        ("withdrawn", "member-suspended"),
    ]


def test_an_applicant_sees_changes_and_standing_and_nothing_of_a_round(
    api, applicant, problem
):
    api.start()
    for _ in range(20):
        api.world.step()
    round_ = api.world.orchestrator.current
    assert round_.phase is Phase.COMMITTED
    name = round_.announcement.round_id
    vector = api.world.orchestrator.contributions(round_)["alpha"]
    token = {"authorization": f"Bearer {applicant['registration_token']}"}
    for path in (CHANGES, "/federation/standing"):
        assert api.get(path, by="echo").status_code == 200
        assert api.send("GET", path, headers=dict(token)).status_code == 200
    for step in (
        "announcement", "evidence", f"contribution/{vector}", "key-list", "mail",
        "proposal",
    ):  # fmt: skip
        path = f"/federation/round/{name}/{step}"
        problem(api.get(path, by="echo"), 403, "unknown-sender", "no member yet")
        by_token = api.send("GET", path, headers=dict(token))
        problem(by_token, 403, "unknown-sender", "no member yet")
        if step in {"announcement", "evidence"}:
            assert api.get(path).status_code == 200


# Proposing.


def test_a_member_proposes_and_an_applicant_does_not(api, applicant, problem):
    assert applicant["status"] == "pending"
    made = proposing(api, suspension(api, reason="by alpha"), by="alpha")
    assert (made.status_code, made.json()["proposed_by"]) == (201, "alpha")
    answer = proposing(api, suspension(api, reason="by echo"), by="echo")
    problem(answer, 403, "unknown-sender", "no member yet")
    stranger = IdentityKey.generate(api.entropy)
    problem(proposing(api, suspension(api), by=stranger), 403, "unknown-sender")
    by_token = api.send("POST", CHANGES, {}, headers=api.bearer())
    problem(by_token, 401, "bad-signature")
    again = proposing(api, suspension(api, reason="by alpha"), by="bravo").json()
    assert again == made.json(), "the same again changes nothing"


def test_who_is_to_be_a_member_has_no_other_way_in(api, problem):
    """Nor may a member propose what its agent's peers approve by themselves."""
    key = IdentityKey.generate(api.entropy).public
    entry = MemberEnrolled(
        change=2,
        org_id=org_id("echo"),
        name="Echo",
        keys=MemberKeys.of(key),
        data_sources=("zeek-conn",),
        invitation_digest=sha256(b"none"),
    )
    for by in ("alpha", "operator"):
        answer = proposing(api, entry, by=by)
        problem(answer, 403, "unknown-sender", "their own application")
    plan = api.world.recorder.in_force.plan
    adopted = PlanAdopted(
        change=2, plan=canonical.builtins(plan), plan_digest=plan.digest
    )
    problem(proposing(api, adopted, by="alpha"), 403, "unknown-sender", "operator")
    assert api.get(CHANGES).json()["changes"] == []


def test_a_change_that_could_not_stand_is_not_filed(api, problem):
    for entry, words in (
        (suspension(api, change=7), "7"),
        (suspension(api, "nobody"), "nobody"),
    ):
        answer = proposing(api, entry)
        problem(answer, 422, "verification-failed", words)
    for form, code in (
        ({}, "malformed-message"),
        ({"entry": {}}, "malformed-message"),
        ({"entry": {"type": "fedxdr/tea/v1"}}, "malformed-message"),
        ({"entry": canonical.builtins(suspension(api)), "more": 1},
         "malformed-message"),
        ({"entry": canonical.builtins(suspension(api)), "envelopes": [{}]},
         "malformed-message"),
        (b"{", "malformed-message"),
    ):  # fmt: skip
        problem(api.post(CHANGES, form), 422, code)
    assert api.get(CHANGES).json()["changes"] == []


def test_one_proposer_has_so_many_open_changes(api, problem):
    for number in range(MOST_OPEN):
        made = proposing(api, suspension(api, reason=f"{number}"), by="alpha")
        assert made.status_code == 201
    answer = proposing(api, suspension(api, reason="one more"), by="alpha")
    problem(answer, 409, "wrong-phase", "withdraw one")
    assert (
        proposing(api, suspension(api, reason="other"), by="bravo").status_code == 201
    )


def test_a_member_rotates_its_own_keys_and_nobody_elses(api, problem):
    fresh = IdentityKey.generate(api.entropy)
    old = api.keys["alpha"].public.fingerprint
    statement = RotationStatement(
        org=org_id("alpha"),
        keys=MemberKeys.of(fresh.public),
        previous=old,
        issued_at=api.world.clock.now(),
    )
    entry = MemberKeyRotated(
        change=2, org_id=org_id("alpha"), keys=statement.keys, previous=old
    )
    signed = statements.sign(statement, fresh)
    for by in ("bravo", "operator"):
        answer = proposing(api, entry, signed, by=by)
        problem(answer, 403, "unknown-sender", "its own new keys")
    unsigned = proposing(api, entry, by="alpha")
    assert unsigned.status_code == 422, "the new keys have not signed"
    made = proposing(api, entry, signed, by="alpha")
    assert made.status_code == 201, made.text
    for org in ("bravo", "charlie", "delta"):
        assert approving(api, made.json(), org).status_code == 202
    member = api.world.recorder.in_force.members["alpha"]
    assert member.keys.identity == fresh.public
    # from now on the old keys are nobody's, for reading and writing
    problem(api.get("/federation/status"), 403, "unknown-sender")
    problem(proposing(api, suspension(api), by="alpha"), 403, "unknown-sender")
    api.keys["alpha"] = fresh
    assert api.get("/federation/status").status_code == 200


# Approving.


def test_a_quorum_of_approvals_puts_a_change_on_the_ledger(api):
    made = proposing(api, suspension(api)).json()
    size = api.world.recorder.size()
    for number, org in enumerate(("alpha", "bravo"), 1):
        answer = approving(api, made, org)
        assert answer.status_code == 202
        assert answer.json() == made | {"approved_by": ["alpha", "bravo"][:number]}
        assert api.world.recorder.size() == size
    answer = approving(api, made, "charlie").json()
    assert answer["outcome"] == "adopted"
    assert answer["approved_by"] == ["alpha", "bravo", "charlie"]
    assert isinstance(api.world.recorder.in_force.head.entry, MemberSuspended)
    assert "delta" not in api.world.recorder.in_force.members


def test_an_approval_counts_for_who_gave_it_and_for_what(api, applicant, problem):
    assert applicant["org_id"] == "echo"
    mine = proposing(api, suspension(api)).json()
    other = proposing(api, suspension(api, "charlie")).json()
    path = f"{CHANGES}/{mine['digest']}/approval"
    # by who has no say
    problem(approving(api, mine, "echo"), 403, "unknown-sender", "no say")
    good = approval(api, mine, "alpha")
    problem(api.post(path, good.to_json()), 403, "unknown-sender", "an organisation")
    # another one's approval under one's own request, and in another one's name
    problem(api.post(path, good.to_json(), by="bravo"), 401, "bad-signature")
    answer = approving(api, mine, "bravo", me="alpha")
    problem(answer, 401, "bad-signature", "in the name of alpha")
    # of another change, on another ledger, in no form
    answer = api.post(path, approval(api, other, "alpha").to_json(), by="alpha")
    problem(answer, 422, "invalid-input", "another change")
    answer = approving(api, mine, "alpha", ledger=sha256(b"another"))
    problem(answer, 422, "invalid-input", "another ledger")
    problem(api.post(path, b"{}", by="alpha"), 422, "malformed-message")
    # of a change that there is not
    stale = mine | {"digest": mine["digest"]}
    nowhere = f"{CHANGES}/{'0' * 64}/approval"
    answer = api.post(nowhere, approval(api, stale, "alpha").to_json(), by="alpha")
    problem(answer, 404, "not-found", "no such change")
    answer = api.post(f"{CHANGES}/x/approval", good.to_json(), by="alpha")
    problem(answer, 422, "malformed-message")
    # expired on its way
    api.world.clock.advance(seconds=8 * 86_400)
    answer = api.post(path, good.to_json(), by="alpha")
    problem(answer, 422, "invalid-input", "expired")
    found = {c["digest"]: c for c in api.get(CHANGES, by="operator").json()["changes"]}
    assert found[mine["digest"]]["approved_by"] == []


def test_a_suspended_member_reads_and_writes_nothing_any_more(api, problem):
    bearer = api.bearer("delta")
    made = proposing(api, suspension(api)).json()
    for org in ("alpha", "bravo", "charlie"):
        approving(api, made, org)
    assert "delta" not in api.world.recorder.in_force.members
    for path in ("/federation/status", CHANGES, "/federation/standing"):
        answer = api.send("GET", path, headers=dict(bearer))
        problem(answer, 401, "unauthorised", "no member")
        problem(api.get(path, by="delta"), 403, "unknown-sender")
    problem(proposing(api, suspension(api, "alpha"), by="delta"), 403, "unknown-sender")
    # the head over its suspension is still its to cosign, the next is not
    size = api.world.recorder.size()
    lines = cosignature(api, "delta", size)
    assert cosigning(api, size, lines, by="delta").status_code == 202
    for org in ("alpha", "bravo", "charlie"):
        cosigning(api, size, cosignature(api, org, size), by=org)
    change = api.world.orchestrator.propose_plan({"clip_norm": 5.0})
    for org in ("alpha", "bravo", "charlie"):
        approving(api, change.to_value(), org)
    assert api.world.recorder.size() == size + 1
    lines = cosignature(api, "delta", size + 1)
    problem(cosigning(api, size + 1, lines, by="delta"), 403, "unknown-sender")
    # the public ledger is everybody's
    assert api.send("GET", "/ledger/checkpoint").status_code == 200


# Withdrawing.


def test_who_proposed_a_change_withdraws_it_or_the_operator(api, problem):
    mine, theirs = (
        proposing(api, suspension(api, reason=by), by=by).json()
        for by in ("alpha", "bravo")
    )

    def withdraw(change, by):
        return api.post(f"{CHANGES}/{change['digest']}/withdrawal", by=by)

    problem(withdraw(mine, "bravo"), 403, "unknown-sender", "only who proposed")
    assert withdraw(mine, "alpha").json() == mine | {
        "outcome": "withdrawn",
        "why": "alpha took it back",
    }
    assert withdraw(theirs, "operator").json()["outcome"] == "withdrawn"
    problem(withdraw(mine, "alpha"), 409, "wrong-phase", "withdrawn")
    problem(withdraw({"digest": "0" * 64}, "operator"), 404, "not-found")
    problem(approving(api, mine, "alpha"), 409, "wrong-phase", "closed")
    assert api.get(CHANGES).json()["changes"] == []
    assert api.get("/federation/standing").json()["changes"] == []


def test_nobody_takes_from_others_what_they_propose_or_approved(api, problem):
    """Least of all whose suspension it is, by being the first to propose it."""

    def withdraw(change, by):
        return api.post(f"{CHANGES}/{change['digest']}/withdrawal", by=by)

    entry = suspension(api)
    change = proposing(api, entry, by="delta").json()
    # (the others' proposal of the same is the same)
    assert proposing(api, entry, by="alpha").json() == change
    problem(withdraw(change, "delta"), 403, "unknown-sender", "is about")
    problem(withdraw(change, "alpha"), 403, "unknown-sender", "only who proposed")
    assert withdraw(change, "operator").status_code == 202
    # who proposes it then may, until somebody else has approved it
    again = proposing(api, entry, by="bravo").json()
    assert again["proposed_by"] == "bravo"
    problem(withdraw(again, "delta"), 403, "unknown-sender", "only who proposed")
    approving(api, again, "bravo")
    assert withdraw(again, "bravo").json()["why"] == "bravo took it back"
    again = proposing(api, entry, by="alpha").json()
    assert (again["proposed_by"], again["approved_by"]) == ("alpha", ["bravo"])
    problem(withdraw(again, "alpha"), 403, "unknown-sender", "others have approved")
    for by in ("alpha", "charlie"):
        last = approving(api, again, by).json()
    assert last["outcome"] == "adopted"


def test_a_suspension_is_not_proposed_with_junk_beside_it(api, problem):
    """Its subject would so make it one that can never stand on the ledger."""
    entry = suspension(api)
    junk = consent.approve(
        ProposedChange(
            digest=sha256(b"another entry"),
            entry=entry,
            envelopes=(),
            proposed_by="delta",
            proposed_at=api.world.clock.now(),
            approved_by=(),
        ),
        me=org_id("delta"),
        identity=api.keys["delta"],
        ledger=api.world.recorder.in_force.genesis_hash,
        now=api.world.clock.now(),
    )
    answer = proposing(api, entry, junk, by="delta")
    problem(answer, 422, "invalid-input", "without approvals")
    change = proposing(api, entry).json()
    for by in ("alpha", "bravo", "charlie"):
        last = approving(api, change, by).json()
    assert last["outcome"] == "adopted"


# The plan, and waiting.


def test_the_operator_proposes_a_plan_and_agents_put_it_into_force(api, problem):
    made = api.post("/federation/plan", {"config": {"clip_norm": 5}})
    assert made.status_code == 201
    assert set(made.json()) == WORDS | {"plan_digest"}
    assert made.json()["outcome"] == ""
    assert made.json()["plan_digest"] == made.json()["entry"]["plan_digest"]
    problem(api.post("/federation/plan", {}, by="alpha"), 403, "unknown-sender")
    for form, code, word in (
        ({"config": {"colour": "red"}}, "invalid-plan", "colour"),
        ({"aggregation_method": "Sum"}, "invalid-plan", "Sum"),
        ({"min_orgs_required": 2}, "invalid-plan", "min_survivors"),
        ({"task": "training"}, "malformed-message", "task"),
        ({"colour": "red"}, "malformed-message", "colour"),
    ):
        problem(api.post("/federation/plan", form), 422, code, word)
    assert api.world.recorder.in_force.plan.clip_norm == 10
    api.world.step()
    assert api.world.recorder.in_force.plan.digest == made.json()["plan_digest"]
    again = api.post("/federation/plan", {"config": {"clip_norm": 5}}).json()
    assert again["outcome"] in {"", "adopted"}


def test_a_round_that_waits_for_members_says_so_with_its_own_code(api, problem):
    form = {"config": {"clip_norm": 5}}
    answer = api.post("/federation/round/start", form)
    problem(answer, 503, "waiting-for-quorum", "0 of the 3", "alpha, bravo", "fedxdr")
    assert api.world.orchestrator.current is None
    assert api.start(form).status_code == 201


def test_the_products_client_does_not_ask_again_where_people_are_awaited(
    api, monkeypatch
):
    asked = []
    handle = api.transport.handle_request

    def counting(request):
        asked.append(request.url.path)
        return handle(request)

    monkeypatch.setattr(api.transport, "handle_request", counting)
    client = api.client("operator")
    with pytest.raises(WaitingForQuorum, match="0 of the 3"):
        client.call(
            "POST", "/federation/round/start", body=b'{"config":{"clip_norm":5}}'
        )
    assert asked == [f"{PREFIX}/federation/round/start"]


def test_a_request_is_held_until_the_members_agents_have_consented(api, monkeypatch):
    """The operator types one command; agents look while its request is open."""
    monkeypatch.setattr(serving, "_CONSENT_S", 60.0)
    wishes = {"clip_norm": 5.0}

    def start(service):
        return service.orchestrator.start_round(wishes=wishes)

    async def both():
        async def run_agents():
            while True:
                await api.service.run(lambda _: api.world.step())

        agents = asyncio.ensure_future(run_agents())
        try:
            return await api.service.run_in_time(start)
        finally:
            agents.cancel()

    assert asyncio.run(both()).plan.clip_norm == 5.0


# Cosignatures.


def cosignature(api, org, size, *, key=None, head=None):
    lines = heads.cosign(
        head or api.world.orchestrator.heads.at(size),
        key or api.keys[org],
        org=org_id(org),
        at=api.world.clock.now(),
    )
    return [line.line() for line in lines]


def cosigning(api, size, lines, *, by):
    return api.post(f"/ledger/checkpoint/{size}", "".join(lines).encode(), by=by)


@pytest.fixture
def fresh(make_api):
    """A federation whose Genesis nobody has cosigned yet."""
    return make_api()


def test_a_head_gets_its_quorum_member_by_member(fresh):
    orgs = ("alpha", "bravo", "charlie")
    for number, org in enumerate(orgs, 1):
        answer = cosigning(fresh, 1, cosignature(fresh, org, 1), by=org)
        assert answer.status_code == 202
        assert answer.json() == {
            "size": 1,
            "cosigned_by": list(orgs[:number]),
            "has_quorum": number == 3,
        }
        again = cosigning(fresh, 1, cosignature(fresh, org, 1), by=org)
        assert again.json() == answer.json()
    served = fresh.send("GET", "/ledger/checkpoint?size=1").text
    assert cosignature(fresh, "alpha", 1)[0] in served


def test_a_line_that_is_not_ones_own_is_refused(fresh):
    mine, theirs = (cosignature(fresh, org, 1) for org in ("alpha", "bravo"))
    for lines in (
        theirs,
        [mine[0], theirs[1]],
        mine[:1],
        [*mine, *theirs],
        [mine[0], mine[0]],
        [],
        ["— alpha\n"],
        ["x"],
        # by another key under one's own name
        cosignature(fresh, "alpha", 1, key=fresh.keys["operator"]),
    ):
        answer = cosigning(fresh, 1, lines, by="alpha")
        assert answer.status_code in {401, 422}, (lines, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    # over another head, which the log did sign
    fresh.world.orchestrator.propose_plan({})
    fresh.world.step()
    other = cosignature(fresh, "alpha", 2)
    before = fresh.world.orchestrator.heads.at(1)
    answer = cosigning(fresh, 1, other, by="alpha")
    assert answer.status_code in {202, 401}
    assert fresh.world.orchestrator.heads.at(1) == before


def test_who_is_no_member_does_not_cosign(fresh, problem):
    lines = cosignature(fresh, "alpha", 1)
    problem(cosigning(fresh, 1, lines, by="operator"), 403, "unknown-sender")
    stranger = IdentityKey.generate(fresh.entropy)
    problem(cosigning(fresh, 1, lines, by=stranger), 403, "unknown-sender")
    unsigned = fresh.send("POST", "/ledger/checkpoint/1", "".join(lines).encode())
    problem(unsigned, 401, "bad-signature")
    # an applicant is none yet
    key = IdentityKey.generate(fresh.entropy)
    form = application(fresh, invited(fresh), key)
    fresh.send("POST", "/federation/register", form, by=key)
    fresh.keys["echo"] = key
    lines = cosignature(fresh, "echo", 1)
    problem(cosigning(fresh, 1, lines, by="echo"), 403, "unknown-sender")
    assert fresh.world.orchestrator.heads.cosigned_by(1) == ()


def test_a_head_that_there_is_not_is_not_cosigned(fresh, problem):
    lines = cosignature(fresh, "alpha", 1)
    problem(cosigning(fresh, 2, lines, by="alpha"), 404, "not-found", "no head")
    problem(cosigning(fresh, 0, lines, by="alpha"), 404, "not-found")
    problem(cosigning(fresh, -1, lines, by="alpha"), 404, "not-found")
    answer = cosigning(fresh, "x", lines, by="alpha")
    problem(answer, 422, "malformed-message", "size")


# The founding.


@pytest.fixture
def unfounded(make_api):
    """A federation to which nobody has applied yet, over the same routes."""
    return Unfounded(make_api)


class Unfounded:
    """The routes over an orchestrator whose ledger has not begun."""

    def __init__(self, make_api):
        class Waiting(SimulatedFederation):
            def _found(self):
                """Leave it to the routes."""

        api = make_api.__new__(make_api)
        world = Waiting(
            {},
            plan={"layout": LAYOUT, "architecture": {"name": "tiny"}},
            initial=np.zeros(LAYOUT.size, np.float32),
        )
        api.attach(
            world,
            Service(
                orchestrator=world.orchestrator,
                registrar=world.registrar,
                recogniser=world.registrar.recogniser,
                registry=world.registry,
                identity=world.identity,
                clock=world.clock,
                max_body_bytes=LIMIT,
            ),
        )
        self.api = api

    def apply(self, org):
        key = IdentityKey.generate(self.api.entropy)
        form = application(self.api, invited(self.api, org), key)
        self.api.keys[org] = key
        answer = self.api.send("POST", "/federation/register", form, by=key)
        assert answer.status_code == 201, answer.text
        return answer.json()


def test_founders_apply_found_and_approve(unfounded, problem):
    api = unfounded.api
    told_to = {org: unfounded.apply(org) for org in ("aurora", "borealis")}
    for org, answer in told_to.items():
        assert (answer["org_id"], answer["status"]) == (org, "founding")
        assert answer["global_config"] == {
            "federation": "simulation",
            "origin": "simulation.example/ledger",
            "genesis": None,
            "plan_digest": None,
            "model_hash": None,
            "max_body_bytes": LIMIT,
        }
    problem(api.post("/federation/found", by="aurora"), 403, "unknown-sender")
    made = api.post("/federation/found")
    assert made.status_code == 201
    change = made.json()
    assert change["entry"]["founders"] == {
        org: api.keys[org].public.fingerprint for org in told_to
    }
    assert api.post("/federation/found").json() == change, "again changes nothing"
    # founders read it and the standing before there is any ledger
    assert change in api.get(CHANGES, by="aurora").json()["changes"]
    standing = api.get("/federation/standing", by="aurora").json()
    assert (standing["height"], standing["round_id"]) == (-1, None)
    # all of them approve it, and nobody else
    unfounded.apply("cascade")
    problem(approving(api, change, "cascade"), 403, "unknown-sender", "no say")
    assert approving(api, change, "aurora").json()["outcome"] == ""
    assert not api.world.recorder.is_begun
    assert approving(api, change, "borealis").json()["outcome"] == "adopted"
    assert api.world.recorder.in_force.cohort == ("aurora", "borealis")
    problem(api.post("/federation/found"), 409, "wrong-phase", "founded already")
    # who was too late applies on, to the members
    assert "cascade" not in api.world.recorder.in_force.members
    (open_now,) = api.get(CHANGES, by="aurora").json()["changes"]
    assert open_now["entry"]["org_id"] == "cascade"


def test_a_founder_more_makes_another_genesis_which_all_approve_anew(unfounded):
    api = unfounded.api
    unfounded.apply("aurora")
    unfounded.apply("borealis")
    first = api.post("/federation/found").json()
    approving(api, first, "aurora")
    unfounded.apply("cascade")
    second = api.post("/federation/found").json()
    assert second["digest"] != first["digest"]
    assert second["approved_by"] == []
    closed = {
        c["digest"]: c["outcome"]
        for c in api.get(f"{CHANGES}?all=true", by="aurora").json()["changes"]
    }
    assert closed[first["digest"]] == "withdrawn"
    assert not api.world.recorder.is_begun
    for org in ("aurora", "borealis", "cascade"):
        approving(api, second, org)
    genesis = api.world.recorder.in_force.genesis
    assert entry_digest(genesis) == second["digest"]


def test_nothing_but_founders_is_proposed_before_the_founding(unfounded, problem):
    api = unfounded.api
    problem(api.post("/federation/found"), 409, "too-few-participants", "invite")
    unfounded.apply("aurora")
    entry = MemberSuspended(change=1, org_id=org_id("aurora"), reason="x")
    problem(proposing(api, entry), 422, "invalid-input", "not founded yet")
    for path, form in (("/federation/plan", {}), ("/federation/round/start", {})):
        problem(api.post(path, form), 503, "unavailable", "members propose --found")


def test_what_is_told_about_the_service_before_the_founding(unfounded, problem):
    api = unfounded.api
    unfounded.apply("aurora")
    ready = api.send("GET", "/ready")
    assert (ready.status_code, ready.json()) == (
        503,
        {"ready": False, "height": -1, "head": None},
    )
    assert api.send("GET", "/health").json()["status"] == "healthy"
    before = api.send("GET", "/info").json()
    assert before["federation"] == "simulation"
    assert before["orchestrator_fingerprint"] == api.world.identity.public.fingerprint
    for path in (
        "/blockchain/ledger/verify", "/privacy/config", "/privacy/budget",
        "/federation/status",
    ):  # fmt: skip
        problem(api.get(path, by="aurora"), 503, "unavailable", "not founded yet")
    problem(api.get("/federation/global-model", by="aurora"), 404, "not-found")
    members = api.get("/federation/organizations", by="aurora").json()
    assert (members["organizations"], members["total"]) == ([], 0)
    answer = api.get("/ledger/bundle", by="aurora")
    problem(answer, 503, "waiting-for-quorum", "not founded yet")
    assert api.get("/ledger/blocks", by="aurora").json()["blocks"] == []
    problem(api.get("/ledger/checkpoint", by="aurora"), 404, "not-found")
    approving(api, api.post("/federation/found").json(), "aurora")
    after = api.send("GET", "/info").json()
    assert after == before
    assert api.send("GET", "/ready").json()["height"] == 0
    model = api.world.recorder.in_force.model
    assert snapshot.load(api.world.orchestrator.blobs.get(model)).vector.size
    # before the founding invitations pin no ledger; now one that is cosigned
    assert invited(api, "x").size == 0
    lines = cosignature(api, "aurora", 1)
    assert cosigning(api, 1, lines, by="aurora").json()["has_quorum"]
    assert invited(api, "y").size == 1


def test_a_change_in_another_form_is_not_believed(api):
    """What agents read is named by its own digest, whatever the server says."""
    made = proposing(api, suspension(api)).json()
    wrong = json.loads(json.dumps(made))
    wrong["entry"]["org_id"] = "alpha"
    with pytest.raises(Exception, match="another digest"):
        told(wrong)
    assert dataclasses.replace(told(made)) == told(made)
