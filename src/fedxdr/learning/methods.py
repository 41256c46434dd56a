# SPDX-License-Identifier: Apache-2.0
"""The ways an organisation can get a detector, each as one function of a situation.

Alone (``local``, ``isolation-forest``, ``local-gradient-boosting``, ``prefilter``),
together without showing anything (``federated``, and ``federated-gated``, which mixes
it with what is known alone), and with all data in one place, which nobody would agree
to (``pooled``, ``pooled-gradient-boosting``).

Rules that always hold:
    1. A method sees the situation's past and the features of the test rows, never
       their labels.
    2. ``local``, ``federated`` and ``pooled`` are one network with the same first
       weights and, without differential privacy, the same steps per round.
    3. Own thresholds are put on benign rows of the own past that nothing was fitted to;
       under differential privacy on all benign ones, because all are fitted to there,
       and what one of them can have moved is bounded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from fedxdr.core.errors import (
    InvalidPlan,
    TooFewParticipants,
)
from fedxdr.core.ids import OrgId, org_id
from fedxdr.core.layout import Vector
from fedxdr.core.randomness import SeededEntropy
from fedxdr.federation.plan import MINIMUM_SURVIVORS, Training
from fedxdr.federation.protection import NO_PRIVACY, Privacy
from fedxdr.learning import baselines, fit, own_past
from fedxdr.learning.calibration import FEWEST, Calibration
from fedxdr.learning.dataset import Part, Situation
from fedxdr.learning.features import FeatureSet
from fedxdr.learning.federate import Federate, Silent, in_the_clear, plan_fields
from fedxdr.learning.gate import FEDERATED, FEWEST_ATTACKS, LOCAL, PREFILTER, Gate
from fedxdr.learning.own_past import Scored
from fedxdr.learning.statistics import statistics
from fedxdr.learning.trainer import Trainer
from fedxdr.models.architecture import Architecture
from fedxdr.models.context import context_of
from fedxdr.models.graph import Floats, Integers
from fedxdr.models.prefilter import Prefilter
from fedxdr.parties.ports import Learner
from fedxdr.privacy.calibration import noise_multiplier_for
from fedxdr.privacy.mechanism import occurrences_of

ROUNDS: Final = 12
"""Training rounds unless said otherwise."""

TRAINING: Final = Training(
    local_epochs=1, batch_size=512, learning_rate=0.006, proximal_mu=0.01
)
"""The local fit of an evaluation.

Rounds and fit were chosen on AIT-ADS by holding one earlier victim out at a time: the
others' rows up to the cut of the seventh organisation train, the victim's rows between
its own cut and that one are scored. The last two organisations' tests had no part in
it.
"""

PRIVATE_ROUNDS: Final = 20
"""Training rounds under differential privacy unless said otherwise."""

PRIVATE_TRAINING: Final = Training(batch_size=256, learning_rate=0.1, proximal_mu=0.0)
"""The noisy steps of an evaluation, chosen in the same way."""

_SAMPLING_RATE: Final = 0.005
_STEPS: Final = 10
_CLIPPING_NORM: Final = 1.0
_CLIP_NORM: Final = 64.0
_QUANTISATION_BITS: Final = 31
_NEIGHBOUR, _MIXER, _EMBEDDING = 8, 16, 64
_BINS: Final = 16
_OF_THE_FIRST: Final = (
    "alerts",
    "traffic",
    "counters",
    "alerts-event",
    "traffic-event",
)
_LEAST: Final = 1e-37
_LEAST_BELOW_ONE: Final = 2.0**-24
_PRIVATE_NEIGHBOUR, _PRIVATE_MIXER, _PRIVATE_EMBEDDING = 4, 8, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all methods share.

    Attributes:
        architecture: of the network.
        training: local fit; its seed is replaced by the run's.
        rounds: training rounds.
        federate: how rounds are run.
        everyone: names of all organisations, also those without data yet.
        privacy: what the federated methods promise; the others show nobody anything.
        private_training: their local fit where they promise something.
        private_rounds: their training rounds then.
    """

    architecture: Architecture
    training: Training
    rounds: int
    federate: Federate
    everyone: tuple[str, ...]
    privacy: Privacy = NO_PRIVACY
    private_training: Training = PRIVATE_TRAINING
    private_rounds: int = PRIVATE_ROUNDS


Method = Callable[[Situation, Setting, int], Scored]


def architecture_for(features: FeatureSet) -> Architecture:
    """Return the network's sizes for an evaluation with a feature set.

    Sets of the first version keep the network of the first version; own columns and
    lifetimes are read as ramps between federated quantiles.
    """
    return features.architecture(
        neighbour=_NEIGHBOUR,
        mixer=_MIXER,
        embedding=_EMBEDDING,
        bins=0 if features.name in _OF_THE_FIRST else _BINS,
    )


def private_architecture_for(features: FeatureSet) -> Architecture:
    """Return a small network's sizes: every number that is trained takes noise."""
    return features.architecture(
        neighbour=_PRIVATE_NEIGHBOUR,
        mixer=_PRIVATE_MIXER,
        embedding=_PRIVATE_EMBEDDING,
    )


