# SPDX-License-Identifier: Apache-2.0
"""Mode committee: whole rounds, drop-outs, helpers that lie, leave or are killed."""

from __future__ import annotations

import dataclasses

import cbor2
import numpy as np
import pytest

from fedxdr.core import canonical
from fedxdr.core.errors import BadSignature, InvalidInput, Unavailable
from fedxdr.core.ids import OrgId
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation import messages, wire
from fedxdr.federation.floor import Floor
from fedxdr.federation.messages import (
    HeaderMessage,
    HelperAnswerMessage,
    HelperKeysMessage,
    SurvivorSet,
    VettingMessage,
)
from fedxdr.federation.phases import Kind, Phase
from fedxdr.federation.sessions import Step
from fedxdr.ledger import statements
from fedxdr.parties.collecting import committee as mode

A, B, C, D = (OrgId(f"org-{letter}") for letter in "abcd")
HELPERS = (A, B)
PLAN = {
    "collection_mode": "committee",
    "helpers": HELPERS,
    "max_weight_exponent": 0,
    "max_failure_rate": 0.5,
}


@pytest.fixture
def committee(world):
    return lambda n=4, **plan: world(n=n, plan={**PLAN, **plan}, floor=FLOOR)


FLOOR = Floor(modes=("committee",))


def assert_exact(federation, round_):
    assert round_.phase is Phase.COMMITTED, round_.failure
    assert np.array_equal(federation.opened_sum(round_), federation.plain_sum(round_))
    again = federation.orchestrator.reopen(round_)
    assert round_.opened.model_hash == again.model_hash


def verdicts(federation, round_):
    return {
        org: statements.parse(envelope.payload, messages.AcceptanceStatement)
        for org, envelope in federation.orchestrator.envelopes(
            round_, Kind.ACCEPTANCE
        ).items()
    }


def test_a_round_opens_exactly_the_plain_sum_and_everybody_replays_it(committee):
    federation = committee()
    for _ in range(2):
        round_ = federation.play()
        assert_exact(federation, round_)
        assert round_.survivors == (A, B, C, D)
        said = verdicts(federation, round_)
        assert set(said) == {A, B, C, D}
        assert all(s.verdict == "accepted" and s.replayed for s in said.values())


def test_a_dropout_costs_nothing_and_is_missing_from_the_sum(committee):
    federation = committee()
    federation.play()
    round_ = federation.play(gone=lambda org, _phase: org == D)
    assert_exact(federation, round_)
    assert round_.survivors == (A, B, C)


def test_a_seed_that_does_not_open_leaves_its_sender_out_and_nobody_else(committee):
    federation = committee()
    federation.play()

    def spoil(body):
        packed = wire.unpack_contribution(body, size_bytes=len_of(body))
        (header,) = packed.mail
        message = canonical.decode(header.payload, HeaderMessage)
        boxes = {
            helper: bytes(len(box)) for helper, box in message.header.boxes.items()
        }
        spoiled = dataclasses.replace(
            message, header=dataclasses.replace(message.header, boxes=boxes)
        )
        signed = messages.sign(spoiled, federation.key(D))
        return wire.pack_contribution(dataclasses.replace(packed, mail=(signed,)))

    federation.links[D].lies["send", Step.CONTRIBUTION] = spoil
    round_ = federation.play()
    assert_exact(federation, round_)
    assert round_.survivors == (A, B, C)
    assert round_.excluded == {D}
    assert "not in the sum" in federation.why(D) or "dropped" in federation.why(D)


def len_of(body):
    """Return how long the vector in a packed contribution is."""
    return len(cbor2.loads(body)["vector"])


def test_a_helper_that_stays_away_ends_the_round_before_anything_is_opened(committee):
    federation = committee()
    round_ = federation.play(gone=lambda org, _phase: org == B)
    assert round_.failure.reason == "too-few-participants"
    assert round_.opened is None


@pytest.mark.parametrize(
    "phase", [Phase.CONTRIBUTIONS, Phase.SURVIVORS, Phase.PROPOSED]
)
def test_helper_and_member_restarted_at_any_step_go_on(committee, phase):
    federation = committee()
    federation.start()
    federation.go_on(until=phase)
    for org in (A, D):
        federation.restart(org)
    assert_exact(federation, federation.go_on())


def test_killed_at_every_write_a_helper_goes_on(committee):
    # what is on disk after one write is what is there before the next
    federation = committee(n=3)
    fuse = federation.make_mortal(A)
    federation.play()
    fuse.count = 0
    federation.play()
    writes = fuse.count
    assert writes > 15
    moments = [(False, 1), *((True, left) for left in range(1, writes + 1))]
    for is_after, left in moments:
        fuse.is_after, fuse.left = is_after, left
        round_ = federation.play()
        assert fuse.left is None, "the helper was never killed"
        assert_exact(federation, round_)
        assert round_.survivors == (A, B, C), (left, is_after)


# What a malicious orchestrator tries on a helper.


@pytest.fixture
def asked(committee):
    """Return a federation where helper org-a is about to answer."""
    federation = committee()
    federation.play()
    federation.start()
    federation.go_on(until=Phase.SURVIVORS)
    return federation


def test_a_helper_answers_for_no_smaller_set(asked):
    def fewer(body):
        message = canonical.decode(Envelope.from_json(body).payload, SurvivorSet)
        left = message.survivors[:2]
        return messages.sign(
            dataclasses.replace(
                message,
                survivors=left,
                contributions={org: message.contributions[org] for org in left},
            ),
            asked.fed.identity,
        ).to_json()

    asked.links[A].lies[Step.SURVIVOR_SET] = fewer
    round_ = asked.go_on()
    assert round_.opened is None
    assert "we answer for 3 or more" in asked.why(A)


