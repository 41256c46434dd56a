# SPDX-License-Identifier: Apache-2.0
"""Every method on one small situation; who may see what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedxdr.core.errors import InvalidPlan, TooFewParticipants
from fedxdr.federation.plan import Training
from fedxdr.learning import baselines, dataset, features, methods, trainer
from fedxdr.learning.calibration import Calibration
from fedxdr.learning.federate import in_the_clear
from fedxdr.learning.gate import Gate
from fedxdr.learning.own_past import Scored
from fedxdr.learning.trainer import held_out
from fedxdr.models import metrics
from fedxdr.models.prefilter import Prefilter
from fedxdr.privacy import accountant
from fedxdr.telemetry.event import Events


@pytest.fixture
def situation(make_organisation):
    """Return the last of four: the others were attacked before, it was not."""
    items = [
        make_organisation("a", attack_at=0.7),
        make_organisation("b", begin=100, attack_at=0.7, seed=1),
        make_organisation("c", begin=200, seed=2),
        make_organisation("late", begin=3000, seed=3),
    ]
    return dataset.situations(items)[-1]


@pytest.fixture
def setting(architecture):
    """Return a quick network and plain rounds."""
    return methods.Setting(
        architecture=architecture,
        training=Training(batch_size=64, learning_rate=0.02, examples_per_epoch=512),
        rounds=4,
        federate=in_the_clear,
        everyone=("a", "b", "c", "late"),
    )


def recall(situation, scored):
    return metrics.recall(scored.test, situation.test.family, budget=0.01)


@pytest.fixture
def with_stream(situation):
    """Return a function that lets every row be an edge between two of a few hosts."""

    def make(found=situation):
        own, test = found.own, found.test
        rows, count = len(own.family), len(own.family) + len(test.family)
        draw = np.random.default_rng(0)
        family = np.concatenate([own.family, test.family])
        stream = Events.build(
            count,
            {
                "time_ns": np.concatenate([own.time_ns, test.time_ns]),
                "source": draw.integers(1, 5, count) * (family == 0) + 9 * (family > 0),
                "destination": draw.integers(1, 5, count),
            },
        )
        return replace(
            found,
            own=replace(
                own, stream=stream.select(slice(0, rows)), place=np.arange(rows)
            ),
            test=replace(test, stream=stream, place=np.arange(rows, count)),
        )

    return make


@pytest.fixture
def attacked(make_organisation):
    """Return the last of four, which is under attack all the time."""
    items = [
        make_organisation("a", attack_at=0.7),
        make_organisation("b", begin=100, attack_at=0.7, seed=1),
        make_organisation("c", begin=200, seed=2),
    ]
    late = make_organisation("late", begin=3000, seed=3)
    mixed = np.random.default_rng(0).permutation(len(late.family))
    late = replace(late, features=late.features[mixed], family=late.family[mixed])
    return dataset.situations([*items, late])[-1]


@pytest.mark.parametrize("name", sorted(methods.METHODS))
def test_scores_are_finite_and_one_per_row(
    name, with_stream, situation, setting, monkeypatch
):
    monkeypatch.setattr(baselines, "_TREES", 3)
    situation = with_stream()
    scored = methods.METHODS[name](situation, setting, 0)
    assert scored.test.shape == situation.test.family.shape
    assert len(scored.benign_past) == len(scored.rows) > 0
    assert (situation.own.family[scored.rows] == 0).all()
    assert np.isfinite(scored.test).all()


def test_together_finds_what_alone_cannot(situation, setting):
    assert recall(situation, methods.local(situation, setting, 0)) == 0.0
    assert recall(situation, methods.federated(situation, setting, 0)) > 0.9
    assert recall(situation, methods.pooled(situation, setting, 0)) > 0.9


def test_labels_of_the_test_are_not_read(situation, setting):
    blind = replace(
        situation,
        test=replace(situation.test, family=np.zeros_like(situation.test.family)),
    )
    for method in (methods.federated, methods.pooled):
        one, two = (method(item, setting, 0) for item in (situation, blind))
        assert np.array_equal(one.test, two.test)


def test_the_seed_decides(situation, setting):
    zero, again, one = (
        methods.federated(situation, setting, seed).test for seed in (0, 0, 1)
    )
    assert np.array_equal(zero, again)
    assert not np.array_equal(zero, one)


def test_two_with_data_take_a_third_who_has_none(situation, setting):
    pair = replace(situation, others=situation.others[:1])
    seen = []

    def federate(learners, **rest):
        seen.append({name: learner.samples() for name, learner in learners.items()})
        return in_the_clear(learners, **rest)

    methods.federated(pair, replace(setting, federate=federate), 0)
    assert set(seen[0]) == {"a", "late", "b"}
    assert seen[0]["b"] == 1


def test_fewer_than_three_are_refused_and_told_what_to_do(situation, setting):
    pair = replace(situation, others=situation.others[:1])
    with pytest.raises(TooFewParticipants, match="--org NAME=PATH"):
        methods.federated(pair, replace(setting, everyone=("a", "late")), 0)


@pytest.mark.parametrize("name", sorted(features.FEATURE_SETS))
def test_the_default_network_is_that_of_the_feature_set(name):
    found = features.find(name)
    assert methods.architecture_for(found).inputs == found.architecture().inputs


@pytest.mark.parametrize("name", sorted(set(methods.METHODS) - {"prefilter"}))
def test_thresholds_are_put_on_rows_that_nothing_was_fitted_to(
    name, situation, setting, monkeypatch
):
    monkeypatch.setattr(baselines, "_TREES", 3)
    own = situation.own
    spared = held_out(own.family) & (own.family == 0)
    other = own.features.copy()
    other[spared] = 1e3
    moved = replace(situation, own=replace(own, features=other))
    # statistics are of all rows, in the clear or masked: they are not fitted
    monkeypatch.setattr(
        trainer,
        "statistics",
        lambda *_, architecture: np.zeros(
            architecture.layout.span("statistics.")[1], np.float32
        ),
    )
    monkeypatch.setattr(methods, "statistics", trainer.statistics)
    one, two = (methods.METHODS[name](item, setting, 0) for item in (situation, moved))
    assert np.array_equal(one.test, two.test)
    assert np.array_equal(one.rows, np.flatnonzero(spared))


def test_a_bar_may_be_finer_than_the_rows():
    past = np.random.default_rng(0).normal(size=200).astype(np.float32)
    scored = Scored(test=past, benign_past=past)
    bars = [scored.bar(budget) for budget in (0.1, 0.01, 0.001)]
    assert bars == sorted(bars)
    assert bars[1] < past.max() < bars[2]
    assert Scored(test=past, benign_past=past[:0]).bar(0.01) is None


def test_the_prefilter_reads_the_stream_alone(with_stream, setting):
    situation = with_stream()
    scored = methods.prefilter(situation, setting, 0)
    other = replace(situation.own, features=np.zeros_like(situation.own.features))
    again = methods.prefilter(replace(situation, own=other), setting, 0)
    assert np.array_equal(scored.test, again.test)
    edges = situation.test.stream
    whole = Prefilter(seed=0).push(edges.time_ns, edges.source, edges.destination)
    want = np.log1p(whole.max(axis=1)[situation.test.place])
    assert scored.test == pytest.approx(want, rel=1e-6)
    # what comes later moves nothing that came before
    is_early = np.arange(len(situation.test.family)) < 50
    short = replace(situation, test=situation.test.select(is_early))
    early = methods.prefilter(short, setting, 0)
    assert np.array_equal(early.benign_past, scored.benign_past)
    assert np.array_equal(early.test, scored.test[:50])


def test_without_a_stream_all_rows_are_alike_to_the_prefilter(situation, setting):
    scored = methods.prefilter(situation, setting, 0)
    assert not scored.test.any()
    assert (scored.test > scored.bar(0.01)).sum() == 0


def test_without_attacks_in_the_own_past_the_gate_is_the_federations(
    situation, setting, monkeypatch
):
    want = methods.federated(situation, setting, 0)
    monkeypatch.setattr(methods, "_one_place", None)
    found = methods.federated_gated(situation, setting, 0)
    assert np.array_equal(found.test, want.test)
    assert np.array_equal(found.benign_past, want.benign_past)


@pytest.fixture
def chosen(monkeypatch):
    """Return the list of gates that were chosen, with what they were chosen on."""
    seen = []

    class Spy(Gate):
        @classmethod
        def choose(cls, candidates, truth):
            found = Gate.choose(candidates, truth)
            seen.append((found, dict(candidates), truth))
            return found

    monkeypatch.setattr(methods, "Gate", Spy)
    return seen


def test_the_gate_chooses_on_the_end_of_the_own_past(
    attacked, setting, chosen, monkeypatch
):
    fitted = []
    whole = methods._one_place

    def spy(parts, *rest):
        fitted.append(parts[-1])
        return whole(parts, *rest)

    monkeypatch.setattr(methods, "_one_place", spy)
    methods.federated_gated(attacked, setting, 0)
    ((_, candidates, truth),) = chosen
    assert set(candidates) == {"federated", "local"}
    own = attacked.own
    late = own.time_ns >= own.time_ns[0] + int(0.8 * np.ptp(own.time_ns)) + 1
    assert np.array_equal(truth, own.family[late] != 0)
    # the candidates to choose from saw nothing of it
    assert len(fitted[0].family) <= (~late).sum()


def test_the_gate_never_reads_the_tests_labels(attacked, setting):
    blind = replace(
        attacked,
        test=replace(attacked.test, family=np.zeros_like(attacked.test.family)),
    )
    one, two = (methods.federated_gated(item, setting, 0) for item in (attacked, blind))
    assert np.array_equal(one.test, two.test)


def test_where_the_federation_misleads_the_gate_listens_to_the_own_past(
    attacked, setting, chosen
):
    misled = replace(
        attacked,
        others=tuple(
            replace(part, features=4 - part.features) for part in attacked.others
        ),
    )
    area = {
        name: metrics.area_under_curve(
            methods.METHODS[name](misled, setting, 0).test.astype(np.float64),
            misled.test.family != 0,
        )
        for name in ("local", "federated", "federated-gated")
    }
    assert area["federated-gated"] >= max(area.values()) - 0.01
    assert chosen


def test_what_is_mixed_has_thresholds_of_its_own(attacked, setting, monkeypatch):
    halves = Gate(
        weights={"federated": 0.5, "local": 0.5},
        scales={name: Calibration.assumed() for name in ("federated", "local")},
    )
    monkeypatch.setattr(methods, "_gate", lambda *_: halves)
    found = methods.federated_gated(attacked, setting, 0)
    assert len(found.benign_past) == len(found.rows)
    benign = found.test[attacked.test.family == 0]
    assert (benign > found.bar(0.05)).mean() < 0.15


def promising(setting, *, epsilon=8.0):
    """Return the setting with a promise and a network over its four numbers."""
    context = features.find("alerts-event")
    return replace(
        setting,
        architecture=replace(setting.architecture, features="alerts-event"),
        privacy=methods.event_privacy(context, epsilon=epsilon, delta=1e-5, rounds=3),
        private_rounds=3,
    )


def test_a_promise_is_kept_by_the_plan_and_only_together(situation, setting):
    seen = {}

    def spy(learners, **arguments):
        seen.update(arguments)
        return in_the_clear(learners, **arguments)

    private = replace(promising(setting), federate=spy)
    scored = methods.federated(situation, private, 0)
    assert np.isfinite(scored.test).all()
    assert seen["plan"]["privacy"] == private.privacy
    assert seen["plan"]["max_weight_exponent"] == 0
    assert seen["rounds"] == 3
    again = methods.federated(situation, private, 0)
    assert np.array_equal(scored.test, again.test)
    # under a promise all benign rows are fitted to, so all are asked
    assert len(scored.benign_past) == (situation.own.family == 0).sum()
    # alone nobody is shown anything
    alone = methods.pooled(situation, private, 0)
    assert recall(situation, alone) > 0.9
    assert len(alone.benign_past) < len(scored.benign_past)


def test_noise_is_as_little_as_the_budget_allows():
    found = features.find("alerts-event")
    small, large = (
        methods.event_privacy(found, epsilon=epsilon, delta=1e-5, rounds=2)
        for epsilon in (1.0, 8.0)
    )
    assert small.noise_multiplier > large.noise_multiplier
    for promise in (small, large):
        spent = accountant.epsilon({promise.charge: 2}, delta=1e-5)
        assert 0.98 * promise.epsilon < spent <= promise.epsilon
        assert promise.occurrences == 16
    with pytest.raises(InvalidPlan, match="bounded"):
        methods.event_privacy(
            features.find("counters"), epsilon=1.0, delta=1e-5, rounds=1
        )


def test_private_networks_are_small():
    found = features.find("alerts-event")
    small = methods.private_architecture_for(found).layout.size
    assert small < methods.architecture_for(found).layout.size / 5
