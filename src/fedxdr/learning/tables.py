# SPDX-License-Identifier: Apache-2.0
"""Anybody's labelled table (CSV or Parquet) as events with attack families.

Columns are found by name: the names that Zeek, CICFlowMeter, NetFlow (nProbe, nfdump,
IPFIX) and common tables use, with the unit that goes with the name. Time and label are
needed; endpoints are wanted; the rest is read where it is there.

It does NOT read Zeek or EVE logs (intake/ does) and keeps no text: addresses and
services become numbers that mean nothing outside this process.

Rules that always hold: a label that is empty, ``-``, 0, ``benign``, ``normal`` or
``false`` is benign, every other one names an attack family; a file that cannot be used
is refused with what is missing and what was there; files are read block by block, and
columns that mean nothing here are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidSettings, InvalidTelemetry
from fedxdr.learning import csv_columns, parquet
from fedxdr.learning.csv_columns import Form
from fedxdr.learning.dataset import (
    FEWEST_ROWS,
    Organisation,
    families_of,
    family_names,
)
from fedxdr.learning.features import FeatureSet
from fedxdr.learning.parquet import Codes, Column, Texts
from fedxdr.models.graph import Integers
from fedxdr.telemetry.catalogue import Kind, protocol_of, service_of
from fedxdr.telemetry.event import BENIGN, MALICIOUS, UNLABELLED, Events

SUFFIXES: Final = (".csv", ".parquet")
"""Endings of the files that ``read`` takes."""

ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "time": (
        *("time", "ts", "timestamp", "start_time", "flow start", "starttime", "stime"),
        *("flow_start_milliseconds", "flowstartmilliseconds"),
    ),
    "label": ("label", "class", "attack", "is_attack", "malicious"),
    "family": (
        *("detailedlabel", "family", "attack_cat", "category", "technique", "attack"),
    ),
    "source": (
        *("src", "source", "id.orig_h", "src_ip", "src ip", "source ip", "srcip"),
        *("saddr", "sa", "ipv4_src_addr", "sourceipv4address"),
    ),
    "destination": (
        *("dst", "destination", "id.resp_h", "dst_ip", "dst ip", "destination ip"),
        *("dstip", "daddr", "da", "ipv4_dst_addr", "destinationipv4address"),
    ),
    "source_port": (
        *("id.orig_p", "src_port", "src port", "source port", "sport", "source_port"),
        *("sp", "l4_src_port", "sourcetransportport"),
    ),
    "destination_port": (
        *("id.resp_p", "dst_port", "dst port", "destination port", "dport"),
        *("destination_port", "dsport", "dp", "l4_dst_port"),
        "destinationtransportport",
    ),
    "protocol": ("proto", "protocol", "pr", "protocolidentifier"),
    "service": ("service", "app_proto"),
    "duration_s": (
        *("duration", "dur", "duration_s", "td", "flow duration"),
        *("flow_duration_milliseconds", "flowdurationmilliseconds"),
    ),
    "bytes_out": (
        *("orig_bytes", "sbytes", "bytes_out", "src_bytes", "in_bytes", "ibyt"),
        *("octetdeltacount", "total length of fwd packet", "totlen fwd pkts"),
        "total length of fwd packets",
    ),
    "bytes_in": (
        *("resp_bytes", "dbytes", "bytes_in", "dst_bytes", "out_bytes", "obyt"),
        *("total length of bwd packet", "totlen bwd pkts"),
        "total length of bwd packets",
    ),
    "packets_out": (
        *("orig_pkts", "spkts", "packets_out", "in_pkts", "ipkt", "packetdeltacount"),
        *("total fwd packet", "total fwd packets", "tot fwd pkts"),
    ),
    "packets_in": (
        *("resp_pkts", "dpkts", "packets_in", "out_pkts", "opkt"),
        *("total bwd packets", "total backward packets", "tot bwd pkts"),
    ),
}
"""Column -> names under which it is looked for, in lower case; the first one wins. What
a NetFlow exporter calls *in* came from the source."""

SECONDS: Final = {
    "flow duration": 1e-6,
    "flow_duration_milliseconds": 1e-3,
    "flowdurationmilliseconds": 1e-3,
}
"""Seconds in one unit of a duration; 1 where a name is not listed. The unit of a time
is told by its size."""

_BENIGN_LABELS: Final = frozenset(
    {"", "-", "0", "0.0", "benign", "normal", "false", "background", "none", "nan"}
)
_ENDS: Final = ("source", "destination")
_NUMBERS: Final = (
    "source_port",
    "destination_port",
    "bytes_out",
    "bytes_in",
    "packets_out",
    "packets_in",
)
_NS_BOUNDS: Final = ((1e17, 1), (1e14, 10**3), (1e11, 10**6), (0.0, 10**9))

_FORMS: Final[dict[str, Form]] = {
    "time": Form.INSTANT,
    "duration_s": Form.NUMBER,
    **dict.fromkeys(_NUMBERS, Form.NUMBER),
}


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
    chosen: dict[str, str] = {}

    def choose(header: Sequence[str]) -> dict[str, Form]:
        chosen.update(_chosen(path, header))
        return {name: _FORMS.get(key, Form.TEXT) for key, name in chosen.items()}

    if path.suffix.lower() == ".csv":
        found = csv_columns.read(path, choose)
    elif path.suffix.lower() == ".parquet":
        found = parquet.read(path, list(choose(parquet.names(path))))
    else:
        raise InvalidSettings(f"{path}: a table ends in {' or '.join(SUFFIXES)}")
    columns = {key: found[name] for key, name in chosen.items()}
    return _labelled(path, columns, chosen.get("duration_s", ""))


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


def _chosen(path: Path, header: Sequence[str]) -> dict[str, str]:
    """Return which of the header's names stands for which column."""
    named = {name.strip().lower(): name for name in header}
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
                f"{', '.join(ALIASES[needed])} (there is: {', '.join(header)})"
            )
    return found


