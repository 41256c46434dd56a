# SPDX-License-Identifier: Apache-2.0
"""What one secure aggregation costs: CPU of all clients and of the server, and errors.

``python -m benchmarks.secagg --organisations 10 --parameters 1000000 --peer flower``
``python -m benchmarks.secagg --grid --peer flower``

Both sides run one whole round in one process over the same updates, each of L2 norm
``clip norm`` = 1, and open the mean. Every run is a fresh process, which plays a round
of three numbers first so that libraries are loaded. What is counted on our side says
secagg_masked.py or secagg_committee.py, on Flower's secagg_flower.py. Above 32
organisations both sides use a k-regular graph of the same degree, the one our failure
bound asks for with a tenth colluding and a tenth dropping out; ``--graph complete``
takes all others instead.

``largest_error`` is the largest coordinate of |opened mean - exact mean|, in clip
norms. ``uneven_error`` is the same with sample counts from 1 to 2^16, capped as a plan
caps them, and as many of the heaviest dropping out as the threshold allows. ``exact``
compares our opened integer sum with the sum of the survivors' quantised vectors, made
again after the clock has stopped, in wide integers. ``server_model_copies`` is the
memory that opening takes beyond what was there, in float32 models.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import sys
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from benchmarks.measure import MIN_RUNS, Figures, Meter, MissingPeer, line, run_fresh
from benchmarks.measure import show as show_line
from benchmarks.secagg_committee import CommitteeRound
from benchmarks.secagg_masked import (
    CLIP_NORM,
    MaskedRound,
    Shape,
    Updates,
    Vector,
)
from fedxdr.core.ids import org_id
from fedxdr.core.randomness import generator
from fedxdr.secagg import graph, quantise, weights

BITS = 31
"""The ring has 32 bits whatever the plan says, so all of them are used."""
EXTRA = "pip install 'fedxdr[bench]'"
GRID_ORGANISATIONS = (5, 10, 50, 100)
GRID_PARAMETERS = (100_000, 1_000_000, 10_000_000)
PEER_LIMIT_S = 300
PEER_LIMIT_BYTES = 10 * 2**30
_UNEVEN_PARAMETERS = 100_000
_LARGEST_BUCKET = 16
_CAP_OVER_MEDIAN = 2


class _Made(Mapping[int, Vector]):
    """Each participant's update, (d,) float32 of L2 norm ``CLIP_NORM``, made anew."""

    def __init__(self, organisations: int, parameters: int, seed: int) -> None:
        self._sizes = (organisations, parameters)
        self._seed = seed

    @override
    def __getitem__(self, index: int) -> Vector:
        if not 0 <= index < len(self):
            raise KeyError(index)
        random = generator(self._seed, index)
        update = random.standard_normal(self._sizes[1], dtype=np.float32)
        update *= np.float32(CLIP_NORM / float(np.linalg.norm(update)))
        return update

    @override
    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    @override
    def __len__(self) -> int:
        return self._sizes[0]


class _Numbered(Mapping[int, Vector]):
    """The same updates under Flower's client numbers, 1 to n."""

    def __init__(self, updates: Updates) -> None:
        self._updates = updates

    @override
    def __getitem__(self, node: int) -> Vector:
        return self._updates[node - 1]

    @override
    def __iter__(self) -> Iterator[int]:
        return iter(range(1, len(self) + 1))

    @override
    def __len__(self) -> int:
        return len(self._updates)


def largest_error(
    mean: npt.NDArray[np.float64], updates: Updates, survivors: int
) -> float:
    """Return the largest coordinate of |mean - exact mean|, in clip norms."""
    exact = np.zeros(mean.size)
    for index in range(survivors):
        exact += updates[index]
    exact /= survivors
    np.subtract(mean, exact, out=exact)
    return float(max(exact.max(), -exact.min())) / CLIP_NORM


def uneven_error(updates: Updates, shape: Shape) -> float:
    """Return the largest error, in clip norms, under very uneven sample counts.

    Masks leave the sum exact, so the error is that of quantising: nothing is masked.
    """
    n = len(updates)
    buckets = {
        org_id(f"org-{index:04}"): int(bucket)
        for index, bucket in enumerate(generator(7).integers(0, _LARGEST_BUCKET + 1, n))
    }
    weight = list(
        weights.effective_weights(buckets, cap_over_median=_CAP_OVER_MEDIAN).values()
    )
    heaviest = sorted(range(n), key=lambda index: -weight[index])
    alive = heaviest[n - min(shape.threshold, n) :]
    total = np.zeros(updates[0].size, dtype=np.int32)
    exact = np.zeros(updates[0].size)
    for index in alive:
        exact += weight[index] * updates[index].astype(np.float64)
        total += quantise.quantise(
            updates[index],
            bound=CLIP_NORM,
            bits=shape.bits,
            participants=n,
            weight=weight[index],
            total_weight=sum(weight),
            seed=index.to_bytes(32),
        ).view(np.int32)
    survivors_weight = sum(weight[index] for index in alive)
    mean = quantise.dequantise(
        total,
        bound=CLIP_NORM,
        bits=shape.bits,
        participants=n,
        survivors_weight=survivors_weight,
        total_weight=sum(weight),
    )
    return float(np.max(np.abs(mean - exact / survivors_weight))) / CLIP_NORM


