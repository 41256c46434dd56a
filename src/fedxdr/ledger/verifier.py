# SPDX-License-Identifier: Apache-2.0
"""The offline audit of an exported ledger, in numbered steps.

Needs the bundle's bytes and nothing else: no server, database, torch or network. The
steps, by the numbers of steps.py:

0. the container has its one canonical form;
1. each block has its one canonical form; 2. heights, hashes and times link up;
3. ``signatures_digest`` binds the envelopes beside the block;
4. statement 1 of EVERY organisation in the sum, and it says what the block says;
5. statement 2 of at least the plan's threshold, about exactly this block;
6. whoever takes part is a member by then, under the keys the ledger pins; founders and
   a quorum of the members approved whatever changes members, keys or plan;
7. plan, counts and metrics within bounds; 8. no privacy claimed that was not made;
9. every model has its parent, back to the Genesis;
10. the Merkle roots are those that the log signed, and extend the head seen last;
11. a quorum of the members cosigned the newest head, and every head over a block that
    changed who cosigns;
12. the models' files are those that the blocks name, the newest one's among them.

Why (11) shuts forks out: say two histories part at some block. In both, either nobody's
membership changes afterwards, and both newest heads need a quorum of the same members;
or it does, and the first block that changes it needs, with everything before it, a
quorum of those same members. Two quorums share an honest member, who cosigns nothing
that does not extend what it cosigned before.

Not here: what epsilon the claims amount to (parties/auditing.py, where the accountant
stands) and replay of rounds (parties/replaying.py).

Rules that always hold: a fault inside a block is reported with its height and step
before any fault of the whole; a check returns a report or raises, never anything else.

Source: design of the ledger, "Verification, numbered steps".
"""

from __future__ import annotations

import copy
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fedxdr.core.errors import VerificationFailed
from fedxdr.core.ids import Digest, OrgId, RoundId
from fedxdr.ledger import bundle as bundles
from fedxdr.ledger import heads, merkle, policy
from fedxdr.ledger.bundle import Bundle
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.entries import Genesis
from fedxdr.ledger.lineage import lineage
from fedxdr.ledger.round_rules import RoundEvidence
from fedxdr.ledger.rules import check
from fedxdr.ledger.standing import Standing
from fedxdr.ledger.steps import Step, located, require
from fedxdr.ledger.trust import Trust, score

