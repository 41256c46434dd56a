# SPDX-License-Identifier: Apache-2.0
"""Everyday traffic of an organisation, seen at its border: web, names, clouds, devices.

Much of it looks like an attack on purpose, because in real networks it does: devices
call home as regularly as an implant, security products put hashes into DNS queries,
people upload large files at night, and the internet knocks on every door.

It does NOT make traffic between the organisation's own hosts (benign_inside.py).
"""

from __future__ import annotations

import numpy as np

from fedxdr.simulation.estate import (
    DAY_S,
    HOUR_S,
    Estate,
    coded,
    hashed,
    office_times,
    served_names,
    word,
)
from fedxdr.simulation.lookups import lookups, with_lookups
from fedxdr.simulation.sessions import (
    TCP,
    UDP,
    Numbers,
    Sessions,
    heavy,
    regular,
    sessions,
)
from fedxdr.telemetry.catalogue import Service, State


def border_traffic(
    draw: np.random.Generator, estate: Estate, *, end_s: float
) -> Sessions:
    """Return everything benign that crosses the border in [0, end_s)."""
    days = end_s / DAY_S
    return Sessions.concatenate(
        [
            _browsing(draw, estate, end_s, visits=int(76 * days)),
            _calls_home(draw, estate, end_s),
            _devices(draw, estate, end_s),
            _reputation_lookups(draw, estate, end_s, bursts=int(22 * days)),
            _uploads(draw, estate, end_s, count=int(60 * days)),
            _cloud_backup(draw, estate, end_s),
            _sync(draw, estate, end_s),
            _clock(draw, estate, end_s),
            _knocking(draw, estate, end_s, count=int(110 * days)),
            _visitors(draw, estate, end_s, count=int(60 * days)),
        ]
    )


def _browsing(
    draw: np.random.Generator, estate: Estate, end_s: float, *, visits: int
) -> Sessions:
    """People: one to three sites per visit, and several connections to each of them."""
    sites = draw.integers(1, 4, visits)
    look = np.repeat(np.arange(visits), sites)
    fetches = draw.integers(1, 5, len(look))
    place = np.repeat(np.arange(len(look)), fetches)
    visit = look[place]
    rows = len(place)
    person = draw.choice(estate.workstations, visits)
    rank = draw.zipf(1.25, len(look)) - 1 + draw.integers(0, 3, len(look))
    site = estate.internet[rank % len(estate.internet)][place]
    begin = office_times(draw, estate, visits, end_s=end_s)
    begin = begin[look] + heavy(draw, len(look), median=20, spread=1.4)
    start = begin[place] + heavy(draw, rows, median=12, spread=2.2)
    plain = draw.random(rows) < 0.18
    parts = []
    for is_plain, port, service in (
        (True, 80, Service.HTTP),
        (False, 443, Service.TLS),
    ):
        where = np.flatnonzero(plain == is_plain)
        count = len(where)
        hosts = site[where]
        texts = served_names(draw, estate, hosts)
        if is_plain:
            paths = coded(draw, count, low=2, high=40)
            texts = [f"{text}/{path}" for text, path in zip(texts, paths, strict=True)]
        broken = draw.random(count)
        parts.append(
            sessions(
                draw,
                start_s=np.minimum(start[where], end_s - 1),
                source=person[visit[where]],
                destination=hosts,
                port=port,
                service=service,
                sent=heavy(draw, count, median=1300 * estate.scale, spread=1.2),
                received=heavy(draw, count, median=9000 * estate.scale, spread=1.9),
                duration_s=heavy(draw, count, median=6, spread=1.9),
                state=np.select(
                    [broken < 0.03, broken < 0.05, broken < 0.2, broken < 0.3],
                    [
                        State.ATTEMPTED,
                        State.REJECTED,
                        State.RESET_BY_SOURCE,
                        State.RESET_BY_DESTINATION,
                    ],
                    State.COMPLETED,
                ).astype(np.int16),
                name=texts,
            )
        )
    return with_lookups(draw, estate, Sessions.concatenate(parts), share=0.55)


