# SPDX-License-Identifier: Apache-2.0
"""Sinks by URL: where an organisation's findings go, as its operator writes it.

Before ``#`` stands the place as the other side has it, after ``#`` our options::

    file:/var/log/fedxdr/findings.ndjson
    hec+https://splunk:8088#secret-file=/etc/fedxdr/hec.token&index=soc&ack=true
    elastic+https://elastic:9200/findings#secret-file=/etc/fedxdr/elastic.key
    webhook+https://soar/in?team=1#secret-file=/etc/fedxdr/webhook.key
    syslog+tls://siem:6514#ca=/etc/fedxdr/siem.pem
    kafka://kafka:9093/findings#tls=true&username=fedxdr&secret-file=/etc/fedxdr/kafka.pw

docs/how-to/sinks.md has all of them. Delivery itself is in delivering.py.

Rules that always hold:
    1. A secret is read from a file that its owner alone can read, never from a URL; a
       URL with one in it is refused.
    2. A URL is never shown: an error shows its kind and host. The name of a sink holds
       no secret either; of a webhook's path and query only a digest.
    3. Findings go unencrypted to this machine alone, unless ``plain=true`` is asked.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import ssl
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from fedxdr.app.delivering import Deliveries
from fedxdr.core.clock import Clock
from fedxdr.core.errors import InvalidSettings
from fedxdr.core.ids import sha256
from fedxdr.core.randomness import Entropy
from fedxdr.storage.outbox import Outbox
from fedxdr.telemetry.shown import Names
from fedxdr.transport.sinks.elastic import ElasticSink
from fedxdr.transport.sinks.file import FileSink
from fedxdr.transport.sinks.hec import HecSink
from fedxdr.transport.sinks.kafka_out import KafkaSink
from fedxdr.transport.sinks.sink import Sink, tls_context
from fedxdr.transport.sinks.syslog import Carrier, SyslogSink
from fedxdr.transport.sinks.webhook import WebhookSink

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MOST_SECRET: Final = 8_192
_SYSLOG_PORTS: Final = {"udp": 514, "tcp": 601, "tls": 6514}
_CARRIERS: Final[Mapping[str, Carrier]] = {"udp": "udp", "tcp": "tcp", "tls": "tls"}
_HTTP_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A URL taken apart; ``told`` is what of it may be shown.

    Attributes:
        kind: before ``+``.
        carrier: after it, empty where there is none.
        url: the URL without our options.
        options: ours, each once.
        told: kind and host.
    """

    kind: str
    carrier: str
    url: SplitResult
    options: dict[str, str]
    told: str

    @property
    def host(self) -> str:
        """The host; there is one."""
        if not self.url.hostname:
            raise InvalidSettings(f"{self.told} names no host")
        return self.url.hostname

    def port(self, default: int) -> int:
        """Return the port, or the usual one."""
        try:
            return self.url.port or default
        except ValueError as error:
            raise InvalidSettings(f"{self.told} has no port that is one") from error

    def base(self) -> str:
        """Return scheme, host and port for HTTP."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.carrier}://{host}:{self.port(_HTTP_PORTS[self.carrier])}"

    def secret(self) -> str:
        """Return what stands in ``secret-file``, empty where none is named."""
        path = self.options.get("secret-file")
        return "" if path is None else secret_in(Path(path))

    def user(self) -> str | None:
        """Return who we are there, None where nobody is named.

        Raises:
            InvalidSettings: a name without a password.
        """
        name = self.options.get("username")
        if name is not None and "secret-file" not in self.options:
            raise InvalidSettings(f"{self.told}: username needs secret-file")
        return name

    def is_on(self, option: str, *, default: bool = False) -> bool:
        """Return whether an option is on."""
        word = self.options.get(option, str(default).lower())
        if word not in {"true", "false"}:
            raise InvalidSettings(f"{self.told}: {option} is true or false")
        return word == "true"

    def context(self, *, is_secured: bool) -> ssl.SSLContext | None:
        """Return how certificates are checked, None for an unencrypted way.

        Raises:
            InvalidSettings: unencrypted to another machine, and nobody asked for it.
        """
        ca = self.options.get("ca")
        if is_secured:
            return tls_context(None if ca is None else Path(ca))
        if ca is not None:
            raise InvalidSettings(f"{self.told} is not encrypted: ca says nothing")
        if not (_is_here(self.host) or self.is_on("plain")):
            raise InvalidSettings(
                f"{self.told} is not encrypted; if findings may go that way, say so "
                "with plain=true"
            )
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What sinks need besides their place."""

    names: Names
    clock: Clock
    entropy: Entropy


