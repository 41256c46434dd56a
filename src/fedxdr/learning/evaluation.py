# SPDX-License-Identifier: Apache-2.0
"""Is joining worth it: every method on every organisation, in figures.

Thresholds of ``recall_at_1pct_fpr`` and its kin are put on the test's benign rows, as
published protocols do; ``recall_at_own_threshold`` uses a threshold chosen on the
organisation's own benign past alone, which is what a team would live with.

It does NOT choose splits (dataset.py) or fit (methods.py).

Rules that always hold: a figure that is not defined is None and left out of means; the
mean is over the organisations that count, each weighing the same; the interval is the
95 % Student interval over seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fedxdr.core.errors import InvalidSettings
from fedxdr.learning.curves import Run
from fedxdr.learning.dataset import Situation
from fedxdr.learning.methods import METHODS, Setting
from fedxdr.learning.own_past import Scored
from fedxdr.models import metrics

FALSE_ALARM_BUDGET: Final = 0.01
STRICT_BUDGET: Final = 0.001
FIGURES: Final = (
    "auc",
    "ap",
    "recall_at_1pct_fpr",
    "recall_at_01pct_fpr",
    "family_recall",
    "unseen_family_recall",
    "recall_at_own_threshold",
    "false_alarm_rate_at_own_threshold",
)
"""Names of the figures, in the order in which they are shown."""

Figures = dict[str, float | None]

_STUDENT_95: Final = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
_NORMAL_95: Final = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationResult:
    """One method at one organisation.

    Attributes:
        figures: means over seeds, by name.
        families: recall of each attack family at 1 % false alarms, mean over seeds.
        earlier_victims: others attacked before this one's test window.
        is_counted: whether it is part of the mean.
        runs: scores per seed, for curves; none unless they were asked for.
    """

    figures: Figures
    families: dict[str, float]
    earlier_victims: int
    is_counted: bool
    runs: tuple[Run, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodResult:
    """One method over all organisations.

    Attributes:
        mean: over the organisations that count and the seeds.
        interval: 95 % interval of that mean over seeds, None with one seed.
        organisations: by name, in the order of their cuts.
    """

    mean: Figures
    interval: dict[str, tuple[float, float] | None]
    organisations: dict[str, OrganisationResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What one organisation's part brings another, by leaving it out.

    Attributes:
        recall: recall at 1 % false alarms with it less that without it, mean over
            seeds; None where one is not defined.
        families: the same per attack family.
    """

    recall: float | None
    families: dict[str, float]


def evaluate(
    situations: Sequence[Situation],
    *,
    setting: Setting,
    compare: Sequence[str],
    seeds: int,
    counts_newcomers: bool = False,
    keeps_scores: bool = False,
    on_step: Callable[[str, str], None] = lambda _method, _organisation: None,
) -> dict[str, MethodResult]:
    """Return every method's figures.

    Args:
        situations: one per organisation.
        setting: what the methods share.
        compare: names of methods.
        seeds: how often all is repeated, >= 1, with seeds 0, 1, ….
        counts_newcomers: whether organisations without an earlier victim elsewhere
            are part of the mean.
        keeps_scores: whether results carry every run's scores, for curves.
        on_step: told method and organisation before each is worked on.

    Raises:
        InvalidSettings: an unknown method, or fewer than one seed.
    """
    unknown = [name for name in compare if name not in METHODS]
    if unknown or not compare:
        raise InvalidSettings(
            f"method {', '.join(unknown) or '(none)'}: use some of {', '.join(METHODS)}"
        )
    if seeds < 1:
        raise InvalidSettings(f"got {seeds} seeds, want at least 1")
    results = {}
    for name in compare:
        found, kept = [], []
        for situation in situations:
            on_step(name, situation.name)
            scored = [METHODS[name](situation, setting, seed) for seed in range(seeds)]
            found.append([assess(situation, item) for item in scored])
            kept.append(
                tuple(_run(situation, item) for item in scored) if keeps_scores else ()
            )
        results[name] = _summed_up(
            situations, found, kept, counts_newcomers=counts_newcomers
        )
    return results


def learned_from(
    situations: Sequence[Situation],
    *,
    setting: Setting,
    seeds: int,
    method: str = "federated",
    on_step: Callable[[str, str], None] = lambda _method, _organisation: None,
) -> dict[str, dict[str, Gain]]:
    """Return what each organisation learned from each other one.

    The method is run with everybody and once more without each other part, on the same
    seeds: that many runs per organisation.

    Args:
        situations: one per organisation.
        setting: what the methods share.
        seeds: how often all is repeated, >= 1.
        method: that is run.
        on_step: told method and organisation before each is worked on.

    Returns:
        who learned -> from whom -> the gain; who had no part yet is not listed.
    """

    def runs(situation: Situation) -> list[tuple[Figures, dict[str, float]]]:
        return [
            assess(situation, METHODS[method](situation, setting, seed))
            for seed in range(seeds)
        ]

    gains: dict[str, dict[str, Gain]] = {}
    for situation in situations:
        on_step(method, situation.name)
        whole = runs(situation)
        gains[situation.name] = {}
        for part in situation.others:
            on_step(method, f"{situation.name} without {part.name}")
            rest = tuple(other for other in situation.others if other is not part)
            without = runs(replace(situation, others=rest))
            gains[situation.name][part.name] = _gain(whole, without)
    return gains


