# SPDX-License-Identifier: Apache-2.0
"""A whole federation in one process: real protocol, memory storage, one manual clock.

Orchestrator, organisations, masks, signatures and ledger are the real ones; only disk,
network and time are replaced. Evaluation and tests run rounds through it: what they
measure went through the code that runs between processes.

Rules that always hold: with the same seed every key, update and model is the same.
Sealed boxes draw their own coins and so do ML-DSA signatures (FIPS 204, section 3.4:
hedged), therefore blocks differ, and with them the masks that are bound to them;
nothing waits: time moves when it is moved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from fedxdr.core.clock import ManualClock
from fedxdr.core.errors import TooFewParticipants, WaitingForQuorum
from fedxdr.core.ids import OrgId
from fedxdr.core.layout import Vector
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.keys import IdentityKey, TokenKey
from fedxdr.crypto.publisher import PublisherKey
from fedxdr.federation.floor import Floor
from fedxdr.federation.plan import Plan, Task, default_threshold
from fedxdr.federation.rounds import Round
from fedxdr.ledger.block import GENESIS_PREV_HASH
from fedxdr.models import snapshot
from fedxdr.parties import consent, enrolment
from fedxdr.parties.orchestrator import Orchestrator
from fedxdr.parties.participant import Participant
from fedxdr.parties.ports import Learner, Link
from fedxdr.parties.recording import Recorder
from fedxdr.parties.registrar import Charter, Registrar
from fedxdr.secagg.encrypted.ceremony import Ceremony
from fedxdr.storage.fence import MemoryFence
from fedxdr.storage.memory import (
    MemoryBlobs,
    MemoryBlockStore,
    MemoryChangeStore,
    MemoryCheckpointStore,
    MemoryFactLog,
    MemoryNotes,
    MemoryRegistry,
)
from fedxdr.storage.purse import MemoryPurseLog
from fedxdr.transport.loopback import Loopback

START = datetime(2026, 1, 1, tzinfo=UTC)
_STEPS_PER_ROUND = 40
_STEPS_TO_CONSENT = 4


class SimulatedFederation:
    """Orchestrator and organisations in one process.

    Args:
        learners: organisation -> its data and fit; with none nothing is founded.
        plan: fields of the plan beside federation, run, participants and threshold; it
            must hold ``layout`` and ``architecture``.
        initial: the first model's vector, (d,) float32.
        seed: of every key and coin.
        floor: what every organisation insists on.
        link_of: makes an organisation's link; tests put faults in between.
        does_replay: whether organisations recompute every round.
    """

    def __init__(
        self,
        learners: Mapping[OrgId, Learner],
        *,
        plan: Mapping[str, Any],
        initial: Vector,
        seed: int = 0,
        floor: Floor | None = None,
        link_of: Callable[[Orchestrator, OrgId], Link] = Loopback,
        does_replay: bool = True,
    ) -> None:
        self.clock = ManualClock(START)
        self.entropy = SeededEntropy(seed)
        self.identity = IdentityKey.generate(self.entropy)
        self.operator = IdentityKey.generate(self.entropy)
        self.registry = MemoryRegistry()
        self._plan = dict(plan)
        blobs = MemoryBlobs()
        checkpoints = MemoryCheckpointStore()
        self.recorder = Recorder(
            store=MemoryBlockStore(checkpoints), blobs=blobs, clock=self.clock
        )
        self.facts = MemoryFactLog()
        self.orchestrator = Orchestrator(
            facts=self.facts,
            blobs=blobs,
            recorder=self.recorder,
            checkpoints=checkpoints,
            changes=MemoryChangeStore(),
            registry=self.registry,
            clock=self.clock,
            entropy=self.entropy,
            identity=self.identity,
            plan_for=self._plan_for,
        )
        self.registrar = Registrar(
            orchestrator=self.orchestrator,
            registry=self.registry,
            clock=self.clock,
            entropy=self.entropy,
            identity=self.identity,
            operator=self.operator.public,
            token_key=TokenKey.generate(self.entropy),
            charter=self._charter(blobs, initial),
        )
        self.keys = {org: IdentityKey.generate(self.entropy) for org in learners}
        for org in learners:
            self._apply(org)
        if learners:
            self._found()
        self.participants: dict[OrgId, Participant] = {
            org: self._participant(
                org, learner, floor or Floor(), link_of, does_replay=does_replay
            )
            for org, learner in learners.items()
        }

    def run_round(
        self, *, task: Task | None = None, absent: frozenset[OrgId] = frozenset()
    ) -> Round:
        """Run one round to its end and return it.

        Args:
            task: what it is for; None: statistics once, then training.
            absent: organisations that never answer in it.

        Raises:
            TooFewParticipants: the round failed; the message says why.
        """
        self.start_round(task=task, absent=absent)
        for _ in range(_STEPS_PER_ROUND):
            before = self.orchestrator.version
            self.step(absent=absent)
            if self.orchestrator.version == before:
                self._pass_time()
            round_ = self.orchestrator.current
            if round_ is not None and round_.is_ended:
                self.step(absent=absent)
                if round_.failure is not None:
                    raise TooFewParticipants(round_.failure.sentence)
                return round_
        raise TooFewParticipants("the round did not end: it waits for signatures")

    def start_round(
        self,
        *,
        task: Task | None = None,
        wishes: Mapping[str, Any] | None = None,
        absent: frozenset[OrgId] = frozenset(),
    ) -> Round:
        """Open a round once the members have cosigned and consented.

        Args:
            task: what it is for; None: statistics once, then training.
            wishes: fields of the plan that are to change.
            absent: organisations that do not answer.

        Raises:
            WaitingForQuorum: too few did.
        """
        for _ in range(_STEPS_TO_CONSENT):
            try:
                return self.orchestrator.start_round(task=task, wishes=wishes)
            except WaitingForQuorum:
                self.step(absent=absent)
        return self.orchestrator.start_round(task=task, wishes=wishes)

    def publish(self, record: Ceremony) -> None:
        """Put a key ceremony on the ledger once the members have consented.

        Raises:
            WaitingForQuorum: too few did.
        """
        for _ in range(_STEPS_TO_CONSENT):
            try:
                self.registrar.publish(record)
            except WaitingForQuorum:
                self.step()
            else:
                return
        self.registrar.publish(record)

    def step(self, *, absent: frozenset[OrgId] = frozenset()) -> None:
        """Let every organisation look at the orchestrator once, and act."""
        for org, participant in self.participants.items():
            if org not in absent:
                participant.step(wait_s=0)

    @property
    def vector(self) -> Vector:
        """The model in force, (d,) float32."""
        file = self.orchestrator.blobs.get(self.recorder.in_force.model)
        return snapshot.load(file).vector

    def _pass_time(self) -> None:
        until = self.orchestrator.drive()
        if until is not None:
            wait = (until - self.clock.now()).total_seconds()
            self.clock.advance(seconds=max(0.0, wait))
            self.orchestrator.drive()

    def _plan_for(self, participants: int, wishes: Mapping[str, Any]) -> Plan:
        fields = {
            "threshold": default_threshold(participants),
            **self._plan,
            **wishes,
        }
        return Plan(
            federation="simulation",
            run_id="run-1",
            participants=participants,
            **fields,
        )

    def _charter(self, blobs: MemoryBlobs, initial: Vector) -> Charter:
        layout, architecture = self._plan["layout"], self._plan["architecture"]
        file = snapshot.save(initial, layout=layout, architecture=architecture)
        return Charter(
            federation="simulation",
            origin="simulation.example/ledger",
            publisher=PublisherKey(seed=self.entropy.draw(32)).public_der,
            initial_model=blobs.put(file),
            layout_digest=layout.digest,
        )

    def _apply(self, org: OrgId) -> None:
        token = self.registrar.invite(org, server="http://127.0.0.1:1", lifetime_s=3600)
        application = enrolment.apply_to_join(
            token,
            orchestrator=self.identity.public,
            key=self.keys[org],
            name=org,
            data_sources=("simulation",),
            now=self.clock.now(),
        )
        self.registrar.enrol(application)

    def _found(self) -> None:
        """Let every founder approve the Genesis."""
        genesis = self.registrar.found()
        for org, key in self.keys.items():
            approval = consent.approve(
                genesis,
                me=org,
                identity=key,
                ledger=GENESIS_PREV_HASH,
                now=self.clock.now(),
            )
            self.orchestrator.approve(genesis.digest, org, approval)

    def _participant(
        self,
        org: OrgId,
        learner: Learner,
        floor: Floor,
        link_of: Callable[[Orchestrator, OrgId], Link],
        *,
        does_replay: bool,
    ) -> Participant:
        blobs = MemoryBlobs()
        return Participant(
            me=org,
            identity=self.keys[org],
            facts=MemoryFactLog(),
            notes=MemoryNotes(),
            fence=MemoryFence(),
            purse=MemoryPurseLog(),
            blobs=blobs,
            mirror=Recorder(store=MemoryBlockStore(), blobs=blobs, clock=self.clock),
            checkpoints=MemoryCheckpointStore(),
            link=link_of(self.orchestrator, org),
            learner=learner,
            floor=floor,
            clock=self.clock,
            entropy=self.entropy,
            does_replay=does_replay,
        )
