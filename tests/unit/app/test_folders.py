# SPDX-License-Identifier: Apache-2.0
"""The life of a folder: made once, joined once, one process, killed anywhere."""

import dataclasses
import json

import pytest
from tests.unit.app.conftest import ADDRESS, MODEL, InProcess, Killed, reopen

from fedxdr.app import orchestrating
from fedxdr.app.orchestrating import initialise
from fedxdr.app.participating import AgentFile, OpenParticipant, join, key_of
from fedxdr.app.server_file import ServerFile, operator_key, publisher_key
from fedxdr.core.errors import (
    BadSignature,
    InvalidSettings,
    InvitationRefused,
    MalformedMessage,
    Unavailable,
)
from fedxdr.ledger import verifier
from fedxdr.ledger.entries import entry_digest

QUESTION = json.dumps({"model_hash": "0" * 64}).encode()


def join_as(folder, token):
    return join(folder, token, name="Aurora", data_sources=("zeek-conn",))


def verified(opened):
    orchestrator = opened.orchestrator
    return verifier.verify(
        orchestrator.recorder.export(heads=orchestrator.heads.for_bundle()),
        pinned_orchestrator_key=opened.identity.public.ed25519,
    )


# The orchestrator's folder.


def test_a_new_folder_holds_keys_and_model_and_no_ledger_yet(made):
    for name in ("orchestrator", "operator", "token", "publisher"):
        assert (made / "keys" / f"{name}.key").stat().st_mode & 0o777 == 0o600
    opened = reopen(made)
    try:
        assert opened.orchestrator.blobs.has(opened.file.model)
        assert opened.orchestrator.recorder.size() == 0
        with pytest.raises(Unavailable, match="members propose --found"):
            _ = opened.orchestrator.recorder.in_force
        assert opened.registrar.federation == "drill"
    finally:
        opened.close()
    keys = {
        operator_key(made, name=name).public.fingerprint
        for name in ("orchestrator", "operator", "token", "publisher")
    }
    assert len(keys) == 4


def test_the_ledger_begins_with_the_keys_and_the_model_of_the_folder(place):
    place.found("aurora")
    place.run_agents("aurora")
    opened = place.network.opened
    in_force = opened.orchestrator.recorder.in_force
    genesis = in_force.genesis
    assert genesis.federation == "drill"
    assert (
        in_force.orchestrator == operator_key(place.server, name="orchestrator").public
    )
    assert genesis.publisher == publisher_key(place.server).public_der
    assert in_force.model == ServerFile.read(place.server).model
    assert opened.orchestrator.blobs.has(in_force.model)
    assert verified(opened).blocks_verified == 1
    # and goes on with them
    opened.close()
    place.network.opened = opened = reopen(place.server)
    assert opened.orchestrator.recorder.in_force.genesis == genesis


def test_a_folder_is_made_once(made):
    before = {p: p.read_bytes() for p in (made / "keys").iterdir()}
    with pytest.raises(InvalidSettings, match="already"):
        initialise(made, federation="drill", model=MODEL)
    assert {p: p.read_bytes() for p in (made / "keys").iterdir()} == before


@pytest.mark.parametrize("at", range(7))
def test_making_goes_on_where_it_was_killed(tmp_path, monkeypatch, at):
    """Database, four keys, the model and the file: killed before each of them."""
    left = [at]

    def mortal(write):
        def writing(*args, **options):
            if left[0] == 0:
                left[0] = -1
                raise Killed
            left[0] -= 1
            return write(*args, **options)

        return writing

    monkeypatch.setattr(orchestrating, "Database", mortal(orchestrating.Database))
    monkeypatch.setattr(orchestrating, "write_seed", mortal(orchestrating.write_seed))
    monkeypatch.setattr(
        orchestrating.FileBlobs, "put", mortal(orchestrating.FileBlobs.put)
    )
    monkeypatch.setattr(ServerFile, "write", mortal(ServerFile.write))
    with pytest.raises(Killed):
        initialise(tmp_path, federation="drill", model=MODEL)
    keys = {p: p.read_bytes() for p in (tmp_path / "keys").glob("*")}
    assert not (tmp_path / "server.json").exists()
    initialise(tmp_path, federation="drill", model=MODEL)
    assert all(path.read_bytes() == seed for path, seed in keys.items())
    opened = reopen(tmp_path)
    try:
        assert opened.orchestrator.recorder.size() == 0
        assert opened.orchestrator.blobs.has(opened.file.model)
        assert opened.registrar.identity == opened.identity.public
    finally:
        opened.close()


def test_what_was_begun_for_another_federation_is_not_taken_over(place, monkeypatch):
    place.found("aurora")
    place.network.opened.close()
    (place.server / "server.json").unlink()
    with pytest.raises(InvalidSettings, match="another federation, drill"):
        initialise(place.server, federation="other", model=MODEL)
    assert not (place.server / "server.json").exists()
    # nor from elsewhere, by the setting that moves the database
    monkeypatch.setenv("FL_BLOCKCHAIN_DB_PATH", str(place.server / "server.db"))
    with pytest.raises(InvalidSettings, match="another federation, drill"):
        initialise(place.base / "other", federation="other", model=MODEL)
    initialise(place.server, federation="drill", model=MODEL)
    place.network.opened = reopen(place.server)
    assert place.network.opened.orchestrator.recorder.size() == 1


def test_a_wrong_name_makes_nothing(tmp_path):
    with pytest.raises(MalformedMessage):
        initialise(tmp_path / "x", federation="Not A Name", model=MODEL)
    assert not (tmp_path / "x").exists()


def test_one_process_at_a_time(made):
    opened = reopen(made)
    try:
        with pytest.raises(Unavailable, match="in use"):
            reopen(made)
    finally:
        opened.close()
    reopen(made).close()


