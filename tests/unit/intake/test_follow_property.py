# SPDX-License-Identifier: Apache-2.0
"""Any order of writing, rotating, packing, truncating, storing and dying."""

from __future__ import annotations

import datetime as dt
import gzip
import itertools
import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedxdr.core.clock import ManualClock
from fedxdr.intake.follow import Follower

OPERATIONS = st.sampled_from(
    [
        "write",
        "write",
        "tear",
        "rotate",
        "pack",
        "truncate",
        "store",
        "sip",
        "die",
        "rest",
    ]
)


class World:
    """A log, its writer, and a reader that can die; lines are numbers."""

    def __init__(self, folder: Path, *, width: int) -> None:
        self.log = folder / "eve.json"
        self.log.touch()
        self.width = width
        self.clock = ManualClock(dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
        self.numbers = itertools.count(1)
        self.torn = b""
        self.kept: list[bytes] = []
        self.follower = Follower([self.log], clock=self.clock)
        self.stored = self.follower.positions()

    def line(self) -> bytes:
        return b"%0*d\n" % (self.width, next(self.numbers))

    def append(self, text: bytes) -> None:
        with self.log.open("ab") as file:
            file.write(text)

    def mend(self) -> None:
        """Write the rest of a torn line."""
        self.append(self.torn)
        self.torn = b""

    def write(self) -> None:
        self.mend()
        self.append(self.line() + self.line() + self.line())

    def tear(self) -> None:
        self.mend()
        line = self.line()
        self.append(line[:3])
        self.torn = line[3:]

    def siblings(self) -> list[Path]:
        found = self.log.parent.glob("eve.json.*")
        return sorted(found, key=lambda path: -int(path.name.split(".")[2]))

    def shift(self) -> None:
        for path in self.siblings():
            parts = path.name.split(".")
            parts[2] = str(int(parts[2]) + 1)
            path.rename(path.with_name(".".join(parts)))

    def rotate(self) -> None:
        self.mend()
        self.shift()
        self.log.rename(f"{self.log}.1")
        self.log.touch()

    def pack(self) -> None:
        for path in self.siblings():
            if path.suffix != ".gz":
                Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
                path.unlink()
                return

    def truncate(self) -> None:
        """Copy and truncate, with no line in between."""
        self.mend()
        self.shift()
        Path(f"{self.log}.1").write_bytes(self.log.read_bytes())
        os.truncate(self.log, 0)

    def poll(self) -> list[bytes]:
        return [chunk.block for chunk in self.follower.poll()]

    def store(self) -> None:
        self.kept += self.poll()
        self.stored = self.follower.positions()

    def sip(self) -> None:
        """Store no more than the first of what has come."""
        self.kept += [
            chunk.block for chunk in itertools.islice(self.follower.poll(), 1)
        ]
        self.stored = self.follower.positions()

    def die(self) -> None:
        """Read, and die before it is stored."""
        self.poll()
        self.follower.close()
        self.follower = Follower([self.log], clock=self.clock, positions=self.stored)

    def rest(self) -> None:
        self.clock.advance(seconds=1.2)
        self.store()

    def lines(self) -> list[bytes]:
        self.mend()
        for _ in range(6):
            self.rest()
        self.follower.close()
        return b"".join(self.kept).splitlines(keepends=True)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(OPERATIONS, max_size=30), st.sampled_from([6, 700]))
def test_every_line_is_stored_once(operations: list[str], width: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), width=width)
        for operation in operations:
            getattr(world, operation)()
        lines = sorted(world.lines())
        last = next(world.numbers) - 1
        assert lines == [b"%0*d\n" % (width, number) for number in range(1, last + 1)]
