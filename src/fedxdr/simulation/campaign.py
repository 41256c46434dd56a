# SPDX-License-Identifier: Apache-2.0
"""One intrusion, as it walks through an organisation in about eight hours.

An implant on a workstation calls home, looks around, guesses passwords, moves on to
other machines, takes orders through DNS and carries data out. Asked for, it begins with
a phished download and ends with ransomware (campaign_ends.py). Every step keeps to
sizes, ports, rates and names that benign traffic has too (benign.py,
benign_inside.py); what gives it away is how they come together at one host.

The same tools are used at every victim, with other hosts, other addresses and slightly
other habits. ``private_steps`` is a wholly different intrusion, for the question what
federation gives when nobody else was hit: nothing.

It does NOT write labels into any log: the truth stays in the sessions.

Source of the technique ids: MITRE ATT&CK v18.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Final

import numpy as np

from fedxdr.simulation.campaign_ends import (
    DELIVERY_TECHNIQUES,
    RANSOM,
    delivery,
    ransomware,
)
from fedxdr.simulation.estate import HOUR_S, Estate, coded, served_names
from fedxdr.simulation.lookups import lookups
from fedxdr.simulation.sessions import Numbers, Sessions, heavy, regular, sessions
from fedxdr.telemetry.catalogue import Service, State
from fedxdr.telemetry.event import MALICIOUS

CHAIN_S: Final = 8 * HOUR_S
"""How long one intrusion lasts."""

SCAN: Final = "T1046"
BRUTE_FORCE: Final = "T1110"
BEACON: Final = "T1071.001"
LATERAL: Final = "T1021"
TUNNEL: Final = "T1071.004"
EXFILTRATION: Final = "T1048"
COLLECTION: Final = "T1213"

CAMPAIGN_TECHNIQUES: Final = (
    SCAN,
    BRUTE_FORCE,
    BEACON,
    LATERAL,
    TUNNEL,
    EXFILTRATION,
)
"""Techniques of the shared campaign, in the order of their first use."""

ALL_TECHNIQUES: Final = (*DELIVERY_TECHNIQUES, *CAMPAIGN_TECHNIQUES, RANSOM)
"""The same from the mail it came with to what it ends with."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Foothold:
    """Whom the intruder holds and where it calls: one per intrusion."""

    first: int
    second: int
    command: tuple[int, int]
    drop: int
    pace: float
    domain: str


def campaign_steps(
    draw: np.random.Generator,
    estate: Estate,
    *,
    begin_s: float,
    end_s: float,
    techniques: Collection[str] = CAMPAIGN_TECHNIQUES,
) -> Sessions:
    """Return one intrusion that begins at a time; nothing at or after ``end_s``.

    Args:
        draw: generator.
        estate: the victim.
        begin_s: seconds since the world began, when the implant calls first; the mail
            comes before.
        end_s: end of the world.
        techniques: which of ``ALL_TECHNIQUES`` it uses. What a step is does not depend
            on which others there are.
    """
    people = draw.permutation(estate.workstations[3:])
    others = draw.permutation(estate.hostile)
    held = _Foothold(
        first=int(people[0]),
        second=int(people[1]),
        command=(int(others[0]), int(others[1])),
        drop=int(others[2]),
        pace=float(draw.uniform(0.9, 1.12)),
        domain=estate.names[int(others[3])].removeprefix("www."),
    )
    steps = Sessions.concatenate(
        [
            _beacon(draw, estate, held, 0, begin_s),
            _scan(draw, estate, held, begin_s + 0.3 * HOUR_S),
            _brute_force(draw, estate, held, begin_s + 2.2 * HOUR_S),
            _lateral(draw, estate, held, begin_s + 3.4 * HOUR_S),
            _beacon(draw, estate, held, 1, begin_s + 4 * HOUR_S),
            _tunnel(draw, estate, held, begin_s + 4.8 * HOUR_S),
            _exfiltration(draw, estate, held, begin_s + 5.6 * HOUR_S),
        ]
    )
    if not set(techniques) <= set(CAMPAIGN_TECHNIQUES):
        # From a stream of its own: all other steps stay as they are without it.
        (aside,) = draw.spawn(1)
        steps = Sessions.concatenate(
            [
                delivery(
                    aside,
                    estate,
                    victim=held.first,
                    hostile=others[4:7],
                    begin_s=begin_s,
                ),
                steps,
                ransomware(
                    aside,
                    estate,
                    source=held.second,
                    neighbours=people[2:8],
                    begin_s=begin_s + 7 * HOUR_S,
                ),
            ]
        )
    is_used = np.isin(steps.technique.astype(np.str_), list(techniques))
    return steps.select(is_used & (steps.start_s < end_s))


