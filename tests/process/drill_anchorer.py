# SPDX-License-Identifier: Apache-2.0
"""An anchorer's process that can be told to die: before or after one of its calls.

Chain and notes are wrapped by this test program, not by hooks in the product.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from fedxdr.anchoring.anchorer import Anchorer, Pace
from fedxdr.anchoring.evm import AccountKey, EvmChain, Node
from fedxdr.anchoring.notes import Notes
from fedxdr.core.clock import SystemClock
from fedxdr.ledger.checkpoint import Checkpoint

POINTS = ("head", "send", "record", "append")
PACE = Pace(every_blocks=1, poll_s=0.02, resend_s=0.3, first_wait_s=0.02)
_PATIENT_S = 60.0


def mortal(thing, name, order):
    """Return a thing whose method ``name`` kills the process if it is told to."""
    method = getattr(thing, name)

    def wrapped(*arguments, **options):
        if order == f"{name}:before":
            os.kill(os.getpid(), signal.SIGKILL)
        found = method(*arguments, **options)
        if order == f"{name}:after":
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(thing, name, wrapped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What one process is to do.

    Attributes:
        rpc: address of the node.
        contract: its address.
        secret: the owner's key.
        path: of the notes.
        checkpoint: to anchor.
        order: ``POINT:before`` or ``POINT:after`` to die there, else empty.
    """

    rpc: str
    contract: str
    secret: bytes
    path: Path
    checkpoint: Checkpoint
    order: str


def run(life: Life) -> None:
    """Anchor one checkpoint; die on the way if told to."""
    order = life.order
    chain = EvmChain(Node(life.rpc), life.contract, key=AccountKey(life.secret))
    notes = Notes(life.path)
    for name in POINTS[:3]:
        mortal(chain, name, order)
    mortal(notes, "append", order)
    anchorer = Anchorer(
        chain, notes, origin=life.checkpoint.origin, clock=SystemClock(), pace=PACE
    )
    anchorer.offer(life.checkpoint)
    end = time.monotonic() + _PATIENT_S
    while (wait := anchorer.step()) is not None:
        if time.monotonic() > end:
            raise SystemExit("not anchored in time")
        time.sleep(min(wait, 0.05))
