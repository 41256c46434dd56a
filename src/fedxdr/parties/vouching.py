# SPDX-License-Identifier: Apache-2.0
"""What we signed for, we have checked: a ledger need not be judged at every start.

A party signs a head only after each block under it has kept the ledger's rules
(witness.py, heads.py). Whoever finds its own signature over a root, and the same root
over the blocks that it stored, knows that they are the blocks that it checked.

Not here: the blocks' own hashes and links, which are looked at every time (storage).

Rule that always holds: without a good signature by our own key nothing is vouched for.
"""

from __future__ import annotations

from fedxdr.core.errors import InvalidInput
from fedxdr.crypto.keys import PublicIdentity
from fedxdr.ledger import checkpoint, note
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.note_form import COSIGNATURE_ED25519, ED25519, VerifierKey
from fedxdr.parties.ports import CheckpointStore

_KINDS = (ED25519, COSIGNATURE_ED25519)  # as the log, as a member


def newest_signed(store: CheckpointStore, me: PublicIdentity) -> Checkpoint | None:
    """Return the newest stored head that our own key signed, None without one.

    Args:
        store: the heads beside the ledger.
        me: our keys.
    """
    for size in reversed(store.sizes()):
        head = store.get(size)
        if head is not None and _is_signed(head, me):
            return checkpoint.parse(head)
    return None


def _is_signed(head: bytes, me: PublicIdentity) -> bool:
    try:
        found = note.parse(head)
        names = {line.name for line in found.signatures}
        ring = note.keyring(
            VerifierKey(name=name, kind=kind, public_key=me.tlog_ed25519)
            for name in names
            for kind in _KINDS
        )
        return bool(note.signers(found, ring))
    except InvalidInput:
        return False
