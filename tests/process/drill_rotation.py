# SPDX-License-Identifier: Apache-2.0
"""A log that rotates while its reader is killed: each line is stored once.

``python -m tests.process.drill_rotation --rotations 100 --rate 20000 --seed 7``

One process writes EVE lines, numbered by ``flow_id``, at a fixed rate and in pieces
that end anywhere. Every second of lines it renames the log and begins a new one; some
old ones are packed with gzip, as logrotate does one rotation later. Another process
follows the log into a spool and is killed with SIGKILL at random moments, and started
again at once. At the end every number must be in the spool once, and some events are
led back to their lines.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fedxdr.core.clock import SystemClock
from fedxdr.core.randomness import generator
from fedxdr.intake.follow import Follower
from fedxdr.intake.following import following
from fedxdr.intake.spool import Spool

PACKED_SHARE = 0.3
"""Of the rotated files that gzip packs."""

TICK_S = 0.01
LARGEST_PIECE = 8192
PATIENT_S = 120.0
CHECKED = 50

_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is left: ``lost`` and ``twice`` are to be 0.

    Attributes:
        lines: written.
        rotations: of the log.
        packed: rotated files that were packed.
        kills: of the follower.
        lost: lines that are not in the spool.
        twice: lines that are in it more than once.
        misplaced: events whose place in a log holds another line.
        checked: events whose place was looked at.
        seconds: of writing.
    """

    lines: int
    rotations: int
    packed: int
    kills: int
    lost: int
    twice: int
    misplaced: int
    checked: int
    seconds: float


def line_of(number: int) -> bytes:
    """Return a line of EVE; the number is its flow."""
    at = f"2024-01-01T{number // 3_600_000_000 % 24:02d}:00:{number % 60:02d}"
    return (
        f'{{"timestamp":"{at}.{number % 1_000_000:06d}+0000","flow_id":{number},'
        f'"event_type":"flow","src_ip":"10.0.{number % 7}.{number % 251}",'
        f'"dest_ip":"10.1.0.{number % 13}","src_port":{1024 + number % 60_000},'
        '"dest_port":443,"proto":"TCP","app_proto":"tls","flow":{"pkts_toserver":3,'
        f'"pkts_toclient":4,"bytes_toserver":{number % 9999},"bytes_toclient":77}}}}\n'
    ).encode()


def write(log: Path, *, rotations: int, rate: int, seed: int, told: Path) -> None:
    """Write and rotate; tell how many lines and packed files there are."""
    draw = generator(seed, 1)
    number, packed = 1, 0
    with log.open("ab", buffering=0) as first:
        file = first
        begin = time.monotonic()
        for turn in range(rotations + 1):
            end = (turn + 1) * rate
            while number <= end:
                due = min(end, int((time.monotonic() - begin) * rate) + 1)
                block = b"".join(map(line_of, range(number, due + 1)))
                number = max(number, due + 1)
                while block:
                    cut = int(draw.integers(1, LARGEST_PIECE))
                    file.write(block[:cut])
                    block = block[cut:]
                time.sleep(TICK_S)
            if turn < rotations:
                packed += _rotate(log, is_packed=draw.random() < PACKED_SHARE)
                file.close()
                file = log.open("ab", buffering=0)
        file.close()
    seconds = time.monotonic() - begin
    facts = {"lines": number - 1, "packed": packed, "seconds": seconds}
    told.write_text(json.dumps(facts))


def _rotate(log: Path, *, is_packed: bool) -> int:
    """Rename the log, and all that were renamed before; return how many were packed."""
    old = sorted(
        log.parent.glob(f"{log.name}.*"),
        key=lambda path: int(path.name.split(".")[2]),
        reverse=True,
    )
    done = 0
    for path in old:
        parts = path.name.split(".")
        parts[2] = str(int(parts[2]) + 1)
        newer = path.rename(path.with_name(".".join(parts)))
        if is_packed and parts[2:] == ["2"]:
            with newer.open("rb") as plain, gzip.open(f"{newer}.gz", "wb", 1) as out:
                shutil.copyfileobj(plain, out)
            os.utime(f"{newer}.gz", ns=(newer.stat().st_mtime_ns,) * 2)
            newer.unlink()
            done = 1
    log.rename(f"{log}.1")
    return done


def tokenise(text: str) -> int:
    """Return a token; that of the real pseudonymiser costs the same."""
    return zlib.crc32(text.encode()) or 1


