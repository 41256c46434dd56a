# SPDX-License-Identifier: Apache-2.0
"""A detector: the same bits in any cut, thresholds of the own past, saved, loaded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidPlan, InvalidTelemetry, MalformedMessage
from fedxdr.federation.plan import Training
from fedxdr.learning import detector, detector_state, features, fit, latest
from fedxdr.learning.detector import Detector
from fedxdr.learning.gate import FEDERATED, LOCAL
from fedxdr.learning.scorer import Scorer
from fedxdr.models import metrics, snapshot
from fedxdr.telemetry.catalogue import Kind
from fedxdr.telemetry.event import Events

SECOND = 10**9


def model(name="traffic-event", *, seed=1, scale=10.0, **sizes):
    """Return a snapshot with weights that tell events apart."""
    shape = features.find(name).architecture(neighbour=4, mixer=6, embedding=8, **sizes)
    vector = shape.first_vector(seed)
    begin, end = shape.layout.span("weights.")
    vector[begin:end] *= scale / 5
    return snapshot.save(vector, layout=shape.layout, architecture=shape.describe())


def cut(events, cuts):
    ends = sorted({min(c, len(events)) for c in cuts} | {len(events)})
    return [
        events.select(slice(begin, end))
        for begin, end in zip([0, *ends[:-1]], ends, strict=True)
    ]


@pytest.fixture
def past(make_events):
    return make_events(600)


@pytest.fixture
def later(make_events):
    events = make_events(150, seed=5)
    return replace(events, time_ns=events.time_ns + 6000 * SECOND)


@pytest.fixture
def prepared(past):
    return Detector.prepare(model(tactics=14), past, budget=0.05)


def test_the_threshold_is_that_of_benign_rows_held_out(prepared, past):
    whole = features.find("traffic-event").compute(past)
    late = np.arange(480, 600)
    vector = snapshot.load(model(tactics=14)).vector
    shape = features.find("traffic-event").architecture(
        neighbour=4, mixer=6, embedding=8, tactics=14
    )
    logits = fit.logits(vector, architecture=shape, features=whole[late])
    benign = logits[past.label[late] != 1]
    assert prepared.is_calibrated
    assert prepared.budget == 0.05
    assert (benign >= prepared.threshold - 1e-5).mean() <= 0.05
    assert (benign >= np.sort(benign)[-6]).sum() > 0
    assert prepared.threshold < benign.max()


def test_scores_are_those_of_a_batch_over_past_and_present(prepared, past, later):
    scored = prepared.push(later)
    both = Events.concatenate([past, later])
    whole = features.find("traffic-event").compute(both)[len(past) :]
    want = prepared._scorers[FEDERATED].said(whole).malicious
    assert np.array_equal(scored.score, want.astype(np.float64))
    shape = prepared._scorers[FEDERATED].architecture
    vector = snapshot.load(model(tactics=14)).vector
    close = fit.logits(vector, architecture=shape, features=whole)
    assert np.allclose(scored.score, close, atol=1e-5)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 150), max_size=8))
def test_however_it_is_cut_it_says_the_same(cuts):
    past, later = EVENTS.select(slice(0, 300)), EVENTS.select(slice(300, 450))
    one = Detector.prepare(model(tactics=14), past)
    two = Detector.prepare(model(tactics=14), past)
    whole = one.push(later)
    parts = [two.push(block) for block in cut(later, cuts)]
    for name in ("score", "calibrated", "tactic"):
        found = np.concatenate([getattr(part, name) for part in parts])
        assert found.tobytes() == getattr(whole, name).tobytes()
    assert one.save() == two.save()


def table(rows):
    draw = np.random.default_rng(3)
    return Events.build(
        rows,
        {
            "time_ns": np.sort(draw.integers(1, 900, rows)) * SECOND,
            "source": draw.integers(1, 6, rows),
            "destination": draw.integers(1, 6, rows),
            "destination_port": draw.choice([22, 443], rows),
            "kind": draw.choice([int(Kind.FLOW), int(Kind.DNS)], rows),
            "bytes_out": draw.integers(-1, 10**6, rows),
        },
    )


EVENTS = table(450)


def test_what_is_out_of_order_in_a_batch_comes_back_in_the_batchs_order(past, later):
    mixed = np.random.default_rng(0).permutation(len(later))
    one, two = (Detector.prepare(model(), past) for _ in range(2))
    # equal times would be read in another order
    later = replace(later, time_ns=later.time_ns[0] + np.arange(len(later)) * SECOND)
    want, found = one.push(later), two.push(later.select(mixed))
    assert np.array_equal(found.score, want.score[mixed])


def test_the_past_may_be_in_any_order(past, later):
    past = replace(past, time_ns=np.arange(1, len(past) + 1) * SECOND)
    mixed = past.select(np.random.default_rng(0).permutation(len(past)))
    one, two = Detector.prepare(model(), past), Detector.prepare(model(), mixed)
    assert one.threshold == two.threshold
    assert np.array_equal(one.push(later).score, two.push(later).score)


def test_labels_of_what_is_pushed_are_not_read(past, later):
    one, two = (Detector.prepare(model(), past) for _ in range(2))
    blind = replace(later, label=np.full(len(later), -1, np.int8))
    assert np.array_equal(one.push(later).score, two.push(blind).score)


def test_alerts_are_not_read_by_a_set_of_traffic(past, later):
    kind = later.kind.copy()
    kind[::3] = Kind.ALERT
    one, two = (Detector.prepare(model(), past) for _ in range(2))
    scored = one.push(replace(later, kind=kind))
    rest = two.push(replace(later, kind=kind).select(kind != Kind.ALERT))
    assert np.array_equal(scored.score[kind != Kind.ALERT], rest.score)
    assert (scored.score[::3] == detector.UNREAD).all()
    assert (scored.calibrated[::3] == 1).all()
    with pytest.raises(InvalidTelemetry, match="if they were read"):
        one.explain(scored, [0])


def test_nothing_pushed_is_nothing_said_and_changes_nothing(past):
    one = Detector.prepare(model(), past)
    before = one.save()
    scored = one.push(Events.empty())
    assert scored.score.shape == (0,)
    assert one.explain(scored, []) == []
    assert one.save() == before


def test_alerts_are_what_a_set_of_alerts_reads(past, later):
    later = replace(later, kind=np.full(len(later), Kind.ALERT, np.int16))
    scored = Detector.prepare(model("alerts-event"), past).push(later)
    assert (scored.score > detector.UNREAD).all()


def test_tactics_are_told_of_what_alarms_only(prepared, later):
    scored = prepared.push(later)
    alarms = scored.score >= prepared.threshold
    assert alarms.any()
    assert not alarms.all()
    assert (scored.tactic[alarms] >= 0).all()
    assert (scored.tactic[~alarms] == -1).all()


@pytest.mark.parametrize("rows", [0, 3, 200])
def test_a_short_past_is_not_calibrated_and_has_the_documented_threshold(
    make_events, later, rows
):
    found = Detector.prepare(model(), make_events(rows))
    assert not found.is_calibrated
    assert found.threshold == pytest.approx(np.log(99), abs=0.01)
    scored = found.push(later)
    assert np.array_equal(scored.calibrated <= 0.01, scored.score >= found.threshold)


def test_features_without_a_stream_are_refused(past):
    with pytest.raises(InvalidTelemetry, match="cannot be streamed"):
        Detector.prepare(model("counters"), past)


@pytest.mark.parametrize("budget", [0.0, 1.0, -1.0, float("nan")])
def test_a_budget_lies_between_nothing_and_all(past, budget):
    with pytest.raises(InvalidTelemetry, match="budget"):
        Detector.prepare(model(), past, budget=budget)


def test_a_smaller_budget_has_a_higher_threshold(past):
    bars = [
        Detector.prepare(model(), past, budget=budget).threshold
        for budget in (0.1, 0.01, 0.001, 0.0001)
    ]
    assert bars == sorted(bars)
    assert len(set(bars)) == len(bars)


def test_swapping_is_like_having_had_the_other_model(past, later):
    one = Detector.prepare(model(), past)
    two = Detector.prepare(model(seed=9), past)
    first, second = later.select(slice(0, 70)), later.select(slice(70, None))
    one.push(first)
    two.push(first)
    one.swap(model(seed=9))
    assert one.model_digest == two.model_digest
    assert one.threshold == two.threshold
    assert np.array_equal(one.push(second).score, two.push(second).score)


def test_a_model_of_other_features_is_refused_and_the_old_one_stays(past, later):
    one, two = (Detector.prepare(model(), past) for _ in range(2))
    with pytest.raises(InvalidPlan, match="alerts-event"):
        one.swap(model("alerts-event"))
    with pytest.raises(MalformedMessage):
        one.swap(b"no model")
    with pytest.raises(InvalidPlan, match="alerts-event"):
        Detector.prepare(model(), past, own_model=model("alerts-event"))
    assert np.array_equal(one.push(later).score, two.push(later).score)


@pytest.mark.parametrize("own", [None, 4])
def test_what_was_saved_goes_on_where_it_stood(past, later, own):
    own_model = None if own is None else model(seed=own)
    one = Detector.prepare(model(tactics=14), past, own_model=own_model)
    first, second = later.select(slice(0, 70)), later.select(slice(70, None))
    one.push(first)
    file = one.save()
    two = Detector.load(file)
    assert two.save() == file
    assert (two.threshold, two.budget) == (one.threshold, one.budget)
    assert two.gate.weights == one.gate.weights
    a, b = one.push(second), two.push(second)
    for name in ("score", "calibrated", "tactic"):
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes()
    assert one.explain(a, [3]) == two.explain(b, [3])
    assert one.save() == two.save()


def test_a_changed_bit_is_refused(past):
    file = Detector.prepare(model(), past).save()
    for place in (3, 40, len(file) // 2, len(file) - 1):
        broken = bytearray(file)
        broken[place] ^= 1
        with pytest.raises(MalformedMessage):
            Detector.load(bytes(broken))
    for other in (b"", b"\0" * 64, file[:-1], file + b"\0", model()):
        with pytest.raises(MalformedMessage):
            Detector.load(other)


def test_a_state_without_a_federations_model_is_refused(past):
    whole = detector_state.unpack(Detector.prepare(model(), past).save())
    for models in ({}, {FEDERATED: model(), LOCAL: model("alerts-event")}):
        with pytest.raises(MalformedMessage):
            Detector.load(detector_state.pack(replace(whole, models=models)))


def test_no_label_is_saved(past, later):
    one = Detector.prepare(model(), past)
    one.push(later)
    memory = detector_state.unpack(one.save()).memory
    assert (memory.label == -1).all()
    assert (memory.technique == -1).all()


def test_of_a_batch_those_that_score_highest_are_kept(past, later, monkeypatch):
    monkeypatch.setattr(latest, "MOST_EXPLAINED", 10)
    one = Detector.prepare(model(), past)
    scored = one.push(later)
    highest = np.argsort(-scored.score, kind="stable")[:10].tolist()
    assert [item.row for item in one.explain(scored, highest)] == highest
    lowest = int(scored.score.argmin())
    assert one.nearest(scored, lowest) is None
    with pytest.raises(InvalidTelemetry, match="10 rows"):
        one.explain(scored, [lowest])
    for row in (len(later), -1):
        with pytest.raises(InvalidTelemetry, match="rows 0 to 149"):
            one.explain(scored, [row])


def test_only_the_latest_batch_is_explained(past, later):
    one = Detector.prepare(model(), past)
    first = one.push(later.select(slice(0, 70)))
    one.push(later.select(slice(70, None)))
    for ask in (lambda: one.explain(first, [0]), lambda: one.nearest(first, 0)):
        with pytest.raises(InvalidTelemetry, match="latest"):
            ask()


def attacked(rows, *, seed):
    """Return events under attack all the time: a source that speaks to everybody."""
    draw = np.random.default_rng(seed)
    is_attack = draw.random(rows) < 0.2
    return Events.build(
        rows,
        {
            "time_ns": (seed * 10**6 + np.arange(1, rows + 1)) * SECOND,
            "source": np.where(is_attack, 99, draw.integers(1, 6, rows)),
            "destination": np.where(
                is_attack, draw.integers(100, 10**6, rows), draw.integers(1, 6, rows)
            ),
            "destination_port": np.where(is_attack, 22, 443),
            "kind": np.full(rows, int(Kind.FLOW)),
            "bytes_out": np.where(is_attack, 0, draw.integers(100, 10**6, rows)),
            "label": is_attack,
            "technique": np.where(is_attack, np.arange(rows) % 2, -1),
        },
        techniques=("T1046", "no name: of any kind"),
    )


def fitted(events):
    """Return a model that was fitted on these events alone."""
    shape = features.find("traffic-event").architecture(
        neighbour=4, mixer=6, embedding=8
    )
    vector = shape.first_vector(0)
    rows, family = features.find("traffic-event").compute(events), events.label
    begin, end = shape.layout.span("weights.")
    training = Training(batch_size=64, learning_rate=0.02, examples_per_epoch=512)
    for number in range(4):
        vector[begin:end] += fit.fit(
            vector,
            architecture=shape,
            features=rows,
            family=family,
            training=training,
            seed=(number,),
        )
    return snapshot.save(vector, layout=shape.layout, architecture=shape.describe())


def test_where_the_own_model_is_better_the_gate_listens_to_it():
    past, later = attacked(800, seed=1), attacked(400, seed=2)
    truth = later.label == 1
    own = fitted(past.select(slice(0, 640)))
    alone = Detector.prepare(model(), past)
    both = Detector.prepare(model(), past, own_model=own)
    right = Scorer(own)
    assert FEDERATED not in both.gate.weights or len(both.gate.weights) > 1
    area = {
        name: metrics.area_under_curve(found.push(later).score, truth)
        for name, found in (("alone", alone), ("both", both))
    }
    rows = features.find("traffic-event").compute(Events.concatenate([past, later]))
    best = metrics.area_under_curve(
        right.said(rows[800:]).malicious.astype(np.float64), truth
    )
    assert area["both"] >= best - 0.01
    again = Detector.load(both.save())
    assert again.gate.weights == both.gate.weights
    assert again.threshold == both.threshold


def test_without_attacks_in_the_past_nobody_else_is_listened_to():
    past = replace(attacked(800, seed=1), label=np.full(800, -1, np.int8))
    found = Detector.prepare(model(), past, own_model=model(seed=4))
    assert found.gate.weights == {FEDERATED: 1.0}


def test_an_attack_is_like_the_technique_of_the_own_past():
    past, later = attacked(800, seed=1), attacked(100, seed=2)
    found = Detector.prepare(fitted(past), past)
    scored = found.push(later)
    named = [found.nearest(scored, row) for row in range(100)]
    attacks = later.label == 1
    # names that no finding may carry are left out
    assert {named[row] for row in np.flatnonzero(attacks)} == {"T1046"}
    benign = [named[row] for row in np.flatnonzero(~attacks)]
    assert benign.count(None) > 0.8 * len(benign)
    again = Detector.load(found.save())
    more = attacked(100, seed=3)
    one, two = found.push(more), again.push(more)
    for row in range(0, 100, 7):
        assert found.nearest(one, row) == again.nearest(two, row)


def test_without_techniques_in_the_past_nothing_is_known(later):
    past = replace(EVENTS, label=np.full(len(EVENTS), -1, np.int8))
    found = Detector.prepare(model(), past)
    scored = found.push(later)
    assert found.nearest(scored, int(scored.score.argmax())) is None


def test_rows_held_out_are_bounded_and_span_the_latest_fifth(monkeypatch):
    monkeypatch.setattr(detector, "MOST_HELD", 20)
    past = attacked(1000, seed=1)
    rows = detector._held_out(past)
    is_attack = past.label[rows] == 1
    assert (is_attack.sum(), (~is_attack).sum()) == (20, 20)
    assert rows[0] < 810
    assert rows[-1] >= 990
    assert rows.min() >= 800
    assert len(np.unique(rows)) == len(rows)
