# SPDX-License-Identifier: Apache-2.0
"""Proof that a log told two histories, by two heads that it signed itself.

Whoever holds such a proof and the log's two public keys needs nothing else: no ledger,
no server, nobody's word. One of three things convicts:

* **roots**: two heads over equally many blocks, with two roots;
* **leaves**: two heads, and at one height below both another block under each, shown
  by two inclusion proofs;
* **prefix**: the larger head's own first blocks, as many as the smaller head covers,
  have another root than the smaller head says, shown by a consistency proof. It needs
  the blocks of one history only.

Form: one canonical JSON object (core/canonical.py)::

    {"index": 7, "larger": NOTE, "leaves": [LEAF, LEAF], "prefix": null,
     "smaller": NOTE, "type": "fedxdr/equivocation/v1"}

NOTE is a signed head with the log's two lines and no others; LEAF is ``{"leaf_hash",
"path"}``, of the smaller head first; ``prefix`` is ``{"path", "root"}``. Under one size
``index`` and ``prefix`` are null and ``leaves`` is empty.

Not here: finding contradictions and what an agent does about one (parties/accusing.py).

Rules that always hold: a proof has one form, so one name; it convicts under both of the
log's keys, Ed25519 and ML-DSA-44, or not at all; what convicts cannot be made without
two signatures by the log over contradicting heads, so an honest log is safe.

Sources: RFC 6962 sections 2.1.1, 2.1.2 and 7.3 (misbehaving logs); RFC 9162 sections
2.1.3 and 2.1.4; C2SP tlog-checkpoint and signed-note.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fedxdr.core import canonical
from fedxdr.core.errors import BadSignature, MalformedMessage, VerificationFailed
from fedxdr.core.ids import Digest, sha256
from fedxdr.ledger import checkpoint, merkle, note
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.merkle import HASH_BYTES, Tree
from fedxdr.ledger.note_form import (
    COSIGNATURE_ML_DSA_44,
    ED25519,
    Note,
    VerifierKey,
    parse_verifier_key,
)
from fedxdr.ledger.standing import Log

MAX_BYTES = 65_536
"""Of a proof: two heads of 3.4 KB each and at most 128 hashes stay far below."""

STEP = "equivocation"
_MAX_PATH = 64
_WHAT = (
    "a proof of two histories, equivocation-….json, as `fedxdr agent run` and `fedxdr "
    "ledger compare` write it"
)
_KINDS = (ED25519, COSIGNATURE_ML_DSA_44)

LogKeys = Log | Sequence[str]
"""A log of the ledger, or its two verifier keys (``NAME+KEYID+KEY``, kinds 01, 06)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A block's place under a head.

    Attributes:
        leaf_hash: 32 bytes.
        path: its audit path, each hash of 32 bytes.
    """

    leaf_hash: bytes
    path: tuple[bytes, ...]

    def __post_init__(self) -> None:
        _require_hashes(self.leaf_hash, *self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """What the larger head really says about the first blocks.

    Attributes:
        root: of as many blocks as the smaller head covers, 32 bytes.
        path: consistency proof from that root to the larger head's.
    """

    root: bytes
    path: tuple[bytes, ...]

    def __post_init__(self) -> None:
        _require_hashes(self.root, *self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivocation:
    """A proof, well-formed and not checked.

    Attributes:
        smaller: the head over fewer blocks, or with the smaller root; the log's two
            lines only.
        larger: the other head.
        index: height at which the histories differ; None without ``leaves``.
        leaves: under the smaller and the larger head at that height; both or none.
        prefix: instead of leaves.
    """

    type: Literal["fedxdr/equivocation/v1"] = "fedxdr/equivocation/v1"
    smaller: str
    larger: str
    index: int | None = None
    leaves: tuple[Leaf, ...] = ()
    prefix: Prefix | None = None

    def __post_init__(self) -> None:
        if len(self.leaves) not in {0, 2} or (self.index is None) != (not self.leaves):
            raise MalformedMessage("an index with two leaves, or neither")
        if self.leaves and self.prefix is not None:
            raise MalformedMessage("leaves or a prefix, not both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conviction:
    """What a proof shows.

    Attributes:
        origin: the log that is convicted.
        kind: what convicts it.
        first: the smaller head.
        second: the larger head.
        index: height at which two blocks were signed; None unless leaves convict.
        digest: SHA-256 of the proof: its name.
    """

    origin: str
    kind: Literal["roots", "leaves", "prefix"]
    first: Checkpoint
    second: Checkpoint
    index: int | None
    digest: Digest

    @property
    def sentence(self) -> str:
        """What it says, for people."""
        if self.kind == "roots":
            how = f"two roots for {self.first.size} blocks"
        elif self.kind == "leaves":
            how = (
                f"two blocks of height {self.index}, under its heads over "
                f"{self.first.size} and {self.second.size} blocks"
            )
        else:
            how = (
                f"a head over {self.second.size} blocks that does not extend its head "
                f"over {self.first.size}"
            )
        return f"the log {self.origin} signed {how}: it told two histories"


def make(
    one: bytes,
    other: bytes,
    *,
    log: LogKeys,
    tree: Tree | None = None,
    other_tree: Tree | None = None,
) -> bytes:
    """Return the proof that two heads of one log contradict each other.

    Args:
        one: a signed head; lines by others than the log do not matter.
        other: another one, of the same log.
        log: whose heads they are.
        tree: holds at least the leaves under ``one``; may hold more.
        other_tree: the same for ``other``.

    Returns:
        The proof, verified.

    Raises:
        VerificationFailed: they do not contradict each other, or the trees given do
            not show it: without trees only two roots for one size convict, and with
            one of them it has to be that of the larger head.
        BadSignature: the log did not sign both.
    """
    lean = [log_lines(head, log=log) for head in (one, other)]
    said = [checkpoint.parse(head) for head in lean]
    sides = sorted(
        zip(said, lean, (tree, other_tree), strict=True),
        key=lambda side: (side[0].size, side[0].root),
    )
    (first, smaller, small_tree), (second, larger, large_tree) = sides
    index: int | None = None
    leaves: tuple[Leaf, ...] = ()
    prefix: Prefix | None = None
    if first.size == second.size:
        pass
    elif large_tree is None or not _holds(large_tree, second):
        raise _innocent(
            "without the blocks under the larger head it is not shown that the two "
            "heads contradict each other"
        )
    elif small_tree is not None and _holds(small_tree, first):
        index = _first_difference(small_tree, large_tree, first.size)
        leaves = (
            _leaf(small_tree, index, first.size),
            _leaf(large_tree, index, second.size),
        )
    else:
        prefix = Prefix(
            root=large_tree.root(first.size),
            path=tuple(large_tree.consistency_proof(first.size, second.size)),
        )
    data = write(
        Equivocation(
            smaller=smaller.decode(),
            larger=larger.decode(),
            index=index,
            leaves=leaves,
            prefix=prefix,
        )
    )
    verify(data, log=log)
    return data


def write(proof: Equivocation) -> bytes:
    """Return a proof as it is stored and sent."""
    return canonical.encode(proof)


def parse(data: bytes) -> Equivocation:
    """Return a proof that was not checked yet.

    Raises:
        MalformedMessage: too long, or not in the one form.
    """
    if len(data) > MAX_BYTES:
        raise MalformedMessage(f"a proof has at most {MAX_BYTES:,} bytes")
    return canonical.decode(data, Equivocation, what=_WHAT)


def verify(proof: bytes, *, log: LogKeys) -> Conviction:
    """Return what a proof convicts a log of.

    Args:
        proof: as written.
        log: as known from elsewhere: from a ledger, an invitation, a policy.

    Raises:
        VerificationFailed: the two heads, and what is shown about them, do not
            contradict each other.
        BadSignature: the log did not sign both heads with both of its keys.
        MalformedMessage: no proof, or not in its one form.
    """
    found = parse(proof)
    said = []
    for head in (found.smaller.encode(), found.larger.encode()):
        if log_lines(head, log=log) != head:
            raise MalformedMessage("a head of a proof has the log's two lines, no more")
        said.append(checkpoint.parse(head))
    first, second = said
    if (first.size, first.root) > (second.size, second.root):
        raise MalformedMessage("the smaller head comes first")
    if first.size == second.size:
        if found.leaves or found.prefix is not None:
            raise MalformedMessage("two roots for one size need nothing beside them")
        if first.root == second.root:
            raise _innocent("the two heads say the same")
        kind: Literal["roots", "leaves", "prefix"] = "roots"
    elif found.leaves:
        kind = "leaves"
        _check_leaves(found, first, second)
    elif found.prefix is not None:
        kind = "prefix"
        if found.prefix.root == first.root:
            raise _innocent("the larger head extends the smaller one")
        merkle.verify_consistency(
            old_size=first.size,
            new_size=second.size,
            proof=list(found.prefix.path),
            old_root=found.prefix.root,
            new_root=second.root,
        )
    else:
        raise _innocent("two heads of different sizes alone show nothing")
    return Conviction(
        origin=first.origin,
        kind=kind,
        first=first,
        second=second,
        index=found.index,
        digest=sha256(proof),
    )


def log_lines(head: bytes, *, log: LogKeys) -> bytes:
    """Return a head with one line by each of the log's keys, and no other.

    Raises:
        BadSignature: a line that is missing or wrong.
        MalformedMessage: no head, of another log, of no block, or with extensions.
    """
    keys = _keys_of(log)
    found = note.parse(head)
    if len(note.signers(found, note.keyring(keys))) != len(keys):
        raise BadSignature(f"the log {keys[0].name} did not sign this with its keys")
    says = checkpoint.parse_body(found.text)
    if says.origin != keys[0].name or says.extensions or not says.size:
        raise MalformedMessage(f"no head of the log {keys[0].name}")
    lines = [
        next(s for s in found.signatures if (s.name, s.key_id) == (k.name, k.key_id))
        for k in keys
    ]
    return Note(text=found.text, signatures=tuple(lines)).to_bytes()


def origin_of(proof: bytes) -> str:
    """Return which log a proof is about; nothing is checked.

    Raises:
        MalformedMessage: no proof.
    """
    return checkpoint.parse(parse(proof).smaller.encode()).origin


def _keys_of(log: LogKeys) -> tuple[VerifierKey, ...]:
    """Return the log's Ed25519 and ML-DSA-44 key, in this order."""
    if isinstance(log, Log):
        return (
            VerifierKey(
                name=log.origin, kind=ED25519, public_key=log.keys.tlog_ed25519
            ),
            VerifierKey(
                name=log.origin,
                kind=COSIGNATURE_ML_DSA_44,
                public_key=log.keys.tlog_ml_dsa_44,
            ),
        )
    keys = sorted(map(parse_verifier_key, log), key=lambda key: key.kind)
    if tuple(key.kind for key in keys) != _KINDS or keys[0].name != keys[1].name:
        raise MalformedMessage(
            "a log signs with two keys of one name: Ed25519 (kind 01) and ML-DSA-44 "
            "(kind 06)"
        )
    return tuple(keys)


