# SPDX-License-Identifier: Apache-2.0
"""Simulated exchanges between hosts, as columns, before any sensor wrote them down.

A session is what happened on the wire; eve_writer.py and zeek_writer.py make records of
it in the sensors' own formats. All sizes are those of IP packets.

It does NOT decide who talks to whom (benign.py, campaign.py) or by which account
(accounts.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from fedxdr.telemetry.catalogue import Service, State
from fedxdr.telemetry.event import BENIGN

SECOND_US: Final = 1_000_000
TCP: Final = 6
UDP: Final = 17
ICMP: Final = 1
_HEADER_BYTES: Final = {TCP: 40, UDP: 28, ICMP: 28}
_SEGMENT_BYTES: Final = 1400.0
_UNANSWERED: Final = (State.ATTEMPTED, State.ABANDONED)

_LAST_KNOWN_PORT: Final = 9_999
_SERVICE_BY_PORT: Final = np.full(_LAST_KNOWN_PORT + 1, Service.UNKNOWN, np.int16)
for _port, _service in {
    22: Service.SSH,
    53: Service.DNS,
    80: Service.HTTP,
    88: Service.KERBEROS,
    123: Service.NTP,
    389: Service.LDAP,
    443: Service.TLS,
    445: Service.SMB,
    993: Service.TLS,
    3389: Service.RDP,
    5432: Service.SQL,
    5985: Service.HTTP,
    8080: Service.HTTP,
}.items():
    _SERVICE_BY_PORT[_port] = _service

Numbers = NDArray[np.float64]
Hosts = NDArray[np.int32]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sessions:
    """Exchanges, (n,) per column.

    Attributes:
        start_s: (n,) float64, seconds since the world began.
        source: (n,) int32, host number in the estate.
        destination: (n,) int32, host number in the estate.
        source_port: (n,) int32.
        destination_port: (n,) int32.
        protocol: (n,) int16, IANA number.
        service: (n,) int16, ``Service``.
        bytes_out: (n,) int64, IP bytes from source to destination.
        bytes_in: (n,) int64, IP bytes back.
        packets_out: (n,) int64.
        packets_in: (n,) int64.
        duration_s: (n,) float64.
        state: (n,) int16, ``State``.
        name: (n,) object, the text asked for (DNS query, host and path, server name),
            empty for none.
        label: (n,) int8, 0 benign, 1 campaign: the truth.
        technique: (n,) object, ATT&CK id, empty for benign sessions.
        user: (n,) object, account it was opened with, empty where none is shown.
        is_refused: (n,) bool, whether that account was turned away.
    """

    start_s: NDArray[np.float64]
    source: NDArray[np.int32]
    destination: NDArray[np.int32]
    source_port: NDArray[np.int32]
    destination_port: NDArray[np.int32]
    protocol: NDArray[np.int16]
    service: NDArray[np.int16]
    bytes_out: NDArray[np.int64]
    bytes_in: NDArray[np.int64]
    packets_out: NDArray[np.int64]
    packets_in: NDArray[np.int64]
    duration_s: NDArray[np.float64]
    state: NDArray[np.int16]
    name: NDArray[np.object_]
    label: NDArray[np.int8]
    technique: NDArray[np.object_]
    user: NDArray[np.object_]
    is_refused: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.start_s)

    @classmethod
    def concatenate(cls, parts: Sequence[Sessions]) -> Self:
        """Return all sessions of at least one part, by ascending start."""
        joined: dict[str, NDArray[Any]] = {
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in dataclasses.fields(cls)
        }
        order = np.argsort(joined["start_s"], kind="stable")
        return cls(**{name: column[order] for name, column in joined.items()})

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the sessions one by one, as plain Python values by column name."""
        names = [field.name for field in dataclasses.fields(self)]
        columns = [getattr(self, name).tolist() for name in names]
        for values in zip(*columns, strict=True):
            yield dict(zip(names, values, strict=True))

    def select(self, rows: NDArray[np.bool_]) -> Self:
        """Return the sessions under an (n,) mask."""
        return dataclasses.replace(
            self,
            **{
                field.name: getattr(self, field.name)[rows]
                for field in dataclasses.fields(self)
            },
        )


