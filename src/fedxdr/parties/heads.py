# SPDX-License-Identifier: Apache-2.0
"""The orchestrator's signed heads: it signs each once, members cosign, all can read.

One head per size, stored together with its newest block before anybody gets to see it.
A ledger that came from elsewhere gets the head over it when that is asked for; killed
before it is stored, the same root is signed again.

Where a fence is given, each head is held to (``Fence.hold``) after it is stored and
before anybody gets to see it: so a database that is set back later is noticed
(catching_up.py). For each block the disk is synced a few times more; a round has one.

Not here: what a member checks before it cosigns (witness.py), the forms (ledger/heads).

Rules that always hold: there are never two roots for one size; a line is stored only if
it is good and its member's; nothing is built on a head without a quorum.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from fedxdr.core.clock import Clock
from fedxdr.core.errors import (
    AlreadyAnswered,
    BadSignature,
    NotFound,
    UnknownSender,
    WaitingForQuorum,
    WrongPhase,
)
from fedxdr.core.ids import Digest, OrgId
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import checkpoint, heads, note, policy
from fedxdr.ledger.block import Block, SignedBlock
from fedxdr.ledger.cosignature import merge
from fedxdr.ledger.note_form import NoteSignature
from fedxdr.ledger.standing import Standing, witness_keys
from fedxdr.parties.ports import CheckpointStore, Fence
from fedxdr.parties.recording import Recorder

logger = logging.getLogger(__name__)


def question(size: int) -> str:
    """Return what is answered once: which root a head of that size has."""
    return f"head/{size}"


def _whoever() -> None:
    """Let a head be signed."""


class Heads:
    """Signed heads of one ledger, in the hands of who keeps it.

    Args:
        recorder: the ledger.
        store: the heads.
        identity: the orchestrator's key.
        clock: the time.
        fence: holds to one root for a size, outside of the store.
        require: raises while nothing is to be signed.
    """

    def __init__(
        self,
        *,
        recorder: Recorder,
        store: CheckpointStore,
        identity: IdentityKey,
        clock: Clock,
        fence: Fence | None = None,
        require: Callable[[], None] = _whoever,
    ) -> None:
        self._recorder = recorder
        self._store = store
        self._identity = identity
        self._clock = clock
        self._fence = fence
        self._require = require
        self._held = 0
        self._cosigned: dict[int, tuple[OrgId, ...]] = {}

    def newest(self) -> bytes:
        """Return the head over the whole ledger, with the cosignatures it has.

        Raises:
            NotFound: the ledger is empty.
        """
        return self.at(self._recorder.size())

    def at(self, size: int) -> bytes:
        """Return the head over the first blocks; the newest is signed when asked for.

        Raises:
            NotFound: no head of that size was ever published.
            WaitingForQuorum: it would have to be signed, and nothing is signed now.
        """
        none = NotFound(f"there is no head over {size} blocks")
        if not 0 < size <= self._recorder.size():
            raise none
        stored = self._store.get(size)
        if stored is not None:
            self._hold(size)
            return stored
        is_ours = self._is_ours(self._recorder.signers_at(size))
        if size != self._recorder.size() or not is_ours:
            raise none
        root = self._recorder.root_at(size)
        head = self._sign(self._recorder.standing, root)
        self._store.put(size, root, head)
        self._hold(size)
        return head

    def append(self, signed: SignedBlock) -> Block:
        """Append a block to the ledger with the head over it, both or neither.

        Raises:
            VerificationFailed: the block breaks a rule; nothing was written.
            InvalidInput: it adopts what is no plan; nothing was written.
            WaitingForQuorum: nothing is signed now; nothing was written.
            AlreadyAnswered: another root was signed; nothing was written.
        """
        self._require()
        ((standing, root),) = self._recorder.foresee((signed,))
        head = self._sign(standing, root) if self._is_ours(standing) else None
        block = self._recorder.append(signed, head=head)
        self._hold(block.height + 1)
        return block

    def take(self, head: bytes) -> None:
        """Store a head over our blocks that a member kept, with its cosignatures.

        Raises:
            BadSignature: not the log's, of other blocks, or with a line that is not
                good.
        """
        says = checkpoint.parse(head)
        standing, root = (
            self._recorder.signers_at(says.size),
            self._recorder.root_at(says.size),
        )
        if standing.log is None or says.root.hex() != root:
            raise BadSignature(f"a head of {says.size} other blocks")
        before = self._store.get(says.size)
        found = heads.known_lines(head, standing)
        if before is not None:
            both = merge(note.parse(before), note.parse(found)).to_bytes()
            found = heads.known_lines(both, standing)
        if found == before:
            return
        heads.verify_log(found, standing.log)
        policy.parse(standing.policy_text().encode()).cosigners(found)
        self._store.put(says.size, root, found)
        self._cosigned.pop(says.size, None)

    def _hold(self, size: int) -> None:
        """Hold to the newest head before it leaves, if we signed it."""
        if self._fence is None or size != self._recorder.size() or size == self._held:
            return
        try:
            self._require()
        except (WaitingForQuorum, WrongPhase):
            return  # set back: what it held to before is not to be written over
        if self._is_ours(self._recorder.signers_at(size)):
            self._fence.hold(question(size), self._recorder.root_at(size))
        self._held = size

    def _is_ours(self, standing: Standing) -> bool:
        """Return whether our key signs the head over the ledger as it stands."""
        log = standing.log
        return log is not None and log.keys.identity == self._identity.public

    def _sign(self, standing: Standing, root: Digest) -> bytes:
        if standing.log is None:
            raise NotFound("a ledger without a Genesis has no heads")
        self._require()
        size = standing.height + 1
        held = None if self._fence is None else self._fence.held(question(size))
        if held not in {None, root}:
            raise AlreadyAnswered(f"another root over {size} blocks was signed before")
        return heads.sign(
            self._identity,
            origin=standing.log.origin,
            size=size,
            root=root,
            at=self._clock.now(),
        )

    def cosign(self, size: int, org: OrgId, lines: tuple[NoteSignature, ...]) -> None:
        """Store a member's two lines on a head.

        Args:
            size: of the head.
            org: who sent them.
            lines: of kinds 0x04 and 0x06.

        Raises:
            NotFound: there is no such head.
            UnknownSender: its cosignature does not count for this head.
            BadSignature: a line that is not good.
        """
        head = self.at(size)
        member = self._recorder.signers_at(size).cosigners.get(org)
        if member is None:
            raise UnknownSender(f"{org} does not cosign the head over {size} blocks")
        keys = witness_keys(org, member.keys)
        note = heads.member_lines(lines, head=head, org=org, keys=keys)
        if org in self.cosigned_by(size):
            return
        self._store.put(size, self._recorder.root_at(size), note.to_bytes())
        self._cosigned.pop(size, None)
        logger.info("head cosigned", extra={"size": size, "org": org})

    def cosigned_by(self, size: int) -> tuple[OrgId, ...]:
        """Return who cosigned a head so far, sorted."""
        if size not in self._cosigned:
            text = self._recorder.signers_at(size).policy_text()
            found = policy.parse(text.encode()).cosigners(self.at(size))
            self._cosigned[size] = tuple(sorted(OrgId(name) for name in found))
        return self._cosigned[size]

    def has_quorum(self, size: int) -> bool:
        """Return whether enough members cosigned a head."""
        wanted = policy.quorum(len(self._recorder.signers_at(size).cosigners))
        return len(self.cosigned_by(size)) >= wanted

    def require_quorum(self) -> None:
        """Return if something may be built on the newest block.

        Raises:
            WaitingForQuorum: too few members cosigned the head over it.
        """
        size = self._recorder.size()
        if not size:
            raise WaitingForQuorum("the federation is not founded yet")
        if self.has_quorum(size):
            return
        members = self._recorder.signers_at(size).cosigners
        missing = sorted(set(members) - set(self.cosigned_by(size)))
        raise WaitingForQuorum(
            f"the newest block, {size - 1}, waits for the cosignatures of "
            f"{policy.quorum(len(members))} of {len(members)} members; not yet there: "
            f"{', '.join(missing)}. Their agents must be running"
        )

    def newest_quorum(self) -> int:
        """Return the size of the newest head with a quorum.

        Raises:
            WaitingForQuorum: no head has one.
        """
        for size in reversed(self._store.sizes()):
            if size <= self._recorder.size() and self.has_quorum(size):
                return size
        self.require_quorum()
        return self._recorder.size()

    def for_bundle(self) -> dict[int, bytes]:
        """Return the heads that a bundle of the cosigned ledger holds, by size.

        Raises:
            WaitingForQuorum: no head has a quorum yet.
        """
        end = self.newest_quorum()
        sizes = {end, *self._recorder.turns_up_to(end)}
        return {
            size: heads.known_lines(self.at(size), self._recorder.signers_at(size))
            for size in sizes
        }
