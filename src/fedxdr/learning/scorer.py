# SPDX-License-Identifier: Apache-2.0
"""A network that scores: built once, the same bits for an event in any company.

How a matrix product is summed may hang on its number of rows. So rows are always read
``BLOCK`` at once, the last block filled up with zeros: an event has the same logit
alone, in a batch, and in whatever batch.

It does NOT fit (fit.py), and it does not make features (streaming.py).

Source: ours.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from fedxdr.core.ids import Digest, sha256
from fedxdr.learning.fit import Said
from fedxdr.models import parameters, snapshot
from fedxdr.models.architecture import Architecture, architecture_of
from fedxdr.models.graph import Floats

BLOCK: Final = 256
"""Rows that are read at once."""

_THREADS: Final = 1


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
        self._network = parameters.network(self.architecture, found.vector)
        self._network.eval()
        self.mean: Floats = self._network.tensor("statistics.mean").numpy().copy()

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
            for begin in range(0, n, BLOCK):
                rows = slice(begin, min(begin + BLOCK, n))
                count = rows.stop - begin
                found = self._network.heads(_filled(features[rows]))
                malicious[rows] = found.malicious.numpy()[:count]
                if found.tactics is not None:
                    tactics[rows] = found.tactics.numpy()[:count]
                if found.following is not None:
                    following[rows] = found.following.numpy()[:count]
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
        n = len(features)
        placed = np.empty((n, self.architecture.embedding), np.float32)
        torch.set_num_threads(_THREADS)
        with torch.inference_mode():
            for begin in range(0, n, BLOCK):
                rows = slice(begin, min(begin + BLOCK, n))
                block = self._network.standardise(_filled(features[rows]))
                found = self._network.embed(block)
                placed[rows] = found.numpy()[: rows.stop - begin]
        return placed


def _filled(features: Floats) -> Tensor:
    """Return the rows, and zeros up to ``BLOCK`` of them."""
    whole = np.zeros((BLOCK, features.shape[1]), np.float32)
    whole[: len(features)] = features
    return torch.from_numpy(whole)
