# SPDX-License-Identifier: Apache-2.0
"""Mode paillier: whole rounds, drop-outs, bad uploads, bad answers, and lies."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools

import cbor2
import numpy as np
import pytest

from fedxdr.core import canonical
from fedxdr.core.errors import InvalidInput, Unavailable, WaitingForQuorum
from fedxdr.core.ids import OrgId
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.exchange import HybridPrivateKey
from fedxdr.federation import messages, wire
from fedxdr.federation.floor import Floor
from fedxdr.federation.messages import CommitmentMessage, PartialMessage, SurvivorSet
from fedxdr.federation.phases import Kind, Phase
from fedxdr.federation.sessions import Step
from fedxdr.ledger import statements
from fedxdr.ledger.entries import KeyCeremony
from fedxdr.parties.collecting.mode import no_share
from fedxdr.secagg.encrypted.ceremony import CeremonyKey, hold, open_box
from fedxdr.secagg.encrypted.paillier import PrivateKey

A, B, C, D = ORGS = tuple(OrgId(f"org-{letter}") for letter in "abcd")
# 512 bits, made once by primes.safe_prime: for tests and nothing else
PRIMES = PrivateKey(
    p=0xD75D3E21FF44322CE34EF1B95D141B657CB12F091531A2F784ED5A2B2F035243,
    q=0xF48183DCE17550F6442F0B10B901D5A5CA36A98A3E94D9D76887BBCD18D999AB,
)
CEREMONY_KEYS = {
    org: HybridPrivateKey.from_seed(bytes([place]) * 32)
    for place, org in enumerate(ORGS)
}


@functools.cache
def held(names=ORGS, threshold=3):
    return hold(
        PRIMES,
        [CeremonyKey(holder=o, key=CEREMONY_KEYS[o].public) for o in names],
        threshold=threshold,
        entropy=SeededEntropy(1),
    )


def entry_of(record, **changed):
    fields = {
        "change": 1,
        "record": canonical.builtins(record),
        "fingerprint": record.fingerprint,
        "holders": record.key.holders,
    }
    return KeyCeremony(**{**fields, **changed})


@pytest.fixture
def encrypted(world):
    def build(*, n=4, made=None, names=None, **plan):
        orgs = ORGS[:n]
        made = made or held(names or orgs)
        record = made.record
        federation = world(
            n=n,
            plan={
                "collection_mode": "paillier",
                "paillier_key": record.fingerprint,
                "max_weight_exponent": 0,
                "quantisation_bits": 20,
                **plan,
            },
            floor=Floor(modes=("paillier",)),
        )
        publish(federation, record)
        for org in orgs:
            agent = federation.participant(org)

            def share_of(ceremony, org=org):
                return open_box(ceremony, org, made.boxes[org], CEREMONY_KEYS[org])

            agent._desk = dataclasses.replace(agent._desk, share_of=share_of)
        return federation

    return build


def publish(federation, record) -> None:
    """Put a ceremony on the ledger: the agents approve it by themselves."""
    for _ in range(4):
        try:
            federation.fed.registrar.publish(record)
        except WaitingForQuorum:
            federation.fed.step()
    assert federation.fed.recorder.in_force.ceremonies[record.fingerprint] == record


def assert_exact(federation, round_):
    assert round_.phase is Phase.COMMITTED, round_.failure
    assert np.array_equal(federation.opened_sum(round_), federation.plain_sum(round_))
    again = federation.orchestrator.reopen(round_)
    assert round_.opened.model_hash == again.model_hash


def len_of(body):
    """Return how long the vector in a packed contribution is."""
    return len(cbor2.loads(body)["vector"])


def test_a_round_opens_exactly_the_plain_sum_and_everybody_replays_it(encrypted):
    federation = encrypted()
    for _ in range(2):
        round_ = federation.play()
        assert_exact(federation, round_)
        assert round_.survivors == ORGS
        said = [
            statements.parse(envelope.payload, messages.AcceptanceStatement)
            for envelope in federation.orchestrator.envelopes(
                round_, Kind.ACCEPTANCE
            ).values()
        ]
        assert len(said) == 4
        assert all(s.verdict == "accepted" and s.replayed for s in said)


def test_who_committed_and_did_not_upload_is_not_in_the_sum(encrypted):
    federation = encrypted(max_failure_rate=0.5)
    round_ = federation.play(
        gone=lambda org, phase: org == D and phase is not Phase.ANNOUNCED
    )
    assert_exact(federation, round_)
    assert (round_.survivors, round_.dropouts) == ((A, B, C), (D,))


def test_fewer_answers_than_the_threshold_open_nothing(encrypted):
    federation = encrypted()
    round_ = federation.play(
        gone=lambda org, phase: org in {C, D} and phase is Phase.SURVIVORS
    )
    assert round_.opened is None
    assert round_.failure.reason == "too-few-participants"


def test_killed_at_every_write_a_member_goes_on(encrypted):
    federation = encrypted(n=3)
    fuse = federation.make_mortal(B)
    federation.play()
    writes = fuse.count
    assert writes > 15
    for left, is_after in itertools.product(range(1, writes + 1, 4), (False, True)):
        federation = encrypted(n=3)
        fuse = federation.make_mortal(B)
        fuse.left, fuse.is_after = left, is_after
        assert_exact(federation, federation.play())


# Who cannot take part.


def test_without_a_share_nobody_trains(encrypted):
    federation = encrypted(max_failure_rate=0.5)
    agent = federation.participant(D)
    agent._desk = dataclasses.replace(agent._desk, share_of=no_share)
    round_ = federation.play()
    assert_exact(federation, round_)
    assert "fedxdr keys install" in federation.why(D)


def test_somebody_without_a_share_in_the_cohort_is_told(encrypted):
    federation = encrypted(names=(A, B, C))
    with pytest.raises(KeyError):
        held((A, B, C)).boxes[D]
    round_ = federation.play()
    assert round_.opened is None
    assert "org-d hold no share of the plan's key" in federation.why(A)


def test_a_ceremony_of_strangers_or_under_another_fingerprint_is_refused(encrypted):
    federation = encrypted(n=3)
    record, good = held().record, held((A, B, C)).record
    governance, recorder = federation.orchestrator.governance, federation.fed.recorder
    for wrong in (
        entry_of(record, change=2),  # org-d is no member
        entry_of(good, change=2, fingerprint="0" * 64),
        entry_of(good, change=2, holders=(A, B)),
    ):
        with pytest.raises(InvalidInput):
            governance.propose(wrong, by="operator")
        assert not governance.proposals()
        # and if somebody collects approvals for it all the same
        signed = federation.approvals(wrong)
        with pytest.raises(InvalidInput):
            recorder.record(wrong, envelopes=signed)
    assert recorder.in_force.changes == 1
    entry = entry_of(good, change=2)
    recorder.record(entry, envelopes=federation.approvals(entry))


# What members try.


def swapped(federation, org, step, change):
    """Let an organisation send something else at a step."""
    federation.links[org].lies["send", step] = change


def test_an_upload_that_was_not_committed_to_is_refused(encrypted):
    federation = encrypted()
    held_back = {}

    def keep(body):
        held_back["body"] = body
        raise Unavailable("held back")

    swapped(federation, D, Step.CONTRIBUTION, keep)
    federation.start()
    federation.go_on(until=Phase.COMMITMENTS)
    with contextlib.suppress(Unavailable):
        federation.participant(D).step(wait_s=0)
    body = held_back["body"]
    packed = wire.unpack_contribution(body, size_bytes=len_of(body))
    other = bytes([packed.vector[0] ^ 1]) + packed.vector[1:]
    statement = canonical.decode(
        packed.statement.payload, messages.ContributionStatement
    )
    signed = messages.sign(
        dataclasses.replace(statement, contribution_digest=messages.sha256(other)),
        federation.key(D),
    )
    forged = wire.pack_contribution(
        dataclasses.replace(packed, statement=signed, vector=other)
    )
    with pytest.raises(InvalidInput, match="another upload than"):
        federation.orchestrator.receive(
            statement.round_id, Kind.CONTRIBUTION, D, forged
        )


def test_a_copied_upload_is_worth_nothing_under_another_name(encrypted):
    federation = encrypted(max_failure_rate=0.5)
    seen = {}

    def copy(body):
        mine = canonical.decode(Envelope.from_json(body).payload, CommitmentMessage)
        copied = dataclasses.replace(
            mine,
            commitment=seen["a"].commitment,
            contribution=seen["a"].contribution,
        )
        return messages.sign(copied, federation.key(D)).to_json()

    def see(body):
        seen["a"] = canonical.decode(
            Envelope.from_json(body).payload, CommitmentMessage
        )
        return body

    swapped(federation, A, Step.COMMITMENT, see)
    swapped(federation, D, Step.COMMITMENT, copy)
    federation.start()
    federation.go_on(until=Phase.COMMITMENTS)
    round_id = federation.round.announcement.round_id
    for org in (A, B, C):
        federation.participant(org).step(wait_s=0)
    victim = federation.orchestrator.blobs.get(seen["a"].contribution)
    signed = federation.orchestrator.envelopes(federation.round, Kind.CONTRIBUTION)[A]
    statement = canonical.decode(signed.payload, messages.ContributionStatement)
    stolen = wire.Contribution(
        statement=messages.sign(
            dataclasses.replace(statement, org=D), federation.key(D)
        ),
        vector=victim,
    )
    with pytest.raises(InvalidInput, match="another upload than"):
        federation.orchestrator.receive(
            round_id, Kind.CONTRIBUTION, D, wire.pack_contribution(stolen)
        )


def test_a_wrong_partial_decryption_is_refused_by_name(encrypted):
    federation = encrypted()

    def spoil(body):
        packed = wire.unpack_contribution(body, size_bytes=len_of(body))
        message = canonical.decode(packed.statement.payload, PartialMessage)
        values = bytes(len(packed.vector) - 1) + b"\x02"
        signed = messages.sign(
            dataclasses.replace(message, values=messages.sha256(values)),
            federation.key(D),
        )
        return wire.pack_contribution(
            dataclasses.replace(packed, statement=signed, vector=values)
        )

    federation.start()
    federation.go_on(until=Phase.SURVIVORS)
    swapped(federation, D, Step.UNMASKING, spoil)
    with pytest.raises(InvalidInput, match="the answer of org-d"):
        federation.participant(D).step(wait_s=0)
    federation.links[D].lies.clear()
    assert_exact(federation, federation.go_on())


# What a malicious orchestrator tries.


@pytest.fixture
def asked(encrypted):
    """Return a federation whose organisations are about to sign a set."""
    federation = encrypted()
    federation.start()
    federation.go_on(until=Phase.CONTRIBUTIONS)
    return federation


def resign(federation, change):
    def answer(body):
        message = canonical.decode(Envelope.from_json(body).payload, SurvivorSet)
        return messages.sign(change(message), federation.fed.identity).to_json()

    return answer


def fewer(message):
    left, out = message.survivors[:2], message.survivors[2:]
    return dataclasses.replace(
        message,
        survivors=left,
        dropouts=tuple(sorted((*message.dropouts, *out))),
        contributions={org: message.contributions[org] for org in left},
    )


def others(message):
    return dataclasses.replace(
        message,
        contributions={**message.contributions, A: message.contributions[B]},
    )


def left_out(message):
    left = message.survivors[:3]
    return dataclasses.replace(
        message,
        survivors=left,
        contributions={org: message.contributions[org] for org in left},
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (fewer, "a sum of 2; we answer for 3 or more"),
        (others, "another contribution than ours"),
        (left_out, "no partition of those who committed"),
    ],
)
def test_a_set_that_would_open_another_sum_is_not_signed(asked, change, why):
    asked.links[A].lies[Step.SURVIVOR_SET] = resign(asked, change)
    asked.go_on()
    assert why in asked.why(A)


def test_decryptors_compute_the_product_themselves(asked):
    # one survivor's ciphertexts are exchanged on their way to a decryptor
    asked.go_on(until=Phase.SURVIVORS)
    uploads = asked.orchestrator.contributions(asked.round)
    link = asked.links[A]
    link.lies["contribution"] = lambda _vector: asked.orchestrator.blobs.get(uploads[C])
    asked.go_on()
    assert "does not hash to its name" in asked.why(A)


def test_on_one_parent_one_set_is_decrypted(encrypted):
    federation = encrypted(max_failure_rate=0.5)
    federation.start()
    round_ = federation.go_on(
        gone=lambda org, phase: org in {B, C, D} and phase is Phase.SURVIVORS
    )
    assert round_.opened is None
    # tried again without org-d: the difference would be its update
    round_ = federation.play(
        gone=lambda org, phase: org == D and phase is not Phase.ANNOUNCED
    )
    assert round_.opened is None
    assert "another survivor set was signed" in federation.why(A)
    assert_exact(federation, federation.play())


def test_a_model_that_the_product_does_not_carry_is_rejected(encrypted):
    federation = encrypted()
    honest = federation.orchestrator.reopen

    def dishonest(round_):
        opened = honest(round_)
        other = opened.sum + 1
        digest = messages.sha256(other.astype("<i8").tobytes())
        return dataclasses.replace(opened, sum=other, sum_digest=digest)

    federation.orchestrator.reopen = dishonest
    assert federation.play().failure.reason == "rejected"
