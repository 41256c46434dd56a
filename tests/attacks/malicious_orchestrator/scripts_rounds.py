# SPDX-License-Identifier: Apache-2.0
"""Attacks on what a round is: announcement, plan, cohort, model."""

from __future__ import annotations

import dataclasses

import numpy as np
from tests.attacks.malicious_orchestrator import loot
from tests.attacks.malicious_orchestrator.attack import Attack
from tests.attacks.malicious_orchestrator.known_rules import (
    COHORT_OF_PLAN,
    COHORT_ON_LEDGER,
    MODE_FLOOR,
    MODEL_IS_NAMED,
    NEWEST_BLOCK,
    NEXT_NUMBER,
    OF_THIS_ROUND,
    PARENT_IN_FORCE,
    PRIVACY_FLOOR,
    SIGNED_BY_ORCHESTRATOR,
    SIZE_FLOOR,
    SUM_FLOOR,
)
from tests.attacks.malicious_orchestrator.loot import NOTHING, Loot
from tests.attacks.malicious_orchestrator.stage import LAYOUT, Stage

from fedxdr.core import canonical
from fedxdr.core.ids import RoundId
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation import messages
from fedxdr.federation.floor import Floor
from fedxdr.federation.messages import KeysMessage
from fedxdr.federation.phases import Kind, Phase
from fedxdr.ledger.statements import ContributionStatement
from fedxdr.models import snapshot


def joined(stage: Stage, victim: str, announced: Envelope) -> Loot:
    """Return whether an organisation answered an announcement with its keys."""
    digest = messages.sha256(announced.payload)
    for body in stage.posted(victim, "keys"):
        sent = canonical.decode(Envelope.from_json(body).payload, KeysMessage)
        if sent.announcement == digest:
            return Loot(
                won=True,
                gain=f"signed keys and the sample bucket (2^{sent.sample_exponent}) of "
                f"{victim}, which fits and masks for a round that never was",
            )
    return NOTHING


def _forged(stage: Stage, key: IdentityKey) -> Loot:
    victim = stage.orgs[0]
    stage.start()
    true = stage.round.announcement
    forged = messages.sign(
        dataclasses.replace(true, round_id=RoundId("round-1-forged")), key
    )
    stage.say(Phase.ANNOUNCED, round_id="round-1-forged", org=victim)
    stage.answer("announcement", forged.to_json(), org=victim)
    stage.swallow("keys", org=victim)
    stage.step(victim)
    return joined(stage, victim, forged)


def forge_announcement(stage: Stage) -> Loot:
    """Somebody on the way, without the orchestrator's key, opens a round."""
    return _forged(stage, IdentityKey.generate(stage.entropy))


def announce_as_member(stage: Stage) -> Loot:
    """A member opens a round with its own key, which is on the ledger."""
    return _forged(stage, stage.keys[stage.colluders[0]])


def replay_round(stage: Stage) -> Loot:
    """An organisation that was away is shown a round that is over, as if it ran."""
    others = stage.orgs[1:]
    stage.start()
    stage.go(only=others)
    for org in others:
        stage.step(org)  # they cosign the block
    over = stage.round_id
    victim = stage.orgs[0]
    old = Envelope.from_json(stage.wire.shown[others[0], "announcement"])
    stage.say(Phase.ANNOUNCED, round_id=over, org=victim)
    stage.swallow("keys", org=victim)
    stage.step(victim)
    return joined(stage, victim, old)


def rename_round(stage: Stage) -> Loot:
    """The present announcement is shown a second time, under another round's name."""
    victim = stage.orgs[0]
    stage.start()
    true = stage.orchestrator.announcement(stage.round_id)
    stage.say(Phase.ANNOUNCED, round_id="round-1-again", org=victim)
    stage.answer("announcement", true.to_json(), org=victim)
    stage.swallow("keys", org=victim)
    stage.step(victim)
    return joined(stage, victim, true)


def pack_cohort(stage: Stage) -> Loot:
    """A round is announced to one organisation and the attacker's accomplices."""
    victim = stage.orgs[0]
    cohort = (victim, *stage.colluders)
    stage.start()
    stage.announce(dataclasses.replace(stage.round.announcement, cohort=cohort))
    stage.go(only=cohort, until=Phase.PROPOSED)
    found = loot.without_colluders(stage, cohort, loot.opened_sum(stage))
    return loot.compare(stage, victim, found)


