# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of the orchestrator around every write of rounds, plans and heads."""

import pytest
from tests.process.drill_orchestrator import ALL_IN_FIVE, run

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]


def test_the_model_is_what_replay_gives_and_nobody_counts_twice(tmp_path):
    outcomes = list(run(tmp_path, ALL_IN_FIVE))
    assert [outcome.killed for outcome in outcomes] == list(ALL_IN_FIVE)
    for outcome in outcomes:
        assert outcome.is_good, outcome
