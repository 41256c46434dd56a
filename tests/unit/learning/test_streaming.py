# SPDX-License-Identifier: Apache-2.0
"""A stream gives the bits of a batch, however it is cut, saved and taken up again."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from fedxdr.core.errors import InvalidTelemetry, MalformedMessage
from fedxdr.learning import features, streaming
from fedxdr.learning.readings import READINGS
from fedxdr.learning.streaming import Stream
from fedxdr.telemetry.event import Events

SECOND = 10**9
NAMES = sorted(READINGS)


def table(rows, *, seed, hosts, spread_s):
    """Return events of few hosts, many at one time, some from a host to itself."""
    draw = np.random.default_rng(seed)
    tokens = draw.integers(-(2**63), 2**63 - 1, hosts)
    return Events.build(
        rows,
        {
            "time_ns": np.sort(draw.integers(0, spread_s + 1, rows)) * SECOND // 3,
            "source": tokens[draw.integers(0, hosts, rows)],
            "destination": tokens[draw.integers(0, hosts, rows)],
            "source_port": draw.integers(-1, 65536, rows),
            "destination_port": draw.choice([-1, 0, 22, 443], rows),
            "service": draw.integers(0, 3, rows),
            "bytes_out": draw.integers(-1, 10**9, rows),
            "bytes_in": draw.choice([-1, 0, 2**62], rows),
            "duration_s": draw.choice([1e-6, 0.1, 1 / 3, 4e5, np.nan, np.inf], rows),
            "state": draw.integers(0, 10, rows),
            "text_length": draw.integers(-1, 300, rows),
            "text_entropy": draw.choice([np.nan, 3.5], rows),
            "kind": draw.integers(0, 20, rows),
            "user": draw.choice([0, 0, 5, -(2**63), 2**63 - 1], rows),
        },
    )


def cut(events, cuts):
    """Return the events as blocks that end at the cuts."""
    ends = sorted({min(c, len(events)) for c in cuts} | {len(events)})
    return [
        events.select(slice(begin, end))
        for begin, end in zip([0, *ends[:-1]], ends, strict=True)
    ]


def streamed(stream, blocks):
    return np.concatenate([stream.push(block) for block in blocks])


TABLES = st.builds(
    table,
    st.integers(0, 120),
    seed=st.integers(0, 2**32),
    hosts=st.sampled_from([1, 2, 5, 40]),
    spread_s=st.sampled_from([0, 4, 10**6]),
)
CUTS = st.lists(st.integers(0, 120), max_size=6)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=50, deadline=None)
@given(TABLES, CUTS)
def test_however_a_stream_is_cut_it_gives_the_bits_of_a_batch(name, events, cuts):
    want = features.find(name).compute(events)
    stream, once = Stream(name), Stream(name)
    found = streamed(stream, cut(events, cuts))
    assert (found.shape, found.dtype) == (want.shape, want.dtype)
    assert found.tobytes() == want.tobytes()
    assert once.push(events).tobytes() == want.tobytes()
    assert stream.save() == once.save()
    assert stream.seen == len(events)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("hosts", "spread_s"), [(2, 9000), (60, 900), (2000, 10**6)])
def test_a_long_stream_gives_the_bits_of_a_batch(name, hosts, spread_s, monkeypatch):
    monkeypatch.setattr(streaming, "PIECE", 700)
    events = table(5000, seed=1, hosts=hosts, spread_s=spread_s)
    draw = np.random.default_rng(2)
    cuts = np.cumsum(draw.choice([1, 3, 100, 1500], 60)).tolist()
    found = streamed(Stream(features.find(name)), cut(events, cuts))
    assert found.tobytes() == features.find(name).compute(events).tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_reading_is_as_wide_and_as_deep_as_its_set(name):
    found, reading = features.find(name), READINGS[name]
    assert len(reading.keys) == found.keys
    assert Stream(name).width == found.architecture().inputs
    widest = max((*reading.alike, *reading.diverse, *reading.means), default=0)
    assert widest <= max(found.ranks)


def test_every_bounded_set_of_the_first_version_can_be_streamed():
    assert {"alerts", "traffic", "alerts-event", "traffic-event"} <= set(READINGS)


@pytest.mark.parametrize("name", ["alerts", "traffic", "edges", "entities"])
@settings(max_examples=15, deadline=None)
@given(TABLES, CUTS, st.sampled_from([1, 7, 20, 50]))
def test_forgetting_does_not_hang_on_the_cuts(name, events, cuts, most):
    stream, once = Stream(name, most_nodes=most), Stream(name, most_nodes=most)
    whole = once.push(events)
    assert streamed(stream, cut(events, cuts)).tobytes() == whole.tobytes()
    assert stream.save() == once.save()
    assert max(stream.nodes) <= 3 * most


def generations(hosts, most):
    """Return the number of lives of each event's host, by the rule as it is written."""
    last, lives, found = {}, {}, []
    for event, host in enumerate(hosts):
        if host not in last:
            lives[host] = lives.get(host, 0) + 1
        last[host] = event
        found.append(lives[host])
        if (event + 1) % most == 0:
            kept = sorted(last, key=last.get)[-most:]
            last = {host: last[host] for host in kept}
    return np.array(found, np.int64)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=100), st.integers(1, 12))
