# SPDX-License-Identifier: Apache-2.0
"""What it costs to take in EVE, a million lines, beside three readers of JSON.

``python -m benchmarks.ingest --events 1000000``

All sides read one file of embedded telemetry (simulation/traffic.py). Ours: all that
intake does but storing, ``intake.stream``: recognise, decode and check, times, keyed
tokens of addresses, codes, states, lengths and entropies, labels; batch after batch,
as a detector takes them. Peers do less: they put the same fields into columns, times
and addresses as the texts they are (orjson: lists and a walk through the record;
polars: ``read_ndjson`` with a schema; duckdb: a table from ``read_json`` with columns).
Not counted on any: making the file, starting the interpreter, importing. Every run is a
fresh process; CPU seconds are those of all its threads.

``ratios`` are a peer's CPU seconds over ours. ``checksum`` is over the bytes of flows
and must be the same on all sides. ``files`` counts what was kept, skipped and refused,
and why, of each real log in shared/data that is here; it is also written to standard
error as a table.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import MIN_RUNS, Figures, Meter, line, run_fresh, show

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FOLDERS = ("suricata_eve", "zeek_samples", "auth")
KEY = bytes(range(32))
WORLD_EVENTS = 500_000
TARGET_PER_S = 250_000
TARGET_BYTES = 150 * 10**6

FLOW = {
    "pkts_toserver": "BIGINT",
    "pkts_toclient": "BIGINT",
    "bytes_toserver": "BIGINT",
    "bytes_toclient": "BIGINT",
    "start": "VARCHAR",
    "end": "VARCHAR",
    "age": "BIGINT",
    "state": "VARCHAR",
}
NESTED = {
    "flow": FLOW,
    "tcp": {"tcp_flags_ts": "VARCHAR", "tcp_flags_tc": "VARCHAR"},
    "dns": {"rrname": "VARCHAR"},
    "http": {"hostname": "VARCHAR", "url": "VARCHAR", "length": "BIGINT"},
    "tls": {"sni": "VARCHAR"},
    "alert": {"severity": "BIGINT"},
}
FLAT = {
    "timestamp": "VARCHAR",
    "event_type": "VARCHAR",
    "flow_id": "UBIGINT",
    "src_ip": "VARCHAR",
    "dest_ip": "VARCHAR",
    "src_port": "BIGINT",
    "dest_port": "BIGINT",
    "proto": "VARCHAR",
    "app_proto": "VARCHAR",
}
"""The fields that ours reads, by the names of SQL's types."""


def ours(path: Path) -> Figures:
    """Take the file in; events are used batch by batch."""
    from fedxdr.intake import stream  # noqa: PLC0415 - each side imports its own
    from fedxdr.privacy.pseudonym import Pseudonymiser  # noqa: PLC0415 - same
    from fedxdr.telemetry.catalogue import Kind  # noqa: PLC0415 - same

    events = total = 0
    with Meter() as meter:
        for batch in stream([path], tokenise=Pseudonymiser(KEY)):
            events += len(batch.events)
            is_flow = batch.events.kind == Kind.FLOW
            total += _bytes_of(batch.events.bytes_out[is_flow])
            total += _bytes_of(batch.events.bytes_in[is_flow])
    heavy = any(name in sys.modules for name in ("torch", "pyarrow"))
    return _figures(meter, events, total) | {"torch_or_pyarrow": heavy}


