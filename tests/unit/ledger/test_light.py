# SPDX-License-Identifier: Apache-2.0
"""One block by one file, a chain by its tree: only what a quorum saw counts."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import BadSignature, NotFound, VerificationFailed
from fedxdr.ledger import bundle as bundles
from fedxdr.ledger import checkpoint, light, merkle, note, policy, proofs

ORGANISATIONS = ("alpha", "bravo", "charlie", "delta", "echo")


@pytest.fixture(scope="module")
def make_federation(whole):
    return type(whole)


@pytest.fixture(scope="module")
def ledger(make_federation):
    """A ledger of five organisations with a committed round and a failed one."""
    return make_federation(ORGANISATIONS).founded().commit().fail("round-x")


@pytest.fixture(scope="module")
def bundle(ledger):
    return bundles.read(ledger.export())


@pytest.fixture(scope="module")
def bodies(ledger):
    return [signed.block.body() for signed in ledger.blocks]


@pytest.fixture(scope="module")
def rules(ledger):
    return policy.parse(ledger.standing().policy_text().encode())


@pytest.fixture(scope="module")
def head(bundle):
    return bundle.heads[len(bundle.blocks)]


def test_every_block_is_proven_and_comes_back(bundle, rules):
    for height, signed in enumerate(bundle.blocks):
        made = light.prove(bundle, height)
        assert policy.parse(made.policy.encode()) == rules
        assert light.verify(made.proof, made.block, policy=rules) == signed.block


def test_a_proof_of_five_organisations_is_small(bundle):
    made = light.prove(bundle, 2)
    assert len(made.proof) + len(made.block) <= 20_000


def test_there_is_no_proof_of_a_block_that_is_not_there(bundle):
    for height in (-1, len(bundle.blocks)):
        with pytest.raises(NotFound):
            light.prove(bundle, height)


def test_lines_are_as_few_as_the_policy_wants(head, rules):
    small = light.fewest_lines(head, rules=rules)
    # 4 of 5 organisations, two lines each, and the log's
    assert len(note.parse(small).signatures) == 9
    assert note.parse(small).text == note.parse(head).text
    assert len(rules.check(small)) == 4
    for line in note.parse(small).signatures:
        fewer = [found for found in note.parse(small).signatures if found != line]
        without = dataclasses.replace(note.parse(small), signatures=tuple(fewer))
        with pytest.raises(BadSignature):
            rules.check(without.to_bytes())


def test_a_head_that_does_not_count_is_not_made_smaller(ledger, rules):
    poor = ledger.head(cosigners=ORGANISATIONS[:3])
    with pytest.raises(BadSignature, match="the policy wants 4"):
        light.fewest_lines(poor, rules=rules)


def test_a_head_without_quorum_proves_nothing(ledger, bodies, rules):
    poor = ledger.head(cosigners=ORGANISATIONS[:3])
    tree = merkle.Tree(map(merkle.leaf_hash, bodies))
    proof = proofs.write(index=2, path=tree.inclusion_proof(2), checkpoint=poor)
    with pytest.raises(VerificationFailed, match="the policy wants 4") as caught:
        light.verify(proof, bodies[2], policy=rules)
    assert caught.value.step == "11 cosignature quorum"
    with pytest.raises(VerificationFailed, match="the policy wants 4"):
        light.audit(bodies, head=poor, policy=rules)


def test_another_block_is_not_the_proven_one(bundle, bodies, rules):
    made = light.prove(bundle, 2)
    for other in (bodies[1], made.block[:-1], made.block + b"\n", b"", b"{}"):
        with pytest.raises(VerificationFailed):
            light.verify(made.proof, other, policy=rules)


def test_a_block_that_stands_elsewhere_than_it_says_is_refused(ledger, bodies, rules):
    # a quorum that cosigned blindly: block 2 stands at 3 as well
    leaves = [*map(merkle.leaf_hash, bodies[:3]), merkle.leaf_hash(bodies[2])]
    head = ledger.head(root=merkle.root(leaves).hex())
    path = merkle.inclusion_proof(leaves, 3)
    proof = proofs.write(index=3, path=path, checkpoint=head)
    with pytest.raises(VerificationFailed, match="stands at 3") as caught:
        light.verify(proof, bodies[2], policy=rules)
    assert caught.value.height == 3


def test_what_is_no_block_is_refused_though_it_stands_there(ledger, bodies, rules):
    leaves = [*map(merkle.leaf_hash, bodies[:3]), merkle.leaf_hash(b"{}")]
    head = ledger.head(root=merkle.root(leaves).hex())
    path = merkle.inclusion_proof(leaves, 3)
    proof = proofs.write(index=3, path=path, checkpoint=head)
    with pytest.raises(VerificationFailed) as caught:
        light.verify(proof, b"{}", policy=rules)
    assert caught.value.step == "1 canonical form"


def test_another_federation_is_not_this_one(make_federation, bundle, bodies, head):
    other = make_federation(ORGANISATIONS, seed=2).founded()
    foreign = policy.parse(other.standing().policy_text().encode())
    made = light.prove(bundle, 0)
    with pytest.raises(VerificationFailed):
        light.verify(made.proof, made.block, policy=foreign)
    with pytest.raises(VerificationFailed):
        light.audit(bodies, head=head, policy=foreign)


@pytest.mark.parametrize("change", ["handed over", "rotated"])
def test_whoever_has_an_old_policy_is_told_to_get_the_present_one(
    make_federation, change
):
    told = make_federation(ORGANISATIONS).founded()
    old = policy.parse(told.standing().policy_text().encode())
    if change == "rotated":
        told.rotate("alpha").rotate("bravo").commit()
        why = "3 of 5 cosigned, the policy wants 4"
    else:
        told.replace("next.example/ledger").commit()
        why = "no log of this policy signed the checkpoint"
    made = light.prove(bundles.read(told.export()), 1)
    for check in (
        lambda: light.verify(made.proof, made.block, policy=old),
        lambda: light.audit(
            [signed.block.body() for signed in told.blocks],
            head=told.head(),
            policy=old,
        ),
    ):
        with pytest.raises(VerificationFailed) as caught:
            check()
        assert caught.value.step == "11 cosignature quorum"
        assert caught.value.height is None
        # (of the proof's fewer lines even fewer may count)
        assert "get the present policy from a member" in str(caught.value)
    assert why in str(caught.value)


def test_of_a_line_that_is_wrong_no_policy_is_blamed(bodies, head, rules):
    found = note.parse(rules.listed(head))
    log, line, *others = found.signatures
    turned = bytes([line.signature[-1] ^ 1])
    wrong = dataclasses.replace(line, signature=line.signature[:-1] + turned)
    forged = dataclasses.replace(found, signatures=(log, wrong, *others)).to_bytes()
    with pytest.raises(VerificationFailed) as caught:
        light.audit(bodies, head=forged, policy=rules)
    assert caught.value.step == "11 cosignature quorum"
    assert "get the present policy" not in str(caught.value)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_no_bit_of_proof_or_block_can_change(bundle, rules, data):
    made = light.prove(bundle, 2)
    file = data.draw(st.sampled_from([made.proof, made.block]))
    at = data.draw(st.integers(0, 8 * len(file) - 1))
    changed = bytearray(file)
    changed[at // 8] ^= 1 << at % 8
    pair = [bytes(changed) if part is file else part for part in made_pair(made)]
    with pytest.raises(VerificationFailed):
        light.verify(*pair, policy=rules)


def made_pair(made):
    return made.proof, made.block


def test_a_chain_is_audited_by_its_tree(ledger, bodies, head, rules):
    seen = checkpoint.parse(ledger.head(2))
    found = light.audit(iter(bodies), head=head, policy=rules, seen=seen)
    assert found.head == checkpoint.parse(head)
    assert found.last_hash == ledger.last.hash
    assert found.cosigned_by == ORGANISATIONS


def test_each_fault_of_a_chain_has_its_height_and_step(ledger, bodies, head, rules):
    last = len(bodies) - 1
    swapped = [*bodies[:1], bodies[2], bodies[1], *bodies[3:]]
    relinked = ledger.blocks[2].block
    relinked = dataclasses.replace(relinked, prev_hash="1" * 64).body()
    cases = [
        ([], "10 merkle root and checkpoint", None),
        (bodies[:last], "10 merkle root and checkpoint", None),
        (bodies[1:], "2 hash links", 0),
        (swapped, "2 hash links", 1),
        ([*bodies[:2], relinked, *bodies[3:]], "2 hash links", 2),
        ([*bodies[:1], bodies[1] + b" ", *bodies[2:]], "2 hash links", 2),
        ([*bodies[:last], bodies[last] + b" "], "10 merkle root and checkpoint", None),
        ([*bodies[:1], b"[" * 100_000, *bodies[2:]], "1 canonical form", 1),
        ([*bodies[:1], b'{"height":1}', *bodies[2:]], "1 canonical form", 1),
        ([*bodies[:1], b"\xff", *bodies[2:]], "1 canonical form", 1),
    ]
    for wrong, step, height in cases:
        with pytest.raises(VerificationFailed) as caught:
            light.audit(wrong, head=head, policy=rules)
        assert (caught.value.step, caught.value.height) == (step, height)


def test_a_chain_extends_what_was_seen_before(ledger, bodies, head, rules):
    for seen in (ledger.head(2, root="1" * 64), ledger.head(says=9)):
        with pytest.raises(VerificationFailed, match="seen earlier"):
            light.audit(bodies, head=head, policy=rules, seen=checkpoint.parse(seen))
