# SPDX-License-Identifier: Apache-2.0
"""Suricata's EVE log (newline-delimited JSON) as events.

Reads every record type that names two addresses: flow, alert, dns (versions 1, 2 and
3), http, tls, ssh, smb, anomaly, fileinfo and others; ``stats`` and the like are
skipped.

It does NOT make features of what Suricata thought: signature, category and severity of
an alert become a weak label at most (``mark_alerted``), and the alert's own row is of
kind ``ALERT``, which no model reads.

Rule 1: a flow's time is when it began, any other record's when it was written.
Rule 2: bytes are those Suricata counts, whole frames with their headers.

Source: Suricata 8 user guide, "EVE JSON Format" and etc/schema.json.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedxdr.telemetry import catalogue
from fedxdr.telemetry.catalogue import Kind, State
from fedxdr.telemetry.event import MALICIOUS, UNLABELLED, Events
from fedxdr.telemetry.json_lines import read_json_lines
from fedxdr.telemetry.parser import (
    Parsed,
    Tokenise,
    Tokeniser,
    codes,
    line_count,
    text_shapes,
    tokeniser_of,
    tokens,
)
from fedxdr.telemetry.timestamps import SECOND_NS, iso_times_ns

LABEL_SEVERITY: Final = 2
"""Alerts up to this severity (1 high, 2 medium) are weak labels; 3 informs only."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
_Texts = str | list[str]


class _Flow(msgspec.Struct, gc=False):
    pkts_toserver: _Count = -1
    pkts_toclient: _Count = -1
    bytes_toserver: _Count = -1
    bytes_toclient: _Count = -1
    start: str = ""
    end: str = ""
    age: _Count = -1
    state: str | None = None


class _Tcp(msgspec.Struct, gc=False):
    tcp_flags_ts: str = ""
    tcp_flags_tc: str = ""


class _Query(msgspec.Struct, gc=False):
    rrname: str | None = None


class _Dns(msgspec.Struct, gc=False):
    rrname: str | None = None
    queries: list[_Query] | None = None


class _Http(msgspec.Struct, gc=False):
    hostname: str | None = None
    url: str | None = None
    length: _Count = -1


class _Tls(msgspec.Struct, gc=False):
    sni: str | None = None


class _Metadata(msgspec.Struct, gc=False):
    mitre_technique_id: _Texts | None = None


class _Alert(msgspec.Struct, gc=False):
    severity: int | None = None
    metadata: _Metadata | None = None


class _Record(msgspec.Struct, gc=False):
    timestamp: str
    event_type: str
    flow_id: _Count = 0
    src_ip: str = ""
    dest_ip: str = ""
    src_port: _Port = -1
    dest_port: _Port = -1
    proto: str | None = None
    app_proto: str | None = None
    flow: _Flow | None = None
    tcp: _Tcp | None = None
    dns: _Dns | None = None
    http: _Http | None = None
    tls: _Tls | None = None
    alert: _Alert | None = None


_DECODER: Final = msgspec.json.Decoder(_Record, strict=False)
_NO_FLOW: Final = _Flow()
_NO_TCP: Final = _Tcp()
_TCP: Final = catalogue.PROTOCOLS["tcp"]
_ODD_A, _ODD_B, _ODD_C = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xC2B2AE3D27D4EB4F),
    np.uint64(0x165667B19E3779F9),
)
_FIN, _SYN, _RST = 0x01, 0x02, 0x04
_FLAGS: Final = {f"{value:02x}": value for value in range(256)}
_STATES: Final = {
    "new": State.ATTEMPTED,
    "established": State.ESTABLISHED,
    "closed": State.COMPLETED,
}


