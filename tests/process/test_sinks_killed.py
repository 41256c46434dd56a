# SPDX-License-Identifier: Apache-2.0
"""No finding is lost over an outage of its sinks and a kill -9 of its process."""

import pytest
from tests.process.drill_sinks import SINKS, Book, Outcome, _judge, run
from tests.unit.telemetry.found import finding

pytestmark = pytest.mark.process


def test_a_short_outage(tmp_path):
    # how fast is measured by the drill alone
    outcome = run(tmp_path, up_s=1, down_s=3, kills=2, most_p95_s=60)
    assert outcome.faults == []
    assert outcome.findings > 50
    assert set(outcome.sinks) == set(SINKS)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_minute(tmp_path):
    outcome = run(tmp_path, up_s=10, down_s=60, kills=8)
    assert outcome.faults == []
    assert outcome.findings > 1000


def test_what_did_not_arrive_is_found():
    put = {0: 1.0, 1: 2.0, 2: 9.0, 3: 0.2}
    book = Book(put=put, fell_s=8.0, rose_s=9.1, killed_s=[0.9])
    first = {finding(0).id: 1.5, finding(2).id: 9.25, finding(3).id: 1.2}
    outcome = Outcome()
    _judge(outcome, "hec", book, first)
    assert outcome.faults == ["hec lacks 1 of 4 findings"]
    assert outcome.sinks["hec"] == {
        "arrived": 3,
        "p50_s": 0.5,
        "p95_s": 0.5,
        "most_s": 0.5,
        "p50_with_kills_s": 0.75,
        "p95_with_kills_s": 0.975,
        "most_with_kills_s": 1.0,
        "back_s": 0.15,
    }
