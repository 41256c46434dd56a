# SPDX-License-Identifier: Apache-2.0
"""An evaluation as a folder that can be handed on: Markdown and pictures.

``report.md`` says what was compared, on what, with which command and program, gives
every figure with its interval over seeds, by organisation and by attack family, and
shows the pictures that lie beside it.

It does NOT measure and does not choose what is counted.

Rules that always hold: a figure that is not defined is a dash, never a nought; what
stands in a table is what the JSON object of the same run says, rounded to three places;
files are written only in the folder that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from fedxdr.core.errors import InvalidSettings
from fedxdr.learning import plots
from fedxdr.learning.evaluation import FIGURES, Gain, MethodResult

FILE: Final = "report.md"
PRECISION: Final = "precision-recall.png"
FALSE_ALARMS: Final = "recall-false-alarms.png"
WHO_FROM: Final = "who-learned-from-whom.png"

TITLES: Final = dict(
    zip(
        FIGURES,
        (
            *("AUC", "average precision", "recall at 1 %", "recall at 0.1 %"),
            *("recall by family", "recall, families new here"),
            *("recall, own threshold", "false alarms there"),
        ),
        strict=True,
    )
)
"""Figure -> what it is called in a table."""

_BY_ORGANISATION: Final = (
    ("recall_at_1pct_fpr", "Recall at 1 % false alarms"),
    ("recall_at_own_threshold", "Recall at the threshold of the own past"),
    ("false_alarm_rate_at_own_threshold", "False alarms at that threshold"),
    ("auc", "Area under the ROC curve"),
)
_TOLD_GAIN: Final = 0.05

Gains = Mapping[str, Mapping[str, Gain]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an evaluation was made of.

    Attributes:
        dataset: its name, or what stands for one's own files.
        protocol: by name.
        split: ``test`` or ``validation``.
        features: the feature set's name.
        protect: what the rounds were protected by.
        privacy: a sentence; None without differential privacy.
        seeds: how often all was repeated.
        rounds: training rounds.
        parameters: of the network.
        seconds: the whole evaluation took.
        command: as it was typed.
        program: version and commit.
    """

    dataset: str
    protocol: str
    split: str
    features: str
    protect: str
    privacy: str | None
    seeds: int
    rounds: int
    parameters: int
    seconds: float
    command: str
    program: str


def write(
    folder: Path,
    *,
    facts: Facts,
    results: Mapping[str, MethodResult],
    gains: Gains | None = None,
) -> Path:
    """Write the report and its pictures, and return the report's path.

    Args:
        folder: made if it is not there.
        facts: what the evaluation was made of.
        results: of each method, with runs.
        gains: who learned what from whom; None if nobody asked.

    Raises:
        InvalidSettings: matplotlib is not installed, or the folder cannot be written.
    """
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidSettings(f"{folder}: cannot be made: {error}") from error
    runs = {
        method: {name: item.runs for name, item in result.organisations.items()}
        for method, result in results.items()
    }
    plots.precision_recall(folder / PRECISION, runs)
    plots.recall_against_false_alarms(folder / FALSE_ALARMS, runs)
    if gains is not None:
        plots.learned_from(
            folder / WHO_FROM,
            {
                learner: {name: gain.recall for name, gain in row.items()}
                for learner, row in gains.items()
            },
        )
    try:
        path.write_text(markdown(facts, results, gains), encoding="utf-8")
    except OSError as error:
        raise InvalidSettings(f"{path}: cannot be written: {error}") from error
    return path


def markdown(
    facts: Facts, results: Mapping[str, MethodResult], gains: Gains | None = None
) -> str:
    """Return the report's text.

    Args:
        facts: what the evaluation was made of.
        results: of each method.
        gains: who learned what from whom; None if nobody asked.
    """
    parts = [
        f"# {facts.dataset}, protocol {facts.protocol}",
        _made_of(facts),
        *_means(facts, results),
        *_organisations(results),
        *_families(results),
        f"![Recall against false alarms]({FALSE_ALARMS})",
        f"![Precision and recall]({PRECISION})",
    ]
    if gains is not None:
        parts += _who_from(gains)
    parts += [
        "## Once more",
        f"    {facts.command}",
        f"Program: {facts.program}. The whole took {facts.seconds:g} s.",
    ]
    return "\n\n".join(parts) + "\n"


