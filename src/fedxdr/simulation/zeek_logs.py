# SPDX-License-Identifier: Apache-2.0
"""Sessions as Zeek sees them: records of its logs, before they are written down.

Every session gives a ``conn`` record when it is over; DNS, HTTP and TLS give one more
each, SSH, SMB, RDP and Kerberos where the account is known (accounts.py). All records
of a connection share its ``uid``.

The last two columns of every log are those of a labelled one, as Stratosphere's
``netflowlabeler`` adds them: what an incident team found out stands there, everything
else is unset.

It does NOT write lines (zeek_writer.py for tabs, zeek_json_writer.py for JSON) and does
NOT know the truth: what was found out is handed in.

Source: Zeek documentation 7, reference of each log; base/protocols/*/main.zeek.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from fedxdr.simulation.sessions import ICMP, SECOND_US, TCP, Sessions
from fedxdr.telemetry.catalogue import Service, State

Columns = tuple[tuple[str, str], ...]

_ENDPOINTS: Final[Columns] = (
    ("ts", "time"),
    ("uid", "string"),
    ("id.orig_h", "addr"),
    ("id.orig_p", "port"),
    ("id.resp_h", "addr"),
    ("id.resp_p", "port"),
)
_LABELS: Final[Columns] = (("label", "string"), ("detailedlabel", "string"))


def _log(text: str) -> Columns:
    """Return the columns of a log from ``name:type`` words; a bare name is a string."""
    columns = [word.partition(":")[::2] for word in text.split()]
    own = tuple((name, kind or "string") for name, kind in columns)
    return (*_ENDPOINTS, *own, *_LABELS)


LOGS: Final[dict[str, Columns]] = {
    "conn": _log(
        "proto:enum service duration:interval orig_bytes:count resp_bytes:count "
        "conn_state local_orig:bool local_resp:bool missed_bytes:count history "
        "orig_pkts:count orig_ip_bytes:count resp_pkts:count resp_ip_bytes:count "
        "tunnel_parents:set[string]"
    ),
    "dns": _log(
        "proto:enum trans_id:count rtt:interval query qclass:count qclass_name "
        "qtype:count qtype_name rcode:count rcode_name AA:bool TC:bool RD:bool RA:bool "
        "Z:count answers:vector[string] TTLs:vector[interval] rejected:bool"
    ),
    "http": _log(
        "trans_depth:count method host uri referrer version user_agent origin "
        "request_body_len:count response_body_len:count status_code:count status_msg "
        "info_code:count info_msg tags:set[enum] username password "
        "proxied:set[string] orig_fuids:vector[string] orig_filenames:vector[string] "
        "orig_mime_types:vector[string] resp_fuids:vector[string] "
        "resp_filenames:vector[string] resp_mime_types:vector[string]"
    ),
    "ssl": _log(
        "version cipher curve server_name resumed:bool last_alert next_protocol "
        "established:bool ssl_history cert_chain_fps:vector[string] "
        "client_cert_chain_fps:vector[string] sni_matches_cert:bool"
    ),
    "ssh": _log(
        "version:count auth_success:bool auth_attempts:count direction:enum client "
        "server cipher_alg mac_alg compression_alg kex_alg host_key_alg host_key"
    ),
    "rdp": _log(
        "cookie result security_protocol client_channels:vector[string] "
        "keyboard_layout client_build client_name client_dig_product_id "
        "desktop_width:count desktop_height:count requested_color_depth cert_type "
        "cert_count:count cert_permanent:bool encryption_level encryption_method"
    ),
    "ntlm": _log(
        "username hostname domainname server_nb_computer_name "
        "server_dns_computer_name server_tree_name success:bool"
    ),
    "smb_mapping": _log("path service native_file_system share_type"),
    "smb_files": _log(
        "fuid action:enum path name size:count prev_name times.modified:time "
        "times.accessed:time times.created:time times.changed:time"
    ),
    "kerberos": _log(
        "request_type client service success:bool error_msg from:time till:time cipher "
        "forwardable:bool renewable:bool client_cert_subject client_cert_fuid "
        "server_cert_subject server_cert_fuid"
    ),
}
"""Columns by log: name and Zeek's type of each, in the order of the file."""

_SPOKEN_US: Final = 20_000
_LINGER_US: Final = {6: 5 * SECOND_US, 17: 60 * SECOND_US, 1: 60 * SECOND_US}
"""How long after its last packet a connection is written down, by protocol."""