def test_a_forgotten_node_is_new_when_it_comes_again(hosts, most):
    rows = len(hosts)
    host = np.array(hosts, np.int64).reshape(rows)
    made = {"time_ns": np.arange(rows) * SECOND, "service": np.arange(rows) % 2}
    events = Events.build(rows, {**made, "destination": host})
    lives = generations(hosts, most) if rows else host
    reborn = Events.build(rows, {**made, "destination": host + 1000 * lives})
    want = features.find("alerts-event").compute(reborn)
    found = Stream("alerts-event", most_nodes=most).push(events)
    assert found.tobytes() == want.tobytes()


def test_memory_is_bounded_by_the_nodes():
    stream = Stream("traffic", most_nodes=200)
    sizes = []
    for seed in range(12):
        events = table(1000, seed=seed, hosts=2000, spread_s=1000)
        later = (events.time_ns // 10**6) + seed * 10**6
        stream.push(dataclasses.replace(events, time_ns=later * 10**6))
        sizes.append(stream.size_bytes)
    assert stream.nodes == (200, 200, 200, 200)
    assert max(sizes[4:]) < 1.5 * max(sizes[:4])


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_goes_on_after_a_restart(name):
    events = table(1500, seed=3, hosts=6, spread_s=700)
    blocks = cut(events, [300, 900])
    going, stopped = Stream(name), Stream(name)
    for block in blocks[:2]:
        going.push(block)
        stopped.push(block)
        stopped = Stream.load(stopped.save())
    assert stopped.push(blocks[2]).tobytes() == going.push(blocks[2]).tobytes()
    assert stopped.save() == going.save()
    assert (stopped.seen, stopped.newest_ns) == (1500, int(events.time_ns[-1]))


def test_an_empty_stream_is_saved_too():
    stream = Stream.load(Stream("alerts", most_nodes=7).save())
    assert (stream.seen, stream.late, stream.newest_ns) == (0, 0, None)
    assert stream.push(Events.empty()).shape == (0, stream.width)
    assert stream.save() == Stream("alerts", most_nodes=7).save()


SAVED = None


def saved():
    global SAVED  # noqa: PLW0603 - made once
    if SAVED is None:
        stream = Stream("traffic-event")
        stream.push(table(40, seed=0, hosts=3, spread_s=9))
        SAVED = stream.save()
    return SAVED


@settings(deadline=None)
@given(st.data())
def test_a_changed_bit_is_refused(data):
    file = bytearray(saved())
    place = data.draw(st.integers(0, len(file) - 1))
    file[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(MalformedMessage, match="stream"):
        Stream.load(bytes(file))


@given(st.one_of(st.binary(max_size=60), st.integers(0, 500).map(lambda n: -n)))
def test_what_is_no_state_is_refused(file):
    if isinstance(file, int):
        file = saved()[: file - 1]
    with pytest.raises(MalformedMessage, match="stream"):
        Stream.load(file)


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("clock"),
        lambda arrays: arrays.update(clock=np.array([-1, 0, 0])),
        lambda arrays: arrays.update({"9.held": np.zeros(1)}),
        lambda arrays: arrays.update({"held": np.zeros(1)}),
        lambda arrays: arrays.pop("0.held"),
    ],
)
def test_arrays_that_no_stream_has_are_refused(change, monkeypatch):
    arrays = load(saved())
    change(arrays)
    monkeypatch.setattr(streaming, "_digest_of", lambda *_: "")
    monkeypatch.setattr(streaming, "load_tensors", lambda _: arrays)
    card = streaming._Card(features="traffic-event", most_nodes=9, digest="")
    metadata = {"fedxdr-stream": streaming.canonical.encode(card).decode()}
    with pytest.raises(MalformedMessage):
        Stream.load(save({}, metadata=metadata))


def test_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(streaming, "_VERSION", 2)
    with pytest.raises(MalformedMessage, match="version 1"):
        Stream.load(saved())


@pytest.mark.parametrize("name", NAMES)
def test_late_events_are_read_at_the_newest_time_and_counted(name):
    first = table(50, seed=1, hosts=3, spread_s=100)
    second = table(50, seed=2, hosts=3, spread_s=200)
    stream = Stream(name)
    newest = int(first.time_ns[-1])
    found = streamed(stream, [first, second])
    raised = dataclasses.replace(second, time_ns=np.maximum(second.time_ns, newest))
    want = features.find(name).compute(Events.concatenate([first, raised]))
    assert found.tobytes() == want.tobytes()
    assert stream.late == (second.time_ns < newest).sum() > 0


def test_events_out_of_order_are_refused_and_none_is_taken():
    stream = Stream("traffic")
    with pytest.raises(InvalidTelemetry, match="sort"):
        stream.push(Events.build(2, {"time_ns": np.array([5, 4])}))
    assert stream.seen == 0


@pytest.mark.parametrize("name", ["counters", "names"])
def test_a_set_without_a_bound_and_an_unknown_one_are_refused(name):
    with pytest.raises(InvalidTelemetry, match="use one of"):
        Stream(name)


def test_nothing_can_be_remembered_of_no_node():
    with pytest.raises(InvalidTelemetry, match="got 0 nodes"):
        Stream("alerts", most_nodes=0)


def test_a_duration_below_zero_spoils_nobodys_features():
    events = table(60, seed=4, hosts=2, spread_s=30)
    events.duration_s[7], events.duration_s[9] = -5, -np.inf
    found = Stream("traffic").push(events)
    assert np.isfinite(found).all()
    assert found.tobytes() == features.find("traffic").compute(events).tobytes()
