# SPDX-License-Identifier: Apache-2.0
"""How much each organisation counts: public, capped powers of two.

An organisation tells the bucket of its sample count, not the count; the bucket is
signed, fixed for a run and capped against the others', so that one organisation that
claims 1e9 samples is seen and does not own the mean.

It does NOT check a claim: nobody can, which is what the cap is for.

Rules that always hold: weights are integers, the same for everyone who computes them
from the same buckets, in any order.

Source: weights by sample count as in McMahan et al. 2017, algorithm 1; the cap is ours.
"""

from __future__ import annotations

from collections.abc import Mapping

from fedxdr.core.errors import InvalidPlan, InvalidUpdate
from fedxdr.core.ids import OrgId

MAX_EXPONENT = 40
"""Largest bucket anyone may plan for: 2^40 samples."""


def bucket(samples: int, *, max_exponent: int) -> int:
    """Return the bucket k of a sample count: 2^k <= samples < 2^(k+1), at most the cap.

    Args:
        samples: how many examples stand behind the update, >= 1.
        max_exponent: largest bucket of the plan, in [0, 40].

    Returns:
        k, in [0, max_exponent].

    Raises:
        InvalidUpdate: no samples; whoever has none sits the round out.
        InvalidPlan: a cap out of its range.
    """
    _want_max_exponent(max_exponent)
    if samples < 1:
        raise InvalidUpdate(f"got {samples} samples, want at least 1")
    return min(samples.bit_length() - 1, max_exponent)


def effective_weights(
    exponents: Mapping[OrgId, int], *, cap_over_median: int
) -> dict[OrgId, int]:
    """Return everyone's weight: 2^k, but at most ``cap_over_median`` medians.

    The median is the lower one of all 2^k before capping. With fewer than half of the
    organisations lying, it lies between honest weights.

    Args:
        exponents: bucket by organisation, each in [0, 40]; one or more.
        cap_over_median: how many median weights one may have at most, >= 1.

    Returns:
        integer weights >= 1, in the order of the names.

    Raises:
        InvalidUpdate: a bucket out of its range; names whose.
        InvalidPlan: a cap below 1, or nobody to weigh.
    """
    if cap_over_median < 1 or not exponents:
        raise InvalidPlan("weights need one organisation and a cap of at least 1")
    for name, exponent in exponents.items():
        if not 0 <= exponent <= MAX_EXPONENT:
            raise InvalidUpdate(f"{name}: bucket {exponent}, want 0 to {MAX_EXPONENT}")
    raw = {name: 2 ** exponents[name] for name in sorted(exponents)}
    median = sorted(raw.values())[(len(raw) - 1) // 2]
    return {name: min(weight, cap_over_median * median) for name, weight in raw.items()}


def _want_max_exponent(max_exponent: int) -> None:
    if not 0 <= max_exponent <= MAX_EXPONENT:
        raise InvalidPlan(f"largest bucket {max_exponent}, want 0 to {MAX_EXPONENT}")
