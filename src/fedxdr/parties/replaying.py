# SPDX-License-Identifier: Apache-2.0
"""Redoing a committed round offline, from what was kept of it, bit for bit.

A package holds what any member could fetch of the round: announcement, key list, signed
survivor set, contribution statements, revealed shares and seeds, the masked vectors and
the parent model. From these and the ledger alone the sum, the new model and the block's
figures are computed again, by the very functions that opened the round.

Not here: whether the ledger holds together (ledger/verifier.py checks that first).

Rules that always hold: nothing in a package is believed: statements must be signed by
the keys the ledger pins, vectors hash to what the block names, and the outcome must be
the block's, or the replay fails; a package is for members, like what it is made of.

Source: design of a round, "Audit by replay".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO

import cbor2

from fedxdr.core import canonical
from fedxdr.core.errors import (
    InvalidInput,
    MalformedMessage,
    NotFound,
    Refused,
    VerificationFailed,
)
from fedxdr.core.ids import Digest, RoundId, round_id, sha256
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation import wire
from fedxdr.federation.messages import Announcement
from fedxdr.federation.opening import Opened
from fedxdr.federation.plan import Plan
from fedxdr.federation.sessions import TABLE, Session, Step
from fedxdr.ledger.block import SignedBlock
from fedxdr.ledger.entries import KeyCeremony, RoundCommitted
from fedxdr.ledger.standing import Standing
from fedxdr.ledger.statements import ContributionStatement, by_organisation
from fedxdr.parties.collecting.catalogue import mode_of
from fedxdr.parties.dossier import Dossier
from fedxdr.parties.ports import Link
from fedxdr.secagg.encrypted.ceremony import Ceremony

STEP = "13 replay"
"""The step of an audit that fails when a round does not come out as its block says."""

_FORMAT = "fedxdr-round-package"
_PRIVATE = frozenset({Step.MAIL, Step.QUORUM})
_TOLERANCE = 1e-9

VectorOf = Callable[[Digest], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What was kept of one round.

    Attributes:
        round_id: the round.
        announcement: the orchestrator's envelope, JSON.
        fetched: step -> what members fetched in it.
        evidence: as ``wire.pack_evidence``.
        vectors: SHA-256 -> protected vectors, and what shows that a sum is right.
        parent: the parent model's file.
    """

    round_id: RoundId
    announcement: bytes
    fetched: dict[Step, bytes]
    evidence: bytes
    vectors: dict[Digest, bytes]
    parent: bytes

    def to_bytes(self) -> bytes:
        """Return the package as deterministic CBOR (RFC 8949, section 4.2.1)."""
        return cbor2.dumps(
            {
                "format": _FORMAT,
                "version": 1,
                "round_id": self.round_id,
                "announcement": self.announcement,
                "fetched": {str(step): body for step, body in self.fetched.items()},
                "evidence": self.evidence,
                "vectors": sorted(self.vectors.values(), key=sha256),
                "parent": self.parent,
            },
            canonical=True,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Package:
        """Return the package that ``to_bytes`` wrote; vectors are named by their hash.

        Raises:
            MalformedMessage: anything else.
        """
        stream = BytesIO(data)
        try:
            match cbor2.load(stream):
                case {
                    "format": "fedxdr-round-package",
                    "version": 1,
                    "round_id": str(name),
                    "announcement": bytes(announcement),
                    "fetched": dict(fetched),
                    "evidence": bytes(evidence),
                    "vectors": list(vectors),
                    "parent": bytes(parent),
                }:
                    found = cls(
                        round_id=round_id(name),
                        announcement=announcement,
                        fetched={Step(step): body for step, body in fetched.items()},
                        evidence=evidence,
                        vectors={sha256(vector): vector for vector in vectors},
                        parent=parent,
                    )
                case _:
                    raise MalformedMessage("not a package of a round")
        except (cbor2.CBORDecodeError, ValueError, TypeError, EOFError) as error:
            raise MalformedMessage("not a package of a round") from error
        if found.to_bytes() != data:
            raise MalformedMessage("a package of a round in another than its one form")
        return found


def collect(link: Link, name: RoundId, *, blocks: Sequence[SignedBlock]) -> Package:
    """Return the package of a committed round, which is replayed while it is fetched.

    Args:
        link: to the orchestrator, of a member or in its own process.
        name: the round.
        blocks: the whole ledger.

    Raises:
        NotFound: no such round, or nothing is kept of it any more.
        VerificationFailed: it does not come out as the block says.
    """
    at = _find(blocks, name)
    announcement = link.announcement(name)
    plan, parent = at.plan, at.block.block.provenance.parent_model
    if parent is None:
        raise NotFound(f"round {name} has no parent model")
    vectors: dict[Digest, bytes] = {}

    def fetch(found: Digest) -> bytes:
        if found not in vectors:
            vectors[found] = link.contribution(name, found)
        return vectors[found]

    package = Package(
        round_id=name,
        announcement=announcement.to_json(),
        fetched={step: link.fetch(name, step) for step in _steps(plan)},
        evidence=link.evidence(name),
        vectors=vectors,
        parent=link.model(parent),
    )
    _redo(package, at, fetch)
    return package


def replay(package: Package, *, blocks: Sequence[SignedBlock]) -> Opened:
    """Return what a round gives when it is redone, if that is what its block says.

    Args:
        package: what was kept of it.
        blocks: the whole ledger, verified.

    Raises:
        NotFound: the ledger has no such committed round.
        VerificationFailed: another sum, model or figure, or something is missing.
    """
    at = _find(blocks, package.round_id)

    def vector_of(found: Digest) -> bytes:
        if found not in package.vectors:
            raise VerificationFailed(
                f"the package lacks {found[:16]}…", step=STEP, height=at.height
            )
        return package.vectors[found]

    return _redo(package, at, vector_of)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A committed round on the ledger, and what was in force before it."""

    block: SignedBlock
    entry: RoundCommitted
    standing: Standing
    plan: Plan
    ceremony: Ceremony | None

    @property
    def height(self) -> int:
        return self.block.block.height


def _steps(plan: Plan) -> list[Step]:
    """Return the steps whose answers were alike for every member."""
    return [
        row.step
        for row in TABLE[plan.collection_mode]
        if row.does == "fetch" and row.step not in _PRIVATE
    ]


def _find(blocks: Sequence[SignedBlock], name: RoundId) -> _Place:
    standing = Standing()
    ceremonies: dict[Digest, Ceremony] = {}
    for signed in blocks:
        entry = signed.block.entry
        if isinstance(entry, RoundCommitted) and entry.round_id == name:
            if standing.plan is None:
                break
            plan = canonical.from_builtins(dict(standing.plan.plan), Plan)
            ceremony = ceremonies.get(Digest(plan.paillier_key))
            return _Place(
                block=signed,
                entry=entry,
                standing=standing,
                plan=plan,
                ceremony=ceremony,
            )
        if isinstance(entry, KeyCeremony):
            found = canonical.from_builtins(entry.record, Ceremony)
            ceremonies[found.fingerprint] = found
        standing.follow(signed, signed.block.hash)
    raise NotFound(f"no round {name} was committed on this ledger")


def _redo(package: Package, at: _Place, vector_of: VectorOf) -> Opened:
    try:
        opened = _open(package, at, vector_of)
    except VerificationFailed:
        raise
    except (InvalidInput, Refused) as error:
        raise VerificationFailed(str(error), step=STEP, height=at.height) from error
    except (LookupError, ValueError) as error:
        # parts that are each well formed and do not belong together
        raise VerificationFailed(
            f"the package contradicts itself: {error!r}", step=STEP, height=at.height
        ) from error
    block = at.block.block
    figures = opened.figures(int(block.aggregation_metrics["round"]))
    for what, found, wanted in (
        ("sum", opened.sum_digest, at.entry.sum_digest),
        ("model", opened.model_hash, block.model_hash),
        (
            "set of figures",
            sorted(figures),
            sorted(set(block.aggregation_metrics) - {"num_clients"}),
        ),
    ):
        if found != wanted:
            raise VerificationFailed(
                f"replay gives another {what}: {found}, want {wanted}",
                step=STEP,
                height=at.height,
            )
    for name, figure in figures.items():
        said = block.aggregation_metrics[name]
        if not math.isclose(figure, said, rel_tol=_TOLERANCE):
            raise VerificationFailed(
                f"replay gives {name} {figure}, the block says {said}",
                step=STEP,
                height=at.height,
            )
    return opened


def _open(package: Package, at: _Place, vector_of: VectorOf) -> Opened:
    parent = at.block.block.provenance.parent_model
    if parent is None or sha256(package.parent) != parent:
        raise InvalidInput("the package holds another parent model")
    announced = Envelope.from_json(package.announcement)
    announcement = canonical.decode(announced.payload, Announcement)
    if (announcement.round_id, announcement.parent_model, announcement.task) != (
        at.entry.round_id,
        parent,
        at.entry.task,
    ):
        raise InvalidInput("the package holds the announcement of another round")
    missing = sorted(set(_steps(at.plan)) - set(package.fetched))
    if missing:
        raise InvalidInput(f"the package lacks what was fetched in {missing}")
    evidence = wire.unpack_evidence(package.evidence)
    stated = by_organisation(evidence.contributions, ContributionStatement)
    given = {org: said.contribution_digest for org, (_, said) in stated.items()}
    if given != at.entry.contributions:
        raise InvalidInput("the package holds other contributions than the block names")
    me = at.entry.survivors[0]
    log = at.standing.log
    if log is None:
        raise InvalidInput("a ledger without a Genesis")
    dossier = Dossier(
        session=Session(
            me=me,
            announcement=announcement,
            plan=at.plan,
            made={Step.CONTRIBUTION: stated[me][0].to_json()},
            fetched=dict(package.fetched),
        ),
        announcement=announced,
        entropy=None,
        members={o: m.keys.identity for o, m in at.standing.members.items()},
        orchestrator=log.keys.identity,
        head=at.standing.last_hash,
        least=at.plan.min_survivors,
        ceremony=at.ceremony,
    )

    def checked(found: Digest) -> bytes:
        vector = vector_of(found)
        if sha256(vector) != found:
            raise InvalidInput(f"a vector does not hash to {found[:16]}…")
        return vector

    return mode_of(at.plan).replay(dossier, package.parent, evidence, checked)
