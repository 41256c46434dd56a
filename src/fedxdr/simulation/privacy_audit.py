# SPDX-License-Identifier: Apache-2.0
"""What one run of a private training proves about its epsilon, from below.

An auditor puts m canaries before a training, each by its own fair coin in or out, looks
at everything that was released, says of some canaries "in" or "out" and abstains on the
rest. Under (epsilon, delta) privacy it can hardly be right more often than randomised
response would be. So the number of right guesses gives a p-value for each claimed
epsilon, and the largest epsilon that it rejects is a lower bound on the truth.

It does NOT train, place canaries (canaries.py) or choose what to guess after looking at
the coins: how many guesses are made is fixed before the run, or paid for.

Rules that always hold: a bound above the accounted epsilon convicts code or accounting,
with the stated confidence; one below it proves only that this auditor failed.

Source: Steinke, Nasr and Jagielski 2023, "Privacy auditing with one (1) training run",
Algorithm 1, theorem 5.2 and corollary 5.4; several numbers of guesses share the error
(Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidInput

Float64 = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

_BISECTIONS = 50
_LARGEST_EPSILON = 64.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an audit found.

    Attributes:
        epsilon: the lower bound, >= 0.
        guesses: how many guesses gave it.
        correct: how many of them were right.
        total: m, all canaries.
        delta: of the claim.
        confidence: of the bound, in (0, 1).
    """

    epsilon: float
    guesses: int
    correct: int
    total: int
    delta: float
    confidence: float

    def convicts(self, claimed: float) -> bool:
        """Return whether the bound is above a claimed epsilon."""
        return self.epsilon > claimed


def p_value(
    epsilon: float, *, guesses: int, correct: int, total: int, delta: float
) -> float:
    """Return the chance of so many right guesses under (epsilon, delta) privacy.

    With W ~ Binomial(guesses, e^epsilon / (1 + e^epsilon)) and v right guesses of m
    canaries, theorem 5.2 bounds it by

        P[W >= v] + 2 m delta max over 1 <= i <= m of P[v > W >= v - i] / i.

    Args:
        epsilon: >= 0.
        guesses: r, guesses that were made, >= 0.
        correct: v, in [0, r].
        total: m, canaries, >= r.
        delta: in [0, 1].

    Returns:
        an upper bound of the chance, in [0, 1].

    Raises:
        InvalidInput: numbers out of these ranges.
    """
    _check(guesses, correct, total, delta)
    if not epsilon >= 0:
        raise InvalidInput(f"got epsilon {epsilon}, want 0 or more")
    masses = _binomial(guesses, epsilon)
    beta = float(masses[correct:].sum())
    alpha = 0.0
    if correct:
        # i = 1, 2, …: the mass just below v, over i; beyond i = v nothing is added
        below = np.cumsum(masses[:correct][::-1])
        alpha = float((below / np.arange(1, correct + 1)).max())
    return min(1.0, beta + 2 * total * delta * alpha)


def epsilon_lower_bound(
    guesses: int, correct: int, *, total: int, delta: float, confidence: float = 0.95
) -> float:
    """Return the largest epsilon that so many right guesses reject.

    Args:
        guesses: r, fixed before the run.
        correct: v, in [0, r].
        total: m, canaries, each in by a fair coin.
        delta: in [0, 1].
        confidence: in (0, 1).

    Returns:
        epsilon >= 0; 0 where nothing is rejected.

    Raises:
        InvalidInput: numbers out of these ranges.
    """
    _check(guesses, correct, total, delta)
    if not 0 < confidence < 1:
        raise InvalidInput(f"got confidence {confidence}, want it between 0 and 1")
    error = 1.0 - confidence

    def is_rejected(epsilon: float) -> bool:
        found = p_value(
            epsilon, guesses=guesses, correct=correct, total=total, delta=delta
        )
        return found < error

    if not is_rejected(0.0):
        return 0.0
    # the smallest epsilon that is not rejected lies in [low, high]; what is rejected
    # below it is all there is to say, since privacy with less epsilon is privacy
    low, high = 0.0, 1.0
    while is_rejected(high) and high < _LARGEST_EPSILON:
        low, high = high, 2 * high
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if is_rejected(middle):
            low = middle
        else:
            high = middle
    return low


def audit(
    scores: Float64,
    included: Booleans,
    *,
    delta: float,
    guesses: Sequence[int],
    confidence: float = 0.95,
) -> Verdict:
    """Return what guesses by score prove.

    The scores furthest from 0 are guessed, "in" above 0 and "out" below: a calibrated
    score (a log-likelihood ratio) needs no numbers k+ and k- of Algorithm 1, and
    theorem 5.2 holds for any function of what was released.

    Args:
        scores: (m,) float64, above 0 the canary is likely in; no function of the coins
            but through what was released.
        included: (m,) bool, the fair coins.
        delta: of the claim, in [0, 1].
        guesses: numbers of guesses to try, each in [1, m], fixed before the run; the
            error is shared by them.
        confidence: of the bound, all numbers together.

    Raises:
        InvalidInput: other shapes, or numbers out of range.
    """
    m = len(scores)
    if scores.shape != (m,) or included.shape != (m,) or not guesses:
        raise InvalidInput("one score and one coin per canary, and a number of guesses")
    if not all(0 < r <= m for r in guesses):
        raise InvalidInput(f"numbers of guesses are above 0 and at most {m}")
    order = np.argsort(-np.abs(scores), kind="stable")
    is_right = np.cumsum(((scores > 0) == included)[order])
    each = 1.0 - (1.0 - confidence) / len(guesses)
    verdicts = [
        Verdict(
            epsilon=epsilon_lower_bound(
                r, int(is_right[r - 1]), total=m, delta=delta, confidence=each
            ),
            guesses=r,
            correct=int(is_right[r - 1]),
            total=m,
            delta=delta,
            confidence=confidence,
        )
        for r in guesses
    ]
    return max(verdicts, key=lambda verdict: verdict.epsilon)


def _binomial(trials: int, epsilon: float) -> Float64:
    """Return the masses of Binomial(trials, e^epsilon / (1 + e^epsilon)), (r + 1,)."""
    log_right = -math.log1p(math.exp(-epsilon))
    log_wrong = log_right - epsilon
    factorials = np.concatenate(
        [np.zeros(1), np.cumsum(np.log(np.arange(1, trials + 1, dtype=np.float64)))]
    )
    k = np.arange(trials + 1)
    log_mass = (
        factorials[trials]
        - factorials[k]
        - factorials[trials - k]
        + k * log_right
        + (trials - k) * log_wrong
    )
    masses: Float64 = np.exp(log_mass)
    return masses


def _check(guesses: int, correct: int, total: int, delta: float) -> None:
    if not 0 <= correct <= guesses <= total:
        raise InvalidInput(
            f"{correct} right of {guesses} guesses about {total} canaries"
        )
    if not 0 <= delta <= 1:
        raise InvalidInput(f"got delta {delta}, want 0 to 1")