def open_sink(url: str, *, names: Names, clock: Clock, entropy: Entropy) -> Sink:
    """Return the sink that a URL means; close it when done.

    Nothing is asked of the other side yet, so that one that is down does not matter.

    Args:
        url: see the module.
        names: looks up who a token is.
        clock: the time.
        entropy: for numbers that others must not guess.

    Raises:
        InvalidSettings: a URL of no sink, an option that it does not have, a secret in
            the URL or in a file that others can read.
        Unavailable: a file that another process writes to, or that cannot be opened.
    """
    place = _place(url)
    opens, options = _KINDS[
        f"{place.kind}+{place.carrier}" if place.carrier else place.kind
    ]
    unknown = sorted(set(place.options) - set(options))
    if unknown:
        raise InvalidSettings(f"{place.told} has no option {unknown[0]}")
    return opens(place, _Parts(names=names, clock=clock, entropy=entropy))


@contextmanager
def delivering(
    path: Path, urls: Sequence[str], *, names: Names, clock: Clock, entropy: Entropy
) -> Iterator[Deliveries]:
    """Deliver what is in an outbox, and what is put meanwhile, while the block runs.

    Args:
        path: of the outbox's file.
        urls: of the sinks.
        names: looks up who a token is; asked from several threads at once.
        clock: the time.
        entropy: for numbers that others must not guess.

    Raises:
        InvalidSettings: as ``open_sink``, or two URLs of one sink.
        Unavailable: another process has the outbox, or writes to a file.
        StorageFault: the outbox cannot be opened.
    """
    with ExitStack() as stack:
        sinks: list[Sink] = []
        for url in urls:
            sink = open_sink(url, names=names, clock=clock, entropy=entropy)
            sinks.append(sink)
            stack.callback(sink.close)
            if sink.name in {one.name for one in sinks[:-1]}:
                raise InvalidSettings(f"{sink.name} stands twice")
        outbox = Outbox(path, sinks=[one.name for one in sinks])
        stack.callback(outbox.close)
        with Deliveries(outbox, sinks) as deliveries:
            yield deliveries


