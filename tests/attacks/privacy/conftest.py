# SPDX-License-Identifier: Apache-2.0
"""What an organisation that works with the orchestrator adds to what it sees.

``Collusion`` takes whole states of organisations out of running rounds and removes
every mask that they and the opened answers know.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fedxdr.core import canonical
from fedxdr.core.ids import OrgId
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.exchange import HybridPrivateKey
from fedxdr.federation.messages import UnmaskingMessage
from fedxdr.federation.sessions import Step
from fedxdr.models.architecture import Architecture
from fedxdr.parties.collecting import committee as collecting
from fedxdr.secagg import committee, masking, server
from fedxdr.secagg.encrypted import knowledge
from fedxdr.secagg.encrypted.ceremony import CeremonyKey, hold, open_box
from fedxdr.secagg.encrypted.paillier import PrivateKey, decrypt, ring
from fedxdr.secagg.encrypted.slots import Slots, unpack
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


BITS = 20
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


class Ceremony:
    """A key ceremony among the four, by a dealer whose primes are known here.

    512 bits, made once by primes.safe_prime: for tests and nothing else.
    """

    def __init__(self) -> None:
        self.primes = PrivateKey(
            p=0xD75D3E21FF44322CE34EF1B95D141B657CB12F091531A2F784ED5A2B2F035243,
            q=0xF48183DCE17550F6442F0B10B901D5A5CA36A98A3E94D9D76887BBCD18D999AB,
        )
        self.keys = {
            org: HybridPrivateKey.from_seed(bytes([place]) * 32)
            for place, org in enumerate(EVERYBODY)
        }
        self.made = hold(
            self.primes,
            [CeremonyKey(holder=o, key=key.public) for o, key in self.keys.items()],
            threshold=3,
            entropy=SeededEntropy(1),
        )

    @property
    def fields(self) -> dict[str, Any]:
        return {
            "paillier_key": self.made.record.fingerprint,
            "max_weight_exponent": 0,
            "quantisation_bits": BITS,
        }

    def install(self, game: Game) -> None:
        """Put the ceremony on the ledger and a share into every organisation."""
        record = self.made.record
        game.federation.publish(record)
        for org, participant in game.federation.participants.items():

            def share_of(ceremony: Any, org: OrgId = org) -> Any:
                return open_box(ceremony, org, self.made.boxes[org], self.keys[org])

            participant._desk = dataclasses.replace(
                participant._desk, share_of=share_of
            )

    def readings(self, _: SimulatedFederation, view: ServerView) -> Any:
        """Return both honest updates decrypted with the dealer's primes."""
        key = self.made.record.key.encryption
        slots = Slots(size=view.size, bits=BITS, plaintext_bits=key.plaintext_bits)
        begin, end = ARCHITECTURE.layout.span("weights.")
        found = {}
        for target in HONEST:
            data = view.contributions[target][knowledge.proof_bytes(key) :]
            width = key.ciphertext_bytes
            plain = [
                decrypt(key, self.primes, int.from_bytes(data[at : at + width]))
                for at in range(0, len(data), width)
            ]
            modulus = ring(key).plaintext_modulus
            words = unpack(slots, [p % modulus for p in plain], modulus=modulus)
            found[target] = words[: end - begin].astype(float)
        return {"unmasked": found}


@pytest.fixture(scope="session")
def ceremony() -> Ceremony:
    return Ceremony()


@pytest.fixture
def game_in(ceremony):
    def make(mode: str, **more: Any) -> Game:
        fields = ceremony.fields if mode == "paillier" else FIELDS.get(mode, {})
        game = Game(
            architecture=ARCHITECTURE,
            plan={"collection_mode": mode, **fields},
            **more,
        )
        if mode == "paillier":
            ceremony.install(game)
        return game

    return make


@pytest.fixture
def colluding_game(game_in):
    def make(mode: str, *orgs: OrgId, seed: int = 0) -> Game:
        collusion = Collusion(mode, *orgs)
        game = game_in(
            mode, seed=seed, link_of=collusion.link_of, more=collusion.readings
        )
        collusion.game = game
        return game

    return make
