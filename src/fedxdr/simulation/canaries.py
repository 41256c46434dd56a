# SPDX-License-Identifier: Apache-2.0
"""Canaries in a real private training: the worst examples there are, and their trace.

A ``CanaryTap`` takes the place of the noise function (privacy/noise.noisy_sum) in a
DP-SGD fit. Before the noise it adds, to every step's clipped sum, what m canary events
would have added; after the noise it notes what the released sum says about each. The
fit, its sampling of real examples, its clipping and its noise are the product's own.

Each canary has one coordinate for itself and a gradient of exactly the clip norm along
it (a "Dirac" canary), so canaries do not disturb each other and an audit of thousands
costs one run. A canary event that is **in**

- is an example of its own (``own``): +C with chance q in each step;
- stands in the context of ``occurrences`` other examples, which exist in both cases and
  are sampled with chance q each: their gradient is +C with it and -C without it.

It does NOT decide (privacy_audit.py) and it does NOT use the canaries' coins for its
scores. It subtracts the sum of the real examples, which the strongest adversary knows.

Rules that always hold: coins come from a key stream of a seed; what is scored is a
function of released sums; the noise level is measured on coordinates without a canary.

Source: Steinke, Nasr and Jagielski 2023, section 6 (gradient canaries, white box);
Nasr et al. 2023, section 4.3 (Dirac canaries); the context is ours, after
docs/explanation/event-level-dp.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidInput
from fedxdr.crypto.expand import KeyStream
from fedxdr.privacy.noise import noisy_sum, poisson_coins

Float64 = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

FEWEST_SPARE: Final = 256
"""Coordinates without a canary that the noise level is measured on."""

_COINS_LABEL: Final = "fedxdr/audit/inclusion/v1"
_SAMPLING_LABEL: Final = "fedxdr/audit/sampling/v1"
_SCORING_BLOCK: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What canaries there are.

    Attributes:
        canaries: m, how many, >= 1.
        sampling_rate: q of the training, in (0, 1].
        own: whether a canary event is an example of its own.
        occurrences: other examples in whose context it stands, >= 0.
    """

    canaries: int
    sampling_rate: float
    own: bool = True
    occurrences: int = 0

    def __post_init__(self) -> None:
        if self.canaries < 1 or not 0 < self.sampling_rate <= 1:
            raise InvalidInput("canaries: 1 or more; sampling rate: in (0, 1]")
        if self.occurrences < 0 or not (self.own or self.occurrences):
            raise InvalidInput("a canary that changes nothing cannot be found")


