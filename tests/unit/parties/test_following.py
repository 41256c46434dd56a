# SPDX-License-Identifier: Apache-2.0
"""An agent and the ledger across deaths: nothing is forgotten, nothing wrong is signed.

Three organisations, quorum two; what a death would leave behind is made by a store or
link that fails once.
"""

from __future__ import annotations

import numpy as np
import pytest

from fedxdr.core.errors import BadSignature, Unavailable
from fedxdr.core.ids import OrgId
from fedxdr.core.layout import Layout, Segment
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.parties.participant import Participant
from fedxdr.simulation.federation import SimulatedFederation

LAYOUT = Layout(
    segments=(
        Segment(name="statistics.mean", shape=(3,)),
        Segment(name="weights.w", shape=(2, 4)),
    )
)
ORGS = (OrgId("org-a"), OrgId("org-b"), OrgId("org-c"))


class Killed(BaseException):
    """What SIGKILL does, as far as one process can be told."""


class Idle:
    """Data that nobody asks for."""

    def samples(self) -> int:
        return 64

    def learn(self, **_: object) -> object:
        raise AssertionError("no round runs here")


@pytest.fixture
def federation() -> SimulatedFederation:
    return SimulatedFederation(
        {org: Idle() for org in ORGS},
        plan={"layout": LAYOUT, "architecture": {"name": "tiny"}},
        initial=np.zeros(LAYOUT.size, np.float32),
    )


def once(function, error: BaseException):
    """Return a function that fails the first time and does nothing then."""
    is_done = False

    def failing(*arguments, **named):
        nonlocal is_done
        if not is_done:
            is_done = True
            raise error
        return function(*arguments, **named)

    return failing


def test_killed_between_blocks_and_head_it_cosigns_all_the_same(
    federation, monkeypatch
) -> None:
    agent = federation.participants[ORGS[0]]
    store = agent.follower.witness._store
    monkeypatch.setattr(store, "put", once(store.put, Killed()))
    with pytest.raises(Killed):
        agent.step(wait_s=0)
    assert agent.mirror.size() == 1
    assert store.get(1) is None
    agent.step(wait_s=0)
    assert federation.orchestrator.heads.cosigned_by(1) == (ORGS[0],)


def test_an_approval_that_did_not_arrive_is_sent_again(federation, monkeypatch) -> None:
    agent = federation.participants[ORGS[0]]
    agent.step(wait_s=0)
    link = agent.follower._link
    monkeypatch.setattr(link, "approve", once(link.approve, Unavailable("away")))
    change = federation.orchestrator.propose_plan({})
    with pytest.raises(Unavailable):
        agent.step(wait_s=0)
    agent.step(wait_s=0)
    filed = federation.orchestrator.governance.proposal(change.digest)
    assert filed.approved_by == (ORGS[0],)


def test_a_ledger_that_does_not_extend_the_pinned_one_is_refused_every_time(
    federation,
) -> None:
    agent: Participant = federation.participants[ORGS[0]]
    pinned = Checkpoint(origin="x", size=1, root=bytes(32))
    agent.follower.witness._pinned = pinned
    for _ in range(3):
        with pytest.raises(BadSignature, match="the invitation pins"):
            agent.step(wait_s=0)
    assert federation.orchestrator.heads.cosigned_by(1) == ()
