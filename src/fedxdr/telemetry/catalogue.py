# SPDX-License-Identifier: Apache-2.0
"""Closed catalogues of what an event can be: kind, service, state, column.

Every sensor's own words are mapped to these few numbers, so that organisations with
different sensors train one model. Numbers are never reused or changed, only added: a
model trained last year must read the same columns today.

It does NOT know any log format (see suricata.py, zeek.py).

Sources: Zeek ``conn_state`` of base/protocols/conn; Suricata EVE ``flow.state`` and
``tcp.tcp_flags_ts``; IANA protocol numbers.
"""

from __future__ import annotations

import enum
from typing import Final

import numpy as np


class Kind(enum.IntEnum):
    """What a record tells about; a kind named like a service is about that one.

    ``ALERT`` rows say what an intrusion detection system thought. They are kept for
    counting and for weak labels and are never inputs of a model.

    ``AUTH`` rows say that an account was used or tried: ``source`` is the host it was
    used from, ``destination`` the host it was used on (the same one at the console),
    ``user`` the account, ``state`` ``COMPLETED`` where it was let in and ``REJECTED``
    where it was not. Kerberos as a sensor saw it on the wire stays ``KERBEROS``.

    ``PROCESS`` rows say that a program began: ``source`` and ``destination`` are both
    the host it runs on, ``user`` is who runs it, the text is its command line.
    """

    OTHER = 0
    FLOW = 1
    DNS = 2
    HTTP = 3
    TLS = 4
    ALERT = 5
    SSH = 6
    ANOMALY = 7
    FILE = 8
    SMB = 9
    RDP = 10
    SMTP = 11
    NTP = 12
    KERBEROS = 13
    FTP = 14
    DHCP = 15
    RPC = 16
    QUIC = 17
    AUTH = 18
    PROCESS = 19


class Service(enum.IntEnum):
    """What is spoken, as the sensor recognised it from the bytes, not the port."""

    UNKNOWN = 0
    DNS = 1
    HTTP = 2
    TLS = 3
    SSH = 4
    SMB = 5
    RDP = 6
    SMTP = 7
    NTP = 8
    KERBEROS = 9
    FTP = 10
    DHCP = 11
    LDAP = 12
    RPC = 13
    SNMP = 14
    QUIC = 15
    IMAP = 16
    POP3 = 17
    SQL = 18
    TELNET = 19
    SIP = 20
    SYSLOG = 21
    MQTT = 22
    IRC = 23
    VPN = 24
    FILES = 25
    REMOTE_SCREEN = 26
    PRINT = 27
    INDUSTRIAL = 28
    PEER_TO_PEER = 29
    OTHER = 30


class State(enum.IntEnum):
    """How far a connection got."""

    UNKNOWN = 0
    ATTEMPTED = 1
    """Nothing came back (Zeek S0; Suricata ``new``)."""
    REJECTED = 2
    """The destination refused at once (Zeek REJ)."""
    ESTABLISHED = 3
    """Both sides spoke, no end seen (Zeek S1)."""
    COMPLETED = 4
    """A regular end, or any two-way exchange without connections (Zeek SF)."""
    HALF_CLOSED = 5
    """One side ended (Zeek S2, S3)."""
    RESET_BY_SOURCE = 6
    """Zeek RSTO."""
    RESET_BY_DESTINATION = 7
    """Zeek RSTR."""
    ABANDONED = 8
    """The source gave up before an answer (Zeek RSTOS0, SH)."""
    PARTIAL = 9
    """Only the middle or the destination's half was seen (Zeek RSTRH, SHR, OTH)."""


KINDS: Final[dict[str, Kind]] = {
    # Suricata event_type
    "flow": Kind.FLOW,
    "dns": Kind.DNS,
    "http": Kind.HTTP,
    "http2": Kind.HTTP,
    "tls": Kind.TLS,
    "alert": Kind.ALERT,
    "ssh": Kind.SSH,
    "anomaly": Kind.ANOMALY,
    "fileinfo": Kind.FILE,
    "smb": Kind.SMB,
    "rdp": Kind.RDP,
    "smtp": Kind.SMTP,
    "krb5": Kind.KERBEROS,
    "ftp": Kind.FTP,
    "ftp_data": Kind.FTP,
    "dhcp": Kind.DHCP,
    "dcerpc": Kind.RPC,
    "quic": Kind.QUIC,
    "netflow": Kind.FLOW,
    "drop": Kind.ALERT,
    "mdns": Kind.DNS,
    "llmnr": Kind.DNS,
    # Zeek log paths
    "conn": Kind.FLOW,
    "ssl": Kind.TLS,
    "weird": Kind.ANOMALY,
    "notice": Kind.ALERT,
    "files": Kind.FILE,
    "smb_files": Kind.SMB,
    "smb_mapping": Kind.SMB,
    "smb_cmd": Kind.SMB,
    "ntp": Kind.NTP,
    "kerberos": Kind.KERBEROS,
    "dce_rpc": Kind.RPC,
    "ntlm": Kind.AUTH,
    "radius": Kind.AUTH,
}
"""Record kind by Suricata ``event_type`` or Zeek log path; others are ``OTHER``."""

