# SPDX-License-Identifier: Apache-2.0
"""The agent: a whole round, drop-outs everywhere, killed at every write."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from fedxdr.core.canonical import decode
from fedxdr.core.errors import (
    BadSignature,
    InvalidInput,
    NotFound,
    Unavailable,
    VerificationFailed,
    WaitingForQuorum,
)
from fedxdr.core.ids import OrgId, RoundId, sha256
from fedxdr.federation.floor import Floor
from fedxdr.federation.messages import UnmaskingMessage
from fedxdr.federation.phases import Kind, Phase
from fedxdr.federation.sessions import Step
from fedxdr.ledger import note, note_form
from fedxdr.ledger.block import next_block
from fedxdr.ledger.entries import RoundFailed, entry_digest
from fedxdr.parties.following import Joined

PHASES = (
    Phase.ANNOUNCED,
    Phase.KEYS,
    Phase.SHARES,
    Phase.CONTRIBUTIONS,
    Phase.SURVIVORS,
    Phase.PROPOSED,
)
PLACE = {phase: place for place, phase in enumerate(Phase)}


def leaving(org: str, phase: Phase):
    """Return a rule: this organisation is gone from that phase on."""
    return lambda who, stands: who == org and PLACE[stands] >= PLACE[phase]


def assert_exact(federation, round_):
    assert round_.phase is Phase.COMMITTED
    assert np.array_equal(federation.opened_sum(round_), federation.plain_sum(round_))
    again = federation.orchestrator.reopen(round_)
    assert round_.opened.model_hash == again.model_hash
    assert federation.fed.recorder.in_force.model == again.model_hash


def test_a_round_opens_exactly_the_plain_sum(world):
    federation = world(n=4)
    for task in ("statistics", "training", "training"):
        round_ = federation.play()
        assert round_.announcement.task == task
        assert round_.survivors == tuple(federation.orgs)
        assert_exact(federation, round_)
        for org in federation.orgs:
            assert federation.why(org).startswith("committed")


@pytest.mark.parametrize("phase", PHASES)
def test_one_organisation_lost_at_each_phase(world, phase):
    federation = world(n=4)
    federation.play()
    round_ = federation.play(gone=leaving("org-b", phase))
    assert_exact(federation, round_)
    contributed = PLACE[phase] > PLACE[Phase.SHARES]
    assert ("org-b" in round_.survivors) is contributed
    assert ("org-b" in round_.dropouts) is (phase is Phase.SHARES)
    # it comes back, sees that the round is over, and takes part in the next
    assert_exact(federation, federation.play())
    assert federation.round.survivors == tuple(federation.orgs)


@pytest.mark.parametrize("phase", [*PHASES[:-1]])
def test_one_too_many_lost_fails_the_round_before_anything_opens(world, phase):
    federation = world(n=4)
    before = federation.fed.recorder.in_force.model
    lost = (leaving("org-b", phase), leaving("org-c", phase))
    round_ = federation.play(gone=lambda *a: any(rule(*a) for rule in lost))
    assert round_.phase is Phase.FAILED
    assert round_.failure.reason == "too-few-participants"
    assert round_.opened is None
    assert federation.fed.recorder.in_force.model == before


@pytest.mark.parametrize(
    ("first", "second"), list(itertools.combinations_with_replacement(PHASES[:5], 2))
)
def test_two_of_six_lost_at_any_two_phases(world, first, second):
    federation = world(n=6, plan={"max_failure_rate": 0.34, "threshold": 5})
    lost = (leaving("org-a", first), leaving("org-f", second))
    round_ = federation.play(gone=lambda *a: any(rule(*a) for rule in lost))
    # 4 of 6 is below the threshold of 5
    assert round_.phase is Phase.FAILED
    assert round_.opened is None


@pytest.mark.parametrize("phase", PHASES[:5])
def test_down_to_the_threshold_of_seven(world, phase):
    federation = world(n=7)
    assert federation.fed.orchestrator._plan_for(7, {}).threshold == 5
    lost = (leaving("org-a", phase), leaving("org-g", Phase.SHARES))
    round_ = federation.play(gone=lambda *a: any(rule(*a) for rule in lost))
    assert_exact(federation, round_)


def test_at_three_nobody_may_drop_out(world):
    federation = world(n=3)
    round_ = federation.play(gone=leaving("org-c", Phase.SHARES))
    assert round_.phase is Phase.FAILED
    assert_exact(federation, federation.play())


# Killed at every write.


def writes_of(federation, fuse) -> int:
    fuse.count = 0
    federation.play()
    for link in federation.links.values():
        link.sent.clear()
    return fuse.count


def test_killed_at_every_write_the_agent_goes_on(world):
    # what is on disk after one write is what is there before the next
    federation = world(n=3)
    for org in ("org-a", "org-c"):
        agent = federation.participant(org)
        agent._desk = dataclasses.replace(agent._desk, does_replay=False)
    fuse = federation.make_mortal("org-b")
    federation.play()
    writes = writes_of(federation, fuse)
    assert writes > 20
    moments = [(False, 1), *((True, left) for left in range(1, writes + 1))]
    for is_after, left in moments:
        fuse.is_after, fuse.left = is_after, left
        round_ = federation.play()
        assert fuse.left is None, "the agent was never killed"
        assert round_.survivors == tuple(federation.orgs)
        assert_exact(federation, round_)
        once_each(federation, "org-b")


def once_each(federation, org) -> None:
    """Whatever was sent in a step was sent with the same bytes every time."""
    link = federation.links[OrgId(org)]
    by_step: dict[Step, set[bytes]] = {}
    for step, body in link.sent:
        by_step.setdefault(step, set()).add(body)
    assert all(len(bodies) == 1 for bodies in by_step.values()), {
        step: len(bodies) for step, bodies in by_step.items()
    }
    link.sent.clear()


def test_an_answer_lost_on_the_way_is_asked_for_again(world):
    federation = world(n=3)
    link = federation.links[OrgId("org-b")]
    federation.play()
    for step in (
        Step.KEYS,
        Step.SHARES,
        Step.CONTRIBUTION,
        Step.SURVIVOR_SIGNATURE,
        Step.UNMASKING,
        Step.ACCEPTANCE,
    ):
        lost = []

        def lose(_, step=step, lost=lost):
            if link.sent[-1][0] is step and not lost:
                lost.append(step)
                raise Unavailable("the answer was lost")

        link.lies["send"] = lose
        link.sent.clear()
        round_ = federation.play()
        assert lost == [step]
        # the last acceptance ends the round: nothing more is asked of anybody
        again = 1 if step is Step.ACCEPTANCE else 2
        assert [s for s, _ in link.sent].count(step) == again
        once_each(federation, "org-b")
        assert_exact(federation, round_)


def test_shares_are_revealed_once_even_after_a_restart(world):
    federation = world(n=4)
    federation.start()
    gone = leaving("org-d", Phase.SHARES)
    federation.go_on(gone=gone, until=Phase.SURVIVORS)
    federation.go_on(gone=gone, until=Phase.PROPOSED)
    link = federation.links[OrgId("org-b")]
    (answered,) = [body for step, body in link.sent if step is Step.UNMASKING]
    federation.restart("org-b")
    agent = federation.participant("org-b")
    agent._enter(federation.round.announcement.round_id, Phase.SURVIVORS)
    agent._advance(Phase.SURVIVORS)
    assert [b for s, b in link.sent if s is Step.UNMASKING] == [answered]
    message = decode(
        federation.orchestrator.envelopes(federation.round, Kind.UNMASKING)[
            OrgId("org-b")
        ].payload,
        UnmaskingMessage,
    )
    assert set(message.self_shares) == {"org-a", "org-b", "org-c"}
    assert set(message.key_shares) == {"org-d"}


def test_secrets_are_erased_when_the_round_is_over(world):
    federation = world(n=3)
    federation.start()
    federation.go_on(until=Phase.SHARES)
    for org in federation.orgs:
        assert federation.participant(org)._desk.fence.open_rounds()
    federation.go_on()
    for org in federation.orgs:
        assert federation.participant(org)._desk.fence.open_rounds() == []
        assert not federation.participant(org)._workings._made


def test_secrets_of_a_round_whose_end_was_not_seen_are_erased_at_the_next(world):
    federation = world(n=4)
    federation.play()
    federation.play(gone=leaving("org-b", Phase.CONTRIBUTIONS))
    missed = federation.round.announcement.round_id
    fence = federation.participant("org-b")._desk.fence
    assert fence.open_rounds() == [missed]
    federation.play()
    assert fence.open_rounds() == []


def test_killed_between_the_end_and_the_erasing_secrets_still_go(world):
    federation = world(n=3)
    federation.play()
    fuse = federation.make_mortal("org-b")
    federation.start()
    agent = federation.participant("org-b")
    fence = agent._desk.fence._port
    erase = fence.erase
    federation.go_on(until=Phase.PROPOSED)
    # the next write that erases a secret does not happen any more
    fence.erase = lambda _: None
    federation.go_on()
    fence.erase = erase
    assert fence.open_rounds() == [federation.round.announcement.round_id]
    federation.restart("org-b")
    federation.participant("org-b").step(wait_s=0)
    assert fence.open_rounds() == []
    assert fuse.left is None


def test_our_vector_is_erased_when_the_round_is_over(world):
    federation = world(n=3)
    round_ = federation.play()
    for org, digest in federation.orchestrator.contributions(round_).items():
        assert federation.orchestrator.blobs.has(digest)
        assert not federation.participant(org)._desk.blobs.has(digest)


@pytest.mark.parametrize("phase", [Phase.COMMITTED, Phase.FAILED])
def test_a_round_is_over_when_the_ledger_says_so(world, phase):
    federation = world(n=3)
    federation.start()
    federation.go_on(until=Phase.SHARES)
    link = federation.links[OrgId("org-a")]
    link.lies["standing"] = lambda said: dataclasses.replace(said, phase=phase)
    with pytest.raises(InvalidInput, match="the ledger does not say so"):
        federation.participant("org-a").step(wait_s=0)
    assert federation.session("org-a").ended is None
    del link.lies["standing"]
    assert_exact(federation, federation.go_on())


# One opening per parent model.


def test_on_one_parent_no_second_set_is_signed(world):
    federation = world(n=7)
    federation.play()
    # five of seven sign and unmask; all reject the model, so the parent stays in force
    for org in federation.orgs:
        federation.links[org].lies["evidence"] = lambda _: b"[]"
    round_ = federation.play(gone=leaving("org-a", Phase.SHARES))
    assert round_.failure.reason == "rejected"
    assert round_.opened is not None
    for org in federation.orgs:
        del federation.links[org].lies["evidence"]
    parent = federation.fed.recorder.in_force.model
    assert round_.announcement.parent_model == parent
    # now with org-a: the difference of the two sums would be its update
    round_ = federation.play()
    assert round_.announcement.parent_model == parent
    assert round_.failure.reason == "too-few-participants"
    assert round_.opened is None
    for org in federation.orgs[1:]:
        assert "another survivor set was signed" in federation.why(org)
    # the same set again may be opened
    round_ = federation.play(gone=leaving("org-a", Phase.SHARES))
    assert_exact(federation, round_)


def test_no_new_plan_lets_a_second_set_be_signed_for_statistics(world):
    federation = world(n=4)
    federation.play("statistics")
    federation.play("training")
    federation.fed.start_round(task="statistics", wishes={"clip_norm": 5.0})
    round_ = federation.go_on(gone=leaving("org-d", Phase.SHARES))
    assert round_.opened is None
    assert "another survivor set was signed" in federation.why("org-a")


def test_under_one_plan_no_second_set_is_signed_for_statistics(world):
    federation = world(n=4)
    federation.play("statistics")
    federation.play("training")
    # another parent, but the same data: the difference would be org-d's statistics
    round_ = federation.play("statistics", gone=leaving("org-d", Phase.SHARES))
    assert round_.failure.reason == "too-few-participants"
    assert round_.opened is None
    assert "another survivor set was signed" in federation.why("org-a")
    round_ = federation.play("statistics")
    assert round_.phase is Phase.COMMITTED


# What is sent wrongly, or not at all.


def test_below_its_floor_an_organisation_sits_out(world, caplog):
    federation = world(n=4)
    federation.insist("org-d", Floor(min_survivors=4))
    # three of four are a quorum for the plan, and it binds nobody who does not want it
    round_ = federation.play()
    assert round_.phase is Phase.COMMITTED
    assert round_.survivors == ("org-a", "org-b", "org-c")
    assert federation.participant("org-d").session is None
    assert any("sat out" in record.message for record in caplog.records)


def test_a_plan_below_the_floor_of_too_many_never_comes_into_force(world):
    federation = world(n=4)
    for org in ("org-c", "org-d"):
        federation.insist(org, Floor(min_survivors=4))
    with pytest.raises(WaitingForQuorum, match=r"2 of the 3 .* org-c, org-d"):
        federation.play()
    assert federation.fed.recorder.in_force.plan is None


def test_without_a_sample_an_organisation_sits_out(world):
    federation = world(n=4)
    federation.play()
    federation.learners["org-b"].count = 0
    round_ = federation.play()
    assert round_.survivors == ("org-a", "org-c", "org-d")
    assert "keys" in federation.why("org-b")
    assert federation.why("org-b").startswith("refused")


def test_an_update_that_is_not_finite_ends_the_session_and_not_the_agent(world):
    federation = world(n=4)
    federation.play()
    learner = federation.learners["org-b"]
    honest = learner.learn

    def broken(**how):
        learned = honest(**how)
        learned.update.values[0] = np.nan
        return learned

    learner.learn = broken
    round_ = federation.play()
    assert round_.survivors == ("org-a", "org-c", "org-d")
    assert federation.why("org-b").startswith("refused: contribution")


def test_an_agent_set_back_to_a_backup_sits_the_round_out(world):
    federation = world(n=4)
    federation.play()
    federation.start()
    agent = federation.participant("org-b")
    kept = agent._facts._facts.copy()
    federation.go_on(until=Phase.KEYS)
    # restored: the round is known, its secret is another, and keys were sent before
    agent._facts._facts = kept
    agent._session = None
    agent._desk.fence.create(federation.round.announcement.round_id, b"x" * 32)
    round_ = federation.go_on()
    assert "org-b" not in round_.survivors
    assert federation.why("org-b").startswith("refused")
    assert_exact(federation, round_)


def test_a_model_that_is_another_file_is_refused(world):
    federation = world(n=3)
    link = federation.links[OrgId("org-a")]
    link.lies["model"] = lambda file: file + b"x"
    with pytest.raises(InvalidInput, match="hash"):
        federation.participant("org-a").model(federation.fed.recorder.in_force.model)


def test_a_model_is_fetched_once(world):
    federation = world(n=3)
    federation.play()
    agent = federation.participant("org-a")
    digest = federation.fed.recorder.in_force.model
    file = agent.model()
    assert sha256(file) == digest
    federation.links[OrgId("org-a")].lies["model"] = lambda _: b""
    assert agent.model() == file


def test_late_to_accept_it_still_ends_as_committed(world):
    federation = world(n=4)
    federation.play()
    round_ = federation.play(gone=leaving("org-b", Phase.PROPOSED))
    assert round_.phase is Phase.COMMITTED
    federation.participant("org-b").step(wait_s=0)
    assert federation.why("org-b").startswith("committed")


def test_what_is_not_there_yet_is_waited_for(world):
    federation = world(n=3)
    link = federation.links[OrgId("org-a")]

    def not_yet(_):
        link.lies.pop(Step.MAIL)
        raise NotFound("not yet")

    link.lies[Step.MAIL] = not_yet
    assert federation.play().phase is Phase.COMMITTED


# The mirror of the ledger.


def test_another_ledger_than_the_joined_one_is_not_mirrored(world):
    """The same founders and orchestrator, another Genesis."""
    federation, stranger = world(n=3), world(n=3, seed=1)
    genesis, other = federation.fed.recorder.in_force, stranger.orchestrator
    for joined in (
        Joined(genesis=genesis.genesis_hash),
        Joined(founding=entry_digest(genesis.genesis)),
    ):
        agent = federation.participant("org-a")
        agent.follower._joined = lambda joined=joined: joined
        link = federation.links[OrgId("org-a")]
        link.lies["blocks"] = lambda _: other.recorder.blocks(begin=0, end=9)
        link.lies["checkpoint"] = lambda _: other.heads.newest()
        with pytest.raises(BadSignature, match="another ledger than the one"):
            agent.follow_ledger(1)
        assert agent.mirror.size() == 0
    link.lies.clear()
    agent.follow_ledger(4)
    assert agent.mirror.in_force == federation.fed.recorder.in_force


def test_a_fork_of_the_mirrored_ledger_is_refused(world):
    """By the same orchestrator, with its good signature, from one block back."""
    federation = world(n=3)
    federation.play()
    federation.fed.step()
    agent = federation.participant("org-a")
    size = agent.mirror.size()
    assert size == federation.fed.recorder.size()
    fork = federation.fork(size - 1)
    fork.fail_a_round("round-8")
    fork.fail_a_round("round-9")
    fork.show("org-a")
    with pytest.raises((BadSignature, VerificationFailed)):
        agent.follow_ledger(size + 1)
    assert agent.mirror.size() == size


def test_a_block_that_the_orchestrator_did_not_sign_for_is_refused(world):
    """Somebody on the wire puts a block of his own in the place of a real one."""
    federation = world(n=3)
    federation.play()
    federation.fed.step()
    agent, recorder = federation.participant("org-a"), federation.fed.recorder
    size = agent.mirror.size()
    failed = RoundFailed(
        round_id=RoundId("round-9"), phase="keys", reason="forged", sentence="forged"
    )
    forged = next_block(
        recorder.in_force.head, entry=failed, timestamp=federation.fed.clock.now()
    )
    recorder.record(dataclasses.replace(failed, reason="true"))
    link = federation.links[OrgId("org-a")]
    link.lies["blocks"] = lambda _: [forged]
    with pytest.raises(BadSignature, match="not over the blocks"):
        agent.follow_ledger(size + 1)
    assert agent.mirror.size() == size
    link.lies.clear()
    agent.follow_ledger(size + 1)
    assert agent.mirror.size() == size + 1


def test_a_standing_beyond_the_ledger_is_not_waited_for(world):
    federation = world(n=3)
    federation.play()
    agent = federation.participant("org-a")
    size = agent.mirror.size()
    agent.follow_ledger(10**9)
    assert agent.mirror.size() == size


@pytest.mark.parametrize("what", ["model", "evidence"])
def test_what_cannot_be_reached_while_a_message_is_made_ends_nothing(world, what):
    federation = world(n=3)
    federation.play()
    link, lost = federation.links[OrgId("org-a")], []

    def lose(_):
        if not lost:
            lost.append(1)
            raise Unavailable("the network is down")
        return _

    link.lies[what] = lose
    if what == "model":
        # the agent lost its copies and has to fetch the parent
        federation.participant("org-a")._desk.blobs._blobs.clear()
    assert_exact(federation, federation.play())
    assert lost
    assert federation.why("org-a").startswith("committed")


def test_an_orchestrator_that_comes_back_without_cosignatures_gets_them_again(world):
    """Its backup was made after the block, and before the members' lines came."""
    federation = world(n=3)
    federation.play()
    federation.step()
    size = federation.fed.recorder.size()
    heads = federation.orchestrator.heads
    assert heads.has_quorum(size)
    found = note.parse(heads.at(size))
    by_log = tuple(line for line in found.signatures if not line.name.startswith("org"))
    bare = note_form.Note(text=found.text, signatures=by_log).to_bytes()
    heads._store._heads[size] = (heads._store._heads[size][0], bare)

    def away(_):
        raise Unavailable("the orchestrator is restored")

    for link in federation.links.values():
        link.lies["standing"] = away
    federation.step()
    federation.restart_orchestrator()
    for link in federation.links.values():
        del link.lies["standing"]
    assert not federation.orchestrator.heads.has_quorum(size)
    federation.step()
    assert federation.orchestrator.heads.has_quorum(size)
