# SPDX-License-Identifier: Apache-2.0
"""One round of Flower's SecAgg+ in one process, for benchmarks/secagg.py.

Flower's own code runs: its client mod (``secaggplus_mod``) for every client and its
workflow (``SecAggPlusWorkflow``) for the server, through all four stages, with a grid
that hands messages over in memory. Settings are the kindest to it: a graph of the
degree of ours, the same threshold, the clipping range at the clip norm, equal weights
at ``max_weight`` (its most exact setting), the rest at its defaults.

Not counted, on its side: training (``call_next``), copying messages from one party to
the other, the strategy (``configure_fit``, ``aggregate_fit``), and model distribution.
Counted: everything else that its mod and its workflow do.

This module imports flwr; only benchmarks/secagg.py imports this module.

Source: flwr 1.41, ``client/mod/secure_aggregation`` and
``server/workflow/secure_aggregation``.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import (
    Code,
    FitIns,
    FitRes,
    Parameters,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.compat.common import recorddict_compat
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import (
    MAIN_CONFIGS_RECORD,
    MAIN_PARAMS_RECORD,
    Key,
)
from flwr.supercore.task_identity import TaskIdentity

_MAX_WEIGHT = 1000
_VECTORS_STAGE = 3


class _Proxy:
    """Stands for a client at the server; Flower asks it for its number only."""

    def __init__(self, node_id: int) -> None:
        self.node_id = node_id
        self.cid = str(node_id)


class _Strategy:
    """Picks every client and keeps the sum that SecAgg+ hands it, at no cost."""

    def __init__(self, nodes: Iterable[int]) -> None:
        self._proxies = [_Proxy(node) for node in nodes]
        self.opened: Parameters | None = None

    def configure_fit(self, *_: object) -> list[tuple[_Proxy, FitIns]]:
        """Return every client, with an empty model."""
        empty = Parameters(tensors=[], tensor_type="numpy.ndarray")
        return [(proxy, FitIns(empty, {})) for proxy in self._proxies]

    def aggregate_fit(
        self, _: int, results: list[tuple[_Proxy, FitRes]], __: object
    ) -> tuple[None, dict[str, bool]]:
        """Keep the opened mean, which stands in every result."""
        self.opened = results[0][1].parameters
        return None, {}


class _Clients:
    """A number of clients.

    Attributes:
        available: asked for in a log line.
    """

    def __init__(self, count: int) -> None:
        self._count = count

    def num_available(self) -> int:
        """Return how many clients there are."""
        return self._count


class _Grid:
    """Hands messages to the clients' mods and times what those do.

    Attributes:
        client_cpu_s: CPU seconds inside the mods, training excepted.
        elsewhere_cpu_s: CPU seconds spent here that are neither client's nor server's.
    """

    def __init__(
        self, updates: Mapping[int, npt.NDArray[np.float32]], dropouts: frozenset[int]
    ) -> None:
        self._updates = updates
        self._dropouts = dropouts
        self._contexts = {
            node: Context(
                run_id=1,
                node_id=node,
                node_config={},
                state=RecordDict(),
                run_config={},
            )
            for node in updates
        }
        self._stage = 0
        self.client_cpu_s = 0.0
        self.elsewhere_cpu_s = 0.0

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Answer every message; drop-outs are silent from the third stage on."""
        del timeout
        begin = time.process_time()
        client_before = self.client_cpu_s
        self._stage += 1
        replies = []
        for message in messages:
            node = message.metadata.dst_node_id
            if self._stage >= _VECTORS_STAGE and node in self._dropouts:
                replies.append(Message(Error(code=1), reply_to=message))
            else:
                replies.append(self._answer(node, message))
        spent = time.process_time() - begin
        self.elsewhere_cpu_s += spent - (self.client_cpu_s - client_before)
        return replies

    def _answer(self, node: int, message: Message) -> Message:
        # In a deployment every client has a message of its own; its mod changes it.
        configs = {
            key: ConfigRecord(dict(record))
            for key, record in message.content.config_records.items()
        }
        own = Message(
            RecordDict({**message.content, **configs}),
            metadata=copy.copy(message.metadata),
        )
        trained: Message | None = None
        if self._stage == _VECTORS_STAGE:
            result = FitRes(
                Status(Code.OK, ""),
                ndarrays_to_parameters([self._updates[node]]),
                _MAX_WEIGHT,
                {},
            )
            trained = Message(
                recorddict_compat.fitres_to_recorddict(result, keep_input=False),
                reply_to=own,
            )
        begin = time.process_time()
        reply = secaggplus_mod(
            own,
            self._contexts[node],
            lambda *_: trained,  # type: ignore[arg-type, return-value]
        )
        self.client_cpu_s += time.process_time() - begin
        return reply


def play(
    updates: Mapping[int, npt.NDArray[np.float32]],
    *,
    dropouts: frozenset[int],
    threshold: int,
    shares: int | None,
    clip_norm: float,
    measured: Callable[[], Any],
) -> tuple[float, float, npt.NDArray[np.float64]]:
    """Play one round.

    Args:
        updates: (d,) float32 by client number, 1 to n.
        dropouts: who falls silent after its shares.
        threshold: shares that give a secret.
        shares: how many of each secret there are, its graph's degree and one; None for
            a complete graph.
        clip_norm: Flower's clipping range.
        measured: context manager around the whole round.

    Returns:
        CPU seconds of all clients, of the server, and the opened mean, (d,) float64.
    """
    logging.getLogger("flwr").setLevel(logging.ERROR)
    # What Flower's runtime sets before it starts an app.
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1
    grid = _Grid(updates, dropouts)
    strategy = _Strategy(updates)
    state = RecordDict()
    state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord({Key.CURRENT_ROUND: 1})
    empty = Parameters(tensors=[], tensor_type="numpy.ndarray")
    state.array_records[MAIN_PARAMS_RECORD] = (
        recorddict_compat.parameters_to_arrayrecord(empty, keep_input=True)
    )
    context = LegacyContext(
        Context(run_id=1, node_id=0, node_config={}, state=state, run_config={}),
        strategy=strategy,  # type: ignore[arg-type]
        client_manager=_Clients(len(updates)),  # type: ignore[arg-type]
    )
    workflow = SecAggPlusWorkflow(
        num_shares=1.0 if shares is None else shares,
        reconstruction_threshold=threshold,
        max_weight=float(_MAX_WEIGHT),
        clipping_range=clip_norm,
    )
    with measured():
        begin = time.process_time()
        workflow(grid, context)  # type: ignore[arg-type]
        total = time.process_time() - begin
    if strategy.opened is None:
        raise RuntimeError("Flower's round did not open a sum")
    server = total - grid.client_cpu_s - grid.elsewhere_cpu_s
    (mean,) = parameters_to_ndarrays(strategy.opened)
    return grid.client_cpu_s, server, mean
