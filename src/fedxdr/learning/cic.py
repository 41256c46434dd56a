# SPDX-License-Identifier: Apache-2.0
"""The CIC-IDS2017 sample as five organisations that know different attack families.

A flow belongs to the organisation of its internal host if it is benign. The first 60 %
of each family's flows, in time order, are learned from, every family by exactly two of
the five; the later 40 % are dealt out, so that each organisation is tested on flows of
all ten families, four of which it has trained on.

It does NOT split by the clock: families come on different days, so what one of them is
learned from may be later than what another is tested on. That is the published
protocol's and is why no figure of it says how early an attack would have been seen.

Rules that always hold: a flow is learned from or tested on, never both; a flow's own
statistics depend on no other flow; no address and no port is a number that is read,
they are keys of the neighbourhood (``around``), which looks back over the
organisation's flows of both kinds, without labels.

Sources: Sharafaldin, Lashkari, Ghorbani 2018 (CIC-IDS2017), labels as mended by Liu,
Engelen et al. 2022; the division among organisations is this project's protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidSettings, InvalidTelemetry
from fedxdr.learning import own_columns, parquet
from fedxdr.learning.dataset import Organisation
from fedxdr.learning.features import FeatureSet
from fedxdr.learning.own_columns import SHARE, OwnColumn, Table
from fedxdr.models.graph import Integers
from fedxdr.telemetry.catalogue import Kind
from fedxdr.telemetry.event import Events

FILE: Final = "cicids2017_improved_rnd5000.parquet"
FAMILIES: Final = (
    "DDoS",
    "DoS GoldenEye",
    "DoS Hulk",
    "Infiltration - Portscan",
    "Portscan",
    "FTP-Patator",
    "DoS Slowloris",
    "SSH-Patator",
    "DoS Slowhttptest",
    "Botnet",
)
"""In the order in which they are given to organisations; rarer ones are left out."""

ORGANISATIONS: Final = 5
LEARNED_SHARE: Final = 0.6
_BENIGN: Final = "BENIGN"
_INTERNAL: Final = "192.168.10."
_SECOND_OWNER: Final = 2

_TEXTS: Final = ("Src IP", "Dst IP", "Timestamp", "Label")
_WAYS: Final = ("Fwd", "Bwd")
_UNITS: Final[Mapping[str, tuple[str, ...]]] = {
    "microseconds": (
        "Flow Duration",
        *(
            f"{way} IAT {figure}"
            for way in ("Flow", "Fwd", "Bwd")
            for figure in ("Total", "Mean", "Std", "Max", "Min")
            if (way, figure) != ("Flow", "Total")
        ),
        *(
            f"{state} {figure}"
            for state in ("Active", "Idle")
            for figure in ("Mean", "Std", "Max", "Min")
        ),
        "Total TCP Flow Time",
    ),
    "packets": (
        "Total Fwd Packet",
        "Total Bwd packets",
        "Fwd Packet/Bulk Avg",
        "Bwd Packet/Bulk Avg",
        "Subflow Fwd Packets",
        "Subflow Bwd Packets",
        "Fwd Act Data Pkts",
    ),
    "bytes": (
        "Total Length of Fwd Packet",
        "Total Length of Bwd Packet",
        *(
            f"{way}Packet Length {figure}"
            for way in ("Fwd ", "Bwd ", "")
            for figure in ("Max", "Min", "Mean", "Std")
        ),
        "Fwd Header Length",
        "Bwd Header Length",
        "Average Packet Size",
        "Fwd Segment Size Avg",
        "Bwd Segment Size Avg",
        "Fwd Bytes/Bulk Avg",
        "Bwd Bytes/Bulk Avg",
        "Subflow Fwd Bytes",
        "Subflow Bwd Bytes",
        "FWD Init Win Bytes",
        "Bwd Init Win Bytes",
        "Fwd Seg Size Min",
    ),
    "bytes squared": ("Packet Length Variance",),
    "per second": (
        "Flow Bytes/s",
        "Flow Packets/s",
        "Fwd Packets/s",
        "Bwd Packets/s",
        "Fwd Bulk Rate Avg",
        "Bwd Bulk Rate Avg",
    ),
    "count": (
        *(f"{way} {flag} Flags" for flag in ("PSH", "URG", "RST") for way in _WAYS),
        *(
            f"{flag} Flag Count"
            for flag in ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "CWR", "ECE")
        ),
    ),
    "ratio": ("Down/Up Ratio",),
    "code": ("ICMP Code", "ICMP Type"),
}
_PROTOCOLS: Final = (6, 17)
COLUMNS: Final = (
    *(
        OwnColumn(name=name, unit=unit)
        for unit, names in _UNITS.items()
        for name in names
    ),
    *(OwnColumn(name=f"Protocol={number}", unit=SHARE) for number in _PROTOCOLS),
)
"""The flow statistics, by unit, and the two transports."""

_KEYS: Final = ("Src IP", "Src Port", "Dst IP", "Dst Port", "Protocol", "Timestamp")


def read(
    folder: Path, *, around: FeatureSet | None = None
) -> tuple[list[Organisation], FeatureSet]:
    """Return the organisations and what their features are.

    Args:
        folder: where the sample's Parquet file lies.
        around: neighbourhood to put in front of the flow statistics.

    Raises:
        InvalidSettings: the file is not there, or pyarrow is not installed.
        InvalidTelemetry: the file is not that table.
    """
    path = folder / FILE
    if not path.is_file():
        raise InvalidSettings(
            f"{FILE} is not in {folder}: give the folder of the CIC-IDS2017 sample "
            "with --data"
        )
    columns = _ordered(path)
    label: parquet.Texts = columns["Label"]
    family = _numbers_of(label)
    organisation, is_learned = _dealt(family, _internal(columns))
    events, table = _events(columns), _table(columns)
    found = []
    for number in range(ORGANISATIONS):
        rows = np.flatnonzero(organisation == number)
        stream, place = events.select(rows), np.arange(len(rows))
        found.append(
            Organisation(
                name=f"hosts-{number}",
                time_ns=stream.time_ns,
                features=own_columns.joined(
                    table[rows], COLUMNS, around=around, stream=stream
                ),
                family=family[rows],
                families=("benign", *FAMILIES),
                may_train=is_learned[rows],
                may_test=~is_learned[rows],
                table=table[rows],
                columns=COLUMNS,
                stream=stream,
                place=place,
            )
        )
    return found, own_columns.feature_set("cic", COLUMNS, around=around)


def _ordered(path: Path) -> dict[str, Any]:
    """Return the columns that are read, in time order, without the rare families."""
    wanted = [
        *_KEYS,
        "Label",
        *(column.name for column in COLUMNS if column.unit != SHARE),
    ]
    read_in: dict[str, Any] = {**parquet.read(path, wanted)}
    for name in wanted:
        if isinstance(read_in[name], parquet.Texts) != (name in _TEXTS):
            raise InvalidTelemetry(f"{FILE}: column {name} is of another type")
    try:
        stamps = np.array(read_in["Timestamp"].values, "datetime64[ns]")
    except ValueError as error:
        raise InvalidTelemetry(f"{FILE}: a timestamp is not ISO 8601") from error
    times = stamps.astype(np.int64)[read_in["Timestamp"].codes]
    order = np.argsort(times, kind="stable")
    label = read_in["Label"]
    known = np.isin(np.array(label.values), (_BENIGN, *FAMILIES))[label.codes]
    order = order[known[order]]
    kept: dict[str, Any] = {"time_ns": times[order]}
    for name, column in read_in.items():
        kept[name] = (
            parquet.Texts(codes=column.codes[order], values=column.values)
            if isinstance(column, parquet.Texts)
            else column[order]
        )
    return kept


def _numbers_of(label: parquet.Texts) -> Integers:
    """Return (n,) 0 for benign flows, else the family's place in FAMILIES, from 1."""
    place = {_BENIGN: 0, **{name: k for k, name in enumerate(FAMILIES, start=1)}}
    return np.array([place.get(text, 0) for text in label.values])[label.codes]


