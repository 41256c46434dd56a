# SPDX-License-Identifier: Apache-2.0
"""Whatever contradicts itself is proven, kept, and stops every further round.

The orchestrator is real and signs two histories; four organisations, quorum three.
"""

from __future__ import annotations

import dataclasses
import logging

import pytest

from fedxdr.core import canonical
from fedxdr.core.errors import BadSignature, BelowFloor, InvalidInput, Unavailable
from fedxdr.core.ids import OrgId
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation import messages, wire
from fedxdr.federation.messages import KeysMessage
from fedxdr.federation.phases import Phase
from fedxdr.federation.sessions import Step
from fedxdr.ledger import checkpoint, equivocation, heads
from fedxdr.parties.accusing import PREFIX

A, B, C, D = (OrgId(f"org-{letter}") for letter in "abcd")


@pytest.fixture
def world(plain_world):
    """Return four members after one round."""
    made = plain_world(n=4)
    made.play()
    made.fed.step()
    return made


def accuser(world, org=A):
    return world.participant(org).follower.accuser


def files(world, org=A):
    return dict(accuser(world, org).proofs())


def log(world):
    return world.fed.recorder.standing.log


def show(world, org, fork, *, size=None):
    """Let one organisation see a history, served as honestly as it can be."""
    link = world.links[org]
    head = fork.head(size)
    link.blocks = lambda *, begin, end: fork.recorder.blocks(begin=begin, end=end)
    link.checkpoint = lambda size=None: head if size is None else fork.head(size)
    height = checkpoint.parse(head).size - 1
    link.lies["standing"] = lambda said: dataclasses.replace(
        said, height=height, round_id=None, phase=None
    )


def convicted(world, org=A, *, kind):
    """Return the one proof that an organisation holds; it convicts."""
    ((name, proof),) = files(world, org).items()
    found = equivocation.verify(proof, log=log(world))
    assert name == f"{PREFIX}{found.digest}.json"
    assert found.kind == kind
    return found


def fork_at(world, size, *, blocks=1):
    fork = world.fork(size)
    for number in range(blocks):
        fork.fail_a_round(f"round-{100 + number}")
    return fork


# What an agent is shown by the orchestrator.


def test_another_root_for_the_mirrors_size(world, caplog):
    size = world.participant(A).mirror.size()
    fork = fork_at(world, size - 1)
    show(world, A, fork)
    with pytest.raises(BelowFloor, match=PREFIX), caplog.at_level(logging.ERROR):
        world.participant(A).follower.require_quorum()
    found = convicted(world, kind="roots")
    assert (found.first.size, found.second.size) == (size, size)
    assert any("told two histories" in r.message for r in caplog.records)


def test_an_old_head_of_another_history(world):
    size = world.participant(A).mirror.size()
    fork = fork_at(world, size - 2)
    show(world, A, fork)
    assert fork.recorder.size() == size - 1
    with pytest.raises(BadSignature, match="another history"):
        world.participant(A).follow_ledger(size + 1)
    # a head of that size was seen, too: two roots
    convicted(world, kind="roots")


def test_an_old_head_where_none_of_that_size_was_seen(world):
    size = world.participant(A).mirror.size()
    store = accuser(world)._store
    store._heads.pop(size - 1)
    fork = fork_at(world, size - 2)
    show(world, A, fork)
    with pytest.raises(BadSignature, match="another history"):
        world.participant(A).follow_ledger(size + 1)
    found = convicted(world, kind="prefix")
    assert (found.first.size, found.second.size) == (size - 1, size)


@pytest.mark.parametrize("back", [1, 2])
def test_a_longer_history_that_parts_below_the_mirror(world, back):
    size = world.participant(A).mirror.size()
    fork = fork_at(world, size - back, blocks=4)
    show(world, A, fork)
    with pytest.raises(InvalidInput):
        world.participant(A).follow_ledger(fork.recorder.size())
    found = convicted(world, kind="leaves")
    assert found.index == size - back
    assert (found.first.size, found.second.size) == (size, fork.recorder.size())


