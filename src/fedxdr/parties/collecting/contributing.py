# SPDX-License-Identifier: Apache-2.0
"""What an organisation does alike in every mode: join, pay, learn, clip, state.

Not here: how the clipped vector is protected (one file for each mode).

Rules that always hold: what is learnt is clipped before anything else happens to it;
under a
privacy mechanism it is reserved in the purse before it is computed and spent before it
leaves; the statement names plan, parent and the very bytes that are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from fedxdr.core import canonical
from fedxdr.core.errors import AlreadyAnswered
from fedxdr.core.ids import Digest, OrgId, sha256
from fedxdr.core.layout import Vector
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.expand import SEED_BYTES, KeyStream, hkdf
from fedxdr.federation import messages, opening
from fedxdr.federation.messages import KeysMessage
from fedxdr.federation.plan import Plan
from fedxdr.federation.protection import claim_of
from fedxdr.ledger.statements import ContributionStatement, PrivacyClaim
from fedxdr.parties.collecting import sparse, survivors
from fedxdr.parties.collecting.mode import Desk
from fedxdr.parties.dossier import Dossier
from fedxdr.privacy import organisation
from fedxdr.privacy.budget import Purse
from fedxdr.privacy.noise import discrete_gaussian
from fedxdr.secagg import quantise, weights
from fedxdr.secagg.masking import Words
from fedxdr.secagg.stages import RoundKeys

_ROUNDING_LABEL = "fedxdr/rounding/v1"
_NOISE_LABEL = "fedxdr/organisation-noise/v1"


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
        sample_exponent=_bucket(desk, dossier.plan),
        keys=keys,
        head=desk.newest_head().decode(),
    )
    return messages.sign(message, desk.identity).to_json()


def _bucket(desk: Desk, plan: Plan) -> int:
    """Return the bucket of our sample count, the same for as long as a plan holds.

    A bucket that followed every count would tell when it crosses a power of two.
    """
    found = weights.bucket(
        desk.learner.samples(), max_exponent=plan.max_weight_exponent
    )
    name = f"bucket/{plan.digest}"
    known = desk.notes.get(name)
    if not known:
        desk.notes.put(name, str(found).encode())
    return int(known) if known else found


def once(desk: Desk, dossier: Dossier, make: Callable[[], bytes]) -> Digest:
    """Return the digest of the one protected vector of this round, stored for good.

    Whoever forgot that it made one (killed since, or set back to a backup of its
    database) never makes another under the same masks: it sends that one, or nothing.

    Args:
        desk: ours.
        dossier: the round.
        make: protects what was learnt.

    Raises:
        AlreadyAnswered: another one was made and is lost.
    """
    question = f"{dossier.session.announcement.round_id}/contribution"
    held = desk.fence.held(question)
    if held is not None and desk.blobs.has(held):
        return held
    digest = desk.blobs.put(make())
    desk.fence.hold(question, digest)
    return digest


def learn(desk: Desk, dossier: Dossier) -> Vector:
    """Return what our data adds to the parent model, clipped: update, then metrics.

    Under a privacy mechanism it is paid for before anything is computed.

    Returns:
        (d,) float32, as ``opening.payload`` makes it.

    Raises:
        BudgetExhausted: there is not enough left in the purse.
        InvalidUpdate: what was learnt is no update of this plan.
    """
    announcement, plan = dossier.session.announcement, dossier.plan
    _bind_protection(desk, dossier)
    _reserve(desk, dossier)
    learned = desk.learner.learn(
        task=announcement.task,
        parent=desk.model(announcement.parent_model),
        plan=plan,
        number=announcement.number,
    )
    update = sparse.kept(desk, dossier, learned.update)
    return opening.payload(plan, announcement.task, update, learned.metrics)


def _bind_protection(desk: Desk, dossier: Dossier) -> None:
    """Bind us to one mode, and to its helpers, on a parent model.

    Each way to protect is safe against its own parties. The same update under two of
    them, or under two committees, is protected by neither: each opens another sum.

    Raises:
        AlreadyAnswered: we contributed on this parent (statistics: of these features)
            under another protection.
    """
    plan, announcement = dossier.plan, dossier.session.announcement
    answer = sha256(
        canonical.jcs([plan.collection_mode, list(plan.helpers), plan.paillier_key])
    )
    for question in survivors.opening_of(
        announcement.parent_model, plan, announcement.task
    ):
        try:
            desk.fence.hold(f"protection/{question}", answer)
        except AlreadyAnswered as error:
            raise AlreadyAnswered(
                "on this parent model (for statistics: of these features) we sent our "
                "contribution under another mode or to other helpers; the two sums "
                "together could show it"
            ) from error


def purse_of(desk: Desk, plan: Plan) -> Purse | None:
    """Return our purse under a plan's promise, None where nothing is promised."""
    privacy = plan.privacy
    if privacy.unit == "none":
        return None
    return Purse.of(
        desk.purse.facts(),
        epsilon=privacy.epsilon,
        delta=privacy.delta,
        unit=privacy.unit,
    )


