# SPDX-License-Identifier: Apache-2.0
"""Findings reach every sink although sinks go down and the process is killed.

A process puts findings at a steady rate; real receivers on loopback take them: a file,
Splunk's collector, Elasticsearch's bulk interface, a signed webhook, syslog over TLS
and Kafka (librdkafka's mock cluster, a process of its own). All but the file go down
for a while: servers are closed, the cluster is stopped with SIGSTOP. Meanwhile and
afterwards the process is killed with SIGKILL at random moments and started again.

    python -m tests.process.drill_sinks --up 5 --down 60 --kills 8

prints one JSON line: how many findings, per sink how many arrived, again, and the
latency from before ``put`` to the receiver, in seconds, of those that were put while
sink and process were up (``_with_kills``: also of those put up to 2 s before a kill);
and how long after its return a sink got the first finding.
"""

from __future__ import annotations

import argparse
import contextlib
import hmac
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import confluent_kafka
import numpy as np
from tests.unit.telemetry.found import NAMES, finding
from tests.unit.transport.sinks.receivers import (
    Elastic,
    HttpReceiver,
    KafkaCluster,
    Request,
    Response,
    Splunk,
    SyslogReceiver,
    certificate,
)

from fedxdr.app.delivering import Deliveries
from fedxdr.app.sinks import open_sink
from fedxdr.core.clock import SystemClock
from fedxdr.core.errors import Unavailable
from fedxdr.core.randomness import SystemEntropy, generator
from fedxdr.storage.outbox import Outbox

ROOT = Path(__file__).parents[2]
SECRET = "a secret of this drill alone"  # noqa: S105 - of a test
TOPIC = "findings"
SINKS = ("file", "hec", "elastic", "webhook", "syslog", "kafka")
PATIENT_S = 30.0
MET_S = 2.0

Step = tuple[float, str]
MOST_P95_S = 2.0


