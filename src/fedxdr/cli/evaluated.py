# SPDX-License-Identifier: Apache-2.0
"""What ``fedxdr evaluate`` prints: tables for people, one object for programs.

It does NOT measure (learning/evaluation.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedxdr.cli import protection
from fedxdr.cli.console import OUT, table
from fedxdr.learning import evaluation
from fedxdr.learning.evaluation import MethodResult


def method(result: MethodResult) -> dict[str, Any]:
    """Return one method's figures as the object has them."""
    return {
        "mean": result.mean,
        "interval": {
            name: None if pair is None else list(pair)
            for name, pair in result.interval.items()
        },
        "organisations": {
            name: {
                **item.figures,
                "families": item.families,
                "earlier_victims": item.earlier_victims,
                "is_counted": item.is_counted,
            }
            for name, item in result.organisations.items()
        },
    }


def difference(results: Mapping[str, MethodResult]) -> float | None:
    """Return the largest difference of the mean figures with and without masks."""
    if not {"federated", "federated-clear"} <= results.keys():
        return None
    return evaluation.largest_difference(
        results["federated"].mean, results["federated-clear"].mean
    )


def show(report: Mapping[str, Any], results: Mapping[str, MethodResult]) -> None:
    """Print tables: means of every method, and each organisation's recall."""
    columns = (
        ("recall at 1 % false alarms", "recall_at_1pct_fpr"),
        ("by attack family", "family_recall"),
        ("families new here", "unseen_family_recall"),
        ("recall, own threshold", "recall_at_own_threshold"),
        ("false alarms there", "false_alarm_rate_at_own_threshold"),
        ("AUC", "auc"),
    )
    table(
        f"Mean over organisations and {report['seeds']} seeds",
        ["method", *(title for title, _ in columns)],
        [
            [name, *(_number(result.mean[figure]) for _, figure in columns)]
            for name, result in results.items()
        ],
    )
    table(
        "Recall at 1 % false alarms, by organisation",
        ["organisation", "earlier victims", *results],
        [
            [
                name if item.is_counted else f"{name} (not in the mean)",
                str(item.earlier_victims),
                *(
                    _number(result.organisations[name].figures["recall_at_1pct_fpr"])
                    for result in results.values()
                ),
            ]
            for name, item in next(iter(results.values())).organisations.items()
        ],
    )
    if report["masking_difference"] is not None:
        OUT.print(
            "Largest difference of any mean with and without masking: "
            f"{report['masking_difference']:.5f}"
        )
    if report["privacy"] is not None:
        OUT.print(protection.sentence(report["privacy"]))
    OUT.print(
        f"{report['seconds']:g} s; {report['events_per_second']:,} events per second "
        "from columns to scores on one thread"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
