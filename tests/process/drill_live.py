# SPDX-License-Identifier: Apache-2.0
"""An agent follows growing logs, scores them, and its findings reach a webhook.

One organisation's folder with a trained model and no orchestrator to be reached; its
logs grow as time passes, many times as fast as life, with an intrusion in them. The
agent is killed with SIGKILL on the way and started again. A finding's latency is from
the moment its newest line was in the file to the webhook's receipt.

    python -m tests.process.drill_live --seconds 20 --kills 3

prints one JSON line: lines a second, findings, which were lost or came twice, latency
of those whose lines were written while the agent was up, and its memory.
"""

from __future__ import annotations

import argparse
import bisect
import dataclasses
import datetime as dt
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from tests.unit.app.conftest import ADDRESS, InProcess, Place, reopen
from tests.unit.transport.sinks.receivers import HttpReceiver, Request, Response

from fedxdr.app import deciding, participating
from fedxdr.app.learners import ARCHITECTURE, LogLearner
from fedxdr.app.live import SPOOL, STATE
from fedxdr.app.orchestrating import initialise
from fedxdr.app.participating import AgentFile
from fedxdr.app.scored_spool import ScoredSpool
from fedxdr.app.server_file import ServerFile
from fedxdr.app.settings import PlanSettings
from fedxdr.core.clock import SystemClock
from fedxdr.core.ids import OrgId
from fedxdr.intake import files
from fedxdr.intake.spool import Spool
from fedxdr.learning.federate import in_the_clear, plan_fields
from fedxdr.models import snapshot
from fedxdr.privacy.pseudonym import Pseudonymiser
from fedxdr.simulation import traffic
from fedxdr.simulation.growing import GrowingLogs
from fedxdr.simulation.world import World
from fedxdr.telemetry.findings import Finding
from fedxdr.transport.client import Client

ORGS = ("north", "south", "west")
ME = "west"
SECRET = "a secret of this drill alone"  # noqa: S105 - of a test
NOBODY = "http://127.0.0.1:9"
STEP_S = 0.05
AROUND_KILLS_S = 1.0
READY_S = 60.0
QUIET_S = 1.0


@dataclass(kw_only=True)
class Outcome:
    """What a drill has shown.

    Attributes:
        lines: written while the agent followed.
        lines_per_s: of them.
        findings: that should have arrived.
        lost: of them, that did not.
        twice: ids that came again in another delivery that was not a repetition.
        unknown: that arrived and should not have.
        kills: of the process.
        p50_s: latency, see the module.
        p95_s: the same.
        resident_mb: largest memory of the process.
        named: findings whose source or destination was written by its name.
    """

    lines: int = 0
    lines_per_s: float = 0.0
    findings: int = 0
    lost: int = 0
    twice: int = 0
    unknown: int = 0
    kills: int = 0
    p50_s: float = 0.0
    p95_s: float = 0.0
    resident_mb: float = 0.0
    named: int = 0
    faults: list[str] = field(default_factory=list)


def trained(world: World, logs: Path, *, rounds: int) -> bytes:
    """Return a model that the organisations have trained on their past."""
    tokenise = Pseudonymiser(bytes(32))
    learners = {
        one: LogLearner(
            files.read([logs / one], tokenise=tokenise).events,
            name=one,
            until=world.cut,
        )
        for one in ORGS
    }
    vector = in_the_clear(
        learners,
        plan=plan_fields(ARCHITECTURE, **PlanSettings().plan_fields()),
        initial=ARCHITECTURE.first_vector(0),
        rounds=rounds,
        seed=0,
    )
    return snapshot.save(
        vector, layout=ARCHITECTURE.layout, architecture=ARCHITECTURE.describe()
    )


def member(base: Path, model: bytes, *, me: str = ME) -> Path:
    """Return a member's folder with a ledger whose first model is this one.

    Its orchestrator cannot be reached any more.
    """
    server = base / "server"
    initialise(server, federation="drill", model=snapshot.load(model))
    dataclasses.replace(ServerFile.read(server), address=ADDRESS).write(server)
    transport = InProcess()
    transport.opened = reopen(server)
    reaching = functools.partial(Client, transport=transport)
    place = Place(base, transport)
    with (
        mock.patch.object(participating, "Client", reaching),
        mock.patch.object(deciding, "Client", reaching),
    ):
        place.found(*ORGS)
        opened = place.agent(me)
        opened.follow_ledger()
        opened.participant.model()
        opened.close()
        transport.opened.close()
    folder = place.folder(me)
    dataclasses.replace(AgentFile.read(folder), server=NOBODY).write(folder)
    return folder


