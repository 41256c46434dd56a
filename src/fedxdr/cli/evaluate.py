# SPDX-License-Identifier: Apache-2.0
"""``fedxdr evaluate``: what joining would bring, on a known data set or one's own.

Runs the comparison of 4-models: alone, together, pooled, on the same rows, with the
same thresholds. Federated rounds go through the whole protocol in one process: keys,
shares, masks, signatures, survivors, ledger.

It does NOT send anything anywhere, and writes no file but the pictures and the report
that it is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fedxdr.cli import evaluated, own_files, protection
from fedxdr.cli.console import ERR, print_json
from fedxdr.cli.protection import Protection
from fedxdr.core.errors import InvalidSettings
from fedxdr.core.ids import OrgId
from fedxdr.core.layout import Vector
from fedxdr.federation.protection import NO_PRIVACY
from fedxdr.learning import (
    evaluation,
    fit,
    known,
    methods,
    plots,
    protocols,
)
from fedxdr.learning.darpa98 import Sight
from fedxdr.learning.dataset import Organisation, Situation
from fedxdr.learning.evaluation import MethodResult
from fedxdr.learning.features import FeatureSet
from fedxdr.learning.federate import in_the_clear, tasks_of
from fedxdr.learning.known import Reading

if TYPE_CHECKING:
    from fedxdr.parties.ports import Learner


_BUDGETS: Final[tuple[float | None, ...]] = (1.0, 2.0, 4.0, 8.0, None)
_KEY: Final = "federated"
_CURVE_FIGURE: Final = "recall_at_1pct_fpr"


class Protocol(StrEnum):
    """How rows are split."""

    CAUSAL = "causal"
    UNSEEN_FAMILY = "unseen-family"
    SUBNET = "subnet"
    TIME_SPLIT = "time-split"


class DatasetName(StrEnum):
    """Data sets with a protocol of their own."""

    AIT_ADS = "ait-ads"
    CIC = "cic"
    DARPA98 = "darpa98"
    NSL_KDD = "nsl-kdd"
    NSL_KDD_21 = "nsl-kdd-21"


def evaluate(
    *,
    dataset_name: Annotated[
        DatasetName | None, typer.Option("--dataset", help="A known data set.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the data set.")
    ] = None,
    org: Annotated[
        list[str] | None,
        typer.Option(
            "--org",
            metavar="NAME=PATH",
            help="An organisation's labelled Zeek log, CSV or Parquet; repeat it.",
        ),
    ] = None,
    protocol: Annotated[
        Protocol | None,
        typer.Option("--protocol", help="Split; the data set's, else time-split."),
    ] = None,
    compare: Annotated[
        str, typer.Option("--compare", help="Methods, with commas between.")
    ] = ",".join(methods.METHODS),
    protect: Annotated[
        str,
        typer.Option("--protect", help="secagg; secagg,dp; dp; or none."),
    ] = protection.MASKS,
    epsilon: Annotated[
        float | None,
        typer.Option("--epsilon", help="With dp: budget of the whole run; 8."),
    ] = None,
    delta: Annotated[
        float | None, typer.Option("--delta", help="With dp: 0.00001.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option("--unit", help="With dp: what is hidden; event.")
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option("--curve", metavar="FILE.png", help="With dp: over epsilon."),
    ] = None,
    feature_set: Annotated[
        Reading | None,
        typer.Option("--features", help="bounded: context of at most 128 events."),
    ] = None,
    sight: Annotated[
        Sight | None,
        typer.Option("--sight", help="darpa98: edges both ways, or into the network."),
    ] = None,
    validate: Annotated[
        bool,
        typer.Option(
            "--validate", help="Score part of the past; the test stays unread."
        ),
    ] = False,
    report_folder: Annotated[
        Path | None,
        typer.Option("--report", metavar="DIR", help="Write Markdown and pictures."),
    ] = None,
    who_from: Annotated[
        bool,
        typer.Option(
            "--who-from", help="Who learned from whom: a run without each other one."
        ),
    ] = False,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100)] = 3,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, max=1000, help="12; with dp 20.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Compare what an organisation can detect alone and with the federation."""
    start = time.perf_counter()
    asked = protection.read(protect, epsilon=epsilon, delta=delta, unit=unit)
    if curve is not None and not asked.is_private:
        raise InvalidSettings("--curve is drawn over epsilon: add dp to --protect")
    if (dataset_name is None) == (not org):
        raise InvalidSettings(
            "give either --dataset NAME --data FOLDER, or --org NAME=PATH once per "
            "organisation"
        )
    wanted = known.wish(
        dataset_name,
        protocol=protocol,
        reading=feature_set,
        is_private=asked.is_private,
        sight=sight,
    )
    if dataset_name is None:
        organisations, found = own_files.read(org or [], is_private=asked.is_private)
    elif data is None:
        raise InvalidSettings(f"--dataset {dataset_name} needs --data FOLDER")
    else:
        organisations, found = known.read(dataset_name, data, wanted)
    rows_read = sum(len(item.family) for item in organisations)
    read_s = time.perf_counter() - start
    chosen = protocols.find(wanted.protocol)
    situations = chosen.situations(organisations)
    if validate:
        situations = chosen.validations(situations)
    setting = _setting(asked, found, organisations, rounds)
    names = list(dict.fromkeys(name.strip() for name in compare.split(",")))

    def measured(setting: methods.Setting, names: list[str]) -> dict[str, MethodResult]:
        with ERR.status("reading") as status:
            return evaluation.evaluate(
                situations,
                setting=setting,
                compare=names,
                seeds=seeds,
                counts_newcomers=chosen.counts_newcomers or validate,
                keeps_scores=report_folder is not None,
                on_step=lambda method, name: status.update(f"{method} at {name}"),
            )

    results = measured(setting, names)
    gains = None
    if who_from:
        with ERR.status("leaving out") as status:
            gains = evaluation.learned_from(
                situations,
                setting=setting,
                seeds=seeds,
                on_step=lambda method, name: status.update(f"{method} at {name}"),
            )
    is_on = setting.privacy.is_on
    training_rounds = setting.private_rounds if is_on else setting.rounds
    report: dict[str, Any] = {
        "dataset": None if dataset_name is None else dataset_name.value,
        "protocol": chosen.name,
        "split": "validation" if validate else "test",
        "sight": wanted.sight,
        "protect": protect,
        "privacy": protection.report(setting.privacy, rounds=training_rounds),
        "features": found.name,
        "seeds": seeds,
        "rounds": training_rounds,
        "parameters": setting.architecture.layout.size,
        "methods": {name: evaluated.method(result) for name, result in results.items()},
        "masking_difference": evaluated.difference(results),
        "who_from": None if gains is None else evaluated.gains(gains),
        "seconds": round(time.perf_counter() - start, 1),
        "events_per_second": round(
            1 / (read_s / rows_read + _scoring_s(situations[0], setting))
        ),
    }
    if curve is not None:
        points = []
        for budget in _BUDGETS:
            promise = replace(asked, epsilon=budget).promise(
                found, rounds=setting.private_rounds
            )
            other = replace(setting, privacy=promise)
            is_known = promise == setting.privacy and _KEY in results
            found_there = results if is_known else measured(other, [_KEY])
            points.append(_point(budget, found_there))
        plots.curve(
            curve,
            points,
            title=f"Federated detection against privacy ({seeds} seeds, 95 % interval)",
            label="recall at 1 % false alarms",
        )
        report["curve"] = [asdict(point) for point in points]
    if report_folder is not None:
        written = evaluated.write(report_folder, report, results, gains)
        report["report"] = str(written)
    if as_json:
        print_json(report)
    else:
        evaluated.show(report, results)