def private_steps(
    draw: np.random.Generator, estate: Estate, *, begin_s: float, end_s: float
) -> Sessions:
    """Return an intrusion of another kind: an insider who reads what he may not copy.

    His workstation asks the database and the intranet like a server or a colleague
    does, in no hurry, only that the answers are long and that no person asks there.
    """
    count = 150
    insider = int(draw.choice(estate.workstations[3:]))
    database = int(estate.servers[2])
    asks_database = draw.random(count) < 0.6
    steps = sessions(
        draw,
        start_s=begin_s + np.cumsum(heavy(draw, count, median=150, spread=1.3)),
        source=insider,
        destination=np.where(
            asks_database, database, draw.choice(estate.servers[3:], count)
        ).astype(np.int32),
        port=np.where(
            asks_database, 5432, draw.choice(np.array([80, 443, 8080]), count)
        ).astype(np.int32),
        sent=heavy(draw, count, median=1900, spread=1.2),
        received=heavy(draw, count, median=40_000, spread=1.7),
        duration_s=heavy(draw, count, median=3, spread=1.8),
        label=MALICIOUS,
        technique=COLLECTION,
    )
    return steps.select(steps.start_s < end_s)


def _beacon(
    draw: np.random.Generator,
    estate: Estate,
    held: _Foothold,
    implant: int,
    begin_s: float,
) -> Sessions:
    """Call home over TLS: regular, small, to an address nobody else visits."""
    command = held.command[implant]
    times = regular(
        draw,
        begin_s=begin_s,
        end_s=begin_s + (CHAIN_S if implant == 0 else CHAIN_S / 2),
        period_s=420 * held.pace,
        jitter=0.15,
    )
    count = len(times)
    return sessions(
        draw,
        start_s=times,
        source=(held.first, held.second)[implant],
        destination=command,
        port=443,
        sent=heavy(draw, count, median=900 * held.pace, spread=0.18),
        received=heavy(draw, count, median=1500 * held.pace, spread=0.3),
        duration_s=heavy(draw, count, median=1.6, spread=1.1),
        state=draw.choice(
            np.array([State.COMPLETED, State.RESET_BY_SOURCE], np.int16),
            count,
            p=[0.85, 0.15],
        ),
        name=served_names(draw, estate, np.full(count, command, np.int32)),
        label=MALICIOUS,
        technique=BEACON,
    )


def _scan(
    draw: np.random.Generator, estate: Estate, held: _Foothold, begin_s: float
) -> Sessions:
    """Try ports of one host after another, no faster than the benign scanner."""
    count = 75
    inside = estate.inside
    inside = inside[inside != held.first]
    return sessions(
        draw,
        start_s=begin_s + np.cumsum(heavy(draw, count, median=70, spread=0.8)),
        source=held.first,
        destination=draw.permutation(np.concatenate([inside, inside]))[:count],
        port=draw.choice(np.array([22, 80, 135, 443, 445, 3389], np.int32), count),
        sent=heavy(draw, count, median=200, spread=0.9),
        received=heavy(draw, count, median=380, spread=1.0),
        service=Service.UNKNOWN,
        duration_s=heavy(draw, count, median=0.4, spread=1.3),
        state=draw.choice(
            np.array([State.REJECTED, State.ATTEMPTED, State.COMPLETED], np.int16),
            count,
            p=[0.35, 0.3, 0.35],
        ),
        label=MALICIOUS,
        technique=SCAN,
    )


