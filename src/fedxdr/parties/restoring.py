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

from fedxdr.core.canonical import from_builtins
from fedxdr.core.ids import OrgId, sha256
from fedxdr.federation.phases import ENDED, Phase
from fedxdr.federation.plan import Plan, Task
from fedxdr.ledger.entries import PlanAdopted, RoundCommitted, RoundFailed
from fedxdr.parties.collecting.survivors import opening_of
from fedxdr.parties.ports import Fence, PurseLog, Standing
from fedxdr.parties.privacy_views import charge_of
from fedxdr.parties.recording import Recorder
from fedxdr.privacy.budget import Purse, Reserved, forgotten
from fedxdr.privacy.mechanism import Charge

logger = logging.getLogger(__name__)

_UNKNOWN = sha256(b"fedxdr/unknown-sum/v1")
_AFTER_SIGNING = {
    str(phase)
    for phase in Phase
    if list(Phase).index(phase) >= list(Phase).index(Phase.CONTRIBUTIONS)
}


def remember_spending(purse: PurseLog, mirror: Recorder, me: OrgId) -> None:
    """Put into the purse what the ledger says we released and the purse forgot.

    A purse that came back from a backup has given rounds back; the ledger has not.

    Args:
        purse: our facts.
        mirror: of the ledger.
        me: our name.
    """
    privacy = None if mirror.in_force.plan is None else mirror.in_force.plan.privacy
    if privacy is None or privacy.unit == "none":
        return
    kept = purse.facts()
    if any(isinstance(f, Reserved) and f.charge.unit != privacy.unit for f in kept):
        return  # of another unit: this plan is refused when it asks for a release
    released: dict[str, Charge] = {}
    plan: Plan | None = None
    for signed in mirror.blocks(begin=0, end=mirror.size()):
        entry = signed.block.entry
        charge: Charge | None = None
        task = "training"
        match entry:
            case PlanAdopted():
                plan = from_builtins(entry.plan, Plan)
                continue
            case RoundCommitted():
                claim = signed.block.provenance.privacy_params.get(me)
                charge = None if claim is None else charge_of(claim)
                task = entry.task
            case RoundFailed() if me in entry.survivors and plan is not None:
                # what was sent may have been opened; under a promise it was training
                charge = plan.privacy.charge if plan.privacy.is_on else None
            case _:
                continue
        if charge is not None and charge.unit == privacy.unit:
            released[f"{entry.round_id}/{task}"] = charge
    known = Purse.of(
        kept, epsilon=privacy.epsilon, delta=privacy.delta, unit=privacy.unit
    )
    for fact in forgotten(known, released):
        logger.warning("the purse forgot a release", extra={"release": fact.release_id})
        purse.append(fact)


def _signed_for(mirror: Recorder) -> set[Task]:
    """Return the tasks for which a set may have been signed here since the backup.

    Training on the present parent, by rounds that failed after signing; statistics at
    any time, since they do not build on a parent.
    """
    tasks: set[Task] = set()
    is_present = True
    for signed in reversed(mirror.blocks(begin=0, end=mirror.size())):
        match signed.block.entry:
            case RoundCommitted(task=task):
                is_present = False
                if task == "statistics":
                    tasks.add("statistics")
            case RoundFailed(phase=phase) if is_present and phase in _AFTER_SIGNING:
                tasks |= {"statistics", "training"}
            case _:
                pass
    return tasks


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
    if plan is not None:
        for task in _signed_for(mirror):
            for question in opening_of(in_force.model, plan, task):
                if fence.held(question) is None:
                    # which sum it was is not known here: none is signed again
                    fence.hold(question, _UNKNOWN)
    fence.settle()
    logger.warning("restored from a backup; taking part again from the next round")
