# SPDX-License-Identifier: Apache-2.0
"""Entropy for secrets, generators for everything else; reproducible where promised."""

from __future__ import annotations

import hashlib

from fedxdr.core.randomness import SeededEntropy, SystemEntropy, generator


def test_system_entropy_has_the_size_asked_for_and_never_repeats():
    entropy = SystemEntropy()
    assert [len(entropy.draw(size)) for size in (0, 1, 33)] == [0, 1, 33]
    assert len({entropy.draw(16) for _ in range(100)}) == 100


def test_seeded_entropy_is_a_sequence_of_its_seed():
    one, same, other = SeededEntropy(7), SeededEntropy(7), SeededEntropy(8)
    drawn = [one.draw(32) for _ in range(5)]
    assert drawn == [same.draw(32) for _ in range(5)]
    assert len(set(drawn)) == 5
    assert other.draw(32) not in drawn
    assert SeededEntropy(-7).draw(32) not in drawn


def test_seeded_entropy_is_shake_256_over_seed_and_counter():
    block = (5).to_bytes(16, "big") + (1).to_bytes(8, "big")
    assert SeededEntropy(5).draw(40) == hashlib.shake_256(block).digest(40)


def test_generators_are_reproducible_and_independent():
    assert generator(1, 2).integers(2**60) == generator(1, 2).integers(2**60)
    seen = {int(generator(*s).integers(2**60)) for s in ((1, 2), (2, 1), (1,), (1, 3))}
    assert len(seen) == 4
