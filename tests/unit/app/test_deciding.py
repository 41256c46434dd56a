# SPDX-License-Identifier: Apache-2.0
"""What people decide beside running agents: founding, approving, new keys."""

import dataclasses
import json

import pytest
from tests.unit.app.conftest import Killed, reopen

from fedxdr.app.deciding import Somebody, find_change, subject_of
from fedxdr.app.participating import NEXT_KEY, AgentFile, key_of, take_next_key
from fedxdr.app.server_file import ServerFile
from fedxdr.core.errors import (
    InvalidSettings,
    MalformedMessage,
    NotFound,
    Unauthorised,
    Unavailable,
    UnknownSender,
    WrongPhase,
)
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger.entries import (
    Genesis,
    MemberKeyRotated,
    MemberKeys,
    MemberSuspended,
    entry_digest,
)
from fedxdr.parties.changes import ProposedChange
from fedxdr.parties.participant import Participant
from fedxdr.parties.recognising import Recogniser

ORGS = ("aurora", "borealis", "cascade")
FRESH = IdentityKey(seed=bytes(range(32)))


def proposed(place, org="aurora"):
    """Return the Genesis that the operator has proposed, as an organisation sees it."""
    place.operator().call("POST", "/federation/found", {})
    return find_change(
        [c for c in place.somebody(org).changes() if isinstance(c.entry, Genesis)],
        "founding",
    )


def with_entry(change, **fields):
    """Return the change over another entry, under that one's own digest."""
    entry = dataclasses.replace(change.entry, **fields)
    return dataclasses.replace(change, entry=entry, digest=entry_digest(entry))


# Who somebody is.


def test_a_folder_says_who_asks(place):
    place.join("aurora")
    operator, aurora = place.operator(), place.somebody("aurora")
    assert operator.agent is None
    assert aurora.agent == AgentFile.read(place.folder("aurora"))
    assert aurora.key.public == key_of(place.folder("aurora")).public
    assert operator.key.public == place.network.opened.registrar.recogniser._operator
    with pytest.raises(InvalidSettings, match="fedxdr join"):
        Somebody.of(place.base / "nowhere")


def test_a_server_that_was_never_run_is_named(place):
    file = ServerFile.read(place.server)
    dataclasses.replace(file, address="").write(place.server)
    with pytest.raises(Unavailable, match="fedxdr server run"):
        place.operator()


# The founding.


def test_what_was_approved_is_kept_before_the_approval_leaves(place):
    place.join("aurora")
    change = proposed(place)
    place.network.dies = f"{change.digest}/approval"
    with pytest.raises(Killed):
        place.somebody("aurora").approve(change)
    assert AgentFile.read(place.folder("aurora")).founding == change.digest
    assert not place.network.opened.orchestrator.recorder.is_begun
    place.network.dies = ""
    assert place.somebody("aurora").approve(change).outcome == "adopted"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"founders": {"aurora": FRESH.public.fingerprint}}, "organisation's keys"),
        ({"founders": {"borealis": FRESH.public.fingerprint}}, "organisation's keys"),
        ({"orchestrator": MemberKeys.of(FRESH.public)}, "another orchestrator"),
    ],
)
def test_a_founding_with_other_keys_is_refused_and_nothing_is_sent(
    place, fields, words
):
    place.join("aurora")
    change = with_entry(proposed(place), **fields)
    before = AgentFile.read(place.folder("aurora"))
    place.network.dies = "/approval"  # nothing comes that far
    with pytest.raises(MalformedMessage, match=words):
        place.somebody("aurora").approve(change)
    assert AgentFile.read(place.folder("aurora")) == before


def test_an_agent_that_waits_for_the_founding_loses_nothing_of_what_was_approved(
    place,
):
    """The agent runs with an older ``agent.json`` in memory than a person wrote."""
    place.join("aurora")
    opened = place.agent("aurora")
    try:
        with pytest.raises(Unavailable):
            opened.follow_ledger()
        change = proposed(place)
        place.approve("founding", "aurora")
        opened.follow_ledger()
    finally:
        opened.close()
    file = AgentFile.read(place.folder("aurora"))
    genesis = place.network.opened.orchestrator.recorder.in_force.genesis_hash
    assert (file.founding, file.genesis) == (change.digest, genesis)
    assert file == opened.file


# Approving later.


def test_before_it_has_seen_the_ledger_an_organisation_approves_nothing(place):
    place.found(*ORGS)
    change = place.operator().propose(
        MemberSuspended(
            change=place.operator().next_change(), org_id="cascade", reason="left"
        )
    )
    with pytest.raises(InvalidSettings, match="agent run"):
        place.approve("cascade", "aurora")
    place.run_agents(*ORGS)
    told = place.approve("cascade", "aurora")
    assert (told.digest, told.approved_by) == (change.digest, ("aurora",))
    assert place.approve("cascade", "borealis").outcome == "adopted"


