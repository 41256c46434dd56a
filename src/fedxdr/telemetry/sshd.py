# SPDX-License-Identifier: Apache-2.0
"""Lines of OpenSSH's server: who tried to come in from where.

An account that was let in or refused is an ``AUTH`` edge from address to host. A
connection that ends before or without that, or never spoke SSH, is an ``SSH`` edge.

It does NOT count one attempt twice where two programs tell of it: what PAM says of SSH
is passed over (authlog.py), and of ``Disconnected from`` the line before it tells. An
unknown account is two edges where a password was tried too: it was named, it failed.

Rule: a name or a version is written by the attacker and may look like the rest of the
line. An address is therefore looked for from the end that the server wrote last.

Source: OpenSSH 9.9, auth.c ``auth_log``, ``getpwnamallow``; packet.c; sshd-session.c.
"""

from __future__ import annotations

from typing import Final

from fedxdr.telemetry.catalogue import Kind, Service, State
from fedxdr.telemetry.edges import Edge
from fedxdr.telemetry.syslog_fields import LARGEST_PORT, TCP, Read, number

_AGAIN: Final = "message repeated "
_ENDS: Final = {
    "Connection closed by ": State.ABANDONED,
    "Connection reset by ": State.RESET_BY_SOURCE,
}
_BEGINS: Final = {
    "Received disconnect from ": State.COMPLETED,
    "Did not receive identification string from ": State.ABANDONED,
    "Timeout before authentication for connection from ": State.ABANDONED,
    "Timeout before authentication for ": State.ABANDONED,
    "Unable to negotiate with ": State.REJECTED,
    "banner exchange: Connection from ": State.REJECTED,
    "Connection from ": State.ESTABLISHED,
}
NO_ADDRESS: Final = "sshd: names no address, or one that another line tells"


def read(text: str, host: str) -> Read:
    """Return the edge of a line, or why it is none.

    A line said to be repeated is read once.

    Args:
        text: behind ``sshd[1]: ``.
        host: the server.

    Raises:
        InvalidTelemetry: a port that is none.
    """
    if text.startswith(_AGAIN) and text.endswith("]"):
        text = text.partition(": [")[2][:-1].lstrip(" ")
    text = text.removesuffix(" [preauth]").removeprefix("error: ")
    verb, _, rest = text.partition(" ")
    if verb in {"Failed", "Accepted", "Postponed"}:
        return _credential(verb, rest, host)
    if verb == "Invalid" and rest.startswith("user "):
        user, _, peer = rest.removeprefix("user ").rpartition("from ")
        return _account(user.removesuffix(" "), peer, host, State.REJECTED)
    if verb == "User" and " not allowed because " in text:
        user, _, peer = rest.rpartition(" not allowed because ")[0].rpartition(" from ")
        return _account(user, peer, host, State.REJECTED)
    if verb == "Bad" and rest.startswith("protocol version identification "):
        return _connection(rest.rpartition(" from ")[2], host, State.REJECTED)
    for opening, state in _ENDS.items():
        if text.startswith(opening):
            return _ended(text[len(opening) :], host, state)
    for opening, state in _BEGINS.items():
        if text.startswith(opening):
            return _connection(text[len(opening) :], host, state)
    return NO_ADDRESS


def _credential(verb: str, rest: str, host: str) -> Read:
    """Read ``password for [invalid user ]NAME from ADDRESS port N ssh2[: KEY]``."""
    method, _, rest = rest.partition(" for ")
    if verb == "Postponed" or method == "none":
        return "sshd: a method that is not yet decided"
    user, _, peer = rest.rpartition(" from ")
    user = user.removeprefix("invalid user ")
    state = State.COMPLETED if verb == "Accepted" else State.REJECTED
    return _account(user, peer, host, state)


def _account(user: str, peer: str, host: str, state: State) -> Read:
    """Read ``ADDRESS[ port N ...]`` of an account."""
    address, port = _peer(peer)
    if not address:
        return NO_ADDRESS
    return Edge(
        kind=Kind.AUTH,
        source=address,
        destination=host,
        source_port=port,
        protocol=TCP,
        service=Service.SSH,
        state=state,
        user=user.strip(" "),
    )


def _connection(peer: str, host: str, state: State) -> Read:
    address, port = _peer(peer)
    if not address:
        return NO_ADDRESS
    return Edge(
        kind=Kind.SSH,
        source=address,
        destination=host,
        source_port=port,
        protocol=TCP,
        service=Service.SSH,
        state=state,
    )


def _ended(rest: str, host: str, state: State) -> Read:
    """Read ``[authenticating user NAME |invalid user NAME ]ADDRESS[ port N]``."""
    before, has_port, port = rest.rpartition(" port ")
    peer = (before if has_port else rest).rpartition(" ")[2]
    return _connection(f"{peer} port {port}" if has_port else peer, host, state)


def _peer(text: str) -> tuple[str, int]:
    """Return address and port of ``ADDRESS[ port N][ or : and anything]``."""
    address, _, rest = text.partition(" ")
    if not rest.startswith("port "):
        return address.removesuffix(":"), -1
    port = rest[len("port ") :].partition(" ")[0].partition(":")[0]
    return address, number(port, LARGEST_PORT, "port")