def event_privacy(
    features: FeatureSet, *, epsilon: float, delta: float, rounds: int
) -> Privacy:
    """Return a promise for single events with just enough noise.

    Args:
        features: with a bounded past.
        epsilon: for all rounds together, > 0.
        delta: in (0, 1).
        rounds: training rounds, >= 1.

    Raises:
        InvalidPlan: a past without a bound, or a budget that no noise keeps.
    """
    context = context_of(features.name)
    if context.reach is None:
        raise InvalidPlan(f"feature set {features.name!r} has no bounded past")
    noise_multiplier = noise_multiplier_for(
        epsilon=epsilon,
        delta=delta,
        sampling_rate=_SAMPLING_RATE,
        steps=_STEPS * rounds,
        own=1,
        occurrences=occurrences_of(
            context=context.reach, index_keys=context.index_keys
        ),
    )
    return Privacy(
        mechanism="dp-sgd",
        unit="event",
        epsilon=epsilon,
        delta=delta,
        noise_multiplier=noise_multiplier,
        sampling_rate=_SAMPLING_RATE,
        steps=_STEPS,
        clipping_norm=_CLIPPING_NORM,
        own=1,
        context=context.reach,
        index_keys=context.index_keys,
    )


def local(situation: Situation, setting: Setting, seed: int) -> Scored:
    """The network on the organisation's own past alone."""
    if not situation.own.attacks:
        return _nothing(situation)
    own = [own_past.fitted_to(situation)]
    return _network(situation, setting, _one_place(own, setting, seed))


def federated(situation: Situation, setting: Setting, seed: int) -> Scored:
    """The network through the federation's rounds, as protected as asked for."""
    return _together(situation, setting, seed, setting.federate)


def federated_clear(situation: Situation, setting: Setting, seed: int) -> Scored:
    """The same rounds in float64 without any protection, to see what masks cost."""
    return _together(situation, setting, seed, in_the_clear)


def pooled(situation: Situation, setting: Setting, seed: int) -> Scored:
    """The network on everybody's rows in one place."""
    parts = [*situation.others, own_past.fitted_to(situation)]
    return _network(situation, setting, _one_place(parts, setting, seed))


def isolation_forest(situation: Situation, setting: Setting, seed: int) -> Scored:
    """An isolation forest on the organisation's own past."""
    del setting
    asked, rows = own_past.asked(situation)
    features = own_past.fitted_to(situation).features
    found = baselines.isolation_forest(features, asked=asked, seed=seed)
    return own_past.scored(found, rows)


def local_gradient_boosting(
    situation: Situation, setting: Setting, seed: int
) -> Scored:
    """A boosted forest on the organisation's own past."""
    del setting
    return _boosted(situation, [own_past.fitted_to(situation)], seed)


def pooled_gradient_boosting(
    situation: Situation, setting: Setting, seed: int
) -> Scored:
    """A boosted forest on everybody's rows in one place."""
    del setting
    return _boosted(situation, [*situation.others, own_past.fitted_to(situation)], seed)


def prefilter(situation: Situation, setting: Setting, seed: int) -> Scored:
    """The pre-filter over the edges that the organisation sees; it learns nothing.

    Without a stream of edges it sees nothing: all rows are alike to it.
    """
    del setting
    own, test = situation.own, situation.test
    if test.stream is None or test.place is None or own.place is None:
        return _nothing(situation)
    edges = test.stream
    burst = Prefilter(seed=seed).push(edges.time_ns, edges.source, edges.destination)
    # chi-squared over many magnitudes: its logarithm has a tail that can be fitted
    scores = np.log1p(burst.max(axis=1)).astype(np.float32)
    rows = np.flatnonzero(own.family == fit.BENIGN)
    return Scored(
        test=scores[test.place], benign_past=scores[own.place[rows]], rows=rows
    )


def federated_gated(situation: Situation, setting: Setting, seed: int) -> Scored:
    """The federation's network, one of the own past alone and the pre-filter, gated.

    The gate chooses on the end of the own past, with candidates that were fitted before
    it; what it chose is then fitted on the whole past.
    """
    gate = _gate(situation, setting, seed)
    found = {name: _CANDIDATES[name](situation, setting, seed) for name in gate.weights}
    if len(found) == 1:
        return next(iter(found.values()))
    known = [one.rows for one in found.values() if one.rows is not None]
    rows = functools.reduce(np.intersect1d, known)
    past = {
        name: one.benign_past[np.searchsorted(one.rows, rows)]
        for name, one in found.items()
        if one.rows is not None
    }
    gate = gate.rescaled(past)
    mixed = gate.combine({name: one.test for name, one in found.items()})
    return Scored(
        test=mixed.astype(np.float32),
        benign_past=gate.combine(past).astype(np.float32),
        rows=rows,
    )


_CANDIDATES: Final[Mapping[str, Method]] = {
    FEDERATED: federated,
    LOCAL: local,
    PREFILTER: prefilter,
}

