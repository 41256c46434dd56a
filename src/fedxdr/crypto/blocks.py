# SPDX-License-Identifier: Apache-2.0
"""AES as what it is: a keyed permutation of 16-byte blocks, many blocks at once.

It is NOT a cipher for messages: equal blocks give equal results. It serves where that
is wanted (pseudonyms of addresses) and where each block is input only once (a
pseudorandom function).

Rules that always hold: 16 or 32 bytes of key, whole blocks; nothing is kept.

Source: FIPS 197; NIST SP 800-38A, section 6.1 (each block apart).
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from typing_extensions import Buffer

from fedxdr.core.errors import MalformedMessage

BLOCK_BYTES = 16
"""Bytes of one block."""


def permute_blocks(key: bytes, blocks: Buffer, *, inverse: bool = False) -> bytes:
    """Return AES of each block, or its inverse.

    Args:
        key: 16 or 32 secret bytes.
        blocks: contiguous bytes, a multiple of 16, each 16 of them one block.
        inverse: whether to undo the permutation.

    Raises:
        MalformedMessage: a key or a length that is not as above.
    """
    view = memoryview(blocks).cast("B")
    if len(key) not in {16, 32}:
        raise MalformedMessage(f"a block key: got {len(key)} bytes, want 16 or 32")
    if len(view) % BLOCK_BYTES:
        raise MalformedMessage(f"blocks of 16 bytes: got {len(view)} bytes")
    # each block apart is the point: a permutation is asked for, not secrecy of a text
    cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - as said above
    context = cipher.decryptor() if inverse else cipher.encryptor()
    return context.update(view)
