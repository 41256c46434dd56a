# SPDX-License-Identifier: Apache-2.0
"""What the parties need from the outside, as interfaces.

Two implementations stand of each: SQLite and files (storage/) and memory
(storage/memory.py, for simulations and tests); one contract suite runs against both.

Rules that always hold: a method that writes returns only after the data would survive
kill -9; writing the same thing twice is the same as writing it once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from fedxdr.core.ids import Digest, OrgId, RoundId
from fedxdr.core.update import Update
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation.phases import Phase
from fedxdr.federation.plan import Plan, Task
from fedxdr.federation.sessions import Step
from fedxdr.ledger.block import SignedBlock
from fedxdr.parties.changes import ProposedChange
from fedxdr.parties.testimony import Heard, Testimony
from fedxdr.privacy.budget import Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFact:
    """One fact of a round or session, as it lies in storage.

    Attributes:
        name: the fact's type, for example ``Received``.
        body: its canonical bytes.
        slot: where its message belongs, for example ``keys/org-a``; empty without one.
        message: the message's exact bytes, None without one.
    """

    name: str
    body: bytes
    slot: str = ""
    message: bytes | None = None


class FactLog(Protocol):
    """Facts of rounds (or sessions) in the order in which they happened."""

    def begin(self, round_id: RoundId, opening: bytes) -> None:
        """Store what opens a round; once per round.

        Raises:
            AlreadyAnswered: this round has been opened with other bytes.
        """

    def opening(self, round_id: RoundId) -> bytes | None:
        """Return what opened the round, None if it was never opened."""

    def append(self, round_id: RoundId, fact: StoredFact) -> None:
        """Store one more fact, with its message, in one transaction.

        Raises:
            StorageFault: the message's slot is taken; nothing was written.
        """

    def facts(self, round_id: RoundId) -> list[StoredFact]:
        """Return the round's facts in order, without their messages."""

    def message(self, round_id: RoundId, slot: str) -> bytes | None:
        """Return the message stored in a slot, None if there is none."""

    def rounds(self) -> list[RoundId]:
        """Return every round, the oldest first."""

    def erase(self, round_id: RoundId, *, prefix: str) -> None:
        """Delete the messages of a round whose slot begins with prefix."""


class Blobs(Protocol):
    """Large immutable byte strings, named by their SHA-256."""

    def put(self, data: bytes) -> Digest:
        """Store the bytes durably and return their digest."""

    def get(self, digest: Digest) -> bytes:
        """Return the bytes.

        Raises:
            NotFound: nothing is stored under that digest.
            IntegrityFault: what is stored does not hash to it.
        """

    def has(self, digest: Digest) -> bool:
        """Return whether something is stored under that digest."""

    def delete(self, digest: Digest) -> None:
        """Forget the bytes; nothing happens if there are none."""


class BlockStore(Protocol):
    """The ledger's blocks."""

    def append(self, signed: SignedBlock, *, head: bytes | None = None) -> None:
        """Add the next block: compare-and-swap on height and prev_hash.

        Args:
            signed: the block and the envelopes beside it.
            head: the signed head over the ledger with this block, if we sign it; goes
                into the ``CheckpointStore`` beside, both or neither. Nobody may see it
                before this returns.

        Raises:
            IntegrityFault: it does not follow the newest block, or another root is
                stored for the head's size; nothing was written.
        """

    def head(self) -> SignedBlock | None:
        """Return the newest block, None for an empty ledger."""

    def get(self, height: int) -> SignedBlock:
        """Return one block.

        Raises:
            NotFound: there is no such height.
        """

    def read(self, *, begin: int, end: int) -> list[SignedBlock]:
        """Return blocks with heights [begin, end), the lowest first."""

    def size(self) -> int:
        """Return how many blocks there are."""


