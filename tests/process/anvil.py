# SPDX-License-Identifier: Apache-2.0
"""A real node: anvil from npm, kept in pytest's cache, on a free loopback port.

Its log goes to a file: an unread pipe would stop it after some blocks.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

PACKAGE = "@foundry-rs/anvil@1.7.1"
_INSTALL_S = 300
_START_S = 60.0


def binary(cache) -> Path:
    """Return the node's program; install it, or skip and say why."""
    folder = Path(cache.mkdir("anvil"))
    pattern = "node_modules/@foundry-rs/anvil-*/bin/anvil"
    if not any(folder.glob(pattern)):
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is not installed, so there is no chain to test against")
        done = subprocess.run(
            [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund",
             "--ignore-scripts", PACKAGE],
            capture_output=True, text=True, check=False, timeout=_INSTALL_S,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"npm cannot install {PACKAGE}: {done.stderr.strip()[-200:]}")
    for found in folder.glob(pattern):
        return found
    return pytest.skip(f"{PACKAGE} has no program for {platform.machine()}")


class Anvil:
    """One chain, which can be stopped, hung, killed and started again."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._starts = 0
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def rpc(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start with the state of the last ordinary stop."""
        self._starts += 1
        log = self._folder / f"anvil-{self._starts}.log"
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [str(self._program), "--port", str(self.port), "--accounts", "1",
                 "--state", str(self._folder / "state.json")],
                stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        end = time.monotonic() + _START_S
        while not (found := re.search(r"Listening on \S+:(\d+)", log.read_text())):
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.01)
        self.port = int(found[1])

    def stop(self) -> None:
        """End it; its state is kept."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it by SIGKILL; its state is that of the last ordinary stop."""
        self._end(signal.SIGKILL)

    @contextlib.contextmanager
    def hung(self):
        """Take connections, but answer nothing."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def call(self, method, *parameters):
        """Return a result of the node."""
        answer = httpx.post(
            self.rpc,
            json={"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters},
            timeout=60,
            trust_env=False,
        ).json()
        assert "error" not in answer, answer
        return answer["result"]

    def _end(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(60)
