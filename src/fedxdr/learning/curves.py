# SPDX-License-Identifier: Apache-2.0
"""Curves over thresholds, and their mean over runs.

It does NOT draw (plots.py) and knows no organisation.

Rules that always hold: scores that are alike alarm together; a curve ascends in its
first column; a mean is taken at fixed places of the first column, of runs as they are
there, never of thresholds.

Source: precision and recall as in Manning et al. 2008, section 8.4; recall against
false alarms is the ROC curve of Fawcett 2006, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """Scores of one method at one organisation with one seed.

    Attributes:
        scores: (t,) float32, of the test rows.
        is_attack: (t,) bool.
        own_bar: threshold chosen on the own past; None without benign past.
    """

    scores: npt.NDArray[np.float32]
    is_attack: npt.NDArray[np.bool_]
    own_bar: float | None

    @property
    def is_defined(self) -> bool:
        """Whether both classes are there, so that there is a curve."""
        return bool(self.is_attack.any() and not self.is_attack.all())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Band:
    """A curve over several runs.

    Attributes:
        at: (g,) ascending, where the curve is read.
        mean: (g,) over runs.
        low: (g,) least of the runs.
        high: (g,) largest of the runs.
    """

    at: Numbers
    mean: Numbers
    low: Numbers
    high: Numbers


def precision_recall(run: Run) -> tuple[Numbers, Numbers]:
    """Return recall, ascending, and the precision at each, (k,) both."""
    hits, alarms = _alarms(run)
    return hits / run.is_attack.sum(), hits / alarms


def recall_false_alarms(run: Run) -> tuple[Numbers, Numbers]:
    """Return the share of benign rows that alarm, ascending, and the recall at each."""
    hits, alarms = _alarms(run)
    return (
        (alarms - hits) / (~run.is_attack).sum(),
        hits / run.is_attack.sum(),
    )


def precision_band(runs: Sequence[Run], at: Numbers) -> Band:
    """Return the precision at which each recall is reached.

    Args:
        runs: one or more.
        at: (g,) recalls in (0, 1], ascending.
    """
    found = []
    for run in _defined(runs):
        recall, precision = precision_recall(run)
        found.append(precision[np.searchsorted(recall, at - 1e-12)])
    return _band(at, found)


def recall_band(runs: Sequence[Run], at: Numbers) -> Band:
    """Return the recall within each share of false alarms.

    Args:
        runs: one or more.
        at: (g,) shares in [0, 1], ascending.
    """
    found = []
    for run in _defined(runs):
        false_alarms, recall = recall_false_alarms(run)
        place = np.searchsorted(false_alarms, at + 1e-12, side="right")
        found.append(np.concatenate([[0.0], recall])[place])
    return _band(at, found)


def at_own_bar(runs: Sequence[Run]) -> tuple[float, float] | None:
    """Return false alarms and recall at the own threshold, means over runs."""
    points = [
        (
            float((run.scores[~run.is_attack] > run.own_bar).mean()),
            float((run.scores[run.is_attack] > run.own_bar).mean()),
        )
        for run in runs
        if run.own_bar is not None and run.is_defined
    ]
    if not points:
        return None
    false_alarms, recall = np.mean(points, axis=0).tolist()
    return false_alarms, recall


def _alarms(run: Run) -> tuple[Numbers, Numbers]:
    """Return, per distinct score from the highest, attacks and rows that alarm."""
    order = np.argsort(-run.scores, kind="stable")
    listed = run.scores[order]
    ends = np.flatnonzero(np.append(listed[1:] != listed[:-1], values=True))
    hits = np.cumsum(run.is_attack[order], dtype=np.float64)[ends]
    return hits, (ends + 1).astype(np.float64)


def _defined(runs: Sequence[Run]) -> list[Run]:
    found = [run for run in runs if run.is_defined]
    if not found:
        raise InvalidTelemetry("no run has both benign rows and attacks: no curve")
    return found


def _band(at: Numbers, found: Sequence[Numbers]) -> Band:
    stacked = np.stack(found)
    return Band(
        at=at,
        mean=stacked.mean(axis=0),
        low=stacked.min(axis=0),
        high=stacked.max(axis=0),
    )
