# SPDX-License-Identifier: Apache-2.0
"""How far an event reaches is stated for every set, and only for known ones.

That the figures are true is tested where features are made
(tests/unit/learning/test_features.py).
"""

from __future__ import annotations

import numpy as np
import pytest

from fedxdr.core.errors import InvalidPlan
from fedxdr.models.architecture import Architecture
from fedxdr.models.context import CONTEXTS, context_of


def test_counters_have_no_bound_and_event_sets_a_small_one():
    assert context_of("counters").reach is None
    for name in ("alerts-event", "traffic-event"):
        assert context_of(name).reach * context_of(name).index_keys <= 16


def test_an_unknown_set_is_refused_with_those_there_are():
    with pytest.raises(InvalidPlan, match="alerts, traffic"):
        context_of("names")


@pytest.mark.parametrize("name", [*CONTEXTS, "unknown"])
def test_a_first_model_standardises_by_the_sets_constants(name):
    architecture = Architecture(features=name, own=3)
    begin, end = architecture.layout.span("statistics.")
    mean, mean_square = architecture.first_vector(0)[begin:end].reshape(2, -1)
    known = CONTEXTS.get(name)
    centre, spread = (0, 1) if known is None else (known.centre, known.spread)
    assert np.allclose(mean, centre)
    assert np.allclose(mean_square - mean**2, spread**2)
