# SPDX-License-Identifier: Apache-2.0
"""What an update gives away: the record behind it, computed back from its numbers.

The attacker's side of the privacy tests. From one organisation's update in the clear
the network's linear layers give the record itself: for one example the gradient of
``W x + b`` is ``delta x^T`` for W and ``delta`` for b, and their quotient is x. The
first step of Adam is one monotone function of each gradient number and is undone first.
For a batch of several examples the quotient is a weighted mean of their records.

It does NOT break anything: it reads what is in the open. That it reads nothing under
masks, in ciphertexts and in noise is what tests/attacks/privacy shows.

Rules that always hold: everything is computed from the model, the plan and the numbers
given; nothing here knows the data.

Source: Phong et al. 2018, section 3 (leakage from a neuron's weight and bias); Geiping
et al. 2020, proposition 3.1 (analytic inversion of a fully connected layer); the step
that is undone is Kingma and Ba 2015, Algorithm 1, with t = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidUpdate
from fedxdr.core.layout import Layout, Vector
from fedxdr.models.architecture import Architecture

Float64 = npt.NDArray[np.float64]

ADAM_EPSILON: Final = 1e-3
"""The epsilon of the local fit's optimiser (learning/fit.py)."""

_NEARLY_ONE: Final = 1.0 - 1e-6
_TINY: Final = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """A record as an attacker read it out of a gradient.

    Attributes:
        own: (own,) float64, the event's own numbers, standardised.
        tokens: (keys, ranks, token) float64, its neighbours, standardised; keys 0 for
            a network without neighbours.
    """

    own: Float64
    tokens: Float64

    @property
    def record(self) -> Float64:
        """The whole record as the network reads it, (D,) float64."""
        return np.concatenate([self.tokens.ravel(), self.own])


def gradient_of_first_step(
    update: npt.NDArray[np.floating], *, rate: float, epsilon: float = ADAM_EPSILON
) -> Float64:
    """Return the gradient that the first step of Adam turned into an update.

    At t = 1 the step is ``-rate g / (|g| + epsilon)``, so
    ``|g| = epsilon |u| / (rate - |u|)`` with the sign of -u.

    Args:
        update: (d,) differences of the weights.
        rate: the plan's learning rate, > 0.
        epsilon: the optimiser's, > 0.

    Returns:
        (d,) float64; numbers that no first step can be are taken at its limit, so that
        any vector can be tried.
    """
    size = np.abs(np.nan_to_num(np.asarray(update, dtype=np.float64)))
    size = np.minimum(size, rate * _NEARLY_ONE)
    gradient: Float64 = -np.sign(update) * epsilon * size / (rate - size)
    return np.nan_to_num(gradient)


def invert(
    gradient: npt.NDArray[np.floating], *, parent: Vector, architecture: Architecture
) -> Recovered:
    """Return the record whose gradient this is; of several, their weighted mean.

    Args:
        gradient: (span of ``weights.``,) of one example's loss by the weights.
        parent: (d,) float32, the model at which it was taken.
        architecture: of that model.

    Raises:
        InvalidUpdate: another length.
    """
    layout = architecture.layout
    begin, end = layout.span("weights.")
    if gradient.shape != (end - begin,):
        raise InvalidUpdate(f"got shape {gradient.shape}, want ({end - begin},)")
    whole = np.zeros(layout.size, np.float64)
    whole[begin:end] = gradient
    parts = _parts(layout, whole)
    fused = inputs_of_layer(parts["weights.fuse.weight"], parts["weights.fuse.bias"])
    own = fused[architecture.keys * architecture.mixer :]
    if not architecture.keys:
        return Recovered(own=own, tokens=np.zeros((0, 1, 1)))
    weights = _parts(layout, parent.astype(np.float64))
    tokens = np.stack(
        [_tokens(parts, weights, architecture, key) for key in range(architecture.keys)]
    )
    return Recovered(own=own, tokens=tokens)


def inputs_of_layer(weight: Float64, bias: Float64) -> Float64:
    """Return the input x of a linear layer from its gradients.

    Each unit i says ``x = weight[i] / bias[i]``; units count by ``bias[i]^2``, which is
    the least-squares answer of all of them.

    Args:
        weight: (units, inputs), gradient of W.
        bias: (units,), gradient of b.

    Returns:
        (inputs,) float64; zeros where no unit has a gradient.
    """
    found: Float64 = bias @ weight / max(float(bias @ bias), _TINY)
    return found


def _tokens(
    gradient: dict[str, Float64],
    weights: dict[str, Float64],
    architecture: Architecture,
    key: int,
) -> Float64:
    """Return the neighbours of one key, (ranks, token).

    The mixer's layer gives what the neighbour layer put out, tanh(T W + place); its
    inverse is linear in the tokens T. The neighbour layer's own gradient is T^T Delta
    with Delta the gradient of the places, a second set of linear equations; both are
    solved together.
    """
    ranks, width = architecture.ranks, architecture.neighbour
    out = inputs_of_layer(
        gradient["weights.mixer.weight"][key].T, gradient["weights.mixer.bias"][key]
    ).reshape(ranks, width)
    out = np.clip(out, -_NEARLY_ONE, _NEARLY_ONE)
    before = np.arctanh(out) - weights["weights.neighbour.place"][key]
    trust = 1.0 - out**2  # where tanh is flat its inverse says little
    layer = weights["weights.neighbour.weight"][key]  # (token, neighbour)
    delta = gradient["weights.neighbour.place"][key]  # (ranks, neighbour)
    scale = float(np.linalg.norm(delta)) or 1.0
    identity = np.eye(architecture.token)
    rows: list[Float64] = []
    right: list[Float64] = []
    for rank in range(ranks):
        block = np.zeros((width, ranks, architecture.token))
        block[:, rank, :] = layer.T * trust[rank][:, None]
        rows.append(block.reshape(width, -1))
        right.append(before[rank] * trust[rank])
    # dW[t, j] = sum over ranks of T[r, t] delta[r, j]
    for column in range(width):
        rows.append(
            np.einsum("r,ts->trs", delta[:, column] / scale, identity).reshape(
                architecture.token, -1
            )
        )
        right.append(gradient["weights.neighbour.weight"][key][:, column] / scale)
    solved, *_ = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right))
    return np.asarray(solved, dtype=np.float64).reshape(ranks, architecture.token)


def likeness(found: Float64, record: npt.NDArray[np.floating]) -> float:
    """Return the correlation of a recovered record with a true one, in [-1, 1].

    Args:
        found: (D,) as recovered.
        record: (D,) standardised.
    """
    a = np.nan_to_num(found) - np.nan_to_num(found).mean()
    b = record.astype(np.float64) - record.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size else 0.0


def _parts(layout: Layout, vector: Float64) -> dict[str, Float64]:
    parts: dict[str, Float64] = {}
    begin = 0
    for segment in layout.segments:
        parts[segment.name] = vector[begin : begin + segment.size].reshape(
            segment.shape
        )
        begin += segment.size
    return parts
