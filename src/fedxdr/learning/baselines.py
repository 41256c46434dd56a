# SPDX-License-Identifier: Apache-2.0
"""Detectors to beat, from scikit-learn: isolation forest and gradient boosting.

Both read the very features the network reads. They are printed beside it always: on
tables a boosted forest is hard to beat, and who evaluates should see it.

It does NOT make a model that could be shared: these live for one evaluation.

Sources: Liu et al. 2008 (isolation forest); histogram gradient boosting as in
scikit-learn's ``HistGradientBoostingClassifier`` with 60 trees.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from fedxdr.core.errors import InvalidSettings
from fedxdr.models.graph import Floats, Integers

_TREES: Final = 60
_ISOLATION_TREES: Final = 100


def gradient_boosting(
    features: Floats, family: Integers, *, asked: Floats, seed: int
) -> Floats:
    """Return scores of a boosted forest, fitted on labelled rows.

    Args:
        features: (n, D) float32.
        family: (n,), 0 benign.
        asked: (q, D) float32.
        seed: of the forest.

    Returns:
        (q,) float32, the probability of an attack; all 0 where the rows hold only one
        class, because then there is nothing to tell apart.
    """
    truth = (family != 0).astype(np.int8)
    if truth.min(initial=1) == truth.max(initial=0):
        return np.zeros(len(asked), np.float32)
    ensemble, limits = _scikit_learn()
    with limits(limits=1):
        model = ensemble.HistGradientBoostingClassifier(
            max_iter=_TREES, random_state=seed
        ).fit(features, truth)
        found = model.predict_proba(asked)[:, 1]
    return np.asarray(found, np.float32)


def isolation_forest(features: Floats, *, asked: Floats, seed: int) -> Floats:
    """Return anomaly scores of a forest fitted without labels.

    Args:
        features: (n, D) float32, the organisation's own past.
        asked: (q, D) float32.
        seed: of the forest.

    Returns:
        (q,) float32, higher is stranger.
    """
    ensemble, limits = _scikit_learn()
    with limits(limits=1):
        model = ensemble.IsolationForest(
            n_estimators=_ISOLATION_TREES, random_state=seed
        ).fit(features)
        found = -model.score_samples(asked)
    return np.asarray(found, np.float32)


def _scikit_learn() -> tuple[Any, Any]:
    try:
        from sklearn import ensemble  # noqa: PLC0415 - extra "evaluate"
        from threadpoolctl import (  # type: ignore[import-untyped] # noqa: PLC0415 - comes with scikit-learn
            threadpool_limits,
        )
    except ImportError as error:
        raise InvalidSettings(
            "this comparison needs scikit-learn: pip install 'fedxdr[evaluate]', or "
            "leave the method out with --compare"
        ) from error
    return ensemble, threadpool_limits
