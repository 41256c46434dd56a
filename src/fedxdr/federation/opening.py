# SPDX-License-Identifier: Apache-2.0
"""From stored contributions to the new model: pure, and the same for everyone.

The orchestrator opens a round with these functions, and any member replays it with the
very same ones, from the same stored messages: the model is the one that replay gives,
bit for bit. Integers are summed exactly; what follows is float64 in a fixed order.

Not here: who may open (rounds.py), the masks themselves (secagg).

Sources: Bonawitz et al. 2017, figure 4, round 4; McMahan et al. 2017, Algorithm 1.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedxdr.aggregation import catalogue, screening
from fedxdr.core.errors import InvalidUpdate
from fedxdr.core.ids import Digest, OrgId, sha256
from fedxdr.core.layout import Vector
from fedxdr.core.update import Update
from fedxdr.federation.messages import (
    KeysMessage,
    ShareMessage,
    SurvivorSet,
    UnmaskingMessage,
)
from fedxdr.federation.plan import SEGMENTS, Plan, Task
from fedxdr.models import snapshot
from fedxdr.privacy.clipping import clip
from fedxdr.privacy.sparsify import common_mask, decode, encode, scatter
from fedxdr.secagg import graph, packing, quantise, server, weights
from fedxdr.secagg.stages import Answer, Partition, Roster

METRICS = ("held_out_accuracy",)
"""Figures that travel behind the update, inside the same masked vector.

Each is in [0, 1]. Where the plan's bound is below 1 they travel times that bound.
"""

_MASK_LABEL = b"fedxdr/common-mask-of-a-round/v1\x00"

_TOLERANCE = 1e-5
"""How far rounding to float32 may carry a clipped norm above the bound, relatively."""

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a round has brought.

    Attributes:
        snapshot: the new model's file.
        model_hash: SHA-256 of it.
        sum: (d,) int64, the opened integer sum; in mode ``clear`` the aggregate's bits.
        sum_digest: SHA-256 of the sum as little-endian 64-bit words.
        convergence: L2 norm of new minus old vector.
        gradient_norm: L2 norm of the mean update.
        survivors_weight: sum of the survivors' effective weights.
        metrics: weighted means of ``METRICS``; empty in a statistics round.
        proof: what shows anyone that the sum is right, where a mode has that.
    """

    snapshot: bytes
    model_hash: Digest
    sum: npt.NDArray[np.int64]
    sum_digest: Digest
    convergence: float
    gradient_norm: float
    survivors_weight: int
    metrics: dict[str, float]
    proof: bytes = b""

    def figures(self, number: int) -> dict[str, float]:
        """Return the figures of the round's block, all but ``num_clients``.

        Args:
            number: of the round.
        """
        return {
            "round": number,
            "convergence": self.convergence,
            "gradient_norm": self.gradient_norm,
            "survivors_weight": self.survivors_weight,
            **self.metrics,
        }


def vector_size(plan: Plan, task: Task) -> int:
    """Return d: how many numbers a contribution holds."""
    return _update_size(plan, task) + len(metrics_of(plan, task))


def _update_size(plan: Plan, task: Task) -> int:
    begin, end = plan.layout.span(SEGMENTS[task])
    if task == "training" and plan.sparsification == "common-mask":
        return kept_count(plan, end - begin)
    return end - begin


def kept_count(plan: Plan, size: int) -> int:
    """Return how many of ``size`` coordinates travel under a plan, at least one."""
    return max(1, round(plan.kept_fraction * size))


def common_indices(plan: Plan, parent_model: Digest) -> npt.NDArray[np.int64]:
    """Return the coordinates of the weights that everybody sends, rising.

    They follow from plan and parent model: nobody chooses them, and a round that is
    tried again on the same parent has the same.
    """
    begin, end = plan.layout.span(SEGMENTS["training"])
    seed = sha256(_MASK_LABEL, plan.digest.encode(), parent_model.encode())
    size = end - begin
    return common_mask(bytes.fromhex(seed), size, kept_count(plan, size))


def _is_noisy(plan: Plan) -> bool:
    return plan.privacy.mechanism == "discrete-gaussian"


