# SPDX-License-Identifier: Apache-2.0
"""The plan's names for aggregation rules: what each is, needs to see and can be given.

The names are those of the origin's settings: ``FL_AGGREGATION_METHOD`` (``FedAvg``,
``FedProx``, ``RobustAggregator``) and ``FL_AGGREGATION_ROBUST_METHOD`` (``median``,
``trimmed_mean``, ``krum``, to which we add ``multi_krum``).

It does NOT know collection modes; federation/plan.py compares what a rule ``needs``
with what the plan's mode shows, and refuses a rule that would see nothing.

Rules that always hold: the set is closed; a rule that cannot be built cannot be asked
for; a parameter that a rule does not use is refused, never ignored.

Source: given for each entry of ``CATALOGUE``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import numpy.typing as npt

from fedxdr.aggregation.aggregator import Updates
from fedxdr.aggregation.krum import krum, multi_krum, participants_needed
from fedxdr.aggregation.mean import weighted_mean
from fedxdr.aggregation.median import median
from fedxdr.aggregation.trimmed import trim_count, trimmed_mean
from fedxdr.core.errors import InvalidPlan, InvalidUpdate
from fedxdr.core.layout import Vector


class Method(StrEnum):
    """How a round is aggregated, by the origin's names."""

    FED_AVG = "FedAvg"
    FED_PROX = "FedProx"
    ROBUST = "RobustAggregator"


class RobustMethod(StrEnum):
    """Which robust rule ``RobustAggregator`` is."""

    MEDIAN = "median"
    TRIMMED_MEAN = "trimmed_mean"
    KRUM = "krum"
    MULTI_KRUM = "multi_krum"


class Needs(StrEnum):
    """What a rule must be shown."""

    SUM = "sum"
    UPDATES = "updates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One aggregation rule, as documentation and checks read it.

    Attributes:
        method: its name in a plan.
        robust_method: its second name where the method is ``RobustAggregator``.
        needs: what it must be shown.
        is_weighted: whether sample counts weigh.
        parameters: the fields of ``Rule`` that it takes; it takes no others.
        ranges: their ranges, in words.
        source: where the rule is defined.
    """

    method: Method
    robust_method: RobustMethod | None
    needs: Needs
    is_weighted: bool
    parameters: tuple[str, ...]
    ranges: str
    source: str


CATALOGUE: tuple[Entry, ...] = (
    Entry(
        method=Method.FED_AVG,
        robust_method=None,
        needs=Needs.SUM,
        is_weighted=True,
        parameters=(),
        ranges="none",
        source="McMahan et al. 2017, Algorithm 1",
    ),
    Entry(
        method=Method.FED_PROX,
        robust_method=None,
        needs=Needs.SUM,
        is_weighted=True,
        parameters=(),
        ranges="none here; the proximal term's mu belongs to the local fit",
        source="Li et al. 2020, Algorithm 2",
    ),
    Entry(
        method=Method.ROBUST,
        robust_method=RobustMethod.MEDIAN,
        needs=Needs.UPDATES,
        is_weighted=False,
        parameters=(),
        ranges="none",
        source="Yin et al. 2018, Algorithm 1, option I",
    ),
    Entry(
        method=Method.ROBUST,
        robust_method=RobustMethod.TRIMMED_MEAN,
        needs=Needs.UPDATES,
        is_weighted=False,
        parameters=("trim_fraction",),
        ranges="trim_fraction in (0, 0.5), at least one participant at each side",
        source="Yin et al. 2018, Algorithm 1, option II",
    ),
    Entry(
        method=Method.ROBUST,
        robust_method=RobustMethod.KRUM,
        needs=Needs.UPDATES,
        is_weighted=False,
        parameters=("byzantine",),
        ranges="byzantine f >= 1, n >= 2f + 3",
        source="Blanchard et al. 2017, section 4",
    ),
    Entry(
        method=Method.ROBUST,
        robust_method=RobustMethod.MULTI_KRUM,
        needs=Needs.UPDATES,
        is_weighted=False,
        parameters=("byzantine", "selected"),
        ranges="byzantine f >= 1, n >= 2f + 3, selected in [1, n - f]",
        source="Blanchard et al. 2017, multi-Krum",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One aggregation rule with its parameters; part of a plan.

    Attributes:
        method: how the round is aggregated.
        robust_method: which robust rule; given exactly with ``RobustAggregator``.
        trim_fraction: share of participants cut off at each side, in (0, 0.5); 0 where
            the rule does not take it, as for the next two.
        byzantine: f, how many participants may be Byzantine, >= 1.
        selected: m, how many updates multi-Krum averages, >= 1.
    """

    method: Method
    robust_method: RobustMethod | None = None
    trim_fraction: float = 0.0
    byzantine: int = 0
    selected: int = 0

    def __post_init__(self) -> None:
        wanted = self.entry.parameters
        for name, value in (
            ("trim_fraction", self.trim_fraction),
            ("byzantine", self.byzantine),
            ("selected", self.selected),
        ):
            # Written so that NaN, which is neither above nor equal, is refused.
            if name in wanted and not value > 0:
                raise InvalidPlan(f"{self.name} needs {name} above 0, got {value}")
            if name not in wanted and value != 0:
                raise InvalidPlan(f"{self.name} does not take {name}")
        if self.trim_fraction >= 0.5:
            raise InvalidPlan(f"got trim_fraction {self.trim_fraction}, want below 0.5")

    @property
    def entry(self) -> Entry:
        """The rule's line in the catalogue.

        Raises:
            InvalidPlan: no such rule.
        """
        for entry in CATALOGUE:
            if (entry.method, entry.robust_method) == (self.method, self.robust_method):
                return entry
        if self.method is Method.ROBUST:
            raise InvalidPlan(f"{self.method} needs a robust method: {_robust_names()}")
        raise InvalidPlan(f"{self.method} takes no robust method")

    @property
    def name(self) -> str:
        """The name people read, for example ``"RobustAggregator (krum)"``."""
        if self.robust_method is None:
            return str(self.method)
        return f"{self.method} ({self.robust_method})"

    @property
    def needs(self) -> Needs:
        """What the rule must be shown: the sum, or single updates."""
        return self.entry.needs

    def check(self, *, participants: int) -> None:
        """Refuse a number of participants with which the rule cannot work.

        Args:
            participants: the fewest there may be, n >= 1: the plan's minimum of
                survivors, or how many updates there are.

        Raises:
            InvalidPlan: too few, and how many are needed.
        """
        if participants < 1:
            raise InvalidPlan(f"got {participants} participants, want 1 or more")
        try:
            trim_count(participants, self.trim_fraction)
        except InvalidUpdate as error:
            raise InvalidPlan(f"{self.name}: {error}") from error
        needed = participants_needed(self.byzantine)
        if self.byzantine and participants < needed:
            raise InvalidPlan(
                f"{self.name} against {self.byzantine} Byzantine participants needs "
                f"{needed} (n >= 2f + 3), got {participants}"
            )
        most = participants - self.byzantine
        if self.selected > most:
            raise InvalidPlan(
                f"{self.name} selects {self.selected} of {participants}, want at most "
                f"{most} (n - f)"
            )


