# SPDX-License-Identifier: Apache-2.0
"""Above 32 organisations each masks with some neighbours only; the sum stays exact."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fedxdr.core import canonical
from fedxdr.core.ids import OrgId
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation import messages, opening
from fedxdr.federation.messages import SurvivorSet
from fedxdr.federation.phases import Kind, Phase
from fedxdr.federation.sessions import Step

MANY = 34  # just above the border; everybody checks what everybody signed


@pytest.fixture(scope="module")
def degree():
    return opening._degree(MANY, 0)


def roster_of(federation, round_):
    orchestrator = federation.orchestrator
    return opening.roster_of(
        round_.plan, orchestrator.keys(round_), orchestrator.transcript(round_)
    )


@pytest.mark.timeout(300)
def test_many_organisations_mask_with_their_neighbours(world, degree):
    assert degree is not None
    assert degree < MANY - 1
    federation = world(n=MANY, does_replay=False)
    federation.start("training")
    # a drop-out after the shares, recovered by its neighbours
    round_ = federation.go_on(
        gone=lambda org, phase: (
            org == "org-07" and phase not in {Phase.ANNOUNCED, Phase.KEYS}
        )
    )
    assert round_.phase is Phase.COMMITTED, round_.failure
    assert round_.dropouts == (OrgId("org-07"),)
    assert np.array_equal(federation.opened_sum(round_), federation.plain_sum(round_))
    roster = roster_of(federation, round_)
    assert not roster.is_complete
    sent = federation.orchestrator.shares(round_)
    for org, mail in sent.items():
        assert set(mail) == set(roster.neighbours[org])
    for org, envelope in federation.orchestrator.envelopes(
        round_, Kind.UNMASKING
    ).items():
        answer = canonical.decode(envelope.payload, messages.UnmaskingMessage)
        named = {*answer.self_shares, *answer.key_shares}
        assert named == set(roster.holders(org)) & {
            *round_.survivors,
            *round_.dropouts,
        }


@pytest.mark.timeout(300)
def test_a_set_that_leaves_a_neighbourhood_too_small_is_not_signed(world):
    federation = world(n=MANY, does_replay=False)
    federation.start("training")
    federation.go_on(until=Phase.CONTRIBUTIONS)
    round_ = federation.round
    roster = roster_of(federation, round_)
    victim = federation.orgs[0]
    around = sorted(roster.neighbours[victim])
    most_out = MANY - round_.plan.threshold
    out = set(around[: min(len(around), most_out)])
    assert len(around) - len(out) < roster.share_threshold

    def cut_off(body):
        asked = canonical.decode(Envelope.from_json(body).payload, SurvivorSet)
        left = tuple(org for org in asked.survivors if org not in out)
        forged = dataclasses.replace(
            asked,
            survivors=left,
            dropouts=tuple(sorted({*asked.dropouts, *out})),
            contributions={org: asked.contributions[org] for org in left},
        )
        return messages.sign(forged, federation.fed.identity).to_json()

    federation.links[victim].lies[Step.SURVIVOR_SET] = cut_off
    federation.participant(victim).step(wait_s=0)
    assert "neighbour" in federation.why(victim)
