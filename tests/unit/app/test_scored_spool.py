# SPDX-License-Identifier: Apache-2.0
"""What is stored is scored once, whenever the process is killed."""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from tests.unit.app.detection import events, model, snapshot_of

from fedxdr.app import scored_spool
from fedxdr.app.scored_spool import MANY, ScoredSpool, past_in
from fedxdr.app.scoring import ModelFile
from fedxdr.core.clock import ManualClock
from fedxdr.core.errors import Unavailable
from fedxdr.core.ids import OrgId, sha256
from fedxdr.intake.spool import Spool
from fedxdr.telemetry.findings import Finding

PAST = 800
SIZE = 150
SEGMENTS = 8
ORG = OrgId("west")


class Killed(BaseException):
    """The process ended here."""


class Place:
    """A spool, an outbox, and processes that score the one into the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = Spool(folder / "spool")
        self.outbox: dict[str, Finding] = {}
        self.again = 0
        self.now_s = 0.0
        self.dies: Callable[[], bool] = lambda: False

    def store(self, count: int, *, since: int = PAST) -> None:
        """Append segments of events."""
        for number in range(count):
            begin = since + number * SIZE
            self.spool.append(events().select(slice(begin, begin + SIZE)), [])

    def put(self, findings: Sequence[Finding]) -> None:
        for one in findings:
            self.again += one.id in self.outbox
            self.outbox.setdefault(one.id, one)
        if self.dies():
            raise Killed

    def process(
        self, *, budget: float = 0.1, until_ns: int | None = None
    ) -> ScoredSpool:
        return ScoredSpool(
            self.folder / "live.state",
            spool=Spool(self.folder / "spool"),
            org=ORG,
            budget=budget,
            until_ns=until_ns,
            put=self.put,
            told=lambda: list(self.outbox.values()),
            clock=ManualClock(datetime(2027, 1, 1, tzinfo=UTC)),
            monotonic=lambda: self.now_s,
        )


def turn(scored: ScoredSpool, *, is_caught_up: bool = True) -> bool:
    return scored.turn(is_caught_up=is_caught_up, stopping=lambda: False)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path)
    found.spool.append(events().select(slice(0, PAST)), [])
    return found


@pytest.fixture
def begun(place: Place) -> ScoredSpool:
    """A process that has calibrated on the past."""
    scored = place.process()
    scored.offer(model(ledger_index=7))
    turn(scored)
    return scored


def one_by_one(place: Place, scored: ScoredSpool, count: int = SEGMENTS) -> None:
    for number in range(count):
        place.store(1, since=PAST + number * SIZE)
        turn(scored)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finding]:
    """What is found in all segments, one by one, without a break."""
    place = Place(tmp_path_factory.mktemp("undisturbed"))
    place.spool.append(events().select(slice(0, PAST)), [])
    scored = place.process()
    scored.offer(model(ledger_index=7))
    turn(scored)
    one_by_one(place, scored)
    assert len(place.outbox) > 10
    return place.outbox


def test_what_is_there_at_first_is_the_past(begun: ScoredSpool, place: Place) -> None:
    assert begun.is_scoring
    assert (begun.number, place.outbox) == (1, {})
    assert not turn(begun)
    place.store(1)
    assert turn(begun)
    assert begun.figures()["scored"] == SIZE
    found = list(place.outbox.values())
    assert {(one.org, one.model, one.ledger_index) for one in found} == {
        (ORG, model().digest, 7)
    }
    assert begun.figures()["findings"] == len(found)


def test_nothing_is_judged_before_there_is_a_model_and_a_past(place: Place) -> None:
    scored = place.process()
    assert not turn(scored)
    scored.offer(model())
    assert not turn(scored, is_caught_up=False)
    assert not scored.is_scoring
    scored.save()
    assert not (place.folder / "live.state").exists()
    turn(scored)
    assert scored.is_scoring


def test_the_state_is_its_owners_only(begun: ScoredSpool, place: Place) -> None:
    begun.save()
    mode = (place.folder / "live.state").stat().st_mode
    assert stat.S_IMODE(mode) & 0o077 == 0


@pytest.mark.parametrize(("saved", "killed"), [(0, 5), (3, 5), (7, 3)])
def test_kill_9_loses_nothing_and_repeats_nothing(
    place: Place,
    begun: ScoredSpool,
    undisturbed: dict[str, Finding],
    saved: int,
    killed: int,
) -> None:
    for number in range(killed):
        place.store(1, since=PAST + number * SIZE)
        turn(begun)
        if number == saved:
            begun.save()
    scored = place.process()
    assert scored.number == (saved + 2 if killed > saved else 1)
    assert place.outbox.keys() <= undisturbed.keys()
    for number in range(killed, SEGMENTS):
        place.store(1, since=PAST + number * SIZE)
        turn(scored)
    turn(scored)
    assert place.outbox.keys() == undisturbed.keys()


def test_killed_once_findings_were_put(
    place: Place, begun: ScoredSpool, undisturbed: dict[str, Finding]
) -> None:
    place.dies = lambda: len(place.outbox) > 5
    with pytest.raises(Killed):
        one_by_one(place, begun)
    stored = len(list(place.spool.batches())) - 1
    place.dies = lambda: False
    scored = place.process()
    turn(scored)
    assert place.again > 0
    for number in range(stored, SEGMENTS):
        place.store(1, since=PAST + number * SIZE)
        turn(scored)
    assert place.outbox.keys() == undisturbed.keys()


def test_a_heap_is_scored_as_one_and_again_as_one(place: Place) -> None:
    scored = place.process()
    scored.offer(model())
    turn(scored)
    place.store(MANY)
    place.dies = lambda: True
    with pytest.raises(Killed):
        turn(scored)
    first = set(place.outbox)
    assert first
    place.dies = lambda: False
    place.store(1, since=PAST + MANY * SIZE)
    scored = place.process()
    turn(scored)
    assert set(place.outbox) >= first
    assert place.again == len(first)
    assert scored.number == 1 + MANY + 1


def test_what_is_behind_the_end_of_the_past_is_scored(place: Place) -> None:
    until_ns = int(events().time_ns[PAST - 200])
    scored = place.process(until_ns=until_ns)
    scored.offer(model())
    turn(scored)
    later = (events().time_ns[:PAST] > until_ns).sum()
    assert scored.figures()["scored"] == later
    # and once only
    assert not turn(place.process(until_ns=until_ns))


def test_the_next_model_scores_between_two_segments(
    place: Place, begun: ScoredSpool
) -> None:
    place.store(2)
    turn(begun)
    begun.offer(model(ledger_index=7))
    turn(begun)
    begun.offer(model(1, ledger_index=9))
    turn(begun)
    place.store(3, since=PAST + 2 * SIZE)
    turn(begun)
    heights = [one.ledger_index for one in place.outbox.values()]
    assert set(heights) == {7, 9}
    assert heights == sorted(heights)
    last = list(place.outbox.values())[-1]
    assert last.model == model(1).digest
    # a process that begins anew goes on with it
    scored = place.process()
    place.outbox.clear()
    turn(scored)
    assert {one.ledger_index for one in place.outbox.values()} == {9}


def test_a_model_that_reads_something_else_is_prepared_anew(
    place: Place, begun: ScoredSpool
) -> None:
    place.store(1)
    turn(begun)
    content = snapshot_of(features="traffic-event")
    other = ModelFile(content=content, digest=sha256(content), ledger_index=None)
    begun.offer(other)
    place.store(4, since=PAST + SIZE)
    turn(begun)
    assert begun.number == 6
    assert list(place.outbox.values())[-1].model == other.digest


def test_a_past_that_was_too_short_is_read_again_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="fedxdr.app.scored_spool")
    place = Place(tmp_path)
    scored = place.process()
    scored.offer(model())
    turn(scored)
    assert scored.is_scoring
    pasts = []
    for number in range(10):
        place.store(1, since=number * SIZE)
        turn(scored)
        told = [one for one in caplog.records if one.message.startswith("calibrated")]
        pasts.append((told[-1].events, told[-1].is_calibrated))  # type: ignore[attr-defined]
    assert list(dict.fromkeys(pasts)) == [(0, False), (600, True)]
    place.store(1, since=10 * SIZE)
    again = place.process()
    again.offer(model())
    turn(again)
    assert len([r for r in caplog.records if r.message.startswith("calibrated")]) == 2


@pytest.mark.parametrize("damage", [b"", b"no json\n", b"{}\n\x00"])
def test_a_state_that_does_not_read_back_is_made_anew(
    place: Place, begun: ScoredSpool, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    place.store(2)
    turn(begun)
    (place.folder / "live.state").write_bytes(damage)
    scored = place.process()
    assert "calibrating anew" in caplog.text
    assert not scored.is_scoring
    scored.offer(model())
    turn(scored)
    assert (scored.number, scored.is_scoring) == (3, True)


@pytest.mark.parametrize("at", [-1, 12, -100_000])
def test_a_flipped_bit_is_seen(
    place: Place, begun: ScoredSpool, caplog: pytest.LogCaptureFixture, at: int
) -> None:
    begun.save()
    path = place.folder / "live.state"
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))
    place.process()
    assert "calibrating anew" in caplog.text


def test_another_budget_chooses_another_threshold_and_loses_nothing(
    place: Place, begun: ScoredSpool
) -> None:
    place.store(2)
    turn(begun)
    begun.save()
    before = len(place.outbox)
    place.store(2, since=PAST + 2 * SIZE)
    scored = place.process(budget=0.3)
    scored.offer(model())
    turn(scored)
    assert scored.number == 5
    assert scored.figures()["scored"] == 2 * SIZE
    assert len(place.outbox) > before


def test_a_spool_that_began_anew_is_noticed(
    place: Place, begun: ScoredSpool, caplog: pytest.LogCaptureFixture
) -> None:
    place.store(3)
    turn(begun)
    begun.save()
    place.spool.close()
    for path in (place.folder / "spool").iterdir():
        path.unlink()
    place.spool = Spool(place.folder / "spool")
    place.store(1)
    place.process()
    assert caplog.records[-1].reason == "the spool is another one"  # type: ignore[attr-defined]


def test_what_the_spool_forgot_is_counted(
    place: Place, begun: ScoredSpool, caplog: pytest.LogCaptureFixture
) -> None:
    place.spool.close()
    place.spool = Spool(place.folder / "spool", limit_bytes=1)
    place.store(3)
    turn(begun)
    assert begun.figures()["segments_lost"] == 2
    assert "forgot" in caplog.text
    assert begun.number == 4
    turn(begun)
    assert begun.figures()["segments_lost"] == 2


def test_the_state_is_saved_now_and_then(place: Place, begun: ScoredSpool) -> None:
    place.store(1)
    turn(begun)
    assert place.process().number == 1
    place.now_s += scored_spool.SAVE_S
    place.store(1, since=PAST + SIZE)
    turn(begun)
    assert place.process().number == 3


def test_before_the_outbox_forgets_it_is_saved(
    place: Place, begun: ScoredSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scored_spool, "MOST_PUT", 1)
    place.store(1)
    turn(begun)
    assert place.outbox
    assert place.process().number == 2


def test_what_cannot_be_put_is_not_scored(place: Place, begun: ScoredSpool) -> None:
    def full(_: Sequence[Finding]) -> None:
        raise Unavailable("the outbox is full")

    place.store(2)
    begun._put = full
    with pytest.raises(Unavailable):
        turn(begun)
    assert begun.number == 1


def test_scoring_stops_between_segments(place: Place, begun: ScoredSpool) -> None:
    place.store(3)
    asked = iter([False, True, True, True])
    assert begun.turn(is_caught_up=True, stopping=lambda: next(asked))
    assert begun.number == 2


def test_the_past_is_the_newest_in_the_order_of_writing(place: Place) -> None:
    place.store(4)
    past, last = past_in(place.spool, most=2 * SIZE)
    assert (len(past), last) == (2 * SIZE, 5)
    assert past.is_sorted
    assert past_in(place.spool, most=10**6, last=2)[1] == 2
    assert len(past_in(Spool(place.folder / "none"), most=1)[0]) == 0
    whole, _ = past_in(place.spool, most=10**6)
    ends = events().select(slice(0, len(whole)))
    # a flow that lasted is read when it ends: at the time of what was written before
    assert (np.sort(whole.time_ns) >= np.sort(ends.time_ns)).all()
    assert (np.sort(whole.time_ns) > np.sort(ends.time_ns)).any()
