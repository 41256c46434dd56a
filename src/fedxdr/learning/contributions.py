# SPDX-License-Identifier: Apache-2.0
"""Bounded contributions: at most so many events of one host take part.

A host with a million events would need noise for a million. Under unit ``entity`` each
host keeps a random sample of its events, and what is dropped leaves the training
examples and everybody's context alike. Removing the host then takes away at most
``most`` examples and changes at most ``most * K * keys`` others.

It does NOT compute features; it must run before them.

Rules that always hold:
    1. Each event belongs to one host, so that removing a host frees no place at
       another, and no event of another enters or leaves because of it.
    2. Who is kept follows from secret random numbers, one per event, and not from what
       the events say.

Source: bounded contributions as in Wilson et al. 2020, section 2 (user-level bounding
by reservoir sampling).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidPlan
from fedxdr.core.randomness import Entropy
from fedxdr.crypto.expand import SEED_BYTES, KeyStream
from fedxdr.models.graph import Integers

LABEL: Final = "fedxdr/bounded-contributions/v1"


def bounded(entity: Integers, *, most: int, entropy: Entropy) -> npt.NDArray[np.bool_]:
    """Return which events are kept.

    Args:
        entity: (n,) int64, the host that each event belongs to.
        most: events kept per host, >= 1.
        entropy: secret bytes.

    Returns:
        (n,) bool: of each host its events with the smallest secret numbers, at most
        ``most`` of them.

    Raises:
        InvalidPlan: ``most`` is below 1.
    """
    if most < 1:
        raise InvalidPlan(f"got {most} events per host, want at least 1")
    numbers = np.empty(len(entity), "<u8")
    KeyStream(entropy.draw(SEED_BYTES), label=LABEL).read_into(numbers.data)
    order = np.lexsort((numbers, entity))
    grouped = entity[order]
    rank = np.empty(len(entity), np.int64)
    rank[order] = np.arange(len(entity)) - np.searchsorted(grouped, grouped, "left")
    return np.asarray(rank < most)
