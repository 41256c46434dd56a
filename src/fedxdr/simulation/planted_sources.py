# SPDX-License-Identifier: Apache-2.0
"""Reads the real lines that entities are planted into.

Suricata EVE, Zeek tables and Zeek JSON, alerts of Wazuh and AMiner (the rows of AIT-ADS
in the fields those sensors write them to), syslog of OpenSSH and Linux, and Windows'
servicing log as text in which nothing is to be found.

It does NOT fetch anything: without the folder there is nothing to read.

Rule: the same folder gives the same lines in the same order; at most ``most`` of each
file, spread evenly over it.

Sources: the SOURCE.txt beside each file.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fedxdr.core.errors import InvalidSettings
from fedxdr.simulation.planted import Log, RealLine

_AIT_FILE: Final = "ait_ads/ait_ads_alerts.parquet"
_AIT_COLUMNS: Final = ["time", "name", "ip", "host", "short"]


def read_real_lines(folder: Path, *, most: int = 2_000) -> list[RealLine]:
    """Return lines of every format.

    Args:
        folder: where the data sets lie.
        most: lines of each file, >= 1.

    Raises:
        InvalidSettings: the folder lacks one of them.
    """
    if not (folder / "suricata_eve").is_dir():
        raise InvalidSettings("no folder suricata_eve where real lines were looked for")
    lines: list[RealLine] = []
    for path in sorted((folder / "suricata_eve").glob("*.gz")):
        lines += _spread(list(_eve(path)), most)
    for path in sorted((folder / "zeek_samples").glob("*.gz")):
        lines += _spread(list(_zeek(path)), most)
    for name in ("Linux", "OpenSSH", "Windows"):
        log: Log = "text" if name == "Windows" else "syslog"
        texts = _texts(folder / "auth" / f"loghub_{name}_2k.log.gz")
        lines += _spread([RealLine(log=log, text=text) for text in texts], most)
    return lines + _ait(folder / _AIT_FILE, most)


def _spread(lines: list[RealLine], most: int) -> list[RealLine]:
    step = max(1, -(-len(lines) // most))
    return lines[::step]


def _texts(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()


def _compact(record: object) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def _eve(path: Path) -> Iterator[RealLine]:
    texts = _texts(path)
    if texts[0].strip() == "[":  # some collections wrap their alerts in one list
        for record in json.loads("\n".join(texts)):
            yield RealLine(log="eve", text=_compact(record))
    else:
        for text in texts:
            yield RealLine(log="eve", text=text)


def _zeek(path: Path) -> Iterator[RealLine]:
    stream = path.name.partition(".log")[0].rpartition("_")[2]
    columns: tuple[str, ...] = ()
    for text in _texts(path):
        if text.startswith("{"):
            record: dict[str, Any] = json.loads(text)
            yield RealLine(
                log="zeek-json", text=text, stream=str(record.get("@stream", stream))
            )
        elif text.startswith("#fields"):
            columns = tuple(text.split("\t")[1:])
        elif not text.startswith("#") and text.count("\t") + 1 == len(columns):
            yield RealLine(log="zeek-tsv", text=text, stream=stream, columns=columns)


def _ait(path: Path, most: int) -> list[RealLine]:
    try:
        from pyarrow import parquet  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise InvalidSettings("pyarrow is missing: install fedxdr[evaluate]") from error
    table = parquet.read_table(path, columns=_AIT_COLUMNS)
    step = max(1, table.num_rows // most)
    rows = table.take(list(range(0, table.num_rows, step))[:most]).to_pylist()
    return [RealLine(log="wazuh", text=_compact(_alert(row))) for row in rows]


def _alert(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of AIT-ADS as the sensor that wrote the alert lays it out."""
    time = datetime.fromtimestamp(row["time"], UTC).isoformat()
    sensor, _, name = row["name"].partition(": ")
    if sensor == "AMiner":
        return {
            "AnalysisComponent": {
                "AnalysisComponentName": name,
                "Message": row["short"],
            },
            "LogData": {"Timestamps": [row["time"]]},
            "AMiner": {"ID": row["ip"]},
            "agent": {"name": row["host"]},
        }
    return {
        "timestamp": time,
        "rule": {"level": 5, "description": name, "groups": [row["short"]]},
        "agent": {"id": "003", "name": row["host"], "ip": row["ip"]},
        "decoder": {"name": sensor.lower()},
        "location": "/var/log/syslog",
    }
