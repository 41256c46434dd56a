# SPDX-License-Identifier: Apache-2.0
"""Orchestrator and agents over SQLite and files, opened again at every phase.

The parties are the real ones, the disk is the real one; links and time are simulated.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from fedxdr.core.clock import ManualClock
from fedxdr.core.errors import WaitingForQuorum
from fedxdr.core.ids import OrgId, sha256
from fedxdr.core.layout import Layout, Segment
from fedxdr.core.randomness import SeededEntropy, generator
from fedxdr.core.update import Update
from fedxdr.crypto.keys import IdentityKey, TokenKey
from fedxdr.crypto.publisher import PublisherKey
from fedxdr.federation.floor import Floor
from fedxdr.federation.phases import TABLE, Kind, Phase
from fedxdr.federation.plan import Plan, default_threshold
from fedxdr.ledger import verifier
from fedxdr.ledger.block import GENESIS_PREV_HASH
from fedxdr.models import snapshot
from fedxdr.parties import consent, enrolment
from fedxdr.parties.following import Joined
from fedxdr.parties.orchestrator import Orchestrator
from fedxdr.parties.participant import Participant
from fedxdr.parties.ports import Learned
from fedxdr.parties.recording import Recorder
from fedxdr.parties.registrar import Charter, Registrar
from fedxdr.secagg import quantise
from fedxdr.simulation.federation import START
from fedxdr.storage.blobs import FileBlobs
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.changes import SqlChangeStore
from fedxdr.storage.checkpoints import SqlCheckpointStore
from fedxdr.storage.database import Database
from fedxdr.storage.fence import FileFence
from fedxdr.storage.purse import SqlPurseLog
from fedxdr.storage.registry import SqlNotes, SqlRegistry
from fedxdr.storage.rounds import SqlFactLog
from fedxdr.transport.loopback import Loopback

ORGS = tuple(OrgId(f"org-{letter}") for letter in "abcd")
SIZE = 40
LAYOUT = Layout(
    segments=(
        Segment(name="statistics.mean", shape=(3,)),
        Segment(name="weights.w", shape=(SIZE,)),
    )
)
ARCHITECTURE = {"kind": "test"}
PHASES = (
    Phase.ANNOUNCED,
    Phase.KEYS,
    Phase.SHARES,
    Phase.CONTRIBUTIONS,
    Phase.SURVIVORS,
    Phase.PROPOSED,
)


class Coins:
    """An organisation whose update is a reproducible draw."""

    def __init__(self, place: int) -> None:
        self._place = place

    def samples(self) -> int:
        return 2 ** (4 + self._place)

    def learn(self, *, task, parent, plan, number) -> Learned:
        del parent, plan
        size = 3 if task == "statistics" else SIZE
        values = generator(self._place, number, size).normal(size=size)
        return Learned(
            update=Update(values=values.astype(np.float32), samples=1),
            metrics={"held_out_accuracy": 0.75} if task == "training" else {},
        )


class Durable:
    """A federation in one folder; ``reopen`` is what a restart of everything does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock, self.entropy = ManualClock(START), SeededEntropy(11)
        self.identity = IdentityKey.generate(self.entropy)
        self.operator = IdentityKey.generate(self.entropy)
        self.token_key = TokenKey.generate(self.entropy)
        self.keys = {org: IdentityKey.generate(self.entropy) for org in ORGS}
        self.databases: dict[str, Database] = {}
        self.open_orchestrator()
        self.found()
        self.agents = {org: self.open_agent(org) for org in ORGS}

    def database(self, name: str) -> Database:
        if name in self.databases:
            self.databases[name].close()
        self.databases[name] = Database(self.folder / name / "party.sqlite")
        return self.databases[name]

    def open_orchestrator(self) -> None:
        database = self.database("orchestrator")
        self.blobs = FileBlobs(self.folder / "orchestrator" / "blobs")
        self.registry = SqlRegistry(database)
        self.recorder = Recorder(
            store=SqlBlockStore(database), blobs=self.blobs, clock=self.clock
        )
        self.orchestrator = Orchestrator(
            facts=SqlFactLog(database),
            blobs=self.blobs,
            recorder=self.recorder,
            checkpoints=SqlCheckpointStore(database),
            changes=SqlChangeStore(database),
            registry=self.registry,
            clock=self.clock,
            entropy=self.entropy,
            identity=self.identity,
            plan_for=self.plan_for,
        )

    def plan_for(self, participants, wishes) -> Plan:
        return Plan(
            federation="durable",
            run_id="run-1",
            participants=participants,
            threshold=default_threshold(participants),
            layout=LAYOUT,
            architecture=ARCHITECTURE,
            **wishes,
        )

    def found(self) -> None:
        """Let all apply, everything be opened again, and every founder approve."""
        first = np.zeros(LAYOUT.size, dtype=np.float32)
        file = snapshot.save(first, layout=LAYOUT, architecture=ARCHITECTURE)
        charter = Charter(
            federation="durable",
            origin="durable.example/ledger",
            publisher=PublisherKey(seed=bytes(32)).public_der,
            initial_model=self.blobs.put(file),
            layout_digest=LAYOUT.digest,
        )
        for org in ORGS:
            registrar = self.registrar(charter)
            token = registrar.invite(org, server="http://127.0.0.1:1", lifetime_s=60)
            registrar.enrol(
                enrolment.apply_to_join(
                    token,
                    orchestrator=self.identity.public,
                    key=self.keys[org],
                    name=org,
                    data_sources=("test",),
                    now=self.clock.now(),
                )
            )
        genesis = self.registrar(charter).found()
        for org in ORGS:
            self.open_orchestrator()
            assert not self.recorder.is_begun
            approval = consent.approve(
                genesis,
                me=org,
                identity=self.keys[org],
                ledger=GENESIS_PREV_HASH,
                now=self.clock.now(),
            )
            self.orchestrator.approve(genesis.digest, org, approval)
        self.open_orchestrator()
        assert self.recorder.in_force.cohort == ORGS

    def registrar(self, charter: Charter) -> Registrar:
        return Registrar(
            orchestrator=self.orchestrator,
            registry=self.registry,
            clock=self.clock,
            entropy=self.entropy,
            identity=self.identity,
            operator=self.operator.public,
            token_key=self.token_key,
            charter=charter,
        )

    def open_agent(self, org: OrgId) -> Participant:
        database = self.database(org)
        blobs = FileBlobs(self.folder / org / "blobs")
        return Participant(
            me=org,
            identity=self.keys[org],
            facts=SqlFactLog(database),
            notes=SqlNotes(database),
            fence=FileFence(self.folder / org / "fence", SqlNotes(database)),
            purse=SqlPurseLog(database),
            blobs=blobs,
            mirror=Recorder(
                store=SqlBlockStore(database), blobs=blobs, clock=self.clock
            ),
            checkpoints=SqlCheckpointStore(database),
            link=Loopback(self.orchestrator, org),
            learner=Coins(ORGS.index(org)),
            floor=Floor(),
            clock=self.clock,
            entropy=self.entropy,
            joined=lambda: Joined(genesis=self.recorder.in_force.genesis_hash),
        )

    def reopen(self) -> None:
        self.open_orchestrator()
        self.agents = {org: self.open_agent(org) for org in ORGS}

    def play(self, *, reopen_at: frozenset[Phase] = frozenset(), gone=()) -> None:
        self.start(reopens=bool(reopen_at))
        left = set(reopen_at)
        for _ in range(60):
            before = self.orchestrator.version
            for org in ORGS:
                phase = self.orchestrator.current.phase
                if phase in left:
                    left.remove(phase)
                    self.reopen()
                    before = -1
                if org not in gone or phase in {Phase.ANNOUNCED, Phase.KEYS}:
                    self.agents[org].step(wait_s=0)
            if self.orchestrator.current.is_ended:
                break
            if self.orchestrator.version == before:
                self.pass_time()
        assert not left

    def start(self, *, reopens: bool = False) -> None:
        """Open a round once the agents have cosigned and consented."""
        for _ in range(4):
            try:
                self.orchestrator.start_round()
            except WaitingForQuorum:
                for org in ORGS:
                    self.agents[org].step(wait_s=0)
                if reopens:
                    self.reopen()
            else:
                return
        self.orchestrator.start_round()

    def pass_time(self) -> None:
        until = self.orchestrator.drive()
        if until is not None:
            seconds = (until - self.clock.now()).total_seconds()
            self.clock.advance(seconds=max(0.0, seconds))
            self.orchestrator.drive()

    def close(self) -> None:
        for database in self.databases.values():
            database.close()


