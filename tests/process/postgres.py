# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server of our own for tests: made, started, killed, started again.

The programs are those of the wheel ``pgserver`` (its Python is not used: it makes a
user and opens folders up to the root). Run by root they become ``nobody``, because
PostgreSQL refuses root. It listens on a socket in its folder and nowhere else.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

NOBODY = "nobody"
START_S = 60.0


class PostgresMissing(Exception):
    """The programs are not there, or cannot run here."""


class Postgres:
    """A server with its data in a folder of its own; close it when done.

    Raises:
        PostgresMissing: see there.
    """

    def __init__(self) -> None:
        found = importlib.util.find_spec("pgserver")
        if found is None or not found.submodule_search_locations:
            raise PostgresMissing("the wheel pgserver is not installed")
        self._programs = Path(found.submodule_search_locations[0]) / "pginstall"
        # a socket's path is at most 107 bytes long
        self.folder = Path(tempfile.mkdtemp(prefix="fedxdr-pg-"))
        self._as: dict[str, str] = {}
        if os.geteuid() == 0:
            self._as = {"user": NOBODY}
            shutil.chown(self.folder, NOBODY)
        self._process: subprocess.Popen[bytes] | None = None
        self._names = itertools.count()
        self._free: list[str] = []
        try:
            self._initialise()
            self.start()
        except BaseException:
            self.close()
            raise

    def _initialise(self) -> None:
        command = ["initdb", "-D", str(self.data), "-U", "fedxdr", "--auth=trust"]
        options = ["--encoding=UTF8", "--locale=C", "--no-sync"]
        try:
            self._run(*command, *options)
        except PermissionError:
            # nobody may not look into our home: a copy for the time of the tests
            copied = self.folder / "programs"
            shutil.copytree(self._programs, copied)
            self._programs = copied
            self._run(*command, *options)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._programs / "bin" / program), *arguments],
            **self._as,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PostgresMissing(f"{program}: {done.stderr[-500:]}")

    @property
    def data(self) -> Path:
        """The server's data."""
        return self.folder / "data"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(self._programs / "bin" / "postgres"),
                    *("-D", str(self.data), "-k", str(self.folder)),
                    *("-c", "listen_addresses=", "-c", "shared_buffers=16MB"),
                    *("-c", "restart_after_crash=off"),
                ],
                **self._as,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            try:
                psycopg.connect(self._dsn()).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.02)
            else:
                return
        raise PostgresMissing((self.folder / "log").read_text()[-2000:])

    def _dsn(self) -> str:
        return f"host={self.folder} user=fedxdr dbname=postgres"

    def kill(self) -> None:
        """End every process of the server with SIGKILL, as a power cut would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End the server and remove its data."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
            self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_place(self) -> str:
        """Return the URL of a schema of its own, with nothing in it."""
        name = f"s{next(self._names)}"
        with psycopg.connect(self._dsn(), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return self._place(name)

    def _place(self, schema: str) -> str:
        return (
            f"postgresql+psycopg://fedxdr:a-password@/postgres?host={self.folder}"
            f"&options=-csearch_path%3D{schema}"
        )

    @contextmanager
    def lend(self) -> Iterator[str]:
        """Hand out the URL of a schema without rows; its tables may be there already.

        Making tables takes most of a small test's time, so they are used again.
        """
        place = self._free.pop() if self._free else self.new_place()
        yield place
        schema = place.rsplit("%3D", 1)[1]
        with psycopg.connect(self._dsn(), autocommit=True) as connection:
            found = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = %s "
                "AND tablename NOT IN ('writers', 'changes', 'purse')",
                [schema],
            )
            # the changes last: approvals refer to them
            for name in [*(name for (name,) in found), "changes"]:
                table = sql.Identifier(schema, name)
                connection.execute(sql.SQL("DELETE FROM {}").format(table))
        self._free.append(place)
