# SPDX-License-Identifier: Apache-2.0
"""Joining as a new user would: two commands, no file copied; what is refused.

To join is to apply: the founders approve the Genesis, all of them, and a quorum of the
members whoever comes later; an operator has no say.
"""

import http.client
import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pytest

from fedxdr.app.participating import OpenParticipant
from fedxdr.app.server_file import operator_key
from fedxdr.core.clock import SystemClock
from fedxdr.core.errors import Unavailable
from fedxdr.core.randomness import SystemEntropy
from fedxdr.crypto import requests
from fedxdr.crypto.keys import IdentityKey
from fedxdr.storage.secrets import read_seed

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

PREFIX = "/api/fl-blockchain"
_KILLED = -9
_DYING_JOIN = """
import os, signal, sys
from fedxdr.cli.main import main
from fedxdr.transport.client import Client
call = Client.call
def dying(self, method, path, **options):
    if path == "/federation/register" and sys.argv[1] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    answer = call(self, method, path, **options)
    if path == "/federation/register":
        os.kill(os.getpid(), signal.SIGKILL)
    return answer
Client.call = dying
del sys.argv[1]
main()
"""


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def fedxdr(*command, program=("-m", "fedxdr")):
    """Run a command as a user does."""
    return subprocess.run(
        [sys.executable, *program, *map(str, command)],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
        timeout=120,
    )