class EveParser:
    """Reads EVE.

    Args:
        tokenise: turns addresses, and users where it can, into tokens.
        label_severity: alerts of this severity and worse (lower numbers) are weak
            labels, 0 for none.
    """

    def __init__(
        self,
        tokenise: Tokenise | Tokeniser,
        *,
        label_severity: int = LABEL_SEVERITY,
    ) -> None:
        self._tokeniser = tokeniser_of(tokenise)
        self._label_severity = label_severity

    def parse(self, block: bytes, *, first_line: int = 1) -> Parsed:
        """Return what a block of whole lines holds, see ``parser.Parser``.

        Only alerts are labelled in it; ``mark_alerted`` carries their labels over to
        the other records of the connection once all blocks are read.
        """
        records, times, rejected = read_json_lines(
            block, _DECODER, _times, first_line=first_line
        )
        kept = records
        if any(not (r.src_ip and r.dest_ip) for r in records):
            ended = [bool(r.src_ip and r.dest_ip) for r in records]
            kept = [
                record
                for record, is_kept in zip(records, ended, strict=True)
                if is_kept
            ]
            times = times[np.array(ended, np.bool_)]
        return Parsed(
            events=self._columns(kept, times),
            rejected=rejected,
            skipped=len(records) - len(kept),
            lines=line_count(block),
        )

    def _columns(self, records: list[_Record], times: NDArray[np.int64]) -> Events:
        """Return the records as columns: one pass per field, then numpy."""
        rows = len(records)
        if not rows:
            return Events.empty()
        addresses = [r.src_ip for r in records]
        addresses += [r.dest_ip for r in records]
        entities = tokens(addresses, self._tokeniser.address)
        kind = codes([r.event_type for r in records], catalogue.kind_of)
        service = codes([r.app_proto for r in records], catalogue.service_of)
        lengths, entropies = text_shapes(_names(records))
        columns: dict[str, NDArray[Any]] = {
            "time_ns": times,
            "source": entities[:rows],
            "destination": entities[rows:],
            "source_port": np.array([r.src_port for r in records], np.int64),
            "destination_port": np.array([r.dest_port for r in records], np.int64),
            "protocol": codes([r.proto for r in records], catalogue.protocol_of),
            "service": np.where(service > 0, service, catalogue.SERVICE_BY_KIND[kind]),
            "kind": kind,
            "text_length": lengths,
            "text_entropy": entropies,
            "flow_id": np.array([r.flow_id for r in records], np.uint64),
        }
        _fill_flows(columns, records)
        _fill_bodies(columns, records)
        techniques = self._fill_labels(columns, records)
        return Events.build(rows, columns, techniques=techniques)

    def _fill_labels(
        self, columns: dict[str, NDArray[Any]], records: Sequence[_Record]
    ) -> tuple[str, ...]:
        """Label the rows of alerts; return the techniques they name."""
        label = columns["label"] = np.full(len(records), UNLABELLED, np.int8)
        technique = columns["technique"] = np.full(len(records), -1, np.int16)
        names: dict[str, int] = {}
        for row in np.flatnonzero(columns["kind"] == Kind.ALERT).tolist():
            alert = records[row].alert
            if alert is None or alert.severity is None:
                continue
            if alert.severity <= self._label_severity:
                label[row] = MALICIOUS
                name = _technique(alert)
                if name is not None:
                    technique[row] = names.setdefault(name, len(names))
        return tuple(names)


def mark_alerted(events: Events) -> Events:
    """Return events in which every record of an alerted connection is labelled.

    A record is labelled like an alert of the same flow identifier between the same two
    entities (Suricata uses an identifier again, for other hosts). Where alerts of one
    connection name several techniques, the first one counts.

    Args:
        events: all records of a sensor, alerts among them.
    """
    pair = np.minimum(events.source, events.destination).view(np.uint64) * _ODD_A
    pair += np.maximum(events.source, events.destination).view(np.uint64) * _ODD_B
    connection = events.flow_id * _ODD_C ^ pair
    is_label = (events.kind == Kind.ALERT) & (events.label == MALICIOUS)
    is_label &= events.flow_id != 0
    marks = np.flatnonzero(is_label)
    if not len(marks):
        return events
    # The first alert with a technique stands for its connection, or else the first.
    named_first = np.argsort(events.technique[marks] < 0, kind="stable")
    ids, first = np.unique(connection[marks[named_first]], return_index=True)
    mark = marks[named_first[first]]
    place = np.minimum(np.searchsorted(ids, connection), len(ids) - 1)
    found = (ids[place] == connection) & (events.flow_id != 0)
    return dataclasses.replace(
        events,
        label=np.where(found, np.int8(MALICIOUS), events.label),
        technique=np.where(found, events.technique[mark][place], events.technique),
    )


