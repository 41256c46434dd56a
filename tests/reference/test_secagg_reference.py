# SPDX-License-Identifier: Apache-2.0
"""A slow SecAgg, written from the definitions, that must give the same numbers.

Python integers throughout: HKDF from HMAC (RFC 5869), X25519 by the Montgomery ladder
(RFC 7748, section 5), AES-256 one counter block at a time, Shamir by evaluating the
polynomial and by Lagrange's formula, masks word by word. Only AES itself, and the seals
(whose content is fixed by what is compared), come from a library.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
from fractions import Fraction

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.ids import OrgId
from fedxdr.core.randomness import generator
from fedxdr.crypto.exchange import HybridPublicKey
from fedxdr.secagg import client, server
from fedxdr.secagg.derivation import derive_secrets
from fedxdr.secagg.quantise import dequantise, quantise
from fedxdr.secagg.stages import Partition, Roster

P = 2**256 + 297
Q = 2**255 - 19


def hkdf(secret: bytes, label: str, context: bytes = b"", size: int = 32) -> bytes:
    """RFC 5869 with no salt; info = label || 0x00 || context."""
    prk = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    info, okm, block = label.encode() + b"\x00" + context, b"", b""
    for counter in itertools.count(1):
        if len(okm) >= size:
            return okm[:size]
        block = hmac.new(prk, block + info + bytes([counter]), hashlib.sha256).digest()
        okm += block
    raise AssertionError


def x25519(scalar: bytes, point: int) -> bytes:
    """RFC 7748, section 5: the Montgomery ladder."""
    k = int.from_bytes(scalar, "little")
    k = (k & ~7 & (2**254 - 1)) | 2**254
    x1, x2, z2, x3, z3, swap = point, 1, 0, point, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % Q, x1 * (da - cb) ** 2 % Q
        x2, z2 = aa * bb % Q, e * (aa + 121665 * e) % Q
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, -1, Q) % Q).to_bytes(32, "little")


def stream(seed: bytes, label: str, size: int) -> bytes:
    """AES-256 of the counter blocks 0^12 || 2, 0^12 || 3, …"""
    key = hkdf(seed, label)
    one_block = modes.ECB()  # noqa: S305 - counter mode by its definition
    aes = Cipher(algorithms.AES256(key), one_block).encryptor()
    blocks = [aes.update(bytes(12) + c.to_bytes(4)) for c in range(2, 3 + size // 16)]
    return b"".join(blocks)[:size]


def mask_words(seed: bytes, size: int) -> list[int]:
    raw = stream(seed, "fedxdr/secagg/mask-stream/v1", 4 * size)
    return [int.from_bytes(raw[4 * i : 4 * i + 4], "little") for i in range(size)]


class Party:
    """One organisation, by the derivation tree of the design."""

    def __init__(self, name: str, entropy: bytes) -> None:
        self.name = name
        self.b = hkdf(entropy, "fedxdr/secagg/self-seed/v1")
        self.m = hkdf(entropy, "fedxdr/secagg/mask-master/v1")
        self.coefficients = hkdf(entropy, "fedxdr/secagg/shamir-coefficients/v1")
        mask_seed = hkdf(self.m, "fedxdr/secagg/mask-key/v1")
        self.mask_private = hkdf(mask_seed, "fedxdr/hybrid/x25519/v1")
        self.mask_public = x25519(self.mask_private, 9)

    def salt(self, peer: str, transcript: bytes) -> bytes:
        return hkdf(self.m, "fedxdr/secagg/pair-salt/v1", transcript + peer.encode())


def pair_seed(one: Party, two: Party, transcript: bytes) -> bytes:
    low, high = sorted((one, two), key=lambda party: party.name)
    public = int.from_bytes(high.mask_public, "little") % 2**255
    return hkdf(
        x25519(low.mask_private, public) + low.salt(high.name, transcript),
        "fedxdr/secagg/pair-mask/v1",
        transcript + low.name.encode() + b"\x00" + high.name.encode(),
    )


def masked_by_definition(
    me: Party, peers: list[Party], words: list[int], transcript: bytes
) -> list[int]:
    """Bonawitz et al. 2017: y_u = x_u + PRG(b_u) + sum_{u<v} - sum_{v<u}, mod 2^32."""
    own = hkdf(me.b, "fedxdr/secagg/self-mask/v1", transcript)
    total = [x + p for x, p in zip(words, mask_words(own, len(words)), strict=True)]
    for peer in peers:
        sign = 1 if me.name < peer.name else -1
        seed = pair_seed(me, peer, transcript)
        masks = mask_words(seed, len(words))
        total = [x + sign * p for x, p in zip(total, masks, strict=True)]
    return [x % 2**32 for x in total]


def shares_by_definition(
    secret: bytes, coefficients: bytes, *, kind: str, t: int, n: int, transcript: bytes
) -> list[int]:
    label = f"fedxdr/secagg/shamir-{kind}/v1"
    seed = hkdf(coefficients, label, transcript + t.to_bytes(4))
    raw = stream(seed, label, 33 * 40 * t)  # far more than is ever rejected
    polynomial = [int.from_bytes(secret)]
    for i in itertools.count():
        if len(polynomial) == t:
            break
        candidate = int.from_bytes(raw[33 * i : 33 * i + 33]) % 2**257
        if candidate < P:
            polynomial.append(candidate)
    return [
        sum(c * x**power for power, c in enumerate(polynomial)) % P
        for x in range(1, n + 1)
    ]


def interpolate_at_zero(shares: dict[int, int]) -> int:
    total = 0
    for i, y in shares.items():
        term = y
        for j in shares:
            if j != i:
                term = term * -j * pow(i - j, -1, P) % P
        total += term
    return total % P


def test_the_ladder_gives_the_vectors_of_rfc_7748() -> None:
    scalar = bytes.fromhex(
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
    )
    assert x25519(scalar, 9).hex() == (
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    )


@settings(max_examples=12, deadline=None)
@given(
    n=st.integers(3, 5),
    size=st.integers(1, 9),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_the_fast_protocol_is_the_slow_one(
    n: int, size: int, seed: int, data: st.DataObject
) -> None:
    random = generator(seed)
    threshold = data.draw(st.integers(n // 2 + 1, n), label="threshold")
    dropouts = data.draw(st.integers(0, n - threshold), label="dropouts")
    names = [OrgId(f"o-{index}") for index in range(n)]
    transcript = random.bytes(32)
    entropy = {name: random.bytes(32) for name in names}
    slow = {name: Party(name, entropy[name]) for name in names}

    # Keys.
    secrets = {name: derive_secrets(entropy[name]) for name in names}
    roster = Roster(
        keys={name: secrets[name].round_keys for name in names},
        transcript=transcript,
        threshold=threshold,
        min_survivors=2,
    )
    for name in names:
        assert isinstance(roster.keys[name].mask, HybridPublicKey)
        assert roster.keys[name].mask.x25519 == slow[name].mask_public

    # Shares: what each peer opened is the polynomial at its point.
    members = {
        name: client.join(secrets[name], roster=roster, me=name) for name in names
    }
    mails = [mail for name in names for mail in client.make_mail(members[name])]
    opened = {
        name: client.open_mail(
            members[name], [mail for mail in mails if mail.recipient == name]
        )
        for name in names
    }
    slow_shares = {}
    for owner in names:
        for kind, which, secret in (
            ("self", "self_share", slow[owner].b),
            ("key", "key_share", slow[owner].m),
        ):
            slow_shares[owner, kind] = shares_by_definition(
                secret,
                slow[owner].coefficients,
                kind=kind,
                t=threshold,
                n=n,
                transcript=transcript,
            )
            got = [
                int.from_bytes(getattr(opened[helper].held[owner], which))
                for helper in names
            ]
            assert got == slow_shares[owner, kind]

    # Masked vectors, word by word.
    plain = {name: random.integers(0, 2**32, size, dtype=np.uint32) for name in names}
    survivors = names[: n - dropouts]
    masked = {}
    for name in survivors:
        masked[name] = client.mask(members[name], opened[name], plain[name])
        peers = [slow[peer] for peer in names if peer != name]
        assert masked[name].tolist() == masked_by_definition(
            slow[name], peers, plain[name].tolist(), transcript
        )

    # Recovery: Lagrange's formula on any t shares, and the opened sum.
    partition = Partition.of(survivors, participants=names)
    answers = {
        name: client.answer_unmasking(members[name], opened[name], partition)
        for name in survivors
    }
    revealed = server.recover(roster, partition, answers).revealed
    helpers = range(1, threshold + 1)
    for owner, secret in revealed.self_seeds.items():
        shares = {x: slow_shares[owner, "self"][x - 1] for x in helpers}
        assert interpolate_at_zero(shares) == int.from_bytes(secret)
    for owner, secret in revealed.mask_masters.items():
        shares = {x: slow_shares[owner, "key"][x - 1] for x in helpers}
        assert interpolate_at_zero(shares) == int.from_bytes(secret)
    total = server.open_sum(
        masked.items(),
        size=size,
        roster=roster,
        partition=partition,
        revealed=revealed,
        mails=mails,
    )
    want = [sum(int(plain[name][i]) for name in survivors) for i in range(size)]
    assert [value % 2**32 for value in total.tolist()] == [x % 2**32 for x in want]


@pytest.mark.parametrize("bits", [8, 16, 24, 31])
def test_quantised_sums_are_those_of_fractions(bits: int) -> None:
    # Every quantised value is one of the two integers around scale * w/W * x, in exact
    # rational arithmetic, up to the float32 rounding of the product.

    random = generator(bits)
    n, bound, weights = 4, 0.75, [1, 2, 4, 2]
    total_weight = sum(weights)
    scale = Fraction(2 ** (bits - 1) - n) / Fraction(bound) * (1 - Fraction(1, 2**18))
    total, exact = np.zeros(200, dtype=np.int64), [Fraction(0)] * 200
    for index, weight in enumerate(weights):
        x = random.uniform(-bound, bound, 200).astype(np.float32)
        q = quantise(
            x,
            bound=bound,
            bits=bits,
            participants=n,
            weight=weight,
            total_weight=total_weight,
            seed=bytes([index]) * 32,
        ).view(np.int32)
        for position, value in enumerate(x):
            y = scale * weight / total_weight * Fraction(float(value))
            assert abs(int(q[position]) - y) < 1 + abs(y) * Fraction(3, 2**24)
            exact[position] += Fraction(weight, total_weight) * Fraction(float(value))
        total += q
    assert abs(total).max() < 2 ** (bits - 1)
    mean = dequantise(
        total.astype(np.int32),
        bound=bound,
        bits=bits,
        participants=n,
        survivors_weight=total_weight,
        total_weight=total_weight,
    )
    for got, want in zip(mean, exact, strict=True):
        assert abs(Fraction(float(got)) - want) < n / scale + Fraction(3, 2**24)
