# SPDX-License-Identifier: Apache-2.0
"""What an epoch of DP-SGD costs over a plain epoch of the same network, and Opacus.

``python -m benchmarks.dpsgd``
``python -m benchmarks.dpsgd --features alerts-event --batch 256``

Every run is a fresh process that does, on one thread and over the same rows, plain
epochs and private ones, in turn, after one of each to warm up; figures are of one
epoch. Both take as many steps
of as many examples (the private one on average, because coins decide). Counted on both
sides: drawing and gathering rows, standardising, forward, backward, Adam. The private
side also tosses coins for all rows, clips, and adds noise from AES-CTR.

The peer is Opacus on the same network: same function, same number of parameters,
written with ``torch.nn.Linear`` because Opacus knows no other layer here (a place in
the ranks is a column of a one-hot input). Its modes are timed in turn, hooks and
ghost clipping, with its own noise and without its data loader, which is slower than
indexing; ``peer`` is the faster. ``largest_difference`` is that of the two sides'
per-example gradient norms, relative.

``over_plain`` is ours over plain, ``ratio`` the peer over ours; CPU seconds, medians.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from benchmarks.measure import MIN_RUNS, Figures, Meter, line, run_fresh, show
from fedxdr.core.layout import Vector
from fedxdr.core.randomness import SystemEntropy, generator
from fedxdr.federation.plan import Training
from fedxdr.federation.protection import Privacy
from fedxdr.learning import dpsgd
from fedxdr.learning import features as feature_sets
from fedxdr.models import ghost, parameters
from fedxdr.models.adam import Adam
from fedxdr.models.architecture import Architecture
from fedxdr.models.graph import Floats
from fedxdr.models.tgnn import TemporalGraphNetwork

MODES = ("hooks", "ghost")
_CLIP = 1.0
_NOISE = 1.0
_RATE = 0.002
_CHECKED = 64


def main() -> int:
    """Print one JSON line."""
    options = _options()
    if options.inner == "ours":
        show(_ours(options))
        return 0
    if options.inner:
        show(_opacus(options, options.inner))
        return 0
    common = [
        *("--features", options.features),
        *("--examples", str(options.examples)),
        *("--batch", str(options.batch)),
        *("--epochs", str(options.epochs)),
        *("--seed", str(options.seed)),
    ]

    def fresh(side: str) -> Callable[[], Figures]:
        return lambda: run_fresh("benchmarks.dpsgd", [*common, "--inner", side])

    architecture = feature_sets.find(options.features).architecture()
    result = line(
        "dpsgd",
        sizes={
            "features": options.features,
            "examples": options.examples,
            "batch": options.batch,
            "parameters": architecture.layout.size,
        },
        seed=options.seed,
        ours=fresh("ours"),
        peer=_fastest([fresh(mode) for mode in MODES]),
        peer_name="opacus",
        peer_version=importlib.metadata.version("opacus"),
        runs=options.runs,
    )
    show(result)
    return 0


def _fastest(sides: list[Callable[[], Figures]]) -> Callable[[], Figures]:
    """Return what runs every mode and hands on the faster, with the others' times."""

    def run() -> Figures:
        found = [side() for side in sides]
        best = min(found, key=lambda figures: float(figures["cpu_s"]))
        times = {f"{f['mode']}_cpu_s": f["cpu_s"] for f in found}
        return {**best, **times}

    return run


def _ours(options: argparse.Namespace) -> Figures:
    architecture, features, family, vector = _task(options)
    epochs: list[Callable[[], None]] = [
        lambda: _plain_epoch(architecture, vector, features, family, options),
        lambda: _private_epoch(architecture, vector, features, family, options),
    ]
    for epoch in epochs:
        epoch()
    plain_s = 0.0
    total: Figures = {}
    for _ in range(options.epochs):
        with Meter() as plain:
            epochs[0]()
        with Meter() as private:
            epochs[1]()
        plain_s += plain.cpu_s
        for name, value in private.figures().items():
            total[name] = float(total.get(name, 0.0)) + float(value) / options.epochs
    plain_s /= options.epochs
    total["plain_cpu_s"] = plain_s
    total["over_plain"] = float(total["cpu_s"]) / plain_s
    return total


