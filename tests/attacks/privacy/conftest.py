# SPDX-License-Identifier: Apache-2.0
"""What an organisation that works with the orchestrator adds to what it sees.

``Collusion`` takes whole states of organisations out of running rounds and removes
every mask that they and the opened answers know.
"""

from __future__ import annotations

from typing import Any

import pytest

from fedxdr.core import canonical
from fedxdr.core.ids import OrgId
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation.messages import UnmaskingMessage
from fedxdr.federation.sessions import Step
from fedxdr.models.architecture import Architecture
from fedxdr.parties.collecting import committee as collecting
from fedxdr.secagg import committee, masking, server
from fedxdr.secagg.stages import Answer, Partition
from fedxdr.simulation.attribution import EVERYBODY, HONEST, Game
from fedxdr.simulation.federation import SimulatedFederation
from fedxdr.simulation.server_view import ServerView, integers, signed_integers
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


FIELDS: dict[str, dict[str, Any]] = {
    "clear": {"acknowledge_clear": True},
    "committee": {"helpers": ("charlie", "delta"), "max_weight_exponent": 0},
}
"""What a plan has beside its mode."""


class Collusion:
    """The states of some organisations in the round that is running.

    Args:
        mode: how the federation collects.
        orgs: who gives its state away.
    """

    def __init__(self, mode: str, *orgs: OrgId) -> None:
        self.mode = mode
        self.orgs = orgs
        self.game: Game | None = None
        self.dossiers: dict[OrgId, Any] = {}

    def link_of(self, orchestrator: Any, org: OrgId) -> Loopback:
        return _Telling(self, orchestrator, org)

    def tell(self, org: OrgId) -> None:
        if self.game is None or org not in self.orgs:
            return
        participant = self.game.federation.participants[org]
        self.dossiers[org] = participant._dossier(participant.session)

    def readings(self, _: SimulatedFederation, view: ServerView) -> Any:
        """Return both honest updates with every known mask removed."""
        known = self._secagg if self.mode == "secagg" else self._committee
        begin, end = ARCHITECTURE.layout.span("weights.")
        found = {}
        for target, (add, subtract) in known(view).items():
            words = integers(view, view.contributions[target])
            masking.apply(words, add=add, subtract=subtract)
            found[target] = signed_integers(view, words)[: end - begin]
        return {"unmasked": found}

    def _secagg(self, view: ServerView) -> Any:
        """Return the seeds to add and subtract: own masks opened, pair masks known."""
        states = [(d.membership, d.opened_mail) for d in self.dossiers.values()]
        roster = states[0][0].roster
        answers = {}
        for org in EVERYBODY:
            envelope = Envelope.from_json(view.messages[f"unmasking/{org}"])
            said = canonical.decode(envelope.payload, UnmaskingMessage)
            answers[org] = Answer(
                self_shares=said.self_shares, key_shares=said.key_shares
            )
        partition = Partition(survivors=EVERYBODY, dropouts=())
        revealed = server.recover(roster, partition, answers).revealed
        known: dict[OrgId, tuple[list[bytes], list[bytes]]] = {}
        for target in HONEST:
            own = revealed.self_seeds[target]
            known[target] = (
                [],
                [masking.self_mask_seed(own, transcript=roster.transcript)],
            )
            for member, mail in states:
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
                known[target][1 if target == low else 0].append(seed)
        return known

    def _committee(self, view: ServerView) -> Any:
        """Return the seeds to add: those that were sealed for colluding helpers."""
        del view
        known: dict[OrgId, tuple[list[bytes], list[bytes]]] = {}
        for target in HONEST:
            seeds = []
            for helper, dossier in self.dossiers.items():
                opened = collecting._opened(dossier)
                seeds.append(
                    committee._mask_seed(
                        opened.seeds[target],
                        collecting._committee_of(dossier),
                        sender=target,
                        helper=helper,
                    )
                )
            known[target] = (seeds, [])
        return known


class _Telling(Loopback):
    def __init__(self, collusion: Collusion, orchestrator: Any, org: OrgId) -> None:
        super().__init__(orchestrator, org)
        self._collusion = collusion
        self._me = org

    def send(self, round_id: Any, step: Step, body: bytes) -> None:
        if step in {Step.CONTRIBUTION, Step.VETTING}:
            self._collusion.tell(self._me)
        super().send(round_id, step, body)


@pytest.fixture
def colluding_game():
    def make(mode: str, *orgs: OrgId, seed: int = 0) -> Game:
        collusion = Collusion(mode, *orgs)
        game = Game(
            architecture=ARCHITECTURE,
            plan={"collection_mode": mode, **FIELDS.get(mode, {})},
            seed=seed,
            link_of=collusion.link_of,
            more=collusion.readings,
        )
        collusion.game = game
        return game

    return make


@pytest.fixture
def game_in():
    def make(mode: str, **more: Any) -> Game:
        return Game(
            architecture=ARCHITECTURE,
            plan={"collection_mode": mode, **FIELDS.get(mode, {})},
            **more,
        )

    return make
