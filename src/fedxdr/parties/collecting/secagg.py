# SPDX-License-Identifier: Apache-2.0
"""Mode ``secagg``: masks that cancel in the sum, drop-outs recovered by shares.

The organisation's answers and the orchestrator's gifts around secagg/client.py and
secagg/server.py. What the organisation checks is in parties/checks.py.

Rules that always hold: see parties/checks.py; and on one parent model one survivor set
is signed for opening and no other (statistics: under one layout), because the
difference of two sums would show one update.

Source: Bonawitz et al. 2017, figure 4, with signed sets.
"""

from __future__ import annotations

from collections.abc import Callable

from fedxdr.core import canonical
from fedxdr.core.errors import InvalidInput, UnknownSender
from fedxdr.core.ids import Digest, OrgId, sha256
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation import messages, opening, wire
from fedxdr.federation.messages import ShareMessage, UnmaskingMessage
from fedxdr.federation.phases import Kind
from fedxdr.federation.rounds import Round
from fedxdr.federation.sessions import Step
from fedxdr.federation.wire import Evidence
from fedxdr.parties import checks, reception
from fedxdr.parties.collecting import accepting, contributing, survivors
from fedxdr.parties.collecting.mode import Desk, Mode
from fedxdr.parties.dossier import Dossier
from fedxdr.parties.reception import Checked
from fedxdr.parties.round_records import RoundRecords
from fedxdr.secagg import client, packing
from fedxdr.secagg.stages import Roster


def _size_bytes(records: RoundRecords, round_: Round) -> int:
    del records
    return opening.masked_bytes(round_.plan, round_.announcement.task)


# The organisation.


def _make_keys(desk: Desk, dossier: Dossier) -> bytes:
    return contributing.join(desk, dossier, keys=dossier.secrets.round_keys)


def _make_shares(desk: Desk, dossier: Dossier) -> bytes:
    transcript = dossier.transcript
    return wire.pack_envelopes(
        [
            messages.sign(
                ShareMessage(
                    round_id=dossier.session.announcement.round_id,
                    transcript=transcript,
                    mail=mail,
                ),
                desk.identity,
            )
            for mail in client.make_mail(dossier.membership)
        ]
    )


def _make_contribution(desk: Desk, dossier: Dossier) -> bytes:
    def masked() -> bytes:
        weight = opening.effective_weights(dossier.plan, dossier.key_list)
        words = contributing.quantised(desk, dossier, weights_of=weight)
        vector = client.mask(dossier.membership, dossier.opened_mail, words)
        return packing.pack(vector, width=opening.upload_width(dossier.plan))

    return contributing.state(
        desk,
        dossier,
        contribution=contributing.once(desk, dossier, masked),
        sample_exponent=dossier.key_list[desk.me].sample_exponent,
    ).to_json()


def _make_unmasking(desk: Desk, dossier: Dossier) -> bytes:
    answer = client.answer_unmasking(
        dossier.membership, dossier.opened_mail, dossier.partition
    )
    message = UnmaskingMessage(
        round_id=dossier.session.announcement.round_id,
        org=desk.me,
        survivor_set=sha256(canonical.encode(dossier.survivor_set)),
        self_shares=dict(answer.self_shares),
        key_shares=dict(answer.key_shares),
    )
    desk.fence.hold(f"{message.round_id}/unmasking", sha256(canonical.encode(message)))
    return messages.sign(message, desk.identity).to_json()


def _replay(
    dossier: Dossier,
    parent: bytes,
    evidence: Evidence,
    vector_of: Callable[[Digest], bytes],
) -> opening.Opened:
    members = dossier.members
    contributions = survivors.stated(dossier, evidence)
    asked = dossier.survivor_set
    if contributions != asked.contributions:
        raise InvalidInput("other contributions than the signed survivor set names")
    return opening.open_masked(
        plan=dossier.plan,
        task=dossier.session.announcement.task,
        parent=parent,
        keys=dossier.key_list,
        survivor_set=asked,
        answers=dict(
            messages.open_by_sender(envelope, UnmaskingMessage, members=members)
            for envelope in evidence.answers
        ),
        shares=[
            messages.open_by_sender(envelope, ShareMessage, members=members)[1]
            for envelope in evidence.shares
        ],
        vector_of=lambda org: vector_of(contributions[org]),
    )


# The orchestrator.


def _roster(records: RoundRecords, round_: Round) -> Roster:
    return records.once(
        round_,
        "roster",
        Kind.KEYS,
        lambda: opening.roster_of(
            round_.plan, records.keys(round_), records.transcript(round_)
        ),
    )


