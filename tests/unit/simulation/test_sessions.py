# SPDX-License-Identifier: Apache-2.0
"""Sessions: packets and headers follow from what was said."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.randomness import generator
from fedxdr.simulation.sessions import ICMP, UDP, Sessions, heavy, regular, sessions
from fedxdr.telemetry.catalogue import Service, State


def made(state: State, *, sent: float = 900.0, port: int = 443) -> Sessions:
    return sessions(
        generator(1),
        start_s=np.arange(50.0),
        source=3,
        destination=4,
        port=port,
        sent=sent,
        received=5000.0,
        duration_s=2.0,
        state=state,
    )


def test_what_was_said_is_carried_by_packets() -> None:
    one = made(State.COMPLETED)
    assert (one.bytes_out == 900 + 40 * one.packets_out).all()
    assert (one.bytes_in == 5000 + 40 * one.packets_in).all()
    assert (one.packets_in >= 2 + 4).all()
    assert (one.duration_s == 2.0).all()
    assert (one.service == Service.TLS).all()
    assert len(set(one.source_port.tolist())) > 40


def test_refused_and_unanswered_attempts_say_nothing() -> None:
    refused, unanswered = made(State.REJECTED), made(State.ATTEMPTED)
    for one in (refused, unanswered):
        assert (one.bytes_out == 40 * one.packets_out).all()
        assert (one.service == Service.UNKNOWN).all()
    assert (refused.packets_in == 1).all()
    assert (unanswered.packets_in == 0).all()
    assert (unanswered.bytes_in == 0).all()
    assert (unanswered.duration_s[unanswered.packets_out == 1] == 0).all()


def test_protocols_without_connections() -> None:
    for protocol in (UDP, ICMP):
        one = sessions(
            generator(1),
            start_s=np.zeros(3),
            source=0,
            destination=1,
            port=53,
            protocol=protocol,
            sent=50.0,
            received=3000.0,
        )
        assert one.bytes_out.tolist() == [78] * 3
        assert one.packets_in.tolist() == [3] * 3


@given(st.lists(st.lists(st.floats(0, 100), max_size=5), min_size=1, max_size=4))
def test_parts_are_put_in_order(starts: list[list[float]]) -> None:
    parts = [
        sessions(
            generator(number),
            start_s=np.array(times, np.float64),
            source=number,
            destination=9,
            port=80,
        )
        for number, times in enumerate(starts)
    ]
    whole = Sessions.concatenate(parts)
    want = sorted(
        (time, number) for number, times in enumerate(starts) for time in times
    )
    assert list(zip(whole.start_s, whole.source, strict=True)) == want
    assert len(whole.select(whole.source == 0)) == len(starts[0])


@given(
    st.floats(0, 1e5),
    st.floats(1, 1e4),
    st.floats(5, 1000),
    st.floats(0, 0.9),
    st.integers(0, 99),
)
def test_regular_times_keep_their_distance(
    begin: float, span: float, period: float, jitter: float, seed: int
) -> None:
    times = regular(
        generator(seed),
        begin_s=begin,
        end_s=begin + span,
        period_s=period,
        jitter=jitter,
    )
    gaps = np.diff(times)
    slack = 1e-6 * period
    assert (times >= begin).all()
    assert (times < begin + span).all()
    assert (gaps >= period * (1 - jitter) - slack).all()
    assert (gaps <= period * (1 + jitter) + slack).all()


def test_heavy_numbers_have_their_median_and_a_tail() -> None:
    drawn = heavy(generator(5), 20_000, median=100, spread=1.5)
    assert 95 < np.median(drawn) < 105
    assert drawn.mean() > 200
