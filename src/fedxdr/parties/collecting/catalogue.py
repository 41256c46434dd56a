# SPDX-License-Identifier: Apache-2.0
"""Every collection mode by its name in the plan."""

from __future__ import annotations

from collections.abc import Mapping

from fedxdr.federation.plan import Plan
from fedxdr.parties.collecting import clear, committee, paillier, secagg
from fedxdr.parties.collecting.mode import Mode

MODES: Mapping[str, Mode] = {
    "secagg": secagg.MODE,
    "committee": committee.MODE,
    "paillier": paillier.MODE,
    "clear": clear.MODE,
}


def mode_of(plan: Plan) -> Mode:
    """Return the mode in which a plan collects; a plan names no other."""
    return MODES[plan.collection_mode]