def _take_shares(
    records: RoundRecords, round_: Round, org: OrgId, body: bytes
) -> Checked:
    transcript = records.transcript(round_)
    recipients = []
    for envelope in wire.unpack_envelopes(body):
        message = reception.open_from(records, envelope, ShareMessage, org)
        reception.same_round(round_, message.round_id, org, message.mail.sender)
        if message.transcript != transcript:
            raise InvalidInput("shares for another key list")
        recipients.append(message.mail.recipient)
    near = _roster(records, round_).neighbours.get(org)
    if near is None:
        raise UnknownSender(f"{org} sent no keys in this round")
    if recipients != sorted(near):
        raise InvalidInput("one share message for each neighbour, in order")
    return Checked(message=body)


def _take_contribution(
    records: RoundRecords, round_: Round, org: OrgId, body: bytes
) -> Checked:
    size_bytes = _size_bytes(records, round_)
    return reception.take_contribution(
        records, round_, org, body, size_bytes=size_bytes
    )


def _take_unmasking(
    records: RoundRecords, round_: Round, org: OrgId, body: bytes
) -> Checked:
    message = reception.open_from(
        records, Envelope.from_json(body), UnmaskingMessage, org
    )
    reception.same_round(round_, message.round_id, org, message.org)
    asked = records.survivor_set(round_)
    if message.survivor_set != sha256(canonical.encode(asked)):
        raise InvalidInput("answers another survivor set")
    near = set(_roster(records, round_).holders(org))
    if set(message.self_shares) != near & set(asked.survivors) or set(
        message.key_shares
    ) != near & set(asked.dropouts):
        raise InvalidInput(
            "one self share for each survivor, one key share for each drop-out"
        )
    return Checked(message=body)


def _give_mail(records: RoundRecords, round_: Round, org: OrgId) -> bytes:
    return wire.pack_envelopes(
        [mail[org] for mail in records.shares(round_).values() if org in mail]
    )


def _evidence(records: RoundRecords, round_: Round) -> Evidence:
    apart = set(round_.dropouts)
    # only mail between a survivor and a drop-out holds salts that are needed
    shares = [
        envelope
        for sender, mail in records.shares(round_).items()
        for recipient, envelope in mail.items()
        if (sender in apart) != (recipient in apart)
    ]
    return Evidence(
        contributions=tuple(records.envelopes(round_, Kind.CONTRIBUTION).values()),
        shares=tuple(shares),
        answers=tuple(records.envelopes(round_, Kind.UNMASKING).values()),
    )


def _reopen(records: RoundRecords, round_: Round) -> opening.Opened:
    digests = records.contributions(round_)
    return opening.open_masked(
        plan=round_.plan,
        task=round_.announcement.task,
        parent=records.blobs.get(round_.announcement.parent_model),
        keys=records.keys(round_),
        survivor_set=records.survivor_set(round_),
        answers={
            org: canonical.decode(envelope.payload, UnmaskingMessage)
            for org, envelope in records.envelopes(round_, Kind.UNMASKING).items()
        },
        shares=(
            canonical.decode(envelope.payload, ShareMessage)
            for mail in records.shares(round_).values()
            for envelope in mail.values()
        ),
        vector_of=lambda org: records.blobs.get(digests[org]),
    )


MODE = Mode(
    makers={
        Step.KEYS: _make_keys,
        Step.SHARES: _make_shares,
        Step.CONTRIBUTION: _make_contribution,
        Step.SURVIVOR_SIGNATURE: survivors.sign,
        Step.UNMASKING: _make_unmasking,
        Step.ACCEPTANCE: accepting.maker(_replay),
    },
    checks=checks.CHECKS,
    attached={Step.CONTRIBUTION: lambda dossier: dossier.mine.contribution_digest},
    size_bytes=_size_bytes,
    takes={
        Kind.KEYS: reception.take_keys,
        Kind.SHARES: _take_shares,
        Kind.CONTRIBUTION: _take_contribution,
        Kind.SURVIVOR_SIGNATURE: survivors.take_signature,
        Kind.UNMASKING: _take_unmasking,
        Kind.ACCEPTANCE: reception.take_acceptance,
    },
    gives={
        Step.KEY_LIST: survivors.give_keys,
        Step.MAIL: _give_mail,
        Step.SURVIVOR_SET: survivors.give_set,
        Step.QUORUM: survivors.give_signatures,
    },
    evidence=_evidence,
    reopen=_reopen,
    replay=_replay,
)