def upload_width(plan: Plan) -> int:
    """Return how many bits per number a masked contribution has.

    With noise inside the sum it has them all: noise has no bound.
    """
    if _is_noisy(plan):
        return packing.MAX_WIDTH
    return packing.upload_width(plan.quantisation_bits, plan.participants)


def masked_bytes(plan: Plan, task: Task) -> int:
    """Return how long a masked contribution is, and a helper's answer."""
    return packing.packed_bytes(vector_size(plan, task), width=upload_width(plan))


def metrics_of(plan: Plan, task: Task) -> tuple[str, ...]:
    """Return the names of the figures behind the update.

    Under a privacy mechanism there are none: nobody has noised them.
    """
    return METRICS if task == "training" and not plan.privacy.is_on else ()


def effective_weights(
    plan: Plan, keys: Mapping[OrgId, KeysMessage]
) -> dict[OrgId, int]:
    """Return the weight of each organisation on the key list, capped."""
    return weights.effective_weights(
        {org: message.sample_exponent for org, message in keys.items()},
        cap_over_median=plan.weight_cap_over_median,
    )


def payload(
    plan: Plan, task: Task, update: Update, metrics: Mapping[str, float]
) -> Vector:
    """Return the clipped vector that will be protected: update, then metrics.

    Args:
        plan: the plan in force.
        task: what the round is for.
        update: over the task's segments, or the part of them that travels.
        metrics: the values of ``metrics_of(plan, task)``, each in [0, 1].

    Returns:
        (d,) float32; the update part has L2 norm <= clip_norm (training) or absolute
        values <= statistics_bound (statistics).

    Raises:
        InvalidUpdate: another length, or metrics that are missing, unknown or out of
            range.
    """
    names = metrics_of(plan, task)
    want = vector_size(plan, task) - len(names)
    if update.values.shape != (want,):
        raise InvalidUpdate(f"update: got shape {update.values.shape}, want ({want},)")
    if set(metrics) != set(names):
        raise InvalidUpdate(f"metrics: got {sorted(metrics)}, want {sorted(names)}")
    extra = np.array([metrics[name] for name in names], dtype=np.float32)
    if not ((extra >= 0) & (extra <= 1)).all():
        raise InvalidUpdate("a metric lies between 0 and 1")
    extra *= np.float32(_metric_unit(plan, task))
    bound = plan.bound(task)
    values = update.values
    if task == "training":
        values = clip(values, bound)
    else:
        values = np.clip(values, -bound, bound)
    return np.concatenate([values, extra]).astype(np.float32)


def roster_of(
    plan: Plan, keys: Mapping[OrgId, KeysMessage], transcript: Digest
) -> Roster:
    """Return what secure aggregation agrees on, from the signed key list."""
    return Roster(
        keys={
            org: message.keys
            for org, message in sorted(keys.items())
            if message.keys is not None
        },
        transcript=bytes.fromhex(transcript),
        threshold=plan.threshold,
        min_survivors=plan.min_survivors,
        degree=_degree(len(keys), plan.assumed_colluders),
    )


@functools.lru_cache
def _degree(listed: int, colluders: int) -> int | None:
    """Return how many neighbours each organisation masks with; None: everyone.

    At least a tenth is taken to work with the orchestrator, and a tenth to drop out: a
    graph for no colluders at all would be too thin.
    """
    if listed <= graph.COMPLETE_UP_TO:
        return None
    tenth = listed // 10
    degree = graph.degree_for(listed, max(colluders, tenth), tenth)
    return None if degree == listed - 1 else degree


