# SPDX-License-Identifier: Apache-2.0
"""What ``agent run --follow`` adds: logs are followed and scored beside the rounds."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import typer

from fedxdr.app.participating import AgentFile
from fedxdr.cli.assessing import instant
from fedxdr.cli.console import OUT
from fedxdr.parties.participant import Participant


class Live(Protocol):
    """Live scoring as the agent's loop sees it (app/live.py, which needs torch)."""

    def follow(self, participant: Participant) -> None:
        """Let the newest model of the federation score."""

    def catch_up(self) -> None:
        """Return once what logs held is stored."""

    def check(self) -> None:
        """Raise what ended a thread, if anything did."""


@contextmanager
def watching(
    folder: Path,
    sources: Sequence[str],
    *,
    sinks: Sequence[str],
    budget: float,
    kafka: str | None,
    topics: Sequence[str],
    until: str | None,
) -> Iterator[Live]:
    """Follow and score logs while the block runs; SIGTERM ends it in order.

    Args:
        folder: the organisation's.
        sources: files, folders and glob patterns.
        sinks: URLs.
        budget: share of benign events that may alarm.
        kafka: servers of a broker, None for none.
        topics: of it.
        until: RFC 3339 time where the past ends, None: what is there now is past.

    Raises:
        InvalidSettings: an option that is wrong.
        Unavailable: another process does so on this folder.
    """
    from fedxdr.app.live import Watch, living  # noqa: PLC0415 - imports torch

    watch = Watch(
        sources=tuple(sources),
        servers=kafka or "",
        topics=tuple(topics),
        sinks=tuple(sinks),
        budget=budget,
        until_ns=None if until is None else int(instant(until).timestamp() * 1e9),
    )

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    is_up = False
    try:
        with living(folder, watch) as live:
            is_up = True
            org = AgentFile.read(folder).org
            OUT.print(f"{org}: follows its logs", highlight=False)
            yield live
    except KeyboardInterrupt:
        OUT.print("stopped", highlight=False)
        if not is_up:
            raise typer.Exit from None
    finally:
        signal.signal(signal.SIGTERM, before)


def spool_learner(folder: Path, until: str | None) -> Any:  # noqa: ANN401 - needs torch
    """Return what learns from all that is stored when a round asks.

    Args:
        folder: the organisation's.
        until: RFC 3339 time where the past ends, None: all of it is past.
    """
    from fedxdr.app.learners import SpoolLearner  # noqa: PLC0415 - imports torch
    from fedxdr.app.live import SPOOL  # noqa: PLC0415 - the same

    return SpoolLearner(
        folder / SPOOL,
        name=AgentFile.read(folder).org,
        until=None if until is None else instant(until),
    )
