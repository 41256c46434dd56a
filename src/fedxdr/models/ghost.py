# SPDX-License-Identifier: Apache-2.0
"""Clipped sums of per-example gradients, in closed form, none of them ever kept.

One pass forward and one pass backward give, per layer, what goes in (a) and how the
loss changes with what comes out (d). A layer's gradient for one example is d a^T, so
its squared norm is |d|^2 |a|^2 and needs no gradient. A layer that is used several
times for one example (the neighbour layer once per rank, every layer once per event
where an example is a window) has the gradient sum_r d_r a_r^T; its squared norm is
sum_{r,s} (d_r . d_s)(a_r . a_s), or that small matrix is made and forgotten: whichever
takes fewer multiplications. The clipped sum is one more product per layer.

It does NOT sample, add noise or step (learning/dpsgd.py does).

Rules that always hold:
    1. An example's part of the sum has norm at most ``clip``, whatever its features.
    2. An example whose gradient is not finite adds nothing.
    3. An example's part depends on that example alone, but for the last bits of
       float32 sums.

Source: Goodfellow 2015 (norms of per-example gradients); Li et al. 2022, section 4
(Gram form for repeated layers); Bu et al. 2023 (choice between the two).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from fedxdr.core.errors import InvalidUpdate
from fedxdr.models.architecture import Architecture
from fedxdr.models.tgnn import TemporalGraphNetwork

_SMALLEST: Final = 1e-30

_BATCHED_FROM: Final = 400
"""torch hands batches of products to the fast library from so many multiplications."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer's part in one pass.

    Attributes:
        inputs: (banks, n, uses, in) float32, what went in; banks are layers side by
            side with weights of their own (one per node of the event).
        deltas: (banks, n, uses, out) float32, the loss's change with what came out.
        is_input_first: whether the weight lies as (in, out).
        bias: ``one`` per bank, one per ``place`` in the ranks, or ``none``.
        places: ranks, where the bias is one per place.
    """

    inputs: Tensor
    deltas: Tensor
    is_input_first: bool
    bias: str = "one"
    places: int = 1

    def squared_norms(self) -> Tensor:
        """Return (n,) float32: of each example's gradient, weight and bias."""
        if self.deltas.shape[2] == 1:
            # |d|^2 |a|^2 and, for the bias, |d|^2
            squares = _squares(self.inputs).add_(1).mul_(_squares(self.deltas))
            return squares.sum(dim=(0, 2))
        return _weight_norms(self.inputs, self.deltas) + self._bias_norms()

    def weighted_sum(self, factors: Tensor) -> list[Tensor]:
        """Return weight and bias, in the layout's order; the deltas are used up.

        Args:
            factors: (n,) float32, what each example's gradient is multiplied by.
        """
        banks, n, uses, width = self.deltas.shape
        deltas = self.deltas.mul_(factors[:, None, None])
        flat = deltas.reshape(banks, n * uses, width)
        inputs = self.inputs.reshape(banks, n * uses, -1)
        pair = (inputs, flat) if self.is_input_first else (flat, inputs)
        weight = torch.bmm(pair[0].transpose(1, 2), pair[1])
        if self.bias == "place":
            place = deltas.reshape(banks, -1, self.places * width).sum(dim=1)
            return [place.flatten(), weight.flatten()]
        return [weight.flatten(), flat.sum(dim=1).flatten()]

    def _bias_norms(self) -> Tensor:
        banks, n, uses, _ = self.deltas.shape
        if self.bias == "place":
            # a place is used once per event; (banks, n, events, ranks * out)
            events = uses // self.places
            used = self.deltas.reshape(banks, n, events, -1)
            summed = used if events == 1 else used.sum(dim=2, keepdim=True)
        else:
            summed = self.deltas.sum(dim=2, keepdim=True)
        return _squares(summed).sum(dim=(0, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Clipped:
    """What one step may read of its examples.

    Attributes:
        total: (p,) float32, sum of the clipped gradients, in the order of
            ``weights.*``.
        norms: (n,) float32, before clipping; secret: they are nobody else's to see.
    """

    total: Tensor
    norms: Tensor


def clipped_sum(
    network: TemporalGraphNetwork,
    inputs: Tensor,
    truth: Tensor,
    weight: Tensor,
    *,
    clip: float,
) -> Clipped:
    """Return the sum over examples of their clipped gradients.

    The loss of an example is the sum over its events of weight times binary
    cross-entropy.

    Args:
        network: of p trained numbers.
        inputs: (n, events, D) float32, standardised (``network.standardise``).
        truth: (n, events) float32, 1 for malicious.
        weight: (n, events) float32 >= 0; 0 where there is no event.
        clip: C, L2 bound of one example's gradient, > 0.

    Raises:
        InvalidUpdate: shapes that do not belong together, or a clip that is not
            above 0.
    """
    architecture = network.architecture
    wanted = (*truth.shape, architecture.inputs)
    pair = 2
    if truth.dim() != pair or weight.shape != truth.shape or inputs.shape != wanted:
        raise InvalidUpdate(
            f"got inputs {tuple(inputs.shape)}, truth {tuple(truth.shape)} and weight "
            f"{tuple(weight.shape)}; want (n, events, {architecture.inputs}) and "
            "(n, events) twice"
        )
    if not clip > 0:
        raise InvalidUpdate(f"a clipping norm is above 0, got {clip}")
    if not truth.numel():
        begin, end = architecture.layout.span("weights.")
        return Clipped(total=torch.zeros(end - begin), norms=torch.zeros(len(truth)))
    with torch.inference_mode():
        found = layers(network, inputs, truth, weight)
        squares = torch.stack([layer.squared_norms() for layer in found]).sum(dim=0)
        norms = squares.sqrt_()
        is_finite = torch.isfinite(norms)
        factors = (clip / norms.clamp(min=_SMALLEST)).clamp(max=1.0)
        if not bool(is_finite.all()):
            # zero times infinity is not zero: empty the rows themselves
            factors = torch.where(is_finite, factors, 0.0)
            found = [_without(layer, is_finite) for layer in found]
        parts = [part for layer in found for part in layer.weighted_sum(factors)]
        return Clipped(total=torch.cat(parts), norms=norms)


def layers(
    network: TemporalGraphNetwork, inputs: Tensor, truth: Tensor, weight: Tensor
) -> list[Layer]:
    """Return every layer's inputs and deltas, in the order of ``weights.*``.

    The arguments are those of ``clipped_sum``; to be called without gradients.
    """
    shape = network.architecture
    n, events = truth.shape
    rows = inputs.reshape(n * events, shape.inputs)
    count = shape.keys * shape.ranks * shape.token
    tokens, neighbours, mixed = _neighbourhood(network, rows[:, :count])
    own = rows[:, count:]
    fused = own if mixed is None else torch.cat([_side_by_side(mixed), own], dim=1)
    hidden = _linear(network, "fuse", fused).tanh_()
    embedding = _linear(network, "embed", hidden).tanh_()
    logits = _linear(network, "malicious", embedding).squeeze(1)
    # (sigmoid(z) - y) w: the cross-entropy's derivative with the logit
    slope = ((torch.sigmoid(logits) - truth.reshape(-1)) * weight.reshape(-1))[:, None]
    to_embedding = _through_tanh(
        slope * network.tensor("weights.malicious.weight"), embedding
    )
    to_hidden = _through_tanh(
        to_embedding @ network.tensor("weights.embed.weight"), hidden
    )
    found: list[Layer] = []
    if tokens is not None and neighbours is not None and mixed is not None:
        width = shape.keys * shape.mixer
        to_mixed = to_hidden @ network.tensor("weights.fuse.weight")[:, :width]
        to_mixed = to_mixed.reshape(n * events, shape.keys, shape.mixer)
        to_mixed = _through_tanh(to_mixed.permute(1, 0, 2).contiguous(), mixed)
        to_neighbours = _through_tanh(
            torch.bmm(to_mixed, network.tensor("weights.mixer.weight").transpose(1, 2)),
            neighbours,
        )
        ranked = (shape.keys, n, events * shape.ranks)
        found = [
            Layer(
                inputs=tokens.reshape(*ranked, shape.token),
                deltas=to_neighbours.reshape(*ranked, shape.neighbour),
                is_input_first=True,
                bias="place",
                places=shape.ranks,
            ),
            Layer(
                inputs=neighbours.reshape(shape.keys, n, events, -1),
                deltas=to_mixed.reshape(shape.keys, n, events, -1),
                is_input_first=True,
            ),
        ]
    return [
        *found,
        _plain(fused, to_hidden, n, events),
        _plain(hidden, to_embedding, n, events),
        _plain(embedding, slope, n, events),
    ]


def multiplications(architecture: Architecture, *, events: int = 1) -> int:
    """Return how many multiplications the norms of one example take.

    Args:
        architecture: of the network.
        events: per example, >= 1.
    """
    shape = architecture
    sizes = [
        (events, shape.keys * shape.mixer + shape.own, shape.embedding, 1),
        (events, shape.embedding, shape.embedding, 1),
        (events, shape.embedding, 1, 1),
    ]
    if shape.keys:
        sizes += [
            (events * shape.ranks, shape.token, shape.neighbour, shape.keys),
            (events, shape.ranks * shape.neighbour, shape.mixer, shape.keys),
        ]
    return sum(
        banks * min(_gram_cost(uses, a, d), _direct_cost(uses, a, d))
        for uses, a, d, banks in sizes
    )


def _neighbourhood(
    network: TemporalGraphNetwork, flat: Tensor
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return tokens, neighbours (flat over ranks) and mixed, banks first."""
    shape = network.architecture
    if not shape.keys:
        return None, None, None
    tokens = (
        flat.reshape(-1, shape.keys, shape.ranks, shape.token)
        .permute(1, 0, 2, 3)
        .reshape(shape.keys, -1, shape.token)
    )
    neighbours = torch.bmm(tokens, network.tensor("weights.neighbour.weight"))
    neighbours = neighbours.reshape(shape.keys, -1, shape.ranks, shape.neighbour)
    neighbours += network.tensor("weights.neighbour.place").unsqueeze(1)
    neighbours = neighbours.tanh_().reshape(
        shape.keys, -1, shape.ranks * shape.neighbour
    )
    mixed = torch.baddbmm(
        network.tensor("weights.mixer.bias").unsqueeze(1),
        neighbours,
        network.tensor("weights.mixer.weight"),
    ).tanh_()
    return tokens, neighbours, mixed


def _side_by_side(mixed: Tensor) -> Tensor:
    """Return (rows, banks * width) of (banks, rows, width)."""
    return mixed.permute(1, 0, 2).reshape(mixed.shape[1], -1)


def _linear(network: TemporalGraphNetwork, name: str, inputs: Tensor) -> Tensor:
    return torch.nn.functional.linear(
        inputs,
        network.tensor(f"weights.{name}.weight"),
        network.tensor(f"weights.{name}.bias"),
    )


def _plain(inputs: Tensor, deltas: Tensor, n: int, events: int) -> Layer:
    return Layer(
        inputs=inputs.reshape(1, n, events, -1),
        deltas=deltas.reshape(1, n, events, -1),
        is_input_first=False,
    )


def _weight_norms(inputs: Tensor, deltas: Tensor) -> Tensor:
    """Return (n,): |sum_r d_r a_r^T|^2, summed over banks."""
    uses, a, d = inputs.shape[2], inputs.shape[3], deltas.shape[3]
    if _gram_cost(uses, a, d) < _direct_cost(uses, a, d):
        alike = inputs @ inputs.transpose(2, 3)
        each = (alike * (deltas @ deltas.transpose(2, 3))).sum(dim=(2, 3))
        # rounding can leave a hair below 0 where the true value is 0
        return each.clamp(min=0.0).sum(dim=0)
    wanted = -(-_BATCHED_FROM // (a * d))
    if uses < wanted <= 2 * uses:
        # zeros change no product, and the library is twice as fast with them
        more = (0, 0, 0, wanted - uses)
        inputs = torch.nn.functional.pad(inputs, more)
        deltas = torch.nn.functional.pad(deltas, more)
    small = (inputs.transpose(2, 3) @ deltas).flatten(2)
    return _squares(small).sum(dim=0)


def _squares(rows: Tensor) -> Tensor:
    """Return the squared norms of the last dimension, in one pass."""
    norms: Tensor = torch.linalg.vector_norm(rows, dim=-1)
    return norms.square_()


def _through_tanh(deltas: Tensor, outputs: Tensor) -> Tensor:
    """Return deltas times tanh's derivative, 1 - outputs^2, in one pass."""
    found: Tensor = torch.ops.aten.tanh_backward(deltas, outputs)
    return found


def _gram_cost(uses: int, a: int, d: int) -> int:
    return uses * uses * (a + d) if uses > 1 else a + d


def _direct_cost(uses: int, a: int, d: int) -> int:
    return uses * a * d


def _without(layer: Layer, is_kept: Tensor) -> Layer:
    """Return the layer with the rows of some examples set to zero."""
    mask = is_kept[None, :, None, None]
    return replace(
        layer,
        inputs=torch.where(mask, layer.inputs, 0.0),
        deltas=torch.where(mask, layer.deltas, 0.0),
    )
