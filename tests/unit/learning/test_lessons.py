# SPDX-License-Identifier: Apache-2.0
"""What further heads are taught, and what rows without labels teach."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core import tactics as core_tactics
from fedxdr.core.errors import InvalidPlan
from fedxdr.core.randomness import SeededEntropy
from fedxdr.federation.plan import Training
from fedxdr.federation.protection import Privacy
from fedxdr.learning import dpsgd, features, fit
from fedxdr.learning.lessons import elsewhere, lessons, tactics
from fedxdr.learning.statistics import statistics
from fedxdr.models.architecture import TACTICS, Architecture
from fedxdr.telemetry.event import Events

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
    values = draw.uniform(0, 4, (ROWS, 4)).astype(np.float32)
    values[:, 2] = draw.uniform(2.3, 4, ROWS)
    against = values.copy()
    against[:, 2] = draw.uniform(0, 1.7, ROWS)
    attack = (values[:, 0] > 1) & (values[:, 0] < 2)
    tactics = np.zeros((ROWS, TACTICS), np.float32)
    is_third = values[:, 1] > 2
    tactics[attack & is_third, 3] = 1
    tactics[attack & ~is_third, 5] = 1
    return (
        values,
        attack.astype(np.int64),
        fit.Lessons(tactics=tactics, against=against),
    )


def trained(lessons, *, family=None):
    values, attack, _ = rows()
    family = attack if family is None else family
    vector = SHAPE.first_vector(1)
    begin, end = SHAPE.layout.span("statistics.")
    vector[begin:end] = statistics(values, family, architecture=SHAPE)
    begin, end = SHAPE.layout.span("weights.")
    vector[begin:end] += fit.fit(
        vector,
        architecture=SHAPE,
        features=values,
        family=family,
        training=TRAINING,
        seed=(4,),
        lessons=lessons,
    )
    return vector


def said(vector, values):
    return fit.said(vector, architecture=SHAPE, features=values)


def test_all_three_heads_learn_what_they_are_taught():
    _, _, lessons = rows()
    values, attack, other = rows(seed=9)
    vector = trained(lessons)
    found = said(vector, values)
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
    values, _, other = rows(seed=9)
    assert (said(vector, values).following > 0).mean() > 0.95
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
    values = np.full((100, 4), 0.5, np.float32)
    values[99] = 3.5
    family = np.zeros(100, np.int64)
    family[99] = 7
    found = statistics(values, family, architecture=SHAPE)
    shares = found[8:].reshape(4, -1)
    assert shares.sum(axis=1) == pytest.approx([1] * 4)
    assert shares[:, shares.shape[1] // 2 :].sum(axis=1) == pytest.approx([0.5] * 4)


def events(labels, techniques=("T1021.002", "T1078")):
    n = len(labels)
    return Events.build(
        n,
        {
            "time_ns": np.arange(n) * 10**9,
            "source": np.arange(n) % 3 + 1,
            "destination": np.arange(n) % 4 + 10,
            "label": np.array(labels, np.int8),
            "technique": np.arange(n) % 3 - 1,
        },
        techniques=techniques,
    )


OF_EDGES = features.find("edges")
EDGES = OF_EDGES.architecture(tactics=TACTICS, following=1)


def test_a_technique_teaches_the_tactics_it_serves():
    found = tactics(events([1, 1, 1, 0, 0, -1]))
    order = list(core_tactics.TACTICS)
    names = [{order[place] for place in np.flatnonzero(row)} for row in found]
    valid = {"TA0001", "TA0003", "TA0004", "TA0005"}
    # rows 0 and 3 have no technique, 3 to 5 are no attacks
    assert names == [set(), {"TA0008"}, valid, set(), set(), set()]


def test_nobody_labelled_is_not_all_benign():
    for labels, is_labelled in (([-1] * 9, False), ([-1] * 8 + [0], True)):
        taught = lessons(events(labels), found=OF_EDGES, architecture=EDGES, seed=1)
        assert taught.is_labelled is is_labelled
        assert taught.against.shape == (9, EDGES.inputs)


def test_the_first_version_has_no_use_for_lessons():
    found = features.find("traffic")
    taught = lessons(
        events([-1] * 9), found=found, architecture=found.architecture(), seed=1
    )
    assert taught is fit.ONLY_MALICIOUS


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 9))
def test_elsewhere_is_somewhere_else(destinations, seed):
    stream = Events.build(
        len(destinations), {"destination": np.array(destinations, np.int64)}
    )
    other = elsewhere(stream, seed=seed)
    assert set(other) <= set(destinations)
    if len(set(destinations)) > 1:
        assert (other != stream.destination).all()
    assert np.array_equal(other, elsewhere(stream, seed=seed))


def test_private_steps_refuse_what_has_no_closed_norms():
    values, attack, _ = rows()
    with pytest.raises(InvalidPlan, match="first version"):
        dpsgd.fit_privately(
            SHAPE.first_vector(1),
            architecture=SHAPE,
            features=values,
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
