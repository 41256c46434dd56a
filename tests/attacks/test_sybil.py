# SPDX-License-Identifier: Apache-2.0
"""An operator's own members: none without honest approvals, and floors hold."""

from __future__ import annotations

import pytest
from tests.attacks import sybil
from tests.attacks.sybil import FORGERIES, Operator, careless_needed, play

from fedxdr.ledger import change_rules, policy

pytestmark = pytest.mark.attack


@pytest.mark.parametrize(("n", "k"), [(3, 1), (3, 9), (4, 4)])
def test_without_honest_approvals_no_sybil_is_ever_a_member(n, k):
    found = play(honest=n, sybils=k)
    assert found.admitted == 0
    assert found.forgeries_taken == 0
    assert not any((found.is_majority, found.is_threshold, found.is_quorum))


@pytest.mark.soak
@pytest.mark.parametrize("n", [3, 4, 5, 7, 10])
def test_however_many_there_are(n):
    for k in range(1, 3 * n + 1):
        assert play(honest=n, sybils=k).admitted == 0


@pytest.mark.parametrize("n", [3, 4])
def test_one_approval_short_of_a_quorum_is_none(n):
    found = play(honest=n, sybils=3, approving=policy.quorum(n) - 1)
    assert found.admitted == 0


def test_what_changes_when_honest_members_approve_sybils():
    """The first takes a quorum of honest ones, each later one fewer, at last none."""
    assert [careless_needed(3, inside) for inside in range(7)] == [2, 2, 2, 1, 1, 1, 0]
    found = play(honest=3, sybils=7, approving=policy.quorum(3))
    assert found.admitted == 7
    assert found.is_majority
    assert found.is_threshold
    assert found.is_quorum


def test_when_sybils_decide_alone_the_local_floor_still_holds():
    operator = Operator(honest=3, sybils=7)
    for name in operator.keys:
        assert operator.walk_in(name, approving=2)
    assert sybil.adopt_alone(operator, asked=3, floor=4) == ()
    in_force = operator.fed.recorder.in_force
    assert in_force.plan.min_survivors == 3, "the Sybils did adopt it"
    assert operator.fed.orchestrator.current is not None
    # A floor counts organisations and cannot tell whose they are: where the plan keeps
    # to it, the honest ones take part. Whom they let in was theirs to decide.
    operator.fed.orchestrator._fail(operator.fed.orchestrator.current, "x", "over")
    operator.cosign()
    joined = sybil.adopt_alone(operator, asked=4, floor=4)
    assert joined == tuple(operator.honest)


def test_the_forgeries_are_good_but_for_the_approvals(monkeypatch):
    """Where the rule is taken away, every one of them gets in."""
    for name in FORGERIES:
        operator = Operator(honest=3, sybils=2)
        assert not sybil.forge(operator, name)
        assert operator.admitted == 0
    with monkeypatch.context() as without:
        without.setattr(
            change_rules, "_check_approvals", lambda *_, **__: frozenset("abcdefghij")
        )
        # and who was a member before does not have to cosign what is built on it
        without.setattr("fedxdr.ledger.verifier.check_head", lambda *_: ())
        for name in FORGERIES:
            operator = Operator(honest=3, sybils=2)
            assert sybil.forge(operator, name)
            assert operator.admitted == 2
