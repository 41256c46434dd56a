# SPDX-License-Identifier: Apache-2.0
"""How every benchmark measures, and the one JSON line it prints.

A benchmark calls itself once per run in a fresh process (``run_fresh``), so that no run
warms another's caches or inherits its memory peak. Inside that process the work stands
in ``Meter``; the outer process takes medians (``line``) and prints one line.

It does NOT decide what is fair: each benchmark says in its docstring what is inside the
measured part on either side.

Rules that always hold: at least ``MIN_RUNS`` runs; CPU seconds are those of the process
(all its threads, user and system), never of the machine; memory peaks are the process's
own, reset at the start of the measured part where the kernel allows it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import resource
import signal
import statistics
import subprocess  # a benchmark is a program that starts itself; arguments are its own
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

MIN_RUNS = 5
"""Fewest runs behind a median."""

Figures = dict[str, float | int | bool | str]
"""What one run measured: a name with its unit, and a number, truth or word."""

_ROOT = Path(__file__).resolve().parent.parent


class MissingPeer(Exception):
    """The peer library is not installed; the message names the extra that has it."""


class DidNotFinish(Exception):
    """A run went over its limit of seconds or memory; the message says which."""


class Meter:
    """CPU seconds, wall seconds and peak memory of the block it encloses.

    Attributes:
        cpu_s: process CPU seconds, user and system, all threads.
        wall_s: seconds on the wall.
        peak_rss_bytes: largest resident set while inside.
        extra_rss_bytes: that peak less the resident set at the start, >= 0.
    """

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self.wall_s = 0.0
        self.peak_rss_bytes = 0
        self.extra_rss_bytes = 0
        self._cpu = self._wall = 0.0
        self._before_bytes = 0

    def __enter__(self) -> Self:
        _forget_peak()
        self._before_bytes = _status_bytes("VmRSS")
        self._wall = time.perf_counter()
        self._cpu = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu_s = time.process_time() - self._cpu
        self.wall_s = time.perf_counter() - self._wall
        self.peak_rss_bytes = _status_bytes("VmHWM")
        self.extra_rss_bytes = max(0, self.peak_rss_bytes - self._before_bytes)

    def figures(self) -> Figures:
        """Return the four figures by name."""
        return {
            "cpu_s": self.cpu_s,
            "wall_s": self.wall_s,
            "peak_rss_bytes": self.peak_rss_bytes,
            "extra_rss_bytes": self.extra_rss_bytes,
        }


def run_fresh(
    module: str,
    arguments: Sequence[str],
    *,
    limit_s: float | None = None,
    limit_bytes: int | None = None,
) -> Figures:
    """Run ``python -m module arguments`` afresh and return what it measured.

    Numerical libraries are held to one thread, on either side alike.

    Args:
        module: dotted name of the benchmark, for example ``"benchmarks.secagg"``.
        arguments: its command line; the program prints one JSON object last.
        limit_s: CPU seconds after which the kernel ends it, None for no limit.
        limit_bytes: most address space, None for no limit.

    Raises:
        DidNotFinish: it went over a limit.
        RuntimeError: the process failed or printed something else.
    """
    environment = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[name] = "1"
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        check=False,
        cwd=_ROOT,
        env=environment,
        preexec_fn=functools.partial(_limit, limit_s, limit_bytes),
        text=True,
    )
    if limit_s and done.returncode in {-signal.SIGXCPU, -signal.SIGKILL}:
        raise DidNotFinish(f"not done after {limit_s:g} CPU seconds")
    if limit_bytes and done.returncode and "MemoryError" in done.stderr:
        raise DidNotFinish(f"needs more than {limit_bytes / 2**30:g} GiB of memory")
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)}: {done.stderr[-2000:]}")
    try:
        value = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise RuntimeError(f"{module}: no JSON object as last line") from error
    if not isinstance(value, dict):
        raise RuntimeError(f"{module}: last line is not a JSON object")  # noqa: TRY004 - not a caller's type
    return value


def line(
    name: str,
    *,
    sizes: Mapping[str, int | float | str],
    seed: int,
    ours: Callable[[], Figures],
    peer: Callable[[], Figures] | None = None,
    peer_name: str = "",
    peer_version: str = "",
    runs: int = MIN_RUNS,
) -> dict[str, object]:
    """Run both sides in turn, ``runs`` times each, and return the benchmark's line.

    Ours and peer alternate, so that a noisy neighbour on the machine meets both.

    Args:
        name: what is measured.
        sizes: the sizes, by name.
        seed: the seed both sides drew their inputs from.
        ours: one run of ours; ``run_fresh`` with its arguments, usually.
        peer: one run of the peer, or None where there is none. A run that does not
            finish is not tried again.
        peer_name: the peer's name on the package index.
        peer_version: its version.
        runs: how many of each, >= ``MIN_RUNS``.

    Returns:
        name, sizes, seed, runs, machine, commit, ``ours``, ``peer`` and ``ratio``: peer
        CPU seconds over ours, of the medians. Each side holds medians, and under
        ``spread`` the least and largest of each number. A truth or word (``exact``)
        must be the same in every run. Where the peer did not finish, ``peer`` is null
        and ``reason`` says why.

    Raises:
        ValueError: fewer runs than ``MIN_RUNS``.
        RuntimeError: a truth or word that differs between runs.
    """
    if runs < MIN_RUNS:
        raise ValueError(f"got {runs} runs, want at least {MIN_RUNS}")
    ours_runs: list[Figures] = []
    peer_runs: list[Figures] = []
    reason = ""
    for _ in range(runs):
        ours_runs.append(ours())
        if peer is not None and not reason:
            try:
                peer_runs.append(peer())
            except DidNotFinish as error:
                reason = f"{peer_name} {peer_version}: {error}"
    result: dict[str, object] = {
        "name": name,
        **sizes,
        "seed": seed,
        "runs": runs,
        "machine": machine(),
        "commit": commit(),
        "ours": _medians(ours_runs),
    }
    if reason:
        return result | {"peer": None, "reason": reason}
    if peer is not None:
        theirs = _medians(peer_runs)
        result["peer"] = {"name": peer_name, "version": peer_version, **theirs}
        result["ratio"] = _ratio(peer_runs, ours_runs, "cpu_s")
        for part in ("client", "server"):
            key = f"{part}_cpu_s"
            if key in peer_runs[0] and key in ours_runs[0]:
                result[f"{part}_ratio"] = _ratio(peer_runs, ours_runs, key)
    return result


def show(value: Mapping[str, object]) -> None:
    """Print one JSON line."""
    sys.stdout.write(json.dumps(value, separators=(", ", ": ")) + "\n")
    sys.stdout.flush()


def machine() -> dict[str, str | int]:
    """Return the processor's name, its cores, and the interpreter's version."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for row in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if row.startswith("model name"):
                model = row.partition(":")[2].strip()
                break
    return {
        "cpu": model,
        "cores": os.cpu_count() or 1,
        "python": platform.python_version(),
    }


