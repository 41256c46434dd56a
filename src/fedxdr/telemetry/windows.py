# SPDX-License-Identifier: Apache-2.0
"""Windows' own events, Security and Sysmon, written as JSON lines, as events.

Reads Security 4624, 4625, 4648, 4768, 4769, 4776 (accounts: ``AUTH``) and 5156
(permitted connections: ``FLOW``), Sysmon 1 (``PROCESS``), 3 (``FLOW``) and 22
(``DNS``), in three shapes: winlogbeat (``winlog.event_data``), NXLog (all fields on one
level) and evtx_dump (``Event.System``, ``Event.EventData``). Other events are skipped.

It does NOT read binary EVTX, nor XML.

Rule 1: the host is the computer that wrote the event; loopback and local logons are the
host itself.
Rule 2: an outcome that the event does not tell (4648, permitted connections) stays
unknown.
Rule 3: NXLog's ``EventTime`` may lack an offset and is UTC then; Sysmon's own
``UtcTime`` or a collector's ``@timestamp`` is taken before it.

Sources: Microsoft Learn, "Advanced security audit policy settings", pages of each
Security event; Sysinternals, "Sysmon", section "Events"; Elastic, "Winlogbeat exported
fields"; NXLog, "im_msvistalog"; evtx_dump of github.com/omerbenamram/evtx.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from fedxdr.telemetry import catalogue
from fedxdr.telemetry.catalogue import Kind, Service, State
from fedxdr.telemetry.edges import (
    NO_ENDPOINTS,
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


class _Data(msgspec.Struct, gc=False, rename="pascal"):
    """Fields of the events that are read, of Security and Sysmon alike."""

    # accounts
    target_user_name: Text = None
    target_domain_name: Text = None
    target_server_name: Text = None
    logon_type: Text = None
    workstation_name: Text = None
    workstation: Text = None
    ip_address: Text = None
    ip_port: Port = None
    status: Text = None
    service_name: Text = None
    # 5156
    direction: Text = None
    source_address: Text = None
    source_port: Port = None
    dest_address: Text = None
    dest_port: Port = None
    protocol: Text = None
    # Sysmon
    utc_time: Text = None
    user: Text = None
    command_line: Text = None
    source_ip: Text = None
    destination_ip: Text = None
    destination_port: Port = None
    query_name: Text = None
    query_status: Text = None


class _Provider(msgspec.Struct, gc=False):
    name: str = msgspec.field(name="Name", default="")
    system_time: str = msgspec.field(name="SystemTime", default="")


class _Attributes(msgspec.Struct, gc=False):
    attributes: _Provider | None = msgspec.field(name="#attributes", default=None)
    text: Text = msgspec.field(name="#text", default=None)


class _System(msgspec.Struct, gc=False):
    event_id: Text | _Attributes = msgspec.field(name="EventID", default=None)
    channel: str | None = msgspec.field(name="Channel", default=None)
    computer: str | None = msgspec.field(name="Computer", default=None)
    provider: _Attributes | None = msgspec.field(name="Provider", default=None)
    created: _Attributes | None = msgspec.field(name="TimeCreated", default=None)
    # with --separate-json-attributes
    apart_provider: _Provider | None = msgspec.field(
        name="Provider_attributes", default=None
    )
    apart_created: _Provider | None = msgspec.field(
        name="TimeCreated_attributes", default=None
    )


class _Event(msgspec.Struct, gc=False):
    system: _System = msgspec.field(name="System")
    data: _Data | None = msgspec.field(name="EventData", default=None)


class _Winlog(msgspec.Struct, gc=False):
    event_id: Text = None
    channel: str | None = None
    provider_name: str | None = None
    computer_name: str | None = None
    event_data: _Data | None = None


class _Record(_Data, gc=False):
    """One line; the fields of ``_Data`` on its own level are NXLog's."""

    timestamp: str = msgspec.field(name="@timestamp", default="")
    winlog: _Winlog | None = msgspec.field(name="winlog", default=None)
    event: _Event | None = msgspec.field(name="Event", default=None)
    event_id: Text = msgspec.field(name="EventID", default=None)
    event_time: str = msgspec.field(name="EventTime", default="")
    channel: str | None = msgspec.field(name="Channel", default=None)
    source_name: str | None = msgspec.field(name="SourceName", default=None)
    hostname: str | None = msgspec.field(name="Hostname", default=None)


_DECODER: Final = msgspec.json.Decoder(_Record)
_NO_DATA: Final = _Data()
_NO_ATTRIBUTES: Final = _Attributes()
_NO_PROVIDER: Final = _Provider()

_LOCAL_LOGONS: Final = frozenset({"0", "2", "4", "5", "7", "9", "11", "13"})
"""Logon types that come from no other host: system, interactive, batch, service,
unlock, new credentials, cached; Microsoft Learn, event 4624, table "Logon types"."""

_REMOTE_DESKTOP: Final = "10"
_SUCCESS: Final = frozenset({"0", "0x0", "0x00000000"})
_INBOUND: Final = frozenset({"%%14592", "inbound"})
_OTHER_EVENT: Final = "an event that is not read"


class WindowsParser(EdgeParser[_Record]):
    """Reads Windows events of all three shapes, also mixed.

    Args:
        tokenise: turns addresses, and users where it can, into tokens.
    """

    def __init__(self, tokenise: Tokenise | Tokeniser) -> None:
        super().__init__(tokenise, _DECODER, time_of=_time_of, edge_of=_edge_of)


def _time_of(record: _Record) -> str:
    if record.event is not None:
        system = record.event.system
        created = (system.created or _NO_ATTRIBUTES).attributes or system.apart_created
        return (created or _NO_PROVIDER).system_time
    return record.timestamp or text_of(record.utc_time) or record.event_time


