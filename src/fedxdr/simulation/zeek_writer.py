# SPDX-License-Identifier: Apache-2.0
"""Sessions as Zeek would have logged them: ``conn.log``, tab-separated.

The last two columns are those of a labelled log, as Stratosphere writes them: what an
incident team found out stands there, everything else is unset.

It does NOT know the truth: what was found out is handed in.

Source: Zeek documentation, "conn.log"; base/frameworks/logging/writers/ascii.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from fedxdr.simulation.sessions import ICMP, TCP, Sessions
from fedxdr.telemetry.catalogue import Service, State

_COLUMNS: Final = (
    ("ts", "time"),
    ("uid", "string"),
    ("id.orig_h", "addr"),
    ("id.orig_p", "port"),
    ("id.resp_h", "addr"),
    ("id.resp_p", "port"),
    ("proto", "enum"),
    ("service", "string"),
    ("duration", "interval"),
    ("orig_bytes", "count"),
    ("resp_bytes", "count"),
    ("conn_state", "string"),
    ("local_orig", "bool"),
    ("local_resp", "bool"),
    ("missed_bytes", "count"),
    ("history", "string"),
    ("orig_pkts", "count"),
    ("orig_ip_bytes", "count"),
    ("resp_pkts", "count"),
    ("resp_ip_bytes", "count"),
    ("tunnel_parents", "set[string]"),
    ("label", "string"),
    ("detailedlabel", "string"),
)
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


def zeek_lines(
    made: Sessions,
    *,
    addresses: Sequence[str],
    uids: Sequence[str],
    found_out: dict[int, str],
    start_us: int,
) -> Iterator[str]:
    """Yield the log's lines in order, header first.

    Args:
        made: n sessions, by ascending start.
        addresses: one per host of the estate.
        uids: n identifiers.
        found_out: technique of the sessions that an incident team labelled malicious,
            by session number.
        start_us: when the world began, microseconds since 1970.
    """
    opened = np.datetime_as_string(np.datetime64(start_us, "us"), unit="s")
    yield "#separator \\x09"
    yield "#set_separator\t,"
    yield "#empty_field\t(empty)"
    yield "#unset_field\t-"
    yield "#path\tconn"
    yield "#open\t" + str(opened).translate(str.maketrans("T:", "--"))
    yield "#fields\t" + "\t".join(name for name, _ in _COLUMNS)
    yield "#types\t" + "\t".join(kind for _, kind in _COLUMNS)
    start = start_us + np.rint(made.start_s * 1e6).astype(np.int64)
    table = zip(
        start.tolist(),
        uids,
        made.source.tolist(),
        made.source_port.tolist(),
        made.destination.tolist(),
        made.destination_port.tolist(),
        made.protocol.tolist(),
        made.service.tolist(),
        made.duration_s.tolist(),
        made.bytes_out.tolist(),
        made.bytes_in.tolist(),
        made.packets_out.tolist(),
        made.packets_in.tolist(),
        made.state.tolist(),
        strict=True,
    )
    for row, cells in enumerate(table):
        time, uid, source, sport, target, port, protocol, service = cells[:8]
        duration, sent, received, out, back, code = cells[8:]
        header = _HEADER_BYTES[protocol]
        state, history = _STATES[State(code)]
        if protocol != TCP:
            history = "Dd" if back else "D"
        if protocol == ICMP:
            sport = 8
        label = "Malicious" if row in found_out else "-"
        yield "\t".join(
            (
                f"{time // 1_000_000}.{time % 1_000_000:06d}",
                uid,
                addresses[source],
                str(sport),
                addresses[target],
                str(port),
                _PROTOCOLS[protocol],
                _SERVICES.get(service, "-"),
                f"{duration:.6f}" if out + back > 1 else "-",
                str(max(sent - header * out, 0)),
                str(max(received - header * back, 0)),
                state,
                "T",
                "T",
                "0",
                history,
                str(out),
                str(sent),
                str(back),
                str(received),
                "-",
                label,
                found_out.get(row, "-"),
            )
        )
    closed = start_us + int(1e6 * (made.start_s[-1] if len(made) else 0))
    stamp = np.datetime_as_string(np.datetime64(closed, "us"), unit="s")
    yield "#close\t" + str(stamp).translate(str.maketrans("T:", "--"))
