# SPDX-License-Identifier: Apache-2.0
"""Proofs of equivocation: what convicts, and that nothing else does."""

import base64
import dataclasses
import functools
import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core import canonical
from fedxdr.core.errors import BadSignature, InvalidInput, MalformedMessage
from fedxdr.core.errors import VerificationFailed as Failed
from fedxdr.core.ids import sha256
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import equivocation, heads, note
from fedxdr.ledger.entries import MemberKeys
from fedxdr.ledger.equivocation import Equivocation, Leaf, Prefix
from fedxdr.ledger.merkle import Tree
from fedxdr.ledger.note_form import (
    COSIGNATURE_ML_DSA_44,
    ED25519,
    Note,
    verifier_key,
)
from fedxdr.ledger.standing import Log

ORIGIN = "test.example/ledger"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
ENTROPY = SeededEntropy(7)
KEY, OTHER_KEY, MEMBER = (IdentityKey.generate(ENTROPY) for _ in range(3))


def log_of(key=KEY, origin=ORIGIN):
    keys = MemberKeys.of(key.public)
    return Log(origin=origin, keys=keys, publisher=b"", since=1)


LOG = log_of()
KEYS = [
    verifier_key(name=ORIGIN, kind=ED25519, public_key=KEY.public.tlog_ed25519),
    verifier_key(
        name=ORIGIN,
        kind=COSIGNATURE_ML_DSA_44,
        public_key=KEY.public.tlog_ml_dsa_44,
    ),
]


@functools.cache
def leaf(text):
    return hashlib.sha256(b"\x00" + text.encode()).digest()


def tree(history, size):
    """Return a history: ``5a`` is five blocks of everybody, then blocks of ``a``."""
    common, name = int(history[:-1]), history[-1]
    texts = (f"{i}" if i < common else f"{i}{name}" for i in range(size))
    return Tree(map(leaf, texts))


@functools.cache
def head(history, size, key=KEY, origin=ORIGIN):
    root = tree(history, size).root().hex()
    return heads.sign(key, origin=origin, size=size, root=root, at=NOW)


def convict(one, other, *, trees=(True, True), spare=0):
    """Return the proof against two heads (history, size)."""
    given_trees = [
        tree(history, size + spare) if has else None
        for (history, size), has in zip((one, other), trees, strict=True)
    ]
    return equivocation.make(
        head(*one),
        head(*other),
        log=LOG,
        tree=given_trees[0],
        other_tree=given_trees[1],
    )


PROOFS = {
    "roots": lambda: convict(("3a", 5), ("3b", 5), trees=(False, False)),
    "leaves": lambda: convict(("3a", 5), ("3b", 9)),
    "prefix": lambda: convict(("3a", 5), ("3b", 9), trees=(False, True)),
}


@pytest.mark.parametrize("kind", PROOFS)
@pytest.mark.parametrize("known", [LOG, KEYS, KEYS[::-1]])
def test_each_kind_of_proof_convicts(kind, known):
    proof = PROOFS[kind]()
    found = equivocation.verify(proof, log=known)
    assert found.kind == kind
    assert found.origin == equivocation.origin_of(proof) == ORIGIN
    assert (found.first.size, found.second.size) == (5, 5 if kind == "roots" else 9)
    assert found.index == (3 if kind == "leaves" else None)
    assert found.digest == sha256(proof)
    assert ORIGIN in found.sentence
    assert "two histories" in found.sentence


def test_which_head_is_handed_in_first_does_not_matter():
    assert PROOFS["leaves"]() == convict(("3b", 9), ("3a", 5))
    assert PROOFS["prefix"]() == convict(("3b", 9), ("3a", 5), trees=(True, False))
    assert PROOFS["roots"]() == convict(("3b", 5), ("3a", 5))


def test_cosignatures_and_later_blocks_do_not_change_the_proof():
    lines = heads.cosign(head("3a", 5), MEMBER, org="alpha", at=NOW)
    found = note.parse(head("3a", 5))
    cosigned = Note(text=found.text, signatures=(*lines, *found.signatures)).to_bytes()
    proof = equivocation.make(
        cosigned,
        head("3b", 9),
        log=LOG,
        tree=tree("3a", 20),
        other_tree=tree("3b", 30),
    )
    assert proof == PROOFS["leaves"]()
    assert len(proof) < 9_000


def test_the_proof_is_what_the_definition_says():
    """Its figures, worked out again with hashlib and no code of the house."""
    value = canonical.parse_jcs(PROOFS["leaves"]())
    assert value["type"] == "fedxdr/equivocation/v1"
    assert (value["index"], value["prefix"]) == (3, None)

    def node(left, right):
        return hashlib.sha256(b"\x01" + left + right).digest()

    for name, side in (("smaller", 0), ("larger", 1)):
        size, root = value[name].split("\n")[1:3]
        found = value["leaves"][side]
        hashes = [base64.b64decode(h) for h in found["path"]]
        result = base64.b64decode(found["leaf_hash"])
        assert result == leaf("3a" if side == 0 else "3b")
        # height 3 of 5 or 9 blocks: sibling 2, then 0-1, then all that is right of it
        result = node(hashes[1], node(hashes[0], result))
        for right in hashes[2:]:
            result = node(result, right)
        assert (len(hashes) - 2, int(size)) == ((1, 5), (2, 9))[side]
        assert base64.b64encode(result).decode() == root


