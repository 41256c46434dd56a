# SPDX-License-Identifier: Apache-2.0
"""Attacks on results: second sums on one base, proposals, contributions left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from tests.attacks.malicious_orchestrator import loot
from tests.attacks.malicious_orchestrator.attack import Attack
from tests.attacks.malicious_orchestrator.known_rules import (
    ANSWERED_ONCE,
    CLAIMS_AS_STATED,
    FIGURES_REDONE,
    LEFT_OUT,
    ONE_SET_PER_PARENT,
    REPLAYED,
)
from tests.attacks.malicious_orchestrator.loot import NOTHING, Loot
from tests.attacks.malicious_orchestrator.puppeteer import Reply
from tests.attacks.malicious_orchestrator.stage import LAYOUT, Stage

from fedxdr.core import canonical
from fedxdr.core.ids import OrgId, sha256
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation.floor import Floor
from fedxdr.federation.messages import Proposal
from fedxdr.federation.phases import Phase
from fedxdr.ledger import statements
from fedxdr.ledger.statements import AcceptanceStatement
from fedxdr.models import snapshot


def _difference(stage: Stage, first: np.ndarray | None, *, task: str) -> Loot:
    """Return what the difference of two opened sums shows of the last organisation."""
    victim, second = stage.orgs[-1], loot.opened_sum(stage)
    view = loot.view_of(stage, stage.orgs[0])
    if first is None or second is None or view is None:
        return NOTHING
    found = loot.dequantised(stage, view, first - second, {victim: 1.0}, task=task)
    return loot.compare(stage, victim, found, task=task)


def retry_with_one_less(stage: Stage) -> Loot:
    """The round is opened and then fails; the next one leaves one organisation out."""
    victim = stage.orgs[-1]
    stage.start()
    stage.go(until=Phase.PROPOSED)
    first = loot.opened_sum(stage)
    stage.fail()
    stage.swallow("contribution", org=victim)
    stage.start()
    stage.go(until=Phase.PROPOSED)
    return _difference(stage, first, task="training")


def statistics_with_one_less(stage: Stage) -> Loot:
    """Statistics are asked for a second time, on a new model, and one is left out."""
    victim = stage.orgs[-1]
    stage.start("statistics")
    stage.go()
    first = loot.opened_sum(stage)
    stage.swallow("contribution", org=victim)
    stage.start("statistics")
    stage.go(until=Phase.PROPOSED)
    return _difference(stage, first, task="statistics")


def _propose(stage: Stage, change: Callable[[Proposal], Proposal], what: str) -> Loot:
    """Propose something else than the round has given; count who accepts it."""

    def propose(reply: Reply) -> Reply | bytes:
        if reply.status != 200:
            return reply
        true = canonical.decode(Envelope.from_json(reply.body).payload, Proposal)
        other = change(true)
        assert other != true
        shown.append(other)
        return stage.sign(other).to_json()

    shown: list[Proposal] = []
    stage.wire.answers["*", "proposal"] = propose
    stage.swallow("acceptance")
    stage.start()
    stage.go()
    accepted = [
        org
        for org in stage.orgs
        for body in stage.posted(org, "acceptance")
        for said in [
            statements.parse(Envelope.from_json(body).payload, AcceptanceStatement)
        ]
        if said.verdict == "accepted"
        and (said.model_hash, said.figures, said.data_volume)
        == (shown[0].model_hash, shown[0].figures, shown[0].data_volume)
    ]
    threshold = stage.round.plan.threshold
    return Loot(
        won=len(accepted) >= threshold,
        gain=f"{len(accepted)} signatures (a quorum is {threshold}) under {what}",
    )


def propose_another_model(stage: Stage) -> Loot:
    """The attacker moves every weight of the new model and proposes the result."""
    moved: dict[str, bytes] = {}

    def change(true: Proposal) -> Proposal:
        vector = snapshot.load(stage.orchestrator.blobs.get(true.model_hash)).vector
        file = snapshot.save(
            vector + np.float32(1), layout=LAYOUT, architecture={"kind": "test"}
        )
        moved[sha256(file)] = file
        return dataclasses.replace(true, model_hash=sha256(file))

    def model(reply: Reply) -> Reply | bytes:
        return next(iter(moved.values())) if reply.status != 200 and moved else reply

    stage.wire.answers["*", "model"] = model
    return _propose(
        stage, change, "a model of which the attacker has moved every weight"
    )


def propose_other_figures(stage: Stage) -> Loot:
    """The model is the right one; how good it is the attacker makes up."""

    def change(true: Proposal) -> Proposal:
        figures = {**true.figures, "held_out_accuracy": 0.99}
        assert set(figures) == set(true.figures)
        return dataclasses.replace(true, figures=figures)

    return _propose(stage, change, "an accuracy that the attacker has made up")


def propose_another_claim(stage: Stage) -> Loot:
    """The attacker says of one organisation that it had other data than it stated."""

    def change(true: Proposal) -> Proposal:
        org = stage.orgs[0]
        volume = {**true.data_volume, org: 2 * true.data_volume[org]}
        return dataclasses.replace(true, data_volume=volume)

    return _propose(stage, change, "a claim of one organisation that it never made")


def leave_one_out(stage: Stage) -> Loot:
    """In mode ``clear`` a contribution is acknowledged, and left out of the model."""
    victim = stage.orgs[0]
    stage.start(collection_mode="clear", acknowledge_clear=True)
    stage.swallow("contribution", org=victim)
    stage.go()
    body = stage.last(victim, "acceptance")
    if body is None:
        return NOTHING
    said = statements.parse(Envelope.from_json(body).payload, AcceptanceStatement)
    return Loot(
        won=said.verdict == "accepted" and OrgId(victim) not in stage.round.survivors,
        gain=f"the signature of {victim} that it has redone and accepts a model "
        f"without its own part (survivors: {', '.join(stage.round.survivors)})",
    )


ATTACKS = (
    Attack(
        name="retry-with-one-less",
        aim="open a round, let it fail, and open the next one on the same parent with "
        "one survivor removed: the difference is its update",
        rules=(ONE_SET_PER_PARENT, ANSWERED_ONCE),
        script=retry_with_one_less,
    ),
    Attack(
        name="statistics-with-one-less",
        aim="open statistics twice, on two parents, with one survivor removed",
        rules=(ONE_SET_PER_PARENT, ANSWERED_ONCE),
        script=statistics_with_one_less,
        is_long=True,
        stage={"does_replay": False},
    ),
    Attack(
        name="proposal-moved",
        aim="propose another model than the sum gives",
        rules=(REPLAYED,),
        script=propose_another_model,
    ),
    Attack(
        name="figures-changed",
        aim="propose the right model with figures that are made up",
        rules=(FIGURES_REDONE,),
        script=propose_other_figures,
    ),
    Attack(
        name="claim-changed",
        aim="propose the right model and say otherwise than an organisation stated",
        rules=(CLAIMS_AS_STATED,),
        script=propose_another_claim,
        is_long=True,
    ),
    Attack(
        name="contribution-left-out",
        aim="acknowledge a contribution and leave it out (mode clear)",
        rules=(LEFT_OUT,),
        script=leave_one_out,
        is_long=True,
        stage={"floor": Floor(modes=("secagg", "clear"))},
    ),
)