def with_orjson(path: Path) -> Figures:
    """Walk through the records, one list for each field."""
    import orjson  # noqa: PLC0415 - an extra

    flat: dict[str, list[Any]] = {name: [] for name in FLAT}
    nested: dict[str, dict[str, list[Any]]] = {
        name: {inner: [] for inner in fields} for name, fields in NESTED.items()
    }
    with Meter() as meter:
        with path.open("rb") as lines:
            for text in lines:
                record = orjson.loads(text)
                if "src_ip" not in record:
                    continue
                for name, column in flat.items():
                    column.append(record.get(name))
                for name, columns in nested.items():
                    part = record.get(name)
                    if part is None:
                        for column in columns.values():
                            column.append(None)
                    else:
                        for inner, column in columns.items():
                            column.append(part.get(inner))
        kinds, flows = flat["event_type"], nested["flow"]
        numbers = {
            name: np.array([-1 if v is None else v for v in flows[name]], np.int64)
            for name, type_ in FLOW.items()
            if type_ == "BIGINT"
        }
        is_flow = np.array([kind == "flow" for kind in kinds])
        total = sum(
            _bytes_of(numbers[name][is_flow])
            for name in ("bytes_toserver", "bytes_toclient")
        )
    return _figures(meter, len(kinds), total)


def with_polars(path: Path) -> Figures:
    """Let polars read the file, with a schema of the fields."""
    import polars as pl  # noqa: PLC0415 - an extra

    kinds = {
        "VARCHAR": pl.String,
        "BIGINT": pl.Int64,
        "UBIGINT": pl.UInt64,
    }
    schema = {name: kinds[type_] for name, type_ in FLAT.items()} | {
        name: pl.Struct({inner: kinds[type_] for inner, type_ in fields.items()})
        for name, fields in NESTED.items()
    }
    with Meter() as meter:
        table = pl.read_ndjson(path, schema=schema)
        table = table.filter(pl.col("src_ip").is_not_null())
        flows = table.filter(pl.col("event_type") == "flow")["flow"].struct
        total = sum(
            int(flows.field(name).sum() or 0)
            for name in ("bytes_toserver", "bytes_toclient")
        )
    return _figures(meter, len(table), total)


def with_duckdb(path: Path) -> Figures:
    """Let duckdb read the file into a table, with the types of the fields."""
    import duckdb  # noqa: PLC0415 - an extra

    types = dict(FLAT) | {
        name: "STRUCT("
        + ", ".join(f'"{inner}" {type_}' for inner, type_ in fields.items())
        + ")"
        for name, fields in NESTED.items()
    }
    columns = ", ".join(f"'{name}': '{type_}'" for name, type_ in types.items())
    with Meter() as meter:
        database = duckdb.connect()
        database.execute(
            "CREATE TABLE eve AS SELECT * FROM read_json("  # noqa: S608 - our own names
            f"'{path}', format='newline_delimited', columns={{{columns}}}) "
            "WHERE src_ip IS NOT NULL"
        )
        found = database.execute(
            "SELECT count(*), sum(CASE WHEN event_type = 'flow' THEN "
            'flow."bytes_toserver" + flow."bytes_toclient" ELSE 0 END) FROM eve'
        ).fetchone()
    rows, total = found or (0, 0)
    return _figures(meter, int(rows), int(total))


SIDES: Mapping[str, Callable[[Path], Figures]] = {
    "ours": ours,
    "orjson": with_orjson,
    "polars": with_polars,
    "duckdb": with_duckdb,
}


def _bytes_of(column: np.ndarray[Any, np.dtype[np.int64]]) -> int:
    """Return the sum of a column without what is not known (-1)."""
    return int(column[column > 0].sum())


def _figures(meter: Meter, events: int, total: int) -> Figures:
    return {
        **meter.figures(),
        "events": events,
        "events_per_cpu_second": events / meter.cpu_s,
        "checksum": str(total),
    }


def real_files() -> list[dict[str, object]]:
    """Return what each real log that is here held."""
    from fedxdr.intake import stream  # noqa: PLC0415 - each side imports its own
    from fedxdr.intake.counters import UNTOLD  # noqa: PLC0415 - same
    from fedxdr.privacy.pseudonym import Pseudonymiser  # noqa: PLC0415 - same

    tokenise = Pseudonymiser(KEY)
    rows: list[dict[str, object]] = []
    for folder in FOLDERS:
        for path in sorted((DATA / folder).glob("*")):
            if path.name == "SOURCE.txt":
                continue
            *_, last = stream([path], tokenise=tokenise)
            report = last.report
            told = Counter(report.why_skipped)
            told[UNTOLD] += report.skipped - told.total()
            rows.append(
                {
                    "file": f"{folder}/{path.name}",
                    "format": report.format.value if report.format else None,
                    "lines": report.lines,
                    "kept": report.events,
                    "skipped": report.skipped,
                    "refused": report.rejected,
                    "why": dict(+told) | dict(report.why_rejected),
                    "problem": report.problem,
                }
            )
    return rows


