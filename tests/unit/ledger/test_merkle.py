# SPDX-License-Identifier: Apache-2.0
"""Vectors of transparency-dev/merkle, the definition of RFC 6962, and wrong proofs."""

import base64
import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import VerificationFailed
from fedxdr.ledger import merkle

_SOURCE = Path(__file__).parents[2] / "reference" / "merkle_definition.py"
_SPEC = importlib.util.spec_from_file_location("merkle_definition", _SOURCE)
definition = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(definition)

# transparency-dev/merkle at 417fb0c, testonly/constants.go: LeafInputs, RootHashes.
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [merkle.leaf_hash(data) for data in INPUTS]

# The same repository, testdata/inclusion/2/happy-path.json: leaf 5 of 8.
INCLUSION_5_OF_8 = [
    "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms=",
    "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=",
    "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
]
# testdata/consistency/2/happy-path.json: 6 to 8.
CONSISTENCY_6_TO_8 = [
    "DrxdNDf74tsVi58Sah0RjjCBgQMdCpSfje3t68VY72o=",
    "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=",
    "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
]

SIZES = range(1, 33)
DATA = [bytes([i]) * i for i in range(40)]
HASHES = [merkle.leaf_hash(data) for data in DATA]


def included(index, size, proof, *, leaf=None, root=None):
    merkle.verify_inclusion(
        leaf_hash=leaf or HASHES[index],
        index=index,
        size=size,
        proof=proof,
        root=root or merkle.root(HASHES[:size]),
    )


def consistent(old, new, proof, *, old_root=None, new_root=None):
    merkle.verify_consistency(
        old_size=old,
        new_size=new,
        proof=proof,
        old_root=old_root or merkle.root(HASHES[:old]),
        new_root=new_root or merkle.root(HASHES[:new]),
    )


def test_published_roots():
    assert [merkle.root(LEAVES[:n]).hex() for n in range(9)] == ROOTS


def test_published_inclusion_proof():
    proof = [base64.b64decode(text) for text in INCLUSION_5_OF_8]
    assert merkle.inclusion_proof(LEAVES, 5) == proof
    root = bytes.fromhex(ROOTS[8])
    merkle.verify_inclusion(
        leaf_hash=LEAVES[5], index=5, size=8, proof=proof, root=root
    )


def test_published_consistency_proof():
    proof = [base64.b64decode(text) for text in CONSISTENCY_6_TO_8]
    assert merkle.consistency_proof(LEAVES, 6, 8) == proof
    old, new = bytes.fromhex(ROOTS[6]), bytes.fromhex(ROOTS[8])
    merkle.verify_consistency(
        old_size=6, new_size=8, proof=proof, old_root=old, new_root=new
    )


# Verdicts of the same repository's testdata: <kind>/<case>.json, all refused.
@pytest.mark.parametrize(
    ("index", "size", "change"),
    [
        pytest.param(4, 8, None, id="inclusion/2/leafIdx-sub-@1"),
        pytest.param(6, 8, None, id="inclusion/2/leafIdx-plus-@1"),
        pytest.param(7, 8, None, id="inclusion/2/leafIdx-XOR-@2"),
        pytest.param(5, 16, None, id="inclusion/2/treeSize-mul-@2"),
        pytest.param(5, 4, None, id="inclusion/2/treeSize-div-@2"),
        pytest.param(5, 8, "drop", id="inclusion/2/removed-component"),
        pytest.param(5, 8, "insert", id="inclusion/2/inserted-component"),
        pytest.param(5, 8, "trail", id="inclusion/2/trailing-garbage"),
        pytest.param(5, 8, "precede", id="inclusion/2/preceding-garbage"),
        pytest.param(5, 8, "empty", id="inclusion/2/trailing-empty"),
    ],
)
def test_published_wrong_inclusion_proofs(index, size, change):
    proof = [base64.b64decode(text) for text in INCLUSION_5_OF_8]
    match change:
        case "drop":
            proof.pop()
        case "insert":
            proof.insert(1, proof[0])
        case "trail":
            proof.append(b"garbage")
        case "precede":
            proof.insert(0, b"garbage")
        case "empty":
            proof.append(b"")
    with pytest.raises(VerificationFailed):
        merkle.verify_inclusion(
            leaf_hash=LEAVES[5],
            index=index,
            size=size,
            proof=proof,
            root=bytes.fromhex(ROOTS[8]),
        )


