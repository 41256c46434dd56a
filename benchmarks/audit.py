# SPDX-License-Identifier: Apache-2.0
"""Is the accounted epsilon true? One-run audits of the real private training.

    python -m benchmarks.audit [--json] [--canaries 24000] [--seed 1]

Each audit is one ``fit_privately`` of the real network, with thousands of gradient
canaries put into its sums before the noise (simulation/canaries.py); the auditor sees
every noisy sum. Printed is, for each, the epsilon that is claimed and the one that is
proven at least (95 %, Steinke, Nasr and Jagielski 2023):

- ``honest``: claims 1, 4 and 8; what is proven must be below;
- ``tenth of the noise``: same claims, same audit, noise secretly a tenth: must convict;
- ``context left out``: each event stands in the context of 16 other examples, and the
  accounting says it is alone: must convict;
- ``context accounted``: the same events, accounted with their context: below again.

Exit status 1 if any of these is not so. Nothing is timed against a peer: the CPU
seconds are for who wants to run it again.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from dataclasses import dataclass
from unittest import mock

import numpy as np

from benchmarks.measure import commit, machine, show
from fedxdr.core.randomness import SeededEntropy, generator
from fedxdr.federation.plan import Training
from fedxdr.federation.protection import Privacy
from fedxdr.learning.dpsgd import fit_privately
from fedxdr.learning.features import find
from fedxdr.privacy import accountant, noise
from fedxdr.privacy.calibration import noise_multiplier_for
from fedxdr.privacy.mechanism import Charge
from fedxdr.simulation.canaries import CanaryTap, Design
from fedxdr.simulation.privacy_audit import Verdict, audit

DELTA = 1e-6
SAMPLING_RATE = 0.5
STEPS = 20
CLIP = 0.5
ROWS = 2000
CONTEXT = 4
INDEX_KEYS = 4
FEATURES = "alerts"
CLAIMS = (1.0, 4.0, 8.0)
GUESSED_PARTS = (100, 15, 1)
"""One guess about every hundredth, every fifteenth and every canary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One audit.

    Attributes:
        name: what is looked at.
        claim: epsilon that the noise is chosen for.
        noise_fraction: part of that noise which is drawn.
        has_context: whether a canary stands in other examples' context.
        is_context_accounted: whether the claim counts it.
        is_true: whether the claim holds.
    """

    name: str
    claim: float
    noise_fraction: float = 1.0
    has_context: bool = False
    is_context_accounted: bool = False
    is_true: bool = True


CASES = (
    *(Case(name="honest", claim=claim) for claim in CLAIMS),
    *(
        Case(name="tenth of the noise", claim=claim, noise_fraction=0.1, is_true=False)
        for claim in CLAIMS
    ),
    Case(name="context left out", claim=4.0, has_context=True, is_true=False),
    Case(
        name="context accounted",
        claim=4.0,
        has_context=True,
        is_context_accounted=True,
    ),
)


def charge(noise_multiplier: float, *, occurrences: int) -> Charge:
    """Return what the training is said to cost."""
    return Charge(
        unit="event",
        noise_multiplier=noise_multiplier,
        sampling_rate=SAMPLING_RATE,
        steps=STEPS,
        own=1,
        occurrences=occurrences,
    )


def run(case: Case, *, canaries: int, seed: int) -> tuple[Verdict, float, float]:
    """Train once with canaries; return the verdict, the noise and its epsilon."""
    counted = CONTEXT * INDEX_KEYS if case.is_context_accounted else 0
    multiplier = noise_multiplier_for(
        epsilon=case.claim,
        delta=DELTA,
        sampling_rate=SAMPLING_RATE,
        steps=STEPS,
        own=1,
        occurrences=counted,
    )
    accounted = accountant.epsilon(
        [charge(multiplier, occurrences=counted)], delta=DELTA
    )
    tap = CanaryTap(
        Design(
            canaries=canaries,
            sampling_rate=SAMPLING_RATE,
            occurrences=CONTEXT * INDEX_KEYS if case.has_context else 0,
        ),
        seed=hashlib.sha256(f"canaries {seed} {case}".encode()).digest(),
        noise_fraction=case.noise_fraction,
    )
    architecture = find(FEATURES).architecture()
    draw = generator(seed, 17)
    with mock.patch.object(noise, "noisy_sum", tap):
        fit_privately(
            architecture.first_vector(seed),
            architecture=architecture,
            features=draw.uniform(0, 2, (ROWS, architecture.inputs)).astype(np.float32),
            family=(draw.random(ROWS) < 0.2).astype(np.int64),
            privacy=Privacy(
                mechanism="dp-sgd",
                unit="event",
                epsilon=case.claim,
                delta=DELTA,
                noise_multiplier=multiplier,
                sampling_rate=SAMPLING_RATE,
                steps=STEPS,
                clipping_norm=CLIP,
                own=1,
                context=CONTEXT if case.is_context_accounted else 0,
                index_keys=INDEX_KEYS if case.is_context_accounted else 0,
            ),
            training=Training(batch_size=int(ROWS * SAMPLING_RATE)),
            entropy=SeededEntropy(seed),
        )
    if tap.steps != STEPS:
        raise SystemExit(f"the fit released {tap.steps} sums, not {STEPS}")
    verdict = audit(
        tap.scores(),
        tap.included,
        delta=DELTA,
        guesses=[canaries // part for part in GUESSED_PARTS],
    )
    return verdict, multiplier, accounted


def main(arguments: list[str] | None = None) -> int:
    """Run every audit and print a table, or one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--canaries", type=int, default=24_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    options = parser.parse_args(arguments)
    results: list[dict[str, object]] = []
    is_as_it_should = True
    for case in CASES:
        begin = time.process_time()
        verdict, multiplier, accounted = run(
            case, canaries=options.canaries, seed=options.seed
        )
        convicted = verdict.convicts(accounted)
        is_as_it_should &= convicted is not case.is_true
        result: dict[str, object] = {
            "case": case.name,
            "accounted_epsilon": round(accounted, 3),
            "proven_epsilon": round(verdict.epsilon, 3),
            "convicted": convicted,
            "noise_multiplier": round(multiplier, 3),
            "guesses": verdict.guesses,
            "correct": verdict.correct,
            "cpu_s": round(time.process_time() - begin, 2),
        }
        results.append(result)
        if not options.json:
            said = "CONVICTED" if convicted else "not convicted"
            print(
                f"{case.name:20} claims {accounted:6.3f}, proven at least "
                f"{verdict.epsilon:6.3f}: {said} ({verdict.correct:,} of "
                f"{verdict.guesses:,} guesses right)"
            )
    if options.json:
        show(
            {
                "name": "audit",
                "canaries": options.canaries,
                "delta": DELTA,
                "sampling_rate": SAMPLING_RATE,
                "steps": STEPS,
                "features": FEATURES,
                "occurrences": CONTEXT * INDEX_KEYS,
                "confidence": 0.95,
                "seed": options.seed,
                "machine": machine(),
                "commit": commit(),
                "as_it_should_be": is_as_it_should,
                "results": results,
            }
        )
    return 0 if is_as_it_should else 1


if __name__ == "__main__":
    sys.exit(main())
