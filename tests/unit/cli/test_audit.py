# SPDX-License-Identifier: Apache-2.0
"""``verify``: offline, with little installed, and exact about what is broken."""

import base64
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from tests.unit.cli.conftest import exported

from fedxdr.core.ids import org_id
from fedxdr.core.layout import Layout, Segment
from fedxdr.core.update import Update
from fedxdr.federation.plan import SEGMENTS
from fedxdr.federation.protection import Privacy
from fedxdr.ledger import bundle as bundles
from fedxdr.ledger import page
from fedxdr.parties import reception
from fedxdr.parties.collecting import contributing
from fedxdr.parties.ports import Learned
from fedxdr.privacy import accountant
from fedxdr.simulation.federation import SimulatedFederation

LAYOUT = Layout(
    segments=(
        Segment(name="statistics.mean", shape=(3,)),
        Segment(name="weights.w", shape=(2, 4)),
    )
)
BLOCKED = ("torch", "fastapi", "starlette", "sqlalchemy", "httpx", "uvicorn", "stamina")
_WITHOUT = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocked())
from fedxdr.cli.main import main
main()
"""


def without_them(*command):
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT, *map(str, command)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
        timeout=100,
    )


def test_verify_needs_neither_torch_nor_server_nor_database(bundle):
    done = without_them("verify", bundle, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["blocks_verified"] == 4
    # the blocker does block
    done = without_them("server", "run", "--dir", bundle.parent)
    assert done.returncode != 0
    assert "blocked" in done.stderr


def test_a_good_bundle_is_told_in_words_and_as_json(run, bundle, federation):
    done = run("verify", bundle)
    assert done.status == 0
    for word in ("verified", "simulation", "alpha, bravo, charlie", "v2"):
        assert word in done.out
    found = json.loads(run("verify", bundle, "--json").out)
    assert found["verified"] is True
    assert found["last_block_hash"] == federation.recorder.in_force.head.hash
    assert found["members"] == ["alpha", "bravo", "charlie"]
    assert len(found["rounds"]) == 2


@pytest.mark.parametrize("height", range(4))
def test_a_flipped_byte_names_height_and_step(run, bundle, tmp_path, height):
    lines = bundle.read_bytes().splitlines(keepends=True)
    line = bytearray(lines[height + 1])
    # in the middle of a value, so that it is still JSON: the last digit of a hash
    place = line.index(b'"prev_hash":"') + 70
    line[place] = ord("0") if line[place] != ord("0") else ord("1")
    lines[height + 1] = bytes(line)
    broken = tmp_path / "broken"
    broken.write_bytes(b"".join(lines))
    done = run("verify", broken)
    assert done.status == 1
    assert done.out == ""
    assert f"block {height}" in done.err
    assert "step " in done.err


@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.99])
def test_any_flipped_bit_fails(run, bundle, tmp_path, place):
    data = bytearray(bundle.read_bytes())
    data[int(place * len(data))] ^= 1
    broken = tmp_path / "broken"
    broken.write_bytes(data)
    done = run("verify", broken)
    assert done.status == 1
    assert done.err.startswith("error (verification-failed): ")


def test_what_is_no_bundle_fails(run, tmp_path, bundle):
    for content in (b"", b"\n", b"{}", b"\xff" * 50, bundle.read_bytes()[:-1]):
        path = tmp_path / "file"
        path.write_bytes(content)
        assert run("verify", path).status == 1


def test_what_a_file_should_be_and_who_makes_it_is_said(run, tmp_path, bundle):
    """Never which of our classes it is not."""
    keys = ("--key", "a", "--key", "b")
    node = ("--rpc", "http://127.0.0.1:1")
    policy = tmp_path / "policy"
    log = next(
        line
        for line in bundles.read(bundle.read_bytes())
        .standing()
        .policy_text()
        .split("\n")
        if line.startswith("log ")
    )
    policy.write_text(f"{log}\nquorum none\n")
    for content in (b"", b"text\n", b"{}", b"[" * 5000):
        path = tmp_path / "file"
        path.write_bytes(content)
        for status, command, words in (
            (1, ("verify", path), ("step 0 container", "`fedxdr ledger export`")),
            (
                1,
                ("ledger", "check", path, "--policy", policy),
                ("step 0 container", "`fedxdr ledger prove`", "`fedxdr ledger export`"),
            ),
            (
                1,
                ("ledger", "convict", path, *keys),
                ("step equivocation", "equivocation-….json", "`fedxdr ledger compare`"),
            ),
            (2, ("verify", bundle, "--seen", path), ("`fedxdr ledger head`",)),
            (
                2,
                ("ledger", "anchor", "verify", path, path, *node),
                ("`fedxdr ledger anchor push`",),
            ),
        ):
            done = run(*command)
            assert done.status == status, done
            for word in words:
                assert word in done.err
            for name in ("_Header", "Equivocation", "AnchorRecord"):
                assert name not in done.err


def test_a_pinned_key_must_be_the_one(run, bundle, federation):
    right = base64.b64encode(federation.identity.public.ed25519).decode()
    wrong = base64.b64encode(federation.operator.public.ed25519).decode()
    assert run("verify", bundle, "--pin", right).status == 0
    done = run("verify", bundle, "--pin", wrong)
    assert done.status == 1
    assert "key" in done.err


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    """A ledger of one private round, and how it can be told less of."""
    privacy = Privacy(
        mechanism="dp-sgd",
        unit="event",
        epsilon=8.0,
        delta=1e-5,
        noise_multiplier=40.0,
        sampling_rate=1.0,
        steps=2,
        clipping_norm=1.5,
        own=1,
        context=16,
        index_keys=1,
    )

    class Quiet:
        def samples(self):
            return 64

        def learn(self, *, task, parent, plan, number):
            del parent, number
            begin, end = plan.layout.span(SEGMENTS[task])
            values = np.full(end - begin, 0.1, np.float32)
            return Learned(update=Update(values=values, samples=64), metrics={})

    def make(name):
        world = SimulatedFederation(
            {org_id(name): Quiet() for name in ("alpha", "bravo", "charlie")},
            plan={
                "layout": LAYOUT,
                "architecture": {"features": "alerts-event"},
                "privacy": privacy,
                "max_weight_exponent": 0,
            },
            initial=np.zeros(LAYOUT.size, np.float32),
        )
        world.run_round()
        path = tmp_path_factory.mktemp("private") / f"{name}.fedxdr"
        path.write_bytes(exported(world))
        return path, accountant.epsilon({privacy.charge: 1}, delta=privacy.delta)

    return make


def test_verify_recomputes_what_was_spent(run, private):
    path, cost = private("honest")
    found = json.loads(run("verify", path, "--json").out)
    assert found["epsilon_spent"] == dict.fromkeys(("alpha", "bravo", "charlie"), cost)
    assert "epsilon spent by alpha" in run("verify", path).out


def test_verify_refuses_an_under_report(run, private, monkeypatch):
    honest = contributing.claim_of
    monkeypatch.setattr(
        contributing,
        "claim_of",
        lambda privacy, *, clip_norm, epsilon: honest(
            privacy, clip_norm=clip_norm, epsilon=0.98 * epsilon
        ),
    )
    # an orchestrator that lets it through; an honest one refuses the contribution
    monkeypatch.setattr(reception, "is_under_report", lambda *_: False)
    path, _ = private("liar")
    done = run("verify", path)
    assert done.status == 1
    assert "what it did amounts to" in done.err


def test_without_a_mechanism_nothing_is_said_to_be_spent(run, bundle):
    assert json.loads(run("verify", bundle, "--json").out)["epsilon_spent"] == {}


def test_verify_hands_out_the_page_for_browsers(run, tmp_path):
    out = tmp_path / "verify.html"
    shown = run("verify", "--page", out).out
    assert str(out) in shown.replace("\n", "")
    assert out.read_bytes() == page.path().read_bytes()
    done = run("verify", "--page", tmp_path / "nowhere" / "verify.html")
    assert done.status == 2
    assert "cannot write" in done.err