def _made_of(facts: Facts) -> str:
    split = (
        "Scored on the test."
        if facts.split == "test"
        else "Scored on part of the past (validation): settings may be chosen by it."
    )
    sentences = [
        split,
        (
            f"Features `{facts.features}`, {facts.parameters:,} parameters, "
            f"{facts.rounds} rounds, protected by {facts.protect}, "
            f"{_count(facts.seeds)}."
        ),
    ]
    if facts.privacy is not None:
        sentences.append(facts.privacy)
    return " ".join(sentences)


def _means(facts: Facts, results: Mapping[str, MethodResult]) -> list[str]:
    told = (
        "the 95 % Student interval over seeds"
        if facts.seeds > 1
        else "no interval, there is one seed"
    )
    return [
        "## Means over organisations",
        (
            f"With {told}. Every organisation that counts weighs the same. Recall at "
            "1 % and 0.1 % puts the threshold on the test's benign rows, as published "
            "protocols do; the own threshold comes from the organisation's past alone."
        ),
        _table(
            ["method", *TITLES.values()],
            (
                [
                    method,
                    *(
                        _with_interval(result.mean[name], result.interval[name])
                        for name in FIGURES
                    ),
                ]
                for method, result in results.items()
            ),
        ),
    ]


def _organisations(results: Mapping[str, MethodResult]) -> list[str]:
    first = next(iter(results.values())).organisations
    parts = ["## By organisation"]
    if not all(item.is_counted for item in first.values()):
        parts.append("In brackets: not in the means, nobody was attacked before it.")
    for figure, title in _BY_ORGANISATION:
        parts += [
            f"{title}:",
            _table(
                ["organisation", "earlier victims", *results],
                (
                    [
                        name if item.is_counted else f"({name})",
                        str(item.earlier_victims),
                        *(
                            _number(result.organisations[name].figures[figure])
                            for result in results.values()
                        ),
                    ]
                    for name, item in first.items()
                ),
            ),
        ]
    return parts


def _families(results: Mapping[str, MethodResult]) -> list[str]:
    first = next(iter(results.values())).organisations
    names = sorted({family for item in first.values() for family in item.families})
    return [
        "## By attack family",
        "Recall at 1 % false alarms, mean over the organisations that met it.",
        _table(
            ["family", "met by", *results],
            (
                [
                    family,
                    str(sum(family in item.families for item in first.values())),
                    *(
                        _number(
                            float(
                                np.mean(
                                    [
                                        item.families[family]
                                        for item in result.organisations.values()
                                        if family in item.families
                                    ]
                                )
                            )
                        )
                        for result in results.values()
                    ),
                ]
                for family in names
            ),
        ),
    ]


def _who_from(gains: Gains) -> list[str]:
    rows = [
        [learner, teacher, _signed(gain.recall), _most(gain)]
        for learner, row in gains.items()
        for teacher, gain in row.items()
        if max(abs(gain.recall or 0.0), *map(abs, gain.families.values()), 0.0)
        >= _TOLD_GAIN
    ]
    parts = [
        "## Who learned what from whom",
        (
            "Federated, with everybody, less the same without one organisation. A gain "
            "below nought means that it was better off without; one within the "
            "interval over seeds means nothing."
        ),
        f"![Who learned from whom]({WHO_FROM})",
    ]
    if rows:
        parts.append(
            _table(["who learned", "from whom", "recall at 1 %", "families"], rows)
        )
    return parts


def _most(gain: Gain) -> str:
    """Return the families whose recall changed most, at most three."""
    found = sorted(gain.families.items(), key=lambda item: (-abs(item[1]), item[0]))
    return ", ".join(
        f"{family} {_signed(value)}"
        for family, value in found[:3]
        if abs(value) >= _TOLD_GAIN
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
        for line in lines
    )


def _with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return _number(value)
    return f"{_number(value)} [{_number(interval[0])}, {_number(interval[1])}]"


def _count(seeds: int) -> str:
    return "seed 0" if seeds == 1 else f"seeds 0 to {seeds - 1}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"
