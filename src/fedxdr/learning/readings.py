# SPDX-License-Identifier: Apache-2.0
"""Which past each feature set reads, written down: nodes, columns and windows.

The sets of features.py and the files beside it are functions of a whole
stream. Here the same sets are data, so that streaming.py can hold just the past that
they read. A set is streamed as soon as it stands in ``READINGS``; tests hold both forms
of every set to the same bits.

It does NOT compute anything, and it does not know how the past is held.

Rule that always holds: the order of keys, mixtures and means is the order of the set's
numbers: tokens by key, own columns, what hosts' logs show, mixtures by key, means by
key, lifetimes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.learning import columns, entities
from fedxdr.learning.entity_lives import EntityLives
from fedxdr.learning.lives import EdgeLives, SetLives
from fedxdr.telemetry.event import Events


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One kind of node whose past is read, and what is compared in it.

    Attributes:
        by: columns that make the node; none: all events are of one.
        same: columns of which a neighbour's likeness is told.
        mixtures: columns whose mixture in windows is told, each one or several.
        other: a second column of which an event belongs to the node, or None.
        has_means: whether means over windows are told.
        has_unknown: whether 0 in its one column says that an event is of no node.
    """

    by: tuple[str, ...]
    same: tuple[str, ...]
    mixtures: tuple[tuple[str, ...], ...] = ()
    other: str | None = None
    has_means: bool = False
    has_unknown: bool = False

    @property
    def watched(self) -> tuple[str, ...]:
        """Columns that are compared; inside a node its own are always alike."""
        named = dict.fromkeys(itertools.chain(self.same, *self.mixtures))
        return tuple(name for name in named if self.other or name not in self.by)

    def places(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """Return where columns stand in ``watched``."""
        watched = self.watched
        return tuple(watched.index(name) for name in names if name in watched)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a feature set reads the past.

    Attributes:
        keys: in the set's order.
        alike: windows of shares.
        diverse: windows of diversity.
        means: windows of means.
        has_edges: whether a neighbour's own columns are read.
        has_own: whether the event's own columns are read.
        closeness: whether gaps are told twice, the second time as closeness; likeness
            is then 0 or 2.
        has_shown: whether what hosts' own logs show is told (entities.py).
        lives: what tells lifetimes (lives.py), or None.
    """

    keys: tuple[Key, ...]
    alike: tuple[int, ...]
    diverse: tuple[int, ...]
    means: tuple[int, ...] = ()
    has_edges: bool = False
    has_own: bool = False
    closeness: bool = False
    has_shown: bool = False
    lives: type[SetLives] | None = None


READINGS: Final[dict[str, Reading]] = {
    "alerts": Reading(
        keys=(
            Key(by=("host",), same=("kind",), mixtures=(("kind",),)),
            Key(by=("kind",), same=("host",), mixtures=(("host",),)),
            Key(by=("host", "kind"), same=("host", "kind")),
            Key(
                by=(),
                same=("host", "kind"),
                mixtures=(("host",), ("kind",), ("host", "kind")),
            ),
        ),
        alike=(4, 16, 32),
        diverse=(8, 32),
    ),
    "traffic": Reading(
        keys=(
            Key(
                by=("source",),
                same=("spoken",),
                mixtures=(("destination",), ("spoken",)),
                has_means=True,
            ),
            Key(
                by=("destination",),
                other="source",
                same=("spoken",),
                mixtures=(("source",), ("spoken",)),
            ),
            Key(
                by=("source", "destination"),
                same=("spoken",),
                mixtures=(("spoken",),),
                has_means=True,
            ),
            Key(
                by=("destination", "spoken"),
                same=("source",),
                mixtures=(("source",),),
            ),
        ),
        alike=(4, 16, 32),
        diverse=(8, 32),
        means=(8, 32),
        has_edges=True,
        has_own=True,
    ),
    "alerts-event": Reading(
        keys=(Key(by=("host",), same=("kind",), mixtures=(("kind",),)),),
        alike=(4, 16),
        diverse=(4, 16),
        closeness=True,
    ),
    "traffic-event": Reading(
        keys=(
            Key(
                by=("source",),
                same=("spoken",),
                mixtures=(("destination",), ("spoken",)),
            ),
            Key(
                by=("destination",),
                same=("spoken",),
                mixtures=(("source",), ("spoken",)),
            ),
        ),
        alike=(4, 8),
        diverse=(4, 8),
        has_edges=True,
        has_own=True,
        closeness=True,
    ),
    "edges": Reading(
        keys=(
            Key(by=("source",), other="destination", same=("destination",)),
            Key(by=("destination",), other="source", same=("source",)),
            Key(by=("source", "destination"), same=("source",)),
            Key(by=(), same=("source", "destination")),
        ),
        alike=(),
        diverse=(),
        lives=EdgeLives,
    ),
    entities.NAME: Reading(
        keys=(
            Key(
                by=("source",),
                other="destination",
                same=("spoken",),
                mixtures=(("destination",), ("spoken",), ("user",)),
                has_means=True,
            ),
            Key(
                by=("destination",),
                other="source",
                same=("spoken",),
                mixtures=(("source",), ("spoken",), ("user",)),
            ),
            Key(
                by=("source", "destination"),
                same=("spoken",),
                mixtures=(("spoken",),),
                has_means=True,
            ),
            Key(
                by=("destination", "spoken"),
                same=("source",),
                mixtures=(("source",),),
            ),
            Key(
                by=("user",),
                same=("destination",),
                mixtures=(("destination",), ("source",)),
                has_means=True,
                has_unknown=True,
            ),
        ),
        alike=entities.ALIKE,
        diverse=entities.DIVERSE,
        means=entities.MEANS,
        has_edges=True,
        has_own=True,
        has_shown=True,
        lives=EntityLives,
    ),
}
"""Every set that can be streamed; sets are frozen, so their windows stand here too."""

COLUMNS: Final[dict[str, Callable[[Events], npt.NDArray[np.int64]]]] = {
    "source": lambda events: events.source,
    "destination": lambda events: events.destination,
    "host": lambda events: events.destination,
    "kind": lambda events: events.service.astype(np.int64),
    "spoken": columns.spoken,
    "user": lambda events: events.user,
}
"""Columns that are keys or are compared, by the names used above: (n,) int64 each."""

SHORT: Final = ("spoken", "kind")
"""Those of them that fit into 32 bits."""
