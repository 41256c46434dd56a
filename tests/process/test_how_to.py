# SPDX-License-Identifier: Apache-2.0
"""The how-to guides, line by line: every command in them runs as it is written.

Only what a reader fills in is filled in: the invitation that was just printed, free
ports in place of 8000 and 8808, and a yes to the words that were compared. ``quiet``
stands for a folder whose agent is not running.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from fedxdr.simulation import traffic

pytestmark = [pytest.mark.process, pytest.mark.timeout(900)]

GUIDES = Path(__file__).parents[2] / "docs" / "how-to"
ORGS = ("north", "south", "west")
PATIENT_S = 300.0
RUNS_ON = {"server": "Serving on", "agent": "ready"}


def commands_of(guide):
    """Return the lines of a guide's shell blocks."""
    text = (GUIDES / guide).read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


class Reader:
    """Somebody who types a guide's commands, one after the other, in one folder."""

    def __init__(self, folder):
        self.folder = folder
        self.running = []
        self.invitation = ""
        self.ports = {"8000": free_port(), "8808": free_port()}
        self.answers = {}

    def types(self, line):
        typed = line
        for written, port in self.ports.items():
            typed = typed.replace(written, port)
        words = shlex.split(typed)
        match words:
            case ["curl", url]:
                self.answers[line] = httpx.get(url, timeout=PATIENT_S).json()
            case ["fedxdr", "server" | "agent", "run", *_] if "--dry-run" not in words:
                self.starts(words)
            case ["fedxdr", "join", _, *rest]:
                self.runs(line, ["fedxdr", "join", self.invitation, *rest])
            case ["fedxdr", *_]:
                self.runs(line, words)
            case _:
                raise AssertionError(f"the guide has a line that nobody runs: {line}")

    def runs(self, line, words):
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=self.folder,
            input="y\n" if "approve" in words else "",
            capture_output=True,
            text=True,
            env=self.environment(),
            check=False,
            timeout=PATIENT_S,
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        self.answers[line] = done.stdout
        found = re.search(r"fedxdr join '([^']+)'", done.stdout)
        if found:
            self.invitation = found[1]

    def starts(self, words):
        log = self.folder / f"{len(self.running)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=self.folder,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self.environment(),
            )
        self.running.append(process)
        end = time.monotonic() + PATIENT_S
        while RUNS_ON[words[1]] not in log.read_text():
            assert process.poll() is None, (words, log.read_text())
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)

    @staticmethod
    def environment():
        return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}

    def stops(self):
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait(60)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guide")
    world = traffic.generate(organisations=ORGS, seed=0)
    traffic.write(world, folder / "logs")
    found = Reader(folder)
    yield found
    found.stops()


def test_the_guide_to_privacy(reader):
    lines = commands_of("privacy.md")
    assert len(lines) > 20
    for line in lines:
        if "--dir quiet" in line and not (reader.folder / "quiet").exists():
            # a copy that knows the plan already: nothing is asked of anybody
            quiet = reader.folder / "quiet"
            shutil.copytree(reader.folder / "west", quiet)
        reader.types(line)
    shown = " ".join(
        re.findall(r"\w+", reader.answers["fedxdr members approve founding --dir west"])
    )
    for org in ORGS:
        joined = reader.answers[f"fedxdr join 'fedxdr+http://…' --dir {org}"]
        words = re.search(r"these words: (.*?)\nFounding", joined, re.DOTALL)[1].split()
        assert len(words) == 12
        assert " ".join(words) in shown, "what is compared is what was read out"
    budget = next(a for line, a in reader.answers.items() if "budget" in line)
    assert (budget["org_id"], budget["rounds_trained"]) == ("north", 1)
    assert 0 < budget["epsilon_used"] < budget["epsilon_total"] == 8.0
    assert budget["rounds_until_budget_exhausted"] == 1
    told = json.loads(
        next(
            a for line, a in reader.answers.items() if line.endswith("--dry-run --json")
        )
    )
    assert told["privacy"]["mechanism"] == "dp-sgd"
    assert told["plan_is_in_force"] is True
    assert told["read_from_orchestrator"] is False
    assert [m["step"] for m in told["messages"]][:3] == [
        "keys", "shares", "contribution",
    ]  # fmt: skip
    left = (reader.folder / "would-leave.bin").stat().st_size
    assert abs(left - told["bytes"]) < 64, "the same messages, up to digits of numbers"
    wished = next(a for line, a in reader.answers.items() if "helpers=" in line)
    assert "upload-header" in wished
    assert "vetting" not in wished, "west is no helper"


def test_the_guide_to_paillier(reader):
    for line in commands_of("paillier.md"):
        reader.types(line)
    watched = [a for line, a in reader.answers.items() if "round watch" in line]
    assert all("committed" in answer for answer in watched)
    opened = next(a for line, a in reader.answers.items() if "--mode paillier" in line)
    assert "mode paillier" in " ".join(opened.split())
    assert "differential privacy dp-sgd" in " ".join(opened.split())