def test_an_honest_log_is_convicted_of_nothing():
    for sizes in ((5, 5), (5, 9), (9, 5)):
        one, other = (("9a", size) for size in sizes)
        for trees in ((True, True), (True, False), (False, True), (False, False)):
            with pytest.raises(Failed, match="convicts nobody"):
                convict(one, other, trees=trees)


def test_without_the_larger_history_two_sizes_show_nothing():
    with pytest.raises(Failed, match="blocks under the larger head"):
        convict(("3a", 5), ("3b", 9), trees=(True, False))
    with pytest.raises(Failed, match="blocks under the larger head"):
        # blocks that are not those of the head
        equivocation.make(
            head("3a", 5), head("3b", 9), log=LOG, other_tree=tree("4b", 9)
        )


def test_a_smaller_history_that_is_not_the_heads_is_done_without():
    proof = equivocation.make(
        head("3a", 5),
        head("3b", 9),
        log=LOG,
        tree=tree("4c", 5),
        other_tree=tree("3b", 9),
    )
    assert equivocation.verify(proof, log=LOG).kind == "prefix"


def test_two_logs_convict_nobody():
    away = head("3b", 5, OTHER_KEY)
    with pytest.raises(BadSignature):
        equivocation.make(head("3a", 5), away, log=LOG)
    renamed = head("3b", 5, KEY, "else.example/ledger")
    with pytest.raises(BadSignature):
        equivocation.make(head("3a", 5), renamed, log=LOG)
    for wrong in (log_of(OTHER_KEY), log_of(origin="else.example/ledger")):
        with pytest.raises(BadSignature):
            equivocation.verify(PROOFS["roots"](), log=wrong)


@pytest.mark.parametrize("kind", PROOFS)
@pytest.mark.parametrize("which", ["smaller", "larger"])
@pytest.mark.parametrize("line", [0, 1])
def test_both_of_the_logs_signatures_are_needed_on_both_heads(kind, which, line):
    proof = equivocation.parse(PROOFS[kind]())
    found = note.parse(getattr(proof, which).encode())
    spoilt = bytearray(found.signatures[line].signature)
    spoilt[20] ^= 1
    bad = dataclasses.replace(found.signatures[line], signature=bytes(spoilt))
    lines = list(found.signatures)
    lines[line] = bad
    for signatures in (tuple(lines), found.signatures[1 - line :][:1]):
        text = Note(text=found.text, signatures=signatures).to_bytes().decode()
        told = dataclasses.replace(proof, **{which: text})
        with pytest.raises(BadSignature):
            equivocation.verify(equivocation.write(told), log=LOG)


@pytest.mark.parametrize("kind", PROOFS)
def test_a_head_of_a_proof_has_two_lines_in_one_order(kind):
    proof = equivocation.parse(PROOFS[kind]())
    found = note.parse(proof.larger.encode())
    member = heads.cosign(proof.larger.encode(), MEMBER, org="alpha", at=NOW)
    for lines in (
        found.signatures[::-1],
        (*found.signatures, *member),
        (*found.signatures, found.signatures[0]),
    ):
        text = Note(text=found.text, signatures=lines).to_bytes().decode()
        told = dataclasses.replace(proof, larger=text)
        with pytest.raises(MalformedMessage, match="two lines"):
            equivocation.verify(equivocation.write(told), log=LOG)


def spoilt(**changes):
    """Return the proof by leaves with other fields, or what is wrong with them."""
    proof = equivocation.parse(PROOFS["leaves"]())
    return equivocation.write(dataclasses.replace(proof, **changes))


def honest(size):
    return head("9a", size).decode()


def test_what_does_not_contradict_is_no_proof():
    small, large = tree("9a", 5), tree("9a", 9)
    same = {"smaller": honest(5), "larger": honest(9)}
    root = small.root()

    def places(index, other=None):
        other = index if other is None else other
        return tuple(
            Leaf(
                leaf_hash=which.node(0, i),
                path=tuple(which.inclusion_proof(i, which.size)),
            )
            for which, i in ((small, index), (large, other))
        )

    path = tuple(large.consistency_proof(5, 9))
    for told in (
        Equivocation(**same),
        Equivocation(**same, index=2, leaves=places(2)),
        # the block of another height under the larger head
        Equivocation(**same, index=2, leaves=places(2, 3)),
        Equivocation(**same, index=3, leaves=places(2, 3)),
        Equivocation(**same, prefix=Prefix(root=root, path=path)),
        Equivocation(**same, prefix=Prefix(root=bytes(32), path=path)),
        Equivocation(**same, prefix=Prefix(root=bytes(32), path=())),
        Equivocation(smaller=honest(5), larger=honest(5)),
    ):
        with pytest.raises(Failed):
            equivocation.verify(equivocation.write(told), log=LOG)
    # a power of two is its own first subtree: another root does not pass for it
    with pytest.raises(Failed):
        equivocation.verify(
            equivocation.write(
                Equivocation(
                    smaller=honest(8),
                    larger=honest(9),
                    prefix=Prefix(
                        root=bytes(32), path=tuple(large.consistency_proof(8, 9))
                    ),
                )
            ),
            log=LOG,
        )


