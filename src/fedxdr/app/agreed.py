# SPDX-License-Identifier: Apache-2.0
"""What the members have agreed on, as the ledger in somebody's own folder says it.

What a proposed change is held against before somebody approves it, and what is left to
read when the orchestrator does not answer. It is as new as the folder: a mirror is as
its agent left it.

Not here: what is proposed (deciding.py), the ledger itself (ledger_folder.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fedxdr.app.ledger_folder import database_in, ledger_in
from fedxdr.core import canonical
from fedxdr.core.ids import Digest, OrgId


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """What is in force after the newest block of a folder's ledger.

    Attributes:
        genesis: hash of block 0: the ledger's name in approvals.
        blocks: how many there are.
        newest_at: date of the newest.
        orchestrator: fingerprint of the keys of who keeps the ledger.
        members: organisation -> fingerprint of its keys.
        plan: the plan as a JSON value, None before the first.
        plan_digest: its digest, empty before the first.
    """

    genesis: Digest
    blocks: int
    newest_at: datetime
    orchestrator: Digest
    members: Mapping[OrgId, Digest]
    plan: Mapping[str, Any] | None
    plan_digest: str


def agreed_in(folder: Path) -> Agreed | None:
    """Return what a folder's ledger says; None if there is nothing on it yet.

    Args:
        folder: an orchestrator's or a member's; whatever runs on it goes on.

    Raises:
        InvalidSettings: nobody's folder.
        VerificationFailed: a stored block that breaks the rules.
    """
    database = database_in(folder)
    if isinstance(database, Path) and not database.exists():
        return None  # an agent that was never run
    with ledger_in(folder) as found:
        if not found.recorder.is_begun:
            return None
        in_force = found.recorder.in_force
    return Agreed(
        genesis=in_force.genesis_hash,
        blocks=in_force.head.height + 1,
        newest_at=in_force.head.timestamp,
        orchestrator=in_force.log.keys.fingerprint,
        members={
            org: member.keys.fingerprint
            for org, member in sorted(in_force.members.items())
        },
        plan=None if in_force.plan is None else canonical.builtins(in_force.plan),
        plan_digest="" if in_force.plan is None else in_force.plan.digest,
    )
