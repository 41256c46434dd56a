# SPDX-License-Identifier: Apache-2.0
"""Feature statistics: bounded, and of the rows given."""

from __future__ import annotations

import numpy as np
import pytest

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning.features import BOUND
from fedxdr.learning.statistics import bounded_statistics


def test_means_come_first_then_mean_squares():
    found = bounded_statistics(np.array([[0, 2], [4, 3]], np.float32))
    assert found.tolist() == [2.0, 2.5, 8.0, 6.5]
    assert found.dtype == np.float32


def test_no_statistic_leaves_its_bound():
    found = bounded_statistics(np.full((9, 3), BOUND, np.float32))
    assert found.max() == BOUND**2


@pytest.mark.parametrize("value", [-0.1, BOUND + 0.1, np.nan])
def test_a_feature_out_of_range_is_refused(value):
    with pytest.raises(InvalidTelemetry):
        bounded_statistics(np.array([[value]], np.float32))


def test_no_rows_are_refused():
    with pytest.raises(InvalidTelemetry):
        bounded_statistics(np.zeros((0, 3), np.float32))
