# SPDX-License-Identifier: Apache-2.0
"""Mode ``committee``: one upload each; helpers answer once; drop-outs cost nothing.

Around secagg/committee.py: who signs what, and what is checked before it is believed.
The plan names the helpers, so everybody has agreed to them by name.

Rules that always hold:
    1. Helpers' keys and organisations' headers count under their own signatures only.
    2. A helper answers for one set on one parent model, which the orchestrator signed,
       of members whose seeds it opened itself, and remembers it across restarts.
    3. A member accepts only what masked vectors and helpers' signed answers sum to, its
       own vector among them. That a helper told the truth nobody can see.

Source: secagg/committee.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from fedxdr.core import canonical
from fedxdr.core.errors import InvalidInput, WrongPhase
from fedxdr.core.ids import Digest, OrgId, sha256
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.exchange import check_public
from fedxdr.federation import messages, opening, wire
from fedxdr.federation.messages import (
    HeaderMessage,
    HelperAnswerMessage,
    HelperKeysMessage,
    SurvivorSet,
    VettingMessage,
)
from fedxdr.federation.phases import Kind
from fedxdr.federation.plan import Plan, Task
from fedxdr.federation.rounds import Round
from fedxdr.federation.sessions import Step
from fedxdr.federation.wire import Evidence
from fedxdr.parties import checks, reception
from fedxdr.parties.collecting import accepting, contributing, survivors
from fedxdr.parties.collecting.mode import Desk, Mode, opened_contributions
from fedxdr.parties.dossier import Dossier
from fedxdr.parties.reception import Checked
from fedxdr.parties.round_records import RoundRecords
from fedxdr.secagg import committee
from fedxdr.secagg.committee_stages import (
    Committee,
    HelperAnswer,
    HelperKey,
    Included,
)


def _committee(
    plan: Plan,
    cohort: tuple[OrgId, ...],
    keys: dict[OrgId, HelperKey],
    transcript: Digest,
) -> Committee:
    return Committee(
        helpers={org: keys[org] for org in sorted(keys)},
        contributors=cohort,
        transcript=bytes.fromhex(transcript),
        min_survivors=plan.min_survivors,
        width=opening.upload_width(plan),
    )


def _size_bytes(records: RoundRecords, round_: Round) -> int:
    del records
    return opening.masked_bytes(round_.plan, round_.announcement.task)


# The organisation.


def _committee_of(dossier: Dossier, key_list: bytes | None = None) -> Committee:
    body = dossier.session.fetched[Step.KEY_LIST] if key_list is None else key_list

    def read() -> Committee:
        keys = {}
        for envelope in wire.unpack_envelopes(body):
            message = canonical.decode(envelope.payload, HelperKeysMessage)
            keys[message.org] = message.key
        return _committee(
            dossier.plan,
            dossier.session.announcement.cohort,
            keys,
            dossier.transcript_of(body),
        )

    return dossier.workings.once("committee", body, read)


def _make_keys(desk: Desk, dossier: Dossier) -> bytes:
    message = HelperKeysMessage(
        round_id=dossier.session.announcement.round_id,
        org=desk.me,
        announcement=dossier.announced,
        key=committee.derive_helper(dossier.secret_entropy).key,
    )
    return messages.sign(message, desk.identity).to_json()


def check_key_list(dossier: Dossier, body: bytes) -> None:
    """Return if seeds may be sealed for these helpers.

    Raises:
        BadSignature: a key not signed by the helper it names.
        InvalidInput: other helpers than the plan names, an answer to another
            announcement, or another key than ours under our name.
        MalformedMessage: a key that nothing can be sealed for.
    """
    names = []
    for envelope in wire.unpack_envelopes(body):
        org, message = messages.open_by_sender(
            envelope, HelperKeysMessage, members=dossier.members
        )
        if message.announcement != dossier.announced:
            raise InvalidInput(f"{org} answers another announcement")
        check_public(message.key.seeds)
        if org == dossier.me:
            mine = Envelope.from_json(dossier.session.made[Step.KEYS])
            if envelope.payload != mine.payload:
                raise InvalidInput(
                    "the key list holds another key than the one we sent"
                )
        names.append(org)
    if tuple(names) != dossier.plan.helpers:
        raise InvalidInput("other helpers than the plan names")
    _committee_of(dossier, body)


def _make_contribution(desk: Desk, dossier: Dossier) -> bytes:
    vector = contributing.quantised(
        desk, dossier, weights_of=contributing.equal_weights(dossier)
    )
    upload = committee.make_upload(
        vector,
        entropy=dossier.secret_entropy,
        committee=_committee_of(dossier),
        me=desk.me,
    )
    header = HeaderMessage(
        round_id=dossier.session.announcement.round_id, header=upload.header
    )
    # its header is made with it: whoever lost that sends nothing
    desk.fence.hold(f"{header.round_id}/contribution", upload.header.vector_digest)
    statement = contributing.state(
        desk,
        dossier,
        contribution=desk.blobs.put(upload.vector),
        sample_exponent=0,
    )
    return wire.pack_envelopes([statement, messages.sign(header, desk.identity)])


def check_headers(dossier: Dossier, body: bytes) -> None:
    """Return if these headers may be opened by us, a helper.

    Raises:
        BadSignature: a header not signed by its sender.
        InvalidInput: of another round, or one that cannot have reached us.
    """
    for envelope in wire.unpack_envelopes(body):
        org, message = messages.open_by_sender(
            envelope, HeaderMessage, members=dossier.members
        )
        if message.round_id != dossier.session.announcement.round_id:
            raise InvalidInput(f"a header of {org} of another round")
    _opened(dossier, body)


def _opened(dossier: Dossier, body: bytes | None = None) -> committee.OpenedSeeds:
    headers = dossier.session.fetched[Step.HEADERS] if body is None else body
    return dossier.workings.once(
        "seeds",
        headers,
        lambda: committee.open_seeds(
            committee.derive_helper(dossier.secret_entropy),
            [
                canonical.decode(envelope.payload, HeaderMessage).header
                for envelope in wire.unpack_envelopes(headers)
            ],
            committee=_committee_of(dossier),
            me=dossier.me,
        ),
    )


def _make_vetting(desk: Desk, dossier: Dossier) -> bytes:
    message = VettingMessage(
        round_id=dossier.session.announcement.round_id,
        report=_opened(dossier).report,
    )
    return messages.sign(message, desk.identity).to_json()


def check_set(dossier: Dossier, body: bytes) -> None:
    """Return if we, a helper, may answer for a set.

    Raises:
        BadSignature: not signed by the orchestrator.
        InvalidInput: another round or key list; not one contribution for each member.
        TooFewParticipants: fewer than plan or local floor ask for.
    """
    asked = messages.open_signed(
        Envelope.from_json(body), SurvivorSet, by=dossier.orchestrator
    )
    if asked.round_id != dossier.session.announcement.round_id:
        raise InvalidInput("a set of another round")
    if asked.transcript != dossier.transcript:
        raise InvalidInput("a set under another key list")
    if tuple(asked.contributions) != asked.survivors:
        raise InvalidInput("one contribution for each member of the set, in order")
    if not set(asked.survivors) <= set(dossier.session.announcement.cohort):
        raise InvalidInput("the set holds names outside the cohort")
    checks.check_enough(dossier, asked)


def _included(asked: SurvivorSet) -> Included:
    return Included(
        transcript=bytes.fromhex(asked.transcript), vectors=asked.contributions
    )


def _make_answer(desk: Desk, dossier: Dossier) -> bytes:
    announcement, plan = dossier.session.announcement, dossier.plan
    asked = dossier.survivor_set
    given = committee.answer(
        _opened(dossier),
        _included(asked),
        size=opening.vector_size(plan, announcement.task),
        committee=_committee_of(dossier),
    )
    # bound before it leaves: in this round, and on this parent model
    survivors.open_once(desk.fence, announcement, plan, asked.survivors)
    desk.fence.hold(f"{announcement.round_id}/unmasking", given.head.included)
    desk.blobs.put(given.masks)
    message = HelperAnswerMessage(round_id=announcement.round_id, head=given.head)
    return messages.sign(message, desk.identity).to_json()


def _answer_digest(dossier: Dossier) -> Digest:
    envelope = Envelope.from_json(dossier.session.made[Step.UNMASKING])
    return canonical.decode(envelope.payload, HelperAnswerMessage).head.sum_digest


def check_proposal(dossier: Dossier, body: bytes) -> None:
    """Return if the proposal is one of this round, with our contribution in it.

    Raises:
        BadSignature: not signed by the orchestrator.
        InvalidInput: another round, parent or head.
        WrongPhase: our contribution came too late, or a helper could not open its seed.
    """
    checks.check_proposal(dossier, body)
    envelope = Envelope.from_json(body)
    proposal = canonical.decode(envelope.payload, messages.Proposal)
    if dossier.me not in proposal.survivors:
        raise WrongPhase("our contribution is not in the sum")


def _replay(
    dossier: Dossier,
    parent: bytes,
    evidence: Evidence,
    vector_of: Callable[[Digest], bytes],
) -> opening.Opened:
    contributions = survivors.stated(dossier, evidence)
    survivors.check_named(dossier, contributions)
    agreed = _committee_of(dossier)
    included = Included(
        transcript=agreed.transcript, vectors=dict(sorted(contributions.items()))
    )
    answers = {}
    for envelope in evidence.answers:
        helper, message = messages.open_by_sender(
            envelope, HelperAnswerMessage, members=dossier.members
        )
        masks = vector_of(message.head.sum_digest)
        answers[helper] = HelperAnswer(head=message.head, masks=masks)
    return _open(
        dossier.plan,
        dossier.session.announcement.task,
        parent,
        agreed,
        included,
        answers,
        vector_of,
    )


# Both sides.


def _open(  # noqa: PLR0917 - the two callers of this file
    plan: Plan,
    task: Task,
    parent: bytes,
    agreed: Committee,
    included: Included,
    answers: dict[OrgId, HelperAnswer],
    vector_of: Callable[[Digest], bytes],
) -> opening.Opened:
    total = committee.open_sum(
        ((org, vector_of(digest)) for org, digest in included.vectors.items()),
        size=opening.vector_size(plan, task),
        committee=agreed,
        included=included,
        answers=answers,
    )
    return opening.open_equal(
        plan=plan,
        task=task,
        parent=parent,
        total=total,
        survivors=len(included.vectors),
    )


# The orchestrator.


def _agreed(records: RoundRecords, round_: Round) -> Committee:
    keys = {
        org: canonical.decode(envelope.payload, HelperKeysMessage).key
        for org, envelope in records.envelopes(round_, Kind.KEYS).items()
    }
    return _committee(
        round_.plan, round_.announcement.cohort, keys, records.transcript(round_)
    )


def _take_keys(
    records: RoundRecords, round_: Round, org: OrgId, body: bytes
) -> Checked:
    message = reception.open_from(
        records, Envelope.from_json(body), HelperKeysMessage, org
    )
    reception.same_round(round_, message.round_id, org, message.org)
    reception.same_announcement(records, round_, message.announcement)
    check_public(message.key.seeds)
    return Checked(message=body)


def _take_contribution(
    records: RoundRecords, round_: Round, org: OrgId, body: bytes
) -> Checked:
    checked = reception.take_contribution(
        records,
        round_,
        org,
        body,
        size_bytes=_size_bytes(records, round_),
        takes_mail=True,
    )
    _, mail = wire.unpack_stored(checked.message)
    if len(mail) != 1:
        raise InvalidInput("a contribution comes with one header for the helpers")
    message = reception.open_from(records, mail[0], HeaderMessage, org)
    header = message.header
    reception.same_round(round_, message.round_id, org, header.sender)
    if header.transcript != bytes.fromhex(records.transcript(round_)):
        raise InvalidInput("a header under another key list")
    if header.vector_digest != sha256(checked.vector or b""):
        raise InvalidInput("the header is about another vector")
    if tuple(header.boxes) != round_.plan.helpers:
        raise InvalidInput("one sealed seed for each helper, in order of name")
    return checked


def _take_vetting(
    records: RoundRecords, round_: Round, org: OrgId, body: bytes
) -> Checked:
    message = reception.open_from(
        records, Envelope.from_json(body), VettingMessage, org
    )
    report = message.report
    reception.same_round(round_, message.round_id, org, report.helper)
    if report.transcript != bytes.fromhex(records.transcript(round_)):
        raise InvalidInput("a report under another key list")
    sent = records.uploads(round_)
    opened = {name: sent.get(name) for name in report.opened}
    everyone = sorted((*report.opened, *report.refused))
    if opened != report.opened or everyone != list(round_.sent(Kind.CONTRIBUTION)):
        raise InvalidInput("a report names each contribution once, opened or refused")
    return Checked(message=body, excludes=report.refused)


def _take_answer(
    records: RoundRecords, round_: Round, org: OrgId, body: bytes
) -> Checked:
    size_bytes = _size_bytes(records, round_)
    answer = wire.unpack_contribution(body, size_bytes=size_bytes)
    message = reception.open_from(records, answer.statement, HelperAnswerMessage, org)
    head = message.head
    reception.same_round(round_, message.round_id, org, head.helper)
    if head.included != _included(records.survivor_set(round_)).digest:
        raise InvalidInput("answers for another set")
    if head.sum_digest != sha256(answer.vector):
        raise InvalidInput("another answer than the one that was signed")
    return Checked(message=answer.statement.to_json(), vector=answer.vector)


def _give_headers(records: RoundRecords, round_: Round, org: OrgId) -> bytes:
    del org
    mail = records.mail(round_, Kind.CONTRIBUTION)
    return wire.pack_envelopes([header for (header,) in mail.values()])


def _answer_heads(
    records: RoundRecords, round_: Round
) -> dict[OrgId, HelperAnswerMessage]:
    return {
        org: canonical.decode(envelope.payload, HelperAnswerMessage)
        for org, envelope in records.envelopes(round_, Kind.UNMASKING).items()
    }


def _shows(records: RoundRecords, round_: Round) -> Collection[Digest]:
    if round_.opened is None:
        return ()
    masks = {m.head.sum_digest for m in _answer_heads(records, round_).values()}
    return {*opened_contributions(records, round_), *masks}


def _evidence(records: RoundRecords, round_: Round) -> Evidence:
    sent = records.envelopes(round_, Kind.CONTRIBUTION)
    return Evidence(
        contributions=tuple(sent[org] for org in round_.survivors),
        shares=(),
        answers=tuple(records.envelopes(round_, Kind.UNMASKING).values()),
    )


def _reopen(records: RoundRecords, round_: Round) -> opening.Opened:
    return _open(
        round_.plan,
        round_.announcement.task,
        records.blobs.get(round_.announcement.parent_model),
        _agreed(records, round_),
        _included(records.survivor_set(round_)),
        {
            org: HelperAnswer(
                head=message.head, masks=records.blobs.get(message.head.sum_digest)
            )
            for org, message in _answer_heads(records, round_).items()
        },
        records.blobs.get,
    )


MODE = Mode(
    makers={
        Step.KEYS: _make_keys,
        Step.CONTRIBUTION: _make_contribution,
        Step.VETTING: _make_vetting,
        Step.UNMASKING: _make_answer,
        Step.ACCEPTANCE: accepting.maker(_replay),
    },
    checks={
        Step.KEY_LIST: check_key_list,
        Step.HEADERS: check_headers,
        Step.SURVIVOR_SET: check_set,
        Step.PROPOSAL: check_proposal,
    },
    attached={
        Step.CONTRIBUTION: lambda dossier: dossier.mine.contribution_digest,
        Step.UNMASKING: _answer_digest,
    },
    size_bytes=_size_bytes,
    takes={
        Kind.KEYS: _take_keys,
        Kind.CONTRIBUTION: _take_contribution,
        Kind.VETTING: _take_vetting,
        Kind.UNMASKING: _take_answer,
        Kind.ACCEPTANCE: reception.take_acceptance,
    },
    gives={
        Step.KEY_LIST: survivors.give_keys,
        Step.HEADERS: _give_headers,
        Step.SURVIVOR_SET: survivors.give_set,
    },
    shows=_shows,
    evidence=_evidence,
    reopen=_reopen,
    replay=_replay,
)