def answer_of(*command):
    done = fedxdr(*command, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(done, status, code, *words):
    """Fail unless a command ended with one line that says why."""
    assert done.returncode == status, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert f"({code})" in line
    for word in words:
        assert word in line


@contextmanager
def serving(folder):
    """A running server on a folder; its address."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fedxdr", "server", "run", "--dir", str(folder),
             "--port", "0"],
            stdout=log, stderr=subprocess.STDOUT, env=environment(),
        )  # fmt: skip
    try:
        end = time.monotonic() + 120
        while True:
            found = re.search(r"Serving on (\S+)", (folder / "log").read_text())
            if found:
                break
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.05)
        yield found[1]
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def orchestrator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("orchestrator")
    made = answer_of("server", "init", "--dir", folder)
    assert made["orchestrator_keyid"] == (
        operator_key(folder, name="orchestrator").public.keyid
    )
    with serving(folder) as address:
        yield folder, address


def asked(address, folder, path):
    """Return what the server tells an organisation that has applied."""
    token = json.loads((folder / "agent.json").read_text())["token"]
    answer = httpx.get(
        f"{address}{PREFIX}{path}",
        headers={"authorization": f"Bearer {token}"},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def applicants(address, folder):
    """Return the organisations that have applied, one for each application."""
    changes = asked(address, folder, "/federation/changes")["changes"]
    return [change["entry"]["org_id"] for change in changes]


def members(address, folder):
    found = asked(address, folder, "/federation/organizations")
    return [one["org_id"] for one in found["organizations"]]


def announced(address, route, size_bytes):
    """Return the answer to the head of a request with a body of that size."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    try:
        connection.putrequest("POST", f"{PREFIX}{route}")
        connection.putheader("Content-Length", str(size_bytes))
        connection.endheaders(b"{")
        answer = connection.getresponse()
        headers = dict(answer.getheaders())
        return httpx.Response(answer.status, headers=headers, content=answer.read())
    finally:
        connection.close()


def test_two_commands_and_no_file_copied(orchestrator, tmp_path):
    folder, address = orchestrator
    # one: the operator's; its whole output is what is handed over
    shown = fedxdr("invite", "aurora", "--dir", folder)
    assert shown.returncode == 0, shown.stderr
    command = re.search(r"fedxdr join '([^']+)' --dir (\S+)", shown.stdout)
    # two: the organisation's
    joined = answer_of("join", command[1], "--dir", tmp_path / "aurora")
    assert joined["org_id"] == "aurora"
    assert joined["seconds"] < 10, "more than waiting for a busy machine"
    assert len(joined["words"]) == 12
    assert "aurora" in applicants(address, tmp_path / "aurora")
    # the key was made here, for its owner only, and the server has never seen it
    key = tmp_path / "aurora" / "keys" / "identity.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "aurora" / "agent.json").stat().st_mode & 0o777 == 0o600
    secret = key.read_text().strip()
    for path in folder.rglob("*"):
        if path.is_file():
            held = path.read_bytes()
            assert secret.encode() not in held
            assert bytes.fromhex(secret) not in held

    # the same line again: for another folder, and in this one
    again = fedxdr("join", command[1], "--dir", tmp_path / "thief")
    refused(again, 3, "invitation-refused", "used before", "ask for a new one")
    assert not (tmp_path / "thief" / "agent.json").exists()
    again = fedxdr("join", command[1], "--dir", tmp_path / "aurora")
    refused(again, 2, "invalid-settings", "member already")


def test_a_server_with_another_key_learns_nothing(orchestrator, tmp_path):
    folder, address = orchestrator
    token = answer_of("invite", "borealis", "--dir", folder)["token"]
    other = tmp_path / "impostor"
    answer_of("server", "init", "--dir", other)
    with serving(other) as elsewhere:
        moved = token.replace(address, elsewhere)
        done = fedxdr("join", moved, "--dir", tmp_path / "borealis")
        refused(done, 3, "invitation-refused", "not the one", "nothing was sent")
        assert "register" not in (other / "log").read_text()
    # at the right address the same invitation still works, with the same key
    key = (tmp_path / "borealis" / "keys" / "identity.key").read_text()
    answer_of("join", token, "--dir", tmp_path / "borealis")
    assert (tmp_path / "borealis" / "keys" / "identity.key").read_text() == key
    gone = fedxdr("join", moved, "--dir", tmp_path / "late")
    refused(gone, 4, "unavailable", "cannot be reached")


def test_an_invitation_expires(orchestrator, tmp_path):
    folder, _ = orchestrator
    made = answer_of("invite", "cascade", "--dir", folder, "--expires-s", "1")
    # starting the next command takes longer than a second; be sure of it
    time.sleep(1.0)
    done = fedxdr("join", made["token"], "--dir", tmp_path / "cascade")
    refused(done, 3, "invitation-refused", "expired")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_while_joining_the_same_command_goes_on(orchestrator, tmp_path, moment):
    folder, address = orchestrator
    org, home = f"delta-{moment}", tmp_path / "delta"
    token = answer_of("invite", org, "--dir", folder)["token"]
    done = fedxdr("join", token, "--dir", home, program=("-c", _DYING_JOIN, moment))
    assert done.returncode == _KILLED
    key = (home / "keys" / "identity.key").read_text()
    assert not (home / "agent.json").exists()
    unfinished = fedxdr("agent", "run", "--dir", home, "--zeek", "x")
    refused(unfinished, 2, "invalid-settings", "fedxdr join")
    assert answer_of("join", token, "--dir", home)["org_id"] == org
    assert (home / "keys" / "identity.key").read_text() == key
    assert applicants(address, home).count(org) == 1


def test_messages_that_are_not_what_they_say_are_refused_in_words(
    orchestrator, tmp_path
):
    folder, address = orchestrator
    token = answer_of("invite", "ember", "--dir", folder)["token"]
    answer_of("join", token, "--dir", tmp_path / "ember")
    ember = IdentityKey(seed=read_seed(tmp_path / "ember" / "keys" / "identity.key"))
    operator, stranger = operator_key(folder), IdentityKey.generate(SystemEntropy())
    url = f"{address}{PREFIX}/federation/invitations"
    body = b'{"org_id":"falcon"}'

    def signed(by, *, ago_s=0, over=body):
        headers = {"content-type": "application/json"}
        requests.sign(
            requests.Request(method="POST", url=url, headers=headers, body=over),
            signer=by,
            now=SystemClock().now() - timedelta(seconds=ago_s),
            entropy=SystemEntropy(),
        )
        return headers

    def send(headers, content=body, to=url):
        return httpx.post(to, content=content, headers=headers, timeout=60)

    def problem(answer, status, code, *words):
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        found = answer.json()
        assert found["type"].endswith(f"/{code}")
        assert found["status"] == status
        assert found["title"]
        for word in words:
            assert word in found["detail"]

    good = signed(operator)
    assert send(good).status_code == 201
    problem(send(good), 409, "replayed-request", "new nonce")
    problem(send(signed(ember)), 403, "unknown-sender", "only the operator")
    problem(send(signed(stranger)), 403, "unknown-sender", "no member")
    problem(send({}), 401, "bad-signature", "no readable signature")
    problem(send(signed(operator, ago_s=120)), 401, "bad-signature", "expired")
    problem(send(signed(operator, over=b"{}")), 401, "bad-signature")
    problem(send({}, to=f"{address}{PREFIX}/teapot"), 404, "not-found", "teapot")
    # only announced, not sent: it is not waited for
    for route, limit in (
        ("/federation/register", 65_536),  # anybody may send it
        ("/federation/round/start", 256 * 1024 * 1024),
    ):
        answer = announced(address, route, limit + 1)
        problem(answer, 413, "too-large", str(limit))


class Idle:
    """Data that nobody asks for."""

    def samples(self):
        return 64


def cosign(folder):
    """Let an agent follow the ledger and cosign its head, as ``agent run`` does."""
    opened = OpenParticipant(folder, learner=Idle())
    try:
        opened.follow_ledger()
        return opened.participant.mirror.size()
    finally:
        opened.close()


def approve(folder, which):
    return fedxdr("members", "approve", which, "--dir", folder, "--yes", "--json")


def told(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_all_founders_and_later_a_quorum_decide_and_no_operator(tmp_path):
    server, founders = tmp_path / "server", ("aurora", "borealis", "cascade")
    answer_of("server", "init", "--dir", server)
    with serving(server) as address:
        words = {}
        for org in founders:
            token = answer_of("invite", org, "--dir", server)["token"]
            words[org] = answer_of("join", token, "--dir", tmp_path / org)["words"]
        early = approve(tmp_path / "aurora", "0" * 64)
        refused(early, 3, "not-found", "none of the open changes")
        proposed = answer_of("members", "propose", "--found", "--dir", server)
        founding = proposed["digest"]
        shown = {org: said["words"] for org, said in proposed["fingerprints"].items()}
        assert {org: shown[org] for org in founders} == words
        by_operator = approve(server, founding)
        refused(by_operator, 2, "invalid-settings", "the operator has no say")
        for org in founders[:2]:
            assert told(approve(tmp_path / org, founding))["outcome"] == ""
        # all but one: there is no ledger yet
        with pytest.raises(Unavailable):
            cosign(tmp_path / "aurora")
        assert told(approve(tmp_path / "cascade", founding))["outcome"] == "adopted"
        for org in founders:
            assert cosign(tmp_path / org) == 1
        assert members(address, tmp_path / "aurora") == list(founders)

        # a later one is told which ledger it joins, by a head that a quorum cosigned
        token = answer_of("invite", "delta", "--dir", server)["token"]
        delta = answer_of("join", token, "--dir", tmp_path / "delta")
        file = json.loads((tmp_path / "delta" / "agent.json").read_text())
        assert file["pinned_size"] == 1
        assert "delta" not in members(address, tmp_path / "aurora")
        (waiting,) = answer_of("members", "list", "--dir", tmp_path / "aurora")[
            "changes"
        ]
        assert (waiting["subject"], waiting["approved_by"]) == ("delta", [])
        assert waiting["fingerprints"]["delta"]["words"] == delta["words"]
        by_name = approve(tmp_path / "aurora", "delta")
        refused(by_name, 2, "invalid-settings", "by its digest")
        delta = waiting["digest"]
        itself = approve(tmp_path / "delta", delta)
        refused(itself, 2, "invalid-settings", "has not seen the ledger yet")
        by_operator = approve(server, delta)
        refused(by_operator, 2, "invalid-settings", "the operator has no say")
        first = told(approve(tmp_path / "aurora", delta))
        assert (first["outcome"], first["approved_by"]) == ("", ["aurora"])
        # once more by the same one is no second approval
        first = told(approve(tmp_path / "aurora", delta))
        assert (first["outcome"], first["approved_by"]) == ("", ["aurora"])
        assert "delta" not in members(address, tmp_path / "aurora")
        assert told(approve(tmp_path / "cascade", delta))["outcome"] == "adopted"
        assert "delta" in members(address, tmp_path / "delta")
        for org in founders:
            assert cosign(tmp_path / org) == 2
        assert cosign(tmp_path / "delta") == 2


def test_one_process_per_folder(orchestrator):
    folder, _ = orchestrator
    second = fedxdr("server", "run", "--dir", folder, "--port", "0")
    refused(second, 4, "unavailable", "in use by another fedxdr process")
