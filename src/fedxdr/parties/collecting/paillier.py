# SPDX-License-Identifier: Apache-2.0
"""Mode ``paillier``: ciphertexts are summed, a quorum of organisations decrypts once.

Around secagg/encrypted/: who signs what, and what is checked before it is believed.
The key is on the ledger (``KeyCeremony``), the plan names it, and everyone in the
cohort holds a share.

Rules that always hold:
    1. Nobody uploads before the set of commitments is closed, so nobody can choose its
       ciphertexts after another's; each upload proves that its sender knows what is in
       it, for this round and under its own name.
    2. Whoever decrypts recomputes the product itself, from the signed survivors'
       ciphertexts that match their commitments, and answers for one product a round and
       one set per parent model, bound before it is sent.
    3. The orchestrator holds no share; a member accepts only what the product carries.

Source: secagg/encrypted/; Damgard and Jurik 2001, section 5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection

import numpy as np

from fedxdr.core import canonical
from fedxdr.core.errors import (
    BelowFloor,
    InvalidInput,
    InvalidShare,
    TooFewParticipants,
    WrongPhase,
)
from fedxdr.core.ids import Digest, OrgId, sha256
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.expand import hkdf
from fedxdr.federation import messages, opening, wire
from fedxdr.federation.messages import (
    Announcement,
    CommitmentMessage,
    PartialMessage,
    SurvivorSet,
)
from fedxdr.federation.phases import Kind, Phase
from fedxdr.federation.plan import Plan
from fedxdr.federation.rounds import Round
from fedxdr.federation.sessions import Step
from fedxdr.federation.wire import Evidence
from fedxdr.parties import checks, reception
from fedxdr.parties.collecting import accepting, contributing, survivors
from fedxdr.parties.collecting.mode import Desk, Mode
from fedxdr.parties.dossier import Dossier
from fedxdr.parties.reception import Checked
from fedxdr.parties.round_records import RoundRecords
from fedxdr.secagg.encrypted import contributing as encrypting
from fedxdr.secagg.encrypted import knowledge
from fedxdr.secagg.encrypted import opening as decrypting
from fedxdr.secagg.encrypted.ceremony import Ceremony
from fedxdr.secagg.encrypted.stages import (
    Opening,
    PartialDecryption,
    Product,
    Terms,
    Upload,
    commit,
)

_ENCRYPTION_LABEL = "fedxdr/paillier/encryption-seed/v1"
_ANSWER_LABEL = "fedxdr/paillier/answer-seed/v1"
_TERMS_LABEL = b"fedxdr/paillier/round/v1\x00"


def _terms(
    ceremony: Ceremony | None, plan: Plan, announcement: Announcement, announced: Digest
) -> Terms:
    """Return what all agree on before anyone encrypts.

    Raises:
        BelowFloor: the plan's key is not on the ledger, somebody who is announced holds
            no share of it, or more shares open it than the plan's threshold.
    """
    if ceremony is None:
        raise BelowFloor("the plan's decryption key is not on the ledger")
    key = ceremony.key
    without = sorted(set(announcement.cohort) - set(key.holders))
    if without:
        raise BelowFloor(
            f"{', '.join(without)} hold no share of the plan's key: hold another "
            "ceremony with everyone"
        )
    if plan.threshold < key.threshold:
        raise BelowFloor(
            f"{key.threshold} shares open the plan's key, its threshold is "
            f"{plan.threshold}"
        )
    if plan.assumed_colluders >= key.threshold:
        raise BelowFloor(
            f"{plan.assumed_colluders} colluders could decrypt by themselves: "
            f"{key.threshold} shares open the plan's key"
        )
    return Terms(
        key=key,
        transcript=bytes.fromhex(sha256(_TERMS_LABEL, announced.encode())),
        contributors=announcement.cohort,
        min_survivors=plan.min_survivors,
        size=opening.vector_size(plan, announcement.task),
        bits=plan.quantisation_bits,
    )


def _pack(upload: Upload) -> bytes:
    """Return an upload as one byte string: proof, of fixed length, and ciphertexts."""
    return upload.proof + upload.ciphertexts


def _unpack(terms: Terms, sender: OrgId, data: bytes) -> Upload:
    begin = knowledge.proof_bytes(terms.key.encryption)
    return Upload(sender=sender, proof=data[:begin], ciphertexts=data[begin:])


# The organisation.


def _terms_of(dossier: Dossier) -> Terms:
    return dossier.workings.once(
        "terms",
        dossier.announcement.payload,
        lambda: _terms(
            dossier.ceremony,
            dossier.plan,
            dossier.session.announcement,
            dossier.announced,
        ),
    )


def _make_commitment(desk: Desk, dossier: Dossier) -> bytes:
    terms = _terms_of(dossier)
    if dossier.ceremony is not None:
        # whoever cannot decrypt later finds out before it trains
        desk.share_of(dossier.ceremony)

    def encrypted() -> bytes:
        words = contributing.quantised(
            desk, dossier, weights_of=contributing.equal_weights(dossier)
        )
        seed = hkdf(dossier.secret_entropy, label=_ENCRYPTION_LABEL)
        return _pack(
            encrypting.encrypt_update(terms, desk.me, words, seed=seed, run=desk.run)
        )

    contribution = contributing.once(desk, dossier, encrypted)
    upload = _unpack(terms, desk.me, desk.blobs.get(contribution))
    message = CommitmentMessage(
        round_id=dossier.session.announcement.round_id,
        org=desk.me,
        announcement=dossier.announced,
        commitment=commit(terms, upload),
        contribution=contribution,
        head=desk.newest_head().decode(),
    )
    return messages.sign(message, desk.identity).to_json()


def _committed(dossier: Dossier) -> dict[OrgId, Digest]:
    """Return the commitment of everyone in the closed set."""
    data = dossier.session.fetched[Step.COMMITTED_SET]
    found = (
        canonical.decode(envelope.payload, CommitmentMessage)
        for envelope in wire.unpack_envelopes(data)
    )
    return {message.org: message.commitment for message in found}


def _own(dossier: Dossier) -> CommitmentMessage:
    mine = Envelope.from_json(dossier.session.made[Step.COMMITMENT])
    return canonical.decode(mine.payload, CommitmentMessage)


def check_committed(dossier: Dossier, body: bytes) -> None:
    """Return if we may upload into this closed set.

    Raises:
        BadSignature: a commitment not signed by the member it names.
        InvalidInput: names twice, out of order or outside the cohort; another
            commitment than ours under our name; an answer to another announcement.
        WrongPhase: we are not in it: our commitment came too late.
        TooFewParticipants: fewer than a sum needs.
    """
    names = []
    for envelope in wire.unpack_envelopes(body):
        org, message = messages.open_by_sender(
            envelope, CommitmentMessage, members=dossier.members
        )
        if message.announcement != dossier.announced:
            raise InvalidInput(f"{org} answers another announcement")
        if org == dossier.me and message != _own(dossier):
            raise InvalidInput("the set holds another commitment than ours")
        names.append(org)
    if names != sorted(set(names)):
        raise InvalidInput("the committed set is not in order, each once")
    if not set(names) <= set(dossier.session.announcement.cohort):
        raise InvalidInput("the committed set holds names outside the cohort")
    if dossier.me not in names:
        raise WrongPhase("our commitment came too late for the closed set")
    if len(names) < dossier.fewest:
        raise TooFewParticipants(
            f"{len(names)} commitments; {dossier.fewest} are needed"
        )


def _make_contribution(desk: Desk, dossier: Dossier) -> bytes:
    return contributing.state(
        desk, dossier, contribution=_own(dossier).contribution, sample_exponent=0
    ).to_json()


def check_set(dossier: Dossier, body: bytes) -> None:
    """Return if the set may be signed for decryption.

    Raises:
        BadSignature: not signed by the orchestrator.
        InvalidInput: another round or closed set; no partition of it; another
            contribution than ours under our name.
        WrongPhase: we are not in it: our upload came too late.
        TooFewParticipants: a sum of too few.
    """
    asked = messages.open_signed(
        Envelope.from_json(body), SurvivorSet, by=dossier.orchestrator
    )
    everyone = sorted((*asked.survivors, *asked.dropouts))
    if everyone != sorted(_committed(dossier)):
        raise InvalidInput("the set is no partition of those who committed")
    checks.check_asked(dossier, asked)


def _product(
    dossier: Dossier, vector_of: Callable[[Digest], bytes], *, survivors: SurvivorSet
) -> Product:
    """Return the product that we recomputed from everyone's ciphertexts."""
    terms = _terms_of(dossier)
    return dossier.workings.once(
        "product",
        canonical.encode(survivors),
        lambda: encrypting.product(
            terms,
            (
                _unpack(terms, org, vector_of(survivors.contributions[org]))
                for org in survivors.survivors
            ),
            survivors=survivors.survivors,
            commitments=_committed(dossier),
        ),
    )


