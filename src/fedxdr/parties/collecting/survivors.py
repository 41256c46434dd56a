# SPDX-License-Identifier: Apache-2.0
"""The signed set of those who are summed: in every mode where a quorum opens the sum.

Rules that always hold: on one parent model one survivor set is signed for opening and
no other (n-1 differencing: the difference of two sums would show one update).
Statistics do not depend on the parent: for them the same holds under one layout.
"""

from __future__ import annotations

from fedxdr.core import canonical
from fedxdr.core.errors import AlreadyAnswered, InvalidInput, TooFewParticipants
from fedxdr.core.ids import Digest, OrgId, sha256
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation import messages, wire
from fedxdr.federation.messages import Announcement, SurvivorSet
from fedxdr.federation.phases import Kind
from fedxdr.federation.plan import Plan
from fedxdr.federation.rounds import Round
from fedxdr.federation.wire import Evidence
from fedxdr.ledger.block import contributions_root
from fedxdr.ledger.statements import ContributionStatement
from fedxdr.parties import reception
from fedxdr.parties.collecting.mode import Desk
from fedxdr.parties.dossier import Dossier
from fedxdr.parties.ports import Fence
from fedxdr.parties.reception import Checked
from fedxdr.parties.round_records import RoundRecords


def sign(desk: Desk, dossier: Dossier) -> bytes:
    """Return our signature over the set that was asked for and checked.

    Raises:
        AlreadyAnswered: we signed another one on this parent model.
    """
    asked = dossier.survivor_set
    announcement = dossier.session.announcement
    open_once(desk.fence, announcement, dossier.plan, asked.survivors)
    return messages.sign(asked, desk.identity).to_json()


def open_once(
    fence: Fence, announcement: Announcement, plan: Plan, survivors: tuple[OrgId, ...]
) -> None:
    """Bind us to one set whose sum is opened on a parent model; refuse any other.

    Raises:
        AlreadyAnswered: another set on this parent.
    """
    answers = opening_of(
        parent=announcement.parent_model,
        layout=plan.layout.digest,
        task=announcement.task,
        survivors=survivors,
    )
    # all are looked at before one is bound
    for question, answer in answers:
        if fence.held(question) not in {None, answer}:
            raise AlreadyAnswered(
                "on this parent model (for statistics: of this layout) another "
                "survivor set was signed for opening; the difference of the two sums "
                "would show one update"
            )
    for question, answer in answers:
        fence.hold(question, answer)


def opening_of(
    *, parent: Digest, layout: Digest, task: str, survivors: tuple[OrgId, ...]
) -> list[tuple[str, Digest]]:
    """Return the questions that a signed set answers once, each with its answer.

    Args:
        parent: the model that the round builds on.
        layout: of the plan; statistics do not build on the parent, so no new parent or
            plan makes them new.
        task: what the round is for.
        survivors: in order.
    """
    bases = [parent, layout] if task == "statistics" else [parent]
    answer = sha256(canonical.jcs(list(survivors)))
    return [(f"opening/{base}/{task}", answer) for base in bases]


def stated(dossier: Dossier, evidence: Evidence) -> dict[OrgId, Digest]:
    """Return whose contributions the evidence holds, each signed by its sender.

    Raises:
        BadSignature: one that its organisation did not sign.
        InvalidInput: a contribution to another round.
    """
    found: dict[OrgId, Digest] = {}
    for envelope in evidence.contributions:
        org, statement = messages.open_by_sender(
            envelope, ContributionStatement, members=dossier.members
        )
        if statement.round_id != dossier.session.announcement.round_id:
            raise InvalidInput(f"a contribution of {org} to another round")
        found[org] = statement.contribution_digest
    return found


def check_named(dossier: Dossier, contributions: dict[OrgId, Digest]) -> None:
    """Return if contributions are those that the proposal names, ours among them.

    For modes in which no quorum signs a set: what a member can hold the orchestrator to
    is its signed proposal.

    Raises:
        InvalidInput: others, or without ours.
        TooFewParticipants: too few.
    """
    proposal, plan = dossier.proposal, dossier.plan
    if tuple(sorted(contributions)) != proposal.survivors:
        raise InvalidInput("other contributors than the proposal names")
    if contributions_root(contributions) != proposal.contributions_root:
        raise InvalidInput("other contributions than the proposal names")
    if contributions.get(dossier.me) != dossier.mine.contribution_digest:
        raise InvalidInput("our contribution was left out or replaced")
    fewest = max(plan.threshold, plan.min_survivors, dossier.least)
    if len(contributions) < fewest:
        raise TooFewParticipants(
            f"an aggregate of {len(contributions)}; {fewest} are needed"
        )


def take_signature(
    records: RoundRecords, round_: Round, org: OrgId, body: bytes
) -> Checked:
    """Check an organisation's signature over the survivor set."""
    mine = reception.open_from(records, Envelope.from_json(body), SurvivorSet, org)
    if mine != records.survivor_set(round_):
        raise InvalidInput("signed another survivor set than was asked")
    return Checked(message=body)


def give_keys(records: RoundRecords, round_: Round, org: OrgId) -> bytes:
    """Return the whole signed key list."""
    del org
    return wire.pack_envelopes(list(records.envelopes(round_, Kind.KEYS).values()))


def give_set(records: RoundRecords, round_: Round, org: OrgId) -> bytes:
    """Return the set that is summed, signed by the orchestrator."""
    del org
    return records.sign(records.survivor_set(round_)).to_json()


def give_signatures(records: RoundRecords, round_: Round, org: OrgId) -> bytes:
    """Return the survivors' signatures over the set."""
    del org
    return wire.pack_envelopes(
        list(records.envelopes(round_, Kind.SURVIVOR_SIGNATURE).values())
    )