def commit() -> str:
    """Return the commit the tree stands on, ``-dirty`` where files differ from it."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            check=True,
            cwd=_ROOT,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _medians(runs: Sequence[Figures]) -> dict[str, object]:
    """Return the median of each number, and least and largest under ``spread``."""
    medians: dict[str, object] = {}
    spread: dict[str, list[float | int]] = {}
    for key, first in runs[0].items():
        if isinstance(first, bool | str):
            if any(run[key] != first for run in runs):
                raise RuntimeError(f"{key} is not the same in every run")
            medians[key] = first
            continue
        values = [value for run in runs if not isinstance(value := run[key], str)]
        medians[key] = _rounded(statistics.median(values))
        spread[key] = [_rounded(min(values)), _rounded(max(values))]
    medians["spread"] = spread
    return medians


def _ratio(peer: Sequence[Figures], ours: Sequence[Figures], key: str) -> float:
    """Return the peer's median over ours, of one figure."""
    above, below = (
        statistics.median(float(run[key]) for run in runs) for runs in (peer, ours)
    )
    return round(above / below, 2)


def _limit(limit_s: float | None, limit_bytes: int | None) -> None:
    """Set a process's own limits, before its program starts."""
    if limit_s is not None:
        seconds = int(limit_s)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    if limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


def _rounded(value: float) -> float | int:
    """Return an integer as it is, a float with six significant digits."""
    return int(value) if float(value).is_integer() else float(f"{value:.6g}")


def _status_bytes(field: str) -> int:
    """Return VmRSS (now) or VmHWM (peak) of this process, in bytes."""
    with contextlib.suppress(OSError):
        for row in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if row.startswith(field + ":"):
                return int(row.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _forget_peak() -> None:
    """Let the kernel count VmHWM anew from here (Linux: write 5 to clear_refs)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
