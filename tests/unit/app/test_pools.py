# SPDX-License-Identifier: Apache-2.0
"""A pool that is made when it is asked for, and ends with its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedxdr.app.pools import LazyPool

_DYING = """
import time
from fedxdr.app.pools import LazyPool

if __name__ == "__main__":
    pool = LazyPool(2)
    print(*pool(abs, [-1]), flush=True)
    print(*pool._pool._processes, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def pool():
    made = LazyPool(2)
    yield made
    made.close()


def test_it_gives_what_map_gives_in_order(pool):
    assert not pool.is_started
    assert list(pool(abs, range(-5, 1))) == [5, 4, 3, 2, 1, 0]
    assert pool.is_started
    pool.close()
    assert not pool.is_started
    pool.close()


def test_one_core_needs_no_processes():
    alone = LazyPool(1)
    assert list(alone(abs, [-1])) == [1]
    assert not alone.is_started


def test_workers_end_when_their_parent_is_killed(tmp_path):
    program = tmp_path / "dying.py"
    program.write_text(_DYING)
    parent = subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout.readline().strip() == "1"
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert workers
    parent.send_signal(signal.SIGKILL)
    parent.wait(30)
    parent.stdout.close()
    end = time.monotonic() + 60
    while any(_runs(pid) for pid in workers):
        assert time.monotonic() < end
        time.sleep(0.05)


def _runs(pid):
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