class Agent:
    """The process, started and killed."""

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        self._command = [
            sys.executable, "-m", "fedxdr", *command, "--log-level", "DEBUG",
        ]  # fmt: skip
        self.log = folder / "agent.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.up: list[list[float]] = []
        self.resident_mb = 0.0

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
            )
        said = self.log.read_text().count("follows its logs")
        end = time.monotonic() + READY_S
        while self.log.read_text().count("follows its logs") == said:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)
        self.up.append([time.monotonic(), float("inf")])

    def wait_for(self, words: str) -> None:
        end = time.monotonic() + READY_S
        while words not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def settle(self, spool: Path) -> None:
        """Return once all that is stored is scored."""
        end = time.monotonic() + READY_S
        newest = -1
        while newest != self._scored():
            assert time.monotonic() < end, self.log.read_text()[-2000:]
            time.sleep(QUIET_S / 2)
            newest = max(
                int(one.stem.split("-")[1]) for one in spool.glob("*-*.segment")
            )

    def _scored(self) -> int:
        """Return the number of the segment that was scored last."""
        return int(re.findall(r"segment=(\d+)", self.log.read_text())[-1])

    def kill(self) -> None:
        self.look()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.up[-1][1] = time.monotonic()

    def stop(self) -> None:
        self.look()
        self.process.terminate()
        assert self.process.wait(30) == 0, self.log.read_text()
        self.up[-1][1] = time.monotonic()

    def look(self) -> None:
        """Note how much memory it has had at most."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        peak = next(line for line in text.splitlines() if line.startswith("VmHWM"))
        self.resident_mb = max(self.resident_mb, int(peak.split()[1]) / 1024)

    def was_up(self, at_s: float) -> bool:
        return any(
            begin + AROUND_KILLS_S <= at_s <= end - AROUND_KILLS_S
            for begin, end in self.up
        )


class Webhook:
    """Takes findings and notes when each came first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards both below
        self.first: dict[str, tuple[float, dict[str, Any]]] = {}
        self.again = 0
        self._receiver = HttpReceiver(self._take)
        self.base = self._receiver.base

    def _take(self, request: Request) -> Response:
        now_s = time.monotonic()
        for one in json.loads(request.body):
            with self._lock:
                uid = one["metadata"]["uid"]
                if uid in self.first:
                    self.again += 1
                self.first.setdefault(uid, (now_s, one))
        return Response()

    def wait(self, *, quiet_s: float) -> None:
        """Return once nothing has come for some seconds."""
        known, since_s = -1, time.monotonic()
        while time.monotonic() - since_s < quiet_s:
            if len(self.first) != known:
                known, since_s = len(self.first), time.monotonic()
            time.sleep(0.05)

    def close(self) -> None:
        self._receiver.down()


class Writing:
    """Logs that grow in a thread of their own, and when which byte was there."""

    def __init__(self, growing: GrowingLogs, world: World, *, seconds: float) -> None:
        self._growing = growing
        self._since = world.cut
        self._speed = (growing.end - world.cut).total_seconds() / seconds
        self.logs = list(growing.files[OrgId(ME)].logs)
        self._sizes: dict[str, list[int]] = {str(path): [] for path in self.logs}
        self._times: dict[str, list[float]] = {str(path): [] for path in self.logs}
        self.lines = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seconds = 0.0

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        began_s, since = time.monotonic(), self._since
        before = self._count()
        while since < self._growing.end:
            time.sleep(STEP_S)
            passed = dt.timedelta(seconds=(time.monotonic() - began_s) * self._speed)
            until = max(since, self._since + passed)
            self._growing.append(since, until)
            since = until
            for path in self.logs:
                self._sizes[str(path)].append(path.stat().st_size)
                self._times[str(path)].append(time.monotonic())
        self.seconds = time.monotonic() - began_s
        self.lines = self._count() - before

    def _count(self) -> int:
        return sum(path.read_bytes().count(b"\n") for path in self.logs)

    def written_s(self, log: str, end: int) -> float | None:
        """Return when a byte was in its log, None for one that was there before."""
        place = bisect.bisect_left(self._sizes[log], end)
        if place == 0:
            return None
        return self._times[log][place]


