# SPDX-License-Identifier: Apache-2.0
"""Modes and promises as their users type them: real processes, HTTP, real telemetry.

One federation of three organisations lives through all of it, in order: rounds in mode
``committee``, a key ceremony and rounds in mode ``paillier``, private rounds until the
purse is empty. Then its ledger is verified and every model is made again.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from fedxdr.api.app import PREFIX
from fedxdr.app.orchestrating import OpenOrchestrator
from fedxdr.app.server_file import ServerFile
from fedxdr.app.settings import PlanSettings
from fedxdr.cli.serve import as_operator, status_of
from fedxdr.ledger import bundle as bundles
from fedxdr.ledger import statements
from fedxdr.ledger.entries import KeyCeremony, RoundCommitted
from fedxdr.ledger.statements import AcceptanceStatement
from fedxdr.privacy import accountant
from fedxdr.privacy.mechanism import Charge
from fedxdr.simulation import traffic

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

ORGS = ("aurora", "borealis", "cascade")
PATIENT_S = 240.0
EPSILON = 8.0


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def fedxdr(*command):
    """Run a command as a user does; return how it ended."""
    return subprocess.run(
        [sys.executable, "-m", "fedxdr", *map(str, command)],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
        timeout=PATIENT_S,
    )


def answer_of(*command):
    done = fedxdr(*command, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def running(log, word, *command):
    """A command that runs until it is stopped, from when it has said a word."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "fedxdr", *map(str, command)],
            stdout=out, stderr=subprocess.STDOUT, env=environment(),
        )  # fmt: skip
    try:
        end = time.monotonic() + PATIENT_S
        while word not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(60)


class Federation:
    """Where everything of the federation lies, and what is asked of it."""

    def __init__(self, folder):
        self.folder = folder
        self.server = folder / "server"

    def log(self, name):
        return self.folder / f"{name}.log"

    def address(self, org):
        """Return where an agent answers programs on its machine."""
        (line,) = [
            line
            for line in self.log(org).read_text().splitlines()
            if "answers on" in line
        ]
        return line.rsplit(" ", 1)[1]

    def hears(self, org, words):
        """Wait until an agent has logged some words; it may be slower than a round."""
        end = time.monotonic() + PATIENT_S
        while words not in self.log(org).read_text():
            assert time.monotonic() < end, self.log(org).read_text()[-3000:]
            time.sleep(0.1)

    def round(self, *options):
        """Open a round by command; return how it ended."""
        opened = answer_of("round", "start", "--dir", self.server, *options)
        end = time.monotonic() + PATIENT_S
        while time.monotonic() < end:
            found = status_of(self.server, opened["round_id"])
            if found["status"] != "in_progress":
                return opened | found
            time.sleep(0.1)
        raise AssertionError(self.log("server").read_text()[-3000:])

    def blocks(self):
        """Return the whole ledger, as ``ledger export`` would write it.

        Only what a quorum has cosigned is exported: wait for the newest block's.
        """
        standing = as_operator(self.server, "GET", "/federation/standing")
        address = ServerFile.read(self.server).address
        end = time.monotonic() + PATIENT_S
        while True:
            found = httpx.get(f"{address}{PREFIX}/ledger/bundle", timeout=PATIENT_S)
            blocks = bundles.read(found.content).blocks
            if len(blocks) == standing["height"] + 1:
                return blocks
            assert time.monotonic() < end, (len(blocks), standing)
            time.sleep(0.1)


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    found = Federation(tmp_path_factory.mktemp("modes"))
    world = traffic.generate(organisations=ORGS, seed=0)
    files = traffic.write(world, found.folder / "telemetry")
    answer_of("server", "init", "--dir", found.server, "--features", "traffic-event")
    with ExitStack() as stack:
        stack.enter_context(
            running(
                found.log("server"),
                "Serving on",
                "server",
                "run",
                "--dir",
                found.server,
                "--port",
                "0",
            )
        )
        for org in ORGS:
            form = {"org_id": org}
            token = as_operator(found.server, "POST", "/federation/invitations", form)
            answer_of("join", token["token"], "--dir", found.folder / org)
        founding = answer_of("members", "propose", "--found", "--dir", found.server)
        for org in ORGS:
            answer_of(
                "members", "approve", founding["digest"], "--dir", found.folder / org,
                "--yes",
            )  # fmt: skip
        for org in ORGS:
            stack.enter_context(
                running(
                    found.log(org),
                    "ready",
                    "agent",
                    "run",
                    "--dir",
                    found.folder / org,
                    "--zeek",
                    files[org].conn,
                    "--until",
                    world.cut.isoformat(),
                    "--accept-mode",
                    "committee",
                    "--accept-mode",
                    "paillier",
                    "--unit",
                    "event",
                    "--max-epsilon",
                    EPSILON,
                    "--api-port",
                    "0",
                )
            )
        yield found


