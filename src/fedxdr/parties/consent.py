# SPDX-License-Identifier: Apache-2.0
"""How an organisation approves a change: what its agent may decide, what a person must.

A plan and a key ceremony bind nobody who does not take part: an agent approves a plan
that keeps to its local floor, as it would take part under it, and a ceremony, whose key
only a plan can put to use. Everything about members, keys, models and the orchestrator
is for a person, who compares fingerprints.

Not here: collecting approvals (governance.py).

Rule that always holds: an approval names this ledger and this entry, and expires.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from fedxdr.core.canonical import from_builtins
from fedxdr.core.errors import Refused
from fedxdr.core.ids import Digest, OrgId
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation.floor import Floor
from fedxdr.federation.plan import Plan
from fedxdr.ledger import statements
from fedxdr.ledger.entries import Change, Genesis, KeyCeremony, PlanAdopted
from fedxdr.ledger.statements import ApprovalStatement
from fedxdr.parties.changes import ProposedChange

LIFETIME = timedelta(days=7)
REVIEW = timedelta(days=1)
"""After which an agent looks at a change again that is still open: approvals expire."""

Consent = Literal["floor", "ask"]
"""``floor``: the agent approves plans within its floor; ``ask``: a person does all."""


def approve(
    change: ProposedChange,
    *,
    me: OrgId,
    identity: IdentityKey,
    ledger: Digest,
    now: datetime,
) -> Envelope:
    """Return our signed approval of a change.

    Args:
        change: what we approve.
        me: our name.
        identity: our key.
        ledger: hash of the ledger's block 0; 64 zeros for the Genesis.
        now: UTC.
    """
    statement = ApprovalStatement(
        org=me,
        ledger=ledger,
        entry=change.digest,
        expires=now + LIFETIME,
        issued_at=now,
    )
    return statements.sign(statement, identity)


def may_decide(entry: Genesis | Change, *, floor: Floor) -> bool:
    """Return whether an agent approves this without asking a person.

    Args:
        entry: what is proposed.
        floor: what this organisation insists on.

    Raises:
        MalformedMessage: a plan that is none.
    """
    match entry:
        case PlanAdopted():
            try:
                floor.check(from_builtins(entry.plan, Plan))
            except Refused:
                return False
            return True
        case KeyCeremony():
            return True
        case _:
            return False
