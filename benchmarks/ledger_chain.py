# SPDX-License-Identifier: Apache-2.0
"""A federation's ledger for benchmarks: real keys, real rules, as many blocks as asked.

``signed`` gives a ledger in which every rule holds: Genesis and plan, approved by all
founders, then committed rounds, each with statements 1 and 2 of all organisations,
signed by Ed25519 and ML-DSA-65. ``bare`` gives one of which only an audit by the tree
says that it is good: its rounds have the fields of a real one and nothing beside them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from fedxdr.core.ids import Digest, OrgId, org_id, round_id, sha256
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey
from fedxdr.crypto.publisher import PublisherKey
from fedxdr.ledger import block as blocks
from fedxdr.ledger import entries, heads, note, statements
from fedxdr.ledger.block import Block, SignedBlock
from fedxdr.ledger.entries import (
    Entry,
    Genesis,
    MemberKeys,
    PlanAdopted,
    RoundCommitted,
)
from fedxdr.ledger.note_form import Note
from fedxdr.ledger.standing import Standing
from fedxdr.ledger.statements import (
    NO_PRIVACY,
    AcceptanceStatement,
    ApprovalStatement,
    ContributionStatement,
    EnrolmentStatement,
)

ORIGIN = "benchmark.fedxdr.example/ledger"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MODEL = b"model 0"


class Chain:
    """The keys of one federation, and its ledger as it grows.

    Args:
        organisations: how many.
        seed: of the keys.
    """

    def __init__(self, organisations: int, seed: int) -> None:
        entropy = SeededEntropy(seed)
        self.orchestrator = IdentityKey.generate(entropy)
        self.keys = {
            org_id(f"org-{index}"): IdentityKey.generate(entropy)
            for index in range(organisations)
        }
        self.standing = Standing()
        self._last: Block | None = None
        self._ledger = Digest("0" * 64)
        self._plan = {
            "threshold": organisations - 1,
            "min_survivors": organisations - 1,
            "collection_mode": "secagg",
            "aggregation_method": "fedavg",
            "clip_norm": 1.0,
        }

    def signed(self, n: int) -> Iterator[SignedBlock]:
        """Return the first n blocks, n >= 2, every rule kept."""
        yield from self._founded()
        for number in range(1, n - 1):
            yield self._follow(self._round(number))

    def bare(self, n: int) -> Iterator[SignedBlock]:
        """Return n blocks, n >= 3, whose rounds nobody signed."""
        yield from self._founded()
        nothing = blocks.signatures_digest(())
        pattern = self._round(1).block
        entry = pattern.entry
        if not isinstance(entry, RoundCommitted):
            raise TypeError("the block of a round has the entry of one")
        for height in range(2, n):
            name = round_id(f"round-{height}")
            block = dataclasses.replace(
                pattern,
                height=height,
                prev_hash=self.standing.last_hash,
                timestamp=BEGIN + timedelta(seconds=height),
                entry=dataclasses.replace(entry, round_id=name),
                provenance=dataclasses.replace(pattern.provenance, round_id=name),
                signatures_digest=nothing,
            )
            yield self._follow(SignedBlock(block=block))

    def head(self, size: int, root: Digest, *, cosigned: bool = True) -> bytes:
        """Return the head over the ledger, cosigned by every organisation."""
        signed = heads.sign(
            self.orchestrator, origin=ORIGIN, size=size, root=root, at=BEGIN
        )
        if not cosigned:
            return signed
        found = note.parse(signed)
        lines = [
            line
            for org, key in self.keys.items()
            for line in heads.cosign(signed, key, org=org, at=BEGIN)
        ]
        return Note(text=found.text, signatures=(*found.signatures, *lines)).to_bytes()

    def _follow(self, signed: SignedBlock) -> SignedBlock:
        hash_ = signed.block.hash
        if self._last is None:
            self._ledger = hash_
        self.standing.follow(signed, hash_)
        self._last = signed.block
        return signed

    def _founded(self) -> Iterator[SignedBlock]:
        genesis = Genesis(
            federation="benchmark",
            origin=ORIGIN,
            orchestrator=MemberKeys.of(self.orchestrator.public),
            publisher=PublisherKey(seed=bytes(32)).public_der,
            created=BEGIN,
            protocol_version=1,
            initial_model=sha256(MODEL),
            layout_digest=sha256(b"layout"),
            founders={org: key.public.fingerprint for org, key in self.keys.items()},
        )
        enrolled = [
            statements.sign(
                EnrolmentStatement(
                    org=org,
                    name=org,
                    keys=MemberKeys.of(key.public),
                    data_sources=("suricata-eve",),
                    invitation_digest=sha256(org.encode()),
                    issued_at=BEGIN,
                ),
                key,
            )
            for org, key in self.keys.items()
        ]
        yield self._follow(self._decided(genesis, enrolled))
        plan = PlanAdopted(
            change=1, plan=self._plan, plan_digest=entries.plan_digest(self._plan)
        )
        yield self._follow(self._decided(plan, []))

    def _decided(self, entry: Entry, beside: list[Envelope]) -> SignedBlock:
        """Return the block of an entry that all organisations approved."""
        approvals = [
            statements.sign(
                ApprovalStatement(
                    org=org,
                    ledger=self._ledger,
                    entry=entries.entry_digest(entry),
                    expires=BEGIN + timedelta(days=7),
                    issued_at=BEGIN,
                ),
                key,
            )
            for org, key in self.keys.items()
        ]
        return blocks.next_block(
            self._last, entry=entry, timestamp=BEGIN, envelopes=[*beside, *approvals]
        )

    def _round(self, number: int) -> SignedBlock:
        """Return the block of a committed round that all organisations accepted."""
        last = self._last
        if last is None:
            raise ValueError("a ledger begins with its Genesis")
        name = round_id(f"round-{number}")
        plan_digest = entries.plan_digest(self._plan)
        figures: dict[str, float] = {
            "round": number,
            "convergence": 0.25,
            "gradient_norm": 1.5,
            "survivors_weight": 1,
        }
        digests = {org: sha256(name.encode(), org.encode()) for org in self.keys}
        contributed = [
            statements.sign(
                ContributionStatement(
                    org=org,
                    round_id=name,
                    plan_digest=plan_digest,
                    parent_model=last.model_hash,
                    contribution_digest=digests[org],
                    sample_exponent=7,
                    privacy=NO_PRIVACY,
                    issued_at=BEGIN,
                ),
                key,
            )
            for org, key in self.keys.items()
        ]
        model, total = sha256(b"model of ", name.encode()), sha256(name.encode())
        accepted = [
            statements.sign(
                AcceptanceStatement(
                    org=org,
                    round_id=name,
                    task="training",
                    builder=self.orchestrator.public.fingerprint,
                    plan_digest=plan_digest,
                    prev_hash=last.hash,
                    parent_model=last.model_hash,
                    model_hash=model,
                    sum_digest=total,
                    contributions=digests,
                    contributions_root=blocks.contributions_root(digests),
                    data_volume=dict.fromkeys(self.keys, 2**7),
                    privacy_params=dict.fromkeys(self.keys, NO_PRIVACY),
                    figures=figures,
                    replayed=True,
                    verdict="accepted",
                    issued_at=BEGIN,
                ),
                key,
            )
            for org, key in self.keys.items()
        ]
        cohort: list[OrgId] = list(self.keys)
        return blocks.committed_block(
            last,
            round_id=name,
            task="training",
            plan=self._plan,
            cohort=cohort,
            sum_digest=total,
            model_hash=model,
            model_version=f"v{number}",
            metrics=figures,
            training_config={"clip_norm": 1.0},
            data_sources=["suricata-eve"],
            timestamp=BEGIN + timedelta(seconds=number),
            envelopes=[*contributed, *accepted],
        )