class CanaryTap:
    """Stands in for ``noisy_sum`` in one fit.

    Args:
        design: of the canaries.
        seed: 32 secret bytes: who is in, and who is sampled.
        noise_fraction: part of the demanded noise that is really drawn; 1 is honest,
            less is a training that claims more noise than it has.
    """

    def __init__(
        self, design: Design, *, seed: bytes, noise_fraction: float = 1.0
    ) -> None:
        self.design = design
        self.included: Booleans = poisson_coins(
            0.5, design.canaries, KeyStream(seed, label=_COINS_LABEL)
        )
        self._sampling = KeyStream(seed, label=_SAMPLING_LABEL)
        self._noise_fraction = noise_fraction
        self._seen: list[npt.NDArray[np.float32]] = []
        self._spare: list[Float64] = []

    @property
    def steps(self) -> int:
        """How many noisy sums were released."""
        return len(self._seen)

    def __call__(
        self,
        values: npt.NDArray[np.floating],
        *,
        clip: float,
        noise_multiplier: float,
        stream: KeyStream,
        slack: float = 0.0,
    ) -> npt.NDArray[np.float32]:
        """Return the noisy sum with canaries in it; arguments as for ``noisy_sum``.

        Raises:
            InvalidInput: too few coordinates for the canaries and a noise level.
        """
        m = self.design.canaries
        if len(values) < m + FEWEST_SPARE:
            raise InvalidInput(
                f"{m} canaries need {m + FEWEST_SPARE} coordinates, got {len(values)}"
            )
        plain = values.astype(np.float64)
        filled = plain.copy()
        filled[:m] += clip * self._drawn()
        released = noisy_sum(
            filled,
            clip=clip,
            noise_multiplier=noise_multiplier * self._noise_fraction,
            stream=stream,
            slack=slack,
        )
        left = (released - plain) / clip
        self._seen.append(left[:m].astype(np.float32))
        self._spare.append(left[m:])
        return released

    def noise_level(self) -> float:
        """Return the noise's standard deviation over the clip norm, as measured.

        Raises:
            InvalidInput: nothing was released.
        """
        if not self._spare:
            raise InvalidInput("no step was taken: nothing was released")
        return float(np.concatenate(self._spare).std())

    def scores(self) -> Float64:
        """Return each canary's log-likelihood ratio of in against out, (m,) float64.

        In a step the trace of a canary that is in is Gaussian around a
        Binomial(own + occurrences, q) number of clip norms, of one that is out around
        minus a Binomial(occurrences, q) one; steps are independent.
        """
        level = self.noise_level()
        q, extra = self.design.sampling_rate, self.design.occurrences
        inside = _binomial(extra + int(self.design.own), q)
        outside = _binomial(extra, q)
        found = np.zeros(self.design.canaries)
        for step in self._seen:
            for begin in range(0, len(step), _SCORING_BLOCK):
                block = step[begin : begin + _SCORING_BLOCK].astype(np.float64)
                found[begin : begin + _SCORING_BLOCK] += _log_density(
                    block, inside, level
                ) - _log_density(-block, outside, level)
        return found

    def _drawn(self) -> Float64:
        """Return what each canary adds in one step, in clip norms, (m,)."""
        m, q = self.design.canaries, self.design.sampling_rate
        total = np.zeros(m)
        if self.design.own:
            total += poisson_coins(q, m, self._sampling) & self.included
        if self.design.occurrences:
            count = self.design.occurrences
            coins = poisson_coins(q, m * count, self._sampling).reshape(m, count)
            total += np.where(self.included, 1.0, -1.0) * coins.sum(axis=1)
        return total


def record_scores(
    released: Float64,
    gradients: Float64,
    *,
    sampled: float,
    sampling_rate: float,
    noise_std: float,
) -> Float64:
    """Return scores of canaries that are real records with overlapping gradients.

    The sum of all released sums is ``gradients.T @ counts`` plus noise, where a record
    that is in was sampled Binomial(T, q) times. The score is the least-squares estimate
    of counts under that spread, less half of what one that is in has in the mean.

    Args:
        released: (p,) the steps' released sums, added up, in clip norms.
        gradients: (m, p) each record's clipped gradient, in clip norms, the same in
            every step.
        sampled: q T, how often a record is sampled in the mean, > 0.
        sampling_rate: q, in (0, 1].
        noise_std: of each number of ``released``, in clip norms, > 0.

    Returns:
        (m,) float64, above 0 where a record is likely in.

    Raises:
        InvalidInput: shapes that do not belong together.
    """
    if gradients.ndim != 2 or released.shape != gradients.shape[1:]:
        raise InvalidInput(
            f"got sums of shape {released.shape} for gradients {gradients.shape}"
        )
    alike = gradients @ gradients.T
    # a count is 0 or about q T, by a fair coin
    spread = sampled**2 / 4 + sampled * (1 - sampling_rate) / 2
    centred = gradients @ released - alike.sum(axis=1) * sampled / 2
    ridge = noise_std**2 / spread * np.eye(len(gradients))
    found: Float64 = np.linalg.solve(alike + ridge, centred)
    return found


def _binomial(trials: int, rate: float) -> Float64:
    """Return the masses of Binomial(trials, rate), (trials + 1,) float64."""
    return np.array(
        [
            math.comb(trials, k) * rate**k * (1.0 - rate) ** (trials - k)
            for k in range(trials + 1)
        ]
    )


def _log_density(values: Float64, masses: Float64, level: float) -> Float64:
    """Return ln of the mixture's density at values, up to a common constant."""
    kept = np.flatnonzero(masses > 0)
    exponents = np.log(masses[kept]) - (values[:, None] - kept) ** 2 / (2 * level**2)
    most = exponents.max(axis=1)
    summed: Float64 = most + np.log(np.exp(exponents - most[:, None]).sum(axis=1))
    return summed
