# SPDX-License-Identifier: Apache-2.0
"""A round rehearsed in one process: what an organisation would send in it, exactly.

An organisation's own learner and data, a plan, an orchestrator in memory, and members
without data in place of the others: what its link is asked to send is kept.

It does NOT send anything, pay from the purse, use the identity key or touch the folder:
keys, masks and round names are made for the rehearsal and thrown away, so the bytes of
a real round differ in them, never in kind, field or length.

Rules that always hold:
    1. Masks and noise of a rehearsal come from the system's entropy, like a round's: a
       printed vector shows as little as one that is sent.
    2. What the mode sends and the rehearsal could not make is named, not left out.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from typing_extensions import override

from fedxdr.core.errors import InvalidInput, Refused
from fedxdr.core.ids import Digest, OrgId, RoundId
from fedxdr.core.layout import Vector
from fedxdr.core.randomness import SystemEntropy
from fedxdr.core.update import Update
from fedxdr.federation import opening
from fedxdr.federation.floor import Floor
from fedxdr.federation.plan import MODES, SEGMENTS, Plan, Task
from fedxdr.federation.sessions import TABLE, Step
from fedxdr.parties.collecting.mode import ShareOf, no_share
from fedxdr.parties.orchestrator import Orchestrator
from fedxdr.parties.ports import Learned, Learner
from fedxdr.secagg.encrypted.ceremony import Ceremony
from fedxdr.secagg.encrypted.dealing import SecretShare
from fedxdr.simulation.federation import SimulatedFederation
from fedxdr.transport.loopback import Loopback

_GIVEN: Final = ("federation", "run_id", "participants", "version")
_FEWEST: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One message that would leave.

    Attributes:
        task: of the rehearsed round.
        step: of the session.
        body: the exact bytes of the request's body.
    """

    task: Task
    step: Step
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What one rehearsed round would have sent.

    Attributes:
        sent: messages in the order in which they leave.
        reads: what is asked of the orchestrator, and how often; these requests have no
            body and name rounds, steps and digests only.
        missing: steps that the mode sends and the rehearsal could not make.
    """

    sent: tuple[Sent, ...]
    reads: Mapping[str, int]
    missing: tuple[str, ...]


class _Silent:
    """A member without data: zeros."""

    def samples(self) -> int:
        return 1

    def learn(self, *, task: Task, parent: bytes, plan: Plan, number: int) -> Learned:
        del parent, number
        begin, end = plan.layout.span(SEGMENTS[task])
        return Learned(
            update=Update(values=np.zeros(end - begin, np.float32), samples=1),
            metrics=dict.fromkeys(opening.metrics_of(plan, task), 0.0),
        )


@dataclass(slots=True)
class _Kept:
    """What went over our link."""

    sent: list[Sent] = field(default_factory=list)
    reads: Counter[str] = field(default_factory=Counter)


class _KeepingLink(Loopback):
    """Our link: what it is asked to send is kept, then given to the rehearsal."""

    def __init__(
        self, orchestrator: Orchestrator, org: OrgId, *, kept: _Kept, task: Task
    ) -> None:
        super().__init__(orchestrator, org)
        self._kept = kept
        self._task = task

    @override
    def send(self, round_id: RoundId, step: Step, body: bytes) -> None:
        self._kept.sent.append(Sent(task=self._task, step=step, body=body))
        super().send(round_id, step, body)

    @override
    def fetch(self, round_id: RoundId, step: Step) -> bytes:
        found = super().fetch(round_id, step)
        self._kept.reads[str(step)] += 1
        return found

    @override
    def evidence(self, round_id: RoundId) -> bytes:
        self._kept.reads["evidence"] += 1
        return super().evidence(round_id)

    @override
    def contribution(self, round_id: RoundId, digest: Digest) -> bytes:
        self._kept.reads["contribution"] += 1
        return super().contribution(round_id, digest)

    @override
    def model(self, digest: Digest) -> bytes:
        self._kept.reads["model"] += 1
        return super().model(digest)


def tasks_of(plan: Plan) -> tuple[Task, ...]:
    """Return the kinds of round that a plan has."""
    return ("training",) if plan.privacy.is_on else ("statistics", "training")


def rehearse(
    task: Task,
    *,
    org: OrgId,
    members: Sequence[OrgId],
    plan: Plan,
    model: Vector,
    learner: Learner,
    ceremony: Ceremony | None = None,
    share_of: ShareOf = no_share,
) -> Rehearsed:
    """Return what one round would take out of an organisation.

    Args:
        task: of the round.
        org: the organisation.
        members: everybody on the ledger; members without a name fill up to three.
        plan: whose round it is.
        model: (d,) float32, the model in force.
        learner: the organisation's own.
        ceremony: of the plan's key, in mode ``paillier``.
        share_of: the organisation's own share of it.

    Raises:
        InvalidPlan: the plan does not work with these members.
        InvalidInput, Refused: the organisation would refuse this round; says why.
    """
    kept = _Kept()
    learners: dict[OrgId, Learner] = {name: _Silent() for name in sorted(members)}
    for place in range(_FEWEST):
        if len(learners) < _FEWEST:
            learners[OrgId(f"nobody-{place + 1}")] = _Silent()
    learners[org] = learner

    def link_of(orchestrator: Orchestrator, name: OrgId) -> Loopback:
        if name == org:
            return _KeepingLink(orchestrator, name, kept=kept, task=task)
        return Loopback(orchestrator, name)

    names = [f.name for f in dataclasses.fields(plan) if f.name not in _GIVEN]
    world = SimulatedFederation(
        dict(sorted(learners.items())),
        plan={name: getattr(plan, name) for name in names},
        initial=model,
        floor=Floor(modes=MODES),
        link_of=link_of,
    )
    _prepare(world, org, ceremony, share_of)
    reason: InvalidInput | Refused | None = None
    try:
        world.run_round(task=task)
    except (InvalidInput, Refused) as error:
        # mode paillier: the others hold no share here, so nobody opens the sum
        reason = error
    ours = world.participants[org].session
    if ours is not None and ours.ended is not None and ours.ended.reason == "refused":
        raise Refused(
            f"this organisation would refuse the round: {ours.ended.sentence}"
        )
    if reason is not None and plan.collection_mode != "paillier":
        raise reason
    wanted = [row.step for row in TABLE[plan.collection_mode] if row.does == "send"
              and (row.who == "everyone" or org in plan.helpers)]  # fmt: skip
    made = {message.step for message in kept.sent}
    return Rehearsed(
        sent=tuple(kept.sent),
        reads=dict(kept.reads),
        missing=tuple(str(step) for step in wanted if step not in made),
    )


def _prepare(
    world: SimulatedFederation,
    org: OrgId,
    ceremony: Ceremony | None,
    share_of: ShareOf,
) -> None:
    """Give everyone the system's entropy and, for a ceremony's key, a share."""
    if ceremony is not None:
        world.publish(ceremony)
    for name, participant in world.participants.items():
        share = share_of if name == org else _Once(share_of)
        participant._desk = dataclasses.replace(  # noqa: SLF001 - a simulation's seeded coins would open masks
            participant._desk,  # noqa: SLF001 - the same
            entropy=SystemEntropy(),
            share_of=share,
        )


class _Once:
    """Somebody else's share, which we do not have: enough to encrypt, not to open."""

    def __init__(self, ours: ShareOf) -> None:
        self._ours = ours
        self._was_asked = False

    def __call__(self, ceremony: Ceremony) -> SecretShare:
        if self._was_asked:
            return no_share(ceremony)
        self._was_asked = True
        return self._ours(ceremony)
