# SPDX-License-Identifier: Apache-2.0
"""Which detector an organisation listens to: the federation's, its own, or both.

Joining does not help everybody alike. Where traffic is like nobody else's, a network
fitted on the own past alone is better; where the past is short, the federation's is. A
gate decides it on the organisation's own held-out past: each candidate's scores are
turned into how rare they are there (calibration.py), so that all have one scale, and
the surprise, the negative logarithm of that share, is mixed with weights that are fixed
combinations, in this order of preference: the federation's alone, with the local one,
the local one alone, and then these with the pre-filter, and that alone.

The first in that order is chosen that is not clearly worse than the best: by at most
one standard error of the difference of the areas under the ROC curve, or ``MARGIN``.
Without attacks in the held-out past nothing can be compared: the federation's it is.

It does NOT fit candidates. Those it is given to choose from must not have been fitted
on the held-out past; those that it mixes afterwards may be fitted on everything.

Rules that always hold:
    1. Weights are >= 0 and sum to 1; a candidate that is not there has none.
    2. With all weight on one candidate its scores come out as they went in.
    3. A gate tells of one organisation's past and never leaves it
       (docs/adr/0008-detection.md).

Sources: variance of the difference of two areas on the same rows, DeLong et al. 1988,
equations (5) and (6); rule of one standard error, Breiman et al. 1984, section 3.4.3;
sum of the logarithms of shares, Fisher 1932, section 21.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning.calibration import Calibration

Numbers = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]

FEDERATED: Final = "federated"
LOCAL: Final = "local"
PREFILTER: Final = "prefilter"
CANDIDATES: Final = (FEDERATED, LOCAL, PREFILTER)
"""What a gate can mix."""

MARGIN: Final = 0.005
"""Differences of the area under the ROC curve up to this count for nothing."""

FEWEST_ATTACKS: Final = 5
"""With fewer attack rows in the held-out past there is nothing to choose by."""

OPTIONS: Final[tuple[Mapping[str, float], ...]] = (
    {FEDERATED: 1.0},
    {FEDERATED: 0.5, LOCAL: 0.5},
    {LOCAL: 1.0},
    {FEDERATED: 0.5, PREFILTER: 0.5},
    {FEDERATED: 1 / 3, LOCAL: 1 / 3, PREFILTER: 1 / 3},
    {LOCAL: 0.5, PREFILTER: 0.5},
    {PREFILTER: 1.0},
)
"""Weights that are tried, the first preferred."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gate:
    """A choice of weights, and the scales of those that are mixed.

    Attributes:
        weights: by candidate, > 0, summing to 1.
        scales: by candidate, each one's calibration; at least those with a weight.
        areas: area under the ROC curve on the held-out past of every option that was
            tried, in the order of ``OPTIONS``; empty where there was nothing to choose.
    """

    weights: Mapping[str, float]
    scales: Mapping[str, Calibration]
    areas: tuple[tuple[Mapping[str, float], float], ...] = ()

    def __post_init__(self) -> None:
        if not self.weights or min(self.weights.values()) <= 0:
            raise InvalidTelemetry("a gate's weights are positive")
        if not math.isclose(sum(self.weights.values()), 1.0):
            raise InvalidTelemetry("a gate's weights sum to 1")
        if not set(self.weights) <= set(self.scales):
            raise InvalidTelemetry("a gate needs the scale of each that it mixes")

    @classmethod
    def choose(cls, candidates: Mapping[str, npt.ArrayLike], truth: Truths) -> Self:
        """Return the gate that the held-out past speaks for.

        Args:
            candidates: by name, (n,) scores of the held-out past, of models that were
                not fitted on it; ``federated`` must be among them.
            truth: (n,) mask of the attacks.

        Raises:
            InvalidTelemetry: unknown candidates, no federated one, lengths that differ,
                or no benign rows.
        """
        known = _columns(candidates, truth)
        scales = {
            name: Calibration.fit(scores[~truth]) for name, scores in known.items()
        }
        if truth.sum() < FEWEST_ATTACKS:
            return cls(weights={FEDERATED: 1.0}, scales=scales)
        tried = [option for option in OPTIONS if set(option) <= set(known)]
        mixed = [cls(weights=option, scales=scales).combine(known) for option in tried]
        placed = [_placements(scores, truth) for scores in mixed]
        areas = [float(above.mean()) for above, _ in placed]
        best = int(np.argmax(areas))
        good = [
            areas[best] - area <= max(_standard_error(placed[best], placement), MARGIN)
            for area, placement in zip(areas, placed, strict=True)
        ]
        return cls(
            weights=tried[good.index(True)],
            scales=scales,
            areas=tuple(zip(tried, areas, strict=True)),
        )

    def rescaled(self, benign: Mapping[str, npt.ArrayLike]) -> Self:
        """Return the same weights over other scales: candidates were fitted again.

        Args:
            benign: by name, scores of benign rows that were not trained on.
        """
        return type(self)(
            weights=self.weights,
            scales={
                name: Calibration.fit(scores)
                for name, scores in benign.items()
                if name in CANDIDATES
            },
            areas=self.areas,
        )

    def combine(self, scores: Mapping[str, npt.ArrayLike]) -> Numbers:
        """Return the mixed scores, (n,) float64: higher is more suspicious.

        Args:
            scores: by name, (n,); at least those with a weight.

        Raises:
            InvalidTelemetry: one that has a weight is missing.
        """
        missing = set(self.weights) - set(scores)
        if missing:
            raise InvalidTelemetry(f"the gate also needs {', '.join(sorted(missing))}")
        if len(self.weights) == 1:
            (name,) = self.weights
            return np.asarray(scores[name], np.float64)
        parts = [
            -weight * self.scales[name].log_share(scores[name])
            for name, weight in self.weights.items()
        ]
        return np.asarray(sum(parts), np.float64)


def _columns(
    candidates: Mapping[str, npt.ArrayLike], truth: Truths
) -> dict[str, Numbers]:
    known = {
        name: np.asarray(scores, np.float64) for name, scores in candidates.items()
    }
    if FEDERATED not in known or not set(known) <= set(CANDIDATES):
        raise InvalidTelemetry(
            f"got candidates {', '.join(sorted(known))}: want {FEDERATED} and maybe "
            f"{LOCAL}, {PREFILTER}"
        )
    if any(scores.shape != truth.shape for scores in known.values()):
        raise InvalidTelemetry("a gate needs one score of each candidate per row")
    if truth.all():
        raise InvalidTelemetry("a gate needs benign rows")
    return known


def _placements(scores: Numbers, truth: Truths) -> tuple[Numbers, Numbers]:
    """Return, per attack, the share of benign rows below it, and the other way round.

    Returns:
        (attacks,) and (benign,) float64 in [0, 1]; ties count half. Either mean is the
        area under the ROC curve.
    """
    attacks, benign = scores[truth], scores[~truth]
    return _below(benign, attacks), 1.0 - _below(attacks, benign)


def _below(of: Numbers, values: Numbers) -> Numbers:
    ordered = np.sort(of)
    low = np.searchsorted(ordered, values, side="left")
    high = np.searchsorted(ordered, values, side="right")
    return (low + high) / (2 * len(of))


def _standard_error(
    one: tuple[Numbers, Numbers], two: tuple[Numbers, Numbers]
) -> float:
    """Return that of the difference of two areas over the same rows."""
    squares = [
        float((a - b).var(ddof=1)) / len(a) if len(a) > 1 else 0.0
        for a, b in zip(one, two, strict=True)
    ]
    return math.sqrt(sum(squares))
