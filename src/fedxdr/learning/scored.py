# SPDX-License-Identifier: Apache-2.0
"""What a detector says of events, as columns beside them; grouping.py makes findings.

It does NOT hold anything that was read from a label: tactic and technique are a
model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.core.tactics import TACTICS
from fedxdr.telemetry.event import Events

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """Events and what a detector says of them.

    Attributes:
        events: (n,) rows.
        score: (n,), finite.
        calibrated: (n,), in [0, 1], share of the own benign past that scores as high.
        tactic: (n,) integers, index into ``tactics``, -1 none; all none if None.
        tactics: ATT&CK tactics, ``TA0008``.
        technique: (n,) integers, index into ``techniques``, -1 none; all if None. Of
            the model, never of ``events``.
        techniques: ATT&CK techniques, ``T1021.002``.
        contribution: (n,), see ``Evidence.contribution``; None: see the module.

    Raises:
        InvalidTelemetry: columns of different lengths, a score that is not finite, a
            calibrated share outside its range, an index that points nowhere.
    """

    events: Events
    score: Numbers
    calibrated: Numbers
    tactic: npt.NDArray[np.integer] | None = None
    tactics: Sequence[str] = tuple(TACTICS)
    technique: npt.NDArray[np.integer] | None = None
    techniques: Sequence[str] = ()
    contribution: Numbers | None = None

    def __post_init__(self) -> None:
        columns = (self.score, self.calibrated, self.contribution)
        for column in (*columns, self.tactic, self.technique):
            if column is not None and column.shape != (len(self.events),):
                raise InvalidTelemetry(
                    f"got shape {column.shape} for {len(self.events)} events"
                )
        for numbers in (self.score, self.contribution):
            if numbers is not None and not np.isfinite(numbers).all():
                raise InvalidTelemetry("a score or contribution is not finite")
        if not ((self.calibrated >= 0) & (self.calibrated <= 1)).all():
            raise InvalidTelemetry("calibrated is a share in [0, 1]")
        for index, names in (
            (self.tactic, self.tactics),
            (self.technique, self.techniques),
        ):
            if index is not None and not ((index >= -1) & (index < len(names))).all():
                raise InvalidTelemetry("a tactic or technique points nowhere")
