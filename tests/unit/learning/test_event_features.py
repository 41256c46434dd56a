# SPDX-License-Identifier: Apache-2.0
"""Features with a short past, against their definition event by event."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from fedxdr.learning import columns, event_features
from fedxdr.learning.features import FEATURE_SETS
from fedxdr.models.context import context_of

_SOURCE = Path(__file__).parents[2] / "reference" / "neighbourhood_definition.py"
_SPEC = importlib.util.spec_from_file_location("neighbourhood_definition", _SOURCE)
definition = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(definition)

SECOND = 10**9
ROWS = (0, 1, 9, 30, 119)


def token(past, events, query, rank, same):
    """Return gap, closeness and likeness of the neighbour at a rank."""
    event = definition.at_rank(past, rank)
    if event < 0:
        return [np.log1p(1e6) / 4, 0.0, 0.0]
    seconds = (events.time_ns[query] - events.time_ns[event]) / SECOND
    alike = 2.0 * (same[event] == same[query])
    return [np.log1p(seconds) / 4, 2 / (1 + seconds), alike]


def mixture(past, attribute, query, windows):
    alike = [definition.alike(past, attribute, attribute[query], w) for w in windows]
    kinds = [definition.diversity(past, attribute, w) for w in windows]
    return [*(2 * np.array(alike)), *np.log1p(kinds)]


def test_alerts_are_what_they_are_defined_to_be(make_events):
    events = make_events(120, hosts=3)
    found = event_features.alerts(events, np.array(ROWS))
    host, kind = events.destination, events.service.astype(np.int64)
    for row, query in enumerate(ROWS):
        past = definition.earlier(host, query)
        want = [
            number
            for rank in event_features.ALERT_RANKS
            for number in token(past, events, query, rank, kind)
        ]
        want += mixture(past, kind, query, (4, 16))
        assert found[row] == pytest.approx(want, abs=1e-5)


def test_traffic_is_what_it_is_defined_to_be(make_events):
    events = make_events(120, hosts=3)
    found = event_features.traffic(events, np.array(ROWS))
    spoken, edges = columns.spoken(events), columns.edges(events)
    width = 3 + columns.EDGES
    ranks = event_features.TRAFFIC_RANKS
    for row, query in enumerate(ROWS):
        got = found[row, : 2 * len(ranks) * width].reshape(2, len(ranks), width)
        for key, node in enumerate((events.source, events.destination)):
            past = definition.earlier(node, query)
            for place, rank in enumerate(ranks):
                event = definition.at_rank(past, rank)
                want = token(past, events, query, rank, spoken)
                want += [0.0 if event < 0 else edge[event] for edge in edges]
                assert got[key, place] == pytest.approx(want, abs=1e-5)
        by_source = definition.earlier(events.source, query)
        by_destination = definition.earlier(events.destination, query)
        want = [
            *mixture(by_source, events.destination, query, (4, 8)),
            *mixture(by_source, spoken, query, (4, 8)),
            *mixture(by_destination, events.source, query, (4, 8)),
            *mixture(by_destination, spoken, query, (4, 8)),
        ]
        assert found[row, -len(want) :] == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("item", event_features.SETS, ids=lambda item: item.name)
def test_sizes_are_those_that_are_stated(item, make_events):
    listed, context = FEATURE_SETS[item.name], context_of(item.name)
    assert (listed.keys, listed.ranks) == (item.keys, item.ranks)
    assert (context.reach, context.index_keys) == (max(item.ranks), item.keys)
    for rows in (0, 1, 50):
        found = item.make(make_events(50), np.arange(rows))
        assert found.shape == (
            rows,
            item.keys * len(item.ranks) * item.token + item.own,
        )
        assert ((found >= 0) & (found <= columns.BOUND)).all()
