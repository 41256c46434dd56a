# SPDX-License-Identifier: Apache-2.0
"""A small federation whose links lie, whose writes fail and whose parties restart.

``World`` runs the real protocol over memory (simulation/federation.py). What a test
changes on the way of one organisation it writes into ``world.links[org].lies``; what
was quantised, before any mask, is read from ``world.quantised``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from fedxdr.core.errors import Unavailable, WaitingForQuorum
from fedxdr.core.ids import OrgId, RoundId, org_id
from fedxdr.core.layout import Layout, Segment
from fedxdr.core.randomness import generator
from fedxdr.core.update import Update
from fedxdr.crypto import requests
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey
from fedxdr.crypto.requests import Request
from fedxdr.federation import opening
from fedxdr.federation.floor import Floor
from fedxdr.federation.phases import Phase
from fedxdr.federation.rounds import Round
from fedxdr.federation.sessions import Session, Step
from fedxdr.ledger import heads, note, statements
from fedxdr.ledger.block import GENESIS_PREV_HASH
from fedxdr.ledger.entries import Change, MemberEnrolled, RoundFailed, entry_digest
from fedxdr.ledger.note_form import Note
from fedxdr.ledger.statements import ApprovalStatement
from fedxdr.parties import enrolment
from fedxdr.parties.changes import ProposedChange
from fedxdr.parties.enrolment import Application
from fedxdr.parties.orchestrator import Orchestrator
from fedxdr.parties.participant import Participant
from fedxdr.parties.ports import Learned
from fedxdr.parties.recording import Recorder
from fedxdr.secagg import quantise
from fedxdr.simulation.federation import SimulatedFederation
from fedxdr.storage.memory import MemoryBlobs, MemoryBlockStore
from fedxdr.transport.loopback import Loopback

LAYOUT = Layout(
    segments=(
        Segment(name="statistics.mean", shape=(3,)),
        Segment(name="weights.w", shape=(2, 4)),
    )
)
MAX_STEPS = 60
STEPS_TO_CONSENT = 6


class Learner:
    """Fixed figures in place of data; the same at every call."""

    def __init__(self, place: int, *, samples: int = 64) -> None:
        self.place = place
        self.count = samples
        self.calls = 0

    def samples(self) -> int:
        return self.count

    def learn(self, *, task, parent, plan, number) -> Learned:
        del parent
        self.calls += 1
        size = 3 if task == "statistics" else 8
        coins = generator(self.place, number, size)
        return Learned(
            update=Update(
                values=coins.normal(size=size).astype(np.float32), samples=self.count
            ),
            metrics=dict.fromkeys(
                opening.metrics_of(plan, task) if plan else opening.METRICS, 0.5
            ),
        )


class Killed(BaseException):
    """The process of a party ended here, as if by SIGKILL."""


@dataclass(kw_only=True)
class Fuse:
    """Ends a party before or after one of its writes.

    ``left`` counts down to the fatal write; None never ends it. ``count`` counts all.
    """

    left: int | None = None
    is_after: bool = False
    count: int = 0

    def write(self, act: Callable[[], Any]) -> Any:
        self.count += 1
        if self.left is None:
            return act()
        self.left -= 1
        if self.left > 0:
            return act()
        self.left = None
        if self.is_after:
            act()
        raise Killed


class Mortal:
    """A port whose writes go through a fuse."""

    WRITES = frozenset(
        {"append", "begin", "put", "erase", "delete", "use", "touch"}
        | {"create", "hold", "settle", "propose", "approve", "close"}
    )

    def __init__(self, port: Any, fuse: Fuse) -> None:
        self._port = port
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in self.WRITES:
            return found
        return lambda *a, **k: self._fuse.write(lambda: found(*a, **k))


class LyingLink(Loopback):
    """A loopback on which a test changes what an organisation gets to see.

    ``lies`` maps a step or the name of a method to a function from the true answer
    to the one given.
    """

    def __init__(self, world: World, orchestrator: Orchestrator, org: OrgId) -> None:
        super().__init__(orchestrator, org)
        self.world = world
        self.lies: dict[Any, Callable[[Any], Any]] = {}
        self.sent: list[tuple[Step, bytes]] = []

    def _changed(self, name: Any, value: Any) -> Any:
        change = self.lies.get(name)
        return value if change is None else change(value)

    def _ask(self, name: Any, act: Callable[[], Any]) -> Any:
        try:
            return self._changed(name, act())
        except Killed as error:
            self.world.restart_orchestrator()
            raise Unavailable("the orchestrator was killed") from error

    def standing(self, *, known, wait_s):
        ask = super().standing
        return self._ask("standing", lambda: ask(known=known, wait_s=wait_s))

    def announcement(self, round_id):
        ask = super().announcement
        return self._ask("announcement", lambda: ask(round_id))

    def fetch(self, round_id, step):
        ask = super().fetch
        return self._ask(step, lambda: ask(round_id, step))

    def send(self, round_id, step, body):
        ask = super().send
        body = self._changed(("send", step), body)
        self.sent.append((step, body))
        return self._ask("send", lambda: ask(round_id, step, body))

    def evidence(self, round_id):
        ask = super().evidence
        return self._ask("evidence", lambda: ask(round_id))

    def contribution(self, round_id, digest):
        ask = super().contribution
        return self._ask("contribution", lambda: ask(round_id, digest))

    def checkpoint(self, size=None):
        ask = super().checkpoint
        return self._ask("checkpoint", lambda: ask(size))

    def cosign(self, size, lines):
        ask = super().cosign
        return self._ask("cosign", lambda: ask(size, lines))

    def changes(self):
        ask = super().changes
        return self._ask("changes", ask)

    def approve(self, digest, approval):
        ask = super().approve
        return self._ask("approve", lambda: ask(digest, approval))

    def blocks(self, *, begin, end):
        ask = super().blocks
        return self._ask("blocks", lambda: ask(begin=begin, end=end))

    def model(self, digest):
        ask = super().model
        return self._ask("model", lambda: ask(digest))


@dataclass(kw_only=True)
class World:
    """An orchestrator, ``org-a``, ``org-b``, … and what became of them."""

    n: int = 4
    plan: dict[str, Any] = field(default_factory=dict)
    floor: Any = None
    does_replay: bool = True
    seed: int = 0
    links: dict[OrgId, LyingLink] = field(default_factory=dict)
    quantised: dict[OrgId, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        name = (lambda i: chr(ord("a") + i)) if self.n <= 26 else "{:02}".format
        self.orgs = [org_id(f"org-{name(i)}") for i in range(self.n)]
        self.learners = {org: Learner(i) for i, org in enumerate(self.orgs)}
        self.fed = SimulatedFederation(
            self.learners,
            plan={"layout": LAYOUT, "architecture": {"kind": "test"}, **self.plan},
            initial=np.zeros(LAYOUT.size, dtype=np.float32),
            seed=self.seed,
            floor=self.floor,
            link_of=self._link,
            does_replay=self.does_replay,
        )

    def _link(self, orchestrator: Orchestrator, org: OrgId) -> LyingLink:
        self.links[org] = LyingLink(self, orchestrator, org)
        return self.links[org]

    # Who is there.

    @property
    def orchestrator(self) -> Orchestrator:
        return self.fed.orchestrator

    @property
    def round(self) -> Round:
        assert self.orchestrator.current is not None
        return self.orchestrator.current

    def participant(self, org: str) -> Participant:
        return self.fed.participants[OrgId(org)]

    def session(self, org: str) -> Session:
        session = self.participant(org).session
        assert session is not None
        return session

    def key(self, org: str) -> Any:
        return self.participant(org)._desk.identity

    def why(self, org: str) -> str:
        """Return why an organisation's session ended; empty while it goes on."""
        ended = self.session(org).ended
        return f"{ended.reason}: {ended.sentence}" if ended else ""

    # Doing.

    def restart(self, org: str) -> None:
        """Build an organisation's agent again over what it had stored."""
        old = self.participant(org)
        self.fed.participants[OrgId(org)] = Participant(
            me=old.me,
            identity=old._desk.identity,
            facts=old._facts,
            notes=old._desk.notes,
            fence=old._desk.fence,
            purse=old._desk.purse,
            blobs=old._desk.blobs,
            mirror=Recorder(
                store=old.mirror._store, blobs=old._desk.blobs, clock=self.fed.clock
            ),
            checkpoints=old.follower.witness._store,
            link=old._desk.link,
            learner=old._desk.learner,
            floor=old._floor,
            clock=old._desk.clock,
            entropy=old._desk.entropy,
            does_replay=old._desk.does_replay,
            share_of=old._desk.share_of,
        )

    def restart_orchestrator(self) -> None:
        """Build the orchestrator again over what it had stored."""
        old = self.orchestrator
        recorder = Recorder(
            store=old.recorder._store, blobs=old.blobs, clock=self.fed.clock
        )
        new = Orchestrator(
            facts=old._facts,
            blobs=old.blobs,
            recorder=recorder,
            checkpoints=old.heads._store,
            changes=old.governance._store,
            registry=old._registry,
            clock=old._clock,
            entropy=old._entropy,
            identity=old._identity,
            plan_for=old._plan_for,
        )
        self.fed.orchestrator, self.fed.recorder = new, recorder
        self.fed.registrar._orchestrator = new
        self.fed.registrar.recogniser._orchestrator = new
        for link in self.links.values():
            link._orchestrator = new

    def make_mortal(self, org: str) -> Fuse:
        """Put a fuse into every port an organisation writes to."""
        fuse, agent = Fuse(), self.participant(org)
        agent._facts = Mortal(agent._facts, fuse)
        agent._desk = dataclasses.replace(
            agent._desk,
            notes=Mortal(agent._desk.notes, fuse),
            fence=Mortal(agent._desk.fence, fuse),
            purse=Mortal(agent._desk.purse, fuse),
            blobs=Mortal(agent._desk.blobs, fuse),
        )
        agent.mirror._store = Mortal(agent.mirror._store, fuse)
        witness = agent.follower.witness
        witness._store = Mortal(witness._store, fuse)
        return fuse

    def make_orchestrator_mortal(self, *, on_ledger_only: bool = False) -> Fuse:
        """Put a fuse into every port it writes to, or into blocks and heads."""
        fuse, old = Fuse(), self.orchestrator
        old.recorder._store = Mortal(old.recorder._store, fuse)
        old.heads._store = Mortal(old.heads._store, fuse)
        if on_ledger_only:
            return fuse
        old._facts = Mortal(old._facts, fuse)
        old.blobs = Mortal(old.blobs, fuse)
        old._registry = Mortal(old._registry, fuse)
        old.governance._store = Mortal(old.governance._store, fuse)
        return fuse

    def approval(
        self, change: ProposedChange, org: str, *, key: Any = None, **lies: Any
    ) -> Envelope:
        """Return an organisation's approval of a change, honest but for what is said.

        Args:
            change: what is approved.
            org: in whose name.
            key: who signs, by default that organisation.
            lies: fields of the statement that are otherwise.
        """
        in_force = self.fed.recorder
        is_begun = in_force.is_begun
        now = self.fed.clock.now()
        truth = {
            "org": OrgId(org),
            "ledger": in_force.in_force.genesis_hash if is_begun else GENESIS_PREV_HASH,
            "entry": change.digest,
            "expires": now + timedelta(days=7),
            "issued_at": now,
        }
        statement = ApprovalStatement(**(truth | lies))
        return statements.sign(statement, key or self.fed.keys[OrgId(org)])

    def approvals(self, entry: Change, *orgs: str) -> list[Envelope]:
        """Return approvals of an entry that nobody proposed, by default everybody's."""
        change = ProposedChange(
            digest=entry_digest(entry),
            entry=entry,
            envelopes=(),
            proposed_by="operator",
            proposed_at=self.fed.clock.now(),
            approved_by=(),
        )
        return [self.approval(change, org) for org in orgs or self.orgs]

    def approve(self, change: ProposedChange, *orgs: str) -> None:
        """Let these members approve a change."""
        for org in orgs:
            self.orchestrator.approve(
                change.digest, OrgId(org), self.approval(change, org)
            )

    def application(self, org: str, key: IdentityKey, **how: Any) -> Application:
        """Return the application of an organisation that was invited just now."""
        token = self.fed.registrar.invite(
            org, server="http://127.0.0.1:1", lifetime_s=3600
        )
        return enrolment.apply_to_join(
            token,
            orchestrator=self.fed.identity.public,
            key=key,
            name=how.get("name", "New"),
            data_sources=("zeek",),
            now=self.fed.clock.now(),
        )

    def request_by(
        self, key: IdentityKey, *, url: str = "http://h/api/v1/x", body: bytes = b"{}"
    ) -> Request:
        """Return a request that a key signed just now, as it arrives."""
        made = Request(method="POST", url=url, headers={}, body=body)
        requests.sign(
            made, signer=key, now=self.fed.clock.now(), entropy=self.fed.entropy
        )
        headers = {name.lower(): value for name, value in made.headers.items()}
        return dataclasses.replace(made, headers=headers)

    def apply(self, org: str, key: IdentityKey | None = None) -> ProposedChange:
        """Let an organisation apply; return the change that the members decide."""
        self.fed.keys[OrgId(org)] = key or IdentityKey.generate(self.fed.entropy)
        self.fed.registrar.enrol(self.application(org, self.fed.keys[OrgId(org)]))
        return self.orchestrator.governance.applications()[OrgId(org)]

    def admit(self, org: str, key: IdentityKey | None = None) -> ProposedChange:
        """Let an organisation apply, and everybody cosign and approve."""
        change = self.apply(org, key)
        self.fed.step()
        quorum = self.fed.recorder.in_force.quorum
        self.approve(change, *self.fed.recorder.in_force.cohort[:quorum])
        return self.orchestrator.governance.proposal(change.digest)

    def insist(self, org: str, floor: Floor) -> None:
        """Let one organisation insist on a floor of its own."""
        agent = self.participant(org)
        agent._floor = agent.follower._floor = floor

    def fork(self, size: int | None = None) -> Fork:
        """Return another history by this very orchestrator, alike up to a size."""
        return Fork(self, self.fed.recorder.size() if size is None else size)

    def start(
        self,
        task: str | None = None,
        *,
        gone: Callable[[OrgId], bool] = lambda _org: False,
    ) -> None:
        """Open a round once plan and head have their quorum; the killed restart."""
        for _ in range(STEPS_TO_CONSENT):
            try:
                self.orchestrator.start_round(task=task)
            except WaitingForQuorum:
                self.step(gone=gone)
            except Killed:
                self.restart_orchestrator()
                if self.orchestrator.current and not self.round.is_ended:
                    return  # killed after it was announced
            else:
                return
        self.fed.start_round(task=task)

    def step(self, *, gone: Callable[[OrgId], bool] = lambda _org: False) -> None:
        """Let everybody do what is due once; whoever is killed by it restarts."""
        for org in self.orgs:
            if gone(org):
                continue
            try:
                self.fed.participants[org].step(wait_s=0)
            except Killed:
                self.restart(org)
            except Unavailable:
                pass

    def go_on(
        self,
        *,
        gone: Callable[[OrgId, Phase], bool] = lambda _org, _phase: False,
        until: Phase | None = None,
    ) -> Round:
        """Let everybody do what is due until the round has ended or stands at a phase.

        Args:
            gone: whether an organisation no longer answers when the round stands there.
            until: stop as soon as the round stands at this phase.
        """
        for _ in range(MAX_STEPS):
            before = (self.orchestrator.version, self.round.phase)
            for org in self.orgs:
                if self.round.phase is until:
                    return self.round
                if gone(org, self.round.phase):
                    continue
                try:
                    self.fed.participants[org].step(wait_s=0)
                except Killed:
                    self.restart(org)
                except Unavailable:
                    pass
            if self.round.is_ended and before[1] is self.round.phase:
                return self.round
            is_still = before == (self.orchestrator.version, self.round.phase)
            if is_still and not self.pass_time():
                return self.round
        raise AssertionError(f"the round stands at {self.round.phase}")

    def pass_time(self) -> bool:
        """Let the present phase reach its deadline; False if it has none."""
        try:
            before = self.orchestrator.version
            until = self.orchestrator.drive()
            if self.orchestrator.version != before:
                return True
            if until is None:
                return self.round.is_ended
            left = (until - self.fed.clock.now()).total_seconds()
            self.fed.clock.advance(seconds=max(0.0, left))
            self.orchestrator.drive()
        except Killed:
            self.restart_orchestrator()
        return True

    def play(self, task: str | None = None, **how: Any) -> Round:
        """Announce a round and let it go on."""
        self.start(task)
        return self.go_on(**how)

    def plain_sum(self, round_: Round) -> np.ndarray:
        """Return the sum of the survivors' vectors as they were before any mask."""
        return sum(
            self.quantised[org].view(np.int32).astype(np.int64)
            for org in round_.survivors
        )

    def opened_sum(self, round_: Round) -> np.ndarray:
        """Return the integer sum that the orchestrator stored when it opened it."""
        assert round_.opened is not None
        return np.frombuffer(
            self.orchestrator.blobs.get(round_.opened.sum_digest), dtype="<i8"
        )