def _times(records: Sequence[_Record]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    return iso_times_ns([record.timestamp for record in records])


def _names(records: Sequence[_Record]) -> list[str | None]:
    """Return the name each record asked for: query, host and path, server name."""
    return [
        None
        if r.dns is None and r.http is None and r.tls is None
        else _name(r.dns, r.http, r.tls)
        for r in records
    ]


def _name(dns: _Dns | None, http: _Http | None, tls: _Tls | None) -> str | None:
    if dns is not None:
        return dns.rrname or (dns.queries[0].rrname if dns.queries else None)
    if http is not None:
        return (http.hostname or "") + (http.url or "")
    return tls.sni if tls is not None else None


def _technique(alert: _Alert) -> str | None:
    """Return the ATT&CK technique that the signature's metadata names."""
    if alert.metadata is None:
        return None
    named = alert.metadata.mitre_technique_id
    if isinstance(named, list):
        return named[0] if named else None
    return named


def _fill_bodies(columns: dict[str, NDArray[Any]], records: Sequence[_Record]) -> None:
    """Write the length of HTTP answers into the rows of HTTP records."""
    where = np.flatnonzero(columns["kind"] == Kind.HTTP)
    https = [records[row].http for row in where.tolist()]
    columns["bytes_in"][where] = [-1 if http is None else http.length for http in https]


def _fill_flows(columns: dict[str, NDArray[Any]], records: Sequence[_Record]) -> None:
    """Write what flow records tell into their rows; the others stay "not known"."""
    rows = len(records)
    for name in ("packets_out", "packets_in", "bytes_out", "bytes_in"):
        columns[name] = np.full(rows, -1, np.int64)
    columns["duration_s"] = np.full(rows, np.nan, np.float32)
    columns["state"] = np.full(rows, State.UNKNOWN, np.int16)
    where = np.flatnonzero(columns["kind"] == Kind.FLOW)
    flows = [records[row].flow or _NO_FLOW for row in where.tolist()]
    handshakes = [records[row].tcp or _NO_TCP for row in where.tolist()]
    columns["packets_out"][where] = [f.pkts_toserver for f in flows]
    columns["packets_in"][where] = [f.pkts_toclient for f in flows]
    columns["bytes_out"][where] = [f.bytes_toserver for f in flows]
    columns["bytes_in"][where] = [f.bytes_toclient for f in flows]
    begin, has_begin = iso_times_ns([f.start for f in flows])
    end, has_end = iso_times_ns([f.end for f in flows])
    columns["time_ns"][where[has_begin]] = begin[has_begin]
    is_timed = has_begin & has_end & (end >= begin)
    duration = np.where(is_timed, (end - begin) / SECOND_NS, np.nan)
    if not is_timed.all():
        age = np.array([f.age for f in flows], np.float64)
        duration = np.where(is_timed | (age < 0), duration, age)
    columns["duration_s"][where] = duration
    columns["state"][where] = _states(
        codes([f.state for f in flows], _state_of),
        is_tcp=columns["protocol"][where] == _TCP,
        replied=columns["packets_in"][where] > 0,
        ours=codes([t.tcp_flags_ts for t in handshakes], _flags_of),
        theirs=codes([t.tcp_flags_tc for t in handshakes], _flags_of),
    )


def _flags_of(text: str | None) -> int:
    """Return TCP flags written as two hexadecimal digits, 0 where there are none."""
    return _FLAGS.get((text or "").lower(), 0)


def _state_of(text: str | None) -> State:
    """Return what Suricata's own word for a flow's state tells."""
    return _STATES.get(text or "", State.UNKNOWN)


def _states(
    told: NDArray[np.int16],
    *,
    is_tcp: NDArray[np.bool_],
    replied: NDArray[np.bool_],
    ours: NDArray[np.int16],
    theirs: NDArray[np.int16],
) -> NDArray[np.int16]:
    """Return how far flows got: by their TCP flags, or else by what Suricata says.

    Args:
        told: (n,) int16, ``flow.state`` as a ``State``.
        is_tcp: (n,) bool.
        replied: (n,) bool, whether any packet came back.
        ours: (n,) int16, TCP flags seen from the source, 0 unknown.
        theirs: (n,) int16, TCP flags seen from the destination.
    """
    without_flags = (ours == 0) & (theirs == 0)
    ended = (ours & _FIN).astype(bool), (theirs & _FIN).astype(bool)
    choices: list[tuple[NDArray[np.bool_], State]] = [
        (~is_tcp & replied, State.COMPLETED),
        (~is_tcp, State.ATTEMPTED),
        (
            (theirs & _RST > 0) & (theirs & _SYN == 0) & (ours & _SYN > 0),
            State.REJECTED,
        ),
        (~replied & (ours & (_RST | _FIN) > 0), State.ABANDONED),
        (~replied, State.ATTEMPTED),
        (ours & _SYN == 0, State.PARTIAL),
        (ours & _RST > 0, State.RESET_BY_SOURCE),
        (theirs & _RST > 0, State.RESET_BY_DESTINATION),
        (ended[0] & ended[1], State.COMPLETED),
        (ended[0] | ended[1], State.HALF_CLOSED),
    ]
    by_flags = np.select(
        [condition for condition, _ in choices],
        [np.int16(state) for _, state in choices],
        np.int16(State.ESTABLISHED),
    )
    return np.where(is_tcp & without_flags, told, by_flags)