def _make_answer(desk: Desk, dossier: Dossier) -> bytes:
    round_id = dossier.session.announcement.round_id
    if dossier.ceremony is None:
        raise BelowFloor("the plan's decryption key is not on the ledger")
    terms, share = _terms_of(dossier), desk.share_of(dossier.ceremony)
    product = _product(
        dossier,
        lambda digest: desk.vector(round_id, digest),
        survivors=dossier.survivor_set,
    )
    digest = product.digest(terms)
    # bound before it leaves
    desk.fence.hold(f"{round_id}/unmasking", digest)
    partial = decrypting.partial_decrypt(
        terms,
        share,
        product,
        seed=hkdf(dossier.secret_entropy, label=_ANSWER_LABEL),
        run=desk.run,
    )
    message = PartialMessage(
        round_id=round_id,
        org=desk.me,
        product=digest,
        values=desk.blobs.put(partial.values),
        proof=partial.proof,
    )
    return messages.sign(message, desk.identity).to_json()


def _answer_digest(dossier: Dossier) -> Digest:
    envelope = Envelope.from_json(dossier.session.made[Step.UNMASKING])
    return canonical.decode(envelope.payload, PartialMessage).values


def _replay(
    dossier: Dossier,
    parent: bytes,
    evidence: Evidence,
    vector_of: Callable[[Digest], bytes],
) -> opening.Opened:
    asked = dossier.survivor_set
    if survivors.stated(dossier, evidence) != asked.contributions:
        raise InvalidInput("other contributions than the signed survivor set names")
    proposed = dossier.proposal.sum_digest
    if evidence.proof is None:
        raise InvalidInput("nothing shows that the sum is what the product carries")
    total = np.frombuffer(vector_of(proposed), dtype="<i8")
    opened = Opening(total=total.astype(np.int32), roots=vector_of(evidence.proof))
    product = _product(dossier, vector_of, survivors=asked)
    decrypting.check_opening(_terms_of(dossier), product, opened)
    return opening.open_equal(
        plan=dossier.plan,
        task=dossier.session.announcement.task,
        parent=parent,
        total=opened.total,
        survivors=len(asked.survivors),
    )


