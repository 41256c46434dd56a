# SPDX-License-Identifier: Apache-2.0
"""One byte changed anywhere, in anything that is stored or handed out: it is found.

Over a ledger with every kind of entry: its bundle, the stored bytes of each block and
of each envelope, each head, each statement, the inclusion and consistency proofs and
the offline proof of a model. About 600 mutations run in CI, 10,000 in the soak form,
spread evenly over all bytes, each byte replaced by a value that the seed chooses.

Left out, as the C2SP specification has it: a reader of heads ignores a signature line
whose name or key ID no key of its policy has (tlog-policy, signed-note, "Signatures").
Two kinds of bytes are such for ``policy.check``: those of the name and key ID of a line
that the quorum does not need (changed, they must lower the count of cosigners), and the
line that the log signs by ML-DSA-44, which a policy does not list. Within a bundle no
line is ignored: there every byte of every head is found.
"""

import pytest

from fedxdr.core.errors import InvalidInput, VerificationFailed
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.envelope import Envelope
from fedxdr.ledger import block, heads, merkle, note, policy, proofs, statements
from fedxdr.ledger.steps import Step
from fedxdr.ledger.verifier import check_head, verify


@pytest.fixture(scope="module")
def data(whole):
    return whole.export(models=whole.models)


def mutations(data, count, seed=0):
    """Yield copies of data with one byte changed, evenly spread, both ends among them.

    The same mutations for the same seed.
    """
    count = min(count, len(data))
    last = max(1, count - 1)
    for i, drawn in enumerate(SeededEntropy(seed).draw(count)):
        at = i * (len(data) - 1) // last
        mutated = bytearray(data)
        mutated[at] ^= 1 + drawn % 255
        yield at, bytes(mutated)


def line_at(data, at):
    """Return the number of the line, from 0, that a byte or its line end is in."""
    return data.count(b"\n", 0, at)


def found_in_the_bundle(data, blocks, count, seed=0):
    """Return how many mutations were found, each rightly named."""
    total = 0
    for at, mutated in mutations(data, count, seed):
        with pytest.raises(VerificationFailed) as caught:
            verify(mutated)
        failure, line = caught.value, line_at(data, at)
        assert failure.step in list(Step)
        if 1 <= line <= blocks:
            assert failure.height == line - 1, (at, failure)
        total += 1
    return total


def test_a_changed_byte_of_the_bundle_is_found(data, whole):
    assert found_in_the_bundle(data, len(whole.blocks), 300) == 300


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(4))
def test_ten_thousand_changed_bytes_of_the_bundle_are_found(data, whole, part):
    """The four parts begin at other bytes, so that they do not meet the same ones."""
    cut = data if not part else data[: len(data) - 97 * part]
    rest = data[len(cut) :]
    total = 0
    for at, mutated in mutations(cut, 2_500, seed=part):
        with pytest.raises(VerificationFailed) as caught:
            verify(mutated + rest)
        line = line_at(data, at)
        if 1 <= line <= len(whole.blocks):
            assert caught.value.height == line - 1
        total += 1
    assert total == 2_500


# What is kept apart: bodies, envelopes, statements


def test_a_changed_byte_of_a_block_is_another_block(whole):
    """As stored in a database: the hash beside it tells."""
    for signed in whole.blocks:
        body, hash_ = signed.block.body(), signed.block.hash
        for _, mutated in mutations(body, 12):
            assert block.hash_of(mutated) != hash_
            try:
                other = block.parse(mutated)
            except InvalidInput:
                continue
            assert other != signed.block


def test_a_changed_byte_of_an_envelope_is_found(whole):
    for signed in whole.blocks:
        digests = [e.digest for e in signed.envelopes]
        for envelope in signed.envelopes[:2]:
            kept = [d for d in digests if d != envelope.digest]
            for _, mutated in mutations(envelope.to_json(), 6):
                try:
                    other = Envelope.from_json(mutated)
                except InvalidInput:
                    continue
                bound = block.signatures_digest([*kept, other.digest])
                assert bound != signed.block.signatures_digest


def statements_of(whole):
    """Yield one envelope of each kind, what it states and the keys that signed it."""
    kinds = {}
    for size, signed in enumerate(whole.blocks):
        standing = whole.standing(size)
        for envelope in signed.envelopes:
            stated = statements.read(envelope)
            member = standing.members.get(stated.org)
            keys = getattr(stated, "keys", None) or (member and member.keys)
            if keys is not None:
                kinds.setdefault(type(stated), (envelope, stated, keys))
    return kinds.values()


def test_a_changed_byte_of_a_signed_statement_is_found(whole):
    found = list(statements_of(whole))
    assert len(found) == len(statements._KINDS)
    for envelope, stated, keys in found:
        statements.verify(envelope, kind=type(stated), keys=keys)
        for _, mutated in mutations(envelope.to_json(), 40):
            with pytest.raises(InvalidInput):
                statements.verify(
                    Envelope.from_json(mutated), kind=type(stated), keys=keys
                )


# Heads


