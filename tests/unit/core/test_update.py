# SPDX-License-Identifier: Apache-2.0
"""A wrong update cannot be built."""

from __future__ import annotations

import numpy as np
import pytest

from fedxdr.core.errors import InvalidUpdate
from fedxdr.core.update import Update


def test_a_good_update():
    update = Update(values=np.ones(3, dtype=np.float32), samples=0)
    assert update.values.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "values",
    [
        np.ones(3),
        np.ones((3, 1), dtype=np.float32),
        np.array(1, dtype=np.float32),
        np.array([1, np.nan], dtype=np.float32),
        np.array([1, np.inf], dtype=np.float32),
        np.array([-np.inf], dtype=np.float32),
    ],
)
def test_a_wrong_vector_is_refused(values):
    with pytest.raises(InvalidUpdate):
        Update(values=values, samples=1)


def test_a_negative_sample_count_is_refused():
    with pytest.raises(InvalidUpdate):
        Update(values=np.ones(1, dtype=np.float32), samples=-1)
