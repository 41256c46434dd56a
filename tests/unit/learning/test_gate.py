# SPDX-License-Identifier: Apache-2.0
"""The gate: never clearly worse than the better of two, wherever federation hurts."""

from __future__ import annotations

import numpy as np
import pytest

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning import gate
from fedxdr.learning.calibration import Calibration
from fedxdr.learning.gate import FEDERATED, LOCAL, OPTIONS, PREFILTER, Gate
from fedxdr.models import metrics

# how far attacks lie above benign rows, for the federated, the local and the pre-filter
WORLDS = {
    "federation hurts": (0.3, 3.0, 0.0),
    "local hurts": (3.0, 0.3, 0.0),
    "neither hurts": (2.0, 2.0, 0.5),
    "both know something else": (1.5, 1.5, 1.5),
    "the pre-filter is best": (0.5, 0.5, 3.5),
    "federation misleads": (-2.0, 2.0, 0.0),
    "both are blind": (0.0, 0.0, 0.0),
}


def world(apart, rows, attacks, draw):
    """Return candidates' scores on very different scales, and the truth."""
    truth = draw.permutation(np.arange(rows) < attacks)
    raw = {
        name: draw.normal(size=rows) + far * truth
        for name, far in zip((FEDERATED, LOCAL, PREFILTER), apart, strict=True)
    }
    raw[LOCAL] = 100 + 30 * raw[LOCAL]
    raw[PREFILTER] = np.exp(4 * raw[PREFILTER])
    return raw, truth


def area(scores, truth):
    return metrics.area_under_curve(np.asarray(scores, np.float64), truth)


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize(("rows", "attacks"), [(400, 40), (5000, 100)])
@pytest.mark.parametrize("with_prefilter", [False, True])
def test_it_is_never_clearly_worse_than_the_better_one(
    name, rows, attacks, with_prefilter
):
    lost = []
    for seed in range(6):
        draw = np.random.default_rng(seed)
        past, truth = world(WORLDS[name], rows, attacks, draw)
        later, later_truth = world(WORLDS[name], 20_000, 2000, draw)
        if not with_prefilter:
            past.pop(PREFILTER)
        found = Gate.choose(past, truth)
        got = area(found.combine(later), later_truth)
        best = max(area(later[one], later_truth) for one in (FEDERATED, LOCAL))
        lost.append(best - got)
    # on the mean of worlds a hundredth, on none more than what 40 attacks can tell
    assert np.mean(lost) <= 0.01
    assert max(lost) <= 0.03


def test_without_attacks_in_the_past_it_is_the_federations():
    draw = np.random.default_rng(0)
    past, truth = world(WORLDS["federation hurts"], 1000, gate.FEWEST_ATTACKS - 1, draw)
    found = Gate.choose(past, truth)
    assert found.weights == {FEDERATED: 1.0}
    assert found.areas == ()


def test_equals_are_the_federations():
    draw = np.random.default_rng(0)
    past, truth = world((2.0, 2.0, 2.0), 2000, 200, draw)
    past[LOCAL] = past[FEDERATED] * 3 + 1
    past[PREFILTER] = np.exp(past[FEDERATED])
    assert Gate.choose(past, truth).weights == {FEDERATED: 1.0}


def test_one_alone_comes_out_as_it_went_in():
    draw = np.random.default_rng(0)
    past, truth = world(WORLDS["federation hurts"], 1000, 100, draw)
    found = Gate(
        weights={LOCAL: 1.0}, scales={LOCAL: Calibration.fit(past[LOCAL][~truth])}
    )
    assert np.array_equal(found.combine(past), past[LOCAL])


def test_mixed_scores_do_not_hang_on_a_candidates_scale():
    draw = np.random.default_rng(0)
    past, truth = world(WORLDS["both know something else"], 1000, 100, draw)
    other = {FEDERATED: past[FEDERATED], LOCAL: past[LOCAL] / 7 - 5}
    halves = {FEDERATED: 0.5, LOCAL: 0.5}
    mixed = [
        Gate(
            weights=halves,
            scales={name: Calibration.fit(one[name][~truth]) for name in halves},
        ).combine(one)
        for one in (past, other)
    ]
    assert np.allclose(mixed[0], mixed[1])
    assert area(mixed[0], truth) > max(area(past[name], truth) for name in halves)


def test_two_of_the_same_mind_are_as_each_alone():
    draw = np.random.default_rng(0)
    past, truth = world((2.0, 2.0, 0.0), 1000, 100, draw)
    same = {FEDERATED: past[FEDERATED], LOCAL: past[FEDERATED]}
    mixed = Gate(
        weights={FEDERATED: 0.5, LOCAL: 0.5},
        scales={name: Calibration.fit(same[name][~truth]) for name in same},
    )
    assert area(mixed.combine(same), truth) == pytest.approx(
        area(past[FEDERATED], truth), abs=1e-3
    )


def test_scales_can_be_those_of_candidates_fitted_again():
    draw = np.random.default_rng(0)
    past, truth = world(WORLDS["both know something else"], 1000, 100, draw)
    found = Gate.choose(past, truth)
    assert len(found.weights) > 1
    doubled = {name: 2 * scores + 1 for name, scores in past.items()}
    again = found.rescaled({name: one[~truth] for name, one in doubled.items()})
    assert again.weights == found.weights
    assert np.allclose(again.combine(doubled), found.combine(past))


def test_the_standard_error_is_that_of_the_difference_of_two_areas():
    draw = np.random.default_rng(0)
    drawn, errors = [], []
    for _ in range(300):
        truth = np.arange(300) < 60
        one = draw.normal(size=300) + truth
        two = one + draw.normal(size=300)
        placed = [gate._placements(scores, truth) for scores in (one, two)]
        assert placed[0][0].mean() == pytest.approx(area(one, truth))
        assert placed[0][1].mean() == pytest.approx(area(one, truth))
        drawn.append(area(one, truth) - area(two, truth))
        errors.append(gate._standard_error(*placed))
    assert np.mean(errors) == pytest.approx(np.std(drawn), rel=0.12)


def test_every_option_sums_to_one_and_the_federation_comes_first():
    assert OPTIONS[0] == {FEDERATED: 1.0}
    for option in OPTIONS:
        assert sum(option.values()) == pytest.approx(1)
        assert set(option) <= set(gate.CANDIDATES)


@pytest.mark.parametrize(
    ("candidates", "match"),
    [
        ({LOCAL: [1.0, 2.0]}, "want federated"),
        ({FEDERATED: [1.0, 2.0], "other": [1.0, 2.0]}, "want federated"),
        ({FEDERATED: [1.0]}, "one score"),
    ],
)
def test_what_cannot_be_compared_is_refused(candidates, match):
    with pytest.raises(InvalidTelemetry, match=match):
        Gate.choose(candidates, np.array([True, False]))


def test_a_past_of_attacks_alone_is_refused():
    with pytest.raises(InvalidTelemetry, match="benign"):
        Gate.choose({FEDERATED: [1.0, 2.0]}, np.array([True, True]))


@pytest.mark.parametrize(
    "weights", [{}, {FEDERATED: 0.5}, {FEDERATED: 1.5, LOCAL: -0.5}, {LOCAL: 1.0}]
)
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(InvalidTelemetry):
        Gate(weights=weights, scales={FEDERATED: Calibration.assumed()})


def test_what_has_a_weight_must_be_there():
    one = Gate(weights={FEDERATED: 1.0}, scales={FEDERATED: Calibration.assumed()})
    with pytest.raises(InvalidTelemetry, match="also needs federated"):
        one.combine({LOCAL: [1.0]})
