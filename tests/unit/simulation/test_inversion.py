# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidUpdate
from fedxdr.core.randomness import generator
from fedxdr.federation.plan import Training
from fedxdr.learning import fit
from fedxdr.learning.features import FEATURE_SETS
from fedxdr.models.architecture import Architecture
from fedxdr.simulation import inversion

PLAIN = Architecture(features="plain", own=9, embedding=12)
GRAPH = Architecture(
    features="graph", own=6, keys=2, ranks=3, token=2, neighbour=4, mixer=5, embedding=8
)
RATE = 0.002


def update_of(architecture, records, parent, *, batch=1):
    return fit.fit(
        parent,
        architecture=architecture,
        features=records,
        family=np.ones(len(records), np.int64),
        training=Training(
            batch_size=batch, examples_per_epoch=batch, learning_rate=RATE
        ),
        seed=(1,),
    )


def recovered(architecture, record, seed):
    parent = architecture.first_vector(seed)
    update = update_of(architecture, record[None], parent)
    gradient = inversion.gradient_of_first_step(update, rate=RATE)
    return inversion.invert(gradient, parent=parent, architecture=architecture)


@given(seed=st.integers(0, 500))
@settings(max_examples=15, deadline=None)
@pytest.mark.parametrize("architecture", [PLAIN, GRAPH])
def test_a_record_comes_back_from_one_update(architecture, seed) -> None:
    draw = generator(seed, 3)
    record = draw.uniform(-2, 2, architecture.inputs).astype(np.float32)
    found = recovered(architecture, record, seed)
    assert inversion.likeness(found.record, record) > 0.99
    np.testing.assert_allclose(found.own, record[-architecture.own :], atol=0.05)


@pytest.mark.parametrize("name", sorted(FEATURE_SETS))
def test_records_come_back_from_the_products_own_networks(name: str) -> None:
    architecture = FEATURE_SETS[name].architecture()
    record = generator(5).uniform(0, 2, architecture.inputs).astype(np.float32)
    found = recovered(architecture, record, 1)
    assert inversion.likeness(found.record, record) > 0.99
    assert found.record.shape == (architecture.inputs,)


def test_a_batch_gives_a_mean_that_is_like_each_and_equal_to_none() -> None:
    records = generator(8).uniform(-2, 2, (6, GRAPH.inputs)).astype(np.float32)
    parent = GRAPH.first_vector(0)
    update = update_of(GRAPH, records, parent, batch=64)
    gradient = inversion.gradient_of_first_step(update, rate=RATE)
    found = inversion.invert(gradient, parent=parent, architecture=GRAPH)
    likenesses = [inversion.likeness(found.record, record) for record in records]
    assert max(likenesses) < 0.97
    assert np.mean(likenesses) > 0.1


@given(
    gradient=st.lists(st.floats(-1, 1, allow_nan=False), min_size=1, max_size=20),
    rate=st.floats(1e-4, 1),
)
def test_the_first_step_of_adam_is_undone(gradient, rate) -> None:
    g = np.array(gradient)
    step = -rate * g / (np.abs(g) + inversion.ADAM_EPSILON)
    found = inversion.gradient_of_first_step(step, rate=rate)
    np.testing.assert_allclose(found, g, rtol=1e-6, atol=1e-12)


def test_any_numbers_can_be_tried() -> None:
    wild = np.array([np.nan, np.inf, -np.inf, 1e300, -5.0, 0.0])
    assert np.isfinite(inversion.gradient_of_first_step(wild, rate=RATE)).all()


def test_an_update_of_another_length_is_refused() -> None:
    with pytest.raises(InvalidUpdate, match="want"):
        inversion.invert(np.zeros(3), parent=PLAIN.first_vector(0), architecture=PLAIN)


def test_the_input_of_a_layer_by_hand() -> None:
    # delta = (2, -1), x = (3, 5): dW = delta x^T
    weight = np.array([[6.0, 10.0], [-3.0, -5.0]])
    found = inversion.inputs_of_layer(weight, np.array([2.0, -1.0]))
    np.testing.assert_allclose(found, [3.0, 5.0])
    assert not inversion.inputs_of_layer(weight, np.zeros(2)).any()


def test_likeness_is_a_correlation() -> None:
    record = np.array([1.0, 2.0, 4.0])
    assert inversion.likeness(3 * record + 1, record) == pytest.approx(1.0)
    assert inversion.likeness(-record, record) == pytest.approx(-1.0)
    assert inversion.likeness(np.zeros(3), record) == 0.0
