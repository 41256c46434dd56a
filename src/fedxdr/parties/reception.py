# SPDX-License-Identifier: Apache-2.0
"""What the orchestrator checks before it stores a message of a round.

Pure functions of the round's records and the bytes that came; each message must be
signed by the member it names, belong to this round and build on what was published. The
organisations check the orchestrator in checks.py.

Not here: whether the message comes too early, too late or twice (federation/rounds.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from fedxdr.core import canonical
from fedxdr.core.errors import (
    BadSignature,
    InvalidInput,
)
from fedxdr.core.ids import OrgId, RoundId, sha256
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation import messages, opening, wire
from fedxdr.federation.messages import (
    KeysMessage,
    ShareMessage,
    SurvivorSet,
    UnmaskingMessage,
)
from fedxdr.federation.rounds import (
    Kind,
    Round,
)
from fedxdr.ledger.statements import AcceptanceStatement, ContributionStatement
from fedxdr.parties.round_records import RoundRecords


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A message that may be stored.

    Attributes:
        message: the bytes to store.
        vector: of a contribution, else None.
        accepts: the verdict of an acceptance, else True.
    """

    message: bytes
    vector: bytes | None = None
    accepts: bool = True


def check(
    records: RoundRecords, round_: Round, kind: Kind, org: OrgId, body: bytes
) -> Checked:
    """Return a message that may be stored.

    Args:
        records: the rounds.
        round_: the one that the message is for.
        kind: what it is.
        org: who signed the request.
        body: the exact bytes.

    Raises:
        InvalidInput: the message is not what it should be.
    """
    match kind:
        case Kind.KEYS:
            _check_keys(records, round_, org, Envelope.from_json(body))
        case Kind.SHARES:
            _check_shares(records, round_, org, body)
        case Kind.CONTRIBUTION:
            return _check_contribution(records, round_, org, body)
        case Kind.SURVIVOR_SIGNATURE:
            mine = _open(records, Envelope.from_json(body), SurvivorSet, org)
            if mine != records.survivor_set(round_):
                raise InvalidInput("signed another survivor set than was asked")
        case Kind.UNMASKING:
            _check_unmasking(records, round_, org, Envelope.from_json(body))
        case Kind.ACCEPTANCE:
            accepts = _check_acceptance(records, round_, org, body)
            return Checked(message=body, accepts=accepts)
    return Checked(message=body)


def _check_keys(
    records: RoundRecords, round_: Round, org: OrgId, envelope: Envelope
) -> None:
    message = _open(records, envelope, KeysMessage, org)
    _same_round(round_, message.round_id, org, message.org)
    announced = sha256(records.announcement(message.round_id).payload)
    if message.announcement != announced:
        raise InvalidInput("answers another announcement")
    if not 0 <= message.sample_exponent <= round_.plan.max_weight_exponent:
        raise InvalidInput(f"sample exponent: 0 to {round_.plan.max_weight_exponent}")
    if (message.keys is None) != (round_.plan.collection_mode == "clear"):
        raise InvalidInput("round keys go with mode secagg, and only with it")


def _check_shares(
    records: RoundRecords, round_: Round, org: OrgId, body: bytes
) -> None:
    transcript = records.transcript(round_)
    recipients = []
    for envelope in wire.unpack_envelopes(body):
        message = _open(records, envelope, ShareMessage, org)
        _same_round(round_, message.round_id, org, message.mail.sender)
        if message.transcript != transcript:
            raise InvalidInput("shares for another key list")
        recipients.append(message.mail.recipient)
    if recipients != [o for o in round_.sent(Kind.KEYS) if o != org]:
        raise InvalidInput("one share message for each other organisation, in order")


def _check_contribution(
    records: RoundRecords, round_: Round, org: OrgId, body: bytes
) -> Checked:
    plan, announcement = round_.plan, round_.announcement
    task = announcement.task
    size = opening.vector_size(plan, task)
    contribution = wire.unpack_contribution(body, size=size)
    statement = _open(records, contribution.statement, ContributionStatement, org)
    _same_round(round_, statement.round_id, org, statement.org)
    if (statement.plan_digest, statement.parent_model) != (
        announcement.plan_digest,
        announcement.parent_model,
    ):
        raise InvalidInput("made under another plan or from another parent model")
    if statement.contribution_digest != opening.contribution_digest(
        contribution.vector
    ):
        raise InvalidInput("the statement is about another vector")
    if statement.privacy.mechanism != plan.privacy_mechanism:
        raise InvalidInput("claims another privacy mechanism than the plan")
    keys = records.keys(round_).get(org)
    if keys is not None and keys.sample_exponent != statement.sample_exponent:
        raise InvalidInput("another sample bucket than in the round keys")
    if plan.collection_mode == "clear":
        opening.screen(plan, task, contribution.vector)
    return Checked(message=contribution.statement.to_json(), vector=contribution.vector)


def _check_unmasking(
    records: RoundRecords, round_: Round, org: OrgId, envelope: Envelope
) -> None:
    message = _open(records, envelope, UnmaskingMessage, org)
    _same_round(round_, message.round_id, org, message.org)
    asked = records.survivor_set(round_)
    if message.survivor_set != sha256(canonical.encode(asked)):
        raise InvalidInput("answers another survivor set")
    if set(message.self_shares) != set(asked.survivors) or set(
        message.key_shares
    ) != set(asked.dropouts):
        raise InvalidInput(
            "one self share for each survivor, one key share for each drop-out"
        )


def _check_acceptance(
    records: RoundRecords, round_: Round, org: OrgId, body: bytes
) -> bool:
    statement = _open(records, Envelope.from_json(body), AcceptanceStatement, org)
    _same_round(round_, statement.round_id, org, statement.org)
    proposal = records.proposal(round_)
    if (
        statement.prev_hash,
        statement.parent_model,
        statement.model_hash,
        statement.sum_digest,
        statement.contributions_root,
    ) != (
        proposal.prev_hash,
        proposal.parent_model,
        proposal.model_hash,
        proposal.sum_digest,
        proposal.contributions_root,
    ):
        raise InvalidInput("a statement about another proposal")
    return statement.verdict == "accepted"


def _open(
    records: RoundRecords, envelope: Envelope, type_: type[messages.M], org: OrgId
) -> messages.M:
    return messages.open_from(
        envelope, type_, org=org, members=records.recorder.in_force.identities
    )


def _same_round(round_: Round, round_id: RoundId, org: OrgId, said: OrgId) -> None:
    if round_id != round_.announcement.round_id:
        raise InvalidInput(f"a message of round {round_id}")
    if said != org:
        raise BadSignature(f"{org} signed a message in the name of {said}")
