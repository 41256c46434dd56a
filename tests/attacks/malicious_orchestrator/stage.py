# SPDX-License-Identifier: Apache-2.0
"""The stage: real organisations over real HTTP, and the attacker in between.

Organisations are the product's agents on folders of their own (SQLite, files, fence),
each with the product's HTTP link. The orchestrator is the product's, behind a real
server on loopback; the attacker owns its key and stands between it and its callers
(``Puppeteer``): it sees every request, may answer whatever it likes, and signs as the
orchestrator. What it learns comes from the wire, and from members that collude with it.

It does NOT attack: the scripts do. Time is moved by hand; nothing sleeps.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
from tests.attacks.malicious_orchestrator.puppeteer import (
    TAKEN,
    Loopback,
    Puppeteer,
    Reply,
)

from fedxdr.api.app import create_app
from fedxdr.api.service import Service
from fedxdr.app.participating import AgentFile, OpenParticipant
from fedxdr.core.errors import FedxdrError, Unavailable, WaitingForQuorum
from fedxdr.core.ids import OrgId, RoundId, org_id
from fedxdr.core.layout import Layout, Segment
from fedxdr.core.randomness import SeededEntropy, generator
from fedxdr.core.update import Update
from fedxdr.crypto import requests
from fedxdr.crypto.envelope import Envelope, EnvelopeSignature
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation import messages, rounds, wire
from fedxdr.federation.floor import Floor
from fedxdr.federation.messages import Announcement
from fedxdr.federation.phases import Phase
from fedxdr.federation.plan import SEGMENTS
from fedxdr.federation.rounds import Round
from fedxdr.ledger import statements
from fedxdr.ledger.block import GENESIS_PREV_HASH
from fedxdr.ledger.statements import ACCEPTANCE_TYPE, AcceptanceStatement
from fedxdr.models import snapshot
from fedxdr.parties import consent, enrolment
from fedxdr.parties.changes import ProposedChange
from fedxdr.parties.orchestrator import Orchestrator
from fedxdr.parties.ports import Learned
from fedxdr.secagg import derivation
from fedxdr.simulation.federation import SimulatedFederation
from fedxdr.storage.secrets import write_seed
from fedxdr.transport.client import Client

LAYOUT = Layout(
    segments=(
        Segment(name="statistics.mean", shape=(3,)),
        Segment(name="weights.w", shape=(5, 8)),
    )
)
TASK_SIZES = {"statistics": 3, "training": 40}
DEAD = -1000.0
"""A weight that kills every unit: what a fit from such a model brings is zero."""

_NAMES = ("org-a", "org-b", "org-c", "org-d", "org-e", "org-f")
_MAX_STEPS = 60
_STEPS_TO_CONSENT = 6
_MAX_BODY_BYTES = 10**7


class DataOf:
    """An organisation's data: numbers of its own in place of a fit.

    As with ReLU units (Pasquini et al. 2022), a model whose units are dead gives a zero
    gradient.
    """

    def __init__(self, place: int) -> None:
        self.place = place
        self.shift = 0.0

    def samples(self) -> int:
        return 64

    def truth(self, task: str) -> np.ndarray:
        """Return the update before it is protected."""
        size = TASK_SIZES[task]
        return generator(self.place, size).normal(size=size) * 0.5 + self.shift

    def learn(self, *, task: Any, parent: bytes, plan: Any, number: int) -> Learned:
        del number
        values = self.truth(task)
        begin, end = plan.layout.span(SEGMENTS[task])
        if (snapshot.load(parent).vector[begin:end] <= DEAD).all():
            values = np.zeros_like(values)
        return Learned(
            update=Update(values=values.astype(np.float32), samples=64),
            metrics={"held_out_accuracy": 0.5} if task == "training" else {},
        )


class _Refusals(logging.Handler):
    """Notes what the organisation whose turn it is refuses."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def emit(self, record: logging.LogRecord) -> None:
        why = getattr(record, "why", "") or getattr(record, "reason", "")
        if record.name.startswith("fedxdr.parties") and why and self._stage.turn:
            self._stage.refusals.append((self._stage.turn, str(why)))