def test_two_rounds_in_mode_committee(federation):
    for task in ("statistics", "training"):
        ended = federation.round("--mode", "committee")
        assert (ended["status"], ended["task"]) == ("completed", task), ended
        assert ended["privacy_params"]["collection_mode"] == "committee"
    head = federation.blocks()[-1].block
    assert head.entry.collection_mode == "committee"
    assert head.entry.survivors == ORGS


def test_a_ceremony_and_two_rounds_in_mode_paillier(federation):
    folder = federation.folder
    none = fedxdr("round", "start", "--dir", federation.server, "--mode", "paillier")
    assert none.returncode == 2
    assert "fedxdr keys publish" in none.stderr
    for org in ORGS:
        answer_of("keys", "new", "--name", org, "--out", folder / "brought")
    dealt = answer_of(
        "keys", "ceremony", "--organisations", folder / "brought", "--threshold", 3,
        "--bits", 2048, "--out", folder / "dealt",
    )  # fmt: skip
    record = folder / "dealt" / "ceremony.json"
    published = answer_of("keys", "publish", record, "--dir", federation.server)
    assert published["fingerprint"] == dealt["fingerprint"]
    # once more changes nothing
    again = answer_of("keys", "publish", record, "--dir", federation.server)
    assert again == published
    for org in ORGS:
        installed = answer_of(
            "keys", "install", "--dir", folder / org, "--record", record,
            "--key", folder / "brought" / f"{org}.ceremony-key",
            "--share", folder / "dealt" / f"{org}.share",
        )  # fmt: skip
        assert installed["fingerprint"] == dealt["fingerprint"]
    # the statistics were summed in mode committee: in another one nobody answers
    for _ in range(2):
        ended = federation.round("--mode", "paillier")
        assert (ended["status"], ended["task"]) == ("completed", "training"), ended
    blocks = federation.blocks()
    ceremonies = [
        b.block.entry for b in blocks if isinstance(b.block.entry, KeyCeremony)
    ]
    assert [entry.holders for entry in ceremonies] == [ORGS]
    assert blocks[-1].block.entry.collection_mode == "paillier"


def test_private_rounds_until_the_purse_is_empty(federation):
    options = ("--epsilon", EPSILON, "--rounds-planned", 1)
    ended = federation.round(*options)
    assert (ended["status"], ended["task"]) == ("completed", "training"), ended
    assert ended["privacy_params"]["mechanism"] == "dp-sgd"
    claims = federation.blocks()[-1].block.provenance.privacy_params
    assert tuple(claims) == ORGS
    for org in ORGS:
        purse = httpx.get(f"{federation.address(org)}/privacy/budget").json()
        claim = claims[org]
        cost = accountant.epsilon(
            [
                Charge(
                    unit="event",
                    noise_multiplier=claim.noise_multiplier,
                    sampling_rate=claim.sampling_rate,
                    steps=claim.steps,
                    own=1,
                    occurrences=16,
                )
            ],
            delta=1e-5,
        )
        assert (claim.mechanism, claim.unit) == ("dp-sgd", "event")
        assert claim.occurrences == 16
        assert purse["epsilon_used"] == claim.epsilon == cost
        assert 0.99 * EPSILON < cost <= EPSILON
        assert (purse["org_id"], purse["rounds_trained"]) == (org, 1)
        assert purse["rounds_until_budget_exhausted"] == 0
    # one more than the budget was for: nobody trains, and everybody says why
    ended = federation.round(*options, "--set", 'deadlines={"contributions_s":3}')
    assert ended["status"] == "failed"
    assert federation.blocks()[-1].block.entry.reason == "too-few-participants"
    for org in ORGS:
        federation.hears(org, "the privacy purse is exhausted")
        assert "epsilon 12 would buy" in federation.log(org).read_text()


