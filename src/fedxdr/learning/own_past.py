# SPDX-License-Identifier: Apache-2.0
"""The own past of a situation, divided: what is fitted to, and what is spared for it.

A threshold chosen on rows that a model was fitted to promises too few false alarms: the
model knows these rows. So benign rows are spared, the same ones that a ``Trainer``
never trains on; and to choose between models, the end of the past is.

It does NOT fit or choose (methods.py, gate.py).

Rule that always holds: rows that ``asked`` adds are not among ``fitted_to``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning import fit, validation
from fedxdr.learning.calibration import Calibration
from fedxdr.learning.dataset import Part, Situation
from fedxdr.learning.trainer import held_out
from fedxdr.models.graph import Floats, Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What a method says.

    Attributes:
        test: (t,) float32, scores of the test rows.
        benign_past: (b,) float32, scores of benign rows of the organisation's own past
            that thresholds can be put on (methods.py, rule 3).
        rows: (b,) int64, ascending, which rows of the own past they are; None where
            nobody asks.
    """

    test: Floats
    benign_past: Floats
    rows: Integers | None = None

    def bar(self, budget: float) -> float | None:
        """Return the score above which a row alarms, None without a benign past.

        Args:
            budget: in (0, 1), share of benign rows that may alarm; it may be finer
                than the rows.
        """
        if not len(self.benign_past):
            return None
        return Calibration.fit(self.benign_past).bar(budget)


def spared(situation: Situation) -> npt.NDArray[np.bool_]:
    """Return (n,) mask of own benign rows that nothing is fitted to."""
    family = situation.own.family
    return np.asarray(held_out(family) & (family == fit.BENIGN))


def fitted_to(situation: Situation) -> Part:
    """Return the own past without the rows that thresholds are put on."""
    own, kept = situation.own, ~spared(situation)
    return replace(
        own,
        features=own.features[kept],
        family=own.family[kept],
        time_ns=None,
        table=None,
        stream=None,
        place=None,
    )


def asked(situation: Situation, *, fits_all: bool = False) -> tuple[Floats, Integers]:
    """Return the rows to score, test rows first, then those rows of the own past."""
    own = situation.own
    rows = np.flatnonzero(own.family == fit.BENIGN if fits_all else spared(situation))
    return np.concatenate([situation.test.features, own.features[rows]]), rows


def scored(found: Floats, rows: Integers) -> Scored:
    """Return the scores of ``asked``'s rows as test and past.

    Args:
        found: (t + b,) float32.
        rows: (b,), as ``asked`` returned them.
    """
    begin = len(found) - len(rows)
    return Scored(test=found[:begin], benign_past=found[begin:], rows=rows)


def earlier(situation: Situation) -> Situation | None:
    """Return the situation in which the end of the own past is still to come.

    Where a window opens at no instant, the end is the last fifth of each own family.
    """
    own = situation.own
    if situation.cut_ns and own.time_ns is not None:
        try:
            return validation.last_fifth(situation)
        except InvalidTelemetry:
            return None
    late = np.zeros(len(own.family), np.bool_)
    for number in np.unique(own.family):
        rows = np.flatnonzero(own.family == number)
        late[rows[int(validation.LEARNED_SHARE * len(rows)) :]] = True
    return replace(situation, own=own.select(~late), test=own.select(late))
