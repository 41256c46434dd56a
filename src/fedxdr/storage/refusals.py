# SPDX-License-Identifier: Apache-2.0
"""What a store refuses, whichever store it is: one check and one sentence for each.

Pure functions; the stores in SQL and in memory call them at the same places.
"""

from __future__ import annotations

from fedxdr.core.errors import (
    AlreadyAnswered,
    IntegrityFault,
    MalformedMessage,
    NotFound,
)
from fedxdr.core.ids import Digest, digest, sha256
from fedxdr.ledger import checkpoint
from fedxdr.ledger.block import SignedBlock, signatures_digest

WITHDRAWN = "withdrawn"
OUTCOMES = ("adopted", WITHDRAWN)


def does_not_follow(height: int, *, newest: int) -> IntegrityFault:
    """Return the fault of a block that does not follow the newest one.

    Args:
        height: of the block.
        newest: height of the newest block, -1 in an empty ledger.
    """
    return IntegrityFault(
        f"block {height} does not follow the newest block, {newest}; nothing was "
        "written"
    )


def require_bound(signed: SignedBlock) -> list[bytes]:
    """Refuse a block with other envelopes beside it than those it binds.

    Returns:
        The canonical JSON of each envelope, in order: it is made here anyway.

    Raises:
        IntegrityFault: others, fewer, more, or in another order.
    """
    beside = [envelope.to_json() for envelope in signed.envelopes]
    digests = [sha256(envelope) for envelope in beside]
    bound = signatures_digest(digests)
    if bound != signed.block.signatures_digest or digests != sorted(digests):
        raise IntegrityFault(
            f"the envelopes beside block {signed.block.height} are not those it binds; "
            "nothing was written"
        )
    return beside


def require_head(size: int, root: Digest, note: bytes) -> None:
    """Refuse what is no head of a tree.

    Args:
        size: of the tree.
        root: of the tree.
        note: the signed note; its signatures are not checked here.

    Raises:
        MalformedMessage: a size below 1, a root that is no digest, or a note about
            another size or root.
    """
    digest(root)
    if size < 1:
        raise MalformedMessage(f"a head of {size} blocks; the smallest has 1")
    head = checkpoint.parse(note)
    if (head.size, head.root.hex()) != (size, root):
        raise MalformedMessage(
            f"a note about {head.size} blocks and root {head.root.hex()[:16]}…, where "
            f"one about {size} and {root[:16]}… should be"
        )


def another_root(size: int, found: Digest) -> IntegrityFault:
    """Return the fault of a second root for one size.

    Args:
        size: of the tree.
        found: the root that is stored.
    """
    return IntegrityFault(
        f"the head of {size} blocks has the root {found[:16]}…; another one is never "
        "stored beside it; nothing was written"
    )


def require_outcome(outcome: str) -> None:
    """Refuse what is no outcome of a proposed change.

    Raises:
        MalformedMessage: neither ``adopted`` nor ``withdrawn``.
    """
    if outcome not in OUTCOMES:
        raise MalformedMessage(f"a change is {' or '.join(OUTCOMES)}, not {outcome!r}")


def unknown_change(name: Digest) -> NotFound:
    """Return the refusal of a change that nobody proposed."""
    return NotFound(f"no change {name[:16]}… was proposed")


def has_outcome(name: Digest, outcome: str) -> AlreadyAnswered:
    """Return the refusal of a second, different outcome.

    Args:
        name: the change's digest.
        outcome: the one it has.
    """
    return AlreadyAnswered(f"the change {name[:16]}… was {outcome} before")