def open_masked(
    *,
    plan: Plan,
    task: Task,
    parent: bytes,
    keys: Mapping[OrgId, KeysMessage],
    survivor_set: SurvivorSet,
    answers: Mapping[OrgId, UnmaskingMessage],
    shares: Iterable[ShareMessage],
    vector_of: Callable[[OrgId], bytes],
) -> Opened:
    """Open the sum of a ``secagg`` round and make the new model.

    Args:
        plan: the plan in force.
        task: what the round is for.
        parent: the parent model's file.
        keys: the signed key list.
        survivor_set: as signed by a quorum.
        answers: unmasking messages, at least the plan's threshold.
        shares: the mail of the round.
        vector_of: returns the masked vector of a survivor; called once each.

    Raises:
        InvalidShare: the answers do not open the sum.
        TooFewParticipants: too few survivors or answers.
    """
    roster = roster_of(plan, keys, survivor_set.transcript)
    partition = Partition(
        survivors=survivor_set.survivors, dropouts=survivor_set.dropouts
    )
    recovery = server.recover(
        roster,
        partition,
        {
            org: Answer(self_shares=answer.self_shares, key_shares=answer.key_shares)
            for org, answer in answers.items()
        },
    )
    size, width = vector_size(plan, task), upload_width(plan)
    total = server.open_sum(
        ((org, vector_of(org)) for org in partition.survivors),
        size=size,
        roster=roster,
        partition=partition,
        revealed=recovery.revealed,
        mails=(message.mail for message in shares),
        width=width,
    )
    weight = effective_weights(plan, keys)
    survivors_weight = sum(weight[org] for org in partition.survivors)
    mean = quantise.dequantise(
        total,
        bits=plan.quantisation_bits,
        bound=plan.bound(task),
        participants=len(weight),
        survivors_weight=survivors_weight,
        total_weight=sum(weight.values()),
        is_noisy=_is_noisy(plan),
    )
    return _next(plan, task, parent, mean, total.astype(np.int64), survivors_weight)


def open_equal(
    *,
    plan: Plan,
    task: Task,
    parent: bytes,
    total: npt.NDArray[np.int32],
    survivors: int,
) -> Opened:
    """Make the new model from an opened sum in which all weigh the same.

    Args:
        plan: the plan in force.
        task: what the round is for.
        parent: the parent model's file.
        total: (d,) int32, the sum of the survivors' quantised vectors.
        survivors: how many are in it.

    Raises:
        InvalidUpdate: a sum that honest contributions cannot have.
    """
    mean = quantise.dequantise(
        total,
        bits=plan.quantisation_bits,
        bound=plan.bound(task),
        participants=plan.participants,
        survivors_weight=survivors,
        total_weight=plan.participants,
        is_noisy=_is_noisy(plan),
    )
    return _next(plan, task, parent, mean, total.astype(np.int64), survivors)


def is_sparse(plan: Plan, task: Task) -> bool:
    """Return whether contributions in the clear name their own coordinates."""
    return task == "training" and plan.sparsification == "top-k"


def clear_bytes(plan: Plan, task: Task) -> int:
    """Return how long a contribution in the clear is; at most that where sparse."""
    size = vector_size(plan, task)
    if not is_sparse(plan, task):
        return 4 * size
    most = kept_count(plan, size) + len(metrics_of(plan, task))
    places = np.arange(min(most, size), dtype=np.int64)
    # both forms of the places are shorter than a bitmap and a number for each
    return len(encode(places, np.ones(len(places), np.float32), size)) + size


def pack_clear(plan: Plan, task: Task, values: Vector) -> bytes:
    """Return a payload as it travels in the clear: float32, or its places and values.

    Args:
        plan: the plan in force.
        task: what the round is for.
        values: (d,) float32, from ``payload``.
    """
    if not is_sparse(plan, task):
        return values.astype("<f4").tobytes()
    places = np.flatnonzero(values).astype(np.int64)
    return encode(places, values[places], values.size)