def ours(updates: Updates, shape: Shape) -> Figures:
    """Play one of our rounds and return what it cost."""
    played = (
        CommitteeRound(updates, shape) if shape.helpers else MaskedRound(updates, shape)
    )
    meter = Meter()
    with meter:
        played.play()
    survivors = len(updates) - shape.dropouts
    figures = meter.figures()
    parts = played.costs.parts
    for side in ("client", "helper", "server"):
        if any(name.startswith(side) for name in parts):
            figures[f"{side}_cpu_s"] = played.costs.total(side)
    figures["cpu_s"] = sum(parts.values())
    figures["largest_error"] = largest_error(played.mean, updates, survivors)
    figures["exact"] = bool(np.array_equal(played.total, played.plain_sum()))
    figures["upload_bytes"] = played.upload_bytes
    size = updates[0].size
    figures["upload_bytes_per_parameter"] = played.upload_bytes / size
    figures["server_model_copies"] = played.meter.extra_rss_bytes / (4 * size)
    return figures | {f"{name}_cpu_s": spent for name, spent in parts.items()}


def flower(updates: Updates, shape: Shape) -> Figures:
    """Play one round of Flower's SecAgg+ and return what it cost.

    Raises:
        MissingPeer: flwr is not installed.
    """
    try:
        peer = importlib.import_module("benchmarks.secagg_flower")
    except ImportError as error:
        raise MissingPeer(f"{error}; flwr comes with: {EXTRA}") from error
    n = len(updates)
    meter = Meter()
    threshold = shape.threshold
    if shape.degree is not None:
        threshold = graph.share_threshold(shape.degree)
    client_cpu_s, server_cpu_s, mean = peer.play(
        _Numbered(updates),
        dropouts=frozenset(range(n - shape.dropouts + 1, n + 1)),
        threshold=threshold,
        shares=None if shape.degree is None else shape.degree + 1,
        clip_norm=CLIP_NORM,
        measured=lambda: meter,
    )
    figures = meter.figures()
    figures["client_cpu_s"] = client_cpu_s
    figures["server_cpu_s"] = server_cpu_s
    figures["cpu_s"] = client_cpu_s + server_cpu_s
    figures["largest_error"] = largest_error(mean, updates, n - shape.dropouts)
    return figures


def shape_of(options: argparse.Namespace, n: int) -> Shape:
    """Return the kind of round that the options ask for with n organisations."""
    dropouts = round(n * options.drop_out)
    degree = None
    if options.graph == "regular" and n > graph.COMPLETE_UP_TO:
        assumed = max(n // 10, dropouts)
        degree = graph.degree_for(n, n // 10, assumed)
        degree = None if degree >= n - 1 else degree
    return Shape(
        dropouts=dropouts,
        threshold=2 * n // 3 + 1,
        degree=degree,
        bits=options.bits,
        helpers=options.helpers if options.mode == "committee" else 0,
    )


def run(options: argparse.Namespace, n: int, parameters: int, version: str) -> None:
    """Measure one size and print its line."""
    shape = shape_of(options, n)
    once = [
        f"--organisations={n}",
        f"--parameters={parameters}",
        f"--drop-out={options.drop_out}",
        f"--seed={options.seed}",
        f"--mode={options.mode}",
        f"--graph={options.graph}",
        f"--bits={options.bits}",
        f"--helpers={options.helpers}",
    ]
    peer = None
    if options.peer:

        def peer() -> Figures:
            return run_fresh(
                "benchmarks.secagg",
                [*once, "--side=flower"],
                limit_s=options.limit_s,
                limit_bytes=PEER_LIMIT_BYTES,
            )

    result = line(
        "secagg",
        sizes={
            "organisations": n,
            "parameters": parameters,
            "mode": options.mode,
            "dropouts": shape.dropouts,
            "threshold": shape.threshold,
            "degree": n - 1 if shape.degree is None else shape.degree,
            "bits": shape.bits,
        },
        seed=options.seed,
        ours=lambda: run_fresh("benchmarks.secagg", [*once, "--side=ours"]),
        peer=peer,
        peer_name="flwr",
        peer_version=version,
        runs=options.runs,
    )
    few = _Made(n, min(parameters, _UNEVEN_PARAMETERS), options.seed)
    show_line(result | {"uneven_error": uneven_error(few, shape)})


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark, or one side of it once, and print one JSON line per size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--organisations", type=int, default=10)
    parser.add_argument("--parameters", type=int, default=1_000_000)
    parser.add_argument("--grid", action="store_true", help="all sizes, one line each")
    parser.add_argument("--mode", choices=["secagg", "committee"], default="secagg")
    parser.add_argument("--helpers", type=int, default=3)
    parser.add_argument("--graph", choices=["regular", "complete"], default="regular")
    parser.add_argument("--bits", type=int, default=BITS)
    parser.add_argument("--drop-out", type=float, default=0.0)
    parser.add_argument("--peer", choices=["flower"])
    parser.add_argument("--limit-s", type=float, default=PEER_LIMIT_S)
    parser.add_argument("--runs", type=int, default=MIN_RUNS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--side", choices=["ours", "flower"], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    n = options.organisations
    shape = shape_of(options, n)
    if n - shape.dropouts < shape.threshold:
        parser.error(
            f"{n - shape.dropouts} survivors are below the threshold {shape.threshold}"
        )
    if options.side:
        side = ours if options.side == "ours" else flower
        side(_Made(n, 3, options.seed), shape)
        show_line(side(_Made(n, options.parameters, options.seed), shape))
        return 0
    version = ""
    if options.peer:
        try:
            version = importlib.metadata.version("flwr")
        except importlib.metadata.PackageNotFoundError:
            sys.stderr.write(f"flwr is not installed; it comes with: {EXTRA}\n")
            return 2
    if not options.grid:
        run(options, n, options.parameters, version)
        return 0
    for count in GRID_ORGANISATIONS:
        for parameters in GRID_PARAMETERS:
            run(options, count, parameters, version)
    return 0


if __name__ == "__main__":
    sys.exit(main())
