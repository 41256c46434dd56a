# SPDX-License-Identifier: Apache-2.0
"""A federation goes on from one member's mirror, on real folders, HTTP in process."""

import contextlib
import dataclasses
import hashlib
import shutil

import pytest
from tests.unit.app.conftest import ADDRESS, reopen

from fedxdr.app import comparing, handover, ledger_copies
from fedxdr.app.handover import hand_over, move, write_static
from fedxdr.app.ledger_folder import mirror_in
from fedxdr.app.participating import AgentFile
from fedxdr.app.server_file import ServerFile
from fedxdr.core.errors import (
    BadSignature,
    BelowFloor,
    InvalidInput,
    InvalidSettings,
    MalformedMessage,
    Unavailable,
    VerificationFailed,
)
from fedxdr.ledger import (
    bundle,
    checkpoint,
    equivocation,
    heads,
    note_form,
    policy,
    tiles,
    verifier,
)
from fedxdr.ledger.entries import RoundFailed
from fedxdr.parties.recording import Recorder
from fedxdr.storage.fence import FileFence
from fedxdr.storage.memory import MemoryBlobs, MemoryBlockStore

# a round and its agents begin anew on disk: minutes on a machine that does much else
pytestmark = pytest.mark.timeout(600)

ORGS = ("aurora", "borealis", "cascade")


@pytest.fixture(scope="module")
def after_a_round(tmp_path_factory):
    """Where the folders of a federation lie once the first test has made them."""
    return tmp_path_factory.mktemp("founded") / "folders"


@pytest.fixture
def gone(place, after_a_round, monkeypatch):
    """A federation of three after one round, whose orchestrator is gone."""
    # the folders were moved here whole, by no backup: nobody did anything since
    monkeypatch.setattr(FileFence, "_fits", lambda _: True)
    if after_a_round.exists():
        place.network.opened.close()
        for found in after_a_round.iterdir():
            shutil.copytree(found, place.base / found.name, dirs_exist_ok=True)
        place.network.opened = reopen(place.server)
    else:
        place.found(*ORGS)
        place.run_agents(*ORGS)
        play(place)
        place.network.opened.close()
        shutil.copytree(place.base, after_a_round)
        place.network.opened = reopen(place.server)
    yield place
    place.network.opened.close()


def play(place, *, agents=ORGS):
    """Let the federation hold a round to its end."""
    opened = [place.agent(org) for org in agents]
    try:
        for agent in opened:
            agent.follow_ledger()
        orchestrator = place.network.opened.orchestrator
        for _ in range(40):
            if orchestrator.current is None or orchestrator.current.is_ended:
                with contextlib.suppress(Unavailable):
                    orchestrator.start_round()
            for agent in opened:
                agent.participant.step(wait_s=0)
            if orchestrator.current is not None and orchestrator.current.is_ended:
                for agent in opened:
                    agent.participant.step(wait_s=0)
                return orchestrator.current
    finally:
        for agent in opened:
            agent.close()
    raise AssertionError("the round did not end")


def grow(place):
    """Let the ledger grow by a block that everybody follows and cosigns."""
    place.network.opened.orchestrator.recorder.record(
        RoundFailed(round_id="round-9", phase="keys", reason="few", sentence="few")
    )
    place.run_agents(*ORGS, steps=2)


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def serve(place, folder):
    """Let the network lead to the orchestrator on a folder, and it only."""
    place.network.opened.close()
    place.server = folder
    dataclasses.replace(ServerFile.read(folder), address=ADDRESS).write(folder)
    place.network.opened = reopen(folder)


