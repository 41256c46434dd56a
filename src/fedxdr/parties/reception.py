# SPDX-License-Identifier: Apache-2.0
"""What the orchestrator checks before it stores a message, alike in every mode.

Pure functions of the round's records and the bytes that came; each message must be
signed by the member it names, belong to this round and build on what was published. The
organisations check the orchestrator in checks.py; what only one mode knows is in
collecting/.

Not here: whether the message comes too early, too late or twice (federation/rounds.py).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fedxdr.core.errors import BadSignature, InvalidInput
from fedxdr.core.ids import Digest, OrgId, RoundId, sha256
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.exchange import check_public
from fedxdr.federation import messages, opening, wire
from fedxdr.federation.messages import KeysMessage
from fedxdr.federation.phases import Kind
from fedxdr.federation.plan import MODES_WITHOUT_WEIGHTS
from fedxdr.federation.protection import check_claim
from fedxdr.federation.rounds import Round
from fedxdr.ledger.statements import AcceptanceStatement, ContributionStatement
from fedxdr.parties.auditing import is_under_report
from fedxdr.parties.privacy_views import charges_on_ledger
from fedxdr.parties.round_records import RoundRecords
from fedxdr.privacy import accountant


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A message that the orchestrator may store.

    Attributes:
        message: the bytes to store.
        vector: what goes to the blobs beside it, else None.
        accepts: the verdict of an acceptance, else True.
        excludes: whose contribution cannot be in the sum, says the sender.
    """

    message: bytes
    vector: bytes | None = None
    accepts: bool = True
    excludes: tuple[OrgId, ...] = ()


def take_keys(records: RoundRecords, round_: Round, org: OrgId, body: bytes) -> Checked:
    """Check how an organisation joins a round.

    Raises:
        InvalidInput: another announcement, a bucket out of range, keys that cannot be
            agreed with, missing or not wanted.
    """
    message = open_from(records, Envelope.from_json(body), KeysMessage, org)
    same_round(round_, message.round_id, org, message.org)
    same_announcement(records, round_, message.announcement)
    if not 0 <= message.sample_exponent <= round_.plan.max_weight_exponent:
        raise InvalidInput(f"sample exponent: 0 to {round_.plan.max_weight_exponent}")
    if (message.keys is None) != (round_.plan.collection_mode == "clear"):
        raise InvalidInput("round keys go with mode secagg, and only with it")
    if message.keys is not None:
        # found here it costs its sender the round; found later, everybody
        check_public(message.keys.channel)
        check_public(message.keys.mask)
    return Checked(message=body)


def take_contribution(
    records: RoundRecords,
    round_: Round,
    org: OrgId,
    body: bytes,
    *,
    size_bytes: int,
    is_exact: bool = True,
    takes_mail: bool = False,
) -> Checked:
    """Check a contribution's statement against round, plan and the bytes beside it.

    Args:
        records: the rounds.
        round_: the one that it is for.
        org: who signed the request.
        body: CBOR, ``wire.pack_contribution``.
        size_bytes: length that the protected vector must have.
        is_exact: whether exactly that; else at most.
        takes_mail: whether further messages go with it.

    Raises:
        InvalidInput: the contribution is not what it should be.
    """
    plan, announcement = round_.plan, round_.announcement
    contribution = wire.unpack_contribution(
        body, size_bytes=size_bytes, is_exact=is_exact
    )
    statement = open_from(records, contribution.statement, ContributionStatement, org)
    same_round(round_, statement.round_id, org, statement.org)
    if (statement.plan_digest, statement.parent_model) != (
        announcement.plan_digest,
        announcement.parent_model,
    ):
        raise InvalidInput("made under another plan or from another parent model")
    if statement.contribution_digest != opening.contribution_digest(
        contribution.vector
    ):
        raise InvalidInput("the statement is about another vector")
    check_claim(statement.privacy, plan.privacy, clip_norm=plan.clip_norm)
    _check_spent(records, round_, statement)
    bucket = _bucket_of(records, round_, org)
    if bucket is not None and statement.sample_exponent != bucket:
        raise InvalidInput("another sample bucket than in the round keys")
    if contribution.mail and not takes_mail:
        raise InvalidInput("a contribution has no mail beside it in this mode")
    return Checked(message=wire.pack_stored(contribution), vector=contribution.vector)


