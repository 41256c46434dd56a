# SPDX-License-Identifier: Apache-2.0
"""What an organisation that works with the orchestrator adds to what it sees.

``Collusion`` takes whole states of organisations out of running rounds and removes
every mask that they and the opened answers know.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedxdr.core import canonical
from fedxdr.core.ids import OrgId
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation.messages import UnmaskingMessage
from fedxdr.federation.sessions import Step
from fedxdr.models.architecture import Architecture
from fedxdr.secagg import masking, server
from fedxdr.secagg.stages import Answer, Partition
from fedxdr.simulation.federation import SimulatedFederation
from fedxdr.simulation.server_view import EVERYBODY, HONEST, Game, ServerView
from fedxdr.transport.loopback import Loopback

ARCHITECTURE = Architecture(
    features="attacked",
    own=12,
    keys=2,
    ranks=4,
    token=3,
    neighbour=8,
    mixer=8,
    embedding=16,
)


class Collusion:
    """The states of some organisations in the round that is running.

    Args:
        orgs: who gives its state away.
    """

    def __init__(self, *orgs: OrgId) -> None:
        self.orgs = orgs
        self.game: Game | None = None
        self.states: dict[OrgId, Any] = {}

    def link_of(self, orchestrator: Any, org: OrgId) -> Loopback:
        return _Telling(self, orchestrator, org)

    def tell(self, org: OrgId) -> None:
        if self.game is None or org not in self.orgs:
            return
        participant = self.game.federation.participants[org]
        dossier = participant._dossier(participant.session)
        self.states[org] = (dossier.membership, dossier.opened_mail)

    def readings(self, _: SimulatedFederation, view: ServerView) -> Any:
        """Return both honest updates with every known mask removed."""
        membership, _mail = self.states[self.orgs[0]]
        roster = membership.roster
        partition = Partition(survivors=EVERYBODY, dropouts=())
        answers = {}
        for org in EVERYBODY:
            envelope = Envelope.from_json(view.messages[f"unmasking/{org}"])
            said = canonical.decode(envelope.payload, UnmaskingMessage)
            answers[org] = Answer(
                self_shares=said.self_shares, key_shares=said.key_shares
            )
        revealed = server.recover(roster, partition, answers).revealed
        found = {}
        for target in HONEST:
            words = np.frombuffer(view.contributions[target], "<u4").copy()
            own = masking.self_mask_seed(
                revealed.self_seeds[target], transcript=roster.transcript
            )
            masking.apply(words, subtract=[own])
            for member, mail in self.states.values():
                if member.me == target:
                    continue
                low, high = sorted((member.me, target))
                seed = masking.pair_mask_seed(
                    member.pairs[target],
                    mail.salts[target],
                    low=low,
                    high=high,
                    transcript=roster.transcript,
                )
                if target == low:
                    masking.apply(words, subtract=[seed])
                else:
                    masking.apply(words, add=[seed])
            size = ARCHITECTURE.layout.span("weights.")
            found[target] = words.view(np.int32)[: size[1] - size[0]].astype(float)
        return {"unmasked": found}


class _Telling(Loopback):
    def __init__(self, collusion: Collusion, orchestrator: Any, org: OrgId) -> None:
        super().__init__(orchestrator, org)
        self._collusion = collusion
        self._me = org

    def send(self, round_id: Any, step: Step, body: bytes) -> None:
        if step is Step.CONTRIBUTION:
            self._collusion.tell(self._me)
        super().send(round_id, step, body)


@pytest.fixture
def colluding_game():
    def make(*orgs: OrgId, seed: int = 0) -> Game:
        collusion = Collusion(*orgs)
        game = Game(
            architecture=ARCHITECTURE,
            plan={"collection_mode": "secagg"},
            seed=seed,
            link_of=collusion.link_of,
            more=collusion.readings,
        )
        collusion.game = game
        return game

    return make


@pytest.fixture
def architecture() -> Architecture:
    return ARCHITECTURE