def expected(folder: Path, state: Path) -> dict[str, Finding]:
    """Return what is to be found in the spool, scored once, without a break."""
    found: dict[str, Finding] = {}

    def put(findings: Any) -> None:
        found.update({one.id: one for one in findings})

    copied = folder / "again.state"
    shutil.copy(state, copied)
    scored = ScoredSpool(
        copied,
        spool=Spool(folder / SPOOL),
        org=OrgId(ME),
        budget=0.01,
        until_ns=None,
        put=put,
        told=list,
        clock=SystemClock(),
        monotonic=time.monotonic,
    )
    while scored.turn(is_caught_up=True, stopping=lambda: False):
        pass
    return found


def command_of(folder: Path, logs: Sequence[Path], sink: str) -> list[str]:
    """Return how the agent is run."""
    sources = [word for log in logs for word in ("--zeek", str(log))]
    return [
        "agent", "run", "--dir", str(folder), "--follow", "--sink", sink, *sources,
    ]  # fmt: skip


def run(
    base: Path,
    *,
    seconds: float,
    kills: int,
    seed: int = 3,
    hours: float = 24,
    rounds: int = 4,
    command: Callable[[Path, Sequence[Path], str], Sequence[str]] = command_of,
) -> Outcome:
    """Run the drill in a folder."""
    outcome = Outcome(kills=kills)
    world = traffic.generate(organisations=ORGS, seed=seed, hours=hours)
    traffic.write(world, base / "past")
    folder = member(base, trained(world, base / "past", rounds=rounds))
    growing = GrowingLogs(world, base / "live")
    growing.append(growing.begin, world.cut)
    writing = Writing(growing, world, seconds=seconds)
    webhook = Webhook()
    secret = base / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    sink = webhook.base.replace("http", "webhook+http") + f"/in#secret-file={secret}"
    agent = Agent(folder, command(folder, writing.logs, sink))
    agent.start()
    agent.wait_for("calibrated")
    state = base / "first.state"
    end = time.monotonic() + READY_S
    while not (folder / STATE).exists() and time.monotonic() < end:
        time.sleep(0.02)
    shutil.copy(folder / STATE, state)
    writing.start()
    for _ in range(kills):
        time.sleep(seconds / (kills + 1))
        agent.kill()
        agent.start()
    writing.join()
    agent.settle(folder / SPOOL)
    webhook.wait(quiet_s=QUIET_S)
    agent.stop()
    webhook.close()
    outcome.lines = writing.lines
    outcome.lines_per_s = round(writing.lines / writing.seconds, 1)
    outcome.resident_mb = round(agent.resident_mb, 1)
    _judge(outcome, expected(folder, state), webhook, writing, agent)
    return outcome


def _judge(
    outcome: Outcome,
    wanted: dict[str, Finding],
    webhook: Webhook,
    writing: Writing,
    agent: Agent,
) -> None:
    outcome.findings = len(wanted)
    outcome.lost = len(wanted.keys() - webhook.first.keys())
    outcome.unknown = len(webhook.first.keys() - wanted.keys())
    outcome.twice = webhook.again
    latencies = []
    for uid, (came_s, told) in webhook.first.items():
        ends = [one["value"] for one in told["observables"]]
        outcome.named += not any(one.startswith("entity-") for one in ends)
        if uid not in wanted:
            continue
        written = [
            writing.written_s(one.line.source, one.line.end)
            for one in wanted[uid].evidence
            if one.line is not None
        ]
        known = [at_s for at_s in written if at_s is not None]
        if known and agent.was_up(max(known)):
            latencies.append(came_s - max(known))
    if latencies:
        outcome.p50_s, outcome.p95_s = (
            round(float(np.quantile(latencies, share)), 3) for share in (0.5, 0.95)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--hours", type=float, default=24.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(
            Path(folder),
            seconds=asked.seconds,
            kills=asked.kills,
            seed=asked.seed,
            hours=asked.hours,
        )
    print(json.dumps(dataclasses.asdict(outcome)))  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
