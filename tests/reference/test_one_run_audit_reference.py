# SPDX-License-Identifier: Apache-2.0
import importlib.util
import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.simulation.privacy_audit import p_value

_spec = importlib.util.spec_from_file_location(
    "one_run_audit_definition", Path(__file__).parent / "one_run_audit_definition.py"
)
definition = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(definition)


@given(
    data=st.data(),
    odds=st.integers(1, 40),
    total=st.integers(1, 14),
    delta=st.sampled_from([Fraction(0), Fraction(1, 1000), Fraction(1, 20)]),
)
@settings(max_examples=150, deadline=None)
def test_the_p_value_is_the_theorems(data, odds, total, delta) -> None:
    guesses = data.draw(st.integers(0, total))
    correct = data.draw(st.integers(0, guesses))
    wanted = definition.p_value(
        odds, guesses=guesses, correct=correct, total=total, delta=delta
    )
    found = p_value(
        math.log(odds),
        guesses=guesses,
        correct=correct,
        total=total,
        delta=float(delta),
    )
    assert found == pytest.approx(float(wanted), rel=1e-9, abs=1e-12)
