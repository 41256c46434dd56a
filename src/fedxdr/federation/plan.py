# SPDX-License-Identifier: Apache-2.0
"""The signed plan of a run: what every party must agree on, and what it may not say.

A plan is not configuration. It is an entry of the ledger, every message of a round
carries its digest, and an organisation sits out a round whose plan it does not know.
This module is the one place that refuses a combination that cannot work, or that would
claim a protection it does not give. The local floor, which no plan can lower, is in
floor.py.

Not here: how a plan is approved (ledger), what a method computes (aggregation).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from fedxdr.aggregation.catalogue import Needs, Rule, find
from fedxdr.core.canonical import fingerprint
from fedxdr.core.errors import InvalidPlan, MalformedMessage
from fedxdr.core.ids import Digest, OrgId
from fedxdr.core.layout import Layout
from fedxdr.federation.protection import NO_PRIVACY, Privacy
from fedxdr.models.context import context_of
from fedxdr.privacy.organisation import share_std, wrap_probability
from fedxdr.secagg.committee_stages import MIN_HELPERS
from fedxdr.secagg.quantise import scale_of

CollectionMode = Literal["secagg", "committee", "paillier", "clear"]
Task = Literal["statistics", "training"]

MODES: tuple[CollectionMode, ...] = ("secagg", "committee", "paillier", "clear")
MODES_THAT_SHOW_UPDATES: tuple[CollectionMode, ...] = ("clear",)
MODES_THAT_SUM_INTEGERS: tuple[CollectionMode, ...] = ("secagg", "committee")
MODES_WITHOUT_WEIGHTS: tuple[CollectionMode, ...] = ("committee", "paillier")
"""Nobody knows the others' buckets before its one upload."""

