# SPDX-License-Identifier: Apache-2.0
"""What further heads are taught, and what rows without labels teach."""

import numpy as np
import pytest

from fedxdr.core.errors import InvalidPlan
from fedxdr.core.randomness import SeededEntropy
from fedxdr.federation.plan import Training
from fedxdr.federation.protection import Privacy
from fedxdr.learning import dpsgd, fit
from fedxdr.learning.statistics import statistics
from fedxdr.models.architecture import TACTICS, Architecture

SHAPE = Architecture(
    features="x", own=4, embedding=16, bins=8, tactics=TACTICS, following=1
)
TRAINING = Training(local_epochs=10, batch_size=128, learning_rate=0.02)
ROWS = 2_000


def rows(seed=0):
    """Attacks: 1 < x0 < 2, where no straight line cuts; tactic 3 above x1 = 2, else 5.

    An edge that did happen has x2 > 2, one against it has not.
    """
    draw = np.random.default_rng(seed)
    features = draw.uniform(0, 4, (ROWS, 4)).astype(np.float32)
    features[:, 2] = draw.uniform(2.3, 4, ROWS)
    against = features.copy()
    against[:, 2] = draw.uniform(0, 1.7, ROWS)
    attack = (features[:, 0] > 1) & (features[:, 0] < 2)
    tactics = np.zeros((ROWS, TACTICS), np.float32)
    is_third = features[:, 1] > 2
    tactics[attack & is_third, 3] = 1
    tactics[attack & ~is_third, 5] = 1
    return (
        features,
        attack.astype(np.int64),
        fit.Lessons(tactics=tactics, against=against),
    )


def trained(lessons, *, family=None):
    features, attack, _ = rows()
    family = attack if family is None else family
    vector = SHAPE.first_vector(1)
    begin, end = SHAPE.layout.span("statistics.")
    vector[begin:end] = statistics(features, family, architecture=SHAPE)
    begin, end = SHAPE.layout.span("weights.")
    vector[begin:end] += fit.fit(
        vector,
        architecture=SHAPE,
        features=features,
        family=family,
        training=TRAINING,
        seed=(4,),
        lessons=lessons,
    )
    return vector


def said(vector, features):
    return fit.said(vector, architecture=SHAPE, features=features)


def test_all_three_heads_learn_what_they_are_taught():
    _, _, lessons = rows()
    features, attack, other = rows(seed=9)
    vector = trained(lessons)
    found = said(vector, features)
    assert ((found.malicious > 0) == attack).mean() > 0.95
    is_attack = attack.astype(bool)
    told = found.tactics[is_attack].argmax(axis=1)
    assert (told == other.tactics[is_attack].argmax(axis=1)).mean() > 0.95
    assert (found.following > 0).mean() > 0.95
    assert (said(vector, other.against).following < 0).mean() > 0.95


def test_the_same_rows_and_seed_give_the_same_bits():
    _, _, lessons = rows()
    assert np.array_equal(trained(lessons), trained(lessons))


def test_rows_that_nobody_labelled_teach_what_follows_and_nothing_of_attacks():
    _, _, lessons = rows()
    silent = fit.Lessons(is_labelled=False, against=lessons.against)
    nobody = np.zeros(ROWS, np.int64)
    before = SHAPE.layout.unflatten(SHAPE.first_vector(1))
    vector = trained(silent, family=nobody)
    after = SHAPE.layout.unflatten(vector)
    for name in ("weights.malicious.weight", "weights.tactic.weight"):
        assert np.array_equal(before[name], after[name])
    features, _, other = rows(seed=9)
    assert (said(vector, features).following > 0).mean() > 0.95
    assert (said(vector, other.against).following < 0).mean() > 0.95


def test_what_is_not_taught_stays():
    before = SHAPE.layout.unflatten(SHAPE.first_vector(1))
    after = SHAPE.layout.unflatten(trained(fit.ONLY_MALICIOUS))
    for name in ("weights.tactic.weight", "weights.following.weight"):
        assert np.array_equal(before[name], after[name])
    assert not np.array_equal(
        before["weights.malicious.weight"], after["weights.malicious.weight"]
    )


def test_statistics_weigh_attacks_as_much_as_all_benign_rows():
    features = np.full((100, 4), 0.5, np.float32)
    features[99] = 3.5
    family = np.zeros(100, np.int64)
    family[99] = 7
    found = statistics(features, family, architecture=SHAPE)
    shares = found[8:].reshape(4, -1)
    assert shares.sum(axis=1) == pytest.approx([1] * 4)
    assert shares[:, shares.shape[1] // 2 :].sum(axis=1) == pytest.approx([0.5] * 4)


def test_private_steps_refuse_what_has_no_closed_norms():
    features, attack, _ = rows()
    with pytest.raises(InvalidPlan, match="first version"):
        dpsgd.fit_privately(
            SHAPE.first_vector(1),
            architecture=SHAPE,
            features=features,
            family=attack,
            privacy=Privacy(
                mechanism="dp-sgd",
                unit="event",
                epsilon=8.0,
                delta=1e-5,
                noise_multiplier=1.0,
                sampling_rate=0.01,
                steps=1,
                clipping_norm=1.0,
                own=1,
                context=1,
                index_keys=1,
            ),
            training=TRAINING,
            entropy=SeededEntropy(1),
        )
