# SPDX-License-Identifier: Apache-2.0
"""How good scores are, and what a security team would see of it.

All functions take scores (higher is more suspicious) and truth, and return None where
the figure is not defined, never NaN.

Rules that always hold: a row alarms when its score is strictly above the threshold; a
threshold for a false-alarm budget lets at most that share of the benign rows alarm.

Sources: area under the ROC curve by ranks (Mann-Whitney, ties count half); average
precision as in Manning et al. 2008, section 8.4, over distinct scores.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry

Scores = npt.NDArray[np.floating]
Labels = npt.NDArray[np.integer] | npt.NDArray[np.bool_]


def threshold(benign: Scores, *, budget: float) -> float | None:
    """Return the smallest benign score that keeps to a false-alarm budget.

    Args:
        benign: (n,) scores of benign rows.
        budget: in [0, 1); at most ``floor(budget * n)`` of them lie above the result.

    Returns:
        the threshold, None without benign rows.
    """
    if not 0 <= budget < 1:
        raise InvalidTelemetry(f"a false-alarm budget lies in [0, 1), got {budget}")
    if benign.size == 0:
        return None
    allowed = int(np.floor(budget * benign.size + 1e-9))
    return float(np.sort(benign)[benign.size - allowed - 1])


def share_above(scores: Scores, bar: float | None) -> float | None:
    """Return which part of the scores lies above a bar; None without either."""
    if bar is None or scores.size == 0:
        return None
    return float((scores > bar).mean())


def recall(scores: Scores, malicious: Labels, *, budget: float) -> float | None:
    """Return the recall at a false-alarm rate measured on the same rows.

    Args:
        scores: (n,).
        malicious: (n,), 1 where the row is part of an attack.
        budget: share of the benign rows that may alarm, in [0, 1).
    """
    truth = _truth(scores, malicious)
    return share_above(scores[truth], threshold(scores[~truth], budget=budget))


def family_recall(
    scores: Scores, family: npt.NDArray[np.integer], *, bar: float | None
) -> dict[int, float]:
    """Return the recall of each attack family at one threshold.

    Args:
        scores: (n,).
        family: (n,), 0 benign, others one number per family.
        bar: the threshold; None gives no figures.
    """
    if scores.shape != family.shape:
        raise InvalidTelemetry(f"got {family.shape} families for {scores.shape} scores")
    if bar is None:
        return {}
    return {
        int(number): float((scores[family == number] > bar).mean())
        for number in np.unique(family[family != 0])
    }


def area_under_curve(scores: Scores, malicious: Labels) -> float | None:
    """Return the area under the ROC curve; None unless both classes are there."""
    truth = _truth(scores, malicious)
    positive, negative = int(truth.sum()), int((~truth).sum())
    if not positive or not negative:
        return None
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    rank = (last - (count - 1) / 2)[place]
    wins = rank[truth].sum() - positive * (positive + 1) / 2
    return float(wins / (positive * negative))


def average_precision(scores: Scores, malicious: Labels) -> float | None:
    """Return the area under precision over recall; None unless both classes are there.

    Equal scores enter together.
    """
    truth = _truth(scores, malicious)
    positive = int(truth.sum())
    if not positive or positive == truth.size:
        return None
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    listed = scores[order]
    ends = np.flatnonzero(np.append(listed[1:] != listed[:-1], values=True))
    precision = hits[ends] / (ends + 1)
    gained = np.diff(np.concatenate([[0], hits[ends]])) / positive
    return float((precision * gained).sum())


def mean_of(figures: Mapping[int, float]) -> float | None:
    """Return the mean over families, each weighing the same; None of none."""
    return float(np.mean(list(figures.values()))) if figures else None


def _truth(scores: Scores, malicious: Labels) -> npt.NDArray[np.bool_]:
    if scores.shape != malicious.shape or scores.ndim != 1:
        raise InvalidTelemetry(
            f"got {malicious.shape} labels for {scores.shape} scores, want (n,) both"
        )
    if not np.isfinite(scores).all():
        raise InvalidTelemetry("a score is NaN or infinite")
    return np.asarray(malicious == 1)