class CheckpointStore(Protocol):
    """The ledger's signed heads, each with the cosignatures that it has so far."""

    def put(self, size: int, root: Digest, note: bytes) -> None:
        """Store a head, or the same head with further signature lines.

        Args:
            size: of the tree, >= 1.
            root: its root, in hexadecimal.
            note: the whole signed note; replaces the one stored for this size.

        Raises:
            IntegrityFault: another root is stored for this size; nothing was written.
        """

    def get(self, size: int) -> bytes | None:
        """Return the note stored for a size, None if there is none."""

    def newest(self) -> tuple[int, bytes] | None:
        """Return the largest size and its note, None before the first."""

    def sizes(self) -> list[int]:
        """Return every size stored, the smallest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChange:
    """A proposed change of members, keys or plan, and who approved it.

    Attributes:
        digest: ``entries.entry_digest`` of the entry: its name.
        number: which change of the ledger it would be.
        entry: canonical bytes of the entry.
        envelopes: canonical bytes of what is signed beside it, for example the
            enrolment of a new member.
        proposed_by: an organisation's name, or ``operator``.
        proposed_at: UTC.
        outcome: empty while it is open, then ``adopted`` or ``withdrawn``.
        approvals: organisation -> canonical bytes of its signed approval.
    """

    digest: Digest
    number: int
    entry: bytes
    envelopes: tuple[bytes, ...]
    proposed_by: str
    proposed_at: datetime
    outcome: str = ""
    approvals: Mapping[OrgId, bytes] = field(default_factory=dict)


class ChangeStore(Protocol):
    """Proposed changes of the federation, and the approvals that they have."""

    def propose(self, change: StoredChange) -> None:
        """Store a change; one of that digest stays, unless it was withdrawn.

        Then it opens as it is proposed now, with the approvals that it had.
        """

    def approve(self, digest: Digest, org: OrgId, envelope: bytes) -> None:
        """Store an organisation's approval, replacing an older one of its own.

        Raises:
            NotFound: no such change.
        """

    def close(self, digest: Digest, *, outcome: str) -> None:
        """Note that a change was ``adopted`` or ``withdrawn``.

        Raises:
            NotFound: no such change.
        """

    def get(self, digest: Digest) -> StoredChange | None:
        """Return a change with its approvals, None if there is none."""

    def all(self, *, is_open: bool = True) -> list[StoredChange]:
        """Return the changes in the order in which they were proposed.

        Args:
            is_open: leave out those with an outcome.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """A one-time permission to join, without its secret.

    Attributes:
        invitation_id: SHA-256 of the secret.
        proof_key: derived from the secret; checks the proof in a registration.
        org: who may use it.
        expires: until when.
        used_at: when it was used, None before.
    """

    invitation_id: Digest
    proof_key: bytes
    org: OrgId
    expires: datetime
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What the orchestrator keeps about a member beside the ledger.

    Attributes:
        org: its name.
        receipt: the exact answer it got when it joined.
        endpoint: where it says it can be reached; may be empty.
        capabilities: modes, formats and helper roles it offers.
        last_update: when its last contribution arrived.
    """

    org: OrgId
    receipt: bytes
    endpoint: str = ""
    capabilities: tuple[str, ...] = ()
    last_update: datetime | None = None


class Registry(Protocol):
    """Invitations, registrations and the nonces that were used."""

    def invite(self, invitation: Invitation) -> None:
        """Store a new invitation.

        Raises:
            StorageFault: there is one of that id.
        """

    def invitation(self, invitation_id: Digest) -> Invitation | None:
        """Return an invitation, used or not."""

    def use(
        self, invitation_id: Digest, registration: Registration, *, at: datetime
    ) -> None:
        """Mark an invitation as used and store the registration, both or neither.

        An older registration of that name is replaced: of one that was suspended, or
        whose application was withdrawn. (Whether the name is free the ledger says.)

        Raises:
            InvitationRefused: it is unknown or was used before.
        """

    def registration(self, org: OrgId) -> Registration | None:
        """Return what is kept about a member."""

    def touch(self, org: OrgId, *, at: datetime) -> None:
        """Note when a member's last contribution arrived."""

    def use_nonce(self, keyid: str, nonce: str, *, expires: datetime) -> None:
        """Remember a nonce until it expires.

        Raises:
            ReplayedRequest: it was used before.
        """

    def forget_nonces(self, *, before: datetime) -> None:
        """Drop nonces that expired before that instant."""


class Notes(Protocol):
    """Small named values of one party: keys' seeds, settings, what it saw last."""

    def get(self, name: str) -> bytes | None:
        """Return a value, None if there is none."""

    def put(self, name: str, value: bytes) -> None:
        """Store a value, replacing an older one; an empty one erases it from disk."""

    def names(self, prefix: str) -> Sequence[str]:
        """Return the names that begin with prefix, sorted."""


class PurseLog(Protocol):
    """The facts of an organisation's privacy purse; see storage/purse.py."""

    def append(self, fact: Fact) -> None:
        """Store one more fact; durable when this returns.

        Raises:
            AlreadyAnswered: this release was reserved with another charge, or spent
                with other bytes.
            IntegrityFault: it is spent and was never reserved.
        """

    def facts(self) -> list[Fact]:
        """Return every fact, the oldest first."""


