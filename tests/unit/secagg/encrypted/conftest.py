# SPDX-License-Identifier: Apache-2.0
"""Small typed keys, and a whole encrypted round in memory."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytest

from fedxdr.core.ids import Digest, OrgId, org_id
from fedxdr.core.randomness import SeededEntropy, generator
from fedxdr.secagg.encrypted.contributing import encrypt_update, product
from fedxdr.secagg.encrypted.dealing import Dealt, deal
from fedxdr.secagg.encrypted.opening import partial_decrypt
from fedxdr.secagg.encrypted.paillier import PrivateKey
from fedxdr.secagg.encrypted.stages import (
    PartialDecryption,
    Product,
    Terms,
    Upload,
    commit,
)

# Made once by primes.safe_prime; each p and (p - 1) / 2 is prime.
_A = (
    0xD75D3E21FF44322CE34EF1B95D141B657CB12F091531A2F784ED5A2B2F035243,
    0xF48183DCE17550F6442F0B10B901D5A5CA36A98A3E94D9D76887BBCD18D999AB,
)
_B = (
    0xF1C1C2BEC396AC438487FFC7061935D320028633809AF1F062D5B8563ADFAE03,
    0xF1594F61C97D95B6FD61E3D1D5B02F752D6EF4C7B2D70A75C6ADAB609639CC67,
)
_LARGE = (
    0xCEE5F26227EA4AB307421A8B0D13CA62A60993174D6EABAD0E67C813931A5CC7_18A5D60F93D674F71BDCC494C497B2F2231DFCEE3E9A13EC65EAA9D456E66A03,
    0xDC185C902F3BFCB9428DAD63A28E7D2815B8B141E1752312A09BE698178DD412_8E4491906A61194312AA4268B0D55E6B339F58FDF14702259B64E52F74D3B68B,
)
KEYS = {
    name: PrivateKey(p=p, q=q)
    for name, (p, q) in {"a": _A, "b": _B, "large": _LARGE}.items()
}


@functools.cache
def dealt_of(
    name: str = "a", *, n: int = 5, threshold: int = 4, degree: int = 1
) -> Dealt:
    return deal(
        KEYS[name],
        holders=tuple(sorted(org_id(f"org-{index}") for index in range(n))),
        threshold=threshold,
        entropy=SeededEntropy(7),
        degree=degree,
    )


def transcript_of(text: str = "round") -> bytes:
    return hashlib.sha256(text.encode()).digest()


@dataclass(kw_only=True)
class Round:
    """Everything that was made in a round, by whom."""

    dealt: Dealt
    terms: Terms
    words: Mapping[OrgId, np.ndarray]
    uploads: Mapping[OrgId, Upload]
    commitments: Mapping[OrgId, Digest]
    product: Product
    partials: Mapping[OrgId, PartialDecryption]

    @property
    def names(self) -> tuple[OrgId, ...]:
        return self.terms.contributors

    @property
    def plain_sum(self) -> np.ndarray:
        return sum(
            self.words[name].view(np.int32).astype(np.int64)
            for name in self.product.survivors
        )


def play(
    *,
    key: str = "a",
    n: int = 5,
    threshold: int = 4,
    degree: int = 1,
    size: int = 50,
    bits: int = 24,
    min_survivors: int = 2,
    silent: int = 1,
    transcript: bytes | None = None,
) -> Round:
    """Play a round whose last ``silent`` contributors never upload."""
    dealt = dealt_of(key, n=n, threshold=threshold, degree=degree)
    names = dealt.key.holders
    terms = Terms(
        key=dealt.key,
        transcript=transcript or transcript_of(),
        contributors=names,
        min_survivors=min_survivors,
        size=size,
        bits=bits,
    )
    random, limit = generator(3), (1 << (bits - 1)) // n
    words = {
        name: random.integers(-limit, limit, size, dtype=np.int32).view(np.uint32)
        for name in names
    }
    uploads = {
        name: encrypt_update(
            terms, name, words[name], seed=hashlib.sha256(name.encode()).digest()
        )
        for name in names
    }
    commitments = {name: commit(terms, upload) for name, upload in uploads.items()}
    survivors = names[: n - silent]
    made = product(
        terms,
        [uploads[name] for name in survivors],
        survivors=survivors,
        commitments=commitments,
        verified=frozenset(commitments.values()),
    )
    partials = {
        name: partial_decrypt(terms, dealt.shares[name], made, seed=bytes(32))
        for name in names
    }
    return Round(
        dealt=dealt,
        terms=terms,
        words=words,
        uploads=uploads,
        commitments=commitments,
        product=made,
        partials=partials,
    )


@pytest.fixture(scope="session")
def play_round() -> Callable[..., Round]:
    """Return the function that plays a round; equal arguments share one."""
    return functools.cache(play)


@pytest.fixture(scope="session")
def five(play_round) -> Round:
    """Return a round of five at threshold 4, of which the last does not upload."""
    return play_round()


@pytest.fixture(scope="session")
def keys() -> Mapping[str, PrivateKey]:
    """Return private keys: ``a`` and ``b`` of 512 bits, ``large`` of 1,024."""
    return KEYS


@pytest.fixture(scope="session")
def dealt() -> Callable[..., Dealt]:
    """Return the function that deals one of the keys."""
    return dealt_of


@pytest.fixture(scope="session")
def transcript() -> Callable[..., bytes]:
    """Return the function that makes 32 bytes of a word."""
    return transcript_of
