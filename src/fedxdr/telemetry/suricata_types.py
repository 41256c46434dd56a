# SPDX-License-Identifier: Apache-2.0
"""Who acted in an EVE record and whether that one was let in, type by type.

It does NOT read lines (suricata.py), and keeps no password: of a basic authorisation
only the user is looked at.

Rule 1: a user is an account as the protocol names it; a host (SSH, RFB) or the sender
of a mail is none.
Rule 2: ``COMPLETED`` and ``REJECTED`` stand only where the protocol answers somebody
who signs on; a command that fails for another reason tells nothing.

Sources: Suricata 8 user guide, "EVE JSON Format"; RFC 4120 section 7.5.9; [MS-ERREF]
section 2.3; RFC 959 section 4.2; RFC 4511 appendix A; MQTT 3.1.1 section 3.2.2.3;
RFC 7617.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import msgspec

from fedxdr.telemetry.catalogue import State
from fedxdr.telemetry.edges import account, text_of
from fedxdr.telemetry.json_lines import UNREADABLE
from fedxdr.telemetry.suricata_fields import (
    Arp,
    Dns,
    Ftp,
    FullRecord,
    Http,
    Krb5,
    Ldap,
    Mqtt,
    Netflow,
    Pgsql,
    Pop3,
    Rdp,
    Record,
    Rfb,
    Smb,
    Snmp,
    Tls,
)

B = TypeVar("B", bound=msgspec.Struct)

Told = tuple[str, State]
"""The user, empty where none is named, and how signing on ended."""

_NOTHING: Final[Told] = ("", State.UNKNOWN)
_NO_NAME: Final = frozenset({"<empty>", "UNKNOWN"})
_SMB_REFUSED: Final = frozenset(
    {
        "STATUS_ACCESS_DENIED",
        "STATUS_ACCOUNT_DISABLED",
        "STATUS_ACCOUNT_EXPIRED",
        "STATUS_ACCOUNT_LOCKED_OUT",
        "STATUS_ACCOUNT_RESTRICTION",
        "STATUS_INVALID_LOGON_HOURS",
        "STATUS_INVALID_WORKSTATION",
        "STATUS_LOGON_FAILURE",
        "STATUS_LOGON_TYPE_NOT_GRANTED",
        "STATUS_NO_SUCH_USER",
        "STATUS_PASSWORD_EXPIRED",
        "STATUS_PASSWORD_MUST_CHANGE",
        "STATUS_WRONG_PASSWORD",
    }
)
_SIGNED_ON, _NOT_SIGNED_ON = "230", "530"
_BASIC: Final = "basic "
_LONGEST_HEADER: Final = 4096
_NAMING: Final = frozenset({"quic", "mdns", "llmnr"})


def _kerberos(body: Krb5) -> Told:
    name = text_of(body.cname)
    user = "" if name in _NO_NAME else account(name, body.realm)
    kind = text_of(body.msg_type)
    # The first request of every Windows host is answered so; it is no refusal.
    if text_of(body.error_code) == "KDC_ERR_PREAUTH_REQUIRED":
        return user, State.UNKNOWN
    if text_of(body.error_code) or kind == "KRB_ERROR":
        return user, State.REJECTED
    return user, State.COMPLETED if kind.endswith("_REP") else State.UNKNOWN


def _smb(body: Smb) -> Told:
    asked = body.ntlmssp
    user = "" if asked is None else account(asked.user, asked.domain)
    status = text_of(body.status)
    if "SESSION_SETUP" not in text_of(body.command):
        return user, State.UNKNOWN
    if status in _SMB_REFUSED:
        return user, State.REJECTED
    return user, State.COMPLETED if status == "STATUS_SUCCESS" else State.UNKNOWN


def _rdp(body: Rdp) -> Told:
    return text_of(body.cookie), State.UNKNOWN


def _ftp(body: Ftp) -> Told:
    command = text_of(body.command).upper()
    user = text_of(body.command_data) if command == "USER" else ""
    codes = body.completion_code or ()
    if command not in {"USER", "PASS"}:
        return _NOTHING
    if _NOT_SIGNED_ON in codes:
        return user, State.REJECTED
    return user, State.COMPLETED if _SIGNED_ON in codes else State.UNKNOWN


def _pgsql(body: Pgsql) -> Told:
    if body.request is None or body.request.startup_parameters is None:
        return _NOTHING
    return text_of(body.request.startup_parameters.user), State.UNKNOWN


def _snmp(body: Snmp) -> Told:
    return text_of(body.usm), State.UNKNOWN


def _mqtt(body: Mqtt) -> Told:
    user = "" if body.connect is None else text_of(body.connect.username)
    if body.connack is None:
        return user, State.UNKNOWN
    is_in = text_of(body.connack.return_code) == "0"
    return user, State.COMPLETED if is_in else State.REJECTED


def _ldap(body: Ldap) -> Told:
    asked = None if body.request is None else body.request.bind_request
    user = "" if asked is None else text_of(asked.name)
    for answer in body.responses or ():
        if answer.bind_response is not None:
            code = text_of(answer.bind_response.result_code)
            if code == "success":
                return user, State.COMPLETED
            # More is asked of who signs on step by step; that is no refusal.
            is_open = code in {"", "sasl_bind_in_progress"}
            return user, State.UNKNOWN if is_open else State.REJECTED
    return user, State.UNKNOWN


def _pop3(body: Pop3) -> Told:
    if body.request is None:
        return _NOTHING
    command = text_of(body.request.command).upper()
    if command == "USER":
        return (body.request.args or [""])[0], State.UNKNOWN
    is_in = None if body.response is None else body.response.success
    if command != "PASS" or is_in is None:
        return _NOTHING
    return "", State.COMPLETED if is_in else State.REJECTED


def _rfb(body: Rfb) -> Told:
    result = None if body.authentication is None else body.authentication
    said = "" if result is None else text_of(result.security_result)
    if not said:
        return _NOTHING
    return "", State.COMPLETED if said == "OK" else State.REJECTED


def basic_user(body: Http) -> str:
    """Return the user of a basic authorisation, where the sensor logs headers."""
    given = body.authorization or ""
    for header in body.request_headers or ():
        if header.name.lower() == "authorization":
            given = header.value
    is_basic = given[: len(_BASIC)].lower() == _BASIC and len(given) < _LONGEST_HEADER
    if not is_basic:
        return ""
    try:
        pair = base64.b64decode(given[len(_BASIC) :].strip(), validate=True)
    except (binascii.Error, ValueError):
        return ""
    return pair.partition(b":")[0].decode("utf-8", "replace")


class _Told(Generic[B]):
    """What one type of record tells, by what its own object means.

    Args:
        body: the object's type.
        raw_of: where a record has it.
        meaning: of the object.
    """

    def __init__(
        self,
        body: type[B],
        raw_of: Callable[[FullRecord], msgspec.Raw],
        meaning: Callable[[B], Told],
    ) -> None:
        self._read = reader_of(body)
        self._raw_of = raw_of
        self._meaning = meaning

    def __call__(self, record: FullRecord) -> Told:
        body = self._read(self._raw_of(record))
        return _NOTHING if body is None else self._meaning(body)


def reader_of(body: type[B]) -> Callable[[msgspec.Raw], B | None]:
    """Return what reads an object, None for one that is none of its type."""
    decoder: msgspec.json.Decoder[B | None]
    decoder = msgspec.json.Decoder(body | None, strict=False)

    def read(raw: msgspec.Raw) -> B | None:
        try:
            return decoder.decode(raw)
        except UNREADABLE:
            return None

    return read


TOLD: Final[dict[str, Callable[[FullRecord], Told]]] = {
    "krb5": _Told(Krb5, lambda record: record.krb5, _kerberos),
    "smb": _Told(Smb, lambda record: record.smb, _smb),
    "rdp": _Told(Rdp, lambda record: record.rdp, _rdp),
    "ftp": _Told(Ftp, lambda record: record.ftp, _ftp),
    "pgsql": _Told(Pgsql, lambda record: record.pgsql, _pgsql),
    "snmp": _Told(Snmp, lambda record: record.snmp, _snmp),
    "mqtt": _Told(Mqtt, lambda record: record.mqtt, _mqtt),
    "ldap": _Told(Ldap, lambda record: record.ldap, _ldap),
    "pop3": _Told(Pop3, lambda record: record.pop3, _pop3),
    "rfb": _Told(Rfb, lambda record: record.rfb, _rfb),
}
"""What a record tells of an account, by ``event_type``; none of these ever fails."""

_read_dns, _read_tls = reader_of(Dns), reader_of(Tls)
read_netflow, read_arp = reader_of(Netflow), reader_of(Arp)

MORE: Final = frozenset({*TOLD, "netflow", "arp", *_NAMING})
"""Types whose records are read as ``FullRecord``."""


def name_of(record: Record) -> str | None:
    """Return the name that a record of a rarer type asks for, None where none."""
    if not isinstance(record, FullRecord) or record.event_type not in _NAMING:
        return None
    if record.event_type == "quic":
        tls = _read_tls(record.quic)
        return None if tls is None else tls.sni
    dns = _read_dns(record.mdns if record.event_type == "mdns" else record.llmnr)
    return None if dns is None else first_name(dns)


def first_name(dns: Dns) -> str | None:
    """Return the name, or the first of several, that a message asks for."""
    return dns.rrname or (dns.queries[0].rrname if dns.queries else None)
