# SPDX-License-Identifier: Apache-2.0
"""A restored agent sits out what runs, and is bound by what it may have signed."""

from __future__ import annotations

import dataclasses

import pytest

from fedxdr.core.errors import AlreadyAnswered
from fedxdr.federation.phases import Phase
from fedxdr.parties.restoring import settle
from fedxdr.storage.fence import MemoryFence


class Restored(MemoryFence):
    """A fence that was set back: nothing is created until it is settled."""

    is_copy = True

    def create(self, name, entropy):
        if self.is_copy:
            raise AlreadyAnswered("a copy")
        super().create(name, entropy)

    def settle(self):
        super().settle()
        self.is_copy = False


def restored(federation, org):
    agent = federation.participant(org)
    fence = Restored()
    agent._desk = dataclasses.replace(agent._desk, fence=fence)
    agent._session = None
    return fence


def test_it_sits_out_the_running_round_and_takes_part_in_the_next(world):
    federation = world(n=4)
    federation.play()
    federation.start()
    fence = restored(federation, "org-b")
    round_ = federation.go_on()
    assert round_.phase is Phase.COMMITTED
    assert "org-b" not in round_.survivors
    federation.participant("org-b").step(wait_s=0)
    assert not fence.is_copy
    assert "org-b" in federation.play().survivors


def test_it_is_bound_to_the_set_of_a_round_that_failed_after_signing(world):
    federation = world(n=4)
    federation.play()
    # everybody signs, nobody answers: the round fails with its set on the ledger
    federation.start()
    round_ = federation.go_on(gone=lambda _org, phase: phase is Phase.SURVIVORS)
    assert round_.failure is not None
    for org in federation.orgs:
        federation.participant(org).step(wait_s=0)
    fence = restored(federation, "org-b")
    agent = federation.participant("org-b")
    settle(fence, agent.mirror, federation.orchestrator.standing())
    assert not fence.is_copy
    question = f"opening/{agent.mirror.in_force.model}/training"
    assert fence.held(question) is not None
    with pytest.raises(AlreadyAnswered):
        fence.hold(question, "0" * 64)
