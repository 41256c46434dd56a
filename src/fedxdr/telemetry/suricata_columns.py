# SPDX-License-Identifier: Apache-2.0
"""EVE records, some hundred at a time, as columns of one block.

It does NOT decode lines (suricata.py) and does NOT say who acted (suricata_types.py).

Rule 1: a record is looked at while it is in the processor's cache and then given up;
what stays are lists of numbers and short texts. numpy is called once for a block.
Rule 2: a flow's time is when it began, any other record's when it was written.
Rule 3: of a message with several DNS queries every query is one event.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from itertools import compress
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedxdr.telemetry import catalogue
from fedxdr.telemetry.catalogue import Kind, Service, State
from fedxdr.telemetry.edges import NO_ENDPOINTS
from fedxdr.telemetry.event import MALICIOUS, UNLABELLED, Events
from fedxdr.telemetry.parser import Remembered, TextShapes, Tokeniser, remembered_tokens
from fedxdr.telemetry.suricata_fields import (
    Alert,
    Dns,
    Flow,
    FullRecord,
    Http,
    Netflow,
    Record,
    Tcp,
)
from fedxdr.telemetry.suricata_states import flags_of, state_of, states
from fedxdr.telemetry.suricata_types import (
    MORE,
    TOLD,
    basic_user,
    first_name,
    name_of,
    read_arp,
    read_netflow,
)
from fedxdr.telemetry.timestamps import SECOND_NS, Moments, moments_ns

STATISTICS: Final = "the sensor's own statistics"
"""Why a record of type ``stats`` is skipped."""

_NO_FLOW: Final = Flow()
_NO_TCP: Final = Tcp()
_NO_HTTP: Final = Http()
_TCP: Final = catalogue.PROTOCOLS["tcp"]
_SERVICE_BITS: Final = 8
_FLOW: Final = Kind.FLOW << _SERVICE_BITS | Service.UNKNOWN
_ALERT: Final = Kind.ALERT << _SERVICE_BITS | Service.UNKNOWN
_HTTP: Final = Kind.HTTP << _SERVICE_BITS | Service.HTTP

_OF_ALL: Final[dict[str, type[np.generic]]] = {
    "source": np.int64,
    "destination": np.int64,
    "source_port": np.int32,
    "destination_port": np.int32,
    "protocol": np.int16,
    "service": np.int16,
    "flow_id": np.uint64,
}
_OF_FLOWS: Final = (
    "packets_out",
    "packets_in",
    "bytes_out",
    "bytes_in",
    "age",
    "told",
    "ours",
    "theirs",
    "is_half",
)


_SMALL: Final = frozenset({"source_port", "destination_port", "protocol", "service"})


class Tables:
    """What names mean, remembered from block to block.

    Args:
        tokeniser: turns addresses and users into tokens.
    """

    def __init__(self, tokeniser: Tokeniser) -> None:
        self.addresses = remembered_tokens(tokeniser.address)
        self.users = remembered_tokens(tokeniser.user)
        self.texts = TextShapes()
        self.types = Remembered(_type_code)
        self.services = Remembered(catalogue.service_of)
        self.protocols = Remembered(catalogue.protocol_of)
        self.flags = Remembered(flags_of)
        self.states = Remembered(state_of)

    def trim(self) -> None:
        """Forget what has become too much."""
        for table in (
            self.addresses,
            self.users,
            self.types,
            self.services,
            self.protocols,
            self.flags,
            self.states,
        ):
            table.trim()


class Gathered:
    """Records of one block, as lists.

    Args:
        tables: of the parser.
    """

    def __init__(self, tables: Tables) -> None:
        tables.trim()
        self._tables = tables
        self._times = Moments()
        self._types: list[int] = []
        # Of every record, by name of its column.
        self._all: dict[str, list[int]] = {name: [] for name in _OF_ALL}
        # Of every flow.
        self._flows: dict[str, list[int]] = {name: [] for name in _OF_FLOWS}
        self._begins, self._ends = Moments(), Moments()
        # Of every other record, of those of HTTP and of alerts.
        self._names: list[str | None] = []
        self._told: list[tuple[int, str, State]] = []
        self._lengths: list[int] = []
        self._alerts: list[Alert | None] = []
        self.why_skipped: Counter[str] = Counter()

    def take(self, records: Sequence[Record]) -> None:
        """Add some records.

        Args:
            records: in the order of their lines; those of ARP are completed.
        """
        tables, every = self._tables, self._all
        sources = [r.src_ip for r in records]
        destinations = [r.dest_ip for r in records]
        if not (all(sources) and all(destinations)):
            records = self._with_ends(records)
            sources = [r.src_ip for r in records]
            destinations = [r.dest_ip for r in records]
        types = list(map(tables.types.__getitem__, [r.event_type for r in records]))
        others = list(compress(records, map(_FLOW.__ne__, types)))
        if any([r.dns is not None and r.dns.queries is not None for r in others]):  # noqa: C419 - a list is faster
            spread = [one for record in records for one in _one_query_each(record)]
            if len(spread) != len(records):
                self.take(spread)
                return
        self._times.add([r.timestamp for r in records])
        self._types += types
        every["source"] += map(tables.addresses.__getitem__, sources)
        every["destination"] += map(tables.addresses.__getitem__, destinations)
        every["source_port"] += [r.src_port for r in records]
        every["destination_port"] += [r.dest_port for r in records]
        protocols = [r.proto for r in records]
        every["protocol"] += map(tables.protocols.__getitem__, protocols)
        services = [r.app_proto for r in records]
        every["service"] += map(tables.services.__getitem__, services)
        every["flow_id"] += [r.flow_id for r in records]
        if len(others) < len(records):
            self._take_flows(list(compress(records, map(_FLOW.__eq__, types))))
        if others:
            self._take_others(others, [code for code in types if code != _FLOW])

    def _with_ends(self, records: Sequence[Record]) -> list[Record]:
        """Return the records that name two ends; count why the others are skipped."""
        kept: list[Record] = []
        for record in records:
            if isinstance(record, FullRecord) and not record.src_ip:
                arp = read_arp(record.arp)
                if arp is not None:
                    record.src_ip, record.dest_ip = arp.src_ip, arp.dest_ip
            if record.src_ip and record.dest_ip:
                kept.append(record)
            else:
                is_stats = record.event_type == "stats"
                self.why_skipped[STATISTICS if is_stats else NO_ENDPOINTS] += 1
        return kept

    def _take_flows(self, records: Sequence[Record]) -> None:
        """Add what flow records tell."""
        tables, every = self._tables, self._flows
        flows = [r.flow or _flow_of(r) for r in records]
        handshakes = [r.tcp or _NO_TCP for r in records]
        every["packets_out"] += [f.pkts_toserver for f in flows]
        every["packets_in"] += [f.pkts_toclient for f in flows]
        every["bytes_out"] += [f.bytes_toserver for f in flows]
        every["bytes_in"] += [f.bytes_toclient for f in flows]
        every["age"] += [f.age for f in flows]
        every["told"] += map(tables.states.__getitem__, [f.state for f in flows])
        ours = [tcp.tcp_flags_ts for tcp in handshakes]
        every["ours"] += map(tables.flags.__getitem__, ours)
        theirs = [tcp.tcp_flags_tc for tcp in handshakes]
        every["theirs"] += map(tables.flags.__getitem__, theirs)
        every["is_half"] += [type(f) is Netflow for f in flows]
        self._begins.add([f.start for f in flows])
        self._ends.add([f.end for f in flows])

    def _take_others(self, records: Sequence[Record], types: Sequence[int]) -> None:
        """Add what all other records tell."""
        begin = len(self._names)
        self._names += [_name(record) for record in records]
        if not MORE.isdisjoint([r.event_type for r in records]):
            self._told += [
                (row, *TOLD[record.event_type](record))
                for row, record in enumerate(records, begin)
                if record.event_type in TOLD and isinstance(record, FullRecord)
            ]
        if _HTTP in types:
            rows = [row for row, code in enumerate(types) if code == _HTTP]
            https = [records[row].http or _NO_HTTP for row in rows]
            self._lengths += [http.length for http in https]
            for row, http in zip(rows, https, strict=True):
                if http.authorization or http.request_headers:
                    self._told.append((begin + row, basic_user(http), State.UNKNOWN))
        if _ALERT in types:
            alerts = compress(records, map(_ALERT.__eq__, types))
            self._alerts += [record.alert for record in alerts]

    def events(self, *, label_severity: int) -> tuple[Events, bool]:
        """Return all records as columns, and whether all their times are times.

        Args:
            label_severity: see ``suricata.EveParser``.
        """
        rows = len(self._types)
        if not rows:
            return Events.empty(), True
        columns: dict[str, NDArray[Any]] = {
            name: _small(values) if name in _SMALL else np.fromiter(values, dtype, rows)
            for (name, dtype), values in zip(
                _OF_ALL.items(), self._all.values(), strict=True
            )
        }
        times, sound = moments_ns(self._times, self._begins, self._ends)
        columns["time_ns"] = times[:rows]
        code = _small(self._types).astype(np.int16)
        kind = columns["kind"] = code >> _SERVICE_BITS
        about = code & ((1 << _SERVICE_BITS) - 1)
        columns["service"] = np.where(columns["service"] > 0, columns["service"], about)
        columns["state"] = np.full(rows, State.UNKNOWN, np.int16)
        is_flow = kind == Kind.FLOW
        self._fill_flows(columns, np.flatnonzero(is_flow), times[rows:], sound[rows:])
        self._fill_others(columns, np.flatnonzero(~is_flow))
        where = np.flatnonzero(kind == Kind.HTTP)
        columns["bytes_in"][where] = self._lengths
        techniques = self._fill_labels(columns, label_severity)
        events = Events.build(rows, columns, techniques=techniques)
        return events, bool(sound[:rows].all())

    def _fill_flows(
        self,
        columns: dict[str, NDArray[Any]],
        where: NDArray[np.intp],
        limits: NDArray[np.int64],
        has_limits: NDArray[np.bool_],
    ) -> None:
        """Write what flow records tell into their rows; the others stay "not known".

        Args:
            columns: of the block.
            where: (n,) rows of the flows.
            limits: (2 n,) int64, when they began, then when they ended.
            has_limits: (2 n,) bool, which of these are times.
        """
        rows, flows = len(columns["kind"]), len(where)
        told = {name: _small(values) for name, values in self._flows.items()}
        for name in ("packets_out", "packets_in", "bytes_out", "bytes_in"):
            columns[name] = np.full(rows, -1, np.int64)
            columns[name][where] = told[name]
        columns["duration_s"] = np.full(rows, np.nan, np.float32)
        begin, end = limits[:flows], limits[flows:]
        has_begin, has_end = has_limits[:flows], has_limits[flows:]
        columns["time_ns"][where[has_begin]] = begin[has_begin]
        is_timed = has_begin & has_end & (end >= begin)
        duration = np.where(is_timed, (end - begin) / SECOND_NS, np.nan)
        age = told["age"]
        duration = np.where(is_timed | (age < 0), duration, age)
        columns["duration_s"][where] = duration
        reached = states(
            told["told"],
            is_tcp=columns["protocol"][where] == _TCP,
            replied=told["packets_in"] > 0,
            ours=told["ours"],
            theirs=told["theirs"],
        )
        # One direction alone does not tell how far the connection got.
        is_half = told["is_half"] > 0
        columns["state"][where] = np.where(is_half, State.UNKNOWN, reached)

    def _fill_others(
        self, columns: dict[str, NDArray[Any]], where: NDArray[np.intp]
    ) -> None:
        """Write names, users and what became of them into the rows of no flows.

        Args:
            columns: of the block.
            where: rows of the records that are no flows.
        """
        rows = len(columns["kind"])
        columns["text_length"] = np.full(rows, -1, np.int32)
        columns["text_entropy"] = np.full(rows, np.nan, np.float32)
        lengths, entropies = self._tables.texts.of(self._names)
        columns["text_length"][where] = lengths
        columns["text_entropy"][where] = entropies
        columns["user"] = np.zeros(rows, np.int64)
        if self._told:
            telling = where[[row for row, _, _ in self._told]]
            names = [name for _, name, _ in self._told]
            columns["user"][telling] = self._tables.users.of(names, np.int64)
            columns["state"][telling] = [state for _, _, state in self._told]

    def _fill_labels(
        self, columns: dict[str, NDArray[Any]], label_severity: int
    ) -> tuple[str, ...]:
        """Label the rows of alerts; return the techniques they name."""
        rows = len(columns["kind"])
        label = columns["label"] = np.full(rows, UNLABELLED, np.int8)
        technique = columns["technique"] = np.full(rows, -1, np.int16)
        names: dict[str, int] = {}
        where = np.flatnonzero(columns["kind"] == Kind.ALERT).tolist()
        for row, alert in zip(where, self._alerts, strict=True):
            if alert is None or alert.severity is None:
                continue
            if alert.severity <= label_severity:
                label[row] = MALICIOUS
                name = _technique(alert)
                if name is not None:
                    technique[row] = names.setdefault(name, len(names))
        return tuple(names)


def _small(values: Sequence[int]) -> NDArray[np.int64]:
    """Return numbers that fit int64 as an array; the fastest way for those < 2^30."""
    return np.frombuffer(struct.pack(f"={len(values)}q", *values), np.int64)


def _flow_of(record: Record) -> Flow:
    """Return what a record without a flow tells of one: of NetFlow, one direction."""
    if isinstance(record, FullRecord):
        return read_netflow(record.netflow) or _NO_FLOW
    return _NO_FLOW


def _type_code(event_type: str | None) -> int:
    """Return kind and service of a type of record in one number."""
    about = catalogue.service_of_record(event_type)
    return catalogue.kind_of(event_type) << _SERVICE_BITS | about


def _is_several(dns: Dns) -> bool:
    """Return whether a message has more than one query, and names none besides."""
    return dns.queries is not None and len(dns.queries) > 1 and not dns.rrname


def _one_query_each(record: Record) -> list[Record]:
    """Return a record of several DNS queries as so many records of one."""
    dns = record.dns
    is_dns = catalogue.kind_of(record.event_type) is Kind.DNS
    if dns is None or not is_dns or not _is_several(dns):
        return [record]
    return [
        msgspec.structs.replace(record, dns=Dns(rrname=query.rrname))
        for query in dns.queries or ()
    ]


def _name(record: Record) -> str | None:
    """Return the name a record asks for: query, host and path, server name."""
    if record.dns is not None:
        return first_name(record.dns)
    if record.http is not None:
        return (record.http.hostname or "") + (record.http.url or "")
    return name_of(record) if record.tls is None else record.tls.sni


def _technique(alert: Alert) -> str | None:
    """Return the ATT&CK technique that the signature's metadata names."""
    if alert.metadata is None:
        return None
    named = alert.metadata.mitre_technique_id
    if isinstance(named, list):
        return named[0] if named else None
    return named
