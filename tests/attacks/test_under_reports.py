# SPDX-License-Identifier: Apache-2.0
"""Claims of less than was spent: found, each, by plan or accountant."""

import pytest
from tests.attacks.under_reports import LIES, play

from fedxdr.parties import auditing


@pytest.mark.attack
def test_no_lie_about_privacy_goes_through():
    found = play(len(LIES), seed=3)
    assert found["told"] == len(LIES)
    assert found["through"] == {}


@pytest.mark.attack
def test_without_the_accountant_an_epsilon_too_small_goes_through(monkeypatch):
    monkeypatch.setattr(auditing, "is_under_report", lambda *_: False)
    assert play(1, seed=3)["through"] == {"epsilon": 1}


@pytest.mark.soak
def test_a_thousand_lies():
    assert play(1000)["accepted"] == 0
