# SPDX-License-Identifier: Apache-2.0
"""Scored events become few findings, the same ones each time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core import tactics
from fedxdr.core.errors import InvalidTelemetry
from fedxdr.core.ids import OrgId, sha256
from fedxdr.learning import grouping
from fedxdr.learning.grouping import Grouper, group, severity_of
from fedxdr.learning.scored import Scored
from fedxdr.telemetry.catalogue import Kind, Service
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.findings import Position, Severity, finding_id

SECOND = 10**9
BEGIN = 1_763_800_200 * SECOND  # where a window of 300 s begins
MODEL = sha256(b"model")
ORG = OrgId("alpha")
NOW = BEGIN + 10**6 * SECOND
TACTICS = tuple(tactics.TACTICS)
LATERAL, DISCOVERY = TACTICS.index("TA0008"), TACTICS.index("TA0007")


def scored(*rows, **changes):
    """Return events from (second, source, destination, score[, tactic[, user]])."""
    full = [(*row, *(-1, 0)[len(row) - 4 :]) for row in rows]
    second, source, destination, score, tactic, user = np.array(full, float).T
    events = Events.build(
        len(rows),
        {
            "time_ns": BEGIN + (second * SECOND).astype(np.int64),
            "source": source,
            "destination": destination,
            "user": user,
            "kind": np.full(len(rows), Kind.FLOW),
            "service": np.full(len(rows), Service.SMB),
        },
    )
    values = {
        "events": events,
        "score": score,
        "calibrated": np.clip(0.01 / np.maximum(score, 0.01), 0, 1),
        "tactic": tactic.astype(np.int16),
    }
    return Scored(**values | changes)


def grouper(**changes):
    values = {"org": ORG, "model": MODEL, "ledger_index": 3, "threshold": 1.0}
    return Grouper(**values | changes)


def found(made, *rows, **changes):
    return [one.finding for one in made.push(scored(*rows, **changes), now_ns=NOW)]


def ends(findings):
    return [(one.source, one.destination) for one in findings]


def test_one_finding_for_all_events_of_a_pair():
    [one] = found(
        grouper(),
        (5, 1, 2, 3.0, LATERAL, 9),
        (1, 1, 2, 5.0, LATERAL, 9),
        (2, 1, 2, 0.5, LATERAL, 9),
        (9, 1, 2, 1.0, LATERAL, 9),
    )
    assert (one.source, one.destination, one.user) == (1, 2, 9)
    assert (one.first_ns, one.last_ns) == (BEGIN + SECOND, BEGIN + 9 * SECOND)
    assert (one.time_ns, one.ledger_index, one.model) == (NOW, 3, MODEL)
    assert (one.score, one.threshold, one.calibrated) == (5.0, 1.0, 0.002)
    assert (one.tactic, one.technique, one.nearest) == ("TA0008", None, None)
    assert one.severity is Severity.LOW
    assert one.id == finding_id(
        org=ORG, model=MODEL, source=1, destination=2, tactic="TA0008",
        first_ns=BEGIN + SECOND,
    )  # fmt: skip
    assert [e.time_ns - BEGIN for e in one.evidence] == [SECOND, 5 * SECOND, 9 * SECOND]
    # the score falls by 2 without the best event, by nothing without another
    assert [e.contribution for e in one.evidence] == [2.0, 0.0, 0.0]
    assert one.evidence[0].kind is Kind.FLOW
    assert one.sentence == (
        "One host to one host, Lateral Movement. 3 events in 8 s score above this "
        "organisation's threshold, most often smb (3 times)."
    )


def test_pairs_tactics_and_windows_are_told_apart():
    findings = found(
        grouper(),
        (1, 1, 2, 2.0, LATERAL),
        (2, 1, 2, 2.0, DISCOVERY),
        (3, 1, 2, 2.0),
        (4, 2, 1, 2.0, LATERAL),
        (299, 1, 2, 2.0, LATERAL),
        (300, 1, 2, 2.0, LATERAL),
    )
    assert len(findings) == 5
    assert [one.first_ns for one in findings] == sorted(f.first_ns for f in findings)
    assert {one.tactic for one in findings} == {"TA0008", "TA0007", None}


def test_a_scan_is_one_finding_and_so_is_a_flood():
    scan = [(n, 1, 10 + n, 2.0) for n in range(50)]
    [one] = found(grouper(), *scan)
    assert ends([one]) == [(1, 0)]
    assert one.sentence.startswith("One host to 50 hosts. 50 events in 49 s")
    flood = [(n, 10 + n, 1, 2.0) for n in range(50)]
    [one] = found(grouper(), *flood)
    assert ends([one]) == [(0, 1)]
    few = [(n, 1, 10 + n, 2.0) for n in range(3)]
    assert len(found(grouper(), *few)) == 3


def test_the_fan_counts_one_tactic_and_window_alone():
    rows = [(100 * n, 1, 10 + n, 2.0, n % 2) for n in range(6)]
    assert 0 not in [one.destination for one in found(grouper(), *rows)]


def test_who_is_not_known_is_nobody_special():
    rows = [(n, 0, 10 + n, 2.0) for n in range(6)]
    assert ends(found(grouper(), *rows)) == [(0, 10 + n) for n in range(6)]


def test_nothing_is_told_twice_unless_it_gets_worse():
    made = grouper()
    assert len(found(made, (1, 1, 2, 2.0))) == 1
    assert found(made, (2, 1, 2, 2.0), (3, 1, 2, 3.0)) == []
    [worse] = found(made, (4, 1, 2, 500.0))
    assert worse.severity > Severity.LOW
    assert found(made, (5, 1, 2, 500.0)) == []
    assert len(found(made, (301, 1, 2, 2.0))) == 1


def test_a_scan_over_many_batches_ends_in_one_finding():
    made, findings = grouper(), []
    for n in range(50):
        findings += found(made, (n, 1, 10 + n, 2.0))
    assert ends(findings) == [(1, 10), (1, 11), (1, 12), (1, 0)]


def test_after_a_crash_it_remembers_what_was_told():
    made = grouper()
    told = found(made, *((n, 1, 10 + n, 2.0) for n in range(3)))
    again = grouper()
    again.recall(told)
    assert found(again, (2.5, 1, 11, 2.0)) == []
    assert ends(found(again, (3, 1, 13, 2.0))) == [(1, 0)]
    other = grouper(model=sha256(b"another"))
    other.recall(told)
    assert len(found(other, (2.5, 1, 11, 2.0))) == 1


def test_memory_is_bounded(monkeypatch):
    made = grouper()
    for window in range(20):
        found(made, *((300 * window + n, n, 100 + n, 2.0) for n in range(1, 11)))
    assert len(made._told) == len(made._pairs) == 20
    monkeypatch.setattr(grouping, "MOST_TOLD", 7)
    found(made, *((6000 + n, n, 100 + n, 2.0) for n in range(1, 11)))
    assert len(made._told) == len(made._pairs) == 7


def test_evidence_is_bounded_and_the_largest_contribution_comes_first():
    rows = [(n, 1, 2, 2.0 + n % 7) for n in range(40)]
    share = np.arange(40.0) % 11 - 5
    [one] = found(grouper(most_evidence=5), *rows, contribution=share)
    assert [e.contribution for e in one.evidence] == [5.0, 5.0, 5.0, 4.0, 4.0]
    [one] = found(grouper(), *rows)
    assert len(one.evidence) == 16


def test_where_it_comes_from():
    place = Position(
        source="eve.json", device=1, inode=2, fingerprint=sha256(b""), begin=3, end=4
    )
    batch = scored((1, 1, 2, 0.1), (2, 1, 2, 2.0), (3, 1, 2, 9.0))
    [one] = grouper().push(
        batch,
        now_ns=NOW,
        line=lambda row: place if row == 2 else None,
        nearest=lambda row: f"campaign-{row}",
    )
    assert one.rows.tolist() == [2, 1]
    assert [e.line for e in one.finding.evidence] == [place, None]
    assert one.finding.nearest == "campaign-2"


def test_technique_is_the_models_and_no_label_is_read():
    rows = ((1, 1, 2, 2.0), (2, 1, 2, 3.0))
    batch = scored(*rows)
    labelled = batch.events.labelled(
        flow_id=np.array([7], np.uint64), label=np.array([1], np.int8), technique=["T1"]
    )
    [one] = found(
        grouper(),
        *rows,
        events=labelled,
        technique=np.array([0, 1]),
        techniques=("T1046", "T1021.002"),
    )
    assert one.technique == "T1021.002"
    [none] = found(grouper(), *rows, events=labelled)
    assert none.technique is None


def test_several_accounts_are_no_account():
    [one] = found(grouper(), (1, 1, 2, 2.0, -1, 8), (2, 1, 2, 2.0, -1, 9))
    assert one.user == 0


def test_nothing_above_the_threshold():
    assert found(grouper(), (1, 1, 2, 0.99)) == []
    empty = Scored(
        events=Events.empty(), score=np.empty(0), calibrated=np.empty(0), tactic=None
    )
    assert grouper().push(empty, now_ns=NOW) == []


def test_an_event_without_a_time_is_of_now():
    batch = scored((1, 1, 2, 2.0), (2, 1, 2, 2.0))
    times = np.array([0, NOW - SECOND])
    events = dataclasses.replace(batch.events, time_ns=times)
    [one] = found(grouper(), (1, 1, 2, 2.0), (2, 1, 2, 2.0), events=events)
    assert (one.first_ns, one.last_ns) == (NOW - SECOND, NOW)


def test_a_threshold_is_not_rounded():
    low = np.float32(0.7)  # a little less than 0.7
    assert float(low) < 0.7
    score = np.array([low, 0.9], np.float32)
    rows = ((1, 1, 2, 2.0), (2, 3, 4, 2.0))
    [one] = found(grouper(threshold=0.7), *rows, score=score)
    assert one.source == 3


def test_at_once():
    batch = scored((1, 1, 2, 2.0, LATERAL), (2, 3, 4, 0.2))
    [one] = group(
        batch.events,
        batch.score,
        calibrated=batch.calibrated,
        tactic=batch.tactic,
        org=ORG,
        model=MODEL,
        ledger_index=None,
        threshold=1.0,
        now_ns=NOW,
    )
    assert (one.tactic, one.ledger_index) == ("TA0008", None)


@pytest.mark.parametrize(
    ("share", "severity"),
    [
        (0.0, Severity.CRITICAL),
        (1e-5, Severity.CRITICAL),
        (1.1e-5, Severity.HIGH),
        (1e-3, Severity.MEDIUM),
        (1e-2, Severity.LOW),
        (1.0, Severity.INFORMATIONAL),
    ],
)
def test_severity(share, severity):
    assert severity_of(share) is severity


@pytest.mark.parametrize(
    "changes",
    [{"window_s": 0}, {"fan": 1}, {"most_evidence": 0}, {"most_evidence": 999}],
)
def test_wrong_settings_are_refused(changes):
    with pytest.raises(InvalidTelemetry):
        grouper(**changes)


ROWS = st.lists(
    st.tuples(
        st.integers(0, 900),
        st.integers(0, 6),
        st.integers(0, 6),
        st.sampled_from([0.5, 1.0, 2.0, 700.0]),
        st.integers(-1, 2),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_every_event_above_the_threshold_is_in_one_finding(rows):
    batch = scored(*rows)
    made = grouper().push(batch, now_ns=NOW)
    told = np.concatenate([one.rows for one in made]) if made else np.empty(0)
    assert sorted(told.tolist()) == np.flatnonzero(batch.score >= 1.0).tolist()
    again = grouper().push(batch, now_ns=NOW)
    assert [one.finding for one in again] == [one.finding for one in made]
    assert len({one.finding.id for one in made}) == len(made)
    for one in made:
        finding, events = one.finding, batch.events.select(one.rows)
        assert finding.score == batch.score[one.rows].max()
        for token, column in (
            (finding.source, events.source),
            (finding.destination, events.destination),
        ):
            assert token == 0 or set(column.tolist()) == {token}


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, cut=st.integers(0, 60))
def test_batches_tell_no_more_than_the_worst_of_each(rows, cut):
    made = grouper(fan=99)
    rows = sorted(rows)
    findings = [
        one for part in (rows[:cut], rows[cut:]) if part for one in found(made, *part)
    ]
    whole = {
        (one.source, one.destination, one.tactic, one.first_ns // (300 * SECOND)): one
        for one in found(grouper(fan=99), *rows)
    }
    last = {
        (one.source, one.destination, one.tactic, one.first_ns // (300 * SECOND)): one
        for one in findings
    }
    assert set(last) == set(whole)
    # the worst is told in the end, whichever way the batches are cut
    assert {key: one.severity for key, one in last.items()} == {
        key: one.severity for key, one in whole.items()
    }


def test_another_grouper_goes_on_exactly_where_one_stood():
    made = grouper()
    told = found(made, *((n, 1, 10 + n, 2.0, LATERAL) for n in range(4)))
    assert ends(told) == [(1, 0)]
    one, two = grouper(), grouper()
    one.restore(made.state())
    assert np.array_equal(one.state(), made.state())
    rows = [(5, 1, 20, 2.0, LATERAL), (6, 3, 4, 2.0, LATERAL)]
    assert found(one, *rows) == found(made, *rows)
    # findings alone do not tell which pairs stood behind a scan
    two.recall(told)
    assert ends(found(two, *rows)) == [(1, 20), (3, 4)]
    assert grouper().state().shape == (0, 5)
    empty = grouper()
    empty.restore(grouper().state())
    assert ends(found(empty, rows[0])) == [(1, 20)]


@pytest.mark.parametrize(
    "state",
    [
        np.zeros((2, 4), np.int64),
        np.zeros(5, np.int64),
        np.zeros((1, 5)),
        np.array([[1, 2, 3, 4, 77]]),
    ],
)
def test_what_no_grouper_remembers_is_refused(state):
    with pytest.raises(InvalidTelemetry):
        grouper().restore(state)