@pytest.mark.parametrize("index", [-1, 5, 8, 9, 2**53])
def test_the_height_is_below_both_heads(index):
    with pytest.raises(InvalidInput):
        equivocation.verify(spoilt(index=index), log=LOG)


@pytest.mark.parametrize(
    "changes",
    [
        {"index": None},
        {"leaves": ()},
        {"prefix": Prefix(root=bytes(32), path=())},
        {"index": None, "leaves": (), "prefix": None, "larger": ""},
        {"smaller": honest(5), "larger": honest(9), "index": 2},
    ],
)
def test_what_does_not_belong_together_is_refused(changes):
    with pytest.raises(InvalidInput):
        equivocation.verify(spoilt(**changes), log=LOG)


def test_the_heads_stand_in_one_order():
    proof = equivocation.parse(PROOFS["leaves"]())
    turned = dataclasses.replace(proof, smaller=proof.larger, larger=proof.smaller)
    with pytest.raises(MalformedMessage, match="comes first"):
        equivocation.verify(equivocation.write(turned), log=LOG)
    proof = equivocation.parse(PROOFS["roots"]())
    turned = dataclasses.replace(proof, smaller=proof.larger, larger=proof.smaller)
    with pytest.raises(MalformedMessage, match="comes first"):
        equivocation.verify(equivocation.write(turned), log=LOG)


def test_two_roots_have_nothing_beside_them():
    proof = equivocation.parse(PROOFS["roots"]())
    beside = dataclasses.replace(proof, prefix=Prefix(root=bytes(32), path=()))
    with pytest.raises(MalformedMessage, match="nothing beside"):
        equivocation.verify(equivocation.write(beside), log=LOG)


def test_a_proof_has_one_form_and_a_limit():
    proof = PROOFS["prefix"]()
    assert equivocation.write(equivocation.parse(proof)) == proof
    for other in (proof + b"\n", proof.replace(b'":', b'": ', 1), b"{}", b"", b"[]"):
        with pytest.raises(MalformedMessage):
            equivocation.verify(other, log=LOG)
    with pytest.raises(MalformedMessage, match="at most"):
        equivocation.parse(b" " * 70_000)
    with pytest.raises(MalformedMessage):
        Leaf(leaf_hash=bytes(31), path=())
    with pytest.raises(MalformedMessage):
        Prefix(root=bytes(32), path=(bytes(32),) * 65)


@pytest.mark.parametrize(
    "keys",
    [
        KEYS[:1],
        KEYS[1:],
        [KEYS[0], KEYS[0]],
        [],
        [
            KEYS[0],
            verifier_key(
                name="other",
                kind=COSIGNATURE_ML_DSA_44,
                public_key=KEY.public.tlog_ml_dsa_44,
            ),
        ],
    ],
)
def test_a_log_is_known_by_two_keys_of_one_name(keys):
    with pytest.raises(MalformedMessage, match="two keys of one name"):
        equivocation.verify(PROOFS["roots"](), log=keys)


@settings(max_examples=60, deadline=None)
@given(
    common=st.integers(0, 20),
    more=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    trees=st.tuples(st.booleans(), st.booleans()),
    spare=st.integers(0, 3),
)
def test_what_forks_below_both_is_convicted_and_nothing_else(
    common, more, trees, spare
):
    one, other = (f"{common}a", common + more[0]), (f"{common}b", common + more[1])
    if not min(one[1], other[1]):
        return
    is_fork = min(more) > 0
    larger_is_there = trees[0] if one[1] > other[1] else trees[1]
    if not is_fork or (one[1] != other[1] and not larger_is_there):
        with pytest.raises(Failed):
            convict(one, other, trees=trees, spare=spare)
    else:
        proof = convict(one, other, trees=trees, spare=spare)
        found = equivocation.verify(proof, log=KEYS)
        assert {found.first.size, found.second.size} == {one[1], other[1]}
        assert found.index in {None, common}


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(PROOFS)), where=st.floats(0, 1), bit=st.integers(0, 7)
)
def test_no_changed_byte_of_a_proof_convicts(kind, where, bit):
    proof = bytearray(made(kind))
    proof[min(len(proof) - 1, int(where * len(proof)))] ^= 1 << bit
    with pytest.raises(InvalidInput):
        equivocation.verify(bytes(proof), log=LOG)


@functools.cache
def made(kind):
    return PROOFS[kind]()