class Fork:
    """A second history of the same ledger, signed by the same orchestrator."""

    def __init__(self, world: World, size: int) -> None:
        self.world, self.begin = world, size
        self.recorder = Recorder(
            store=MemoryBlockStore(), blobs=MemoryBlobs(), clock=world.fed.clock
        )
        for signed in world.fed.recorder.blocks(begin=0, end=size):
            self.recorder.append(signed)

    def fail_a_round(self, name: str = "round-9") -> None:
        """Append a block that needs nobody's signature."""
        self.recorder.record(
            RoundFailed(
                round_id=RoundId(name), phase="keys", reason="forked", sentence="forked"
            )
        )

    def enrol(self, org: str, key: IdentityKey, *approvers: str) -> None:
        """Append a membership change with the approvals of these members."""
        application = self.world.application(org, key)
        stated = statements.read(application.enrolment)
        entry = MemberEnrolled(
            change=self.recorder.in_force.changes + 1,
            org_id=stated.org,
            name=stated.name,
            keys=stated.keys,
            data_sources=stated.data_sources,
            invitation_digest=stated.invitation_digest,
        )
        approvals = self.world.approvals(entry, *approvers) if approvers else []
        self.recorder.record(entry, envelopes=[application.enrolment, *approvals])

    def head(self, size: int | None = None, *, by: tuple[str, ...] = ()) -> bytes:
        """Return the head over this history, cosigned by some of its members."""
        fed, wanted = self.world.fed, size or self.recorder.size()
        head = heads.sign(
            fed.identity,
            origin=self.recorder.in_force.log.origin,
            size=wanted,
            root=self.recorder.root_at(wanted),
            at=fed.clock.now(),
        )
        for org in by:
            lines = heads.cosign(
                head, fed.keys[OrgId(org)], org=OrgId(org), at=fed.clock.now()
            )
            found = note.parse(head)
            head = Note(
                text=found.text, signatures=(*found.signatures, *lines)
            ).to_bytes()
        return head

    def show(self, org: str, **how: Any) -> None:
        """Let one organisation see this history and no other from now on."""
        lies = self.world.links[OrgId(org)].lies
        heads_of = {None: self.head(**how)}
        lies["blocks"] = lambda _: self.recorder.blocks(
            begin=self.world.participant(org).mirror.size(), end=self.recorder.size()
        )
        lies["checkpoint"] = lambda _: heads_of[None]
        lies["standing"] = lambda said: dataclasses.replace(
            said, height=self.recorder.size() - 1, round_id=None, phase=None
        )


@pytest.fixture(scope="session")
def killed():
    """Return what is raised where a party is killed."""
    return Killed


@pytest.fixture(scope="session")
def plain_world():
    """Return what makes a ``World`` for tests that share one."""
    return World


@pytest.fixture
def world(monkeypatch):
    """Return what makes a ``World``; its quantised vectors are captured."""
    honest = quantise.quantise
    made: list[World] = []
    by_seed: dict[bytes, np.ndarray] = {}

    def capturing(values, **how):
        found = honest(values, **how)
        by_seed[how["seed"]] = found
        made[-1].quantised[stack[-1]] = found.copy()
        return found

    monkeypatch.setattr(quantise, "quantise", capturing)
    stack: list[OrgId] = []
    make = Participant._make

    def naming(self, session, step):
        stack.append(self.me)
        try:
            return make(self, session, step)
        finally:
            stack.pop()

    monkeypatch.setattr(Participant, "_make", naming)

    def build(**how: Any) -> World:
        made.append(World(**how))
        return made[-1]

    return build
