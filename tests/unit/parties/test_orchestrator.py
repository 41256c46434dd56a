# SPDX-License-Identifier: Apache-2.0
"""The orchestrator: what it refuses, and that it may be killed at every write."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest

from fedxdr.core import canonical
from fedxdr.core.errors import (
    AlreadyAnswered,
    BadSignature,
    FedxdrError,
    InvalidInput,
    InvalidUpdate,
    MalformedMessage,
    NotFound,
    TooFewParticipants,
    UnknownSender,
    WrongPhase,
)
from fedxdr.core.ids import OrgId, RoundId, sha256
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation import messages, rounds, wire
from fedxdr.federation.floor import Floor
from fedxdr.federation.messages import (
    KeysMessage,
    ShareMessage,
    SurvivorSet,
    UnmaskingMessage,
)
from fedxdr.federation.phases import Kind, Phase
from fedxdr.federation.rounds import Received
from fedxdr.federation.sessions import Step
from fedxdr.ledger import statements
from fedxdr.ledger.entries import PlanAdopted, RoundCommitted, RoundFailed
from fedxdr.ledger.statements import (
    AcceptanceStatement,
    ContributionStatement,
    PrivacyClaim,
)

A, B, C, D = (OrgId(f"org-{letter}") for letter in "abcd")
OTHER = sha256(b"other")
CLEAR = {
    "collection_mode": "clear",
    "acknowledge_clear": True,
    "aggregation_method": "FedAvg",
}


def facts_of(federation, round_):
    stored = federation.orchestrator._facts.facts(round_.announcement.round_id)
    return [canonical.decode(f.body, getattr(rounds, f.name)) for f in stored]


# A whole round.


def test_a_round_leaves_one_block_with_everything_on_it(world):
    federation = world(n=4)
    round_ = federation.play()
    (signed,) = federation.orchestrator.recorder.blocks(
        begin=round_.height, end=round_.height + 1
    )
    entry = signed.block.entry
    assert isinstance(entry, RoundCommitted)
    assert entry.survivors == (A, B, C, D)
    assert entry.sum_digest == round_.opened.sum_digest
    assert signed.block.model_hash == round_.opened.model_hash
    assert len(signed.envelopes) == 8
    assert signed.block.aggregation_metrics["round"] == 1
    # every mirror that saw the block holds the very same bytes
    head = signed.block.hash
    assert all(
        federation.participant(org).mirror.in_force.head.hash == head
        for org in federation.orgs
    )


def test_statistics_come_first_and_once(world):
    federation = world(n=3)
    tasks = [federation.play().announcement.task for _ in range(3)]
    assert tasks == ["statistics", "training", "training"]
    numbers = [
        federation.orchestrator.load(name).announcement.number
        for name in federation.orchestrator._facts.rounds()
    ]
    assert numbers == [1, 2, 3]


def test_a_changed_wish_adopts_a_new_plan_first(world):
    federation = world(n=4)
    federation.play()
    plan = federation.fed.recorder.in_force.plan
    federation.fed.start_round(wishes={"clip_norm": 5.0})
    assert federation.round.plan == dataclasses.replace(plan, clip_norm=5.0)
    head = federation.fed.recorder.in_force.head
    assert isinstance(head.entry, PlanAdopted)
    assert federation.round.announcement.prev_hash == head.hash
    assert federation.round.announcement.task == "training"
    assert federation.go_on().phase is Phase.COMMITTED


def test_one_round_at_a_time(world):
    federation = world(n=3)
    federation.start()
    with pytest.raises(WrongPhase, match="is running"):
        federation.start()


@pytest.mark.parametrize(
    ("n", "plan", "error", "why"),
    [
        (2, {}, TooFewParticipants, "invite more organisations"),
        (3, {"min_survivors": 4}, InvalidInput, "min_survivors 4 of 3"),
    ],
)
def test_too_few_members_open_no_round(world, n, plan, error, why):
    federation = world(n=n, plan=plan)
    size = federation.fed.recorder.size()
    with pytest.raises(error, match=why):
        federation.start()
    assert federation.orchestrator.current is None
    assert federation.fed.recorder.size() == size


def test_a_failed_round_is_on_the_ledger_and_changes_no_model(world):
    federation = world(n=4)
    federation.play()
    model = federation.fed.recorder.in_force.model
    round_ = federation.play(gone=lambda org, _: org in {A, B})
    head = federation.fed.recorder.in_force.head
    assert isinstance(head.entry, RoundFailed)
    assert head.entry.round_id == round_.announcement.round_id
    assert head.entry.reason == round_.failure.reason == "too-few-participants"
    assert head.model_hash == model


def test_the_failure_rate_of_the_plan_fails_a_round(world):
    federation = world(n=10, plan={"max_failure_rate": 0.2})
    round_ = federation.play(gone=lambda org, _: org in {A, B, C})
    assert round_.failure.reason == "failure-rate"
    assert "3 of 10" in round_.failure.sentence


def test_what_is_said_of_a_round_that_is_not_there(world):
    federation = world(n=3)
    orchestrator = federation.orchestrator
    assert orchestrator.standing().round_id is None
    for act in (
        lambda: orchestrator.load(RoundId("round-9")),
        lambda: orchestrator.announcement(RoundId("round-9")),
        lambda: orchestrator.evidence(RoundId("round-9")),
        lambda: orchestrator.fetch(RoundId("round-9"), Step.MAIL, A),
        lambda: orchestrator.receive(RoundId("round-9"), Kind.KEYS, A, b""),
    ):
        with pytest.raises(NotFound):
            act()


def test_nothing_is_handed_out_before_its_phase(world):
    federation = world(n=4)
    federation.start()
    round_id = federation.round.announcement.round_id
    order = (
        (Phase.ANNOUNCED, None),
        (Phase.KEYS, Step.KEY_LIST),
        (Phase.SHARES, Step.MAIL),
        (Phase.CONTRIBUTIONS, Step.SURVIVOR_SET),
        (Phase.SURVIVORS, Step.QUORUM),
        (Phase.PROPOSED, Step.PROPOSAL),
    )
    for place, (phase, _) in enumerate(order):
        federation.go_on(until=phase)
        for later, (_, step) in enumerate(order):
            if step is None:
                continue
            if later <= place:
                assert federation.orchestrator.fetch(round_id, step, A)
            else:
                with pytest.raises(NotFound):
                    federation.orchestrator.fetch(round_id, step, A)
        if phase is not Phase.PROPOSED:
            with pytest.raises(NotFound):
                federation.orchestrator.evidence(round_id)


# What it refuses, message by message.


class Sender:
    """Changes, signs and delivers what an organisation would send next."""

    def __init__(self, federation, org, kind, phase) -> None:
        self.federation, self.org, self.kind = federation, org, kind
        federation.go_on(until=phase)
        self.round_id = federation.round.announcement.round_id
        # the organisation makes its message, but the network is down
        link = federation.links[org]
        self.bodies: list[bytes] = []
        honest = link.send
        link.send = lambda _r, _s, body: self._catch(body)
        agent = federation.participant(org)
        with contextlib.suppress(Caught):
            agent.step(wait_s=0)
        link.send = honest
        self.body = self.bodies[-1]

    def _catch(self, body: bytes) -> None:
        self.bodies.append(body)
        raise Caught

    def deliver(self, body=None, *, org=None):
        return self.federation.orchestrator.receive(
            self.round_id, self.kind, org or self.org, body or self.body
        )

    def changed(self, type_, *, signer=None, **fields) -> bytes:
        payload = Envelope.from_json(self.body).payload
        if type_ is AcceptanceStatement:
            message = statements.parse(payload, type_)
        else:
            message = canonical.decode(payload, type_)
        key = self.federation.key(signer or self.org)
        return messages.sign(dataclasses.replace(message, **fields), key).to_json()


class Caught(Exception):
    """The message was made and did not get out."""


def assert_taken_once(sender: Sender) -> None:
    """Honest bytes are taken, taken again alike, and other ones are refused."""
    first = sender.deliver()
    sender.federation.fed.clock.advance(seconds=1)
    assert sender.deliver() == first
    arrived = sender.federation.round.sent(sender.kind)
    assert Counter(arrived)[sender.org] == 1
    stored = [
        fact
        for fact in facts_of(sender.federation, sender.federation.round)
        if isinstance(fact, Received) and fact.kind is sender.kind
    ]
    assert [fact.org for fact in stored].count(sender.org) == 1


def test_keys_that_are_not_right(world):
    federation = world(n=4)
    federation.start()
    sender = Sender(federation, B, Kind.KEYS, Phase.ANNOUNCED)
    for body, error, why in (
        (sender.changed(KeysMessage, signer=C), BadSignature, "signature"),
        (sender.changed(KeysMessage, org=C), BadSignature, "in the name of org-c"),
        (sender.changed(KeysMessage, announcement=OTHER), InvalidInput, "announcement"),
        (sender.changed(KeysMessage, sample_exponent=17), InvalidInput, "exponent"),
        (sender.changed(KeysMessage, sample_exponent=-1), InvalidInput, "exponent"),
        (sender.changed(KeysMessage, keys=None), InvalidInput, "round keys"),
        (
            sender.changed(KeysMessage, round_id=RoundId("round-7")),
            InvalidInput,
            "round-7",
        ),
        (b"{}", MalformedMessage, "envelope"),
    ):
        with pytest.raises(error, match=why):
            sender.deliver(body)
    with pytest.raises(BadSignature):
        sender.deliver(org=C)
    with pytest.raises(BadSignature, match="no member"):
        sender.deliver(org=OrgId("org-z"))
    assert federation.round.sent(Kind.KEYS) == ()
    assert_taken_once(sender)
    with pytest.raises(AlreadyAnswered):
        sender.deliver(sender.changed(KeysMessage, sample_exponent=1))


def test_shares_that_are_not_right(world):
    federation = world(n=4)
    federation.start()
    sender = Sender(federation, B, Kind.SHARES, Phase.KEYS)
    honest = wire.unpack_envelopes(sender.body)

    def one_changed(**fields) -> bytes:
        message = canonical.decode(honest[0].payload, ShareMessage)
        changed = messages.sign(
            dataclasses.replace(message, **fields), federation.key(B)
        )
        return wire.pack_envelopes([changed, *honest[1:]])

    mail = canonical.decode(honest[0].payload, ShareMessage).mail
    from_c = dataclasses.replace(mail, sender=C)
    for body, why in (
        (one_changed(transcript=OTHER), "another key list"),
        (one_changed(round_id=RoundId("round-7")), "round-7"),
        (wire.pack_envelopes(honest[:-1]), "each neighbour"),
        (wire.pack_envelopes(honest[::-1]), "each neighbour"),
        (wire.pack_envelopes([*honest, honest[0]]), "each neighbour"),
        (wire.pack_envelopes([]), "each neighbour"),
    ):
        with pytest.raises(InvalidInput, match=why):
            sender.deliver(body)
    with pytest.raises(BadSignature, match="in the name of org-c"):
        sender.deliver(one_changed(mail=from_c))
    assert_taken_once(sender)


def test_contributions_that_are_not_right(world):
    federation = world(n=4)
    federation.play()
    federation.start()
    sender = Sender(federation, B, Kind.CONTRIBUTION, Phase.SHARES)
    size = federation.orchestrator.contribution_bytes(federation.round)
    honest = wire.unpack_contribution(sender.body, size_bytes=size)
    statement = canonical.decode(honest.statement.payload, ContributionStatement)
    claim = dataclasses.replace(statement.privacy, mechanism="dp-sgd", epsilon=1.0)

    def changed(**fields) -> bytes:
        envelope = messages.sign(
            dataclasses.replace(statement, **fields), federation.key(B)
        )
        return wire.pack_contribution(dataclasses.replace(honest, statement=envelope))

    for body, error, why in (
        (changed(plan_digest=OTHER), InvalidInput, "another plan"),
        (changed(parent_model=OTHER), InvalidInput, "another parent model"),
        (changed(contribution_digest=OTHER), InvalidInput, "another vector"),
        (changed(sample_exponent=1), InvalidInput, "sample bucket"),
        (changed(privacy=claim), InvalidInput, "privacy mechanism"),
        (changed(round_id=RoundId("round-7")), InvalidInput, "round-7"),
        (changed(org=C), BadSignature, "in the name of org-c"),
        (
            wire.pack_contribution(
                dataclasses.replace(honest, vector=honest.vector[:-4])
            ),
            MalformedMessage,
            "got 25 bytes, want 29",
        ),
        (
            wire.pack_contribution(dataclasses.replace(honest, vector=bytes(29))),
            InvalidInput,
            "another vector",
        ),
    ):
        with pytest.raises(error, match=why):
            sender.deliver(body)
    assert_taken_once(sender)
    assert federation.fed.registry.registration(B).last_update is not None


def test_a_late_contribution_is_not_used(world):
    federation = world(n=4)
    federation.play()
    federation.start()
    sender = Sender(federation, B, Kind.CONTRIBUTION, Phase.SHARES)
    federation.go_on(gone=lambda org, _: org == B, until=Phase.CONTRIBUTIONS)
    with pytest.raises(WrongPhase):
        sender.deliver()
    size = federation.orchestrator.contribution_bytes(federation.round)
    honest = wire.unpack_contribution(sender.body, size_bytes=size)
    assert not federation.orchestrator.blobs.has(sha256(honest.vector))
    round_ = federation.go_on(gone=lambda org, _: org == B)
    assert round_.survivors == (A, C, D)


def test_signatures_over_another_set_are_refused(world):
    federation = world(n=4)
    federation.start()
    sender = Sender(federation, B, Kind.SURVIVOR_SIGNATURE, Phase.CONTRIBUTIONS)
    with pytest.raises(InvalidInput, match="another survivor set"):
        sender.deliver(sender.changed(SurvivorSet, survivors=(A, B, C), dropouts=(D,)))
    assert_taken_once(sender)


def test_answers_that_are_not_right(world):
    federation = world(n=4)
    federation.start()
    sender = Sender(federation, B, Kind.UNMASKING, Phase.SURVIVORS)
    message = canonical.decode(
        Envelope.from_json(sender.body).payload, UnmaskingMessage
    )
    fewer = dict(list(message.self_shares.items())[:-1])
    for fields, error, why in (
        ({"survivor_set": OTHER}, InvalidInput, "another survivor set"),
        ({"self_shares": fewer}, InvalidInput, "one self share"),
        ({"key_shares": {D: bytes(33)}}, InvalidInput, "one key share"),
        ({"org": C}, BadSignature, "in the name of org-c"),
        ({"round_id": RoundId("round-7")}, InvalidInput, "round-7"),
    ):
        with pytest.raises(error, match=why):
            sender.deliver(sender.changed(UnmaskingMessage, **fields))
    assert_taken_once(sender)


def test_verdicts_that_are_not_about_the_proposal(world):
    federation = world(n=4)
    federation.start()
    sender = Sender(federation, B, Kind.ACCEPTANCE, Phase.PROPOSED)
    digests = ("builder", "plan_digest", "prev_hash", "parent_model", "model_hash")
    about = dict.fromkeys((*digests, "sum_digest", "contributions_root"), OTHER)
    about["task"] = "training"
    about["contributions"] = dict.fromkeys((A, B, C, D), OTHER)
    about["data_volume"] = dict.fromkeys((A, B, C, D), 1)
    about["privacy_params"] = dict.fromkeys((A, B, C, D), PrivacyClaim(mechanism="x"))
    about["figures"] = {**federation.orchestrator.figures(federation.round), "round": 7}
    for name, other in about.items():
        with pytest.raises(InvalidInput, match="another proposal"):
            sender.deliver(sender.changed(AcceptanceStatement, **{name: other}))
    with pytest.raises(BadSignature, match="in the name of org-c"):
        sender.deliver(sender.changed(AcceptanceStatement, org=C))
    assert_taken_once(sender)


def test_messages_of_a_round_that_is_over_are_refused(world):
    federation = world(n=3)
    federation.start()
    sender = Sender(federation, A, Kind.KEYS, Phase.ANNOUNCED)
    sender.deliver()
    federation.go_on()
    # the very same bytes still get their receipt, until another round begins
    assert sender.deliver().digest == sha256(sender.body)
    federation.start()
    with pytest.raises(WrongPhase, match="is over"):
        sender.deliver()


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff\x00", b"null", b"[1]"])
def test_foreign_bytes_raise_our_errors_only(world, kind, body):
    federation = world(n=3)
    federation.start()
    round_id = federation.round.announcement.round_id
    with pytest.raises(FedxdrError):
        federation.orchestrator.receive(round_id, kind, A, body)


# Mode clear.


def test_updates_in_the_clear_are_aggregated_as_they_are(world):
    federation = world(n=4, plan=CLEAR, floor=Floor(modes=("clear",)))
    federation.play()
    before = federation.fed.vector.astype(np.float64)
    round_ = federation.play(gone=lambda org, phase: org == B and phase is Phase.SHARES)
    assert round_.survivors == (A, C, D)
    assert round_.dropouts == (B,)
    updates = [
        federation.learners[org]
        .learn(task="training", parent=b"", plan=None, number=2)
        .update.values.astype(np.float64)
        for org in round_.survivors
    ]
    want = before[3:] + np.mean(updates, axis=0)
    assert np.allclose(federation.fed.vector[3:], want, atol=1e-6)


def test_a_wild_update_in_the_clear_is_refused(world):
    federation = world(n=4, plan=CLEAR, floor=Floor(modes=("clear",)))
    federation.play()
    federation.start()
    sender = Sender(federation, B, Kind.CONTRIBUTION, Phase.SHARES)
    size = federation.orchestrator.contribution_bytes(federation.round)
    honest = wire.unpack_contribution(sender.body, size_bytes=size)
    statement = canonical.decode(honest.statement.payload, ContributionStatement)

    def vector(values) -> bytes:
        data = np.array(values, dtype="<f4").tobytes()
        changed = dataclasses.replace(statement, contribution_digest=sha256(data))
        return wire.pack_contribution(
            wire.Contribution(
                statement=messages.sign(changed, federation.key(B)), vector=data
            )
        )

    for values, why in (
        ([np.nan] + [0.0] * 8, "NaN"),
        ([np.inf] + [0.0] * 8, "NaN or infinity"),
        ([10.1] + [0.0] * 8, "norm-over-bound"),
        ([4.0] * 8 + [0.0], "norm-over-bound"),
    ):
        with pytest.raises(InvalidUpdate, match=why):
            sender.deliver(vector(values))
    sender.deliver(vector([10.0] + [0.0] * 8))


# Killed at every write.


def test_killed_at_every_write_it_goes_on(world):
    # what is on disk after one write is what is there before the next
    federation = world(n=3, does_replay=False)
    federation.play()
    fuse = federation.make_orchestrator_mortal()
    fuse.count = 0
    federation.play()
    writes = fuse.count
    assert writes > 25
    moments = [(False, 1), *((True, left) for left in range(1, writes + 1))]
    for is_after, left in moments:
        fuse.is_after, fuse.left = is_after, left
        federation.start()
        round_ = federation.go_on()
        assert fuse.left is None, "it was never killed"
        assert_sound(federation, round_)


def assert_sound(federation, round_) -> None:
    """The model is what replay gives; nobody counted twice; one opening, one block."""
    assert round_.phase is Phase.COMMITTED
    assert round_.survivors == tuple(federation.orgs)
    assert np.array_equal(federation.opened_sum(round_), federation.plain_sum(round_))
    assert round_.opened.model_hash == federation.orchestrator.reopen(round_).model_hash
    facts = facts_of(federation, round_)
    received = Counter((f.kind, f.org) for f in facts if isinstance(f, Received))
    assert set(received.values()) == {1}
    names = Counter(type(f).__name__ for f in facts)
    assert names["SumOpened"] == names["Proposed"] == names["Committed"] == 1
    blocks = federation.orchestrator.recorder.blocks(
        begin=0, end=federation.orchestrator.recorder.size()
    )
    entries = [
        signed.block.entry
        for signed in blocks
        if isinstance(signed.block.entry, RoundCommitted)
    ]
    assert [e.round_id for e in entries].count(round_.announcement.round_id) == 1


def test_killed_while_it_fails_a_round_it_fails_it_once(world):
    federation = world(n=4)
    federation.play()
    fuse = federation.make_orchestrator_mortal()
    for is_after, left in itertools.product((False, True), (1, 2)):
        federation.start()
        fuse.is_after, fuse.left = is_after, left
        # nobody answers: the next writes are the block and the fact of the failure
        federation.pass_time()
        assert fuse.left is None
        federation.pass_time()
        round_ = federation.round
        assert round_.failure.reason == "too-few-participants"
        blocks = federation.orchestrator.recorder.blocks(
            begin=0, end=federation.orchestrator.recorder.size()
        )
        failed = [
            s.block.entry.round_id
            for s in blocks
            if isinstance(s.block.entry, RoundFailed)
        ]
        assert failed.count(round_.announcement.round_id) == 1


def test_what_is_read_back_is_the_round_as_it_stood(world):
    federation = world(n=4)
    federation.start()
    for phase in (
        Phase.ANNOUNCED,
        Phase.KEYS,
        Phase.SHARES,
        Phase.CONTRIBUTIONS,
        Phase.SURVIVORS,
        Phase.PROPOSED,
        None,
    ):
        federation.go_on(until=phase)
        before = federation.round
        standing = federation.orchestrator.standing()
        federation.restart_orchestrator()
        assert federation.round == before
        # (which head has its quorum is told anew once somebody cosigns)
        again = federation.orchestrator.standing()
        assert again == dataclasses.replace(standing, quorate=0)
    assert federation.round.phase is Phase.COMMITTED


# Dishonest members.


def test_a_wrong_answer_is_named_and_left_out(world):
    federation = world(n=5)
    federation.play()

    def lie(body: bytes) -> bytes:
        message = canonical.decode(Envelope.from_json(body).payload, UnmaskingMessage)
        wrong = {org: bytes(33) for org in message.self_shares}
        return messages.sign(
            dataclasses.replace(message, self_shares=wrong), federation.key(C)
        ).to_json()

    federation.links[C].lies["send", Step.UNMASKING] = lie
    round_ = federation.play()
    assert round_.phase is Phase.COMMITTED
    assert np.array_equal(federation.opened_sum(round_), federation.plain_sum(round_))


def test_too_many_wrong_answers_open_nothing(world):
    federation = world(n=4)
    federation.play()
    model = federation.fed.recorder.in_force.model

    def liar(org):
        def lie(body: bytes) -> bytes:
            message = canonical.decode(
                Envelope.from_json(body).payload, UnmaskingMessage
            )
            wrong = {peer: bytes(33) for peer in message.self_shares}
            return messages.sign(
                dataclasses.replace(message, self_shares=wrong), federation.key(org)
            ).to_json()

        return lie

    for org in (C, D):
        federation.links[org].lies["send", Step.UNMASKING] = liar(org)
    round_ = federation.play()
    assert round_.failure.reason == "cannot-open"
    assert federation.fed.recorder.in_force.model == model


def test_a_stranger_is_no_sender(world):
    federation = world(n=4)
    federation.start()
    federation.go_on(gone=lambda org, _: org == D, until=Phase.KEYS)
    sender = Sender(federation, A, Kind.SHARES, Phase.KEYS)
    message = canonical.decode(
        wire.unpack_envelopes(sender.body)[0].payload, ShareMessage
    )
    mails = []
    for peer in (A, B, C):
        mail = message.mail
        salt = mail.salt if peer > D else None
        mails.append(
            messages.sign(
                dataclasses.replace(
                    message,
                    mail=dataclasses.replace(mail, sender=D, recipient=peer, salt=salt),
                ),
                federation.key(D),
            )
        )
    with pytest.raises(UnknownSender, match="org-d sent no keys"):
        federation.orchestrator.receive(
            sender.round_id, Kind.SHARES, D, wire.pack_envelopes(mails)
        )
