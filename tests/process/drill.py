# SPDX-License-Identifier: Apache-2.0
"""A federation of real processes that are killed on command, and what is left of it.

An orchestrator and its organisations run as operating-system processes over HTTP on
loopback; this side starts rounds with the operator's key, orders deaths, starts
processes again and compares what was opened with what the organisations wrote down,
and every head that anybody ever stored with the ledger.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tests.process.drill_agent import LAYOUT
from tests.process.drill_server import NAME as ORCHESTRATOR

from fedxdr.app.deciding import Somebody, find_change
from fedxdr.app.orchestrating import OpenOrchestrator, initialise
from fedxdr.app.participating import join
from fedxdr.app.server_file import ServerFile
from fedxdr.app.settings import PlanSettings
from fedxdr.cli.serve import CONSENT_S, as_operator
from fedxdr.core.errors import Unavailable, WaitingForQuorum
from fedxdr.core.ids import RoundId
from fedxdr.models.snapshot import Card, Snapshot
from fedxdr.parties.enrolment import InvitationToken

ROOT = Path(__file__).parents[2]
ORGANISATIONS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot")
PATIENT_S = 60.0
START_S = 120.0
KILLED = -signal.SIGKILL


class DrillFailed(Exception):
    """Something did not come about in time; the logs lie in the drill's folder."""


class Host:
    """The process that forks the others (host.py)."""

    def __init__(self, world: Path) -> None:
        self._world = world
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.process.host"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        )
        self._answer()

    def ask(self, **command: Any) -> dict[str, Any]:
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise DrillFailed("the host of the drill's processes has ended")
        return json.loads(line)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


