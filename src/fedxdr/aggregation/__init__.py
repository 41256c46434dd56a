# SPDX-License-Identifier: Apache-2.0
"""Many updates to one: means, robust rules, screening, and the catalogue of names.

Each aggregator is a function of arrays, ``(n, d) float32 -> (d,) float32``.
"""

from fedxdr.aggregation.catalogue import (
    CATALOGUE,
    Entry,
    Method,
    Needs,
    RobustMethod,
    Rule,
    aggregate,
    find,
)
from fedxdr.aggregation.krum import krum, krum_selection, multi_krum
from fedxdr.aggregation.mean import weighted_mean
from fedxdr.aggregation.median import median
from fedxdr.aggregation.screening import (
    Finding,
    Reason,
    Verdict,
    capped_samples,
    screen,
)
from fedxdr.aggregation.trimmed import trim_count, trimmed_mean

__all__ = [
    "CATALOGUE",
    "Entry",
    "Finding",
    "Method",
    "Needs",
    "Reason",
    "RobustMethod",
    "Rule",
    "Verdict",
    "aggregate",
    "capped_samples",
    "find",
    "krum",
    "krum_selection",
    "median",
    "multi_krum",
    "screen",
    "trim_count",
    "trimmed_mean",
    "weighted_mean",
]
