# SPDX-License-Identifier: Apache-2.0
"""Fields of EVE records that are read, as typed structs; all others are passed over.

It does NOT say what they mean (suricata.py, suricata_types.py).

Rule 1: what Suricata's schema allows decodes; a value of another type, a negative count
or a port above 65,535 costs the line.
Rule 2: in the objects of rarer types (``FullRecord``) it costs what they tell, and the
line is kept.

Source: Suricata 8, etc/schema.json and user guide, "EVE JSON Format".
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from fedxdr.telemetry.edges import Count, Text

_Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Texts = str | list[str] | None

NOTHING = msgspec.Raw(b"null")
"""An object that a record does not have."""


class Flow(msgspec.Struct, gc=False):
    """Both directions of a connection."""

    pkts_toserver: Count = -1
    pkts_toclient: Count = -1
    bytes_toserver: Count = -1
    bytes_toclient: Count = -1
    start: str = ""
    end: str = ""
    age: Count = -1
    state: str | None = None


class Netflow(Flow, gc=False):
    """One direction of a connection: what the record's source sent."""

    pkts_toserver: Count = msgspec.field(default=-1, name="pkts")
    bytes_toserver: Count = msgspec.field(default=-1, name="bytes")


class Tcp(msgspec.Struct, gc=False):
    """Flags of all packets of one direction, as two hexadecimal digits."""

    tcp_flags_ts: str = ""
    tcp_flags_tc: str = ""


class Query(msgspec.Struct, gc=False):
    """One question of version 3."""

    rrname: str | None = None


class Dns(msgspec.Struct, gc=False):
    """DNS of version 1 and 2 (``rrname``) or 3 (``queries``); mDNS and LLMNR too."""

    rrname: str | None = None
    queries: list[Query] | None = None


class Header(msgspec.Struct, gc=False):
    """One header of a request."""

    name: str = ""
    value: str = ""


class Http(msgspec.Struct, gc=False):
    """A request and the length of its answer's body."""

    hostname: str | None = None
    url: str | None = None
    length: Count = -1
    authorization: str | None = None
    request_headers: list[Header] | None = None


class Tls(msgspec.Struct, gc=False):
    """The server name; QUIC's too."""

    sni: str | None = None


class Metadata(msgspec.Struct, gc=False):
    """What the author of a signature says about it."""

    mitre_technique_id: Texts = None


class Alert(msgspec.Struct, gc=False):
    """A signature that matched."""

    severity: int | None = None
    metadata: Metadata | None = None


class Arp(msgspec.Struct, gc=False):
    """Who asks or answers for which address."""

    src_ip: str = ""
    dest_ip: str = ""


class Krb5(msgspec.Struct, gc=False):
    """A Kerberos answer; the client of an error is that of its request."""

    msg_type: Text = None
    cname: Text = None
    realm: Text = None
    error_code: Text = None


class Ntlmssp(msgspec.Struct, gc=False):
    """Who signs on by NTLM."""

    domain: Text = None
    user: Text = None


class Smb(msgspec.Struct, gc=False):
    """One command and its answer."""

    command: Text = None
    status: Text = None
    ntlmssp: Ntlmssp | None = None


class Rdp(msgspec.Struct, gc=False):
    """The cookie of the first packet: the account, its first nine characters."""

    cookie: Text = None


class Ftp(msgspec.Struct, gc=False):
    """One command and the codes of its answer."""

    command: Text = None
    command_data: Text = None
    completion_code: Texts = None


class Startup(msgspec.Struct, gc=False):
    """First message of a PostgreSQL client."""

    user: Text = None


class PgsqlRequest(msgspec.Struct, gc=False):
    """A message of a PostgreSQL client."""

    startup_parameters: Startup | None = None


class Pgsql(msgspec.Struct, gc=False):
    """PostgreSQL."""

    request: PgsqlRequest | None = None


class Snmp(msgspec.Struct, gc=False):
    """The user of version 3's security model."""

    usm: Text = None


class MqttConnect(msgspec.Struct, gc=False):
    """How a client signs on."""

    username: Text = None


class MqttConnack(msgspec.Struct, gc=False):
    """What it is answered, 0 for success."""

    return_code: Text = None


class Mqtt(msgspec.Struct, gc=False):
    """MQTT."""

    connect: MqttConnect | None = None
    connack: MqttConnack | None = None


class LdapBind(msgspec.Struct, gc=False):
    """Who signs on."""

    name: Text = None


class LdapRequest(msgspec.Struct, gc=False):
    """A request, only where somebody signs on."""

    bind_request: LdapBind | None = None


class LdapResult(msgspec.Struct, gc=False):
    """What it is answered."""

    result_code: Text = None


class LdapResponse(msgspec.Struct, gc=False):
    """An answer, only to who signs on."""

    bind_response: LdapResult | None = None


class Ldap(msgspec.Struct, gc=False):
    """LDAP."""

    request: LdapRequest | None = None
    responses: list[LdapResponse] | None = None


class Pop3Request(msgspec.Struct, gc=False):
    """One command."""

    command: Text = None
    args: list[str] | None = None


class Pop3Response(msgspec.Struct, gc=False):
    """Its answer."""

    success: bool | None = None


class Pop3(msgspec.Struct, gc=False):
    """POP3."""

    request: Pop3Request | None = None
    response: Pop3Response | None = None


class RfbAuthentication(msgspec.Struct, gc=False):
    """How signing on ended: ``OK``, ``FAIL`` or ``TOOMANY``."""

    security_result: Text = None


class Rfb(msgspec.Struct, gc=False):
    """VNC."""

    authentication: RfbAuthentication | None = None


class Record(msgspec.Struct, gc=False, kw_only=True):
    """One line of EVE of a frequent type, fields in about the order of Suricata's."""

    timestamp: str
    flow_id: Count = 0
    src_ip: str = ""
    src_port: _Port = -1
    dest_ip: str = ""
    dest_port: _Port = -1
    proto: str | None = None
    event_type: str
    app_proto: str | None = None
    flow: Flow | None = None
    tcp: Tcp | None = None
    dns: Dns | None = None
    http: Http | None = None
    tls: Tls | None = None
    alert: Alert | None = None


class FullRecord(Record, gc=False, kw_only=True):
    """One line of EVE of any type, with the objects that rarer types bring.

    They are decoded only where a record's type asks for them, so that no other record
    is refused for one.
    """

    netflow: msgspec.Raw = NOTHING
    quic: msgspec.Raw = NOTHING
    mdns: msgspec.Raw = NOTHING
    llmnr: msgspec.Raw = NOTHING
    arp: msgspec.Raw = NOTHING
    krb5: msgspec.Raw = NOTHING
    smb: msgspec.Raw = NOTHING
    rdp: msgspec.Raw = NOTHING
    ftp: msgspec.Raw = NOTHING
    pgsql: msgspec.Raw = NOTHING
    snmp: msgspec.Raw = NOTHING
    mqtt: msgspec.Raw = NOTHING
    ldap: msgspec.Raw = NOTHING
    pop3: msgspec.Raw = NOTHING
    rfb: msgspec.Raw = NOTHING
