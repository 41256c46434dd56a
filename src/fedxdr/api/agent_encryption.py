# SPDX-License-Identifier: Apache-2.0
"""A gradient under somebody's Paillier key: what ``POST /privacy/encrypt`` does.

The values are quantised as the plan in force says, packed into as few plaintexts as
they need and encrypted; ciphertexts of several organisations multiply to the encryption
of their sum, and python-paillier reads them.

It does NOT take part in a round: there an upload is bound to its round and proven
(secagg/encrypted/contributing.py), and a loose ciphertext is not accepted.

Rules that always hold: exponents and rounding come fresh from the system's entropy;
nothing is encrypted under a key that is too short; the key is checked for form, not for
who owns it: whoever names the key decides who can read.
"""

from __future__ import annotations

import base64
import binascii
import functools
from dataclasses import dataclass

from fedxdr.api.agent_forms import PaillierKey
from fedxdr.core.errors import InvalidSettings, MalformedMessage
from fedxdr.core.ids import sha256
from fedxdr.core.layout import Vector
from fedxdr.core.randomness import Entropy
from fedxdr.crypto.expand import KeyStream
from fedxdr.secagg import quantise
from fedxdr.secagg.encrypted.integers import to_bytes, uniform
from fedxdr.secagg.encrypted.paillier import (
    MAX_MODULUS_BITS,
    PublicKey,
    encrypt,
    fresh_exponent,
)
from fedxdr.secagg.encrypted.slots import Slots, pack

MIN_MODULUS_BITS = 2048
"""Shortest modulus under which an organisation's gradient is encrypted."""

_MOST_DIGITS = 2467
_BASE_LABEL = "fedxdr/api/paillier-base/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation:
    """How real values become integers whose sums cannot wrap.

    Attributes:
        bound: largest absolute value, the plan's clip norm.
        bits: width of the sum.
        participants: how many ciphertexts may be summed.
    """

    bound: float
    bits: int
    participants: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Encrypted:
    """A gradient's ciphertexts and how to read their sum.

    A plaintext, taken as a signed number, is sum of q_j 2^(slot_bits (k - 1 - j)) over
    its k = slots_per_ciphertext slots; a sum of q_j is read as q_j / steps_per_unit.

    Attributes:
        ciphertexts: base64 of all, each ciphertext_bytes long, big-endian.
        ciphertext_bytes: length of one.
        slots_per_ciphertext: values in one.
        slot_bits: width of a slot.
        values: d, how many values there are.
        steps_per_unit: integer steps that 1.0 of one organisation has in the sum; the
            mean over all participants has participants times as many.
    """

    ciphertexts: str
    ciphertext_bytes: int
    slots_per_ciphertext: int
    slot_bits: int
    values: int
    steps_per_unit: float


def encrypted(
    values: Vector,
    key: PublicKey,
    *,
    quantisation: Quantisation,
    entropy: Entropy,
) -> Encrypted:
    """Return a gradient under a public key.

    Args:
        values: (d,) float32, finite and within the bound, d >= 1.
        key: of ``public_key``.
        quantisation: from the plan in force.
        entropy: of the system.

    Raises:
        InvalidUpdate: a value above the bound.
        InvalidPlan: a quantisation that cannot work.
    """
    slots = Slots(
        size=values.size, bits=quantisation.bits, plaintext_bits=key.plaintext_bits
    )
    words = quantise.quantise(
        values,
        bound=quantisation.bound,
        bits=quantisation.bits,
        participants=quantisation.participants,
        weight=1,
        total_weight=quantisation.participants,
        seed=entropy.draw(32),
    )
    numbers = [
        encrypt(key, plaintext, fresh_exponent(entropy))
        for plaintext in pack(slots, words)
    ]
    scale = quantise.scale_of(
        bound=quantisation.bound,
        bits=quantisation.bits,
        participants=quantisation.participants,
    )
    data = to_bytes(numbers, key.ciphertext_bytes)
    return Encrypted(
        ciphertexts=base64.b64encode(data).decode(),
        ciphertext_bytes=key.ciphertext_bytes,
        slots_per_ciphertext=slots.per_plaintext,
        slot_bits=slots.width,
        values=values.size,
        steps_per_unit=scale / quantisation.participants,
    )


def public_key(form: PaillierKey | str) -> PublicKey:
    """Return the key a body names.

    Args:
        form: n in decimal, as text or as ``{"n": …}``: python-paillier's key; or
            modulus, base and degree of a ceremony's key.

    Raises:
        MalformedMessage: none of these.
        InvalidSettings: a modulus below 2,048 bits.
    """
    if isinstance(form, str):
        form = PaillierKey(n=form)
    if form.n is not None:
        if form.modulus is not None or form.base is not None or form.degree != 1:
            raise MalformedMessage("a key has n alone, or modulus, base and degree")
        key = _from_modulus(_decimal(form.n))
    elif form.modulus is not None and form.base is not None:
        key = PublicKey(
            modulus=_base64(form.modulus), base=_base64(form.base), degree=form.degree
        )
    else:
        raise MalformedMessage("a key has n, or modulus and base")
    if 8 * len(key.modulus) < MIN_MODULUS_BITS:
        raise InvalidSettings(
            f"a key of {8 * len(key.modulus)} bits is too short to hide a gradient: "
            f"use one of {MIN_MODULUS_BITS} bits or more"
        )
    return key


@functools.lru_cache(maxsize=4)
def _from_modulus(n: int) -> PublicKey:
    """Return the key of n alone; its base is a square that n itself determines."""
    size = (n.bit_length() + 7) // 8
    modulus = n.to_bytes(size)
    seed = bytes.fromhex(sha256(_BASE_LABEL.encode(), b"\x00", modulus))
    root = uniform(KeyStream(seed, label=_BASE_LABEL), n)
    return PublicKey(modulus=modulus, base=int(root * root % n).to_bytes(size))


def _decimal(number: int | str) -> int:
    bad = MalformedMessage("n is a whole number in decimal, of at most 8,192 bits")
    if isinstance(number, str):
        # before int(): no text of a megabyte is turned into a number
        if not number.isascii() or not number.isdigit() or len(number) > _MOST_DIGITS:
            raise bad
        number = int(number)
    if number < 1 or number.bit_length() > MAX_MODULUS_BITS:
        raise bad
    return number


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedMessage("modulus and base are base64") from error
