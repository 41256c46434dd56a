# SPDX-License-Identifier: Apache-2.0
"""The orchestrator's process in a drill: the real server, which can be told to die.

Storage is wrapped by this test program, not by hooks in the product: right before or
after the write that the file ``kill/orchestrator`` names, the process kills itself with
SIGKILL. Every write and every opened sum is noted in ``writes``.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.process.drill_agent import die_if_told, record_heads

from fedxdr.cli import serve
from fedxdr.core import canonical
from fedxdr.federation import opening
from fedxdr.federation.rounds import PhaseClosed, Received
from fedxdr.parties.ports import StoredFact
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.changes import SqlChangeStore
from fedxdr.storage.rounds import SqlFactLog

NAME = "orchestrator"


def point_of(fact: StoredFact) -> str:
    """Return the name of the moment at which a fact is stored."""
    match fact.name:
        case "PhaseClosed":
            return f"{fact.name}/{canonical.decode(fact.body, PhaseClosed).phase}"
        case "Received":
            return f"{fact.name}/{canonical.decode(fact.body, Received).kind}"
        case name:
            return name


def make_mortal(world: Path) -> None:
    """Wrap storage of this process."""
    order, notes = world / "kill" / NAME, world / "writes"

    def note(what: str) -> None:
        with notes.open("a") as log:
            log.write(f"{os.getpid()} {what}\n")

    def wrapped(write, point):
        def mortal(self, *args, **options):
            name = point(*args)
            die_if_told(order, f"{name}:before")
            write(self, *args, **options)
            note(name)
            die_if_told(order, f"{name}:after")

        return mortal

    SqlFactLog.append = wrapped(SqlFactLog.append, lambda _, fact: point_of(fact))
    SqlFactLog.begin = wrapped(SqlFactLog.begin, lambda *_: "Announced")
    SqlBlockStore.append = wrapped(
        SqlBlockStore.append,
        lambda signed: f"Block/{type(signed.block.entry).__name__}",
    )
    for method, name in (("propose", "Proposal"), ("approve", "Approval"),
                         ("close", "Closed")):  # fmt: skip
        stored = getattr(SqlChangeStore, method)
        setattr(SqlChangeStore, method, wrapped(stored, lambda *_, name=name: name))
    record_heads(world / "heads" / NAME, order)
    open_masked = opening.open_masked

    def noted(**inputs):
        found = open_masked(**inputs)
        note(f"opened {inputs['survivor_set'].round_id} {found.sum_digest}")
        return found

    opening.open_masked = noted


def main(port: int, world: Path) -> None:
    """Serve until stopped.

    Args:
        port: 0 for a free one.
        world: the drill's folder.
    """
    make_mortal(world)
    serve.run(world / "server", port=port)