def assess(situation: Situation, scored: Scored) -> tuple[Figures, dict[str, float]]:
    """Return the figures of one organisation's scores, and each family's recall."""
    family = situation.test.family
    scores = scored.test.astype(np.float64)
    malicious = (family != 0).astype(np.int8)
    benign = scores[family == 0]
    bar = metrics.threshold(benign, budget=FALSE_ALARM_BUDGET)
    families = metrics.family_recall(scores, family, bar=bar)
    seen = set(np.unique(situation.own.family).tolist())
    own_bar = scored.bar(FALSE_ALARM_BUDGET)
    figures: Figures = {
        "auc": metrics.area_under_curve(scores, malicious),
        "ap": metrics.average_precision(scores, malicious),
        "recall_at_1pct_fpr": metrics.recall(
            scores, malicious, budget=FALSE_ALARM_BUDGET
        ),
        "recall_at_01pct_fpr": metrics.recall(scores, malicious, budget=STRICT_BUDGET),
        "family_recall": metrics.mean_of(families),
        "unseen_family_recall": metrics.mean_of(
            {number: value for number, value in families.items() if number not in seen}
        ),
        "recall_at_own_threshold": metrics.share_above(scores[family != 0], own_bar),
        "false_alarm_rate_at_own_threshold": metrics.share_above(benign, own_bar),
    }
    named = {situation.families[number]: value for number, value in families.items()}
    return figures, named


def _run(situation: Situation, scored: Scored) -> Run:
    return Run(
        scores=scored.test,
        is_attack=situation.test.family != 0,
        own_bar=scored.bar(FALSE_ALARM_BUDGET),
    )


def _gain(
    whole: Sequence[tuple[Figures, dict[str, float]]],
    without: Sequence[tuple[Figures, dict[str, float]]],
) -> Gain:
    pairs = [
        (run[0]["recall_at_1pct_fpr"], other[0]["recall_at_1pct_fpr"])
        for run, other in zip(whole, without, strict=True)
    ]
    return Gain(
        recall=_mean([a - b for a, b in pairs if a is not None and b is not None]),
        families={
            family: float(
                np.mean(
                    [
                        run[1][family] - other[1][family]
                        for run, other in zip(whole, without, strict=True)
                    ]
                )
            )
            for family in whole[0][1]
        },
    )


def _summed_up(
    situations: Sequence[Situation],
    found: Sequence[Sequence[tuple[Figures, dict[str, float]]]],
    kept: Sequence[tuple[Run, ...]],
    *,
    counts_newcomers: bool,
) -> MethodResult:
    counted = [
        counts_newcomers or situation.earlier_victims > 0 for situation in situations
    ]
    organisations = {
        situation.name: OrganisationResult(
            figures={
                figure: _mean([run[0][figure] for run in runs]) for figure in FIGURES
            },
            families={
                family: float(np.mean([run[1][family] for run in runs]))
                for family in runs[0][1]
            },
            earlier_victims=situation.earlier_victims,
            is_counted=is_counted,
            runs=scores,
        )
        for situation, runs, scores, is_counted in zip(
            situations, found, kept, counted, strict=True
        )
    }
    mean: Figures = {}
    interval: dict[str, tuple[float, float] | None] = {}
    for figure in FIGURES:
        by_seed = [
            _mean(
                [
                    runs[seed][0][figure]
                    for runs, is_counted in zip(found, counted, strict=True)
                    if is_counted
                ]
            )
            for seed in range(len(found[0]) if found else 0)
        ]
        mean[figure] = _mean(by_seed)
        interval[figure] = _interval(by_seed)
    return MethodResult(mean=mean, interval=interval, organisations=organisations)


def largest_difference(
    first: Mapping[str, float | None], second: Mapping[str, float | None]
) -> float | None:
    """Return the largest difference of two sets of figures; None without any."""
    pairs = [(first[name], second[name]) for name in FIGURES]
    found = [abs(a - b) for a, b in pairs if a is not None and b is not None]
    return max(found, default=None)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _interval(values: Sequence[float | None]) -> tuple[float, float] | None:
    known = [value for value in values if value is not None]
    freedom = len(known) - 1
    if freedom < 1:
        return None
    factor = _STUDENT_95[freedom - 1] if freedom <= len(_STUDENT_95) else _NORMAL_95
    centre = float(np.mean(known))
    reach = float(factor * np.std(known, ddof=1) / np.sqrt(len(known)))
    return max(0.0, centre - reach), min(1.0, centre + reach)