_PROTOCOLS: Final = {6: "tcp", 17: "udp", 1: "icmp"}
_HEADER_BYTES: Final = {6: 40, 17: 28, 1: 28}
_SERVICES: Final = {
    Service.DNS: "dns",
    Service.HTTP: "http",
    Service.TLS: "ssl",
    Service.SSH: "ssh",
    Service.SMB: "gssapi,smb",
    Service.RDP: "rdp",
    Service.NTP: "ntp",
    Service.KERBEROS: "krb_tcp",
    Service.LDAP: "ldap_tcp",
    Service.SQL: "postgresql",
}
# State -> conn_state and a history that goes with it.
_STATES: Final = {
    State.COMPLETED: ("SF", "ShADadFf"),
    State.ATTEMPTED: ("S0", "S"),
    State.REJECTED: ("REJ", "Sr"),
    State.ESTABLISHED: ("S1", "ShADad"),
    State.RESET_BY_SOURCE: ("RSTO", "ShADadR"),
    State.RESET_BY_DESTINATION: ("RSTR", "ShADadr"),
}


class Record(NamedTuple):
    """One record.

    Attributes:
        log: which of ``LOGS``.
        written_us: when Zeek writes it, microseconds since 1970.
        values: by column name; absent where unset. Times and intervals are int
            microseconds, ports and counts int, sets and vectors tuples.
    """

    log: str
    written_us: int
    values: dict[str, Any]


def zeek_records(
    made: Sessions,
    *,
    addresses: Sequence[str],
    uids: Sequence[str],
    found_out: dict[int, str],
    start_us: int,
    names: Sequence[str] = (),
) -> Iterator[Record]:
    """Yield the records of all logs, by ascending start.

    Args:
        made: n sessions, by ascending start.
        addresses: one per host of the estate.
        uids: n identifiers.
        found_out: technique of the sessions that an incident team labelled malicious,
            by session number.
        start_us: when the world began, microseconds since 1970.
        names: DNS name of each host; without them there is ``conn`` only.
    """
    start = (start_us + np.rint(made.start_s * 1e6).astype(np.int64)).tolist()
    for row, session in enumerate(made.rows()):
        begin = start[row]
        ends = {
            "ts": begin,
            "uid": uids[row],
            "id.orig_h": addresses[session["source"]],
            "id.orig_p": 8 if session["protocol"] == ICMP else session["source_port"],
            "id.resp_h": addresses[session["destination"]],
            "id.resp_p": session["destination_port"],
        }
        told = {}
        if row in found_out:
            told = {"label": "Malicious", "detailedlabel": found_out[row]}
        if names:
            spoken = begin + _SPOKEN_US
            for log, own in _details(session, names):
                yield Record(log, spoken, {**ends, "ts": spoken, **own, **told})
        duration_us = round(session["duration_s"] * SECOND_US)
        written = begin + duration_us + _LINGER_US[session["protocol"]]
        yield Record("conn", written, {**ends, **_conn(session, ends), **told})


def _conn(session: dict[str, Any], ends: dict[str, Any]) -> dict[str, Any]:
    protocol, out, back = (
        session["protocol"],
        session["packets_out"],
        session["packets_in"],
    )
    header = _HEADER_BYTES[protocol]
    state, history = _STATES[State(session["state"])]
    if protocol != TCP:
        history = "Dd" if back else "D"
    values = {
        "proto": _PROTOCOLS[protocol],
        "orig_bytes": max(session["bytes_out"] - header * out, 0),
        "resp_bytes": max(session["bytes_in"] - header * back, 0),
        "conn_state": state,
        "local_orig": ends["id.orig_h"].startswith("10."),
        "local_resp": ends["id.resp_h"].startswith("10."),
        "missed_bytes": 0,
        "history": history,
        "orig_pkts": out,
        "orig_ip_bytes": session["bytes_out"],
        "resp_pkts": back,
        "resp_ip_bytes": session["bytes_in"],
    }
    if session["service"] in _SERVICES:
        values["service"] = _SERVICES[session["service"]]
    if out + back > 1:
        values["duration"] = round(session["duration_s"] * SECOND_US)
    return values


