# SPDX-License-Identifier: Apache-2.0
"""What an organisation gets without anybody."""

from __future__ import annotations

import dataclasses

import numpy as np

from fedxdr.federation.plan import Plan, Training
from fedxdr.federation.protection import Privacy
from fedxdr.learning.alone import fit_alone
from fedxdr.learning.statistics import bounded_statistics
from fedxdr.learning.trainer import Trainer
from fedxdr.models import snapshot


def test_alone_needs_no_promise_and_learns_the_same(architecture, make_rows):
    architecture = dataclasses.replace(architecture, features="alerts-event")
    features, family = make_rows(400, 100)
    trainer = Trainer(features, family, architecture=architecture, name="a")
    plain = Plan(
        federation="tests",
        run_id="run-1",
        participants=3,
        threshold=3,
        layout=architecture.layout,
        architecture=architecture.describe(),
        training=Training(batch_size=64, learning_rate=0.02, examples_per_epoch=1024),
        max_weight_exponent=0,
    )
    promise = Privacy(
        mechanism="dp-sgd",
        unit="event",
        epsilon=8.0,
        delta=1e-5,
        noise_multiplier=1.0,
        sampling_rate=0.1,
        steps=1,
        clipping_norm=1.0,
        own=1,
        context=16,
        index_keys=1,
    )
    private = dataclasses.replace(plain, privacy=promise)
    model = fit_alone(trainer, plan=private, rounds=3)
    assert model == fit_alone(trainer, plan=plain, rounds=3)
    begin, end = architecture.layout.span("statistics.")
    vector = snapshot.load(model).vector
    assert np.array_equal(vector[begin:end], bounded_statistics(features))
    scores = trainer.score(model, features)
    assert ((scores > 0) == (family != 0)).mean() > 0.9
