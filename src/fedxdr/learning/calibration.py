# SPDX-License-Identifier: Apache-2.0
"""How rare a score is by an organisation's own benign past, and its threshold.

``Calibration.fit`` takes scores of benign events that no model was trained on.
``share`` then says which part of such events is expected to score as high as a given
number; ``threshold`` is its inverse, from a budget of false alarms.

Between the smallest and the largest score that were seen, the share is that of the
rows, drawn straight from one to the next. Beyond the largest it goes on along a
generalised Pareto law that was fitted to the highest tenth, so that a budget of 0.1 %
has a threshold where only 400 rows are known. The law is never given an end: that
nothing scored higher in a few hundred rows does not say that nothing can.

It does NOT hold the rows apart from training (learning/methods.py, detector.py), and it
knows nothing of attacks: what was unnoticed in the past counts as benign.

Rules that always hold:
    1. ``share`` lies in [0, 1] and never rises with the score.
    2. ``share(threshold(b)) <= b``.
    3. A calibration tells of one organisation's past and never leaves it
       (docs/adr/0008-detection.md).

Sources: peaks over a threshold, Pickands 1975; estimator of the generalised Pareto
law, Zhang and Stephens 2009, section 2, with the weak prior on its shape of Vehtari et
al. 2024, appendix C; the share of the i-th highest of n, Weibull 1939, equation (22).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry

Numbers = npt.NDArray[np.float64]

FEWEST: Final = 50
"""With fewer benign rows a past says too little: see ``Calibration.assumed``."""

_TAIL_SHARE: Final = 0.1
_SMALLEST_TAIL: Final = 10
_LARGEST_TAIL: Final = 500
_PRIOR_ROWS: Final = 10
_SMALLEST_SCALE: Final = 0.25
_SMALLEST: Final = 1e-300
"""Log-shares end here; scores so high are all alike."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """Shares of the own benign past, by score.

    Attributes:
        knots: (k,) float64, distinct scores, ascending, k >= 1.
        shares: (k,) float64 in (0, 1], descending: share of what scores as high.
        shape: of the law beyond the last knot, >= 0.
        scale: of that law at the last knot, > 0.
        rows: how many scores it was fitted to; 0 for what was assumed.
    """

    knots: Numbers
    shares: Numbers
    shape: float
    scale: float
    rows: int

    @classmethod
    def fit(cls, scores: npt.ArrayLike) -> Self:
        """Return the calibration of an organisation's past.

        Args:
            scores: (n,), of benign rows that were not trained on, finite, n >= 1.

        Raises:
            InvalidTelemetry: no scores, or some that are not finite.
        """
        ordered = np.sort(np.asarray(scores, np.float64), axis=None)
        if not len(ordered) or not np.isfinite(ordered).all():
            raise InvalidTelemetry("a calibration needs scores that are finite")
        knots, first = np.unique(ordered, return_index=True)
        shares = (len(ordered) - first) / (len(ordered) + 1)
        shape, scale = _tail(ordered)
        return cls(
            knots=knots, shares=shares, shape=shape, scale=scale, rows=len(ordered)
        )

    @classmethod
    def assumed(cls) -> Self:
        """Return what is taken for the past of someone who has none.

        The share is the odds that the network itself gives, 1 / (1 + e^score). Local
        fits see as many attacks as benign rows, so that a budget of 1 % becomes the
        threshold at which it is sure to 99 : 1. That is no promise about false alarms.
        """
        knots = np.linspace(-20.0, 20.0, 401)
        shares = 1.0 / (1.0 + np.exp(knots))
        return cls(knots=knots, shares=shares, shape=0.0, scale=1.0, rows=0)

    def share(self, scores: npt.ArrayLike) -> Numbers:
        """Return the share of the benign past expected to score as high or higher.

        Args:
            scores: (n,), any number.

        Returns:
            (n,) float64 in [0, 1].
        """
        inside, decay = self._parts(scores)
        return inside * np.exp(-decay)

    def log_share(self, scores: npt.ArrayLike) -> Numbers:
        """Return the natural logarithm of ``share``, at least that of 1e-300."""
        inside, decay = self._parts(scores)
        return np.maximum(np.log(inside) - decay, math.log(_SMALLEST))

    def bar(self, budget: float) -> float:
        """Return the threshold for whoever counts what lies strictly above it.

        Args:
            budget: see ``threshold``.
        """
        return math.nextafter(self.threshold(budget), -math.inf)

    def _parts(self, scores: npt.ArrayLike) -> tuple[Numbers, Numbers]:
        """Return the share among the rows, and the decay beyond them as a logarithm."""
        values = np.asarray(scores, np.float64)
        inside = np.interp(values, self.knots, self.shares, left=1.0)
        beyond = np.maximum(values - self.knots[-1], 0.0) / self.scale
        if self.shape > 0:
            return inside, np.log1p(self.shape * beyond) / self.shape
        return inside, beyond

    def threshold(self, budget: float) -> float:
        """Return the smallest score that keeps to a budget of false alarms.

        Args:
            budget: in (0, 1), share of benign events that may score as high.

        Raises:
            InvalidTelemetry: a budget outside (0, 1).
        """
        if not 0 < budget < 1:
            raise InvalidTelemetry(f"a false-alarm budget lies in (0, 1), got {budget}")
        if budget < self.shares[-1]:
            fewer = math.log(self.shares[-1] / budget)
            reach = math.expm1(self.shape * fewer) / self.shape if self.shape else fewer
            found = float(self.knots[-1]) + self.scale * reach
        elif budget >= self.shares[0]:
            found = float(self.knots[0])
        else:
            found = float(np.interp(-budget, -self.shares, self.knots))
        # the inverse is rounded: step up until the promise holds
        step = math.ulp(found)
        while self.share(found) > budget:
            found, step = found + step, step * 2
        return found


def pareto(excesses: npt.ArrayLike) -> tuple[float, float]:
    """Return shape and scale of a generalised Pareto law, fitted to excesses.

    P(X > x) = (1 + shape x / scale)^(-1 / shape).

    Args:
        excesses: (n,), > 0, n >= 2.

    Returns:
        shape (any sign, not pulled anywhere) and scale > 0.
    """
    x = np.sort(np.asarray(excesses, np.float64), axis=None)
    n = len(x)
    points = 20 + int(math.sqrt(n))
    # Zhang and Stephens 2009, equation (6): the grid of theta
    theta = 1.0 / x[-1] + (1.0 - np.sqrt(points / (np.arange(points) + 0.5))) / (
        3.0 * x[int(n / 4 + 0.5) - 1 if n > 1 else 0]
    )
    theta[theta == 0] = np.finfo(np.float64).eps / x[-1]
    shape = np.log1p(-theta[:, None] * x).mean(axis=1)
    profile = n * (np.log(-theta / shape) - shape - 1.0)
    weight = np.exp(profile - profile.max())
    best = float((theta * weight).sum() / weight.sum())
    k = float(np.log1p(-best * x).mean())
    return k, -k / best


def _tail(ordered: Numbers) -> tuple[float, float]:
    """Return shape >= 0 and scale of the law beyond the largest score."""
    n = len(ordered)
    count = min(max(int(_TAIL_SHARE * n), _SMALLEST_TAIL), _LARGEST_TAIL, n - 1)
    spread = float(ordered[-1] - ordered[0])
    fallback = spread / 4 if spread > 0 else 1.0
    if count < _SMALLEST_TAIL:
        return 0.0, fallback
    excesses = ordered[n - count :] - ordered[n - count - 1]
    excesses = excesses[excesses > 0]
    if len(excesses) < _SMALLEST_TAIL or not excesses.min() < excesses.max():
        return 0.0, float(excesses.mean()) if len(excesses) else fallback
    shape, scale = pareto(excesses)
    shape = shape * len(excesses) / (len(excesses) + _PRIOR_ROWS)
    # the law of what lies beyond the largest excess is one of the same shape
    at_last = scale + shape * float(excesses[-1])
    return max(shape, 0.0), max(at_last, _SMALLEST_SCALE * float(excesses.mean()))
