# SPDX-License-Identifier: Apache-2.0
"""What people are told is what facts and blocks say; null where nothing is known."""

from __future__ import annotations

import pytest

from fedxdr.core.canonical import builtins, jcs
from fedxdr.core.errors import NotFound
from fedxdr.core.ids import OrgId, sha256
from fedxdr.federation.phases import Phase
from fedxdr.parties import views

A, B, C = (OrgId(f"org-{letter}") for letter in "abc")


@pytest.fixture
def federation(plain_world):
    return plain_world(n=4)


def test_before_the_first_round_nothing_is_made_up(federation):
    status = views.federation_status(federation.orchestrator)
    assert status.current_round == 0
    assert status.total_orgs == status.active_orgs == 4
    assert status.global_model_version == "v0"
    assert status.last_aggregation is None
    assert status.training_accuracy is None
    assert status.privacy_budget_used is None


def test_members_in_order_with_their_last_sign_of_life(federation):
    shown = views.organisations(federation.orchestrator, federation.fed.registry)
    assert [view.org_id for view in shown] == federation.orgs
    assert all(view.last_update is None for view in shown)
    # founders stand on the Genesis, others at the height where they were approved
    assert [view.enrolled_at_height for view in shown] == [0, 0, 0, 0]
    federation.admit("org-e")
    shown = views.organisations(federation.orchestrator, federation.fed.registry)
    height = federation.fed.recorder.size() - 1
    assert [view.enrolled_at_height for view in shown] == [0, 0, 0, 0, height]
    assert height > 0


def test_a_member_shows_its_last_sign_of_life(federation):
    federation.play(gone=lambda org, phase: org == A and phase is Phase.SHARES)
    shown = views.organisations(federation.orchestrator, federation.fed.registry)
    assert shown[0].last_update is None
    assert shown[1].last_update is not None
    assert shown[0].data_sources == ("simulation",)


def test_a_running_round_says_whom_it_waits_for(federation):
    federation.start()
    federation.go_on(until=Phase.SHARES)
    federation.participant(A).step(wait_s=0)
    status = views.round_status(federation.orchestrator, federation.round)
    assert status.status == "in_progress"
    assert status.phase == "shares"
    assert status.orgs_submitted == 1
    assert status.orgs_expected == 4
    assert status.waiting_for == tuple(federation.orgs[1:])
    assert status.deadline is not None
    assert status.convergence_metric is status.reason is status.height is None
    federation.go_on(until=Phase.PROPOSED)
    status = views.round_status(federation.orchestrator, federation.round)
    assert status.waiting_for == tuple(federation.orgs)
    assert status.convergence_metric >= 0


def test_a_round_that_is_over_says_how(federation):
    federation.play()
    done = views.round_status(federation.orchestrator, federation.round)
    assert (done.status, done.waiting_for, done.deadline) == ("completed", (), None)
    assert done.height == federation.round.height
    federation.play(gone=lambda org, _: org != A)
    failed = views.round_status(federation.orchestrator, federation.round)
    assert failed.status == "failed"
    assert "1 of 4 sent their keys" in failed.reason
    status = views.federation_status(federation.orchestrator)
    assert status.current_round == 2
    assert status.global_model_version == "v1"
    assert status.last_aggregation is not None
    assert status.active_orgs == 4


def test_after_training_the_accuracy_is_the_rounds(federation):
    federation.play()
    federation.play(gone=lambda org, phase: org == A and phase is Phase.SHARES)
    status = views.federation_status(federation.orchestrator)
    assert status.training_accuracy == pytest.approx(0.5, abs=1e-4)
    assert status.active_orgs == 3


def test_a_block_is_shown_whole(federation):
    federation.play()
    for signed in federation.fed.recorder.blocks(begin=0, end=99):
        shown = views.block_view(signed)
        assert shown["hash"] == signed.block.hash
        assert {k: shown[k] for k in builtins(signed.block)} == builtins(signed.block)
        assert set(shown["signatures"]) == set(signed.block.org_signatures)
        assert len(shown["envelopes"]) == len(signed.envelopes)
        assert jcs(shown)


def test_the_ancestry_of_a_model_goes_back_to_the_genesis(federation):
    federation.play()
    federation.play(gone=lambda org, _: org != A)
    federation.play()
    recorder = federation.fed.recorder
    shown = views.ancestry(federation.orchestrator, recorder.in_force.model)
    hashes = [found["model_hash"] for found in shown.lineage]
    assert hashes[0] == recorder.in_force.model
    assert hashes[-1] == recorder.in_force.genesis.initial_model
    assert len(hashes) == 3
    assert [h["status"] for h in shown.train_history] == [
        "completed",
        "failed",
        "completed",
    ]
    with pytest.raises(NotFound):
        views.ancestry(federation.orchestrator, sha256(b"x"))
