# SPDX-License-Identifier: Apache-2.0
"""A world's logs as they grow: every line comes when its sensor writes it.

For watching an agent that follows logs. Each call appends what was written in an
interval, in the order in which it was; time is an argument, so that a day passes as
fast as one likes.

It does NOT wait, rotate or close files, and it is the only writer of them: one object
goes on where it stopped, another one begins anew.

Rule: intervals that follow one another give each line once, as one long one would.
"""

from __future__ import annotations

import bisect
import datetime as dt
from pathlib import Path
from types import MappingProxyType

from fedxdr.core.errors import InvalidSettings
from fedxdr.core.ids import OrgId
from fedxdr.simulation.logs import Log, logs_of
from fedxdr.simulation.traffic import files_in, write_truths
from fedxdr.simulation.world import OrganisationFiles, World

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


class GrowingLogs:
    """Log files of all organisations of a world, empty at first.

    Args:
        world: what happens.
        directory: gets a folder for each organisation; files of the same names in it
            are replaced. The truth is written at once: it is no log.
    """

    def __init__(self, world: World, directory: Path) -> None:
        self._world = world
        self._logs: list[tuple[Path, Log, list[int]]] = []
        files: dict[OrgId, OrganisationFiles] = {}
        for one in world.organisations:
            logs = logs_of(one, start_us=world.start_us)
            files[one.name] = files_in(directory, one, logs)
            folder = files[one.name].truth.parent
            folder.mkdir(parents=True, exist_ok=True)
            for log in logs:
                ordered = tuple(sorted(log.lines, key=lambda line: line[0]))
                times = [time for time, _ in ordered]
                path = folder / log.name
                path.write_bytes(b"".join(text + b"\n" for text in log.head))
                self._logs.append((path, Log(name=log.name, lines=ordered), times))
        self.files = MappingProxyType(files)
        write_truths(world, self.files)

    @property
    def begin(self) -> dt.datetime:
        """UTC, when the world begins."""
        return self._world.start

    @property
    def end(self) -> dt.datetime:
        """UTC, just after the last line: some sensors write late."""
        latest = max((times[-1] for _, _, times in self._logs if times), default=0)
        return max(_EPOCH + (latest + 1) * _MICROSECOND, self._world.start)

    def append(self, since: dt.datetime, until: dt.datetime) -> int:
        """Append what is written in [since, until); return how many lines.

        Args:
            since: UTC-aware.
            until: UTC-aware, not before ``since``.

        Raises:
            InvalidSettings: an interval that ends before it begins.
        """
        if until < since:
            raise InvalidSettings("an interval ends before it begins")
        begin_us, end_us = ((time - _EPOCH) // _MICROSECOND for time in (since, until))
        appended = 0
        for path, log, times in self._logs:
            first = bisect.bisect_left(times, begin_us)
            after = bisect.bisect_left(times, end_us)
            if first == after:
                continue
            block = b"".join(text + b"\n" for _, text in log.lines[first:after])
            with path.open("ab") as file:
                file.write(block)
            appended += after - first
        return appended