def test_rounds_go_on_after_a_hand_over_and_the_whole_ledger_verifies(gone, tmp_path):
    before = contents(gone.folder("aurora"))
    made = hand_over(gone.folder("aurora"), tmp_path / "new")
    assert contents(gone.folder("aurora")) == before
    assert made.origin == "aurora.drill.fedxdr.example/ledger"
    assert made.missing == ()
    old = gone.network.opened.orchestrator.recorder
    assert (made.by, made.blocks) == ("aurora", old.size())
    serve(gone, tmp_path / "new")
    orchestrator = gone.network.opened.orchestrator
    # the old log's heads are served as they were signed
    newest = orchestrator.heads.newest()
    assert checkpoint.parse(newest).origin == "drill.fedxdr.example/ledger"
    assert b"aurora.drill" not in newest
    for org in ORGS:
        assert move(gone.folder(org), ADDRESS).server == ADDRESS
    gone.run_agents(*ORGS)
    # nothing of it counts before a quorum has approved
    assert orchestrator.recorder.in_force.log.origin == "drill.fedxdr.example/ledger"
    told = gone.approve(made.change, "borealis")
    assert told.outcome == ""
    told = gone.approve(made.change, "cascade")
    assert told.outcome == "adopted"
    assert told.entry.orchestrator.fingerprint == made.fingerprint
    in_force = orchestrator.recorder.in_force
    assert (in_force.log.origin, in_force.log.keys.fingerprint) == (
        made.origin,
        made.fingerprint,
    )
    ended = play(gone)
    assert ended.failure is None
    assert ended.announcement.number == 2
    data = orchestrator.recorder.export(heads=orchestrator.heads.for_bundle())
    report = verifier.verify(data)
    assert len(report.rounds) == 2
    assert report.blocks_verified == made.blocks + 2  # the change and the round
    gone.run_agents(*ORGS, steps=2)
    # every member has the same ledger, and exports it
    for org in ORGS:
        copy = verifier.verify(ledger_copies.export(gone.folder(org)))
        assert copy.root == report.root
    # publisher and models: the old one came along, the next is signed by the new key
    gone.network.opened.service.models.publish(
        orchestrator.recorder.blocks(begin=0, end=99)
    )
    assert (tmp_path / "new" / "models" / report.model_hash).is_dir()


def test_the_old_orchestrator_gets_nothing_cosigned_any_more(gone, tmp_path):
    old_folder = gone.server
    made = hand_over(gone.folder("borealis"), tmp_path / "new")
    serve(gone, tmp_path / "new")
    gone.run_agents(*ORGS)
    gone.approve(made.change, *ORGS[:2])
    gone.run_agents(*ORGS)
    serve(gone, old_folder)
    back = gone.network.opened.orchestrator
    # a head that it signed before has its quorum; what it adds gets none
    for number in (98, 99):
        back.recorder.record(
            RoundFailed(
                round_id=f"round-{number}", phase="keys", reason="b", sentence="back"
            )
        )
        back.heads.newest()
    for org in ORGS:
        agent = gone.agent(org)
        try:
            for _ in range(2):
                with pytest.raises(InvalidInput):
                    agent.participant.step(wait_s=0)
            # it convicts nobody: the members left it, it told no second history
            assert agent.participant.follower.accuser.proofs() == {}
        finally:
            agent.close()
    assert back.heads.cosigned_by(back.recorder.size()) == ()
    with pytest.raises(Unavailable, match="waits for the cosignatures"):
        back.start_round()