def _check_spent(
    records: RoundRecords, round_: Round, statement: ContributionStatement
) -> None:
    """Refuse a claim below what the ledger and this round amount to.

    Once on the ledger it would make the whole ledger fail its verification.
    """
    plan = round_.plan
    if not plan.privacy.is_on:
        return
    recorder = records.recorder
    # the ledger does not grow while a round collects
    on_ledger = records.once(
        round_,
        "charges",
        Kind.ACCEPTANCE,
        lambda: charges_on_ledger(recorder.blocks(begin=0, end=recorder.size())),
    )
    before = on_ledger.get(statement.org, {})
    charges = Counter({c: n for c, n in before.items() if c.unit == plan.privacy.unit})
    charges[plan.privacy.charge] += 1
    spent = accountant.epsilon(charges, delta=plan.privacy.delta)
    if is_under_report(statement.privacy, spent):
        raise InvalidInput(
            f"claims epsilon {statement.privacy.epsilon}; with what is on the ledger "
            f"it amounts to {spent:.4g}"
        )


def _bucket_of(records: RoundRecords, round_: Round, org: OrgId) -> int | None:
    """Return the bucket that an organisation joined with, 0 in modes without weights.

    None for one that has not joined: it is refused as not awaited.
    """
    if round_.plan.collection_mode in MODES_WITHOUT_WEIGHTS:
        return 0
    keys = records.keys(round_).get(org)
    return None if keys is None else keys.sample_exponent


def take_acceptance(
    records: RoundRecords, round_: Round, org: OrgId, body: bytes
) -> Checked:
    """Check an organisation's statement about the proposal that was made.

    Raises:
        InvalidInput: it speaks of another one.
    """
    statement = open_from(records, Envelope.from_json(body), AcceptanceStatement, org)
    same_round(round_, statement.round_id, org, statement.org)
    proposal = records.proposal(round_)
    announcement = round_.announcement
    for said, wanted in (
        (statement.task, announcement.task),
        (statement.plan_digest, announcement.plan_digest),
        (statement.builder, records.recorder.in_force.orchestrator.fingerprint),
        (statement.prev_hash, proposal.prev_hash),
        (statement.parent_model, proposal.parent_model),
        (statement.model_hash, proposal.model_hash),
        (statement.sum_digest, proposal.sum_digest),
        (statement.contributions, proposal.contributions),
        (statement.contributions_root, proposal.contributions_root),
        (statement.data_volume, proposal.data_volume),
        (statement.privacy_params, proposal.privacy_params),
        (statement.figures, proposal.figures),
    ):
        if said != wanted:
            raise InvalidInput("a statement about another proposal")
    return Checked(message=body, accepts=statement.verdict == "accepted")


def open_from(
    records: RoundRecords, envelope: Envelope, type_: type[messages.M], org: OrgId
) -> messages.M:
    """Return the message inside, if that member signed it."""
    return messages.open_from(
        envelope, type_, org=org, members=records.recorder.in_force.identities
    )


def same_round(round_: Round, round_id: RoundId, org: OrgId, said: OrgId) -> None:
    """Return if a message is of this round and in its sender's own name."""
    if round_id != round_.announcement.round_id:
        raise InvalidInput(f"a message of round {round_id}")
    if said != org:
        raise BadSignature(f"{org} signed a message in the name of {said}")


def same_announcement(records: RoundRecords, round_: Round, said: Digest) -> None:
    """Return if a message answers the announcement that was made of this round."""
    if said != sha256(records.announcement(round_.announcement.round_id).payload):
        raise InvalidInput("answers another announcement")