def test_the_operator_has_no_say(place):
    place.join("aurora")
    change = proposed(place)
    with pytest.raises(InvalidSettings, match="no say"):
        place.operator().approve(change)
    with pytest.raises(InvalidSettings, match="rotates its own keys"):
        place.operator().rotation()
    found = place.network.opened.orchestrator.governance.proposal(change.digest)
    assert found.approved_by == ()


def test_a_restarted_server_still_knows_what_was_proposed_and_approved(place):
    place.join(*ORGS)
    change = proposed(place)
    place.approve("founding", "aurora", "borealis")
    place.network.opened.close()
    place.network.opened = reopen(place.server)
    found = find_change(place.somebody("cascade").changes(), "founding")
    assert found.digest == change.digest
    assert found.approved_by == ("aurora", "borealis")
    assert place.approve("founding", "cascade").outcome == "adopted"


# Which change is meant.


def change_of(entry):
    return ProposedChange(
        digest=entry_digest(entry),
        entry=entry,
        envelopes=(),
        proposed_by="operator",
        proposed_at=None,
        approved_by=(),
    )


def test_a_change_is_found_by_whom_it_is_about_or_by_its_digest():
    first, second, third = (
        change_of(MemberSuspended(change=2, org_id=org, reason=reason))
        for org, reason in (("a", "x"), ("b", "x"), ("b", "y"))
    )
    every = [first, second, third]
    assert [subject_of(change) for change in every] == ["a", "b", "b"]
    assert find_change(every, "a") is first
    assert find_change([second], None) is second
    assert find_change(every, second.digest) is second
    assert find_change(every, third.digest[:8]) is third
    for wanted, words in (
        (None, "more than one"),
        ("b", "more than one"),
        ("c", "none"),
        (third.digest[:7], "none"),
        ("", "none"),
    ):
        with pytest.raises(NotFound, match=words) as caught:
            find_change(every, wanted)
        assert first.digest[:16] in str(caught.value)
    with pytest.raises(NotFound, match="there are: none"):
        find_change([], None)


# New keys.


def test_new_keys_are_made_once_and_kept_until_they_are_in_force(place):
    place.found(*ORGS)
    place.run_agents(*ORGS)
    aurora = place.somebody("aurora")
    first, _ = aurora.rotation()
    again, _ = aurora.rotation()
    assert first.keys == again.keys
    path = place.folder("aurora") / "keys" / NEXT_KEY
    assert path.stat().st_mode & 0o777 == 0o600
    old = key_of(place.folder("aurora")).public
    assert first.previous == old.fingerprint
    assert first.keys.identity != old
    assert key_of(place.folder("aurora")).public == old, "not before it is approved"


def test_a_running_agent_takes_its_next_key_when_the_members_have_approved(place):
    from fedxdr.cli import agent  # noqa: PLC0415 - the loop that `agent run` has

    place.found(*ORGS)
    place.run_agents(*ORGS)
    folder = place.folder("aurora")
    old = key_of(folder).public
    aurora = place.somebody("aurora")
    change = aurora.propose(*aurora.rotation())
    assert isinstance(change.entry, MemberKeyRotated)
    opened = place.agent("aurora")
    try:
        # proposed, not approved: it goes on with the old key
        opened.participant.step(wait_s=0)
        assert opened.has_next_key
        assert not opened.has_rotated()
        assert not agent._takes_next_key(opened)
        assert place.approve("aurora", "borealis", "cascade").outcome == "adopted"
        with pytest.raises(UnknownSender):
            opened.participant.step(wait_s=0)
        assert opened.has_rotated()
        assert agent._takes_next_key(opened)
    finally:
        opened.close()
    fresh = key_of(folder).public
    assert fresh == change.entry.keys.identity
    assert (folder / "keys" / "identity.old.key").exists()
    assert not (folder / "keys" / NEXT_KEY).exists()
    assert not take_next_key(folder)
    # under its new key it cosigns and takes part in rounds
    model = place.run_round(*ORGS)
    block = place.network.opened.orchestrator.recorder.in_force.head
    assert block.model_hash == model
    assert "aurora" in block.provenance.training_orgs
    heads = place.network.opened.orchestrator.heads
    place.run_agents(*ORGS)
    assert heads.cosigned_by(block.height + 1) == ORGS
    in_force = place.network.opened.orchestrator.recorder.in_force
    assert in_force.identities["aurora"] == fresh != old