def _plain_epoch(
    architecture: Architecture,
    vector: Vector,
    features: Floats,
    family: Floats,
    options: argparse.Namespace,
) -> None:
    """One epoch of learning/fit.py's loop over a permutation of the rows."""
    torch.set_num_threads(1)
    network = parameters.network(architecture, vector)
    optimiser = Adam(list(network.parameters()), rate=_RATE)
    rows = generator(options.seed).permutation(len(features))
    inputs = network.standardise(torch.from_numpy(features[rows]))
    truth = torch.from_numpy(family[rows])
    for begin in range(0, len(rows), options.batch):
        end = begin + options.batch
        loss = nn.functional.binary_cross_entropy_with_logits(
            network.score(network.embed(inputs[begin:end])), truth[begin:end]
        )
        optimiser.forget_gradients()
        torch.autograd.backward(loss)
        optimiser.step()


def _private_epoch(
    architecture: Architecture,
    vector: Vector,
    features: Floats,
    family: Floats,
    options: argparse.Namespace,
) -> None:
    dpsgd.fit_privately(
        vector,
        architecture=architecture,
        features=features,
        family=family.astype(np.int64),
        privacy=Privacy(
            mechanism="dp-sgd",
            unit="event",
            epsilon=8.0,
            delta=1e-5,
            noise_multiplier=_NOISE,
            sampling_rate=options.batch / len(features),
            steps=len(features) // options.batch,
            clipping_norm=_CLIP,
            own=1,
        ),
        training=Training(
            batch_size=options.batch, learning_rate=_RATE, proximal_mu=0.0
        ),
        entropy=SystemEntropy(),
    )


