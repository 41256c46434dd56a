# SPDX-License-Identifier: Apache-2.0
"""What the pre-filter finds in a labelled stream of edges, and how fast.

    python -m benchmarks.prefilter --data darpa98_edges.parquet
                                   [--ticks clock|distinct] [--push 65536]
                                   [--columns 1024] [--threshold 1000] [--seed 0]

The file has columns ``ts`` (seconds since 1970), ``src``, ``dst`` and ``label`` (``-``
is benign, all else the name of an attack), rows in the order of the stream. Counted:
``Prefilter.push`` over the whole stream, in pushes. Not counted: reading, making tokens
of addresses, the figures. Every run is a fresh process on one thread and has a seed of
its own, ``--seed`` and up: which hosts share cells moves the figures in the third
decimal, and ``spread`` shows it. No seed is to be chosen by them.

``edges_per_cpu_second`` is what came out. ``auc``, ``average_precision`` and
``recall_at_1_percent`` (of benign rows) are over the whole file, nothing left out.

Then what is lost when only 10 % and 1 % of all edges go on, by three orders read off
the whole file: ``top``, highest scores first; ``once``, the same but no (source,
destination, tick) twice; ``random``, as a yardstick. ``recall`` is the part of the
attack edges that goes on and ``recall_most`` the part that any order could let on;
``precision`` is the part of what goes on that is attack; ``families`` is the part of
the attack families of which an edge goes on, ``minutes`` that of the (family, tick)
pairs: whether the network sees anything of an attack at all. Equal scores enter in the
order of the stream.

``--ticks distinct`` numbers the distinct minutes one after the other, as the authors'
files do, so that quiet minutes do not fade.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet

from benchmarks.measure import MIN_RUNS, Figures, Meter, line, run_fresh, show
from fedxdr.core.randomness import generator
from fedxdr.models import graph, metrics, prefilter
from fedxdr.models.prefilter import Prefilter

TICK_S = 60
BENIGN = "-"
SHARES = (0.10, 0.01)
NS_PER_S = 1_000_000_000

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A labelled stream.

    Attributes:
        time_ns: (n,) int64.
        source: (n,) int64 tokens.
        destination: (n,) int64 tokens.
        family: (n,) int64, 0 benign, others one number per attack.
    """

    time_ns: Integers
    source: Integers
    destination: Integers
    family: Integers


