# SPDX-License-Identifier: Apache-2.0
"""What an operator's ``--mode``, ``--epsilon`` and ``--unit`` put into a plan.

The one place of the defaults of private plans: sampling rate, steps, clip, local fit.
They are constants that stand in the plan; no data were asked for them.

It does NOT account: noise is calibrated by privacy/calibration.py, and the plan refuses
what its own numbers do not keep (federation/plan.py).

Rules that always hold: the same wishes give the same plan, so that repeating a command
goes on under the plan in force; with a promise every organisation weighs the same.

Sources: privacy/calibration.py; learning/methods.py has the evaluation's figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast, get_args

from fedxdr.core import canonical
from fedxdr.core.errors import InvalidPlan, InvalidSettings
from fedxdr.federation.plan import MODES, MODES_WITHOUT_WEIGHTS
from fedxdr.federation.protection import Privacy
from fedxdr.models.context import context_of
from fedxdr.privacy.calibration import noise_multiplier_for
from fedxdr.privacy.mechanism import Unit, occurrences_of

DELTA: Final = 1e-5
ROUNDS: Final = 20
"""Training rounds that a budget is to last for."""

SAMPLING_RATE: Final = 0.005
STEPS: Final = 10
CLIPPING_NORM: Final = 1.0
PER_ENTITY: Final = 32
"""Most events per host that take part under unit ``entity``."""

FIELDS: Final[dict[str, Any]] = {
    "max_weight_exponent": 0,
    # steps on noised gradients go far; the mean over organisations does not
    "clip_norm": 64.0,
    "quantisation_bits": 31,
    "training": {"batch_size": 256, "learning_rate": 0.1, "proximal_mu": 0.0},
}
"""Fields of a plan under ``dp-sgd`` beside the promise."""

SUM_FIELDS: Final[dict[str, Any]] = {"max_weight_exponent": 0, "clip_norm": 1.0}
"""Fields of a plan that hides organisations: the clip is what noise is scaled by."""

HELPERS: Final = 3
"""Helpers of mode ``committee`` unless named: the first members by name."""


def mode_fields(
    mode: str,
    *,
    members: Sequence[str] = (),
    helpers: Sequence[str] = (),
    ceremony: str = "",
) -> dict[str, Any]:
    """Return the fields of a plan that a collection mode needs.

    Args:
        mode: ``secagg``, ``committee``, ``paillier`` or ``clear``.
        members: names on the ledger; asked in mode ``committee``.
        helpers: who holds seeds in that mode; the first three members if empty.
        ceremony: fingerprint of the key that mode ``paillier`` encrypts under.

    Raises:
        InvalidSettings: another mode, helpers that go with no mode or are no members,
            or no key.
    """
    if mode not in MODES:
        raise InvalidSettings(f"--mode {mode}: use one of {', '.join(MODES)}")
    if helpers and mode != "committee":
        raise InvalidSettings("--helper goes with --mode committee")
    fields: dict[str, Any] = {"collection_mode": mode}
    if mode in MODES_WITHOUT_WEIGHTS:
        fields["max_weight_exponent"] = 0
    if mode == "committee":
        strangers = sorted(set(helpers) - set(members))
        if strangers:
            raise InvalidSettings(f"--helper {', '.join(strangers)}: no member")
        fields["helpers"] = sorted(set(helpers) or set(sorted(members)[:HELPERS]))
    if mode == "paillier":
        if not ceremony:
            raise InvalidSettings(
                "there is no shared key on the ledger: hold a ceremony (`fedxdr keys "
                "ceremony`) and publish its record with `fedxdr keys publish`"
            )
        fields["paillier_key"] = ceremony
    if mode == "clear":
        fields["acknowledge_clear"] = True
    return fields


def privacy_fields(
    features: str,
    *,
    epsilon: float,
    delta: float = DELTA,
    unit: str = "event",
    rounds: int = ROUNDS,
) -> dict[str, Any]:
    """Return the fields of a plan that promises differential privacy.

    Args:
        features: the feature set of the model in force; its context is charged for.
        epsilon: what one organisation may spend, > 0.
        delta: in (0, 1).
        unit: ``event``, ``entity`` or ``organisation``.
        rounds: how many training rounds the budget is to last for, >= 1.

    Raises:
        InvalidSettings: another unit, or no rounds.
        InvalidPlan: a feature set whose past has no bound, a budget that is none or
            that no noise keeps.
    """
    if unit not in get_args(Unit):
        raise InvalidSettings(f"--unit {unit}: use event, entity or organisation")
    if rounds < 1:
        raise InvalidSettings("--rounds-planned: 1 or more")
    if unit == "organisation":
        promise = _sum_promise(epsilon=epsilon, delta=delta, rounds=rounds)
        return {**SUM_FIELDS, "privacy": canonical.builtins(promise)}
    own = 1 if unit == "event" else PER_ENTITY
    context = context_of(features)
    if context.reach is None:
        raise InvalidPlan(
            f"feature set {features!r} has no bounded past: make the federation with "
            "`fedxdr server init --features traffic-event`"
        )
    per_event = occurrences_of(context=context.reach, index_keys=context.index_keys)
    promise = Privacy(
        mechanism="dp-sgd",
        unit=cast("Unit", unit),
        epsilon=epsilon,
        delta=delta,
        noise_multiplier=noise_multiplier_for(
            epsilon=epsilon,
            delta=delta,
            sampling_rate=SAMPLING_RATE,
            steps=STEPS * rounds,
            own=own,
            occurrences=per_event * own,
            unit=cast("Unit", unit),
        ),
        sampling_rate=SAMPLING_RATE,
        steps=STEPS,
        clipping_norm=CLIPPING_NORM,
        own=own,
        context=context.reach,
        index_keys=context.index_keys,
    )
    return {**FIELDS, "privacy": canonical.builtins(promise)}


def _sum_promise(*, epsilon: float, delta: float, rounds: int) -> Privacy:
    return Privacy(
        mechanism="discrete-gaussian",
        unit="organisation",
        epsilon=epsilon,
        delta=delta,
        noise_multiplier=noise_multiplier_for(
            epsilon=epsilon, delta=delta, steps=rounds, unit="organisation"
        ),
        sampling_rate=1.0,
        steps=1,
        own=1,
    )