def test_no_agent_approves_a_plan_above_its_floor(federation):
    before = federation.blocks()
    asked = fedxdr(
        "round", "start", "--dir", federation.server,
        "--epsilon", 2 * EPSILON, "--rounds-planned", 1,
    )  # fmt: skip
    assert asked.returncode == 4, asked.stderr
    (line,) = asked.stderr.strip().splitlines()
    assert "(waiting-for-quorum)" in line
    assert "approved by 0 of the 2" in line
    assert "fedxdr plan approve" in line
    for org in ORGS:
        federation.hears(org, "a change waits for a person")
    assert len(federation.blocks()) == len(before)


def test_an_agents_own_routes_say_what_protects(federation):
    address = federation.address(ORGS[0])
    config = httpx.get(f"{address}/privacy/config").json()
    assert config["differential_privacy"]["mechanism"] == "dp-sgd"
    assert config["differential_privacy"]["occurrences"] == 16
    cut = httpx.post(
        f"{address}/privacy/sanitize",
        json={"raw_gradient": [3.0, 4.0], "sensitivity": 1.0},
    )
    assert cut.status_code == 200, cut.text
    key = {"n": str(3**1292 | 1)}
    sealed = httpx.post(
        f"{address}/privacy/encrypt", json={"gradient": [0.5], "public_key": key}
    )
    assert sealed.status_code == 200, sealed.text
    assert sealed.json()["encrypted_gradient"]["values"] == 1


def test_the_ledger_verifies_and_every_round_was_replayed(federation):
    blocks = federation.blocks()
    bundle = federation.folder / "ledger.fedxdr"
    answer_of("ledger", "export", bundle, "--dir", federation.server)
    found = answer_of("verify", bundle)
    rounds = [b for b in blocks if isinstance(b.block.entry, RoundCommitted)]
    assert (len(found["rounds"]), len(rounds)) == (5, 5)
    assert set(found["epsilon_spent"]) == set(ORGS)
    for signed in rounds:
        accepted = [
            statements.parse(e.payload, AcceptanceStatement)
            for e in signed.envelopes
            if e.digest in signed.block.org_signatures.values()
        ]
        assert [s.verdict for s in accepted] == ["accepted"] * 3
        assert all(s.replayed for s in accepted)
        assert {s.model_hash for s in accepted} == {signed.block.model_hash}


def test_every_model_is_made_again_from_what_was_stored(federation, tmp_path):
    # the last test: a copy, for the server holds its folder
    copy = tmp_path / "server"
    subprocess.run(["cp", "-r", federation.server, copy], check=True)
    opened = OpenOrchestrator(copy, settings=PlanSettings())
    try:
        orchestrator = opened.orchestrator
        seen = set()
        for signed in federation.blocks():
            entry = signed.block.entry
            if isinstance(entry, RoundCommitted):
                round_ = orchestrator.load(entry.round_id)
                assert orchestrator.reopen(round_).model_hash == signed.block.model_hash
                seen.add(entry.collection_mode)
        assert seen == {"committee", "paillier", "secagg"}
    finally:
        opened.close()
