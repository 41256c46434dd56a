# SPDX-License-Identifier: Apache-2.0
"""Everyday traffic that looks like a phished download, guessing or ransomware.

A newsletter sends half an office to a site that nobody visited before; people and
servers fetch software from places that nobody else knows; an indexer walks the shares
and a job rewrites them, file by file, each as large as before. And where accounts are
seen: the own scanner tries default passwords, and so does the internet.

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
from fedxdr.simulation.sessions import Sessions, heavy, sessions
from fedxdr.telemetry.catalogue import Service, State


def lookalikes(
    draw: np.random.Generator, estate: Estate, *, end_s: float
) -> Sessions:
    """Return such traffic in [0, end_s)."""
    days = end_s / DAY_S
    made = Sessions.concatenate(
        [
            _newsletters(draw, estate, end_s, count=int(5 * days)),
            _fetched(draw, estate, end_s, count=int(9 * days)),
            _synchronised(draw, estate, end_s, count=int(5 * days)),
            _guesses(draw, estate, end_s, count=int(45 * days)),
            *(
                _rewritten(draw, estate, day * DAY_S)
                for day in range(int(np.ceil(days)))
            ),
        ]
    )
    return made.select(made.start_s < end_s)


def _newsletters(
    draw: np.random.Generator, estate: Estate, end_s: float, *, count: int
) -> Sessions:
    """Mail with a link that many open within the hour, at a place of its own."""
    parts = []
    for place in draw.choice(estate.internet[60:], count, replace=False).tolist():
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
                received=14_000,
            )
        )
    return Sessions.concatenate(parts)


def _fetched(
    draw: np.random.Generator, estate: Estate, end_s: float, *, count: int
) -> Sessions:
    """Software, pictures, packages: one machine asks one place again and again."""
    parts = []
    hosts = np.concatenate([estate.workstations, estate.servers[3:]])
    for place in draw.choice(estate.internet[40:], count, replace=False).tolist():
        rows = int(draw.integers(4, 30))
        begin = float(office_times(draw, estate, 1, end_s=end_s)[0])
        parts.append(
            _fetches(
                draw,
                estate,
                start_s=begin + np.cumsum(heavy(draw, rows, median=400, spread=1.3)),
                source=np.full(rows, draw.choice(hosts), np.int32),
                destination=place,
                received=60_000,
            )
        )
    return Sessions.concatenate(parts)


def _fetches(
    draw: np.random.Generator,
    estate: Estate,
    *,
    start_s: np.typing.NDArray[np.float64],
    source: np.typing.NDArray[np.int32],
    destination: int,
    received: float,
) -> Sessions:
    rows = len(start_s)
    made = sessions(
        draw,
        start_s=start_s,
        source=source,
        destination=destination,
        port=443,
        service=Service.TLS,
        sent=heavy(draw, rows, median=1250, spread=1.0),
        received=heavy(draw, rows, median=received, spread=1.6),
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
    draw: np.random.Generator, estate: Estate, end_s: float, *, count: int
) -> Sessions:
    """Default passwords, tried by the own scanner inside and by strangers outside."""
    is_own = draw.random(count) < 0.5
    servers = np.concatenate([estate.servers, estate.file_servers])
    port = draw.choice(np.array([22, 445, 3389], np.int32), count)
    return sessions(
        draw,
        start_s=draw.uniform(0, end_s, count),
        source=np.where(
            is_own, estate.scanner, draw.choice(estate.strangers, count)
        ).astype(np.int32),
        destination=np.where(
            is_own, draw.choice(servers, count), int(estate.servers[0])
        ).astype(np.int32),
        port=np.where(is_own, port, np.int32(22)),
        sent=heavy(draw, count, median=2200, spread=0.3),
        received=heavy(draw, count, median=2500, spread=0.3),
        duration_s=heavy(draw, count, median=2.4, spread=0.6),
        state=draw.choice(
            np.array([State.COMPLETED, State.RESET_BY_DESTINATION], np.int16), count
        ),
    )


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


def _share_states(
    draw: np.random.Generator, rows: int
) -> np.typing.NDArray[np.int16]:
    states = [State.COMPLETED, State.RESET_BY_SOURCE, State.ESTABLISHED]
    return draw.choice(np.array(states, np.int16), rows, p=[0.6, 0.3, 0.1])
