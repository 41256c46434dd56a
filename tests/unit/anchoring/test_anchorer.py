# SPDX-License-Identifier: Apache-2.0
"""When the anchorer anchors what, and that nothing of a chain reaches its callers."""

import logging
import threading
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.anchoring.chain_suite import ORIGIN, checkpoint
from tests.unit.anchoring.memory_chain import Ledger, MemoryChain, Transaction

from fedxdr.anchoring.anchorer import Anchorer, Pace, anchor_now
from fedxdr.anchoring.notes import Notes
from fedxdr.core.clock import ManualClock
from fedxdr.core.errors import (
    InvalidSettings,
    Refused,
    StorageFault,
    Unavailable,
    VerificationFailed,
)

PACE = Pace(
    every_blocks=5,
    every_s=100.0,
    poll_s=2.0,
    resend_s=30.0,
    first_wait_s=1.0,
    longest_wait_s=60.0,
)
DOWN = Unavailable("the chain's node does not answer as one: ConnectionError")


class World:
    """One chain, one file of notes, and an anchorer that can be started anew."""

    def __init__(self, clock, path):
        self.clock = clock
        self.ledger = Ledger(clock=clock)
        self.chain = MemoryChain(self.ledger)
        self.path = path
        self.notes = None
        self.restart()

    def restart(self, **options):
        if self.notes is not None:
            self.notes.close()
        self.notes = Notes(self.path)
        self.anchorer = Anchorer(
            self.chain, self.notes, origin=ORIGIN, clock=self.clock,
            **{"pace": PACE, **options},
        )  # fmt: skip

    def offer(self, size, **where):
        self.anchorer.offer(checkpoint(size, **where))

    def step(self):
        return self.anchorer.step()

    @property
    def sizes(self):
        return [record.size for record in self.notes.records]

    @property
    def handed_in(self):
        return [transaction.size for transaction in self.ledger.handed_in]


@pytest.fixture
def world(clock, tmp_path):
    made = World(clock, tmp_path / "anchors.jsonl")
    yield made
    made.notes.close()


@pytest.fixture
def logs(caplog):
    caplog.set_level(logging.INFO, "fedxdr.anchoring")

    def found(level=logging.WARNING):
        return [r.getMessage() for r in caplog.records if r.levelno >= level]

    return found


# when


def test_without_a_checkpoint_nothing_is_asked(world):
    assert world.step() is None
    assert world.chain.asked == []


def test_the_first_checkpoint_is_anchored_at_once(world):
    world.offer(1)
    assert world.step() == PACE.poll_s
    assert world.step() is None
    assert world.sizes == world.handed_in == [1]
    assert world.notes.newest(ORIGIN).root == checkpoint(1).root
    assert world.step() is None
    assert world.handed_in == [1]


def test_then_after_so_many_blocks(world):
    world.offer(1)
    world.step(), world.step()
    for size in (2, 3, 4, 5):
        world.offer(size)
        assert world.step() == pytest.approx(100.0)
    world.offer(6)
    world.step(), world.step()
    assert world.sizes == world.handed_in == [1, 6], "only the newest"


def test_or_after_so_long(world):
    world.offer(1)
    world.step(), world.step()
    world.offer(2)
    world.clock.advance(seconds=99)
    assert world.step() == pytest.approx(1.0)
    world.clock.advance(seconds=1)
    world.step(), world.step()
    assert world.sizes == [1, 2]
    world.clock.advance(seconds=1000)
    assert world.step() is None, "nothing new, nothing to anchor"


def test_a_chain_whose_clock_runs_ahead_holds_nothing_up(world):
    world.clock.advance(seconds=10_000)
    world.offer(1)
    world.step(), world.step()
    world.clock._now = world.clock.now().replace(year=2025)
    world.offer(2)
    assert world.step() == PACE.every_s


def test_an_anchor_is_noted_once_it_is_deep_enough(world):
    world.restart(pace=Pace(least_depth=3, poll_s=2.0, every_blocks=5))
    world.offer(1)
    world.step()
    assert world.step() == 2.0
    world.ledger.mine()
    # nothing else is handed in while it settles
    world.offer(50)
    assert world.step() == 2.0
    assert world.sizes == []
    assert world.handed_in == [1]
    world.ledger.mine()
    world.step()
    assert world.sizes == [1]


