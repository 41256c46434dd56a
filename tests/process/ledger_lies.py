# SPDX-License-Identifier: Apache-2.0
"""One lie for each rule of blocks: all is signed, hashed and cosigned, and untrue.

``LIES`` maps a name to the ledger before it, the step at which it must be refused, and
what appends it. Chance (ledger_mutations.py) seldom tells a lie so consistently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.process.ledger_change_lies import CHANGE_LIES, retire, suspension
from tests.process.ledger_ends import (
    ORGANISATIONS,
    PRIVACY,
    Ending,
    closed,
)
from tests.process.ledger_round_lies import ROUND_LIES
from tests.unit.ledger.conftest import Federation

from fedxdr.core.ids import sha256
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger.entries import (
    OrchestratorReplaced,
)

FIRST, SECOND = sha256(b"model 0"), sha256(b"model 1")

LIES = ROUND_LIES | CHANGE_LIES


def bundle_of(name: str) -> bytes:
    """Return the bundle of a ledger that ends in a lie."""
    before, _, lie = LIES[name]
    told = Federation(ORGANISATIONS)
    told.spare = {
        kind: IdentityKey.generate(SeededEntropy(seed))
        for kind, seed in (("fresh", 61), ("orchestrator", 62))
    }
    BEFORE[before](told)
    earlier = {
        size: told.head(size)
        for size in range(2, len(told.blocks) + 1)
        if told.standing(size).is_turn
    }
    members = told.standing().members
    witnesses = {org: told.keys[org] for org in sorted(members)}
    lie(told)
    witnesses = witnesses or dict(sorted(told.keys.items()))
    signer, origin = told.orchestrator, "test.example/ledger"
    if isinstance(told.last.entry, OrchestratorReplaced):
        signer, origin = told.spare["orchestrator"], told.last.entry.origin
    true = Ending(
        told=told,
        bodies=[signed.block.body() for signed in told.blocks],
        beside=[[e.to_json() for e in signed.envelopes] for signed in told.blocks],
        models=[told.models[-1]],
        earlier=earlier,
        signer=signer,
        origin=origin,
        witnesses=witnesses,
    )
    return closed(true.lines())


def step_of(name: str) -> int:
    """Return the step at which a lie must be refused."""
    return LIES[name][1]


BEFORE: dict[str, Callable[[Federation], Any]] = {
    "nothing": lambda _: None,
    "genesis": lambda told: told.begin(),
    "plan": lambda told: told.founded(),
    "one accepts": lambda told: told.begin().adopt(threshold=1),
    "round": lambda told: told.founded().commit(),
    "two rounds": lambda told: told.founded().commit().commit(),
    "private": lambda told: told.begin().adopt(privacy=PRIVACY),
    "vague": lambda told: told.begin().adopt(privacy={"mechanism": "dp-sgd"}),
    "one member": lambda told: told.founded().change(suspension(told, "bravo")),
    "withdrawn": lambda told: retire(told.founded().commit(), SECOND, FIRST),
}
