# SPDX-License-Identifier: Apache-2.0
"""Calculator of privacy: ``privacy epsilon`` and ``privacy sigma``.

It does NOT read a plan, a ledger or a purse: numbers in, numbers out, by the same
accountant that the ledger is checked with.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated

import typer

from fedxdr.cli.console import OUT, print_json, table
from fedxdr.core.errors import InvalidPlan, InvalidSettings
from fedxdr.privacy import accountant
from fedxdr.privacy.calibration import noise_multiplier_for
from fedxdr.privacy.mechanism import Charge, Unit, occurrences_of

privacy = typer.Typer(no_args_is_help=True, help="What noise and steps promise.")


class _Unit(StrEnum):
    EVENT = "event"
    ENTITY = "entity"
    ORGANISATION = "organisation"


_Noise = Annotated[
    float,
    typer.Option(
        "--noise-multiplier", help="Standard deviation of the noise / clip norm."
    ),
]
_Budget = Annotated[float, typer.Option("--epsilon", help="Budget to keep, above 0.")]
_Rate = Annotated[
    float,
    typer.Option("--sampling-rate", help="Chance of an example to be in a step."),
]
_Steps = Annotated[int, typer.Option("--steps", help="Noisy steps in all.")]
_Delta = Annotated[
    float, typer.Option("--delta", help="Above 0, far below 1 / events.")
]
_UnitOption = Annotated[_Unit, typer.Option("--unit", help="What is protected.")]
_Context = Annotated[
    int,
    typer.Option("--context", help="Earlier events that an example reads per key."),
]
_Keys = Annotated[
    int,
    typer.Option("--index-keys", help="Keys under which one event is looked up."),
]
_Own = Annotated[
    int,
    typer.Option(
        "--own", help="Examples that one unit is: 1 for an event, 0 with fixed windows."
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object on one line.")]


@privacy.command()
def epsilon(
    *,
    noise_multiplier: _Noise,
    steps: _Steps,
    delta: _Delta,
    sampling_rate: _Rate = 1.0,
    unit: _UnitOption = _Unit.EVENT,
    context: _Context = 0,
    index_keys: _Keys = 1,
    own: _Own = 1,
    as_json: _Json = False,
) -> None:
    """Say which epsilon an amount of noise gives."""
    try:
        charge = Charge(
            unit=_named(unit),
            noise_multiplier=noise_multiplier,
            sampling_rate=sampling_rate,
            steps=steps,
            own=own,
            occurrences=_occurrences(unit, context, index_keys, own),
        )
        _tell(charge, delta, context, index_keys, as_json=as_json)
    except InvalidPlan as error:
        raise InvalidSettings(str(error)) from error


@privacy.command()
def sigma(
    *,
    epsilon: _Budget,
    steps: _Steps,
    delta: _Delta,
    sampling_rate: _Rate = 1.0,
    unit: _UnitOption = _Unit.EVENT,
    context: _Context = 0,
    index_keys: _Keys = 1,
    own: _Own = 1,
    as_json: _Json = False,
) -> None:
    """Say how much noise an epsilon needs."""
    try:
        occurrences = _occurrences(unit, context, index_keys, own)
        noise = noise_multiplier_for(
            epsilon=epsilon,
            delta=delta,
            sampling_rate=sampling_rate,
            steps=steps,
            own=own,
            occurrences=occurrences,
            unit=_named(unit),
        )
        charge = Charge(
            unit=_named(unit),
            noise_multiplier=noise,
            sampling_rate=sampling_rate,
            steps=steps,
            own=own,
            occurrences=occurrences,
        )
        _tell(charge, delta, context, index_keys, as_json=as_json)
    except InvalidPlan as error:
        raise InvalidSettings(str(error)) from error


def _named(unit: _Unit) -> Unit:
    match unit:
        case _Unit.EVENT:
            return "event"
        case _Unit.ENTITY:
            return "entity"
        case _Unit.ORGANISATION:
            return "organisation"


def _occurrences(unit: _Unit, context: int, index_keys: int, own: int) -> int:
    """Return the examples of others that all events of one unit can change."""
    if unit is _Unit.ORGANISATION and context:
        raise InvalidPlan("an organisation's examples are its own: leave --context out")
    return occurrences_of(context=context, index_keys=index_keys) * max(own, 1)


def _tell(
    charge: Charge, delta: float, context: int, index_keys: int, *, as_json: bool
) -> None:
    reached = accountant.epsilon([charge], delta=delta)
    textbook = accountant.textbook_epsilon([charge], delta=delta)
    renyi = accountant.rdp_epsilon([charge], delta=delta)
    if as_json:
        print_json(
            {
                "epsilon": _finite(reached),
                "noise_multiplier": charge.noise_multiplier,
                "textbook_epsilon": _finite(textbook),
                "rdp_epsilon": _finite(renyi),
                "delta": delta,
                "sampling_rate": charge.sampling_rate,
                "steps": charge.steps,
                "unit": charge.unit,
                "own": charge.own,
                "context": context,
                "index_keys": index_keys,
                "occurrences": charge.occurrences,
            }
        )
        return
    table(
        f"{charge.steps:,} steps at noise multiplier {charge.noise_multiplier:.4g}",
        ["accounting", f"epsilon at delta {delta:g}"],
        [
            ["this one (privacy loss distribution)", f"{reached:,.4g}"],
            ["Renyi", f"{renyi:,.4g}"],
            ["textbook rule, added up", f"{textbook:,.4g}"],
        ],
    )
    unit = f"The unit is one {charge.unit}"
    if charge.occurrences:
        unit += f", which can change {charge.occurrences} other examples"
    OUT.print(unit + ".", highlight=False)
    if reached > 0 and math.isfinite(textbook / reached):
        OUT.print(
            f"The textbook rule would ask for {textbook / reached:,.3g} times the "
            "noise to promise the same.",
            highlight=False,
        )


def _finite(value: float) -> float | None:
    """Return a number as JSON has it: no infinity."""
    return value if math.isfinite(value) else None
