# SPDX-License-Identifier: Apache-2.0
"""A party's hand on the ledger: append blocks, know what is in force, prove, export.

What is in force (members, their keys, plan, model) is read from the blocks and from
nothing else, so that a restarted orchestrator, an agent's mirror and an auditor all say
the same.

A block enters only if it keeps the rules of the ledger (ledger/rules.py), whoever made
it: an agent's mirror checks what it is sent exactly as the orchestrator checks itself.

Not here: heads and their cosignatures (heads.py), who proposes what (governance.py).
"""

from __future__ import annotations

import bisect
import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fedxdr.core.canonical import from_builtins
from fedxdr.core.clock import Clock
from fedxdr.core.errors import InvalidInput, Unavailable
from fedxdr.core.ids import Digest, OrgId, RoundId
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import PublicIdentity
from fedxdr.federation.plan import Plan
from fedxdr.federation.protection import check_claim
from fedxdr.ledger import block as blocks
from fedxdr.ledger import bundle, change_rules, merkle, rules, steps
from fedxdr.ledger.block import Block, Provenance, SignedBlock
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.entries import (
    Change,
    Entry,
    Genesis,
    KeyCeremony,
    ModelRetired,
    PlanAdopted,
    RoundCommitted,
)
from fedxdr.ledger.standing import Log, Member, Standing
from fedxdr.parties.ports import Blobs, BlockStore
from fedxdr.secagg.encrypted.ceremony import Ceremony


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What the ledger says after its newest block.

    Attributes:
        genesis: the first entry.
        genesis_hash: hash of its block: the ledger's name in approvals.
        log: who keeps the ledger, and under which name.
        head: the newest block.
        head_hash: its hash.
        members: organisation -> what the ledger knows of it.
        plan: the plan in force, None before the first.
        model: SHA-256 of the model in force.
        committed: how many rounds were committed.
        attempted: how many rounds were committed or failed.
        tasks: tasks of the committed rounds on the layout in force, in order.
        ceremonies: key ceremonies by fingerprint, the newest last.
        changes: how many changes of members, keys or plan there were.
        quorum: how many members decide the next one.
    """

    genesis: Genesis
    genesis_hash: Digest
    log: Log
    head: Block
    head_hash: Digest
    members: Mapping[OrgId, Member]
    plan: Plan | None
    model: Digest
    committed: int
    attempted: int
    tasks: tuple[str, ...]
    ceremonies: Mapping[Digest, Ceremony]
    changes: int
    quorum: int

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
        return self.log.keys.identity


class Recorder:
    """Appends to one ledger, checks every block, and keeps what is in force.

    Args:
        store: the blocks.
        blobs: model snapshots.
        clock: for the blocks' timestamps.
        vouched: a head that we signed ourselves (vouching.py): if the stored blocks are
            those under it, they are not judged again.

    Raises:
        VerificationFailed: a stored block that breaks the rules.
    """

    def __init__(
        self,
        *,
        store: BlockStore,
        blobs: Blobs,
        clock: Clock,
        vouched: Checkpoint | None = None,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._standing = Standing()
        self._tree = merkle.Tree()
        self._policies: list[tuple[int, Standing]] = []
        self._turns: list[int] = []
        self._head: Block | None = None
        self._plan: Plan | None = None
        self._tasks: tuple[str, ...] = ()
        self._foreseen: dict[Digest, SignedBlock] = {}
        self._ceremonies: dict[Digest, Ceremony] = {}
        stored = store.read(begin=0, end=store.size())
        judged = _judged(stored, vouched)
        for signed in stored:
            if signed.block.height >= judged:
                self._check(signed, self._standing)
            self._follow(signed)

    @property
    def is_begun(self) -> bool:
        """Whether there is a genesis block."""
        return self._head is not None

    @property
    def in_force(self) -> InForce:
        """What is in force now.

        Raises:
            Unavailable: the federation is not founded yet.
        """
        standing = self._standing
        genesis, model, log = standing.genesis, standing.model_hash, standing.log
        if self._head is None or genesis is None or model is None or log is None:
            raise Unavailable(
                "the federation is not founded yet: the founders join, the operator "
                "runs `fedxdr members propose --found`, and each founder approves"
            )
        return InForce(
            genesis=genesis,
            genesis_hash=standing.genesis_hash,
            log=log,
            head=self._head,
            head_hash=standing.last_hash,
            members=dict(standing.members),
            plan=self._plan,
            model=model,
            committed=len(standing.committed),
            attempted=len(standing.committed) + len(standing.failed),
            tasks=self._tasks,
            ceremonies=dict(self._ceremonies),
            changes=standing.changes,
            quorum=standing.quorum,
        )

    @property
    def model_version(self) -> str:
        """Name of the model in force, for people."""
        return self._standing.model_version

    def has_round(self, round_id: RoundId) -> bool:
        """Return whether the ledger says how a round ended."""
        return self._standing.has_round(round_id)

    def record(self, entry: Entry, *, envelopes: Sequence[Envelope] = ()) -> Block:
        """Append a block about an entry that is no committed round."""
        return self.append(self.draft(entry, envelopes=envelopes))

    def draft(
        self,
        entry: Entry,
        *,
        envelopes: Sequence[Envelope] = (),
        at: datetime | None = None,
    ) -> SignedBlock:
        """Return the block that ``record`` would append.

        Args:
            entry: what it says.
            envelopes: what is signed beside it.
            at: its date, by default ``now``; approvals are counted at that date.
        """
        model = made = None
        if isinstance(entry, ModelRetired):
            model = entry.successor
            version = self._standing.models.get(model, self._standing.model_version)
            made = Provenance(model_version=version)
        return blocks.next_block(
            self._head,
            entry=entry,
            timestamp=at or self.now(),
            envelopes=envelopes,
            model_hash=model,
            provenance=made,
        )

    def check_proposed(self, entry: Change, *, envelopes: Sequence[Envelope]) -> None:
        """Return if a change could stand on the ledger now, once it is approved.

        Raises:
            InvalidInput: it could not.
        """
        signed = self.draft(entry, envelopes=envelopes)
        change_rules.check_proposed(signed, entry, self._standing)
        _check_whole(entry)

    def draft_round(self, **fields: Any) -> SignedBlock:  # noqa: ANN401 - those of committed_block
        """Return the block of a committed round; fields as ``committed_block``."""
        return blocks.committed_block(
            self.in_force.head, timestamp=self.now(), **fields
        )

    def append(self, signed: SignedBlock, *, head: bytes | None = None) -> Block:
        """Check and append a block that was made here or fetched.

        Args:
            signed: the block and the envelopes beside it.
            head: over the ledger with it, if we sign that (heads.py); stored together.

        Raises:
            VerificationFailed: the block breaks a rule; nothing was written.
            InvalidInput: it adopts what is no plan; nothing was written.
        """
        read = _read(signed)
        block = read.block
        # its hash binds all before it: what was foreseen here passed this very check
        is_next = block.prev_hash == self._standing.last_hash
        if not (is_next and self._foreseen.pop(block.hash, None) == read):
            self._check(read, self._standing)
        self._store.append(read, head=head)
        self._follow(read)
        return block

    @property
    def standing(self) -> Standing:
        """What is in force now; read it, never change it."""
        return self._standing

    def foresee(self, further: Sequence[SignedBlock]) -> list[tuple[Standing, Digest]]:
        """Return what would be in force after each of some more blocks, and the root.

        Raises:
            VerificationFailed: a block that breaks a rule.
        """
        standing, tree = self._standing.fork(), self._tree.copy()
        self._foreseen.clear()
        found: list[tuple[Standing, Digest]] = []
        for signed in map(_read, further):
            self._check(signed, standing)
            hash_ = signed.block.hash
            self._foreseen[hash_] = signed
            standing.follow(signed, hash_)
            tree.append(bytes.fromhex(hash_))
            # of those before the last only who signs, and where it stands, is asked
            found.append((copy.copy(standing), Digest(tree.root().hex())))
        return found

    def _check(self, signed: SignedBlock, standing: Standing) -> None:
        steps.require(
            _binds(signed),
            "the envelopes beside the block are not those it binds",
            step=steps.Step.SIGNATURES_DIGEST,
            height=signed.block.height,
        )
        rules.check(signed, standing)
        entry = signed.block.entry
        _check_whole(entry)
        if isinstance(entry, RoundCommitted) and standing.plan is not None:
            plan = from_builtins(dict(standing.plan.plan), Plan)
            for claim in signed.block.provenance.privacy_params.values():
                check_claim(claim, plan.privacy, clip_norm=plan.clip_norm)

    def _follow(self, signed: SignedBlock) -> None:
        block = signed.block
        hash_ = block.hash
        self._standing.follow(signed, hash_)
        self._tree.append(bytes.fromhex(hash_))
        size = self._tree.size
        if self._standing.is_turn:
            self._turns.append(size)
        before = self._policies[-1][1] if self._policies else None
        if (
            before is None
            or before.cosigners != self._standing.cosigners
            or before.log != self._standing.log
        ):
            self._policies.append((size, copy.copy(self._standing)))
        self._head = block
        match block.entry:
            case PlanAdopted():
                was, self._plan = self._plan, _plan_in(block.entry)
                if was is None or was.layout != self._plan.layout:
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
        return self._tree.size

    @property
    def tree(self) -> merkle.Tree:
        """The Merkle tree over all blocks; read it, never change it."""
        return self._tree

    def root_at(self, size: int) -> Digest:
        """Return the Merkle root over the first blocks, in hexadecimal."""
        return Digest(self._tree.root(size).hex())

    def signers_at(self, size: int) -> Standing:
        """Return who signs and who cosigns the head over the first blocks.

        Args:
            size: in [1, ``size()``].

        Returns:
            A standing whose ``log``, ``cosigners`` and ``policy_text`` are right; of
            the rest of it nothing is promised.
        """
        at = bisect.bisect_right(self._policies, size, key=lambda found: found[0])
        return self._policies[at - 1][1]

    def turns_up_to(self, size: int) -> tuple[int, ...]:
        """Return the sizes, beyond 1, whose newest block changed who cosigns."""
        return tuple(turn for turn in self._turns if turn <= size)

    def export(
        self, *, heads: Mapping[int, bytes], models: Iterable[Digest] = ()
    ) -> bytes:
        """Return the ledger as a bundle with the newest model and any others asked for.

        Args:
            heads: as ``bundle.write`` wants them; the largest says how many blocks.
            models: further snapshots to put in, by digest.
        """
        stored = self.blocks(begin=0, end=max(heads))
        wanted = {stored[-1].block.model_hash, *models}
        return bundle.write(
            blocks=stored,
            models=[self._blobs.get(digest) for digest in sorted(wanted)],
            heads=heads,
        )

    def now(self) -> datetime:
        """Return the present instant, never before the newest block's."""
        now = self._clock.now()
        return max(now, self._head.timestamp) if self._head else now


def _judged(stored: Sequence[SignedBlock], vouched: Checkpoint | None) -> int:
    """Return how many blocks are the very ones that we checked and signed for."""
    if vouched is None or vouched.size > len(stored):
        return 0
    under = stored[: vouched.size]
    root = merkle.root([bytes.fromhex(signed.block.hash) for signed in under])
    is_same = root == vouched.root and all(map(_binds, under))
    return vouched.size if is_same else 0


def _binds(signed: SignedBlock) -> bool:
    """Return whether the envelopes beside a block are those that it binds."""
    bound = blocks.signatures_digest(e.digest for e in signed.envelopes)
    return bound == signed.block.signatures_digest


def _read(signed: SignedBlock) -> SignedBlock:
    """Return a block as a reader will see it: from its bytes."""
    return SignedBlock(
        block=blocks.parse(signed.block.body()), envelopes=signed.envelopes
    )


def _check_whole(entry: Entry) -> None:
    """Refuse a plan or ceremony of which the ledger's rules read a few terms only."""
    if isinstance(entry, PlanAdopted):
        _plan_in(entry)
    if isinstance(entry, KeyCeremony):
        _ceremony_in(entry)


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
