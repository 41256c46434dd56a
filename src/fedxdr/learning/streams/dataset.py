# SPDX-License-Identifier: Apache-2.0
"""Examples from events: own features, bounded context, labels, past and future.

Alerts of intrusion detection systems are labels and never examples; an event without a
label counts as benign, because a SOC's analysts label what they find.

Not here: reading logs (intake), the network (models).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedxdr.learning.streams import context as graph
from fedxdr.telemetry.catalogue import Kind
from fedxdr.telemetry.event import MALICIOUS, Events
from fedxdr.telemetry.features import OWN_FEATURES, own_features

FEATURES: tuple[str, ...] = (*OWN_FEATURES, *graph.CONTEXT_FEATURES)
OWN, CONTEXT, KEYS = len(OWN_FEATURES), len(graph.CONTEXT_FEATURES), len(graph.KEYS)
_AGE_SCALE = 1 / 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examples:
    """All events of one organisation as a network sees them.

    Attributes:
        events: n rows, in order of time, without alerts.
        features: (n, F) float32, not standardised.
        index: (n, keys, K) int64, positions of earlier events.
        is_there: (n, keys, K) float32, 1.0 where there is one.
        age: (n, keys, K) float32, scaled log age.
        is_same_way: (n, keys, K) float32, 1.0 where source and source agree.
        label: (n,) bool, True for malicious.
        is_past: (n,) bool, True for what may be learned from.
    """

    events: Events
    features: NDArray[np.float32]
    index: NDArray[np.int64]
    is_there: NDArray[np.float32]
    age: NDArray[np.float32]
    is_same_way: NDArray[np.float32]
    label: NDArray[np.bool_]
    is_past: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.label)

    @property
    def past(self) -> NDArray[np.int64]:
        """Positions of what may be learned from."""
        return np.flatnonzero(self.is_past)

    @property
    def future(self) -> NDArray[np.int64]:
        """Positions of what came after."""
        return np.flatnonzero(~self.is_past)

    def batch(
        self, rows: NDArray[np.int64], *, mean: Tensor, scale: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the network takes for some rows.

        Args:
            rows: (b,) positions.
            mean: (F,) of the features.
            scale: (F,) 1 / standard deviation.

        Returns:
            event (b, F), neighbours (b, keys, K, own + 2), is_there (b, keys, K).
        """
        event = (torch.from_numpy(self.features[rows]) - mean) * scale
        earlier = self.index[rows]
        own = torch.from_numpy(self.features[:, :OWN])[torch.from_numpy(earlier)]
        own = (own - mean[:OWN]) * scale[:OWN]
        extra = torch.from_numpy(
            np.stack([self.age[rows], self.is_same_way[rows]], axis=-1)
        )
        there = torch.from_numpy(self.is_there[rows])
        return event, torch.cat([own, extra], dim=-1), there


def examples_of(events: Events, *, k: int, until_ns: int | None = None) -> Examples:
    """Return the examples in events.

    Args:
        events: any order; alerts are left out.
        k: earlier events per index key, >= 1.
        until_ns: where the past ends (UTC nanoseconds); None: all of it is past.
    """
    events = events.select(events.kind != Kind.ALERT)
    events = events.select(np.argsort(events.time_ns, kind="stable"))
    found = graph.contexts(events.source, events.destination, k=k)
    context = graph.context_features(
        found,
        time_ns=events.time_ns,
        source=events.source,
        destination=events.destination,
    )
    index = np.stack([found[key].index for key in graph.KEYS], axis=1)
    there = np.stack([found[key].is_there for key in graph.KEYS], axis=1)
    gaps = np.stack([graph.gaps_s(found[k_], events.time_ns) for k_ in graph.KEYS], 1)
    same = events.source[index] == events.source[:, None, None]
    end = np.iinfo(np.int64).max if until_ns is None else until_ns
    return Examples(
        events=events,
        features=np.concatenate([own_features(events), context], axis=1),
        index=index,
        is_there=there.astype(np.float32),
        age=(np.log1p(gaps * 1000.0) * _AGE_SCALE * there).astype(np.float32),
        is_same_way=(same & there).astype(np.float32),
        label=events.label == MALICIOUS,
        is_past=events.time_ns < end,
    )
