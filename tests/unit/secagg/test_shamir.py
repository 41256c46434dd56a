# SPDX-License-Identifier: Apache-2.0
"""secagg/shamir.py: the field, every subset, and what is refused."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidShare, TooFewParticipants
from fedxdr.crypto.expand import KeyStream
from fedxdr.secagg.shamir import (
    PRIME,
    combine,
    evaluate,
    lagrange_row,
    parse_share,
    split,
)

SECRET = bytes(range(32))


def stream(label: str = "test") -> KeyStream:
    return KeyStream(bytes(32), label=label)


def is_probable_prime(n: int) -> bool:
    """Miller-Rabin to the first 40 primes."""
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    bases = [p for p in range(2, 174) if all(p % q for q in range(2, p))]
    assert len(bases) == 40
    for base in bases:
        x = pow(base, odd, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def test_the_modulus_is_the_least_prime_above_2_to_the_256() -> None:
    assert PRIME == 2**256 + 297
    assert is_probable_prime(PRIME)
    assert not any(is_probable_prime(n) for n in range(2**256 + 1, PRIME, 2))


@settings(max_examples=30, deadline=None)
@given(
    secret=st.binary(min_size=32, max_size=32),
    n=st.integers(1, 7),
    data=st.data(),
)
def test_every_subset_of_threshold_shares_gives_the_secret(
    secret: bytes, n: int, data: st.DataObject
) -> None:
    threshold = data.draw(st.integers(1, n))
    points = range(1, n + 1)
    shares = dict(
        zip(
            points,
            split(secret, threshold=threshold, points=points, coefficients=stream()),
            strict=True,
        )
    )
    for subset in itertools.combinations(points, threshold):
        assert combine({point: shares[point] for point in subset}) == secret


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32])
def test_the_ends_of_the_secrets_range(secret: bytes) -> None:
    shares = split(secret, threshold=2, points=[1, 2, 3], coefficients=stream())
    assert combine({2: shares[1], 3: shares[2]}) == secret


def test_fewer_shares_give_something_else() -> None:
    shares = split(SECRET, threshold=3, points=[1, 2, 3], coefficients=stream())
    # Two points admit every secret: there is a quadratic through any f(0).
    assert combine({1: shares[0], 2: shares[1]}) != SECRET


def test_a_share_is_the_polynomial_at_its_point() -> None:
    # Written out: f(x) = s + c x with c the first 257 bits of the stream below PRIME.
    reader = stream()
    c = PRIME
    while c >= PRIME:
        c = int.from_bytes(reader.read(33)) % 2**257
    s = int.from_bytes(SECRET)
    shares = split(SECRET, threshold=2, points=[1, 5], coefficients=stream())
    assert [int.from_bytes(share) for share in shares] == [
        (s + c) % PRIME,
        (s + 5 * c) % PRIME,
    ]


def test_splitting_again_gives_the_same_shares_and_another_stream_others() -> None:
    first = split(SECRET, threshold=2, points=[1, 2], coefficients=stream())
    assert first == split(SECRET, threshold=2, points=[1, 2], coefficients=stream())
    assert first != split(SECRET, threshold=2, points=[1, 2], coefficients=stream("o"))


def test_evaluate_finds_the_other_shares() -> None:
    shares = split(SECRET, threshold=2, points=[1, 2, 9], coefficients=stream())
    two = {1: shares[0], 2: shares[1]}
    assert evaluate(two, at=9) == parse_share(shares[2])
    assert evaluate(two, at=0) == int.from_bytes(SECRET)


def test_lagrange_rows_sum_to_one() -> None:
    # The polynomial 1 is 1 at every point.
    assert sum(lagrange_row((1, 4, 6), 0)) % PRIME == 1
    assert lagrange_row((1, 4), 4) == (0, 1)


def test_a_wrong_share_gives_another_secret() -> None:
    # Lagrange's coefficients at 0 for the points 1 and 2 are 2 and -1.
    shares = split(SECRET, threshold=2, points=[1, 2], coefficients=stream())
    wrong = ((parse_share(shares[0]) + 1) % PRIME).to_bytes(33)
    got = combine({1: wrong, 2: shares[1]})
    assert int.from_bytes(got) == int.from_bytes(SECRET) + 2


def test_a_result_above_32_bytes_is_refused() -> None:
    # Threshold 1: the share is the value itself.
    with pytest.raises(InvalidShare, match="no 32-byte secret"):
        combine({1: (2**256).to_bytes(33)})


@pytest.mark.parametrize("share", [bytes(32), bytes(34), PRIME.to_bytes(33)])
def test_malformed_shares_are_refused(share: bytes) -> None:
    with pytest.raises(InvalidShare):
        parse_share(share)
    with pytest.raises(InvalidShare):
        combine({1: share})


@pytest.mark.parametrize("points", [[], [0, 1], [1, 1], [-1, 2], [1, PRIME]])
def test_points_that_hide_nothing_are_refused(points: list[int]) -> None:
    with pytest.raises(InvalidShare):
        split(SECRET, threshold=1, points=points, coefficients=stream())


@pytest.mark.parametrize("threshold", [0, 4])
def test_a_threshold_nobody_can_meet_is_refused(threshold: int) -> None:
    with pytest.raises(TooFewParticipants):
        split(SECRET, threshold=threshold, points=[1, 2, 3], coefficients=stream())


def test_a_secret_of_another_length_is_refused() -> None:
    with pytest.raises(InvalidShare):
        split(bytes(31), threshold=1, points=[1], coefficients=stream())


def test_combining_nothing_is_refused() -> None:
    with pytest.raises(InvalidShare):
        combine({})
    with pytest.raises(InvalidShare):
        combine({0: bytes(33)})


@pytest.mark.parametrize(
    "points", [(1,), (2, 1), (1, 2, 3), (9, 4, 30, 1), (3, 1000, 7, 2, 999, 500)]
)
def test_coefficients_are_those_of_lagranges_formula(points: tuple[int, ...]) -> None:
    for at in (0, 1, 4, 8, 1000, PRIME - 1):
        want = []
        for i in points:
            value = 1
            for j in points:
                if j != i:
                    value *= (at - j) * pow(i - j, -1, PRIME)
            want.append(value % PRIME)
        assert lagrange_row(points, at) == tuple(want)
