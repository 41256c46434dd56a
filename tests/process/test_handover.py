# SPDX-License-Identifier: Apache-2.0
"""The orchestrator is killed and its folder deleted; its members go on without it.

As its users type it: real processes, HTTP, real telemetry, three organisations.
"""

import functools
import shutil
import signal
import threading
from contextlib import ExitStack
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from tests.process.test_modes import (
    ORGS,
    PATIENT_S,
    Federation,
    answer_of,
    fedxdr,
    running,
)

from fedxdr.api.app import PREFIX
from fedxdr.app.server_file import ServerFile
from fedxdr.cli.serve import as_operator
from fedxdr.ledger import checkpoint, policy, tiles
from fedxdr.ledger.entries import OrchestratorReplaced
from fedxdr.simulation import traffic

pytestmark = [pytest.mark.process, pytest.mark.timeout(900)]


class Processes:
    """A server and agents that a test starts and ends."""

    def __init__(self, federation, files):
        self.federation, self.files = federation, files
        self._ends = {}

    def start(self, name, word, *command):
        stack = ExitStack()
        log = self.federation.folder / f"{name}.log"
        process = stack.enter_context(running(log, word, *command))
        self._ends[name] = stack
        return process

    def serve(self, folder, name):
        """Run a server on a folder; return process and address."""
        process = self.start(
            name, "Serving on", "server", "run", "--dir", folder, "--port", "0"
        )
        return process, ServerFile.read(folder).address

    def agent(self, org):
        return self.start(
            org, "ready", "agent", "run", "--dir", self.federation.folder / org,
            "--zeek", self.files[org].conn,
        )  # fmt: skip

    def end(self, *names):
        for name in names or list(self._ends):
            self._ends.pop(name).close()


@pytest.fixture
def processes(tmp_path):
    federation = Federation(tmp_path)
    world = traffic.generate(organisations=ORGS, seed=0)
    found = Processes(federation, traffic.write(world, tmp_path / "telemetry"))
    yield found
    found.end()


def found_and_hold_a_round(processes):
    """Found a federation of three; return its server's process and address."""
    federation = processes.federation
    answer_of("server", "init", "--dir", federation.server, "--federation", "drill")
    server, address = processes.serve(federation.server, "server")
    for org in ORGS:
        form = {"org_id": org}
        token = as_operator(federation.server, "POST", "/federation/invitations", form)
        answer_of("join", token["token"], "--dir", federation.folder / org)
    found = answer_of("members", "propose", "--found", "--dir", federation.server)
    for org in ORGS:
        answer_of(
            "members", "approve", found["digest"], "--dir", federation.folder / org,
            "--yes",
        )  # fmt: skip
    for org in ORGS:
        processes.agent(org)
    assert federation.round()["status"] == "completed"
    for org in ORGS:
        federation.hears(org, "session ended")
    return server, address


def test_members_go_on_without_their_orchestrator(processes, tmp_path):
    federation, new, old = processes.federation, tmp_path / "new", tmp_path / "old"
    server, first_address = found_and_hold_a_round(processes)
    before = len(federation.blocks())

    # it is gone for good; somebody kept a copy, and comes back with it later
    server.send_signal(signal.SIGKILL)
    server.wait(30)
    shutil.copytree(federation.server, old)
    shutil.rmtree(federation.server)

    # one member, beside its running agent
    made = answer_of(
        "ledger", "handover", "--dir", tmp_path / "aurora", "--out", new,
        "--static", tmp_path / "static",
    )  # fmt: skip
    assert (made["by"], made["missing"]) == ("aurora", [])
    assert made["origin"] == "aurora.drill.fedxdr.example/ledger"
    again = fedxdr("ledger", "handover", "--dir", tmp_path / "aurora", "--out", new)
    assert again.returncode == 2
    assert "already" in again.stderr
    check_static(tmp_path / "static")

    _, address = processes.serve(new, "new")
    processes.end(*ORGS)
    for org in ORGS:
        moved = answer_of("agent", "move", "--dir", tmp_path / org, "--server", address)
        assert moved == {"org_id": org, "server": address}
        processes.agent(org)
    federation.server = new
    for org, outcome in (("borealis", ""), ("cascade", "adopted")):
        told = answer_of(
            "members", "approve", made["change"], "--dir", tmp_path / org, "--yes"
        )
        assert told["fingerprints"]["orchestrator"]["words"] == made["words"]
        assert (told["kind"], told["outcome"]) == (
            "fedxdr/orchestrator-replaced/v1",
            outcome,
        )
    ended = federation.round()
    assert (ended["status"], ended["task"]) == ("completed", "training"), ended

    blocks = federation.blocks()
    changes = [
        s.block for s in blocks if isinstance(s.block.entry, OrchestratorReplaced)
    ]
    assert [b.entry.origin for b in changes] == [made["origin"]]
    bundle = tmp_path / "ledger.fedxdr"
    answer_of("ledger", "export", bundle, "--dir", new)
    report = answer_of("verify", bundle)
    assert len(report["rounds"]) == 2
    assert report["blocks_verified"] == len(blocks) >= before + 2

    # the old one comes back on its old blocks, and a member even asks it again
    _, address = processes.serve(old, "back")
    assert address != first_address
    known = checkpoint.parse(head_at(address)).size
    compared = answer_of("ledger", "compare", address, "--dir", tmp_path / "cascade")
    assert compared["outcome"] == "behind"
    assert compared["ours"] > compared["size"] == known
    processes.end("cascade")
    answer_of("agent", "move", "--dir", tmp_path / "cascade", "--server", address)
    processes.agent("cascade")
    asked = fedxdr("round", "start", "--dir", old, "--set", "clip_norm=3.5")
    assert asked.returncode == 4, asked.stdout
    # it is a copy: it would have to hear from them what it signed since
    assert "not yet: aurora, borealis, cascade" in asked.stderr
    head = head_at(address)
    assert checkpoint.parse(head).size == known
    assert b"aurora.drill" not in head


def head_at(address):
    found = httpx.get(f"{address}{PREFIX}/ledger/checkpoint", timeout=PATIENT_S)
    assert found.status_code == 200
    return found.content


def check_static(folder):
    """Read the ledger from the static files by a plain web server."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *_: None
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            base = f"http://127.0.0.1:{server.server_port}"

            def reader(path):
                answer = httpx.get(f"{base}/{path}")
                assert answer.status_code == 200, path
                return answer.content

            head = reader("checkpoint")
            assert len(policy.parse(reader("policy")).check(head)) >= 2
            says = checkpoint.parse(head)
            assert tiles.read_tree(reader, says).size == says.size
        finally:
            server.shutdown()
    assert answer_of("verify", folder / "ledger.fedxdr")["blocks_verified"] == says.size
