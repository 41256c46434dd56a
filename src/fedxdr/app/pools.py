# SPDX-License-Identifier: Apache-2.0
"""Processes for what is heavy: made when first asked for, over all cores.

It does NOT decide what runs there: encryption and decryption take a ``Run`` and hand it
jobs (secagg/encrypted/).

Rules that always hold: workers begin empty (``spawn``), so nothing of this process but
the jobs reaches them; a worker ends when its parent does, however that ends; with one
core everything runs in this process.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from fedxdr.secagg.encrypted.integers import in_turn

J = TypeVar("J")
R = TypeVar("R")


class LazyPool:
    """The ``Run`` of a pool of processes; close it when done.

    Args:
        processes: how many; 0 for one per core.
    """

    def __init__(self, processes: int = 0) -> None:
        self._processes = processes or os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None

    @property
    def is_started(self) -> bool:
        """Whether there are workers."""
        return self._pool is not None

    def __call__(self, function: Callable[[J], R], jobs: Iterable[J], /) -> Iterable[R]:
        """Return the results in the order of the jobs."""
        if self._processes == 1:
            return in_turn(function, jobs)
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._processes,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_end_with_parent,
            )
        return self._pool.map(function, jobs)

    def close(self) -> None:
        """End the workers; nothing happens the second time."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _end_with_parent() -> None:
    """Watch the parent from a thread: a worker of a killed process would wait on."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="fedxdr-parent", daemon=True).start()