_UNPINNED = "no orchestrator key was pinned: the bundle itself says who published it"
_ONE_OF_MANY = (
    "only the orchestrator's key was pinned, under which it could have founded another "
    "ledger: pin the Genesis, or a head seen earlier"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an audit that found no fault found.

    Attributes:
        federation: its name.
        origin: the ledger's name.
        blocks_verified: how many.
        last_block_hash: of the newest block.
        root: the Merkle root over all blocks, as signed and cosigned.
        cosigned_by: the organisations whose cosignatures make the quorum, sorted.
        quorum: how many of them it takes.
        head_timestamp: when they had cosigned, UTC (``heads.cosigned_at``).
        members: the organisations enrolled, sorted.
        rounds: the rounds committed, oldest first.
        rounds_failed: the rounds failed, oldest first.
        model_hash: SHA-256 of the file of the model in force.
        model_version: its name for people.
        models_verified: SHA-256 of the files in the bundle that were checked.
        generations: how many models there are from the Genesis to the one in force.
        warnings: what was not proven, in sentences.
        trust: a score in [0, 1] with its reasons.
    """

    federation: str
    origin: str
    blocks_verified: int
    last_block_hash: Digest
    root: Digest
    cosigned_by: tuple[OrgId, ...]
    quorum: int
    head_timestamp: datetime
    members: tuple[OrgId, ...]
    rounds: tuple[RoundId, ...]
    rounds_failed: tuple[RoundId, ...]
    model_hash: Digest
    model_version: str
    models_verified: tuple[Digest, ...]
    generations: int
    warnings: tuple[str, ...]
    trust: Trust


def verify(
    data: bytes | Bundle,
    *,
    pinned_orchestrator_key: bytes | None = None,
    pinned_genesis: Digest | None = None,
    seen: Checkpoint | None = None,
) -> Report:
    """Return the report on a bundle in which nothing is wrong.

    Args:
        data: the bundle's bytes, or what ``bundle.read`` made of them.
        pinned_orchestrator_key: the first orchestrator's Ed25519 key, 32 bytes, as
            known from elsewhere; the orchestrator alone could found a second ledger
            under it, and the report says so.
        pinned_genesis: hash of block 0, as known from elsewhere (a member's folder):
            which ledger this must be; without it and ``seen`` the report warns.
        seen: a head of this ledger that is known from earlier; the bundle must extend
            it.

    Raises:
        VerificationFailed: the first fault found, with step and, where there is one,
            height.
    """
    bundle = bundles.read(data) if isinstance(data, bytes) else data
    standing, tree = Standing(), merkle.Tree()
    evidence: list[RoundEvidence] = []
    found: list[tuple[Standing, bytes, bytes]] = []
    for signed, hash_ in zip(bundle.blocks, bundle.hashes, strict=True):
        finding = check(signed, standing)
        standing.follow(signed, hash_)
        tree.append(bytes.fromhex(hash_))
        if finding.evidence is not None:
            evidence.append(finding.evidence)
        size = standing.height + 1
        if seen is not None and seen.size == size:
            _check_seen(seen, tree.root())
        is_wanted = size == len(bundle.blocks) or (standing.is_turn and size > 1)
        require(
            is_wanted == (size in bundle.heads),
            f"the head over {size} blocks is {'missing' if is_wanted else 'not asked'}",
            step=Step.QUORUM,
        )
        if is_wanted:
            found.append((copy.copy(standing), bundle.heads[size], tree.root()))
    genesis, model_hash = standing.genesis, standing.model_hash
    if genesis is None or model_hash is None or standing.timestamp is None:
        raise VerificationFailed("no Genesis", step=Step.CONTAINER)
    ancestors = lineage((s.block for s in bundle.blocks), model_hash)
    _check_pin(bundle, genesis, pinned_orchestrator_key)
    require(
        pinned_genesis in {None, bundle.hashes[0]},
        "the Genesis is not the pinned one",
        step=Step.HEAD,
    )
    require(
        seen is None or seen.size <= len(bundle.blocks),
        "the head seen earlier is over more blocks than these",
        step=Step.HEAD,
    )
    cosigned_by: tuple[OrgId, ...] = ()
    for at, head, root in found:
        cosigned_by = check_head(head, at, root)
    _check_models(bundle, standing)
    is_pinned = pinned_genesis is not None or seen is not None
    warnings: list[str] = []
    if not is_pinned:
        warnings.append(_UNPINNED if pinned_orchestrator_key is None else _ONE_OF_MANY)
    warnings.extend(
        f"block {one.height}: {len(one.rejected)} of {len(one.cohort)} rejected the "
        "result"
        for one in evidence
        if one.rejected
    )
    newest = bundle.heads[len(bundle.blocks)]
    cosigned_at = heads.cosigned_at(newest, standing, cosigned_by)
    return Report(
        federation=genesis.federation,
        origin=genesis.origin,
        blocks_verified=len(bundle.blocks),
        last_block_hash=bundle.hashes[-1],
        root=Digest(tree.root().hex()),
        cosigned_by=cosigned_by,
        quorum=policy.quorum(len(standing.cosigners)),
        head_timestamp=cosigned_at or standing.timestamp,
        members=tuple(sorted(standing.members)),
        rounds=tuple(standing.committed),
        rounds_failed=tuple(standing.failed),
        model_hash=model_hash,
        model_version=standing.model_version,
        models_verified=tuple(bundle.models),
        generations=len(ancestors),
        warnings=tuple(warnings),
        trust=score(
            evidence,
            pinned=is_pinned or pinned_orchestrator_key is not None,
            cosigned=len(cosigned_by),
            cosigners=len(standing.cosigners),
        ),
    )


def check_head(head: bytes, standing: Standing, root: bytes) -> tuple[OrgId, ...]:
    """Return who cosigned the head over a ledger: steps 10 and 11 for one head.

    Args:
        head: the cosigned checkpoint, with no line by anybody else.
        standing: what is in force after the ledger's newest block.
        root: over the blocks, 32 bytes.

    Raises:
        VerificationFailed: the log did not sign this root over so many blocks, a line
            is wrong or a stranger's, or there is no quorum.
    """
    size, log = standing.height + 1, standing.log
    if log is None:
        raise VerificationFailed("no Genesis", step=Step.CONTAINER)
    with located(Step.HEAD):
        says = heads.verify_log(head, log)
    for what, found, wanted in (
        ("size", says.size, size),
        ("root", says.root.hex(), root.hex()),
    ):
        require(found == wanted, f"{what} is {found}, want {wanted}", step=Step.HEAD)
    with located(Step.QUORUM):
        text = standing.policy_text().encode()
        cosigned = policy.parse(text).check(head)
        kept = heads.known_lines(head, standing)
    require(
        kept == head,
        f"the head over {size} blocks has lines by strangers, two by one key, or "
        "another order than the log's and then the members' by name",
        step=Step.QUORUM,
    )
    return tuple(sorted(OrgId(name) for name in cosigned))


def _check_seen(seen: Checkpoint, root: bytes) -> None:
    """(10): the ledger extends the head seen earlier."""
    require(
        hmac.compare_digest(seen.root, root),
        f"the first {seen.size} blocks are others than in the head seen earlier",
        step=Step.HEAD,
    )


def _check_pin(bundle: Bundle, genesis: Genesis, pinned: bytes | None) -> None:
    """(10): the ledger is the one that was asked for."""
    require(
        pinned is None or hmac.compare_digest(pinned, genesis.orchestrator.ed25519),
        "the orchestrator's key is not the pinned one",
        step=Step.HEAD,
    )
    require(
        bundle.origin == genesis.origin,
        f"origin of the container is {bundle.origin}, want {genesis.origin}",
        step=Step.HEAD,
    )


def _check_models(bundle: Bundle, standing: Standing) -> None:
    """(12): every file is a model of this ledger, and the one in force is there."""
    unknown = [found for found in bundle.models if found not in standing.models]
    require(
        not unknown, f"no block names the files {_short(unknown)}", step=Step.MODELS
    )
    require(
        standing.model_hash in bundle.models,
        "the file of the model in force is missing",
        step=Step.MODELS,
    )


def _short(digests: Sequence[Digest]) -> str:
    return ", ".join(f"{found[:16]}…" for found in digests)
