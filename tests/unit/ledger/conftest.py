# SPDX-License-Identifier: Apache-2.0
"""A small federation whose ledger is built with real keys, truthfully or not."""

import dataclasses
import functools
from datetime import UTC, datetime, timedelta

import pytest

from fedxdr.core.errors import InvalidInput
from fedxdr.core.ids import sha256
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.keys import SEED_BYTES, IdentityKey
from fedxdr.crypto.publisher import PublisherKey
from fedxdr.ledger import bundle, change_rules, entries, heads, note, statements
from fedxdr.ledger.block import (
    Provenance,
    SignedBlock,
    committed_block,
    in_order,
    next_block,
)
from fedxdr.ledger.block import contributions_root as root_of_contributions
from fedxdr.ledger.block import signatures_digest as digest_of_signatures
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
    RotationStatement,
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
PUBLISHER = PublisherKey(seed=b"\x01" * 32).public_der


# Keys and signatures are made once for the same seed and bytes: that is most of what
# these tests would compute, and none of what they are about. Nothing is cached of
# verification but that a key is a good point.


@functools.cache
def key_from(seed):
    return IdentityKey(seed=seed)


@functools.cache
def signed_head(key, **what):
    return heads.sign(key, **what)


@functools.cache
def cosigned_head(head, key, **what):
    return heads.cosign(head, key, **what)


_SIGNED = {}


def sign(statement, key):
    what = (type(statement), statements.payload_of(statement), key.seed)
    if what not in _SIGNED:
        _SIGNED[what] = statements.sign(statement, key)
    return _SIGNED[what]


@pytest.fixture(autouse=True, scope="session")
def _points_are_checked_once():
    with pytest.MonkeyPatch.context() as patch:
        known = functools.cache(change_rules.check_ed25519)
        patch.setattr(change_rules, "check_ed25519", known)
        yield