class Fence(Protocol):
    """What an organisation must never have twice: round secrets, and its answers.

    Kept so that an agent restored from a backup is noticed; see storage/fence.py.
    """

    @property
    def is_copy(self) -> bool:
        """Whether what is kept was restored from a backup, and not settled yet."""

    def settle(self) -> None:
        """Begin anew on a copy: open rounds are given up, answers stay."""

    def create(self, name: RoundId, entropy: bytes) -> None:
        """Store the secret of a round that begins; durable when this returns.

        Raises:
            AlreadyAnswered: something was answered in that round before, or a copy.
        """

    def read(self, name: RoundId) -> bytes | None:
        """Return a round's secret; None if it is gone."""

    def why_gone(self, name: RoundId) -> str:
        """Return why a round's secret cannot be used here, empty if it can."""

    def erase(self, name: RoundId) -> None:
        """Forget a round's secret; nothing happens if there is none."""

    def open_rounds(self) -> Sequence[RoundId]:
        """Return the rounds of which something is kept, usable or not, sorted."""

    def hold(self, question: str, answer: Digest) -> None:
        """Bind this agent to one answer for good; before the answer leaves.

        Raises:
            AlreadyAnswered: another one was given before.
        """

    def held(self, question: str) -> Digest | None:
        """Return the digest of the answer that was given, None if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the orchestrator says about its newest round; unsigned, a hint to look.

    Attributes:
        round_id: the round, None before the first.
        phase: where it stands.
        height: height of the newest block; -1 before the Genesis.
        changes: names of the changes that wait for approvals.
        quorate: size of the newest head that got its quorum since the start.
        is_restored: whether it was set back to a backup: it asks members what they saw
            of the ledger, takes nothing else and signs nothing.
        awaited: who has not told it yet.
    """

    round_id: RoundId | None
    phase: Phase | None
    height: int
    changes: tuple[Digest, ...] = ()
    quorate: int = 0
    is_restored: bool = False
    awaited: tuple[OrgId, ...] = ()


class Link(Protocol):
    """An organisation's way to the orchestrator.

    Every method raises ``Unavailable`` when the orchestrator cannot be reached, and the
    error the orchestrator answered with otherwise.
    """

    def standing(self, *, known: Standing | None, wait_s: float) -> Standing:
        """Return the standing, at once if it differs from ``known``, else in time."""

    def announcement(self, round_id: RoundId) -> Envelope:
        """Return the signed announcement of a round."""

    def fetch(self, round_id: RoundId, step: Step) -> bytes:
        """Return what the orchestrator has for a step of this organisation."""

    def send(self, round_id: RoundId, step: Step, body: bytes) -> None:
        """Deliver the message of a step."""

    def evidence(self, round_id: RoundId) -> bytes:
        """Return what a member needs to replay a round (wire.pack_evidence)."""

    def contribution(self, round_id: RoundId, digest: Digest) -> bytes:
        """Return the protected vector of a contribution, for replay."""

    def checkpoint(self, size: int | None = None) -> bytes:
        """Return the signed head over the first blocks, by default the newest.

        With the cosignatures that it has by now.
        """

    def cosign(self, size: int, lines: bytes) -> None:
        """Deliver our two signature lines on a head, as a note has them."""

    def changes(self) -> list[ProposedChange]:
        """Return the changes that wait for approvals."""

    def approve(self, digest: Digest, approval: Envelope) -> None:
        """Deliver our approval of a change."""

    def blocks(self, *, begin: int, end: int) -> list[SignedBlock]:
        """Return blocks with heights [begin, end)."""

    def model(self, digest: Digest) -> bytes:
        """Return a model's file."""

    def testify(self, said: Testimony) -> Heard:
        """Tell an orchestrator that was set back what we saw; return what it has."""

    def give_model(self, file: bytes) -> None:
        """Hand over a model's file that it lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What one local fit has brought.

    Attributes:
        update: over the task's segments.
        metrics: the values of ``opening.metrics_of(plan, task)``, each in [0, 1].
    """

    update: Update
    metrics: Mapping[str, float]


class Learner(Protocol):
    """An organisation's own data and model; never leaves it."""

    def samples(self) -> int:
        """Return how many examples stand behind an update."""

    def learn(self, *, task: Task, parent: bytes, plan: Plan, number: int) -> Learned:
        """Return what this organisation's data adds to the parent model.

        Args:
            task: ``statistics``: bounded means of the features; ``training``: the
                difference of the weights after a local fit.
            parent: the parent model's file.
            plan: the plan in force.
            number: of the round; the fit is reproducible from plan, data and number.
        """
