# SPDX-License-Identifier: Apache-2.0
"""What ``fedxdr evaluate`` tells: tables for people, one object, a report to hand on.

It does NOT measure (learning/evaluation.py) and does not draw (learning/plots.py).
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fedxdr
from fedxdr.cli import protection
from fedxdr.cli.console import OUT, table
from fedxdr.learning import evaluation, report
from fedxdr.learning.evaluation import Gain, MethodResult


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


def gains(found: Mapping[str, Mapping[str, Gain]]) -> dict[str, Any]:
    """Return who learned what from whom as the object has it."""
    return {
        learner: {
            teacher: {"recall_at_1pct_fpr": gain.recall, "families": gain.families}
            for teacher, gain in row.items()
        }
        for learner, row in found.items()
    }


def write(
    folder: Path,
    told: Mapping[str, Any],
    results: Mapping[str, MethodResult],
    found: Mapping[str, Mapping[str, Gain]] | None,
) -> Path:
    """Write the report and return its path.

    Args:
        folder: of the report.
        told: the object.
        results: of each method, with runs.
        found: who learned what from whom, if anybody asked.
    """
    privacy = told["privacy"]
    return report.write(
        folder,
        facts=report.Facts(
            dataset=told["dataset"] or "own telemetry",
            protocol=told["protocol"],
            split=told["split"],
            features=told["features"],
            protect=told["protect"],
            privacy=None if privacy is None else protection.sentence(privacy),
            seeds=told["seeds"],
            rounds=told["rounds"],
            parameters=told["parameters"],
            seconds=told["seconds"],
            command=shlex.join(["fedxdr", *sys.argv[1:]]),
            program=f"fedxdr {fedxdr.__version__}, commit {_commit()}",
        ),
        results=results,
        gains=found,
    )


def _commit() -> str:
    """Return the commit of the tree that this program lies in, if it lies in one."""
    root = Path(fedxdr.__file__).parents[2]
    if not (root / ".git").exists():
        return "unknown"
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 - the user's git
            capture_output=True,
            check=True,
            cwd=root,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def show(told: Mapping[str, Any], results: Mapping[str, MethodResult]) -> None:
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
        f"Mean over organisations and {told['seeds']} seeds",
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
    if told["who_from"] is not None:
        learners = told["who_from"]
        teachers = list(
            dict.fromkeys(name for row in learners.values() for name in row)
        )
        table(
            "Recall at 1 % false alarms gained, by whom (row) from whom (column)",
            ["who learned", *teachers],
            [
                [
                    learner,
                    *(
                        _signed(row[name]["recall_at_1pct_fpr"]) if name in row else ""
                        for name in teachers
                    ),
                ]
                for learner, row in learners.items()
            ],
        )
    if told["masking_difference"] is not None:
        OUT.print(
            "Largest difference of any mean with and without masking: "
            f"{told['masking_difference']:.5f}"
        )
    if told["privacy"] is not None:
        OUT.print(protection.sentence(told["privacy"]))
    OUT.print(
        f"{told['seconds']:g} s; {told['events_per_second']:,} events per second "
        "from columns to scores on one thread"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"
