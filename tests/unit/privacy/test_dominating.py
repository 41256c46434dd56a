# SPDX-License-Identifier: Apache-2.0
"""The pair bounds every real step, is reached by one, and is discretised upwards."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution as reference
from dp_accounting.rdp import rdp_privacy_accountant
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from fedxdr.core.randomness import generator
from fedxdr.models import graph
from fedxdr.privacy import dominating
from fedxdr.privacy.dominating import Pair, atoms, hockey_stick, renyi_divergence
from fedxdr.privacy.mechanism import occurrences_of

_SOURCE = Path(__file__).parents[2] / "reference" / "dominating_definition.py"
_SPEC = importlib.util.spec_from_file_location("dominating_definition", _SOURCE)
definition = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(definition)

EPSILONS = (-1.5, -0.3, 0.0, 0.05, 0.2, 0.7, 1.5, 3.0, 6.0)
CASES = [
    Pair(noise_multiplier=1.0, sampling_rate=0.01, own=1, occurrences=0),
    Pair(noise_multiplier=2.0, sampling_rate=0.1, own=1, occurrences=16),
    Pair(noise_multiplier=0.5, sampling_rate=0.3, own=1, occurrences=2),
    Pair(noise_multiplier=4.0, sampling_rate=1.0, own=1, occurrences=3),
    Pair(noise_multiplier=1.0, sampling_rate=0.05, own=0, occurrences=1),
    Pair(noise_multiplier=3.0, sampling_rate=0.02, own=8, occurrences=0),
    Pair(noise_multiplier=20.0, sampling_rate=0.001, own=1, occurrences=64),
]


def pair_curve(pair, epsilons=EPSILONS):
    return tuple(
        np.array([hockey_stick(pair, e, direction) for e in epsilons])
        for direction in ("removed", "added")
    )


def curve_of(loss, epsilons):
    """Hockey-stick curve of point masses, by definition."""
    return np.array(
        [
            loss.infinity
            + loss.masses @ np.maximum(0.0, -np.expm1(np.minimum(0, e - loss.losses)))
            for e in epsilons
        ]
    )


def vectors(count, dimension):
    """Vectors inside the unit ball, as direction and length."""
    number = st.floats(-1, 1)
    return st.lists(
        st.tuples(*[number] * dimension), min_size=count, max_size=count
    ).map(
        lambda found: [
            tuple(x / max(1.0, math.hypot(*vector)) for x in vector) for vector in found
        ]
    )


@pytest.mark.parametrize("pair", CASES[2:5])
def test_opposite_vectors_on_a_line_are_the_pair(pair):
    removed, added = definition.hockey_sticks(
        [(1.0,)] * pair.own,
        [(1.0,)] * pair.occurrences,
        [(-1.0,)] * pair.occurrences,
        rate=pair.sampling_rate,
        std=pair.noise_multiplier,
        epsilons=EPSILONS,
        per_std=400,
    )
    want_removed, want_added = pair_curve(pair)
    assert removed == pytest.approx(want_removed, abs=2e-6)
    assert added == pytest.approx(want_added, abs=2e-6)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_no_vectors_on_a_line_tell_more_than_the_pair(data):
    own, m = data.draw(st.sampled_from([(0, 1), (1, 0), (1, 1), (1, 3), (2, 2)]))
    rate = data.draw(st.sampled_from([0.05, 0.3, 0.5, 0.9, 1.0]))
    std = data.draw(st.sampled_from([0.4, 1.0, 3.0]))
    got = definition.hockey_sticks(
        data.draw(vectors(own, 1)),
        data.draw(vectors(m, 1)),
        data.draw(vectors(m, 1)),
        rate=rate,
        std=std,
        epsilons=EPSILONS,
        per_std=100,
    )
    pair = Pair(noise_multiplier=std, sampling_rate=rate, own=own, occurrences=m)
    for found, bound in zip(got, pair_curve(pair), strict=True):
        assert (found <= bound + 2e-5).all()


@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_no_vectors_in_a_plane_tell_more_than_the_pair(data):
    own, m = data.draw(st.sampled_from([(0, 1), (1, 1), (1, 2)]))
    rate = data.draw(st.sampled_from([0.1, 0.5, 1.0]))
    got = definition.hockey_sticks(
        data.draw(vectors(own, 2)),
        data.draw(vectors(m, 2)),
        data.draw(vectors(m, 2)),
        rate=rate,
        std=0.8,
        epsilons=EPSILONS,
        per_std=15,
    )
    pair = Pair(noise_multiplier=0.8, sampling_rate=rate, own=own, occurrences=m)
    for found, bound in zip(got, pair_curve(pair), strict=True):
        assert (found <= bound + 1e-3).all()


@pytest.mark.parametrize("epsilon", [0.0, 0.4, 1.5])
@pytest.mark.parametrize("side", [0, 1])
def test_an_adversary_who_improves_step_by_step_ends_at_the_pair(epsilon, side):
    # m = 2, own 1 on a line: five numbers in [-1, 1], climbed from a random start
    rng = generator(7, side)
    pair = Pair(noise_multiplier=1.0, sampling_rate=0.3, own=1, occurrences=2)
    bound = pair_curve(pair, [epsilon])[side][0]

    def gain(x):
        return definition.hockey_sticks(
            [(x[0],)],
            [(x[1],), (x[2],)],
            [(x[3],), (x[4],)],
            rate=0.3,
            std=1.0,
            epsilons=[epsilon],
            per_std=50,
        )[side][0]

    here = rng.uniform(-1, 1, 5)
    best, width = gain(here), 1.0
    for _ in range(150):
        there = np.clip(here + rng.normal(0, width, 5), -1, 1)
        value = gain(there)
        if value > best:
            here, best = there, value
        else:
            width = max(0.05, width * 0.97)
        assert value <= bound + 1e-5
    assert best > 0.97 * bound


def test_one_side_alone_is_not_enough():
    # "own 1, context 2": each changed example moves one side by 2. A real step tells
    # more than that pair says, so accounting with it would under-report.
    q, std, m = 0.1, 2.0, 16
    x = np.arange(-60.0, 100.0, 0.005)
    nothing = stats.norm.pdf(x, 0, std)
    with_unit = sum(
        weight * share * stats.norm.pdf(x, 2 * j + own, std)
        for j, weight in enumerate(stats.binom.pmf(range(m + 1), m, q))
        for own, share in ((0, 1 - q), (1, q))
    )
    one_sided = np.maximum(with_unit - nothing, 0).sum() * 0.005
    truth = sum(
        weight * stats.norm.pdf(x, j, std)
        for j, weight in enumerate(stats.binom.pmf(range(m + 2), m + 1, q))
    )
    other = sum(
        weight * stats.norm.pdf(x, -j, std)
        for j, weight in enumerate(stats.binom.pmf(range(m + 1), m, q))
    )
    real = np.maximum(truth - other, 0).sum() * 0.005
    assert one_sided == pytest.approx(0.4858, abs=1e-4)
    assert real == pytest.approx(0.5146, abs=1e-4)
    pair = Pair(noise_multiplier=std, sampling_rate=q, own=1, occurrences=m)
    assert hockey_stick(pair, 0.0, "removed") == pytest.approx(real, abs=1e-6)


def test_leaving_the_context_out_under_reports():
    real, _ = definition.hockey_sticks(
        [(1.0,)],
        [(1.0,)] * 3,
        [(-1.0,)] * 3,
        rate=0.1,
        std=2.0,
        epsilons=[0.2],
        per_std=100,
    )
    without = Pair(noise_multiplier=2.0, sampling_rate=0.1, own=1, occurrences=0)
    assert real[0] > 3 * hockey_stick(without, 0.2, "removed")


@pytest.mark.parametrize("pair", CASES)
@pytest.mark.parametrize("direction", ["removed", "added"])
def test_atoms_dominate_and_hardly_exceed_the_curve(pair, direction):
    loss = atoms(pair, direction, tail=1e-12)
    epsilons = np.linspace(-2, 6, 33)
    exact = np.array([hockey_stick(pair, e, direction) for e in epsilons])
    found = curve_of(loss, epsilons)
    assert (found >= exact * (1 - 1e-9) - 1e-15).all()
    assert (found <= exact + 2e-5).all()
    assert loss.masses.sum() == pytest.approx(1.0, abs=1e-11)
    assert (np.diff(loss.losses) >= 0).all()
    # what the other distribution keeps: never more than all of it
    assert loss.masses @ np.exp(-loss.losses) <= 1 + 1e-9


@pytest.mark.parametrize("direction", ["removed", "added"])
def test_atoms_of_tiny_noise_are_rounded_up(monkeypatch, direction):
    pair = Pair(noise_multiplier=1.0, sampling_rate=0.1, own=1, occurrences=4)
    monkeypatch.setattr(dominating, "_MOST_CELLS", 500)
    monkeypatch.setattr(dominating, "_FEWEST_CELLS", 500)
    coarse = atoms.__wrapped__(pair, direction, tail=1e-12)
    assert len(coarse.losses) == 500
    epsilons = np.linspace(-1, 6, 29)
    exact = np.array([hockey_stick(pair, e, direction) for e in epsilons])
    found = curve_of(coarse, epsilons)
    assert (found >= exact).all()
    assert (found <= exact + 0.02).all()


def test_without_context_it_is_the_sampled_gaussian_of_dp_accounting():
    pair = CASES[0]
    ours = pair_curve(pair, (0.0, 0.01, 0.1, 0.5))
    library = reference.from_gaussian_mechanism(
        1.0, sampling_prob=0.01, value_discretization_interval=0.01
    )
    for curve, pmf in zip(ours, (library._pmf_remove, library._pmf_add), strict=True):
        want = [pmf.get_delta_for_epsilon(e) for e in (0.0, 0.01, 0.1, 0.5)]
        assert curve == pytest.approx(want, rel=1e-9, abs=1e-12)


def test_a_group_is_the_mixture_of_gaussians_of_dp_accounting():
    pair = CASES[5]
    weights = stats.binom.pmf(range(9), 8, 0.02)
    library = reference.from_mixture_gaussian_mechanism(
        3.0, list(range(9)), list(weights), value_discretization_interval=0.05
    )
    for curve, pmf in zip(
        pair_curve(pair, (0.0, 0.05, 0.3)),
        (library._pmf_remove, library._pmf_add),
        strict=True,
    ):
        want = [pmf.get_delta_for_epsilon(e) for e in (0.0, 0.05, 0.3)]
        assert curve == pytest.approx(want, rel=1e-9, abs=1e-12)


def test_without_context_renyi_is_that_of_dp_accounting():
    orders = [2.0, 3.0, 8.0, 32.0, 64.0]
    ours = np.maximum(
        renyi_divergence(CASES[0], orders, "removed"),
        renyi_divergence(CASES[0], orders, "added"),
    )
    want = rdp_privacy_accountant._compute_rdp_poisson_subsampled_gaussian(
        0.01, 1.0, orders
    )
    assert ours == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("order", [1.1, 2.5, 6.0])
def test_renyi_is_its_defining_integral(order):
    pair = Pair(noise_multiplier=1.5, sampling_rate=0.2, own=1, occurrences=2)

    def log_density(x, centres):
        weights = stats.binom.pmf(range(len(centres)), len(centres) - 1, 0.2)
        return special.logsumexp(stats.norm.logpdf(x, centres, 1.5), b=weights)

    def part(x):
        p, q = log_density(x, [0, 1, 2, 3]), log_density(x, [0, -1, -2])
        return math.exp(order * p + (1 - order) * q)

    total, _ = integrate.quad(part, -40, 50, limit=400, points=[0, 3, 20])
    got = renyi_divergence(pair, [order], "removed")
    assert got == pytest.approx(math.log(total) / (order - 1), rel=1e-6)


def test_renyi_of_unsampled_steps_is_the_closed_form():
    for direction in ("removed", "added"):
        got = renyi_divergence(CASES[3], [1.5, 4.0, 64.0], direction)
        assert got == pytest.approx(np.array([1.5, 4.0, 64.0]) * (7 / 4) ** 2 / 2)


def test_renyi_gives_up_on_orders_that_are_too_far_out():
    pair = Pair(noise_multiplier=0.01, sampling_rate=0.5, own=1, occurrences=1024)
    assert renyi_divergence(pair, [8.0], "removed") == [math.inf]


def contexts(stream, keys, size):
    """What each example reads: its own row and its context rows, per key."""
    found = [[tuple(row)] for row in stream.tolist()]
    queries = np.arange(len(stream))
    for node, other in keys:
        nodes = stream[:, node]
        others = None if other is None else stream[:, other]
        past = graph.history(nodes, queries=queries, other=others)
        for place, row in enumerate(graph.recent(past, range(1, size + 1))):
            found[place].append(
                tuple(tuple(stream[e]) for e in row.tolist() if e != graph.NONE)
            )
    return found


@settings(deadline=None, max_examples=30)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)),
        min_size=2,
        max_size=30,
    ),
    size=st.integers(1, 4),
    gone=st.integers(0, 29),
)
@pytest.mark.parametrize(
    ("keys", "index_keys"),
    [
        ([(0, None)], 1),
        ([(0, None), (2, None)], 2),
        # listed under both its endpoints, asked about by both
        ([(0, 1), (1, 0)], 2),
        ([(0, 1), (1, 0), (2, None)], 3),
    ],
)
def test_an_event_changes_at_most_so_many_other_examples(
    keys, index_keys, rows, size, gone
):
    # endpoints share one numbering; every row is unique, so that changes are seen
    stream = np.array([(*row, place) for place, row in enumerate(rows)], np.int64)
    gone %= len(rows)
    with_event = contexts(stream, keys, size)
    without = contexts(np.delete(stream, gone, axis=0), keys, size)
    del with_event[gone]
    changed = sum(a != b for a, b in zip(with_event, without, strict=True))
    assert changed <= occurrences_of(context=size, index_keys=index_keys)


def test_the_bound_on_changed_examples_is_reached():
    stream = np.array([(0, 1, place) for place in range(12)], np.int64)
    with_event = contexts(stream, [(0, None)], 4)
    without = contexts(np.delete(stream, 3, axis=0), [(0, None)], 4)
    del with_event[3]
    changed = sum(a != b for a, b in zip(with_event, without, strict=True))
    assert changed == occurrences_of(context=4, index_keys=1)
