# SPDX-License-Identifier: Apache-2.0
"""A detector's columns fit the events, or are refused."""

from __future__ import annotations

import numpy as np
import pytest

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning.scored import Scored
from fedxdr.telemetry.event import Events


def scored(**changes):
    values = {
        "events": Events.build(2, {"time_ns": np.array([1, 2])}),
        "score": np.array([0.5, 2.0]),
        "calibrated": np.array([0.5, 0.0]),
        "tactic": np.array([-1, 13]),
        "technique": np.array([0, -1]),
        "techniques": ("T1046",),
        "contribution": np.array([-1.0, 1.0]),
    }
    return Scored(**values | changes)


def test_what_fits_is_taken():
    assert scored().tactics[13] == "TA0040"
    bare = scored(tactic=None, technique=None, contribution=None)
    assert bare.techniques == ("T1046",)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"score": np.zeros(3)}, "shape"),
        ({"score": np.array([np.nan, 1.0])}, "finite"),
        ({"contribution": np.array([np.inf, 1.0])}, "finite"),
        ({"calibrated": np.array([0.5, 1.5])}, "share"),
        ({"calibrated": np.array([0.5, np.nan])}, "share"),
        ({"tactic": np.array([-2, 0])}, "points nowhere"),
        ({"tactic": np.array([0, 14])}, "points nowhere"),
        ({"technique": np.array([0, 1])}, "points nowhere"),
    ],
)
def test_wrong_scores_are_refused(changes, match):
    with pytest.raises(InvalidTelemetry, match=match):
        scored(**changes)
