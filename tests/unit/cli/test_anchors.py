# SPDX-License-Identifier: Apache-2.0
"""``ledger anchor``: what a user got wrong is said in one line, and no key is shown.

What it does on a chain is in tests/process/test_anchors.py.
"""

import base64
import builtins
import hashlib
import sys

import pytest
from tests.unit.anchoring.chain_suite import checkpoint
from tests.unit.anchoring.test_proofs import CONTRACT, RECORD

from fedxdr.anchoring import proofs
from fedxdr.ledger.note_form import verifier_key

SECRET = hashlib.sha256(b"an account of these tests").hexdigest()
NOBODY = ("--rpc", "http://127.0.0.1:1/v3/0123456789abcdef")


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "account.key"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def files(tmp_path):
    """A record and its checkpoint."""
    (tmp_path / "record.json").write_bytes(proofs.encode(RECORD) + b"\n")
    (tmp_path / "checkpoint").write_bytes(checkpoint(42).body())
    return tmp_path / "record.json", tmp_path / "checkpoint"


@pytest.mark.parametrize("missing", ["web3", "eth_account"])
def test_without_the_extra_it_says_what_to_install(fails, key, monkeypatch, missing):
    real = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "fedxdr.anchoring.evm", raising=False)
    monkeypatch.delattr("fedxdr.anchoring.evm", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    fails(
        ["ledger", "anchor", "deploy", *NOBODY, "--key", key],
        2, "invalid-settings", "fedxdr[evm]",
    )  # fmt: skip


def test_a_module_of_ours_that_is_missing_is_no_missing_extra(run, key, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "fedxdr.anchoring.chain":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "fedxdr.anchoring.evm", raising=False)
    monkeypatch.delattr("fedxdr.anchoring.evm", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError):
        run("ledger", "anchor", "deploy", *NOBODY, "--key", key)


@pytest.mark.parametrize(
    "text",
    ["", "zz" * 32, SECRET[:-1], SECRET + "00", "0x" + SECRET[2:], "é" * 64, "00" * 32],
)
def test_a_file_without_a_key_is_refused(fails, key, text):
    key.write_text(text)
    done = ["ledger", "anchor", "deploy", *NOBODY, "--key", key]
    fails(done, 2, "invalid-settings", "key")


def test_a_key_that_others_can_read_is_refused(fails, key):
    key.chmod(0o640)
    fails(
        ["ledger", "anchor", "deploy", *NOBODY, "--key", key],
        2,
        "invalid-settings",
        "chmod 600",
    )


def test_a_key_file_that_is_not_there_is_said(fails, tmp_path):
    fails(
        ["ledger", "anchor", "deploy", *NOBODY, "--key", tmp_path / "none"],
        2, "invalid-settings", "no key file",
    )  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "0x"])
def test_a_node_that_is_not_there_is_said_without_its_address(run, key, prefix):
    key.write_text(f"{prefix}{SECRET}\r\n")
    done = run("ledger", "anchor", "deploy", *NOBODY, "--key", key)
    assert done.status == 4
    assert "(unavailable)" in done.err
    for secret in ("0123456789abcdef", SECRET, "127.0.0.1"):
        assert secret not in done.err + done.out


def test_no_node_is_asked_about_a_record_of_another_checkpoint(fails, files):
    record, found = files
    found.write_bytes(checkpoint(42, branch="other").body())
    fails(
        ["ledger", "anchor", "verify", record, found, *NOBODY],
        1, "verification-failed", "step 1 checkpoint", "two roots of size 42",
    )  # fmt: skip
    fails(["ledger", "anchor", "verify", found, found, *NOBODY], 2, "malformed-message")
    fails(
        ["ledger", "anchor", "verify", record, record, *NOBODY], 2, "malformed-message"
    )


def test_a_checkpoint_that_the_named_key_did_not_sign_is_refused(fails, files):
    record, found = files
    found.write_bytes(
        checkpoint(42).body()
        + f"\n— other.example/log {base64.b64encode(bytes(68)).decode()}\n".encode()
    )
    theirs = hashlib.sha256(b"a log").digest()
    for log_key, code in (
        (
            verifier_key(name="log.example/x", kind=1, public_key=theirs),
            "bad-signature",
        ),
        ("log.example/x+00000000+AQ==", "malformed-message"),
    ):
        done = [
            "ledger",
            "anchor",
            "verify",
            record,
            found,
            *NOBODY,
            "--log-key",
            log_key,
        ]
        fails(done, 2, code)


def test_nothing_is_sent_before_the_record_can_be_written(fails, key, files, tmp_path):
    push = ["ledger", "anchor", "push", files[1], *NOBODY, "--key", key]
    out = ("--contract", CONTRACT, "--out", tmp_path / "no" / "record.json")
    fails([*push, *out], 2, "invalid-settings", "cannot write")
