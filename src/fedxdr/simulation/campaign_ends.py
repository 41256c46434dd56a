# SPDX-License-Identifier: Apache-2.0
"""How an intrusion gets in and what it ends with: a phished download, and ransomware.

Mail with a link reaches several people; some look, one opens what it offers, and from
then on tools are fetched as they are needed. At the end a machine goes through the
shares, reads each file and writes it back encrypted.

Sizes, rates, ports and names are those of lookalikes.py: newsletters that a whole
office opens, software that is fetched, jobs that rewrite a share at night. Page and
file are the same at every victim: who saw them before may know them.

It does NOT walk between hosts (campaign.py): whom it holds is handed in.

Source of the technique ids: MITRE ATT&CK v18.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fedxdr.simulation.estate import HOUR_S, Estate, served_names
from fedxdr.simulation.lookups import with_lookups
from fedxdr.simulation.sessions import Hosts, Numbers, Sessions, heavy, sessions
from fedxdr.telemetry.catalogue import Service, State
from fedxdr.telemetry.event import MALICIOUS

PHISHING: Final = "T1566.002"
LURED: Final = "T1204.002"
DOWNLOAD: Final = "T1105"
RANSOM: Final = "T1486"

DELIVERY_TECHNIQUES: Final = (PHISHING, LURED, DOWNLOAD)

OPENED_BEFORE_S: Final = 0.6 * HOUR_S
"""How long before the implant's first call the mail is opened first."""


def delivery(
    draw: np.random.Generator,
    estate: Estate,
    *,
    victim: int,
    hostile: Hosts,
    begin_s: float,
) -> Sessions:
    """Return the way in: looks at a page, what one person opens, and tools for later.

    Args:
        draw: generator.
        estate: whose people.
        victim: host number of who opens it; the implant runs there.
        hostile: three hosts outside: the page, the file, the tools.
        begin_s: seconds, when the implant calls first.
    """
    others = estate.workstations[estate.workstations != victim]
    looks = draw.permutation(others)[: int(draw.integers(3, 6))]
    source = np.repeat(np.append(looks, victim), draw.integers(2, 5, len(looks) + 1))
    count = len(source)
    opened = begin_s - OPENED_BEFORE_S * draw.uniform(0.15, 1.0, len(looks) + 1)
    which = np.searchsorted(np.unique(source), source)
    page = _visits(
        draw,
        estate,
        start_s=np.maximum(opened[which] + heavy(draw, count, median=8, spread=1.2), 0),
        source=source.astype(np.int32),
        destination=int(hostile[0]),
        sent=1900,
        received=7000,
        spread=0.25,
        technique=PHISHING,
    )
    count = int(draw.integers(2, 5))
    lured = _visits(
        draw,
        estate,
        start_s=np.maximum(begin_s - draw.uniform(60, 600, count), 0),
        source=np.full(count, victim, np.int32),
        destination=int(hostile[1]),
        sent=1200,
        received=30_000,
        spread=0.2,
        technique=LURED,
    )
    count = 26
    tools = _visits(
        draw,
        estate,
        start_s=begin_s + np.cumsum(heavy(draw, count, median=620, spread=0.8)),
        source=np.full(count, victim, np.int32),
        destination=int(hostile[2]),
        sent=1100,
        received=40_000,
        spread=1.3,
        technique=DOWNLOAD,
    )
    return Sessions.concatenate([page, lured, tools])


def _visits(
    draw: np.random.Generator,
    estate: Estate,
    *,
    start_s: Numbers,
    source: Hosts,
    destination: int,
    sent: float,
    received: float,
    spread: float,
    technique: str,
) -> Sessions:
    """Return visits over TLS and, for some, the query before: all of one technique."""
    count = len(start_s)
    hosts = np.full(count, destination, np.int32)
    made = sessions(
        draw,
        start_s=start_s,
        source=source,
        destination=destination,
        port=443,
        service=Service.TLS,
        sent=heavy(draw, count, median=sent, spread=spread),
        received=heavy(draw, count, median=received, spread=spread),
        duration_s=heavy(draw, count, median=5, spread=1.6),
        state=draw.choice(
            np.array([State.COMPLETED, State.RESET_BY_SOURCE], np.int16),
            count,
            p=[0.8, 0.2],
        ),
        name=served_names(draw, estate, hosts),
        label=MALICIOUS,
        technique=technique,
    )
    return with_lookups(
        draw, estate, made, share=0.5, label=MALICIOUS, technique=technique
    )


def ransomware(
    draw: np.random.Generator,
    estate: Estate,
    *,
    source: int,
    neighbours: Hosts,
    begin_s: float,
) -> Sessions:
    """Return a sweep of the shares: what is read is written back, as large as it was.

    Args:
        draw: generator.
        estate: whose shares.
        source: host number of where it runs.
        neighbours: workstations whose open shares are tried too.
        begin_s: seconds.
    """
    count = 90
    targets = np.where(
        draw.random(count) < 0.75,
        draw.choice(estate.file_servers, count),
        draw.choice(neighbours, count),
    ).astype(np.int32)
    size = heavy(draw, count, median=9000 * estate.scale, spread=1.7)
    return sessions(
        draw,
        start_s=begin_s + np.cumsum(heavy(draw, count, median=28, spread=1.0)),
        source=source,
        destination=targets,
        port=445,
        sent=size * draw.uniform(0.95, 1.2, count),
        received=size * draw.uniform(0.9, 1.1, count),
        duration_s=heavy(draw, count, median=10, spread=1.3),
        state=draw.choice(
            np.array(
                [State.COMPLETED, State.RESET_BY_SOURCE, State.ESTABLISHED], np.int16
            ),
            count,
            p=[0.6, 0.3, 0.1],
        ),
        label=MALICIOUS,
        technique=RANSOM,
    )
