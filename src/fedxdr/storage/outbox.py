# SPDX-License-Identifier: Apache-2.0
"""Findings on their way to the organisation's sinks: in SQLite, until each has them.

``put`` returns once the findings would survive kill -9 and a power cut. Every sink has
a queue of its own; what it has not confirmed is due again, so it gets a finding at
least once and knows a second copy by the finding's id. A finding that a sink refuses
for good is set aside for that sink, kept, and can be put back.

It does NOT send anything (transport/sinks/) or decide when (app/delivering.py). It is
no archive: once every sink has it, a finding stays only so long that the same one,
found again after a crash, is known.

Rules that always hold:
    1. ``put`` of an id that it holds changes nothing.
    2. A finding leaves a sink's queue by ``done`` alone, or with the whole queue.
    3. At most ``most`` findings wait for a sink, those set aside among them; what would
       be more is refused whole, so that whoever finds must wait and nothing is dropped
       in silence.
    4. A row that does not read back stops the process.
    5. It holds tokens, never a real address (docs/adr/0008-detection.md).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import sqlalchemy as sa

from fedxdr.core.errors import (
    FedxdrError,
    IntegrityFault,
    InvalidInput,
    StorageFault,
    Unavailable,
)
from fedxdr.core.ids import Digest
from fedxdr.storage.sqlite import SqliteFile
from fedxdr.telemetry.findings import Finding

MOST: Final = 100_000
"""Findings that may wait for a sink."""

REMEMBERED: Final = 4_096
"""Newest findings that are kept to know them again, whoever has them."""

_METADATA: Final = sa.MetaData()
_FINDINGS: Final = sa.Table(
    "findings",
    _METADATA,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
_QUEUES: Final = sa.Table(
    "queues",
    _METADATA,
    sa.Column("sink", sa.Text, primary_key=True),
    sa.Column("seq", sa.Integer, sa.ForeignKey(_FINDINGS.c.seq), primary_key=True),
    sa.Column("is_aside", sa.Boolean, nullable=False),
    sa.Index("queues_by_seq", "seq"),
    sqlite_with_rowid=False,
)
_CHUNK: Final = 500  # SQLite takes that many values in one statement, and more


class Outbox:
    """Findings that wait for sinks; close it when done. Threads may share it.

    Args:
        path: the file; made, readable by its owner only, if it does not exist.
        sinks: names of all sinks. A new one gets what is put from now on. The queue of
            one that is not named stays as it is, until it is named again or forgotten.
        most: findings that may wait for a sink, >= 1.
        remembered: newest findings kept when every sink has them, >= 0.

    Raises:
        InvalidInput: a sink named twice, or a number below its least.
        Unavailable: another process has it open.
        StorageFault: it cannot be opened or made.
    """

    def __init__(
        self,
        path: Path,
        *,
        sinks: Sequence[str],
        most: int = MOST,
        remembered: int = REMEMBERED,
    ) -> None:
        if len(set(sinks)) != len(sinks):
            raise InvalidInput("a sink is named twice")
        if most < 1 or remembered < 0:
            raise InvalidInput("an outbox holds at least one finding")
        self._most = most
        self._remembered = remembered
        self._lock = threading.Lock()
        """Held while writing; guards the three below."""
        self._is_open = True
        self._held = dict.fromkeys(sinks, 0)
        self._unswept = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
        except OSError as error:
            raise StorageFault(f"cannot open {path}: {error}") from error
        self._file = SqliteFile(path, is_sole=True, is_read_only=False)
        try:
            self._file.prepare(_METADATA)
            with self._file.writer.begin() as connection:
                self._begin(connection)
        except BaseException:
            self.close()
            raise

    def put(self, findings: Iterable[Finding]) -> int:
        """Store findings for every sink; on the disk when this returns.

        Args:
            findings: any number; all are stored, or none.

        Returns:
            How many it did not hold yet.

        Raises:
            Unavailable: it is full; put them again once the sink has taken some.
        """
        bodies: dict[str, bytes] = {
            one.id: msgspec.json.encode(one) for one in findings
        }
        with self._lock:
            with self._write() as connection:
                for known in self._numbers(connection, bodies):
                    del bodies[known]
                self._require_room(len(bodies))
                if bodies:
                    self._insert(connection, bodies)
            for sink in self._held:
                self._held[sink] += len(bodies)
        return len(bodies)

    def due(self, sink: str, limit: int) -> list[Finding]:
        """Return what a sink has not confirmed, the oldest first.

        Args:
            sink: one of the names given.
            limit: how many at most, >= 1.

        Raises:
            InvalidInput: no such sink.
            IntegrityFault: a row does not read back.
        """
        self._require(sink)
        query = (
            sa.select(_FINDINGS)
            .join(_QUEUES, _QUEUES.c.seq == _FINDINGS.c.seq)
            .where(_QUEUES.c.sink == sink, sa.not_(_QUEUES.c.is_aside))
            .order_by(_QUEUES.c.seq)
            .limit(limit)
        )
        with self._file.reader.begin() as connection:
            return [_read(row) for row in connection.execute(query)]

    def done(self, sink: str, ids: Iterable[Digest]) -> None:
        """Note that a sink has confirmed findings; on the disk when this returns.

        Ids that it does not hold, or that are done, change nothing.

        Raises:
            InvalidInput: no such sink.
        """
        self._require(sink)
        gone = 0
        with self._lock:
            with self._write() as connection:
                for part in self._rows(connection, sink, ids):
                    gone += connection.execute(_QUEUES.delete().where(part)).rowcount
            self._held[sink] -= gone

    def set_aside(self, sink: str, ids: Iterable[Digest]) -> None:
        """Note that a sink will never take findings: they are kept and not due to it.

        Raises:
            InvalidInput: no such sink.
        """
        self._require(sink)
        with self._lock, self._write() as connection:
            for part in self._rows(connection, sink, ids):
                connection.execute(_QUEUES.update().where(part).values(is_aside=True))

    def put_back(self, sink: str) -> int:
        """Make what was set aside for a sink due again; return how many.

        Raises:
            InvalidInput: no such sink.
        """
        self._require(sink)
        aside = (_QUEUES.c.sink == sink) & _QUEUES.c.is_aside
        with self._lock, self._write() as connection:
            change = _QUEUES.update().where(aside).values(is_aside=False)
            return connection.execute(change).rowcount

    def waiting(self, sink: str) -> int:
        """Return how many findings a sink does not have, those set aside among them.

        Raises:
            InvalidInput: no such sink.
        """
        self._require(sink)
        with self._lock:
            return self._held[sink]

    def forget(self, sink: str) -> None:
        """Drop the queue of a sink that is not named any more.

        Raises:
            InvalidInput: the sink is one of those that were named.
        """
        if sink in self._held:
            raise InvalidInput(f"findings are still meant for {sink}")
        with self._lock, self._write() as connection:
            connection.execute(_QUEUES.delete().where(_QUEUES.c.sink == sink))

    def newest(self, limit: int) -> list[Finding]:
        """Return the findings that were put last, the oldest of them first.

        Args:
            limit: how many at most, >= 1; no more are there than wait or are
                remembered.

        Raises:
            IntegrityFault: a row does not read back.
        """
        query = sa.select(_FINDINGS).order_by(_FINDINGS.c.seq.desc()).limit(limit)
        with self._file.reader.begin() as connection:
            return [_read(row) for row in connection.execute(query)][::-1]

    def close(self) -> None:
        """Release the file for another process; nothing is written any more."""
        with self._lock:
            self._is_open = False
        self._file.close()

    def _begin(self, connection: sa.Connection) -> None:
        """Count what waits."""
        for sink in self._held:
            count = sa.select(sa.func.count()).where(_QUEUES.c.sink == sink)
            self._held[sink] = connection.scalar(count) or 0
        self._sweep(connection, self._remembered + 1)

    def _insert(self, connection: sa.Connection, bodies: dict[str, bytes]) -> None:
        newest = connection.scalar(sa.select(sa.func.max(_FINDINGS.c.seq))) or 0
        connection.execute(
            _FINDINGS.insert(), [{"id": id_, "body": b} for id_, b in bodies.items()]
        )
        for sink in self._held:
            columns = sa.literal(sink), _FINDINGS.c.seq, sa.literal(value=False)
            new = sa.select(*columns).where(_FINDINGS.c.seq > newest)
            names = ["sink", "seq", "is_aside"]
            connection.execute(_QUEUES.insert().from_select(names, new))
        self._sweep(connection, len(bodies))

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        """Begin a transaction that writes; durable once it is left.

        Raises:
            StorageFault: it was closed, and may be another process's by now.
        """
        if not self._is_open:
            raise StorageFault("the outbox was closed")
        with self._file.writer.begin() as connection:
            yield connection

    def _require(self, sink: str) -> None:
        if sink not in self._held:
            raise InvalidInput(f"the outbox knows no sink {sink}")

    def _require_room(self, new: int) -> None:
        for sink, held in self._held.items():
            if new and held + new > self._most:
                raise Unavailable(
                    f"the outbox is full: {held} findings wait for {sink}, "
                    f"{self._most} may"
                )

    def _numbers(self, connection: sa.Connection, ids: Iterable[str]) -> dict[str, int]:
        """Return id -> number of those that it holds."""
        found: dict[str, int] = {}
        wanted = list(ids)
        for begin in range(0, len(wanted), _CHUNK):
            part = wanted[begin : begin + _CHUNK]
            query = sa.select(_FINDINGS.c.id, _FINDINGS.c.seq)
            rows = connection.execute(query.where(_FINDINGS.c.id.in_(part)))
            found.update({row.id: row.seq for row in rows})
        return found

    def _rows(
        self, connection: sa.Connection, sink: str, ids: Iterable[Digest]
    ) -> list[sa.ColumnElement[bool]]:
        """Return conditions that together find the rows of a sink's queue."""
        numbers = list(self._numbers(connection, ids).values())
        return [
            (_QUEUES.c.sink == sink)
            & _QUEUES.c.seq.in_(numbers[begin : begin + _CHUNK])
            for begin in range(0, len(numbers), _CHUNK)
        ]

    def _sweep(self, connection: sa.Connection, new: int) -> None:
        """Now and then, forget what every sink has, but for the newest."""
        self._unswept += new
        if self._unswept <= self._remembered // 8:
            return
        self._unswept = 0
        newest = connection.scalar(sa.select(sa.func.max(_FINDINGS.c.seq))) or 0
        connection.execute(
            _FINDINGS.delete()
            .where(_FINDINGS.c.seq <= newest - self._remembered)
            .where(_FINDINGS.c.seq.not_in(sa.select(_QUEUES.c.seq)))
        )


def _read(row: sa.Row[tuple[int, str, bytes]]) -> Finding:
    try:
        finding = msgspec.json.decode(row.body, type=Finding)
    except (msgspec.DecodeError, FedxdrError) as error:
        raise IntegrityFault("a finding in the outbox does not read back") from error
    if finding.id != row.id:
        raise IntegrityFault("a finding in the outbox is another")
    return finding