def find(
    method: str,
    robust_method: str | None = None,
    *,
    trim_fraction: float = 0.0,
    byzantine: int = 0,
    selected: int = 0,
) -> Rule:
    """Return the rule of that name, as settings and plans write it.

    Args:
        method: ``FedAvg``, ``FedProx`` or ``RobustAggregator``.
        robust_method: ``median``, ``trimmed_mean``, ``krum`` or ``multi_krum``.
        trim_fraction: as in ``Rule``.
        byzantine: as in ``Rule``.
        selected: as in ``Rule``.

    Raises:
        InvalidPlan: an unknown name, or parameters that are not the rule's.
    """
    methods = ", ".join(Method)
    if method not in set(Method):
        raise InvalidPlan(
            f"unknown aggregation method {method!r}, want one of {methods}"
        )
    if robust_method is not None and robust_method not in set(RobustMethod):
        raise InvalidPlan(
            f"unknown robust method {robust_method!r}, want one of {_robust_names()}"
        )
    return Rule(
        method=Method(method),
        robust_method=None if robust_method is None else RobustMethod(robust_method),
        trim_fraction=trim_fraction,
        byzantine=byzantine,
        selected=selected,
    )


def aggregate(rule: Rule, updates: Updates, weights: npt.ArrayLike) -> Vector:
    """Return the aggregate of the updates under a rule.

    Args:
        rule: which.
        updates: (n, d) float32, finite, one row per participant.
        weights: (n,) as for ``weighted_mean``; read only where the rule weighs.

    Returns:
        (d,) float32.

    Raises:
        InvalidPlan: the rule cannot work with that few participants.
        InvalidUpdate: a wrong shape or dtype, NaN or infinity, a weight out of range.
    """
    rule.check(participants=len(updates))
    match rule.robust_method:
        case None:
            return weighted_mean(updates, weights)
        case RobustMethod.MEDIAN:
            return median(updates)
        case RobustMethod.TRIMMED_MEAN:
            trim = trim_count(len(updates), rule.trim_fraction)
            return trimmed_mean(updates, trim=trim)
        case RobustMethod.KRUM:
            return krum(updates, byzantine=rule.byzantine)
        case RobustMethod.MULTI_KRUM:
            return multi_krum(updates, byzantine=rule.byzantine, selected=rule.selected)
        case _:
            assert_never(rule.robust_method)


def _robust_names() -> str:
    return ", ".join(RobustMethod)