def _calls_home(draw: np.random.Generator, estate: Estate, end_s: float) -> Sessions:
    """Update and telemetry agents: regular, small, and shared by many machines."""
    parts = []
    for host in estate.workstations.tolist():
        service = int(draw.choice(estate.updates))
        times = regular(
            draw,
            begin_s=float(draw.uniform(0, HOUR_S)),
            end_s=end_s,
            period_s=float(draw.uniform(4.0, 8.0)) * HOUR_S,
            jitter=0.08,
        )
        parts.append(_tls(draw, estate, times, host, service, sent=800, received=2200))
    # A few people leave an application open that keeps a line to a service alive.
    for host in draw.choice(estate.workstations, 6, replace=False).tolist():
        begin = float(draw.uniform(0.0, 0.75)) * end_s
        times = regular(
            draw,
            begin_s=begin,
            end_s=min(begin + float(draw.uniform(5, 9)) * HOUR_S, end_s),
            period_s=float(draw.uniform(240, 600)),
            jitter=0.3,
        )
        service = int(draw.choice(estate.internet[:60]))
        parts.append(_tls(draw, estate, times, host, service, sent=900, received=1400))
    return with_lookups(draw, estate, Sessions.concatenate(parts), share=0.15)


def _devices(draw: np.random.Generator, estate: Estate, end_s: float) -> Sessions:
    """Cameras and controls: one service each, that nobody else visits, for ever."""
    parts = []
    for device, vendor in zip(
        estate.devices.tolist(), estate.vendors.tolist(), strict=True
    ):
        times = regular(
            draw,
            begin_s=0,
            end_s=end_s,
            period_s=float(draw.uniform(1200, 3000)),
            jitter=float(draw.uniform(0.02, 0.2)),
        )
        size = float(draw.uniform(400, 1600))
        parts.append(
            _tls(draw, estate, times, device, vendor, sent=size, received=size * 0.8)
        )
    return with_lookups(draw, estate, Sessions.concatenate(parts), share=0.05)


def _tls(
    draw: np.random.Generator,
    estate: Estate,
    times: Numbers,
    source: int,
    destination: int,
    *,
    sent: float,
    received: float,
) -> Sessions:
    rows = len(times)
    hosts = np.full(rows, destination, np.int32)
    return sessions(
        draw,
        start_s=times,
        source=source,
        destination=destination,
        port=443,
        service=Service.TLS,
        sent=heavy(draw, rows, median=sent, spread=0.35),
        received=heavy(draw, rows, median=received, spread=0.5),
        duration_s=heavy(draw, rows, median=1.5, spread=1.2),
        state=draw.choice(
            np.array([State.COMPLETED, State.RESET_BY_SOURCE], np.int16),
            rows,
            p=[0.85, 0.15],
        ),
        name=served_names(draw, estate, hosts),
    )


def _reputation_lookups(
    draw: np.random.Generator, estate: Estate, end_s: float, *, bursts: int
) -> Sessions:
    """Security products and content networks: hashes as names, in bursts."""
    sizes = draw.integers(2, 12, bursts)
    burst = np.repeat(np.arange(bursts), sizes)
    rows = len(burst)
    begin = office_times(draw, estate, bursts, end_s=end_s)
    ends = np.cumsum(sizes)
    within = np.arange(rows) - np.repeat(ends - sizes, sizes)
    start = begin[burst] + within * heavy(draw, rows, median=25, spread=1.0)
    suffix = f"r.{word(draw, 3)}.example"
    network = f"edge.{word(draw, 3)}.test"
    texts = [
        f"{code}.{suffix}" if n % 3 else f"{code}.{network}"
        for n, code in enumerate(hashed(draw, rows, low=22, high=50))
    ]
    source = draw.choice(estate.workstations, bursts)[burst]
    return lookups(
        draw,
        estate,
        start_s=np.minimum(start, end_s - 1),
        source=source,
        names=texts,
        received=heavy(draw, rows, median=130, spread=0.5),
    )


def _uploads(
    draw: np.random.Generator, estate: Estate, end_s: float, *, count: int
) -> Sessions:
    """Meetings, shared folders, mail with attachments: much goes out by day."""
    times = office_times(draw, estate, count, end_s=end_s)
    hosts = draw.choice(estate.internet[:90], count)
    made = sessions(
        draw,
        start_s=times,
        source=draw.choice(estate.workstations, count),
        destination=hosts,
        port=443,
        service=Service.TLS,
        sent=heavy(draw, count, median=400_000 * estate.scale, spread=1.6),
        received=heavy(draw, count, median=20_000, spread=1.5),
        duration_s=heavy(draw, count, median=60, spread=1.4),
        name=served_names(draw, estate, hosts),
    )
    return with_lookups(draw, estate, made, share=0.4)


