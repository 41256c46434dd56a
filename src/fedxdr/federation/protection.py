# SPDX-License-Identifier: Apache-2.0
"""What a plan promises about differential privacy, and what each round of it costs.

The promise is made for one stated unit and holds against everybody who sees what is
opened. ``Privacy`` refuses promises that its own numbers do not keep; the accountant
(privacy/accountant.py) says what a number of rounds costs.

Not here: the fit that keeps the promise (learning), the purse (parties), whether the
feature set has the context that is named here (plan.py checks it).

Rules that always hold:
    1. No mechanism, no figures: what is not done is not claimed.
    2. Everything that is opened is noised and charged, or a constant of the plan: with
       a mechanism there are no sample counts, no metrics and no statistics rounds.
    3. Under unit ``event`` a bounded context is charged: every example whose past an
       event can be in counts.

Source: docs/explanation/event-level-dp.md; Abadi et al. 2016 (DP-SGD); Kairouz, Liu and
Steinke 2021 (distributed discrete Gaussian).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from fedxdr.core.errors import InvalidInput, InvalidPlan
from fedxdr.ledger.statements import PrivacyClaim
from fedxdr.privacy.mechanism import Charge, Unit, occurrences_of

Mechanism = Literal["none", "dp-sgd", "discrete-gaussian"]

MIN_DELTA, MAX_DELTA = 1e-12, 1e-3
MECHANISMS: tuple[Mechanism, ...] = ("none", "dp-sgd", "discrete-gaussian")


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """One run's promise.

    Attributes:
        mechanism: ``none``; ``dp-sgd``: noise inside every organisation, per record;
            ``discrete-gaussian``: each organisation's share of noise inside the sum.
        unit: whose presence is hidden: ``event``, ``entity``, ``organisation``.
        epsilon: what one organisation may spend in this run, > 0.
        delta: in [1e-12, 1e-3].
        noise_multiplier: sigma, noise in units of the clipping norm, > 0.
        sampling_rate: q, chance of an example to be in a step, (0, 1]; 1 for sums.
        steps: noisy steps of one training round, >= 1.
        clipping_norm: L2 bound of one example's gradient, > 0; 0 for sums, which the
            plan's ``clip_norm`` bounds.
        own: most examples that are one unit's own (1 for events), >= 0.
        context: K, how far back per index key an example's past reaches, in events.
        index_keys: how many keys the past is looked up by.
        window_s: 0: an example is one event; else an example is everything of one
            fixed window of that many seconds, and no context leaves it.
        adaptive_quantile: part of the examples to leave unclipped; 0: fixed norm.
        adaptive_count_noise: noise on the count that steers the norm, > 0 with a
            quantile; Andrew et al. 2021.
        adaptive_rate: how fast the norm follows, > 0 with a quantile.
    """

    mechanism: Mechanism = "none"
    unit: Unit | Literal["none"] = "none"
    epsilon: float = 0.0
    delta: float = 0.0
    noise_multiplier: float = 0.0
    sampling_rate: float = 0.0
    steps: int = 0
    clipping_norm: float = 0.0
    own: int = 0
    context: int = 0
    index_keys: int = 0
    window_s: int = 0
    adaptive_quantile: float = 0.0
    adaptive_count_noise: float = 0.0
    adaptive_rate: float = 0.0

    def __post_init__(self) -> None:
        match self.mechanism:
            case "none":
                _check_nothing(self)
            case "dp-sgd":
                _check_promise(self)
                _check_dp_sgd(self)
            case "discrete-gaussian":
                _check_promise(self)
                _check_sum(self)
            case _:
                raise InvalidPlan(
                    f"privacy mechanism {self.mechanism!r}: use one of "
                    f"{', '.join(MECHANISMS)}"
                )

    @property
    def is_on(self) -> bool:
        """Whether anything is promised."""
        return self.mechanism != "none"

    @property
    def occurrences(self) -> int:
        """How many examples of others one unit can change: computed, never claimed."""
        if self.mechanism != "dp-sgd":
            return 0
        if self.window_s:
            return 1
        per_event = occurrences_of(context=self.context, index_keys=self.index_keys)
        return per_event * max(self.own, 1)

    @property
    def charge(self) -> Charge:
        """What one training round costs.

        Raises:
            InvalidPlan: there is no mechanism, so nothing is charged.
        """
        if self.unit == "none":
            raise InvalidPlan("without a mechanism nothing is charged")
        return Charge(
            unit=self.unit,
            noise_multiplier=self.noise_multiplier,
            sampling_rate=self.sampling_rate,
            steps=self.steps,
            own=0 if self.window_s else self.own,
            occurrences=self.occurrences,
            mechanism=(
                "sampled-gaussian"
                if self.mechanism == "dp-sgd"
                else "discrete-gaussian"
            ),
        )


def claim_of(privacy: Privacy, *, clip_norm: float, epsilon: float) -> PrivacyClaim:
    """Return what an organisation says it did in one round under a promise.

    Args:
        privacy: the plan's promise.
        clip_norm: bound of a whole update; the norm that counts where sums are noised.
        epsilon: all that it has spent in the run, this round included.
    """
    if not privacy.is_on:
        return PrivacyClaim(mechanism="none")
    charge = privacy.charge
    return PrivacyClaim(
        mechanism=privacy.mechanism,
        unit=charge.unit,
        epsilon=epsilon,
        delta=privacy.delta,
        clipping_norm=privacy.clipping_norm or clip_norm,
        noise_multiplier=charge.noise_multiplier,
        sampling_rate=charge.sampling_rate,
        steps=charge.steps,
        own=charge.own,
        occurrences=charge.occurrences,
    )


def check_claim(claim: PrivacyClaim, privacy: Privacy, *, clip_norm: float) -> None:
    """Return if a claim is the one that a promise makes, whatever epsilon it states.

    Raises:
        InvalidInput: other figures than the plan's, or an epsilon that is none.
    """
    if not privacy.is_on:
        if claim != PrivacyClaim(mechanism="none"):
            raise InvalidInput("claims a privacy mechanism that the plan does not have")
        return
    epsilon = claim.epsilon
    if not isinstance(epsilon, float | int) or not 0 < epsilon <= privacy.epsilon:
        raise InvalidInput(
            f"claims to have spent epsilon {epsilon}: above 0, and at most the plan's "
            f"{privacy.epsilon:g}"
        )
    if claim != claim_of(privacy, clip_norm=clip_norm, epsilon=epsilon):
        raise InvalidInput("claims another privacy mechanism than the plan's")


def _check_nothing(privacy: Privacy) -> None:
    figures = (
        privacy.epsilon,
        privacy.delta,
        privacy.noise_multiplier,
        privacy.sampling_rate,
        privacy.steps,
        privacy.clipping_norm,
        privacy.own,
        privacy.context,
        privacy.index_keys,
        privacy.window_s,
        privacy.adaptive_quantile,
        privacy.adaptive_count_noise,
        privacy.adaptive_rate,
    )
    if privacy.unit != "none" or any(figures):
        raise InvalidPlan("without a privacy mechanism a plan claims no figures of one")


def _check_promise(privacy: Privacy) -> None:
    if privacy.unit == "none":
        raise InvalidPlan("a privacy mechanism says whom it hides: give its unit")
    if not 0 < privacy.epsilon < math.inf:
        raise InvalidPlan("privacy: epsilon is a number above 0")
    if not MIN_DELTA <= privacy.delta <= MAX_DELTA:
        raise InvalidPlan(
            f"privacy: delta lies between {MIN_DELTA:g} and {MAX_DELTA:g}; it is the "
            "chance that the promise fails altogether"
        )
    if not 0 < privacy.noise_multiplier < math.inf:
        raise InvalidPlan("privacy: noise_multiplier is a number above 0")


def _check_dp_sgd(privacy: Privacy) -> None:
    if privacy.unit == "organisation":
        raise InvalidPlan(
            "dp-sgd hides events or entities; for organisations use discrete-gaussian"
        )
    if not 0 < privacy.sampling_rate <= 1 or privacy.steps < 1:
        raise InvalidPlan("privacy: sampling_rate in (0, 1], steps 1 or more")
    if not 0 < privacy.clipping_norm < math.inf:
        raise InvalidPlan("privacy: clipping_norm, per example, is a number above 0")
    if privacy.unit == "event" and privacy.own != 1:
        raise InvalidPlan("privacy: an event is one example of its own: own is 1")
    if privacy.own < 1 or privacy.context < 0 or privacy.index_keys < 0:
        raise InvalidPlan("privacy: own is 1 or more, context and index_keys 0 or more")
    if privacy.window_s < 0:
        raise InvalidPlan("privacy: window_s is 0 or more")
    if privacy.window_s and privacy.unit != "event":
        raise InvalidPlan("privacy: windows are examples under unit event only")
    adaptive = (privacy.adaptive_count_noise, privacy.adaptive_rate)
    if privacy.adaptive_quantile:
        if not 0 < privacy.adaptive_quantile < 1 or min(adaptive) <= 0:
            raise InvalidPlan(
                "privacy: adaptive_quantile in (0, 1), with noise and rate above 0"
            )
    elif any(adaptive):
        raise InvalidPlan("privacy: figures of adaptive clipping without a quantile")


def _check_sum(privacy: Privacy) -> None:
    if privacy.unit != "organisation":
        raise InvalidPlan(
            "noise inside the sum hides organisations: unit organisation; for events "
            "and entities use dp-sgd"
        )
    if (privacy.sampling_rate, privacy.steps, privacy.own) != (1.0, 1, 1):
        raise InvalidPlan(
            "privacy: a noisy sum has sampling_rate 1, steps 1 and own 1: every "
            "organisation is in it once"
        )
    if any(
        (
            privacy.clipping_norm,
            privacy.context,
            privacy.index_keys,
            privacy.window_s,
            privacy.adaptive_quantile,
            privacy.adaptive_count_noise,
            privacy.adaptive_rate,
        )
    ):
        raise InvalidPlan("privacy: figures of dp-sgd beside another mechanism")


NO_PRIVACY = Privacy()
