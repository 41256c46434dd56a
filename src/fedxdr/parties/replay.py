# SPDX-License-Identifier: Apache-2.0
"""Redoing a round from its masked contributions: what a member does before it accepts.

The inputs are the contributions, the answers that opened the sum and the signed
survivor set; the functions are the orchestrator's own (federation/opening.py). Whoever
aggregated dishonestly is found by every member that replays.

Source: design 2, "Audit by replay".
"""

from __future__ import annotations

from collections.abc import Callable

from fedxdr.core.errors import InvalidInput, TooFewParticipants
from fedxdr.core.ids import Digest, OrgId
from fedxdr.federation import messages, opening
from fedxdr.federation.messages import ShareMessage, UnmaskingMessage
from fedxdr.federation.wire import Evidence
from fedxdr.ledger.block import contributions_root
from fedxdr.ledger.statements import ContributionStatement
from fedxdr.parties.dossier import Dossier


def replay(
    dossier: Dossier,
    *,
    parent: bytes,
    evidence: Evidence,
    vector_of: Callable[[Digest], bytes],
) -> opening.Opened:
    """Return what the round must have brought.

    Args:
        dossier: the round as this organisation holds it.
        parent: the parent model's file.
        evidence: signed statements, share messages and answers.
        vector_of: returns the protected vector with that digest.

    Raises:
        InvalidInput: the evidence does not match the signed survivor set (in mode
            ``clear``: the proposal), leaves our contribution out, or does not open.
        BadSignature: a part of it was not signed by the member it names.
    """
    session, members = dossier.session, dossier.members
    contributions: dict[OrgId, Digest] = {}
    for envelope in evidence.contributions:
        org, statement = messages.open_by_sender(
            envelope, ContributionStatement, members=members
        )
        if statement.round_id != session.announcement.round_id:
            raise InvalidInput(f"a contribution of {org} to another round")
        contributions[org] = statement.contribution_digest
    task, plan, keys = session.announcement.task, dossier.plan, dossier.key_list
    if plan.collection_mode == "clear":
        _check_clear(dossier, contributions)
        return opening.open_clear(
            plan=plan,
            task=task,
            parent=parent,
            keys=keys,
            survivors=tuple(sorted(contributions)),
            vector_of=lambda org: vector_of(contributions[org]),
        )
    asked = dossier.survivor_set
    if contributions != asked.contributions:
        raise InvalidInput("other contributions than the signed survivor set names")
    answers = dict(
        messages.open_by_sender(envelope, UnmaskingMessage, members=members)
        for envelope in evidence.answers
    )
    shares = [
        messages.open_by_sender(envelope, ShareMessage, members=members)[1]
        for envelope in evidence.shares
    ]
    return opening.open_masked(
        plan=plan,
        task=task,
        parent=parent,
        keys=keys,
        survivor_set=asked,
        answers=answers,
        shares=shares,
        vector_of=lambda org: vector_of(contributions[org]),
    )


def _check_clear(dossier: Dossier, contributions: dict[OrgId, Digest]) -> None:
    """Refuse contributions that the proposal does not name, too few, or without ours.

    Without masks nobody signs a survivor set: what a member can hold the orchestrator
    to is its signed proposal.
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
