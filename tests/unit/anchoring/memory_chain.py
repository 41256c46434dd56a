# SPDX-License-Identifier: Apache-2.0
"""A chain in memory behind port ``Chain``: blocks, one pool, and ways to fail.

Several handles share one ``Ledger`` as several processes share one chain.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field

from fedxdr.anchoring.chain import AnchoredHead
from fedxdr.anchoring.proofs import AnchorRecord
from fedxdr.core.errors import Refused, Unavailable

CONTRACT = f"0x{'c0' * 20}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """What a block holds of us."""

    origin: str
    size: int
    root: bytes
    attempt: int

    @property
    def hash(self):
        text = f"{self.origin} {self.size} {self.root.hex()} {self.attempt}"
        return f"0x{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(slots=True, kw_only=True)
class Ledger:
    """The chain itself: block n holds at most one transaction of ours."""

    clock: object
    blocks: list[tuple[object, Transaction | None]] = field(default_factory=list)
    pool: Transaction | None = None
    mines_at_once: bool = True
    handed_in: list[Transaction] = field(default_factory=list)
    forks: int = 0

    def mine(self, *, blocks: int = 1) -> None:
        """Make blocks; the first takes what waits and is still allowed."""
        for _ in range(blocks):
            taken, self.pool = self.pool, None
            if taken is not None and taken.size <= self.newest(taken.origin)[1].size:
                taken = None
            self.blocks.append((self.clock.now().replace(microsecond=0), taken))

    def forget(self, blocks: int) -> None:
        """Replace the newest blocks by empty ones of another fork."""
        self.forks += 1
        del self.blocks[len(self.blocks) - blocks :]
        self.mine(blocks=blocks)

    def newest(self, origin):
        """Return number and transaction of a log's newest anchor."""
        for number in reversed(range(len(self.blocks))):
            found = self.blocks[number][1]
            if found is not None and found.origin == origin:
                return number, found
        return -1, Transaction(origin=origin, size=0, root=bytes(32), attempt=0)

    def block_hash(self, number):
        text = f"block {number} {self.blocks[number]} {self.forks}"
        return f"0x{hashlib.sha256(text.encode()).hexdigest()}"


class MemoryChain:
    """One process's handle to the chain."""

    def __init__(self, ledger, *, is_owner=True):
        self.ledger = ledger
        self.is_owner = is_owner
        self.fails: Exception | None = None
        self.fails_at = {"head", "send", "record"}
        self.hangs: threading.Event | None = None
        self.inside = threading.Event()
        self.asked: list[str] = []

    def _ask(self, what):
        self.asked.append(what)
        self.inside.set()
        if self.hangs is not None:
            self.hangs.wait()
        if self.fails is not None and what in self.fails_at:
            raise self.fails

    def head(self, origin):
        self._ask("head")
        number, found = self.ledger.newest(origin)
        if number < 0:
            return None
        return AnchoredHead(
            size=found.size,
            root=found.root,
            block_number=number,
            depth=len(self.ledger.blocks) - number,
        )

    def send(self, checkpoint, *, attempt):
        self._ask("send")
        made = Transaction(
            origin=checkpoint.origin,
            size=checkpoint.size,
            root=checkpoint.root,
            attempt=attempt,
        )
        if not self.is_owner:
            raise Refused("the contract says no: only the owner anchors")
        if made.size <= self.ledger.newest(made.origin)[1].size:
            raise Refused("the contract says no: the size must grow")
        self.ledger.handed_in.append(made)
        if self.ledger.pool is None or self.ledger.pool.attempt < attempt:
            self.ledger.pool = made
        if self.ledger.mines_at_once:
            self.ledger.mine()
        return made.hash

    def record(self, origin, head):
        self._ask("record")
        blocks = self.ledger.blocks
        found = None
        if head.block_number < len(blocks):
            found = blocks[head.block_number][1]
        if found is None or (found.size, found.root) != (head.size, head.root):
            raise Unavailable("the block does not hold the anchor any more")
        return AnchorRecord(
            chain_id=1337,
            contract=CONTRACT,
            transaction=found.hash,
            block_number=head.block_number,
            block_hash=self.ledger.block_hash(head.block_number),
            block_timestamp=blocks[head.block_number][0],
            origin=origin,
            size=head.size,
            root=head.root,
        )


class MemoryWorld:
    """What ``chain_suite`` needs of an implementation."""

    def __init__(self, clock):
        self.ledger = Ledger(clock=clock)
        self.clock = clock

    def chain(self, *, is_owner=True):
        return MemoryChain(self.ledger, is_owner=is_owner)

    def hold(self):
        self.ledger.mines_at_once = False

    def mine(self, blocks=1):
        self.clock.advance(seconds=blocks)
        self.ledger.mine(blocks=blocks)

    def forget(self, blocks):
        self.ledger.forget(blocks)
