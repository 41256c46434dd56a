# SPDX-License-Identifier: Apache-2.0
"""One organisation's local fit in one round, and scoring. Deterministic with its seed.

Each epoch draws a balanced sample: half benign rows, half attack rows, attack families
by a power of their size, so that a step of three rows is not drowned by a scan of a
million. The loss is binary cross-entropy plus the proximal term; networks of the second
version add what their further heads are taught (``Lessons``). Rows that nobody has
labelled teach those heads only.

It does NOT clip the update (federation/opening.py does, for everyone alike) and it
never changes the feature statistics.

Sources: FedAvg's local update, McMahan et al. 2017, Algorithm 1; proximal term
mu/2 ||w - w_t||^2, Li et al. 2020, equation (2); Adam, Kingma and Ba 2015, Algorithm 1;
noise-contrastive estimation, Gutmann and Hyvarinen 2010, equation (8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.core.layout import Vector
from fedxdr.core.randomness import generator
from fedxdr.federation.plan import Training
from fedxdr.models import parameters
from fedxdr.models.adam import Adam
from fedxdr.models.architecture import Architecture
from fedxdr.models.graph import Floats, Integers
from fedxdr.models.tgnn import Logits, TemporalGraphNetwork

BENIGN: Final = 0
"""Family number of benign rows."""

_FAMILY_POWER: Final = 0.3
_FEWEST_EXAMPLES: Final = 256
_SCORING_BLOCK: Final = 8192
_THREADS: Final = 1
"""One thread: the same sums in the same order, and several agents on one machine."""
_ADAM_EPSILON: Final = 1e-3
"""Far above the usual 1e-8: a gradient that is nothing but rounding must not become a
full step, else the eighth digit of a round's mean decides about verdicts rounds later.
"""

_TACTIC_WEIGHT: Final = 1.0
_FOLLOWING_WEIGHT: Final = 0.3
"""How much the further heads count beside "malicious"."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lessons:
    """What n rows teach beside "malicious or not".

    Attributes:
        is_labelled: whether somebody has said which rows are attacks. Where nobody has,
            the head for "malicious" learns nothing from them.
        tactics: (n, T) float32 in {0, 1}; rows without a 1 teach the tactics' head
            nothing. None: nothing is known of tactics.
        against: (n, D) float32, each row with another destination in place of its own;
            None: the head for what follows learns nothing.

    Raises:
        InvalidTelemetry: not one row each.
    """

    is_labelled: bool = True
    tactics: Floats | None = None
    against: Floats | None = None

    def rows(self, kept: npt.NDArray[np.bool_]) -> Lessons:
        """Return what the rows of a mask teach."""
        return Lessons(
            is_labelled=self.is_labelled,
            tactics=None if self.tactics is None else self.tactics[kept],
            against=None if self.against is None else self.against[kept],
        )


ONLY_MALICIOUS: Final = Lessons()


def balanced_rows(
    family: npt.NDArray[np.integer], *, size: int, draw: np.random.Generator
) -> Integers:
    """Return indices of a balanced sample, drawn with replacement.

    Half of it is benign; attack families share the other half by their row count to
    the power of 0.3. With benign rows only, or attack rows only, all of it is of them.

    Args:
        family: (n,), 0 benign, others one number per attack family.
        size: how many, >= 1.
        draw: source of the sample.

    Returns:
        (size,) int64, in random order.

    Raises:
        InvalidTelemetry: no rows at all.
    """
    if family.size == 0:
        raise InvalidTelemetry("there is nothing to learn from: no rows")
    numbers, counts = np.unique(family, return_counts=True)
    share = np.where(numbers == BENIGN, 0.0, counts.astype(float) ** _FAMILY_POWER)
    if share.sum():
        share /= share.sum()
    is_benign = numbers == BENIGN
    if is_benign.any():
        share = share / 2 if share.sum() else share
        share[is_benign] = 1.0 - share.sum()
    wanted = draw.multinomial(size, share)
    rows = [
        draw.choice(np.flatnonzero(family == number), count)
        for number, count in zip(numbers, wanted, strict=True)
        if count
    ]
    return draw.permutation(np.concatenate(rows)).astype(np.int64)


def epoch_size(family: npt.NDArray[np.integer], training: Training) -> int:
    """Return how many examples one epoch goes through.

    An organisation that has seen few attacks has little to say about them; full epochs
    over its quiet past would pull the common model away from what others have seen.

    Args:
        family: (n,), 0 benign.
        training: the plan's.
    """
    size = training.examples_per_epoch
    if training.examples_per_attack:
        attacks = int(np.count_nonzero(family != BENIGN))
        wanted = max(_FEWEST_EXAMPLES, training.examples_per_attack * attacks)
        size = min(size, wanted)
    return size


