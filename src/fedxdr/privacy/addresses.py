# SPDX-License-Identifier: Apache-2.0
"""Pseudonyms of network addresses that are addresses: ipcrypt, over whole arrays.

``deterministic`` maps an address to a random-looking IPv6 address. ``prefix`` keeps
structure: two addresses whose first k bits agree have pseudonyms whose first k bits
agree, and no more; IPv4 stays IPv4. Who holds the key can undo both.

It does NOT hide which addresses share a subnet (``prefix`` shows it on purpose), nor
how often one occurs. Whoever knows a few pairs learns the prefixes of their neighbours.

Rule 1: addresses are 16 bytes in network order; IPv4 is ``::ffff:a.b.c.d``.
Rule 2: both halves of a prefix key differ, or nothing would be hidden.

Source: draft-denis-ipcrypt-13, sections "ipcrypt-deterministic" and "ipcrypt-pfx".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidSettings, MalformedMessage
from fedxdr.crypto.blocks import BLOCK_BYTES, permute_blocks

Addresses = npt.NDArray[np.uint8]
"""(n, 16) uint8, one address per row, network order."""

DETERMINISTIC_KEY_BYTES: Final = 16
PREFIX_KEY_BYTES: Final = 32
_MAPPED: Final = np.frombuffer(bytes(10) + b"\xff\xff", np.uint8)
_ONE: Final = np.uint64(1)
_BATCH: Final = 1 << 15
"""Rows at a time: keeps the working set of ``prefix`` near 2 MB."""


def parse(texts: Sequence[str]) -> Addresses:
    """Return addresses as rows of bytes.

    Args:
        texts: IPv4 or IPv6 addresses; a zone (``%eth0``) is left out.

    Raises:
        MalformedMessage: a text that is no address.
    """
    rows = bytearray()
    for text in texts:
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError as error:
            raise MalformedMessage("not a network address") from error
        if isinstance(address, ipaddress.IPv4Address):
            rows += b"\x00" * 10 + b"\xff\xff"
        rows += address.packed
    return np.frombuffer(bytes(rows), np.uint8).reshape(-1, BLOCK_BYTES)


def show(rows: Addresses) -> list[str]:
    """Return rows of bytes as text; mapped ones in dotted form.

    Args:
        rows: (n, 16) uint8.
    """
    is_ipv4 = _is_mapped(_checked(rows))
    data = np.ascontiguousarray(rows).tobytes()
    return [
        str(ipaddress.IPv4Address(data[at + 12 : at + 16]))
        if mapped
        else str(ipaddress.IPv6Address(data[at : at + 16]))
        for at, mapped in zip(range(0, len(data), 16), is_ipv4, strict=True)
    ]


def deterministic(rows: Addresses, key: bytes, *, inverse: bool = False) -> Addresses:
    """Return AES-128 of each address.

    Args:
        rows: (n, 16) uint8.
        key: 16 secret bytes.
        inverse: whether to undo it.

    Raises:
        InvalidSettings: a key of another length.
        MalformedMessage: rows that are not (n, 16) uint8.
    """
    if len(key) != DETERMINISTIC_KEY_BYTES:
        raise InvalidSettings(f"a key of 16 bytes is needed, got {len(key)}")
    blocks = np.ascontiguousarray(_checked(rows))
    out = permute_blocks(key, blocks.data, inverse=inverse)
    return np.frombuffer(out, np.uint8).reshape(rows.shape)


def prefix(rows: Addresses, key: bytes, *, inverse: bool = False) -> Addresses:
    """Return addresses under which shared prefixes stay shared.

    Bit i of a pseudonym is bit i of the address, XOR the lowest bit of
    AES(K1, p) XOR AES(K2, p), where p is ``0...0 || 1 || the address's first i bits``.
    Each distinct prefix is computed once per batch.

    Args:
        rows: (n, 16) uint8.
        key: 32 secret bytes: K1 || K2.
        inverse: whether to undo it.

    Raises:
        InvalidSettings: a key of another length, or with two equal halves.
        MalformedMessage: rows that are not (n, 16) uint8.
    """
    if len(key) != PREFIX_KEY_BYTES:
        raise InvalidSettings(f"a key of 32 bytes is needed, got {len(key)}")
    if key[:16] == key[16:]:
        raise InvalidSettings("the halves of a prefix key must differ")
    result = _checked(rows).copy()
    mapped = _is_mapped(rows)
    for is_short in (True, False):
        chosen = np.flatnonzero(mapped == is_short)
        for begin in range(0, len(chosen), _BATCH):
            part = chosen[begin : begin + _BATCH]
            result[part] = _prefix_batch(rows[part], key, is_short, inverse)
    return result


def _prefix_batch(
    rows: Addresses, key: bytes, is_short: bool, inverse: bool
) -> Addresses:
    """Return the pseudonyms of one batch: all IPv4 or all IPv6."""
    words = np.ascontiguousarray(rows).view(">u8").astype(np.uint64)
    if inverse:
        return _undone(words, key, is_short)
    unique, back = np.unique(words, axis=0, return_inverse=True)
    high, low = unique[:, 0].copy(), unique[:, 1].copy()
    first = 96 if is_short else 0
    out_high, out_low = np.zeros_like(high), np.zeros_like(low)
    for bit in range(first, 128):
        flips = _flips(high, low, bit, key)
        if bit < 64:
            out_high |= (high & (_ONE << np.uint64(63 - bit))) ^ (
                flips << np.uint64(63 - bit)
            )
        else:
            out_low |= (low & (_ONE << np.uint64(127 - bit))) ^ (
                flips << np.uint64(127 - bit)
            )
    if is_short:
        out_low |= np.uint64(0xFFFF_0000_0000)
    both = np.stack([out_high, out_low], axis=1)[back.reshape(-1)]
    return both.astype(">u8").view(np.uint8).reshape(-1, BLOCK_BYTES)


def _flips(
    high: npt.NDArray[np.uint64], low: npt.NDArray[np.uint64], bit: int, key: bytes
) -> npt.NDArray[np.uint64]:
    """Return the pseudorandom bit of each address's first ``bit`` bits.

    The rows are sorted, so that equal prefixes stand together.
    """
    top, rest = _padded(high, low, bit)
    is_new = np.ones(len(top), np.bool_)
    is_new[1:] = (top[1:] != top[:-1]) | (rest[1:] != rest[:-1])
    blocks = np.stack([top[is_new], rest[is_new]], axis=1).astype(">u8")
    ones = np.frombuffer(permute_blocks(key[:16], blocks.data), np.uint8)[15::16]
    twos = np.frombuffer(permute_blocks(key[16:], blocks.data), np.uint8)[15::16]
    flips = ((ones ^ twos) & np.uint8(1)).astype(np.uint64)
    return np.asarray(flips[np.cumsum(is_new) - 1], np.uint64)


def _padded(
    high: npt.NDArray[np.uint64], low: npt.NDArray[np.uint64], bit: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return ``0...0 || 1 || first bits`` as two words; the IPv4 form starts at 96."""
    if bit == 0:
        return np.zeros_like(high), np.ones_like(low)
    if bit < 64:
        return np.zeros_like(high), (high >> np.uint64(64 - bit)) | (
            _ONE << np.uint64(bit)
        )
    if bit == 64:
        return np.ones_like(high), high
    shift = np.uint64(128 - bit)
    kept = np.uint64(bit - 64)
    top = (high >> shift) | (_ONE << kept)
    return top, (high << kept) | (low >> shift)


def _undone(words: npt.NDArray[np.uint64], key: bytes, is_short: bool) -> Addresses:
    """Return the addresses of pseudonyms, bit after bit: each needs those before it."""
    high, low = words[:, 0].copy(), words[:, 1].copy()
    for bit in range(96 if is_short else 0, 128):
        order = np.lexsort((low, high))
        flips = np.empty_like(high)
        flips[order] = _flips(high[order], low[order], bit, key)
        if bit < 64:
            high ^= flips << np.uint64(63 - bit)
        else:
            low ^= flips << np.uint64(127 - bit)
    both = np.stack([high, low], axis=1).astype(">u8")
    return both.view(np.uint8).reshape(-1, BLOCK_BYTES)


def _checked(rows: Addresses) -> Addresses:
    if rows.ndim != 2 or rows.shape[1] != BLOCK_BYTES or rows.dtype != np.uint8:
        raise MalformedMessage(f"addresses are (n, 16) uint8, got {rows.shape}")
    return rows


def _is_mapped(rows: Addresses) -> npt.NDArray[np.bool_]:
    return np.asarray((rows[:, :12] == _MAPPED).all(axis=1))
