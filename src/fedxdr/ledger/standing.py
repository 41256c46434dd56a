# SPDX-License-Identifier: Apache-2.0
"""What is in force after some block: members, keys, plan, model, log, rounds seen.

A fold over blocks: ``Standing`` begins empty and follows one block after another. The
verifier, an organisation's mirror and the orchestrator look up the same thing here: who
is a member at this height, under which keys, and what the plan in force demands.

Not here: whether a block may follow (rules.py). ``follow`` believes what it is given.

Rule that always holds: after ``follow(block)`` the standing is that of the NEXT height;
what a block enrols or adopts counts from the block after it.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import Digest, OrgId, RoundId
from fedxdr.ledger import policy, statements
from fedxdr.ledger.block import GENESIS_PREV_HASH, SignedBlock
from fedxdr.ledger.entries import (
    Genesis,
    KeyCeremony,
    MemberEnrolled,
    MemberKeyRotated,
    MemberKeys,
    MemberSuspended,
    ModelRetired,
    OrchestratorReplaced,
    PlanAdopted,
    RoundCommitted,
    RoundFailed,
)
from fedxdr.ledger.note_form import (
    COSIGNATURE_ED25519,
    COSIGNATURE_ML_DSA_44,
    ED25519,
    verifier_key,
)
from fedxdr.ledger.statements import EnrolmentStatement


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An organisation as the ledger knows it.

    Attributes:
        org_id: its name on the ledger.
        name: its name for people.
        keys: its identity keys.
        data_sources: kinds of telemetry, sorted.
        since: height of the block that enrolled it.
    """

    org_id: OrgId
    name: str
    keys: MemberKeys
    data_sources: tuple[str, ...]
    since: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTerms:
    """The few keys of a plan that the ledger itself must understand.

    Attributes:
        threshold: how many organisations must accept a block, >= 1.
        min_survivors: how many organisations must be in a sum, >= 1.
        collection_mode: how contributions are collected.
        aggregation_method: how they are combined.
    """

    threshold: int
    min_survivors: int
    collection_mode: str
    aggregation_method: str

    @classmethod
    def of(cls, plan: Mapping[str, Any]) -> PlanTerms:
        """Return the terms of a plan.

        Raises:
            MalformedMessage: a key is missing, mistyped or out of range.
        """
        return cls(
            threshold=_count(plan, "threshold"),
            min_survivors=_count(plan, "min_survivors"),
            collection_mode=_text(plan, "collection_mode"),
            aggregation_method=_text(plan, "aggregation_method"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInForce:
    """A plan, its digest and its terms."""

    plan: Mapping[str, Any]
    digest: Digest
    terms: PlanTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Who signs the heads of the ledger, and under which name.

    Attributes:
        origin: the ledger's name in heads.
        keys: of the orchestrator.
        publisher: P-256 key of model files, DER SubjectPublicKeyInfo.
        since: the smallest size of a tree whose head it signs.
    """

    origin: str
    keys: MemberKeys
    publisher: bytes
    since: int


_TURNS = (MemberEnrolled, MemberKeyRotated, MemberSuspended, OrchestratorReplaced)


class Standing:
    """What is in force at one height; changes only by ``follow``.

    ``cosigners`` are those whose quorum counts for the head over the ledger as it
    stands; ``is_turn`` says that its newest block changed who that is: such a head must
    have its quorum before the next block means anything (verifier.py says why).
    """

    def __init__(self) -> None:
        self.genesis: Genesis | None = None
        self.genesis_hash = GENESIS_PREV_HASH
        self.log: Log | None = None
        self.logs: list[Log] = []
        self.height = -1
        self.last_hash = GENESIS_PREV_HASH
        self.timestamp: datetime | None = None
        self.members: dict[OrgId, Member] = {}
        self.cosigners: dict[OrgId, Member] = {}
        self.changes = 0
        self.is_turn = False
        self.plan: PlanInForce | None = None
        self.model_hash: Digest | None = None
        self.model_version = "v0"
        self.models: dict[Digest, str] = {}
        self.retired: set[Digest] = set()
        self.committed: dict[RoundId, int] = {}
        self.failed: dict[RoundId, int] = {}
        self.invitations: set[Digest] = set()
        self.keys_seen: set[bytes] = set()
        self.last_round = -1.0

    def fork(self) -> Standing:
        """Return a standing that can follow other blocks than this one."""
        found = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, dict | set | list):
                setattr(found, name, value.copy())
        return found

    def at_height(self, height: int) -> Standing:
        """Return a standing with the same signers and another height."""
        found = copy.copy(self)
        found.height = height
        return found

    def has_round(self, round_id: RoundId) -> bool:
        """Return whether a round of that name committed or failed before."""
        return round_id in self.committed or round_id in self.failed

    @property
    def quorum(self) -> int:
        """How many members decide a change, and cosign a head."""
        return policy.quorum(len(self.members))

    def policy_text(self) -> str:
        """Return the C2SP tlog-policy for the head over the ledger as it stands here.

        A member counts when it cosigned with both of its keys. Whoever was a member
        before the newest block decides over it, so that a block which changes the
        members needs a quorum of those that it found. (The Genesis found nobody: its
        founders decide.)

        Raises:
            MalformedMessage: before the Genesis.
        """
        if self.log is None:
            raise MalformedMessage("a ledger without a Genesis has no policy")
        origin = self.log.origin
        return policy.policy_text(
            origin=origin,
            log_key=verifier_key(
                name=origin, kind=ED25519, public_key=self.log.keys.tlog_ed25519
            ),
            witnesses={
                str(org): witness_keys(org, member.keys)
                for org, member in sorted(self.cosigners.items())
            },
        )

    def follow(self, signed: SignedBlock, hash_: Digest) -> None:
        """Take a block that follows; ``rules.check`` must have passed it.

        Args:
            signed: the next block and the envelopes beside it.
            hash_: the hash of its bytes as stored.

        Raises:
            MalformedMessage: a plan without the terms that the ledger reads.
        """
        block, before = signed.block, dict(self.members)
        match block.entry:
            case Genesis() as entry:
                self.genesis, self.genesis_hash = entry, hash_
                self._begin_log(entry, block.height)
                for _, statement in statements.by_organisation(
                    signed.envelopes, EnrolmentStatement
                ).values():
                    self._enrol(_founder(statement))
                    self.invitations.add(statement.invitation_digest)
            case MemberEnrolled() as entry:
                self._enrol(_member(entry, block.height))
                self.invitations.add(entry.invitation_digest)
            case MemberKeyRotated() as entry:
                member = self.members[entry.org_id]
                self._enrol(dataclasses.replace(member, keys=entry.keys))
            case MemberSuspended() as entry:
                del self.members[entry.org_id]
            case OrchestratorReplaced() as entry:
                self._begin_log(entry, block.height)
            case PlanAdopted() as entry:
                self.plan = PlanInForce(
                    plan=entry.plan,
                    digest=entry.plan_digest,
                    terms=PlanTerms.of(entry.plan),
                )
            case ModelRetired() as entry:
                self.retired.add(entry.model_hash)
            case KeyCeremony():
                pass
            case RoundCommitted() as entry:
                self.committed[entry.round_id] = block.height
                self.last_round = block.aggregation_metrics["round"]
            case RoundFailed() as entry:
                self.failed[entry.round_id] = block.height
            case _:
                assert_never(block.entry)
        self.changes = getattr(block.entry, "change", self.changes)
        self.cosigners = before or dict(self.members)
        self.is_turn = isinstance(block.entry, _TURNS)
        self.height, self.last_hash = block.height, hash_
        self.timestamp = block.timestamp
        self.model_hash, self.model_version = (
            block.model_hash,
            block.provenance.model_version,
        )
        self.models.setdefault(block.model_hash, self.model_version)

    def _enrol(self, member: Member) -> None:
        self.members[member.org_id] = member
        self.keys_seen |= member.keys.all

    def _begin_log(self, entry: Genesis | OrchestratorReplaced, height: int) -> None:
        self.log = Log(
            origin=entry.origin,
            keys=entry.orchestrator,
            publisher=entry.publisher,
            since=height + 1,
        )
        self.logs.append(self.log)
        self.keys_seen |= entry.orchestrator.all


def witness_keys(org: OrgId, keys: MemberKeys) -> tuple[str, str]:
    """Return the two verifier keys under which a member cosigns heads.

    Args:
        org: the member; its name as a witness.
        keys: its keys.
    """
    return (
        verifier_key(name=org, kind=COSIGNATURE_ED25519, public_key=keys.tlog_ed25519),
        verifier_key(
            name=org, kind=COSIGNATURE_ML_DSA_44, public_key=keys.tlog_ml_dsa_44
        ),
    )


def _founder(statement: EnrolmentStatement) -> Member:
    return Member(
        org_id=statement.org,
        name=statement.name,
        keys=statement.keys,
        data_sources=statement.data_sources,
        since=0,
    )


def _member(entry: MemberEnrolled, height: int) -> Member:
    return Member(
        org_id=entry.org_id,
        name=entry.name,
        keys=entry.keys,
        data_sources=entry.data_sources,
        since=height,
    )


def _count(plan: Mapping[str, Any], key: str) -> int:
    value = plan.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise MalformedMessage(f"the plan's {key} is no whole number of 1 or more")
    return value


def _text(plan: Mapping[str, Any], key: str) -> str:
    value = plan.get(key)
    if not isinstance(value, str) or not value:
        raise MalformedMessage(f"the plan's {key} is no text")
    return value