def fit(
    vector: Vector,
    *,
    architecture: Architecture,
    features: Floats,
    family: npt.NDArray[np.integer],
    training: Training,
    seed: tuple[int, ...],
    lessons: Lessons = ONLY_MALICIOUS,
) -> Vector:
    """Return the weights' difference after the local epochs.

    Args:
        vector: (d,) float32, the parent model.
        architecture: of that model.
        features: (n, D) float32.
        family: (n,), 0 benign.
        training: local epochs, batch size, learning rate, proximal mu.
        seed: numbers >= 0; the same give the same difference.
        lessons: what the rows teach further heads; heads that the network does not have
            are not taught.

    Returns:
        (span of ``weights.``,) float32: local minus parent.
    """
    torch.set_num_threads(_THREADS)
    network = parameters.network(architecture, vector)
    weights = list(network.parameters())
    anchor = [weight.detach().clone() for weight in weights]
    optimiser = Adam(weights, rate=training.learning_rate, epsilon=_ADAM_EPSILON)
    draw = generator(*seed)
    size = epoch_size(family, training)
    # statistics do not change during a fit: standardise once per epoch
    network.train()
    for _ in range(training.local_epochs):
        rows = balanced_rows(family, size=size, draw=draw)
        inputs = network.standardise(torch.from_numpy(features[rows]))
        truth = torch.from_numpy((family[rows] != BENIGN).astype(np.float32))
        taught = _Taught.of(network, lessons, rows)
        for begin in range(0, len(rows), training.batch_size):
            batch = slice(begin, begin + training.batch_size)
            found = network.read(network.embed(inputs[batch]))
            loss = taught.loss(network, found, truth, batch)
            optimiser.forget_gradients()
            loss.backward()
            if training.proximal_mu:
                _add_proximal_gradient(weights, anchor, training.proximal_mu)
            optimiser.step()
    begin, end = architecture.layout.span("weights.")
    after: Vector = parameters.read(network)[begin:end]
    return after - vector[begin:end]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Taught:
    """The lessons of one epoch's rows, as tensors, for the heads that there are."""

    is_labelled: bool
    tactics: Tensor | None
    against: Tensor | None

    @classmethod
    def of(
        cls, network: TemporalGraphNetwork, lessons: Lessons, rows: Integers
    ) -> _Taught:
        shape = network.architecture
        tactics = against = None
        if shape.tactics and lessons.tactics is not None:
            tactics = torch.from_numpy(lessons.tactics[rows])
        if shape.following and lessons.against is not None:
            against = network.standardise(torch.from_numpy(lessons.against[rows]))
        return cls(is_labelled=lessons.is_labelled, tactics=tactics, against=against)

    def loss(
        self, network: TemporalGraphNetwork, found: Logits, truth: Tensor, batch: slice
    ) -> Tensor:
        """Return the loss of one batch."""
        entropy = torch.nn.functional.binary_cross_entropy_with_logits
        # nothing learned of a head is a gradient of zero, not a missing one
        total = found.malicious.sum() * 0.0
        if self.is_labelled:
            total = entropy(found.malicious, truth[batch])
        if self.tactics is not None and found.tactics is not None:
            wanted = self.tactics[batch]
            each = entropy(found.tactics, wanted, reduction="none").mean(dim=1)
            is_known = wanted.any(dim=1)
            known = (each * is_known).sum() / is_known.sum().clamp(min=1)
            total = total + _TACTIC_WEIGHT * known
        if self.against is not None and found.following is not None:
            others = network.read(network.embed(self.against[batch])).following
            if others is not None:
                real = entropy(found.following, torch.ones_like(found.following))
                invented = entropy(others, torch.zeros_like(others))
                total = total + _FOLLOWING_WEIGHT * (real + invented)
        return total


def logits(vector: Vector, *, architecture: Architecture, features: Floats) -> Floats:
    """Return the scores of events, (n,) float32: higher is more suspicious.

    Args:
        vector: (d,) float32, the model.
        architecture: of that model.
        features: (n, D) float32.
    """
    return said(vector, architecture=architecture, features=features).malicious


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Said:
    """What a model says of n events.

    Attributes:
        malicious: (n,) float32, logits.
        tactics: (n, T) float32, logits; None without that head.
        following: (n,) float32, log of how much likelier this edge is than one to
            another destination; None without that head.
    """

    malicious: Floats
    tactics: Floats | None = None
    following: Floats | None = None


def said(vector: Vector, *, architecture: Architecture, features: Floats) -> Said:
    """Return what every head says of events.

    Args:
        vector: (d,) float32, the model.
        architecture: of that model.
        features: (n, D) float32.
    """
    network = parameters.network(architecture, vector)
    network.eval()
    n, shape = len(features), architecture
    malicious = np.zeros(n, np.float32)
    tactics = np.zeros((n, shape.tactics), np.float32)
    following = np.zeros(n, np.float32)
    with torch.inference_mode():
        for begin in range(0, n, _SCORING_BLOCK):
            block = slice(begin, begin + _SCORING_BLOCK)
            found = network.heads(torch.from_numpy(features[block]))
            malicious[block] = found.malicious.numpy()
            if found.tactics is not None:
                tactics[block] = found.tactics.numpy()
            if found.following is not None:
                following[block] = found.following.numpy()
    return Said(
        malicious=malicious,
        tactics=tactics if shape.tactics else None,
        following=following if shape.following else None,
    )


def _add_proximal_gradient(
    weights: list[torch.nn.Parameter], anchor: list[torch.Tensor], mu: float
) -> None:
    """Add mu (w - w_t), the gradient of the proximal term."""
    with torch.no_grad():
        for weight, start in zip(weights, anchor, strict=True):
            if weight.grad is not None:
                weight.grad.add_(weight - start, alpha=mu)
