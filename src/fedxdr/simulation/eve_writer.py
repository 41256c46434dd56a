# SPDX-License-Identifier: Apache-2.0
"""Sessions as Suricata would have logged them: EVE, one JSON record per line.

Every session gives a ``flow`` record when it is over; DNS, HTTP and TLS give one more
each; an alerted session gives an ``alert``.

It does NOT know the truth: what is alerted is handed in.

Rule: records are ordered by ``timestamp``, and a flow's is later than its end.

Source: Suricata 7 user guide, "EVE JSON Format" (dns version 2).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedxdr.simulation.sessions import TCP, Sessions
from fedxdr.telemetry.catalogue import Service, State

SECOND_US: Final = 1_000_000
_FRAME_BYTES: Final = 14

_PROTOCOLS: Final = {6: "TCP", 17: "UDP", 1: "ICMP"}
_APPLICATIONS: Final = {
    Service.DNS: "dns",
    Service.HTTP: "http",
    Service.TLS: "tls",
    Service.SSH: "ssh",
    Service.SMB: "smb",
    Service.RDP: "rdp",
    Service.NTP: "ntp",
    Service.KERBEROS: "krb5",
    Service.LDAP: "ldap",
    Service.SQL: "pgsql",
}
# State -> flow.state and the TCP flags seen from the source and from the destination.
_TCP_STATES: Final = {
    State.COMPLETED: ("closed", "1b", "1b"),
    State.ATTEMPTED: ("new", "02", "00"),
    State.REJECTED: ("closed", "02", "14"),
    State.ESTABLISHED: ("established", "1a", "1a"),
    State.RESET_BY_SOURCE: ("closed", "1e", "1a"),
    State.RESET_BY_DESTINATION: ("closed", "1a", "1e"),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What a signature said about one session.

    Attributes:
        signature_id: number of the rule.
        signature: its message.
        category: its class.
        severity: 1 high, 2 medium, 3 informs.
        technique: ATT&CK id in the rule's metadata, empty for none.
    """

    signature_id: int
    signature: str
    category: str
    severity: int
    technique: str = ""


def eve_lines(
    made: Sessions,
    *,
    addresses: Sequence[str],
    flow_id: NDArray[np.uint64],
    alerts: dict[int, Alert],
    start_us: int,
) -> Iterator[bytes]:
    """Yield the log's lines in order.

    Args:
        made: n sessions.
        addresses: one per host of the estate.
        flow_id: (n,) uint64, Suricata's identifiers.
        alerts: what was alerted, by session number.
        start_us: when the world began, microseconds since 1970.
    """
    begin = start_us + np.rint(made.start_s * SECOND_US).astype(np.int64)
    end = begin + np.rint(made.duration_s * SECOND_US).astype(np.int64)
    # A flow is logged some time after its last packet, by the flow manager.
    logged = end + 2 * SECOND_US + (begin % (3 * SECOND_US))
    texts = {
        name: np.char.add(
            np.datetime_as_string(times.astype("datetime64[us]")), "+0000"
        ).tolist()
        for name, times in {
            "begin": begin,
            "end": end,
            "logged": logged,
            "spoken": begin + 20_000,
        }.items()
    }
    encode = msgspec.json.encode
    out: list[tuple[int, bytes]] = []
    for row, session in enumerate(_rows(made)):
        head: dict[str, Any] = {
            "flow_id": int(flow_id[row]),
            "in_iface": "eth0",
            "src_ip": addresses[session["source"]],
            "src_port": session["source_port"],
            "dest_ip": addresses[session["destination"]],
            "dest_port": session["destination_port"],
            "proto": _PROTOCOLS[session["protocol"]],
        }
        spoken = {"timestamp": texts["spoken"][row], **head}
        when = int(begin[row]) + 20_000
        service = Service(session["service"])
        detail = _detail(service, session["name"])
        if detail is not None:
            out.append((when, encode(spoken | detail)))
        if row in alerts:
            spoken["app_proto"] = _APPLICATIONS.get(service, "failed")
            out.append((when, encode(spoken | _alert(alerts[row]))))
        flow = {
            "timestamp": texts["logged"][row],
            **head,
            "event_type": "flow",
            "app_proto": _APPLICATIONS.get(service, "failed"),
            **_flow(session, texts["begin"][row], texts["end"][row], row in alerts),
        }
        out.append((int(logged[row]), encode(flow)))
    out.sort(key=lambda one: one[0])
    for _, line in out:
        yield line


def _rows(made: Sessions) -> Iterator[dict[str, Any]]:
    """Yield sessions as plain Python values."""
    names = [field.name for field in dataclasses.fields(made)]
    columns = [getattr(made, name).tolist() for name in names]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _detail(service: Service, name: str) -> dict[str, Any] | None:
    """Return the record of the application layer, where Suricata writes one."""
    if not name:
        return None
    match service:
        case Service.DNS:
            query = {"type": "query", "rrname": name, "rrtype": "A", "tx_id": 0}
            return {"event_type": "dns", "dns": {"version": 2, **query}}
        case Service.HTTP:
            host, _, path = name.partition("/")
            http = {"hostname": host, "url": f"/{path}", "http_method": "GET"}
            return {"event_type": "http", "http": {**http, "protocol": "HTTP/1.1"}}
        case Service.TLS:
            return {"event_type": "tls", "tls": {"sni": name, "version": "TLS 1.3"}}
        case _:
            return None


def _flow(
    session: dict[str, Any], begin: str, end: str, alerted: bool
) -> dict[str, Any]:
    state = State(session["state"])
    if session["protocol"] == TCP:
        word, ours, theirs = _TCP_STATES[state]
        tcp = {"tcp": {"tcp_flags_ts": ours, "tcp_flags_tc": theirs}}
    else:
        word, tcp = ("new" if state == State.ATTEMPTED else "established"), {}
    out, back = session["packets_out"], session["packets_in"]
    flow = {
        "pkts_toserver": out,
        "pkts_toclient": back,
        "bytes_toserver": session["bytes_out"] + _FRAME_BYTES * out,
        "bytes_toclient": session["bytes_in"] + _FRAME_BYTES * back,
        "start": begin,
        "end": end,
        "age": int(session["duration_s"]),
        "state": word,
        "reason": "timeout",
        "alerted": alerted,
    }
    return {"flow": flow, **tcp}


def _alert(alert: Alert) -> dict[str, Any]:
    metadata = {"signature_severity": ["Major"]}
    if alert.technique:
        metadata["mitre_technique_id"] = [alert.technique]
    return {
        "event_type": "alert",
        "alert": {
            "action": "allowed",
            "gid": 1,
            "signature_id": alert.signature_id,
            "rev": 1,
            "signature": alert.signature,
            "category": alert.category,
            "severity": alert.severity,
            "metadata": metadata,
        },
    }