class _Linear(nn.Module):
    """The temporal graph network with layers that Opacus knows."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        shape = self.shape = architecture
        self.neighbour = nn.ModuleList(
            nn.Linear(shape.token + shape.ranks, shape.neighbour, bias=False)
            for _ in range(shape.keys)
        )
        self.mixer = nn.ModuleList(
            nn.Linear(shape.ranks * shape.neighbour, shape.mixer)
            for _ in range(shape.keys)
        )
        self.fuse = nn.Linear(shape.keys * shape.mixer + shape.own, shape.embedding)
        self.embed = nn.Linear(shape.embedding, shape.embedding)
        self.malicious = nn.Linear(shape.embedding, 1)
        self.register_buffer("places", torch.eye(shape.ranks))

    @override
    def forward(self, standardised: Tensor) -> Tensor:
        shape, n = self.shape, len(standardised)
        count = shape.keys * shape.ranks * shape.token
        tokens = standardised[:, :count].reshape(
            n, shape.keys, shape.ranks, shape.token
        )
        places = self.get_buffer("places").expand(n, -1, -1)
        parts = []
        for key in range(shape.keys):
            wide = torch.cat([tokens[:, key], places], dim=2)
            seen = torch.tanh(self.neighbour[key](wide)).reshape(n, -1)
            parts.append(torch.tanh(self.mixer[key](seen)))
        fused = torch.cat([*parts, standardised[:, count:]], dim=1)
        hidden = torch.tanh(self.fuse(fused))
        found: Tensor = self.malicious(torch.tanh(self.embed(hidden)))
        return found.squeeze(1)

    def copy(self, network: TemporalGraphNetwork, architecture: Architecture) -> None:
        """Take the numbers of our network."""
        tensor = network.tensor
        with torch.no_grad():
            for key in range(architecture.keys):
                weight = tensor("weights.neighbour.weight")[key]
                place = tensor("weights.neighbour.place")[key]
                _set(self.neighbour[key], torch.cat([weight, place]).T)
                _set(
                    self.mixer[key],
                    tensor("weights.mixer.weight")[key].T,
                    tensor("weights.mixer.bias")[key],
                )
            for name in ("fuse", "embed", "malicious"):
                _set(
                    getattr(self, name),
                    tensor(f"weights.{name}.weight"),
                    tensor(f"weights.{name}.bias"),
                )


def _set(layer: nn.Module, weight: Tensor, bias: Tensor | None = None) -> None:
    layer.get_parameter("weight").copy_(weight)
    if bias is not None:
        layer.get_parameter("bias").copy_(bias)


def _opacus(options: argparse.Namespace, mode: str) -> Figures:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    architecture, features, family, vector = _task(options)
    network = parameters.network(architecture, vector)
    inner = _Linear(architecture)
    inner.copy(network, architecture)
    step, norms = _opacus_step(inner, mode, options)
    inputs = network.standardise(torch.from_numpy(features))
    truth = torch.from_numpy(family)
    figures: Figures = {"mode": mode}
    difference = _difference(network, norms, inputs[:_CHECKED], truth[:_CHECKED])
    for epochs in (1, options.epochs):
        with Meter() as meter:
            for _ in range(epochs * (len(features) // options.batch)):
                rows = torch.nonzero(
                    torch.rand(len(features)) < options.batch / len(features)
                ).flatten()
                step(inputs[rows], truth[rows])
        # the last one counts
        each = {name: float(v) / epochs for name, v in meter.figures().items()}
        figures.update(each)
    figures["largest_difference"] = difference
    return figures


def _opacus_step(
    inner: _Linear, mode: str, options: argparse.Namespace
) -> tuple[Callable[[Tensor, Tensor], None], Callable[[Tensor, Tensor], Tensor]]:
    """Return one step of Opacus, and what its per-example norms are."""
    from opacus import GradSampleModule  # noqa: PLC0415 - the peer
    from opacus.grad_sample.grad_sample_module_fast_gradient_clipping import (  # noqa: PLC0415 - the peer
        GradSampleModuleFastGradientClipping,
    )
    from opacus.optimizers import (  # noqa: PLC0415 - the peer
        DPOptimizer,
        DPOptimizerFastGradientClipping,
    )
    from opacus.utils.fast_gradient_clipping_utils import (  # noqa: PLC0415 - the peer
        DPLossFastGradientClipping,
    )

    bce = nn.BCEWithLogitsLoss(reduction="mean")
    settings: dict[str, Any] = {
        "noise_multiplier": _NOISE,
        "max_grad_norm": _CLIP,
        "expected_batch_size": options.batch,
    }
    adam = torch.optim.Adam(inner.parameters(), lr=_RATE)
    if mode == "hooks":
        module: Any = GradSampleModule(inner)
        optimiser: Any = DPOptimizer(adam, **settings)

        def backward(inputs: Tensor, truth: Tensor) -> None:
            bce(module(inputs), truth).backward()
    else:
        module = GradSampleModuleFastGradientClipping(
            inner, max_grad_norm=_CLIP, use_ghost_clipping=True
        )
        optimiser = DPOptimizerFastGradientClipping(adam, **settings)
        criterion = DPLossFastGradientClipping(module, optimiser, bce)

        def backward(inputs: Tensor, truth: Tensor) -> None:
            criterion(module(inputs), truth).backward()

    def step(inputs: Tensor, truth: Tensor) -> None:
        optimiser.zero_grad()
        backward(inputs, truth)
        optimiser.step()

    def norms(inputs: Tensor, truth: Tensor) -> Tensor:
        optimiser.zero_grad()
        backward(inputs, truth)
        if mode == "hooks":
            parts = [p.grad_sample.flatten(1) for p in module.parameters()]
            found = torch.cat(parts, dim=1).norm(dim=1)
        else:
            found = module.get_norm_sample()
        optimiser.zero_grad()
        return torch.as_tensor(found).detach()

    return step, norms


def _difference(
    network: TemporalGraphNetwork,
    norms: Callable[[Tensor, Tensor], Tensor],
    inputs: Tensor,
    truth: Tensor,
) -> float:
    """Return the largest relative difference of ours and the peer's norms."""
    ours = ghost.clipped_sum(
        network,
        inputs[:, None],
        truth[:, None],
        torch.ones(len(truth), 1),
        clip=_CLIP,
    ).norms
    return float((ours / norms(inputs, truth) - 1).abs().max())


def _task(
    options: argparse.Namespace,
) -> tuple[Architecture, Floats, Floats, Vector]:
    architecture = feature_sets.find(options.features).architecture()
    draw = generator(options.seed, 1)
    shape = (options.examples, architecture.inputs)
    features = draw.uniform(0, 2, shape).astype(np.float32)
    family = (draw.random(options.examples) < 0.5).astype(np.float32)
    return architecture, features, family, architecture.first_vector(options.seed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", default="traffic-event")
    parser.add_argument("--examples", type=int, default=20_480)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=7, help="per run, each side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=MIN_RUNS)
    parser.add_argument("--inner", choices=("ours", *MODES), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