@pytest.mark.parametrize("size", SIZES)
def test_roots_and_inclusion_proofs_are_those_of_the_definition(size):
    data = DATA[:size]
    assert merkle.root(HASHES[:size]) == definition.tree_hash(data)
    for index in range(size):
        proof = merkle.inclusion_proof(HASHES[:size], index)
        assert proof == definition.path(index, data)
        included(index, size, proof)


@pytest.mark.parametrize("new", SIZES)
def test_consistency_proofs_are_those_of_the_definition(new):
    for old in range(1, new + 1):
        proof = merkle.consistency_proof(HASHES, old, new)
        assert proof == definition.proof(old, DATA[:new])
        consistent(old, new, proof)


@given(st.data())
def test_a_proof_of_one_leaf_proves_no_other(data):
    size = data.draw(st.integers(2, 40))
    index, other = data.draw(
        st.lists(st.integers(0, size - 1), min_size=2, max_size=2, unique=True)
    )
    proof = merkle.inclusion_proof(HASHES[:size], index)
    with pytest.raises(VerificationFailed):
        included(other, size, proof)
    with pytest.raises(VerificationFailed):
        included(index, size, proof, leaf=HASHES[other])


@given(st.data())
def test_a_changed_bit_in_a_proof_is_found(data):
    size = data.draw(st.integers(2, 40))
    old = data.draw(st.integers(1, size - 1))
    for check, proof in (
        (included, merkle.inclusion_proof(HASHES[:size], old)),
        (consistent, merkle.consistency_proof(HASHES, old, size)),
    ):
        at = data.draw(st.integers(0, len(proof) - 1))
        bit = data.draw(st.integers(0, 255))
        changed = bytearray(proof[at])
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(VerificationFailed):
            check(old, size, [*proof[:at], bytes(changed), *proof[at + 1 :]])


@given(st.integers(1, 39), st.integers(1, 39), st.integers(1, 40))
def test_a_consistency_proof_of_other_sizes_is_refused(old, other, new):
    old, new = sorted((old, new))
    if other in (old, new) or old == new:
        return
    proof = merkle.consistency_proof(HASHES, old, new)
    with pytest.raises(VerificationFailed):
        consistent(other, new, proof)


def test_a_rewritten_leaf_breaks_consistency():
    rewritten = [merkle.leaf_hash(b"another past"), *HASHES[1:9]]
    for old in range(1, 9):
        proof = merkle.consistency_proof(rewritten, old, 9)
        with pytest.raises(VerificationFailed):
            consistent(old, 9, proof, new_root=merkle.root(rewritten))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_hashes_of_other_lengths_are_refused(length):
    wrong = bytes(length)
    proof = merkle.inclusion_proof(HASHES[:5], 2)
    with pytest.raises(VerificationFailed, match="bytes"):
        merkle.verify_inclusion(
            leaf_hash=wrong, index=2, size=5, proof=proof, root=merkle.root(HASHES[:5])
        )
    with pytest.raises(VerificationFailed, match="bytes"):
        included(2, 5, [*proof[:-1], wrong])
    # The halves of a node are not told apart by hashing alone.
    with pytest.raises(VerificationFailed, match="bytes"):
        merkle.verify_consistency(
            old_size=2,
            new_size=3,
            proof=[HASHES[2]],
            old_root=wrong,
            new_root=merkle.root(HASHES[:3]),
        )


@pytest.mark.parametrize("size", range(1, 18))
def test_a_further_hash_behind_a_right_proof_is_refused(size):
    for index in range(size):
        proof = merkle.inclusion_proof(HASHES[:size], index)
        with pytest.raises(VerificationFailed, match="too long"):
            included(index, size, [*proof, HASHES[0]])
        proof = merkle.consistency_proof(HASHES, index + 1, size)
        with pytest.raises(VerificationFailed, match="too long"):
            consistent(index + 1, size, [*proof, HASHES[0]])


