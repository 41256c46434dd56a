# SPDX-License-Identifier: Apache-2.0
"""NSL-KDD as three organisations that were each hit by one group of attacks.

One knows denial of service, one probes, one what takes over accounts and machines;
benign connections of the training file are dealt out in turn. All three are tested on
the whole published test file, attacks that nobody trained on among them.

It does NOT know hosts or time: there are none in the set, so there is no neighbourhood,
no stream and no split by the clock; a row's number stands where time stands.

Rules that always hold: the training file is learned from, the test file tested on;
texts become one column per value that the training file has, and the difficulty that
the set's makers measured is not read.

Source: Tavallaee et al. 2009 (NSL-KDD); groups as in their table 1; the division is
this project's protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from fedxdr.core.errors import InvalidSettings, InvalidTelemetry
from fedxdr.learning import own_columns, parquet
from fedxdr.learning.dataset import Organisation
from fedxdr.learning.features import FeatureSet
from fedxdr.learning.own_columns import SHARE, OwnColumn, Table
from fedxdr.models.graph import Integers

TRAIN: Final = "KDDTrain+_20Percent.parquet"
TEST: Final = "KDDTest+.parquet"
TEST_21: Final = "KDDTest-21.parquet"
"""Test rows that at least one of the makers' 21 classifiers got wrong."""

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "dos": (
        *("back", "land", "neptune", "pod", "smurf", "teardrop"),
        *("apache2", "mailbomb", "processtable", "udpstorm", "worm"),
    ),
    "probe": ("ipsweep", "nmap", "portsweep", "satan", "mscan", "saint"),
    "access": (
        *("buffer_overflow", "loadmodule", "perl", "rootkit", "ps", "sqlattack"),
        *("xterm", "httptunnel", "ftp_write", "guess_passwd", "imap", "multihop"),
        *("phf", "spy", "warezclient", "warezmaster", "named", "sendmail"),
        *("snmpgetattack", "snmpguess", "xlock", "xsnoop"),
    ),
}
"""Organisation -> attacks that it trains on; R2L and U2R, both rare, are one group."""

_BENIGN: Final = "normal"
_TEXTS: Final = ("protocol_type", "service", "flag")
_UNITS: Final[Mapping[str, str]] = {
    "duration": "seconds",
    "src_bytes": "bytes",
    "dst_bytes": "bytes",
    **dict.fromkeys(
        (
            *("wrong_fragment", "urgent", "hot", "num_failed_logins"),
            *("num_compromised", "num_root", "num_file_creations", "num_shells"),
            *("num_access_files", "num_outbound_cmds", "count", "srv_count"),
            *("dst_host_count", "dst_host_srv_count", "su_attempted"),
        ),
        "count",
    ),
    **dict.fromkeys(
        (
            *("land", "logged_in", "root_shell", "is_host_login", "is_guest_login"),
            *("serror_rate", "srv_serror_rate", "rerror_rate", "srv_rerror_rate"),
            *("same_srv_rate", "diff_srv_rate", "srv_diff_host_rate"),
            *("dst_host_same_srv_rate", "dst_host_diff_srv_rate"),
            *("dst_host_same_src_port_rate", "dst_host_srv_diff_host_rate"),
            *("dst_host_serror_rate", "dst_host_srv_serror_rate"),
            *("dst_host_rerror_rate", "dst_host_srv_rerror_rate"),
        ),
        SHARE,
    ),
}


def read(folder: Path, *, test: str = TEST) -> tuple[list[Organisation], FeatureSet]:
    """Return the organisations and what their features are.

    Args:
        folder: where the set's Parquet files lie.
        test: name of the file to be tested on.

    Raises:
        InvalidSettings: a file is not there, or pyarrow is not installed.
        InvalidTelemetry: a file is not that table.
    """
    train_table, train_label, columns = _file(folder / TRAIN, None)
    test_table, test_label, _ = _file(folder / test, columns)
    names = sorted({*train_label.values, *test_label.values} - {_BENIGN})
    families = ("benign", *names)
    group = {name: place for place, item in enumerate(GROUPS.values()) for name in item}
    unknown = [name for name in names if name not in group]
    if unknown:
        raise InvalidTelemetry(f"attacks of no known group: {', '.join(unknown)}")
    learned, tested = _numbers(train_label, families), _numbers(test_label, families)
    owner = np.array([-1, *(group[name] for name in names)])[learned]
    benign = np.flatnonzero(learned == 0)
    owner[benign] = np.arange(len(benign)) % len(GROUPS)
    found = []
    for place, name in enumerate(GROUPS):
        rows = np.flatnonzero(owner == place)
        table = np.concatenate([train_table[rows], test_table])
        is_learned = np.arange(len(table)) < len(rows)
        found.append(
            Organisation(
                name=name,
                time_ns=np.arange(len(table), dtype=np.int64),
                features=own_columns.bounded(table, columns),
                family=np.concatenate([learned[rows], tested]),
                families=families,
                may_train=is_learned,
                may_test=~is_learned,
                table=table,
                columns=columns,
            )
        )
    return found, own_columns.feature_set("nsl-kdd", columns)


def _file(
    path: Path, columns: tuple[OwnColumn, ...] | None
) -> tuple[Table, parquet.Texts, tuple[OwnColumn, ...]]:
    """Return a file's numbers and labels, and the columns: given ones, or its own."""
    if not path.is_file():
        raise InvalidSettings(
            f"{path.name} is not in {path.parent}: give the folder of NSL-KDD's "
            "Parquet files with --data"
        )
    read_in = parquet.read(path, [*_UNITS, *_TEXTS, "label"])
    texts: dict[str, parquet.Texts] = {}
    found: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {}
    for name, column in read_in.items():
        if isinstance(column, parquet.Texts) != (name not in _UNITS):
            raise InvalidTelemetry(f"{path.name}: column {name} is of another type")
        if isinstance(column, parquet.Texts):
            texts[name] = column
        else:
            found[name] = column.astype(np.float64)
    for name in _TEXTS:
        for code, value in enumerate(texts[name].values):
            found[f"{name}={value}"] = (texts[name].codes == code).astype(np.float64)
    if columns is None:
        columns = tuple(
            OwnColumn(name=name, unit=_UNITS.get(name, SHARE)) for name in found
        )
    # a value that the training file lacks is no column: such a row has none of them
    absent = np.zeros(len(texts["label"].codes))
    table = np.stack([found.get(item.name, absent) for item in columns], axis=1)
    return table, texts["label"], columns


def _numbers(label: parquet.Texts, families: tuple[str, ...]) -> Integers:
    place = {name: number for number, name in enumerate(families)}
    return np.array([place.get(text, 0) for text in label.values], np.int64)[
        label.codes
    ]
