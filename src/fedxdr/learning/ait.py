# SPDX-License-Identifier: Apache-2.0
"""The AIT alert data set as eight organisations: alerts of three sensors, labelled.

An alert becomes an event: the host is the destination, the address the source, the
kind of alert stands where a service stands and serves as a key only. No name, text or
severity of an alert is read, and no phase label.

It does NOT choose the split (dataset.py).

Rules that always hold: at most 4,000 rows per organisation and attack step and 20,000
benign rows per organisation, drawn with a fixed seed; context is taken from all rows.
What is tested on is always those rows. A cap lets a row in when another is removed, so
for training under differential privacy rows are kept by a coin each instead: all benign
ones, one in eight of an attack's.

Source: Landauer, Skopik, Wurzenberger 2024 (AIT-ADS), Zenodo 8263181; the caps are this
project's protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
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

FILE: Final = "ait_ads_alerts.parquet"
MOST_PER_STEP: Final = 4_000
MOST_BENIGN: Final = 20_000
ATTACK_SHARE: Final = 1 / 8
_BENIGN_LABEL: Final = "-"
_SAMPLE_SEED: Final = 0
_COIN_SEED: Final = 1
_COLUMNS: Final = ("org", "time", "ip", "host", "short", "event_label")


def read(
    folder: Path, features: FeatureSet, *, by_coins: bool = False
) -> list[Organisation]:
    """Return the organisations with their sampled rows' features.

    Args:
        folder: where ``ait_ads_alerts.parquet`` lies.
        features: which features to compute.
        by_coins: whether rows to learn from are kept by a coin each, without caps.

    Raises:
        InvalidSettings: the file is not there, or pyarrow is not installed.
        InvalidTelemetry: the file is not that table.
    """
    columns, names = _read_columns(folder)
    order = np.lexsort((columns["time"], columns["org"]))
    columns = {key: values[order] for key, values in columns.items()}
    family = _family(columns["event_label"], names["event_label"])
    is_tested = _sample(columns["org"], columns["event_label"], family)
    is_trained_on = _by_coins(family) if by_coins else is_tested
    families = (
        "benign",
        *(label for label in names["event_label"] if label != _BENIGN_LABEL),
    )
    result = []
    for number, name in enumerate(names["org"]):
        rows = np.flatnonzero(columns["org"] == number)
        events = Events.build(
            len(rows),
            {
                "time_ns": columns["time"][rows] * 10**9,
                "source": columns["ip"][rows] + 1,
                "destination": columns["host"][rows] + 1,
                "service": columns["short"][rows],
                "kind": np.full(len(rows), Kind.ALERT),
            },
        )
        kept = np.flatnonzero(is_tested[rows] | is_trained_on[rows])
        result.append(
            Organisation(
                name=name,
                time_ns=events.time_ns[kept],
                features=features.compute(events, kept),
                stream=events,
                place=kept,
                family=family[rows][kept],
                families=families,
                may_train=is_trained_on[rows][kept] if by_coins else None,
                may_test=is_tested[rows][kept] if by_coins else None,
            )
        )
    return result


def _read_columns(
    folder: Path,
) -> tuple[dict[str, Integers], dict[str, tuple[str, ...]]]:
    """Return integer columns, and per text column its values in sorted order."""
    path = folder / FILE
    if not path.is_file():
        raise InvalidSettings(
            f"{FILE} is not in {folder}: give the folder of the AIT alert data set "
            "(Zenodo 8263181) with --data"
        )
    columns: dict[str, Integers] = {}
    names: dict[str, tuple[str, ...]] = {}
    for name, column in parquet.read(path, _COLUMNS).items():
        if isinstance(column, parquet.Texts):
            columns[name], names[name] = column.codes, column.values
        else:
            columns[name] = column.astype(np.int64)
    for name in _COLUMNS:
        if (name == "time") == (name in names):
            raise InvalidTelemetry(f"{FILE}: column {name} is of another type")
    return columns, names


def _family(label: Integers, names: Sequence[str]) -> Integers:
    """Return 0 for benign rows, else the step's place among the steps, from 1."""
    if _BENIGN_LABEL not in names:
        raise InvalidTelemetry(f"no row is labelled {_BENIGN_LABEL!r} (benign)")
    number, numbers = 0, []
    for name in names:
        number += name != _BENIGN_LABEL
        numbers.append(0 if name == _BENIGN_LABEL else number)
    return np.array(numbers, np.int64)[label]


def _by_coins(family: Integers) -> npt.NDArray[np.bool_]:
    """Return (n,) mask: all benign rows, and each attack row by its own coin."""
    coins = generator(_COIN_SEED).random(len(family))
    return np.asarray((family == 0) | (coins < ATTACK_SHARE))


def _sample(
    organisation: Integers, label: Integers, family: Integers
) -> npt.NDArray[np.bool_]:
    """Return (n,) mask of the rows under the caps, drawn per organisation and step."""
    key = generator(_SAMPLE_SEED).random(len(label))
    group = organisation * (int(label.max()) + 1) + label
    order = np.lexsort((key, group))
    rank = np.empty(len(label), np.int64)
    grouped = group[order]
    rank[order] = np.arange(len(label)) - np.searchsorted(grouped, grouped, "left")
    return np.asarray(rank < np.where(family == 0, MOST_BENIGN, MOST_PER_STEP))
