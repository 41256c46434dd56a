# SPDX-License-Identifier: Apache-2.0
"""A small federation whose ledger is built with real keys, truthfully or not."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from fedxdr.core.ids import sha256
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import bundle, entries, heads, note, statements
from fedxdr.ledger.block import SignedBlock, committed_block, in_order, next_block
from fedxdr.ledger.block import contributions_root as root_of_contributions
from fedxdr.ledger.block import signatures_digest as digest_of_signatures
from fedxdr.ledger.entries import (
    Genesis,
    MemberEnrolled,
    MemberKeys,
    PlanAdopted,
    RoundFailed,
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

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PLAN = {
    "threshold": 2,
    "min_survivors": 2,
    "collection_mode": "secagg",
    "aggregation_method": "fedavg",
    "clip_norm": 1.5,
}
ORGANISATIONS = ("alpha", "bravo", "charlie")
ORIGIN = "test.example/ledger"
PUBLISHER = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + (
    b"\x04" + bytes(64)
)


class Federation:
    """Keys, blocks and models; every method appends one block.

    The keyword arguments that end in ``_lies`` replace fields after the truth was
    filled in, and what follows from them (signatures) is made anew with real keys.
    """

    def __init__(self, organisations=ORGANISATIONS, seed=1):
        self.entropy = entropy = SeededEntropy(seed)
        self.orchestrator = IdentityKey.generate(entropy)
        self.keys = {org: IdentityKey.generate(entropy) for org in organisations}
        self.now = START
        self.blocks = []
        self.models = [b"model 0"]
        self.plan = dict(PLAN)
        self.rounds = 0

    @property
    def last(self):
        return self.blocks[-1].block

    def tick(self):
        self.now += timedelta(seconds=1)
        return self.now

    def append(self, entry, envelopes=(), **lies):
        signed = next_block(
            self.blocks[-1].block if self.blocks else None,
            entry=entry,
            timestamp=self.tick(),
            envelopes=envelopes,
        )
        block = dataclasses.replace(signed.block, **lies)
        self.blocks.append(dataclasses.replace(signed, block=block))
        return self

    def standing(self, size=None):
        """Return what is in force after the first blocks, believing them all."""
        standing = Standing()
        for signed in self.blocks[:size]:
            standing.follow(signed, signed.block.hash)
        return standing

    def approval(self, org, entry, *, signer=None, **lies):
        truth = {
            "org": org,
            "ledger": self.blocks[0].block.hash if self.blocks else "0" * 64,
            "entry": entries.entry_digest(entry),
            "expires": self.now + timedelta(days=7),
            "issued_at": self.now,
        }
        return statements.sign(
            ApprovalStatement(**truth | lies), self.keys[signer or org]
        )

    def change(self, entry, envelopes=(), *, approved_by=None, **lies):
        """Append what members decide; all of them approve unless told otherwise."""
        by = sorted(self.standing().members) if approved_by is None else approved_by
        approvals = [self.approval(org, entry) for org in by]
        return self.append(entry, [*envelopes, *approvals], **lies)

    @property
    def next_change(self):
        return self.standing().changes + 1

    def enrolment(self, org, **lies):
        """Return a new member's statement; with key ``signer`` if one is named."""
        signer = lies.pop("signer", org)
        truth = {
            "org": org,
            "name": f"{org.title()} Ltd",
            "keys": MemberKeys.of(self.keys[org].public),
            "data_sources": ("suricata-eve",),
            "invitation_digest": sha256(b"invitation of ", org.encode()),
            "issued_at": self.now,
        }
        return statements.sign(EnrolmentStatement(**truth | lies), self.keys[signer])

    def begin(self, *, founders=None, enrolments=None, approved_by=None, **lies):
        founders = tuple(self.keys) if founders is None else founders
        truth = {
            "federation": "Test federation",
            "origin": ORIGIN,
            "orchestrator": MemberKeys.of(self.orchestrator.public),
            "publisher": PUBLISHER,
            "created": self.now,
            "protocol_version": 1,
            "initial_model": sha256(self.models[0]),
            "layout_digest": sha256(b"layout"),
            "founders": {org: self.keys[org].public.fingerprint for org in founders},
        }
        entry = Genesis(**truth | lies)
        if enrolments is None:
            enrolments = [self.enrolment(org) for org in founders]
        by = founders if approved_by is None else approved_by
        return self.append(entry, [*enrolments, *(self.approval(o, entry) for o in by)])

    def enrol(
        self,
        org,
        *,
        proven=True,
        entry_lies=None,
        statement_lies=None,
        approved_by=None,
        **lies,
    ):
        if org not in self.keys:
            self.keys[org] = IdentityKey.generate(self.entropy)
        envelope = self.enrolment(org, **(statement_lies or {}))
        stated = statements.read(self.enrolment(org))
        truth = {
            "change": self.next_change,
            "org_id": org,
            "name": stated.name,
            "keys": stated.keys,
            "data_sources": stated.data_sources,
            "invitation_digest": stated.invitation_digest,
        }
        entry = MemberEnrolled(**truth | (entry_lies or {}))
        return self.change(
            entry, [envelope] if proven else [], approved_by=approved_by, **lies
        )

    def adopt(self, *, entry_lies=None, approved_by=None, **changes):
        self.plan = {
            key: value
            for key, value in (self.plan | changes).items()
            if value is not None
        }
        truth = {
            "change": self.next_change,
            "plan": self.plan,
            "plan_digest": entries.plan_digest(self.plan),
        }
        entry = PlanAdopted(**truth | (entry_lies or {}))
        return self.change(entry, approved_by=approved_by)

    def founded(self):
        """Return the federation with its founders and its first plan."""
        return self.begin().adopt()

    def fail(self, name, **lies):
        truth = {
            "round_id": name,
            "phase": "shares",
            "reason": "too-few-participants",
            "sentence": "Only one organisation answered in time.",
        }
        return self.append(RoundFailed(**truth | lies))

    def contribution(self, org, name, *, signer=None, **lies):
        truth = {
            "org": org,
            "round_id": name,
            "plan_digest": entries.plan_digest(self.plan),
            "parent_model": self.last.model_hash,
            "contribution_digest": sha256(name.encode(), org.encode()),
            "sample_exponent": 7,
            "privacy": NO_PRIVACY,
            "issued_at": self.now,
        }
        statement = ContributionStatement(**truth | lies)
        return statements.sign(statement, self.keys[signer or org])

    def acceptance(self, org, name, model, contributed, *, signer=None, **lies):
        given = [statements.read(envelope) for envelope in contributed]
        digests = {s.org: s.contribution_digest for s in given}
        truth = {
            "org": org,
            "round_id": name,
            "task": "training",
            "builder": self.orchestrator.public.fingerprint,
            "plan_digest": entries.plan_digest(self.plan),
            "prev_hash": self.last.hash,
            "parent_model": self.last.model_hash,
            "model_hash": sha256(model),
            "sum_digest": sha256(b"sum of ", name.encode()),
            "contributions": digests,
            "contributions_root": root_of_contributions(digests),
            "data_volume": {s.org: s.sample_bucket for s in given},
            "privacy_params": {s.org: s.privacy for s in given},
            "figures": self.figures(),
            "replayed": True,
            "verdict": "accepted",
            "issued_at": self.now,
        }
        statement = AcceptanceStatement(**truth | lies)
        return statements.sign(statement, self.keys[signer or org])

    def figures(self):
        return {
            "round": self.rounds,
            "convergence": 0.25,
            "gradient_norm": 1.5,
            "survivors_weight": 1,
        }

    def commit(
        self,
        name=None,
        *,
        cohort=None,
        survivors=None,
        model=None,
        contributed=None,
        accepted=None,
        contribution_lies=None,
        acceptance_lies=None,
        entry_lies=None,
        metrics_lies=None,
        provenance_lies=None,
        **lies,
    ):
        """Append a round's block; ``contributed`` and ``accepted`` are envelopes."""
        self.rounds += 1
        name = name or f"round-{self.rounds}"
        model = model or f"model {self.rounds}".encode()
        cohort = tuple(sorted(self.keys)) if cohort is None else cohort
        survivors = cohort if survivors is None else survivors
        if contributed is None:
            contributed = [
                self.contribution(org, name, **(contribution_lies or {}))
                for org in survivors
            ]
        if accepted is None:
            accepted = [
                self.acceptance(
                    org, name, model, contributed, **(acceptance_lies or {})
                )
                for org in survivors
            ]
        signed = committed_block(
            self.last,
            round_id=name,
            task="training",
            plan=self.plan,
            cohort=cohort,
            sum_digest=sha256(b"sum of ", name.encode()),
            model_hash=sha256(model),
            model_version=f"v{self.rounds}",
            metrics=self.figures(),
            training_config={"clip_norm": self.plan["clip_norm"]},
            data_sources=["suricata-eve"],
            timestamp=self.tick(),
            envelopes=[*contributed, *accepted],
        )
        block = signed.block
        made = dataclasses.replace(block.provenance, **(provenance_lies or {}))
        block = dataclasses.replace(
            block,
            **{
                "entry": dataclasses.replace(block.entry, **(entry_lies or {})),
                "aggregation_metrics": block.aggregation_metrics | (metrics_lies or {}),
                "provenance": made,
            }
            | lies,
        )
        self.models.append(model)
        self.blocks.append(dataclasses.replace(signed, block=block))
        return self

    def beside(self, envelopes):
        """Replace the envelopes beside the newest block, and what binds them."""
        bound = dataclasses.replace(
            self.last,
            signatures_digest=digest_of_signatures(e.digest for e in envelopes),
        )
        self.blocks[-1] = SignedBlock(block=bound, envelopes=in_order(envelopes))
        return self

    def head(self, size=None, *, signer=None, cosigners=None, root=None, origin=None):
        """Return the cosigned head over the first blocks, all by default."""
        size = len(self.blocks) if size is None else size
        standing = self.standing(size)
        signed = heads.sign(
            signer or self.orchestrator,
            origin=origin or standing.log.origin,
            size=size,
            root=root or heads.root_of([s.block.hash for s in self.blocks[:size]]),
            at=self.now,
        )
        by = sorted(standing.cosigners) if cosigners is None else cosigners
        lines = [
            line
            for org in by
            for line in heads.cosign(signed, self.keys[org], org=org, at=self.now)
        ]
        found = note.parse(signed)
        return Note(
            text=found.text, signatures=(*found.signatures, *lines)
        ).to_bytes()

    def heads(self, **lies):
        """Return the heads that a bundle holds: over turns, and the newest."""
        standing, found = Standing(), {}
        for size, signed in enumerate(self.blocks, start=1):
            standing.follow(signed, signed.block.hash)
            if standing.is_turn and size > 1:
                found[size] = self.head(size)
        return found | {len(self.blocks): self.head(**lies)}

    def export(self, *, models=None, heads=None, **lies):
        files = [self.models[-1]] if models is None else models
        return bundle.write(
            blocks=self.blocks, models=files, heads=heads or self.heads(**lies)
        )


@pytest.fixture
def federation():
    """Return the class, so that a test makes the federation it needs."""
    return Federation


@pytest.fixture(scope="session")
def small_bundle():
    """Return the bytes of a truthful ledger: Genesis, plan, 2 rounds, a new member."""
    return (
        Federation()
        .founded()
        .commit()
        .enrol("delta")
        .commit(cohort=ORGANISATIONS, survivors=("alpha", "charlie"))
        .export()
    )
