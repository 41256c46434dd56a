# SPDX-License-Identifier: Apache-2.0
"""The two distributions whose difference bounds what one noisy step tells.

One step adds N(0, z^2 I) to a sum of vectors of norm at most 1, each in it by its own
coin of probability q. The unit is ``own`` of them and changes ``occurrences`` = m
others. Whatever the vectors are, telling "with the unit" from "without" is no easier
for them than for

    P = sum over j of Binomial(m + own, q)(j) N(+j, z^2)
    Q = sum over j of Binomial(m, q)(j)       N(-j, z^2)

and for some vectors it is exactly as easy. Proof in docs/explanation/event-level-dp.md:
Neyman and Pearson's lemma against the step in which no touched example was drawn.

This file holds the pair: its privacy loss in x / z ("x" below, so that the noise is
N(0, 1) and centres are j / z), its hockey-stick divergence, its Renyi divergence and a
pessimistic discretisation of its loss. It does NOT compose steps (accountant.py).

Rules that always hold:
    1. The loss ln(P / Q) increases with x: every optimal test is a threshold.
    2. A discretised loss dominates the exact one: mass between two points is split so
       that both its probabilities stay what they are, mass in tails becomes an
       infinite loss, and what is left out of the lower distribution is left out.

Source: Schuchardt et al. 2024 (groups under Poisson sampling, by optimal transport);
Doroshenko et al. 2022, algorithm 1 (connect the dots); Zhu, Dong and Wang 2022
(dominating pairs, and that they compose).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

Direction = Literal["removed", "added"]
"""``removed``: P is the truth, against Q; ``added``: Q is the truth, against P."""

_TRIMMED: Final = 1e-30  # of the binomial's upper tail; it becomes an infinite loss
_STEP: Final = 0.01  # of x, in standard deviations of the noise
_FEWEST_CELLS: Final = 1 << 13  # at most so many where there are many components
_MOST_CELLS: Final = 1 << 17
_SCRATCH: Final = 1 << 25  # cells times components of one step
_BLOCK: Final = 1 << 21  # values of scratch at a time
# Gauss-Legendre, three points on [0, 1]
_NODES: Final = (0.5 - math.sqrt(0.15), 0.5, 0.5 + math.sqrt(0.15))
_NODE_WEIGHTS: Final = (5 / 18, 8 / 18, 5 / 18)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Pair:
    """P and Q of one step.

    Attributes:
        noise_multiplier: z > 0.
        sampling_rate: q, in (0, 1].
        own: examples that only P has, >= 0.
        occurrences: m, examples that P and Q have differently, >= 0.
    """

    noise_multiplier: float
    sampling_rate: float
    own: int
    occurrences: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Atoms:
    """A privacy loss as point masses that dominate it.

    Attributes:
        losses: (k,) float64, ascending.
        masses: (k,) float64 >= 0, probability of each loss.
        infinity: probability of an infinite loss.
    """

    losses: Floats
    masses: Floats
    infinity: float

    @property
    def mean(self) -> float:
        """Mean of the finite losses."""
        return float(self.masses @ self.losses)

    @property
    def variance(self) -> float:
        """Variance of the finite losses."""
        return float(self.masses @ (self.losses - self.mean) ** 2)


def hockey_stick(pair: Pair, epsilon: float, direction: Direction) -> float:
    """Return delta: the mass by which one exceeds e^epsilon times the other.

    Args:
        pair: P and Q of one step.
        epsilon: any finite number.
        direction: which one is the truth.

    Returns:
        sup over sets E of truth(E) - e^epsilon other(E), in [0, 1].
    """
    threshold = epsilon if direction == "removed" else -epsilon
    low, high = _range(pair, tail=1e-300)
    while high - low > 1e-13 * max(1.0, abs(low), abs(high)):
        middle = (low + high) / 2
        if float(_loss(pair, np.array([middle]))[0]) < threshold:
            low = middle
        else:
            high = middle
    x = np.array([(low + high) / 2])
    side = _above if direction == "removed" else _below
    truth, other = side(pair, x, "P")[0], side(pair, x, "Q")[0]
    if direction == "added":
        truth, other = other, truth
    return max(0.0, float(truth - math.exp(epsilon) * other), -math.expm1(epsilon))


@functools.lru_cache(maxsize=256)
def atoms(pair: Pair, direction: Direction, *, tail: float) -> Atoms:
    """Return the privacy loss of one step as point masses that dominate it.

    The line is cut into cells of x, each at most 0.01 wide. A cell has probability a
    under the truth and b under the other, and losses in [l0, l1]. Two atoms at l0 and
    l1 with the same a and b in all dominate whatever lies between (Doroshenko et al.
    2022: the most that a convex curve can be between two of its points).

    Args:
        pair: P and Q of one step.
        direction: which one is the truth.
        tail: mass that may be left on either side, in (0, 1e-3].
    """
    low, high = _range(pair, tail=tail, direction=direction)
    width = _STEP
    if _components(pair) > 2:  # of a mixture: also fine against its spacing
        width = min(width, 0.05 * pair.noise_multiplier)
    most = max(_FEWEST_CELLS, min(_MOST_CELLS, _SCRATCH // _components(pair)))
    cells = min(math.ceil((high - low) / width), most)
    edges = np.linspace(low, high, cells + 1)
    width = (high - low) / cells
    at_edges = _loss(pair, edges)
    truth: Literal["P", "Q"] = "P" if direction == "removed" else "Q"
    sign = 1.0
    if direction == "added":
        # the loss ln(Q / P) falls with x: walk the cells from the other end
        sign, at_edges = -1.0, -at_edges[::-1]
    at_edges = np.maximum.accumulate(at_edges)  # rounding may turn a step around
    if cells == most:
        return _rounded_up(pair, edges, at_edges, direction, tail=tail)
    begins, ends = at_edges[:-1], at_edges[1:]
    mass, moved = np.zeros(cells), np.zeros(cells)
    for node, weight in zip(_NODES, _NODE_WEIGHTS, strict=True):
        x = edges[:-1] + node * width
        density = np.exp(_log_ratio(pair, x, truth) - x * x / 2)
        part = weight * width / math.sqrt(2 * math.pi) * density
        loss = sign * _loss(pair, x)
        if direction == "added":
            part, loss = part[::-1], loss[::-1]
        mass += part
        moved += part * -np.expm1(-(np.clip(loss, begins, ends) - begins))
    full = -np.expm1(-(ends - begins))
    upper = np.divide(moved, full, out=mass.copy(), where=full > 0)
    upper = np.minimum(upper, mass)
    masses = np.zeros(cells + 1)
    masses[1:] = upper
    masses[:-1] += mass - upper
    return Atoms(losses=at_edges, masses=masses, infinity=2 * tail + _TRIMMED)


def _rounded_up(
    pair: Pair, edges: Floats, at_edges: Floats, direction: Direction, *, tail: float
) -> Atoms:
    """Return the loss with each cell's mass at the cell's larger loss.

    For noise so small that cells are too wide for quadrature: the masses are
    differences of normal distribution functions, exact at any width.
    """
    if direction == "removed":
        masses = -np.diff(_above(pair, edges, "P"))
    else:
        masses = np.diff(_below(pair, edges, "Q"))[::-1]
    return Atoms(
        losses=at_edges[1:],
        masses=np.maximum(masses, 0.0),
        infinity=2 * tail + _TRIMMED,
    )


def renyi_divergence(
    pair: Pair, orders: Sequence[float], direction: Direction
) -> Floats:
    """Return the Renyi divergence of one step, per order.

    Quadrature around the integrand's peak: exact to all digits shown, but not rounded
    upwards, and of P and Q without the last 1e-30 of their components, which a tilted
    mean would follow into events that never happen.

    Args:
        pair: P and Q of one step.
        orders: each > 1.
        direction: which one is the truth.

    Returns:
        (len(orders),) float64 >= 0; infinity for orders whose peak is too far out to
        be worth a search.
    """
    from scipy import special  # noqa: PLC0415 - slow to load

    result = np.full(len(orders), math.inf)
    ahead, behind = _weights(pair, "P")[0][-1], _weights(pair, "Q")[0][-1]
    if direction == "added":
        ahead, behind = behind, ahead
    most = _BLOCK // int(max(ahead, behind) + 1)
    for place, order in enumerate(orders):
        # the log of truth^order other^(1 - order) is made of parabolas of curvature 1
        # whose tops lie at most this far out
        bound = 12 + (order * ahead + (order - 1) * behind) / pair.noise_multiplier
        points = max(600, math.ceil(bound))
        if points > most:
            continue
        coarse = np.linspace(-bound, bound, points)
        logs = _tilted(pair, coarse, order, direction)
        inside = np.flatnonzero(logs > logs.max() - 60)
        low = float(coarse[max(inside[0] - 1, 0)])
        high = float(coarse[min(inside[-1] + 1, points - 1)])
        # the mixtures' zeros lie pi z off the real line: the step is far below that
        points = math.ceil((high - low) / min(0.1, 0.3 * pair.noise_multiplier))
        if points > most:
            continue
        fine = np.linspace(low, high, points + 1)
        logs = _tilted(pair, fine, order, direction)
        total = float(special.logsumexp(logs)) + math.log((high - low) / points)
        result[place] = max(0.0, total / (order - 1))
    return result


def _tilted(pair: Pair, x: Floats, order: float, direction: Direction) -> Floats:
    p, q = _log_ratio(pair, x, "P"), _log_ratio(pair, x, "Q")
    truth, other = (p, q) if direction == "removed" else (q, p)
    return order * truth + (1 - order) * other - x * x / 2 - 0.5 * math.log(2 * math.pi)


def _loss(pair: Pair, x: Floats) -> Floats:
    """Return ln(P / Q) at x; it increases with x."""
    return _log_ratio(pair, x, "P") - _log_ratio(pair, x, "Q")


def _log_ratio(pair: Pair, x: Floats, which: Literal["P", "Q"]) -> Floats:
    """Return the log of one of the two over N(0, 1), at x."""
    count, log_weights = _weights(pair, which)
    centres = count / pair.noise_multiplier
    if which == "Q":
        centres = -centres
    constants = log_weights - centres**2 / 2
    if len(centres) == 1:
        line: Floats = centres[0] * x + constants[0]
        return line
    result = np.empty(len(x))
    rows = max(1, _BLOCK // len(centres))
    for begin in range(0, len(x), rows):
        part = x[begin : begin + rows, None] * centres + constants
        top = part.max(axis=1)
        part -= top[:, None]
        np.exp(part, out=part)
        result[begin : begin + rows] = top + np.log(part.sum(axis=1))
    return result


@functools.lru_cache(maxsize=256)
def _binomial(trials: int, rate: float) -> tuple[Floats, Floats]:
    """Return counts and log probabilities, without the last ``_TRIMMED`` of mass."""
    from scipy import special  # noqa: PLC0415 - slow to load

    if rate == 1.0:
        return np.array([float(trials)]), np.zeros(1)
    j = np.arange(trials + 1, dtype=np.float64)
    logs = (
        special.gammaln(trials + 1)
        - special.gammaln(j + 1)
        - special.gammaln(trials - j + 1)
        + j * math.log(rate)
        + (trials - j) * math.log1p(-rate)
    )
    above = np.cumsum(np.exp(logs)[::-1])[::-1]
    kept = max(1, int(np.count_nonzero(above > _TRIMMED)))
    return j[:kept], logs[:kept]


def _weights(pair: Pair, which: Literal["P", "Q"]) -> tuple[Floats, Floats]:
    trials = pair.occurrences + (pair.own if which == "P" else 0)
    return _binomial(trials, pair.sampling_rate)


def _components(pair: Pair) -> int:
    return len(_weights(pair, "P")[0]) + len(_weights(pair, "Q")[0])


def _above(pair: Pair, x: Floats, which: Literal["P", "Q"]) -> Floats:
    """Return the probability that one of the two gives to more than x."""
    from scipy import special  # noqa: PLC0415 - slow to load

    count, logs = _weights(pair, which)
    centres = count / pair.noise_multiplier * (1 if which == "P" else -1)
    result = np.zeros(len(x))
    for centre, weight in zip(centres, np.exp(logs), strict=True):
        result += weight * special.ndtr(centre - x)
    return result


def _below(pair: Pair, x: Floats, which: Literal["P", "Q"]) -> Floats:
    """Return the probability that one of the two gives to less than x."""
    from scipy import special  # noqa: PLC0415 - slow to load

    count, logs = _weights(pair, which)
    centres = count / pair.noise_multiplier * (1 if which == "P" else -1)
    result = np.zeros(len(x))
    for centre, weight in zip(centres, np.exp(logs), strict=True):
        result += weight * special.ndtr(x - centre)
    return result


def _range(
    pair: Pair, *, tail: float, direction: Direction | None = None
) -> tuple[float, float]:
    """Return x between which all but ``tail`` on each side lies of the truth, or both.

    Half of the tail is the noise's, half the binomial's.
    """
    from scipy import special  # noqa: PLC0415 - slow to load

    ends: list[float] = []
    far = -float(special.ndtri(tail / 2))
    if direction != "added":
        count, logs = _weights(pair, "P")
        ends += [c / pair.noise_multiplier for c in _bulk(count, logs, tail / 2)]
    if direction != "removed":
        count, logs = _weights(pair, "Q")
        ends += [-c / pair.noise_multiplier for c in _bulk(count, logs, tail / 2)]
    return min(ends) - far, max(ends) + far


def _bulk(count: Floats, logs: Floats, tail: float) -> tuple[float, float]:
    """Return the counts below and above which at most ``tail`` of the mass lies."""
    masses = np.exp(logs)
    below = np.cumsum(masses)
    above = np.cumsum(masses[::-1])[::-1]
    first = int(np.argmax(below > tail))
    last = len(count) - 1 - int(np.argmax(above[::-1] > tail))
    return float(count[first]), float(count[last])
