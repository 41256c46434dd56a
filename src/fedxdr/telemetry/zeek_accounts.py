# SPDX-License-Identifier: Apache-2.0
"""Accounts in Zeek's logs, whether they were let in, and what notices say was done.

It does NOT read lines (zeek.py, zeek_json.py). A host (SSH, RFB) or the sender of a
mail is no account.

Sources: Zeek documentation, "Zeek Log Formats and Inspection" and the scripts' Info
records (base/protocols and policy); MITRE BZAR, CHANGES and scripts of 2020; MITRE
ATT&CK v18.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from fedxdr.telemetry.catalogue import State
from fedxdr.telemetry.edges import account

FIELDS: Final = (
    "client",
    "username",
    "domainname",
    "cookie",
    "user",
    "object",
    "opcode",
    "auth_success",
    "success",
    "error_msg",
    "result",
    "command",
    "reply_code",
    "note",
    "sub",
)
"""Fields that are read here, of the logs of ``TELLING``."""

Fields = Mapping[str, str]
"""Texts by name of ``FIELDS``, empty where unset."""

_NO_USER: Final = frozenset({"<unknown>", "anonymous@", "-"})
_YES: Final = frozenset({"T", "True", "true"})
_NO: Final = frozenset({"F", "False", "false"})
_NEEDS_MORE: Final = "KDC_ERR_PREAUTH_REQUIRED"
_TECHNIQUE_ID: Final = re.compile(r"T[0-9]{4}(?:\.[0-9]{3})?\b")
_NOTICES: Final = {
    "Scan::Address_Scan": "T1046",
    "Scan::Port_Scan": "T1046",
    "Scan::Random_Scan": "T1046",
    "SSH::Password_Guessing": "T1110.001",
    "SSH::Login_By_Password_Guesser": "T1110.001",
    "FTP::Bruteforcing": "T1110.001",
    "HTTP::SQL_Injection_Attacker": "T1190",
    "HTTP::SQL_Injection_Victim": "T1190",
    "Heartbleed::SSL_Heartbeat_Attack": "T1190",
    "Heartbleed::SSL_Heartbeat_Attack_Success": "T1190",
    "CVE_2021_44228::LOG4J_ATTEMPT_HEADER": "T1190",
    "CVE_2021_44228::LOG4J_SUCCESS": "T1190",
}
_BZAR: Final = "ATTACK::"
_RENAMED: Final = {
    "T1004": "T1547.004",
    "T1013": "T1547.010",
    "T1035": "T1569.002",
    "T1050": "T1543.003",
    "T1077": "T1021.002",
    "T1084": "T1546.003",
}


def _kerberos_user(fields: Fields) -> str:
    r"""Return ``REALM\name`` of a principal that Zeek writes as ``name/REALM``."""
    name, _, realm = fields["client"].rpartition("/")
    return account(name, realm) if name else account(realm, "")


def _ldap_user(fields: Fields) -> str:
    return fields["object"] if fields["opcode"].startswith("bind") else ""


_USERS: Final[dict[str, Callable[[Fields], str]]] = {
    "ftp": lambda fields: fields["user"],
    "http": lambda fields: fields["username"],
    "irc": lambda fields: fields["user"],
    "kerberos": _kerberos_user,
    "ldap": _ldap_user,
    "ntlm": lambda fields: account(fields["username"], fields["domainname"]),
    "postgresql": lambda fields: fields["user"],
    "radius": lambda fields: fields["username"],
    "rdp": lambda fields: fields["cookie"],
    "socks": lambda fields: fields["user"],
}


def _answer(text: str) -> State:
    """Return what ``T`` and ``F`` mean of somebody who signs on."""
    if text in _YES:
        return State.COMPLETED
    return State.REJECTED if text in _NO else State.UNKNOWN


def _kerberos_state(fields: Fields) -> State:
    # The first request of every Windows host is answered so; it is no refusal.
    if fields["error_msg"] == _NEEDS_MORE:
        return State.UNKNOWN
    return _answer(fields["success"])


def _ftp_state(fields: Fields) -> State:
    if fields["command"].upper() != "PASS":
        return State.UNKNOWN
    answers = {"230": State.COMPLETED, "530": State.REJECTED}
    return answers.get(fields["reply_code"].partition(".")[0], State.UNKNOWN)


def _ldap_state(fields: Fields) -> State:
    if not fields["opcode"].startswith("bind"):
        return State.UNKNOWN
    answers = {"success": State.COMPLETED, "invalid credentials": State.REJECTED}
    return answers.get(fields["result"].lower(), State.UNKNOWN)


def _radius_state(fields: Fields) -> State:
    answers = {"success": State.COMPLETED, "failed": State.REJECTED}
    return answers.get(fields["result"].lower(), State.UNKNOWN)


_STATES: Final[dict[str, Callable[[Fields], State]]] = {
    "ftp": _ftp_state,
    "kerberos": _kerberos_state,
    "ldap": _ldap_state,
    "ntlm": lambda fields: _answer(fields["success"]),
    "radius": _radius_state,
    "ssh": lambda fields: _answer(fields["auth_success"]),
}

TELLING: Final = {
    "ftp": ("user", "command"),
    "http": ("username",),
    "irc": ("user",),
    "kerberos": ("client", "success"),
    "ldap": ("opcode",),
    "notice": ("note",),
    "ntlm": ("username", "success"),
    "postgresql": ("user",),
    "radius": ("username", "result"),
    "rdp": ("cookie",),
    "socks": ("user",),
    "ssh": ("auth_success",),
}
"""Logs whose records tell something here, and fields of which one then is set."""


def user_of(log: str, fields: Fields) -> str:
    """Return the account that acted, empty where the record names none.

    Args:
        log: the log's path, one of ``TELLING``.
        fields: every one of ``FIELDS``.
    """
    user = _USERS[log](fields) if log in _USERS else ""
    return "" if user in _NO_USER else user


def signed_on(log: str, fields: Fields) -> State:
    """Return how signing on ended, ``UNKNOWN`` where nobody signs on."""
    return _STATES[log](fields) if log in _STATES else State.UNKNOWN


def noticed(log: str, fields: Fields) -> str:
    """Return the ATT&CK technique that a notice is well known to mean, else empty.

    BZAR's notices (``ATTACK::...``) name it, by its number of today or of 2019.
    """
    if log != "notice":
        return ""
    if fields["note"].startswith(_BZAR):
        named = _TECHNIQUE_ID.match(fields["sub"])
        return "" if named is None else _RENAMED.get(named.group(), named.group())
    return _NOTICES.get(fields["note"], "")
