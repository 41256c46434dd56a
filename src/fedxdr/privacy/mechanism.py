# SPDX-License-Identifier: Apache-2.0
"""What one release costs, in the accountant's terms: the value everyone passes on.

Training, clipping, statistics and metrics each end in noisy sums. A ``Charge`` says of
such a sum all that its price depends on: how much noise, how often, how sampled, and
how many of the summed examples one protected unit can own or change.

It does NOT compute a price (accountant.py), hold a budget or add noise.

Rules that always hold:
    1. Every summed vector is clipped to norm C, and the noise is N(0, (z C)^2 I) with z
       the noise multiplier; z is of the noise that the adversary does not know.
    2. Each example joins each step by its own coin of probability q, which is a
       constant of the plan; nothing is divided by a batch size that was drawn.
    3. Removing the unit takes away at most ``own`` examples and changes at most
       ``occurrences`` others, which exist on both sides.
    4. What is stated is an upper bound on reality, never an average.

Source: Abadi et al. 2016, section 3 (sampled Gaussian); Canonne, Kamath and Steinke
2020 (discrete Gaussian); ``occurrences`` is ours, docs/explanation/event-level-dp.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from fedxdr.core.errors import InvalidPlan

Unit = Literal["event", "entity", "organisation"]
"""What is protected: one telemetry event; all events that one host began (traffic) or
that alarmed about it (alerts); one member."""

Mechanism = Literal["sampled-gaussian", "discrete-gaussian"]
"""How the noise is drawn; ``discrete-gaussian`` is on integers, without sampling."""

MIN_NOISE_MULTIPLIER: Final = 0.01
MAX_NOISE_MULTIPLIER: Final = 1e6
MIN_SAMPLING_RATE: Final = 1e-9
MAX_STEPS: Final = 10**9
MAX_TOUCHED: Final = 4096
"""Most examples that one unit may own, and most that it may change."""

DISCRETE_ALLOWANCE: Final = 1e-9
"""Per step of ``discrete-gaussian``: most that |ln| of the ratio between its law and
that of a post-processed Gaussian may be. The accountant adds it; who makes such a
charge (organisation.py) refuses noise too narrow to keep it."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Charge:
    """What one release costs: ``steps`` noisy sums of clipped vectors.

    Hashable and ordered; its canonical bytes are those of core/canonical.py.

    Attributes:
        unit: what is protected.
        noise_multiplier: z, noise standard deviation / clip norm, in [0.01, 1e6].
        sampling_rate: q, chance of each example to be in a step, in [1e-9, 1].
        steps: noisy sums that are released, in [1, 10^9].
        own: examples that the unit itself is, in [0, 4096].
        occurrences: other examples it can change, in [0, 4096]; not both are 0.
        mechanism: how the noise is drawn.

    Raises:
        InvalidPlan: a value out of these ranges, or ``discrete-gaussian`` with
            sampling or with anything but one contribution per unit.
    """

    unit: Unit
    noise_multiplier: float
    sampling_rate: float = 1.0
    steps: int = 1
    own: int = 1
    occurrences: int = 0
    mechanism: Mechanism = "sampled-gaussian"

    def __post_init__(self) -> None:
        if self.unit not in ("event", "entity", "organisation"):
            raise InvalidPlan(f"the unit is {self.unit!r}: event, entity, organisation")
        if self.mechanism not in ("sampled-gaussian", "discrete-gaussian"):
            raise InvalidPlan(f"no mechanism {self.mechanism!r}")
        z, q = float(self.noise_multiplier), float(self.sampling_rate)
        if not MIN_NOISE_MULTIPLIER <= z <= MAX_NOISE_MULTIPLIER:  # false for NaN too
            raise InvalidPlan(f"noise multiplier {z}: want 0.01 to 1,000,000")
        if not MIN_SAMPLING_RATE <= q <= 1.0:
            raise InvalidPlan(f"sampling rate {q}: want more than 0, at most 1")
        if not 1 <= self.steps <= MAX_STEPS:
            raise InvalidPlan(f"{self.steps} steps: want 1 to {MAX_STEPS:,}")
        for name, count in (("own", self.own), ("occurrences", self.occurrences)):
            if not 0 <= count <= MAX_TOUCHED:
                raise InvalidPlan(f"{name} is {count}: want 0 to {MAX_TOUCHED:,}")
        if self.own == self.occurrences == 0:
            raise InvalidPlan("a unit that owns and changes no example costs nothing")
        if self.mechanism == "discrete-gaussian" and (
            q != 1.0 or self.own != 1 or self.occurrences != 0
        ):
            raise InvalidPlan(
                "the discrete Gaussian is accounted without sampling, for one "
                "contribution per unit"
            )


def occurrences_of(*, context: int, index_keys: int, hops: int = 1) -> int:
    """Return how many other examples one event can change.

    An event is among the last K events of a key for at most K later events of that key;
    each key it is listed under (source, destination, user, pair, "all") adds K more.

    Args:
        context: K, most recent earlier events that an example reads per key, >= 0.
        index_keys: keys under which one event is listed, >= 0; an event listed under
            both its endpoints has two.
        hops: how far context is followed; only 1 has a bound worth paying.

    Returns:
        K * index_keys, in [0, 4096].

    Raises:
        InvalidPlan: negative numbers, more than one hop, or a product above 4096.
    """
    if hops != 1:
        raise InvalidPlan(
            f"{hops} hops: under the unit event only 1 is allowed, because a second "
            f"hop puts an event into up to {_power(context * index_keys, hops)} other "
            "examples; use one hop, or the unit entity"
        )
    if context < 0 or index_keys < 0:
        raise InvalidPlan(f"context {context} of {index_keys} keys: want 0 or more")
    if context * index_keys > MAX_TOUCHED:
        raise InvalidPlan(
            f"context {context} of {index_keys} keys is {context * index_keys} "
            f"occurrences, above {MAX_TOUCHED:,}: use fewer keys or a smaller context"
        )
    return context * index_keys


def effective_noise_multiplier(*, gradient_noise: float, count_noise: float) -> float:
    """Return the noise multiplier of a gradient sum and a clip count opened together.

    The count sums b - 1/2 with b in {0, 1}, so each example moves it by at most 1/2.
    In units of each noise an example is one vector of norm at most
    sqrt(1 / z_g^2 + 1 / (2 z_b)^2) = 1 / z; hence one Gaussian mechanism with
    multiplier z, whatever the unit owns or changes.

    Args:
        gradient_noise: z_g, standard deviation / clip norm, > 0.
        count_noise: z_b, standard deviation of the noise on the count, > 0.

    Returns:
        z = (z_g^-2 + (2 z_b)^-2)^(-1/2), below both z_g and 2 z_b.

    Raises:
        InvalidPlan: noise that is not positive and finite.

    Source: Andrew et al. 2021, theorem 1.
    """
    for noise in (gradient_noise, count_noise):
        if not (math.isfinite(noise) and noise > 0):
            raise InvalidPlan(f"noise {noise}: want a finite number above 0")
    # downwards by an ulp or so: hypot rounds to nearest
    z = 1.0 / math.hypot(1.0 / gradient_noise, 0.5 / count_noise)
    return z * (1.0 - 2.0**-50)


def _power(base: int, hops: int) -> str:
    return f"{base**hops:,}" if 0 <= hops <= 8 else f"{base:,}^{hops}"
