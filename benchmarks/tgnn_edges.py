# SPDX-License-Identifier: Apache-2.0
"""Edges in time that both sides of benchmarks/tgnn.py learn to foretell.

Contiguous rows of DARPA 1998, or a generated graph of the same form where no file is at
hand. Each edge has a rival: the same source and time with a destination drawn evenly
from those that occur, the true one among them. Rivals and splits hang on sizes and seed
alone, so that both sides, in processes of their own, have the same.

It does NOT know either side.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute
import pyarrow.parquet

from benchmarks.measure import Figures, Meter
from fedxdr.core.randomness import generator
from fedxdr.models import graph, metrics

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

FILE = "darpa98_edges.parquet"
TRAINED = 0.7
"""Which part of the edges is learned from; the rest is scored."""

HOSTS = 1200
"""Of a generated graph."""

BATCH = 200
"""Edges whose precision is told by themselves in the second of the two figures."""

_RIVALS, _GENERATED = 1, 2
_USUAL = 8
_STRANGE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Edges:
    """n edges in time order, and their rivals.

    Attributes:
        time_s: (n,) int64, seconds since the first edge.
        source: (n,) int64, nodes from 0.
        destination: (n,) int64, same numbering.
        rival: (n,) int64, destinations of edges that did not happen.
        trained: how many edges are learned from.
    """

    time_s: Integers
    source: Integers
    destination: Integers
    rival: Integers
    trained: int


def read(data: Path | None, *, begin: int, size: int, seed: int) -> Edges:
    """Return rows [begin, begin + size) of a folder's file, or a generated graph.

    Args:
        data: where ``darpa98_edges.parquet`` lies; None: generated.
        begin: first row.
        size: how many.
        seed: of rivals, and of a generated graph.
    """
    if data is None:
        time_s, source, destination = _generated(size, seed=seed)
    else:
        table = pyarrow.parquet.read_table(data / FILE, columns=["ts", "src", "dst"])
        table = table.slice(begin, size)
        if len(table) != size:
            raise ValueError(f"{FILE} has no {size} rows from {begin} on")
        ends = [table[name].cast("string").to_pylist() for name in ("src", "dst")]
        _, codes = np.unique(ends[0] + ends[1], return_inverse=True)
        time_s = table["ts"].to_numpy().astype(np.int64)
        source, destination = codes[:size], codes[size:]
    # one edge of the file is a minute early
    order = np.argsort(time_s, kind="stable")
    nodes = graph.entities(np.concatenate([source[order], destination[order]]))
    destination = nodes[size:]
    draw = generator(seed, _RIVALS)
    return Edges(
        time_s=time_s[order] - time_s[order[0]],
        source=nodes[:size],
        destination=destination,
        rival=draw.choice(np.unique(destination), size),
        trained=int(TRAINED * size),
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which edges are meant."""
    parser.add_argument("--data", type=Path, help=f"folder of {FILE}")
    parser.add_argument("--begin", type=int, default=0, help="first row")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)


def chosen(options: argparse.Namespace) -> Edges:
    """Return the edges that the options name."""
    return read(
        options.data, begin=options.begin, size=options.events, seed=options.seed
    )


def figures(
    edges: Edges, training: Meter, scoring: Meter, *, own: Floats, rivals: Floats
) -> Figures:
    """Return one run's figures.

    Args:
        edges: of the run.
        training: what learning from ``edges.trained`` of them took.
        scoring: what scoring the others, each with its rival, took.
        own: (n - trained,) scores of edges.
        rivals: those of their rivals.
    """
    found: Figures = {"cpu_s": training.cpu_s + scoring.cpu_s}
    for name, meter, count in (
        ("train", training, edges.trained),
        ("score", scoring, len(own)),
    ):
        found |= {f"{name}_{key}": value for key, value in meter.figures().items()}
        found[f"{name}_events_per_s"] = count / meter.wall_s
        found[f"{name}_events_per_cpu_s"] = count / meter.cpu_s
    found["average_precision"] = precision(own, rivals)
    found["average_precision_by_batch"] = precision(own, rivals, batch=BATCH)
    return found


def precision(own: Floats, rivals: Floats, *, batch: int = 0) -> float:
    """Return the average precision of telling edges from their rivals.

    Args:
        own: (n,) scores of edges.
        rivals: (n,) scores of their rivals.
        batch: edges that are ranked together, the mean of whose figures is taken, as
            PyTorch Geometric's example does it; 0: all together.
    """
    found = []
    step = batch or len(own)
    for begin in range(0, len(own), step):
        pair = [scores[begin : begin + step] for scores in (own, rivals)]
        truth = np.repeat([True, False], len(pair[0]))
        figure = metrics.average_precision(np.concatenate(pair), truth)
        found.append(0.0 if figure is None else figure)
    return float(np.mean(found))


def _generated(size: int, *, seed: int) -> tuple[Integers, Integers, Integers]:
    """Return times, sources and destinations: hosts that have usual partners."""
    draw = generator(seed, _GENERATED)
    usual = (HOSTS * draw.random((HOSTS, _USUAL)) ** 2).astype(np.int64)
    source = draw.permutation(HOSTS)[(HOSTS * draw.random(size) ** 2).astype(np.int64)]
    partner = usual[source, (_USUAL * draw.random(size) ** 2).astype(np.int64)]
    strange = draw.integers(0, HOSTS, size)
    destination = np.where(draw.random(size) < _STRANGE, strange, partner)
    return np.cumsum(draw.integers(0, 3, size)), source, destination
