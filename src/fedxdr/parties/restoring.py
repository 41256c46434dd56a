# SPDX-License-Identifier: Apache-2.0
"""An agent that was restored from a backup: when and how it takes part again.

It has forgotten what it sent and signed since the backup. So it sits out the round that
is running, follows the ledger, and binds itself to the sets of the failed rounds on the
present parent model, in which it may have signed one. Then it begins anew.

It does NOT notice an orchestrator that hides blocks from it; then the other members,
who were not set back, refuse a second set on one parent: a quorum of them is needed.
"""

from __future__ import annotations

import logging

from fedxdr.core.ids import OrgId
from fedxdr.federation.rounds import ENDED, Phase
from fedxdr.ledger.entries import RoundCommitted, RoundFailed
from fedxdr.parties.collecting.survivors import opening_of
from fedxdr.parties.ports import Fence, Standing
from fedxdr.parties.recording import Recorder

logger = logging.getLogger(__name__)

_AFTER_SIGNING = {
    str(phase)
    for phase in Phase
    if list(Phase).index(phase) >= list(Phase).index(Phase.CONTRIBUTIONS)
}


def settle(fence: Fence, mirror: Recorder, standing: Standing) -> None:
    """Let a restored agent take part again, if no round is running.

    Args:
        fence: of the restored agent; still a copy.
        mirror: of the ledger, up to the orchestrator's head.
        standing: what the orchestrator says about its newest round.
    """
    is_running = standing.phase is not None and standing.phase not in ENDED
    if is_running:
        return
    in_force = mirror.in_force
    plan = in_force.plan
    sets: set[tuple[OrgId, ...]] = set()
    for signed in reversed(mirror.blocks(begin=0, end=mirror.size())):
        entry = signed.block.entry
        if isinstance(entry, RoundCommitted):
            break
        if isinstance(entry, RoundFailed) and entry.phase in _AFTER_SIGNING:
            sets.add(entry.survivors)
    if sets and plan is not None:
        # of several sets any may be the one we signed: then none is signed here again
        survivors = sets.pop() if len(sets) == 1 else ()
        for task in ("statistics", "training"):
            for question, answer in opening_of(
                parent=in_force.model,
                layout=plan.layout.digest,
                task=task,
                survivors=survivors,
            ):
                if fence.held(question) is None:
                    fence.hold(question, answer)
    fence.settle()
    logger.warning("restored from a backup; taking part again from the next round")
