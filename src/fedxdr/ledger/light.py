# SPDX-License-Identifier: Apache-2.0
"""A light client: one block proven by one small file, or a whole chain by its tree.

``verify`` checks that a block stands in a ledger whose head a quorum cosigned: a
C2SP tlog-proof, and the block's bytes. ``audit`` checks the same of all blocks at once:
links, Merkle tree, the log's signature, quorum. ``prove`` makes the file.

Not here: whether what blocks say is true (verifier.py): statements, approvals, metrics,
lineage. The organisations' agents checked that before they cosigned, and a light client
believes a quorum of them.

Rules that always hold: whose signatures count, the caller says, by a policy that it has
from elsewhere; a check returns what was proven or raises with the number of a step.

Sources: C2SP tlog-proof v1; C2SP tlog-policy; RFC 6962 section 2.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import msgspec

from fedxdr.core.errors import BadSignature, NotFound, VerificationFailed
from fedxdr.core.ids import Digest
from fedxdr.ledger import block as blocks
from fedxdr.ledger import checkpoint, merkle, note, policy, proofs
from fedxdr.ledger.block import GENESIS_PREV_HASH, Block
from fedxdr.ledger.bundle import Bundle
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.merkle import Tree
from fedxdr.ledger.note_form import Note
from fedxdr.ledger.policy import Group, Policy
from fedxdr.ledger.steps import Step, located, require

_STALE = (
    "if keys changed since the policy was written, get the present policy from a member"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What an audit of a chain by its tree found.

    Attributes:
        head: size and root that the log signed.
        last_hash: of the newest block.
        cosigned_by: who of the policy's quorum group cosigned, in the group's order.
    """

    head: Checkpoint
    last_hash: Digest
    cosigned_by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One block to be checked by somebody who has the policy already.

    Attributes:
        proof: a C2SP tlog-proof, without extra data.
        block: the block's bytes.
        policy: C2SP tlog-policy under which the proof's head counts.
    """

    proof: bytes
    block: bytes
    policy: str


class _Links(msgspec.Struct, frozen=True, gc=False):
    """The two fields of a block that an audit by the tree reads.

    A struct, not a dataclass: it is decoded for each of many blocks.
    """

    height: int
    prev_hash: str


_links = msgspec.json.Decoder(_Links).decode


def verify(proof: bytes, block: bytes, *, policy: Policy) -> Block:
    """Return a block that provably stands in a ledger, at the height that it says.

    Args:
        proof: a C2SP tlog-proof.
        block: the block's bytes, as stored.
        policy: whose signatures count, known from elsewhere.

    Raises:
        VerificationFailed: the head does not count under the policy (11), the block
            does not stand under it, or is no block (1) or one of another height (2).
    """
    with located(Step.QUORUM):
        claimed = proofs.parse(proof)
        with _explained(claimed.checkpoint, policy):
            proofs.verify(proof, leaf_hash=merkle.leaf_hash(block), policy=policy)
    with located(Step.FORM):
        found = blocks.parse(block)
    index = claimed.index
    require(
        found.height == index,
        f"the block says height {found.height}, it stands at {index}",
        step=Step.LINKS,
        height=index,
    )
    return found


def audit(
    bodies: Iterable[bytes],
    *,
    head: bytes,
    policy: Policy,
    seen: Checkpoint | None = None,
) -> Audited:
    """Return what was found of a whole chain: steps 2, 10 and 11, without statements.

    Args:
        bodies: every block's bytes, as stored, from the Genesis.
        head: the cosigned checkpoint over all of them.
        policy: whose signatures count, known from elsewhere.
        seen: a head known from earlier; the chain must extend it.

    Raises:
        VerificationFailed: the first fault, with height and step where it has them.
    """
    sha256, leaves, last = hashlib.sha256, [], str(GENESIS_PREV_HASH)
    for height, body in enumerate(bodies):
        try:
            links = _links(body)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            _refuse(f"not a block: {error}", Step.FORM, height, error)
        if links.height != height or links.prev_hash != last:
            _refuse(
                f"says height {links.height} after {links.prev_hash[:16]}…, want "
                f"{last[:16]}…",
                Step.LINKS,
                height,
            )
        leaf = sha256(b"\x00" + body).digest()
        leaves.append(leaf)
        last = leaf.hex()
    with located(Step.QUORUM), _explained(head, policy):
        cosigned_by = policy.check(head)
        says = checkpoint.parse(head)
    root = merkle.root(leaves)
    for what, found, wanted in (
        ("size", str(says.size), str(len(leaves))),
        ("root", says.root.hex(), root.hex()),
    ):
        require(found == wanted, f"{what} is {found}, want {wanted}", step=Step.HEAD)
    require(
        seen is None
        or (seen.size <= len(leaves) and merkle.root(leaves[: seen.size]) == seen.root),
        "the chain does not extend the head seen earlier",
        step=Step.HEAD,
    )
    return Audited(head=says, last_hash=Digest(last), cosigned_by=cosigned_by)


def prove(bundle: Bundle, height: int) -> Proof:
    """Return the proof of one block of a ledger, as small as its policy allows.

    Args:
        bundle: a ledger that was read; what it says is believed.
        height: of the block.

    Raises:
        NotFound: there is no such block.
        BadSignature: the bundle's head has no quorum.
    """
    size = len(bundle.blocks)
    if not 0 <= height < size:
        raise NotFound(f"there is no block {height} under the head over {size} blocks")
    text = bundle.standing().policy_text()
    tree = Tree(map(bytes.fromhex, bundle.hashes))
    return Proof(
        proof=proofs.write(
            index=height,
            path=tree.inclusion_proof(height),
            checkpoint=fewest_lines(
                bundle.heads[size], rules=policy.parse(text.encode())
            ),
        ),
        block=bundle.blocks[height].block.body(),
        policy=text,
    )


def fewest_lines(head: bytes, *, rules: Policy) -> bytes:
    """Return a head with no more signature lines than the policy wants.

    Lines go, the last first, as long as the head still counts.

    Args:
        head: a checkpoint that counts.
        rules: the policy.

    Raises:
        BadSignature: it does not count.
    """
    rules.check(head)
    kept = note.parse(rules.listed(head))
    for line in reversed(kept.signatures):
        fewer = tuple(found for found in kept.signatures if found != line)
        if not fewer:
            break
        without = Note(text=kept.text, signatures=fewer)
        try:
            rules.check(without.to_bytes())
        except BadSignature:
            continue
        kept = without
    return kept.to_bytes()


@contextmanager
def _explained(head: bytes, policy: Policy) -> Iterator[None]:
    """Say what to do about a head that does not count though no line of it is wrong.

    Raises:
        BadSignature: as raised inside.
    """
    try:
        yield
    except BadSignature as error:
        keys = (line.key for line in policy.lines if not isinstance(line, Group))
        # a line that is wrong says so itself: no other policy helps
        note.signers(note.parse(head), note.keyring(keys))
        raise BadSignature(f"{error}; {_STALE}") from error


def _refuse(
    message: str, step: Step, height: int, cause: Exception | None = None
) -> NoReturn:
    raise VerificationFailed(message, step=step, height=height) from cause
