# SPDX-License-Identifier: Apache-2.0
"""``ledger head|compare|convict|handover`` and ``agent move``, as they are typed."""

import json

import pytest

from fedxdr.app import comparing
from fedxdr.app.comparing import Comparison
from fedxdr.core.ids import sha256
from fedxdr.ledger import equivocation, heads
from fedxdr.ledger.note_form import COSIGNATURE_ML_DSA_44, ED25519, verifier_key


def other_head(federation, *, size):
    """Return a head of another history by the same log."""
    return heads.sign(
        federation.identity,
        origin=federation.recorder.standing.log.origin,
        size=size,
        root=sha256(b"another history"),
        at=federation.clock.now(),
    )


@pytest.fixture
def proof(federation, tmp_path):
    """A file that convicts the federation's log."""
    true = federation.orchestrator.heads.newest()
    size = federation.recorder.size()
    path = tmp_path / "equivocation.json"
    path.write_bytes(
        equivocation.make(
            true,
            other_head(federation, size=size),
            log=federation.recorder.standing.log,
        )
    )
    return path


def verifier_keys(federation):
    log = federation.recorder.standing.log
    for kind, key in (
        (ED25519, log.keys.tlog_ed25519),
        (COSIGNATURE_ML_DSA_44, log.keys.tlog_ml_dsa_44),
    ):
        yield "--key"
        yield verifier_key(name=log.origin, kind=kind, public_key=key)


def test_a_proof_convicts_with_status_0_and_a_sentence(run, bundle, proof, federation):
    done = run("ledger", "convict", proof, "--bundle", bundle)
    assert done.status == 0, done
    assert "told two histories" in " ".join(done.out.split())
    done = run("ledger", "convict", proof, *verifier_keys(federation), "--json")
    assert done.status == 0
    told = json.loads(done.out)
    assert (told["convicts"], told["kind"], told["index"]) == (True, "roots", None)
    assert told["digest"] == sha256(proof.read_bytes())


def test_what_convicts_nobody_has_status_1(fails, bundle, proof, tmp_path):
    for text in (b"", b"{}", proof.read_bytes()[:-1]):
        bad = tmp_path / "bad.json"
        bad.write_bytes(text)
        fails(
            ["ledger", "convict", bad, "--bundle", bundle],
            1,
            "verification-failed",
            "equivocation",
        )
    fails(["ledger", "convict", proof, "--bundle", proof], 1, "verification-failed")


def test_where_the_keys_come_from_is_said_once(fails, bundle, proof, tmp_path):
    for options in ([], ["--bundle", bundle, "--dir", tmp_path]):
        fails(["ledger", "convict", proof, *options], 2, "invalid-settings", "--key")
    fails(
        ["ledger", "convict", tmp_path / "none", "--bundle", bundle],
        2,
        "invalid-settings",
        "cannot read",
    )


def test_a_contradiction_by_hand_has_status_1(run, fails, monkeypatch, tmp_path):
    head = tmp_path / "their.head"
    head.write_bytes(b"head")
    found = {}

    def compare(folder, text):
        assert (folder, text) == (tmp_path, b"head")
        return Comparison(size=5, ours=7, **found)

    monkeypatch.setattr(comparing, "compare", compare)
    command = ["ledger", "compare", head, "--dir", tmp_path]
    for outcome, words in (
        ("same", "The same 5 blocks"),
        ("behind", "7 here extend"),
        ("ahead", "nothing is known yet"),
    ):
        found = {"outcome": outcome}
        done = run(*command)
        assert done.status == 0
        assert words in " ".join(done.out.split())
        assert json.loads(run(*command, "--json").out)["outcome"] == outcome
    found = {"outcome": "contradiction", "proof": "equivocation-ab.json"}
    fails(command, 1, "verification-failed", "equivocation-ab.json convicts the log")
    found = {"outcome": "contradiction"}
    fails(command, 1, "verification-failed", "compare with the blocks")


def test_a_hand_over_says_where_to(fails, tmp_path):
    command = ["ledger", "handover", "--dir", tmp_path]
    fails(command, 2, "invalid-settings", "--out", "--static")
    fails([*command, "--out", tmp_path / "x"], 2, "invalid-settings", "no member")
    fails([*command, "--static", tmp_path / "x"], 2, "invalid-settings", "no member")
    fails(["ledger", "head", "--dir", tmp_path], 2, "invalid-settings", "no member")
    fails(
        ["agent", "move", "--dir", tmp_path, "--server", "http://x:1"],
        2,
        "invalid-settings",
        "no member",
    )