@dataclass(kw_only=True)
class Stage:
    """A federation, its attacker, and what both have seen.

    Attributes:
        server: the loopback server.
        folder: for the organisations' folders.
        n: how many organisations.
        founders: how many of them found the federation; the others only apply.
        plan: fields of the plan.
        floor: of every organisation.
        colluders: members whose secrets the attacker knows.
        does_replay: whether organisations recompute rounds.
    """

    server: Loopback
    folder: Path
    n: int = 4
    founders: int | None = None
    plan: dict[str, Any] = field(default_factory=dict)
    floor: Floor = field(default_factory=Floor)
    colluders: tuple[str, ...] = ()
    does_replay: bool = True
    turn: str = ""
    refusals: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.orgs = [org_id(name) for name in _NAMES[: self.n]]
        self.data = {org: DataOf(place) for place, org in enumerate(self.orgs)}
        self.fed = SimulatedFederation(
            {},
            plan={"layout": LAYOUT, "architecture": {"kind": "test"}, **self.plan},
            initial=np.zeros(LAYOUT.size, dtype=np.float32),
        )
        self.entropy = SeededEntropy(99)
        self.service = Service(
            orchestrator=self.fed.orchestrator,
            registrar=self.fed.registrar,
            recogniser=self.fed.registrar.recogniser,
            registry=self.fed.registry,
            identity=self.fed.identity,
            clock=self.fed.clock,
            max_body_bytes=_MAX_BODY_BYTES,
        )
        self.wire = Puppeteer(create_app(self.service), self._who)
        self.server.app = self.wire
        self.keys: dict[str, IdentityKey] = {}
        self.agents: dict[OrgId, OpenParticipant] = {}
        self.insiders: dict[str, derivation.RoundSecrets] = {}
        self._handler = _Refusals(self)
        logging.getLogger("fedxdr").addHandler(self._handler)
        self._derive = derivation.derive_secrets
        derivation.derive_secrets = self._overhearing
        founders = self.orgs[: self.founders]
        for org in founders:
            self._join(org)
        if founders:
            self._found(founders)
        for org in self.orgs[len(founders) :]:
            self._join(org)
        for org in self.orgs:
            self.open(org)

    # Organisations.

    def _join(self, org: OrgId) -> None:
        """Make a folder as ``fedxdr join`` does; the machine's clock is not asked."""
        token = self.fed.registrar.invite(
            org, server=self.server.address, lifetime_s=3600
        )
        folder, key = self.folder / org, IdentityKey.generate(self.entropy)
        enrolled = self.fed.registrar.enrol(
            enrolment.apply_to_join(
                token,
                orchestrator=self.fed.identity.public,
                key=key,
                name=org,
                data_sources=("simulation",),
                now=self.fed.clock.now(),
            )
        )
        write_seed(folder / "keys" / "identity.key", key.seed)
        AgentFile(
            org=org,
            server=self.server.address,
            orchestrator=self.fed.identity.public.fingerprint,
            token=enrolled.token,
        ).write(folder)
        self.keys[org] = key

    def _found(self, founders: Iterable[OrgId]) -> None:
        """Let the founders approve the Genesis, as persons do."""
        self.approve(self.fed.registrar.found(), founders)

    def approve(self, change: ProposedChange, orgs: Iterable[str]) -> None:
        """Let people at some organisations approve a change."""
        recorder = self.fed.recorder
        ledger = GENESIS_PREV_HASH
        if recorder.is_begun:
            ledger = recorder.in_force.genesis_hash
        for org in orgs:
            envelope = consent.approve(
                change,
                me=OrgId(org),
                identity=self.keys[org],
                ledger=ledger,
                now=self.fed.clock.now(),
            )
            with self.service.lock:
                self.orchestrator.approve(change.digest, OrgId(org), envelope)

    def open(self, org: str) -> None:
        """Start an organisation's agent on its folder."""
        self.agents[OrgId(org)] = OpenParticipant(
            self.folder / org,
            learner=self.data[OrgId(org)],
            floor=self.floor,
            does_replay=self.does_replay,
            clock=self.fed.clock,
        )

    def restart(self, *orgs: str) -> None:
        """End agents and start them again: nothing but their folders stays."""
        for org in orgs:
            self.agents[OrgId(org)].close()
            self.open(org)

    def backup(self, org: str) -> Path:
        """Copy an agent's folder while it is stopped."""
        kept = self.folder / f"{org}.backup"
        self.agents[OrgId(org)].close()
        shutil.copytree(self.folder / org, kept)
        self.open(org)
        return kept

    def restore(self, org: str, kept: Path) -> None:
        """Put a backup in the place of an agent's folder and start it."""
        self.agents[OrgId(org)].close()
        shutil.rmtree(self.folder / org)
        shutil.copytree(kept, self.folder / org)
        self.open(org)

    def close(self) -> None:
        """End everybody."""
        for agent in self.agents.values():
            agent.close()
        logging.getLogger("fedxdr").removeHandler(self._handler)
        derivation.derive_secrets = self._derive

    def _who(self, headers: dict[str, str]) -> str:
        with suppress(FedxdrError):
            keyid = requests.claimed_keyid(headers)
            for org, key in self.keys.items():
                if key.public.keyid == keyid:
                    return org
            if keyid == self.fed.operator.public.keyid:
                return "operator"
        return "?"

    def _overhearing(self, entropy: bytes) -> derivation.RoundSecrets:
        """A colluding member hands its secrets of a round to the attacker."""
        found = self._derive(entropy)
        if self.turn in self.colluders:
            self.insiders[self.turn] = found
        return found

    def client(self, key: IdentityKey | None) -> Client:
        """Return the product's HTTP client under a key."""
        return Client(
            self.server.address, signer=key, clock=self.fed.clock, entropy=self.entropy
        )

    # The orchestrator, in the attacker's hand.

    @property
    def orchestrator(self) -> Orchestrator:
        return self.fed.orchestrator

    @property
    def round(self) -> Round:
        assert self.orchestrator.current is not None
        return self.orchestrator.current

    @property
    def round_id(self) -> RoundId:
        return self.round.announcement.round_id

    def sign(self, message: Any, *, by: str = "") -> Envelope:
        """Sign as the orchestrator, or as a colluding member."""
        assert not by or by in self.colluders
        return messages.sign(message, self.keys[by] if by else self.fed.identity)

    def forge(self, message: Any, *, org: str) -> Envelope:
        """Return a message in a member's name with a signature that is none."""
        found = messages.sign(message, self.fed.identity)
        keyid = self.keys[org].public.keyid
        return Envelope(
            payload_type=found.payload_type,
            payload=found.payload,
            signatures=(EnvelopeSignature(keyid=keyid, sig=bytes(64)),),
        )

    def start(
        self,
        task: str | None = "training",
        *,
        persuaded: Iterable[str] = (),
        **wishes: Any,
    ) -> Round:
        """Open a round, once the members have cosigned and consented.

        Args:
            task: of the round.
            persuaded: organisations whose people approve whatever plan it takes.
            wishes: fields of the plan.
        """
        for _ in range(_STEPS_TO_CONSENT):
            with suppress(WaitingForQuorum), self.service.lock:
                return self.orchestrator.start_round(task=task, wishes=wishes)
            self.consent(persuaded)
        with self.service.lock:
            return self.orchestrator.start_round(task=task, wishes=wishes)

    def settle(self) -> None:
        """Put the plan in force and let everybody cosign the newest block."""
        for _ in range(_STEPS_TO_CONSENT):
            with suppress(WaitingForQuorum), self.service.lock:
                self.orchestrator._plan_in_force({})
                self.orchestrator.heads.require_quorum()
                return
            self.consent(())
        raise AssertionError("the members have not consented")

    def consent(self, persuaded: Iterable[str]) -> None:
        """Let everybody look once, and some people approve what is open."""
        for change in self.orchestrator.governance.proposals():
            self.approve(change, [o for o in persuaded if o not in change.approved_by])
        for org in self.orgs:
            self.step(org)

    def fail(self) -> None:
        """Let the present round fail, whatever was opened in it."""
        with self.service.lock:
            self.orchestrator._fail(self.round, "lost", "the disk was lost")

    def announce(self, announcement: Announcement) -> None:
        """Run the present round under another announcement, which it signs."""
        envelope = self.sign(announcement)
        self.fed.facts._openings[announcement.round_id] = envelope.to_json()
        self.orchestrator._round = rounds.begin(announcement, self.round.plan)
        self.orchestrator._made.clear()

    def say(self, phase: Phase | str, *, org: str = "*", round_id: str = "") -> None:
        """Claim that the round stands somewhere else than it does."""

        def change(reply: Reply) -> bytes:
            value = json.loads(reply.body)
            value["phase"] = str(phase)
            if round_id:
                value["round_id"] = round_id
            return json.dumps(value).encode()

        self.wire.answers[org, "standing"] = change

    def answer(self, name: str, body: bytes, *, org: str = "*") -> None:
        """Give these bytes to whoever fetches that."""
        self.wire.answers[org, name] = lambda _: body

    def swallow(self, *names: str, org: str = "*") -> None:
        """Acknowledge these messages and keep them."""
        for name in names:
            self.wire.takes[org, name] = lambda _: TAKEN

    def honest(self) -> None:
        """Stop interfering."""
        self.wire.answers.clear()
        self.wire.takes.clear()

    # Letting things happen.

    def step(self, org: str) -> None:
        """Let one organisation do what is due; what it refuses is noted."""
        self.turn = org
        try:
            self.agents[OrgId(org)].participant.step(wait_s=0)
        except Unavailable:
            pass
        except FedxdrError as error:
            self.refusals.append((org, str(error)))
        finally:
            self.turn = ""

    def go(
        self, *, until: Phase | None = None, only: Iterable[str] | None = None
    ) -> Round:
        """Let everybody go on until the round stands at a phase, or nothing moves."""
        who = list(only) if only is not None else list(self.orgs)
        for _ in range(_MAX_STEPS):
            before = (self.orchestrator.version, len(self.wire.posts))
            for org in who:
                if self.round.phase is until:
                    return self.round
                self.step(org)
            if self.round.is_ended:
                break
            if (
                before
                == (
                    self.orchestrator.version,
                    len(self.wire.posts),
                )
                and not self.pass_time()
            ):
                break
        else:
            raise AssertionError(f"the round stands at {self.round.phase}")
        return self.round

    def pass_time(self) -> bool:
        """Let the present phase reach its deadline; False if it has none."""
        with self.service.lock:
            until = self.orchestrator.drive()
            if until is None:
                return False
            wait = (until - self.fed.clock.now()).total_seconds()
            self.fed.clock.advance(seconds=max(0.0, wait))
            self.orchestrator.drive()
        return True

    # What the attacker has seen.

    def posted(self, org: str, name: str) -> list[bytes]:
        """Return what an organisation sent in a step of the present round."""
        return [p.body for p in self.wire.posts if (p.org, p.name) == (org, name)]

    def last(self, org: str, name: str) -> bytes | None:
        """Return the last message of that kind, None if there is none."""
        found = self.posted(org, name)
        return found[-1] if found else None

    def vector(self, org: str) -> bytes | None:
        """Return the protected vector that an organisation sent last."""
        body = self.last(org, "contribution")
        return None if body is None else cbor2.loads(body)["vector"]

    def envelopes(self, org: str, name: str) -> list[Envelope]:
        """Return the envelopes in the last message of a kind."""
        body = self.last(org, name)
        return [] if body is None else wire.unpack_envelopes(body)

    def refused(self) -> list[tuple[str, str]]:
        """Return who refused what, rejected proposals among it."""
        found = list(self.refusals)
        for post in self.wire.posts:
            if post.name != "acceptance":
                continue
            envelope = Envelope.from_json(post.body)
            if envelope.payload_type == ACCEPTANCE_TYPE:
                said = statements.parse(envelope.payload, AcceptanceStatement)
                if said.verdict == "rejected":
                    found.append((said.org, said.reason))
        return found