def secret_in(path: Path) -> str:
    """Return the secret in a file, without the white space around it.

    Raises:
        InvalidSettings: no such file, others can read it, or it holds none.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                raise InvalidSettings(f"others can read {path}: chmod 600 {path}")
            text = file.read(_MOST_SECRET + 1).decode("ascii").strip()
    except FileNotFoundError as error:
        raise InvalidSettings(f"there is no secret file {path}") from error
    except (OSError, ValueError):
        # the file's own text must not be shown, nor the error that may hold it
        raise InvalidSettings(f"{path} is not a file with a secret") from None
    if not text or not text.isprintable() or len(text) > _MOST_SECRET:
        raise InvalidSettings(f"{path} is not a file with a secret")
    return text


def _place(url: str) -> _Place:
    try:
        split = urlsplit(url)
        pairs = parse_qsl(
            split.fragment, keep_blank_values=True, strict_parsing=bool(split.fragment)
        )
    except ValueError:
        raise InvalidSettings("a sink's URL cannot be read") from None
    scheme = split.scheme
    if scheme not in _KINDS:
        kinds = ", ".join(_KINDS)
        raise InvalidSettings(f"no kind of sink; there are {kinds}")
    told = f"{scheme}:" if scheme == "file" else f"{scheme}://{split.hostname or ''}"
    if "@" in split.netloc:
        raise InvalidSettings(
            f"{told}: a password does not belong in a URL; use secret-file"
        )
    options = dict(pairs)
    if len(options) != len(pairs):
        raise InvalidSettings(f"{told}: an option stands twice")
    kind, _, carrier = scheme.partition("+")
    return _Place(
        kind=kind,
        carrier=carrier,
        url=split._replace(fragment=""),
        options=options,
        told=told,
    )


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _only(place: _Place, *, what: str) -> str:
    """Return the one part of a path, ``/WHAT``."""
    part = unquote(place.url.path.removeprefix("/"))
    if not part or "/" in part or place.url.query:
        raise InvalidSettings(f"{place.told} is followed by /{what.upper()}")
    return part


def _open_file(place: _Place, parts: _Parts) -> Sink:
    path = unquote(place.url.path)
    if not path or place.url.netloc or place.url.query:
        raise InvalidSettings("a file is written file:PATH")
    return FileSink(Path(path).absolute(), names=parts.names)


def _open_hec(place: _Place, parts: _Parts) -> Sink:
    context = place.context(is_secured=place.carrier == "https")
    token = place.secret()
    if not token:
        raise InvalidSettings(f"{place.told} needs secret-file with its token")
    if place.url.path not in {"", "/"} or place.url.query:
        raise InvalidSettings(f"{place.told} is followed by no path")
    index = place.options.get("index", "")
    return HecSink(
        f"hec+{place.base()}/{index}",
        place.base(),
        token,
        names=parts.names,
        context=context,
        entropy=parts.entropy,
        index=index,
        is_acknowledged=place.is_on("ack"),
    )


def _open_elastic(place: _Place, parts: _Parts) -> Sink:
    context = place.context(is_secured=place.carrier == "https")
    index = _only(place, what="index")
    secret, user = place.secret(), place.user()
    if user is not None:
        pair = base64.b64encode(f"{user}:{secret}".encode()).decode()
        authorisation = f"Basic {pair}"
    else:
        authorisation = f"ApiKey {secret}" if secret else ""
    return ElasticSink(
        f"elastic+{place.base()}/{index}",
        place.base(),
        index,
        authorisation=authorisation,
        names=parts.names,
        context=context,
    )


def _open_webhook(place: _Place, parts: _Parts) -> Sink:
    context = place.context(is_secured=place.carrier == "https")
    secret = place.secret()
    if not secret:
        raise InvalidSettings(f"{place.told} needs secret-file with what it signs with")
    target = place.url.path or "/"
    if place.url.query:
        target = f"{target}?{place.url.query}"
    digest = sha256(b"fedxdr/webhook/v1\x00", place.base().encode(), target.encode())
    return WebhookSink(
        f"webhook+{place.base()}/{digest[:12]}",
        place.base(),
        target,
        secret=secret,
        names=parts.names,
        context=context,
        clock=parts.clock,
    )


def _open_syslog(place: _Place, parts: _Parts) -> Sink:
    carrier = _CARRIERS[place.carrier]
    if place.url.path not in {"", "/"} or place.url.query:
        raise InvalidSettings(f"{place.told} is followed by no path")
    port = place.port(_SYSLOG_PORTS[carrier])
    return SyslogSink(
        f"syslog+{carrier}://{place.host}:{port}",
        place.host,
        port,
        carrier,
        names=parts.names,
        context=place.context(is_secured=carrier == "tls"),
        is_confirmed=place.is_on("confirm", default=True),
    )


def _open_kafka(place: _Place, parts: _Parts) -> Sink:
    topic = _only(place, what="topic")
    is_secured, user = place.is_on("tls"), place.user()
    # several servers stand with commas between: checked as one name, sent as they are
    servers = place.url.netloc
    for server in servers.split(","):
        one = _place(f"kafka://{server}#{'plain=true' if place.is_on('plain') else ''}")
        one.port(1)
        if not is_secured:
            one.context(is_secured=False)
    settings = {"security.protocol": "SSL" if is_secured else "PLAINTEXT"}
    if "ca" in place.options:
        settings["ssl.ca.location"] = place.options["ca"]
    if user is not None:
        settings["security.protocol"] = "SASL_SSL" if is_secured else "SASL_PLAINTEXT"
        settings["sasl.mechanism"] = place.options.get("mechanism", "SCRAM-SHA-512")
        settings["sasl.username"] = user
        settings["sasl.password"] = place.secret()
    return KafkaSink(
        f"kafka://{servers}/{topic}",
        servers,
        topic,
        names=parts.names,
        settings=settings,
    )


_Opens = Callable[[_Place, _Parts], Sink]
_HTTP: Final = ("secret-file", "ca", "plain")
_KINDS: Final[Mapping[str, tuple[_Opens, tuple[str, ...]]]] = {
    "file": (_open_file, ()),
    "hec+https": (_open_hec, (*_HTTP, "index", "ack")),
    "hec+http": (_open_hec, (*_HTTP, "index", "ack")),
    "elastic+https": (_open_elastic, (*_HTTP, "username")),
    "elastic+http": (_open_elastic, (*_HTTP, "username")),
    "webhook+https": (_open_webhook, _HTTP),
    "webhook+http": (_open_webhook, _HTTP),
    "syslog+tls": (_open_syslog, ("ca", "confirm")),
    "syslog+tcp": (_open_syslog, ("plain", "confirm")),
    "syslog+udp": (_open_syslog, ("plain",)),
    "kafka": (
        _open_kafka,
        ("secret-file", "ca", "plain", "tls", "username", "mechanism"),
    ),
}
"""Every kind of sink, and its options."""