# The orchestrator.


def _agreed(records: RoundRecords, round_: Round) -> Terms:
    key = Digest(round_.plan.paillier_key)
    return _terms(
        records.recorder.in_force.ceremonies.get(key),
        round_.plan,
        round_.announcement,
        sha256(records.announcement(round_.announcement.round_id).payload),
    )


def _size_bytes(records: RoundRecords, round_: Round) -> int:
    terms = _agreed(records, round_)
    return knowledge.proof_bytes(terms.key.encryption) + terms.upload_bytes


def _commitments(records: RoundRecords, round_: Round) -> dict[OrgId, Digest]:
    return {
        org: canonical.decode(envelope.payload, CommitmentMessage).commitment
        for org, envelope in records.envelopes(round_, Kind.COMMITMENT).items()
    }


def _take_commitment(
    records: RoundRecords, round_: Round, org: OrgId, body: bytes
) -> Checked:
    message = reception.open_from(
        records, Envelope.from_json(body), CommitmentMessage, org
    )
    reception.same_round(round_, message.round_id, org, message.org)
    reception.same_announcement(records, round_, message.announcement)
    return Checked(message=body)


def _take_contribution(
    records: RoundRecords, round_: Round, org: OrgId, body: bytes
) -> Checked:
    checked = reception.take_contribution(
        records, round_, org, body, size_bytes=_size_bytes(records, round_)
    )
    terms = _agreed(records, round_)
    upload = _unpack(terms, org, checked.vector or b"")
    if _commitments(records, round_).get(org) != commit(terms, upload):
        raise InvalidInput("another upload than the one that was committed to")
    encrypting.verify_upload(terms, upload)
    return checked


def _made_product(records: RoundRecords, round_: Round) -> Product:
    terms, committed = _agreed(records, round_), _commitments(records, round_)
    uploads = records.contributions(round_)
    return records.once(
        round_,
        "product",
        Kind.CONTRIBUTION,
        lambda: encrypting.product(
            terms,
            (
                _unpack(terms, org, records.blobs.get(digest))
                for org, digest in uploads.items()
            ),
            survivors=round_.survivors,
            commitments=committed,
            # each was verified when it arrived
            verified=set(committed.values()),
        ),
    )


