# SPDX-License-Identifier: Apache-2.0
"""Labelled telemetry of several organisations, split by wall-clock time.

An ``Organisation`` is a table: time, features, attack family, and which rows are its
own past. ``situations`` says, for each organisation, what anybody may use when its test
window opens: only rows at or before that instant, of anyone.

It does NOT read files (see ait.py, tables.py).

Rules that always hold: own past is the first 60 % of the organisation's time; nothing
later than the cut is used for training, statistics or thresholds.

Source: the wall-clock-causal protocol of this project's evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.models.graph import Floats, Integers
from fedxdr.telemetry.event import MALICIOUS, Events

PAST_SHARE: Final = 0.6
"""Part of an organisation's time that is its own past."""

FEWEST_ROWS: Final = 500
"""Others take part with more rows than this before the cut."""

VICTIM_ROWS: Final = 100
"""With more attack rows than this before the cut an organisation is a victim."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Organisation:
    """One organisation's labelled rows, in time order.

    Attributes:
        name: of the organisation.
        time_ns: (n,) int64, ascending.
        features: (n, D) float32.
        family: (n,) int64, 0 benign, others point into ``families``.
        families: names; the first is benign.
        may_train: (n,) bool, rows to learn from; all if None.
        may_test: (n,) bool, rows to measure on; all if None.
    """

    name: str
    time_ns: Integers
    features: Floats
    family: Integers
    families: tuple[str, ...]
    may_train: npt.NDArray[np.bool_] | None = None
    may_test: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if not len(self.time_ns) == len(self.features) == len(self.family):
            raise InvalidTelemetry(f"{self.name}: columns of different lengths")
        for mask in (self.may_train, self.may_test):
            if mask is not None and mask.shape != self.time_ns.shape:
                raise InvalidTelemetry(f"{self.name}: a mask of another length")
        if not len(self.time_ns):
            raise InvalidTelemetry(f"{self.name}: no rows")
        if (np.diff(self.time_ns) < 0).any():
            raise InvalidTelemetry(f"{self.name}: rows are not in time order")

    @property
    def is_past(self) -> npt.NDArray[np.bool_]:
        """(n,) mask of the first 60 % of its time."""
        first, last = int(self.time_ns[0]), int(self.time_ns[-1])
        return np.asarray(self.time_ns <= first + PAST_SHARE * (last - first))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Rows that one organisation may use.

    Attributes:
        name: of the organisation.
        features: (n, D) float32.
        family: (n,) int64.
    """

    name: str
    features: Floats
    family: Integers

    @property
    def attacks(self) -> int:
        """How many rows belong to an attack."""
        return int((self.family != 0).sum())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Situation:
    """What is known when one organisation's test window opens.

    Attributes:
        own: its own past.
        others: rows of the other organisations that take part, up to the cut.
        test: its later rows.
        cut_ns: when the window opens.
        families: names of the families.
    """

    own: Part
    others: tuple[Part, ...]
    test: Part
    cut_ns: int
    families: tuple[str, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """Everyone who can take part in a federation: the others, then itself."""
        return (*self.others, self.own)

    @property
    def earlier_victims(self) -> int:
        """How many others were attacked before the cut."""
        return sum(part.attacks > VICTIM_ROWS for part in self.others)


def situations(organisations: Sequence[Organisation]) -> list[Situation]:
    """Return one situation per organisation, the earliest cut first.

    Raises:
        InvalidTelemetry: names that are not distinct, or nothing after the own past.
    """
    if len({item.name for item in organisations}) != len(organisations):
        raise InvalidTelemetry("two organisations have the same name")
    found = [_situation(item, organisations) for item in organisations]
    return sorted(found, key=lambda item: item.cut_ns)


def families_of(events: Events) -> npt.NDArray[np.int64]:
    """Return the family number of each event: benign 0, else by technique.

    Rows without a label count as benign; attacks without a technique are family 1.
    """
    is_attack = events.label == MALICIOUS
    return np.where(is_attack, events.technique.astype(np.int64) + 2, 0)


def family_names(events: Events) -> tuple[str, ...]:
    """Return the names that ``families_of`` points to."""
    return ("benign", "attack", *events.techniques)


def _situation(target: Organisation, everyone: Sequence[Organisation]) -> Situation:
    past = target.is_past
    if past.all():
        raise InvalidTelemetry(
            f"{target.name}: no rows after the first {PAST_SHARE:.0%} of its time"
        )
    cut = int(target.time_ns[~past][0])
    others = []
    for item in everyone:
        if item is target:
            continue
        allowed = _chosen(item.time_ns <= cut, item.may_train)
        if allowed.sum() > FEWEST_ROWS:
            others.append(_part(item, allowed))
    return Situation(
        own=_part(target, _chosen(past, target.may_train)),
        others=tuple(others),
        test=_part(target, _chosen(~past, target.may_test)),
        cut_ns=cut,
        families=target.families,
    )


def _chosen(
    rows: npt.NDArray[np.bool_], mask: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.bool_]:
    return rows if mask is None else rows & mask


def _part(source: Organisation, rows: npt.NDArray[np.bool_]) -> Part:
    return Part(
        name=source.name, features=source.features[rows], family=source.family[rows]
    )
