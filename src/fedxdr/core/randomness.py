# SPDX-License-Identifier: Apache-2.0
"""Randomness, handed in.

Two kinds that never mix: **entropy** (secret bytes, from the operating system) and
**generators** (reproducible, for sampling and initialisation, never for secrets).
"""

from __future__ import annotations

import hashlib
import os
from typing import Protocol

import numpy as np


class Entropy(Protocol):
    """A source of secret bytes."""

    def draw(self, size_bytes: int) -> bytes:
        """Return that many fresh, unpredictable bytes."""


class SystemEntropy:
    """The operating system's generator."""

    def draw(self, size_bytes: int) -> bytes:
        """Return that many bytes from ``os.urandom``."""
        return os.urandom(size_bytes)


class SeededEntropy:
    """Reproducible bytes for simulations and tests: SHAKE-256(seed || counter).

    It does NOT protect anything: whoever knows the seed knows every byte.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed.to_bytes(16, "big", signed=True)
        self._drawn = 0

    def draw(self, size_bytes: int) -> bytes:
        """Return the next bytes of the sequence."""
        self._drawn += 1
        block = self._seed + self._drawn.to_bytes(8, "big")
        return hashlib.shake_256(block).digest(size_bytes)


def generator(*seed: int) -> np.random.Generator:
    """Return a reproducible generator (PCG64) for anything that is not a secret.

    Args:
        seed: one or more integers >= 0; different tuples give independent streams.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
