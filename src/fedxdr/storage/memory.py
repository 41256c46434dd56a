# SPDX-License-Identifier: Apache-2.0
"""The ports of parties/ports.py in memory, for simulations and tests.

Nothing survives the process; everything else behaves as the durable ones do, which one
contract suite checks on both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import datetime

from fedxdr.core.errors import (
    AlreadyAnswered,
    InvitationRefused,
    NotFound,
    ReplayedRequest,
    StorageFault,
)
from fedxdr.core.ids import Digest, OrgId, RoundId, sha256
from fedxdr.ledger import checkpoint
from fedxdr.ledger.block import GENESIS_PREV_HASH, SignedBlock
from fedxdr.parties.ports import (
    Invitation,
    Registration,
    StoredChange,
    StoredFact,
)
from fedxdr.storage import refusals


class MemoryFactLog:
    """Port ``FactLog``."""

    def __init__(self) -> None:
        self._openings: dict[RoundId, bytes] = {}
        self._facts: dict[RoundId, list[StoredFact]] = {}
        self._messages: dict[tuple[RoundId, str], bytes] = {}

    def begin(self, round_id: RoundId, opening: bytes) -> None:
        """Store what opens a round; once per round."""
        if self._openings.setdefault(round_id, opening) != opening:
            raise AlreadyAnswered(
                f"round {round_id} was opened before, with another announcement"
            )

    def opening(self, round_id: RoundId) -> bytes | None:
        """Return what opened the round, None if it was never opened."""
        return self._openings.get(round_id)

    def append(self, round_id: RoundId, fact: StoredFact) -> None:
        """Store one more fact, with its message."""
        if fact.message is not None:
            if (round_id, fact.slot) in self._messages:
                raise StorageFault(f"slot {fact.slot} is taken")
            self._messages[round_id, fact.slot] = fact.message
        bare = dataclasses.replace(fact, slot="", message=None)
        self._facts.setdefault(round_id, []).append(bare)

    def facts(self, round_id: RoundId) -> list[StoredFact]:
        """Return the round's facts in order, without their messages."""
        return list(self._facts.get(round_id, []))

    def message(self, round_id: RoundId, slot: str) -> bytes | None:
        """Return the message stored in a slot, None if there is none."""
        return self._messages.get((round_id, slot))

    def rounds(self) -> list[RoundId]:
        """Return every round, the oldest first."""
        return list(self._openings)

    def erase(self, round_id: RoundId, *, prefix: str) -> None:
        """Delete the messages of a round whose slot begins with prefix."""
        for key in [k for k in self._messages if k[0] == round_id]:
            if key[1].startswith(prefix):
                del self._messages[key]


class MemoryBlobs:
    """Port ``Blobs``."""

    def __init__(self) -> None:
        self._blobs: dict[Digest, bytes] = {}

    def put(self, data: bytes) -> Digest:
        """Store the bytes and return their digest."""
        digest = sha256(data)
        self._blobs[digest] = bytes(data)
        return digest

    def get(self, digest: Digest) -> bytes:
        """Return the bytes."""
        if digest not in self._blobs:
            raise NotFound(f"nothing is stored under {digest[:16]}…")
        return self._blobs[digest]

    def has(self, digest: Digest) -> bool:
        """Return whether something is stored under that digest."""
        return digest in self._blobs

    def delete(self, digest: Digest) -> None:
        """Forget the bytes; nothing happens if there are none."""
        self._blobs.pop(digest, None)


class MemoryBlockStore:
    """Port ``BlockStore``.

    Args:
        heads: where heads go that come with their blocks.
    """

    def __init__(self, heads: MemoryCheckpointStore | None = None) -> None:
        self._blocks: list[SignedBlock] = []
        self._heads = heads or MemoryCheckpointStore()

    def append(self, signed: SignedBlock, *, head: bytes | None = None) -> None:
        """Add the next block: compare-and-swap on height and prev_hash."""
        self.extend((signed,), head=head)

    def extend(
        self, further: Iterable[SignedBlock], *, head: bytes | None = None
    ) -> None:
        """Add the next blocks, all of them or none."""
        added: list[SignedBlock] = []
        newest = self.head()
        for signed in further:
            refusals.require_bound(signed)
            block = signed.block
            height, prev = -1, GENESIS_PREV_HASH
            if newest is not None:
                height, prev = newest.block.height, newest.block.hash
            if (block.height, block.prev_hash) != (height + 1, prev):
                raise refusals.does_not_follow(block.height, newest=height)
            added.append(signed)
            newest = signed
        if head is not None:
            size = len(self._blocks) + len(added)
            self._heads.put(size, Digest(checkpoint.parse(head).root.hex()), head)
        self._blocks += added

    def head(self) -> SignedBlock | None:
        """Return the newest block, None for an empty ledger."""
        return self._blocks[-1] if self._blocks else None

    def get(self, height: int) -> SignedBlock:
        """Return one block."""
        if not 0 <= height < len(self._blocks):
            raise NotFound(f"there is no block {height}")
        return self._blocks[height]

    def read(self, *, begin: int, end: int) -> list[SignedBlock]:
        """Return blocks with heights [begin, end), the lowest first."""
        return self._blocks[max(0, begin) : max(0, end)]

    def size(self) -> int:
        """Return how many blocks there are."""
        return len(self._blocks)


