# SPDX-License-Identifier: Apache-2.0
"""Ramps between federated quantiles, against their definition."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning.columns import BOUND
from fedxdr.models import bins, histogram
from fedxdr.models.histogram import CELLS, TOP

CELL = TOP / CELLS


def counted(values, weight=None):
    column = np.asarray(values, np.float32)[:, None]
    even = np.ones(len(column)) if weight is None else np.asarray(weight, float)
    return torch.from_numpy(histogram.shares(column, even))


def test_cells_cover_what_features_may_be():
    assert TOP == BOUND
    shares = histogram.shares(np.array([[0.0], [TOP], [TOP - 1e-6]]), np.ones(3))
    assert shares[0, 0] == pytest.approx(1 / 3)
    assert shares[0, -1] == pytest.approx(2 / 3)


def test_edges_are_quantiles_to_a_cell():
    draw = np.random.default_rng(3).beta(2, 5, 20_000) * TOP
    found = bins.edges(counted(draw), 8)[0].numpy()
    wanted = np.quantile(draw, 0.001 + 0.9985 * np.arange(1, 8) / 8)
    assert np.abs(found[1:-1] - wanted).max() <= 2 * CELL
    assert (found[0], found[-1]) == (0, TOP)


@given(
    st.lists(st.floats(0, TOP, width=32), min_size=1, max_size=40),
    st.integers(1, 16),
)
def test_ramps_are_the_piecewise_linear_encoding(values, count):
    shares = counted(values)
    edges = bins.edges(shares, count)
    assert (edges.diff(dim=1) >= 0).all()
    asked = np.linspace(0, TOP, 23, dtype=np.float32)
    found = bins.ramps(torch.from_numpy(asked[:, None]), edges=edges).numpy()[:, 0]
    for value, ramps in zip(asked, found, strict=True):
        for place in range(count):
            low, high = edges[0, place].item(), edges[0, place + 1].item()
            want = 0.0
            if high > low:
                want = min(1.0, max(0.0, (value - low) / (high - low)))
            assert ramps[place] == pytest.approx(want, abs=1e-5)


def test_centres_are_the_mean_ramp_of_the_rows():
    draw = np.random.default_rng(5).gamma(2, 0.4, 5_000).clip(0, TOP)
    shares = counted(draw)
    edges = bins.edges(shares, 6)
    rows = torch.from_numpy(draw.astype(np.float32)[:, None])
    mean = bins.ramps(rows, edges=edges).mean(dim=0)
    # a row counts as the middle of its cell
    assert torch.allclose(bins.centres(shares, edges=edges), mean, atol=0.02)


def test_weights_move_the_quantiles():
    values = [0.5] * 99 + [3.5]
    plain = bins.edges(counted(values), 2)[0]
    weighed = bins.edges(counted(values, [1 / 99] * 99 + [1.0]), 2)[0]
    assert plain[1] == pytest.approx(0.5, abs=CELL)
    assert weighed[1] == pytest.approx(3.5, abs=CELL)


def test_nothing_counted_gives_even_edges():
    nothing = bins.edges(torch.zeros(1, CELLS), 4)[0]
    even = bins.edges(torch.from_numpy(histogram.even())[None], 4)[0]
    assert torch.equal(nothing, even)
    assert torch.allclose(even, torch.linspace(0, TOP, 5), atol=2 * CELL)


def test_rounding_of_a_masked_sum_moves_no_median_between_two_heaps():
    # half of the weight at 1, half at 3: the median is anywhere between
    shares = counted([1.0] * 50 + [3.0] * 50)
    for error in (-1e-7, 1e-7):
        moved = shares.clone()
        moved[0, int(1.0 / CELL)] += error
        assert torch.equal(bins.edges(moved, 16), bins.edges(shares, 16))


def test_a_histogram_needs_rows():
    with pytest.raises(InvalidTelemetry, match="rows"):
        histogram.shares(np.zeros((0, 2), np.float32), np.zeros(0))
