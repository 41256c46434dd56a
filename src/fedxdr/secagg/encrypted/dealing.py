# SPDX-License-Identifier: Apache-2.0
"""The dealer's part: one private key cut into shares, any t of n of which decrypt.

What is shared is d = n^(-s) mod m', the exponent that takes n^s-th roots of squares mod
n (m' is the order of the squares), by a polynomial of degree t - 1 mod m', as Shoup
shares an RSA key with e = n^s. opening.py says why a root is all that decryption needs.
With v a random square, v_i = v^(s_i) commits to the share of holder i, so that a wrong
answer can be named.

The dealer is trusted: it sees p and q. It is one organisation's offline machine, at the
ceremony only; nothing secret but the sealed shares leaves it. It does NOT send them.

Rules that always hold: 3 t > 2 n; holders are ordered by name and holder i's point is
its place, from 1; a share travels sealed to its holder, bound to key and name; whoever
opens it checks it against v_i.

Sources: Shoup 2000, section 3; Damgard, Jurik 2001, section 4.1 (threshold Paillier
with the same shares and proofs, there with d = 0 mod m', d = 1 mod n^s).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from fedxdr.core import canonical
from fedxdr.core.errors import (
    InvalidPlan,
    InvalidShare,
    MalformedMessage,
    UnknownSender,
)
from fedxdr.core.ids import Digest, OrgId
from fedxdr.core.randomness import Entropy
from fedxdr.crypto.exchange import HybridPrivateKey, HybridPublicKey
from fedxdr.crypto.expand import SEED_BYTES, KeyStream
from fedxdr.crypto.sealing import open_sealed, seal
from fedxdr.secagg.encrypted.integers import (
    big,
    inverse,
    parse_elements,
    secret_power,
    uniform,
)
from fedxdr.secagg.encrypted.paillier import PrivateKey, PublicKey, ring

MAX_HOLDERS = 100
"""Above, the factorial in every exponent costs more than the share itself."""

_KEY_LABEL = "fedxdr/paillier/threshold-key/v1"
_DEAL_LABEL = "fedxdr/paillier/deal/v1"
_SHARE_CONTEXT = b"fedxdr/paillier/share/v1\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdKey:
    """A public key whose private half is shared; plain bytes, for the ledger.

    Attributes:
        encryption: what contributors encrypt under.
        threshold: t, how many holders decrypt; 3 t > 2 n and t <= n.
        holders: who holds a share, in the order of their names; 2 to 100.
        verification_base: v, a random square mod n, as long as n.
        verification_keys: v^(s_i) mod n of each holder, in their order.
    """

    encryption: PublicKey
    threshold: int
    holders: tuple[OrgId, ...]
    verification_base: bytes
    verification_keys: tuple[bytes, ...]

    def __post_init__(self) -> None:
        check_threshold(self.threshold, self.holders)
        parse_elements(
            b"".join((self.verification_base, *self.verification_keys)),
            what="verification keys",
            count=len(self.holders) + 1,
            width_bytes=self.encryption.element_bytes,
            modulus=ring(self.encryption).n,
        )

    @property
    def fingerprint(self) -> Digest:
        """SHA-256 over label and canonical form: what people compare."""
        return canonical.fingerprint(_KEY_LABEL, self)

    @property
    def factorial(self) -> int:
        """N! of the n holders, the paper's Delta: it clears Lagrange's denominators."""
        return math.factorial(len(self.holders))

    def point(self, holder: OrgId) -> int:
        """Return where the polynomial is evaluated for a holder: 1 to n.

        Raises:
            UnknownSender: no holder of this key.
        """
        try:
            return self.holders.index(holder) + 1
        except ValueError:
            raise UnknownSender(f"{holder} holds no share of this key") from None

    def verification_key(self, holder: OrgId) -> int:
        """Return v^(s_i) mod n of a holder."""
        return big(int.from_bytes(self.verification_keys[self.point(holder) - 1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretShare:
    """One holder's share; its representation does not show it.

    Attributes:
        holder: whose it is.
        value: s_i, as long as n, big-endian.
    """

    holder: OrgId
    value: bytes = field(repr=False)

    @property
    def exponent(self) -> int:
        """s_i as an integer."""
        return big(int.from_bytes(self.value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """What a dealer made.

    Attributes:
        key: public, for all.
        shares: one per holder, each to be sealed to it and forgotten.
    """

    key: ThresholdKey
    shares: Mapping[OrgId, SecretShare] = field(repr=False)


def check_threshold(threshold: int, holders: tuple[OrgId, ...]) -> None:
    """Return if these holders can share a key at this threshold.

    Raises:
        MalformedMessage: names out of order or twice.
        InvalidPlan: too few or too many holders, or a threshold that two thirds of them
            could meet.
    """
    n = len(holders)
    if list(holders) != sorted(set(holders)):
        raise MalformedMessage("holders are listed once, in the order of their names")
    if not 2 <= n <= MAX_HOLDERS:
        raise InvalidPlan(f"{n} holders of a key: want 2 to {MAX_HOLDERS}")
    if not 2 * n < 3 * threshold <= 3 * n:
        raise InvalidPlan(
            f"threshold {threshold} of {n} holders: it must be above two thirds of "
            f"them, {2 * n // 3 + 1} to {n}"
        )


def deal(
    private: PrivateKey,
    *,
    holders: tuple[OrgId, ...],
    threshold: int,
    entropy: Entropy,
    degree: int = 1,
) -> Dealt:
    """Return a public key and a share of its private half for each holder.

    Args:
        private: two safe primes; the caller forgets them afterwards.
        holders: in the order of their names.
        threshold: t, above two thirds of them.
        entropy: 32 secret bytes are drawn.
        degree: s of the cryptosystem; d depends on it.

    Raises:
        MalformedMessage: names out of order.
        InvalidPlan: too few or too many holders, or a threshold out of range.
    """
    check_threshold(threshold, holders)
    order = private.squares_order
    n = big(int.from_bytes(private.modulus))
    stream = KeyStream(entropy.draw(SEED_BYTES), label=_DEAL_LABEL)
    width = len(private.modulus)
    base, verification_base = (_random_square(stream, n) for _ in range(2))
    polynomial = [
        inverse(n**degree % order, order),
        *(uniform(stream, order) for _ in range(threshold - 1)),
    ]
    shares: dict[OrgId, SecretShare] = {}
    verification_keys = []
    for point, holder in enumerate(holders, start=1):
        value = big(0)
        for coefficient in reversed(polynomial):
            value = (value * point + coefficient) % order
        shares[holder] = SecretShare(holder=holder, value=int(value).to_bytes(width))
        verification_keys.append(secret_power(verification_base, value, n))
    key = ThresholdKey(
        encryption=PublicKey(
            modulus=private.modulus, base=int(base).to_bytes(width), degree=degree
        ),
        threshold=threshold,
        holders=holders,
        verification_base=int(verification_base).to_bytes(width),
        verification_keys=tuple(int(v).to_bytes(width) for v in verification_keys),
    )
    return Dealt(key=key, shares=shares)


def seal_share(
    key: ThresholdKey, share: SecretShare, recipient: HybridPublicKey
) -> bytes:
    """Return a share sealed to its holder, 1,136 bytes longer than n; never twice same.

    Args:
        key: what it is a share of.
        share: whose holder holds ``recipient``.
        recipient: the holder's ceremony key.

    Raises:
        MalformedMessage: a public key that is none.
    """
    return seal(recipient, share.value, context=_share_context(key, share.holder))


def open_share(
    key: ThresholdKey, holder: OrgId, sealed: bytes, private: HybridPrivateKey
) -> SecretShare:
    """Return our share, checked against the key's verification keys.

    Args:
        key: as the ledger has it.
        holder: our name.
        sealed: what the dealer sealed for us.
        private: our ceremony key.

    Raises:
        UnknownSender: we are no holder.
        MalformedMessage: too short a box.
        InvalidShare: a box that does not open, or a share that is not the one committed
            to: ask for another ceremony.
    """
    committed = key.verification_key(holder)
    value = open_sealed(private, sealed, context=_share_context(key, holder))
    if len(value) != key.encryption.element_bytes:
        raise InvalidShare(f"the share of {holder} has a wrong length")
    share = SecretShare(holder=holder, value=value)
    n = ring(key.encryption).n
    base = big(int.from_bytes(key.verification_base))
    if not 0 < share.exponent < n or secret_power(base, share.exponent, n) != committed:
        raise InvalidShare(
            f"the share of {holder} is not the one its verification key commits to"
        )
    return share


@functools.lru_cache(maxsize=64)
def lagrange_at_zero(points: tuple[int, ...], factorial: int) -> tuple[int, ...]:
    """Return Delta times Lagrange's coefficients at 0, which are integers.

    Shoup 2000, section 3: lambda_i = Delta prod_j j / (j - i) over the other points j.

    Args:
        points: distinct, in [1, n].
        factorial: Delta = n!.
    """
    row = []
    for i in points:
        numerator, denominator = factorial, 1
        for j in points:
            if j != i:
                numerator *= j
                denominator *= j - i
        quotient, rest = divmod(numerator, denominator)
        if rest:
            raise InvalidPlan("points above the number of holders")
        row.append(quotient)
    return tuple(row)


def _random_square(stream: KeyStream, n: int) -> int:
    """Return a random square mod n: a generator of them all but with 2^-|p| chance."""
    root = uniform(stream, n)
    return root * root % n


def _share_context(key: ThresholdKey, holder: OrgId) -> bytes:
    return _SHARE_CONTEXT + bytes.fromhex(key.fingerprint) + holder.encode()
