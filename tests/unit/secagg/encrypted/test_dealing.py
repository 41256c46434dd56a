# SPDX-License-Identifier: Apache-2.0
"""secagg/encrypted/dealing.py: shares, their commitments, and their sealed way."""

from __future__ import annotations

import dataclasses
import itertools
import math
from fractions import Fraction

import pytest

from fedxdr.core import canonical
from fedxdr.core.errors import (
    InvalidPlan,
    InvalidShare,
    MalformedMessage,
    UnknownSender,
)
from fedxdr.core.ids import org_id
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.exchange import HybridPrivateKey
from fedxdr.secagg.encrypted.dealing import (
    SecretShare,
    ThresholdKey,
    check_threshold,
    deal,
    lagrange_at_zero,
    open_share,
    seal_share,
)

NAMES = tuple(org_id(f"org-{index}") for index in range(5))


def secret_of(values: dict[int, int], order: int) -> int:
    """Lagrange at 0, over the order of the squares."""
    total = 0
    for i, value in values.items():
        numerator = denominator = 1
        for j in values:
            if j != i:
                numerator = numerator * -j % order
                denominator = denominator * (i - j) % order
        total += value * numerator * pow(denominator, -1, order)
    return total % order


@pytest.mark.parametrize(("n", "threshold"), [(2, 2), (3, 3), (5, 4), (6, 5)])
@pytest.mark.parametrize("degree", [1, 2])
def test_any_t_shares_give_the_root_exponent_and_fewer_do_not(
    dealt, keys, n: int, threshold: int, degree: int
) -> None:
    made = dealt(n=n, threshold=threshold, degree=degree)
    order, modulus = keys["a"].squares_order, int.from_bytes(keys["a"].modulus)
    values = {
        point: int(made.shares[holder].exponent)
        for point, holder in enumerate(made.key.holders, start=1)
    }
    want = pow(modulus**degree, -1, order)
    for points in itertools.combinations(values, threshold):
        assert secret_of({i: values[i] for i in points}, order) == want
    for points in itertools.combinations(values, threshold - 1):
        assert secret_of({i: values[i] for i in points}, order) != want


def test_verification_keys_commit_to_the_shares(dealt, keys) -> None:
    made = dealt()
    n = int.from_bytes(keys["a"].modulus)
    v = int.from_bytes(made.key.verification_base)
    assert pow(v, keys["a"].squares_order, n) == 1  # a square
    h = int.from_bytes(made.key.encryption.base)
    assert pow(h, keys["a"].squares_order, n) == 1
    assert len({v, h, 1}) == 3
    for point, holder in enumerate(NAMES, start=1):
        assert made.key.point(holder) == point
        share = int.from_bytes(made.shares[holder].value)
        assert made.key.verification_key(holder) == pow(v, share, n)
    assert len(set(made.key.verification_keys)) == 5


def test_dealing_again_gives_the_same_from_the_same_entropy_only(keys) -> None:
    def made(seed):
        return deal(keys["a"], holders=NAMES, threshold=4, entropy=SeededEntropy(seed))

    assert made(1) == made(1)
    assert made(1).key.encryption.base != made(2).key.encryption.base
    assert made(1).shares[NAMES[0]] != made(2).shares[NAMES[0]]


def test_shares_and_dealt_show_nothing(dealt) -> None:
    made = dealt()
    share = made.shares[NAMES[0]]
    assert share.value.hex() not in repr(made) + repr(share)
    assert repr(share) == "SecretShare(holder='org-0')"


def test_a_key_has_one_form_and_a_name(dealt) -> None:
    key = dealt().key
    assert canonical.decode(canonical.encode(key), ThresholdKey) == key
    other = dataclasses.replace(
        key, verification_keys=tuple(reversed(key.verification_keys))
    )
    assert other.fingerprint != key.fingerprint
    assert dataclasses.replace(key, threshold=5).fingerprint != key.fingerprint
    assert key.factorial == 120


@pytest.mark.parametrize("n", range(2, 12))
def test_the_threshold_is_above_two_thirds(n: int) -> None:
    names = tuple(org_id(f"org-{index:02}") for index in range(n))
    allowed = []
    for threshold in range(n + 3):
        try:
            check_threshold(threshold, names)
        except InvalidPlan as error:
            assert f"threshold {threshold} of {n}" in str(error)  # noqa: PT017 - text
        else:
            allowed.append(threshold)
    assert allowed == [t for t in range(n + 1) if Fraction(t, n) > Fraction(2, 3)]