@pytest.fixture
def quantised(monkeypatch):
    """Return the vectors of this test as they were before any mask."""
    found: list[np.ndarray] = []
    honest = quantise.quantise

    def keeping(values, **how):
        words = honest(values, **how)
        found.append(words.copy())
        return words

    monkeypatch.setattr(quantise, "quantise", keeping)
    return found


@pytest.fixture
def durable(tmp_path):
    made = Durable(tmp_path)
    yield made
    made.close()


def test_everything_is_opened_again_at_every_phase(durable, quantised):
    durable.play(reopen_at=frozenset(PHASES))
    round_ = durable.orchestrator.current
    assert round_.phase is Phase.COMMITTED
    assert round_.survivors == ORGS
    # four vectors were made, once each, and their plain sum is what was opened
    assert len(quantised) == len(ORGS)
    plain = sum(words.view(np.int32).astype(np.int64) for words in quantised)
    assert sha256(plain.astype("<i8").tobytes()) == round_.opened.sum_digest
    durable.reopen()
    again = durable.orchestrator.current
    assert again == round_
    assert durable.orchestrator.reopen(again).model_hash == round_.opened.model_hash
    assert durable.recorder.in_force.model == round_.opened.model_hash


def test_rounds_over_disk_are_verified_offline(durable):
    durable.play()
    durable.play(gone=(ORGS[1],), reopen_at=frozenset({Phase.CONTRIBUTIONS}))
    assert durable.orchestrator.current.dropouts == (ORGS[1],)
    durable.play(gone=(ORGS[0], ORGS[1]))
    assert durable.orchestrator.current.phase is Phase.FAILED
    durable.play()
    assert durable.recorder.in_force.committed == 3
    for org in ORGS:
        durable.agents[org].step(wait_s=0)
    heads = durable.orchestrator.heads.for_bundle()
    durable.reopen()
    # what was cosigned is there after a restart, with the orchestrator and with members
    assert durable.orchestrator.heads.for_bundle() == heads
    report = verifier.verify(durable.recorder.export(heads=heads))
    assert report.blocks_verified == durable.recorder.size()
    assert report.cosigned_by == ORGS
    for org in ORGS:
        durable.agents[org].step(wait_s=0)
        mirror = durable.agents[org].mirror
        assert mirror.in_force == durable.recorder.in_force
        stored = durable.agents[org].follower.witness.for_bundle()
        assert verifier.verify(mirror.export(heads=stored)).members == ORGS


