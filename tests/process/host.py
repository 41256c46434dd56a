# SPDX-License-Identifier: Apache-2.0
"""Starts a drill's processes quickly: imports once, then forks each of them.

Every agent and server is an operating-system process of its own, with nothing opened
before the fork; only the second of importing is saved. One command per line on standard
input, one answer per line on standard output; at its end all children are killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import uvicorn
from tests.process import drill_agent, drill_server

# imported before the fork: loaded lazily by the parts that need them
LOADED = (uvicorn, __import__("fedxdr.app.orchestrating"))
_POLL_S = 0.005


def start(program: str, argument: str, *, world: Path, log: Path) -> int:
    """Fork a process and return its number."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        if program == "agent":
            drill_agent.main(argument, world)
        else:
            drill_server.main(int(argument), world)
        status = 0
    except BaseException:  # noqa: BLE001 - a child must never come back to the loop
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(pid: int, timeout_s: float) -> int | None:
    """Return how a process ended (minus the signal), None if it still runs."""
    end = time.monotonic() + timeout_s
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            return None
        time.sleep(_POLL_S)


def answer(**what: int | None) -> None:
    """Write one answer."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Answer commands until standard input ends."""
    running: set[int] = set()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answer(ready=True)
    try:
        for line in sys.stdin:
            command = json.loads(line)
            match command:
                case {"start": program, "argument": argument}:
                    pid = start(
                        program,
                        argument,
                        world=Path(command["world"]),
                        log=Path(command["log"]),
                    )
                    running.add(pid)
                    answer(pid=pid)
                case {"wait": pid, "timeout_s": timeout_s}:
                    status = wait(pid, timeout_s)
                    if status is not None:
                        running.discard(pid)
                    answer(status=status)
                case {"signal": number, "pid": pid}:
                    os.kill(pid, number)
                    answer(pid=pid)
                case _:
                    raise SystemExit(f"no such command: {command}")
    finally:
        for pid in running:
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