def test_holders_are_two_to_a_hundred_and_in_order(keys) -> None:
    many = tuple(org_id(f"org-{index:03}") for index in range(101))
    for names in (NAMES[:1], (), many):
        with pytest.raises(InvalidPlan, match="holders of a key"):
            check_threshold(len(names), names)
    for names in (NAMES[::-1], (NAMES[0], *NAMES)):
        with pytest.raises(MalformedMessage, match="order"):
            check_threshold(len(names), names)
        with pytest.raises(MalformedMessage, match="order"):
            deal(keys["a"], holders=names, threshold=4, entropy=SeededEntropy(1))
    with pytest.raises(InvalidPlan, match="two thirds"):
        deal(keys["a"], holders=NAMES, threshold=3, entropy=SeededEntropy(1))


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"threshold": 3}, InvalidPlan, "two thirds"),
        ({"holders": NAMES[:4]}, MalformedMessage, "verification keys"),
        ({"holders": NAMES[::-1]}, MalformedMessage, "order"),
        ({"verification_base": bytes(64)}, MalformedMessage, "out of range"),
        ({"verification_keys": (b"\x01" * 64,) * 4}, MalformedMessage, "bytes"),
        ({"verification_keys": (b"\xff" * 64,) * 5}, MalformedMessage, "out of"),
    ],
)
def test_keys_that_cannot_be(dealt, fields, error, message) -> None:
    with pytest.raises(error, match=message):
        dataclasses.replace(dealt().key, **fields)


def test_a_stranger_has_no_point(dealt) -> None:
    with pytest.raises(UnknownSender, match="stranger holds no share"):
        dealt().key.point(org_id("stranger"))


def test_a_sealed_share_opens_for_its_holder_alone(dealt) -> None:
    made = dealt()
    mine = HybridPrivateKey.from_seed(b"\x01" * 32)
    other = HybridPrivateKey.from_seed(b"\x02" * 32)
    sealed = seal_share(made.key, made.shares[NAMES[1]], mine.public)
    assert open_share(made.key, NAMES[1], sealed, mine) == made.shares[NAMES[1]]
    assert made.shares[NAMES[1]].value not in sealed
    with pytest.raises(InvalidShare, match="does not open"):
        open_share(made.key, NAMES[1], sealed, other)
    with pytest.raises(InvalidShare, match="does not open"):  # another's name
        open_share(made.key, NAMES[2], sealed, mine)
    renamed = dataclasses.replace(made.key, threshold=5)  # another key
    with pytest.raises(InvalidShare, match="does not open"):
        open_share(renamed, NAMES[1], sealed, mine)
    with pytest.raises(UnknownSender):
        open_share(made.key, org_id("stranger"), sealed, mine)
    with pytest.raises(MalformedMessage):
        open_share(made.key, NAMES[1], sealed[:100], mine)
    flipped = bytes([*sealed[:-1], sealed[-1] ^ 1])
    with pytest.raises(InvalidShare, match="does not open"):
        open_share(made.key, NAMES[1], flipped, mine)


def test_a_dealer_that_seals_another_share_is_found_out(dealt) -> None:
    made = dealt()
    mine = HybridPrivateKey.from_seed(b"\x01" * 32)
    right = made.shares[NAMES[0]].value
    for value, message in (
        (made.shares[NAMES[1]].value, "commits to"),
        (bytes([*right[:-1], right[-1] ^ 1]), "commits to"),
        (bytes(64), "commits to"),
        (b"\xff" * 64, "commits to"),
        (right[1:], "length"),
        (b"\x00" + right, "length"),
    ):
        sealed = seal_share(
            made.key, SecretShare(holder=NAMES[0], value=value), mine.public
        )
        with pytest.raises(InvalidShare, match=message):
            open_share(made.key, NAMES[0], sealed, mine)


@pytest.mark.parametrize("n", [2, 5, 9])
def test_lagrange_coefficients_are_the_factorial_times_lagranges(n: int) -> None:
    factorial = math.factorial(n)
    for points in itertools.combinations(range(1, n + 1), max(1, n - 2)):
        row = lagrange_at_zero(points, factorial)
        for i, found in zip(points, row, strict=True):
            want = Fraction(factorial)
            for j in points:
                if j != i:
                    want *= Fraction(j, j - i)
            assert found == want
        assert sum(row) == factorial
    with pytest.raises(InvalidPlan, match="above"):
        lagrange_at_zero((1, 3), 1)
