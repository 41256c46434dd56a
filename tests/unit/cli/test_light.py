# SPDX-License-Identifier: Apache-2.0
"""``ledger prove`` and ``ledger check``: a block that a quorum saw, and no other."""

import json

import pytest

from fedxdr.ledger import bundle as bundles


@pytest.fixture
def proof(run, bundle, tmp_path):
    """The proof of block 3, with block and policy beside it."""
    out = tmp_path / "proof"
    assert run("ledger", "prove", "3", "--bundle", bundle, "--out", out).status == 0
    return out


@pytest.fixture
def policy(proof):
    return proof.with_name("proof.policy")


def test_a_proven_block_is_checked(run, proof, policy, bundle):
    done = run("ledger", "check", proof, "--policy", policy, "--json")
    assert done.status == 0, done.err
    read = bundles.read(bundle.read_bytes())
    told = json.loads(done.out)
    assert told["hash"] == read.blocks[3].block.hash
    assert (told["height"], told["size"]) == (3, len(read.blocks))
    assert set(told["cosigned_by"]) <= {"alpha", "bravo", "charlie"}
    in_words = run("ledger", "check", proof, "--policy", policy)
    assert "block 3" in in_words.out


def test_an_exported_ledger_is_checked_by_its_tree(run, bundle, policy):
    done = run("ledger", "check", bundle, "--policy", policy, "--json")
    assert done.status == 0, done.err
    read = bundles.read(bundle.read_bytes())
    assert json.loads(done.out)["hash"] == read.hashes[-1]


def test_another_block_and_a_changed_ledger_are_refused(run, proof, policy, bundle):
    other = proof.with_name("other")
    other.write_bytes(bundles.read(bundle.read_bytes()).blocks[2].block.body())
    done = run("ledger", "check", proof, "--policy", policy, "--block", other)
    assert (done.status, done.out) == (1, "")
    other.write_bytes(bundle.read_bytes().replace(b'"height":2', b'"height":4', 1))
    done = run("ledger", "check", other, "--policy", policy)
    assert done.status == 1
    assert "block 2" in done.err


def test_who_counts_says_the_policy(run, proof, policy):
    lines = policy.read_text().splitlines(keepends=True)
    poorer = proof.with_name("poorer")
    log = next(line for line in lines if line.startswith("log "))
    poorer.write_text(log + "quorum none\n")
    assert run("ledger", "check", proof, "--policy", poorer).status == 0
    stranger = proof.with_name("stranger")
    stranger.write_text("".join(line for line in lines if line != log))
    done = run("ledger", "check", proof, "--policy", stranger)
    assert done.status == 1


def test_one_source_and_readable_files(run, proof, bundle, tmp_path):
    out = tmp_path / "again"
    assert run("ledger", "prove", "3", "--out", out).status == 2
    both = run("ledger", "prove", "3", "--out", out, "--dir", ".", "--bundle", bundle)
    assert both.status == 2
    assert run("ledger", "prove", "99", "--bundle", bundle, "--out", out).status != 0
    missing = run("ledger", "check", proof, "--policy", tmp_path / "nothing")
    assert missing.status == 2
    assert not out.exists()