def test_a_longer_history_without_its_blocks_is_refused_and_nobody_accused(
    world, caplog
):
    size = world.participant(A).mirror.size()
    fork = fork_at(world, size - 1, blocks=3)
    show(world, A, fork)
    asked = []

    def none(*, begin, end):
        asked.append(begin)
        return [] if begin < end else [1]

    world.links[A].blocks = none
    for _ in range(3):
        with pytest.raises(InvalidInput):
            world.participant(A).follow_ledger(fork.recorder.size())
    assert files(world) == {}
    assert "shows no blocks" in caplog.text
    # once for the ledger each time, once in all for a proof
    assert asked == [size, 0, size, size]
    assert world.participant(A).mirror.size() == size


def test_blocks_that_cannot_be_had_now_are_asked_for_again(world):
    size = world.participant(A).mirror.size()
    fork = fork_at(world, size - 1, blocks=3)
    show(world, A, fork)
    honest, is_away = world.links[A].blocks, True

    def away(*, begin, end):
        if is_away and not begin:
            raise Unavailable("away")
        return honest(begin=begin, end=end)

    world.links[A].blocks = away
    for _ in range(2):
        with pytest.raises(InvalidInput):
            world.participant(A).follow_ledger(fork.recorder.size())
        is_away = False
    convicted(world, kind="leaves")


def test_a_turn_that_was_stored_before_the_agent_was_killed(world):
    """Of a head that was stored without its blocks another root convicts as well."""
    store = accuser(world)._store
    size = world.participant(A).mirror.size()
    first, second = (world.fork(size) for _ in range(2))
    for fork, seed in ((first, b"1"), (second, b"2")):
        key = IdentityKey(seed=seed * 32)
        fork.enrol("org-new", key, A, B, C)
        fork.fail_a_round()
    head = first.head(size + 1, by=(A, B, C))
    store.put(size + 1, first.recorder.root_at(size + 1), head)
    show(world, A, second)
    world.links[A].checkpoint = lambda size=None: second.head(size, by=(A, B, C))
    with pytest.raises(BadSignature, match="another root over 4 blocks before"):
        world.participant(A).follow_ledger(size + 2)
    found = convicted(world, kind="prefix")
    assert (found.first.size, found.second.size) == (size + 1, size + 2)


def test_a_head_of_somebody_else_accuses_nobody(world):
    stranger = IdentityKey(seed=b"s" * 32)
    size = world.participant(A).mirror.size()
    origin = log(world).origin
    forged = heads.sign(
        stranger, origin=origin, size=size, root="ab" * 32, at=world.fed.clock.now()
    )
    for head in (forged, b"", b"nonsense", forged[:200], b"\xff" * 50):
        assert accuser(world).examine(head) is None
    assert files(world) == {}


def test_the_true_ledger_accuses_nobody(world):
    store = accuser(world)._store
    for size in store.sizes():
        assert accuser(world).examine(store.get(size)) is None
        assert accuser(world).examine(world.orchestrator.heads.at(size)) is None
    world.orchestrator.recorder.record(
        fork_at(world, world.fed.recorder.size()).recorder.in_force.head.entry
    )
    later = world.orchestrator.heads.newest()
    fetch = world.participant(A).follower._fetch
    assert accuser(world).examine(later, fetch=fetch) is None
    assert files(world) == {}


# What follows.


def test_no_round_with_a_convicted_log_until_the_file_is_removed(world):
    size = world.participant(A).mirror.size()
    accuser(world).examine(fork_at(world, size - 1).head())
    (name,) = files(world)
    world.start()
    for _ in range(3):
        world.fed.step()
    agent = world.participant(A)
    assert agent.session is None or agent.session.announcement.round_id != (
        world.round.announcement.round_id
    )
    assert world.round.phase is Phase.ANNOUNCED  # it waits for four
    # it goes on mirroring and cosigning: what extends its mirror is still true
    assert agent.mirror.size() == world.fed.recorder.size()
    accuser(world)._files.put(name, b"")
    world.fed.step()
    assert agent.session.announcement.round_id == world.round.announcement.round_id


def test_one_proof_against_a_log_is_enough(world):
    size = world.participant(A).mirror.size()
    names = {
        accuser(world).examine(fork_at(world, size - 1, blocks=n).head(size))
        for n in (1, 2, 3)
    }
    assert names == set(files(world))
    assert len(names) == 1


def test_a_proof_that_cannot_be_read_stops_rounds_too(world):
    accuser(world)._files.put(f"{PREFIX}x.json", b"what is this")
    with pytest.raises(BelowFloor, match="equivocation-x"):
        accuser(world).require_innocent()


