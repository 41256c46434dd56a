# SPDX-License-Identifier: Apache-2.0
"""A network that scores: built once, the same bits for an event in any company.

A matrix product is summed in an order that hangs on the number of rows, on a row's
place among them and on the processor. So weights and what flows between layers are
rounded to so few digits that sums of products fit into a double whole: exact sums have
one value in whatever order. What is lost is near the sixth digit of a logit; bits that
a round depends on are those of fit.py.

It does NOT fit (fit.py), and it does not make features (streaming.py).

Rule that always holds: an event has the same logit alone and in any batch.

Source: ours; sums without error as in Demmel and Nguyen 2013, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from fedxdr.core.ids import Digest, sha256
from fedxdr.learning.fit import Said
from fedxdr.models import parameters, snapshot
from fedxdr.models.architecture import Architecture, architecture_of
from fedxdr.models.graph import Floats
from fedxdr.models.tgnn import CLIP, Logits, TemporalGraphNetwork

_BLOCK: Final = 2048
"""Rows that are read at once."""

_THREADS: Final = 1
_DIGITS: Final = 18
"""Binary digits behind the point of what flows between layers."""

_EXACT: Final = 53
"""Digits of a double."""


class Scorer:
    """Scores events by their features.

    Args:
        model: a snapshot's file.

    Attributes:
        digest: the model's name, SHA-256 of its file.
        architecture: of the network.
        mean: (D,) float32, the federated means of the features.

    Raises:
        MalformedMessage: not a snapshot.
        InvalidPlan: a network that this program does not know.
    """

    def __init__(self, model: bytes) -> None:
        found = snapshot.load(model)
        self.model = model
        self.digest: Digest = sha256(model)
        self.architecture: Architecture = architecture_of(found.card.architecture)
        self._entrance = parameters.network(self.architecture, found.vector)
        self._network = _rounded(parameters.network(self.architecture, found.vector))
        self.mean: Floats = self._entrance.tensor("statistics.mean").numpy().copy()

    def said(self, features: Floats) -> Said:
        """Return what every head says of events; (n,), (n, T) and (n,) float32.

        Args:
            features: (n, D) float32.
        """
        shape, n = self.architecture, len(features)
        malicious = np.empty(n, np.float32)
        tactics = np.empty((n, shape.tactics), np.float32)
        following = np.empty(n, np.float32)
        torch.set_num_threads(_THREADS)
        with torch.inference_mode():
            for begin in range(0, n, _BLOCK):
                rows = slice(begin, begin + _BLOCK)
                found = self._heads(features[rows])
                malicious[rows] = found.malicious.numpy()
                if found.tactics is not None:
                    tactics[rows] = found.tactics.numpy()
                if found.following is not None:
                    following[rows] = found.following.numpy()
        return Said(
            malicious=malicious,
            tactics=tactics if shape.tactics else None,
            following=following if shape.following else None,
        )

    def embeddings(self, features: Floats) -> Floats:
        """Return where the network places events, (n, embedding) float32.

        Args:
            features: (n, D) float32.
        """
        placed = np.empty((len(features), self.architecture.embedding), np.float32)
        torch.set_num_threads(_THREADS)
        with torch.inference_mode():
            for begin in range(0, len(features), _BLOCK):
                rows = slice(begin, begin + _BLOCK)
                placed[rows] = self._embed(features[rows]).numpy()
        return placed

    def _heads(self, features: Floats) -> Logits:
        return self._network.read(self._embed(features))

    def _embed(self, features: Floats) -> Tensor:
        inputs = self._entrance.standardise(torch.from_numpy(features))
        with _Rounding():
            return self._network.embed(_round(inputs.double(), _DIGITS))


class _Rounding(TorchFunctionMode):
    """Rounds what leaves a layer."""

    @override
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        found = func(*args, **(kwargs or {}))
        return _round(found, _DIGITS) if func is torch.tanh else found


def _rounded(network: TemporalGraphNetwork) -> TemporalGraphNetwork:
    """Return the network in doubles whose sums of products are exact.

    A product of an input below ``CLIP`` and a weight below 2^w needs DIGITS + log2 CLIP
    digits and those of the weight; a sum of k of them log2 k more.
    """
    shape = network.architecture
    widest = max(
        shape.token,
        shape.ranks * shape.neighbour,
        shape.keys * shape.mixer + shape.own * max(shape.bins, 1),
        shape.embedding,
    )
    weights = list(network.double().parameters())
    largest = max(float(weight.detach().abs().max()) for weight in weights)
    whole = math.frexp(max(largest, 1e-30))[1]
    # one more for the bias
    spent = _DIGITS + math.frexp(CLIP)[1] + math.frexp(widest)[1] + 1
    with torch.no_grad():
        for weight in weights:
            weight.copy_(_round(weight, _EXACT - spent - whole))
    return network.eval()


def _round(values: Tensor, digits: int) -> Tensor:
    """Return the values with that many binary digits behind the point."""
    scale = 2.0**digits
    return torch.round(values * scale) / scale