@pytest.mark.parametrize("size", range(2, 18))
def test_a_right_proof_without_its_last_hash_is_refused(size):
    for index in range(size - 1):
        proof = merkle.inclusion_proof(HASHES[:size], index)
        with pytest.raises(VerificationFailed, match="too short"):
            included(index, size, proof[:-1])
        proof = merkle.consistency_proof(HASHES, index + 1, size)
        with pytest.raises(VerificationFailed, match="too short"):
            consistent(index + 1, size, proof[:-1])


def test_a_node_cannot_pass_for_a_leaf():
    inner = HASHES[0] + HASHES[1]
    assert merkle.leaf_hash(inner) != merkle.node_hash(HASHES[0], HASHES[1])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3), (4, 3)])
def test_leaves_outside_the_tree_are_refused(index, size):
    with pytest.raises(VerificationFailed, match="no leaf"):
        merkle.inclusion_proof(HASHES[:size], index)
    with pytest.raises(VerificationFailed, match="no leaf"):
        merkle.verify_inclusion(
            leaf_hash=HASHES[0], index=index, size=size, proof=[], root=HASHES[0]
        )


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 3), (4, 3), (-1, 3)])
def test_sizes_out_of_order_are_refused(old, new):
    with pytest.raises(VerificationFailed):
        merkle.consistency_proof(HASHES[:3], old, new)
    with pytest.raises(VerificationFailed):
        merkle.verify_consistency(
            old_size=old,
            new_size=new,
            proof=[],
            old_root=merkle.EMPTY_ROOT,
            new_root=merkle.EMPTY_ROOT,
        )


def test_equal_sizes_want_equal_roots_and_no_proof():
    consistent(3, 3, [])
    with pytest.raises(VerificationFailed):
        consistent(3, 3, [], new_root=HASHES[0])
    with pytest.raises(VerificationFailed, match="too long"):
        consistent(3, 3, [HASHES[0]])


@pytest.mark.parametrize("size", range(41))
def test_a_tree_has_the_roots_and_nodes_of_the_definition(size):
    tree = merkle.Tree(HASHES[:size])
    assert tree.size == size
    for former in range(size + 1):
        assert tree.root(former) == definition.tree_hash(DATA[:former])
    assert tree.root() == tree.root(size)
    for level in range(6):
        for index in range(size >> level):
            begin, end = index << level, index + 1 << level
            assert tree.node(level, index) == definition.tree_hash(DATA[begin:end])


def test_a_tree_proves_for_every_former_size_as_the_definition():
    tree = merkle.Tree(HASHES[:33])
    for size in range(1, 34):
        for at in range(size):
            assert tree.inclusion_proof(at, size) == definition.path(at, DATA[:size])
            found = tree.consistency_proof(at + 1, size)
            assert found == definition.proof(at + 1, DATA[:size])
    assert tree.inclusion_proof(5) == tree.inclusion_proof(5, 33)
    assert tree.consistency_proof(5) == tree.consistency_proof(5, 33)


@given(st.lists(st.integers(0, 9), max_size=6))
def test_however_a_tree_grows_it_is_the_same(steps):
    tree, size = merkle.Tree(), 0
    for step in steps:
        if step == 1 and size < len(HASHES):
            assert tree.append(HASHES[size]) == size
        else:
            tree.extend(HASHES[size : size + step])
        size = min(size + step, len(HASHES))
        whole = merkle.Tree(HASHES[:size])
        assert tree.size == size
        assert tree.root() == whole.root() == merkle.root(HASHES[:size])
        assert tree._levels == whole._levels


