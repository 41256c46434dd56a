# SPDX-License-Identifier: Apache-2.0
"""Real receivers on loopback: an HTTP server, syslog servers, a Kafka cluster.

They can be taken down and come up again on the same port.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import confluent_kafka
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Request(NamedTuple):
    target: str
    headers: dict[str, str]
    body: bytes


class Response(NamedTuple):
    status: int = 200
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = ()


Answer = Callable[[Request], Response]


class HttpReceiver:
    """Answers every POST; keeps what it was asked."""

    def __init__(
        self, answer: Answer, *, context: ssl.SSLContext | None = None, port: int = 0
    ) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.port = port
        self._context = context
        self._server: ThreadingHTTPServer | None = None
        self.up()

    @property
    def base(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    def up(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["content-length"])
                request = Request(
                    self.path,
                    {name.lower(): value for name, value in self.headers.items()},
                    self.rfile.read(size),
                )
                receiver.requests.append(request)
                response = receiver.answer(request)
                self.send_response(response.status)
                for name, value in response.headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(response.body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """Say nothing of clients that went away."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        if self._context is not None:
            self._server.socket = self._context.wrap_socket(
                self._server.socket, server_side=True
            )
        self.port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        ).start()

    def down(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class SyslogReceiver:
    """Reads octet-counted messages over TCP or TLS, or datagrams."""

    def __init__(
        self,
        *,
        context: ssl.SSLContext | None = None,
        is_udp: bool = False,
        take: Callable[[bytes], None] | None = None,
        port: int = 0,
    ) -> None:
        self.messages: list[bytes] = []
        self._take = take or self.messages.append
        self._context = context
        self._is_udp = is_udp
        self.port = port
        self._open: set[socket.socket] = set()
        self._listening: socket.socket | None = None
        self.up()

    def up(self) -> None:
        kind = socket.SOCK_DGRAM if self._is_udp else socket.SOCK_STREAM
        listening = socket.socket(socket.AF_INET, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        if not self._is_udp:
            listening.listen(16)
        self._listening = listening
        target = self._datagrams if self._is_udp else self._accept
        self._thread = threading.Thread(target=target, args=(listening,), daemon=True)
        self._thread.start()

    def down(self) -> None:
        for one in [self._listening, *self._open]:
            if one is not None:
                with suppressed():
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
        # a socket that a thread still waits on is not closed yet
        self._thread.join(5)
        self._listening = None

    def _datagrams(self, listening: socket.socket) -> None:
        with suppressed():
            while data := listening.recv(65_536):
                self._take(data)

    def _accept(self, listening: socket.socket) -> None:
        with suppressed():
            while True:
                connection, _ = listening.accept()
                threading.Thread(
                    target=self._read, args=(connection,), daemon=True
                ).start()

    def _read(self, connection: socket.socket) -> None:
        self._open.add(connection)
        with suppressed(), connection:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
                self._open.add(connection)
            with connection, connection.makefile("rb") as stream:
                while (size := _count(stream)) is not None:
                    self._take(stream.read(size))
        self._open.discard(connection)


def suppressed() -> contextlib.suppress:
    """Ignore what a connection that was cut says."""
    return contextlib.suppress(OSError, ValueError)


def _count(stream: Any) -> int | None:
    digits = b""
    while (one := stream.read(1)) not in {b"", b" "}:
        digits += one
    return int(digits) if digits else None


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Return a file to trust and a server's settings, for 127.0.0.1 and localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    begin = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    names = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin.replace(year=2120))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, private = folder / "ca.pem", folder / "server.pem"
    pem = signed.public_bytes(serialization.Encoding.PEM)
    trusted.write_bytes(pem)
    private.write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(private)
    return trusted, context


class KafkaCluster:
    """librdkafka's mock cluster: real sockets, in this process."""

    def __init__(self) -> None:
        # the cluster lives inside of this client
        self._host = confluent_kafka.Producer({"test.mock.num.brokers": 1})
        brokers = self._host.list_topics(timeout=10).brokers.values()
        self.servers = ",".join(f"{one.host}:{one.port}" for one in brokers)

    def read(self, topic: str, count: int, *, timeout_s: float = 10) -> list[Any]:
        consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": self.servers,
                "group.id": "test",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        try:
            there = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            consumer.assign(
                [
                    confluent_kafka.TopicPartition(
                        topic, number, confluent_kafka.OFFSET_BEGINNING
                    )
                    for number in there
                ]
            )
            found: list[Any] = []
            while len(found) < count:
                messages = consumer.consume(count - len(found), timeout=timeout_s)
                if not messages:
                    break
                found += messages
            return found
        finally:
            consumer.close()


class Elastic:
    """What Elasticsearch's ``_bulk`` does with ``create``."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}
        self.poison: set[str] = set()
        self.busy: set[str] = set()

    def __call__(self, request: Request) -> Response:
        lines = [json.loads(line) for line in request.body.splitlines()]
        items = []
        for action, document in zip(lines[::2], lines[1::2], strict=True):
            [(verb, target)] = action.items()
            id_ = target["_id"]
            status, kind = 201, None
            if id_ in self.busy:
                status, kind = 429, "es_rejected_execution_exception"
            elif id_ in self.poison:
                status, kind = 400, "document_parsing_exception"
            elif id_ in self.documents:
                status, kind = 409, "version_conflict_engine_exception"
            else:
                self.documents[id_] = document
            item = {"status": status, **({"error": {"type": kind}} if kind else {})}
            items.append({verb: item})
        return Response(body=json.dumps({"errors": True, "items": items}).encode())


class Splunk:
    """What the HTTP Event Collector does, with acknowledgements after some looks."""

    def __init__(self, *, looks: int = 0) -> None:
        self.events: list[Any] = []
        self._looks = looks
        self._asked = 0

    def __call__(self, request: Request) -> Response:
        if request.target.startswith("/services/collector/ack"):
            self._asked += 1
            acks = {
                str(n): self._asked > self._looks
                for n in json.loads(request.body)["acks"]
            }
            return Response(body=json.dumps({"acks": acks}).encode())
        text, decoder = request.body.decode(), json.JSONDecoder()
        while text:
            event, end = decoder.raw_decode(text)
            self.events.append(event)
            text = text[end:]
        return Response(body=b'{"text":"Success","code":0,"ackId":7}')
