# SPDX-License-Identifier: Apache-2.0
r"""What aggregating once costs: CPU and memory of each rule, and whether Krum is right.

``python -m benchmarks.aggregators --organisations 100 --parameters 1000000 \
--peer flower``

Both sides aggregate the same (n, d) float32 matrix in one thread, each run in a fresh
process, as a server does between two rounds: the first aggregation of that size in that
process (imports and a tiny aggregation come before). ``again_cpu_s`` is the second one,
when pages and caches are warm; ``ratio_again`` compares those. ``extra_rss_bytes`` is
peak memory above what stood before, so above the input. Updates are a common vector
plus each organisation's own noise of 1e-4 to 5e-4. Weights are equal, the trimmed share
is 0.2 at each side, Krum assumes n // 5 Byzantine participants, multi-Krum averages the
other n - n // 5.

Counted on our side: all checks, NaN and infinity among them, up to the result. Counted
on Flower's: see aggregators_flower.py, which leaves out its decoding of messages.

``krum_agreement`` counts in how many draws the pick is that of the definition in
float64, pair by pair, at four scales of the common vector, 20 draws each.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.measure import (
    MIN_RUNS,
    Figures,
    Meter,
    commit,
    line,
    machine,
    run_fresh,
    show,
)
from fedxdr.aggregation import (
    krum,
    krum_selection,
    median,
    multi_krum,
    trim_count,
    trimmed_mean,
    weighted_mean,
)
from fedxdr.core.randomness import generator

RULES = ("median", "trimmed_mean", "krum", "multi_krum", "mean")
SCALES = (0.05, 0.2, 1.0, 10.0)
DRAWS = 20
TRIM_FRACTION = 0.2
AGREEMENT_SIZES = ((10, 100_000), (100, 20_000))
MISSING = "flwr is not installed; it comes with: pip install 'fedxdr[bench]'\n"

Matrix = npt.NDArray[np.float32]


def updates_of(
    organisations: int, parameters: int, *, scale: float, seed: tuple[int, ...]
) -> Matrix:
    """Return (n, d) float32: a common normal vector plus each one's own small noise.

    Args:
        organisations: n.
        parameters: d.
        scale: standard deviation of the common vector.
        seed: of the generator.
    """
    random = generator(*seed)
    spreads = random.uniform(1e-4, 5e-4, organisations)
    common = scale * random.standard_normal(parameters)
    updates = np.empty((organisations, parameters), dtype=np.float32)
    for row, spread in zip(updates, spreads, strict=True):
        row[:] = common + spread * random.standard_normal(parameters)
    return updates


def ours(rule: str, updates: Matrix) -> Callable[[], Matrix]:
    """Return a call that aggregates the updates once."""
    n = len(updates)
    byzantine = n // 5
    calls: dict[str, Callable[[], Matrix]] = {
        "median": lambda: median(updates),
        "trimmed_mean": lambda: trimmed_mean(
            updates, trim=trim_count(n, TRIM_FRACTION)
        ),
        "krum": lambda: krum(updates, byzantine=byzantine),
        "multi_krum": lambda: multi_krum(
            updates, byzantine=byzantine, selected=n - byzantine
        ),
        "mean": lambda: weighted_mean(updates, np.ones(n)),
    }
    return calls[rule]


def measured(side: str, rule: str, updates: Matrix) -> Figures:
    """Aggregate twice in this process and return what it cost.

    ``off`` is the largest distance of the result from the plain float64 rule, in a
    sample of parameters, divided by the spread of the updates there.
    """
    n = len(updates)

    def prepared(array: Matrix) -> Callable[[], Any]:
        if side == "ours":
            return ours(rule, array)
        from benchmarks.aggregators_flower import aggregation  # noqa: PLC0415 - optional

        return aggregation(
            rule,
            array,
            trim_fraction=TRIM_FRACTION,
            byzantine=n // 5,
            selected=n - n // 5,
        )

    prepared(updates[:, :64].copy())()
    call, meter = prepared(updates), Meter()
    with meter:
        result = call()
    figures = meter.figures()
    if side == "flower":
        from benchmarks.aggregators_flower import result_of  # noqa: PLC0415 - optional

        result = result_of(result)
    call, again = prepared(updates), Meter()
    with again:
        call()
    figures["again_cpu_s"] = again.cpu_s
    figures["off"] = _off(rule, updates, result)
    return figures


def _off(rule: str, updates: Matrix, result: Matrix) -> float:
    if "krum" in rule:
        return 0.0  # its pick is what krum_agreement counts
    columns = slice(None, None, max(1, updates.shape[1] // 10_000))
    wide = np.sort(updates[:, columns].astype(np.float64), axis=0)
    if rule == "trimmed_mean":
        trim = int(TRIM_FRACTION * len(wide))
        want = wide[trim : len(wide) - trim].mean(axis=0)
    else:
        want = np.median(wide, axis=0) if rule == "median" else wide.mean(axis=0)
    spread = wide[-1] - wide[0]
    return float(np.max(np.abs(result[columns] - want) / spread))


def agreement(side: str, organisations: int, parameters: int, seed: int) -> Figures:
    """Return in how many draws the pick is that of the definition in float64."""
    byzantine = organisations // 5
    figures: Figures = {}
    agreed, cpu_s, wall_s = 0, 0.0, 0.0
    for number, scale in enumerate(SCALES):
        here = 0
        for draw in range(DRAWS):
            updates = updates_of(
                organisations, parameters, scale=scale, seed=(seed, number, draw)
            )
            begin, wall = time.process_time(), time.perf_counter()
            if side == "ours":
                (row,) = krum_selection(updates, byzantine=byzantine)
            else:
                from benchmarks.aggregators_flower import pick  # noqa: PLC0415 - optional

                row = pick(updates, byzantine=byzantine)
            cpu_s += time.process_time() - begin
            wall_s += time.perf_counter() - wall
            here += row == _definition(updates, byzantine)
        figures[f"agreed_at_{scale}"] = here
        agreed += here
    return {
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "agreed": agreed,
        "draws": DRAWS * len(SCALES),
        **figures,
    }


def _definition(updates: Matrix, byzantine: int) -> int:
    """Return Krum's pick by Blanchard et al. 2017, section 4, in float64."""
    n = len(updates)
    wide = updates.astype(np.float64)
    squared = np.full((n, n), np.inf)
    for i in range(n):
        for j in range(i):
            difference = wide[i] - wide[j]
            squared[i, j] = squared[j, i] = np.sum(difference * difference)
    squared.sort(axis=1)
    return int(np.argmin(squared[:, : n - byzantine - 2].sum(axis=1)))


