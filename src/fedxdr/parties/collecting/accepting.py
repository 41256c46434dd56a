# SPDX-License-Identifier: Apache-2.0
"""Statement 2: an organisation replays a proposed model and says yes or no.

Rules that always hold: the model is downloaded and hashed before it is accepted; unless
the operator turned it off, the round is redone from its contributions first, and the
statement says which.
"""

from __future__ import annotations

import functools

from fedxdr.core.errors import InvalidInput, Refused, Unavailable
from fedxdr.federation import messages, wire
from fedxdr.federation.messages import Proposal
from fedxdr.ledger.statements import AcceptanceStatement
from fedxdr.parties.collecting.mode import Desk, Maker, Replay
from fedxdr.parties.dossier import Dossier


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
        prev_hash=proposal.prev_hash,
        parent_model=proposal.parent_model,
        model_hash=proposal.model_hash,
        sum_digest=proposal.sum_digest,
        contributions_root=proposal.contributions_root,
        replayed=desk.does_replay and not reason,
        verdict="rejected" if reason else "accepted",
        reason=reason,
        issued_at=desk.clock.now(),
    )
    return messages.sign(statement, desk.identity).to_json()


def _judge(desk: Desk, dossier: Dossier, proposal: Proposal, replay: Replay) -> None:
    """Raise if the proposal must be rejected; replay it if this agent does so."""
    desk.model(proposal.model_hash)
    if not desk.does_replay:
        return
    opened = replay(
        dossier,
        desk.model(proposal.parent_model),
        wire.unpack_evidence(desk.link.evidence(proposal.round_id)),
        lambda digest: desk.vector(proposal.round_id, digest),
    )
    if (opened.model_hash, opened.sum_digest) != (
        proposal.model_hash,
        proposal.sum_digest,
    ):
        raise InvalidInput(
            "replay of the contributions gives another model than the proposed one"
        )