def read(path: Path, *, ticks: str) -> Stream:
    """Read the file; tokens are the first 64 bits of an address' SHA-256."""
    table = pyarrow.parquet.read_table(path, columns=["ts", "src", "dst", "label"])
    seconds = table["ts"].to_numpy().astype(np.int64)
    if ticks == "distinct":
        moves = np.diff(np.maximum.accumulate(seconds) // TICK_S) > 0
        seconds = np.concatenate([[0], np.cumsum(moves)]) * TICK_S
    codes, names = _coded(table["label"])
    families = sorted(set(names) - {BENIGN})
    number = {BENIGN: 0} | {name: at for at, name in enumerate(families, 1)}
    return Stream(
        time_ns=seconds * NS_PER_S,
        source=_tokens(table["src"]),
        destination=_tokens(table["dst"]),
        family=np.array([number[name] for name in names], np.int64)[codes],
    )


def _coded(column: pyarrow.ChunkedArray) -> tuple[Integers, list[str]]:
    if not pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    whole = column.unify_dictionaries().combine_chunks()
    return whole.indices.to_numpy().astype(np.int64), whole.dictionary.to_pylist()


def _tokens(column: pyarrow.ChunkedArray) -> Integers:
    codes, names = _coded(column)
    digests = b"".join(hashlib.sha256(name.encode()).digest()[:8] for name in names)
    return np.frombuffer(digests, ">i8").astype(np.int64)[codes]


def run(
    stream: Stream, *, push: int, columns: int, threshold: float, seed: int
) -> Figures:
    """Score the stream once."""
    one = Prefilter(tick_s=TICK_S, columns=columns, threshold=threshold, seed=seed)
    n = len(stream.family)
    found = []
    with Meter() as meter:
        for begin in range(0, n, push):
            part = slice(begin, begin + push)
            found.append(
                one.push(
                    stream.time_ns[part], stream.source[part], stream.destination[part]
                )
            )
    scores = prefilter.score(np.concatenate(found))
    attack = stream.family > 0
    return {
        **meter.figures(),
        "edges_per_cpu_second": n / meter.cpu_s,
        "sketch_bytes": one.sketch_bytes,
        **_named("auc", metrics.area_under_curve(scores, attack)),
        **_named("average_precision", metrics.average_precision(scores, attack)),
        **_named("recall_at_1_percent", metrics.recall(scores, attack, budget=0.01)),
        **lost(scores, stream, seed=seed),
    }


def lost(scores: npt.NDArray[np.float64], stream: Stream, *, seed: int) -> Figures:
    """Return what goes on when only some edges do, by each order."""
    n, attack = len(scores), stream.family > 0
    tick = np.maximum.accumulate(stream.time_ns) // (TICK_S * NS_PER_S)
    episode = graph.entities(tick, stream.family)
    top = np.argsort(-scores, kind="stable")
    talk = graph.entities(tick, stream.source, stream.destination)
    _, loudest = np.unique(talk[top], return_index=True)
    orders = {
        "top": top,
        "once": top[np.sort(loudest)],
        "random": generator(seed).permutation(n),
    }
    figures: Figures = {}
    for (name, order), share in itertools.product(orders.items(), SHARES):
        goes_on = order[: int(n * share)]
        hits = goes_on[attack[goes_on]]
        for figure, part, whole in (
            ("edges", len(goes_on), n),
            ("recall", len(hits), attack.sum()),
            ("recall_most", min(len(goes_on), attack.sum()), attack.sum()),
            ("precision", len(hits), len(goes_on)),
            ("families", *_distinct(stream.family, hits, attack)),
            ("minutes", *_distinct(episode, hits, attack)),
        ):
            figures[f"{name}_{share * 100:g}_{figure}"] = float(part / max(whole, 1))
    return figures


def _distinct(
    values: Integers, hits: Integers, attack: npt.NDArray[np.bool_]
) -> tuple[int, int]:
    return len(np.unique(values[hits])), len(np.unique(values[attack]))


def _named(name: str, value: float | None) -> Figures:
    return {} if value is None else {name: value}


def main(arguments: list[str] | None = None) -> int:
    """Print one JSON line.

    Args:
        arguments: command line; that of the process where None.
    """
    parser = argparse.ArgumentParser(description="What the pre-filter finds, how fast")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ticks", choices=("clock", "distinct"), default="clock")
    parser.add_argument("--push", type=int, default=65_536, help="edges per push")
    parser.add_argument("--columns", type=int, default=1024)
    parser.add_argument("--threshold", type=float, default=1000.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=MIN_RUNS)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.once:
        show(
            run(
                read(chosen.data, ticks=chosen.ticks),
                push=chosen.push,
                columns=chosen.columns,
                threshold=chosen.threshold,
                seed=chosen.seed,
            )
        )
        return 0
    again = ["--once", "--data", str(chosen.data.resolve()), "--ticks", chosen.ticks]
    for name in ("push", "columns", "threshold"):
        again += [f"--{name}", str(getattr(chosen, name))]
    seeds = itertools.count(chosen.seed)

    def ours() -> Figures:
        return run_fresh("benchmarks.prefilter", [*again, "--seed", str(next(seeds))])

    rows = pyarrow.parquet.read_metadata(chosen.data).num_rows
    show(
        line(
            "prefilter",
            sizes={
                "edges": rows,
                "ticks": chosen.ticks,
                "push": chosen.push,
                "columns": chosen.columns,
                "threshold": chosen.threshold,
            },
            seed=chosen.seed,
            ours=ours,
            runs=chosen.runs,
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
