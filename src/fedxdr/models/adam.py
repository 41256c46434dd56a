# SPDX-License-Identifier: Apache-2.0
"""The Adam optimiser, plain.

The same steps as ``torch.optim.Adam`` with its defaults. Ours because making that one
imports torch's compiler: 1.5 CPU seconds in every agent, more than a round's whole fit.

Source: Kingma and Ba 2015, Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_BETA_1, _BETA_2 = 0.9, 0.999


class Adam:
    """Adaptive moments over some tensors, changed in place.

    Args:
        weights: tensors with gradients.
        rate: step size alpha, > 0.
        epsilon: added to the root of the second moment, > 0.
    """

    def __init__(
        self, weights: Sequence[Tensor], *, rate: float, epsilon: float = 1e-8
    ) -> None:
        self._weights = list(weights)
        self._rate = rate
        self._epsilon = epsilon
        self._first = [torch.zeros_like(weight) for weight in weights]
        self._second = [torch.zeros_like(weight) for weight in weights]
        self._steps = 0

    def forget_gradients(self) -> None:
        """Drop the gradients of the last step."""
        for weight in self._weights:
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every weight that has a gradient."""
        self._steps += 1
        # m-hat and v-hat of the paper, with the corrections moved into two numbers
        rate = self._rate / (1 - _BETA_1**self._steps)
        correction = (1 - _BETA_2**self._steps) ** 0.5
        for weight, first, second in zip(
            self._weights, self._first, self._second, strict=True
        ):
            if weight.grad is None:
                continue
            first.lerp_(weight.grad, 1 - _BETA_1)
            second.mul_(_BETA_2).addcmul_(weight.grad, weight.grad, value=1 - _BETA_2)
            spread = second.sqrt().div_(correction).add_(self._epsilon)
            weight.addcdiv_(first, spread, value=-rate)
