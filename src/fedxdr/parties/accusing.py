# SPDX-License-Identifier: Apache-2.0
"""What an organisation does when the log contradicts itself: it proves it, and stops.

Whatever an agent is shown with the log's signature is held against its mirror and the
heads that it stored: the orchestrator's answers, and the heads that other members put
into their messages of a round. What does not fit is made into a proof
(ledger/equivocation.py), kept under ``equivocation-<digest>.json``, and from then on
this agent takes part in no round of that log until a person removes the file.

Not here: the form of a proof and what convicts; what a witness takes and cosigns
(witness.py); how heads travel (federation/messages.py).

Rules that always hold: nobody is accused without both of the log's signatures over both
heads; a head that agrees with the mirror never stops anything; a member that is behind
is no fault.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from fedxdr.core.errors import BelowFloor, InvalidInput, Refused, Unavailable
from fedxdr.core.ids import Digest, sha256
from fedxdr.ledger import checkpoint, equivocation
from fedxdr.ledger.block import SignedBlock
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.merkle import Tree
from fedxdr.ledger.standing import Log
from fedxdr.parties.ports import CheckpointStore, Notes
from fedxdr.parties.recording import Recorder

logger = logging.getLogger(__name__)

PREFIX = "equivocation-"
_BLOCKS_AT_ONCE = 50

Fetch = Callable[[int, int], list[SignedBlock]]
"""(begin, end) -> the blocks that whoever signed the head shows for it."""


class Accuser:
    """One organisation's watch over the log it follows.

    Args:
        mirror: its copy of the ledger.
        store: the heads that it saw.
        files: where proofs are kept; names begin with ``equivocation-``.
    """

    def __init__(
        self, *, mirror: Recorder, store: CheckpointStore, files: Notes
    ) -> None:
        self._mirror = mirror
        self._store = store
        self._files = files
        self._ahead: dict[str, bytes] = {}
        self._settled: Digest | None = None

    def newest(self) -> bytes:
        """Return the head over the mirror with the log's two lines; empty if none.

        This is what an organisation shows the others: two contradicting ones convict.
        """
        size = self._mirror.size()
        head = self._store.get(size) if size else None
        log = self._mirror.signers_at(size).log if size else None
        if head is None or log is None:
            return b""
        return equivocation.log_lines(head, log=log)

    def proofs(self) -> Mapping[str, bytes]:
        """Return the proofs that are kept, by name."""
        found = {name: self._files.get(name) for name in self._files.names(PREFIX)}
        return {name: proof for name, proof in found.items() if proof}

    def require_innocent(self) -> None:
        """Return if nothing convicts the log that is in force.

        Raises:
            BelowFloor: a proof is kept; the file's name is in the message.
        """
        log = self._mirror.standing.log
        for name, proof in self.proofs().items():
            try:
                is_other = log is not None and equivocation.origin_of(proof) != (
                    log.origin
                )
            except InvalidInput:
                is_other = False
            if not is_other:
                raise BelowFloor(
                    f"{name} convicts this orchestrator of two histories: no round is "
                    "taken part in until a person removes that file. Show it to the "
                    "other members (`fedxdr ledger convict` checks it); they can go on "
                    "without the orchestrator: `fedxdr ledger handover`"
                )

    def examine(self, head: bytes, *, fetch: Fetch | None = None) -> str | None:
        """Return the name of the proof if a head contradicts what is stored here.

        Args:
            head: whatever came as a signed head; it may be worth nothing.
            fetch: asks for the blocks under it where the mirror's do not suffice.

        Returns:
            None if the log did not sign it, if it fits, or if nothing shows that it
            does not.
        """
        try:
            found = self._signed(head)
            if found is None:
                return None
            log, says, lean = found
            kept = self._kept(log)
            if kept is not None:
                return kept
            proof = self._proof(log, says, lean, fetch)
        except Unavailable as error:
            logger.warning("no blocks to prove with", extra={"reason": str(error)})
            return None
        except InvalidInput as error:
            logger.debug("a head that proves nothing", extra={"reason": str(error)})
            return None
        return None if proof is None else self._file(proof, log)

    def compare(self, shown: Iterable[tuple[str, bytes]]) -> None:
        """Hold the heads that others show against what is stored here.

        One that is ahead of the mirror is remembered and looked at by ``recheck``.

        Args:
            shown: who shows it, and a head; several by one name replace each other.

        Raises:
            BelowFloor: one of them convicts the log.
        """
        for name, head in shown:
            try:
                says = checkpoint.parse(head)
            except InvalidInput:
                logger.warning("no head", extra={"org": name})
                continue
            if says.size > self._mirror.size():
                is_members = name in self._mirror.standing.members
                if is_members and self._signed(head) is not None:
                    self._ahead[name] = head
            else:
                self.examine(head)
        self.require_innocent()

    def recheck(self) -> None:
        """Hold what others were ahead by against the mirror, once it has grown."""
        size = self._mirror.size()
        for name, head in list(self._ahead.items()):
            says = checkpoint.parse(head)
            if says.size <= size:
                del self._ahead[name]
                self.examine(head)

    def _fits(self, says: Checkpoint) -> bool:
        """Return whether mirror and stored head hold what a head says; most do."""
        if not 0 < says.size <= self._mirror.size():
            return False
        if self._mirror.root_at(says.size) != says.root.hex():
            return False
        same = self._store.get(says.size)
        return same is None or checkpoint.parse(same).root == says.root

    def _signed(self, head: bytes) -> tuple[Log, Checkpoint, bytes] | None:
        """Return whose head it is, what it says, and its two lines by the log.

        None if it fits the mirror or if none of this ledger's logs signed it.
        """
        try:
            says = checkpoint.parse(head)
            if self._fits(says):
                return None
            for log in self._mirror.standing.logs:
                if log.origin == says.origin:
                    return log, says, equivocation.log_lines(head, log=log)
        except InvalidInput:
            pass  # anybody can write that: it accuses nobody
        return None

    def _kept(self, log: Log) -> str | None:
        """Return the name of a proof against a log that is kept already."""
        for name, proof in self.proofs().items():
            try:
                equivocation.verify(proof, log=log)
            except InvalidInput:
                continue
            return name
        return None

    def _proof(
        self, log: Log, says: Checkpoint, lean: bytes, fetch: Fetch | None
    ) -> bytes | None:
        tree, sizes = self._mirror.tree, self._sizes_of(log)
        same = self._store.get(says.size) if says.size in sizes else None
        if same is not None and checkpoint.parse(same).root != says.root:
            return equivocation.make(lean, same, log=log)
        if says.size <= tree.size:
            larger = [size for size in sizes if says.size < size <= tree.size]
            if larger:
                ours = self._store.get(larger[-1]) or b""
                return equivocation.make(lean, ours, log=log, other_tree=tree)
        smaller = [size for size in sizes if size < says.size]
        if not smaller or fetch is None or sha256(lean) == self._settled:
            return None
        theirs = _tree_of(says, fetch)
        self._settled = sha256(lean)
        if theirs is None:
            logger.error(
                "the log signed a head for which it shows no blocks",
                extra={"origin": log.origin, "size": says.size},
            )
            return None
        stored = self._contradicted(theirs, smaller)
        return stored and equivocation.make(
            lean, stored, log=log, tree=theirs, other_tree=tree
        )

    def _contradicted(self, theirs: Tree, sizes: Sequence[int]) -> bytes | None:
        """Return a stored head over fewer blocks that another history does not extend.

        Args:
            theirs: the other history.
            sizes: of the stored heads to look at, the smallest first.
        """
        under = [size for size in sizes if size <= self._mirror.tree.size]
        # the mirror extends those under it; the others were stored before their blocks
        for size in (*under[-1:], *sizes[len(under) :]):
            ours = self._store.get(size)
            if ours and theirs.root(size) != checkpoint.parse(ours).root:
                return ours
        return None

    def _sizes_of(self, log: Log) -> list[int]:
        """Return the sizes of the stored heads that a log signed."""
        ends = [other.since for other in self._mirror.standing.logs]
        end = min((since for since in ends if since > log.since), default=None)
        return [
            size
            for size in self._store.sizes()
            if size >= log.since and (end is None or size < end)
        ]

    def _file(self, proof: bytes, log: Log) -> str:
        found = equivocation.verify(proof, log=log)
        name = f"{PREFIX}{found.digest}.json"
        self._files.put(name, proof)
        logger.error(found.sentence, extra={"file": name, "origin": found.origin})
        return name


def _tree_of(says: Checkpoint, fetch: Fetch) -> Tree | None:
    """Return the tree under a head from the blocks shown for it, None if they are not.

    Raises:
        Unavailable: they cannot be fetched now.
    """
    tree = Tree()
    try:
        while tree.size < says.size:
            end = min(says.size, tree.size + _BLOCKS_AT_ONCE)
            found = fetch(tree.size, end)
            if not found:
                return None
            tree.extend(bytes.fromhex(signed.block.hash) for signed in found)
    except Unavailable:
        raise
    except (InvalidInput, Refused):
        return None
    return tree if tree.size == says.size and tree.root() == says.root else None
