# SPDX-License-Identifier: Apache-2.0
"""Sessions as Suricata would have logged them: EVE, one JSON record per line.

Every session gives a ``flow`` record when it is over; DNS, HTTP and TLS give one more
each, SSH, SMB, RDP and Kerberos where the account is known (accounts.py); an alerted
session gives an ``alert``.

It does NOT know the truth: what is alerted is handed in.

Rule: records are ordered by ``timestamp``, and a flow's is later than its end.

Source: Suricata 7 user guide, "EVE JSON Format" (dns version 2); etc/schema.json.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedxdr.simulation.sessions import SECOND_US, TCP, Sessions
from fedxdr.telemetry.catalogue import Service, State

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
    names: Sequence[str] = (),
) -> Iterator[bytes]:
    """Yield the log's lines in order; see ``eve_records``."""
    for _, line in eve_records(
        made,
        addresses=addresses,
        flow_id=flow_id,
        alerts=alerts,
        start_us=start_us,
        names=names,
    ):
        yield line


def eve_records(
    made: Sessions,
    *,
    addresses: Sequence[str],
    flow_id: NDArray[np.uint64],
    alerts: dict[int, Alert],
    start_us: int,
    names: Sequence[str] = (),
) -> list[tuple[int, bytes]]:
    """Return the log's lines in order, each with when it is written.

    Args:
        made: n sessions.
        addresses: one per host of the estate.
        flow_id: (n,) uint64, Suricata's identifiers.
        alerts: what was alerted, by session number.
        start_us: when the world began, microseconds since 1970.
        names: DNS name of each host; needed where sessions have accounts.

    Returns:
        Microseconds since 1970 and the line without its end.
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
    for row, session in enumerate(made.rows()):
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
        out += [
            (when, encode(spoken | detail))
            for detail in _details(service, session, names)
        ]
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
    return out


def _details(
    service: Service, session: dict[str, Any], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the records of the application layer, as many as Suricata writes."""
    if not session["user"]:
        one = _detail(service, session["name"])
        return [] if one is None else [one]
    client = names[session["source"]]
    server = names[session["destination"]]
    domain = server.partition(".")[2]
    user, is_refused = session["user"], session["is_refused"]
    match service:
        case Service.SSH:
            software = {"proto_version": "2.0", "software_version": "OpenSSH_9.6"}
            ssh = {"client": software, "server": software}
            return [{"event_type": "ssh", "ssh": ssh}]
        case Service.SMB:
            return _smb(session, user, client, domain)
        case Service.RDP:
            # The cookie holds no more than nine characters of the name.
            rdp = {"tx_id": 0, "event_type": "initial_request", "cookie": user[:9]}
            return [{"event_type": "rdp", "rdp": rdp}]
        case Service.KERBEROS:
            ticket = {
                "cname": user,
                "realm": domain.upper(),
                "sname": f"krbtgt/{domain.upper()}",
                "encryption": "aes256-cts-hmac-sha1-96",
                "weak_encryption": False,
            }
            krb5: dict[str, Any] = {"msg_type": "KRB_AS_REP", **ticket}
            if is_refused:
                krb5 = {
                    "msg_type": "KRB_ERROR",
                    "failed_request": "KRB_AS_REQ",
                    "error_code": "KDC_ERR_PREAUTH_FAILED",
                    **{name: ticket[name] for name in ("cname", "realm", "sname")},
                }
            return [{"event_type": "krb5", "krb5": krb5}]
        case _:
            return []


def _smb(
    session: dict[str, Any], user: str, client: str, domain: str
) -> list[dict[str, Any]]:
    """Return the logon, and what was opened by whom was let in."""
    is_refused = session["is_refused"]
    logon = {
        "id": 3,
        "dialect": "3.11",
        "command": "SMB2_COMMAND_SESSION_SETUP",
        "status": "STATUS_LOGON_FAILURE" if is_refused else "STATUS_SUCCESS",
        "status_code": "0xc000006d" if is_refused else "0x0",
        "session_id": session["source_port"],
        "tree_id": 0,
        "ntlmssp": {
            "domain": domain.partition(".")[0].upper(),
            "user": user,
            "host": client.partition(".")[0].upper(),
        },
    }
    if is_refused:
        return [{"event_type": "smb", "smb": logon}]
    is_write = session["bytes_out"] > session["bytes_in"]
    opened = {
        "id": 5,
        "dialect": "3.11",
        "command": "SMB2_COMMAND_CREATE",
        "status": "STATUS_SUCCESS",
        "status_code": "0x0",
        "session_id": session["source_port"],
        "tree_id": 1,
        "filename": session["name"].partition("\\")[2],
        "disposition": "FILE_OVERWRITE_IF" if is_write else "FILE_OPEN",
        "access": "normal",
    }
    return [{"event_type": "smb", "smb": one} for one in (logon, opened)]


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
