# SPDX-License-Identifier: Apache-2.0
"""What it costs to turn log lines into pseudonymous columns, sorted by time.

``python -m benchmarks.telemetry --events 200000 --format eve`` (or ``zeek``)

Both sides read one file of embedded telemetry (simulation/traffic.py) and give the same
columns: time, two keyed 64-bit tokens, ports, protocol, volumes, duration, kind,
service and length of the name asked for. Counted on our side: ``intake.read`` whole,
states, entropies and labels too. The peer is what one would write with the standard
library: ``json.loads`` (or ``str.split``) and a walk through the record, HMAC-SHA256
with a dictionary of addresses seen. Not counted on either: making the file, starting
the interpreter, importing. Every run is a fresh process.

``events_per_cpu_second`` counts what came out. ``checksum`` is over tokens and volumes
and must be the same on both sides.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hmac
import json
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.measure import MIN_RUNS, Figures, Meter, line, run_fresh, show
from fedxdr.core.ids import sha256
from fedxdr.intake import read
from fedxdr.privacy.pseudonym import Pseudonymiser
from fedxdr.simulation import generate, write

KEY = bytes(range(32))
HOURS_PER_EVENT = {"eve": 48 / 5500, "zeek": 48 / 3400}
"""Length of world that gives one record, about; files are cut to the exact number."""

Row = tuple[int, int, int, int, int]


def build(path: Path, *, events: int, seed: int, log: str) -> None:
    """Write exactly that many records of one format, by one organisation."""
    hours = max(24.0, 1.15 * events * HOURS_PER_EVENT[log])
    with tempfile.TemporaryDirectory() as folder:
        world = generate(organisations=["bench"], seed=seed, hours=hours)
        files = write(world, Path(folder))[world.organisations[0].name]
        source = files.eve if log == "eve" else files.conn
        left = events
        with source.open("rb") as lines, path.open("wb") as out:
            for text in lines:
                is_record = not text.startswith(b"#")
                if is_record and not left:
                    break
                left -= is_record
                out.write(text)
    if left:
        raise RuntimeError(f"the world gave {events - left} records of {events}")


def ours(path: Path) -> Figures:
    """Read the file with ``intake.read``."""
    with Meter() as meter:
        taken = read([path], tokenise=Pseudonymiser(KEY).address)
    events = taken.events
    columns = (events.source, events.destination, events.bytes_out, events.bytes_in)
    return _figures(meter, len(events), columns)


def peer(path: Path, log: str) -> Figures:
    """Read the file with the standard library."""
    with Meter() as meter:
        rows = list(_walk_eve(path) if log == "eve" else _walk_zeek(path))
        rows.sort(key=lambda row: row[0])
        table = np.array(rows, np.int64)
    return _figures(meter, len(rows), tuple(table[:, 1:5].T))


def _figures(
    meter: Meter, events: int, columns: tuple[npt.NDArray[np.int64], ...]
) -> Figures:
    # Records of one time may stand in either order: the sum does not mind.
    mixed = sum(
        (column.astype(np.uint64) * np.uint64(2 * number + 3)).sum(dtype=np.uint64)
        for number, column in enumerate(columns)
    )
    return {
        **meter.figures(),
        "events": events,
        "events_per_cpu_second": events / meter.cpu_s,
        "checksum": sha256(str(mixed).encode())[:16],
    }


class _Tokens(dict[str, int]):
    """Tokens of addresses, made when first asked for."""

    def __missing__(self, text: str) -> int:
        message = b"fedxdr/pseudonym/v1\x00address\x00" + text.encode()
        digest = hmac.digest(KEY, message, "sha256")
        self[text] = token = int.from_bytes(digest[:8], "big", signed=True)
        return token


def _time_ns(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp() * 1e6) * 1000


def _walk_eve(path: Path) -> Iterator[tuple[int | float, ...]]:
    tokens = _Tokens()
    kinds: dict[str, int] = {}
    with path.open(encoding="utf-8") as lines:
        for text in lines:
            record = json.loads(text)
            if "src_ip" not in record:
                continue
            kind = record["event_type"]
            is_flow = kind == "flow"
            flow = record.get("flow", {}) if is_flow else {}
            begin = _time_ns(flow["start"] if is_flow else record["timestamp"])
            name = (
                record.get("dns", {}).get("rrname")
                or record.get("tls", {}).get("sni")
                or record.get("http", {}).get("hostname", "")
            )
            yield (
                begin,
                tokens[record["src_ip"]],
                tokens[record["dest_ip"]],
                flow.get("bytes_toserver", -1),
                flow.get("bytes_toclient", -1),
                flow.get("pkts_toserver", -1),
                flow.get("pkts_toclient", -1),
                record.get("src_port", -1),
                record.get("dest_port", -1),
                _time_ns(flow["end"]) - begin if is_flow else -1,
                kinds.setdefault(kind, len(kinds)),
                kinds.setdefault(record.get("app_proto", ""), len(kinds)),
                kinds.setdefault(record["proto"], len(kinds)),
                len(name) or -1,
            )


def _walk_zeek(path: Path) -> Iterator[tuple[int | float, ...]]:
    tokens = _Tokens()
    words: dict[str, int] = {}
    fields: list[str] = []
    with path.open(encoding="utf-8") as lines:
        for text in lines:
            cells = text.rstrip("\n").split("\t")
            if text.startswith("#"):
                fields = cells[1:] if cells[0] == "#fields" else fields
                continue
            record = dict(zip(fields, cells, strict=True))
            duration = record["duration"]
            yield (
                round(float(record["ts"]) * 1e6) * 1000,
                tokens[record["id.orig_h"]],
                tokens[record["id.resp_h"]],
                int(record["orig_ip_bytes"]),
                int(record["resp_ip_bytes"]),
                int(record["orig_pkts"]),
                int(record["resp_pkts"]),
                int(record["id.orig_p"]),
                int(record["id.resp_p"]),
                -1 if duration == "-" else int(float(duration) * 1e9),
                words.setdefault(record["service"], len(words)),
                words.setdefault(record["conn_state"], len(words)),
                words.setdefault(record["proto"], len(words)),
                -1,
            )


def main(arguments: list[str] | None = None) -> int:
    """Print one JSON line.

    Args:
        arguments: command line; that of the process where None.
    """
    parser = argparse.ArgumentParser(description="Cost of reading logs")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--format", choices=("eve", "zeek"), default="eve")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=MIN_RUNS)
    parser.add_argument("--side", choices=("ours", "peer"), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.side is not None:
        side = (
            ours(chosen.file)
            if chosen.side == "ours"
            else peer(chosen.file, chosen.format)
        )
        show(side)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("eve.json" if chosen.format == "eve" else "conn.log")
        build(path, events=chosen.events, seed=chosen.seed, log=chosen.format)

        def run(side: str) -> Figures:
            return run_fresh(
                "benchmarks.telemetry",
                ["--side", side, "--file", str(path), "--format", chosen.format],
            )

        result = line(
            f"telemetry {chosen.format}",
            sizes={"events": chosen.events, "file_bytes": path.stat().st_size},
            seed=chosen.seed,
            ours=lambda: run("ours"),
            peer=lambda: run("peer"),
            peer_name="standard library",
            peer_version=platform.python_version(),
            runs=chosen.runs,
        )
    show(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