@dataclass(kw_only=True)
class Outcome:
    """What a drill has shown.

    Attributes:
        findings: acknowledged by the outbox.
        kills: of the process.
        down_s: how long the sinks were down.
        sinks: figures of each.
        faults: everything that was not as it must be, in words.
    """

    findings: int = 0
    kills: int = 0
    down_s: float = 0.0
    sinks: dict[str, dict[str, float]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Book:
    """What was done when, on the clock that all processes share.

    Attributes:
        put: before ``put``, by the finding's number; of those that were acknowledged.
        fell_s: when the sinks went down.
        rose_s: when they came up.
        killed_s: when the process was killed.
    """

    put: dict[int, float] = field(default_factory=dict)
    fell_s: float = 0.0
    rose_s: float = 0.0
    killed_s: list[float] = field(default_factory=list)


class Arrivals:
    """When which finding came where; many threads write."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards both below
        self._first: dict[str, dict[str, float]] = {name: {} for name in SINKS}
        self._again = dict.fromkeys(SINKS, 0)

    def note(self, sink: str, id_: str) -> None:
        now_s = time.monotonic()
        with self._lock:
            if self._first[sink].setdefault(id_, now_s) != now_s:
                self._again[sink] += 1

    def of(self, sink: str) -> tuple[dict[str, float], int]:
        with self._lock:
            return dict(self._first[sink]), self._again[sink]


class World:
    """All receivers; close it when done."""

    def __init__(self, folder: Path) -> None:
        self.arrivals = Arrivals()
        self.faults: list[str] = []
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        trusted, context = certificate(folder)
        secret = folder / "secret"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        self._http = {
            "hec": HttpReceiver(self._splunk, context=context),
            "elastic": HttpReceiver(self._elastic()),
            "webhook": HttpReceiver(self._webhook),
        }
        self._syslog = SyslogReceiver(context=context, take=self._cef)
        self._cluster = subprocess.Popen(
            [sys.executable, "-m", "tests.process.drill_sinks", "--cluster"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        servers = self._cluster.stdout.readline().strip()
        self.file = folder / "findings.ndjson"
        self.urls = [
            f"file:{self.file}",
            f"hec+{self._http['hec'].base}#secret-file={secret}&ca={trusted}&ack=true",
            f"elastic+{self._http['elastic'].base}/findings#secret-file={secret}",
            f"webhook+{self._http['webhook'].base}/in#secret-file={secret}",
            f"syslog+tls://127.0.0.1:{self._syslog.port}#ca={trusted}",
            f"kafka://{servers}/{TOPIC}",
        ]
        self._begin(self._tail)
        self._begin(lambda: self._consume(servers))

    def down(self) -> None:
        for one in (*self._http.values(), self._syslog):
            one.down()
        self._cluster.send_signal(signal.SIGSTOP)

    def up(self) -> None:
        self._cluster.send_signal(signal.SIGCONT)
        for one in (*self._http.values(), self._syslog):
            one.up()

    def close(self) -> None:
        self._stop.set()
        for one in self._threads:
            one.join(5)
        for one in (*self._http.values(), self._syslog):
            one.down()
        self._cluster.send_signal(signal.SIGCONT)
        self._cluster.kill()
        self._cluster.communicate()

    def _begin(self, target: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=target, daemon=True))
        self._threads[-1].start()

    def _splunk(self, request: Request) -> Response:
        splunk = Splunk()
        response = splunk(request)
        for event in splunk.events:
            self.arrivals.note("hec", event["fields"]["finding_id"])
        return response

    def _elastic(self) -> Callable[[Request], Response]:
        elastic = Elastic()

        def answer(request: Request) -> Response:
            known = set(elastic.documents)
            response = elastic(request)
            for id_ in elastic.documents.keys() - known:
                self.arrivals.note("elastic", id_)
            return response

        return answer

    def _webhook(self, request: Request) -> Response:
        head = request.headers
        signed = f"{head['webhook-id']}.{head['webhook-timestamp']}.".encode()
        made = hmac.digest(SECRET.encode(), signed + request.body, "sha256")
        if head["webhook-signature"] != f"v1,{b64encode(made).decode()}":
            self.faults.append("a webhook with a wrong signature")
            return Response(401)
        for record in json.loads(request.body):
            self.arrivals.note("webhook", record["finding_info"]["uid"])
        return Response(204, b"")

    def _cef(self, message: bytes) -> None:
        id_ = message.partition(b"externalId=")[2].partition(b" ")[0]
        self.arrivals.note("syslog", id_.decode())

    def _tail(self) -> None:
        rest, offset = b"", 0
        while not self._stop.wait(0.01):
            with contextlib.suppress(FileNotFoundError), self.file.open("rb") as file:
                if file.seek(0, 2) < offset:
                    # a line that a kill has torn was cut off
                    offset = file.tell()
                    rest = b""
                    file.seek(max(0, offset - 1))
                file.seek(offset)
                more = file.read()
                offset += len(more)
                *lines, rest = (rest + more).split(b"\n")
                for line in lines:
                    if line:
                        uid = json.loads(line)["finding_info"]["uid"]
                        self.arrivals.note("file", uid)

    def _consume(self, servers: str) -> None:
        consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "drill",
                "fetch.wait.max.ms": 50,
                "log_level": 0,
            }
        )
        there: dict[int, object] = {}
        while not there and not self._stop.is_set():
            # asking makes the topic; it is there a moment later
            there = consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
        begin = confluent_kafka.OFFSET_BEGINNING
        consumer.assign(
            [confluent_kafka.TopicPartition(TOPIC, one, begin) for one in there]
        )
        while not self._stop.is_set():
            for message in consumer.consume(100, timeout=0.1):
                if message.error() is None:
                    self.arrivals.note("kafka", message.key().decode())
        consumer.close()


class Life:
    """One process that finds and delivers."""

    def __init__(self, world: World, folder: Path, begin: int, rate: float) -> None:
        self.put: dict[int, float] = {}
        place = json.dumps(
            {
                "outbox": str(folder / "outbox.db"),
                "urls": world.urls,
                "begin": begin,
                "rate": rate,
            }
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.process.drill_sinks", "--life", place],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            if not line.endswith("\n"):
                return  # torn by a kill: not acknowledged
            number, began_s = line.split()
            self.put[int(number)] = float(began_s)

    def finish(self) -> None:
        """Let it find nothing more, and go on delivering."""
        self._process.stdin.write("enough\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._process.stdin.close()
        self._process.stdout.close()


def live(place: str) -> None:
    """Put findings at a rate and deliver them, until killed."""
    told = json.loads(place)
    parts = {"names": NAMES.get, "clock": SystemClock(), "entropy": SystemEntropy()}
    sinks = [open_sink(url, **parts) for url in told["urls"]]
    outbox = Outbox(Path(told["outbox"]), sinks=[one.name for one in sinks])
    enough = threading.Event()

    def listen() -> None:
        sys.stdin.readline()
        enough.set()

    threading.Thread(target=listen, daemon=True).start()
    number, next_s = told["begin"], time.monotonic()
    with Deliveries(outbox, sinks) as deliveries:
        while not enough.wait(max(0.0, next_s - time.monotonic())):
            next_s += 1 / told["rate"]
            began_s = time.monotonic()
            with contextlib.suppress(Unavailable):
                deliveries.put([finding(number)])
                say(f"{number} {began_s}")
                number += 1
        threading.Event().wait()


def run(
    folder: Path,
    *,
    up_s: float,
    down_s: float,
    kills: int,
    rate: float = 50.0,
    seed: int = 1,
    most_p95_s: float = MOST_P95_S,
) -> Outcome:
    """Return what came of one outage.

    Args:
        folder: an empty one.
        up_s: how long the sinks are up before, and after.
        down_s: how long they are down.
        kills: at random moments of the outage and of the time after it.
        rate: findings a second.
        seed: of those moments.
        most_p95_s: a latency that is a fault at the 95th percentile.
    """
    outcome = Outcome(kills=kills, down_s=down_s)
    length_s = 2 * up_s + down_s
    moments = generator(seed).uniform(up_s, length_s - 0.5, kills)
    steps: list[Step] = [(up_s, "down"), (up_s + down_s, "up"), (length_s, "end")]
    steps += [(float(at_s), "kill") for at_s in moments]
    world = World(folder)
    try:
        book = _play(world, folder, sorted(steps), rate)
    finally:
        world.close()
    outcome.findings = len(book.put)
    outcome.faults += world.faults
    for name in SINKS:
        first, again = world.arrivals.of(name)
        _judge(outcome, name, book, first)
        outcome.sinks[name]["again"] = again
        p95_s = outcome.sinks[name]["p95_s"]
        if p95_s > most_p95_s:
            outcome.faults.append(f"{name}: p95 is {p95_s} s")
        if again and name in {"file", "elastic"}:
            outcome.faults.append(f"{name} has {again} findings twice")
    lines = world.file.read_bytes().splitlines()
    if len({*lines}) != len(lines):
        outcome.faults.append("a line stands twice in the file")
    return outcome


def _play(world: World, folder: Path, steps: list[Step], rate: float) -> Book:
    """Do one step after the other, then wait until all has arrived."""
    book = Book()
    life = Life(world, folder, 0, rate)
    while not life.put:
        time.sleep(0.01)
    start_s = time.monotonic()
    for at_s, what in steps:
        time.sleep(max(0.0, start_s + at_s - time.monotonic()))
        if what == "down":
            world.down()
            book.fell_s = time.monotonic()
        elif what == "up":
            book.rose_s = time.monotonic()
            world.up()
        elif what == "kill":
            book.killed_s.append(time.monotonic())
            life.kill()
            book.put.update(life.put)
            life = Life(world, folder, max(book.put) + 1, rate)
    life.finish()
    time.sleep(0.1)
    end_s = time.monotonic() + PATIENT_S
    while time.monotonic() < end_s and any(
        len(world.arrivals.of(name)[0]) < len(book.put | life.put) for name in SINKS
    ):
        time.sleep(0.05)
    life.kill()
    book.put.update(life.put)
    return book


def _judge(outcome: Outcome, name: str, book: Book, first: dict[str, float]) -> None:
    """Enter what came of one sink."""
    fell_s, rose_s = (0.0, 0.0) if name == "file" else (book.fell_s, book.rose_s)
    ids = {number: finding(number).id for number in book.put}
    there = [number for number, id_ in ids.items() if id_ in first]
    if len(there) < len(ids):
        lost = len(ids) - len(there)
        outcome.faults.append(f"{name} lacks {lost} of {len(ids)} findings")
    # whatever was put shortly before a fall or a kill may have met it
    met = [(fell_s - MET_S, rose_s), *((at_s - MET_S, at_s) for at_s in book.killed_s)]
    up = [at for at in there if not any(a <= book.put[at] < b for a, b in met)]
    killed = [at for at in there if not met[0][0] <= book.put[at] < met[0][1]]
    figures = {}
    for numbers, end in ((up, ""), (killed, "_with_kills")):
        waits = [first[ids[at]] - book.put[at] for at in numbers] or [float("nan")]
        p50, p95, most = np.quantile(waits, (0.5, 0.95, 1.0)).tolist()
        figures |= {f"p50{end}_s": p50, f"p95{end}_s": p95, f"most{end}_s": most}
    if rose_s:
        back = (at_s - rose_s for at_s in first.values() if at_s >= rose_s)
        figures["back_s"] = min(back, default=float("nan"))
    rounded = {key: round(value, 3) for key, value in figures.items()}
    outcome.sinks[name] = {"arrived": len(there), **rounded}


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the drill from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--up", type=float, default=5.0)
    parser.add_argument("--down", type=float, default=60.0)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--life", help=argparse.SUPPRESS)
    parser.add_argument("--cluster", action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.life:
        live(told.life)
        return 0
    if told.cluster:
        cluster = KafkaCluster()
        say(cluster.servers)
        sys.stdin.readline()
        return 0
    with tempfile.TemporaryDirectory(prefix="drill-sinks-") as folder:
        outcome = run(
            Path(folder),
            up_s=told.up,
            down_s=told.down,
            kills=told.kills,
            rate=told.rate,
            seed=told.seed,
        )
    say(json.dumps({"name": "sinks", "seed": told.seed, **vars(outcome)}))
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
