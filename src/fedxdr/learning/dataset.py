# SPDX-License-Identifier: Apache-2.0
"""Labelled telemetry of several organisations, split by wall-clock time.

An ``Organisation`` is a table: time, features, attack family, and which rows are its
own past. ``situations`` says, for each organisation, what anybody may use when its test
window opens: only rows at or before that instant, of anyone.

It does NOT read files (see ait.py, tables.py) and knows this one split; others are in
protocols.py.

Rules that always hold: own past is the first 60 % of the organisation's time, or what
lies before its fixed cut; nothing later than the cut is used for training, statistics
or thresholds. A part's stream ends with the part: what comes later is not in it.

Source: the wall-clock-causal protocol of this project's evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning.own_columns import OwnColumn, Table
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
        table: (n, C) float64, numbers of the data set's own, as they are; None if it
            has none.
        columns: what these C numbers are.
        stream: all its events in time order, also those that are no rows; None if a
            data set knows no events.
        place: (n,) int64, where the rows stand in the stream.
        cut_ns: first instant after its own past; None for 60 % of its time.
        validate_ns: first instant of that part of its past on which settings are
            chosen; None for the last fifth.
    """

    name: str
    time_ns: Integers
    features: Floats
    family: Integers
    families: tuple[str, ...]
    may_train: npt.NDArray[np.bool_] | None = None
    may_test: npt.NDArray[np.bool_] | None = None
    table: Table | None = None
    columns: tuple[OwnColumn, ...] = ()
    stream: Events | None = None
    place: Integers | None = None
    cut_ns: int | None = None
    validate_ns: int | None = None

    def __post_init__(self) -> None:
        if not len(self.time_ns) == len(self.features) == len(self.family):
            raise InvalidTelemetry(f"{self.name}: columns of different lengths")
        for other in (self.table, self.place):
            if other is not None and len(other) != len(self.time_ns):
                raise InvalidTelemetry(f"{self.name}: columns of different lengths")
        if (self.stream is None) != (self.place is None):
            raise InvalidTelemetry(f"{self.name}: a stream needs its rows' places")
        for mask in (self.may_train, self.may_test):
            if mask is not None and mask.shape != self.time_ns.shape:
                raise InvalidTelemetry(f"{self.name}: a mask of another length")
        if not len(self.time_ns):
            raise InvalidTelemetry(f"{self.name}: no rows")
        if (np.diff(self.time_ns) < 0).any():
            raise InvalidTelemetry(f"{self.name}: rows are not in time order")

    @property
    def is_past(self) -> npt.NDArray[np.bool_]:
        """(n,) mask of what lies before its cut, or the first 60 % of its time."""
        if self.cut_ns is not None:
            return np.asarray(self.time_ns < self.cut_ns)
        first, last = int(self.time_ns[0]), int(self.time_ns[-1])
        return np.asarray(self.time_ns <= first + PAST_SHARE * (last - first))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Rows that one organisation may use.

    Attributes:
        name: of the organisation.
        features: (n, D) float32.
        family: (n,) int64.
        time_ns: (n,) int64, ascending; None in parts that were put together.
        table: (n, C) float64, see ``Organisation``.
        columns: what these C numbers are.
        stream: its events up to the part's last row, as context.
        place: (n,) int64, where the rows stand in the stream.
        cut_ns: when its own test window opens; None if that is no instant.
    """

    name: str
    features: Floats
    family: Integers
    time_ns: Integers | None = None
    table: Table | None = None
    columns: tuple[OwnColumn, ...] = ()
    stream: Events | None = None
    place: Integers | None = None
    cut_ns: int | None = None

    @property
    def attacks(self) -> int:
        """How many rows belong to an attack."""
        return int((self.family != 0).sum())

    def select(self, rows: npt.NDArray[np.bool_]) -> Part:
        """Return some of its rows; the stream ends with the last of them.

        Args:
            rows: (n,) mask.
        """
        place = None if self.place is None else self.place[rows]
        stream = self.stream
        if stream is not None and place is not None:
            stream = stream.select(slice(0, int(place.max(initial=-1)) + 1))
        return replace(
            self,
            features=self.features[rows],
            family=self.family[rows],
            time_ns=None if self.time_ns is None else self.time_ns[rows],
            table=None if self.table is None else self.table[rows],
            stream=stream,
            place=place,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Situation:
    """What is known when one organisation's test window opens.

    Attributes:
        own: its own past.
        others: rows of the other organisations that take part, up to the cut.
        test: its later rows.
        cut_ns: when the window opens; 0 where that is no instant.
        families: names of the families.
        title: what it is called where an organisation has several; "" for its name.
        validate_ns: see ``Organisation``.
    """

    own: Part
    others: tuple[Part, ...]
    test: Part
    cut_ns: int
    families: tuple[str, ...]
    title: str = ""
    validate_ns: int | None = None

    @property
    def name(self) -> str:
        """What results are listed under."""
        return self.title or self.own.name

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
    refuse_twins(organisations)
    found = [_situation(item, organisations) for item in organisations]
    return sorted(found, key=lambda item: item.cut_ns)


def refuse_twins(organisations: Sequence[Organisation]) -> None:
    """Raise InvalidTelemetry if two organisations have the same name."""
    if len({item.name for item in organisations}) != len(organisations):
        raise InvalidTelemetry("two organisations have the same name")


def part_of(source: Organisation, rows: npt.NDArray[np.bool_]) -> Part:
    """Return some of an organisation's rows.

    Args:
        source: the organisation.
        rows: (n,) mask.
    """
    whole = Part(
        name=source.name,
        features=source.features,
        family=source.family,
        time_ns=source.time_ns,
        table=source.table,
        columns=source.columns,
        stream=source.stream,
        place=source.place,
        cut_ns=_cut(source),
    )
    return whole.select(rows)


def families_of(events: Events) -> npt.NDArray[np.int64]:
    """Return the family number of each event: benign 0, else by technique.

    Rows without a label count as benign; attacks without a technique are family 1.
    """
    is_attack = events.label == MALICIOUS
    return np.where(is_attack, events.technique.astype(np.int64) + 2, 0)


def family_names(events: Events) -> tuple[str, ...]:
    """Return the names that ``families_of`` points to."""
    return ("benign", "attack", *events.techniques)


def _cut(source: Organisation) -> int | None:
    """Return when its own test window opens; None if it has no later rows."""
    if source.cut_ns is not None:
        return source.cut_ns
    later = source.time_ns[~source.is_past]
    return int(later[0]) if len(later) else None


def _situation(target: Organisation, everyone: Sequence[Organisation]) -> Situation:
    past = target.is_past
    if past.all() or not past.any():
        raise InvalidTelemetry(
            f"{target.name}: no rows after the first {PAST_SHARE:.0%} of its time"
            if target.cut_ns is None
            else f"{target.name}: its rows all lie on one side of the cut"
        )
    cut = int(target.time_ns[~past][0])
    others = []
    for item in everyone:
        if item is target:
            continue
        allowed = _chosen(item.time_ns <= cut, item.may_train)
        if target.cut_ns is not None:
            # one instant for everybody: nothing of that instant is past to anyone
            allowed &= item.time_ns < target.cut_ns
        if allowed.sum() > FEWEST_ROWS:
            others.append(part_of(item, allowed))
    return Situation(
        own=part_of(target, _chosen(past, target.may_train)),
        others=tuple(others),
        test=part_of(target, _chosen(~past, target.may_test)),
        cut_ns=cut if target.cut_ns is None else target.cut_ns,
        families=target.families,
        validate_ns=target.validate_ns,
    )


def _chosen(
    rows: npt.NDArray[np.bool_], mask: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.bool_]:
    return rows if mask is None else rows & mask
