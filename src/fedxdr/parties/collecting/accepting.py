# SPDX-License-Identifier: Apache-2.0
"""Statement 2: an organisation replays a proposed model and says yes or no.

Rules that always hold: the model is downloaded and hashed before it is accepted; what
the proposal says of us is what we sent; unless the operator turned it off, the round is
redone from its contributions first, figures and claims included, and the statement says
which.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

from fedxdr.core.errors import InvalidInput, Refused, Unavailable
from fedxdr.core.ids import OrgId
from fedxdr.federation import messages, wire
from fedxdr.federation.messages import Proposal
from fedxdr.ledger import statements
from fedxdr.ledger.statements import AcceptanceStatement, ContributionStatement
from fedxdr.parties.collecting.mode import Desk, Maker, Replay
from fedxdr.parties.dossier import Dossier

_TOLERANCE = 1e-9
"""How far norms may differ, relatively: other machines add in another order."""


def maker(replay: Replay) -> Maker:
    """Return what makes statement 2 in a mode that redoes a round like this."""
    return functools.partial(accept, replay=replay)


def accept(desk: Desk, dossier: Dossier, *, replay: Replay) -> bytes:
    """Return our signed statement 2, a rejection with its reason included.

    Args:
        desk: ours.
        dossier: the round.
        replay: of the round's mode.

    Raises:
        Unavailable: what is needed to judge cannot be fetched now.
    """
    proposal = dossier.proposal
    reason = ""
    try:
        _judge(desk, dossier, proposal, replay)
    except Unavailable:
        raise
    except (InvalidInput, Refused) as error:
        reason = str(error)[:500]
    statement = AcceptanceStatement(
        org=desk.me,
        round_id=proposal.round_id,
        task=dossier.session.announcement.task,
        builder=dossier.orchestrator.fingerprint,
        plan_digest=dossier.plan.digest,
        prev_hash=proposal.prev_hash,
        parent_model=proposal.parent_model,
        model_hash=proposal.model_hash,
        sum_digest=proposal.sum_digest,
        contributions=proposal.contributions,
        contributions_root=proposal.contributions_root,
        data_volume=proposal.data_volume,
        privacy_params=proposal.privacy_params,
        figures=proposal.figures,
        replayed=desk.does_replay and not reason,
        verdict="rejected" if reason else "accepted",
        reason=reason,
        issued_at=desk.clock.now(),
    )
    return messages.sign(statement, desk.identity).to_json()


def _judge(desk: Desk, dossier: Dossier, proposal: Proposal, replay: Replay) -> None:
    """Raise if the proposal must be rejected; replay it if this agent does so."""
    desk.model(proposal.model_hash)
    if desk.me in proposal.survivors:
        _compare(proposal, {desk.me: dossier.mine})
    if not desk.does_replay:
        return
    evidence = wire.unpack_evidence(desk.link.evidence(proposal.round_id))
    opened = replay(
        dossier,
        desk.model(proposal.parent_model),
        evidence,
        lambda digest: desk.vector(proposal.round_id, digest),
    )
    if (opened.model_hash, opened.sum_digest) != (
        proposal.model_hash,
        proposal.sum_digest,
    ):
        raise InvalidInput(
            "replay of the contributions gives another model than the proposed one"
        )
    figures = opened.figures(dossier.session.announcement.number)
    if set(figures) != set(proposal.figures) or not all(
        math.isclose(figures[name], proposal.figures[name], rel_tol=_TOLERANCE)
        for name in figures
    ):
        raise InvalidInput("replay gives other figures than the proposed ones")
    stated = statements.by_organisation(evidence.contributions, ContributionStatement)
    if set(stated) != set(proposal.survivors):
        raise InvalidInput("the evidence holds no statement of each survivor")
    for org, (envelope, _) in stated.items():
        messages.open_from(
            envelope, ContributionStatement, org=org, members=dossier.members
        )
    _compare(proposal, {org: statement for org, (_, statement) in stated.items()})


def _compare(proposal: Proposal, stated: Mapping[OrgId, ContributionStatement]) -> None:
    """Raise if a proposal says otherwise than organisations stated themselves."""
    for org, statement in stated.items():
        if (
            proposal.contributions[org],
            proposal.data_volume[org],
            proposal.privacy_params[org],
        ) != (
            statement.contribution_digest,
            statement.sample_bucket,
            statement.privacy,
        ):
            raise InvalidInput(f"the proposal says otherwise than {org} stated")
