# SPDX-License-Identifier: Apache-2.0
"""Everyday traffic between an organisation's own hosts.

Here too much looks like an attack: the vulnerability scanner scans, monitoring tries
every server again and again, a forgotten job fails to log in all night, administrators
hop from machine to machine, and backups copy everything.

It does NOT make traffic across the border (benign.py).
"""

from __future__ import annotations

import numpy as np

from fedxdr.simulation.estate import DAY_S, HOUR_S, Estate, office_times
from fedxdr.simulation.sessions import (
    ICMP,
    UDP,
    Sessions,
    heavy,
    regular,
    sessions,
)
from fedxdr.telemetry.catalogue import Service, State


def inside_traffic(
    draw: np.random.Generator, estate: Estate, *, end_s: float
) -> Sessions:
    """Return everything benign between own hosts in [0, end_s)."""
    days = end_s / DAY_S
    return Sessions.concatenate(
        [
            _files(draw, estate, end_s, times=int(110 * days)),
            _logins(draw, estate, end_s, count=int(140 * days)),
            _mail(draw, estate, end_s),
            _applications(draw, estate, end_s, count=int(200 * days)),
            _monitoring(draw, estate, end_s),
            _vulnerability_scan(draw, estate, end_s),
            _administration(draw, estate, end_s, count=int(40 * days)),
            _configuration(draw, estate, end_s),
            _failing_job(draw, estate, end_s),
            _backup(draw, estate, end_s),
            _help_desk(draw, estate, end_s, count=int(45 * days)),
            _strays(draw, estate, end_s, count=int(140 * days)),
        ]
    )


def _files(
    draw: np.random.Generator, estate: Estate, end_s: float, *, times: int
) -> Sessions:
    """Shared folders: mostly read, sometimes written, any size, often in a row."""
    row = np.repeat(np.arange(times), draw.integers(1, 5, times))
    count = len(row)
    begin = office_times(draw, estate, times, end_s=end_s)
    start = begin[row] + heavy(draw, count, median=40, spread=1.5)
    return sessions(
        draw,
        start_s=np.minimum(start, end_s - 1),
        source=draw.choice(estate.workstations, times)[row],
        destination=draw.choice(estate.file_servers, times)[row],
        port=445,
        sent=heavy(draw, count, median=7000 * estate.scale, spread=1.8),
        received=heavy(draw, count, median=12_000 * estate.scale, spread=1.9),
        duration_s=heavy(draw, count, median=12, spread=1.5),
        state=draw.choice(
            np.array(
                [State.COMPLETED, State.RESET_BY_SOURCE, State.ESTABLISHED], np.int16
            ),
            count,
            p=[0.55, 0.35, 0.1],
        ),
    )


def _logins(
    draw: np.random.Generator, estate: Estate, end_s: float, *, count: int
) -> Sessions:
    """Directory and tickets, small, of every machine, more when people come."""
    port = draw.choice(np.array([88, 389], np.int32), count)
    return sessions(
        draw,
        start_s=office_times(draw, estate, count, end_s=end_s),
        source=draw.choice(
            np.concatenate([estate.workstations, estate.servers]), count
        ),
        destination=draw.choice(estate.controllers, count),
        port=port,
        sent=heavy(draw, count, median=1500, spread=0.6),
        received=heavy(draw, count, median=1500, spread=0.6),
        duration_s=heavy(draw, count, median=0.05, spread=1.5),
        state=draw.choice(
            np.array([State.COMPLETED, State.RESET_BY_DESTINATION], np.int16),
            count,
            p=[0.8, 0.2],
        ),
    )


def _mail(draw: np.random.Generator, estate: Estate, end_s: float) -> Sessions:
    """Mail programs ask their server every now and then while they run."""
    parts = []
    for host in draw.choice(estate.workstations, 10, replace=False).tolist():
        for day in range(int(np.ceil(end_s / DAY_S))):
            begin = (
                day * DAY_S + float(draw.uniform(5, 9) - estate.hours_ahead) * HOUR_S
            )
            times = regular(
                draw,
                begin_s=max(begin, 0.0),
                end_s=min(begin + float(draw.uniform(5, 9)) * HOUR_S, end_s),
                period_s=float(draw.uniform(900, 2400)),
                jitter=0.1,
            )
            count = len(times)
            if not count:
                continue
            parts.append(
                sessions(
                    draw,
                    start_s=times,
                    source=host,
                    destination=int(estate.servers[1]),
                    port=993,
                    sent=heavy(draw, count, median=1100, spread=0.7),
                    received=heavy(draw, count, median=2500, spread=1.6),
                    duration_s=heavy(draw, count, median=1.2, spread=1.0),
                )
            )
    return Sessions.concatenate(parts)