def test_a_half_written_address_is_never_seen(made, monkeypatch):
    before = ServerFile.read(made)

    def killed(*_):
        raise Killed

    monkeypatch.setattr(type(made), "replace", killed)
    with pytest.raises(Killed):
        dataclasses.replace(before, address="http://x:1").write(made)
    assert ServerFile.read(made) == before


# An organisation's folder.


def test_joining_makes_a_folder_that_only_its_owner_reads(place, tmp_path):
    token = place.invitation("aurora")
    file = join_as(tmp_path / "a", token)
    assert AgentFile.read(tmp_path / "a") == file
    assert (file.org, file.server) == ("aurora", ADDRESS)
    assert file.orchestrator == token.pin
    assert (file.genesis, file.founding, file.pinned_size) == ("", "", 0)
    for name in ("agent.json", "keys/identity.key"):
        assert (tmp_path / "a" / name).stat().st_mode & 0o777 == 0o600
    with pytest.raises(InvalidSettings, match="member already"):
        join_as(tmp_path / "a", token)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("path", ["/info", "/register"])
def test_joining_goes_on_where_it_was_killed_with_the_same_key(
    place, tmp_path, path, after
):
    token, network = place.invitation("aurora"), place.network
    network.dies, network.after = path, after
    with pytest.raises(Killed):
        join_as(tmp_path / "a", token)
    key = (tmp_path / "a" / "keys" / "identity.key").read_bytes()
    assert not (tmp_path / "a" / "agent.json").exists()
    network.dies = ""
    join_as(tmp_path / "a", token)
    assert (tmp_path / "a" / "keys" / "identity.key").read_bytes() == key
    (change,) = network.opened.orchestrator.governance.proposals()
    assert change.entry.org_id == "aurora"
    assert change.entry.keys.identity == key_of(tmp_path / "a").public
    assert network.opened.registrar.status_of("aurora") == "founding"


def test_another_server_than_the_pinned_one_gets_nothing(place, tmp_path, monkeypatch):
    token, network = place.invitation("aurora"), place.network
    other = tmp_path / "other"
    initialise(other, federation="drill", model=MODEL)
    seen = []
    handle = InProcess.handle_request
    monkeypatch.setattr(
        InProcess,
        "handle_request",
        lambda self, request: seen.append(request.url.path) or handle(self, request),
    )
    network.opened.close()
    network.opened = reopen(other)
    with pytest.raises(InvitationRefused, match="nothing was sent"):
        join_as(tmp_path / "a", token)
    assert [path.rsplit("/", 1)[1] for path in seen] == ["info"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"genesis": "0" * 64}, "another ledger"),
        ({"genesis": "", "founding": "0" * 64}, "another ledger"),
        ({"orchestrator": "0" * 64}, "other keys"),
        ({"pinned_size": 1, "pinned_root": "0" * 64}, "the invitation pins"),
    ],
)
def test_an_agent_refuses_another_ledger_than_the_one_it_joined(place, change, why):
    place.found("aurora")
    path = place.folder("aurora") / "agent.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    opened = place.agent("aurora")
    try:
        with pytest.raises(BadSignature, match=why):
            opened.follow_ledger()
    finally:
        opened.close()
    assert json.loads(path.read_text()).get("genesis", "") == change.get("genesis", "")


def test_an_agent_follows_the_ledger_and_counts_what_it_sent(place):
    place.found("aurora")
    sent = 0
    for _ in range(2):
        opened = place.agent("aurora")
        with pytest.raises(Unavailable, match="in use"):
            OpenParticipant(place.folder("aurora"), learner=None)
        opened.follow_ledger()
        assert opened.participant.mirror.size() == 1
        # its cosignature has left already
        cosigned = opened.client.sent_bytes
        assert cosigned > 0
        opened.client.call("POST", "/ledger/verify", body=QUESTION)
        opened.note_sent_bytes()
        opened.close()
        sent += cosigned + len(QUESTION)
    assert int((place.folder("aurora") / "sent-bytes").read_text()) == sent


def test_an_agent_file_says_what_was_founded_and_what_was_pinned(place):
    place.found("aurora")
    orchestrator = place.network.opened.orchestrator
    in_force = orchestrator.recorder.in_force
    after = AgentFile.read(place.folder("aurora"))
    assert after.founding == entry_digest(in_force.genesis)
    assert after.genesis == ""
    place.run_agents("aurora")
    followed = AgentFile.read(place.folder("aurora"))
    assert followed == dataclasses.replace(after, genesis=in_force.genesis_hash)
    assert place.folder("aurora").joinpath("agent.json").stat().st_mode & 0o777 == 0o600
    # whoever is invited later has the founded ledger pinned
    place.join("borealis")
    later = AgentFile.read(place.folder("borealis"))
    assert (later.genesis, later.founding) == ("", "")
    assert later.pinned_size == 1
    assert later.pinned_root == orchestrator.recorder.root_at(1)
    place.run_agents("borealis")
    assert AgentFile.read(place.folder("borealis")).genesis == in_force.genesis_hash


def test_before_the_founding_an_agent_waits(place):
    place.join("aurora")
    opened = place.agent("aurora")
    try:
        with pytest.raises(Unavailable, match="not founded yet"):
            opened.follow_ledger()
    finally:
        opened.close()
    assert AgentFile.read(place.folder("aurora")).genesis == ""


def test_an_agent_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(InvalidSettings, match="fedxdr join"):
        AgentFile.read(tmp_path)
    for text in ("", "[]", '{"org": "a"}', '{"org":"a","colour":"red"}'):
        (tmp_path / "agent.json").write_text(text)
        with pytest.raises(InvalidSettings, match="cannot be read"):
            AgentFile.read(tmp_path)