class Drill:
    """Orchestrator and organisations as processes; close it when done.

    Args:
        world: an empty folder; everything lies there.

    Attributes:
        number: of the next round.
    """

    def __init__(self, world: Path) -> None:
        self.world = world
        for name in ("kill", "sent", "ready", "logs", "heads"):
            (world / name).mkdir(parents=True)
        self._pids: dict[str, int] = {}
        self._ended: dict[str, int | None] = {}
        self._port = 0
        self.number = 1
        self._host = Host(world)
        try:
            vector = np.zeros(LAYOUT.size, dtype=np.float32)
            card = Card(layout=LAYOUT, architecture={"name": "drill"})
            model = Snapshot(vector=vector, card=card)
            initialise(self.server, federation="drill", model=model)
            self.start(ORCHESTRATOR)
            self.await_ready(ORCHESTRATOR)
            for org in ORGANISATIONS:
                invited = self.operate("/federation/invitations", {"org_id": org})
                token = InvitationToken.parse(invited["token"])
                join(self.folder(org), token, name=org, data_sources=("drill",))
            self.operate("/federation/found", {})
            for org in ORGANISATIONS:
                founder = Somebody.of(self.folder(org))
                founder.approve(find_change(founder.changes(), "founding"))
            for org in ORGANISATIONS:
                self.start(org)
            for org in ORGANISATIONS:
                self.await_ready(org)
        except BaseException:
            self.close()
            raise

    @property
    def server(self) -> Path:
        """The orchestrator's folder."""
        return self.world / "server"

    def folder(self, org: str) -> Path:
        """Return an organisation's folder."""
        return self.world / "organisations" / org

    def close(self) -> None:
        """End all processes."""
        self._host.close()

    # Processes.

    def start(self, name: str) -> None:
        """Start the process of an organisation, or the orchestrator on its port."""
        is_server = name == ORCHESTRATOR
        (self.world / "ready" / name).unlink(missing_ok=True)
        self._ended.pop(name, None)
        self._pids[name] = self._host.ask(
            start="server" if is_server else "agent",
            argument=str(self._port) if is_server else name,
            world=str(self.world),
            log=str(self.world / "logs" / f"{name}.log"),
        )["pid"]

    def await_ready(self, name: str) -> None:
        """Wait until a process serves or takes part."""
        ready = self.world / "ready" / name
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if name == ORCHESTRATOR and self._serves():
                return
            if ready.exists():
                return
            status = self.wait(name, 0.02)
            if status is not None:
                raise DrillFailed(f"{name} ended with {status}: {self.log(name)}")
        raise DrillFailed(f"{name} is not ready: {self.log(name)}")

    def _serves(self) -> bool:
        try:
            if not ServerFile.read(self.server).address:
                return False
            self.standing()
        except Unavailable:
            return False
        self._port = int(ServerFile.read(self.server).address.rsplit(":", 1)[1])
        return True

    def order_death(self, name: str, point: str) -> None:
        """Tell a process to kill itself right before or after a point, once."""
        part = self.world / "kill" / f"{name}.part"
        part.write_text(point)
        part.replace(self.world / "kill" / name)

    def await_death(self, name: str) -> None:
        """Wait until a process has died by SIGKILL."""
        status = self.wait(name, PATIENT_S)
        if status != KILLED:
            raise DrillFailed(f"{name} was to be killed, got {status}")

    def wait(self, name: str, timeout_s: float) -> int | None:
        """Return how a process ended, None if it still runs after that time."""
        if self._ended.get(name) is None:
            answer = self._host.ask(wait=self._pids[name], timeout_s=timeout_s)
            self._ended[name] = answer["status"]
        return self._ended[name]

    def stop(self, name: str) -> int | None:
        """End a process as an operator does; return its exit status."""
        self._host.ask(signal=int(signal.SIGTERM), pid=self._pids[name])
        return self.wait(name, PATIENT_S)

    def log(self, name: str) -> str:
        """Return the end of what a process has printed."""
        path = self.world / "logs" / f"{name}.log"
        return path.read_text()[-3000:] if path.exists() else "(nothing)"

    # Rounds.

    def operate(self, path: str, form: dict[str, Any]) -> dict[str, Any]:
        """Return the orchestrator's answer to the operator, once members consented."""
        end = time.monotonic() + PATIENT_S
        while True:
            try:
                return as_operator(self.server, "POST", path, form, wait_s=CONSENT_S)
            except WaitingForQuorum:
                if time.monotonic() >= end:
                    raise

    def start_round(
        self, *, short: str = "", short_s: float = 2.0, patient_s: float = PATIENT_S
    ) -> RoundId:
        """Open a training round.

        Args:
            short: phases (fields of ``Deadlines``, in words) whose deadline will pass
                because somebody is dead; the others are patient.
            short_s: their length.
            patient_s: that of the others; another one makes another plan.
        """
        deadlines: Mapping[str, float] = {
            name: short_s if name in short.split() else patient_s
            for name in ("keys_s", "shares_s", "contributions_s", "survivors_s",
                         "unmasking_s")
        }  # fmt: skip
        form = {"task": "training", "config": {"deadlines": deadlines}}
        opened = self.operate("/federation/round/start", form)
        self.number = opened["round_number"] + 1
        return RoundId(opened["round_id"])

    def standing(self) -> dict[str, Any]:
        """Return where the newest round stands."""
        return as_operator(self.server, "GET", "/federation/standing")

    def status(self, round_id: RoundId) -> dict[str, Any]:
        """Return where a round stands."""
        path = f"/federation/round/{round_id}/status"
        return as_operator(self.server, "GET", path)

    def await_end(self, round_id: RoundId) -> dict[str, Any]:
        """Wait until a round is committed or failed; return its status."""
        end = time.monotonic() + 2 * PATIENT_S
        while time.monotonic() < end:
            found = self.status(round_id)
            if found["status"] != "in_progress":
                return found
            time.sleep(0.05)
        raise DrillFailed(f"round {round_id} has not ended: {self.log(ORCHESTRATOR)}")

    def sent(self, org: str, round_id: RoundId) -> dict[str, list[str]]:
        """Return the digests of all that an organisation sent in a round, by step."""
        found: dict[str, list[str]] = {}
        for line in (self.world / "sent" / org).read_text().splitlines():
            its_round, step, digest = line.split()
            if its_round == round_id:
                found.setdefault(step, []).append(digest)
        return found

    def quantised(self, org: str, number: int) -> np.ndarray:
        """Return what an organisation was about to mask, as signed integers."""
        folder = self.world / "quantised" / org
        if (folder / f"{number}-another.npy").exists():
            raise DrillFailed(f"{org} quantised two vectors in round {number}")
        return np.load(folder / f"{number}.npy").view(np.int32).astype(np.int64)

    def writes(self) -> list[str]:
        """Return what the orchestrator's processes stored and opened, in order."""
        lines = (self.world / "writes").read_text().splitlines()
        return [line.split(" ", 1)[1] for line in lines]

    def openings(self) -> dict[str, list[str]]:
        """Return the digests of the sums that were ever opened, by round."""
        found: dict[str, list[str]] = {}
        for line in self.writes():
            match line.split():
                case ["opened", round_id, digest]:
                    found.setdefault(round_id, []).append(digest)
        return found

    # Heads.

    def heads(self) -> dict[int, set[str]]:
        """Return the roots of every head that anybody ever stored, by size."""
        found: dict[int, set[str]] = {}
        for path in (self.world / "heads").iterdir():
            for line in path.read_text().splitlines():
                size, root = line.split()
                found.setdefault(int(size), set()).add(root)
        return found

    def has_all_heads(self) -> bool:
        """Say whether the running orchestrator has every block that anybody has seen.

        It is asked after a death: whatever was cosigned before must be there.
        """
        return max(self.heads(), default=0) <= self.standing()["height"] + 1

    def is_one_history(self, opened: OpenOrchestrator) -> bool:
        """Say whether there never was a head with another root than the ledger has."""
        recorder, heads = opened.orchestrator.recorder, self.heads()
        return bool(heads) and all(
            size <= recorder.size() and roots == {recorder.root_at(size)}
            for size, roots in heads.items()
        )

    @contextmanager
    def autopsy(self) -> Iterator[OpenOrchestrator]:
        """Stop the orchestrator and open its folder here."""
        self.stop(ORCHESTRATOR)
        opened = OpenOrchestrator(self.server, settings=PlanSettings())
        try:
            yield opened
        finally:
            opened.close()

    def is_exact(self, opened: OpenOrchestrator, round_id: RoundId) -> bool:
        """Say whether the opened sum is the plain sum of the survivors' vectors."""
        round_ = opened.orchestrator.load(round_id)
        if round_.opened is None:
            return False
        raw = opened.orchestrator.blobs.get(round_.opened.sum_digest)
        number = round_.announcement.number
        plain = sum(self.quantised(org, number) for org in round_.survivors)
        return np.array_equal(np.frombuffer(raw, dtype="<i8"), plain)