def _internal(columns: Mapping[str, Any]) -> Integers:
    """Return (n,) the internal host's number, in the order of first appearance."""
    source = columns["Src IP"]
    inside = np.array([text.startswith(_INTERNAL) for text in source.values], bool)
    codes = _addresses(columns)
    host = np.where(inside[source.codes], codes[0], codes[1])
    _, first, number = np.unique(host, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number]


def _dealt(
    family: Integers, internal: Integers
) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Return each flow's organisation, and which flows are learned from."""
    organisation = internal % ORGANISATIONS
    is_learned = np.zeros(len(family), bool)
    for number in range(len(FAMILIES) + 1):
        rows = np.flatnonzero(family == number)
        early, late = np.split(rows, [int(LEARNED_SHARE * len(rows))])
        is_learned[early] = True
        if number == 0:
            continue
        first = number - 1
        owners = (first % ORGANISATIONS, (first + _SECOND_OWNER) % ORGANISATIONS)
        organisation[early] = np.array(owners)[np.arange(len(early)) % len(owners)]
        organisation[late] = np.arange(len(late)) % ORGANISATIONS
    return organisation, is_learned


def _addresses(columns: Mapping[str, Any]) -> tuple[Integers, Integers]:
    """Return both ends as numbers of one numbering, from 1."""
    source, target = columns["Src IP"], columns["Dst IP"]
    _, codes = np.unique([*source.values, *target.values], return_inverse=True)
    return (
        codes[: len(source.values)][source.codes] + 1,
        codes[len(source.values) :][target.codes] + 1,
    )


def _events(columns: Mapping[str, Any]) -> Events:
    """Return the flows as events, without labels."""
    source, target = _addresses(columns)
    rows = len(source)
    return Events.build(
        rows,
        {
            "time_ns": columns["time_ns"],
            "source": source,
            "destination": target,
            "source_port": columns["Src Port"],
            "destination_port": columns["Dst Port"],
            "protocol": columns["Protocol"],
            "kind": np.full(rows, Kind.FLOW),
            "bytes_out": columns["Total Length of Fwd Packet"],
            "bytes_in": columns["Total Length of Bwd Packet"],
            "packets_out": columns["Total Fwd Packet"],
            "packets_in": columns["Total Bwd packets"],
            "duration_s": np.maximum(columns["Flow Duration"], 0) / 1e6,
        },
    )


def _table(columns: Mapping[str, Any]) -> Table:
    """Return (n, C) the numbers of ``COLUMNS``; what is not finite becomes 0."""
    found = [
        columns["Protocol"] == int(column.name.partition("=")[2])
        if column.unit == SHARE
        else columns[column.name]
        for column in COLUMNS
    ]
    table = np.stack([column.astype(np.float64) for column in found], axis=1)
    return np.where(np.isfinite(table), table, 0.0)
