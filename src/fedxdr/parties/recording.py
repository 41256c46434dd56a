# SPDX-License-Identifier: Apache-2.0
"""The orchestrator's hand on the ledger: append blocks, know what is in force, export.

What is in force (members, their keys, plan, model) is read from the blocks and from
nothing else, so that a restarted orchestrator, an agent's mirror and an auditor all say
the same.

A block enters only if it keeps the rules of the ledger (ledger/rules.py), whoever made
it: an agent's mirror checks what it is sent exactly as the orchestrator checks itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fedxdr.core.canonical import from_builtins
from fedxdr.core.clock import Clock
from fedxdr.core.errors import IntegrityFault, InvalidInput
from fedxdr.core.ids import Digest, OrgId, RoundId
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey, PublicIdentity
from fedxdr.federation.plan import Plan
from fedxdr.federation.protection import check_claim
from fedxdr.ledger import block as blocks
from fedxdr.ledger import bundle, head, rules, steps
from fedxdr.ledger.block import Block, SignedBlock
from fedxdr.ledger.entries import (
    Entry,
    Genesis,
    KeyCeremony,
    PlanAdopted,
    RoundCommitted,
)
from fedxdr.ledger.standing import Member, Standing
from fedxdr.parties.ports import Blobs, BlockStore
from fedxdr.secagg.encrypted.ceremony import Ceremony


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What the ledger says after its newest block.

    Attributes:
        genesis: the first entry.
        head: the newest block.
        head_hash: its hash.
        members: organisation -> what the ledger knows of it.
        plan: the plan in force, None before the first.
        model: SHA-256 of the model in force.
        committed: how many rounds were committed.
        attempted: how many rounds were committed or failed.
        tasks: tasks of the committed rounds on the layout in force, in order.
        ceremonies: key ceremonies by fingerprint, the newest last.
    """

    genesis: Genesis
    head: Block
    head_hash: Digest
    members: Mapping[OrgId, Member]
    plan: Plan | None
    model: Digest
    committed: int
    attempted: int
    tasks: tuple[str, ...]
    ceremonies: Mapping[Digest, Ceremony]

    @property
    def identities(self) -> dict[OrgId, PublicIdentity]:
        """The members' keys."""
        return {org: member.keys.identity for org, member in self.members.items()}

    @property
    def cohort(self) -> tuple[OrgId, ...]:
        """The members' names, in order."""
        return tuple(sorted(self.members))

    @property
    def orchestrator(self) -> PublicIdentity:
        """The key that signs announcements, proposals and heads."""
        return self.genesis.orchestrator.identity