def test_without_a_block_the_fee_is_raised_now_and_then(world):
    world.ledger.mines_at_once = False
    world.offer(1)
    for _ in range(4):
        world.step()
        world.clock.advance(seconds=16)
    attempts = [t.attempt for t in world.ledger.handed_in]
    assert attempts == [0, 1]
    world.offer(7)
    world.clock.advance(seconds=30)
    world.step()
    assert world.ledger.pool.size == 7, "the newest takes the place of what is stuck"
    assert world.ledger.pool.attempt == 2
    world.ledger.mine()
    world.step()
    assert world.sizes == [7]
    world.offer(20)
    world.step()
    assert world.ledger.handed_in[-1].attempt == 0


def test_what_the_node_did_not_take_does_not_raise_the_fee(world):
    world.ledger.mines_at_once = False
    world.offer(1)
    world.step()
    world.clock.advance(seconds=31)
    world.chain.fails, world.chain.fails_at = DOWN, {"send"}
    for _ in range(5):
        world.step()
    world.chain.fails = None
    world.step()
    assert world.ledger.handed_in[-1].attempt == 1


# outages


def test_an_outage_is_logged_when_it_begins_and_ends_and_the_newest_follows(
    world, logs
):
    world.chain.fails = DOWN
    waits = []
    for size in range(1, 41):
        world.offer(size)
        waits.append(world.step())
        world.clock.advance(seconds=1)
    assert waits[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert max(waits) == PACE.longest_wait_s
    assert logs() == ["no anchors for now; rounds go on"]
    status = world.anchorer.status()
    assert (status.trouble, status.newest_size, status.anchored_size) == (
        "unavailable", 40, 0,
    )  # fmt: skip
    assert (world.clock.now() - status.since).total_seconds() == 40
    world.chain.fails = None
    world.step(), world.step()
    assert world.sizes == [40]
    assert logs() == ["no anchors for now; rounds go on"]
    assert logs(logging.INFO)[1:] == ["anchors go on", "a checkpoint is anchored"]
    assert world.anchorer.status().trouble is None
    world.chain.fails = DOWN
    world.offer(90)
    assert world.step() == 1, "the next outage begins anew"
    assert len(logs()) == 2


def test_tries_of_one_step_are_bounded(world):
    world.chain.fails = DOWN
    world.offer(1)
    world.step()
    assert world.chain.asked == ["head"] * 3


@pytest.mark.parametrize("what", ["head", "send", "record"])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DOWN, "unavailable"),
        (Refused("the account cannot pay"), "refused"),
        (VerificationFailed("0 bytes", step="3 contract"), "verification-failed"),
        (RuntimeError("a library's fault"), "RuntimeError"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_whatever_a_chain_raises_it_goes_on_afterwards(world, logs, what, error, code):
    world.chain.fails, world.chain.fails_at = error, {what}
    world.offer(1)
    for _ in range(4):
        assert world.step() > 0
    assert world.anchorer.status().trouble == code
    assert len(logs()) == 1
    world.chain.fails = None
    world.step(), world.step()
    assert world.sizes == [1]


def test_a_full_disk_loses_no_record(world, monkeypatch):
    def full(*_):
        raise StorageFault("cannot write: No space left on device")

    world.offer(1)
    world.step()
    with monkeypatch.context() as patched:
        patched.setattr(Notes, "append", full)
        world.step()
    assert world.anchorer.status().trouble == "storage-fault"
    world.step()
    assert world.sizes == world.handed_in == [1]


# restarts, and chains that say something else


def test_killed_after_handing_in_it_finds_its_anchor(world):
    world.offer(1)
    world.step()
    world.restart()
    world.offer(1)
    world.step()
    assert world.sizes == world.handed_in == [1]


def test_killed_with_a_transaction_under_way_only_one_is_carried_out(world):
    world.ledger.mines_at_once = False
    world.offer(1)
    world.step()
    world.restart()
    world.offer(2)
    world.step()
    world.ledger.mine()
    world.ledger.mine()
    world.step()
    carried_out = [t.size for _, t in world.ledger.blocks if t is not None]
    assert carried_out == world.sizes == [1]
    world.offer(6)
    world.step()
    world.ledger.mine()
    world.step()
    assert world.sizes == [1, 6]


def test_no_smaller_size_is_handed_in_though_the_chain_forgot(world):
    world.offer(20)
    world.step(), world.step()
    world.ledger.blocks.clear()
    world.restart()
    for size in (3, 19):
        world.offer(size)
        world.clock.advance(seconds=1000)
        assert world.step() is None
    assert world.handed_in == [20]
    world.offer(25)
    world.step(), world.step()
    assert world.sizes == [20, 25]


def test_a_chain_that_is_ahead_is_a_trouble_until_the_log_is_there(world, logs):
    world.ledger.blocks.append(
        (world.clock.now(), Transaction(
            origin=ORIGIN, size=9, root=checkpoint(9).root, attempt=0,
        ))
    )  # fmt: skip
    world.offer(5)
    world.step()
    assert world.anchorer.status().trouble == "refused"
    assert logs() == ["no anchors for now; rounds go on"]
    world.offer(9)
    world.step()
    assert world.anchorer.status().trouble is None
    assert world.sizes == [9]
    assert world.handed_in == []


def test_another_root_of_the_same_size_is_never_noted_as_ours(world, logs):
    other = checkpoint(9, branch="other")
    world.ledger.blocks.append(
        (world.clock.now(), Transaction(
            origin=ORIGIN, size=9, root=other.root, attempt=0,
        ))
    )  # fmt: skip
    world.offer(9)
    for _ in range(3):
        world.step()
    assert world.anchorer.status().trouble == "verification-failed"
    assert len(logs(logging.ERROR)) == 1
    assert world.sizes == world.handed_in == []


def test_an_anchor_of_another_history_stops_further_ones(world):
    other = checkpoint(9, branch="other")
    world.ledger.blocks.append(
        (world.clock.now(), Transaction(
            origin=ORIGIN, size=9, root=other.root, attempt=0,
        ))
    )  # fmt: skip
    world.restart(root_at=lambda size: checkpoint(size).root)
    world.offer(30)
    for _ in range(3):
        world.step()
    assert world.anchorer.status().trouble == "verification-failed"
    assert world.sizes == world.handed_in == []


def test_an_anchor_of_our_history_is_noted_and_followed(world):
    world.restart(root_at=lambda size: checkpoint(size).root)
    world.ledger.mines_at_once = False
    world.offer(9)
    world.step()
    world.offer(30)
    world.ledger.mine()
    world.step()
    assert world.sizes == [9]
    world.step()
    world.ledger.mine()
    world.step()
    assert world.sizes == [9, 30]


# what is offered


def test_only_what_is_newer_and_of_this_log_is_taken(world, logs):
    world.offer(0)
    assert world.step() is None
    world.offer(5)
    world.offer(4)
    world.offer(5)
    assert logs() == []
    world.offer(50, origin="elsewhere.example/log")
    assert world.anchorer.status().newest_size == 5
    assert logs() == ["a checkpoint of another log is not anchored"]
    world.offer(5, branch="other")
    assert logs()[1:] == ["two roots of one size were offered to be anchored"]
    world.step(), world.step()
    assert world.notes.newest(ORIGIN).root == checkpoint(5).root


def test_a_round_loop_is_not_delayed_by_a_chain_that_hangs(world):
    world.chain.hangs = threading.Event()
    world.anchorer.start()
    try:
        world.offer(1)
        assert world.chain.inside.wait(30)
        longest = 0.0
        for size in range(2, 2002):
            begin = time.perf_counter()
            world.offer(size)
            status = world.anchorer.status()
            longest = max(longest, time.perf_counter() - begin)
            assert status.newest_size == size
        assert world.chain.asked == ["head"], "it was inside all the time"
        assert longest < 1.0
        begin = time.perf_counter()
        world.anchorer.stop(wait_s=0.01)
        assert time.perf_counter() - begin < 5.0
        assert world.anchorer._thread.is_alive()
        assert world.anchorer._thread.daemon, "it must not hold up the process's end"
    finally:
        world.chain.hangs.set()
        world.anchorer._thread.join(30)
    assert not world.anchorer._thread.is_alive()


def test_offers_during_an_outage_do_not_ask_the_node_more_often(world):
    world.restart(pace=Pace(first_wait_s=300.0))
    world.chain.fails = DOWN
    with world.anchorer:
        world.offer(1)
        end = time.monotonic() + 30
        while world.anchorer.status().trouble is None and time.monotonic() < end:
            world.chain.inside.wait(0.01)
        world.chain.inside.clear()
        for size in range(2, 100):
            world.offer(size)
        assert not world.chain.inside.wait(0.2)
    assert world.chain.asked == ["head"] * 3


def test_the_thread_anchors_what_is_offered_and_ends_when_told(world):
    world.restart(pace=Pace(every_blocks=1, poll_s=0.001))
    noted = threading.Event()
    append = world.notes.append

    def telling(record):
        append(record)
        noted.set()

    world.notes.append = telling
    with world.anchorer:
        for size in (1, 2, 7):
            world.offer(size)
            assert noted.wait(30)
            noted.clear()
    assert not world.anchorer._thread.is_alive()
    assert world.sizes == [1, 2, 7]


@given(
    script=st.lists(
        st.sampled_from(
            ["offer", "step", "step", "mine", "down", "up", "restart", "wait"]
        ),
        max_size=60,
    ),
    mines=st.booleans(),
)
def test_in_any_order_sizes_only_grow_and_the_newest_comes_in_the_end(
    tmp_path_factory, script, mines
):
    world = World(
        ManualClock(datetime(2026, 3, 1, tzinfo=UTC)),
        tmp_path_factory.mktemp("script") / "anchors.jsonl",
    )
    world.ledger.mines_at_once = mines
    size = 0
    for what in [*script, "offer", "up"]:
        match what:
            case "offer":
                size += 1
                world.offer(size)
            case "step":
                most = max(world.sizes, default=0)
                before = len(world.handed_in)
                world.step()
                assert all(s > most for s in world.handed_in[before:])
            case "mine":
                world.ledger.mine()
            case "down":
                world.chain.fails = DOWN
            case "up":
                world.chain.fails = None
            case "restart":
                world.restart()
                world.offer(size)
            case "wait":
                world.clock.advance(seconds=37)
    for _ in range(8):
        world.clock.advance(seconds=100)
        world.step()
        world.ledger.mine()
    assert world.sizes == sorted(set(world.sizes))
    assert world.sizes[-1] == size
    carried_out = [t.size for _, t in world.ledger.blocks if t is not None]
    assert carried_out == sorted(set(carried_out))
    assert set(world.sizes) <= set(carried_out)
    world.notes.close()


# one checkpoint, by hand


def test_one_checkpoint_is_anchored_and_waited_for(world):
    pauses = []
    world.ledger.mines_at_once = False

    def pause():
        pauses.append(1)
        world.ledger.mine()

    record = anchor_now(
        world.chain, checkpoint(4), least_depth=3, polls=10, pause=pause
    )
    assert (record.size, record.root) == (4, checkpoint(4).root)
    assert len(pauses) == 3
    again = anchor_now(world.chain, checkpoint(4), least_depth=3, polls=1, pause=pause)
    assert again == record
    assert world.handed_in == [4]


def test_an_old_or_forked_checkpoint_is_not_anchored(world):
    def now(found):
        anchor_now(world.chain, found, least_depth=1, polls=3, pause=lambda: None)

    now(checkpoint(4))
    with pytest.raises(Refused, match="the chain holds size 4"):
        now(checkpoint(3))
    with pytest.raises(VerificationFailed, match="two roots of size 4"):
        now(checkpoint(4, branch="other"))
    assert world.handed_in == [4]


def test_waiting_for_a_block_ends(world):
    world.ledger.mines_at_once = False
    with pytest.raises(Unavailable, match="not 1 blocks deep yet"):
        anchor_now(
            world.chain, checkpoint(4), least_depth=1, polls=5, pause=lambda: None
        )
    assert world.handed_in == [4], "handed in once"


@pytest.mark.parametrize(
    "wrong",
    [
        {"every_blocks": 0},
        {"least_depth": 0},
        {"every_s": 0.0},
        {"poll_s": float("nan")},
        {"every_s": float("inf")},
        {"longest_wait_s": float("nan")},
        {"first_wait_s": 2.0, "longest_wait_s": 1.0},
    ],
)
def test_a_pace_that_cannot_be_kept_is_refused(wrong):
    with pytest.raises(InvalidSettings):
        Pace(**wrong)
