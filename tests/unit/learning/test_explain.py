# SPDX-License-Identifier: Apache-2.0
"""Explanations: exact, about the right events, and without a name in them."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning import explain, features, latest
from fedxdr.learning.detector import Detector
from fedxdr.learning.explain import Asked
from fedxdr.learning.gate import FEDERATED, LOCAL, Gate
from fedxdr.learning.readings import READINGS
from fedxdr.learning.scorer import Scorer
from fedxdr.models import graph, snapshot
from fedxdr.telemetry.findings import _LOOKS_LIKE_A_NAME

SECOND = 10**9
NAMES = sorted(READINGS)


def model(name, *, seed=1):
    shape = features.find(name).architecture(neighbour=4, mixer=6, embedding=8)
    vector = shape.first_vector(seed)
    begin, end = shape.layout.span("weights.")
    vector[begin:end] *= 2
    begin, end = shape.layout.span("statistics.mean")
    vector[begin:end] = np.linspace(0.1, 0.9, end - begin)
    return snapshot.save(vector, layout=shape.layout, architecture=shape.describe())


@pytest.fixture
def events(make_events):
    # a microsecond apart, so that an event is known by its time
    found = make_events(260)
    return replace(found, time_ns=found.time_ns + (1 + np.arange(260)) * 1000)


def asked_of(name, events, places):
    whole = features.find(name).compute(events)
    return Asked(
        features=whole[places],
        stream=events,
        place=np.asarray(places),
        rows=np.arange(len(events)),
        calibrated=np.full(len(places), 0.001),
    )


@pytest.mark.parametrize("name", NAMES)
def test_contributions_are_those_of_a_loop_over_single_questions(name, events):
    scorer = Scorer(model(name))
    found = features.find(name)
    whole = features.find(name).compute(events)
    places = [0, 1, 40, 259]
    ranks = found.ranks
    keys = [explain._place(key) for key in READINGS[name].keys]
    for place, got in zip(
        places, explain.explain(scorer, asked_of(name, events, places)), strict=True
    ):
        row = whole[place]

        def logit(changed):
            return float(scorer.said(changed[None]).malicious[0])

        assert got.row == place
        assert got.logit == logit(row)
        seen = 0
        for neighbour in got.neighbours:
            without = row.copy()
            tokens = without[: found.keys * len(ranks) * found.token]
            tokens = tokens.reshape(found.keys, len(ranks), found.token)
            for key, rank in neighbour.reads:
                spot = tokens[keys.index(key), ranks.index(rank)]
                # what the features of an event without a past are
                spot[:] = whole[0][: found.token]
                seen += 1
            assert neighbour.contribution == got.logit - logit(without)
        is_there = tokens_of(found, row) != whole[0][: found.token]
        assert seen == is_there.any(axis=2).sum()
        for words, contribution in got.own:
            without = row.copy()
            columns = dict(explain.groups_of(found))[words]
            without[columns] = scorer.mean[columns]
            assert contribution == got.logit - logit(without)


def tokens_of(found, row):
    count = found.keys * len(found.ranks)
    return row[: count * found.token].reshape(found.keys, len(found.ranks), found.token)


@pytest.mark.parametrize("name", NAMES)
def test_groups_are_all_own_numbers_once(name):
    found = features.find(name)
    groups = explain.groups_of(found)
    begin = found.keys * len(found.ranks) * found.token
    places = np.sort(np.concatenate([columns for _, columns in groups]))
    assert np.array_equal(places, begin + np.arange(found.own))
    assert len({words for words, _ in groups}) == len(groups)


@pytest.mark.parametrize("name", NAMES)
def test_a_neighbour_is_the_event_whose_change_changes_its_token(name, events):
    found = features.find(name)
    whole = found.compute(events)
    row = 200
    place = explain.neighbours(name, events, np.array([row]))[0]
    there = (tokens_of(found, whole[row]) != whole[0][: found.token]).any(axis=2)
    assert np.array_equal(place != graph.NONE, there)
    time = events.time_ns
    gaps = features.columns.gap(
        ((time[row] - time[np.maximum(place, 0)]) / 1e9).astype(np.float32)
    )
    assert np.allclose(tokens_of(found, whole[row])[:, :, 0][there], gaps[there])


def test_one_event_read_under_several_keys_is_one_neighbour(events):
    got = explain.explain(Scorer(model("traffic")), asked_of("traffic", events, [200]))[
        0
    ]
    rows = [item.row for item in got.neighbours]
    assert len(set(rows)) == len(rows)
    assert max(len(item.reads) for item in got.neighbours) > 1
    for item in got.neighbours:
        assert item.event.time_ns == events.time_ns[item.row]
        assert item.event.source == events.source[item.row]
        assert item.event.destination == events.destination[item.row]
        assert item.event.contribution == item.contribution
    weights = [item.contribution for item in got.neighbours]
    assert weights == sorted(weights, reverse=True)
    assert list(got.evidence) == [item.event for item in got.neighbours]


def test_what_is_no_longer_remembered_is_still_counted(events):
    scorer = Scorer(model("traffic"))
    whole = asked_of("traffic", events, [250])
    short = Asked(
        features=whole.features,
        stream=events.select(slice(245, None)),
        place=whole.place - 245,
        rows=np.arange(245, 260),
        calibrated=whole.calibrated,
    )
    one, two = (explain.explain(scorer, item)[0] for item in (whole, short))
    assert one.row == two.row == 250
    assert sum(len(item.reads) for item in one.neighbours) == sum(
        len(item.reads) for item in two.neighbours
    )
    known = [item for item in two.neighbours if item.event is not None]
    assert 0 < len(known) < len(two.neighbours)
    by_row = {item.row: item for item in one.neighbours}
    assert all(by_row[item.row] == item for item in known)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("calibrated", [0.0, 1e-12, 1e-4, 1.0])
def test_a_sentence_names_nobody(name, events, calibrated):
    asked = replace(
        asked_of(name, events, [0, 5, 250]), calibrated=np.full(3, calibrated)
    )
    for got in explain.explain(Scorer(model(name)), asked):
        assert 1 <= len(got.sentence) <= 500
        assert not _LOOKS_LIKE_A_NAME.search(got.sentence)
        numbers = {int(word) for word in re.findall(r"\d+", got.sentence)}
        tokens = {*events.source.tolist(), *events.destination.tolist()}
        assert not {number for number in numbers & tokens if number > 1000}


def test_an_event_without_a_past_has_no_neighbours(events):
    got = explain.explain(Scorer(model("alerts")), asked_of("alerts", events, [0]))[0]
    assert got.neighbours == ()
    assert got.evidence == ()


def test_nothing_asked_is_nothing_said(events):
    asked = asked_of("alerts", events, np.zeros(0, np.int64))
    assert explain.explain(Scorer(model("alerts")), asked) == []


def test_a_set_without_a_bound_is_refused(events):
    with pytest.raises(InvalidTelemetry, match="cannot be explained"):
        explain.explain(Scorer(model("counters")), asked_of("counters", events, [3]))


def test_a_detector_explains_across_batches_and_points_into_the_past(
    events, monkeypatch
):
    past, middle, last = (
        events.select(slice(0, 200)),
        events.select(slice(200, 230)),
        events.select(slice(230, None)),
    )
    found = Detector.prepare(model("traffic"), past)
    found.push(middle)
    scored = found.push(last)
    got = found.explain(scored, [5, 2])
    whole = asked_of("traffic", events, [235, 232])
    want = explain.explain(Scorer(model("traffic")), whole)
    for one, two in zip(got, want, strict=True):
        assert one.logit == two.logit == scored.score[one.row]
        assert one.own == two.own
        assert one.evidence == two.evidence
        rows = [None if item.row < 230 else item.row - 230 for item in two.neighbours]
        assert [item.row for item in one.neighbours] == rows
    # of a long batch no more is looked at than what would be remembered
    monkeypatch.setattr(latest, "MEMORY", 10)
    short = found.explain(scored, [25])[0]
    known = [item for item in short.neighbours if item.event is not None]
    assert known
    assert min(item.row for item in known) >= 15
    assert short.logit == scored.score[25]


def test_what_is_explained_is_the_network_that_is_listened_to(events):
    events = replace(events, label=np.zeros(len(events), np.int8))
    found = Detector.prepare(
        model("traffic"), events, own_model=model("traffic", seed=4)
    )
    own = Scorer(model("traffic", seed=4))
    found.gate = Gate(weights={LOCAL: 1.0}, scales=found.gate.scales)
    scored = found.push(events)
    assert found.explain(scored, [3])[0].logit == scored.score[3]
    assert found._speaker().digest == own.digest
    found.gate = Gate(weights={LOCAL: 0.5, FEDERATED: 0.5}, scales=found.gate.scales)
    assert found._speaker().digest == found.model_digest


def test_events_without_a_time_are_no_evidence(make_events):
    found = make_events(50)
    found = replace(found, time_ns=np.zeros(50, np.int64))
    got = explain.explain(Scorer(model("traffic")), asked_of("traffic", found, [49]))[0]
    assert got.neighbours
    assert got.evidence == ()


def test_accounts_are_a_group_and_read_under_their_own_key(events):
    found = features.find("entities")
    known = replace(events, user=events.source)
    # the first event has no past: of it only the account itself is read
    is_other = found.compute(events)[0] != found.compute(known)[0]
    group = dict(explain.groups_of(found))["account and sign-on"]
    assert is_other.any()
    assert set(np.flatnonzero(is_other)) <= set(group)
    place = explain.neighbours("entities", known, np.array([259]))[0, 4]
    assert (known.user[place[place != graph.NONE]] == known.user[259]).all()
    assert (place != graph.NONE).any()
    nobody = explain.neighbours("entities", events, np.array([259]))[0, 4]
    assert (nobody == graph.NONE).all()
