# SPDX-License-Identifier: Apache-2.0
"""One secret made into many: HKDF for keys, AES-256-CTR for long streams.

``hkdf`` derives keys and seeds; ``KeyStream`` expands a seed into as many bytes as a
mask or a rounding needs. A seed is always used whole, under a label that says what for;
two labels give independent streams.

It does NOT draw randomness (core/randomness.py) and keeps nothing: whoever holds seed
and label can make the stream again, which is what replay needs.

Rules that always hold: no seed is folded, truncated or shown; a stream refuses to run
into its counter's end.

Sources: RFC 5869 (HKDF); NIST SP 800-38A, section 6.5 (counter mode). The counter block
begins at ``0^12 || 0x00000002``: this is the key stream of AES-256-GCM under the zero
nonce (NIST SP 800-38D, section 7.1, whose first data block is inc32(J0)), so that the
vectorised GCM code of OpenSSL makes the same bytes as plain CTR, in less time.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from typing_extensions import Buffer

from fedxdr.core.errors import MalformedMessage

SEED_BYTES = 32
"""Fewest bytes of a seed: 256 bits."""

STREAM_LIMIT_BYTES = 2**36 - 32
"""Most bytes of one stream: the 32-bit counter, SP 800-38D section 5.2.1.1."""

_ZERO_BYTES = 1 << 18
_ZEROS = memoryview(bytes(_ZERO_BYTES))
_NONCE = bytes(12)


def hkdf(
    secret: bytes, *, label: str, context: bytes = b"", size_bytes: int = 32
) -> bytes:
    """Return HKDF-SHA256(secret, no salt, info = label || 0x00 || context).

    Args:
        secret: key material of at least 32 bytes, uniform or the output of an
            agreement.
        label: what the result is for, with a version; ASCII without NUL, so that label
            and context can never be split in two ways.
        context: public bytes the result is bound to.
        size_bytes: length of the result, 1 to 8,160.

    Raises:
        MalformedMessage: a secret, label or length out of these bounds.
    """
    if len(secret) < SEED_BYTES:
        raise MalformedMessage(f"a secret: got {len(secret)} bytes, want >= 32")
    if not label or not label.isascii() or "\x00" in label:
        raise MalformedMessage("a label is ASCII text without NUL")
    if not 1 <= size_bytes <= 255 * 32:
        raise MalformedMessage(f"HKDF output: got {size_bytes} bytes, want 1 to 8160")
    info = label.encode() + b"\x00" + context
    return HKDF(hashes.SHA256(), size_bytes, None, info).derive(secret)


class KeyStream:
    """An endless-seeming sequence of bytes made from a seed and a label.

    Read in pieces or at once, the bytes are the same.

    Args:
        seed: 32 bytes or more, all of which count.
        label: what the stream is for, as for ``hkdf``.

    Raises:
        MalformedMessage: a seed or label ``hkdf`` refuses.
    """

    __slots__ = ("_left_bytes", "_update_into")

    def __init__(self, seed: bytes, *, label: str) -> None:
        key = hkdf(seed, label=label)
        # The tag is never made or used: this is GCM's counter mode alone.
        encryptor = Cipher(algorithms.AES256(key), modes.GCM(_NONCE)).encryptor()
        self._update_into = encryptor.update_into
        self._left_bytes = STREAM_LIMIT_BYTES

    def read_into(self, buffer: Buffer) -> None:
        """Fill a writable, contiguous buffer with the next bytes of the stream.

        Raises:
            MalformedMessage: the stream's 2^36 - 32 bytes are used up.
        """
        view = memoryview(buffer).cast("B")
        size = len(view)
        if size > self._left_bytes:
            raise MalformedMessage("a key stream ends after 2^36 - 32 bytes")
        self._left_bytes -= size
        if size <= _ZERO_BYTES:  # the usual case, in a loop that counts
            self._update_into(_ZEROS[:size], view)
            return
        for begin in range(0, size, _ZERO_BYTES):
            part = view[begin : begin + _ZERO_BYTES]
            self._update_into(_ZEROS[: len(part)], part)

    def read(self, size_bytes: int) -> bytes:
        """Return the next bytes of the stream.

        Args:
            size_bytes: how many, >= 0.
        """
        buffer = bytearray(size_bytes)
        self.read_into(buffer)
        return bytes(buffer)
