# SPDX-License-Identifier: Apache-2.0
"""RFC 6962 section 2.1 written down as it is defined, recursion and all; slow."""

import hashlib


def split(n):
    """Return the largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def tree_hash(data):
    """MTH(D[n]) over the data of the leaves, section 2.1."""
    if not data:
        return hashlib.sha256(b"").digest()
    if len(data) == 1:
        return hashlib.sha256(b"\x00" + data[0]).digest()
    k = split(len(data))
    left, right = tree_hash(data[:k]), tree_hash(data[k:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def path(m, data):
    """PATH(m, D[n]), section 2.1.1."""
    if len(data) == 1:
        return []
    k = split(len(data))
    if m < k:
        return [*path(m, data[:k]), tree_hash(data[k:])]
    return [*path(m - k, data[k:]), tree_hash(data[:k])]


def proof(m, data):
    """PROOF(m, D[n]), section 2.1.2."""
    return _subproof(m, data, complete=True)


def _subproof(m, data, *, complete):
    if m == len(data):
        return [] if complete else [tree_hash(data)]
    k = split(len(data))
    if m <= k:
        return [*_subproof(m, data[:k], complete=complete), tree_hash(data[k:])]
    return [*_subproof(m - k, data[k:], complete=False), tree_hash(data[:k])]
