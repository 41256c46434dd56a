# SPDX-License-Identifier: Apache-2.0
"""No fork has two quorums; where its two sides meet, a proof exists in that round."""

import dataclasses

import pytest
from tests.attacks import forks
from tests.attacks.forks import FORMS, Split

from fedxdr.ledger import policy
from fedxdr.parties.accusing import Accuser

pytestmark = pytest.mark.attack


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", [3, 4, 5])
def test_no_fork_stands_and_every_meeting_proves_it(n, form):
    row = forks.drill(n, form)
    honest = n - row.liars
    assert (row.counted, row.followed) == (2**honest - 2, honest - 1)
    assert row.succeeded == 0
    assert row.met == row.proven == row.stopped > 0


@pytest.mark.soak
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", [10, 100])
def test_no_fork_of_many_stands(n, form):
    row = forks.drill(n, form)
    assert row.succeeded == 0
    assert row.met == row.proven == row.stopped > 0


def test_the_drill_sees_forks_where_one_more_lies():
    """With one liar more than is tolerated a fork stands, and the meeting proves it."""
    begun = forks.founded(4)
    orgs = sorted(begun.keys)
    split = Split(first=(orgs[2],), second=(orgs[3],), liars=tuple(orgs[:2]))
    outcome = forks.play(begun, split, "blocks", pairs=1)
    assert outcome.succeeds
    assert (outcome.met, outcome.proven) == (1, 1)


@pytest.mark.parametrize("form", FORMS)
def test_the_drill_sees_forks_where_a_quorum_is_too_small(monkeypatch, form):
    """With a plain majority of those who do not lie, a fork stands."""
    monkeypatch.setattr(policy, "quorum", lambda n: n // 2)
    row = forks.drill(4, form)
    assert row.succeeded > 0


def test_the_drill_sees_agents_that_do_not_compare(monkeypatch):
    monkeypatch.setattr(Accuser, "compare", lambda *_: None)
    row = forks.drill(4, "blocks")
    assert (row.proven, row.stopped) == (0, 0)
    assert row.met > 0
    assert dataclasses.asdict(row)["succeeded"] == 0