def _table(rows: list[dict[str, object]]) -> str:
    """Return the rows as text."""
    text = f"{'file':<68}{'lines':>7}{'kept':>7}{'skip':>6}{'bad':>5}  why\n"
    for row in rows:
        why = "; ".join(f"{count} {name}" for name, count in dict(row["why"]).items())  # type: ignore[call-overload]
        text += (
            f"{row['file']:<68}{row['lines']:>7}{row['kept']:>7}{row['skipped']:>6}"
            f"{row['refused']:>5}  {why}\n"
        )
    return text


def build_all(path: Path, *, events: int, seed: int) -> None:
    """Write so many records; a world has no more than a year, so of several worlds."""
    from benchmarks.telemetry import build  # noqa: PLC0415 - not in the readers

    part = path.with_suffix(".part")
    with path.open("wb") as file:
        for number, begin in enumerate(range(0, events, WORLD_EVENTS)):
            count = min(WORLD_EVENTS, events - begin)
            build(part, events=count, seed=seed + number, log="eve")
            with part.open("rb") as lines:
                shutil.copyfileobj(lines, file)
    part.unlink()


def compare(path: Path, *, events: int, seed: int, runs: int) -> dict[str, object]:
    """Return the benchmark's line: all sides in turn, over one file."""
    figures: dict[str, list[Figures]] = {side: [] for side in SIDES}
    for _ in range(runs):
        for side, done in figures.items():
            arguments = ["--side", side, "--file", str(path)]
            done.append(run_fresh("benchmarks.ingest", arguments))
    sums = {str(one["checksum"]) for done in figures.values() for one in done}
    if len(sums) > 1:
        raise RuntimeError(f"the sides read different things: {sums}")
    result: dict[str, Any] = {}
    peers: dict[str, object] = {}
    ratios: dict[str, object] = {}
    for side in list(SIDES)[1:]:
        result = line(
            "ingest",
            sizes={"events": events, "file_bytes": path.stat().st_size},
            seed=seed,
            ours=iter(figures["ours"]).__next__,
            peer=iter(figures[side]).__next__,
            peer_name=side,
            peer_version=importlib.metadata.version(side),
            runs=runs,
        )
        peers[side] = result.pop("peer")
        ratios[side] = result.pop("ratio")
    mine = result["ours"]
    return result | {
        "peers": peers,
        "ratios": ratios,
        "reached": {
            f"{TARGET_PER_S} events per CPU-second": (
                mine["events_per_cpu_second"] >= TARGET_PER_S
            ),
            f"{TARGET_BYTES} bytes resident": mine["peak_rss_bytes"] <= TARGET_BYTES,
        },
    }


def main(arguments: list[str] | None = None) -> int:
    """Print one JSON line.

    Args:
        arguments: command line; that of the process where None.
    """
    parser = argparse.ArgumentParser(description="Cost of taking logs in")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=MIN_RUNS)
    parser.add_argument("--side", choices=tuple(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.side is not None:
        show(SIDES[chosen.side](chosen.file))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "eve.json"
        build_all(path, events=chosen.events, seed=chosen.seed)
        result = compare(path, events=chosen.events, seed=chosen.seed, runs=chosen.runs)
    files = real_files()
    sys.stderr.write(_table(files) if files else "no real logs here: shared/data\n")
    show(result | {"files": files})
    return 0


if __name__ == "__main__":
    sys.exit(main())
