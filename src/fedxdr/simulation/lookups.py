# SPDX-License-Identifier: Apache-2.0
"""DNS queries to an organisation's resolver, benign or not.

It does NOT decide which names are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedxdr.simulation.estate import Estate
from fedxdr.simulation.sessions import UDP, Hosts, Numbers, Sessions, heavy, sessions
from fedxdr.telemetry.catalogue import Service


def lookups(
    draw: np.random.Generator,
    estate: Estate,
    *,
    start_s: Numbers,
    source: Hosts | int,
    names: Sequence[str],
    label: int = 0,
    technique: str = "",
    received: Numbers | None = None,
) -> Sessions:
    """Return DNS queries to the organisation's first resolver.

    Args:
        draw: generator.
        estate: whose hosts.
        start_s: (n,) seconds.
        source: (n,) hosts, or one.
        names: n names asked for.
        label: truth of all of them.
        technique: ATT&CK id of all of them.
        received: (n,) payload bytes of the answers; drawn where not given.
    """
    rows = len(start_s)
    sizes = np.array([len(name) + 18.0 for name in names])
    if received is None:
        received = sizes + heavy(draw, rows, median=60, spread=0.6)
    return sessions(
        draw,
        start_s=start_s,
        source=source,
        destination=int(estate.controllers[0]),
        port=53,
        protocol=UDP,
        service=Service.DNS,
        sent=sizes,
        received=received,
        duration_s=heavy(draw, rows, median=0.02, spread=1.2),
        name=names,
        label=label,
        technique=technique,
    )


def with_lookups(
    draw: np.random.Generator,
    estate: Estate,
    made: Sessions,
    *,
    share: float,
    label: int = 0,
    technique: str = "",
) -> Sessions:
    """Return sessions and, for a share of them, the query that came before.

    Args:
        draw: generator.
        estate: whose hosts.
        made: (n) sessions to hosts outside.
        share: in [0, 1]; the others found the name in a cache.
        label: truth of the queries.
        technique: ATT&CK id of the queries.
    """
    asked = draw.random(len(made)) < share
    queries = lookups(
        draw,
        estate,
        start_s=np.maximum(
            made.start_s[asked] - draw.uniform(0.02, 0.4, asked.sum()), 0
        ),
        source=made.source[asked],
        names=[estate.names[host] for host in made.destination[asked].tolist()],
        label=label,
        technique=technique,
    )
    return Sessions.concatenate([queries, made])
