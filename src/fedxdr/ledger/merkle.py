# SPDX-License-Identifier: Apache-2.0
"""The Merkle tree of a transparency log: roots, inclusion and consistency proofs.

``Tree`` is a log that grows: it keeps the hash of every complete subtree, so that an
append and a proof cost O(log n), for its present size and for every former one. The
functions take leaf hashes and keep nothing.

Not here: what the leaves are (block.py), tiles (tiles.py) and storage.

Rules that always hold: every hash is 32 bytes; a check returns None or raises, and
takes no proof that is longer or shorter than the one right length.

Hashing (RFC 6962 section 2.1): leaf ``SHA-256(0x00 || data)``, inner node
``SHA-256(0x01 || left || right)``, empty tree ``SHA-256("")``.

Source: RFC 6962 section 2.1; verification as RFC 9162 sections 2.1.3.2 and 2.1.4.2.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence

from fedxdr.core.errors import VerificationFailed

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

_TREE = "merkle tree"
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
    return Tree(leaf_hashes).inclusion_proof(index)


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

    Args:
        leaf_hashes: at least new_size of 32 bytes.
        old_size: m in [1, new_size].
        new_size: n in [1, len(leaf_hashes)].

    Raises:
        VerificationFailed: sizes outside these ranges.
    """
    return Tree(leaf_hashes).consistency_proof(old_size, new_size)


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


class Tree:
    """A tree that grows by leaves on its right.

    It holds 2n hashes of 32 bytes. One writer at a time; sizes once reached stay
    provable.

    Args:
        leaf_hashes: (n,) of 32 bytes, n >= 0.

    Raises:
        VerificationFailed: a hash of another length.
    """

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        # _levels[l][i]: root over the leaves [i·2^l, (i + 1)·2^l), all of them there.
        self._levels: list[list[bytes]] = [[]]
        self.extend(leaf_hashes)

    def copy(self) -> Tree:
        """Return a tree that can grow otherwise than this one."""
        found = Tree()
        found._levels = [list(level) for level in self._levels]
        return found

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0])

    def append(self, leaf_hash: bytes) -> int:
        """Add a leaf and return its index.

        Args:
            leaf_hash: 32 bytes.

        Raises:
            VerificationFailed: another length; nothing was added.
        """
        _require_hashes([leaf_hash], _TREE)
        index = at = self.size
        self._levels[0].append(leaf_hash)
        for level, below in enumerate(self._levels):
            # A right child completes its parent, and perhaps the parent's parent.
            if not at & 1:
                break
            if level + 1 == len(self._levels):
                self._levels.append([])
            self._levels[level + 1].append(node_hash(below[-2], below[-1]))
            at >>= 1
        return index

    def extend(self, leaf_hashes: Iterable[bytes]) -> None:
        """Add leaves, in order.

        Args:
            leaf_hashes: (n,) of 32 bytes.

        Raises:
            VerificationFailed: a hash of another length; nothing was added.
        """
        further = list(leaf_hashes)
        _require_hashes(further, _TREE)
        self._levels[0] += further
        level = 0
        while len(below := self._levels[level]) > 1:
            level += 1
            if level == len(self._levels):
                self._levels.append([])
            above = self._levels[level]
            above += _pair(below, first=len(above))

    def node(self, level: int, index: int) -> bytes:
        """Return the root over the leaves [index·2^level, (index + 1)·2^level).

        Raises:
            VerificationFailed: not all of these leaves are there.
        """
        if not (0 <= level < len(self._levels) and 0 <= index < self.size >> level):
            raise VerificationFailed(
                f"no subtree {index} of 2^{level} leaves in a tree of {self.size}",
                step=_TREE,
            )
        return self._levels[level][index]

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first leaves, 32 bytes.

        Args:
            size: how many, in [0, self.size]; None for all.

        Raises:
            VerificationFailed: more than there are.
        """
        size = self._require_size(size, _TREE)
        return self._edge(size)[-1] or EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the audit path of one leaf, from its sibling to the root's child.

        RFC 6962 section 2.1.1, PATH(m, D[n]).

        Args:
            index: m in [0, size).
            size: n in [1, self.size]; None for all leaves.

        Raises:
            VerificationFailed: no such leaf.
        """
        size = self._require_size(size, _INCLUSION)
        if not 0 <= index < size:
            raise VerificationFailed(
                f"no leaf {index} in a tree of {size}", step=_INCLUSION
            )
        return self._siblings(0, index, size)

    def consistency_proof(
        self, old_size: int, new_size: int | None = None
    ) -> list[bytes]:
        """Return the proof that the tree of new_size extends that of old_size.

        RFC 6962 section 2.1.2, PROOF(m, D[n]).

        Args:
            old_size: m in [1, new_size].
            new_size: n in [1, self.size]; None for all leaves.

        Raises:
            VerificationFailed: sizes outside these ranges.
        """
        new_size = self._require_size(new_size, _CONSISTENCY)
        if not 1 <= old_size <= new_size:
            raise VerificationFailed(
                f"sizes {old_size} and {new_size} do not lie in order in [1, "
                f"{self.size}]",
                step=_CONSISTENCY,
            )
        if old_size == new_size:
            return []
        # The proof walks up from the largest complete subtree that ends at old_size.
        level, index = 0, old_size - 1
        while index & 1:
            level, index = level + 1, index >> 1
        first = [self._levels[level][index]] if index else []
        return first + self._siblings(level, index, new_size)

    def _siblings(self, level: int, index: int, size: int) -> list[bytes]:
        """Return the siblings of a node on its way up, those that exist."""
        edge, found = self._edge(size), []
        for above, partial in enumerate(edge[level:], start=level):
            sibling, complete = index ^ 1, size >> above
            if sibling < complete:
                found.append(self._levels[above][sibling])
            elif sibling == complete and partial is not None:
                found.append(partial)
            index >>= 1
        return found

    def _edge(self, size: int) -> list[bytes | None]:
        """Return for each level the root over the leaves right of its complete nodes.

        At level l these are the leaves [⌊size/2^l⌋·2^l, size), None where there are
        none. The last level is the first without complete nodes: its edge is the root.
        """
        edge: list[bytes | None] = [None]
        for level in range(size.bit_length()):
            right = edge[-1]
            if (complete := size >> level) & 1:
                left = self._levels[level][complete - 1]
                right = left if right is None else node_hash(left, right)
            edge.append(right)
        return edge

    def _require_size(self, size: int | None, step: str) -> int:
        if size is None:
            return self.size
        if not 0 <= size <= self.size:
            raise VerificationFailed(
                f"no tree of {size} leaves where there are {self.size}", step=step
            )
        return size


def _lift(level: Sequence[bytes]) -> list[bytes]:
    """Return the next level up, a last odd node unchanged."""
    lifted = _pair(level, first=0)
    if len(level) & 1:
        lifted.append(level[-1])
    return lifted


def _pair(level: Sequence[bytes], *, first: int) -> list[bytes]:
    """Return the parents of the complete pairs of a level, from pair ``first`` on."""
    sha256 = hashlib.sha256
    return [
        sha256(b"\x01" + level[left] + level[left + 1]).digest()
        for left in range(2 * first, len(level) - 1, 2)
    ]


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