def rotated(place):
    """Let the members put new keys of aurora's in force; its agent has not looked."""
    place.found(*ORGS)
    place.run_agents(*ORGS)
    aurora = place.somebody("aurora")
    change = aurora.propose(*aurora.rotation())
    assert place.approve("aurora", *ORGS[:2]).outcome == "adopted"
    return place.folder("aurora"), change.entry.keys.identity


def test_with_its_next_key_an_agent_takes_a_token_for_it(place):
    bearer = place.network.opened.service.recogniser.bearer
    folder, fresh = rotated(place)
    before = AgentFile.read(folder)
    with pytest.raises(Unauthorised, match="keys that aurora has no more"):
        bearer(before.token)
    assert take_next_key(folder)
    after = AgentFile.read(folder)
    assert bearer(after.token) == "aurora"
    assert dataclasses.replace(after, token=before.token) == before
    assert key_of(folder).public == fresh


@pytest.mark.parametrize("after", [False, True])
def test_killed_while_it_fetches_its_token_an_agent_fetches_it_again(place, after):
    folder, fresh = rotated(place)
    network = place.network
    network.dies, network.after = "/federation/token", after
    with pytest.raises(Killed):
        take_next_key(folder)
    network.dies = ""
    assert key_of(folder).public != fresh
    assert take_next_key(folder)
    token = AgentFile.read(folder).token
    assert network.opened.service.recogniser.bearer(token) == "aurora"


def test_without_a_new_token_an_agent_takes_its_next_key_all_the_same(
    place, monkeypatch, caplog
):
    folder, fresh = rotated(place)
    before = AgentFile.read(folder)

    def refuse(_self, org):
        raise UnknownSender(f"no token for {org}")

    monkeypatch.setattr(Recogniser, "issue_token", refuse)
    assert take_next_key(folder)
    assert key_of(folder).public == fresh
    assert AgentFile.read(folder) == before
    assert "no new bearer token" in caplog.text


def test_a_server_that_only_says_so_makes_no_agent_change_its_key(place, monkeypatch):
    """The server is unsigned: it may forget our key, the ledger does not."""
    from fedxdr.cli import agent  # noqa: PLC0415 - the loop that `agent run` has

    place.found(*ORGS)
    place.run_agents(*ORGS)
    aurora = place.somebody("aurora")
    aurora.propose(*aurora.rotation())
    before = key_of(place.folder("aurora")).public
    opened = place.agent("aurora")
    steps = []

    def denied(_self, *, wait_s):
        steps.append(wait_s)
        if len(steps) > 3:
            raise KeyboardInterrupt
        raise UnknownSender("key 0000… is no member's on the ledger")

    monkeypatch.setattr(Participant, "step", denied)
    monkeypatch.setattr(agent.time, "sleep", lambda _: None)
    try:
        assert agent._serve(opened, None) is False
    finally:
        opened.close()
    assert len(steps) == 4
    assert key_of(place.folder("aurora")).public == before


# Whether a person is asked.


def test_agents_approve_plans_within_their_floor_unless_a_person_is_to_be_asked(place):
    place.found(*ORGS)
    place.run_agents(*ORGS)
    orchestrator = place.network.opened.orchestrator
    change = orchestrator.propose_plan({"clip_norm": 5.0})
    place.run_agents(*ORGS, asks=True, steps=2)
    assert orchestrator.governance.proposal(change.digest).approved_by == ()
    assert orchestrator.recorder.in_force.plan is None
    # the people of two of them are a quorum of three
    assert place.approve("plan-adopted", "aurora").outcome == ""
    assert place.approve("plan-adopted", "borealis").outcome == "adopted"
    assert orchestrator.recorder.in_force.plan.clip_norm == 5.0
    # and who is not asked is not waited for
    other = orchestrator.propose_plan({"clip_norm": 6.0})
    place.run_agents(*ORGS, steps=2)
    assert orchestrator.governance.proposal(other.digest).outcome == "adopted"


def test_what_is_closed_is_not_approved_any_more(place):
    place.found(*ORGS)
    place.run_agents(*ORGS)
    change = place.network.opened.orchestrator.propose_plan({"clip_norm": 5.0})
    place.network.opened.orchestrator.governance.withdraw(change.digest)
    with pytest.raises(WrongPhase, match="withdrawn"):
        place.somebody("aurora").approve(change)
    assert place.somebody("aurora").changes() == []


def test_an_agent_file_is_never_half_written(place, monkeypatch):
    place.join("aurora")
    path = place.folder("aurora") / "agent.json"
    before = path.read_bytes()
    change = proposed(place)

    def killed(*_):
        raise Killed

    monkeypatch.setattr(type(path), "replace", killed)
    with pytest.raises(Killed):
        place.somebody("aurora").approve(change)
    assert path.read_bytes() == before
    assert json.loads(before)["founding"] == ""
