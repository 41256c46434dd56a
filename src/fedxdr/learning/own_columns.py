# SPDX-License-Identifier: Apache-2.0
"""Numbers that a data set gives for each row, with their units, made bounded.

A flow export or a table of connections brings statistics of its own. They are kept as
they are (``table``, float64) beside a default form that a federation's statistics
round can use: signed logarithms in [0, ``BOUND``].

It does NOT read files (cic.py, nsl_kdd.py) and does not standardise.

Rule that always holds: the scale follows from a column's unit alone, never from data;
every bounded number lies in [0, ``BOUND``], whatever the table says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning.columns import BOUND
from fedxdr.learning.features import FeatureSet
from fedxdr.models.graph import Floats, Integers
from fedxdr.telemetry.event import Events

Table = npt.NDArray[np.float64]

SCALES: Final = {
    "microseconds": 10.0,
    "seconds": 6.0,
    "bytes": 12.0,
    "bytes squared": 16.0,
    "packets": 8.0,
    "per second": 12.0,
    "count": 8.0,
    "ratio": 4.0,
    "code": 4.0,
}
"""s of each unit: x becomes 2 + sign(x) ln(1 + abs x) / s, which ends at abs x =
e^(2s) - 1: eight minutes of microseconds, 26 GB, nine million packets."""

SHARE: Final = "share"
"""Unit of what lies in [0, 1], yes or no among them: it stays as it is."""

_MIDDLE: Final = BOUND / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnColumn:
    """One column of a data set's own.

    Attributes:
        name: as in the data set, or ``column=value`` for one value of a text column.
        unit: of ``SCALES``, or ``SHARE``.
    """

    name: str
    unit: str

    def __post_init__(self) -> None:
        if self.unit != SHARE and self.unit not in SCALES:
            raise InvalidTelemetry(
                f"{self.name}: unit {self.unit!r}; use {SHARE} or one of "
                f"{', '.join(SCALES)}"
            )


def bounded(table: Table, columns: Sequence[OwnColumn]) -> Floats:
    """Return a table's numbers in [0, ``BOUND``], (n, C) float32.

    Args:
        table: (n, C) finite numbers.
        columns: what they are.

    Raises:
        InvalidTelemetry: another number of columns, or a number that is not finite.
    """
    if table.ndim != 2 or table.shape[1] != len(columns):
        raise InvalidTelemetry(f"got a table {table.shape}, want {len(columns)} wide")
    if not np.isfinite(table).all():
        raise InvalidTelemetry("a number of the table is not finite")
    scale = np.array([SCALES.get(column.unit, 1.0) for column in columns])
    is_share = np.array([column.unit == SHARE for column in columns], bool)
    logs = _MIDDLE + np.sign(table) * np.log1p(np.abs(table)) / scale
    found = np.where(is_share, np.clip(table, 0, 1), np.clip(logs, 0, BOUND))
    return found.astype(np.float32)


def feature_set(
    name: str, columns: Sequence[OwnColumn], *, around: FeatureSet | None = None
) -> FeatureSet:
    """Return the feature set of own columns, alone or behind a neighbourhood.

    Args:
        name: of the data set; the set is named after it.
        columns: the own ones.
        around: features of the events, which stand in front; none if None.

    Returns:
        a set whose rows ``joined`` makes; no function of events alone can.
    """
    return FeatureSet(
        name=f"{name}-own" if around is None else f"{name}-{around.name}",
        keys=0 if around is None else around.keys,
        token=0 if around is None else around.token,
        own=len(columns) + (0 if around is None else around.own),
        is_bounded=around is None or around.is_bounded,
        make=_needs_a_table,
        ranks=(1,) if around is None else around.ranks,
    )


def joined(
    table: Table,
    columns: Sequence[OwnColumn],
    *,
    around: FeatureSet | None = None,
    stream: Events | None = None,
    rows: Integers | None = None,
) -> Floats:
    """Return the rows of ``feature_set``, (n, D) float32.

    Args:
        table: (n, C), the rows' own numbers.
        columns: what they are.
        around: as in ``feature_set``.
        stream: events in time order, among them the rows; needed with ``around``.
        rows: (n,) where the rows stand in the stream; all of it if None.
    """
    own = bounded(table, columns)
    if around is None:
        return own
    if stream is None:
        raise InvalidTelemetry("a neighbourhood needs the events")
    # neighbours first, own numbers last: the order that a network reads
    return np.concatenate([around.compute(stream, rows), own], axis=1)


def _needs_a_table(events: Events, rows: Integers) -> Floats:
    del events, rows
    raise InvalidTelemetry("these features are read from a data set's own columns")