def _check_leaves(found: Equivocation, first: Checkpoint, second: Checkpoint) -> None:
    index = found.index
    if index is None or not 0 <= index < first.size:
        raise MalformedMessage("the height of two blocks under both heads")
    if found.leaves[0].leaf_hash == found.leaves[1].leaf_hash:
        raise _innocent("the same block stands under both heads")
    for leaf, says in zip(found.leaves, (first, second), strict=True):
        merkle.verify_inclusion(
            leaf_hash=leaf.leaf_hash,
            index=index,
            size=says.size,
            proof=list(leaf.path),
            root=says.root,
        )


def _holds(tree: Tree, says: Checkpoint) -> bool:
    return tree.size >= says.size and tree.root(says.size) == says.root


def _first_difference(one: Tree, other: Tree, size: int) -> int:
    """Return the first height below ``size`` at which two trees differ.

    By halving: roots over equally many leaves agree just as long as the leaves do.

    Raises:
        VerificationFailed: there is none.
    """
    if one.root(size) == other.root(size):
        raise _innocent("the larger head extends the smaller one")
    same, different = 0, size
    while different - same > 1:
        middle = (same + different) // 2
        if one.root(middle) == other.root(middle):
            same = middle
        else:
            different = middle
    return same


def _leaf(tree: Tree, index: int, size: int) -> Leaf:
    return Leaf(
        leaf_hash=tree.node(0, index), path=tuple(tree.inclusion_proof(index, size))
    )


def _require_hashes(*hashes: bytes) -> None:
    if len(hashes) > _MAX_PATH + 1 or any(len(h) != HASH_BYTES for h in hashes):
        raise MalformedMessage("hashes of 32 bytes, at most 64 in a path")


def _innocent(why: str) -> VerificationFailed:
    return VerificationFailed(f"this convicts nobody: {why}", step=STEP)