def _labelled(path: Path, found: Mapping[str, Column], duration: str) -> Labelled:
    label = _texts(found["label"])
    family, families = _families(
        label, _texts(found["family"]) if "family" in found else label
    )
    rows = len(family)
    columns: dict[str, npt.NDArray[Any]] = {
        "time_ns": _times(path, found["time"]),
        "label": np.where(family != 0, MALICIOUS, BENIGN),
        "kind": np.full(rows, Kind.FLOW),
    }
    ends = {name: _texts(found[name]) for name in _ENDS if name in found}
    if ends:
        values = [value for column in ends.values() for value in column.values]
        _, tokens = np.unique(values, return_inverse=True)
        begin = 0
        for name, column in ends.items():
            columns[name] = tokens[begin + column.codes] + 1
            begin += len(column.values)
    for name in _NUMBERS:
        if name in found:
            values_ = _numbers(path, name, found[name])
            columns[name] = np.where(np.isfinite(values_), values_, -1)
    if "duration_s" in found:
        factor = SECONDS.get(duration.strip().lower(), 1.0)
        columns["duration_s"] = np.maximum(
            _numbers(path, "duration_s", found["duration_s"]) * factor, 0
        )
    for name, code_of in (("protocol", protocol_of), ("service", service_of)):
        if name in found:
            texts = _texts(found[name])
            codes = [code_of(text) for text in texts.values]
            columns[name] = np.array(codes, np.int64)[texts.codes]
    order = np.argsort(columns["time_ns"], kind="stable")
    return Labelled(
        events=Events.build(rows, columns).select(order),
        family=family[order],
        families=families,
    )


def _families(label: Texts, detail: Texts) -> tuple[Integers, tuple[str, ...]]:
    """Return each row's family, 0 benign, and names in the order of appearance.

    A family is named by the detail, or by the label where the detail says benign.
    """
    names = [*label.values, *detail.values]
    is_benign = np.array([name.lower() in _BENIGN_LABELS for name in names], bool)
    of_detail = detail.codes + len(label.values)
    named = np.where(is_benign[of_detail], label.codes, of_detail)
    attacks = np.flatnonzero(~is_benign[label.codes])
    codes, first = np.unique(named[attacks], return_index=True)
    place = {"benign": 0}
    number = np.zeros(len(names), np.int64)
    for code in codes[np.argsort(first)].tolist():
        number[code] = place.setdefault(names[code], len(place))
    family = np.zeros(len(label.codes), np.int64)
    family[attacks] = number[named[attacks]]
    return family, tuple(place)


def _times(path: Path, values: Column) -> Integers:
    """Return UTC nanoseconds from epoch numbers of any unit, or ISO 8601 text."""
    if isinstance(values, Texts):
        try:
            values = csv_columns.instants(values.values)[values.codes]
        except ValueError as error:
            raise InvalidTelemetry(
                f"{path}: the time is neither seconds since 1970 nor ISO 8601: {error}"
            ) from error
    if values.dtype.kind == "M":
        if np.isnat(values).any():
            raise InvalidTelemetry(f"{path}: a time is missing or negative")
        return values.astype("datetime64[ns]").astype(np.int64)
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all() or (numbers < 0).any():
        raise InvalidTelemetry(f"{path}: a time is missing or negative")
    largest = float(numbers.max(initial=0.0))
    factor = next(factor for bound, factor in _NS_BOUNDS if largest >= bound)
    if values.dtype.kind in "iu":
        return values.astype(np.int64) * factor
    whole = np.floor(numbers)
    return whole.astype(np.int64) * factor + ((numbers - whole) * factor).astype(
        np.int64
    )


def _numbers(path: Path, name: str, values: Column) -> npt.NDArray[np.float64]:
    if isinstance(values, Texts):
        return csv_columns.numbers(path, name, values.values)[values.codes]
    return values.astype(np.float64)


def _texts(values: Column) -> Texts:
    """Return a column as texts, whatever it was; whole numbers without a point."""
    if isinstance(values, Texts):
        return values
    if values.dtype.kind == "f" and (values == np.floor(values)).all():
        values = values.astype(np.int64)
    if values.dtype.kind == "O":
        codes = Codes()
        codes.add(["" if value is None else str(value) for value in values.tolist()])
        return codes.texts()
    distinct, places = np.unique(values, return_inverse=True)
    return Texts(
        codes=places.astype(np.int64),
        values=tuple(str(value) for value in distinct.tolist()),
    )