class Federation:
    """Keys, blocks and models; every method appends one block.

    The keyword arguments that end in ``_lies`` replace fields after the truth was
    filled in, and what follows from them (signatures) is made anew with real keys.
    Heads are signed with the keys in force at their size, where those are known here.
    """

    def __init__(self, organisations=ORGANISATIONS, seed=1):
        self.entropy = SeededEntropy(seed)
        self.made = {}
        self.orchestrator = self.new_key()
        self.keys = {org: self.new_key() for org in organisations}
        self.now = START
        self.blocks = []
        self.folds = []
        self.models = [b"model 0"]
        self.plan = dict(PLAN)
        self.rounds = 0

    def new_key(self):
        key = key_from(self.entropy.draw(SEED_BYTES))
        self.made[key.public.fingerprint] = key
        return key

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
        blocks, at = self.blocks[:size], 0
        while at < min(len(blocks), len(self.folds)):
            if self.folds[at][0] is not blocks[at]:
                del self.folds[at:]
            else:
                at += 1
        for signed in blocks[at:]:
            standing = self.folds[-1][1].fork() if self.folds else Standing()
            standing.follow(signed, signed.block.hash)
            self.folds.append((signed, standing))
        return self.folds[len(blocks) - 1][1].fork() if blocks else Standing()

    def hashes(self, size=None):
        """Return the hashes of the first blocks."""
        height = self.standing(size).height
        return [standing.last_hash for _, standing in self.folds[: height + 1]]

    def approval(self, org, entry, *, signer=None, **lies):
        truth = {
            "org": org,
            "ledger": self.blocks[0].block.hash if self.blocks else "0" * 64,
            "entry": entries.entry_digest(entry),
            "expires": self.now + timedelta(days=7),
            "issued_at": self.now,
        }
        return sign(ApprovalStatement(**truth | lies), self.keys[signer or org])

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
        return sign(EnrolmentStatement(**truth | lies), self.keys[signer])

    def begin(
        self, *, founders=None, enrolments=None, approved_by=None, names=None, **lies
    ):
        """Append the Genesis; ``names`` are the fingerprints that it names."""
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
            "founders": names
            or {org: self.keys[org].public.fingerprint for org in founders},
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
            self.keys[org] = self.new_key()
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

    def rotate(
        self,
        org,
        *,
        key=None,
        signer=None,
        proven=True,
        entry_lies=None,
        statement_lies=None,
        approved_by=None,
    ):
        """Give a member another key; with key ``signer`` on its statement."""
        key = key or self.new_key()
        truth = {
            "org": org,
            "keys": MemberKeys.of(key.public),
            "previous": self.keys[org].public.fingerprint,
            "issued_at": self.now,
        }
        statement = RotationStatement(**truth | (statement_lies or {}))
        truth = {
            "change": self.next_change,
            "org_id": org,
            "keys": truth["keys"],
            "previous": truth["previous"],
        }
        entry = MemberKeyRotated(**truth | (entry_lies or {}))
        beside = [sign(statement, signer or key)] if proven else []
        self.change(entry, beside, approved_by=approved_by)
        self.keys[org] = key
        return self

    def suspend(self, org, *, approved_by=None, **lies):
        truth = {"change": self.next_change, "org_id": org, "reason": "It left."}
        return self.change(MemberSuspended(**truth | lies), approved_by=approved_by)

    def replace(self, origin, *, key=None, approved_by=None, **lies):
        """Hand the ledger to another orchestrator."""
        key = key or self.new_key()
        truth = {
            "change": self.next_change,
            "orchestrator": MemberKeys.of(key.public),
            "publisher": PUBLISHER,
            "origin": origin,
        }
        entry = OrchestratorReplaced(**truth | lies)
        self.change(entry, approved_by=approved_by)
        self.orchestrator = key
        return self

    def retire(self, model, successor, *, approved_by=None, block_lies=None, **lies):
        """Withdraw one model file and return to another."""
        truth = {
            "change": self.next_change,
            "model_hash": sha256(model),
            "successor": sha256(successor),
            "reason": "It was poisoned.",
        }
        versions = self.standing().models
        model_hash = sha256(successor)
        after = {
            "model_hash": model_hash,
            "provenance": Provenance(model_version=versions.get(model_hash, "v0")),
        }
        entry = ModelRetired(**truth | lies)
        return self.change(entry, approved_by=approved_by, **after | (block_lies or {}))

    def ceremony(self, *holders, approved_by=None, **lies):
        record = {"key": {"holders": list(holders)}}
        truth = {
            "change": self.next_change,
            "record": record,
            "fingerprint": entries.ceremony_fingerprint(record),
            "holders": holders,
        }
        return self.change(KeyCeremony(**truth | lies), approved_by=approved_by)

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
        return sign(statement, self.keys[signer or org])

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
        return sign(statement, self.keys[signer or org])

    def figures(self):
        return {
            "round": self.rounds + 1,
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
        """Append a round's block; ``contributed`` and ``accepted`` are envelopes.

        Who accepts says what the block says, its lies included, unless
        ``acceptance_lies`` has it say something else.
        """
        number = self.rounds + 1
        name = name or f"round-{number}"
        model = model or f"model {number}".encode()
        cohort = tuple(sorted(self.keys)) if cohort is None else cohort
        survivors = cohort if survivors is None else survivors
        if contributed is None:
            contributed = [
                self.contribution(org, name, **(contribution_lies or {}))
                for org in survivors
            ]
        if accepted is None:
            said = {"figures": self.figures() | (metrics_lies or {})}
            said["figures"].pop("num_clients", None)
            for lies_, names in (
                (provenance_lies, ("data_volume", "privacy_params")),
                (entry_lies, ("task", "contributions", "contributions_root")),
            ):
                said |= {k: v for k, v in (lies_ or {}).items() if k in names}
            said |= acceptance_lies or {}
            accepted = [
                self.acceptance(org, name, model, contributed, **said)
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
            model_version=f"v{number}",
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
        self.rounds += 1
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

    def key_of(self, keys, otherwise):
        """Return the private half of keys on the ledger, if it was made here."""
        return self.made.get(keys.fingerprint, otherwise)

    def head(
        self,
        size=None,
        *,
        says=None,
        signer=None,
        cosigners=None,
        root=None,
        origin=None,
        at=None,
    ):
        """Return the cosigned head over the first blocks, all by default.

        ``says`` is the size that it states, if not the true one; ``cosigners`` names
        who cosigns, each with the keys in force there.
        """
        size = len(self.blocks) if size is None else size
        standing = self.standing(size)
        signed = signed_head(
            signer or self.key_of(standing.log.keys, self.orchestrator),
            origin=origin or standing.log.origin,
            size=size if says is None else says,
            root=root or heads.root_of(self.hashes(size)),
            at=at or self.now,
        )
        by = sorted(standing.cosigners) if cosigners is None else cosigners
        return with_lines(
            signed, *(line for org in by for line in self.lines(signed, org, size, at))
        )

    def lines(self, head, org, size=None, at=None):
        """Return a member's two lines for a head, by its keys at that size."""
        member = self.standing(size).cosigners.get(org)
        mine = self.keys[org]
        key = mine if member is None else self.key_of(member.keys, mine)
        return cosigned_head(head, key, org=org, at=at or self.now)

    def heads(self, **lies):
        """Return the heads that a bundle holds: over turns, and the newest.

        Of a ledger that nobody could follow no heads are made: an audit never gets to
        them.
        """
        found = {}
        try:
            for size in range(2, len(self.blocks)):
                if self.standing(size).is_turn:
                    found[size] = self.head(size)
            return found | {len(self.blocks): self.head(**lies)}
        except (InvalidInput, KeyError):
            return found | {len(self.blocks): b"no head"}

    def export(self, *, models=None, heads=None, **lies):
        files = [self.in_force] if models is None else models
        return bundle.write(
            blocks=self.blocks, models=files, heads=heads or self.heads(**lies)
        )

    @property
    def in_force(self):
        """The file of the model in force, or the newest one made."""
        wanted = self.last.model_hash
        return next((m for m in self.models if sha256(m) == wanted), self.models[-1])


def with_lines(head, *lines):
    """Return a head with further signature lines."""
    found = note.parse(head)
    return Note(text=found.text, signatures=(*found.signatures, *lines)).to_bytes()


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


@pytest.fixture(scope="session")
def whole():
    """Return a truthful federation whose ledger has every kind of entry."""
    told = Federation().founded().commit()
    told.ceremony("alpha", "bravo").enrol("delta").rotate("bravo")
    told.commit(cohort=("alpha", "bravo", "charlie", "delta"), survivors=ORGANISATIONS)
    told.retire(b"model 2", b"model 1").fail("round-x").suspend("charlie")
    told.replace("next.example/ledger")
    return told.commit(cohort=("alpha", "bravo", "delta"))
