# SPDX-License-Identifier: Apache-2.0
"""How much the sanitiser finds, how much of that is right, and what a line costs.

    python -m benchmarks.sanitiser                       # formats rules were tuned on
    python -m benchmarks.sanitiser --formats held_out    # formats kept apart
    python -m benchmarks.sanitiser --data ../shared/data --most 2000

Entities are planted into real lines (simulation/planted.py). Quality: recall and
precision of each kind over all lines, look-alikes included. Cost: lines per CPU second
of ``Sanitiser.line`` alone, in a fresh process; ``first`` is the first pass over the
lines (each entity seen for the first time is computed), ``again`` the best of five
more (entities are remembered, as in a stream of one network's logs; the best, because
neighbours on the machine cost cache, not only time). Free text is lines of about 12
entities and look-alikes each.

Without the folder of real lines the quality part has only free text, and says so.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.measure import MIN_RUNS, Figures, line, run_fresh, show
from fedxdr.core.errors import InvalidSettings
from fedxdr.privacy import addresses
from fedxdr.privacy.redaction import Sanitiser
from fedxdr.simulation.planted import PlantedLine, RealLine, plant, sentences
from fedxdr.simulation.planted_labels import Span
from fedxdr.simulation.planted_score import Score, score
from fedxdr.simulation.planted_sources import read_real_lines
from fedxdr.simulation.planted_values import Formats

KEY = bytes(range(32))
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
STRUCTURED = ("eve", "zeek-json", "zeek-tsv", "wazuh")


def _real(folder: Path, most: int) -> list[RealLine]:
    try:
        return read_real_lines(folder, most=most)
    except InvalidSettings:
        return []


def quality(folder: Path, *, formats: Formats, most: int, seed: int) -> Score:
    """Return what is found in planted lines."""
    lines = [
        *plant(_real(folder, most), seed=seed, formats=formats),
        *sentences(seed=seed, formats=formats, count=most),
    ]
    sanitiser = Sanitiser(KEY)
    return score((planted, _spans(sanitiser, planted)) for planted in lines)


def _spans(sanitiser: Sanitiser, planted: PlantedLine) -> list[Span]:
    text = planted.line
    result = sanitiser.line(
        text.text, format=text.log, columns=text.columns, stream=text.stream
    )
    return [
        Span(kind=found.kind, begin=found.begin, end=found.end)
        for found in result.found
        if found.action != "keep"
    ]


def speed(folder: Path, *, most: int, seed: int) -> Figures:
    """Return lines per CPU second, by format."""
    figures: Figures = {}
    real = _real(folder, most)
    structured = [item for item in real if item.log in STRUCTURED]
    free = [p.line for p in sentences(seed=seed, formats="tune", count=2_000)]
    for name in STRUCTURED:
        chosen = [item for item in structured if item.log == name]
        if chosen:
            figures |= _rates(name.replace("-", "_"), chosen)
    if structured:
        figures |= _rates("structured", structured)
    figures |= _rates("text", free)
    figures["text_characters_per_line"] = sum(len(f.text) for f in free) / len(free)
    rows = np.zeros((200_000, 16), np.uint8)
    rows[:, 10:12] = 255
    rows[:, 12:] = np.random.default_rng(seed).integers(0, 256, (200_000, 4))
    for name, begin in (("deterministic", 16), ("prefix", 0)):
        start = time.process_time()
        getattr(addresses, name)(rows, KEY[begin:])
        spent = time.process_time() - start
        figures[f"addresses_{name}_per_cpu_s"] = len(rows) / max(spent, 1e-9)
    return figures


def _rates(name: str, lines: Sequence[RealLine]) -> Figures:
    sanitiser = Sanitiser(KEY)
    figures: Figures = {f"{name}_lines": len(lines)}
    spent = []
    for _ in range(6):
        start = time.process_time()
        for item in lines:
            sanitiser.line(
                item.text, format=item.log, columns=item.columns, stream=item.stream
            )
        spent.append(time.process_time() - start)
    figures[f"{name}_first_lines_per_cpu_s"] = len(lines) / spent[0]
    figures[f"{name}_again_lines_per_cpu_s"] = len(lines) / min(spent[1:])
    return figures


def _told(result: Score) -> dict[str, object]:
    total = result.total
    return {
        "recall": round(total.recall, 5),
        "precision": round(total.precision, 5),
        "entities": total.entities,
        "findings": total.findings,
        "look_alikes": result.traps,
        "look_alikes_found": result.trapped,
        "kinds": {
            kind: {
                "entities": count.entities,
                "recall": round(count.recall, 5),
                "precision": round(count.precision, 5),
            }
            for kind, count in sorted(result.kinds.items())
        },
    }


def main(arguments: list[str] | None = None) -> int:
    """Print one JSON line.

    Args:
        arguments: command line; that of the process where None.
    """
    parser = argparse.ArgumentParser(description="The sanitiser's quality and cost")
    parser.add_argument("--formats", choices=("tune", "held_out"), default="tune")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--most", type=int, default=2_000, help="lines of each file")
    parser.add_argument("--seed", type=int, default=20_261_121)
    parser.add_argument("--runs", type=int, default=MIN_RUNS)
    parser.add_argument("--side", choices=("speed",), help=argparse.SUPPRESS)
    parser.add_argument("--misses", action="store_true", help="print some first")
    chosen = parser.parse_args(arguments)
    if chosen.side is not None:
        show(speed(chosen.data, most=chosen.most, seed=chosen.seed))
        return 0
    result = quality(
        chosen.data, formats=chosen.formats, most=chosen.most, seed=chosen.seed
    )
    if chosen.misses:
        for name, examples in (("missed", result.missed), ("wrong", result.wrong)):
            for kind, value, text in examples[:40]:
                at = max(0, text.find(value) - 40)
                print(name, kind, repr(value[:60]), "in", text[at : at + 120])
    has_real = (chosen.data / "suricata_eve").is_dir()
    arguments_of_a_run = ["--side", "speed", "--data", str(chosen.data)]
    arguments_of_a_run += ["--most", str(chosen.most), "--seed", str(chosen.seed)]
    told = line(
        "sanitiser",
        sizes={
            "formats": chosen.formats,
            "most_lines_of_a_file": chosen.most,
            "real_lines": "yes" if has_real else "none: that folder is not here",
        },
        seed=chosen.seed,
        ours=lambda: run_fresh("benchmarks.sanitiser", arguments_of_a_run),
        runs=chosen.runs,
    )
    show({**told, "quality": _told(result)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
