# SPDX-License-Identifier: Apache-2.0
"""An organisation's agent and the ledger: it mirrors, cosigns and consents.

Not here: rounds (participant.py), what a witness checks (witness.py), what an agent may
approve alone (consent.py).

Rules that always hold: the ledger followed is the one that was joined; a head is
cosigned once, stored before it is sent; a change is considered once a day.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from fedxdr.core.clock import Clock
from fedxdr.core.errors import (
    BadSignature,
    BelowFloor,
    InvalidInput,
    NotFound,
    Unavailable,
    VerificationFailed,
    WaitingForQuorum,
    WrongPhase,
)
from fedxdr.core.ids import Digest, OrgId
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation.floor import Floor
from fedxdr.ledger import checkpoint
from fedxdr.ledger.block import SignedBlock
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.entries import Genesis, entry_digest
from fedxdr.parties import consent
from fedxdr.parties.accusing import Accuser
from fedxdr.parties.ports import CheckpointStore, Fence, Link, Notes
from fedxdr.parties.recording import Recorder
from fedxdr.parties.witness import Witness

logger = logging.getLogger(__name__)

_BLOCKS_AT_ONCE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """Which ledger an organisation joined, as far as it knows.

    Attributes:
        genesis: hash of block 0, once it was seen.
        founding: ``entry_digest`` of the Genesis that a founder approved.
        pinned: the head that the invitation pins.
        orchestrator: fingerprint of the orchestrator's keys that the invitation pins.
    """

    genesis: Digest | None = None
    founding: Digest | None = None
    pinned: Checkpoint | None = None
    orchestrator: Digest | None = None


class Follower:
    """One organisation's mirror of the ledger, and its say in it.

    Args:
        me: its name.
        identity: its key.
        mirror: its own copy of the ledger.
        checkpoints: heads of the ledger that it saw, with its cosignatures.
        link: the way to the orchestrator.
        floor: what it insists on.
        clock: the time.
        joined: says which ledger it joined; a person may approve the founding while
            the agent runs.
        fence: what it must never have twice; one root for a size is.
        proofs: keeps what convicts the log.
        asks: whether a person decides about plans too.
    """

    def __init__(
        self,
        *,
        me: OrgId,
        identity: IdentityKey,
        mirror: Recorder,
        checkpoints: CheckpointStore,
        link: Link,
        floor: Floor,
        clock: Clock,
        joined: Callable[[], Joined],
        fence: Fence,
        proofs: Notes,
        asks: bool = False,
    ) -> None:
        self._me = me
        self._identity = identity
        self._mirror = mirror
        self.witness = Witness(
            me=me,
            mirror=mirror,
            store=checkpoints,
            clock=clock,
            pinned=joined().pinned,
            hold=fence.hold,
        )
        self._fence = fence
        self.accuser = Accuser(mirror=mirror, store=checkpoints, files=proofs)
        self._link = link
        self._floor = floor
        self._clock = clock
        self._joined = joined
        self._asks = asks
        self._considered: dict[Digest, datetime] = {}
        self._cosigned = 0
        self._quorate = 0

    def follow(self, size: int) -> None:
        """Fetch blocks into the mirror until it has at least that size, and cosign.

        Nothing enters that the log has not signed for, nor what builds on a change of
        the members without their quorum (witness.py).

        Raises:
            BadSignature: another ledger than the one that was joined, or a head that
                the log did not sign over these blocks.
            VerificationFailed: a block that breaks the ledger's rules.
        """
        begin = self._mirror.size()
        if begin < size or not self.witness.has_head():
            with self._accusing() as see:
                head = see(self._link.checkpoint())
                end = checkpoint.parse(head).size
                if end < begin:
                    self.witness.check_old(head)
                    return
                found: list[SignedBlock] = []
                while begin + len(found) < end:
                    at = begin + len(found)
                    to = min(end, at + _BLOCKS_AT_ONCE)
                    more = self._link.blocks(begin=at, end=to)
                    if not more:
                        break
                    found += more
                self._check_joined(found)
                self.witness.take(
                    head, found, head_of=lambda at: see(self._link.checkpoint(at))
                )
            self.accuser.recheck()
        self._cosign()
        self._learn_quorum()

    def forget(self) -> None:
        """Send our cosignature of the newest head again at the next look.

        For after an orchestrator was away: from a backup it comes back without it.
        """
        self._cosigned = self._quorate = 0

    @contextmanager
    def _accusing(self) -> Iterator[Callable[[bytes], bytes]]:
        """Examine the heads that were seen if what was shown is not believed."""
        seen: list[bytes] = []

        def see(head: bytes) -> bytes:
            seen.append(head)
            return head

        try:
            yield see
        except InvalidInput:
            for head in seen:
                self.accuser.examine(head, fetch=self._fetch)
            raise

    def _fetch(self, begin: int, end: int) -> list[SignedBlock]:
        return self._link.blocks(begin=begin, end=end)

    def _learn_quorum(self) -> None:
        """Keep the newest head with the others' cosignatures, once it has a quorum."""
        size = self._mirror.size()
        if size == self._quorate or size != self._cosigned:
            return
        try:
            with self._accusing() as see:
                self.witness.require_quorum(see(self._link.checkpoint(size)))
        except (NotFound, VerificationFailed):
            return  # not yet; asked again at the next look
        self._quorate = size

    def _is_quorate(self, size: int) -> bool:
        """Return whether the others have cosigned the newest head."""
        try:
            self.witness.require_quorum(self._link.checkpoint(size))
        except (NotFound, VerificationFailed):
            return False
        return True

    def _check_joined(self, found: list[SignedBlock]) -> None:
        """Refuse a first block of another ledger than the one that was joined."""
        if self._mirror.is_begun:
            return
        first = found[0].block if found else None
        if first is None or not isinstance(first.entry, Genesis):
            raise BadSignature("a ledger that does not begin with a genesis")
        joined = self._joined()
        is_invited = joined.orchestrator in {None, first.entry.orchestrator.fingerprint}
        if not is_invited and joined.pinned is None:
            # (whoever joins later may be invited by an orchestrator that took over:
            # then the head that the invitation pins says which ledger it is)
            raise BadSignature("the ledger names other keys than the invitation pins")
        if joined.genesis not in {None, first.hash} or joined.founding not in {
            None,
            entry_digest(first.entry),
        }:
            raise BadSignature("another ledger than the one that was joined")

    def _cosign(self) -> None:
        """Cosign the newest head, once; stored before it is sent."""
        size = self._mirror.size()
        if size == self._cosigned or not size:
            return
        if self._fence.is_copy and not self._is_quorate(size):
            return  # set back to a backup: the others first, who remember
        lines = self.witness.cosign(self._identity)
        if lines is not None:
            try:
                self._link.cosign(*lines)
            except (NotFound, WaitingForQuorum):
                return  # the log has moved on, or was set back: we shall see where
        self._cosigned = size

    def consent(self, changes: Sequence[Digest]) -> None:
        """Approve what this agent may decide alone; say daily what waits for a person.

        Plans within the local floor, and key ceremonies, unless a person is to be asked
        for everything. An approval of ours that has expired is renewed.

        Args:
            changes: names of those that are open, as the orchestrator says.
        """
        now = self._clock.now()
        fresh = {name for name in changes if self._considered.get(name, now) <= now}
        if not fresh or not self._mirror.is_begun:
            return
        in_force = self._mirror.in_force
        member = in_force.members.get(self._me)
        if member is None:
            return
        for change in self._link.changes():
            if change.digest not in fresh:
                continue
            entry = change.entry
            number = getattr(entry, "change", 0)
            if number > in_force.changes + 1:
                continue  # we have not seen yet what it follows
            self._considered[change.digest] = now + consent.REVIEW
            if number <= in_force.changes or self._me in change.approved_by:
                continue
            if self._asks or not consent.may_decide(entry, floor=self._floor):
                logger.warning(
                    "a change waits for a person",
                    extra={"digest": change.digest, "kind": entry.type},
                )
                continue
            approval = consent.approve(
                change,
                me=self._me,
                identity=self._identity,
                ledger=in_force.genesis_hash,
                now=now,
            )
            try:
                self._link.approve(change.digest, approval)
            except WrongPhase:
                # the others have decided meanwhile, or it was withdrawn: should it be
                # proposed again, we have not approved it
                del self._considered[change.digest]
            except Unavailable:
                del self._considered[change.digest]  # it never arrived: once more
                raise

    def require_quorum(self) -> None:
        """Refuse a round on a head that no quorum of the members has cosigned.

        Raises:
            BelowFloor: it has none, whatever the orchestrator says; or the log is
                convicted of two histories.
        """
        self.accuser.require_innocent()
        try:
            with self._accusing() as see:
                head = see(self._link.checkpoint(self._mirror.size()))
                self.witness.require_quorum(head)
        except InvalidInput as error:
            self.accuser.require_innocent()
            raise BelowFloor(f"the newest head has no quorum: {error}") from error