class Recorder:
    """Appends to one ledger, checks every block, and keeps what is in force.

    Args:
        store: the blocks.
        blobs: model snapshots.
        clock: for the blocks' timestamps.

    Raises:
        VerificationFailed: a stored block that breaks the rules.
    """

    def __init__(self, *, store: BlockStore, blobs: Blobs, clock: Clock) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._standing = Standing()
        self._hashes: list[Digest] = []
        self._head: Block | None = None
        self._plan: Plan | None = None
        self._tasks: tuple[str, ...] = ()
        self._ceremonies: dict[Digest, Ceremony] = {}
        for signed in store.read(begin=0, end=store.size()):
            self._check(signed)
            self._follow(signed.block)

    @property
    def is_begun(self) -> bool:
        """Whether there is a genesis block."""
        return self._head is not None

    @property
    def in_force(self) -> InForce:
        """What is in force now.

        Raises:
            IntegrityFault: the ledger is empty.
        """
        standing = self._standing
        genesis, model = standing.genesis, standing.model_hash
        if self._head is None or genesis is None or model is None:
            raise IntegrityFault("the ledger is empty: run `fedxdr server init` first")
        return InForce(
            genesis=genesis,
            head=self._head,
            head_hash=self._hashes[-1],
            members=dict(standing.members),
            plan=self._plan,
            model=model,
            committed=len(standing.committed),
            attempted=len(standing.committed) + len(standing.failed),
            tasks=self._tasks,
            ceremonies=dict(self._ceremonies),
        )

    @property
    def model_version(self) -> str:
        """Name of the model in force, for people."""
        return self._standing.model_version

    def has_round(self, round_id: RoundId) -> bool:
        """Return whether the ledger says how a round ended."""
        return self._standing.has_round(round_id)

    def record(self, entry: Entry, *, envelopes: Sequence[Envelope] = ()) -> Block:
        """Append a block about an entry that changes no model."""
        signed = blocks.next_block(
            self._head, entry=entry, timestamp=self._now(), envelopes=envelopes
        )
        return self.append(signed)

    def record_round(self, **fields: Any) -> Block:  # noqa: ANN401 - those of committed_block
        """Append the block of a committed round; fields as ``committed_block``."""
        signed = blocks.committed_block(
            self.in_force.head, timestamp=self._now(), **fields
        )
        return self.append(signed)

    def append(self, signed: SignedBlock) -> Block:
        """Check and append a block that was made here or fetched.

        Raises:
            VerificationFailed: the block breaks a rule; nothing was written.
            InvalidInput: it adopts what is no plan; nothing was written.
        """
        # judged as a reader will see it: from its bytes
        block = blocks.parse(signed.block.body())
        read = SignedBlock(block=block, envelopes=signed.envelopes)
        self._check(read)
        self._store.append(read)
        self._follow(block)
        return block

    def _check(self, signed: SignedBlock) -> None:
        bound = blocks.signatures_digest(e.digest for e in signed.envelopes)
        steps.require(
            bound == signed.block.signatures_digest,
            "the envelopes beside the block are not those it binds",
            step=steps.Step.SIGNATURES_DIGEST,
            height=signed.block.height,
        )
        rules.check(signed, self._standing)
        if isinstance(signed.block.entry, PlanAdopted):
            # the ledger reads a few terms of a plan; here it must be one as a whole
            _plan_in(signed.block.entry)
        if isinstance(signed.block.entry, KeyCeremony):
            _ceremony_in(signed.block.entry)
        if isinstance(signed.block.entry, RoundCommitted) and self._plan is not None:
            plan = self._plan
            for claim in signed.block.provenance.privacy_params.values():
                check_claim(claim, plan.privacy, clip_norm=plan.clip_norm)

    def _follow(self, block: Block) -> None:
        hash_ = block.hash
        self._standing.follow(block, hash_)
        self._hashes.append(hash_)
        self._head = block
        match block.entry:
            case PlanAdopted():
                before, self._plan = self._plan, _plan_in(block.entry)
                if before is None or before.layout != self._plan.layout:
                    self._tasks = ()
            case KeyCeremony():
                found = _ceremony_in(block.entry)
                self._ceremonies.pop(found.fingerprint, None)
                self._ceremonies[found.fingerprint] = found
            case RoundCommitted(task=task):
                self._tasks = (*self._tasks, task)
            case _:
                pass

    def blocks(self, *, begin: int, end: int) -> list[SignedBlock]:
        """Return blocks with heights [begin, end)."""
        return self._store.read(begin=begin, end=end)

    def size(self) -> int:
        """Return how many blocks there are; asked often, so storage is not."""
        return len(self._hashes)

    def root_with(self, further: Sequence[SignedBlock]) -> Digest:
        """Return the Merkle root that the ledger has after some more blocks."""
        return head.root_of([*self._hashes, *(s.block.hash for s in further)])

    def signed_head(self, signer: IdentityKey) -> Envelope:
        """Return the orchestrator's signature over size and root of the ledger."""
        signed = head.head_of(self.in_force.genesis.origin, self._hashes, self._now())
        return head.sign(signed, signer)

    def export(self, signer: IdentityKey, *, models: Iterable[Digest] = ()) -> bytes:
        """Return the ledger as a bundle with the newest model and any others asked for.

        Args:
            signer: the orchestrator's key, for the head.
            models: further snapshots to put in, by digest.
        """
        wanted = {self.in_force.model, *models}
        return bundle.write(
            blocks=self.blocks(begin=0, end=self.size()),
            models=[self._blobs.get(digest) for digest in sorted(wanted)],
            head=self.signed_head(signer),
        )

    def _now(self) -> datetime:
        """Return the present instant, never before the newest block's."""
        now = self._clock.now()
        return max(now, self._head.timestamp) if self._head else now


def _ceremony_in(entry: KeyCeremony) -> Ceremony:
    """Return the ceremony of an entry.

    Raises:
        InvalidInput: no ceremony, or one with other holders than the entry says.
    """
    found = from_builtins(entry.record, Ceremony)
    if (found.fingerprint, found.key.holders) != (entry.fingerprint, entry.holders):
        raise InvalidInput("a ceremony with another fingerprint or other holders")
    return found


def _plan_in(entry: PlanAdopted) -> Plan:
    return from_builtins(entry.plan, Plan)
