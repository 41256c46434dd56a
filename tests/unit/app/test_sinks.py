# SPDX-License-Identifier: Apache-2.0
"""What a sink's URL means; no secret of it is ever shown."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.telemetry.found import NAMES, findings
from tests.unit.transport.sinks.receivers import (
    Elastic,
    HttpReceiver,
    KafkaCluster,
    Response,
    Splunk,
    SyslogReceiver,
    certificate,
)

from fedxdr.app import sinks
from fedxdr.app.sinks import delivering, open_sink, secret_in
from fedxdr.core.clock import ManualClock
from fedxdr.core.errors import InvalidSettings
from fedxdr.core.randomness import SeededEntropy

CLOCK = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
SECRET = "correct-horse-battery-staple"  # noqa: S105 - of a test
PAIR = base64.b64encode(f"me:{SECRET}".encode()).decode()


@pytest.fixture
def opened():
    made = []

    def build(url):
        made.append(
            open_sink(url, names=NAMES.get, clock=CLOCK, entropy=SeededEntropy(1))
        )
        return made[-1]

    yield build
    for one in made:
        one.close()


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def http():
    made = []

    def start(answer, **settings):
        made.append(HttpReceiver(answer, **settings))
        return made[-1]

    yield start
    for one in made:
        one.down()


def test_file(opened, tmp_path):
    sink = opened(f"file:{tmp_path}/a%20folder/findings.ndjson")
    sink.send(findings(2))
    assert len((tmp_path / "a folder/findings.ndjson").read_text().splitlines()) == 2
    assert sink.name == f"file:{tmp_path}/a folder/findings.ndjson"


def test_splunk(opened, http, secret):
    splunk = Splunk()
    receiver = http(splunk)
    sink = opened(f"hec+{receiver.base}#secret-file={secret}&index=soc&ack=true")
    sink.send(findings(1))
    assert splunk.events[0]["index"] == "soc"
    assert receiver.requests[0].headers["authorization"] == f"Splunk {SECRET}"
    assert sink.name == f"hec+{receiver.base}/soc"


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ("", None),
        ("secret-file={}", f"ApiKey {SECRET}"),
        ("secret-file={}&username=me", f"Basic {PAIR}"),
    ],
)
def test_elastic(opened, http, secret, options, header):
    receiver = http(Elastic())
    sink = opened(f"elastic+{receiver.base}/findings#{options.format(secret)}")
    sink.send(findings(1))
    assert receiver.requests[0].headers.get("authorization") == header
    assert sink.name == f"elastic+{receiver.base}/findings"


def test_webhook_over_tls(opened, http, secret, tmp_path):
    trusted, context = certificate(tmp_path)
    receiver = http(lambda _: Response(), context=context)
    url = f"webhook+{receiver.base}/T0P5ECRET?key=HUSH"
    sink = opened(f"{url}#secret-file={secret}&ca={trusted}")
    sink.send(findings(2))
    assert receiver.requests[0].target == "/T0P5ECRET?key=HUSH"
    assert len(json.loads(receiver.requests[0].body)) == 2
    assert sink.name.startswith(f"webhook+{receiver.base}/")
    for hidden in ("T0P5ECRET", "HUSH", SECRET):
        assert hidden not in sink.name
    # another path is another sink
    other = opened(f"webhook+{receiver.base}/else#secret-file={secret}&ca={trusted}")
    assert other.name != sink.name


@pytest.mark.parametrize("carrier", ["udp", "tcp", "tls"])
def test_syslog(opened, tmp_path, carrier):
    trusted, context = certificate(tmp_path)
    receiver = SyslogReceiver(
        is_udp=carrier == "udp", context=context if carrier == "tls" else None
    )
    try:
        options = f"#ca={trusted}" if carrier == "tls" else ""
        sink = opened(f"syslog+{carrier}://127.0.0.1:{receiver.port}{options}")
        sink.send(findings(1))
        assert sink.name == f"syslog+{carrier}://127.0.0.1:{receiver.port}"
        if carrier != "udp":
            assert len(receiver.messages) == 1
    finally:
        receiver.down()


def test_usual_ports_and_confirmation(opened):
    assert opened("syslog+tls://siem").name == "syslog+tls://siem:6514"
    quiet = opened("syslog+tcp://localhost#confirm=false")
    assert quiet.name == "syslog+tcp://localhost:601"
    assert opened("elastic+https://[::1]/x").name == "elastic+https://[::1]:443/x"


def test_kafka(opened):
    cluster = KafkaCluster()
    sink = opened(f"kafka://{cluster.servers}/findings")
    sink.send(findings(2))
    assert len(cluster.read("findings", 2)) == 2
    assert sink.name == f"kafka://{cluster.servers}/findings"


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ("plain=true", {"security.protocol": "PLAINTEXT"}),
        ("tls=true&ca=CA", {"security.protocol": "SSL", "ssl.ca.location": "CA"}),
        (
            "tls=true&username=me&secret-file={}",
            {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": "me",
                "sasl.password": SECRET,
            },
        ),
        (
            "plain=true&username=me&secret-file={}&mechanism=PLAIN",
            {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN",
                "sasl.username": "me",
                "sasl.password": SECRET,
            },
        ),
    ],
)
def test_security_of_kafka(opened, secret, monkeypatch, options, want):
    got = {}

    class Sink:
        def __init__(self, *_, settings, **__):
            got.update(settings)

        def close(self):
            """Nothing is open."""

    monkeypatch.setattr(sinks, "KafkaSink", Sink)
    opened(f"kafka://one:9092,two:9092/findings#{options.format(secret)}")
    assert got == want


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("gopher://host", "no kind of sink"),
        ("hec://host", "no kind of sink"),
        ("nothing", "no kind of sink"),
        ("hec+https://[broken", "cannot be read"),
        ("file:/x#a", "cannot be read"),
        ("file:/x#a=1", "no option a"),
        ("file://host/x", "file:PATH"),
        ("file:", "file:PATH"),
        ("hec+https://host#index=a&index=b", "twice"),
        ("hec+https://host", "needs secret-file"),
        ("hec+https://host/path#secret-file={}", "no path"),
        ("hec+https://host#secret-file={}&ack=yes", "ack is true or false"),
        ("hec+https://:8088#secret-file={}", "names no host"),
        ("hec+https://host:99999#secret-file={}", "no port"),
        ("elastic+https://host", "/INDEX"),
        ("elastic+https://host/a/b", "/INDEX"),
        ("webhook+https://host/x", "needs secret-file"),
        ("kafka://host", "/TOPIC"),
        ("kafka://host/t#tls=true&username=me", "needs secret-file"),
        ("elastic+https://host/x#username=me", "needs secret-file"),
        ("kafka://a:x/t#tls=true", "no port"),
        ("syslog+tls://host/x", "no path"),
        ("syslog+tls://host#plain=true", "no option plain"),
        ("syslog+tls://host#ca=/nowhere", "no file of certificates"),
        ("hec+http://127.0.0.1#ca=/x&secret-file={}", "ca says nothing"),
    ],
)
def test_urls_of_no_sink(opened, secret, url, match):
    with pytest.raises(InvalidSettings, match=match):
        opened(url.format(secret))


@pytest.mark.parametrize(
    "url",
    [
        "hec+http://10.0.0.1:8088#secret-file={}",
        "elastic+http://elastic/x",
        "webhook+http://soar/x#secret-file={}",
        "syslog+tcp://siem",
        "syslog+udp://siem",
        "kafka://127.0.0.1:1,kafka:9092/x",
    ],
)
def test_unencrypted_ways_to_others_are_asked_for(opened, secret, url):
    url = url.format(secret)
    with pytest.raises(InvalidSettings, match="plain=true"):
        opened(url)
    opened(f"{url}{'&' if '#' in url else '#'}plain=true")


@pytest.mark.parametrize(
    "url",
    [
        "hec+https://user:HUSH@host#secret-file={}",
        "elastic+https://HUSH@host/x",
        "kafka://user:HUSH@host/x#tls=true",
        "webhook+https://host/HUSH#secret-file=/nowhere",
        "webhook+https://host/HUSH?key=HUSH",
        "webhook+http://host/HUSH?key=HUSH#secret-file={}",
        "hec+https://host#token=HUSH",
        "HUSH+https://host",
        "hec+https://HUSH[",
    ],
)
def test_no_error_shows_what_could_be_a_secret(opened, secret, url):
    with pytest.raises(InvalidSettings) as caught:
        opened(url.format(secret))
    shown, error = "", caught.value
    while error is not None:
        shown += str(error)
        error = error.__cause__
    assert "HUSH" not in shown


def test_a_folder_of_findings_is_delivered(tmp_path, http):
    elastic = Elastic()
    urls = [
        f"file:{tmp_path}/findings.ndjson",
        f"elastic+{http(elastic).base}/findings",
    ]
    parts = {"names": NAMES.get, "clock": CLOCK, "entropy": SeededEntropy(1)}
    for count in (3, 5):  # opened again: what was delivered stays delivered
        with delivering(tmp_path / "outbox.db", urls, **parts) as deliveries:
            deliveries.put(findings(count))
            assert deliveries.drain(timeout_s=10)
    assert len((tmp_path / "findings.ndjson").read_text().splitlines()) == 5
    assert len(elastic.documents) == 5
    with (
        pytest.raises(InvalidSettings, match="stands twice"),
        delivering(tmp_path / "outbox.db", [urls[1], urls[1]], **parts),
    ):
        pass


def test_every_kind_and_option_is_documented():
    text = (Path(__file__).parents[3] / "docs/how-to/sinks.md").read_text()
    rows = {
        kind.strip("`").removesuffix(":"): cells[2]
        for line in text.splitlines()
        if line.startswith("| `") and len(cells := line.split("|")) > 3
        for kind in cells[1].split()
    }
    assert set(rows) == set(sinks._KINDS)
    for kind, (_, options) in sinks._KINDS.items():
        for option in options:
            # an encrypted way has nothing to allow, a plain one no certificate
            assert f"`{option}`" in rows[kind], (kind, option)


def test_secret_files(secret, tmp_path):
    assert secret_in(secret) == SECRET
    secret.chmod(0o640)
    with pytest.raises(InvalidSettings, match="others can read"):
        secret_in(secret)
    with pytest.raises(InvalidSettings, match="no secret file"):
        secret_in(tmp_path / "missing")
    for text in (b"", b"two\nlines", b"\xff", b"x" * 9000):
        secret.write_bytes(text)
        secret.chmod(0o600)
        with pytest.raises(InvalidSettings, match="not a file with a secret"):
            secret_in(secret)
    with pytest.raises(InvalidSettings, match="not a file with a secret"):
        secret_in(tmp_path)
