# SPDX-License-Identifier: Apache-2.0
"""The link without a network: the very bytes of the orchestrator, for one round."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fedxdr.core.errors import BadSignature, MalformedMessage, NotFound
from fedxdr.core.ids import OrgId, RoundId, sha256
from fedxdr.core.layout import Layout, Segment
from fedxdr.core.update import Update
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation import wire
from fedxdr.federation.phases import Kind, Phase
from fedxdr.federation.sessions import TABLE, Step
from fedxdr.ledger import heads
from fedxdr.parties import consent
from fedxdr.parties.ports import Learned
from fedxdr.simulation.federation import SimulatedFederation
from fedxdr.transport.loopback import Loopback

A, B = OrgId("org-a"), OrgId("org-b")
LAYOUT = Layout(
    segments=(
        Segment(name="statistics.mean", shape=(1,)),
        Segment(name="weights.w", shape=(2,)),
    )
)


class Ones:
    def samples(self) -> int:
        return 8

    def learn(self, *, task, parent, plan, number) -> Learned:
        del parent, plan, number
        size, metrics = (
            (1, {}) if task == "statistics" else (2, {"held_out_accuracy": 1})
        )
        values = np.ones(size, dtype=np.float32)
        return Learned(update=Update(values=values, samples=8), metrics=metrics)


def founded() -> SimulatedFederation:
    return SimulatedFederation(
        {OrgId(f"org-{letter}"): Ones() for letter in "abc"},
        plan={"layout": LAYOUT, "architecture": {"kind": "test"}},
        initial=np.zeros(3, dtype=np.float32),
    )


@pytest.fixture(scope="module")
def federation():
    made = founded()
    made.run_round()
    return made


@pytest.fixture
def link(federation):
    return Loopback(federation.orchestrator, A)


def test_every_step_that_sends_has_its_kind():
    sends = {r.step for rows in TABLE.values() for r in rows if r.does == "send"}
    assert {str(step) for step in sends} == {str(kind) for kind in Kind}


def test_it_hands_on_what_the_orchestrator_has(federation, link):
    standing = link.standing(known=None, wait_s=99)
    assert standing == federation.orchestrator.standing()
    assert standing.phase is Phase.COMMITTED
    round_id = standing.round_id
    orchestrator = federation.orchestrator
    assert link.announcement(round_id) == orchestrator.announcement(round_id)
    for step in (r.step for r in TABLE["secagg"] if r.does == "fetch"):
        assert link.fetch(round_id, step) == orchestrator.fetch(round_id, step, A)
    evidence = wire.unpack_evidence(link.evidence(round_id))
    assert evidence == orchestrator.evidence(round_id)
    assert link.blocks(begin=1, end=3) == orchestrator.recorder.blocks(begin=1, end=3)
    model = orchestrator.recorder.in_force.model
    assert sha256(link.model(model)) == model


def test_heads_and_changes_go_both_ways():
    federation = founded()
    orchestrator, clock = federation.orchestrator, federation.clock
    size = orchestrator.recorder.size()
    ours = Loopback(orchestrator, A)
    assert ours.checkpoint() == ours.checkpoint(size) == orchestrator.heads.at(size)
    with pytest.raises(NotFound):
        ours.checkpoint(size + 1)
    lines = heads.cosign(
        orchestrator.heads.at(size), federation.keys[A], org=A, at=clock.now()
    )
    body = "".join(line.line() for line in lines).encode()
    with pytest.raises(MalformedMessage):  # another one's lines
        Loopback(orchestrator, B).cosign(size, body)
    ours.cosign(size, body)
    assert orchestrator.heads.cosigned_by(size) == (A,)
    change = orchestrator.propose_plan({"clip_norm": 7.0})
    assert ours.changes() == [change]
    approval = consent.approve(
        change,
        me=A,
        identity=federation.keys[A],
        ledger=orchestrator.recorder.in_force.genesis_hash,
        now=clock.now(),
    )
    with pytest.raises(BadSignature):
        Loopback(orchestrator, B).approve(change.digest, approval)
    ours.approve(change.digest, approval)
    (found,) = ours.changes()
    assert found.approved_by == (A,)


def test_mail_is_for_whom_the_link_is(federation):
    round_id = federation.orchestrator.current.announcement.round_id
    mails = {
        org: wire.unpack_envelopes(
            Loopback(federation.orchestrator, org).fetch(round_id, Step.MAIL)
        )
        for org in federation.participants
    }
    assert all(len(found) == 2 for found in mails.values())
    digests = [e.digest for found in mails.values() for e in found]
    assert len(set(digests)) == 6


def test_only_contributions_of_the_round_are_handed_out(federation, link):
    orchestrator = federation.orchestrator
    round_ = orchestrator.current
    round_id = round_.announcement.round_id
    for digest in orchestrator.contributions(round_).values():
        assert sha256(link.contribution(round_id, digest)) == digest
    model = orchestrator.recorder.in_force.model
    assert orchestrator.blobs.has(model)
    with pytest.raises(NotFound):
        link.contribution(round_id, model)


def test_what_is_not_there_is_not_found(link):
    for act in (
        lambda: link.announcement(RoundId("round-9")),
        lambda: link.fetch(RoundId("round-9"), Step.MAIL),
        lambda: link.evidence(RoundId("round-9")),
        lambda: link.contribution(RoundId("round-9"), sha256(b"x")),
        lambda: link.model(sha256(b"x")),
    ):
        with pytest.raises(NotFound):
            act()


def test_a_message_goes_under_the_links_own_name(federation):
    federation.start_round()
    round_id = federation.orchestrator.current.announcement.round_id
    agent = federation.participants[A]
    sent: list[bytes] = []
    link = Catching(federation.orchestrator, A, sent)
    agent._desk = dataclasses.replace(agent._desk, link=link)
    agent.step(wait_s=0)
    (body,) = sent
    assert Envelope.from_json(body)
    with pytest.raises(BadSignature):
        Loopback(federation.orchestrator, B).send(round_id, Step.KEYS, body)
    Loopback(federation.orchestrator, A).send(round_id, Step.KEYS, body)
    assert federation.orchestrator.current.sent(Kind.KEYS) == (A,)


class Catching(Loopback):
    """Keeps what would be sent."""

    def __init__(self, orchestrator, org, sent) -> None:
        super().__init__(orchestrator, org)
        self._sent = sent

    def send(self, round_id, step, body) -> None:
        del round_id, step
        self._sent.append(body)
