# SPDX-License-Identifier: Apache-2.0
"""Measures of a detector: what it finds at a given rate of false alarms.

Functions of labels and scores; a measure that is not defined (no attack, no benign
event) is NaN, never a number.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64] | npt.NDArray[np.float32]


def threshold_at(scores_of_benign: Scores, rate: float) -> float:
    """Return the lowest score above which at most ``rate`` of benign events lie.

    The ceil(n (1 - rate))-th smallest of n scores; an event alarms if its score is
    strictly above it.

    Args:
        scores_of_benign: (n,) scores of benign events.
        rate: share of false alarms allowed, in [0, 1).
    """
    n = len(scores_of_benign)
    if n == 0:
        return math.nan
    ordered = np.sort(np.asarray(scores_of_benign, dtype=np.float64))
    place = math.ceil(n * (1 - rate))
    return float(ordered[max(place, 1) - 1])


def recall_at(labels: Labels, scores: Scores, *, rate: float) -> float:
    """Return the share of attacks found when ``rate`` of benign events alarm.

    Args:
        labels: (n,) True for attacks.
        scores: (n,) higher is more suspicious.
        rate: share of false alarms allowed, in [0, 1).
    """
    attacks = scores[labels]
    threshold = threshold_at(scores[~labels], rate)
    if len(attacks) == 0 or math.isnan(threshold):
        return math.nan
    return float((attacks > threshold).mean())
