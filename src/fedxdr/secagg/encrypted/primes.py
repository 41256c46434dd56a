# SPDX-License-Identifier: Apache-2.0
"""Safe primes: p = 2 p' + 1 with p' prime, found by sieving windows of candidates.

A window begins at a random odd number; its candidates p' = start + 2 i are sieved by
all small primes that divide p' or 2 p' + 1, and the rest is tested. A window in which
nothing is found is left for another random one. Windows are independent, so a pool
searches several at a time.

It does NOT keep the candidates secret from whoever reads this process's memory, and
integers cannot be wiped in Python: the dealer's process ends after the ceremony.

Rules that always hold: start is drawn from secret entropy; the same entropy gives the
same prime, whatever pool searches; p is prime if p' is (Pocklington 1914: 2^(p-1) = 1
mod p, and p' > sqrt(p)).

Source: incremental search as in Brandt, Damgard 1992; the sieve is that of Eratosthenes
over both progressions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidSettings
from fedxdr.core.randomness import Entropy
from fedxdr.crypto.expand import KeyStream
from fedxdr.secagg.encrypted.integers import Run, big, in_turn, is_prime, power

MIN_BITS = 128
WINDOW = 1 << 17
"""Candidates per window: about every fourth of 1,536 bits holds a safe prime."""

_SIEVE_LIMIT = 1 << 20
_LABEL = "fedxdr/paillier/safe-prime/v1"
_SEED_BYTES = 32


def safe_prime(
    bits: int,
    entropy: Entropy,
    *,
    run: Run = in_turn,
    at_once: int = 1,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Return a random safe prime of exactly ``bits`` bits whose two top bits are set.

    Args:
        bits: length of p, >= 128.
        entropy: 32 bytes are drawn per window.
        run: searches several windows at a time, where a pool's map is given.
        at_once: how many windows it is given at a time, >= 1.
        progress: called with the number of windows searched so far.

    Raises:
        InvalidSettings: too few bits.
    """
    if bits < MIN_BITS:
        raise InvalidSettings(f"a safe prime of {bits} bits: want at least {MIN_BITS}")
    searched = 0
    while True:
        jobs = [(bits, entropy.draw(_SEED_BYTES)) for _ in range(at_once)]
        found = [prime for prime in run(search_window, jobs) if prime]
        searched += at_once
        if progress is not None:
            progress(searched)
        if found:
            return big(found[0])


def search_window(job: tuple[int, bytes]) -> int:
    """Return the first safe prime of one window, 0 where it holds none.

    Args:
        job: bits of p, and the 32-byte seed of the window's beginning.
    """
    bits, seed = job
    start = _start(bits, seed)
    sieve = _sieved(start)
    top = 1 << (bits - 1)
    for index in np.flatnonzero(sieve):
        half = start + 2 * int(index)
        if half >= top:
            break
        if power(2, half - 1, half) != 1:
            continue
        prime = 2 * half + 1
        if power(2, prime - 1, prime) == 1 and is_prime(half):
            return int(prime)
    return 0


def _start(bits: int, seed: bytes) -> int:
    """Return an odd p' of ``bits - 1`` bits, the two top ones set."""
    size = (bits + 6) // 8
    value = int.from_bytes(KeyStream(seed, label=_LABEL).read(size))
    value &= (1 << (bits - 1)) - 1
    return big(value | 3 << (bits - 3) | 1)


def _sieved(start: int) -> npt.NDArray[np.bool_]:
    """Return which of start + 2 i, and twice that plus 1, have no small factor."""
    primes = _small_primes()
    residues = np.array([int(start % int(q)) for q in primes], np.int64)
    halves = (primes + 1) // 2  # inverse of 2
    # q | start + 2 i, and q | 2 (start + 2 i) + 1
    firsts = np.concatenate(
        [
            -residues % primes * halves % primes,
            (primes // 2 - residues) % primes * halves % primes,
        ]
    )
    steps = np.concatenate([primes, primes])
    sieve = np.ones(WINDOW, np.bool_)
    once = steps >= WINDOW
    places = firsts[once]
    sieve[places[places < WINDOW]] = False
    for first, step in zip(firsts[~once].tolist(), steps[~once].tolist(), strict=True):
        sieve[first::step] = False
    return sieve


@functools.lru_cache(maxsize=1)
def _small_primes() -> npt.NDArray[np.int64]:
    """Return the odd primes below the sieve's limit."""
    sieve = np.ones(_SIEVE_LIMIT, np.bool_)
    sieve[:2] = sieve[4::2] = False
    for q in range(3, int(_SIEVE_LIMIT**0.5) + 1, 2):
        if sieve[q]:
            sieve[q * q :: q] = False
    sieve[2] = False
    return np.flatnonzero(sieve).astype(np.int64)