def test_a_helper_believes_only_the_orchestrators_set(asked):
    def signed_by_another(body):
        message = canonical.decode(Envelope.from_json(body).payload, SurvivorSet)
        return messages.sign(message, asked.key(B)).to_json()

    asked.links[A].lies[Step.SURVIVOR_SET] = signed_by_another
    assert asked.go_on().opened is None
    assert "refused" in asked.why(A)


def test_a_helper_answers_for_one_set_per_parent_model(asked):
    # the first answer is lost on its way: the round fails, and is tried again
    def lost(_body):
        raise Unavailable("lost")

    asked.links[A].lies["send", Step.UNMASKING] = lost
    round_ = asked.go_on()
    assert round_.opened is None
    asked.links[A].lies.clear()
    round_ = asked.play(gone=lambda org, _phase: org == D)
    assert round_.opened is None
    assert "another survivor set was signed" in asked.why(A)
    assert_exact(asked, asked.play())


def test_a_helper_key_that_was_swapped_is_refused(committee):
    federation = committee()

    def swap(body):
        envelopes = wire.unpack_envelopes(body)
        mine = canonical.decode(envelopes[1].payload, HelperKeysMessage)
        theirs = canonical.decode(envelopes[0].payload, HelperKeysMessage)
        forged = messages.sign(
            dataclasses.replace(mine, key=theirs.key), federation.fed.identity
        )
        return wire.pack_envelopes([envelopes[0], forged])

    federation.links[C].lies[Step.KEY_LIST] = swap
    round_ = federation.play()
    assert C not in round_.survivors
    assert "refused" in federation.why(C)


def test_helpers_that_the_plan_does_not_name_are_refused(committee):
    federation = committee()
    federation.links[C].lies[Step.KEY_LIST] = lambda body: wire.pack_envelopes(
        wire.unpack_envelopes(body)[:1]
    )
    federation.play()
    assert "other helpers than the plan names" in federation.why(C)


def test_a_header_in_anothers_name_is_refused_by_the_helper(committee):
    federation = committee()

    def forge(body):
        envelopes = wire.unpack_envelopes(body)
        victim = canonical.decode(envelopes[3].payload, HeaderMessage)
        forged = messages.sign(victim, federation.fed.identity)
        return wire.pack_envelopes([*envelopes[:3], forged])

    federation.links[A].lies[Step.HEADERS] = forge
    assert federation.play().opened is None
    assert "refused" in federation.why(A)


def test_a_model_that_is_not_what_the_answers_give_is_rejected(committee):
    federation = committee()
    honest = federation.orchestrator.reopen

    def dishonest(round_):
        opened = honest(round_)
        other = opened.sum + 1
        digest = mode.sha256(other.astype("<i8").tobytes())
        return dataclasses.replace(opened, sum=other, sum_digest=digest)

    federation.orchestrator.reopen = dishonest
    round_ = federation.play()
    assert round_.failure.reason == "rejected"


# What members try on the orchestrator.


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda r, key: (r, key), None),
        (
            lambda r, key: (dataclasses.replace(r, refused=(C,)), key),
            "once, opened or refused",
        ),
        (
            lambda r, key: (dataclasses.replace(r, opened={}), key),
            "once, opened or refused",
        ),
        (
            lambda r, key: (dataclasses.replace(r, transcript=bytes(32)), key),
            "another key list",
        ),
        (lambda r, key: (dataclasses.replace(r, helper=B), key), "in the name of"),
    ],
)
def test_a_helpers_report_is_checked(committee, change, why):
    federation = committee()
    federation.start()
    federation.go_on(until=Phase.CONTRIBUTIONS)
    held = []

    def hold(body):
        held.append(body)
        raise InvalidInput("held")

    federation.links[A].lies["send", Step.VETTING] = hold
    with pytest.raises(InvalidInput, match="held"):
        federation.participant(A).step(wait_s=0)
    message = canonical.decode(Envelope.from_json(held[0]).payload, VettingMessage)
    report, key = change(message.report, federation.key(A))
    body = messages.sign(dataclasses.replace(message, report=report), key).to_json()
    round_id = message.round_id
    if why is None:
        federation.orchestrator.receive(round_id, Kind.VETTING, A, body)
        return
    with pytest.raises((InvalidInput, BadSignature), match=why):
        federation.orchestrator.receive(round_id, Kind.VETTING, A, body)


def test_an_answer_for_another_set_or_sum_is_refused(asked):
    held = []

    def hold(body):
        held.append(body)
        raise InvalidInput("held")

    asked.links[A].lies["send", Step.UNMASKING] = hold
    with pytest.raises(InvalidInput, match="held"):
        asked.participant(A).step(wait_s=0)
    packed = wire.unpack_contribution(held[0], size_bytes=len_of(held[0]))
    message = canonical.decode(packed.statement.payload, HelperAnswerMessage)
    for head, why in (
        (dataclasses.replace(message.head, included="0" * 64), "another set"),
        (dataclasses.replace(message.head, sum_digest="0" * 64), "another answer"),
    ):
        signed = messages.sign(dataclasses.replace(message, head=head), asked.key(A))
        body = wire.pack_contribution(dataclasses.replace(packed, statement=signed))
        with pytest.raises(InvalidInput, match=why):
            asked.orchestrator.receive(message.round_id, Kind.UNMASKING, A, body)
    asked.orchestrator.receive(message.round_id, Kind.UNMASKING, A, held[0])