def screen(plan: Plan, task: Task, vector: bytes) -> Vector:
    """Return an update in the clear if it may be aggregated.

    The orchestrator screens what arrives, and every member what it replays.

    Args:
        plan: the plan in force.
        task: what the round is for.
        vector: as ``pack_clear`` makes it.

    Returns:
        (d,) float32: update, then metrics.

    Raises:
        InvalidUpdate: another length, NaN, infinity, above the plan's bound, or a
            metric out of [0, 1].
    """
    size, names = vector_size(plan, task), metrics_of(plan, task)
    if is_sparse(plan, task):
        values = scatter(*decode(vector, size=size), size)
    elif len(vector) == 4 * size:
        values = np.frombuffer(vector, dtype="<f4").astype(np.float32, copy=False)
    else:
        raise InvalidUpdate(f"got {len(vector)} bytes, want {4 * size}")
    update, metrics = values[: size - len(names)], values[size - len(names) :]
    bound = plan.bound(task) * (1 + _TOLERANCE)
    (verdict,) = screening.screen(
        (OrgId("sender"),),
        (update,),
        (1,),
        parameters=update.size,
        norm_bound=bound if task == "training" else None,
    )
    if not verdict.accepted:
        raise InvalidUpdate("; ".join(reason.text for reason in verdict.reasons))
    if task == "statistics" and not (np.abs(update) <= bound).all():
        raise InvalidUpdate(f"a statistic is above the plan's {plan.bound(task):g}")
    most = _metric_unit(plan, task) * (1 + _TOLERANCE)
    if not ((metrics >= 0) & (metrics <= most)).all():
        raise InvalidUpdate("a metric lies between 0 and 1")
    return values


def _metric_unit(plan: Plan, task: Task) -> float:
    """Return what stands for 1.0 in a contribution's metrics."""
    return min(1.0, plan.bound(task))


def open_clear(
    *,
    plan: Plan,
    task: Task,
    parent: bytes,
    keys: Mapping[OrgId, KeysMessage],
    survivors: tuple[OrgId, ...],
    vector_of: Callable[[OrgId], bytes],
) -> Opened:
    """Aggregate the updates of a ``clear`` round and make the new model.

    Args:
        plan: the plan in force; its rule may look at single updates.
        task: what the round is for; statistics are always averaged.
        parent: the parent model's file.
        keys: the signed key list.
        survivors: whose update counts, in order.
        vector_of: returns the float32 vector of a survivor.

    Raises:
        InvalidUpdate: a vector that ``screen`` refuses, or of one without a weight.
    """
    weight = effective_weights(plan, keys)
    strangers = sorted(set(survivors) - set(weight))
    if strangers:
        raise InvalidUpdate(f"{', '.join(strangers)}: not on the key list")
    updates = np.stack([screen(plan, task, vector_of(org)) for org in survivors])
    rule = plan.rule if task == "training" else catalogue.find("FedAvg")
    share = np.array([weight[org] for org in survivors], dtype=np.float64)
    aggregate = catalogue.aggregate(rule, updates, share)
    mean = np.asarray(aggregate, dtype=np.float64)
    return _next(
        plan, task, parent, mean, mean.view(np.int64), sum(weight[o] for o in survivors)
    )


def contribution_digest(vector: bytes) -> Digest:
    """Return the digest by which statements name a contribution."""
    return sha256(vector)


def _next(  # noqa: PLR0917 - the two callers above
    plan: Plan,
    task: Task,
    parent: bytes,
    mean: Float64,
    total: npt.NDArray[np.int64],
    survivors_weight: int,
) -> Opened:
    names, unit = metrics_of(plan, task), _metric_unit(plan, task)
    step = mean[: len(mean) - len(names)]
    old = snapshot.load(parent)
    begin, end = plan.layout.span(SEGMENTS[task])
    before = old.vector.astype(np.float64)
    after = before.copy()
    if task == "training" and plan.sparsification == "common-mask":
        after[begin + common_indices(plan, sha256(parent))] += step
    elif task == "training":
        after[begin:end] += step
    else:
        after[begin:end] = step
    new = after.astype(np.float32)
    file = snapshot.save(new, layout=plan.layout, architecture=plan.architecture)
    return Opened(
        snapshot=file,
        model_hash=sha256(file),
        sum=total,
        sum_digest=sha256(total.astype("<i8").tobytes()),
        convergence=float(np.linalg.norm(new.astype(np.float64) - before)),
        gradient_norm=float(np.linalg.norm(step)),
        survivors_weight=survivors_weight,
        metrics={
            name: float(min(1.0, max(0.0, mean[len(step) + place] / unit)))
            for place, name in enumerate(names)
        },
    )