@given(st.integers(300, 5000), st.data())
def test_the_proofs_of_a_large_tree_verify(size, data):
    leaves = [merkle.leaf_hash(b"%d" % i) for i in range(size)]
    tree = merkle.Tree(leaves)
    assert tree.root() == merkle.root(leaves)
    index = data.draw(st.integers(0, size - 1))
    merkle.verify_inclusion(
        leaf_hash=leaves[index],
        index=index,
        size=size,
        proof=tree.inclusion_proof(index),
        root=tree.root(),
    )
    merkle.verify_consistency(
        old_size=index + 1,
        new_size=size,
        proof=tree.consistency_proof(index + 1),
        old_root=tree.root(index + 1),
        new_root=tree.root(),
    )


def test_a_proof_of_a_large_tree_hashes_a_few_nodes_only(monkeypatch):
    tree = merkle.Tree([merkle.leaf_hash(b"%d" % i) for i in range(100_000)])
    calls = []

    def counted(left, right, node_hash=merkle.node_hash):
        calls.append(1)
        return node_hash(left, right)

    monkeypatch.setattr(merkle, "node_hash", counted)
    monkeypatch.setattr(merkle, "_lift", None)
    tree.root()
    tree.root(77_777)
    tree.inclusion_proof(12_345)
    tree.inclusion_proof(12_345, 77_777)
    tree.consistency_proof(12_345, 77_777)
    tree.append(merkle.leaf_hash(b"more"))
    assert len(calls) <= 6 * 17


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_tree_takes_no_hash_of_another_length(length):
    tree = merkle.Tree(HASHES[:3])
    with pytest.raises(VerificationFailed, match="bytes"):
        tree.append(bytes(length))
    with pytest.raises(VerificationFailed, match="bytes"):
        tree.extend([HASHES[3], bytes(length)])
    assert tree.root() == merkle.root(HASHES[:3])


def test_a_tree_has_nothing_outside_itself():
    tree = merkle.Tree(HASHES[:5])
    for level, index in ((0, 5), (0, -1), (1, 2), (2, 1), (3, 0), (-1, 0), (9, 0)):
        with pytest.raises(VerificationFailed, match="no subtree"):
            tree.node(level, index)
    for size in (-1, 6):
        with pytest.raises(VerificationFailed, match="no tree of"):
            tree.root(size)
        with pytest.raises(VerificationFailed, match="no tree of"):
            tree.inclusion_proof(0, size)
        with pytest.raises(VerificationFailed, match="no tree of"):
            tree.consistency_proof(1, size)
    for index, size in ((5, 5), (3, 3), (-1, 5), (0, 0)):
        with pytest.raises(VerificationFailed, match="no leaf"):
            tree.inclusion_proof(index, size)
    for old, new in ((0, 5), (4, 3), (-1, 3), (0, 0)):
        with pytest.raises(VerificationFailed, match="in order"):
            tree.consistency_proof(old, new)


# Every file of the same repository's testdata, where a copy of it is at hand.
PUBLISHED = Path(__file__).parents[4] / "shared/vectors/tdmerkle/testdata"


@pytest.mark.parametrize("kind", ["inclusion", "consistency"])
def test_all_published_proofs(kind):
    if not PUBLISHED.is_dir():
        pytest.skip("no proofs of transparency-dev/merkle in ../shared/vectors")
    cases = sorted((PUBLISHED / kind).rglob("*.json"))
    assert len(cases) > 90
    for path in cases:
        case = json.loads(path.read_text("utf-8"))
        given = _published(kind, case)
        verify = getattr(merkle, f"verify_{kind}")
        if case["wantErr"]:
            with pytest.raises(VerificationFailed):
                verify(**given)
        else:
            verify(**given)


def _published(kind, case):
    def raw(name):
        return base64.b64decode(case[name] or "")

    proof = [base64.b64decode(text) for text in case["proof"] or []]
    if kind == "inclusion":
        return {
            "leaf_hash": raw("leafHash"),
            "index": case["leafIdx"],
            "size": case["treeSize"],
            "proof": proof,
            "root": raw("root"),
        }
    return {
        "old_size": case["size1"],
        "new_size": case["size2"],
        "proof": proof,
        "old_root": raw("root1"),
        "new_root": raw("root2"),
    }