SPARSIFICATIONS = ("none", "common-mask", "top-k")
SEGMENTS: dict[Task, str] = {"statistics": "statistics.", "training": "weights."}
MINIMUM_SURVIVORS = 3
RING_BITS = 32
MOST_WRAPPING = 1e-9
"""Largest chance that noise carries a round's sum out of the ring."""
MOST_PARTICIPANTS = 100
"""One block names every organisation of a round seven times, in 65,535 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How every organisation fits locally.

    Attributes:
        local_epochs: passes over the local sample per round, >= 1.
        batch_size: examples per step, >= 1.
        learning_rate: > 0.
        proximal_mu: weight of the FedProx term, >= 0 (Li et al. 2020, eq. 2).
        examples_per_epoch: most examples that one epoch goes through, >= 1.
        examples_per_attack: most examples per labelled attack in an epoch, so that an
            organisation with a quiet past takes few steps; 0 for no such bound.
        seed: public seed of initialisation and sampling, >= 0.
    """

    local_epochs: int = 1
    batch_size: int = 256
    learning_rate: float = 0.002
    proximal_mu: float = 0.01
    examples_per_epoch: int = 10_240
    examples_per_attack: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.local_epochs < 1 or self.batch_size < 1 or self.seed < 0:
            raise InvalidPlan("local_epochs and batch_size are at least 1, seed 0")
        if not 0 < self.learning_rate < math.inf or not (
            0 <= self.proximal_mu < math.inf
        ):
            raise InvalidPlan("learning_rate is above 0, proximal_mu 0 or more")
        if self.examples_per_epoch < 1 or self.examples_per_attack < 0:
            raise InvalidPlan("examples_per_epoch is 1 or more, per attack 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds after which a phase closes with those who are there.

    Attributes:
        keys_s: for round keys.
        shares_s: for sealed shares.
        contributions_s: for local training and the masked vector.
        survivors_s: for signatures over the survivor set.
        unmasking_s: for the answers that open the sum.
    """

    keys_s: float = 30.0
    shares_s: float = 30.0
    contributions_s: float = 600.0
    survivors_s: float = 30.0
    unmasking_s: float = 30.0

    def __post_init__(self) -> None:
        values = (
            self.keys_s,
            self.shares_s,
            self.contributions_s,
            self.survivors_s,
            self.unmasking_s,
        )
        if not all(0 < value < 86_400 for value in values):
            raise InvalidPlan("a deadline lies between 0 and 86,400 seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run's agreement.

    Attributes:
        federation: the federation's name.
        run_id: name of the run.
        collection_mode: ``secagg``, ``committee``, ``paillier`` (each opens one sum)
            or ``clear``.
        aggregation_method: ``FedAvg``, ``FedProx`` or ``RobustAggregator``.
        robust_method: which rule ``RobustAggregator`` is; None for the others.
        trim_fraction: share trimmed per side (trimmed mean), else 0.
        byzantine: assumed Byzantine organisations (Krum, multi-Krum), else 0.
        selected: how many updates multi-Krum averages, else 0.
        participants: n, how many organisations a round's cohort has.
        threshold: t, shares that open a secret and signatures that a set needs.
        min_survivors: fewest updates in a sum.
        assumed_colluders: organisations that may work with the orchestrator.
        layout: segments of the model's flat vector.
        architecture: names and numbers from which the model is built.
        clip_norm: L2 bound C of an update, > 0.
        statistics_bound: bound of each feature statistic's absolute value, > 0.
        quantisation_bits: signed bits of the opened sum, 8 to 31.
        max_weight_exponent: largest power-of-two bucket of a sample count, 0 to 30.
        weight_cap_over_median: cap of a weight over the lower median, >= 1.
        privacy: what is promised about differential privacy, and by which mechanism.
        helpers: organisations that hold seeds in mode ``committee``, in order of name.
        paillier_key: fingerprint of the key that mode ``paillier`` encrypts under.
        sparsification: ``none``; ``common-mask``: a random part of the coordinates,
            the same for all; ``top-k``: each organisation's largest (where updates are
            shown anyhow).
        kept_fraction: part of the coordinates that travels, (0, 1]; 1 without.
        training: local fit.
        deadlines: of the phases.
        max_message_bytes: of one message.
        acknowledge_clear: must be true in mode ``clear``.
        max_failure_rate: share of the announced cohort that may be missing, [0, 1).
    """

    federation: str
    run_id: str
    participants: int
    threshold: int
    layout: Layout
    architecture: dict[str, int | float | str]
    collection_mode: str = "secagg"
    aggregation_method: str = "FedProx"
    robust_method: str | None = None
    trim_fraction: float = 0.0
    byzantine: int = 0
    selected: int = 0
    min_survivors: int = MINIMUM_SURVIVORS
    assumed_colluders: int = 0
    clip_norm: float = 10.0
    statistics_bound: float = 32.0
    quantisation_bits: int = 24
    max_weight_exponent: int = 16
    weight_cap_over_median: int = 2
    privacy: Privacy = NO_PRIVACY
    helpers: tuple[OrgId, ...] = ()
    paillier_key: str = ""
    sparsification: str = "none"
    kept_fraction: float = 1.0
    training: Training = Training()
    deadlines: Deadlines = Deadlines()
    max_message_bytes: int = 256 * 1024 * 1024
    acknowledge_clear: bool = False
    max_failure_rate: float = 0.34
    version: int = 1

    def __post_init__(self) -> None:
        _check_mode(self)
        _check_layout(self)
        _check_method(self)
        _check_numbers(self)
        _check_privacy(self)
        _check_sparsification(self)
        _check_threshold(self)
        _check_parties(self)

    @property
    def digest(self) -> Digest:
        """SHA-256 over the plan's canonical form; every message carries it."""
        return fingerprint("fedxdr/plan/v1", self)

    @property
    def rule(self) -> Rule:
        """The aggregation rule with its parameters.

        Raises:
            InvalidPlan: an unknown name, or parameters that are not the rule's.
        """
        return find(
            self.aggregation_method,
            self.robust_method,
            trim_fraction=self.trim_fraction,
            byzantine=self.byzantine,
            selected=self.selected,
        )

    @property
    def privacy_mechanism(self) -> str:
        """Name of the mechanism, ``none`` without."""
        return self.privacy.mechanism

    def bound(self, task: Task) -> float:
        """Return the largest absolute value a contributed number may have."""
        return self.clip_norm if task == "training" else self.statistics_bound


def default_threshold(participants: int) -> int:
    """Return the smallest t > 2n/3: ``floor(2n/3) + 1``.

    With n = 3 that is 3: nobody may drop out and no liar is tolerated.
    """
    return 2 * participants // 3 + 1


def _check_mode(plan: Plan) -> None:
    if plan.version != 1:
        raise InvalidPlan(f"plan version {plan.version}: this program knows 1")
    if plan.collection_mode not in MODES:
        raise InvalidPlan(
            f"collection mode {plan.collection_mode!r}: use one of {', '.join(MODES)}"
        )
    if plan.collection_mode == "clear" and not plan.acknowledge_clear:
        raise InvalidPlan(
            "mode clear shows every update to the orchestrator: set acknowledge_clear "
            "to true if that is what all organisations want"
        )


def _check_layout(plan: Plan) -> None:
    for task, prefix in SEGMENTS.items():
        try:
            plan.layout.span(prefix)
        except MalformedMessage as error:
            raise InvalidPlan(f"no {task} round with this layout: {error}") from error


def _check_method(plan: Plan) -> None:
    rule = plan.rule
    if rule.needs is Needs.SUM:
        return
    if plan.collection_mode not in MODES_THAT_SHOW_UPDATES:
        raise InvalidPlan(
            f"{rule.name} has to look at single updates, which mode "
            f"{plan.collection_mode} hides; modes that allow it: "
            f"{', '.join(MODES_THAT_SHOW_UPDATES)}"
        )
    rule.check(participants=plan.min_survivors)


def _check_numbers(plan: Plan) -> None:
    if not 1 <= plan.participants <= MOST_PARTICIPANTS:
        raise InvalidPlan(f"participants: 1 to {MOST_PARTICIPANTS}")
    floor = max(MINIMUM_SURVIVORS, plan.assumed_colluders + 2)
    if plan.assumed_colluders < 0 or plan.min_survivors < floor:
        raise InvalidPlan(
            f"min_survivors {plan.min_survivors}: at least {floor} = "
            "max(3, assumed_colluders + 2)"
        )
    if plan.min_survivors > plan.participants:
        raise InvalidPlan(
            f"min_survivors {plan.min_survivors} of {plan.participants} participants"
        )
    for name in ("clip_norm", "statistics_bound"):
        if not 0 < getattr(plan, name) < math.inf:
            raise InvalidPlan(f"{name} is a number above 0")
    if not 8 <= plan.quantisation_bits < RING_BITS:
        raise InvalidPlan("quantisation_bits: 8 to 31")
    if not 0 <= plan.max_weight_exponent <= 30 or plan.weight_cap_over_median < 1:
        raise InvalidPlan("max_weight_exponent: 0 to 30, weight_cap_over_median: >= 1")
    if not 0 <= plan.max_failure_rate < 1:
        raise InvalidPlan("max_failure_rate: 0 to below 1")
    if plan.max_message_bytes < 4 * plan.layout.size + 65_536:
        raise InvalidPlan("max_message_bytes is too small for one contribution")
    if not 1 <= plan.threshold <= plan.participants:
        raise InvalidPlan(f"threshold: 1 to {plan.participants}")


def _check_privacy(plan: Plan) -> None:
    """Refuse a promise that something else in the plan would break."""
    privacy = plan.privacy
    if not privacy.is_on:
        return
    if plan.max_weight_exponent:
        raise InvalidPlan(
            "a sample count is data too: with a privacy mechanism every organisation "
            "weighs the same; set max_weight_exponent to 0"
        )
    if privacy.mechanism == "discrete-gaussian":
        if plan.collection_mode not in MODES_THAT_SUM_INTEGERS:
            raise InvalidPlan(
                f"noise is shared inside a sum; mode {plan.collection_mode} shows "
                "single updates, each with too little of it"
            )
        _check_room(plan)
        return
    _check_context(plan)


def _check_room(plan: Plan) -> None:
    """Refuse sums that the noise could carry out of the ring."""
    begin, end = plan.layout.span(SEGMENTS["training"])
    bits, shares = plan.quantisation_bits, plan.participants
    scale = scale_of(bound=plan.clip_norm, bits=bits, participants=shares)
    std = share_std(
        noise_multiplier=plan.privacy.noise_multiplier,
        clip_steps=scale * plan.clip_norm / shares,
        dimension=end - begin,
        min_survivors=plan.min_survivors,
        colluders=plan.assumed_colluders,
    )
    chance = wrap_probability(
        share_std_steps=std,
        shares=shares,
        largest_sum_steps=1 << (bits - 1),
        bits=RING_BITS,
        dimension=end - begin,
    )
    if chance > MOST_WRAPPING:
        raise InvalidPlan(
            f"with {bits} bits the noise can carry a sum out of its ring (chance "
            f"{chance:.1e}): use fewer quantisation_bits"
        )


def _check_context(plan: Plan) -> None:
    """Refuse a feature set whose context is not the one that is charged for."""
    privacy, name = plan.privacy, plan.architecture.get("features")
    context = context_of(str(name))
    if context.reach is None:
        raise InvalidPlan(
            f"feature set {name!r} counts over all history or over time: one event "
            "then touches every later example, and no noise can hide it; use a "
            f"feature set with a bounded past for unit {privacy.unit}"
        )
    if privacy.window_s:
        return
    if (privacy.context, privacy.index_keys) != (context.reach, context.index_keys):
        raise InvalidPlan(
            f"feature set {name!r} looks {context.reach} events back by "
            f"{context.index_keys} keys; the plan charges for {privacy.context} by "
            f"{privacy.index_keys}"
        )


def _check_sparsification(plan: Plan) -> None:
    if plan.sparsification not in SPARSIFICATIONS:
        raise InvalidPlan(
            f"sparsification {plan.sparsification!r}: use one of "
            f"{', '.join(SPARSIFICATIONS)}"
        )
    is_dense = plan.sparsification == "none"
    if not 0 < plan.kept_fraction <= 1 or is_dense != (plan.kept_fraction == 1):
        raise InvalidPlan("kept_fraction: below 1 with a sparsification, and 1 without")
    if (
        plan.sparsification == "top-k"
        and plan.collection_mode not in MODES_THAT_SHOW_UPDATES
    ):
        raise InvalidPlan(
            "top-k lets each organisation choose its own coordinates: under masks, one "
            "that a single organisation chose would be opened as that organisation's "
            "own value; use common-mask"
        )


def _check_parties(plan: Plan) -> None:
    """Refuse helpers and keys that are missing, or of another mode."""
    mode = plan.collection_mode
    if mode in MODES_WITHOUT_WEIGHTS and plan.max_weight_exponent:
        raise InvalidPlan(
            f"in mode {mode} nobody knows the others' sample counts before its one "
            "upload: all weigh the same; set max_weight_exponent to 0"
        )
    if (mode == "committee") != bool(plan.helpers):
        raise InvalidPlan("helpers go with mode committee: name two or more, by name")
    if plan.helpers and (
        len(plan.helpers) < MIN_HELPERS
        or list(plan.helpers) != sorted(set(plan.helpers))
    ):
        raise InvalidPlan(
            f"helpers: {MIN_HELPERS} or more, each once, in order of name; one alone "
            "would see every update"
        )
    if plan.helpers and len(plan.helpers) <= plan.assumed_colluders:
        raise InvalidPlan(
            f"{plan.assumed_colluders} colluders may be all {len(plan.helpers)} "
            "helpers: name more helpers than colluders"
        )
    if (mode == "paillier") != bool(plan.paillier_key):
        raise InvalidPlan(
            "paillier_key goes with mode paillier: the fingerprint of the key that "
            "`fedxdr keys ceremony` has made for this run"
        )


def _check_threshold(plan: Plan) -> None:
    n, t = plan.participants, plan.threshold
    if plan.collection_mode == "clear":
        return
    if plan.collection_mode == "committee":
        if 2 * t <= n:
            raise InvalidPlan(f"threshold {t} of {n}: more than half must accept")
        return
    if 3 * t <= 2 * n:
        raise InvalidPlan(
            f"threshold {t} of {n}: t > 2n/3, at least {default_threshold(n)}"
        )
    if plan.assumed_colluders >= 2 * t - n:
        raise InvalidPlan(
            f"{plan.assumed_colluders} colluders: fewer than 2t - n = {2 * t - n} "
            "can be borne with this threshold"
        )
