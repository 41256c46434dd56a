# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of an organisation at each step: the round commits with an exact sum."""

import numpy as np
import pytest

from tests.process.drill import ORGANISATIONS, Drill
from tests.process.drill_organisations import DEATHS, run

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]


def test_the_round_commits_with_the_survivors_and_the_sum_is_exact(tmp_path):
    outcomes = list(run(tmp_path))
    assert [o.phase for o in outcomes] == [d.phase for d in DEATHS]
    for outcome in outcomes:
        assert outcome.status == "completed", outcome
        assert outcome.survivors == outcome.expected, outcome
        assert outcome.exact, outcome
        assert outcome.replays, outcome
    # the comparison can fail: what the organisations wrote down differs by all of them
    drill = Drill.__new__(Drill)
    drill.world = tmp_path
    vectors = [drill.quantised(org, 4) for org in ORGANISATIONS]
    assert len({v.tobytes() for v in vectors}) == len(ORGANISATIONS)
    assert all(np.count_nonzero(v) > v.size / 2 for v in vectors)