def _show_rule(rule: str, options: argparse.Namespace, version: str) -> None:
    n, d, seed = options.organisations, options.parameters, options.seed
    once = [f"--organisations={n}", f"--parameters={d}", f"--seed={seed}"]

    def run(side: str) -> Callable[[], Figures]:
        arguments = [*once, f"--side={side}", f"--rules={rule}"]
        return lambda: run_fresh("benchmarks.aggregators", arguments)

    result = line(
        rule,
        sizes={"organisations": n, "parameters": d, "input_bytes": 4 * n * d},
        seed=seed,
        ours=run("ours"),
        peer=run("flower") if options.peer else None,
        peer_name="flwr",
        peer_version=version,
        runs=options.runs,
    )
    match result:
        case {
            "ours": {"again_cpu_s": float(own)},
            "peer": {"again_cpu_s": float(other)},
        }:
            result["ratio_again"] = round(other / own, 2)
    show(result)


def _show_agreement(options: argparse.Namespace, version: str) -> None:
    """Print one line per size; one run each, since nothing in it is left to chance."""
    for n, d in AGREEMENT_SIZES:
        once = [f"--organisations={n}", f"--parameters={d}", f"--seed={options.seed}"]
        once.append("--rules=krum_agreement")
        result: dict[str, object] = {
            "name": "krum_agreement",
            "organisations": n,
            "parameters": d,
            "seed": options.seed,
            "runs": 1,
            "machine": machine(),
            "commit": commit(),
            "ours": run_fresh("benchmarks.aggregators", [*once, "--side=ours"]),
        }
        if options.peer:
            theirs = run_fresh("benchmarks.aggregators", [*once, "--side=flower"])
            result["peer"] = {"name": "flwr", "version": version, **theirs}
        show(result)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark, or one side of one rule once, and print JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = (*RULES, "krum_agreement")
    parser.add_argument("--organisations", type=int, default=100)
    parser.add_argument("--parameters", type=int, default=1_000_000)
    parser.add_argument("--peer", choices=["flower"])
    parser.add_argument("--rules", nargs="+", choices=names, default=names)
    parser.add_argument("--runs", type=int, default=MIN_RUNS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--side", choices=["ours", "flower"], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    n, d = options.organisations, options.parameters
    if n < 5 or d < 1:
        parser.error("needs 5 organisations and 1 parameter at least")
    if options.side:
        for rule in options.rules:
            if rule == "krum_agreement":
                show(agreement(options.side, n, d, options.seed))
            else:
                updates = updates_of(n, d, scale=1.0, seed=(options.seed,))
                show(measured(options.side, rule, updates))
        return 0
    version = ""
    if options.peer:
        try:
            version = importlib.metadata.version("flwr")
        except importlib.metadata.PackageNotFoundError:
            sys.stderr.write(MISSING)
            return 2
    for rule in options.rules:
        if rule == "krum_agreement":
            _show_agreement(options, version)
        else:
            _show_rule(rule, options, version)
    return 0


if __name__ == "__main__":
    sys.exit(main())