def sessions(
    draw: np.random.Generator,
    *,
    start_s: Numbers,
    source: Hosts | int,
    destination: Hosts | int,
    port: NDArray[np.int32] | int,
    protocol: int = TCP,
    service: Service | None = None,
    sent: Numbers | float = 0.0,
    received: Numbers | float = 0.0,
    duration_s: Numbers | float = 0.1,
    state: NDArray[np.int16] | State = State.COMPLETED,
    name: Sequence[str] | None = None,
    label: int = BENIGN,
    technique: str = "",
) -> Sessions:
    """Return sessions from what was said in them; packets and headers are worked out.

    Unanswered and refused attempts carry no payload.

    Args:
        draw: the generator of this part of the world.
        start_s: (n,) seconds since the world began.
        source: (n,) hosts, or one.
        destination: (n,) hosts, or one.
        port: (n,) destination ports, or one.
        protocol: IANA number.
        service: what is spoken; None for what the port is known for.
        sent: (n,) payload bytes from the source, or one number.
        received: (n,) payload bytes back, or one number.
        duration_s: (n,) seconds, or one number.
        state: (n,) states, or one.
        name: n texts, or None.
        label: truth of all of them.
        technique: ATT&CK id of all of them.
    """
    rows = len(start_s)
    states = np.broadcast_to(np.asarray(state, np.int16), rows)
    unanswered = np.isin(states, _UNANSWERED)
    refused = states == State.REJECTED
    silent = unanswered | refused
    out = np.where(silent, 0.0, np.maximum(np.broadcast_to(sent, rows), 0.0))
    back = np.where(silent, 0.0, np.maximum(np.broadcast_to(received, rows), 0.0))
    header = _HEADER_BYTES[protocol]
    if protocol == TCP:
        # Handshake, end and acknowledgements, with the jitter of a real stack.
        packets_out = 3 + np.ceil(out / _SEGMENT_BYTES) + np.ceil(back / 4200.0)
        packets_in = 2 + np.ceil(back / _SEGMENT_BYTES) + np.ceil(out / 4200.0)
        packets_out = packets_out + draw.integers(0, 3, rows)
        packets_in = packets_in + draw.integers(0, 3, rows)
        packets_out = np.where(silent, draw.integers(1, 4, rows), packets_out)
        packets_in = np.where(refused, 1, packets_in)
    else:
        packets_out = np.maximum(np.ceil(out / _SEGMENT_BYTES), 1)
        packets_in = np.maximum(np.ceil(back / _SEGMENT_BYTES), 1)
    packets_in = np.where(unanswered, 0, packets_in)
    seconds = np.empty(rows, np.float64)
    seconds[:] = duration_s
    brief = np.where(refused, draw.uniform(1e-4, 0.05, rows), draw.uniform(0, 3, rows))
    seconds[silent] = np.where(packets_out > 1, brief, 0.0)[silent]
    ports = _hosts(port, rows)
    spoken = np.full(rows, service or Service.UNKNOWN, np.int16)
    if service is None:
        spoken = _SERVICE_BY_PORT[np.minimum(ports, _LAST_KNOWN_PORT)]
    names = np.full(rows, "", np.object_)
    if name is not None:
        names[:] = name
    return Sessions(
        start_s=start_s,
        source=_hosts(source, rows),
        destination=_hosts(destination, rows),
        source_port=draw.integers(32_768, 61_000, rows).astype(np.int32),
        destination_port=ports,
        protocol=np.full(rows, protocol, np.int16),
        service=np.where(silent, np.int16(Service.UNKNOWN), spoken),
        bytes_out=(out + header * packets_out).astype(np.int64),
        bytes_in=(back + header * packets_in).astype(np.int64),
        packets_out=packets_out.astype(np.int64),
        packets_in=packets_in.astype(np.int64),
        duration_s=seconds.clip(0.0).round(6),
        state=states.copy(),
        name=names,
        label=np.full(rows, label, np.int8),
        technique=np.full(rows, technique, np.object_),
        user=np.full(rows, "", np.object_),
        is_refused=np.zeros(rows, np.bool_),
    )


def _hosts(value: Hosts | int, rows: int) -> NDArray[np.int32]:
    return np.broadcast_to(np.asarray(value, np.int32), rows).copy()


def heavy(
    draw: np.random.Generator, rows: int, *, median: float, spread: float
) -> Numbers:
    """Return (rows,) lognormal numbers: most near the median, a few far above.

    Args:
        draw: generator.
        rows: how many.
        median: > 0.
        spread: standard deviation of the logarithm; 1 gives a heavy tail.
    """
    return median * np.exp(spread * draw.standard_normal(rows))


def regular(
    draw: np.random.Generator,
    *,
    begin_s: float,
    end_s: float,
    period_s: float,
    jitter: float,
) -> Numbers:
    """Return times in [begin_s, end_s) a jittered period apart.

    Args:
        draw: generator.
        begin_s: first possible time.
        end_s: end of the range.
        period_s: > 0.
        jitter: in [0, 1); a gap is the period times a number in [1 - jitter,
            1 + jitter].
    """
    span_s = max(end_s - begin_s, 0.0)
    count = int(span_s / (period_s * (1 - jitter))) + 2
    gaps = period_s * draw.uniform(1 - jitter, 1 + jitter, count)
    times: Numbers = begin_s + draw.uniform(0, period_s) + np.cumsum(gaps) - gaps[0]
    return times[times < end_s]
