# SPDX-License-Identifier: Apache-2.0
"""Lines of ``auth.log`` beside sshd's: PAM, sudo, su and old remote services.

``user`` is the account whose credential is shown: with sudo one's own, with su that of
who one becomes. At the console, and for sudo and su, source is the host itself.

It does NOT repeat what a program says itself: PAM's lines about SSH and sudo are passed
over where those tell of the same attempt. PAM of the old form, ``sshd(pam_unix)[1]:``,
is read, for sshd's own lines went to another file. Ends of sessions are no events.

Rule: a name is written by whoever knocks; see sshd.py.

Source: Linux-PAM, modules/pam_unix/support.c and pam_unix_sess.c; sudo, lib/eventlog
("sudo log format", sudoers(5)); util-linux, login-utils/su-common.c; shadow, src/su.c.
"""

from __future__ import annotations

import re
from typing import Final

from fedxdr.telemetry.catalogue import Kind, Service, State
from fedxdr.telemetry.edges import Edge
from fedxdr.telemetry.syslog_fields import TCP, Read

_MODULE: Final = re.compile(r"pam_\w{1,32}\(([\w-]{1,64}):\w{1,32}\): ")
_RHOST: Final = re.compile(r"\brhost=(\S*+)(?: +user=(.*))?", re.DOTALL)
_OPENED: Final = re.compile(r"session opened for user ([^\s(]++)")
_SU: Final = re.compile(r"Successful su for (\S++) by |\(to ([^\s)]++)\) ")
_FROM: Final = re.compile(r"connection from (\S++)(?: |$)")
_NAMED: Final = re.compile(r"Authentication failed from [^\s(]*+ ?\(([^\s)]++)\)")
_ANONYMOUS: Final = "ANONYMOUS FTP LOGIN FROM "
_REFUSED: Final = ("incorrect password", "NOT in sudoers", "not allowed", "a password")
_TOLD: Final = frozenset({"sshd", "sudo"})

TOLD: Final = "PAM: the program's own line tells it"
NO_SESSION: Final = "PAM: no attempt and no beginning of a session"


def is_pam(text: str) -> bool:
    """Return whether a text is PAM's, whatever program it was for."""
    return text.startswith("pam_")


def pam(text: str, host: str) -> Read:
    """Read ``pam_unix(SERVICE:TYPE): ...``."""
    found = _MODULE.match(text)
    if found is None:
        return NO_SESSION
    if found[1] in _TOLD:
        return TOLD
    return _pam(found[1], text[found.end() :], host)


def old_pam(service: str, text: str, host: str) -> Read:
    """Read what follows ``SERVICE(pam_unix)[1]: ``."""
    return _pam(service, text, host)


def _pam(service: str, text: str, host: str) -> Read:
    is_ssh = service == "sshd"
    spoken = Service.SSH if is_ssh else Service.UNKNOWN
    if text.startswith("authentication failure;"):
        found = _RHOST.search(text)
        if found is None:
            return NO_SESSION
        if is_ssh and not found[1]:
            return "PAM: names no address"
        return Edge(
            kind=Kind.AUTH,
            source=found[1] or host,
            destination=host,
            service=spoken,
            state=State.REJECTED,
            user=(found[2] or "").strip(),
        )
    session = _OPENED.match(text)
    if session is None:
        return NO_SESSION
    if is_ssh:
        return "PAM: names no address"
    return _local(host, session[1], State.COMPLETED)


def sudo(text: str, host: str) -> Read:
    """Read ``NAME : [why not ; ]TTY=... ; PWD=... ; USER=... ; COMMAND=...``."""
    user, is_sudo, rest = text.partition(" : ")
    if not is_sudo:
        return "sudo: no command"
    head, has_command, command = rest.partition("COMMAND=")
    why = head.partition("TTY=")[0]
    is_refused = any(words in why for words in _REFUSED)
    if not (has_command or is_refused):
        return "sudo: no command"
    state = State.REJECTED if is_refused else State.COMPLETED
    return _local(host, user.strip(), state, command)


def su(text: str, host: str) -> Read:
    """Read ``[FAILED SU ](to ROOT) NAME on TTY`` and ``Successful su for ...``."""
    is_refused = text.startswith("FAILED ")
    found = _SU.match(text.removeprefix("FAILED SU ").removeprefix("FAILED su "))
    if found is None and is_refused:
        name = text.removeprefix("FAILED su for ").partition(" by ")[0]
        return _local(host, name if " " not in name else "", State.REJECTED)
    if found is None:
        return "su: no attempt"
    state = State.REJECTED if is_refused else State.COMPLETED
    return _local(host, found[1] or found[2], state)


def ftpd(text: str, host: str) -> Read:
    """Read ``connection from ADDRESS (NAME) at ...`` and anonymous logins."""
    if text.startswith(_ANONYMOUS):
        address = text.removeprefix(_ANONYMOUS).partition(",")[0].strip()
        return _remote(Kind.AUTH, address, host, State.COMPLETED, "anonymous")
    found = _FROM.match(text)
    if found is None:
        return "ftpd: names no address"
    return _remote(Kind.FTP, found[1], host, State.ESTABLISHED)


def klogind(text: str, host: str) -> Read:
    """Read ``Authentication failed from NAME (ADDRESS): ...``."""
    found = _NAMED.match(text)
    if found is None:
        return "klogind: names no address"
    return Edge(
        kind=Kind.AUTH,
        source=found[1],
        destination=host,
        protocol=TCP,
        service=Service.OTHER,
        state=State.REJECTED,
    )


def _remote(kind: Kind, address: str, host: str, state: State, user: str = "") -> Read:
    return Edge(
        kind=kind,
        source=address,
        destination=host,
        protocol=TCP,
        service=Service.FTP,
        state=state,
        user=user,
    )


def _local(host: str, user: str, state: State, command: str = "") -> Edge:
    return Edge(
        kind=Kind.AUTH,
        source=host,
        destination=host,
        state=state,
        text=command,
        user=user,
    )