def downgrade_to_clear(stage: Stage) -> Loot:
    """The operator adopts a plan whose mode shows every update."""
    victim = stage.orgs[0]
    stage.start(
        persuaded=stage.orgs[1:], collection_mode="clear", acknowledge_clear=True
    )
    stage.go(until=Phase.PROPOSED)
    vector = stage.vector(victim)
    found = None if vector is None else np.frombuffer(vector, dtype="<f4")
    return loot.compare(stage, victim, found)


def downgrade_survivors(stage: Stage) -> Loot:
    """The plan opens sums of three; the organisation asked for four.

    Two of the three are accomplices: they take their part out of the sum.
    """
    victim = stage.orgs[0]
    survivors = (victim, *stage.colluders)
    (honest,) = [o for o in stage.orgs if o not in survivors]
    stage.swallow("contribution", org=honest)
    stage.start(persuaded=stage.orgs[1:])
    stage.go(until=Phase.PROPOSED)
    found = loot.without_colluders(stage, survivors, loot.opened_sum(stage))
    return loot.compare(stage, victim, found)


def downgrade_privacy(stage: Stage) -> Loot:
    """The plan has no differential privacy; the organisation insists on some."""
    victim = stage.orgs[0]
    stage.start(persuaded=stage.orgs[1:])
    stage.go(until=Phase.CONTRIBUTIONS)
    vector = stage.vector(victim)
    if vector is None:
        return NOTHING
    envelope = stage.orchestrator.envelopes(stage.round, Kind.CONTRIBUTION)[victim]
    said = canonical.decode(envelope.payload, ContributionStatement)
    return Loot(
        won=said.privacy.mechanism == "none",
        gain=f"a contribution of {victim} without noise "
        f"(mechanism {said.privacy.mechanism!r})",
    )


def give_different_models(stage: Stage) -> Loot:
    """All but one organisation get a model whose units are dead: their updates are 0.

    The opened sum is then the update of the one that is left (Pasquini et al. 2022).
    """
    victim = stage.orgs[0]
    dead = snapshot.save(
        np.full(LAYOUT.size, -1000.0, dtype=np.float32),
        layout=LAYOUT,
        architecture={"kind": "test"},
    )
    for org in stage.orgs[1:]:
        stage.answer("model", dead, org=org)
    stage.start()
    stage.go(until=Phase.PROPOSED)
    total, view = loot.opened_sum(stage), loot.view_of(stage, victim)
    if total is None or view is None:
        return NOTHING
    found = loot.dequantised(stage, view, total, {victim: 1.0})
    return loot.compare(stage, victim, found)


_TWO = {"colluders": ("org-c", "org-d")}

ATTACKS = (
    Attack(
        name="announcement-forged",
        aim="open a round without the orchestrator's key",
        rules=(SIGNED_BY_ORCHESTRATOR,),
        script=forge_announcement,
    ),
    Attack(
        name="announcement-by-member",
        aim="open a round with a member's key",
        rules=(SIGNED_BY_ORCHESTRATOR,),
        script=announce_as_member,
        is_long=True,
        stage={"colluders": ("org-d",)},
    ),
    Attack(
        name="round-renamed",
        aim="show the present announcement again under another round's name",
        rules=(OF_THIS_ROUND,),
        script=rename_round,
        is_long=True,
        backstop="is not stored here",
    ),
    Attack(
        name="round-replayed",
        aim="show a round that is over to an organisation that was away",
        rules=(PARENT_IN_FORCE, NEWEST_BLOCK, NEXT_NUMBER),
        script=replay_round,
        is_long=True,
    ),
    Attack(
        name="cohort-packed",
        aim="announce a round to one organisation and two accomplices",
        rules=(COHORT_ON_LEDGER, COHORT_OF_PLAN),
        script=pack_cohort,
        stage=_TWO,
    ),
    Attack(
        name="plan-downgraded-to-clear",
        aim="adopt a plan that shows every update",
        rules=(MODE_FLOOR,),
        script=downgrade_to_clear,
    ),
    Attack(
        name="plan-downgraded-to-small-sums",
        aim="adopt a plan that opens sums of three, two of them accomplices",
        rules=(SIZE_FLOOR, SUM_FLOOR),
        script=downgrade_survivors,
        stage={**_TWO, "floor": Floor(min_survivors=4)},
    ),
    Attack(
        name="plan-downgraded-to-no-privacy",
        aim="adopt a plan without differential privacy",
        rules=(PRIVACY_FLOOR,),
        script=downgrade_privacy,
        is_long=True,
        stage={"floor": Floor(allow_no_privacy_mechanism=False)},
    ),
    Attack(
        name="models-differ",
        aim="give all but one organisation a model whose units are dead",
        rules=(MODEL_IS_NAMED,),
        script=give_different_models,
    ),
)
