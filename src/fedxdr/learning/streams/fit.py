# SPDX-License-Identifier: Apache-2.0
"""Fitting a network on one organisation's past.

Every attack of the past is used in every epoch, with a few benign events for each. So
an organisation whose past was quiet takes few steps: it has little to say about
attacks, and a whole quiet past would pull the common model away from them. FedProx adds
mu/2 ||w - w_t||^2 to the local objective and keeps organisations that see different
things from walking apart.

Rules that always hold: one thread, one seed: the same data and number give the same
update; nothing after the cut is looked at.

Sources: McMahan et al. 2017, Algorithm 1; Li et al. 2020, eq. 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedxdr.core.randomness import generator
from fedxdr.federation.plan import Training
from fedxdr.learning.streams.dataset import Examples
from fedxdr.learning.streams.network import TemporalGraphNetwork

_ATTACKS_PER_EPOCH = 2048
_BENIGN_PER_ATTACK = 6
_BENIGN_AT_LEAST = 128
_SCORE_ROWS = 8192
_SMALLEST_SPREAD = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """How features are standardised.

    Attributes:
        mean: (F,) tensor.
        scale: (F,) tensor, 1 / standard deviation, bounded.
    """

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, mean: NDArray[np.float32], mean_square: NDArray[np.float32]) -> Scaling:
        """Return the scaling that federated means and mean squares give."""
        variance = np.maximum(mean_square - mean**2, _SMALLEST_SPREAD**2)
        return cls(
            mean=torch.from_numpy(np.array(mean, dtype=np.float32)),
            scale=torch.from_numpy((1 / np.sqrt(variance)).astype(np.float32)),
        )


def fit(
    module: TemporalGraphNetwork,
    examples: Examples,
    rows: NDArray[np.int64],
    *,
    scaling: Scaling,
    training: Training,
    number: int,
) -> None:
    """Fit the module in place on some rows of the past.

    Args:
        module: with the weights w_t of the parent model.
        examples: the organisation's.
        rows: positions that may be used.
        scaling: of the features.
        training: epochs, batch size, rate, mu, public seed.
        number: of the round, so that every round samples anew.
    """
    torch.set_num_threads(1)
    draw = generator(training.seed, number)
    reference = [parameter.detach().clone() for parameter in module.parameters()]
    optimiser = torch.optim.Adam(module.parameters(), lr=training.learning_rate)
    module.train()
    for _ in range(training.local_epochs):
        chosen = _sample(examples.label, rows, draw)
        labels = torch.from_numpy(examples.label[chosen].astype(np.float32))
        weight = _balance(labels)
        for begin in range(0, len(chosen), training.batch_size):
            part = slice(begin, begin + training.batch_size)
            optimiser.zero_grad()
            logits = module(
                *examples.batch(chosen[part], mean=scaling.mean, scale=scaling.scale)
            )
            loss = nn.functional.binary_cross_entropy_with_logits(
                logits, labels[part], pos_weight=weight
            )
            if training.proximal_mu > 0:
                loss = loss + training.proximal_mu / 2 * _distance(module, reference)
            loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            optimiser.step()


@torch.no_grad()
def score(
    module: TemporalGraphNetwork,
    examples: Examples,
    rows: NDArray[np.int64],
    *,
    scaling: Scaling,
) -> NDArray[np.float32]:
    """Return (len(rows),) logits; higher is more suspicious."""
    torch.set_num_threads(1)
    module.eval()
    parts = [
        module(
            *examples.batch(
                rows[begin : begin + _SCORE_ROWS],
                mean=scaling.mean,
                scale=scaling.scale,
            )
        ).numpy()
        for begin in range(0, len(rows), _SCORE_ROWS)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _sample(
    label: NDArray[np.bool_], rows: NDArray[np.int64], draw: np.random.Generator
) -> NDArray[np.int64]:
    attacks, benign = rows[label[rows]], rows[~label[rows]]
    if len(attacks) > _ATTACKS_PER_EPOCH:
        attacks = draw.choice(attacks, _ATTACKS_PER_EPOCH, replace=False)
    wanted = max(_BENIGN_AT_LEAST, _BENIGN_PER_ATTACK * len(attacks))
    if len(benign) > wanted:
        benign = draw.choice(benign, wanted, replace=False)
    return draw.permutation(np.concatenate([attacks, benign]))


def _balance(labels: Tensor) -> Tensor:
    """Return the weight of an attack: benign per attack, between 1 and 20."""
    attacks = labels.sum()
    return ((len(labels) - attacks) / attacks.clamp(min=1.0)).clamp(1.0, 20.0)


def _distance(module: nn.Module, reference: list[Tensor]) -> Tensor:
    parts = [
        ((parameter - before) ** 2).sum()
        for parameter, before in zip(module.parameters(), reference, strict=True)
    ]
    return torch.stack(parts).sum()