def sizes_of(whole):
    return sorted(whole.heads())


def test_a_changed_byte_of_a_head_of_a_bundle_is_found(whole):
    hashes = [signed.block.hash for signed in whole.blocks]
    for size in sizes_of(whole):
        head, standing = whole.head(size), whole.standing(size)
        root = bytes.fromhex(heads.root_of(hashes[:size]))
        check_head(head, standing, root)
        for _, mutated in mutations(head, 12):
            with pytest.raises(VerificationFailed) as caught:
                check_head(mutated, standing, root)
            assert caught.value.step in (Step.HEAD, Step.QUORUM)


def unlisted(whole, data):
    """Return where the log's ML-DSA-44 line lies in a note or proof: [begin, end)."""
    (line,) = (
        line.line().encode()
        for line in note.parse(whole.head(cosigners=())).signatures
        if len(line.signature) > 1_000
    )
    line = next(at for at in data.split(b"\n") if at.startswith(line[:30]))
    return data.index(line), data.index(line) + len(line)


def outcomes(whole, data, check, count):
    """Return how many mutations were found, and how many were rightly ignored.

    ``check`` returns who cosigned. What is found is so by an error or, for the name
    and key ID of a line that is not needed, by a cosigner fewer.
    """
    begin, end = unlisted(whole, data)
    everybody, found, ignored = set(check(data)), 0, 0
    for at, mutated in mutations(data, count):
        try:
            left = set(check(mutated))
        except InvalidInput:
            found += 1
            continue
        if begin <= at < end:
            ignored += 1
            continue
        assert left < everybody, at
        found += 1
    return found, ignored


def test_a_changed_byte_of_a_head_is_found_but_for_the_unlisted_line(whole):
    """For who knows the policy only, and no blocks."""
    head = whole.head()
    rules = policy.parse(whole.standing().policy_text().encode())
    found, ignored = outcomes(whole, head, rules.check, 200)
    begin, end = unlisted(whole, head)
    assert found + ignored == 200
    assert ignored <= 200 * (end - begin) / len(head) + 1


def test_a_changed_byte_of_a_head_without_a_line_to_spare_is_found(whole):
    head = whole.head(cosigners=("alpha", "bravo"))
    rules = policy.parse(whole.standing().policy_text().encode())
    begin, end = unlisted(whole, head)
    for at, mutated in mutations(head, 200):
        if not begin <= at < end:
            with pytest.raises(InvalidInput):
                rules.check(mutated)


# Proofs


@pytest.fixture(scope="module")
def tree(whole):
    leaves = [bytes.fromhex(signed.block.hash) for signed in whole.blocks]
    return leaves, merkle.Tree(leaves)


def test_a_changed_byte_of_an_inclusion_proof_is_found(tree):
    leaves, grown = tree
    size, root = len(leaves), grown.root()
    for index, leaf in enumerate(leaves):
        path = grown.inclusion_proof(index, size)
        truth = {"index": index, "size": size, "leaf_hash": leaf, "root": root}
        merkle.verify_inclusion(proof=path, **truth)
        for at in range(len(path)):
            for _, mutated in mutations(path[at], 2, seed=index):
                with pytest.raises(InvalidInput):
                    merkle.verify_inclusion(
                        proof=[*path[:at], mutated, *path[at + 1 :]], **truth
                    )
        for name in ("leaf_hash", "root"):
            for _, mutated in mutations(truth[name], 2, seed=index):
                with pytest.raises(InvalidInput):
                    merkle.verify_inclusion(proof=path, **truth | {name: mutated})


def test_a_changed_byte_of_a_consistency_proof_is_found(tree):
    leaves, grown = tree
    size, root = len(leaves), grown.root()
    for old in range(1, size):
        before = merkle.root(leaves[:old])
        path = grown.consistency_proof(old, size)
        truth = {"old_size": old, "new_size": size, "old_root": before}
        merkle.verify_consistency(proof=path, new_root=root, **truth)
        for at in range(len(path)):
            for _, mutated in mutations(path[at], 2, seed=old):
                with pytest.raises(InvalidInput):
                    merkle.verify_consistency(
                        proof=[*path[:at], mutated, *path[at + 1 :]],
                        new_root=root,
                        **truth,
                    )


@pytest.mark.parametrize("cosigners", [("alpha", "bravo"), ("alpha", "bravo", "delta")])
def test_a_changed_byte_of_an_offline_proof_is_found(whole, tree, cosigners):
    leaves, grown = tree
    rules = policy.parse(whole.standing().policy_text().encode())
    written = proofs.write(
        index=2,
        path=grown.inclusion_proof(2, len(leaves)),
        checkpoint=whole.head(cosigners=cosigners),
    )

    def check(data):
        proofs.verify(data, leaf_hash=leaves[2], policy=rules)
        return rules.cosigners(proofs.parse(data).checkpoint)

    found, ignored = outcomes(whole, written, check, 150)
    begin, end = unlisted(whole, written)
    assert found + ignored == 150
    assert ignored <= 150 * (end - begin) / len(written) + 1
