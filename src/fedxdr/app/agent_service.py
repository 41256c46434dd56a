# SPDX-License-Identifier: Apache-2.0
"""An open agent as the service behind its own routes (api/agent_app.py).

What is told is read anew for every request: the plan in force from the mirror of the
ledger, what is spent from the purse's facts.

It does NOT hand out keys, data or updates, and it changes nothing: nobody spends or
joins anything through these routes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedxdr.api.agent_app import AgentService
from fedxdr.api.agent_encryption import Encrypted, Quantisation, encrypted
from fedxdr.app.participating import OpenParticipant
from fedxdr.core.clock import Clock, SystemClock
from fedxdr.core.errors import WrongPhase
from fedxdr.core.ids import OrgId
from fedxdr.core.layout import Vector
from fedxdr.core.randomness import Entropy, SystemEntropy
from fedxdr.federation.plan import Plan
from fedxdr.federation.protection import NO_PRIVACY
from fedxdr.parties import privacy_views
from fedxdr.parties.privacy_views import Spending
from fedxdr.privacy.budget import Purse
from fedxdr.secagg.encrypted.paillier import PublicKey


def service_of(
    opened: OpenParticipant,
    *,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
) -> AgentService:
    """Return the service over an open agent.

    Args:
        opened: the agent; it outlives the service.
        clock: the time.
        entropy: for encryption.
    """
    org, source = OrgId(opened.file.org), entropy or SystemEntropy()

    def plan() -> Plan | None:
        mirror = opened.participant.mirror
        return mirror.in_force.plan if mirror.is_begun else None

    def config() -> Mapping[str, Any]:
        return privacy_views.protection(plan())

    def budget() -> Spending:
        found = plan()
        privacy = NO_PRIVACY if found is None else found.privacy
        purse = None
        if privacy.unit != "none":
            purse = Purse.of(
                opened.purse.facts(),
                epsilon=privacy.epsilon,
                delta=privacy.delta,
                unit=privacy.unit,
            )
        return privacy_views.spent_from_purse(purse, privacy, org=org)

    def encrypt(values: Vector, key: PublicKey) -> Encrypted:
        found = plan()
        if found is None:
            raise WrongPhase(
                "no plan is in force yet, and the plan says how values are quantised: "
                "ask again after the first round was opened"
            )
        quantisation = Quantisation(
            bound=found.clip_norm,
            bits=found.quantisation_bits,
            participants=found.participants,
        )
        return encrypted(values, key, quantisation=quantisation, entropy=source)

    def ready() -> Mapping[str, bool]:
        return {
            "ledger": opened.participant.mirror.is_begun,
            "plan": plan() is not None,
        }

    return AgentService(
        org=org,
        clock=clock or SystemClock(),
        config=config,
        budget=budget,
        encrypt=encrypt,
        ready=ready,
        proofs=opened.participant.follower.accuser.proofs,
    )
