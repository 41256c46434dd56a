# SPDX-License-Identifier: Apache-2.0
"""Everyday traffic that looks like a phished download, guessing or ransomware.

A newsletter sends half an office to a site that nobody visited before; people and
servers fetch software from places that nobody else knows; an indexer walks the shares
and a job rewrites them, file by file, each as large as before; people make reports and
ask the database themselves. And where accounts are seen: the own scanner tries default
passwords, and so does the internet.

It does NOT belong to a world where none of that is asked for: what was generated before
it came stays as it was.
"""

from __future__ import annotations

import numpy as np

from fedxdr.simulation.estate import (
    DAY_S,
    HOUR_S,
    Estate,
    office_times,
    served_names,
)
from fedxdr.simulation.lookups import with_lookups
from fedxdr.simulation.sessions import Hosts, Numbers, Sessions, heavy, sessions
from fedxdr.telemetry.catalogue import Service, State


def lookalikes(draw: np.random.Generator, estate: Estate, *, end_s: float) -> Sessions:
    """Return such traffic in [0, end_s)."""
    days = end_s / DAY_S
    made = Sessions.concatenate(
        [
            _newsletters(draw, estate, end_s, count=int(5 * days)),
            _fetched(draw, estate, end_s, count=int(9 * days)),
            _synchronised(draw, estate, end_s, count=int(5 * days)),
            _guesses(draw, estate, end_s, bursts=int(7 * days)),
            *(
                job(draw, estate, day * DAY_S)
                for day in range(int(np.ceil(days)))
                for job in (_rewritten, _reports)
            ),
        ]
    )
    return made.select(made.start_s < end_s)


def _newsletters(
    draw: np.random.Generator, estate: Estate, end_s: float, *, count: int
) -> Sessions:
    """Mail with a link that many open within the hour, at a place of its own."""
    parts = []
    for place in draw.choice(estate.internet[60:], count).tolist():
        people = draw.permutation(estate.workstations)[: int(draw.integers(3, 9))]
        row = np.repeat(np.arange(len(people)), draw.integers(1, 5, len(people)))
        rows = len(row)
        begin = float(office_times(draw, estate, 1, end_s=end_s)[0])
        opened = begin + draw.uniform(0, 0.8 * HOUR_S, len(people))
        parts.append(
            _fetches(
                draw,
                estate,
                start_s=opened[row] + heavy(draw, rows, median=9, spread=1.3),
                source=people[row],
                destination=place,
                sent=1700 * float(np.exp(0.8 * draw.standard_normal())),
                received=9000 * float(np.exp(1.4 * draw.standard_normal())),
                spread=0.35,
            )
        )
    return Sessions.concatenate(parts)


def _fetched(
    draw: np.random.Generator, estate: Estate, end_s: float, *, count: int
) -> Sessions:
    """Software, pictures, packages: one machine asks one place again and again."""
    parts = []
    hosts = np.concatenate([estate.workstations, estate.servers[3:]])
    for place in draw.choice(estate.internet[40:], count).tolist():
        rows = int(draw.integers(4, 30))
        begin = float(office_times(draw, estate, 1, end_s=end_s)[0])
        parts.append(
            _fetches(
                draw,
                estate,
                start_s=begin + np.cumsum(heavy(draw, rows, median=400, spread=1.3)),
                source=np.full(rows, draw.choice(hosts), np.int32),
                destination=place,
                sent=1200,
                received=50_000,
                spread=1.4,
            )
        )
    return Sessions.concatenate(parts)


def _fetches(
    draw: np.random.Generator,
    estate: Estate,
    *,
    start_s: Numbers,
    source: Hosts,
    destination: int,
    sent: float,
    received: float,
    spread: float,
) -> Sessions:
    rows = len(start_s)
    made = sessions(
        draw,
        start_s=start_s,
        source=source,
        destination=destination,
        port=443,
        service=Service.TLS,
        sent=heavy(draw, rows, median=sent, spread=spread),
        received=heavy(draw, rows, median=received, spread=spread),
        duration_s=heavy(draw, rows, median=5, spread=1.6),
        state=draw.choice(
            np.array([State.COMPLETED, State.RESET_BY_SOURCE], np.int16),
            rows,
            p=[0.8, 0.2],
        ),
        name=served_names(draw, estate, np.full(rows, destination, np.int32)),
    )
    return with_lookups(draw, estate, made, share=0.5)


