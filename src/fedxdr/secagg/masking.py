# SPDX-License-Identifier: Apache-2.0
"""Masks: seeds made into streams of 32-bit words, added to and taken from a vector.

The ring is uint32 modulo 2^32. For a pair (u, v) with u < v, u adds the pair's stream
and v subtracts it; everyone adds a stream of their own (the self mask).

It does NOT know who dropped out: the caller says which seeds to add and which to
subtract (client.py, server.py).

Rules that always hold: every seed is bound to the transcript of the round, so that a
model, plan, cohort or key list that differs between two organisations leaves noise and
no sum; the accumulator is changed in place, in blocks that stay in the second-level
cache.

Source: Bonawitz et al. 2017, section 4, "masking with one-time pads" and "double-
masking"; model-dependent seeds against an orchestrator that sends different models:
Pasquini et al. 2022, section 6.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidUpdate, MalformedMessage
from fedxdr.core.ids import OrgId
from fedxdr.crypto.expand import KeyStream, hkdf

Words = npt.NDArray[np.uint32]
"""(d,) uint32: a quantised, masked or summed vector in the ring modulo 2^32."""

TRANSCRIPT_BYTES = 32
BLOCK_BYTES = 192 * 1024
"""How much is worked on at a time: block, stream and zeros fit a 1 MiB cache."""

_STREAM_LABEL = "fedxdr/secagg/mask-stream/v1"
_SELF_LABEL = "fedxdr/secagg/self-mask/v1"
_PAIR_LABEL = "fedxdr/secagg/pair-mask/v1"
_WORD_BYTES = 4


def self_mask_seed(self_seed: bytes, *, transcript: bytes) -> bytes:
    """Return the seed of an organisation's own mask.

    Args:
        self_seed: b_u, 32 bytes.
        transcript: 32-byte digest of the round's transcript.
    """
    _want_transcript(transcript)
    return hkdf(self_seed, label=_SELF_LABEL, context=transcript)


def pair_mask_seed(
    agreed: bytes, salt: bytes, *, low: OrgId, high: OrgId, transcript: bytes
) -> bytes:
    """Return the seed of a pair's mask, HKDF(X25519 || r_uv, transcript || names).

    Args:
        agreed: X25519 secret of the two mask keys, 32 bytes.
        salt: r_uv, 32 bytes, which travelled under ML-KEM-768.
        low: the one of the two whose name sorts first; it adds the mask.
        high: the other; it subtracts.
        transcript: 32-byte digest of the round's transcript.

    Raises:
        MalformedMessage: the names in the wrong order, or a wrong length.
    """
    _want_transcript(transcript)
    if low >= high:
        raise MalformedMessage("a pair is named in the order of its names")
    if len(salt) != TRANSCRIPT_BYTES:
        raise MalformedMessage(f"a pair salt: got {len(salt)} bytes, want 32")
    context = transcript + low.encode() + b"\x00" + high.encode()
    return hkdf(agreed + salt, label=_PAIR_LABEL, context=context)


def apply(
    accumulator: Words, *, add: Sequence[bytes] = (), subtract: Sequence[bytes] = ()
) -> None:
    """Add and subtract the streams of these seeds, in place, modulo 2^32.

    Args:
        accumulator: (d,) uint32, contiguous and writable.
        add: seeds whose streams are added.
        subtract: seeds whose streams are subtracted.

    Raises:
        InvalidUpdate: an accumulator of another type, shape or layout.
    """
    if (
        accumulator.dtype != np.uint32
        or accumulator.ndim != 1
        or not accumulator.flags.c_contiguous
    ):
        raise InvalidUpdate(
            f"a vector to mask: got {accumulator.dtype} of shape {accumulator.shape}, "
            "want contiguous uint32 of shape (d,)"
        )
    added = [KeyStream(seed, label=_STREAM_LABEL) for seed in add]
    subtracted = [KeyStream(seed, label=_STREAM_LABEL) for seed in subtract]
    # Streams are little-endian words on every machine.
    scratch = np.empty(min(BLOCK_BYTES // _WORD_BYTES, accumulator.size), dtype="<u4")
    buffer = scratch.data.cast("B")
    for begin in range(0, accumulator.size, max(scratch.size, 1)):
        block = accumulator[begin : begin + scratch.size]
        words = scratch[: block.size]
        filled = buffer[: block.nbytes]
        for stream in added:
            stream.read_into(filled)
            np.add(block, words, out=block)
        for stream in subtracted:
            stream.read_into(filled)
            np.subtract(block, words, out=block)


def _want_transcript(transcript: bytes) -> None:
    if len(transcript) != TRANSCRIPT_BYTES:
        raise MalformedMessage(f"a transcript: got {len(transcript)} bytes, want 32")