SERVICES: Final[dict[str, Service]] = {
    # Order is preference: of several names on one connection the first here wins,
    # so that what is done ranks before how it is authenticated or wrapped.
    "smb": Service.SMB,
    "rdp": Service.RDP,
    "ssh": Service.SSH,
    "ldap": Service.LDAP,
    "ldap_tcp": Service.LDAP,
    "ldap_udp": Service.LDAP,
    "dcerpc": Service.RPC,
    "dce_rpc": Service.RPC,
    "dns": Service.DNS,
    "doh2": Service.DNS,
    "http": Service.HTTP,
    "http2": Service.HTTP,
    "smtp": Service.SMTP,
    "imap": Service.IMAP,
    "pop3": Service.POP3,
    "ntp": Service.NTP,
    "ftp": Service.FTP,
    "ftp-data": Service.FTP,
    "tftp": Service.FTP,
    "dhcp": Service.DHCP,
    "snmp": Service.SNMP,
    "mysql": Service.SQL,
    "pgsql": Service.SQL,
    "postgresql": Service.SQL,
    "telnet": Service.TELNET,
    "sip": Service.SIP,
    "syslog": Service.SYSLOG,
    "mqtt": Service.MQTT,
    "irc": Service.IRC,
    "ike": Service.VPN,
    "openvpn": Service.VPN,
    "wireguard": Service.VPN,
    "ipsec": Service.VPN,
    "nfs": Service.FILES,
    "rfb": Service.REMOTE_SCREEN,
    "ipp": Service.PRINT,
    "modbus": Service.INDUSTRIAL,
    "dnp3": Service.INDUSTRIAL,
    "enip": Service.INDUSTRIAL,
    "bittorrent-dht": Service.PEER_TO_PEER,
    "bittorrent": Service.PEER_TO_PEER,
    "quic": Service.QUIC,
    "tls": Service.TLS,
    "ssl": Service.TLS,
    "krb5": Service.KERBEROS,
    "krb": Service.KERBEROS,
    "krb_tcp": Service.KERBEROS,
    "gssapi": Service.KERBEROS,
    "ntlm": Service.KERBEROS,
}
"""Service by the names Suricata (``app_proto``) and Zeek (``service``) use."""

SERVICE_BY_KIND: Final = np.array(
    [
        Service.UNKNOWN
        if kind is Kind.OTHER
        else Service.__members__.get(kind.name, Service.UNKNOWN)
        for kind in Kind
    ],
    np.int16,
)
"""(kinds,) int16: the service that a record's kind alone tells, as DNS for DNS."""

_SERVICES_OF_RECORDS: Final = {
    "bittorrent_dht": Service.PEER_TO_PEER,
    "ikev2": Service.VPN,
    "ldap_search": Service.LDAP,
    "modbus_detailed": Service.INDUSTRIAL,
    "mqtt_connect": Service.MQTT,
    "mqtt_publish": Service.MQTT,
    "mqtt_subscribe": Service.MQTT,
    "radius": Service.OTHER,
    "socks": Service.OTHER,
    "tunnel": Service.OTHER,
    "websocket": Service.HTTP,
}
"""Service by names of records that are no names of services."""

PROTOCOLS: Final[dict[str, int]] = {
    "icmp": 1,
    "igmp": 2,
    "tcp": 6,
    "udp": 17,
    "gre": 47,
    "esp": 50,
    "icmp6": 58,
    "ipv6-icmp": 58,
    "sctp": 132,
}
"""IANA protocol number by lower-case name."""

_PREFERENCE: Final = {name: rank for rank, name in enumerate(SERVICES)}
_SAYS_NOTHING: Final = frozenset({"", "-", "failed", "unknown", "(empty)"})


def kind_of(name: str | None) -> Kind:
    """Return the kind of a Suricata ``event_type`` or a Zeek log path."""
    return KINDS.get(name or "", Kind.OTHER)


def service_of_record(name: str | None) -> Service:
    """Return what a record is about by its name, UNKNOWN where that tells nothing.

    Args:
        name: a Suricata ``event_type`` or a Zeek log path.
    """
    kind = kind_of(name)
    if kind not in {Kind.OTHER, Kind.AUTH}:
        return Service(int(SERVICE_BY_KIND[kind]))
    known = name or ""
    return _SERVICES_OF_RECORDS.get(known, SERVICES.get(known, Service.UNKNOWN))


def service_of(text: str | None) -> Service:
    """Return the service a sensor named.

    Args:
        text: one name, or several with commas between (``gssapi,smb,krb``), in any
            case; None and ``failed`` say nothing.
    """
    if text is None or text in _SAYS_NOTHING:
        return Service.UNKNOWN
    names = text.lower().split(",")
    known = [name for name in names if name in _PREFERENCE]
    if not known:
        return Service.OTHER
    return SERVICES[min(known, key=_PREFERENCE.__getitem__)]


def protocol_of(text: str | None) -> int:
    """Return the IANA number of a transport protocol, -1 where it is not known.

    Args:
        text: a name in any case, or a number in digits.
    """
    if text is None:
        return -1
    name = text.lower()
    if name.isascii() and name.isdigit() and len(name) <= len("255"):
        return int(name)
    return PROTOCOLS.get(name, -1)
