# SPDX-License-Identifier: Apache-2.0
"""DARPA 1998 as five networks of one base: who connects to whom, by the minute.

An organisation is a /24 network. ``SUBNETS`` names the five that most edges lead into;
each has at least 14,000 benign and 600 attack edges to be tested on. The next networks
of the base (172.16.115 to 118) have 11 to 20 benign ones there, with which no share of
false alarms can be told.

Days are counted from the first edge of the file: days 0 to 35 are past, 36 to 60 are
tested on, 28 to 35 are that part of the past on which settings are chosen. Edges into
the network are learned from and tested on. Context is what the network sees:

- ``both`` (default): edges into and from it, as at its border;
- ``into``: edges into it alone, the published stream cut by victim.

It does NOT split (dataset.py) and knows no port, volume or service: there is none.

Rules that always hold: at most 4,000 edges per network, attack family and side of the
cut are rows, and 20,000 benign ones, drawn with a fixed seed; context and stream are
all edges in sight. Labels are in no stream.

Source: MIT Lincoln Laboratory 1998, as edges by Bhatia et al. 2020 (MIDAS); the five
networks, days and caps are this project's protocol.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidSettings, InvalidTelemetry
from fedxdr.core.randomness import generator
from fedxdr.learning import parquet
from fedxdr.learning.dataset import Organisation
from fedxdr.learning.features import FeatureSet
from fedxdr.models.graph import Integers
from fedxdr.telemetry.catalogue import Kind
from fedxdr.telemetry.event import Events

FILE: Final = "darpa98_edges.parquet"
SUBNETS: Final = ("172.16.112", "172.16.113", "172.16.114", "192.168.1", "194.27.251")
"""Networks that are organisations; edges into each: 1,703,026, 677,188, 280,980,
416,598 and 202,592."""

MOST_PER_FAMILY: Final = 4_000
MOST_BENIGN: Final = 20_000
VALIDATION_DAY: Final = 28
TEST_DAY: Final = 36
_DAY_NS: Final = 86_400 * 10**9
_BENIGN: Final = "-"
_SAMPLE_SEED: Final = 0
_COLUMNS: Final = ("ts", "src", "dst", "label")


class Sight(StrEnum):
    """Which edges a network sees."""

    BOTH = "both"
    INTO = "into"


def read(
    folder: Path,
    features: FeatureSet,
    *,
    sight: Sight = Sight.BOTH,
    subnets: tuple[str, ...] = SUBNETS,
) -> list[Organisation]:
    """Return the networks with their sampled edges' features.

    Args:
        folder: where ``darpa98_edges.parquet`` lies.
        features: which features to compute.
        sight: which edges are context.
        subnets: first three numbers of each network, without leading zeros.

    Raises:
        InvalidSettings: the file is not there, or pyarrow is not installed.
        InvalidTelemetry: the file is not that table, or a network has no edge.
    """
    path = folder / FILE
    if not path.is_file():
        raise InvalidSettings(
            f"{FILE} is not in {folder}: give the folder of the DARPA 1998 edges "
            "with --data"
        )
    time_ns, source, target, label = _columns(path)
    codes, nets = _hosts(source, target)
    family, families = _families(label)
    first = int(time_ns[0])
    cut = first + TEST_DAY * _DAY_NS
    found = []
    for subnet in subnets:
        is_into = nets[1][target.codes] == subnet
        in_sight = is_into.copy()
        if sight is Sight.BOTH:
            in_sight |= nets[0][source.codes] == subnet
        seen = np.flatnonzero(in_sight)
        if not is_into.any():
            raise InvalidTelemetry(f"no edge leads into {subnet}")
        stream = Events.build(
            len(seen),
            {
                "time_ns": time_ns[seen],
                "source": codes[0][source.codes[seen]],
                "destination": codes[1][target.codes[seen]],
                "kind": np.full(len(seen), Kind.FLOW),
            },
        )
        place = np.flatnonzero(
            is_into[seen] & _sampled(family[seen], is_into[seen], time_ns[seen] < cut)
        )
        found.append(
            Organisation(
                name=subnet.replace(".", "-"),
                time_ns=stream.time_ns[place],
                features=features.compute(stream, place),
                family=family[seen][place],
                families=families,
                stream=stream,
                place=place,
                cut_ns=cut,
                validate_ns=first + VALIDATION_DAY * _DAY_NS,
            )
        )
    return found


def _columns(
    path: Path,
) -> tuple[Integers, parquet.Texts, parquet.Texts, parquet.Texts]:
    """Return times in ascending order, sources, destinations and labels."""
    found = parquet.read(path, _COLUMNS)
    stamps = found["ts"]
    texts = [found[name] for name in _COLUMNS[1:]]
    if isinstance(stamps, parquet.Texts):
        raise InvalidTelemetry(f"{FILE}: column ts is no number")
    time_ns = stamps.astype(np.int64) * 10**9
    # the file stands in the order of its stream; one edge of it is a minute early
    order = np.argsort(time_ns, kind="stable")
    ordered = []
    for column in texts:
        if not isinstance(column, parquet.Texts):
            raise InvalidTelemetry(f"{FILE}: an address or label is no text")
        ordered.append(parquet.Texts(codes=column.codes[order], values=column.values))
    source, target, label = ordered
    return time_ns[order], source, target, label


def _hosts(
    source: parquet.Texts, target: parquet.Texts
) -> tuple[tuple[Integers, Integers], tuple[npt.NDArray[np.str_], ...]]:
    """Return the values of both columns as one numbering from 1, and their networks."""
    _, codes = np.unique([*source.values, *target.values], return_inverse=True)
    nets = tuple(
        np.array([_network(text) for text in column.values])
        for column in (source, target)
    )
    first = len(source.values)
    return (codes[:first] + 1, codes[first:] + 1), nets


def _network(address: str) -> str:
    """Return the first three numbers of an address, without leading zeros."""
    return ".".join(part.lstrip("0") or "0" for part in address.split(".")[:3])


def _families(label: parquet.Texts) -> tuple[Integers, tuple[str, ...]]:
    if _BENIGN not in label.values:
        raise InvalidTelemetry(f"no edge is labelled {_BENIGN!r} (benign)")
    families = ("benign", *(text for text in label.values if text != _BENIGN))
    place = {name: number for number, name in enumerate(families)}
    numbers = np.array([place.get(text, 0) for text in label.values], np.int64)
    return numbers[label.codes], families


def _sampled(
    family: Integers, is_row: npt.NDArray[np.bool_], is_past: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return (n,) mask of the rows under the caps, drawn per family and side."""
    # keys are drawn in time order: later edges change no earlier one's
    key = generator(_SAMPLE_SEED).random(len(family))
    group = np.where(is_row, family * 2 + is_past, -1)
    order = np.lexsort((key, group))
    grouped = group[order]
    rank = np.empty(len(family), np.int64)
    rank[order] = np.arange(len(family)) - np.searchsorted(grouped, grouped, "left")
    return np.asarray(rank < np.where(family == 0, MOST_BENIGN, MOST_PER_FAMILY))
