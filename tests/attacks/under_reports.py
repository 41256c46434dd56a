# SPDX-License-Identifier: Apache-2.0
"""Organisations that claim less than they spent, on ledgers that are otherwise whole.

Every lie is consistent: the organisation signs it, all accept it, the block repeats it,
the heads are cosigned. What is left to find it are the plan and the accountant::

    python -m tests.attacks.under_reports --count 1000

prints one JSON line: how many lies of each kind were told, and how many went through.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib.util
import json
import random  # noqa: TID251 - which lies are told, no secrets
import sys
from collections import Counter
from pathlib import Path

from fedxdr.core import canonical
from fedxdr.core.errors import VerificationFailed
from fedxdr.core.layout import Layout, Segment
from fedxdr.federation.plan import Plan
from fedxdr.federation.protection import Privacy, claim_of
from fedxdr.ledger import bundle, entries, verifier
from fedxdr.ledger.entries import PlanAdopted
from fedxdr.ledger.statements import NO_PRIVACY, PrivacyClaim
from fedxdr.parties.auditing import check_spending
from fedxdr.privacy import accountant

ROUNDS = 3
ORGANISATIONS = ("alpha", "bravo", "charlie", "delta")


def builder():
    """Return the class that the ledger's own tests build ledgers with."""
    path = Path(__file__).parents[1] / "unit" / "ledger" / "conftest.py"
    spec = importlib.util.spec_from_file_location("ledger_builder", path)
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found.Federation


def plan_of(privacy: Privacy) -> dict:
    """Return a plan with a promise, as the ledger holds it."""
    layout = Layout(
        segments=(
            Segment(name="statistics.mean", shape=(3,)),
            Segment(name="weights.w", shape=(2, 4)),
        )
    )
    plan = Plan(
        federation="test",
        run_id="run-1",
        participants=len(ORGANISATIONS),
        threshold=3,
        layout=layout,
        architecture={"features": "alerts-event"},
        max_weight_exponent=0,
        privacy=privacy,
    )
    return canonical.builtins(plan)


def promise(coins: random.Random) -> Privacy:
    """Return some promise that can be kept for a few rounds."""
    return Privacy(
        mechanism="dp-sgd",
        unit="event",
        epsilon=50.0,
        delta=1e-5,
        noise_multiplier=coins.choice([1.5, 2.0, 3.0]),
        sampling_rate=coins.choice([0.01, 0.02]),
        steps=coins.choice([5, 20]),
        clipping_norm=1.0,
        own=1,
        context=16,
        index_keys=1,
    )


@functools.cache
def truth(privacy: Privacy, *, clip_norm: float, rounds: int) -> PrivacyClaim:
    """Return the honest claim after so many rounds."""
    spent = accountant.epsilon(Counter({privacy.charge: rounds}), delta=privacy.delta)
    return claim_of(privacy, clip_norm=clip_norm, epsilon=spent)


LIES = (
    "epsilon",
    "sigma",
    "sampling-rate",
    "steps",
    "occurrences",
    "delta",
    "unit",
    "clipping-norm",
    "no-mechanism",
    "missing-organisation",
    "forgotten-rounds",
)


def lie(
    kind: str, claim: PrivacyClaim, coins: random.Random, *, first: PrivacyClaim
) -> PrivacyClaim | None:
    """Return a claim that says less was spent; None: that there is no claim."""
    change = dataclasses.replace
    match kind:
        case "epsilon":
            return change(claim, epsilon=claim.epsilon * coins.uniform(0.01, 0.985))
        case "sigma":
            return change(
                claim,
                noise_multiplier=claim.noise_multiplier * coins.uniform(1.001, 10),
            )
        case "sampling-rate":
            return change(
                claim, sampling_rate=claim.sampling_rate * coins.uniform(0.01, 0.999)
            )
        case "steps":
            return change(claim, steps=coins.randint(1, claim.steps - 1))
        case "occurrences":
            return change(claim, occurrences=claim.occurrences - 1)
        case "delta":
            return change(claim, delta=claim.delta * coins.uniform(0.01, 0.99))
        case "unit":
            return change(claim, unit="entity")
        case "clipping-norm":
            return change(claim, clipping_norm=claim.clipping_norm * 0.5)
        case "no-mechanism":
            return NO_PRIVACY
        case "forgotten-rounds":
            return change(claim, epsilon=first.epsilon)
        case _:
            return None


def ledger_with(kind: str, coins: random.Random) -> bytes:
    """Return a bundle in which one organisation lies in one round; all else holds."""
    told = builder()(organisations=ORGANISATIONS, seed=coins.randrange(2**32))
    privacy = promise(coins)
    plan = plan_of(privacy)
    told.begin()
    told.plan = plan
    told.change(
        PlanAdopted(
            change=told.next_change, plan=plan, plan_digest=entries.plan_digest(plan)
        )
    )
    clip_norm = plan["clip_norm"]
    first = truth(privacy, clip_norm=clip_norm, rounds=1)
    liar, number = coins.choice(ORGANISATIONS), coins.randint(1, ROUNDS)
    if kind == "forgotten-rounds":
        number = coins.randint(2, ROUNDS)
    for at in range(1, ROUNDS + 1):
        honest = truth(privacy, clip_norm=clip_norm, rounds=at)
        claims = dict.fromkeys(ORGANISATIONS, honest)
        is_missing = False
        if kind and at == number:
            found = lie(kind, honest, coins, first=first)
            is_missing = found is None
            claims[liar] = honest if found is None else found
        name = f"round-{at}"
        contributed = [
            told.contribution(org, name, privacy=claims[org]) for org in ORGANISATIONS
        ]
        if is_missing:
            kept = {org: claim for org, claim in claims.items() if org != liar}
            told.commit(
                name,
                contributed=contributed,
                acceptance_lies={"privacy_params": kept},
                provenance_lies={"privacy_params": kept},
            )
        else:
            told.commit(name, contributed=contributed)
    return told.export()


def is_refused(data: bytes) -> bool:
    """Return whether an auditor finds a lie: the verifier, then the accountant."""
    try:
        verifier.verify(data)
        check_spending(bundle.read(data).blocks)
    except VerificationFailed as error:
        return error.step.startswith(("8", "4"))
    return False


def play(count: int, *, seed: int = 0) -> dict[str, object]:
    """Return how many lies were told and how many went through."""
    coins = random.Random(seed)
    if is_refused(ledger_with("", coins)):
        raise AssertionError("an honest ledger is refused")
    told: Counter[str] = Counter()
    through: Counter[str] = Counter()
    for place in range(count):
        kind = LIES[place % len(LIES)]
        told[kind] += 1
        if not is_refused(ledger_with(kind, coins)):
            through[kind] += 1
    return {
        "name": "under-reports",
        "seed": seed,
        "told": sum(told.values()),
        "accepted": sum(through.values()),
        "kinds": dict(told),
        "through": dict(through),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(json.dumps(play(asked.count, seed=asked.seed)))  # noqa: T201 - its answer
