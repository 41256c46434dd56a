# SPDX-License-Identifier: Apache-2.0
"""What it costs to make features of the newest events of a long stream.

    python -m benchmarks.streaming [--features traffic] [--block 10000]
                                   [--hosts 10000] [--past 500000] [--events 200000]
                                   [--most-nodes 65536] [--seed 0]

A stream of connections: hosts are busy by a power law, each speaks with 16 usual
servers, one event in twenty goes to any host at all. ``Stream`` takes the past in
blocks, then ``--events`` more; these are counted. The peer is ours too: the batch form,
``FeatureSet.compute`` over the whole past and one block, asked for the block's rows;
its past is the largest that ours had. Not counted on either side: making the events.
Every run is a fresh process on one thread.

``cpu_s`` is that of one block, ``events_per_cpu_second`` counts events whose features
came out; ``extra_rss_bytes`` is what the measured part takes beyond all before it, its
own result included. ``state_bytes`` is what is kept of the past, as it is saved, and
``save_s`` and ``load_s`` CPU seconds of that. ``checksum`` is of the last block's
features and must be the same on both sides, as long as no node was forgotten
(``forgot`` false): with ``--most-nodes`` above the pairs that the stream shows.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time

import numpy as np

from benchmarks.measure import MIN_RUNS, Figures, Meter, line, run_fresh, show
from fedxdr.core.ids import sha256
from fedxdr.core.randomness import generator
from fedxdr.learning import features
from fedxdr.learning.readings import READINGS
from fedxdr.learning.streaming import MOST_NODES, Stream
from fedxdr.telemetry.event import Events

USUAL = 16
"""Servers that a host speaks with."""

STRANGE = 0.05
"""Part of the events that go to any host."""

NUMBERS = {
    "block": 10_000,
    "hosts": 10_000,
    "past": 500_000,
    "events": 200_000,
    "most_nodes": MOST_NODES,
    "seed": 0,
}


def build(rows: int, *, hosts: int, seed: int) -> Events:
    """Return a stream of connections."""
    draw = generator(seed)
    tokens = draw.integers(-(2**63), 2**63 - 1, hosts)
    servers = max(hosts // 20, 1)
    usual = (servers * draw.random((hosts, USUAL)) ** 3).astype(np.int64)
    source = draw.permutation(hosts)[(hosts * draw.random(rows) ** 1.5).astype(int)]
    partner = (USUAL * draw.random(rows) ** 2).astype(np.int64)
    is_strange = draw.random(rows) < STRANGE
    destination = np.where(
        is_strange, draw.integers(0, hosts, rows), usual[source, partner]
    )
    return Events.build(
        rows,
        {
            "time_ns": np.cumsum(draw.integers(0, 2_000_000, rows)),
            "source": tokens[source],
            "destination": tokens[destination],
            "source_port": draw.integers(1024, 65536, rows),
            "destination_port": draw.choice([22, 53, 443, 445, 8080], rows),
            "protocol": draw.choice([6, 17], rows),
            "service": 1 + (7 * destination + partner % 2) % 8,
            "kind": draw.integers(0, 7, rows),
            "bytes_out": draw.integers(0, 10**6, rows),
            "bytes_in": draw.integers(0, 10**7, rows),
            "packets_out": draw.integers(0, 1000, rows),
            "packets_in": draw.integers(0, 1000, rows),
            "duration_s": draw.exponential(1.0, rows),
            "state": draw.integers(0, 6, rows),
            "text_length": draw.integers(-1, 60, rows),
            "text_entropy": 4 * draw.random(rows),
        },
    )


def ours(events: Events, name: str, *, past: int, block: int, most: int) -> Figures:
    """Push the past, then the rest; the rest is measured."""
    stream = Stream(name, most_nodes=most)
    blocks = [
        events.select(slice(begin, begin + block))
        for begin in range(0, len(events), block)
    ]
    for early in blocks[: past // block]:
        stream.push(early)
    last = np.zeros((0, 0), np.float32)
    with Meter() as meter:
        for late in blocks[past // block :]:
            last = stream.push(late)
    started = time.process_time()
    state = stream.save()
    saved = time.process_time()
    Stream.load(state)
    return {
        **meter.figures(),
        "cpu_s": meter.cpu_s * block / (len(events) - past),
        "events_per_cpu_second": (len(events) - past) / meter.cpu_s,
        "state_bytes": len(state),
        "save_s": saved - started,
        "load_s": time.process_time() - saved,
        "forgot": max(stream.nodes) >= most,
        "checksum": sha256(last.tobytes())[:16],
    }


def peer(events: Events, name: str, *, block: int) -> Figures:
    """Compute the last block's features from the whole stream."""
    rows = np.arange(len(events) - block, len(events))
    with Meter() as meter:
        found = features.find(name).compute(events, rows)
    return {
        **meter.figures(),
        "events_per_cpu_second": block / meter.cpu_s,
        "checksum": sha256(found.tobytes())[:16],
    }


def main(arguments: list[str] | None = None) -> int:
    """Print one JSON line.

    Args:
        arguments: command line; that of the process where None.
    """
    parser = argparse.ArgumentParser(description="Features of the newest events")
    parser.add_argument("--features", choices=sorted(READINGS), default="traffic")
    for name, default in NUMBERS.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, dest=name, type=int, default=default)
    parser.add_argument("--runs", type=int, default=MIN_RUNS)
    parser.add_argument("--side", choices=("ours", "peer"), help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    block, past = chosen.block, chosen.past
    if past % block or chosen.events % block or not chosen.events:
        parser.error("--past and --events are whole blocks")
    if chosen.side:
        events = build(past + chosen.events, hosts=chosen.hosts, seed=chosen.seed)
        show(
            ours(
                events, chosen.features, past=past, block=block, most=chosen.most_nodes
            )
            if chosen.side == "ours"
            else peer(events, chosen.features, block=block)
        )
        return 0
    sizes = {name: getattr(chosen, name) for name in NUMBERS if name != "seed"}
    again = ["--features", chosen.features, "--seed", str(chosen.seed)]
    again += itertools.chain.from_iterable(
        (f"--{name.replace('_', '-')}", str(value)) for name, value in sizes.items()
    )
    show(
        line(
            "streaming",
            sizes={"features": chosen.features, **sizes},
            seed=chosen.seed,
            ours=lambda: run_fresh("benchmarks.streaming", [*again, "--side", "ours"]),
            peer=lambda: run_fresh("benchmarks.streaming", [*again, "--side", "peer"]),
            peer_name="the whole past again",
            runs=chosen.runs,
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
