# SPDX-License-Identifier: Apache-2.0
"""Which updates may count, and for how much: a verdict with reasons per participant.

Refused: a wrong dtype or shape, NaN, infinity, a norm over the plan's bound, a sample
count that is no count. Capped: a sample count far above what the others declare, since
it is self-declared and would otherwise buy the mean.

It does NOT recognise a well-made attack of ordinary length and weight; the robust rules
beside it do. It needs to see single updates, which masked modes hide: there, the weight
caps alone apply.

Rules that always hold: one participant's update cannot change the verdict on another's;
norms are taken in float64; nothing is repaired (no clipping, no NaN to zero); a verdict
that is not clean says why.

Source: Sun et al. 2019, "Can You Really Backdoor Federated Learning?", section 4.3
(norm bound). The weight cap is our own rule; ``capped_samples`` defines it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from fedxdr.aggregation.aggregator import TILE_NUMBERS
from fedxdr.core.errors import InvalidUpdate
from fedxdr.core.ids import OrgId


class Finding(StrEnum):
    """What screening can find; the values are stable."""

    WRONG_DTYPE = "wrong-dtype"
    WRONG_SHAPE = "wrong-shape"
    NOT_FINITE = "not-finite"
    NORM_OVER_BOUND = "norm-over-bound"
    BAD_SAMPLE_COUNT = "bad-sample-count"
    SAMPLES_CAPPED = "samples-capped"

    @property
    def is_fatal(self) -> bool:
        """Whether an update with this finding is refused."""
        return self is not Finding.SAMPLES_CAPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One finding, and a sentence with what was got and what was wanted.

    Attributes:
        finding: what was found.
        detail: for people; figures, never values of the update.
    """

    finding: Finding
    detail: str

    @property
    def text(self) -> str:
        """The finding's stable name and the sentence."""
        return f"{self.finding}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What screening says about one participant's update in one round.

    Attributes:
        participant: whose.
        accepted: whether the update counts.
        reasons: why not, or what was changed; empty where all was well.
        samples: the sample count to weigh by, capped; 0 where not accepted.
    """

    participant: OrgId
    accepted: bool
    reasons: tuple[Reason, ...]
    samples: int

    def __post_init__(self) -> None:
        fatal = any(reason.finding.is_fatal for reason in self.reasons)
        if self.accepted is fatal or (fatal and self.samples):
            raise InvalidUpdate("a verdict refuses exactly when a reason is fatal")


def screen(
    participants: Sequence[OrgId],
    updates: Iterable[npt.NDArray[Any]],
    samples: Sequence[int],
    *,
    parameters: int,
    norm_bound: float | None = None,
    cap_factor: float = 4.0,
) -> tuple[Verdict, ...]:
    """Return a verdict for each participant, in the order given.

    Args:
        participants: n different names.
        updates: n arrays as they came; each should be (d,) float32, finite. The rows of
            an (n, d) array will do.
        samples: n declared sample counts, each should be an integer >= 0.
        parameters: d >= 1, the size of the plan's layout.
        norm_bound: largest Euclidean norm allowed, > 0; None for no bound.
        cap_factor: as for ``capped_samples``. Refused updates have no say in the caps.

    Raises:
        InvalidUpdate: lists of unequal length, a name twice, a bound out of range. What
            is wrong with single updates is never raised but written in the verdict.
    """
    arrays = list(updates)
    if not len(participants) == len(arrays) == len(samples):
        raise InvalidUpdate(
            f"got {len(participants)} participants, {len(arrays)} updates and "
            f"{len(samples)} sample counts, want as many of each"
        )
    if len(set(participants)) != len(participants):
        raise InvalidUpdate("a participant is named twice")
    if parameters < 1:
        raise InvalidUpdate(f"got {parameters} parameters, want 1 or more")
    if norm_bound is not None and not 0 < norm_bound < math.inf:
        raise InvalidUpdate(f"got norm bound {norm_bound}, want a finite number > 0")

    faults = [
        _faults(array, parameters=parameters, norm_bound=norm_bound)
        + _count_faults(count)
        for array, count in zip(arrays, samples, strict=True)
    ]
    counted = [count for count, found in zip(samples, faults, strict=True) if not found]
    caps = iter(capped_samples(counted, factor=cap_factor) if counted else ())
    return tuple(
        Verdict(participant=participant, accepted=False, reasons=found, samples=0)
        if found
        else _accepted(participant, declared=declared, capped=next(caps))
        for participant, declared, found in zip(
            participants, samples, faults, strict=True
        )
    )


def capped_samples(samples: Sequence[int], *, factor: float = 4.0) -> tuple[int, ...]:
    """Return each sample count, capped relative to what the others declare.

    A participant counts at most ``factor`` times the lower median of the OTHERS'
    declared counts (rounded down, at least 1). So no claim, however large, raises its
    own cap, and with all others alike its share of the weight stays at or below
    factor / (factor + n - 1). A participant alone is not capped.

    Args:
        samples: n >= 1 declared counts, each >= 0 and of any size.
        factor: finite and >= 1.

    Returns:
        n counts, each at most the declared one.

    Raises:
        InvalidUpdate: no counts, a count below 0 or no integer, a factor out of range.
    """
    if not samples:
        raise InvalidUpdate("got no sample counts, want 1 or more")
    if any(_count_faults(count) for count in samples):
        raise InvalidUpdate("a sample count is an integer of 0 or more")
    if not 1 <= factor < math.inf:
        raise InvalidUpdate(f"got cap factor {factor}, want a finite number >= 1")
    if len(samples) == 1:
        return (int(samples[0]),)
    ordered = sorted(samples)
    numerator, denominator = float(factor).as_integer_ratio()
    capped = []
    for count in samples:
        # The lower median of the others: their place is (n - 2) // 2 in ascending
        # order, one further on in ``ordered`` if this count stands at or before it.
        place = (len(samples) - 2) // 2
        middle = ordered[place + 1] if count <= ordered[place] else ordered[place]
        cap = max(1, middle * numerator // denominator)
        capped.append(int(min(count, cap)))
    return tuple(capped)


def norm(update: npt.NDArray[np.float32]) -> float:
    """Return the Euclidean norm of one update, taken in float64.

    Args:
        update: (d,) float32, finite; no float32 is too large to be squared.
    """
    total = 0.0
    for begin in range(0, len(update), TILE_NUMBERS):
        numbers = update[begin : begin + TILE_NUMBERS].astype(np.float64)
        total += float(np.square(numbers, out=numbers).sum())
    return math.sqrt(total)


def _faults(
    array: npt.NDArray[Any], *, parameters: int, norm_bound: float | None
) -> tuple[Reason, ...]:
    """Return the first thing wrong with an array; later checks rest on earlier ones."""
    if array.dtype != np.float32:
        detail = f"got {array.dtype}, want float32"
        return (Reason(finding=Finding.WRONG_DTYPE, detail=detail),)
    if array.shape != (parameters,):
        detail = f"got {array.shape}, want ({parameters},)"
        return (Reason(finding=Finding.WRONG_SHAPE, detail=detail),)
    wrong = parameters - int(np.count_nonzero(np.isfinite(array)))
    if wrong:
        detail = f"NaN or infinity in {wrong} of {parameters} parameters"
        return (Reason(finding=Finding.NOT_FINITE, detail=detail),)
    if norm_bound is not None and (length := norm(array)) > norm_bound:
        detail = f"got norm {length:.6g}, want at most {norm_bound:.6g}"
        return (Reason(finding=Finding.NORM_OVER_BOUND, detail=detail),)
    return ()


def _count_faults(count: object) -> tuple[Reason, ...]:
    if not isinstance(count, int) or isinstance(count, bool):
        detail = f"got a {type(count).__name__}, want an integer"
    elif count < 0:
        detail = "got a count below 0, want 0 or more"
    else:
        return ()
    return (Reason(finding=Finding.BAD_SAMPLE_COUNT, detail=detail),)


def _accepted(participant: OrgId, *, declared: int, capped: int) -> Verdict:
    reasons: tuple[Reason, ...] = ()
    if capped < declared:
        detail = f"declared {declared}, counted as {capped}"
        reasons = (Reason(finding=Finding.SAMPLES_CAPPED, detail=detail),)
    return Verdict(
        participant=participant, accepted=True, reasons=reasons, samples=capped
    )