class MemoryCheckpointStore:
    """Port ``CheckpointStore``."""

    def __init__(self) -> None:
        self._heads: dict[int, tuple[Digest, bytes]] = {}

    def put(self, size: int, root: Digest, note: bytes) -> None:
        """Store a head, or the same head with further signature lines."""
        refusals.require_head(size, root, note)
        found, _ = self._heads.get(size, (root, b""))
        if found != root:
            raise refusals.another_root(size, found)
        self._heads[size] = (root, bytes(note))

    def get(self, size: int) -> bytes | None:
        """Return the note stored for a size, None if there is none."""
        return self._heads[size][1] if size in self._heads else None

    def newest(self) -> tuple[int, bytes] | None:
        """Return the largest size and its note, None before the first."""
        if not self._heads:
            return None
        size = max(self._heads)
        return size, self._heads[size][1]

    def sizes(self) -> list[int]:
        """Return every size stored, the smallest first."""
        return sorted(self._heads)


class MemoryChangeStore:
    """Port ``ChangeStore``."""

    def __init__(self) -> None:
        self._changes: dict[Digest, StoredChange] = {}

    def propose(self, change: StoredChange) -> None:
        """Store a change; one of that digest stays, unless it was withdrawn.

        Then it opens as it is proposed now, with the approvals that it had.
        """
        known = self._changes.get(change.digest)
        if known is None:
            known = dataclasses.replace(change, approvals=dict(change.approvals))
        if known.outcome == refusals.WITHDRAWN:
            known = dataclasses.replace(
                known,
                envelopes=change.envelopes,
                proposed_by=change.proposed_by,
                proposed_at=change.proposed_at,
                outcome="",
            )
        self._changes[change.digest] = known

    def approve(self, digest: Digest, org: OrgId, envelope: bytes) -> None:
        """Store an organisation's approval, replacing an older one of its own."""
        found = self._found(digest)
        self._changes[digest] = dataclasses.replace(
            found, approvals={**found.approvals, org: envelope}
        )

    def close(self, digest: Digest, *, outcome: str) -> None:
        """Note that a change was ``adopted`` or ``withdrawn``."""
        refusals.require_outcome(outcome)
        found = self._found(digest)
        if found.outcome not in {"", outcome}:
            raise refusals.has_outcome(digest, found.outcome)
        self._changes[digest] = dataclasses.replace(found, outcome=outcome)

    def get(self, digest: Digest) -> StoredChange | None:
        """Return a change with its approvals, None if there is none."""
        return self._changes.get(digest)

    def all(self, *, is_open: bool = True) -> list[StoredChange]:
        """Return the changes in the order in which they were proposed."""
        return [c for c in self._changes.values() if not (is_open and c.outcome)]

    def _found(self, digest: Digest) -> StoredChange:
        if digest not in self._changes:
            raise refusals.unknown_change(digest)
        return self._changes[digest]


class MemoryRegistry:
    """Port ``Registry``."""

    def __init__(self) -> None:
        self._invitations: dict[Digest, Invitation] = {}
        self._registrations: dict[OrgId, Registration] = {}
        self._nonces: dict[tuple[str, str], datetime] = {}

    def invite(self, invitation: Invitation) -> None:
        """Store a new invitation."""
        if invitation.invitation_id in self._invitations:
            raise StorageFault("this invitation is stored already")
        self._invitations[invitation.invitation_id] = invitation

    def invitation(self, invitation_id: Digest) -> Invitation | None:
        """Return an invitation, used or not."""
        return self._invitations.get(invitation_id)

    def use(
        self, invitation_id: Digest, registration: Registration, *, at: datetime
    ) -> None:
        """Mark an invitation as used and store the registration, both or neither."""
        found = self._invitations.get(invitation_id)
        if found is None or found.used_at is not None:
            raise InvitationRefused("this invitation was used before")
        self._invitations[invitation_id] = dataclasses.replace(found, used_at=at)
        self._registrations[registration.org] = registration

    def registration(self, org: OrgId) -> Registration | None:
        """Return what is kept about a member."""
        return self._registrations.get(org)

    def touch(self, org: OrgId, *, at: datetime) -> None:
        """Note when a member's last contribution arrived."""
        found = self._registrations.get(org)
        if found is not None:
            self._registrations[org] = dataclasses.replace(found, last_update=at)

    def use_nonce(self, keyid: str, nonce: str, *, expires: datetime) -> None:
        """Remember a nonce until it expires."""
        if (keyid, nonce) in self._nonces:
            raise ReplayedRequest(
                "this request was received before; sign a new one with a new nonce"
            )
        self._nonces[keyid, nonce] = expires

    def forget_nonces(self, *, before: datetime) -> None:
        """Drop nonces that expired before that instant."""
        self._nonces = {k: v for k, v in self._nonces.items() if v >= before}


class MemoryNotes:
    """Port ``Notes``."""

    def __init__(self) -> None:
        self._notes: dict[str, bytes] = {}

    def get(self, name: str) -> bytes | None:
        """Return a value, None if there is none."""
        return self._notes.get(name)

    def put(self, name: str, value: bytes) -> None:
        """Store a value, replacing an older one."""
        self._notes[name] = value

    def names(self, prefix: str) -> Sequence[str]:
        """Return the names that begin with prefix, sorted."""
        return sorted(name for name in self._notes if name.startswith(prefix))
