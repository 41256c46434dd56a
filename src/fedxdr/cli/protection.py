# SPDX-License-Identifier: Apache-2.0
"""What ``--protect``, ``--epsilon``, ``--delta`` and ``--unit`` ask of an evaluation.

It does NOT account itself: noise is calibrated by privacy/calibration.py, and what is
reported is what the ledger's accountant says of it.

Rule that always holds: figures of a promise without the promise are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fedxdr.core.errors import InvalidSettings
from fedxdr.federation.protection import NO_PRIVACY, Privacy
from fedxdr.learning import methods
from fedxdr.learning.features import FeatureSet
from fedxdr.privacy import accountant

MASKS: Final = "secagg"
NOISE: Final = "dp"
NOTHING: Final = "none"

DEFAULT_EPSILON: Final = 8.0
DEFAULT_DELTA: Final = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """How updates are protected.

    Attributes:
        is_masked: whether rounds go through secure aggregation.
        epsilon: of the promise; None where none is made.
        delta: of the promise.
    """

    is_masked: bool
    epsilon: float | None
    delta: float

    @property
    def is_private(self) -> bool:
        """Whether differential privacy is asked for."""
        return self.epsilon is not None

    def promise(self, features: FeatureSet, *, rounds: int) -> Privacy:
        """Return the plan's promise for an evaluation's rounds.

        Args:
            features: with a bounded past.
            rounds: training rounds, >= 1.
        """
        if self.epsilon is None:
            return NO_PRIVACY
        return methods.event_privacy(
            features, epsilon=self.epsilon, delta=self.delta, rounds=rounds
        )


def read(
    protect: str, *, epsilon: float | None, delta: float | None, unit: str | None
) -> Protection:
    """Return what the options ask for.

    Args:
        protect: ``none``, or some of ``secagg`` and ``dp`` with commas between.
        epsilon: of the promise, 8 if None.
        delta: of the promise, 1e-5 if None.
        unit: ``event`` or None.

    Raises:
        InvalidSettings: unknown or contradictory words.
    """
    words = [word.strip() for word in protect.split(",")]
    if set(words) - {MASKS, NOISE, NOTHING} or (NOTHING in words and len(words) > 1):
        raise InvalidSettings(
            f"--protect {protect}: use secagg, or secagg,dp, or dp, or none"
        )
    is_private = NOISE in words
    if not is_private and (epsilon, delta, unit) != (None, None, None):
        raise InvalidSettings(
            "--epsilon, --delta and --unit belong to differential privacy: add dp to "
            "--protect, as in --protect secagg,dp"
        )
    if unit not in (None, "event"):
        raise InvalidSettings(
            f"--unit {unit}: an evaluation measures what hiding single events costs; "
            "use event"
        )
    return Protection(
        is_masked=MASKS in words,
        epsilon=_or(epsilon, DEFAULT_EPSILON) if is_private else None,
        delta=_or(delta, DEFAULT_DELTA),
    )


def report(privacy: Privacy, *, rounds: int) -> dict[str, Any] | None:
    """Return the promise in figures, None where none is made.

    Args:
        privacy: the plan's.
        rounds: training rounds.
    """
    if not privacy.is_on:
        return None
    spent = {privacy.charge: rounds}
    return {
        "mechanism": privacy.mechanism,
        "unit": privacy.unit,
        "epsilon": accountant.epsilon(spent, delta=privacy.delta),
        "epsilon_budget": privacy.epsilon,
        "delta": privacy.delta,
        "noise_multiplier": privacy.noise_multiplier,
        "sampling_rate": privacy.sampling_rate,
        "steps_per_round": privacy.steps,
        "rounds": rounds,
        "steps": privacy.steps * rounds,
        "clipping_norm": privacy.clipping_norm,
        "own": privacy.own,
        "occurrences": privacy.occurrences,
        "context": privacy.context,
        "index_keys": privacy.index_keys,
        "textbook_epsilon": accountant.textbook_epsilon(spent, delta=privacy.delta),
    }


def sentence(figures: Mapping[str, Any]) -> str:
    """Return what ``report`` says, for people.

    Args:
        figures: of ``report``.
    """
    return (
        f"Single events are hidden with epsilon {figures['epsilon']:.2f} at delta "
        f"{figures['delta']:g}: noise multiplier {figures['noise_multiplier']:.2f}, "
        f"sampling rate {figures['sampling_rate']:g}, {figures['steps']} steps, one "
        f"event in at most {figures['occurrences']} other examples. Only the federated "
        "methods promise this."
    )


def _or(value: float | None, default: float) -> float:
    """Return the default for None only: 0 is a wrong value, not a missing one."""
    return default if value is None else value
