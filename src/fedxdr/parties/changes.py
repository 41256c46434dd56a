# SPDX-License-Identifier: Apache-2.0
"""A proposed change of members, keys or plan, as everybody sees it.

Not here: who collects approvals (governance.py), who gives them (consent.py).

Rule that always holds: a proposal's name is the digest of its entry, recomputed by
whoever reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fedxdr.core import canonical
from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import Digest, OrgId
from fedxdr.crypto.envelope import Envelope
from fedxdr.ledger import entries, statements
from fedxdr.ledger.entries import Change, Genesis, MemberKeys
from fedxdr.ledger.statements import EnrolmentStatement


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedChange:
    """A change as everybody sees it.

    Attributes:
        digest: of the entry; approvals name it.
        entry: what would stand on the ledger.
        envelopes: what is signed beside it, without approvals.
        proposed_by: an organisation's name, or ``operator``.
        proposed_at: UTC.
        approved_by: whose approval counts now, sorted; of a closed change, who ever
            approved it.
        outcome: empty while it is open.
        why: why it was withdrawn, for people; empty if that is not known any more.
    """

    digest: Digest
    entry: Genesis | Change
    envelopes: tuple[Envelope, ...]
    proposed_by: str
    proposed_at: datetime
    approved_by: tuple[OrgId, ...]
    outcome: str = ""
    why: str = ""

    def to_value(self) -> dict[str, object]:
        """Return the proposal as the JSON value that travels."""
        return {
            "digest": self.digest,
            "entry": canonical.builtins(self.entry),
            "envelopes": [envelope.to_value() for envelope in self.envelopes],
            "proposed_by": self.proposed_by,
            "proposed_at": canonical.builtins(self.proposed_at),
            "approved_by": list(self.approved_by),
            "outcome": self.outcome,
            "why": self.why,
        }

    @classmethod
    def from_value(cls, value: object) -> ProposedChange:
        """Return the proposal that ``to_value`` wrote; the digest is recomputed.

        Raises:
            MalformedMessage: no such value, or another digest than the entry's.
        """
        try:
            match value:
                case {
                    "digest": str(said),
                    "entry": dict(entry),
                    "envelopes": list(envelopes),
                    "proposed_by": str(by),
                    "proposed_at": str(at),
                    "approved_by": list(approved),
                    "outcome": str(outcome),
                    "why": str(why),
                }:
                    found = cls(
                        digest=Digest(said),
                        entry=governed(entries.parse(entry)),
                        envelopes=tuple(map(Envelope.from_value, envelopes)),
                        proposed_by=by,
                        proposed_at=datetime.fromisoformat(at),
                        approved_by=tuple(OrgId(str(org)) for org in approved),
                        outcome=outcome,
                        why=why,
                    )
                case _:
                    raise MalformedMessage("not a proposed change")
        except ValueError as error:
            raise MalformedMessage("not a proposed change") from error
        if found.digest != entries.entry_digest(found.entry):
            raise MalformedMessage("a proposed change under another digest")
        return found


def founders_of(proposal: ProposedChange) -> dict[OrgId, MemberKeys]:
    """Return the founders of a proposed Genesis with the keys that they enrol."""
    enrolled = statements.by_organisation(proposal.envelopes, EnrolmentStatement)
    return {org: statement.keys for org, (_, statement) in enrolled.items()}


def governed(entry: entries.Entry) -> Genesis | Change:
    """Return an entry that members decide.

    Raises:
        MalformedMessage: a round, which they do not.
    """
    if isinstance(entry, entries.RoundCommitted | entries.RoundFailed):
        raise MalformedMessage("rounds are no changes that members decide")
    return entry
