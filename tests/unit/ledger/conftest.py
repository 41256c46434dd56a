# SPDX-License-Identifier: Apache-2.0
"""A small federation whose ledger is built with real keys, truthfully or not."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from fedxdr.core.ids import sha256
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import bundle, entries, head, statements
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
from fedxdr.ledger.statements import (
    NO_PRIVACY,
    AcceptanceStatement,
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


class Federation:
    """Keys, blocks and models; every method appends one block.

    The keyword arguments that end in ``_lies`` replace fields after the truth was
    filled in, and what follows from them (signatures) is made anew with real keys.
    """

    def __init__(self, organisations=ORGANISATIONS, seed=1):
        entropy = SeededEntropy(seed)
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

    def begin(self, **lies):
        truth = {
            "federation": "Test federation",
            "origin": "test.example/ledger",
            "orchestrator": MemberKeys.of(self.orchestrator.public),
            "created": self.now,
            "protocol_version": 1,
            "initial_model": sha256(self.models[0]),
            "layout_digest": sha256(b"layout"),
        }
        return self.append(Genesis(**truth | lies))

    def enrol(self, org, *, proven=True, entry_lies=None, statement_lies=None, **lies):
        truth = {
            "name": f"{org.title()} Ltd",
            "keys": MemberKeys.of(self.keys[org].public),
            "data_sources": ("suricata-eve",),
            "invitation_digest": sha256(b"invitation of ", org.encode()),
        }
        stated = {"org": org, "issued_at": self.now} | truth | (statement_lies or {})
        envelope = statements.sign(EnrolmentStatement(**stated), self.keys[org])
        entry = MemberEnrolled(**{"org_id": org} | truth | (entry_lies or {}))
        return self.append(entry, [envelope] if proven else [], **lies)

    def adopt(self, *, entry_lies=None, **changes):
        self.plan = {
            key: value
            for key, value in (self.plan | changes).items()
            if value is not None
        }
        truth = {
            "plan": self.plan,
            "plan_digest": entries.plan_digest(self.plan),
        }
        return self.append(PlanAdopted(**truth | (entry_lies or {})))

    def founded(self):
        """Return the federation with all members and its first plan."""
        self.begin()
        for org in self.keys:
            self.enrol(org)
        return self.adopt()

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
        digests = {
            s.org: s.contribution_digest for s in map(statements.read, contributed)
        }
        truth = {
            "org": org,
            "round_id": name,
            "prev_hash": self.last.hash,
            "parent_model": self.last.model_hash,
            "model_hash": sha256(model),
            "sum_digest": sha256(b"sum of ", name.encode()),
            "contributions_root": root_of_contributions(digests),
            "replayed": True,
            "verdict": "accepted",
            "issued_at": self.now,
        }
        statement = AcceptanceStatement(**truth | lies)
        return statements.sign(statement, self.keys[signer or org])

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
        metrics = {
            "round": self.rounds,
            "convergence": 0.25,
            "gradient_norm": 1.5,
            "survivors_weight": 1,
        }
        signed = committed_block(
            self.last,
            round_id=name,
            task="training",
            plan=self.plan,
            cohort=cohort,
            sum_digest=sha256(b"sum of ", name.encode()),
            model_hash=sha256(model),
            model_version=f"v{self.rounds}",
            metrics=metrics,
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

    def export(self, *, signer=None, models=None, **lies):
        truth = head.head_of(
            "test.example/ledger", [s.block.hash for s in self.blocks], self.now
        )
        signed = head.sign(
            dataclasses.replace(truth, **lies), signer or self.orchestrator
        )
        files = [self.models[-1]] if models is None else models
        return bundle.write(blocks=self.blocks, models=files, head=signed)


@pytest.fixture
def federation():
    """Return the class, so that a test makes the federation it needs."""
    return Federation


@pytest.fixture(scope="session")
def small_bundle():
    """Return the bytes of a truthful ledger: Genesis, 3 members, plan, 2 rounds."""
    return (
        Federation().founded().commit().commit(survivors=("alpha", "charlie")).export()
    )
