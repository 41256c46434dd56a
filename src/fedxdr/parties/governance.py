# SPDX-License-Identifier: Apache-2.0
"""Who decides about members, keys and plans: proposals, approvals, adoption.

Anybody the orchestrator knows may propose; the founders all approve the Genesis, a
quorum of the members approves every later change, each with its own signature over the
very entry. The orchestrator collects; it cannot approve for anybody, and what it puts
on the ledger without a quorum no mirror takes.

Not here: how an agent or a person decides (consent.py), the rules of the ledger
(ledger/change_rules.py).

Rules that always hold: a change is adopted between rounds only, on a head with a
quorum; when one is adopted, the others that are open are proposed anew under the next
number, and need new approvals; of one proposer's plans only the newest is open; what
counts is counted at the date of the block that it would stand in, and no approval,
however wrong, withdraws a change.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from fedxdr.core import canonical
from fedxdr.core.clock import Clock
from fedxdr.core.errors import (
    BadSignature,
    InvalidInput,
    NotFound,
    UnknownSender,
    VerificationFailed,
    WaitingForQuorum,
    WrongPhase,
)
from fedxdr.core.ids import Digest, OrgId
from fedxdr.crypto.envelope import Envelope
from fedxdr.ledger import entries, statements
from fedxdr.ledger.block import GENESIS_PREV_HASH, Block
from fedxdr.ledger.entries import (
    Change,
    Genesis,
    MemberEnrolled,
    MemberKeys,
    PlanAdopted,
)
from fedxdr.ledger.statements import APPROVAL_TYPE, ApprovalStatement
from fedxdr.parties.changes import ProposedChange, founders_of, governed
from fedxdr.parties.heads import Heads
from fedxdr.parties.ports import ChangeStore, StoredChange
from fedxdr.parties.recording import Recorder

logger = logging.getLogger(__name__)

MOST_OPEN = 8
"""How many changes one proposer can have open at once, beside a plan."""

ADOPTED, WITHDRAWN = "adopted", "withdrawn"


class Governance:
    """The orchestrator's desk for changes.

    Args:
        recorder: the ledger.
        heads: its signed heads.
        store: the proposals.
        clock: the time.
        is_busy: whether a round is running.
    """

    def __init__(
        self,
        *,
        recorder: Recorder,
        heads: Heads,
        store: ChangeStore,
        clock: Clock,
        is_busy: Callable[[], bool],
    ) -> None:
        self._recorder = recorder
        self._heads = heads
        self._store = store
        self._clock = clock
        self._is_busy = is_busy
        self._open: tuple[Digest, ...] | None = None
        self._why: dict[Digest, str] = {}  # of what was withdrawn since the start
        if recorder.is_begun:
            # killed between a block and what follows from it
            self._renumber()

    @property
    def next_number(self) -> int:
        """The number that the next change has."""
        return self._recorder.in_force.changes + 1 if self._recorder.is_begun else 1

    def open_digests(self) -> tuple[Digest, ...]:
        """Return the names of the open changes; asked often, so storage is not."""
        if self._open is None:
            self._open = tuple(found.digest for found in self._store.all())
        return self._open

    def proposals(self, *, is_open: bool = True) -> list[ProposedChange]:
        """Return the changes, in the order in which they were proposed."""
        return [self._shown(found) for found in self._store.all(is_open=is_open)]

    def applications(self) -> dict[OrgId, ProposedChange]:
        """Return the open enrolments, by the organisation that applied."""
        return {
            change.entry.org_id: change
            for change in self.proposals()
            if isinstance(change.entry, MemberEnrolled)
        }

    def proposal(self, digest: Digest) -> ProposedChange:
        """Return one change, open or not.

        Raises:
            NotFound: there is none.
        """
        return self._shown(self._stored(digest))

    def propose(
        self,
        entry: Genesis | Change,
        *,
        envelopes: Sequence[Envelope] = (),
        by: str,
    ) -> ProposedChange:
        """File a change for approval; the same one again changes nothing.

        A plan takes the place of those that its proposer has open: a federation has one
        plan, and one that was wanted earlier would be adopted later, or first.

        Args:
            entry: with the number of the next change.
            envelopes: what its subject signed, without approvals: each of those comes
                from who gives it, by ``approve``.
            by: who proposes it.

        Raises:
            InvalidInput: it could not stand on the ledger, approved or not; or there
                are approvals beside it.
            WrongPhase: its proposer has too many changes open.
        """
        if any(found.payload_type == APPROVAL_TYPE for found in envelopes):
            raise InvalidInput(
                "a change is proposed without approvals; who approves hands its own in"
            )
        if self._recorder.is_begun:
            if isinstance(entry, Genesis):
                raise InvalidInput("the federation is founded already")
            self._recorder.check_proposed(entry, envelopes=envelopes)
        elif not isinstance(entry, Genesis | MemberEnrolled):
            raise InvalidInput(
                "the federation is not founded yet: only founders can be enrolled"
            )
        digest = entries.entry_digest(entry)
        mine = {c.digest for c in self._store.all() if c.proposed_by == by}
        is_one_more = digest not in mine and not isinstance(entry, PlanAdopted)
        if is_one_more and len(mine) >= MOST_OPEN:
            raise WrongPhase(
                f"{by} has {len(mine)} open changes: withdraw one, or wait"
            )
        self._file(entry, envelopes=envelopes, by=by)
        return self.proposal(digest)

    def _file(
        self, entry: Genesis | Change, *, envelopes: Sequence[Envelope], by: str
    ) -> None:
        digest = entries.entry_digest(entry)
        self._store.propose(
            StoredChange(
                digest=digest,
                number=1 if isinstance(entry, Genesis) else entry.change,
                entry=canonical.encode(entry),
                envelopes=tuple(envelope.to_json() for envelope in envelopes),
                proposed_by=by,
                proposed_at=self._clock.now(),
            )
        )
        self._open = None
        self._why.pop(digest, None)
        logger.info("change proposed", extra={"digest": digest, "by": by})
        if isinstance(entry, PlanAdopted):
            self._supersede(digest, by=by)

    def _supersede(self, digest: Digest, *, by: str) -> None:
        """Withdraw the other plans that the proposer of a plan has open."""
        for stored in self._store.all():
            is_other = stored.digest != digest and stored.proposed_by == by
            if is_other and isinstance(_read(stored).entry, PlanAdopted):
                self._withdraw(stored.digest, f"{by} proposed a newer plan")

    def withdraw(self, digest: Digest, *, why: str = "") -> None:
        """Close a change that shall not be adopted any more.

        Args:
            digest: of the change.
            why: for people.

        Raises:
            NotFound: there is none.
            WrongPhase: it is closed already.
        """
        stored = self._stored(digest)
        if stored.outcome:
            raise self._closed(stored)
        self._withdraw(digest, why)

    def approve(self, digest: Digest, org: OrgId, envelope: Envelope) -> Block | None:
        """Store an approval; return the block if the change was adopted by it.

        Args:
            digest: of the change.
            org: whose approval it is.
            envelope: its signed ``ApprovalStatement``.

        Raises:
            NotFound: no such change.
            WrongPhase: the change is closed.
            UnknownSender: who has no say in it.
            BadSignature: not signed by that organisation's keys.
            InvalidInput: over another entry, another ledger, or expired.
        """
        stored = self._stored(digest)
        if stored.outcome:
            raise self._closed(stored)
        voters = self._voters(_read(stored))
        if org not in voters:
            raise UnknownSender(f"{org} has no say in this change")
        statement = statements.verify(
            envelope, kind=ApprovalStatement, keys=voters[org]
        )
        if statement.org != org:
            raise BadSignature(f"{org} signed in the name of {statement.org}")
        if (statement.entry, statement.ledger) != (digest, self._ledger()):
            raise InvalidInput("an approval of another change, or on another ledger")
        if statement.expires <= self._clock.now():
            raise InvalidInput("the approval has expired")
        self._store.approve(digest, org, envelope.to_json())
        logger.info("change approved", extra={"digest": digest, "org": org})
        return self.advance()

    def advance(self) -> Block | None:
        """Adopt the first open change that has its quorum; return its block."""
        if not self.open_digests() or self._is_busy():
            return None
        for stored in self._store.all():
            proposal = _read(stored)
            # dated first, counted at that date: none expires on the way to the block
            at = self._recorder.now()
            approvals = self._sound(stored, proposal, at=at)
            if len(approvals) < self._needed(proposal):
                continue
            if self._recorder.is_begun:
                try:
                    self._heads.require_quorum()
                except WaitingForQuorum:
                    return None
            block = self._adopt(proposal, approvals, at=at)
            if block is not None:
                return block
        return None

    def waiting_for(self, digest: Digest) -> WaitingForQuorum:
        """Return the error that says what a change waits for."""
        proposal = self.proposal(digest)
        missing = sorted(set(self._voters(proposal)) - set(proposal.approved_by))
        kind = proposal.entry.type.split("/")[1]
        return WaitingForQuorum(
            f"{kind} {digest[:16]}… is approved by {len(proposal.approved_by)} of the "
            f"{self._needed(proposal)} that it takes; not yet by {', '.join(missing)}: "
            "their agents must be running, and where they ask a person, that person "
            "approves with `fedxdr plan approve` or `fedxdr members approve`"
        )

    def _adopt(
        self, proposal: ProposedChange, approvals: Sequence[Envelope], *, at: datetime
    ) -> Block | None:
        """Put a change on the ledger; withdraw it if it could not stand there."""
        envelopes = [*proposal.envelopes, *approvals]
        try:
            block = self._heads.append(
                self._recorder.draft(proposal.entry, envelopes=envelopes, at=at)
            )
        except VerificationFailed as error:
            self._withdraw(proposal.digest, str(error))
            return None
        self._close(proposal.digest, ADOPTED)
        logger.info(
            "change adopted", extra={"digest": proposal.digest, "height": block.height}
        )
        self._renumber()
        return block

    def _renumber(self) -> None:
        """Propose what is still open anew, under the number that is next now.

        First the new one, then the old one is closed: whoever is killed in between
        loses nothing, and does it again.
        """
        number = self.next_number
        for stored in self._store.all():
            proposal = _read(stored)
            entry = proposal.entry
            if self._stands(proposal):
                self._close(proposal.digest, ADOPTED)
                continue
            why = "the federation was founded otherwise"
            if not isinstance(entry, Genesis):
                if entry.change == number:
                    continue
                renumbered = dataclasses.replace(entry, change=number)
                envelopes = proposal.envelopes
                try:
                    self._recorder.check_proposed(renumbered, envelopes=envelopes)
                    # (however many its proposer has: this is none more)
                    self._file(renumbered, envelopes=envelopes, by=proposal.proposed_by)
                    why = f"another was adopted; it is change {number} now, and new"
                except InvalidInput as error:
                    why = str(error)
            self._withdraw(proposal.digest, why)

    def _stands(self, proposal: ProposedChange) -> bool:
        """Return whether the newest change on the ledger is this one, or holds it."""
        entry = proposal.entry
        if isinstance(entry, MemberEnrolled):
            member = self._recorder.in_force.members.get(entry.org_id)
            return member is not None and member.keys == entry.keys
        for height in reversed(range(self._recorder.size())):
            (signed,) = self._recorder.blocks(begin=height, end=height + 1)
            newest = signed.block.entry
            if isinstance(newest, Genesis) or hasattr(newest, "change"):
                return entries.entry_digest(newest) == proposal.digest
        return False

    def _shown(self, stored: StoredChange) -> ProposedChange:
        """Return a change as everybody sees it, with the approvals that count."""
        proposal = _read(stored)
        if proposal.outcome:
            # decided: what was approved then is not judged by now
            why = self._why.get(proposal.digest, "")
            return dataclasses.replace(proposal, why=why)
        counting = self._counting(stored, proposal, at=self._recorder.now())
        return dataclasses.replace(proposal, approved_by=tuple(sorted(counting)))

    def _counting(
        self, stored: StoredChange, proposal: ProposedChange, *, at: datetime
    ) -> dict[OrgId, Envelope]:
        """Return the approvals that count: by whom has a say, for this, not expired.

        Their signatures were checked when they came.

        Args:
            stored: with all its approvals.
            proposal: the same change.
            at: date of the block that would use them.
        """
        voters, ledger = self._voters(proposal), self._ledger()
        found = {}
        for org, data in sorted(stored.approvals.items()):
            envelope = Envelope.from_json(data)
            stated = statements.parse(envelope.payload, ApprovalStatement)
            is_signer = org in voters and (
                envelope.signatures[0].keyid == voters[org].identity.keyid
            )
            is_for_this = (stated.entry, stated.ledger) == (proposal.digest, ledger)
            if is_signer and is_for_this and stated.expires > at:
                found[org] = envelope
        return found

    def _sound(
        self, stored: StoredChange, proposal: ProposedChange, *, at: datetime
    ) -> list[Envelope]:
        """Return the approvals that count, each held against its signer once more.

        One that the ledger would not take would keep the others from being used.
        """
        counting = self._counting(stored, proposal, at=at)
        needed, found = self._needed(proposal), []
        for org, envelope in counting.items() if len(counting) >= needed else ():
            try:
                statements.verify(
                    envelope, kind=ApprovalStatement, keys=self._voters(proposal)[org]
                )
            except InvalidInput as error:
                logger.warning(
                    "approval left out",
                    extra={"digest": stored.digest, "org": org, "reason": str(error)},
                )
            else:
                found.append(envelope)
        return found

    def _voters(self, proposal: ProposedChange) -> dict[OrgId, MemberKeys]:
        if isinstance(proposal.entry, Genesis):
            return founders_of(proposal)
        members = self._recorder.in_force.members if self._recorder.is_begun else {}
        return {org: member.keys for org, member in members.items()}

    def _needed(self, proposal: ProposedChange) -> int:
        if isinstance(proposal.entry, Genesis):
            return len(proposal.entry.founders)
        # before the founding an enrolment waits to become part of the Genesis
        return self._recorder.in_force.quorum if self._recorder.is_begun else 1

    def _ledger(self) -> Digest:
        if not self._recorder.is_begun:
            return GENESIS_PREV_HASH
        return self._recorder.in_force.genesis_hash

    def _stored(self, digest: Digest) -> StoredChange:
        stored = self._store.get(digest)
        if stored is None:
            raise NotFound("there is no such change")
        return stored

    def _closed(self, stored: StoredChange) -> WrongPhase:
        why = self._why.get(stored.digest, "")
        return WrongPhase(
            f"this change is closed: it was {stored.outcome}"
            + (f" ({why})" if why else "")
        )

    def _withdraw(self, digest: Digest, why: str) -> None:
        self._why[digest] = why
        self._close(digest, WITHDRAWN)
        logger.warning("change withdrawn", extra={"digest": digest, "reason": why})

    def _close(self, digest: Digest, outcome: str) -> None:
        self._store.close(digest, outcome=outcome)
        self._open = None


def _read(stored: StoredChange) -> ProposedChange:
    return ProposedChange(
        digest=stored.digest,
        entry=governed(entries.parse(canonical.parse_jcs(stored.entry))),
        envelopes=tuple(map(Envelope.from_json, stored.envelopes)),
        proposed_by=stored.proposed_by,
        proposed_at=stored.proposed_at,
        approved_by=tuple(sorted(stored.approvals)),
        outcome=stored.outcome,
    )
