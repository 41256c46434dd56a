# SPDX-License-Identifier: Apache-2.0
"""An organisation's agent as a witness: it cosigns only what extends what it saw.

Its mirror of the ledger is what it saw. A head is taken only with the blocks under it,
each of which keeps the ledger's rules; it is stored before a cosignature of it leaves,
and one root is stored for a size.

A head goes to the disk with its newest block, both or neither. Only where several
blocks follow at once the newest head goes first: whoever is killed between them still
holds what the log signed over all of them, and can prove it if another history is
shown next. With an honest log such a head gets its blocks at the next look.

Not here: fetching (participant.py), collecting cosignatures (heads.py).

Rules that always hold:
    1. What the log signed and what the mirror holds agree, or nothing is taken.
    2. A block that changes who cosigns is built on only with a quorum of those that
       cosigned before (ledger/verifier.py says why).
    3. Nothing dated further ahead than clocks may differ is cosigned.
    4. Stored first, sent then.
    5. Nothing is written before everything was fetched and checked; a history with
       another root than a stored head of any size leaves no trace here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from fedxdr.core.clock import Clock
from fedxdr.core.errors import BadSignature, BelowFloor, InvalidInput, NotFound
from fedxdr.core.ids import Digest, OrgId
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import checkpoint, heads, note, policy, verifier
from fedxdr.ledger.block import SignedBlock
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.cosignature import merge
from fedxdr.ledger.note_form import Note
from fedxdr.ledger.standing import Standing, witness_keys
from fedxdr.parties.ports import CheckpointStore
from fedxdr.parties.recording import Recorder

CLOCK_SKEW = timedelta(minutes=5)

HeadOf = Callable[[int], bytes]

Hold = Callable[[str, Digest], None]


def _hold_nothing(question: str, answer: Digest) -> None:
    """Refuse: whoever cannot remember what it cosigned cosigns nothing.

    Raises:
        BelowFloor: always.
    """
    raise BelowFloor(f"{question}: nothing here outlives a backup; {answer[:16]}…")


class Witness:
    """One organisation's heads of one ledger.

    Args:
        me: its name.
        mirror: its copy of the ledger.
        store: the heads that it saw, with its own cosignatures.
        clock: the time.
        pinned: the head that this ledger must extend; nothing shorter is taken.
        hold: binds to one root for a size, for good (``Fence.hold``); whoever only
            reads heads cosigns none and needs it not.
    """

    def __init__(
        self,
        *,
        me: OrgId,
        mirror: Recorder,
        store: CheckpointStore,
        clock: Clock,
        pinned: Checkpoint | None = None,
        hold: Hold | None = None,
    ) -> None:
        self._hold = hold or _hold_nothing
        self._me = me
        self._mirror = mirror
        self._store = store
        self._clock = clock
        self._pinned = pinned

    def take(
        self, head: bytes, further: Sequence[SignedBlock], *, head_of: HeadOf
    ) -> None:
        """Append blocks to the mirror, and store the head over them.

        Args:
            head: signed by the log, over mirror and further blocks.
            further: what follows on the mirror; may be empty.
            head_of: fetches the head over the first blocks, with its cosignatures.

        Raises:
            BadSignature: the log did not sign this head over these blocks, or signed
                another root before; a line that is not its member's; a ledger that does
                not extend the pinned one.
            VerificationFailed: a block that breaks the rules, or a change of who
                cosigns without a quorum.
        """
        foreseen = self._mirror.foresee(further)
        standing, root = foreseen[-1] if foreseen else self._now()
        self._check(head, standing, root)
        self._check_pinned(foreseen)
        begin = self._mirror.size()
        steps = [self._now(), *foreseen] if begin else foreseen
        for at, then in steps:
            self._before(at.height + 1, then)
        taken = {standing.height + 1: heads.known_lines(head, standing)}
        for at, turned in steps[:-1]:
            size = at.height + 1
            is_due = at.is_turn and at.height > 0
            if is_due and not (size == begin and self._is_quorate(size)):
                found = heads.known_lines(head_of(size), at)
                verifier.check_head(found, at, bytes.fromhex(turned))
                taken[size] = found
        self._write(further, steps, taken)

    def has_head(self) -> bool:
        """Return whether the head over the whole mirror is stored; of nothing, yes.

        It is not if we were killed before the last of the blocks that came with it.
        """
        size = self._mirror.size()
        head = self._store.get(size) if size else None
        return not size or (
            head is not None
            and checkpoint.parse(head).root.hex() == self._mirror.root_at(size)
        )

    def check_old(self, head: bytes) -> None:
        """Return if a head over fewer blocks than the mirror holds is of this ledger.

        Raises:
            BadSignature: the log signed another root over so many blocks.
        """
        says = checkpoint.parse(head)
        standing = self._mirror.signers_at(says.size)
        if standing.log is None:
            raise BadSignature("a head of no log")
        heads.verify_log(head, standing.log)
        if says.root.hex() != self._mirror.root_at(says.size):
            raise BadSignature("the log signed another history than the mirror holds")

    def cosign(self, identity: IdentityKey) -> tuple[int, bytes] | None:
        """Return size and lines of our cosignature of the newest head, stored first.

        Args:
            identity: our key.

        Returns:
            None if our cosignature of it does not count: we are no member for it.

        Raises:
            BadSignature: the stored head is not over the mirror.
            InvalidInput: the newest block is dated too far ahead of our clock.
            AlreadyAnswered: we cosigned another root for this size, before we were set
                back to a backup.
        """
        self._check_pinned(())
        size = self._mirror.size()
        root = self._mirror.root_at(size)
        head = self._before(size, root)
        member = self._mirror.signers_at(size).cosigners.get(self._me)
        if head is None or member is None:
            return None
        if member.keys.identity != identity.public:
            return None
        ring = note.keyring(
            map(note.parse_verifier_key, witness_keys(self._me, member.keys))
        )
        found = note.parse(head)
        mine = tuple(
            line for line in found.signatures if (line.name, line.key_id) in ring
        )
        if not mine:
            dated = self._mirror.in_force.head.timestamp
            if dated > self._clock.now() + CLOCK_SKEW:
                raise InvalidInput(
                    f"the newest block is dated {dated:%Y-%m-%d %H:%M:%S} UTC, ahead "
                    "of our clock: it is not cosigned"
                )
            mine = heads.cosign(head, identity, org=self._me, at=self._clock.now())
            both = Note(text=found.text, signatures=(*found.signatures, *mine))
            # outlives a database that is set back: one root for a size, ever
            self._hold(f"head/{size}", root)
            self._store.put(size, root, both.to_bytes())
        return size, "".join(line.line() for line in mine).encode()

    def require_quorum(self, head: bytes) -> None:
        """Return if a quorum cosigned the head over the whole mirror, and keep it.

        Raises:
            VerificationFailed: another head, or no quorum.
        """
        standing, root = self._now()
        found = heads.known_lines(head, standing)
        verifier.check_head(found, standing, bytes.fromhex(root))
        self._keep(standing.height + 1, root, found)

    def for_bundle(self) -> dict[int, bytes]:
        """Return the stored heads that a bundle of the mirror holds, by size.

        The largest is the newest one that has a quorum; empty if none has.
        """
        sizes = [size for size in self._store.sizes() if size <= self._mirror.size()]
        newest = next(filter(self._has_quorum, reversed(sizes)), 0)
        wanted = {newest, *self._mirror.turns_up_to(newest)} - {0}
        return {size: self._stored(size) for size in wanted}

    def _has_quorum(self, size: int) -> bool:
        at = self._mirror.signers_at(size).at_height(size - 1)
        root = bytes.fromhex(self._mirror.root_at(size))
        try:
            verifier.check_head(self._stored(size), at, root)
        except InvalidInput:
            return False
        return True

    def _stored(self, size: int) -> bytes:
        """Return a stored head with the lines of those that count for it."""
        head = self._store.get(size)
        if head is None:
            raise NotFound(f"no head over {size} blocks was seen here")
        return heads.known_lines(head, self._mirror.signers_at(size))

    def _is_quorate(self, size: int) -> bool:
        return self._store.get(size) is not None and self._has_quorum(size)

    def _write(
        self,
        further: Sequence[SignedBlock],
        steps: Sequence[tuple[Standing, Digest]],
        taken: Mapping[int, bytes],
    ) -> None:
        """Store blocks and heads; all of them were checked.

        Args:
            further: what follows on the mirror.
            steps: standing and root after each size that is written about.
            taken: heads by size, of the mirror as it is, of turns, and the newest.
        """
        roots = {at.height + 1: root for at, root in steps}
        begin, newest = self._mirror.size(), max(roots)
        if begin in taken:
            self._keep(begin, roots[begin], taken[begin])
        if len(further) > 1:
            # the one head that goes before its blocks: the module's docstring says why
            self._keep(newest, roots[newest], taken[newest])
        for size, signed in enumerate(further, start=begin + 1):
            if size not in taken:
                self._mirror.append(signed)
                continue
            head = self._merged(size, roots[size], taken[size])
            self._mirror.append(signed, head=head)
            if self._store.get(size) != head:
                # a mirror that has its heads elsewhere, in memory
                self._store.put(size, roots[size], head)

    def _check(self, head: bytes, standing: Standing, root: Digest) -> None:
        if standing.log is None:
            raise BadSignature("a ledger that does not begin with a Genesis")
        says = heads.verify_log(head, standing.log)
        if (says.size, says.root.hex()) != (standing.height + 1, root):
            raise BadSignature("the signed head is not over the blocks that were sent")
        # a bad line that was kept would make our copy worthless to everybody
        policy.parse(standing.policy_text().encode()).cosigners(head)

    def _check_pinned(self, foreseen: Sequence[tuple[Standing, Digest]]) -> None:
        """Refuse a ledger that does not extend the head that the invitation pins."""
        pinned = self._pinned
        if pinned is None:
            return
        if pinned.size <= self._mirror.size():
            root = self._mirror.root_at(pinned.size)
        else:
            roots = {at.height + 1: root for at, root in foreseen}
            root = roots.get(pinned.size, Digest(""))
        if root != pinned.root.hex():
            raise BadSignature(
                "the ledger does not extend the one that the invitation pins: ask a "
                "member whether its ledger is the same"
            )

    def _keep(self, size: int, root: Digest, head: bytes) -> None:
        """Store a head with the lines that it has here and there."""
        self._store.put(size, root, self._merged(size, root, head))

    def _merged(self, size: int, root: Digest, head: bytes) -> bytes:
        """Return a head with the lines that it has here and there."""
        before = self._before(size, root)
        if before is None:
            return head
        return merge(note.parse(before), note.parse(head)).to_bytes()

    def _before(self, size: int, root: Digest) -> bytes | None:
        """Return the head that is stored for a size, None if there is none.

        Raises:
            BadSignature: it has another root.
        """
        before = self._store.get(size)
        if before is not None and checkpoint.parse(before).root.hex() != root:
            raise BadSignature(f"the log signed another root over {size} blocks before")
        return before

    def _now(self) -> tuple[Standing, Digest]:
        size = self._mirror.size()
        return self._mirror.standing, self._mirror.root_at(size)
