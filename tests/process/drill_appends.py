# SPDX-License-Identifier: Apache-2.0
"""SIGKILL while blocks and heads are written: what was acknowledged is there, once.

A process appends blocks and stores signed heads from several threads that race each
other; whatever a store has returned from is acknowledged on a pipe. The process (or the
PostgreSQL server under it) is killed at random moments and what it left is opened and
read again. Nothing is simulated: no hook stands in the product.

    python -m tests.process.drill_appends --points 1000 --database sqlite
    python -m tests.process.drill_appends --points 200 --database postgres --kill server
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tests.process.postgres import Postgres
from tests.unit.storage.chains import failed, genesis, head

from fedxdr.core.errors import Fault, IntegrityFault
from fedxdr.core.ids import Digest, sha256
from fedxdr.ledger import note_form
from fedxdr.ledger.merkle import Tree
from fedxdr.storage import ledger_check
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.checkpoints import SqlCheckpointStore
from fedxdr.storage.database import Database

THREADS = 4
LINES = 3
LIVES = 25  # of one database; then a new one, so that reading all of it stays short
MOST_LINES = 60
TOGETHER = "-together"
"""Ends the names of blocks that are appended with their heads."""

Acknowledge = Callable[..., None]
Work = Callable[[Path | str, Acknowledge], None]


@dataclass(kw_only=True)
class Outcome:
    """What a drill has shown.

    Attributes:
        points: how often something was killed.
        blocks: acknowledged, each looked for after every later kill of its database.
        heads: acknowledged writes of heads.
        refused: second roots for a size that the stores refused.
        unacknowledged: blocks that were found and had not been acknowledged: killed
            between commit and acknowledgement.
        faults: everything that was not as it must be, in words.
    """

    points: int = 0
    blocks: int = 0
    heads: int = 0
    refused: int = 0
    unacknowledged: int = 0
    faults: list[str] = field(default_factory=list)


class Heights:
    """The tree over the blocks that this process has appended, whatever their order."""

    def __init__(self, hashes: list[bytes]) -> None:
        self._tree = Tree(hashes)
        self._waiting: dict[int, bytes] = {}
        self._grown = threading.Condition()  # guards both of the above

    def root(self, height: int, hash_: Digest) -> Digest:
        """Take the hash of an appended block; return the root over it and all below."""
        with self._grown:
            self._waiting[height] = bytes.fromhex(hash_)
            while self._tree.size in self._waiting:
                self._tree.append(self._waiting.pop(self._tree.size))
            self._grown.notify_all()
            self._grown.wait_for(lambda: self._tree.size > height)
            return Digest(self._tree.root(height + 1).hex())

    def foresee(self, height: int, hash_: Digest) -> Digest | None:
        """Return the root with one more block on top; None if that is not the next."""
        with self._grown:
            if self._tree.size != height:
                return None
            tree = self._tree.copy()
        tree.append(bytes.fromhex(hash_))
        return Digest(tree.root().hex())


def work(place: Path | str, acknowledge: Acknowledge) -> None:
    """Append and sign for ever, from several threads; say what is stored."""
    database = Database(place)
    blocks, heads = SqlBlockStore(database), SqlCheckpointStore(database)
    if blocks.size() == 0:
        blocks.append(genesis())
    hashes = [bytes.fromhex(row.hash) for row in blocks.stored(begin=0, end=2**40)]
    heights = Heights(hashes)

    def request(number: int) -> None:
        for turn in range(1_000_000):
            newest = blocks.head()
            assert newest is not None
            name, over = f"r-{os.getpid()}-{number}-{turn}", None
            if turn % 2:  # as the log does; otherwise as a mirror
                name += TOGETHER
            block = failed(newest.block, name=name)
            height, hash_ = block.block.height, block.block.hash
            if turn % 2:
                over = heights.foresee(height, hash_)
                if over is None:
                    continue  # another thread was faster
            with_it = None if over is None else head(height + 1, over)
            try:
                blocks.append(block, head=with_it)
            except IntegrityFault:
                continue
            acknowledge("block", height, hash_)
            if over is not None:
                acknowledge("head", height + 1, over, 1)
            root = heights.root(height, hash_)
            for lines in range(1, LINES + 1):
                heads.put(height + 1, root, head(height + 1, root, lines=lines))
                acknowledge("head", height + 1, root, lines)
            other = sha256(b"fork", root.encode())
            try:
                heads.put(height + 1, other, head(height + 1, other))
            except IntegrityFault:
                acknowledge("refused", height + 1)
            else:
                acknowledge("fork", height + 1)

    threads = [threading.Thread(target=request, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def begin(work_: Work, place: Path | str) -> tuple[int, int]:
    """Return a forked process and the pipe it acknowledges on."""
    reads, writes = os.pipe()
    child = os.fork()
    if child:
        os.close(writes)
        return child, reads
    try:
        os.close(reads)
        # what a killed server makes of its client is not for our terminal
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

        def acknowledge(*words: object) -> None:
            line = " ".join(map(str, words)) + "\n"
            os.write(writes, line.encode())  # short enough to arrive whole

        work_(place, acknowledge)
    finally:
        os._exit(1)


def live(
    work_: Work,
    place: Path | str,
    *,
    lines: int,
    delay_s: float,
    kill: Callable[[], None] | None,
) -> list[list[str]]:
    """Let a process live until it has said so many lines, and a little longer.

    Returns:
        Everything that it has acknowledged, in words.
    """
    child, reads = begin(work_, place)
    said = b""
    while said.count(b"\n") < lines:
        more = os.read(reads, 65_536)
        if not more:
            break
        said += more
    select.select([], [], [], delay_s)
    if kill is not None:
        kill()
    os.kill(child, signal.SIGKILL)
    while more := os.read(reads, 65_536):
        said += more
    os.close(reads)
    os.waitpid(child, 0)
    return [line.split() for line in said.decode().splitlines()]


class Book:
    """What was acknowledged of one database, over all lives."""

    def __init__(self) -> None:
        self.blocks: dict[int, str] = {}
        self.roots: dict[int, str] = {}
        self.lines: dict[int, int] = {}

    def enter(self, said: list[list[str]], outcome: Outcome) -> None:
        for words in said:
            match words:
                case ["block", height, hash_]:
                    outcome.blocks += 1
                    if self.blocks.setdefault(int(height), hash_) != hash_:
                        outcome.faults.append(f"two blocks of height {height}")
                case ["head", size, root, lines]:
                    outcome.heads += 1
                    if self.roots.setdefault(int(size), root) != root:
                        outcome.faults.append(f"two roots for size {size}")
                    self.lines[int(size)] = int(lines)
                case ["refused", _]:
                    outcome.refused += 1
                case _:
                    outcome.faults.append(f"said {' '.join(words)}")

    def compare(self, place: Path | str, outcome: Outcome) -> None:
        """Open what was left and look for everything in the book."""
        database = Database(place)
        try:
            # every row, every head against the tree of its blocks
            ledger_check.check(database, has_model=lambda _: True)
            blocks, heads = SqlBlockStore(database), SqlCheckpointStore(database)
            rows = blocks.stored(begin=0, end=2**40)
            stored = {row.height: row.hash for row in rows}
            roots = heads.roots()
            for row in rows:
                if TOGETHER.encode() in row.body and row.height + 1 not in roots:
                    outcome.faults.append(f"block {row.height} without its head")
            for height, hash_ in self.blocks.items():
                if stored.get(height) != hash_:
                    outcome.faults.append(f"lost the acknowledged block {height}")
            for size, root in self.roots.items():
                note = heads.get(size) if size in roots else None
                if note is None or roots[size] != root:
                    outcome.faults.append(f"lost the acknowledged head of {size}")
                elif len(note_form.parse(note).signatures) < self.lines[size]:
                    outcome.faults.append(f"lost signatures on the head of {size}")
            outcome.unacknowledged += len(
                [h for h in stored if h not in self.blocks and h > 0]
            )
            # whatever is stored now was never anything else and stays
            self.blocks.update({h: x for h, x in stored.items() if h > 0})
            self.roots.update({s: str(r) for s, r in roots.items()})
            for size in roots:
                self.lines.setdefault(size, 1)
        except Fault as fault:
            outcome.faults.append(str(fault))
        finally:
            database.close()


def run(
    points: int,
    *,
    places: Callable[[], Path | str],
    seed: int = 0,
    kill: Callable[[], None] | None = None,
    revive: Callable[[], None] | None = None,
    work_: Work = work,
) -> Outcome:
    """Kill so many times and return what was found.

    Args:
        points: how many.
        places: gives a new, empty place for a database.
        seed: of the moments.
        kill: ends the server under the process; None ends the process.
        revive: starts that server again.
        work_: what the process does.
    """
    moments = np.random.default_rng(seed)
    outcome, book, place = Outcome(), Book(), places()
    for point in range(points):
        if point and point % LIVES == 0:
            book, place = Book(), places()
        said = live(
            work_,
            place,
            lines=int(moments.integers(1, MOST_LINES)),
            delay_s=float(moments.uniform(0, 0.004)),
            kill=kill,
        )
        if revive is not None:
            revive()
        outcome.points += 1
        book.enter(said, outcome)
        book.compare(place, outcome)
    return outcome


@contextmanager
def files() -> Iterator[Callable[[], Path]]:
    """Hand out what gives places of SQLite files."""
    with tempfile.TemporaryDirectory(prefix="fedxdr-drill-") as folder:
        numbers = iter(range(1_000_000))
        yield lambda: Path(folder) / str(next(numbers)) / "server.db"


def main() -> None:
    """Run the drill and print one JSON line; exit 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--kill", choices=("client", "server"), default="client")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.database == "sqlite":
        if asked.kill == "server":
            parser.error("a SQLite file has no server")
        with files() as places:
            outcome = run(asked.points, places=places, seed=asked.seed)
    else:
        server = Postgres()
        is_server = asked.kill == "server"
        try:
            outcome = run(
                asked.points,
                places=server.new_place,
                seed=asked.seed,
                kill=server.kill if is_server else None,
                revive=server.start if is_server else None,
            )
        finally:
            server.close()
    used = [
        resource.getrusage(who)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    sys.stdout.write(
        json.dumps(
            {
                "name": "drill_appends",
                "database": asked.database,
                "killed": asked.kill,
                "seed": asked.seed,
                **{k: v for k, v in vars(outcome).items() if k != "faults"},
                "faults": len(outcome.faults),
                "first_faults": outcome.faults[:5],
                "cpu_s": round(sum(u.ru_utime + u.ru_stime for u in used), 1),
            }
        )
        + "\n"
    )
    if outcome.faults:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
