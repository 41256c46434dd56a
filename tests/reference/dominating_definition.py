# SPDX-License-Identifier: Apache-2.0
"""One noisy step as it is defined, for any vectors: mixtures over every sampled set.

Slow on purpose: the densities are sums over all subsets, the divergence is a sum over
a fine grid. The library's closed form is held against it.
"""

import itertools

import numpy as np


def mixture(vectors, rate):
    """Return weights and centres over all subsets of the vectors, (k, 1 or 2)."""
    vectors = np.atleast_2d(np.asarray(vectors, float))
    weights, centres = [], []
    for chosen in itertools.product((0, 1), repeat=len(vectors)):
        drawn = np.array(chosen)
        weights.append(np.prod(np.where(drawn, rate, 1 - rate)))
        centres.append(drawn @ vectors)
    return np.array(weights), np.array(centres)


def density(points, weights, centres, std):
    """Return the mixture's density at points (n, dimension)."""
    total = np.zeros(len(points))
    for weight, centre in zip(weights, centres, strict=True):
        square = ((points - centre) ** 2).sum(axis=1)
        total += weight * np.exp(-square / (2 * std**2))
    return total / (2 * np.pi * std**2) ** (points.shape[1] / 2)


def grid(std, reach, dimension, per_std):
    """Return points (n, dimension) that cover everything, and the size of a cell."""
    line = np.arange(-reach - 9 * std, reach + 9 * std, std / per_std)
    cell = (std / per_std) ** dimension
    mesh = np.meshgrid(*[line] * dimension, indexing="ij")
    return np.stack([axis.ravel() for axis in mesh], axis=1), cell


def hockey_sticks(own, before, after, *, rate, std, epsilons, per_std):
    """Return delta per epsilon in both directions: with the unit, without it.

    own: vectors that only the truth with the unit has; before, after: the vectors of
    the same other examples with and without the unit.
    """
    dimension = np.atleast_2d(np.asarray(before or own, float)).shape[1]
    empty = np.zeros((0, dimension))
    own = np.asarray(own, float).reshape(-1, dimension) if len(own) else empty
    before = np.asarray(before, float).reshape(-1, dimension) if len(before) else empty
    after = np.asarray(after, float).reshape(-1, dimension) if len(after) else empty
    points, cell = grid(std, len(own) + len(before), dimension, per_std)
    p = density(points, *mixture(np.concatenate([own, before]), rate), std)
    q = density(points, *mixture(after, rate), std)
    removed = [np.maximum(p - np.exp(e) * q, 0).sum() * cell for e in epsilons]
    added = [np.maximum(q - np.exp(e) * p, 0).sum() * cell for e in epsilons]
    return np.array(removed), np.array(added)
