# SPDX-License-Identifier: Apache-2.0
"""Findings as CEF over syslog: UDP, TCP or TLS.

RFC 5424 header, facility 10 (security), the organisation as host name; over TCP and
TLS octet counting. Syslog has no confirmation of its own. Over TCP and TLS a batch
counts as taken once the receiver has read it to the end and closed its side, as
receivers do when ours is closed; one that was down or killed in between resets the
connection, and the batch comes again. Over UDP what is lost on the way is lost unseen;
only a machine that is up and says "nobody listens" is noticed.

It does NOT frame by line ends (RFC 6587, 3.4.2).

Source: RFC 5424, sections 6 and 6.2.1; RFC 5425, section 4.3; RFC 5426; RFC 6587,
section 3.4.1.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from fedxdr.core.clock import rfc3339
from fedxdr.core.errors import InvalidInput, Unavailable
from fedxdr.telemetry.cef_out import to_cef
from fedxdr.telemetry.findings import Finding, Severity
from fedxdr.telemetry.shown import Names
from fedxdr.transport.sinks.sink import TIMEOUT_S

Carrier = Literal["udp", "tcp", "tls"]

_FACILITY: Final = 10
_LEVELS: Final = {
    Severity.INFORMATIONAL: 6,
    Severity.LOW: 5,
    Severity.MEDIUM: 4,
    Severity.HIGH: 3,
    Severity.CRITICAL: 2,
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class SyslogSink:
    """Writes to one syslog server.

    Args:
        name: without secrets.
        host: name or address.
        port: of the server.
        carrier: how messages travel.
        names: looks up who a token is.
        context: how certificates are checked, for TLS.
        is_confirmed: wait until the receiver has read all; off for one that keeps its
            side open.
        timeout_s: how long the other side is waited for.
    """

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        carrier: Carrier,
        *,
        names: Names,
        context: ssl.SSLContext | None = None,
        is_confirmed: bool = True,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._name = name
        self._host = host
        self._port = port
        self._carrier = carrier
        self._names = names
        self._context = context
        self._is_confirmed = is_confirmed
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    def send(self, batch: Sequence[Finding]) -> None:
        """Write one message for each finding.

        Raises:
            Unavailable: the server cannot be reached, or did not read all.
            InvalidInput: a message that no datagram holds.
        """
        messages = [message(one, self._names) for one in batch]
        try:
            if self._carrier == "udp":
                self._send_datagrams(messages)
            else:
                frames = [b"%d %b" % (len(one), one) for one in messages]
                self._send_stream(b"".join(frames))
        except OSError as error:  # TLS errors and time-outs are some
            if error.errno == errno.EMSGSIZE:
                raise InvalidInput(f"{self._name}: too long for a datagram") from error
            raise Unavailable(f"{self._name} cannot be reached: {error}") from error

    def close(self) -> None:
        """Release nothing: no connection outlives a batch."""

    def _send_datagrams(self, messages: Sequence[bytes]) -> None:
        kind = socket.SOCK_DGRAM
        family, _, _, _, address = socket.getaddrinfo(
            self._host, self._port, type=kind
        )[0]
        with socket.socket(family, kind) as datagrams:
            datagrams.settimeout(self._timeout_s)
            datagrams.connect(address)
            for one in messages:
                datagrams.send(one)
            refused = datagrams.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if refused:
                raise OSError(refused, "nobody listens")

    def _send_stream(self, data: bytes) -> None:
        place = (self._host, self._port)
        with contextlib.ExitStack() as stack:
            stream = stack.enter_context(
                socket.create_connection(place, timeout=self._timeout_s)
            )
            if self._context is not None:
                secured = self._context.wrap_socket(stream, server_hostname=self._host)
                stream = stack.enter_context(secured)
            stream.sendall(data)
            if self._is_confirmed:
                _await_end(stream)


def _await_end(stream: socket.socket) -> None:
    """Close our side; return once the other side has read all and closed its own.

    Raises:
        OSError: it reset the connection, or did not close in time.
    """
    if isinstance(stream, ssl.SSLSocket):
        # the plain connection ends cleanly only if all was read, whether or not the
        # receiver says good-bye in TLS as well
        with contextlib.suppress(ssl.SSLEOFError, ssl.SSLZeroReturnError):
            stream = stream.unwrap()
    with contextlib.suppress(ssl.SSLEOFError, ssl.SSLZeroReturnError):
        stream.shutdown(socket.SHUT_WR)
        while stream.recv(4096):
            pass


def message(finding: Finding, names: Names) -> bytes:
    """Return a syslog message with a finding as CEF.

    Args:
        finding: what was found.
        names: looks up who a token is.
    """
    priority = _FACILITY * 8 + _LEVELS[finding.severity]
    when = rfc3339(_EPOCH + timedelta(microseconds=finding.time_ns // 1000))
    header = f"<{priority}>1 {when} {finding.org} fedxdr - finding -"
    return f"{header} {to_cef(finding, names)}".encode()
