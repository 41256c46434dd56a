# SPDX-License-Identifier: Apache-2.0
"""Statement 2 says no to a proposal that says otherwise than what was done.

The orchestrator signs each of these proposals; model and sum are the true ones, so that
nothing but the changed word can be why it is rejected.
"""

from __future__ import annotations

import dataclasses

import pytest

from fedxdr.core import canonical
from fedxdr.core.ids import OrgId, sha256
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation import messages
from fedxdr.federation.floor import Floor
from fedxdr.federation.messages import Proposal
from fedxdr.federation.phases import Phase
from fedxdr.federation.sessions import Step
from fedxdr.ledger import statements
from fedxdr.ledger.block import contributions_root
from fedxdr.ledger.statements import AcceptanceStatement, PrivacyClaim

A, B = OrgId("org-a"), OrgId("org-b")
OTHER = sha256(b"other")
CLEAR = {
    "collection_mode": "clear",
    "acknowledge_clear": True,
    "aggregation_method": "FedAvg",
}
CLAIM = PrivacyClaim(mechanism="dp-sgd", epsilon=0.1)


@pytest.fixture(params=["secagg", "clear"])
def standing(request, world):
    """Return a federation before its proposal is fetched, and what org-a says of one.

    It is called with what changes the true proposal, and whether org-a replays.
    """
    plan = CLEAR if request.param == "clear" else {}
    federation = world(n=3, plan=plan, floor=Floor(modes=(request.param,)))
    federation.play()
    federation.start()
    federation.go_on(until=Phase.PROPOSED)
    agent = federation.participant(A)
    agent.follow_ledger(federation.orchestrator.recorder.size())
    true = federation.orchestrator.proposal_envelope(federation.round)

    def says(change=lambda honest: honest, *, does_replay=True) -> AcceptanceStatement:
        honest = canonical.decode(true.payload, Proposal)
        signed = messages.sign(change(honest), federation.fed.identity)
        agent._desk = dataclasses.replace(agent._desk, does_replay=does_replay)
        agent._session = dataclasses.replace(
            agent.session,
            fetched={**agent.session.fetched, Step.PROPOSAL: signed.to_json()},
        )
        agent.session.made.pop(Step.ACCEPTANCE, None)
        agent._make(agent.session, Step.ACCEPTANCE)
        body = agent.session.made[Step.ACCEPTANCE]
        return statements.parse(Envelope.from_json(body).payload, AcceptanceStatement)

    return says


def with_(name: str, org: OrgId, value):
    """Return what says something else about one organisation."""

    def change(honest: Proposal) -> Proposal:
        said = {**getattr(honest, name), org: value}
        root = {}
        if name == "contributions":
            root = {"contributions_root": contributions_root(said)}
        return dataclasses.replace(honest, **{name: said}, **root)

    return change


def figure(name: str, act):
    def change(honest: Proposal) -> Proposal:
        said = {**honest.figures, name: act(honest.figures[name])}
        return dataclasses.replace(honest, figures=said)

    return change


ABOUT = {
    "contribution": ("contributions", OTHER),
    "data volume": ("data_volume", 4096),
    "claim": ("privacy_params", CLAIM),
}


@pytest.mark.parametrize("does_replay", [True, False])
def test_the_true_proposal_is_accepted_in_every_word(standing, does_replay):
    said = standing(does_replay=does_replay)
    assert (said.verdict, said.replayed) == ("accepted", does_replay)
    assert said.reason == ""
    assert said.figures
    assert set(said.contributions) == set(said.data_volume) == set(said.privacy_params)


@pytest.mark.parametrize("does_replay", [True, False])
@pytest.mark.parametrize("what", ABOUT)
def test_other_words_about_us_are_rejected_replayed_or_not(standing, what, does_replay):
    name, value = ABOUT[what]
    said = standing(with_(name, A, value), does_replay=does_replay)
    assert (said.verdict, said.replayed) == ("rejected", False)
    assert said.reason == "the proposal says otherwise than org-a stated"
    # what is rejected is named as it was proposed
    assert getattr(said, name)[A] == value


@pytest.mark.parametrize("what", ABOUT)
def test_other_words_about_others_are_rejected_by_replay(standing, what):
    name, value = ABOUT[what]
    said = standing(with_(name, B, value))
    assert (said.verdict, said.replayed) == ("rejected", False)
    assert "org-b stated" in said.reason or "other contributions" in said.reason
    # who does not replay cannot know, and its statement says that it did not
    assert not standing(with_(name, B, value), does_replay=False).replayed


@pytest.mark.parametrize(
    "change",
    [
        figure("convergence", lambda found: found * (1 + 1e-6) + 1e-9),
        figure("gradient_norm", lambda found: found * 2 + 1),
        figure("round", lambda found: found + 1),
        lambda honest: dataclasses.replace(
            honest, figures={**honest.figures, "held_out_f9": 1.0}
        ),
        lambda honest: dataclasses.replace(
            honest,
            figures={k: v for k, v in honest.figures.items() if k != "convergence"},
        ),
        lambda honest: dataclasses.replace(honest, figures={}),
    ],
    ids=["a little more", "norm", "round", "one more", "one less", "none"],
)
def test_other_figures_are_rejected_by_replay(standing, change):
    said = standing(change)
    assert (said.verdict, said.replayed) == ("rejected", False)
    assert said.reason == "replay gives other figures than the proposed ones"


def test_figures_of_another_machine_are_accepted(standing):
    """Sums of floats differ in their last bits from one machine to the next."""
    said = standing(figure("gradient_norm", lambda found: found * (1 + 1e-12)))
    assert said.verdict == "accepted"