def follow(log: Path, folder: Path, until: Path) -> None:
    """Follow a log into a spool until a file is there."""
    spool = Spool(folder)
    clock = SystemClock()
    follower = Follower([log], clock=clock, positions=spool.positions())
    stop = threading.Event()
    batches = following(
        [follower],
        tokenise=tokenise,
        spool=spool,
        clock=clock,
        stop=stop,
        flush_s=0.2,
    )
    threading.Thread(target=_stop_when, args=(until, stop), daemon=True).start()
    for _ in batches:
        pass


def _stop_when(until: Path, stop: threading.Event) -> None:
    while not until.exists():
        time.sleep(0.1)
    stop.set()


def run(world: Path, *, rotations: int, rate: int, seed: int) -> Outcome:
    """Return what is left of a log after its rotations.

    Args:
        world: an empty folder.
        rotations: of the log, >= 1.
        rate: lines per second, and per file.
        seed: of the kills, pieces and packed files.
    """
    logs, folder = world / "logs", world / "spool"
    logs.mkdir()
    log, told, until = logs / "eve.json", world / "told", world / "until"
    log.touch()
    draw = generator(seed, 2)
    follower = _begin(log, folder, until)
    while follower.is_alive() and not Spool(folder).positions():
        time.sleep(0.01)
    writer = _FORK.Process(
        target=write,
        args=(log,),
        kwargs={"rotations": rotations, "rate": rate, "seed": seed, "told": told},
    )
    writer.start()
    kills = 0
    while writer.is_alive():
        writer.join(float(draw.exponential(0.7)))
        os.kill(follower.pid or 0, signal.SIGKILL)
        follower.join()
        kills += 1
        follower = _begin(log, folder, until)
    facts = json.loads(told.read_text())
    _await(folder, facts["lines"])
    until.touch()
    follower.join()
    if follower.exitcode:
        raise RuntimeError(f"the follower ended with {follower.exitcode}")
    numbers = Spool(folder).read().flow_id
    counts = np.bincount(numbers.astype(np.int64), minlength=facts["lines"] + 1)[1:]
    checked, misplaced = _places(folder, logs, draw)
    return Outcome(
        lines=facts["lines"],
        rotations=rotations,
        packed=facts["packed"],
        kills=kills,
        lost=int((counts == 0).sum()),
        twice=int((counts > 1).sum()) + int(counts[facts["lines"] :].sum()),
        misplaced=misplaced,
        checked=checked,
        seconds=round(facts["seconds"], 2),
    )


def _begin(log: Path, folder: Path, until: Path) -> multiprocessing.process.BaseProcess:
    process = _FORK.Process(target=follow, args=(log, folder, until))
    process.start()
    return process


def _await(folder: Path, lines: int) -> None:
    """Wait until as many events are stored, or nothing comes any more."""
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < PATIENT_S:
        stored = sum(len(one.events) for one in Spool(folder).batches())
        if stored >= lines:
            return
        if stored != seen:
            seen, since = stored, time.monotonic()
        elif time.monotonic() - since > 5:
            return
        time.sleep(0.3)


def _places(folder: Path, logs: Path, draw: np.random.Generator) -> tuple[int, int]:
    """Look some events up in their logs; return how many, and how many are wrong."""
    content = {}
    for path in logs.iterdir():
        raw = path.read_bytes()
        text = gzip.decompress(raw) if path.suffix == ".gz" else raw
        content[text[: text.find(b"\n")]] = text
    texts = list(content.values())
    every = list(Spool(folder).batches())
    wrong = 0
    for _ in range(CHECKED):
        one = every[int(draw.integers(len(every)))]
        if not len(one.events):
            continue
        row = int(draw.integers(len(one.events)))
        place = one.lines.of(row)
        line = line_of(int(one.events.flow_id[row]))
        wrong += place is None or not any(
            text[place.begin : place.end] == line for text in texts
        )
    return CHECKED, wrong


def main(arguments: list[str] | None = None) -> int:
    """Print one JSON line; 1 if a line was lost or came twice."""
    parser = argparse.ArgumentParser(description="Rotation under SIGKILL")
    parser.add_argument("--rotations", type=int, default=100)
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=7)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as world:
        outcome = run(
            Path(world),
            rotations=chosen.rotations,
            rate=chosen.rate,
            seed=chosen.seed,
        )
    sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
    return int(bool(outcome.lost or outcome.twice or outcome.misplaced))


if __name__ == "__main__":
    sys.exit(main())
