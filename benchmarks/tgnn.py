# SPDX-License-Identifier: Apache-2.0
"""The network foretelling edges, beside the TGN of PyTorch Geometric, as pairs.

    python -m benchmarks.tgnn --peer pyg [--data FOLDER] [--begin 0] [--events 100000]
                              [--neighbour 4] [--mixer 8] [--embedding 32]
                              [--view edge|batch] [--generated]

Speed without precision says nothing of such a network, and the other way round: each
side gives events per second of learning and of scoring, and the average precision that
came of it. Both read the same contiguous edges of DARPA 1998 (``--data``; beside the
repository by default; generated, and ``edges`` says so, where there are none), learn
from the first 70 % in one epoch in time order, batches of 200, and score the rest, with
the same rival for each edge (benchmarks/tgnn_edges.py). Every run is a fresh process on
one thread and has a seed of its own, ``--seed`` and up: rivals, first weights.

Counted on our side, when learning: features of edges and rivals from bare times and
ends, their statistics, one epoch for the head "this is the edge that followed". When
scoring: features of the edges and of their rivals, and the network on both; what stands
before them is read again, as a batch does it. A scored event is an edge with its rival,
on both sides. Features of an edge see all edges before it; the peer, as in its own
example, sees no edge of the same 200, and with ``--view batch`` neither do ours. What
the peer does is in benchmarks/tgnn_pyg.py;
``--peer-rate`` is by default the one of 0.0001 (the example's) and 0.001 that gives it
the higher precision.

``ratios`` are ours over the peer's, of medians; ``cpu_s`` is learning and scoring.
``average_precision`` is over all scored events together, ``..._by_batch`` the mean over
batches of 200, as the example takes it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import tgnn_edges
from benchmarks.measure import MIN_RUNS, Figures, Meter, line, run_fresh, show
from benchmarks.tgnn_edges import Edges
from fedxdr.learning import features, fit, lifetimes, statistics
from fedxdr.models import parameters
from fedxdr.models.adam import Adam
from fedxdr.models.architecture import Architecture
from fedxdr.models.graph import Floats, Integers
from fedxdr.telemetry.event import Events

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "darpa98_graph"
NS_PER_S = 1_000_000_000
SIZES = {"neighbour": 4, "mixer": 8, "embedding": 32}
PAIRS = {
    "train_events_per_s": "train_wall",
    "train_events_per_cpu_s": "train_cpu",
    "score_events_per_s": "score_wall",
    "score_events_per_cpu_s": "score_cpu",
    "average_precision": "average_precision",
    "average_precision_by_batch": "average_precision_by_batch",
}


def described(
    events: Events, edges: Edges, rows: Integers, *, view: str
) -> tuple[Floats, Floats]:
    """Return the features of some edges and of their rivals."""
    before = None if view == "edge" else rows - (rows - rows[0]) % tgnn_edges.BATCH
    return lifetimes.both(events, rows, edges.rival[rows], before=before)


def learn(
    architecture: Architecture, own: Floats, rivals: Floats, *, rate: float, seed: int
) -> Floats:
    """Return the model after one epoch in time order, (d,) float32."""
    vector = architecture.first_vector(seed)
    nobody = np.zeros(len(own), np.int64)
    known = statistics.statistics(own, nobody, architecture=architecture)
    vector[: len(known)] = known
    network = parameters.network(architecture, vector)
    optimiser = Adam(list(network.parameters()), rate=rate)
    batch = tgnn_edges.BATCH
    inputs = [network.standardise(torch.from_numpy(part)) for part in (own, rivals)]
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    for begin in range(0, len(own), batch):
        both = torch.cat([part[begin : begin + batch] for part in inputs])
        truth = (torch.arange(len(both)) < len(both) // 2).to(torch.float32)
        following = network.read(network.embed(both)).following
        if following is None:
            raise TypeError("the network has no head for what follows")
        optimiser.forget_gradients()
        entropy(following, truth).backward()
        optimiser.step()
    return parameters.read(network)


def score(vector: Floats, architecture: Architecture, rows: Floats) -> Floats:
    """Return how much likelier each edge is than one to another destination."""
    found = fit.said(vector, architecture=architecture, features=rows).following
    if found is None:
        raise TypeError("the network has no head for what follows")
    return found


def ours(
    edges: Edges, *, sizes: Mapping[str, int], view: str, rate: float, seed: int
) -> Figures:
    """Train and score once; return the figures."""
    torch.set_num_threads(1)
    events = Events.build(
        len(edges.source),
        {
            "time_ns": edges.time_s * NS_PER_S,
            "source": edges.source,
            "destination": edges.destination,
        },
    )
    architecture = features.find(lifetimes.NAME).architecture(following=1, **sizes)
    begin, n = edges.trained, len(events)
    with Meter() as training:
        past = events.select(slice(0, begin))
        parts = described(past, edges, np.arange(begin), view=view)
        vector = learn(architecture, *parts, rate=rate, seed=seed)
    with Meter() as scoring:
        parts = described(events, edges, np.arange(begin, n), view=view)
        own, rivals = (score(vector, architecture, part) for part in parts)
    return tgnn_edges.figures(edges, training, scoring, own=own, rivals=rivals)


def main(arguments: list[str] | None = None) -> int:
    """Print one JSON line.

    Args:
        arguments: command line; that of the process where None.
    """
    parser = argparse.ArgumentParser(description="Edges foretold, how well, how fast")
    parser.add_argument("--peer", choices=("pyg", "none"), default="pyg")
    tgnn_edges.add_options(parser)
    for name, default in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--generated", action="store_true", help="no file is read")
    parser.add_argument("--view", choices=("edge", "batch"), default="edge")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--peer-rate", type=float, default=1e-3)
    parser.add_argument("--runs", type=int, default=MIN_RUNS)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    sizes = {name: getattr(chosen, name) for name in SIZES}
    if chosen.once:
        edges = tgnn_edges.chosen(chosen)
        show(
            ours(
                edges, sizes=sizes, view=chosen.view, rate=chosen.rate, seed=chosen.seed
            )
        )
        return 0
    if chosen.generated:
        chosen.data = None
    elif chosen.data is None and (DATA / tgnn_edges.FILE).is_file():
        chosen.data = DATA
    which = ["--begin", str(chosen.begin), "--events", str(chosen.events)]
    if chosen.data is not None:
        which += ["--data", str(chosen.data.resolve())]
    mine = ["--once", *which, "--view", chosen.view, "--rate", str(chosen.rate)]
    mine += itertools.chain.from_iterable(
        (f"--{name}", str(size)) for name, size in sizes.items()
    )
    theirs = [*which, "--rate", str(chosen.peer_rate)]
    has_peer = chosen.peer == "pyg"
    found = line(
        "tgnn",
        sizes={
            "edges": "generated" if chosen.data is None else "darpa98",
            "begin": chosen.begin,
            "events": chosen.events,
            "batch": tgnn_edges.BATCH,
            **sizes,
            "view": chosen.view,
            "rate": chosen.rate,
            "peer_rate": chosen.peer_rate,
        },
        seed=chosen.seed,
        ours=_runs("benchmarks.tgnn", mine, seed=chosen.seed),
        peer=(
            _runs("benchmarks.tgnn_pyg", theirs, seed=chosen.seed) if has_peer else None
        ),
        peer_name="torch-geometric" if has_peer else "",
        peer_version=importlib.metadata.version("torch-geometric") if has_peer else "",
        runs=chosen.runs,
    )
    show(found | _ratios(found))
    return 0


def _runs(module: str, arguments: list[str], *, seed: int) -> Callable[[], Figures]:
    """Return a side's runs, one seed after the other."""
    seeds = itertools.count(seed)
    return lambda: run_fresh(module, [*arguments, "--seed", str(next(seeds))])


def _ratios(found: Mapping[str, Any]) -> dict[str, object]:
    """Return ours over the peer's, by what is compared."""
    ours, peer = found["ours"], found.get("peer")
    if peer is None:
        return {}
    return {
        "ratios": {
            name: round(ours[figure] / peer[figure], 3)
            for figure, name in PAIRS.items()
        }
    }


if __name__ == "__main__":
    sys.exit(main())
