# SPDX-License-Identifier: Apache-2.0
"""Flower's aggregation strategies over arrays in memory, for benchmarks/aggregators.py.

Flower's own code runs: ``aggregate_train`` of its current strategies (``FedAvg``,
``FedMedian``, ``FedTrimmedAvg``, ``Krum``, ``MultiKrum``), from checking reply messages
to the aggregated record, and ``select_multikrum`` for the pick alone.

Not counted, on its side: turning received bytes into arrays. Its ``Array`` holds bytes
and decodes them on every call of ``numpy()``; here that call returns the row of the
input matrix itself, without a copy, so that both sides start from the same numbers.

This module imports flwr; only benchmarks/aggregators.py imports this module.

Source: flwr 1.41, ``serverapp/strategy``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import (
    FedAvg,
    FedMedian,
    FedTrimmedAvg,
    Krum,
    MultiKrum,
)
from flwr.serverapp.strategy.multikrum import select_multikrum
from flwr.supercore.task_identity import TaskIdentity

logging.getLogger("flwr").setLevel(logging.ERROR)

Matrix = npt.NDArray[np.float32]


class _Held(Array):  # type: ignore[misc] # flwr's class, untyped here
    """An ``Array`` that is the row itself."""

    def __init__(self, row: npt.NDArray[np.float32]) -> None:
        super().__init__(
            dtype="float32", shape=row.shape, stype="numpy.ndarray", data=b""
        )
        self._row = row

    def numpy(self) -> npt.NDArray[np.float32]:
        return self._row


def aggregation(
    rule: str, updates: Matrix, *, trim_fraction: float, byzantine: int, selected: int
) -> Callable[[], ArrayRecord]:
    """Return a call that aggregates the updates once; the messages are made before.

    Args:
        rule: ``mean``, ``median``, ``trimmed_mean``, ``krum`` or ``multi_krum``.
        updates: (n, d) float32.
        trim_fraction: as Flower's ``beta``.
        byzantine: as Flower's ``num_malicious_nodes``.
        selected: as Flower's ``num_nodes_to_select``.
    """
    strategies: dict[str, Callable[[], FedAvg]] = {
        "mean": FedAvg,
        "median": FedMedian,
        "trimmed_mean": lambda: FedTrimmedAvg(beta=trim_fraction),
        "krum": lambda: Krum(num_malicious_nodes=byzantine),
        "multi_krum": lambda: MultiKrum(
            num_malicious_nodes=byzantine, num_nodes_to_select=selected
        ),
    }
    strategy = strategies[rule]()
    # Flower's messages ask which process they are made in.
    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
    messages = [
        Message(content, dst_node_id=node, message_type="train")
        for node, content in enumerate(_contents(updates), start=1)
    ]

    def call() -> ArrayRecord:
        arrays, _ = strategy.aggregate_train(1, messages)
        if arrays is None:
            raise RuntimeError("flwr aggregated nothing")
        return arrays

    return call


def pick(updates: Matrix, *, byzantine: int) -> int:
    """Return the row that Flower's Krum takes.

    Args:
        updates: (n, d) float32.
        byzantine: as Flower's ``num_malicious_nodes``.
    """
    contents = _contents(updates)
    (chosen,) = select_multikrum(contents, byzantine, 1)
    return next(row for row, content in enumerate(contents) if content is chosen)


def result_of(record: ArrayRecord) -> npt.NDArray[np.float32]:
    """Return the array in an aggregated record: (d,) float32."""
    (result,) = record.to_numpy_ndarrays()
    return np.asarray(result)


def _contents(updates: Matrix) -> list[RecordDict]:
    contents = []
    for row in updates:
        arrays = ArrayRecord()
        arrays["update"] = _Held(row)  # its constructor would copy the row's bytes
        metrics = MetricRecord({"num-examples": 1})
        contents.append(RecordDict({"arrays": arrays, "metrics": metrics}))
    return contents
