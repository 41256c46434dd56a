# SPDX-License-Identifier: Apache-2.0
"""What an organisation does alike in every mode: join, learn, clip, state.

Not here: how the clipped vector is protected (one file for each mode).

Rules that always hold: what is learnt is clipped before anything else happens to it;
the statement names plan, parent and the very bytes that are sent.
"""

from __future__ import annotations

from collections.abc import Mapping

from fedxdr.core.ids import Digest, OrgId
from fedxdr.core.layout import Vector
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.expand import hkdf
from fedxdr.federation import messages, opening
from fedxdr.federation.messages import KeysMessage
from fedxdr.ledger.statements import NO_PRIVACY, ContributionStatement
from fedxdr.parties.collecting.mode import Desk
from fedxdr.parties.dossier import Dossier
from fedxdr.secagg import quantise, weights
from fedxdr.secagg.masking import Words
from fedxdr.secagg.stages import RoundKeys

_ROUNDING_LABEL = "fedxdr/rounding/v1"


def join(desk: Desk, dossier: Dossier, *, keys: RoundKeys | None) -> bytes:
    """Return the signed message by which we join a round.

    Args:
        desk: ours.
        dossier: the round.
        keys: our keys of this round, None in modes without.
    """
    message = KeysMessage(
        round_id=dossier.session.announcement.round_id,
        org=desk.me,
        announcement=dossier.announced,
        sample_exponent=weights.bucket(
            desk.learner.samples(), max_exponent=dossier.plan.max_weight_exponent
        ),
        keys=keys,
    )
    return messages.sign(message, desk.identity).to_json()


def learn(desk: Desk, dossier: Dossier) -> Vector:
    """Return what our data adds to the parent model, clipped: update, then metrics.

    Returns:
        (d,) float32, as ``opening.payload`` makes it.

    Raises:
        InvalidUpdate: what was learnt is no update of this plan.
    """
    announcement, plan = dossier.session.announcement, dossier.plan
    learned = desk.learner.learn(
        task=announcement.task,
        parent=desk.model(announcement.parent_model),
        plan=plan,
        number=announcement.number,
    )
    return opening.payload(plan, announcement.task, learned.update, learned.metrics)


def state(
    desk: Desk, dossier: Dossier, *, contribution: Digest, sample_exponent: int
) -> Envelope:
    """Return our signed statement 1.

    Args:
        desk: ours.
        dossier: the round.
        contribution: SHA-256 of what we send.
        sample_exponent: k of our public sample bucket.
    """
    announcement = dossier.session.announcement
    statement = ContributionStatement(
        org=desk.me,
        round_id=announcement.round_id,
        plan_digest=announcement.plan_digest,
        parent_model=announcement.parent_model,
        contribution_digest=contribution,
        sample_exponent=sample_exponent,
        privacy=NO_PRIVACY,
        issued_at=desk.clock.now(),
    )
    return messages.sign(statement, desk.identity)


def quantised(
    desk: Desk, dossier: Dossier, *, weights_of: Mapping[OrgId, int]
) -> Words:
    """Return what we have learnt as ring elements, weighted.

    Args:
        desk: ours.
        dossier: the round.
        weights_of: the weight of everyone who is listed.

    Returns:
        (d,) uint32, from quantise.py.
    """
    plan, task = dossier.plan, dossier.session.announcement.task
    return quantise.quantise(
        learn(desk, dossier),
        bound=plan.bound(task),
        bits=plan.quantisation_bits,
        participants=len(weights_of),
        weight=weights_of[desk.me],
        total_weight=sum(weights_of.values()),
        seed=hkdf(dossier.secret_entropy, label=_ROUNDING_LABEL),
    )


def equal_weights(dossier: Dossier) -> dict[OrgId, int]:
    """Return weight 1 for everyone who was announced."""
    return dict.fromkeys(dossier.session.announcement.cohort, 1)