def test_the_orchestrators_disk_holds_no_update(durable, quantised):
    durable.play()
    quantised.clear()
    durable.play()
    updates = [
        Coins(place).learn(task="training", parent=b"", plan=None, number=2)
        for place in range(len(ORGS))
    ]
    secrets = [learned.update.values.tobytes() for learned in updates]
    secrets += [words.astype("<u4").tobytes() for words in quantised]
    secrets += [key.seed for key in durable.keys.values()]
    durable.databases["orchestrator"].engine.dispose()
    seen = b"".join(
        path.read_bytes()
        for path in sorted((durable.folder / "orchestrator").rglob("*"))
        if path.is_file()
    )
    # the check can see: masked contributions are there, word for word
    round_ = durable.orchestrator.current
    masked = durable.orchestrator.contributions(round_)
    assert all(durable.blobs.get(digest) in seen for digest in masked.values())
    for secret in secrets:
        for begin in range(0, len(secret) - 16, 4):
            assert secret[begin : begin + 16] not in seen


def test_an_agents_disk_holds_no_round_secret_when_the_round_is_over(durable):
    drawn = []
    draw = durable.entropy.draw

    def noting(size_bytes: int) -> bytes:
        drawn.append(draw(size_bytes))
        return drawn[-1]

    durable.entropy.draw = noting
    durable.play()
    secrets = [entropy for entropy in drawn if len(entropy) == 32]
    assert len(secrets) == len(ORGS)
    for org in ORGS:
        durable.agents[org].step(wait_s=0)
        # the agent goes on running: no checkpoint happens by closing
        for path in (durable.folder / org).rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                assert not any(secret in data for secret in secrets), path.name
        assert not list((durable.folder / org / "fence").glob("*.entropy"))


def test_every_received_message_is_one_row(durable):
    durable.play(reopen_at=frozenset(PHASES))
    durable.databases["orchestrator"].engine.dispose()
    connection = sqlite3.connect(durable.folder / "orchestrator" / "party.sqlite")
    slots = [slot for (slot,) in connection.execute("SELECT slot FROM messages")]
    connection.close()
    kinds = {*(row.takes for row in TABLE["secagg"]), Kind.ACCEPTANCE}
    want = {f"{kind}/{org}" for kind in kinds for org in ORGS}
    assert sorted(slots) == sorted(want | {"figures", "proposal"})
