# SPDX-License-Identifier: Apache-2.0
"""The Merkle tree of a transparency log: roots, inclusion and consistency proofs.

Pure functions over leaf hashes. Not here: what the leaves are (block.py), tiles and
storage.

Rules that always hold: every hash is 32 bytes; a check returns None or raises, and
takes no proof that is longer or shorter than the one right length.

Hashing (RFC 6962 section 2.1): leaf ``SHA-256(0x00 || data)``, inner node
``SHA-256(0x01 || left || right)``, empty tree ``SHA-256("")``.

Source: RFC 6962 section 2.1; verification as RFC 9162 sections 2.1.3.2 and 2.1.4.2.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence

from fedxdr.core.errors import VerificationFailed

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

_INCLUSION = "merkle inclusion"
_CONSISTENCY = "merkle consistency"


def leaf_hash(data: bytes) -> bytes:
    """Return SHA-256(0x00 || data), 32 bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right), 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the root of the tree over these leaf hashes, 32 bytes.

    Each level pairs its nodes from the left and lifts a last odd one unchanged, which
    gives the tree of RFC 6962 section 2.1 (left subtrees of a power of two) in O(n).

    Args:
        leaf_hashes: (n,) of 32 bytes, n >= 0.
    """
    level = list(leaf_hashes)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        level = _lift(level)
    return level[0]


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Return the audit path of one leaf, from the leaf's sibling to the root's child.

    Args:
        leaf_hashes: (n,) of 32 bytes.
        index: in [0, n).

    Raises:
        VerificationFailed: no such leaf.
    """
    if not 0 <= index < len(leaf_hashes):
        raise VerificationFailed(
            f"no leaf {index} in a tree of {len(leaf_hashes)}", step=_INCLUSION
        )
    proof, level = [], list(leaf_hashes)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append(level[sibling])
        level, index = _lift(level), index >> 1
    return proof


def verify_inclusion(
    *, leaf_hash: bytes, index: int, size: int, proof: list[bytes], root: bytes
) -> None:
    """Return if the leaf stands at that index of the tree with that root.

    Args:
        leaf_hash: 32 bytes.
        index: in [0, size).
        size: number of leaves, >= 1.
        proof: audit path, of exactly the length that index and size imply.
        root: 32 bytes.

    Raises:
        VerificationFailed: the proof does not lead to the root, or is malformed.
    """
    _require_hashes([leaf_hash, root, *proof], _INCLUSION)
    if not 0 <= index < size:
        raise VerificationFailed(
            f"no leaf {index} in a tree of {size}", step=_INCLUSION
        )
    rest = iter(proof)
    last, found = size - 1, leaf_hash
    while last:
        # A node without right sibling is lifted unchanged and has no hash in the path.
        if index & 1:
            found = node_hash(_next(rest, _INCLUSION), found)
        elif index < last:
            found = node_hash(found, _next(rest, _INCLUSION))
        index, last = index >> 1, last >> 1
    _require_end(rest, _INCLUSION)
    _require_equal(found, root, "root", _INCLUSION)


def consistency_proof(
    leaf_hashes: Sequence[bytes], old_size: int, new_size: int
) -> list[bytes]:
    """Return the proof that the tree of new_size extends the tree of old_size.

    RFC 6962 section 2.1.2, PROOF(m, D[n]).

    Args:
        leaf_hashes: at least new_size of 32 bytes.
        old_size: m in [1, new_size].
        new_size: n in [1, len(leaf_hashes)].

    Raises:
        VerificationFailed: sizes outside these ranges.
    """
    if not 1 <= old_size <= new_size <= len(leaf_hashes):
        raise VerificationFailed(
            f"sizes {old_size} and {new_size} do not lie in order in [1, "
            f"{len(leaf_hashes)}]",
            step=_CONSISTENCY,
        )
    if old_size == new_size:
        return []
    # The proof walks up from the largest complete subtree that ends at old_size.
    proof, level, index = [], list(leaf_hashes[:new_size]), old_size - 1
    while index & 1:
        level, index = _lift(level), index >> 1
    if index:
        proof.append(level[index])
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append(level[sibling])
        level, index = _lift(level), index >> 1
    return proof


def verify_consistency(
    *,
    old_size: int,
    new_size: int,
    proof: list[bytes],
    old_root: bytes,
    new_root: bytes,
) -> None:
    """Return if the tree with the new root extends the tree with the old root.

    Args:
        old_size: in [1, new_size]; from an empty tree there is nothing to prove.
        new_size: >= 1.
        proof: of exactly the length that the sizes imply; empty for equal sizes.
        old_root: 32 bytes.
        new_root: 32 bytes.

    Raises:
        VerificationFailed: the proof does not lead to both roots, or is malformed.
    """
    if not 1 <= old_size <= new_size:
        raise VerificationFailed(
            f"sizes {old_size} and {new_size} are not in order from 1",
            step=_CONSISTENCY,
        )
    rest = iter(proof)
    if old_size == new_size:
        # Nothing is hashed here, so any two equal roots are consistent, as in the
        # vectors of transparency-dev/merkle ("sizes are equal (one)").
        _require_end(rest, _CONSISTENCY)
        _require_equal(old_root, new_root, "root", _CONSISTENCY)
        return
    _require_hashes([old_root, new_root, *proof], _CONSISTENCY)
    index, last = old_size - 1, new_size - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    # (index == 0: old_size is a power of two, its root is the first subtree itself.)
    old = new = _next(rest, _CONSISTENCY) if index else old_root
    while last:
        if index & 1:
            sibling = _next(rest, _CONSISTENCY)
            old, new = node_hash(sibling, old), node_hash(sibling, new)
        elif index < last:
            new = node_hash(new, _next(rest, _CONSISTENCY))
        index, last = index >> 1, last >> 1
    _require_end(rest, _CONSISTENCY)
    _require_equal(old, old_root, "old root", _CONSISTENCY)
    _require_equal(new, new_root, "new root", _CONSISTENCY)


def _lift(level: Sequence[bytes]) -> list[bytes]:
    """Return the next level up."""
    sha256 = hashlib.sha256
    lifted = [
        sha256(b"\x01" + level[left] + level[left + 1]).digest()
        for left in range(0, len(level) - 1, 2)
    ]
    if len(level) & 1:
        lifted.append(level[-1])
    return lifted


def _next(rest: Iterator[bytes], step: str) -> bytes:
    for found in rest:
        return found
    raise VerificationFailed("the proof is too short", step=step)


def _require_end(rest: Iterator[bytes], step: str) -> None:
    for _ in rest:
        raise VerificationFailed("the proof is too long", step=step)


def _require_hashes(hashes: Sequence[bytes], step: str) -> None:
    for found in hashes:
        if len(found) != HASH_BYTES:
            raise VerificationFailed(
                f"a hash of {len(found)} bytes, want {HASH_BYTES}", step=step
            )


def _require_equal(found: bytes, wanted: bytes, what: str, step: str) -> None:
    if not hmac.compare_digest(found, wanted):
        raise VerificationFailed(
            f"the proof leads to {what} {found.hex()[:16]}…, want {wanted.hex()[:16]}…",
            step=step,
        )
