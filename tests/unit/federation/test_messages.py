# SPDX-License-Identifier: Apache-2.0
"""Messages are worth something under one key, one type and one form only."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from fedxdr.core.errors import BadSignature, MalformedMessage
from fedxdr.core.ids import OrgId, RoundId, sha256
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto import envelope as dsse
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation import messages
from fedxdr.federation.messages import (
    PAYLOAD_TYPES,
    Announcement,
    CommitmentMessage,
    HeaderMessage,
    HelperAnswerMessage,
    HelperKeysMessage,
    KeysMessage,
    PartialMessage,
    Proposal,
    ShareMessage,
    SurvivorSet,
    UnmaskingMessage,
    VettingMessage,
)
from fedxdr.ledger.statements import (
    NO_PRIVACY,
    AcceptanceStatement,
    ContributionStatement,
)
from fedxdr.secagg.committee import derive_helper
from fedxdr.secagg.committee_stages import (
    BOX_BYTES,
    AnswerHead,
    Report,
    UploadHeader,
)
from fedxdr.secagg.stages import SALT_BOX_BYTES, SHARES_BOX_BYTES, Mail, SealedSalt

ENTROPY = SeededEntropy(1)
A, B = OrgId("org-a"), OrgId("org-b")
KEY_A, KEY_B, SERVER = (IdentityKey.generate(ENTROPY) for _ in range(3))
MEMBERS = {A: KEY_A.public, B: KEY_B.public}
ROUND, DIGEST = RoundId("round-1"), sha256(b"x")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MAIL = Mail(
    sender=A,
    recipient=B,
    shares=bytes(SHARES_BOX_BYTES),
    salt=SealedSalt(commitment=bytes(32), box=bytes(SALT_BOX_BYTES)),
)
HELPER = derive_helper(bytes(32))
SAMPLES = {
    Announcement: Announcement(
        round_id=ROUND,
        number=1,
        task="training",
        plan_digest=DIGEST,
        parent_model=DIGEST,
        prev_hash=DIGEST,
        cohort=(A, B),
        opened_at=NOW,
    ),
    KeysMessage: KeysMessage(
        round_id=ROUND, org=A, announcement=DIGEST, sample_exponent=3, keys=None
    ),
    ShareMessage: ShareMessage(round_id=ROUND, transcript=DIGEST, mail=MAIL),
    SurvivorSet: SurvivorSet(
        round_id=ROUND,
        transcript=DIGEST,
        survivors=(A,),
        dropouts=(B,),
        contributions={A: DIGEST},
    ),
    UnmaskingMessage: UnmaskingMessage(
        round_id=ROUND,
        org=A,
        survivor_set=DIGEST,
        self_shares={A: bytes(33)},
        key_shares={B: bytes(33)},
    ),
    HelperKeysMessage: HelperKeysMessage(
        round_id=ROUND, org=A, announcement=DIGEST, key=HELPER.key
    ),
    HeaderMessage: HeaderMessage(
        round_id=ROUND,
        header=UploadHeader(
            sender=A,
            transcript=bytes(32),
            vector_digest=DIGEST,
            boxes={B: bytes(BOX_BYTES)},
        ),
    ),
    VettingMessage: VettingMessage(
        round_id=ROUND,
        report=Report(helper=A, transcript=bytes(32), opened={A: DIGEST}, refused=(B,)),
    ),
    HelperAnswerMessage: HelperAnswerMessage(
        round_id=ROUND, head=AnswerHead(helper=A, included=DIGEST, sum_digest=DIGEST)
    ),
    CommitmentMessage: CommitmentMessage(
        round_id=ROUND,
        org=A,
        announcement=DIGEST,
        commitment=DIGEST,
        contribution=DIGEST,
    ),
    PartialMessage: PartialMessage(
        round_id=ROUND, org=A, product=DIGEST, values=DIGEST, proof=bytes(64)
    ),
    Proposal: Proposal(
        round_id=ROUND,
        parent_model=DIGEST,
        model_hash=DIGEST,
        sum_digest=DIGEST,
        contributions={A: DIGEST},
        contributions_root=DIGEST,
        data_volume={A: 8},
        privacy_params={A: NO_PRIVACY},
        figures={"round": 1, "convergence": 0.25},
        prev_hash=DIGEST,
        survivors=(A,),
        dropouts=(B,),
    ),
    ContributionStatement: ContributionStatement(
        org=A,
        round_id=ROUND,
        plan_digest=DIGEST,
        parent_model=DIGEST,
        contribution_digest=DIGEST,
        sample_exponent=3,
        privacy=NO_PRIVACY,
        issued_at=NOW,
    ),
    AcceptanceStatement: AcceptanceStatement(
        org=A,
        round_id=ROUND,
        task="training",
        builder=DIGEST,
        plan_digest=DIGEST,
        prev_hash=DIGEST,
        parent_model=DIGEST,
        model_hash=DIGEST,
        sum_digest=DIGEST,
        contributions={A: DIGEST},
        contributions_root=DIGEST,
        data_volume={A: 8},
        privacy_params={A: NO_PRIVACY},
        figures={"round": 1, "convergence": 0.25},
        replayed=True,
        verdict="accepted",
        issued_at=NOW,
    ),
}
TYPES = list(SAMPLES)
OF_MEMBERS = [t for t in TYPES if t not in {Announcement, Proposal}]


def test_every_message_has_a_label_of_its_own():
    assert set(SAMPLES) == set(PAYLOAD_TYPES)
    assert len(set(PAYLOAD_TYPES.values())) == len(PAYLOAD_TYPES)
    # a label of the house says its version; that of in-toto is in-toto's
    assert PAYLOAD_TYPES[AcceptanceStatement] == "application/vnd.in-toto+json"
    second = {Proposal, KeysMessage, CommitmentMessage}
    assert all(".v2+json" in PAYLOAD_TYPES[kind] for kind in second)
    ours = set(TYPES) - {AcceptanceStatement} - second
    assert all(".v1+json" in PAYLOAD_TYPES[kind] for kind in ours)


@pytest.mark.parametrize("kind", TYPES)
def test_messages_come_back_under_their_key_and_type_only(kind):
    envelope = messages.sign(SAMPLES[kind], KEY_A)
    assert messages.open_signed(envelope, kind, by=KEY_A.public) == SAMPLES[kind]
    with pytest.raises(BadSignature):
        messages.open_signed(envelope, kind, by=KEY_B.public)
    for other in TYPES:
        if other is not kind:
            with pytest.raises(BadSignature, match="signed as"):
                messages.open_signed(envelope, other, by=KEY_A.public)


@pytest.mark.parametrize("kind", TYPES)
def test_a_signed_message_in_another_form_is_refused(kind):
    is_statement = kind in {ContributionStatement, AcceptanceStatement}
    sign = dsse.sign_twice if is_statement else dsse.sign
    payload = messages.sign(SAMPLES[kind], KEY_A).payload
    good = sign(PAYLOAD_TYPES[kind], payload, KEY_A)
    assert messages.open_signed(good, kind, by=KEY_A.public) == SAMPLES[kind]
    for other in (b" " + payload, payload.replace(b'","', b'", "', 1), b"{}"):
        assert other != payload
        envelope = sign(PAYLOAD_TYPES[kind], other, KEY_A)
        with pytest.raises(MalformedMessage):
            messages.open_signed(envelope, kind, by=KEY_A.public)


@pytest.mark.parametrize("kind", [ContributionStatement, AcceptanceStatement])
def test_a_statement_signed_once_is_none(kind):
    both = messages.sign(SAMPLES[kind], KEY_A)
    for kept in (both.signatures[:1], both.signatures[1:]):
        with pytest.raises(BadSignature):
            messages.open_signed(
                dataclasses.replace(both, signatures=kept), kind, by=KEY_A.public
            )


@pytest.mark.parametrize("kind", OF_MEMBERS)
def test_the_sender_is_whose_key_it_is(kind):
    envelope = messages.sign(SAMPLES[kind], KEY_A)
    found = messages.open_by_sender(envelope, kind, members=MEMBERS)
    assert found == (A, SAMPLES[kind])
    with pytest.raises(BadSignature, match="no member's"):
        messages.open_by_sender(envelope, kind, members={B: KEY_B.public})
    if kind is not SurvivorSet:
        with pytest.raises(BadSignature, match="in the name of org-a"):
            messages.open_by_sender(
                messages.sign(SAMPLES[kind], KEY_B), kind, members=MEMBERS
            )


@pytest.mark.parametrize("kind", [Announcement, Proposal])
def test_what_only_the_orchestrator_says_has_no_member_as_sender(kind):
    envelope = messages.sign(SAMPLES[kind], KEY_A)
    with pytest.raises(MalformedMessage):
        messages.open_by_sender(envelope, kind, members=MEMBERS)


def test_a_second_signature_makes_nobody_the_sender():
    one = messages.sign(SAMPLES[SurvivorSet], KEY_A)
    two = messages.sign(SAMPLES[SurvivorSet], KEY_B)
    both = dataclasses.replace(one, signatures=one.signatures + two.signatures)
    with pytest.raises(BadSignature):
        messages.open_by_sender(both, SurvivorSet, members=MEMBERS)


def test_whoever_is_no_member_is_not_opened():
    envelope = messages.sign(SAMPLES[KeysMessage], KEY_A)
    with pytest.raises(BadSignature, match="org-z is no member"):
        messages.open_from(envelope, KeysMessage, org=OrgId("org-z"), members=MEMBERS)


BAD_NAMES = ["", "../x", "Org", "a/b", "a" * 65]
BAD_DIGESTS = ["", "/etc/passwd", "../" + "0" * 61, "0" * 63, "A" * 64]


@pytest.mark.parametrize(
    "kind", [t for t in TYPES if t.__module__.endswith("messages")]
)
def test_names_and_digests_have_one_form(kind):
    sample = SAMPLES[kind]
    for field in dataclasses.fields(kind):
        value = getattr(sample, field.name)
        if value == DIGEST:
            wrong = [{field.name: bad} for bad in BAD_DIGESTS]
        elif value in {ROUND, A} if isinstance(value, str) else False:
            wrong = [{field.name: bad} for bad in BAD_NAMES if field.name != "task"]
        elif isinstance(value, tuple):
            wrong = [{field.name: (*value, bad)} for bad in BAD_NAMES]
        elif isinstance(value, dict):
            if field.name == "figures":
                continue
            (item,) = value.values()
            wrong = [{field.name: {bad: item}} for bad in BAD_NAMES]
        else:
            continue
        for changed in wrong:
            with pytest.raises(MalformedMessage):
                dataclasses.replace(sample, **changed)


def test_a_contribution_in_a_set_has_a_digest():
    with pytest.raises(MalformedMessage):
        dataclasses.replace(SAMPLES[SurvivorSet], contributions={A: "../x"})


def test_mail_is_between_names():
    with pytest.raises(MalformedMessage):
        dataclasses.replace(
            SAMPLES[ShareMessage],
            mail=dataclasses.replace(MAIL, recipient=OrgId("zz/../x")),
        )


def test_the_transcript_binds_announcement_keys_and_order():
    announcement = messages.sign(SAMPLES[Announcement], SERVER)
    keys_a = messages.sign(SAMPLES[KeysMessage], KEY_A)
    keys_b = messages.sign(dataclasses.replace(SAMPLES[KeysMessage], org=B), KEY_B)
    other = messages.sign(dataclasses.replace(SAMPLES[Announcement], number=2), SERVER)
    found = {
        messages.transcript(announcement, [keys_a, keys_b]),
        messages.transcript(announcement, [keys_b, keys_a]),
        messages.transcript(announcement, [keys_a]),
        messages.transcript(announcement, []),
        messages.transcript(other, [keys_a, keys_b]),
    }
    assert len(found) == 5
    want = sha256(
        b"fedxdr/transcript/v1\x00",
        sha256(announcement.payload).encode(),
        sha256(keys_a.payload).encode(),
    )
    assert messages.transcript(announcement, [keys_a]) == want
