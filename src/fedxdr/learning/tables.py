# SPDX-License-Identifier: Apache-2.0
"""Anybody's labelled table (CSV or Parquet) as events with attack families.

Columns are found by name: the names that Zeek, CIC flow exports and common tables use.
Time and label are needed; endpoints are wanted; the rest is read where it is there.

It does NOT read Zeek or EVE logs (intake/ does) and keeps no text: addresses and
services become numbers that mean nothing outside this process.

Rules that always hold: a label that is empty, ``-``, 0, ``benign``, ``normal`` or
``false`` is benign, every other one names an attack family; a file that cannot be used
is refused with what is missing and what was there.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidSettings, InvalidTelemetry
from fedxdr.learning.dataset import (
    FEWEST_ROWS,
    Organisation,
    families_of,
    family_names,
)
from fedxdr.learning.features import FeatureSet
from fedxdr.models.graph import Integers
from fedxdr.telemetry.catalogue import Kind, protocol_of, service_of
from fedxdr.telemetry.event import BENIGN, MALICIOUS, UNLABELLED, Events

SUFFIXES: Final = (".csv", ".parquet")
"""Endings of the files that ``read`` takes."""

ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "time": ("time", "ts", "timestamp", "start_time", "flow start", "starttime"),
    "label": ("label", "class", "attack", "is_attack", "malicious"),
    "family": ("detailedlabel", "family", "attack_cat", "category", "technique"),
    "source": ("src", "source", "id.orig_h", "src_ip", "src ip", "srcip", "saddr"),
    "destination": (
        "dst",
        "destination",
        "id.resp_h",
        "dst_ip",
        "dst ip",
        "dstip",
        "daddr",
    ),
    "source_port": ("id.orig_p", "src_port", "src port", "sport", "source_port"),
    "destination_port": (
        "id.resp_p",
        "dst_port",
        "dst port",
        "dport",
        "destination_port",
        "dsport",
    ),
    "protocol": ("proto", "protocol"),
    "service": ("service", "app_proto"),
    "duration_s": ("duration", "dur", "duration_s"),
    "bytes_out": ("orig_bytes", "sbytes", "bytes_out", "src_bytes"),
    "bytes_in": ("resp_bytes", "dbytes", "bytes_in", "dst_bytes"),
    "packets_out": ("orig_pkts", "spkts", "packets_out"),
    "packets_in": ("resp_pkts", "dpkts", "packets_in"),
}
"""Column -> names under which it is looked for, in lower case."""

_BENIGN_LABELS: Final = frozenset(
    {"", "-", "0", "0.0", "benign", "normal", "false", "background", "none", "nan"}
)
_NUMBERS: Final = (
    "source_port",
    "destination_port",
    "bytes_out",
    "bytes_in",
    "packets_out",
    "packets_in",
)
_NS_BOUNDS: Final = ((1e17, 1), (1e14, 10**3), (1e11, 10**6), (0.0, 10**9))

Column = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled:
    """Events and what they were.

    Attributes:
        events: n rows in time order.
        family: (n,) int64, 0 benign, others point into ``families``.
        families: names, the first is benign.
    """

    events: Events
    family: Integers
    families: tuple[str, ...]


def read(path: Path) -> Labelled:
    """Return the events of a table.

    Args:
        path: of a ``.csv`` or ``.parquet`` file.

    Raises:
        InvalidSettings: no such file, another ending, or pyarrow is missing.
        InvalidTelemetry: no time or label column, or values that cannot be read.
    """
    if not path.is_file():
        raise InvalidSettings(f"{path}: no such file")
    readers: dict[str, Callable[[Path], dict[str, Column]]] = {
        ".csv": _read_csv,
        ".parquet": _read_parquet,
    }
    if path.suffix.lower() not in readers:
        raise InvalidSettings(f"{path}: a table ends in {' or '.join(SUFFIXES)}")
    table = readers[path.suffix.lower()](path)
    named = {name.strip().lower(): values for name, values in table.items()}
    found = {
        column: named[alias]
        for column, aliases in ALIASES.items()
        for alias in aliases[::-1]
        if alias in named
    }
    for needed in ("time", "label"):
        if needed not in found:
            raise InvalidTelemetry(
                f"{path}: no column for the {needed}; name it one of "
                f"{', '.join(ALIASES[needed])} (there is: {', '.join(table)})"
            )
    return _labelled(path, found)


def from_log(name: str, events: Events) -> Labelled:
    """Return the events of a labelled log, sorted, without alerts.

    Args:
        name: whose log, for the message.
        events: as a parser gave them.

    Raises:
        InvalidTelemetry: no event carries a label.
    """
    wanted = events.select(events.is_input).sort()
    if not (wanted.label != UNLABELLED).any():
        raise InvalidTelemetry(
            f"{name}: no event has a label; give a conn.log.labeled, or a table with a "
            "label column"
        )
    return Labelled(
        events=wanted, family=families_of(wanted), families=family_names(wanted)
    )


def organisation(name: str, labelled: Labelled, features: FeatureSet) -> Organisation:
    """Return an organisation's table for an evaluation.

    Args:
        name: of the organisation.
        labelled: its events.
        features: which to compute.

    Raises:
        InvalidTelemetry: too few rows, or nothing but one class.
    """
    family = labelled.family
    if len(family) <= FEWEST_ROWS:
        raise InvalidTelemetry(
            f"{name}: {len(family)} rows; an organisation needs more than {FEWEST_ROWS}"
        )
    if not (family == 0).any():
        raise InvalidTelemetry(
            f"{name}: no benign row; a false-alarm rate cannot be measured without"
        )
    return Organisation(
        name=name,
        time_ns=labelled.events.time_ns,
        features=features.compute(labelled.events),
        family=family,
        families=labelled.families,
    )


def _labelled(path: Path, found: Mapping[str, Column]) -> Labelled:
    rows = len(found["time"])
    label = _texts(found["label"])
    is_attack = np.array([text.lower() not in _BENIGN_LABELS for text in label], bool)
    detail = _texts(found["family"]) if "family" in found else label
    names = ["benign"]
    place = {"benign": 0}
    numbers = np.zeros(rows, np.int64)
    for row in np.flatnonzero(is_attack).tolist():
        text = detail[row]
        if text.lower() in _BENIGN_LABELS:
            text = label[row]
        if text not in place:
            place[text] = len(names)
            names.append(text)
        numbers[row] = place[text]
    columns: dict[str, Column] = {
        "time_ns": _times(path, found["time"]),
        "label": np.where(is_attack, MALICIOUS, BENIGN),
        "kind": np.full(rows, Kind.FLOW),
    }
    ends = [name for name in ("source", "destination") if name in found]
    if ends:
        texts = np.concatenate([np.array(_texts(found[name])) for name in ends])
        _, codes = np.unique(texts, return_inverse=True)
        for place_, name in enumerate(ends):
            columns[name] = codes[place_ * rows : (place_ + 1) * rows] + 1
    for name in _NUMBERS:
        if name in found:
            values = _numbers(path, name, found[name])
            columns[name] = np.where(np.isfinite(values), values, -1)
    if "duration_s" in found:
        columns["duration_s"] = np.maximum(
            _numbers(path, "duration_s", found["duration_s"]), 0
        )
    if "protocol" in found:
        columns["protocol"] = np.array(
            [protocol_of(text) for text in _texts(found["protocol"])]
        )
    if "service" in found:
        columns["service"] = np.array(
            [service_of(text) for text in _texts(found["service"])]
        )
    order = np.argsort(columns["time_ns"], kind="stable")
    return Labelled(
        events=Events.build(rows, columns).select(order),
        family=numbers[order],
        families=tuple(names),
    )


def _times(path: Path, values: Column) -> Integers:
    """Return UTC nanoseconds from epoch numbers of any unit, or ISO 8601 text."""
    if np.issubdtype(values.dtype, np.datetime64):
        return values.astype("datetime64[ns]").astype(np.int64)
    try:
        numbers = values.astype(np.float64)
    except ValueError:
        try:
            stamps = np.array(
                [text.replace("Z", "").replace(" ", "T") for text in _texts(values)],
                dtype="datetime64[ns]",
            )
        except ValueError as error:
            raise InvalidTelemetry(
                f"{path}: the time is neither seconds since 1970 nor ISO 8601: {error}"
            ) from error
        return stamps.astype(np.int64)
    if not np.isfinite(numbers).all() or (numbers < 0).any():
        raise InvalidTelemetry(f"{path}: a time is missing or negative")
    largest = float(numbers.max(initial=0.0))
    factor = next(factor for bound, factor in _NS_BOUNDS if largest >= bound)
    if np.issubdtype(values.dtype, np.integer):
        return values.astype(np.int64) * factor
    whole = np.floor(numbers)
    return whole.astype(np.int64) * factor + ((numbers - whole) * factor).astype(
        np.int64
    )


def _numbers(path: Path, name: str, values: Column) -> npt.NDArray[np.float64]:
    if values.dtype.kind in "OUS":
        unknown = {"", "-", "nan", "None", "(empty)"}
        texts = ["nan" if text in unknown else text for text in _texts(values)]
        try:
            return np.array(texts, np.float64)
        except ValueError as error:
            raise InvalidTelemetry(f"{path}: column {name}: {error}") from error
    return values.astype(np.float64)


def _texts(values: Column) -> list[str]:
    return ["" if value is None else str(value).strip() for value in values.tolist()]


def _read_csv(path: Path) -> dict[str, Column]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidTelemetry(f"{path}: not CSV in UTF-8: {error}") from error
    header_and_one = 2
    if len(rows) < header_and_one:
        raise InvalidTelemetry(f"{path}: no rows below the header")
    header, body = rows[0], [row for row in rows[1:] if row]
    for number, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise InvalidTelemetry(
                f"{path}: row {number} has {len(row)} cells, the header {len(header)}"
            )
    return {
        name: np.array(cells, dtype=object)
        for name, cells in zip(header, zip(*body, strict=True), strict=True)
    }


def _read_parquet(path: Path) -> dict[str, Column]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - extra "evaluate"
        import pyarrow.parquet as pq  # noqa: PLC0415 - extra "evaluate"
    except ImportError as error:
        raise InvalidSettings(
            "reading Parquet needs pyarrow: pip install 'fedxdr[evaluate]'"
        ) from error
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InvalidTelemetry(f"{path}: not a Parquet file: {error}") from error
    if not table.num_rows:
        raise InvalidTelemetry(f"{path}: no rows")
    return {
        name: column.to_numpy(zero_copy_only=False)
        if not pa.types.is_dictionary(column.type)
        else column.cast(column.type.value_type).to_numpy(zero_copy_only=False)
        for name, column in zip(
            table.column_names,
            (table[name].combine_chunks() for name in table.column_names),
            strict=True,
        )
    }