def _brute_force(
    draw: np.random.Generator, estate: Estate, held: _Foothold, begin_s: float
) -> Sessions:
    """Guess passwords on three machines, slowly, each try a short session."""
    count = 75
    targets = draw.permutation(np.concatenate([estate.servers, estate.file_servers]))
    target = np.repeat(targets[:3], count // 3).astype(np.int32)
    port = np.repeat(draw.permutation([22, 3389, 445]), count // 3).astype(np.int32)
    return sessions(
        draw,
        start_s=begin_s + np.cumsum(heavy(draw, count, median=45, spread=0.7)),
        source=held.first,
        destination=target,
        port=port,
        sent=heavy(draw, count, median=2300, spread=0.25),
        received=heavy(draw, count, median=2600, spread=0.25),
        duration_s=heavy(draw, count, median=2.2, spread=0.5),
        state=draw.choice(
            np.array([State.COMPLETED, State.RESET_BY_DESTINATION], np.int16), count
        ),
        label=MALICIOUS,
        technique=BRUTE_FORCE,
    )


def _lateral(
    draw: np.random.Generator, estate: Estate, held: _Foothold, begin_s: float
) -> Sessions:
    """Move to other machines: remote screens, shares, remote shells."""
    count = 55
    near = draw.permutation(estate.workstations)
    near = near[near != held.first][:8]
    targets = np.concatenate([near, [held.second] * 4, draw.choice(estate.servers, 4)])
    return sessions(
        draw,
        start_s=begin_s + np.cumsum(heavy(draw, count, median=170, spread=0.9)),
        source=held.first,
        destination=draw.choice(targets, count).astype(np.int32),
        port=draw.choice(np.array([3389, 445, 5985], np.int32), count),
        sent=heavy(draw, count, median=14_000, spread=1.3),
        received=heavy(draw, count, median=11_000, spread=1.3),
        duration_s=heavy(draw, count, median=25, spread=1.4),
        state=draw.choice(
            np.array(
                [State.COMPLETED, State.RESET_BY_SOURCE, State.ATTEMPTED], np.int16
            ),
            count,
            p=[0.5, 0.35, 0.15],
        ),
        label=MALICIOUS,
        technique=LATERAL,
    )


def _tunnel(
    draw: np.random.Generator, estate: Estate, held: _Foothold, begin_s: float
) -> Sessions:
    """Orders and answers inside DNS names, a query every minute or so."""
    count = 60
    times: Numbers = begin_s + np.cumsum(heavy(draw, count, median=75, spread=0.45))
    codes = coded(draw, count, low=16, high=46)
    return lookups(
        draw,
        estate,
        start_s=times,
        source=held.second,
        names=[f"{code}.{held.domain}" for code in codes],
        received=heavy(draw, count, median=150, spread=0.45),
        label=MALICIOUS,
        technique=TUNNEL,
    )


def _exfiltration(
    draw: np.random.Generator, estate: Estate, held: _Foothold, begin_s: float
) -> Sessions:
    """Carry data out in pieces, as large as uploads and backups are."""
    count = 45
    return sessions(
        draw,
        start_s=begin_s + np.cumsum(heavy(draw, count, median=150, spread=0.6)),
        source=held.second,
        destination=held.drop,
        port=443,
        sent=heavy(draw, count, median=900_000, spread=1.0),
        received=heavy(draw, count, median=9000, spread=1.0),
        duration_s=heavy(draw, count, median=25, spread=1.0),
        name=served_names(draw, estate, np.full(count, held.drop, np.int32)),
        label=MALICIOUS,
        technique=EXFILTRATION,
    )