def _cloud_backup(draw: np.random.Generator, estate: Estate, end_s: float) -> Sessions:
    """Machines that send their files to a cloud of their own, in chunks, at night."""
    parts = []
    for host in draw.choice(estate.workstations, 3, replace=False).tolist():
        cloud = int(draw.choice(estate.clouds))
        for day in range(int(np.ceil(end_s / DAY_S))):
            begin = day * DAY_S + float(draw.uniform(0, 20)) * HOUR_S
            times = regular(
                draw,
                begin_s=begin,
                end_s=min(begin + 1.5 * HOUR_S, end_s),
                period_s=float(draw.uniform(300, 700)),
                jitter=0.6,
            )
            count = len(times)
            parts.append(
                sessions(
                    draw,
                    start_s=times,
                    source=host,
                    destination=cloud,
                    port=443,
                    service=Service.TLS,
                    sent=heavy(draw, count, median=3e6 * estate.scale, spread=0.8),
                    received=heavy(draw, count, median=6000, spread=0.7),
                    duration_s=heavy(draw, count, median=40, spread=0.8),
                    name=[estate.names[cloud]] * count,
                )
            )
    return with_lookups(draw, estate, Sessions.concatenate(parts), share=0.3)


def _sync(draw: np.random.Generator, estate: Estate, end_s: float) -> Sessions:
    """Clients of hosted mail and chat that poll while their owner works."""
    parts = []
    for host in draw.choice(estate.workstations, 11, replace=False).tolist():
        begin = float(office_times(draw, estate, 1, end_s=end_s)[0])
        times = regular(
            draw,
            begin_s=begin,
            end_s=min(begin + float(draw.uniform(4, 9)) * HOUR_S, end_s),
            period_s=float(draw.uniform(240, 800)),
            jitter=0.6,
        )
        service = int(draw.choice(estate.internet[:12]))
        parts.append(_tls(draw, estate, times, host, service, sent=1500, received=3500))
    return with_lookups(draw, estate, Sessions.concatenate(parts), share=0.1)


def _clock(draw: np.random.Generator, estate: Estate, end_s: float) -> Sessions:
    """Time servers asking theirs."""
    parts = []
    for host in (*estate.controllers.tolist(), estate.monitor):
        times = regular(
            draw,
            begin_s=0,
            end_s=end_s,
            period_s=float(draw.uniform(2500, 4200)),
            jitter=0.02,
        )
        parts.append(
            sessions(
                draw,
                start_s=times,
                source=host,
                destination=int(draw.choice(estate.internet[100:110])),
                port=123,
                protocol=UDP,
                service=Service.NTP,
                sent=48.0,
                received=48.0,
                duration_s=heavy(draw, len(times), median=0.03, spread=0.5),
            )
        )
    return Sessions.concatenate(parts)


def _knocking(
    draw: np.random.Generator, estate: Estate, end_s: float, *, count: int
) -> Sessions:
    """The internet's noise: strangers try ports and go away again."""
    state = draw.choice(
        np.array([State.ATTEMPTED, State.REJECTED, State.RESET_BY_SOURCE], np.int16),
        count,
        p=[0.6, 0.3, 0.1],
    )
    ports = np.array([22, 23, 80, 443, 445, 3389, 5900, 8080, 8443, 2222], np.int32)
    return sessions(
        draw,
        start_s=draw.uniform(0, end_s, count),
        source=draw.choice(estate.strangers, count),
        destination=draw.choice(estate.servers, count),
        port=draw.choice(ports, count),
        sent=heavy(draw, count, median=200, spread=0.8),
        received=heavy(draw, count, median=400, spread=0.8),
        duration_s=heavy(draw, count, median=0.5, spread=1.2),
        state=state,
    )


def _visitors(
    draw: np.random.Generator, estate: Estate, end_s: float, *, count: int
) -> Sessions:
    """Customers on the organisation's own web server."""
    server = int(estate.servers[0])
    return sessions(
        draw,
        start_s=office_times(draw, estate, count, end_s=end_s),
        source=draw.choice(estate.strangers, count),
        destination=server,
        port=443,
        protocol=TCP,
        service=Service.TLS,
        sent=heavy(draw, count, median=1500, spread=1.0),
        received=heavy(draw, count, median=30_000 * estate.scale, spread=1.5),
        duration_s=heavy(draw, count, median=5, spread=1.5),
        name=[estate.names[server]] * count,
    )
