# SPDX-License-Identifier: Apache-2.0
"""The local floor: what one organisation insists on, whatever the plan says.

No plan and no orchestrator can lower it: below it the organisation sits out and says
why.
"""

from __future__ import annotations

from dataclasses import dataclass

from fedxdr.core.errors import BelowFloor
from fedxdr.core.ids import OrgId
from fedxdr.federation.plan import MINIMUM_SURVIVORS, Plan
from fedxdr.federation.protection import Privacy


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """What one organisation insists on, whatever the plan says.

    Attributes:
        modes: collection modes it takes part in.
        min_survivors: fewest updates in a sum that may hold its own.
        allow_no_privacy_mechanism: whether it takes part without differential privacy.
        max_epsilon: most that a plan may let it spend, None: any.
        max_delta: largest delta of a promise.
        units: units of privacy that it accepts, None: any.
        helpers: organisations that it trusts with seeds in mode ``committee``, None:
            any that the plan names.
    """

    modes: tuple[str, ...] = ("secagg",)
    min_survivors: int = MINIMUM_SURVIVORS
    allow_no_privacy_mechanism: bool = True
    max_epsilon: float | None = None
    max_delta: float = 1e-5
    units: tuple[str, ...] | None = None
    helpers: tuple[OrgId, ...] | None = None

    def check(self, plan: Plan) -> None:
        """Return if the plan keeps to this floor.

        Raises:
            BelowFloor: it does not, with what and why.
        """
        if plan.collection_mode not in self.modes:
            raise BelowFloor(
                f"the plan collects in mode {plan.collection_mode}; this organisation "
                f"takes part in {', '.join(self.modes)} only"
            )
        if plan.min_survivors < self.min_survivors:
            raise BelowFloor(
                f"the plan opens sums of {plan.min_survivors}; this organisation asks "
                f"for at least {self.min_survivors}"
            )
        strangers = sorted(set(plan.helpers) - set(self.helpers or plan.helpers))
        if strangers:
            raise BelowFloor(
                f"the plan names helpers that this organisation does not trust: "
                f"{', '.join(strangers)}"
            )
        self._check_privacy(plan.privacy)

    def _check_privacy(self, privacy: Privacy) -> None:
        if not privacy.is_on:
            if not self.allow_no_privacy_mechanism:
                raise BelowFloor("the plan has no differential privacy")
            return
        if self.max_epsilon is not None and privacy.epsilon > self.max_epsilon:
            raise BelowFloor(
                f"the plan lets an organisation spend epsilon {privacy.epsilon:g}; "
                f"this one spends {self.max_epsilon:g} at most"
            )
        if privacy.delta > self.max_delta:
            raise BelowFloor(
                f"the plan's promise may fail with chance {privacy.delta:g}; this "
                f"organisation accepts {self.max_delta:g}"
            )
        if self.units is not None and privacy.unit not in self.units:
            raise BelowFloor(
                f"the plan hides single {privacy.unit}s; this organisation asks for "
                f"{' or '.join(self.units)}"
            )
