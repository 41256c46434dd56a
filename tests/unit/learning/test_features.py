# SPDX-License-Identifier: Apache-2.0
"""What features may depend on, and what they must not."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning import features
from fedxdr.models.context import CONTEXTS, context_of
from fedxdr.telemetry.event import Events

NAMES = sorted(features.FEATURE_SETS)
BOUNDED = [name for name in NAMES if features.find(name).is_bounded]
SECOND = 10**9

_SOURCE = Path(__file__).parents[2] / "reference" / "neighbourhood_definition.py"
_SPEC = importlib.util.spec_from_file_location("neighbourhood_definition", _SOURCE)
definition = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(definition)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [0, 1, 300])
def test_shape_is_the_architectures_and_values_are_bounded(name, rows, make_events):
    found = features.find(name)
    computed = found.compute(make_events(rows))
    assert computed.shape == (rows, found.architecture().inputs)
    assert computed.dtype == np.float32
    assert ((computed >= 0) & (computed <= features.BOUND)).all()


@pytest.mark.parametrize("name", NAMES)
def test_some_rows_are_the_same_rows_of_all(name, make_events):
    events = make_events(200)
    rows = np.array([0, 7, 199, 60])
    found = features.find(name)
    assert np.array_equal(found.compute(events, rows), found.compute(events)[rows])


@pytest.mark.parametrize("name", NAMES)
def test_later_events_change_nothing(name, make_events):
    events = make_events(200)
    found = features.find(name)
    early = found.compute(events.select(slice(0, 120)))
    assert np.allclose(found.compute(events)[:120], early, atol=1e-6)


@pytest.mark.parametrize("name", BOUNDED)
def test_events_before_the_last_rank_change_nothing(name, make_events):
    events = make_events(6000, hosts=2)
    found = features.find(name)
    last = np.array([5999])
    late = events.select(slice(2000, 6000))
    assert np.allclose(
        found.compute(events, last), found.compute(late, last - 2000), atol=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
def test_labels_and_identities_are_no_input(name, make_events):
    events = make_events(200)
    changed = dataclasses.replace(
        events,
        label=np.zeros(200, np.int8),
        technique=np.full(200, -1, np.int16),
        source=events.source * 7919 - 5,
        destination=events.destination * 7919 - 5,
        flow_id=np.arange(200, dtype=np.uint64),
    )
    found = features.find(name)
    assert np.array_equal(found.compute(events), found.compute(changed))


@pytest.mark.parametrize("name", ["alerts", "counters"])
def test_the_kind_of_an_alert_is_a_key_and_never_a_value(name, make_events):
    events = make_events(200)
    renamed = dataclasses.replace(events, service=(9 - events.service))
    found = features.find(name)
    assert np.array_equal(found.compute(events), found.compute(renamed))


@pytest.mark.parametrize("name", BOUNDED)
def test_only_differences_of_time_matter(name, make_events):
    events = make_events(200)
    later = dataclasses.replace(events, time_ns=events.time_ns + 12_345 * SECOND)
    found = features.find(name)
    assert np.array_equal(found.compute(events), found.compute(later))


def without(events, gone):
    """Return the events but one, and where the others stood."""
    rest = np.delete(np.arange(len(events)), gone)
    return events.select(rest), rest


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize(("hosts", "spread_s"), [(2, 5000), (2, 3), (5, 100)])
def test_one_event_changes_as_many_others_as_is_charged_for(
    name, hosts, spread_s, make_events
):
    # many events in one second and few hosts: every window is full
    events = make_events(1500, hosts=hosts)
    events = dataclasses.replace(events, time_ns=events.time_ns // 5000 * spread_s)
    reach, keys = context_of(name).reach, context_of(name).index_keys
    found = features.find(name)
    before = found.compute(events)
    changed = []
    for gone in (0, 1, 400, 700, 1499):
        rest, numbers = without(events, gone)
        after = found.compute(rest)
        is_changed = (np.abs(after - before[numbers]) > 1e-5).any(axis=1)
        changed.append(int(is_changed.sum()))
    assert max(changed) <= reach * keys
    # and no more is charged for than happens
    if hosts == 2 and name.endswith("-event"):
        assert max(changed) >= reach * keys / 2


def test_without_a_bound_one_event_changes_nearly_all_later_ones(make_events):
    events = make_events(1500, hosts=2)
    found = features.find("counters")
    before = found.compute(events)
    rest, numbers = without(events, 0)
    is_changed = (found.compute(rest) != before[numbers]).any(axis=1)
    assert is_changed.sum() > 500
    assert context_of("counters").reach is None


def test_every_set_says_how_far_an_event_reaches():
    assert set(CONTEXTS) == set(features.FEATURE_SETS)
    for name, found in features.FEATURE_SETS.items():
        assert (context_of(name).reach is not None) == found.is_bounded
        if found.keys and found.is_bounded:
            assert context_of(name).reach == max(found.ranks)


@pytest.mark.parametrize("name", ["alerts-event", "traffic-event"])
def test_constants_put_event_features_inside_the_clip(name, make_events):
    found = features.find(name)
    architecture = found.architecture(embedding=4)
    begin, end = architecture.layout.span("statistics.")
    mean, mean_square = architecture.first_vector(3)[begin:end].reshape(2, -1)
    std = np.sqrt(mean_square - mean**2)
    standard = (found.compute(make_events(500)) - mean) / std
    assert np.allclose(std, context_of(name).spread)
    assert np.abs(standard).max() < 4
    assert standard.min() < 0 < standard.max()


def test_counters_count_what_happened_since(make_events):
    events = make_events(120)
    found = features.find("counters").compute(events)
    second = events.time_ns // SECOND
    kinds = events.service.astype(np.int64)
    for query in (0, 1, 50, 119):
        past = definition.earlier(kinds, query)
        want = [
            definition.within(past, second, query, 60),
            definition.within(past, second, query, 3600),
            len(past),
        ]
        got = np.expm1(found[query, 4:7].astype(float) * 4)
        assert got == pytest.approx(want, abs=1e-3)


def test_events_out_of_order_are_refused():
    events = Events.build(2, {"time_ns": np.array([5, 4])})
    with pytest.raises(InvalidTelemetry, match="sort"):
        features.find("traffic").compute(events)


def test_an_unknown_set_is_refused_with_those_there_are():
    with pytest.raises(InvalidTelemetry, match="alerts, traffic, counters"):
        features.find("names")


GOLDEN = {
    "alerts": (121, "97d26923cd61c2f3", 6657.07214),
    "traffic": (354, "e0b609abdb6b32cc", 58281.99698),
    "counters": (15, "ffbdbbe79775578b", 93.85846),
    "alerts-event": (19, "d1acca23e51bf4e2", 145.06863),
    "traffic-event": (128, "ba39f838ccafa1b3", 6377.05864),
}
"""Width, digest of the layout, and the features of ``make_events(300)`` weighted by
their place: a model that was trained on a set is worth nothing when it changes."""


@pytest.mark.parametrize("name", GOLDEN)
def test_what_models_were_trained_on_keeps_names_order_and_values(name, make_events):
    width, layout, weighted = GOLDEN[name]
    found = features.find(name)
    sizes = found.architecture(neighbour=4, mixer=8, embedding=8)
    assert (sizes.inputs, sizes.layout.digest[:16]) == (width, layout)
    mean = found.compute(make_events(300)).mean(axis=0, dtype=np.float64)
    assert mean @ np.arange(1, width + 1) == pytest.approx(weighted, rel=1e-6)


@pytest.mark.parametrize("name", GOLDEN)
def test_users_are_no_input_of_the_first_sets(name, make_events):
    events = make_events(200)
    told = dataclasses.replace(events, user=events.source * 7919 - 5)
    found = features.find(name)
    assert found.compute(events).tobytes() == found.compute(told).tobytes()
