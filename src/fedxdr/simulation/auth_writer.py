# SPDX-License-Identifier: Apache-2.0
"""What servers write of SSH sessions into ``auth.log``, collected into one file.

Who is let in gives sshd's ``Accepted``, PAM's session and now and then a command by
sudo; who is not gives ``Failed``, and ``Invalid user`` where the name is nobody's. Who
connects and says nothing, as scanners do, is written down as gone again.

It does NOT know the truth, and no line of it carries a label.

Rule: no two lines have the same time: it is what truth.py knows a line by.

Source: OpenSSH 9.6, auth.c ``auth_log``, packet.c ``sshpkt_fatal``; Linux-PAM,
pam_unix; sudo "sudo log format"; rsyslog ``RSYSLOG_FileFormat``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from fedxdr.simulation.accounts import GUESSED, short
from fedxdr.simulation.sessions import SECOND_US, Sessions
from fedxdr.telemetry.catalogue import Service, State

_SSH_PORT: Final = 22
_KEY: Final = "ED25519 SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
_COMMANDS: Final = (
    "/usr/bin/systemctl restart nginx",
    "/usr/bin/journalctl -u postgresql",
    "/usr/bin/apt-get update",
    "/usr/bin/tail -n 200 /var/log/syslog",
    "/usr/sbin/service backup status",
)
_NEVER_SPOKEN: Final = (State.ATTEMPTED, State.REJECTED)


class AuthLine(NamedTuple):
    """One line.

    Attributes:
        time_us: when it was written, microseconds since 1970.
        line: without its end.
        session: number of the session it tells of.
    """

    time_us: int
    line: bytes
    session: int


def auth_lines(
    made: Sessions,
    *,
    addresses: Sequence[str],
    names: Sequence[str],
    start_us: int,
) -> list[AuthLine]:
    """Return the lines in order.

    Args:
        made: n sessions with accounts, of any kind; those to SSH's port count.
        addresses: one per host of the estate.
        names: DNS name of each host.
        start_us: when the world began, microseconds since 1970.
    """
    told: list[tuple[int, str, int]] = []
    for row, session in enumerate(made.rows()):
        if session["destination_port"] != _SSH_PORT:
            continue
        if session["state"] in _NEVER_SPOKEN or not addresses[
            session["destination"]
        ].startswith("10."):
            continue
        begin = start_us + round(session["start_s"] * SECOND_US)
        end = begin + max(round(session["duration_s"] * SECOND_US), 500_000)
        peer = f"{addresses[session['source']]} port {session['source_port']}"
        pid = 1000 + session["source_port"] % 30_000
        host = short(names[session["destination"]])
        for when, program, text in _texts(session, peer, begin, end):
            tag = f"{program}[{pid}]" if program == "sshd" else program
            told.append((when, f"{host} {tag}: {text}", row))
    told.sort()
    lines: list[AuthLine] = []
    latest = 0
    for when, text, row in told:
        latest = max(when, latest + 1)
        lines.append(AuthLine(latest, f"{stamp(latest)} {text}".encode(), row))
    return lines


def stamp(time_us: int) -> str:
    """Return a time as rsyslog writes it."""
    return f"{np.datetime_as_string(np.datetime64(time_us, 'us'), unit='us')}+00:00"


def _texts(
    session: dict[str, Any], peer: str, begin: int, end: int
) -> list[tuple[int, str, str]]:
    """Return when, which program and what it says."""
    user = session["user"]
    if session["service"] != Service.SSH or not user:
        return [(begin + 200_000, "sshd", f"Connection closed by {peer}")]
    address = peer.partition(" ")[0]
    if session["is_refused"]:
        return _refused(user, peer, address, begin, end)
    is_key = user.startswith(("svc-", "deploy", "adm-"))
    method = "publickey" if is_key else "password"
    key = f": {_KEY}" if is_key else ""
    by = f"{user}(uid=1001) by {user}(uid=0)"
    session_of = "pam_unix(sshd:session): session"
    accepted = f"Accepted {method} for {user} from {peer} ssh2{key}"
    texts = [
        (begin + 300_000, "sshd", accepted),
        (begin + 310_000, "sshd", f"{session_of} opened for user {by}"),
    ]
    # Those who administer do so as root; which command follows from the session.
    if is_key and session["source_port"] % 2 and end - begin > SECOND_US:
        command = _COMMANDS[session["source_port"] % len(_COMMANDS)]
        sudo = f"TTY=pts/0 ; PWD=/home/{user} ; USER=root ; COMMAND={command}"
        texts.append(((begin + end) // 2, "sudo", f"{user:>8} : {sudo}"))
    texts += [
        (end, "sshd", f"Received disconnect from {peer}:11: disconnected by user"),
        (end + 200, "sshd", f"Disconnected from user {user} {peer}"),
        (end + 400, "sshd", f"{session_of} closed for user {user}"),
    ]
    return texts


def _refused(
    user: str, peer: str, address: str, begin: int, end: int
) -> list[tuple[int, str, str]]:
    """Return the lines of a logon that failed."""
    failure = (
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh "
        f"ruser= rhost={address} "
    )
    if user in GUESSED and user not in {"root", "backup"}:
        return [
            (begin + 250_000, "sshd", f"Invalid user {user} from {peer}"),
            (begin + 260_000, "sshd", failure),
            (
                begin + 400_000,
                "sshd",
                f"Failed password for invalid user {user} from {peer} ssh2",
            ),
            (
                end,
                "sshd",
                f"Connection closed by invalid user {user} {peer} [preauth]",
            ),
        ]
    return [
        (begin + 260_000, "sshd", f"{failure} user={user}"),
        (begin + 400_000, "sshd", f"Failed password for {user} from {peer} ssh2"),
        (
            end,
            "sshd",
            f"Connection closed by authenticating user {user} {peer} [preauth]",
        ),
    ]