def test_a_proof_against_a_log_that_was_replaced_stops_nothing(world, monkeypatch):
    size = world.participant(A).mirror.size()
    accuser(world).examine(fork_at(world, size - 1).head())
    with pytest.raises(BelowFloor):
        accuser(world).require_innocent()
    standing = world.participant(A).mirror.standing
    renamed = dataclasses.replace(standing.log, origin="new.example/ledger")
    monkeypatch.setattr(standing, "log", renamed)
    accuser(world).require_innocent()


# What members show each other in a round.


def keys_of(world, org, head):
    message = KeysMessage(
        round_id=world.round.announcement.round_id,
        org=org,
        announcement="0" * 64,
        sample_exponent=1,
        keys=None,
        head=head.decode(),
    )
    return messages.sign(message, world.fed.keys[org])


def test_every_member_shows_its_newest_head(world):
    world.start()
    world.go_on(until=Phase.CONTRIBUTIONS)
    sent = [
        [body for step, body in world.links[org].sent if step is Step.KEYS][-1]
        for org in world.orgs
    ]
    sent = [canonical_keys(body) for body in sent]
    assert [message.org for message in sent] == [A, B, C, D]
    newest = world.participant(A).mirror.size()
    for message in sent:
        head = message.head.encode()
        says = heads.verify_log(head, log(world))
        assert says.size == newest
        assert equivocation.log_lines(head, log=log(world)) == head
        assert len(head) < messages.MAX_HEAD / 2


def canonical_keys(body):
    return canonical.decode(Envelope.from_json(body).payload, KeysMessage)


def test_a_member_of_another_history_in_the_key_list_convicts(world):
    world.start()
    size = world.participant(A).mirror.size()
    other = fork_at(world, size - 1).head()

    def mixed(body):
        honest = list(wire.unpack_envelopes(body))[:-1]
        return wire.pack_envelopes([*honest, keys_of(world, D, other)])

    for org in (A, B):
        world.links[org].lies[Step.KEY_LIST] = mixed
    world.go_on(until=Phase.CONTRIBUTIONS)
    for org in (A, B):
        assert world.why(org).startswith("refused: key-list")
        assert PREFIX in world.why(org)
        convicted(world, org, kind="roots")
    for org in (C, D):
        assert files(world, org) == {}


def test_members_that_are_behind_or_show_nothing_stop_nobody(world):
    world.start()
    older = world.orchestrator.heads.at(2)
    shown = [
        (A, older),
        (B, b""),
        (C, b"nonsense"),
        (D, world.orchestrator.heads.at(1)),
    ]
    accuser(world).compare(shown)
    assert files(world) == {}
    assert world.go_on().is_ended


def test_a_head_ahead_of_ours_is_held_against_the_mirror_once_it_has_grown(world):
    size = world.participant(A).mirror.size()
    fork = fork_at(world, size, blocks=2)
    accuser(world).compare([(B, fork.head(size + 1)), ("org-x", fork.head())])
    assert set(accuser(world)._ahead) == {B}
    assert files(world) == {}
    world.play()
    world.fed.step()
    assert world.participant(A).mirror.size() > size
    convicted(world, kind="roots")
    assert accuser(world)._ahead == {}


def test_a_head_ahead_of_ours_that_comes_true_is_forgotten(world):
    world.participant(B).step(wait_s=0)
    world.start()
    size = world.participant(A).mirror.size()
    agent = world.participant(A)
    world.go_on(gone=lambda org, _phase: org == A)
    true = world.orchestrator.heads.newest()
    accuser(world).compare([(B, true)])
    assert set(accuser(world)._ahead) == {B}
    agent.follow_ledger(world.fed.recorder.size())
    assert agent.mirror.size() > size
    assert (accuser(world)._ahead, files(world)) == ({}, {})


def test_a_restarted_agent_still_refuses(world):
    size = world.participant(A).mirror.size()
    accuser(world).examine(fork_at(world, size - 1).head())
    world.restart(A)
    with pytest.raises(BelowFloor, match=PREFIX):
        world.participant(A).follower.require_quorum()


def test_the_newest_head_is_the_logs_alone(world):
    head = accuser(world).newest()
    assert heads.verify_log(head, log(world)).size == world.fed.recorder.size()
    assert head.count(b"\n\xe2\x80\x94 ") == 2