def _applications(
    draw: np.random.Generator, estate: Estate, end_s: float, *, count: int
) -> Sessions:
    """Application servers and their database; people and the intranet."""
    half = count // 2
    database = sessions(
        draw,
        start_s=office_times(draw, estate, half, end_s=end_s),
        source=draw.choice(estate.servers[3:], half),
        destination=int(estate.servers[2]),
        port=5432,
        sent=heavy(draw, half, median=2500, spread=1.3),
        received=heavy(draw, half, median=9000, spread=1.8),
        duration_s=heavy(draw, half, median=2, spread=2.0),
    )
    intranet = sessions(
        draw,
        start_s=office_times(draw, estate, count - half, end_s=end_s),
        source=draw.choice(estate.workstations, count - half),
        destination=draw.choice(estate.servers[3:], count - half),
        port=draw.choice(np.array([80, 443, 8080], np.int32), count - half),
        sent=heavy(draw, count - half, median=1400, spread=1.0),
        received=heavy(draw, count - half, median=14_000, spread=1.6),
        duration_s=heavy(draw, count - half, median=2, spread=1.6),
    )
    return Sessions.concatenate([database, intranet])


def _monitoring(draw: np.random.Generator, estate: Estate, end_s: float) -> Sessions:
    """One host tries every server's service on the minute; some are always down."""
    parts = []
    watched = np.concatenate([estate.servers, estate.file_servers, estate.controllers])
    for host in watched.tolist():
        times = regular(
            draw,
            begin_s=0,
            end_s=end_s,
            period_s=float(draw.uniform(4000, 7500)),
            jitter=0.03,
        )
        count = len(times)
        port = int(draw.choice([22, 443, 445, 3389, 8080]))
        state = State.REJECTED if draw.random() < 0.15 else State.COMPLETED
        parts.append(
            sessions(
                draw,
                start_s=times,
                source=estate.monitor,
                destination=host,
                port=port,
                service=Service.UNKNOWN,
                sent=heavy(draw, count, median=250, spread=0.2),
                received=heavy(draw, count, median=420, spread=0.3),
                duration_s=heavy(draw, count, median=0.08, spread=0.8),
                state=state,
            )
        )
        pings = times[::3] + 0.5
        parts.append(
            sessions(
                draw,
                start_s=pings,
                source=estate.monitor,
                destination=host,
                port=0,
                protocol=ICMP,
                sent=64.0,
                received=64.0,
                duration_s=heavy(draw, len(pings), median=0.004, spread=0.5),
            )
        )
    return Sessions.concatenate(parts)


def _vulnerability_scan(
    draw: np.random.Generator, estate: Estate, end_s: float
) -> Sessions:
    """The organisation's own scanner, once a day, slowly, over all hosts."""
    parts = []
    inside = estate.inside
    ports = np.array([21, 22, 80, 135, 139, 443, 445, 3306, 3389, 5900, 8080], np.int32)
    for day in range(int(np.ceil(end_s / DAY_S))):
        begin = day * DAY_S + float(draw.uniform(1, 14)) * HOUR_S
        count = int(draw.integers(190, 240))
        start = begin + np.cumsum(heavy(draw, count, median=45, spread=0.9))
        start = start[start < end_s]
        count = len(start)
        parts.append(
            sessions(
                draw,
                start_s=start,
                source=estate.scanner,
                destination=draw.choice(inside[inside != estate.scanner], count),
                port=draw.choice(ports, count),
                service=Service.UNKNOWN,
                sent=heavy(draw, count, median=180, spread=0.9),
                received=heavy(draw, count, median=350, spread=1.0),
                duration_s=heavy(draw, count, median=0.4, spread=1.3),
                state=draw.choice(
                    np.array(
                        [
                            State.REJECTED,
                            State.ATTEMPTED,
                            State.COMPLETED,
                            State.RESET_BY_SOURCE,
                        ],
                        np.int16,
                    ),
                    count,
                    p=[0.4, 0.25, 0.2, 0.15],
                ),
            )
        )
    return Sessions.concatenate(parts)


def _administration(
    draw: np.random.Generator, estate: Estate, end_s: float, *, count: int
) -> Sessions:
    """Administrators at work on servers: long shells and screens."""
    port = draw.choice(np.array([22, 3389], np.int32), count, p=[0.6, 0.4])
    return sessions(
        draw,
        start_s=office_times(draw, estate, count, end_s=end_s),
        source=draw.choice(estate.workstations[:3], count),
        destination=draw.choice(estate.servers, count),
        port=port,
        sent=heavy(draw, count, median=16_000, spread=1.4),
        received=heavy(draw, count, median=40_000, spread=1.6),
        duration_s=heavy(draw, count, median=200, spread=1.5),
        state=draw.choice(
            np.array([State.COMPLETED, State.RESET_BY_SOURCE], np.int16), count
        ),
    )


