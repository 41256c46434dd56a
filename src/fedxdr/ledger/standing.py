# SPDX-License-Identifier: Apache-2.0
"""What is in force after some block: members, keys, plan, model, rounds seen.

A fold over blocks: ``Standing`` begins empty and follows one block after another. The
verifier, an organisation's mirror and the orchestrator look up the same thing here: who
is a member at this height, under which keys, and what the plan in force demands.

Not here: whether a block may follow (rules.py). ``follow`` believes what it is given.

Rule that always holds: after ``follow(block)`` the standing is that of the NEXT height;
what a block enrols or adopts counts from the block after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import Digest, OrgId, RoundId
from fedxdr.ledger.block import GENESIS_PREV_HASH, Block
from fedxdr.ledger.entries import (
    Genesis,
    MemberEnrolled,
    MemberKeys,
    PlanAdopted,
    RoundCommitted,
    RoundFailed,
)


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


class Standing:
    """What is in force at one height; changes only by ``follow``."""

    def __init__(self) -> None:
        self.genesis: Genesis | None = None
        self.height = -1
        self.last_hash = GENESIS_PREV_HASH
        self.timestamp: datetime | None = None
        self.members: dict[OrgId, Member] = {}
        self.plan: PlanInForce | None = None
        self.model_hash: Digest | None = None
        self.model_version = "v0"
        self.models: set[Digest] = set()
        self.committed: dict[RoundId, int] = {}
        self.failed: dict[RoundId, int] = {}
        self.invitations: set[Digest] = set()
        self.last_round = -1.0

    def has_round(self, round_id: RoundId) -> bool:
        """Return whether a round of that name committed or failed before."""
        return round_id in self.committed or round_id in self.failed

    @property
    def keys_in_use(self) -> set[bytes]:
        """Every public key that the ledger pins to somebody."""
        keys = {member.keys.ed25519 for member in self.members.values()}
        if self.genesis is not None:
            keys.add(self.genesis.orchestrator.ed25519)
        return keys

    def follow(self, block: Block, hash_: Digest) -> None:
        """Take a block that follows; ``rules.check`` must have passed it.

        Args:
            block: the next block.
            hash_: the hash of its bytes as stored.

        Raises:
            MalformedMessage: a plan without the terms that the ledger reads.
        """
        match block.entry:
            case Genesis():
                self.genesis = block.entry
            case MemberEnrolled():
                self.members[block.entry.org_id] = _member(block.entry, block.height)
                self.invitations.add(block.entry.invitation_digest)
            case PlanAdopted():
                self.plan = PlanInForce(
                    plan=block.entry.plan,
                    digest=block.entry.plan_digest,
                    terms=PlanTerms.of(block.entry.plan),
                )
            case RoundCommitted():
                self.committed[block.entry.round_id] = block.height
                self.last_round = block.aggregation_metrics["round"]
            case RoundFailed():
                self.failed[block.entry.round_id] = block.height
        self.height, self.last_hash = block.height, hash_
        self.timestamp = block.timestamp
        self.model_hash, self.model_version = (
            block.model_hash,
            block.provenance.model_version,
        )
        self.models.add(block.model_hash)


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