def _edge_of(record: _Record) -> Edge | str:
    """Return a record as an edge, or why it is none."""
    if record.event is not None:
        system = record.event.system
        number = system.event_id
        provider = (system.provider or _NO_ATTRIBUTES).attributes
        source = (provider or system.apart_provider or _NO_PROVIDER).name
        return _read(
            text_of(number.text if isinstance(number, _Attributes) else number),
            f"{system.channel} {source}",
            record.event.data or _NO_DATA,
            text_of(system.computer),
        )
    if record.winlog is not None:
        log = record.winlog
        return _read(
            text_of(log.event_id),
            f"{log.channel} {log.provider_name}",
            log.event_data or _NO_DATA,
            text_of(log.computer_name),
        )
    return _read(
        text_of(record.event_id),
        f"{record.channel} {record.source_name}",
        record,
        text_of(record.hostname),
    )


def _read(number: str, log: str, data: _Data, here: str) -> Edge | str:
    """Return an event as an edge, or why it is none.

    Args:
        number: the event's number in its log.
        log: names of channel and provider.
        data: its fields.
        here: the computer that wrote it.
    """
    table = _SYSMON if "Sysmon" in log else _SECURITY if "Security" in log else {}
    read = table.get(number)
    if read is None:
        return _OTHER_EVENT
    edge = read(data, here)
    return edge if edge.source and edge.destination else NO_ENDPOINTS


def _logon(data: _Data, here: str, state: State) -> Edge:
    kind = text_of(data.logon_type)
    source = host_of(data.ip_address, here) or text_of(data.workstation_name)
    return Edge(
        kind=Kind.AUTH,
        source=source or (here if kind in _LOCAL_LOGONS else ""),
        destination=here,
        source_port=port_of(data.ip_port),
        service=Service.RDP if kind == _REMOTE_DESKTOP else Service.UNKNOWN,
        state=state,
        user=account(data.target_user_name, data.target_domain_name),
    )


def _logged_on(data: _Data, here: str) -> Edge:
    return _logon(data, here, State.COMPLETED)


def _logon_failed(data: _Data, here: str) -> Edge:
    return _logon(data, here, State.REJECTED)


def _other_credentials(data: _Data, here: str) -> Edge:
    """4648: a program of this host used somebody's credentials for a server."""
    return Edge(
        kind=Kind.AUTH,
        source=here,
        destination=host_of(data.target_server_name, here),
        user=account(data.target_user_name, data.target_domain_name),
    )


def _outcome(data: _Data) -> State:
    status = text_of(data.status).lower()
    if not status:
        return State.UNKNOWN
    return State.COMPLETED if status in _SUCCESS else State.REJECTED


def _ticket(data: _Data, here: str) -> Edge:
    """4768, 4769: a host asked this domain controller for a Kerberos ticket."""
    return Edge(
        kind=Kind.AUTH,
        source=host_of(data.ip_address, here),
        destination=here,
        source_port=port_of(data.ip_port),
        service=Service.KERBEROS,
        state=_outcome(data),
        text=text_of(data.service_name),
        user=account(data.target_user_name, data.target_domain_name),
    )


def _ntlm(data: _Data, here: str) -> Edge:
    """4776: a workstation's NTLM credentials were checked here."""
    return Edge(
        kind=Kind.AUTH,
        source=text_of(data.workstation).lstrip("\\"),
        destination=here,
        state=_outcome(data),
        user=text_of(data.target_user_name),
    )


def _permitted(data: _Data, here: str) -> Edge:
    """5156: its "source" is the local end; of an inbound one the other end began."""
    ends = [
        (host_of(data.source_address, here), port_of(data.source_port)),
        (host_of(data.dest_address, here), port_of(data.dest_port)),
    ]
    if text_of(data.direction).lower() in _INBOUND:
        ends.reverse()
    (source, source_port), (destination, destination_port) = ends
    return Edge(
        kind=Kind.FLOW,
        source=source,
        destination=destination,
        source_port=source_port,
        destination_port=destination_port,
        protocol=catalogue.protocol_of(text_of(data.protocol)),
    )


def _process(data: _Data, here: str) -> Edge:
    return Edge(
        kind=Kind.PROCESS,
        source=here,
        destination=here,
        text=text_of(data.command_line),
        user=text_of(data.user),
    )


def _connection(data: _Data, here: str) -> Edge:
    """Sysmon 3: its source is the end that began, whoever reports it."""
    return Edge(
        kind=Kind.FLOW,
        source=host_of(data.source_ip, here),
        destination=host_of(data.destination_ip, here),
        source_port=port_of(data.source_port),
        destination_port=port_of(data.destination_port),
        protocol=catalogue.protocol_of(text_of(data.protocol)),
        user=text_of(data.user),
    )


def _query(data: _Data, here: str) -> Edge:
    """Sysmon 22: a program asked the host's own resolver; the server is not told."""
    is_answered = text_of(data.query_status) in _SUCCESS
    return Edge(
        kind=Kind.DNS,
        source=here,
        destination=here,
        service=Service.DNS,
        state=State.COMPLETED if is_answered else State.UNKNOWN,
        text=text_of(data.query_name),
        user=text_of(data.user),
    )


_SECURITY: Final[dict[str, Callable[[_Data, str], Edge]]] = {
    "4624": _logged_on,
    "4625": _logon_failed,
    "4648": _other_credentials,
    "4768": _ticket,
    "4769": _ticket,
    "4776": _ntlm,
    "5156": _permitted,
}
_SYSMON: Final[dict[str, Callable[[_Data, str], Edge]]] = {
    "1": _process,
    "3": _connection,
    "22": _query,
}
