# SPDX-License-Identifier: Apache-2.0
"""What servers write is read back: who came, by which account, and how it went."""

from __future__ import annotations

import dataclasses
import datetime as dt

import numpy as np

from fedxdr.core.randomness import generator
from fedxdr.privacy import Pseudonymiser
from fedxdr.simulation.auth_writer import AuthLine, auth_lines, stamp
from fedxdr.simulation.sessions import Sessions, sessions
from fedxdr.telemetry import Events
from fedxdr.telemetry.catalogue import Kind, Service, State
from fedxdr.telemetry.syslog_parser import SyslogParser

START_US = 1_740_960_000_000_000
ADDRESSES = ["10.0.0.1", "10.0.0.2", "198.18.0.9"]
NAMES = ["ws1.abc.example", "srv1.abc.example", "www.example"]
NOW = dt.datetime(2025, 3, 4, tzinfo=dt.UTC)
TOKENS = Pseudonymiser(bytes(32))


def made(users: list[str], *, refused: bool = False, **more: object) -> Sessions:
    fields: dict[str, object] = {
        "start_s": np.arange(len(users)) * 10.0 + 0.25,
        "source": 0,
        "destination": 1,
        "port": 22,
        "sent": 700.0,
        "received": 900.0,
        "duration_s": 3.0,
    }
    one = sessions(generator(1), **(fields | more))  # type: ignore[arg-type] # one of several shapes of call
    return dataclasses.replace(
        one,
        user=np.array(users, np.object_),
        is_refused=np.full(len(users), refused),
    )


def lines(one: Sessions) -> list[AuthLine]:
    return auth_lines(one, addresses=ADDRESSES, names=NAMES, start_us=START_US)


def read(one: Sessions) -> Events:
    block = b"\n".join(told.line for told in lines(one))
    parsed = SyslogParser(TOKENS, now=NOW).parse(block)
    assert parsed.rejected == ()
    assert (parsed.events.source == TOKENS.address("10.0.0.1")).sum() == (
        parsed.events.source != TOKENS.address("srv1")
    ).sum()
    assert (parsed.events.destination == TOKENS.address("srv1")).all()
    return parsed.events


def test_who_is_let_in() -> None:
    events = read(made(["deploy", "bob"]))
    logons = events.select((events.kind == Kind.AUTH) & (events.source_port > 0))
    assert logons.state.tolist() == [State.COMPLETED] * 2
    assert logons.user.tolist() == [TOKENS.user("deploy"), TOKENS.user("bob")]
    ended = events.select(events.kind == Kind.SSH)
    assert ended.state.tolist() == [State.COMPLETED] * 2


def test_administrators_work_as_root() -> None:
    events = read(made(["deploy"] * 40))
    commands = events.select((events.kind == Kind.AUTH) & (events.source_port < 0))
    assert 5 < len(commands) < 35
    assert (commands.text_length > 10).all()
    assert set(commands.user.tolist()) == {TOKENS.user("deploy")}
    assert not (read(made(["bob"] * 40)).source_port < 0).any()


def test_who_is_not() -> None:
    for name, count in (("bob", 1), ("root", 1), ("test", 2)):
        events = read(made([name], refused=True))
        logons = events.select(events.kind == Kind.AUTH)
        assert logons.state.tolist() == [State.REJECTED] * count
        assert set(logons.user.tolist()) == {TOKENS.user(name)}


def test_who_says_nothing_or_speaks_elsewhere() -> None:
    silent = read(made([""], service=Service.UNKNOWN))
    assert silent.kind.tolist() == [Kind.SSH]
    assert silent.state.tolist() == [State.ABANDONED]
    for more in (
        {"state": State.ATTEMPTED},
        {"state": State.REJECTED},
        {"port": 445},
        {"destination": 2},
    ):
        assert lines(made(["bob"], **more)) == []


def test_every_line_has_a_time_of_its_own_and_the_session_it_tells_of() -> None:
    told = lines(made(["deploy", "bob", "eve"], start_s=np.full(3, 7.0)))
    times = [one.time_us for one in told]
    assert times == sorted(set(times))
    assert {one.session for one in told} == {0, 1, 2}
    assert all(one.line.startswith(stamp(one.time_us).encode()) for one in told)
    assert stamp(START_US + 1) == "2025-03-03T00:00:00.000001+00:00"
