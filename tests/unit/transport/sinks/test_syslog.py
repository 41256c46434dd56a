# SPDX-License-Identifier: Apache-2.0
"""CEF over syslog: framed as RFCs say, and nothing counts that was not read."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading

import pytest
from tests.unit.telemetry.found import NAMES, finding, findings

from fedxdr.core.errors import InvalidInput, Unavailable
from fedxdr.telemetry.cef_out import to_cef
from fedxdr.telemetry.findings import Severity
from fedxdr.transport.sinks.sink import tls_context
from fedxdr.transport.sinks.syslog import SyslogSink, message

# RFC 5424, section 6, without structured data
HEADER = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z) "
    rb"([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) - "
)
WANT = [message(one, NAMES.get) for one in findings(3)]


def sink_to(port, carrier, **settings):
    host = "localhost" if carrier == "tls" else "127.0.0.1"
    return SyslogSink("syslog", host, port, carrier, names=NAMES.get, **settings)


def test_a_message():
    found = HEADER.match(message(finding(), NAMES.get))
    assert found is not None
    assert found.groups() == (
        b"83",  # 10 * 8 + 3
        b"2025-11-22T08:26:40Z",
        b"alpha",
        b"fedxdr",
        b"-",
        b"finding",
    )
    rest = message(finding(), NAMES.get)[found.end() :]
    assert rest.decode() == to_cef(finding(), NAMES.get)
    low = message(finding(severity=Severity.INFORMATIONAL), NAMES.get)
    assert low.startswith(b"<86>1 ")


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_tcp(syslog, is_confirmed):
    receiver = syslog()
    sink = sink_to(receiver.port, "tcp", is_confirmed=is_confirmed)
    sink.send(findings(2))
    sink.send([finding(2)])
    if is_confirmed:
        assert receiver.messages == WANT
    assert sink.name == "syslog"
    sink.close()


def test_tls(syslog, tls):
    trusted, context = tls
    receiver = syslog(context=context)
    sink_to(receiver.port, "tls", context=tls_context(trusted)).send(findings(3))
    assert receiver.messages == WANT
    with pytest.raises(Unavailable, match="certificate"):
        sink_to(receiver.port, "tls", context=tls_context(None)).send(findings(1))
    assert receiver.messages == WANT


def test_udp(syslog):
    arrived = threading.Event()
    messages = []

    def take(data):
        messages.append(data)
        if len(messages) == 3:
            arrived.set()

    receiver = syslog(is_udp=True, take=take)
    sink_to(receiver.port, "udp").send(findings(3))
    assert arrived.wait(5)
    assert messages == WANT


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("carrier", ["udp", "tcp"])
def test_nobody_listens(syslog, carrier, count):
    receiver = syslog(is_udp=carrier == "udp")
    receiver.down()
    with pytest.raises(Unavailable, match="cannot be reached"):
        sink_to(receiver.port, carrier).send(findings(count))


def test_a_name_that_leads_nowhere():
    sink = SyslogSink("syslog", "no-such-host.invalid", 1, "udp", names=NAMES.get)
    with pytest.raises(Unavailable, match="cannot be reached"):
        sink.send(findings(1))


def test_what_no_datagram_holds(syslog):
    receiver = syslog(is_udp=True)
    sink = SyslogSink(
        "syslog", "127.0.0.1", receiver.port, "udp", names=lambda _: "x" * 70_000
    )
    with pytest.raises(InvalidInput, match="datagram"):
        sink.send(findings(1))


@pytest.fixture
def rude():
    """Accept connections and do something else than read them to the end."""
    made = []

    def start(do):
        listening = socket.create_server(("127.0.0.1", 0))
        made.append(listening)

        def serve():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                made.append(connection)
                do(connection)

        threading.Thread(target=serve, daemon=True).start()
        return listening.getsockname()[1]

    yield start
    for one in made:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


def test_a_receiver_that_dies_before_it_has_read_all(rude):
    def die(connection):
        connection.recv(1)
        # what a kernel does for a process that was killed
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()

    with pytest.raises(Unavailable, match="cannot be reached"):
        sink_to(rude(die), "tcp").send(findings(200))


def test_a_receiver_that_talks_back(rude):
    def chat(connection):
        with connection:
            connection.sendall(b"hello")
            while connection.recv(4096):
                pass

    sink_to(rude(chat), "tcp").send(findings(3))


def test_a_receiver_that_does_not_read(rude):
    sink = sink_to(rude(lambda _: None), "tcp", timeout_s=0.2)
    with pytest.raises(Unavailable, match="timed out"):
        sink.send(findings(1))
    # who keeps its side open can be told from one that is down by its operator alone
    kept = sink_to(rude(lambda _: None), "tcp", timeout_s=0.2, is_confirmed=False)
    kept.send(findings(1))
