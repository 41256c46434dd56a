# SPDX-License-Identifier: Apache-2.0
"""Krum and multi-Krum: the update, or the mean of those, that most others are near.

WHICH Krum: the score of an update is the sum of its squared distances to the n - f - 2
nearest OTHER updates (itself not counted), as in the paper; well-known libraries that
cite the same paper sum over n - f - 1. Of equal scores the smallest row wins, as there.

The choice is the one that the definition in float64 makes. Scores first come from fast
distances with a bound; only rows that the bound leaves open are scored by definition.

It does NOT weigh by sample count, and it does NOT find out how many are Byzantine: f is
the plan's assumption.

Rules that always hold: those of aggregator.py; n >= 2f + 3, else refused.

Source: Blanchard et al. 2017, "Machine Learning with Adversaries: Byzantine Tolerant
Gradient Descent", section 4 (Krum) and section 5 of its long form (multi-Krum).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedxdr.aggregation.aggregator import Updates, checked
from fedxdr.aggregation.geometry import (
    Distances,
    Matrix,
    distances,
    distances_from,
    median_norm_row,
)
from fedxdr.aggregation.mean import mean_of_rows
from fedxdr.core.errors import InvalidUpdate
from fedxdr.core.layout import Vector

_OPEN_MAX = 4
"""Most rows scored by definition before tighter bounds are asked for."""


def participants_needed(byzantine: int) -> int:
    """Return the smallest n that Krum's guarantee allows: 2f + 3.

    Args:
        byzantine: f, how many participants may be Byzantine, >= 0.

    Raises:
        InvalidUpdate: a negative f.

    Source: Blanchard et al. 2017, Proposition 2: 2f + 2 < n.
    """
    if byzantine < 0:
        raise InvalidUpdate(f"got {byzantine} Byzantine participants, want >= 0")
    return 2 * byzantine + 3


def krum(updates: Updates, *, byzantine: int) -> Vector:
    """Return a copy of the update with the smallest score.

    Args:
        updates: (n, d) float32, finite, one row per participant, n >= 2f + 3.
        byzantine: f, how many participants may be Byzantine, >= 0.

    Returns:
        (d,) float32: one row, as it was sent.

    Raises:
        InvalidUpdate: a wrong shape or dtype, NaN or infinity, n < 2f + 3.

    Source: Blanchard et al. 2017, section 4.
    """
    (row,) = krum_selection(updates, byzantine=byzantine)
    chosen: Vector = updates[row].copy()
    return chosen


def multi_krum(updates: Updates, *, byzantine: int, selected: int) -> Vector:
    """Return the plain mean of the ``selected`` updates with the smallest scores.

    Args:
        updates: (n, d) float32, finite, one row per participant, n >= 2f + 3.
        byzantine: f, how many participants may be Byzantine, >= 0.
        selected: m in [1, n - f]: with more, an attacker would always be among them.
            m = 1 is Krum.

    Returns:
        (d,) float32.

    Raises:
        InvalidUpdate: a wrong shape or dtype, NaN or infinity, n < 2f + 3, m out of
            range.

    Source: Blanchard et al. 2017, multi-Krum.
    """
    rows = krum_selection(updates, byzantine=byzantine, selected=selected)
    return mean_of_rows(updates, rows)


def krum_selection(
    updates: Updates, *, byzantine: int, selected: int = 1
) -> tuple[int, ...]:
    """Return which rows have the smallest scores, in ascending order of rows.

    Args:
        updates: (n, d) float32, finite, one row per participant, n >= 2f + 3.
        byzantine: f, how many participants may be Byzantine, >= 0.
        selected: m, how many rows, in [1, n - f].

    Returns:
        m different rows; of equal scores the smallest row is taken.

    Raises:
        InvalidUpdate: a wrong shape or dtype, NaN or infinity, n < 2f + 3, m out of
            range.

    Source: Blanchard et al. 2017, section 4.
    """
    checked(updates)
    participants = len(updates)
    needed = participants_needed(byzantine)
    if participants < needed:
        raise InvalidUpdate(
            f"got {participants} participants, Krum against {byzantine} Byzantine ones "
            f"needs {needed} (n >= 2f + 3)"
        )
    if not 1 <= selected <= participants - byzantine:
        raise InvalidUpdate(
            f"got {selected} updates to select, want 1 to {participants - byzantine} "
            "(n - f)"
        )
    neighbours = participants - byzantine - 2

    found = distances(updates)
    sure, still_open = _split(found, neighbours=neighbours, selected=selected)
    if len(still_open) > _OPEN_MAX:
        # A far-off first row, overflow, or many copies: centre where attackers have no
        # say, and count in float64.
        found = distances(updates, centre=median_norm_row(updates), double=True)
        sure, still_open = _split(found, neighbours=neighbours, selected=selected)
    missing = selected - len(sure)
    if missing == len(still_open):
        return tuple(sorted(sure + still_open))
    scores = _exact_scores(updates, still_open, neighbours=neighbours)
    ranked = sorted(still_open, key=lambda row: (scores[row], row))
    return tuple(sorted(sure + ranked[:missing]))


def _split(
    found: Distances, *, neighbours: int, selected: int
) -> tuple[list[int], list[int]]:
    """Return the rows that are selected for sure, and the others that may be.

    A score is monotone in each distance, so the true one lies between those of the
    lowest and of the highest distances that the bounds allow.
    """
    low = _scores(np.maximum(found.squared - found.bound, 0), neighbours)
    high = _scores(found.squared + found.bound, neighbours)
    # For sure: fewer than m others can score as low as this row does at worst.
    rivals = (low[np.newaxis, :] <= high[:, np.newaxis]).sum(axis=1)
    sure = rivals <= selected
    # Out for sure: m rows score lower at worst than this one does at best.
    cut = np.partition(high, selected - 1)[selected - 1]
    maybe = (low <= cut) & ~sure
    return np.flatnonzero(sure).tolist(), np.flatnonzero(maybe).tolist()


def _scores(squared: Matrix, neighbours: int) -> npt.NDArray[np.float64]:
    """Return each row's sum of distances to its nearest others, in ascending order."""
    others = squared.copy()
    np.fill_diagonal(others, np.inf)
    others.sort(axis=1)
    return np.asarray(others[:, :neighbours].sum(axis=1))


def _exact_scores(
    updates: Updates, rows: list[int], *, neighbours: int
) -> dict[int, float]:
    """Return the rows' scores by definition; equal rows are scored once."""
    first_like: dict[int, int] = {}
    for row in rows:
        first_like[row] = next(
            (
                other
                for other in dict.fromkeys(first_like.values())
                if np.array_equal(updates[other], updates[row])
            ),
            row,
        )
    different = list(dict.fromkeys(first_like.values()))
    scores: dict[int, float] = {}
    found = distances_from(updates, different)
    for row, squared in zip(different, found, strict=True):
        others = np.delete(squared, row)
        others.sort()
        scores[row] = float(others[:neighbours].sum())
    return {row: scores[other] for row, other in first_like.items()}
