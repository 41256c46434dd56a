# SPDX-License-Identifier: Apache-2.0
"""How often an orchestrator names whose update is whose, in every collection mode.

    python -m benchmarks.attribution [--modes clear secagg committee paillier]
                                     [--rounds 400] [--batch 1] [--seed 1]

The game of simulation/attribution.py: real rounds of four organisations, a coin deals
two batches to two of them, the attacker has everything but the coin. One JSON line per
mode: the best and the worst of all attacks with their 95 % intervals (of one attack,
not of the best of many), the attacks that lie beyond chance after dividing 5 % by their
number, and the likeness of the record that was read out to the true one. ``group`` is
the part of rounds in which the opened sum itself says that somebody has the record.

Exit status 1 if an attack lies beyond chance in a mode that hides updates, or none does
in the clear. Mode ``paillier`` runs with a key of 512 bits, made here: the attack does
not look at the key's length.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from statistics import NormalDist
from typing import Any

import numpy as np

from benchmarks.measure import commit, machine, show
from fedxdr.core import canonical
from fedxdr.core.ids import OrgId
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.exchange import HybridPrivateKey
from fedxdr.ledger.entries import KeyCeremony
from fedxdr.models.architecture import Architecture
from fedxdr.secagg.encrypted.ceremony import CeremonyKey, hold, open_box
from fedxdr.secagg.encrypted.paillier import PrivateKey
from fedxdr.secagg.encrypted.primes import safe_prime
from fedxdr.simulation.attribution import EVERYBODY, Game, Played, Standing, wilson

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
MODES = ("clear", "secagg", "committee", "paillier")
PRIME_BITS = 256


def game_in(mode: str, *, batch: int, seed: int) -> Game:
    """Return a game whose federation collects in a mode."""
    if mode == "paillier":
        return _encrypted(batch=batch, seed=seed)
    fields: dict[str, dict[str, Any]] = {
        "clear": {"acknowledge_clear": True},
        "committee": {"helpers": EVERYBODY[2:], "max_weight_exponent": 0},
    }
    return Game(
        architecture=ARCHITECTURE,
        plan={"collection_mode": mode, **fields.get(mode, {})},
        batch=batch,
        seed=seed,
    )


def _encrypted(*, batch: int, seed: int) -> Game:
    """Return a game in mode ``paillier``, after a key ceremony among its members."""
    entropy = SeededEntropy(seed)
    keys = {org: HybridPrivateKey.from_seed(entropy.draw(32)) for org in EVERYBODY}
    made = hold(
        PrivateKey(
            p=safe_prime(PRIME_BITS, entropy), q=safe_prime(PRIME_BITS, entropy)
        ),
        [CeremonyKey(holder=org, key=key.public) for org, key in keys.items()],
        threshold=3,
        entropy=entropy,
    )
    game = Game(
        architecture=ARCHITECTURE,
        plan={
            "collection_mode": "paillier",
            "paillier_key": made.record.fingerprint,
            "max_weight_exponent": 0,
            "quantisation_bits": 20,
        },
        batch=batch,
        seed=seed,
    )
    game.federation.recorder.record(
        KeyCeremony(
            record=canonical.builtins(made.record),
            fingerprint=made.record.fingerprint,
            holders=made.record.key.holders,
        )
    )
    for org, participant in game.federation.participants.items():

        def share_of(ceremony: Any, org: OrgId = org) -> Any:  # noqa: ANN401 - as the port says
            return open_box(ceremony, org, made.boxes[org], keys[org])

        participant._desk = dataclasses.replace(  # noqa: SLF001 - its installer is a command
            participant._desk,  # noqa: SLF001
            share_of=share_of,
        )
    return game


def beyond_chance(standings: dict[str, Standing]) -> list[str]:
    """Return the attacks whose interval, at 5 % over their number, leaves one half."""
    z = NormalDist().inv_cdf(1 - 0.025 / len(standings))
    found = []
    for name, standing in standings.items():
        low, high = wilson(standing.accuracy * standing.trials, standing.trials, z=z)
        if not low <= 0.5 <= high:
            found.append(name)
    return found


def line_of(mode: str, played: Played) -> dict[str, object]:
    """Return what is printed about a mode."""
    standings = played.standings()
    by_accuracy = sorted(standings.items(), key=lambda item: item[1].accuracy)
    likeness = {
        name: float(np.median(values)) for name, values in played.likeness.items()
    }
    read = max((n for n in likeness if n != "invert sum"), key=lambda n: likeness[n])
    return {
        "mode": mode,
        "rounds": len(played.coins),
        "attacks": len(standings),
        "beyond_chance": beyond_chance(standings),
        "best": _told(*by_accuracy[-1]),
        "worst": _told(*by_accuracy[0]),
        "record_read_out": {"attack": read, "likeness": round(likeness[read], 4)},
        "record_from_sum": round(likeness["invert sum"], 4),
        "group": float((played.group > 0).mean()),
    }


def _told(name: str, standing: Standing) -> dict[str, object]:
    return {
        "attack": name,
        "accuracy": round(standing.accuracy, 4),
        "interval": [round(standing.low, 4), round(standing.high, 4)],
    }


def main(arguments: list[str] | None = None) -> int:
    """Play every mode and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    is_as_it_should = True
    for mode in options.modes:
        begin = time.process_time()
        game = game_in(mode, batch=options.batch, seed=options.seed)
        result = line_of(mode, game.play(options.rounds))
        is_as_it_should &= bool(result["beyond_chance"]) is (mode == "clear")
        show(
            {
                "name": "attribution",
                **result,
                "batch": options.batch,
                "seed": options.seed,
                "cpu_s": round(time.process_time() - begin, 1),
                "machine": machine(),
                "commit": commit(),
            }
        )
    return 0 if is_as_it_should else 1


if __name__ == "__main__":
    sys.exit(main())
