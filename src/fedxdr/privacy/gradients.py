# SPDX-License-Identifier: Apache-2.0
"""Sanitises a gradient: what must not leave in one is refused, removed or clipped.

``sanitise_gradient`` takes named arrays or a flat vector and returns what may go on to
masking: finite, without the parts that belong to one organisation, reduced to a common
set of coordinates where there is one, and of bounded norm. ``sanitise_request`` is the
same for the HTTP route, over plain values.

It does NOT add noise: a clipped gradient is not private by itself (Zhu et al. 2019).
Differential privacy and secure aggregation come after this.

Rule 1: NaN and infinity are refused; they would pass a clip and spoil a sum.
Rule 2: parts named ``local.`` (embeddings of hosts, users and the like) never leave.
Rule 3: the order is: refuse, remove, reduce, clip. Nothing is larger after it.

Source: Abadi et al. 2016, algorithm 1 (clip by the L2 norm); Zhu, Liu, Han 2019 (deep
leakage from gradients).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidUpdate
from fedxdr.privacy.sparsify import scatter, top_k

Values = npt.NDArray[np.float32]
"""(n,) float32."""

LOCAL_PREFIX: Final = "local."
"""Names of segments that never leave an organisation begin so."""

SENSITIVITIES: Final = {"low": 10.0, "medium": 1.0, "high": 0.1}
"""Clip norm by the word a request may give instead of a number."""

SMALLEST_CLIP: Final = 1e-20
"""Smallest clip norm: below it float32 has too few digits to keep a direction."""

MOST_VALUES: Final = 20_000_000
"""Most numbers of one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was done to a gradient.

    Attributes:
        norm_before: L2 norm of what was left after removing and reducing, >= 0.
        norm_after: L2 norm of the result, at most ``clip_norm``.
        clip_norm: the bound, > 0.
        clipped: whether it was scaled down.
        removed: names of the segments that were left out.
        removed_values: how many numbers those had.
        zeroed_values: how many numbers the reduction set to zero.
    """

    norm_before: float
    norm_after: float
    clip_norm: float
    clipped: bool
    removed: tuple[str, ...] = ()
    removed_values: int = 0
    zeroed_values: int = 0


def sanitise_gradient(
    values: npt.ArrayLike,
    *,
    clip_norm: float,
    reduce: Callable[[Values], Values] | None = None,
) -> tuple[Values, Report]:
    """Return a gradient that may go on, and what was done to it.

    Args:
        values: (n,) numbers, all finite as float32.
        clip_norm: largest L2 norm of the result, finite, >= ``SMALLEST_CLIP``.
        reduce: chooses coordinates (top-k, or the round's common mask): takes (n,)
            float32 and returns as many, each as it was or zero.

    Raises:
        InvalidUpdate: values that are not finite, not a vector or none at all; a
            reduction that changed a value; a clip norm out of bounds.
    """
    if not (math.isfinite(clip_norm) and clip_norm >= SMALLEST_CLIP):
        raise InvalidUpdate(f"a clip norm is finite and at least {SMALLEST_CLIP}")
    vector = _vector(values)
    zeroed = 0
    if reduce is not None:
        reduced = np.asarray(reduce(vector), np.float32)
        if reduced.shape != vector.shape:
            raise InvalidUpdate(
                f"a reduction returned {reduced.shape}, want {vector.shape}"
            )
        if not ((reduced == vector) | (reduced == 0)).all():
            raise InvalidUpdate("a reduction may only keep a value or set it to 0")
        zeroed = int(np.count_nonzero(vector) - np.count_nonzero(reduced))
        vector = reduced
    norm = _norm(vector)
    is_over = norm > clip_norm
    if is_over:
        vector = _scaled(vector, norm, clip_norm)
    return vector, Report(
        norm_before=norm,
        norm_after=_norm(vector),
        clip_norm=clip_norm,
        clipped=is_over,
        zeroed_values=zeroed,
    )


def without_local(
    segments: Mapping[str, npt.ArrayLike],
) -> tuple[dict[str, Values], tuple[str, ...], int]:
    """Return the segments that may leave, the names of the others and their size.

    Args:
        segments: arrays by name, as in a layout.

    Raises:
        InvalidUpdate: a segment that is kept and is not finite.
    """
    kept = {
        name: _vector(np.asarray(values).reshape(-1))
        for name, values in segments.items()
        if not is_local(name)
    }
    removed = tuple(sorted(set(segments) - set(kept)))
    return kept, removed, sum(int(np.asarray(segments[name]).size) for name in removed)


def is_local(name: str) -> bool:
    """Return whether a segment of that name never leaves its organisation."""
    return name.strip().lower().startswith(LOCAL_PREFIX)


def refuse_local(names: Sequence[str]) -> None:
    """Raise if a layout that is to be shared names a local segment.

    Args:
        names: of the segments.

    Raises:
        InvalidUpdate: one begins with ``local.``.
    """
    found = [name for name in names if is_local(name)]
    if found:
        raise InvalidUpdate(f"{len(found)} local segments in a layout that is shared")


def sanitise_request(
    raw_gradient: Sequence[float] | Mapping[str, Sequence[float]],
    *,
    sensitivity: float | str | None = None,
    config: Mapping[str, float | int | str] | None = None,
) -> dict[str, object]:
    """Return the answer to ``POST /privacy/sanitize``, as plain values.

    Args:
        raw_gradient: numbers, or numbers by segment name.
        sensitivity: largest L2 norm, a number > 0 or a word of ``SENSITIVITIES``
            (default ``medium``).
        config: ``clip_norm`` (comes before sensitivity) and ``top_k`` (how many of the
            largest numbers are kept, >= 1); nothing else.

    Returns:
        ``sanitized_gradient`` in the form it came, ``clipped`` (truth value),
        ``norm_before``, ``norm_after``, ``clip_norm``, ``removed`` (names),
        ``removed_values``, ``zeroed_values``.

    Raises:
        InvalidUpdate: anything that is not so, or a gradient that is not finite.
    """
    options = dict(config or {})
    clip_norm = _clip_norm(options.pop("clip_norm", None), sensitivity)
    top_k = options.pop("top_k", None)
    if options:
        raise InvalidUpdate(f"unknown settings: {', '.join(sorted(map(str, options)))}")
    is_named = isinstance(raw_gradient, Mapping)
    segments = raw_gradient if isinstance(raw_gradient, Mapping) else {"": raw_gradient}
    kept, removed, removed_values = without_local(segments)
    if not kept:
        raise InvalidUpdate("nothing is left to share: every segment is local")
    whole = np.concatenate(list(kept.values()))
    if len(whole) > MOST_VALUES:
        raise InvalidUpdate(f"{len(whole)} numbers, at most {MOST_VALUES}")
    reduce = None if top_k is None else _largest(_count(top_k))
    vector, report = sanitise_gradient(whole, clip_norm=clip_norm, reduce=reduce)
    ends = np.cumsum([len(values) for values in kept.values()])[:-1]
    parts = [part.tolist() for part in np.split(vector, ends)]
    return {
        "sanitized_gradient": (
            dict(zip(kept, parts, strict=True)) if is_named else parts[0]
        ),
        "clipped": report.clipped,
        "norm_before": report.norm_before,
        "norm_after": report.norm_after,
        "clip_norm": clip_norm,
        "removed": list(removed),
        "removed_values": removed_values,
        "zeroed_values": report.zeroed_values,
    }


def _vector(values: npt.ArrayLike) -> Values:
    try:
        exact = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidUpdate("a gradient is a list of numbers") from error
    if exact.ndim != 1 or not exact.size:
        raise InvalidUpdate(f"a gradient is a vector, got shape {exact.shape}")
    with np.errstate(over="ignore"):  # too large for float32 is infinite, and refused
        vector = exact.astype(np.float32)
    if not np.isfinite(vector).all():
        raise InvalidUpdate("a gradient with NaN or infinity")
    return vector


def _norm(vector: Values) -> float:
    return float(np.linalg.norm(vector.astype(np.float64)))


def _scaled(vector: Values, norm: float, clip_norm: float) -> Values:
    """Return the vector at the clip norm or below it, rounding included."""
    factor = clip_norm / norm
    while True:
        scaled = (vector.astype(np.float64) * factor).astype(np.float32)
        if _norm(scaled) <= clip_norm:
            return scaled
        factor *= 1 - 2.0**-24


def _largest(count: int) -> Callable[[Values], Values]:
    """Return a reduction that keeps the numbers of largest magnitude."""

    def keep(vector: Values) -> Values:
        if count >= len(vector):
            return vector
        chosen = top_k(vector, count)
        return scatter(chosen, vector[chosen], len(vector))

    return keep


def _clip_norm(given: object, sensitivity: float | str | None) -> float:
    value = given if given is not None else sensitivity
    if value is None:
        value = "medium"
    if isinstance(value, str):
        if value not in SENSITIVITIES:
            raise InvalidUpdate(
                f"sensitivity is a number or {', '.join(SENSITIVITIES)}"
            )
        return SENSITIVITIES[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidUpdate("a clip norm is a number")
    return float(value)


def _count(value: float | str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidUpdate("top_k is a whole number of at least 1")
    return value
