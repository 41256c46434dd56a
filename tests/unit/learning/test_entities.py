# SPDX-License-Identifier: Apache-2.0
"""Features with users as nodes, against a loop over events written from the words."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning import columns, entities, features
from fedxdr.telemetry.catalogue import Kind, State
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.features import own_features

SET = features.find("entities")
KINDS = (Kind.AUTH, Kind.PROCESS, Kind.KERBEROS, Kind.RDP, Kind.FILE, Kind.RPC)
SECOND = 10**9


def table(rows, seed, *, hosts=3, users=2, spread_s=20_000):
    """Return events of few hosts and users, some of nobody, some at one host."""
    draw = np.random.default_rng(seed)
    return Events.build(
        rows,
        {
            "time_ns": np.sort(draw.integers(0, spread_s, rows)) * SECOND,
            "source": draw.integers(1, hosts + 1, rows),
            "destination": draw.integers(1, hosts + 1, rows),
            "user": draw.integers(0, users + 1, rows),
            "destination_port": draw.choice([-1, 22, 443], rows),
            "service": draw.choice([0, 4], rows),
            "kind": draw.choice([*KINDS, Kind.FLOW, Kind.SSH], rows),
            "state": draw.choice(
                [State.UNKNOWN, State.REJECTED, State.COMPLETED], rows
            ),
            "bytes_out": draw.integers(-1, 10**6, rows),
            "duration_s": draw.choice([0.1, 30.0, np.nan], rows),
            "text_length": draw.integers(-1, 300, rows),
        },
    )


def log(value):
    return min(math.log1p(value) / 4, 4.0)


def defined(events, row, target):
    """Return the features of one event, from the words of the module."""
    edges = np.stack(columns.edges(events), axis=1)
    spoken = columns.spoken(events)
    now, user = events.time_ns[row] / 1e9, events.user[row]
    past = [
        {
            "time": events.time_ns[i] / 1e9,
            "source": events.source[i],
            "target": events.destination[i],
            "spoken": spoken[i],
            "user": events.user[i],
            "edge": edges[i],
        }
        for i in range(row)
    ]
    own = {
        "source": events.source[row],
        "target": target,
        "spoken": spoken[row],
        "user": user,
    }

    def of(*names):
        if "user" in names and user == 0:
            return []
        return [e for e in past if all(e[name] == own[name] for name in names)]

    def in_any_role(host):
        return [e for e in past if host in {e["source"], e["target"]}]

    by_source, by_target = in_any_role(own["source"]), in_any_role(target)
    by_pair, by_service = of("source", "target"), of("target", "spoken")
    by_user = of("user")
    found = []
    for near, name in (
        (by_source, "spoken"),
        (by_target, "spoken"),
        (by_pair, "spoken"),
        (by_service, "source"),
        (by_user, "target"),
    ):
        for rank in entities.RANKS:
            if rank > len(near):
                found += [log(1e6), *[0.0] * 7]
                continue
            one = near[-rank]
            found += [log(now - one["time"]), 1.0, one[name] == own[name], *one["edge"]]
    found += own_features(events.select(np.array([row])))[0].tolist()
    kind, state = events.kind[row], events.state[row]
    is_sign_on = kind == Kind.AUTH or user != 0
    found += [kind == known for known in KINDS]
    found += [user != 0, is_sign_on and state == State.COMPLETED]
    found += [is_sign_on and state == State.REJECTED, own["source"] == target]
    for near, names in (
        (by_source, ("target", "spoken", "user")),
        (by_target, ("source", "spoken", "user")),
        (by_pair, ("spoken",)),
        (by_service, ("source",)),
        (by_user, ("target", "source")),
    ):
        for name in names:
            for window in (4, 16, 32):
                alike = [e for e in near[-window:] if e[name] == own[name]]
                found.append(len(alike) / window)
            for window in (8, 32):
                found.append(math.log1p(len({e[name] for e in near[-window:]})))
    for near in (by_source, by_pair, by_user):
        for place in range(columns.EDGES):
            for window in (8, 32):
                values = [e["edge"][place] for e in near[-window:]]
                found.append(np.mean(values) if values else 0.0)
    as_source, as_target = of("source"), of("target")
    for known in (
        as_source,
        as_target,
        by_pair,
        by_user,
        of("user", "target"),
        of("user", "source"),
        by_service,
    ):
        age = now - known[0]["time"] if known else 0.0
        found += [log(min(len(known), 16)), log(min(age, 3600)), bool(known)]
    for known, name in (
        (as_source, "target"),
        (as_target, "source"),
        (by_user, "target"),
        (by_user, "source"),
    ):
        found.append(log(min(len({e[name] for e in known}), 8)))
    return np.array(found, np.float64)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 45), st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 5))
def test_features_equal_their_definition(rows, seed, hosts, other):
    events = table(rows, seed, hosts=hosts)
    asked = np.arange(0, rows, 3)
    found = SET.compute(events, asked)
    elsewhere = SET.against(events, asked, np.full(len(asked), other))
    for place, row in enumerate(asked):
        want = defined(events, row, events.destination[row])
        assert np.allclose(found[place], want, atol=1e-5)
        assert np.allclose(elsewhere[place], defined(events, row, other), atol=1e-5)


def test_long_neighbourhoods_equal_their_definition():
    events = table(400, 1, hosts=2, users=1)
    found = SET.compute(events, np.array([150, 399]))
    for place, row in enumerate((150, 399)):
        want = defined(events, row, events.destination[row])
        assert np.allclose(found[place], want, atol=1e-5)


def test_an_event_to_its_own_destination_is_itself():
    events = table(300, 2)
    rows = np.array([5, 120, 299])
    found = SET.against(events, rows, events.destination[rows])
    assert np.array_equal(found, SET.compute(events)[rows])


def test_the_future_changes_nothing():
    events = table(400, 3)
    whole = SET.compute(events)
    assert np.array_equal(whole[:200], SET.compute(events.select(np.arange(200))))


def test_who_somebody_is_and_what_was_said_about_it_is_no_input():
    events = table(200, 4)
    told = dataclasses.replace(
        events,
        user=np.where(events.user == 0, 0, events.user * 7919 - 5),
        source=events.source * 7919 - 5,
        destination=events.destination * 7919 - 5,
        label=np.ones(200, np.int8),
        technique=np.zeros(200, np.int16),
        techniques=("T1046",),
    )
    assert np.array_equal(SET.compute(events), SET.compute(told))


def test_a_user_who_is_not_known_is_no_node():
    events = table(200, 5, users=1)
    nobody = dataclasses.replace(events, user=np.zeros(200, np.int64))
    width = len(entities.RANKS) * entities.TOKEN
    found = SET.compute(nobody)
    by_user = found[:, 4 * width : 5 * width].reshape(200, len(entities.RANKS), -1)
    assert (by_user[:, :, 0] == columns.gap(np.float32(np.inf))).all()
    assert not by_user[:, :, 1:].any()
    # lifetimes of user, user there, user here; and a user's partners
    assert not found[:, -16:-7].any()
    assert not found[:, -2:].any()
    assert SET.compute(events)[:, -16:-7].any()


def test_what_nobody_did_changes_nothing_at_users():
    events = table(200, 6, users=2)
    seen = np.flatnonzero(events.user != 0)
    width = len(entities.RANKS) * entities.TOKEN
    found = SET.compute(events, seen)[:, 4 * width : 5 * width]
    alone = SET.compute(events.select(seen))[:, 4 * width : 5 * width]
    assert np.array_equal(found, alone)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hosts_own_records_have_a_column_of_their_kind(kind):
    events = table(50, 7)
    one = dataclasses.replace(events, kind=np.full(50, kind, np.int16))
    other = dataclasses.replace(events, kind=np.full(50, Kind.DHCP, np.int16))
    first, second = SET.compute(one), SET.compute(other)
    is_other = (first != second).any(axis=0)
    # its own column, and for sign-ons the outcome's two
    assert is_other.sum() == (3 if kind == Kind.AUTH else 1)


def test_one_event_changes_more_than_any_number_of_later_ones_so_no_claim_is_made():
    events = table(2000, 8, hosts=1, users=1, spread_s=3600)
    found, later = SET.compute(events), SET.compute(events.select(slice(1, None)))
    assert (found[1:] != later).any(axis=1)[1000:].mean() > 0.9
    assert not SET.is_bounded


def test_lifetimes_are_full_soon_so_that_days_are_alike():
    events = table(3000, 10, hosts=3, users=2, spread_s=200_000)
    lifetimes = SET.compute(events)[:, -25:-4].reshape(3000, 7, 3)
    full = [*columns.log(np.array([16, 3600])), 1]
    assert (lifetimes <= full).all()
    # of accounts only those that are known have lived
    is_known = events.user != 0
    assert (lifetimes[2000:, [0, 1, 2, 6]] == full).all()
    assert (lifetimes[2000:][is_known[2000:]] == full).all()


def test_no_rows_are_no_features():
    found = entities.make(table(10, 9), np.zeros(0, np.int64))
    assert found.shape == (0, SET.architecture().inputs)


def test_every_row_needs_a_destination():
    with pytest.raises(InvalidTelemetry, match="destinations"):
        entities.against(table(10, 0), np.arange(3), np.arange(2))


def test_what_models_were_trained_on_keeps_names_order_and_values():
    shape = SET.architecture(neighbour=4, mixer=8, embedding=8)
    mean = SET.compute(table(300, 11)).mean(axis=0, dtype=np.float64)
    weighted = mean @ np.arange(1, shape.inputs + 1)
    assert (shape.inputs, shape.layout.digest[:16]) == (483, "bac1dc56561a1900")
    assert weighted == pytest.approx(76707.93208, rel=1e-6)