METHODS: Final[Mapping[str, Method]] = {
    "local": local,
    "prefilter": prefilter,
    "federated": federated,
    "federated-gated": federated_gated,
    "federated-clear": federated_clear,
    "pooled": pooled,
    "isolation-forest": isolation_forest,
    "local-gradient-boosting": local_gradient_boosting,
    "pooled-gradient-boosting": pooled_gradient_boosting,
}
"""Every method by its name on the command line."""


def _together(
    situation: Situation, setting: Setting, seed: int, federate: Federate
) -> Scored:
    architecture = setting.architecture
    learners: dict[OrgId, Learner] = {
        org_id(part.name): Trainer(
            part.features,
            part.family,
            architecture=architecture,
            name=part.name,
            # an evaluation can be repeated; nothing of it leaves but figures
            entropy=SeededEntropy((seed << 16) + number),
        )
        for number, part in enumerate(situation.parts)
    }
    # a sum needs three members; who has no data yet can still be one of them
    for name in setting.everyone:
        if len(learners) < MINIMUM_SURVIVORS:
            learners.setdefault(org_id(name), Silent(architecture))
    if len(learners) < MINIMUM_SURVIVORS:
        raise TooFewParticipants(
            f"{len(learners)} organisations: a sum that hides each one needs "
            f"{MINIMUM_SURVIVORS}; give more with --org NAME=PATH, or leave out "
            "federated with --compare"
        )
    vector = federate(
        learners,
        plan=_plan(setting, seed),
        initial=architecture.first_vector(seed),
        rounds=setting.private_rounds if setting.privacy.is_on else setting.rounds,
        seed=seed,
    )
    return _network(situation, setting, vector, fits_all=setting.privacy.is_on)


def _plan(setting: Setting, seed: int) -> dict[str, Any]:
    if setting.privacy.is_on:
        return plan_fields(
            setting.architecture,
            training=replace(setting.private_training, seed=seed),
            quantisation_bits=_QUANTISATION_BITS,
            privacy=setting.privacy,
            max_weight_exponent=0,
            # steps on noised gradients go far; the mean over organisations does not
            clip_norm=_CLIP_NORM,
        )
    return plan_fields(
        setting.architecture,
        training=replace(setting.training, seed=seed),
        quantisation_bits=_QUANTISATION_BITS,
    )


def _one_place(parts: list[Part], setting: Setting, seed: int) -> Vector:
    """Return the network fitted on rows that lie in one place, without clipping."""
    features, family = _stacked(parts)
    layout = setting.architecture.layout
    vector = setting.architecture.first_vector(seed)
    begin, end = layout.span("statistics.")
    vector[begin:end] = statistics(features, family, architecture=setting.architecture)
    begin, end = layout.span("weights.")
    for number in range(setting.rounds):
        vector[begin:end] += fit.fit(
            vector,
            architecture=setting.architecture,
            features=features,
            family=family,
            training=setting.training,
            seed=(seed, number),
        )
    return vector


def _boosted(situation: Situation, parts: list[Part], seed: int) -> Scored:
    asked, rows = own_past.asked(situation)
    features, family = _stacked(parts)
    share = baselines.gradient_boosting(features, family, asked=asked, seed=seed)
    # odds, not shares: what lies beyond all rows has room there
    share = np.clip(share, _LEAST, 1 - _LEAST_BELOW_ONE)
    return own_past.scored(np.log(share) - np.log1p(-share), rows)


def _network(
    situation: Situation, setting: Setting, vector: Vector, *, fits_all: bool = False
) -> Scored:
    asked, rows = own_past.asked(situation, fits_all=fits_all)
    found = fit.logits(vector, architecture=setting.architecture, features=asked)
    return own_past.scored(found, rows)


def _nothing(situation: Situation) -> Scored:
    """Return scores of someone who has nothing to learn an attack from: all alike."""
    asked, rows = own_past.asked(situation)
    return own_past.scored(np.zeros(len(asked), np.float32), rows)


def _gate(situation: Situation, setting: Setting, seed: int) -> Gate:
    """Return the gate that the end of the own past speaks for.

    Where nothing can be chosen, nothing is fitted for it.
    """
    only = Gate(weights={FEDERATED: 1.0}, scales={FEDERATED: Calibration.assumed()})
    earlier = own_past.earlier(situation)
    if earlier is None:
        return only
    truth = earlier.test.family != fit.BENIGN
    if truth.sum() < FEWEST_ATTACKS or (~truth).sum() < FEWEST:
        return only
    names = [FEDERATED, LOCAL]
    if earlier.test.stream is not None:
        names.append(PREFILTER)
    scores = {name: _CANDIDATES[name](earlier, setting, seed).test for name in names}
    return Gate.choose(scores, truth)


def _stacked(parts: list[Part]) -> tuple[Floats, Integers]:
    # families of different organisations are kept apart by name only in data sets that
    # share one numbering; sampling needs no more than that
    return (
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.family for part in parts]),
    )
