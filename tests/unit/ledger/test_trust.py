# SPDX-License-Identifier: Apache-2.0
"""The score is what its reasons add up to."""

import pytest

from fedxdr.ledger import trust
from fedxdr.ledger.round_rules import RoundEvidence


def evidence(**changes):
    truth = {
        "round_id": "r",
        "height": 5,
        "cohort": 5,
        "survivors": 5,
        "threshold": 4,
        "accepted": 5,
        "rejected": 0,
        "replayed": 5,
        "private": 5,
    }
    return RoundEvidence(**truth | changes)


def test_the_weights_add_up_to_one():
    total = sum(
        (
            trust.WEIGHT_SIGNATURES,
            trust.WEIGHT_MARGIN,
            trust.WEIGHT_REPLAY,
            trust.WEIGHT_PRIVACY,
            trust.WEIGHT_PINNED,
        )
    )
    assert total == pytest.approx(1)


def test_everything_done_is_one():
    assert trust.score([evidence()], pinned=True).score == 1


def test_nothing_known_is_zero():
    assert trust.score([], pinned=False).score == 0


@pytest.mark.parametrize(
    ("changes", "pinned", "wanted"),
    [
        ({}, False, 0.9),
        ({"private": 0}, True, 0.8),
        ({"replayed": 0}, True, 0.8),
        ({"accepted": 4, "replayed": 4}, True, 0.35 * 0.8 + 0.2 + 0.2 + 0.1),
        ({"threshold": 5}, True, 0.85),
    ],
)
def test_each_share_counts_with_its_weight(changes, pinned, wanted):
    found = trust.score([evidence(**changes)], pinned=pinned)
    assert found.score == pytest.approx(wanted, abs=5e-4)
    assert len(found.reasons) == 5


def test_all_rounds_count():
    rounds = [evidence(), evidence(replayed=0)]
    found = trust.score(rounds, pinned=True)
    assert found.score == pytest.approx(0.9)
    assert "5 of 10: acceptances after a replay of the round (weight 0.2)" in (
        found.reasons
    )
