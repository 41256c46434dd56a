# SPDX-License-Identifier: Apache-2.0
"""Local training of which only noised sums come out: DP-SGD.

Each step tosses a coin per example, sums the clipped gradients of those that won
(models/ghost.py) and releases that sum with Gaussian noise. Everything after that
reads the released sums, the parent model and the plan, and nothing else.

It does NOT account (privacy/accountant.py), keep a purse (parties) or choose features
with a bounded past (models/context.py).

Rules that always hold:
    1. Coins and noise come from AES-CTR seeded by the operating system, never from
       numpy's or torch's generators.
    2. Rates, steps, divisors and the first clipping norm are the plan's. Nothing is
       divided by a count of rows, balanced by labels or stopped early; a step that
       drew nobody releases noise.
    3. What is released are integers times a grid step: sums are rounded before discrete
       noise is added, so the last bits tell nothing (Mironov 2012). What float32 may
       have moved a sum by before is allowed for by ``_SLACK``.
    4. Adam, the proximal term and the adapted clipping norm are post-processing.

Sources: Abadi et al. 2016, Algorithm 1; Andrew et al. 2021, Algorithm 1 (adaptive
clipping); Li et al. 2020, equation (2) (proximal term).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedxdr.core.errors import InvalidPlan, InvalidTelemetry
from fedxdr.core.layout import Vector
from fedxdr.core.randomness import Entropy
from fedxdr.crypto.expand import SEED_BYTES, KeyStream
from fedxdr.federation.plan import Training
from fedxdr.federation.protection import Privacy
from fedxdr.models import ghost, parameters
from fedxdr.models.adam import Adam
from fedxdr.models.architecture import NAME, Architecture
from fedxdr.models.graph import Floats, Integers
from fedxdr.models.tgnn import TemporalGraphNetwork
from fedxdr.privacy import noise
from fedxdr.privacy.clipping import AdaptiveClip, noisy_count

COINS_LABEL: Final = "fedxdr/dp-sgd/coins/v1"
NOISE_LABEL: Final = "fedxdr/dp-sgd/noise/v1"

_SLACK: Final = 2.0**-6
"""In clipping norms: by how much float32 may move the difference of two sums. With
6,000 examples that all pull one way it is below a tenth of that in tests."""

_BLOCK: Final = 2048
"""Most events per pass; passes are of one size and their sums are added in float64."""

_ADAM_EPSILON: Final = 1.0
"""In standard deviations of the noise on one number: a gradient that is nothing but
noise must not become a full step."""

_THREADS: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examples:
    """What an organisation learns from, one row per example.

    Attributes:
        rows: (n, events) int64, indices of the events' features; any where the weight
            is 0.
        weight: (n, events) float32 >= 0, how much an event counts inside its example.
    """

    rows: Integers
    weight: Floats


def single(count: int) -> Examples:
    """Return ``count`` examples of one event each."""
    return Examples(
        rows=np.arange(count, dtype=np.int64)[:, None],
        weight=np.ones((count, 1), np.float32),
    )


def fit_privately(
    vector: Vector,
    *,
    architecture: Architecture,
    features: Floats,
    family: npt.NDArray[np.integer],
    privacy: Privacy,
    training: Training,
    entropy: Entropy,
    examples: Examples | None = None,
) -> Vector:
    """Return the weights' difference after one round's noisy steps.

    Args:
        vector: (d,) float32, the parent model.
        architecture: of that model.
        features: (n, D) float32, rows whose past is bounded as the plan says.
        family: (n,), 0 benign.
        privacy: the plan's promise; mechanism ``dp-sgd``.
        training: learning rate, proximal mu; ``batch_size`` is the plan's constant
            that a step's sum is divided by, whatever was drawn.
        entropy: secret bytes for coins and noise.
        examples: which rows make an example; each event its own if None.

    Returns:
        (span of ``weights.``,) float32: local minus parent.

    Raises:
        InvalidPlan: another mechanism, noise that adaptive clipping uses up, or a
            network of the second version, for whose layers models/ghost.py has no
            norms.
        InvalidTelemetry: lengths that do not belong together.
    """
    if privacy.mechanism != "dp-sgd":
        raise InvalidPlan(f"mechanism {privacy.mechanism!r} is not dp-sgd")
    if architecture.name != NAME:
        raise InvalidPlan(
            f"dp-sgd steps know the first version of the network; {architecture.name} "
            "has bins or further heads"
        )
    if features.shape != (len(family), architecture.inputs):
        raise InvalidTelemetry(
            f"got features {features.shape}, want ({len(family)}, "
            f"{architecture.inputs})"
        )
    torch.set_num_threads(_THREADS)
    seed = entropy.draw(SEED_BYTES)
    coins = KeyStream(seed, label=COINS_LABEL)
    noises = KeyStream(seed, label=NOISE_LABEL)
    network = parameters.network(architecture, vector)
    weights = list(network.parameters())
    anchor = [weight.detach().clone() for weight in weights]
    drawn_from = single(len(family)) if examples is None else examples
    truth = (family != 0).astype(np.float32)
    multiplier = gradient_noise(privacy)
    # in units of the clipping norm, so that an adapted norm changes no step size
    scale = multiplier / training.batch_size
    optimiser = Adam(
        weights, rate=training.learning_rate, epsilon=_ADAM_EPSILON * scale
    )
    clip, adaptive = privacy.clipping_norm, _clip_of(privacy)
    for _ in range(privacy.steps):
        is_drawn = noise.poisson_coins(
            privacy.sampling_rate, len(drawn_from.rows), coins
        )
        total, is_below = clipped_total(
            network,
            features,
            truth,
            drawn_from,
            np.flatnonzero(is_drawn),
            clip=clip,
        )
        released = noise.noisy_sum(
            total, clip=clip, noise_multiplier=multiplier, stream=noises, slack=_SLACK
        )
        _set_gradients(weights, released / np.float32(clip * training.batch_size))
        if training.proximal_mu:
            with torch.no_grad():
                for weight, start in zip(weights, anchor, strict=True):
                    if weight.grad is not None:
                        weight.grad.add_(weight - start, alpha=training.proximal_mu)
        optimiser.step()
        if adaptive is not None:
            count = noisy_count(
                is_below, count_noise=adaptive.count_noise, stream=noises
            )
            adaptive = adaptive.updated(count, expected=training.batch_size)
            clip = adaptive.norm
    begin, end = architecture.layout.span("weights.")
    after: Vector = parameters.read(network)[begin:end]
    return after - vector[begin:end]


def clipped_total(
    network: TemporalGraphNetwork,
    features: Floats,
    truth: Floats,
    examples: Examples,
    drawn: Integers,
    *,
    clip: float,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return the exact, secret sum of one step, and who was short enough.

    Args:
        network: with p trained numbers.
        features: (n, D) float32.
        truth: (n,) float32, 1 for malicious.
        examples: which rows make an example.
        drawn: (b,) int64, which examples are in the step.
        clip: C > 0.

    Returns:
        (p,) float64, sum of the clipped gradients; (b,) bool, whether an example's
        gradient was at most C before.
    """
    begin, end = network.architecture.layout.span("weights.")
    total = np.zeros(end - begin, np.float64)
    is_below = np.zeros(len(drawn), np.bool_)
    most = max(1, _BLOCK // examples.rows.shape[1])
    # even parts: a last pass over three examples costs nearly as much as a full one
    passes = max(1, -(-len(drawn) // most))
    block = max(1, -(-len(drawn) // passes))
    for first in range(0, len(drawn), block):
        part = drawn[first : first + block]
        rows = examples.rows[part]
        found = ghost.clipped_sum(
            network,
            network.standardise(_gathered(features, rows)),
            torch.from_numpy(truth[rows]),
            torch.from_numpy(examples.weight[part]),
            clip=clip,
        )
        total += found.total.numpy()
        is_below[first : first + block] = (found.norms <= clip).numpy()
    return total, is_below


def _gathered(features: Floats, rows: Integers) -> Tensor:
    """Return (n, events, D); ``take`` copies whole rows, which indexing does not."""
    taken = features.take(rows.ravel(), axis=0)
    return torch.from_numpy(taken).reshape(*rows.shape, -1)


def gradient_noise(privacy: Privacy) -> float:
    """Return z_g, the noise on gradients in clipping norms.

    The plan's noise multiplier z is what is charged. Where a count is released beside
    every gradient, both together cost z, and the gradient carries more noise:
    z_g = (z^-2 - (2 z_b)^-2)^(-1/2), Andrew et al. 2021, theorem 1, solved for z_g.

    Args:
        privacy: the plan's.

    Raises:
        InvalidPlan: the count's noise alone is worth z or less.
    """
    z = privacy.noise_multiplier
    if not privacy.adaptive_quantile:
        return z
    left = z**-2 - (2 * privacy.adaptive_count_noise) ** -2
    if left <= 0:
        raise InvalidPlan(
            f"adaptive clipping: count noise {privacy.adaptive_count_noise:g} alone "
            f"costs what noise multiplier {z:g} pays for; use more than {z / 2:g}"
        )
    # upwards by more than the rounding of these few operations
    return (1 + 2.0**-40) / math.sqrt(left)


def _clip_of(privacy: Privacy) -> AdaptiveClip | None:
    """Return what moves the clipping norm, None where it is fixed."""
    if not privacy.adaptive_quantile:
        return None
    return AdaptiveClip(
        norm=privacy.clipping_norm,
        quantile=privacy.adaptive_quantile,
        rate=privacy.adaptive_rate,
        count_noise=privacy.adaptive_count_noise,
    )


def _set_gradients(weights: list[torch.nn.Parameter], gradient: Vector) -> None:
    parts: tuple[Tensor, ...] = torch.from_numpy(gradient).split(
        [weight.numel() for weight in weights]
    )
    for weight, part in zip(weights, parts, strict=True):
        weight.grad = part.reshape(weight.shape)
