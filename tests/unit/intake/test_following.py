# SPDX-License-Identifier: Apache-2.0
"""From growing logs to stored events, and from an event back to its line."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fedxdr.core.clock import ManualClock
from fedxdr.core.ids import sha256
from fedxdr.intake import following as following_module
from fedxdr.intake.chunks import Chunk
from fedxdr.intake.counters import MOST_REASONS, Counters
from fedxdr.intake.deadletter import DeadLetters
from fedxdr.intake.follow import Follower
from fedxdr.intake.following import NO_FORMAT, following
from fedxdr.intake.lines import lines_of_events
from fedxdr.intake.segments import Stored
from fedxdr.intake.spool import Spool
from fedxdr.telemetry import Events
from fedxdr.telemetry.findings import Position
from fedxdr.telemetry.parser import Parsed, Rejected


def tokenise(text: str) -> int:
    return zlib.crc32(text.encode()) or 1


def eve(number: int, **more: object) -> bytes:
    record = {
        "timestamp": "2024-01-01T00:00:00.000000+0000",
        "event_type": "dns",
        "flow_id": number,
        "src_ip": "10.0.0.1",
        "dest_ip": "10.0.0.2",
        **more,
    }
    return json.dumps(record).encode() + b"\n"


STATS = b'{"timestamp":"2024-01-01T00:00:00.000000+0000","event_type":"stats"}\n'
TSV = b"#separator \\x09\n#path\tconn\n#fields\tts\tuid\tid.orig_h\tid.resp_h\n"


def conn(second: int) -> bytes:
    return b"%d.0\tC%d\t10.0.0.3\t10.0.0.4\n" % (1_704_067_200 + second, second)


class Intake:
    """Logs in a folder, followed in steps."""

    def __init__(self, folder: Path) -> None:
        self.logs = folder / "logs"
        self.logs.mkdir(exist_ok=True)
        self.folder = folder
        self.clock = ManualClock(dt.datetime(2024, 1, 2, tzinfo=dt.UTC))
        self.counters = Counters()
        self.letters = DeadLetters(folder / "dead.ndjson")

    def write(self, name: str, *lines: bytes) -> None:
        with (self.logs / name).open("ab") as file:
            file.write(b"".join(lines))

    def run(self, *, steps: int = 1, **more: int) -> list[Stored]:
        """Follow for so many looks, then stop, as another process each time."""
        spool = Spool(self.folder / "spool")
        positions = spool.positions()
        follower = Follower([self.logs], clock=self.clock, positions=positions)
        stop = _After(steps, self.clock)
        got = following(
            [follower],
            tokenise=tokenise,
            spool=spool,
            clock=self.clock,
            stop=stop,
            letters=self.letters,
            counters=self.counters,
            **more,
        )
        found = list(got)
        spool.close()
        follower.close()
        return found

    def stored(self) -> Events:
        return Spool(self.folder / "spool").read()


class _After(threading.Event):
    """Is set after some waits, each of which moves the clock on."""

    def __init__(self, waits: int, clock: ManualClock) -> None:
        super().__init__()
        self._left = waits
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._left -= 1
        if self._left <= 0:
            self.set()
        self._clock.advance(seconds=timeout or 0)
        return self.is_set()


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[Intake]:
    one = Intake(tmp_path)
    yield one
    one.letters.close()


def lines_of(found: list[Stored]) -> list[bytes]:
    """Return the lines that the events are said to stand on."""
    lines = []
    for one in found:
        for row in range(len(one.events)):
            place = one.lines.of(row)
            assert place is not None
            content = Path(place.source).read_bytes()
            lines.append(content[place.begin : place.end])
    return lines


def test_logs_of_several_formats_are_stored_and_found_again(intake: Intake) -> None:
    intake.write("eve.json", eve(1), STATS, eve(2))
    intake.write("conn.log", TSV, conn(1), conn(2))
    found = intake.run()
    assert len(intake.stored()) == 4
    assert sorted(lines_of(found)) == sorted([eve(1), eve(2), conn(1), conn(2)])
    assert intake.run() == []


def test_a_restart_goes_on_in_the_middle_of_a_log_with_a_header(
    intake: Intake,
) -> None:
    intake.write("conn.log", TSV, conn(1))
    intake.run()
    intake.write("conn.log", conn(2), b"torn\n", conn(3))
    found = intake.run()
    assert lines_of(found) == [conn(2), conn(3)]
    assert len(intake.stored()) == 3
    letter = json.loads((intake.folder / "dead.ndjson").read_text())
    assert (letter["line"], letter["begin"]) == (2, len(TSV + conn(1)))


def test_what_was_not_stored_is_read_again_and_what_was_is_not(intake: Intake) -> None:
    intake.write("eve.json", *(eve(n) for n in range(10)))
    spool = Spool(intake.folder / "spool")
    follower = Follower([intake.logs], clock=intake.clock)
    batches = following(
        [follower],
        tokenise=tokenise,
        spool=spool,
        clock=intake.clock,
        stop=threading.Event(),
        batch_rows=1,
    )
    assert len(next(batches).events) == 10
    intake.write("eve.json", *(eve(n) for n in range(10, 13)))
    list(follower.poll())  # killed between reading and storing
    spool.close()
    intake.run()
    assert sorted(intake.stored().flow_id.tolist()) == list(range(13))


def test_a_slow_user_stops_the_reading(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedxdr.intake.blocks.BLOCK_BYTES", 2000)
    intake.write("eve.json", *(eve(n) for n in range(100)))
    spool = Spool(intake.folder / "spool")
    follower = Follower([intake.logs], clock=intake.clock)
    batches = following(
        [follower],
        tokenise=tokenise,
        spool=spool,
        clock=intake.clock,
        stop=threading.Event(),
        batch_rows=10,
    )
    first = next(batches)
    assert 10 <= len(first.events) < 30
    read = max(mark.end for mark in follower.positions())
    assert read == first.lines.places[-1].end


def test_an_event_waits_half_a_second_for_others(intake: Intake) -> None:
    intake.write("eve.json", eve(1))
    spool = Spool(intake.folder / "spool")
    follower = Follower([intake.logs], clock=intake.clock)
    seen: list[float] = []

    class Late(_After):
        def wait(self, timeout: float | None = None) -> bool:
            seen.append(self._clock.now().timestamp())
            return super().wait(timeout)

    late = Late(99, intake.clock)
    begin = intake.clock.now().timestamp()
    batches = following(
        [follower],
        tokenise=tokenise,
        spool=spool,
        clock=intake.clock,
        stop=late,
    )
    next(batches)
    assert 0.4 < intake.clock.now().timestamp() - begin < 0.7


def test_a_rotated_log_goes_on_with_its_parser(intake: Intake) -> None:
    intake.write("conn.log", TSV, conn(1))
    intake.run()
    intake.write("conn.log", conn(2))
    content = (intake.logs / "conn.log").read_bytes()
    (intake.logs / "conn.log").unlink()
    (intake.logs / "conn.log.1.gz").write_bytes(gzip.compress(content))
    intake.write("conn.log", TSV, conn(3))
    intake.run(steps=60)
    assert len(intake.stored()) == 3


def test_lines_of_no_known_format_are_refused_until_one_is(intake: Intake) -> None:
    intake.write("eve.json", b"what\n", b"ever\n")
    intake.run()
    intake.write("eve.json", eve(1))
    intake.run()
    assert len(intake.stored()) == 1
    figures = intake.counters.figures()
    assert figures[f"rejected: {NO_FORMAT}"] == 2
    assert (figures["lines"], figures["events"]) == (3, 1)


def test_a_log_that_becomes_another_format_is_read_on(intake: Intake) -> None:
    intake.write("eve.json", eve(1))
    intake.run()
    intake.write("eve.json", b"Dec 31 23:59:59 h sshd[1]: x from 192.0.2.7 port 5\n")
    intake.run()
    assert intake.counters.figures()["skipped"] == 1
    assert "rejected" not in str(intake.letters._path.read_text())


def test_a_syslog_takes_its_year_from_its_last_writing(intake: Intake) -> None:
    line = b"Dec 31 23:59:59 h sshd[1]: Accepted password for r from 192.0.2.7 port 5"
    intake.write("auth.log", line + b" ssh2\n")
    intake.run()
    (time_ns,) = intake.stored().time_ns.tolist()
    assert dt.datetime.fromtimestamp(time_ns // 10**9, dt.UTC).month == 12


def test_many_logs_do_not_keep_many_parsers(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following_module, "_MOST_PARSERS", 2)
    for turn in range(2):
        for name in "abc":
            intake.write(f"{name}.log", TSV if not turn else b"", conn(turn))
        intake.run()
    assert len(intake.stored()) == 6


# From a row to its line.


class Words:
    """A parser of a made-up format: ``n`` events for the word ``eN``."""

    def parse(self, block: bytes, *, first_line: int = 1) -> Parsed:
        rejected, skipped, rows = [], 0, 0
        for number, line in enumerate(block.splitlines(), first_line):
            if line.startswith(b"e"):
                rows += int(line[1:2] or b"1")
            elif line.startswith(b"s"):
                skipped += 1
            elif line.strip():
                rejected.append(Rejected.of(number, "bad", line))
        return Parsed(
            events=Events.build(rows, {}), skipped=skipped, rejected=tuple(rejected)
        )


def test_several_events_of_one_line_stand_on_it(intake: Intake) -> None:
    queries = {"version": 3, "queries": [{"rrname": "a"}, {"rrname": "b"}]}
    arp = {"src_ip": "10.0.0.8", "dest_ip": "10.0.0.9"}
    lines = [
        line
        for n in range(1, 200, 4)
        for line in (
            eve(n, dns=queries),
            STATS,
            eve(n + 1, event_type="flow", flow={"bytes_toserver": n}),
            eve(n + 2, event_type="http"),
            eve(n + 3, event_type="arp", src_ip="", dest_ip="", arp=arp),
        )
    ]
    intake.write("eve.json", *lines)
    found = intake.run()
    numbers = [json.loads(line)["flow_id"] for line in lines_of(found)]
    assert numbers == [int(n) for one in found for n in one.events.flow_id]
    assert len(numbers) >= 200


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("e e e", [0, 1, 2]),
        ("e bad e", [0, 2]),
        ("e s e bad e", [0, 2, 4]),
        ("s s s s s e s s s", [5]),
        ("e2 e s e3 bad", [0, 0, 1, 3, 3, 3]),
        ("e2 s e", [0, 0, 2]),
        ("s e2 e e e e e e e e e", [1, 1, *range(2, 11)]),
        ("bad s", []),
    ],
)
@pytest.mark.parametrize("needle", [None, b"e"])
def test_rows_are_led_back_to_their_lines(
    text: str, want: list[int], needle: bytes | None
) -> None:
    block = text.replace(" ", "\n\n").encode()
    place = Position(
        source="x",
        device=0,
        inode=0,
        fingerprint=sha256(b""),
        begin=100,
        end=100 + len(block),
    )
    written = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    chunk = Chunk(position=place, block=block, name="x", written=written)
    parsed = Words().parse(block)
    lines = lines_of_events(chunk, parsed, again=Words(), needle=needle)
    words = [
        block[begin - 100 : end - 100].strip().decode()
        for begin, end in zip(lines.begin, lines.end, strict=True)
    ]
    assert words == [text.split()[index] for index in want]
    assert np.all(lines.end <= place.end)


def test_a_line_that_cannot_be_told_has_the_place_of_its_block() -> None:
    class Moody(Words):
        def parse(self, block: bytes, *, first_line: int = 1) -> Parsed:
            if block.count(b"\n") < 3:
                return Parsed(events=Events.empty())
            return super().parse(block, first_line=first_line)

    place = Position(
        source="x", device=0, inode=0, fingerprint=sha256(b""), begin=0, end=8
    )
    written = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    chunk = Chunk(position=place, block=b"e\ns\ne\ns\n", name="x", written=written)
    parsed = Moody().parse(chunk.block)
    lines = lines_of_events(chunk, parsed, again=Moody())
    assert [lines.of(row) for row in range(2)] == [place, place]


# Counters and dead letters.


def test_reasons_beyond_a_number_are_counted_together() -> None:
    counters = Counters()
    for number in range(MOST_REASONS + 5):
        bad = Rejected.of(1, f"reason {number}", b"")
        parsed = Parsed(events=Events.empty(), rejected=(bad,), lines=1, skipped=1)
        counters.parsed(parsed, size_bytes=2)
    counters.add("gaps", 2)
    figures = counters.figures()
    assert figures["rejected: other reasons"] == 5
    assert figures["skipped: not about two endpoints"] == MOST_REASONS + 5
    assert (figures["gaps"], figures["bytes"]) == (2, 2 * (MOST_REASONS + 5))
    assert len(figures) == 5 + 1 + 1 + MOST_REASONS + 1


def test_dead_letters_turn_over_and_do_not_fill_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "dead.ndjson"
    with DeadLetters(path, limit_bytes=100) as letters:
        for number in range(6):
            letters.keep("log", [Rejected.of(number, "bad", b"x" * 80)])
        letters.keep("log", [])
    kept = {
        one.name: [json.loads(line)["line"] for line in one.read_text().splitlines()]
        for one in tmp_path.iterdir()
    }
    assert kept == {"dead.ndjson": [], "dead.ndjson.1": [5], "dead.ndjson.2": [4]}
    assert {one.stat().st_mode & 0o777 for one in tmp_path.iterdir()} == {0o600}
