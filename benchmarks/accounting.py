# SPDX-License-Identifier: Apache-2.0
"""Epsilon by our accountant, by opacus' PRV accountant and by closed form; its cost.

``python -m benchmarks.accounting``

Four parts in one JSON line:

``sampled``: rates x noises x steps, next to opacus' PRV accountant (numerical, within
a fifth of a percent by its own error bound) at delta 1e-5, without context: the largest
relative difference, and every row.
``closed_form``: unsampled steps convolved like all others, next to Balle and Wang 2018,
theorem 8: the smallest and largest relative difference; none may be negative.
``context``: the design's table, event-level with 16, 32 and 64 occurrences at q = 0.001
and 2,000 steps, by the proven pair; ``windows`` the same noise with fixed windows.
``cost``: CPU seconds of one epsilon and one ``uses_left`` in a process that has
accounted nothing before, median of five.

Not measured: importing. The peer needs the extra ``dev``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
import warnings

from benchmarks.measure import MissingPeer
from fedxdr.privacy import accountant, composition, dominating
from fedxdr.privacy.mechanism import Charge

DELTA = 1e-5
RATES = (0.001, 0.01, 0.1)
NOISES = (0.8, 1.0, 2.0, 4.0)
STEPS = (100, 1000, 2000)

Row = dict[str, float | int]


def charge(
    noise: float, rate: float, steps: int, *, own: int = 1, occurrences: int = 0
) -> Charge:
    """Return an event-level charge."""
    return Charge(
        unit="event",
        noise_multiplier=noise,
        sampling_rate=rate,
        steps=steps,
        own=own,
        occurrences=occurrences,
    )


def sampled() -> list[Row]:
    """Return ours next to opacus' PRV accountant.

    Raises:
        MissingPeer: opacus is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its import warns about other libraries
            from opacus.accountants import PRVAccountant  # noqa: PLC0415 - the peer
    except ImportError as error:
        raise MissingPeer("opacus: install fedxdr[dev]") from error
    rows: list[Row] = []
    for rate, noise, steps in itertools.product(RATES, NOISES, STEPS):
        ours = accountant.epsilon([charge(noise, rate, steps)], delta=DELTA)
        peer = PRVAccountant()
        peer.history = [(noise, rate, steps)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # overflows inside it, far in the tails
            theirs = float(peer.get_epsilon(DELTA, eps_error=max(ours, 0.01) / 500))
        rows.append(
            {
                "rate": rate,
                "noise": noise,
                "steps": steps,
                "epsilon": round(ours, 5),
                "opacus_prv": round(theirs, 5),
                "relative": round((ours - theirs) / theirs, 5),
            }
        )
    return rows


def closed_form() -> list[Row]:
    """Return convolved unsampled steps next to the closed form."""
    rows: list[Row] = []
    for noise, steps in itertools.product((1.0, 4.0, 20.0, 200.0), (1, 100, 2000)):
        pair = dominating.Pair(
            noise_multiplier=noise, sampling_rate=1.0, own=1, occurrences=0
        )
        # of the library's inside: its short cut for unsampled steps is what is tested
        one = dominating.Pair(
            noise_multiplier=noise,
            sampling_rate=1.0 - 2.0**-53,
            own=1,
            occurrences=0,
        )
        exact = accountant.gaussian_epsilon_exact(
            noise_multiplier=pair.noise_multiplier, steps=steps, delta=DELTA
        )
        losses = composition.composed(((one, steps),), delta=DELTA)
        ours = max(loss.epsilon(DELTA * (1 - 1e-6)) for loss in losses)
        # at losses near ln(2^53) the missing 2^-53 of sampling shows: not compared
        if 0 < exact < 30:
            rows.append(
                {
                    "noise": noise,
                    "steps": steps,
                    "epsilon": ours,
                    "balle_wang": exact,
                    "relative": (ours - exact) / exact,
                }
            )
    return rows


def context() -> list[Row]:
    """Return the design's table by the proven pair."""
    return [
        {
            "occurrences": occurrences,
            "noise": noise,
            "epsilon": round(
                accountant.epsilon(
                    [charge(noise, 0.001, 2000, occurrences=occurrences)], delta=DELTA
                ),
                4,
            ),
        }
        for occurrences, noise in itertools.product((0, 8, 16, 32, 64), (1, 2, 4))
    ]


def windows() -> list[Row]:
    """Return the same noise where an example is a whole window."""
    return [
        {
            "noise": noise,
            "event_level": round(
                accountant.epsilon(
                    [charge(noise, 0.001, 2000, own=0, occurrences=1)], delta=DELTA
                ),
                4,
            ),
            "window_level": round(
                accountant.epsilon([charge(noise, 0.001, 2000)], delta=DELTA), 4
            ),
        }
        for noise in (1, 2, 4)
    ]


def cost() -> dict[str, float]:
    """Return CPU seconds without anything in caches."""
    one = charge(2.0, 0.001, 20, occurrences=16)
    spent = [charge(3.0, 0.02, 100, occurrences=4), charge(30.0, 1.0, 1)]
    epsilons, searches = [], []
    for _ in range(5):
        _forget()
        begun = time.process_time()
        accountant.epsilon({one: 100}, delta=DELTA)
        epsilons.append(time.process_time() - begun)
        _forget()
        begun = time.process_time()
        accountant.uses_left(spent, one, epsilon=8.0, delta=DELTA)
        searches.append(time.process_time() - begun)
    return {
        "epsilon_cpu_s": round(statistics.median(epsilons), 4),
        "uses_left_cpu_s": round(statistics.median(searches), 4),
    }


def _forget() -> None:
    accountant._epsilon.cache_clear()  # noqa: SLF001 - a cold cache is what is measured
    accountant._renyi.cache_clear()  # noqa: SLF001 - the same
    composition.composed.cache_clear()
    dominating.atoms.cache_clear()


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    timed = cost()
    try:
        rows = sampled()
    except MissingPeer as error:
        sys.exit(str(error))
    exact = closed_form()
    print(
        json.dumps(
            {
                "benchmark": "accounting",
                "delta": DELTA,
                "largest_relative_difference_to_opacus_prv": max(
                    abs(row["relative"]) for row in rows
                ),
                "relative_to_balle_wang": [
                    min(row["relative"] for row in exact),
                    max(row["relative"] for row in exact),
                ],
                "cost": timed,
                "context": context(),
                "windows": windows(),
                "closed_form": exact,
                "sampled": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