def _release(dossier: Dossier) -> str:
    announcement = dossier.session.announcement
    return f"{announcement.round_id}/{announcement.task}"


def _reserve(desk: Desk, dossier: Dossier) -> None:
    purse = purse_of(desk, dossier.plan)
    if purse is not None:
        fact = purse.reserve(_release(dossier), dossier.plan.privacy.charge)
        if fact is not None:
            desk.purse.append(fact)


def _spend(desk: Desk, dossier: Dossier, contribution: Digest) -> PrivacyClaim:
    """Return our claim; what leaves is bound to the purse first."""
    plan, epsilon = dossier.plan, 0.0
    purse = purse_of(desk, plan)
    if purse is not None:
        fact = purse.spend(_release(dossier), contribution)
        if fact is not None:
            desk.purse.append(fact)
        epsilon = purse.used()
    return claim_of(plan.privacy, clip_norm=plan.clip_norm, epsilon=epsilon)


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
        privacy=_spend(desk, dossier, contribution),
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
    weight, total = weights_of[desk.me], sum(weights_of.values())
    words = quantise.quantise(
        learn(desk, dossier),
        bound=plan.bound(task),
        bits=plan.quantisation_bits,
        participants=len(weights_of),
        weight=weight,
        total_weight=total,
        seed=hkdf(dossier.secret_entropy, label=_ROUNDING_LABEL),
    )
    if plan.privacy.mechanism == "discrete-gaussian":
        _add_noise(desk, plan, words, clip_steps=_clip_steps(plan, weights_of, desk.me))
    return words


def _clip_steps(plan: Plan, weights_of: Mapping[OrgId, int], me: OrgId) -> float:
    """Return the clip norm in integer steps, after weighting."""
    scale = quantise.scale_of(
        bound=plan.clip_norm,
        bits=plan.quantisation_bits,
        participants=len(weights_of),
    )
    return scale * plan.clip_norm * weights_of[me] / sum(weights_of.values())


def _add_noise(desk: Desk, plan: Plan, words: Words, *, clip_steps: float) -> None:
    """Add our share of the sum's noise, on the integers, from the system's entropy."""
    std = organisation.share_std(
        noise_multiplier=plan.privacy.noise_multiplier,
        clip_steps=clip_steps,
        dimension=words.size,
        min_survivors=plan.min_survivors,
        colluders=plan.assumed_colluders,
    )
    stream = KeyStream(desk.entropy.draw(SEED_BYTES), label=_NOISE_LABEL)
    noise = discrete_gaussian(std, words.size, stream)
    # modulo 2^32, as the masks are
    words += noise.astype(np.uint32)


def equal_weights(dossier: Dossier) -> dict[OrgId, int]:
    """Return weight 1 for everyone who was announced."""
    return dict.fromkeys(dossier.session.announcement.cohort, 1)