def _take_answer(
    records: RoundRecords, round_: Round, org: OrgId, body: bytes
) -> Checked:
    terms, product = _agreed(records, round_), _made_product(records, round_)
    size_bytes = terms.slots.count * terms.key.encryption.element_bytes
    answer = wire.unpack_contribution(body, size_bytes=size_bytes)
    message = reception.open_from(records, answer.statement, PartialMessage, org)
    reception.same_round(round_, message.round_id, org, message.org)
    if message.product != product.digest(terms):
        raise InvalidInput("a partial decryption of another product")
    if message.values != sha256(answer.vector):
        raise InvalidInput("another answer than the one that was signed")
    try:
        decrypting.verify_partial(
            terms,
            product,
            PartialDecryption(holder=org, values=answer.vector, proof=message.proof),
        )
    except InvalidShare as error:
        raise InvalidInput(str(error)) from error
    return Checked(message=answer.statement.to_json(), vector=answer.vector)


def _give_committed(records: RoundRecords, round_: Round, org: OrgId) -> bytes:
    del org
    return wire.pack_envelopes(
        list(records.envelopes(round_, Kind.COMMITMENT).values())
    )


def _answers(records: RoundRecords, round_: Round) -> list[PartialMessage]:
    return [
        canonical.decode(envelope.payload, PartialMessage)
        for envelope in records.envelopes(round_, Kind.UNMASKING).values()
    ]


def _shows(records: RoundRecords, round_: Round) -> Collection[Digest]:
    """Ciphertexts once the set is signed, for decryptors; sum and proof once open."""
    if round_.opened is not None:
        shown = {*records.contributions(round_).values(), round_.opened.sum_digest}
        return shown if round_.opened.proof is None else {*shown, round_.opened.proof}
    if round_.phase is Phase.SURVIVORS:
        return records.contributions(round_).values()
    return ()


def _evidence(records: RoundRecords, round_: Round) -> Evidence:
    return Evidence(
        contributions=tuple(records.envelopes(round_, Kind.CONTRIBUTION).values()),
        shares=(),
        answers=tuple(records.envelopes(round_, Kind.UNMASKING).values()),
        proof=None if round_.opened is None else round_.opened.proof,
    )


def _reopen(records: RoundRecords, round_: Round) -> opening.Opened:
    opened = decrypting.combine(
        _agreed(records, round_),
        _made_product(records, round_),
        (
            PartialDecryption(
                holder=answer.org,
                values=records.blobs.get(answer.values),
                proof=answer.proof,
            )
            for answer in _answers(records, round_)
        ),
    )
    made = opening.open_equal(
        plan=round_.plan,
        task=round_.announcement.task,
        parent=records.blobs.get(round_.announcement.parent_model),
        total=opened.total,
        survivors=len(round_.survivors),
    )
    return dataclasses.replace(made, proof=opened.roots)


MODE = Mode(
    makers={
        Step.COMMITMENT: _make_commitment,
        Step.CONTRIBUTION: _make_contribution,
        Step.SURVIVOR_SIGNATURE: survivors.sign,
        Step.UNMASKING: _make_answer,
        Step.ACCEPTANCE: accepting.maker(_replay),
    },
    checks={
        Step.COMMITTED_SET: check_committed,
        Step.SURVIVOR_SET: check_set,
        Step.QUORUM: checks.check_quorum,
        Step.PROPOSAL: checks.check_proposal,
    },
    attached={
        Step.CONTRIBUTION: lambda dossier: dossier.mine.contribution_digest,
        Step.UNMASKING: _answer_digest,
    },
    size_bytes=_size_bytes,
    takes={
        Kind.COMMITMENT: _take_commitment,
        Kind.CONTRIBUTION: _take_contribution,
        Kind.SURVIVOR_SIGNATURE: survivors.take_signature,
        Kind.UNMASKING: _take_answer,
        Kind.ACCEPTANCE: reception.take_acceptance,
    },
    gives={
        Step.COMMITTED_SET: _give_committed,
        Step.SURVIVOR_SET: survivors.give_set,
        Step.QUORUM: survivors.give_signatures,
    },
    shows=_shows,
    evidence=_evidence,
    reopen=_reopen,
    replay=_replay,
)