def _setting(
    asked: Protection,
    found: FeatureSet,
    organisations: list[Organisation],
    rounds: int | None,
) -> methods.Setting:
    private_rounds = rounds or methods.PRIVATE_ROUNDS
    return methods.Setting(
        architecture=(
            methods.private_architecture_for(found)
            if asked.is_private
            else methods.architecture_for(found)
        ),
        training=methods.TRAINING,
        rounds=methods.ROUNDS if rounds is None or asked.is_private else rounds,
        federate=protected if asked.is_masked else in_the_clear,
        everyone=tuple(item.name for item in organisations),
        privacy=asked.promise(found, rounds=private_rounds),
        private_rounds=private_rounds,
    )


def _point(budget: float | None, results: dict[str, MethodResult]) -> plots.Point:
    result = results[_KEY]
    value = result.mean[_CURVE_FIGURE]
    if value is None:
        raise InvalidSettings("--curve: no organisation whose recall is defined")
    return plots.Point(
        epsilon=budget, value=value, interval=result.interval[_CURVE_FIGURE]
    )


def protected(
    learners: Mapping[OrgId, Learner],
    *,
    plan: Mapping[str, Any],
    initial: Vector,
    rounds: int,
    seed: int,
) -> Vector:
    """Run the rounds through the whole protocol with secure aggregation.

    See ``learning.federate.Federate``.
    """
    from fedxdr.simulation.federation import (  # noqa: PLC0415 - with its parties
        SimulatedFederation,
    )

    federation = SimulatedFederation(
        learners,
        plan={**plan, "collection_mode": "secagg"},
        initial=initial,
        seed=seed,
        does_replay=False,
    )
    for task in tasks_of(plan.get("privacy", NO_PRIVACY), rounds):
        federation.run_round(task=task)
    return federation.vector


def _scoring_s(situation: Situation, setting: methods.Setting) -> float:
    """Return the seconds that the network takes to score one event."""
    inputs = situation.test.features
    begin = time.perf_counter()
    fit.logits(
        setting.architecture.first_vector(0),
        architecture=setting.architecture,
        features=inputs,
    )
    return (time.perf_counter() - begin) / len(inputs)