def _configuration(draw: np.random.Generator, estate: Estate, end_s: float) -> Sessions:
    """Configuration management: the same short shell on every server, in a row."""
    parts = []
    for begin in np.arange(draw.uniform(0, 4 * HOUR_S), end_s, 6 * HOUR_S).tolist():
        hosts = draw.permutation(np.concatenate([estate.servers, estate.file_servers]))
        start = begin + np.cumsum(heavy(draw, len(hosts), median=12, spread=0.8))
        start = np.minimum(start, end_s - 1)
        parts.append(
            sessions(
                draw,
                start_s=start,
                source=int(estate.workstations[0]),
                destination=hosts.astype(np.int32),
                port=22,
                sent=heavy(draw, len(hosts), median=4200, spread=0.3),
                received=heavy(draw, len(hosts), median=5200, spread=0.3),
                duration_s=heavy(draw, len(hosts), median=3.5, spread=0.5),
            )
        )
    return Sessions.concatenate(parts)


def _failing_job(draw: np.random.Generator, estate: Estate, end_s: float) -> Sessions:
    """A script with an old password: refused, waits, tries again, for hours."""
    begin = float(draw.uniform(0, max(end_s - 12 * HOUR_S, 1.0)))
    times = regular(
        draw,
        begin_s=begin,
        end_s=min(begin + 12 * HOUR_S, end_s),
        period_s=300,
        jitter=0.05,
    )
    count = len(times)
    return sessions(
        draw,
        start_s=times,
        source=int(draw.choice(estate.servers[3:])),
        destination=int(draw.choice(estate.file_servers)),
        port=445,
        sent=heavy(draw, count, median=1900, spread=0.1),
        received=heavy(draw, count, median=1700, spread=0.1),
        duration_s=heavy(draw, count, median=0.9, spread=0.4),
        state=State.RESET_BY_DESTINATION,
    )


def _backup(draw: np.random.Generator, estate: Estate, end_s: float) -> Sessions:
    """Servers send what is new to the backup server, several times a day."""
    parts = []
    for host in np.concatenate([estate.servers, estate.file_servers]).tolist():
        times = regular(draw, begin_s=0, end_s=end_s, period_s=8 * HOUR_S, jitter=0.1)
        count = len(times)
        if not count:
            continue
        parts.append(
            sessions(
                draw,
                start_s=times,
                source=host,
                destination=estate.backup,
                port=10_000,
                sent=heavy(draw, count, median=2e7 * estate.scale, spread=1.2),
                received=heavy(draw, count, median=60_000, spread=0.8),
                duration_s=heavy(draw, count, median=200, spread=0.9),
            )
        )
    return Sessions.concatenate(parts)


def _help_desk(
    draw: np.random.Generator, estate: Estate, end_s: float, *, count: int
) -> Sessions:
    """Machine to machine: remote help, printers shared, updates passed on."""
    port = draw.choice(np.array([3389, 445, 5985], np.int32), count)
    source = draw.choice(estate.workstations, count)
    shift = draw.integers(1, len(estate.workstations), count)
    place = (source - estate.workstations[0] + shift) % len(estate.workstations)
    return sessions(
        draw,
        start_s=office_times(draw, estate, count, end_s=end_s),
        source=source,
        destination=estate.workstations[place],
        port=port,
        sent=heavy(draw, count, median=9000, spread=1.6),
        received=heavy(draw, count, median=12_000, spread=1.6),
        duration_s=heavy(draw, count, median=20, spread=1.6),
        state=draw.choice(
            np.array(
                [State.COMPLETED, State.RESET_BY_SOURCE, State.ATTEMPTED], np.int16
            ),
            count,
            p=[0.5, 0.3, 0.2],
        ),
    )


def _strays(
    draw: np.random.Generator, estate: Estate, end_s: float, *, count: int
) -> Sessions:
    """Calls to hosts that are off or gone: old mounts, old printers, discovery."""
    inside = estate.inside
    source = draw.choice(estate.workstations, count)
    destination = draw.choice(inside, count)
    destination = np.where(destination == source, estate.backup, destination)
    return sessions(
        draw,
        start_s=office_times(draw, estate, count, end_s=end_s),
        source=source,
        destination=destination.astype(np.int32),
        port=draw.choice(np.array([137, 138, 161, 5353, 5355], np.int32), count),
        protocol=UDP,
        state=State.ATTEMPTED,
        sent=120.0,
        duration_s=0.0,
    )