def _details(
    session: dict[str, Any], names: Sequence[str]
) -> list[tuple[str, dict[str, Any]]]:
    """Return log and own columns of the records of the application layer."""
    service, name, user = session["service"], session["name"], session["user"]
    client, server = names[session["source"]], names[session["destination"]]
    if service == Service.DNS and name:
        return [("dns", _dns(session, name))]
    if service == Service.HTTP and name:
        return [("http", _http(session, name))]
    if service == Service.TLS and name:
        return [("ssl", _ssl(name))]
    if not user:
        return []
    let_in = not session["is_refused"]
    domain = server.partition(".")[2].upper()
    match service:
        case Service.SSH:
            return [("ssh", _ssh(let_in=let_in))]
        case Service.RDP:
            result = {"result": "encrypted", "security_protocol": "HYBRID"}
            # The cookie holds no more than nine characters of the name.
            return [("rdp", {"cookie": user[:9], **result, "cert_count": 0})]
        case Service.KERBEROS:
            kerberos = {
                "request_type": "AS",
                "client": f"{user}/{domain}",
                "service": f"krbtgt/{domain}",
                "success": let_in,
                "cipher": "aes256-cts-hmac-sha1-96",
                "forwardable": True,
                "renewable": True,
            }
            if not let_in:
                kerberos["error_msg"] = "KDC_ERR_PREAUTH_FAILED"
            return [("kerberos", kerberos)]
        case Service.SMB:
            return _smb(session, user, client, server)
        case _:
            return []


def _dns(session: dict[str, Any], name: str) -> dict[str, Any]:
    return {
        "proto": "udp",
        "trans_id": session["source_port"],
        "rtt": round(session["duration_s"] * SECOND_US),
        "query": name,
        "qclass": 1,
        "qclass_name": "C_INTERNET",
        "qtype": 1,
        "qtype_name": "A",
        "rcode": 0,
        "rcode_name": "NOERROR",
        "AA": False,
        "TC": False,
        "RD": True,
        "RA": True,
        "Z": 0,
        "rejected": False,
    }


def _http(session: dict[str, Any], name: str) -> dict[str, Any]:
    host, _, path = name.partition("/")
    return {
        "trans_depth": 1,
        "method": "GET",
        "host": host,
        "uri": f"/{path}",
        "version": "1.1",
        "request_body_len": 0,
        "response_body_len": max(session["bytes_in"] - 40 * session["packets_in"], 0),
        "status_code": 200,
        "status_msg": "OK",
        "tags": (),
    }


def _ssl(name: str) -> dict[str, Any]:
    return {
        "version": "TLSv13",
        "cipher": "TLS_AES_256_GCM_SHA384",
        "curve": "x25519",
        "server_name": name,
        "resumed": False,
        "established": True,
        "ssl_history": "CsiI",
    }


def _ssh(*, let_in: bool) -> dict[str, Any]:
    return {
        "version": 2,
        "auth_success": let_in,
        "auth_attempts": 1 if let_in else 3,
        "client": "SSH-2.0-OpenSSH_9.6",
        "server": "SSH-2.0-OpenSSH_9.6",
        "cipher_alg": "chacha20-poly1305@openssh.com",
        "mac_alg": "umac-64-etm@openssh.com",
        "compression_alg": "none",
        "kex_alg": "curve25519-sha256",
        "host_key_alg": "ssh-ed25519",
    }


def _smb(
    session: dict[str, Any], user: str, client: str, server: str
) -> list[tuple[str, dict[str, Any]]]:
    """Return the logon, and the share and the file of whom was let in."""
    host, _, domain = server.partition(".")
    let_in = not session["is_refused"]
    logon = {
        "username": user,
        "hostname": client.partition(".")[0].upper(),
        "domainname": domain.partition(".")[0].upper(),
        "server_nb_computer_name": host.upper(),
        "server_dns_computer_name": server,
        "server_tree_name": domain,
        "success": let_in,
    }
    if not let_in:
        return [("ntlm", logon)]
    share, _, name = session["name"].partition("\\")
    path = f"\\\\{server}\\{share}"
    is_write = session["bytes_out"] > session["bytes_in"]
    opened = {
        "action": "SMB::FILE_WRITE" if is_write else "SMB::FILE_OPEN",
        "path": path,
        "name": name,
        "size": max(session["bytes_out" if is_write else "bytes_in"], 0),
    }
    return [
        ("ntlm", logon),
        ("smb_mapping", {"path": path, "share_type": "DISK"}),
        ("smb_files", opened),
    ]
