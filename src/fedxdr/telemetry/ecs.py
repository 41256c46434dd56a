# SPDX-License-Identifier: Apache-2.0
"""Events of the Elastic Common Schema (ECS), as JSON lines of nested objects.

Reads what Beats, Elastic Agent and Packetbeat write about connections, DNS, HTTP, TLS,
logons and processes. Windows events of winlogbeat are read by windows.py.

It does NOT read dotted field names (``"source.ip"``), and makes nothing of severity or
risk: an alert's row is of kind ``ALERT``, which no model reads, and is a weak label
only where it names an ATT&CK technique, because ECS gives severities no scale.

Rule: a connection's time is when it began (``event.start``), where that is told.

Source: Elastic, "ECS Field Reference" 8.x, field sets by name; "ECS Categorization
Fields" for ``event.kind``, ``category``, ``type`` and ``outcome``.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from fedxdr.telemetry import catalogue
from fedxdr.telemetry.catalogue import Kind, Service, State
from fedxdr.telemetry.edges import (
    NO_ENDPOINTS,
    Count,
    Edge,
    EdgeParser,
    Port,
    Text,
    account,
    host_of,
    port_of,
    text_of,
)
from fedxdr.telemetry.event import MALICIOUS, UNLABELLED
from fedxdr.telemetry.parser import Tokenise, Tokeniser
from fedxdr.telemetry.suricata import LABEL_SEVERITY
from fedxdr.telemetry.timestamps import SECOND_NS

_Texts = list[str] | str | None


class _Event(msgspec.Struct, gc=False):
    kind: Text = None
    category: _Texts = None
    type: _Texts = None
    outcome: Text = None
    start: str = ""
    duration: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None


class _End(msgspec.Struct, gc=False):
    ip: Text = None
    address: Text = None
    domain: Text = None
    port: Port = None
    bytes: Count | None = None
    packets: Count | None = None


class _Network(msgspec.Struct, gc=False):
    transport: Text = None
    iana_number: Text = None
    protocol: Text = None


class _Question(msgspec.Struct, gc=False):
    name: Text = None


class _Dns(msgspec.Struct, gc=False):
    question: _Question | None = None


class _Url(msgspec.Struct, gc=False):
    domain: Text = None
    path: Text = None
    query: Text = None


class _Client(msgspec.Struct, gc=False):
    server_name: Text = None


class _Tls(msgspec.Struct, gc=False):
    client: _Client | None = None


class _User(msgspec.Struct, gc=False):
    name: Text = None
    domain: Text = None


class _Host(msgspec.Struct, gc=False):
    name: Text = None
    hostname: Text = None


class _Process(msgspec.Struct, gc=False):
    command_line: Text = None


class _Technique(msgspec.Struct, gc=False):
    id: _Texts = None


class _Threat(msgspec.Struct, gc=False):
    technique: _Technique | None = None


class _Record(msgspec.Struct, gc=False):
    timestamp: str = msgspec.field(name="@timestamp")
    event: _Event | None = None
    source: _End | None = None
    destination: _End | None = None
    network: _Network | None = None
    dns: _Dns | None = None
    url: _Url | None = None
    tls: _Tls | None = None
    user: _User | None = None
    host: _Host | None = None
    process: _Process | None = None
    threat: _Threat | None = None


_DECODER: Final = msgspec.json.Decoder(_Record)
_NO_EVENT: Final = _Event()
_NO_END: Final = _End()
_NO_NETWORK: Final = _Network()
_NO_HOST: Final = _Host()
_NO_USER: Final = _User()

_CATEGORIES: Final = {  # the first one that an event is of counts
    "authentication": Kind.AUTH,
    "process": Kind.PROCESS,
    "web": Kind.HTTP,
    "network": Kind.FLOW,
}
_OUTCOMES: Final = {"success": State.COMPLETED, "failure": State.REJECTED}
_ON_A_HOST: Final = frozenset({Kind.AUTH, Kind.PROCESS})
_NO_BEGIN: Final = "an end of a session or process"


class EcsParser(EdgeParser[_Record]):
    """Reads ECS events.

    Args:
        tokenise: turns addresses, and users where it can, into tokens.
        label_severity: 0 for no weak labels; any other number changes nothing.
    """

    def __init__(
        self,
        tokenise: Tokenise | Tokeniser,
        *,
        label_severity: int = LABEL_SEVERITY,
    ) -> None:
        super().__init__(tokenise, _DECODER, time_of=_time_of, edge_of=self._edge)
        self._is_labelling = label_severity > 0

    def _edge(self, record: _Record) -> Edge | str:
        kind = _kind(record)
        types = _list((record.event or _NO_EVENT).type)
        if kind in _ON_A_HOST and types and "start" not in types and "end" in types:
            return _NO_BEGIN
        edge = _on_a_host(record, kind) if kind in _ON_A_HOST else _between(record)
        if not (edge.source and edge.destination):
            return NO_ENDPOINTS
        technique = _technique(record) if self._is_labelling else ""
        if kind is Kind.ALERT and technique:
            return msgspec.structs.replace(edge, label=MALICIOUS, technique=technique)
        return edge


def _time_of(record: _Record) -> str:
    start = (record.event or _NO_EVENT).start
    return start if start and _kind(record) is Kind.FLOW else record.timestamp


def _list(texts: _Texts) -> list[str]:
    return [texts] if isinstance(texts, str) else texts or []


def _kind(record: _Record) -> Kind:
    """Tell what a record is about."""
    event = record.event or _NO_EVENT
    if event.kind == "alert":
        return Kind.ALERT
    if record.dns is not None:
        return Kind.DNS
    categories = _list(event.category)
    found = [kind for name, kind in _CATEGORIES.items() if name in categories]
    kind = found[0] if found else Kind.OTHER
    if kind is Kind.FLOW and record.tls is not None:
        return Kind.TLS
    return kind


def _here(record: _Record) -> str:
    host = record.host or _NO_HOST
    return text_of(host.name) or text_of(host.hostname)


def _name(end: _End | None, here: str) -> str:
    given = end or _NO_END
    return (
        host_of(given.ip, here)
        or host_of(given.address, here)
        or host_of(given.domain, here)
    )


def _user(record: _Record) -> str:
    user = record.user or _NO_USER
    return account(user.name, user.domain)


def _between(record: _Record) -> Edge:
    """Return a record about an exchange of two hosts."""
    kind = _kind(record)
    here = _here(record)
    event = record.event or _NO_EVENT
    network = record.network or _NO_NETWORK
    source, destination = record.source or _NO_END, record.destination or _NO_END
    service = catalogue.service_of(text_of(network.protocol))
    if service is Service.UNKNOWN:
        service = Service(int(catalogue.SERVICE_BY_KIND[kind]))
    number = text_of(network.iana_number)
    return Edge(
        kind=kind,
        source=_name(source, here),
        destination=_name(destination, here),
        source_port=port_of(source.port),
        destination_port=port_of(destination.port),
        protocol=catalogue.protocol_of(number or text_of(network.transport)),
        service=service,
        bytes_out=-1 if source.bytes is None else source.bytes,
        bytes_in=-1 if destination.bytes is None else destination.bytes,
        packets_out=-1 if source.packets is None else source.packets,
        packets_in=-1 if destination.packets is None else destination.packets,
        duration_s=(
            float("nan") if event.duration is None else event.duration / SECOND_NS
        ),
        text=_text(record),
        user=_user(record),
        label=UNLABELLED,
    )


def _on_a_host(record: _Record, kind: Kind) -> Edge:
    """Return a logon at this host, or the begin of a program on it."""
    here = _here(record)
    event = record.event or _NO_EVENT
    if kind is Kind.PROCESS:
        process = record.process or _Process()
        return Edge(
            kind=kind,
            source=here,
            destination=here,
            text=text_of(process.command_line),
            user=_user(record),
        )
    source = record.source or _NO_END
    destination = _name(record.destination, here) or here
    return Edge(
        kind=kind,
        source=_name(source, here) if record.source is not None else here,
        destination=destination,
        source_port=port_of(source.port),
        state=_OUTCOMES.get(text_of(event.outcome), State.UNKNOWN),
        user=_user(record),
    )


def _text(record: _Record) -> str:
    """Return the name that was asked for."""
    if record.dns is not None:
        question = record.dns.question
        return "" if question is None else text_of(question.name)
    if record.url is not None:
        query = text_of(record.url.query)
        tail = f"?{query}" if query else ""
        return text_of(record.url.domain) + text_of(record.url.path) + tail
    client = record.tls.client if record.tls is not None else None
    return "" if client is None else text_of(client.server_name)


def _technique(record: _Record) -> str:
    technique = record.threat.technique if record.threat is not None else None
    return next(iter(_list(technique.id)), "") if technique is not None else ""