def _synchronised(
    draw: np.random.Generator, estate: Estate, end_s: float, *, count: int
) -> Sessions:
    """People's folders that are carried to a share: much is written, a file a time."""
    parts = []
    for _ in range(count):
        rows = int(draw.integers(10, 45))
        begin = float(office_times(draw, estate, 1, end_s=end_s)[0])
        parts.append(
            sessions(
                draw,
                start_s=begin + np.cumsum(heavy(draw, rows, median=24, spread=1.1)),
                source=int(draw.choice(estate.workstations)),
                destination=draw.choice(estate.file_servers, rows),
                port=445,
                sent=heavy(draw, rows, median=15_000 * estate.scale, spread=1.7),
                received=heavy(draw, rows, median=3000 * estate.scale, spread=1.4),
                duration_s=heavy(draw, rows, median=8, spread=1.3),
                state=_share_states(draw, rows),
            )
        )
    return Sessions.concatenate(parts)


def _guesses(
    draw: np.random.Generator, estate: Estate, end_s: float, *, bursts: int
) -> Sessions:
    """Default passwords, tried by the own scanner inside and by strangers outside."""
    parts = []
    inside = np.concatenate([estate.servers, estate.file_servers])
    for is_own in (draw.random(bursts) < 0.5).tolist():
        rows = int(draw.integers(4, 20))
        source, server, port = int(draw.choice(estate.strangers)), estate.servers[0], 22
        if is_own:
            source, server = estate.scanner, draw.choice(inside)
            port = int(draw.choice([22, 22, 445, 3389]))
        begin = float(draw.uniform(0, end_s))
        parts.append(
            sessions(
                draw,
                start_s=begin + np.cumsum(heavy(draw, rows, median=30, spread=0.9)),
                source=source,
                destination=int(server),
                port=port,
                sent=heavy(draw, rows, median=2200, spread=0.3),
                received=heavy(draw, rows, median=2500, spread=0.3),
                duration_s=heavy(draw, rows, median=2.4, spread=0.6),
                state=draw.choice(
                    np.array([State.COMPLETED, State.RESET_BY_DESTINATION], np.int16),
                    rows,
                ),
            )
        )
    return Sessions.concatenate(parts)


def _rewritten(
    draw: np.random.Generator, estate: Estate, midnight_s: float
) -> Sessions:
    """Jobs of a day that go over the shares: one reads, one rewrites what it read."""
    parts = []
    for is_reader, source, servers in (
        (True, estate.scanner, np.append(estate.file_servers, estate.workstations)),
        (False, int(estate.servers[-1]), estate.file_servers),
    ):
        rows = int(draw.integers(60, 100))
        size = heavy(draw, rows, median=9000 * estate.scale, spread=1.7)
        written = heavy(draw, rows, median=900, spread=0.8)
        begin = midnight_s + float(draw.uniform(0, 20)) * HOUR_S
        parts.append(
            sessions(
                draw,
                start_s=begin + np.cumsum(heavy(draw, rows, median=30, spread=1.0)),
                source=source,
                destination=draw.choice(servers, rows),
                port=445,
                sent=written if is_reader else size * draw.uniform(0.5, 1.3, rows),
                received=size,
                duration_s=heavy(draw, rows, median=9, spread=1.3),
                state=_share_states(draw, rows),
            )
        )
    return Sessions.concatenate(parts)


def _reports(draw: np.random.Generator, estate: Estate, midnight_s: float) -> Sessions:
    """A few people whose work it is to ask database and intranet for much."""
    parts = []
    for person in draw.choice(estate.workstations[3:], 2, replace=False).tolist():
        rows = int(draw.integers(40, 90))
        begin = midnight_s + float(draw.uniform(2, 18)) * HOUR_S
        asks_database = draw.random(rows) < 0.5
        server = draw.choice(estate.servers[3:], rows)
        port = draw.choice(np.array([80, 443, 8080], np.int32), rows)
        parts.append(
            sessions(
                draw,
                start_s=begin + np.cumsum(heavy(draw, rows, median=150, spread=1.3)),
                source=person,
                destination=np.where(asks_database, estate.servers[2], server),
                port=np.where(asks_database, np.int32(5432), port),
                sent=heavy(draw, rows, median=1800, spread=1.2),
                received=heavy(draw, rows, median=30_000, spread=1.7),
                duration_s=heavy(draw, rows, median=3, spread=1.8),
            )
        )
    return Sessions.concatenate(parts)


def _share_states(draw: np.random.Generator, rows: int) -> np.typing.NDArray[np.int16]:
    states = [State.COMPLETED, State.RESET_BY_SOURCE, State.ESTABLISHED]
    return draw.choice(np.array(states, np.int16), rows, p=[0.6, 0.3, 0.1])
