# SPDX-License-Identifier: Apache-2.0
"""secagg/encrypted/primes.py: what is found is a safe prime, and nothing is missed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from fedxdr.core.errors import InvalidSettings
from fedxdr.core.randomness import SeededEntropy
from fedxdr.secagg.encrypted import primes
from fedxdr.secagg.encrypted.primes import safe_prime, search_window


def is_probable_prime(n: int) -> bool:
    """Miller-Rabin to the first 20 primes."""
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61):
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


@pytest.mark.parametrize(("bits", "seed"), [(128, 1), (160, 2), (256, 3)])
def test_a_safe_prime_is_one(bits: int, seed: int) -> None:
    p = safe_prime(bits, SeededEntropy(seed))
    assert is_probable_prime(p)
    assert is_probable_prime((p - 1) // 2)
    assert p.bit_length() == bits
    assert p >> (bits - 2) == 3


def test_the_same_entropy_gives_the_same_prime_whatever_runs_it() -> None:
    seen = []

    def backwards(function, jobs: Iterable) -> list:
        jobs = list(jobs)
        seen.append(len(jobs))
        return [function(job) for job in reversed(jobs)][::-1]

    one = safe_prime(128, SeededEntropy(5), at_once=3)
    assert one == safe_prime(128, SeededEntropy(5), at_once=3, run=backwards)
    assert one != safe_prime(128, SeededEntropy(6))
    assert set(seen) == {3}


def test_empty_windows_are_left_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(primes, "WINDOW", 200)
    searched: list[int] = []
    p = safe_prime(128, SeededEntropy(2), progress=searched.append)
    assert is_probable_prime(p // 2)
    assert is_probable_prime(p)
    assert searched == list(range(1, len(searched) + 1))
    assert len(searched) > 1
    assert search_window((128, SeededEntropy(2).draw(32))) == 0


def test_the_sieve_leaves_exactly_what_has_no_small_factor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(primes, "WINDOW", 400)
    monkeypatch.setattr(primes, "_SIEVE_LIMIT", 1000)
    primes._small_primes.cache_clear()
    try:
        small = [q for q in range(3, 1000) if all(q % k for k in range(2, q))]
        assert primes._small_primes().tolist() == small
        start = 2**130 + 1
        want = [
            all((start + 2 * i) % q and (2 * (start + 2 * i) + 1) % q for q in small)
            for i in range(400)
        ]
        assert 0 < sum(want) < 40
        assert np.array_equal(primes._sieved(start), want)
    finally:
        primes._small_primes.cache_clear()


def test_too_short_a_prime_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="at least 128"):
        safe_prime(120, SeededEntropy(1))
