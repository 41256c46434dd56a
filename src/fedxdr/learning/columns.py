# SPDX-License-Identifier: Apache-2.0
"""Columns of events as small numbers: logarithms of sizes and gaps, what is spoken.

It does NOT look at other events (models/graph.py does) and does not choose features.

Rule that always holds: every number lies in [0, ``BOUND``], whatever a log says.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.models.graph import Floats, Integers
from fedxdr.telemetry.catalogue import Service, State
from fedxdr.telemetry.event import Events

BOUND: Final = 4.0
"""Largest value of any feature."""

_LOG_SCALE: Final = 4.0
_LONGEST_S: Final = 1e6
EDGES: Final = 5
"""How many numbers ``edges`` gives per event."""

PER_LIFETIME: Final = 3
"""How many numbers ``lifetime`` gives."""

MOST_COUNTED: Final = 16
LONGEST_LIFE_S: Final = 3600.0
MOST_PARTNERS: Final = 8
"""Where lifetimes are full."""


def spoken(events: Events) -> Integers:
    """Return (n,) what is spoken: the service, or the port where none is known."""
    port = events.destination_port.astype(np.int64)
    known = events.service != Service.UNKNOWN
    return np.where(known, -2 - events.service.astype(np.int64), port)


def edges(events: Events) -> tuple[Floats, ...]:
    """Return what is read of a neighbour: volumes, duration, failure, text's length.

    Returns:
        ``EDGES`` columns of (n,) float32.
    """
    failed = np.isin(
        events.state, [State.ATTEMPTED, State.REJECTED, State.ABANDONED]
    ).astype(np.float32)
    return (
        volume(events.bytes_out),
        volume(events.bytes_in),
        log(np.maximum(np.nan_to_num(events.duration_s, nan=0.0), 0)),
        failed,
        log(np.maximum(events.text_length, 0)).astype(np.float32),
    )


def volume(values: npt.NDArray[np.int64]) -> Floats:
    """Return log(1 + x) / 4 of a count or size; 0 where it is not known (negative)."""
    return log(np.maximum(values, 0))


def log(values: npt.NDArray[np.generic]) -> Floats:
    """Return ln(1 + x) / 4 of x >= 0, at most ``BOUND``."""
    return np.minimum(np.log1p(values.astype(np.float64)) / _LOG_SCALE, BOUND).astype(
        np.float32
    )


def gap(seconds: Floats) -> Floats:
    """Return log(1 + s) / 4 of gaps in seconds; those above 10^6 count as that."""
    return log(np.minimum(seconds, _LONGEST_S))


def closeness(seconds: Floats) -> Floats:
    """Return 2 / (1 + s): 2 in the same second, 1 after one, 0 where nobody was.

    It tells the gaps inside a burst apart, which a logarithm of days does not.
    """
    return (2.0 / (1.0 + seconds.astype(np.float64))).astype(np.float32)


def lifetime(count: Integers, age_ns: Integers) -> Floats:
    """Return (q, 3): how many, for how long, whether any.

    Both how many and how long are soon full: else they would tell how long a sensor has
    been running, and what was learned on its first day would not hold on the second.

    Args:
        count: (q,) int64 >= 0, earlier events of a node.
        age_ns: (q,) int64 >= 0, since the first of them; 0 where there is none.
    """
    return np.stack(
        [
            log(np.minimum(count, MOST_COUNTED)),
            log(np.minimum(age_ns / 1e9, LONGEST_LIFE_S)),
            (count > 0).astype(np.float32),
        ],
        axis=1,
    )


def acquaintance(count: Integers) -> Floats:
    """Return (q,) how many partners a node has had, soon full as a lifetime is.

    Args:
        count: (q,) int64 >= 0.
    """
    return log(np.minimum(count, MOST_PARTNERS))
