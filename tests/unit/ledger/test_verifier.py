# SPDX-License-Identifier: Apache-2.0
"""The report on a faultless ledger; the head, the models and the pinned key."""

import subprocess
import sys
from datetime import timedelta

import pytest

from fedxdr.core.canonical import encode
from fedxdr.core.errors import VerificationFailed
from fedxdr.core.ids import sha256
from fedxdr.crypto import envelope as dsse
from fedxdr.ledger import bundle, head
from fedxdr.ledger.steps import Step
from fedxdr.ledger.verifier import verify

WITHOUT_TORCH = """
import sys
for name in ("torch", "sqlalchemy", "httpx", "fastapi", "pydantic", "numpy.random"):
    sys.modules[name] = None
from fedxdr.ledger.verifier import verify
print(verify(sys.stdin.buffer.read()).blocks_verified)
"""


@pytest.fixture
def told(federation):
    return federation().founded().commit().commit(survivors=("alpha", "charlie"))


def refused(data, step, match=None, **options):
    with pytest.raises(VerificationFailed, match=match) as caught:
        verify(data, **options)
    assert (caught.value.step, caught.value.height) == (step, None), caught.value


def test_the_report_on_a_faultless_ledger(told):
    report = verify(
        told.export(), pinned_orchestrator_key=told.orchestrator.public.ed25519
    )
    hashes = [signed.block.hash for signed in told.blocks]
    assert report.federation == "Test federation"
    assert report.origin == "test.example/ledger"
    assert report.blocks_verified == 7
    assert report.last_block_hash == hashes[-1]
    assert report.root == head.root_of(hashes)
    assert report.members == ("alpha", "bravo", "charlie")
    assert report.rounds == ("round-1", "round-2")
    assert report.rounds_failed == ()
    assert report.model_hash == sha256(b"model 2")
    assert report.model_version == "v2"
    assert report.models_verified == (sha256(b"model 2"),)
    assert report.generations == 3
    assert len(report.warnings) == 1
    assert "no witness" in report.warnings[0]
    assert encode(report)


def test_a_ledger_without_rounds_is_faultless_too(federation):
    told = federation().begin()
    report = verify(told.export())
    assert (report.blocks_verified, report.generations) == (1, 1)
    assert report.members == report.rounds == ()


def test_an_unpinned_audit_says_so(told):
    assert any("no orchestrator key" in w for w in verify(told.export()).warnings)


def test_needs_no_torch_database_or_network(small_bundle):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        input=small_bundle,
        capture_output=True,
        check=False,
    )
    assert done.stdout == b"7\n", done.stderr.decode()


# (10) the head


def test_a_ledger_of_another_orchestrator_than_the_pinned_one(told, federation):
    other = federation(seed=2).orchestrator.public.ed25519
    refused(told.export(), Step.HEAD, "pinned", pinned_orchestrator_key=other)
    refused(told.export(), Step.HEAD, "pinned", pinned_orchestrator_key=b"")


def test_a_head_signed_by_somebody_else(told):
    refused(told.export(signer=told.keys["alpha"]), Step.HEAD)


@pytest.mark.parametrize(
    ("lie", "match"),
    [
        ({"size": 6}, "size"),
        ({"size": 8}, "size"),
        ({"root": sha256(b"another root")}, "root"),
        ({"origin": "another.example/ledger"}, "origin"),
    ],
)
def test_a_head_that_says_something_else(told, lie, match):
    refused(told.export(**lie), Step.HEAD, match)


def test_a_head_dated_before_the_newest_block(told):
    early = told.last.timestamp - timedelta(seconds=1)
    refused(told.export(timestamp=early), Step.HEAD, "dated before")


def test_a_truncated_ledger_under_the_head_of_the_whole(told):
    whole = bundle.read(told.export())
    cut = bundle.write(blocks=told.blocks[:-1], models=[b"model 1"], head=whole.head)
    refused(cut, Step.HEAD, "size")


def test_a_head_of_another_kind(told):
    payload = bundle.read(told.export()).head.payload
    other = dsse.sign("text/plain", payload, told.orchestrator)
    data = bundle.write(blocks=told.blocks, models=[b"model 2"], head=other)
    refused(data, Step.HEAD)


def test_a_last_block_exchanged_under_the_head(told, federation):
    other = federation().founded().commit().commit()
    data = bundle.write(
        blocks=other.blocks, models=[b"model 2"], head=bundle.read(told.export()).head
    )
    refused(data, Step.HEAD, "root")


# (11) the models


def test_all_models_may_be_there(told):
    report = verify(told.export(models=told.models))
    assert sorted(report.models_verified) == sorted(map(sha256, told.models))


@pytest.mark.parametrize("models", [[], [b"model 0", b"model 1"]])
def test_the_newest_model_is_missing(told, models):
    refused(told.export(models=models), Step.MODELS, "missing")


def test_a_model_that_no_block_names(told):
    data = told.export(models=[b"model 2", b"a stranger's model"])
    refused(data, Step.MODELS, "no block names")


# The order of faults


def test_a_fault_in_a_block_is_named_before_one_of_the_whole(told):
    told.commit(metrics_lies={"num_clients": 9})
    with pytest.raises(VerificationFailed) as caught:
        verify(told.export(signer=told.keys["alpha"], models=[]))
    assert (caught.value.step, caught.value.height) == (Step.METRICS, 7)
