# SPDX-License-Identifier: Apache-2.0
"""Events of the Open Cybersecurity Schema Framework (OCSF), as JSON lines.

Reads the classes 4001 Network Activity, 4002 HTTP Activity, 4003 DNS Activity, 3002
Authentication and 1007 Process Activity. Other classes, findings among them, are
skipped; so are ends of sessions and of processes.

It does NOT read Parquet, and makes nothing of severity, risk or disposition.

Rule 1: a connection's time is when it began, where that is told.
Rule 2: bytes and packets are those of the class's ``traffic``; "out" there is from
source to destination, as here.

Source: OCSF schema 1.3.0, schema.ocsf.io, classes and objects by name.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from fedxdr.telemetry import catalogue
from fedxdr.telemetry.catalogue import Kind, Service, State
from fedxdr.telemetry.edges import (
    LATEST_MS,
    MILLISECOND_NS,
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
from fedxdr.telemetry.parser import Tokenise, Tokeniser

_Time = Annotated[int, msgspec.Meta(ge=0, lt=LATEST_MS)]
"""``timestamp_t``: milliseconds since 1970."""


class _Endpoint(msgspec.Struct, gc=False):
    ip: Text = None
    hostname: Text = None
    name: Text = None
    port: Port = None


class _Connection(msgspec.Struct, gc=False):
    protocol_num: int | None = None
    protocol_name: Text = None


class _Traffic(msgspec.Struct, gc=False):
    bytes_out: Count | None = None
    bytes_in: Count | None = None
    packets_out: Count | None = None
    packets_in: Count | None = None


class _Query(msgspec.Struct, gc=False):
    hostname: Text = None


class _Url(msgspec.Struct, gc=False):
    hostname: Text = None
    path: Text = None
    query_string: Text = None
    url_string: Text = None


class _Request(msgspec.Struct, gc=False):
    url: _Url | None = None


class _Response(msgspec.Struct, gc=False):
    length: Count | None = None


class _User(msgspec.Struct, gc=False):
    name: Text = None
    domain: Text = None


class _Process(msgspec.Struct, gc=False):
    cmd_line: Text = None
    user: _User | None = None


class _Actor(msgspec.Struct, gc=False):
    user: _User | None = None


class _Record(msgspec.Struct, gc=False):
    class_uid: int
    time: _Time
    activity_id: int = 0
    status_id: int | None = None
    start_time: _Time | None = None
    duration: Count | None = None
    src_endpoint: _Endpoint | None = None
    dst_endpoint: _Endpoint | None = None
    device: _Endpoint | None = None
    connection_info: _Connection | None = None
    traffic: _Traffic | None = None
    app_name: Text = None
    query: _Query | None = None
    http_request: _Request | None = None
    http_response: _Response | None = None
    user: _User | None = None
    actor: _Actor | None = None
    process: _Process | None = None
    is_remote: bool | None = None


_DECODER: Final = msgspec.json.Decoder(_Record)
_NO_ENDPOINT: Final = _Endpoint()
_NO_CONNECTION: Final = _Connection()
_NO_TRAFFIC: Final = _Traffic()

_NETWORK, _HTTP, _DNS, _AUTHENTICATION, _PROCESS = 4001, 4002, 4003, 3002, 1007
_NETWORK_KINDS: Final = {_NETWORK: Kind.FLOW, _HTTP: Kind.HTTP, _DNS: Kind.DNS}
_NETWORK_STATES: Final = {  # activity_id of 4001
    1: State.ESTABLISHED,  # Open
    2: State.COMPLETED,  # Close
    4: State.ATTEMPTED,  # Fail
    5: State.REJECTED,  # Refuse
}
_OUTCOMES: Final = {1: State.COMPLETED, 2: State.REJECTED}  # status_id
_LOGOFF: Final = 2
_LISTEN: Final = 7
_LAUNCH: Final = 1
_KERBEROS_ACTIVITIES: Final = frozenset({3, 4, 5})
_LARGEST_PROTOCOL: Final = 255

_OTHER_CLASS: Final = "a class that is not read"
_NO_BEGIN: Final = "an end of a session or process, or a listening port"


class OcsfParser(EdgeParser[_Record]):
    """Reads OCSF events.

    Args:
        tokenise: turns addresses, and users where it can, into tokens.
    """

    def __init__(self, tokenise: Tokenise | Tokeniser) -> None:
        super().__init__(tokenise, _DECODER, time_of=_time_of, edge_of=_edge_of)


def _time_of(record: _Record) -> int:
    time = record.time
    if record.class_uid in _NETWORK_KINDS and record.start_time is not None:
        time = record.start_time
    return time * MILLISECOND_NS


def _edge_of(record: _Record) -> Edge | str:
    """Return a record as an edge, or why it is none."""
    if record.class_uid in _NETWORK_KINDS:
        is_read = record.class_uid != _NETWORK or record.activity_id != _LISTEN
        edge = _network(record) if is_read else None
    elif record.class_uid == _AUTHENTICATION:
        edge = _authentication(record) if record.activity_id != _LOGOFF else None
    elif record.class_uid == _PROCESS:
        edge = _process(record) if record.activity_id == _LAUNCH else None
    else:
        return _OTHER_CLASS
    if edge is None:
        return _NO_BEGIN
    return edge if edge.source and edge.destination else NO_ENDPOINTS


def _name(endpoint: _Endpoint | None, here: str = "") -> str:
    """Return what an endpoint is called: its address, or else its name."""
    end = endpoint or _NO_ENDPOINT
    return host_of(end.ip, here) or text_of(end.hostname) or text_of(end.name)


def _network(record: _Record) -> Edge:
    here = _name(record.device)
    connection = record.connection_info or _NO_CONNECTION
    traffic = record.traffic or _NO_TRAFFIC
    kind = _NETWORK_KINDS[record.class_uid]
    service = catalogue.service_of(text_of(record.app_name).lower())
    if service is Service.OTHER or service is Service.UNKNOWN:
        service = Service(int(catalogue.SERVICE_BY_KIND[kind]))
    bytes_in = traffic.bytes_in
    if bytes_in is None and record.http_response is not None:
        bytes_in = record.http_response.length
    return Edge(
        kind=kind,
        source=_name(record.src_endpoint, here),
        destination=_name(record.dst_endpoint, here),
        source_port=port_of((record.src_endpoint or _NO_ENDPOINT).port),
        destination_port=port_of((record.dst_endpoint or _NO_ENDPOINT).port),
        protocol=_protocol(connection),
        service=service,
        bytes_out=_count(traffic.bytes_out),
        bytes_in=_count(bytes_in),
        packets_out=_count(traffic.packets_out),
        packets_in=_count(traffic.packets_in),
        duration_s=(
            float("nan") if record.duration is None else record.duration / 1000
        ),
        state=(
            _NETWORK_STATES.get(record.activity_id, State.UNKNOWN)
            if kind is Kind.FLOW
            else State.UNKNOWN
        ),
        text=_text(record),
        user=_user(record.actor.user if record.actor is not None else None),
    )


def _protocol(connection: _Connection) -> int:
    number = connection.protocol_num
    if number is not None and 0 <= number <= _LARGEST_PROTOCOL:
        return number
    return catalogue.protocol_of(text_of(connection.protocol_name))


def _count(value: int | None) -> int:
    return -1 if value is None else value


def _text(record: _Record) -> str:
    """Return the name that was asked for."""
    if record.query is not None:
        return text_of(record.query.hostname)
    url = record.http_request.url if record.http_request is not None else None
    if url is None:
        return ""
    query = text_of(url.query_string)
    parts = text_of(url.hostname) + text_of(url.path) + (f"?{query}" if query else "")
    return parts or text_of(url.url_string)


def _user(user: _User | None) -> str:
    return "" if user is None else account(user.name, user.domain)


def _authentication(record: _Record) -> Edge:
    here = _name(record.device)
    destination = _name(record.dst_endpoint, here) or here
    # Without a source a logon that is said to be remote came from nobody knows where.
    local = destination if record.is_remote is False else ""
    return Edge(
        kind=Kind.AUTH,
        source=_name(record.src_endpoint, here) or local,
        destination=destination,
        source_port=port_of((record.src_endpoint or _NO_ENDPOINT).port),
        destination_port=port_of((record.dst_endpoint or _NO_ENDPOINT).port),
        service=(
            Service.KERBEROS
            if record.activity_id in _KERBEROS_ACTIVITIES
            else Service.UNKNOWN
        ),
        state=_OUTCOMES.get(record.status_id or 0, State.UNKNOWN),
        user=_user(record.user),
    )


def _process(record: _Record) -> Edge:
    here = _name(record.device)
    process = record.process or _Process()
    actor = record.actor.user if record.actor is not None else None
    return Edge(
        kind=Kind.PROCESS,
        source=here,
        destination=here,
        text=text_of(process.cmd_line),
        user=_user(process.user or actor),
    )