def test_a_hand_over_that_was_killed_is_made_again_with_its_keys(
    gone, tmp_path, monkeypatch
):
    out = tmp_path / "new"

    class Killed(BaseException):
        pass

    def killed(*_, **__):
        raise Killed

    for where, part in (
        (handover, "_copy_published"),
        (handover, "_copy_ledger"),
        (handover, "_propose"),
        (ServerFile, "write"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(where, part, killed)
            with pytest.raises(Killed):
                hand_over(gone.folder("aurora"), out)
    keys = contents(out / "keys")
    made = hand_over(gone.folder("aurora"), out)
    assert contents(out / "keys") == keys
    opened = reopen(out)
    try:
        assert opened.orchestrator.governance.open_digests() == (made.change,)
        assert opened.identity.public.fingerprint == made.fingerprint
    finally:
        opened.close()
    with pytest.raises(InvalidSettings, match="already"):
        hand_over(gone.folder("aurora"), out)


def test_what_cannot_be_handed_over_is_said(gone, tmp_path):
    with pytest.raises(InvalidSettings, match="belongs to no member"):
        hand_over(tmp_path / "nobody", tmp_path / "new")
    with pytest.raises(InvalidInput, match="was called"):
        hand_over(
            gone.folder("aurora"),
            tmp_path / "same",
            origin="drill.fedxdr.example/ledger",
        )
    with pytest.raises(InvalidInput):
        hand_over(gone.folder("aurora"), tmp_path / "bad", origin="two words")
    with mirror_in(gone.folder("aurora")) as mirror:
        mirror.blobs.delete(mirror.recorder.in_force.model)
    with pytest.raises(InvalidSettings, match="does not hold the model in force"):
        hand_over(gone.folder("aurora"), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_agent_that_never_ran_has_nothing_to_hand_over(place, tmp_path):
    place.join("aurora")
    place.agent("aurora").close()
    with pytest.raises(Unavailable, match="never run"):
        hand_over(place.folder("aurora"), tmp_path / "new")
    with pytest.raises(Unavailable):
        comparing.newest_head(place.folder("aurora"))


def test_the_static_form_is_the_ledger_and_checks_without_a_server(gone, tmp_path):
    out = tmp_path / "static"
    size = write_static(gone.folder("cascade"), out)
    text = (out / "checkpoint").read_bytes()
    says = checkpoint.parse(text)
    assert says.size == size == gone.network.opened.orchestrator.recorder.size()
    rules = policy.parse((out / "policy").read_bytes())
    assert len(rules.check(text)) >= 3
    reader = lambda path: (out / path).read_bytes()  # noqa: E731 - a port
    tree = tiles.read_tree(reader, says)
    assert tree.root() == says.root
    report = verifier.verify((out / "ledger.fedxdr").read_bytes())
    assert report.blocks_verified == size
    bodies = [
        s.block.body() for s in bundle.read((out / "ledger.fedxdr").read_bytes()).blocks
    ]
    found = tiles.parse_entry_bundle(reader(tiles.entries_path(0, size)), size)
    assert found == bodies
    # again, with another block: what is new is added, the head is replaced
    grow(gone)
    more = write_static(gone.folder("cascade"), out)
    assert more > size
    says = checkpoint.parse((out / "checkpoint").read_bytes())
    assert tiles.read_tree(reader, says).root() == says.root


# Comparing and convicting by hand.


def fork(place, size, *, blocks=1):
    """Return heads and blocks of another history by the same orchestrator."""
    opened = place.network.opened
    recorder = Recorder(
        store=MemoryBlockStore(), blobs=MemoryBlobs(), clock=opened.service.clock
    )
    for signed in opened.orchestrator.recorder.blocks(begin=0, end=size):
        recorder.append(signed)
    for number in range(blocks):
        recorder.record(
            RoundFailed(
                round_id=f"round-{50 + number}", phase="keys", reason="f", sentence="f"
            )
        )

    def head(at):
        return heads.sign(
            opened.identity,
            origin=opened.file.origin,
            size=at,
            root=recorder.root_at(at),
            at=opened.service.clock.now(),
        )

    return recorder, head


def test_two_members_compare_by_hand(gone):
    aurora, borealis = gone.folder("aurora"), gone.folder("borealis")
    theirs = comparing.newest_head(borealis)
    found = comparing.compare(aurora, theirs)
    assert found.outcome == "same"
    with mirror_in(aurora) as mirror:
        old = mirror.store.get(1)
    assert comparing.compare(aurora, old).outcome == "behind"
    grow(gone)
    newer = gone.network.opened.orchestrator.heads.newest()
    assert comparing.compare(aurora, newer).outcome == "same"
    size = checkpoint.parse(newer).size
    _, head = fork(gone, size, blocks=2)
    ahead = comparing.compare(aurora, head(size + 1))
    assert (ahead.outcome, ahead.proof, ahead.size) == ("ahead", "", size + 1)
    with pytest.raises(MalformedMessage):
        comparing.compare(aurora, b"what is this")
    with pytest.raises(BadSignature):
        comparing.compare(aurora, theirs.replace(b"drill", b"other"))


def test_a_contradiction_found_by_hand_convicts_and_stops_the_agent(gone):
    aurora = gone.folder("aurora")
    size = gone.network.opened.orchestrator.recorder.size()
    recorder, head = fork(gone, size - 1, blocks=3)
    # ahead of ours and without its blocks: unknown
    assert comparing.compare(aurora, head(size + 1)).outcome == "ahead"

    def fetch(begin, end):
        return recorder.blocks(begin=begin, end=end)

    found = comparing.compare(aurora, head(size + 1), fetch=fetch)
    assert found.outcome == "contradiction"
    proof = (aurora / found.proof).read_bytes()
    for how in (
        {"agent": gone.folder("cascade")},
        {"bundle": ledger_copies.export(aurora)},
        {"keys": keys_of(gone)},
    ):
        assert comparing.convict(proof, **how).kind == "leaves"
    agent = gone.agent("aurora")
    try:
        agent.follow_ledger()
        with pytest.raises(BelowFloor, match=found.proof):
            agent.participant.follower.require_quorum()
        # a person removes it
        (aurora / found.proof).unlink()
        agent.participant.follower.require_quorum()
    finally:
        agent.close()


def keys_of(place):
    keys = place.network.opened.identity.public
    return [
        note_form.verifier_key(
            name=place.network.opened.file.origin, kind=kind, public_key=key
        )
        for kind, key in (
            (note_form.ED25519, keys.tlog_ed25519),
            (note_form.COSIGNATURE_ML_DSA_44, keys.tlog_ml_dsa_44),
        )
    ]


def test_what_convicts_nobody_is_said_so(gone):
    size = gone.network.opened.orchestrator.recorder.size()
    _, head = fork(gone, size - 1)
    true = gone.network.opened.orchestrator.heads.newest()
    proof = equivocation.make(true, head(size), log=keys_of(gone))
    assert comparing.convict(proof, keys=keys_of(gone)).kind == "roots"
    other = [key.replace("drill", "other") for key in keys_of(gone)]
    for how in ({"keys": other}, {"keys": keys_of(gone)[:1]}):
        with pytest.raises(VerificationFailed):
            comparing.convict(proof, **how)
    for data in (b"", b"{}", proof[:-2], proof.replace(b"drill", b"other")):
        for how in (
            {"keys": keys_of(gone)},
            {"agent": gone.folder("aurora")},
            {"bundle": ledger_copies.export(gone.folder("aurora"))},
        ):
            with pytest.raises(VerificationFailed):
                comparing.convict(data, **how)
    with pytest.raises(VerificationFailed):
        comparing.convict(proof, bundle=b"no bundle")


def test_an_old_logs_proof_still_convicts_after_a_hand_over(gone, tmp_path):
    size = gone.network.opened.orchestrator.recorder.size()
    _, head = fork(gone, size - 1)
    old_head, name = head(size), None
    made = hand_over(gone.folder("aurora"), tmp_path / "new")
    serve(gone, tmp_path / "new")
    gone.run_agents(*ORGS)
    gone.approve(made.change, *ORGS[:2])
    gone.run_agents(*ORGS)
    found = comparing.compare(gone.folder("cascade"), old_head)
    assert found.outcome == "contradiction"
    name = found.proof
    proof = (gone.folder("cascade") / name).read_bytes()
    convicted = comparing.convict(proof, agent=gone.folder("aurora"))
    assert convicted.origin == "drill.fedxdr.example/ledger"
    # it is the old log's fault: rounds with the new one go on
    agent = gone.agent("cascade")
    try:
        agent.participant.follower.require_quorum()
    finally:
        agent.close()


def test_moving_changes_the_address_and_nothing_else(gone):
    before = AgentFile.read(gone.folder("aurora"))
    after = move(gone.folder("aurora"), "http://127.0.0.1:9")
    assert dataclasses.replace(after, server=before.server) == before
    assert AgentFile.read(gone.folder("aurora")) == after
