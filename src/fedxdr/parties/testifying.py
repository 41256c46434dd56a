# SPDX-License-Identifier: Apache-2.0
"""A member tells an orchestrator that was set back what it saw of the ledger.

Not here: when (participant.py), what the orchestrator believes of it (catching_up.py).

Rule that always holds: nothing leaves that is not of the ledger: its heads, its blocks,
and files that its blocks name as models.
"""

from __future__ import annotations

import logging

from fedxdr.core.errors import InvalidInput, WrongPhase
from fedxdr.core.ids import Digest
from fedxdr.ledger.merkle import Tree
from fedxdr.parties.ports import Blobs, CheckpointStore, Link
from fedxdr.parties.recording import Recorder
from fedxdr.parties.testimony import Testimony

logger = logging.getLogger(__name__)

BLOCKS_AT_ONCE = 50


def testify(
    link: Link, *, mirror: Recorder, store: CheckpointStore, blobs: Blobs, size: int
) -> None:
    """Report every head that is kept here, and hand over what is lacking elsewhere.

    Args:
        link: the way to the orchestrator.
        mirror: our copy of the ledger.
        store: the heads that we saw.
        blobs: the models that we hold.
        size: of the orchestrator's ledger, as it says.

    Raises:
        Unavailable: it cannot be reached.
    """
    try:
        _tell(link, mirror, store, blobs, size)
    except (InvalidInput, WrongPhase) as error:
        # of another ledger, log or history: then it stays silent, and we go on asking
        logger.error(  # noqa: TRY400 - the sentence is all there is to know
            "a restored orchestrator does not take what we saw",
            extra={"reason": str(error)},
        )


def _tell(
    link: Link, mirror: Recorder, store: CheckpointStore, blobs: Blobs, size: int
) -> None:
    while True:
        said = page(mirror, store, begin=size)
        heard = link.testify(said)
        if not size < heard.size < said.target:
            break
        size = heard.size  # (others may have handed over blocks as well)
    if heard.models:
        stored = mirror.blocks(begin=0, end=said.size)
        named = {signed.block.model_hash for signed in stored}
        for name in heard.models:
            if name in named and blobs.has(name):
                link.give_model(blobs.get(name))
    logger.warning(
        "told a restored orchestrator what we saw",
        extra={"size": said.size, "its_size": heard.size},
    )


def page(mirror: Recorder, store: CheckpointStore, *, begin: int) -> Testimony:
    """Return what an orchestrator with a ledger of that size is to know of us next."""
    size, sizes, tree = mirror.size(), store.sizes(), mirror.tree
    under = [at for at in sizes if at <= size]
    target = under[-1] if under else 0
    end = max(begin, min(target, begin + BLOCKS_AT_ONCE))
    # beside those of the page: the newest under which the orchestrator has all blocks
    # already, and the newest of all, of which we may lack blocks ourselves
    wanted = {at for at in sizes if begin <= at <= end} | set(under[-1:] + sizes[-1:])
    wanted |= set([at for at in under if at <= begin][-1:])
    notes = (store.get(at) for at in sorted(wanted))
    is_further = begin < target
    return Testimony(
        size=size,
        root=mirror.root_at(size) if size else "",
        heads=tuple(note for note in notes if note is not None),
        target=target,
        begin=begin,
        before=mirror.root_at(begin) if is_further and begin else "",
        since=_proof(tree, begin, target) if is_further else (),
        blocks=tuple(mirror.blocks(begin=begin, end=end)) if is_further else (),
        onward=_proof(tree, end, target) if is_further else (),
    )


def _proof(tree: Tree, begin: int, end: int) -> tuple[Digest, ...]:
    """Return the consistency proof between two sizes, in hexadecimal; from 0, none."""
    if not begin:
        return ()
    return tuple(Digest(node.hex()) for node in tree.consistency_proof(begin, end))
