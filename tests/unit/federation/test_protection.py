# SPDX-License-Identifier: Apache-2.0
"""A promise that its own numbers do not keep cannot be written down."""

from __future__ import annotations

import dataclasses

import pytest

from fedxdr.core.errors import InvalidPlan
from fedxdr.federation.protection import NO_PRIVACY, Privacy
from fedxdr.privacy.mechanism import Charge

EVENT = Privacy(
    mechanism="dp-sgd",
    unit="event",
    epsilon=8.0,
    delta=1e-5,
    noise_multiplier=1.2,
    sampling_rate=0.01,
    steps=20,
    clipping_norm=1.0,
    own=1,
    context=8,
    index_keys=3,
)
SUM = Privacy(
    mechanism="discrete-gaussian",
    unit="organisation",
    epsilon=8.0,
    delta=1e-5,
    noise_multiplier=4.0,
    sampling_rate=1.0,
    steps=1,
    own=1,
)


def test_nothing_is_claimed_without_a_mechanism():
    assert not NO_PRIVACY.is_on
    assert NO_PRIVACY.occurrences == 0
    with pytest.raises(InvalidPlan, match="nothing is charged"):
        _ = NO_PRIVACY.charge
    for name, value in (("epsilon", 1.0), ("delta", 1e-5), ("own", 1), ("context", 8)):
        with pytest.raises(InvalidPlan, match="claims no figures"):
            Privacy(**{name: value})


def test_what_is_charged_for():
    assert EVENT.charge == Charge(
        unit="event",
        noise_multiplier=1.2,
        sampling_rate=0.01,
        steps=20,
        own=1,
        occurrences=24,
    )
    window = dataclasses.replace(EVENT, window_s=600)
    assert (window.charge.own, window.charge.occurrences) == (0, 1)
    host = dataclasses.replace(EVENT, unit="entity", own=5)
    assert (host.charge.own, host.charge.occurrences) == (5, 5 * 24)
    assert SUM.charge.mechanism == "discrete-gaussian"
    assert SUM.charge.occurrences == 0


@pytest.mark.parametrize(
    ("honest", "changed", "why"),
    [
        (EVENT, {"mechanism": "laplace"}, "use one of none, dp-sgd"),
        (EVENT, {"unit": "none"}, "whom it hides"),
        (EVENT, {"unit": "organisation"}, "for organisations use discrete"),
        (EVENT, {"epsilon": 0.0}, "epsilon is a number above 0"),
        (EVENT, {"epsilon": float("nan")}, "epsilon is a number above 0"),
        (EVENT, {"epsilon": float("inf")}, "epsilon is a number above 0"),
        (EVENT, {"delta": 1.0}, "delta lies between"),
        (EVENT, {"delta": 0.9}, "the promise fails altogether"),
        (EVENT, {"delta": 1e-13}, "delta lies between"),
        (EVENT, {"noise_multiplier": 0.0}, "noise_multiplier"),
        (EVENT, {"sampling_rate": 0.0}, "sampling_rate"),
        (EVENT, {"sampling_rate": 1.1}, "sampling_rate"),
        (EVENT, {"steps": 0}, "steps"),
        (EVENT, {"clipping_norm": 0.0}, "clipping_norm"),
        (EVENT, {"own": 2}, "own is 1"),
        (EVENT, {"context": -1}, "context"),
        (EVENT, {"window_s": -1}, "window_s"),
        (EVENT, {"unit": "entity", "window_s": 60}, "under unit event only"),
        (EVENT, {"adaptive_quantile": 0.5}, "with noise and rate"),
        (EVENT, {"adaptive_rate": 0.2}, "without a quantile"),
        (SUM, {"unit": "event"}, "hides organisations"),
        (SUM, {"sampling_rate": 0.5}, "sampling_rate 1"),
        (SUM, {"steps": 2}, "steps 1"),
        (SUM, {"context": 8}, "beside another mechanism"),
        (SUM, {"clipping_norm": 1.0}, "beside another mechanism"),
    ],
)
def test_a_promise_that_cannot_hold_is_refused(honest, changed, why):
    with pytest.raises(InvalidPlan, match=why):
        dataclasses.replace(honest, **changed)
