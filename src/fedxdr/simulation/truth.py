# SPDX-License-Identifier: Apache-2.0
"""What really happened: label and technique of every connection, in ``truth.csv``.

It is read for the closing evaluation only, never for training.

It does NOT belong to any sensor's format. Columns: ``connection`` (Suricata's flow_id
in digits, or Zeek's uid), ``label`` (0 or 1), ``technique`` (ATT&CK id or empty).
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.telemetry.event import BENIGN, MALICIOUS, Events
from fedxdr.telemetry.zeek_table import flow_ids

COLUMNS: Final = ["connection", "label", "technique"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """Labels by connection.

    Attributes:
        flow_id: (m,) uint64, as ``Events.flow_id``.
        label: (m,) int8, 0 benign, 1 malicious.
        technique: m ATT&CK ids, None for benign connections.
    """

    flow_id: NDArray[np.uint64]
    label: NDArray[np.int8]
    technique: tuple[str | None, ...]

    def applied_to(self, events: Events) -> Events:
        """Return events with the true labels in place of the weak ones."""
        return events.labelled(
            flow_id=self.flow_id, label=self.label, technique=self.technique
        )

    def labels_of(self, events: Events) -> NDArray[np.bool_]:
        """Return (n,) True for every event of a malicious connection."""
        labels: NDArray[np.bool_] = self.applied_to(events).label == MALICIOUS
        return labels


def write_truth(path: Path, rows: Iterable[tuple[str, int, str]]) -> None:
    """Write connections with their label and technique.

    Args:
        path: the file; an old one is replaced.
        rows: connection, label and technique, each connection once.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def read_truth(path: Path) -> Truth:
    """Return what a truth file says.

    Raises:
        InvalidTelemetry: it cannot be read, or a row is not of its form.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidTelemetry(f"{path.name}: cannot be read") from error
    if not rows or rows[0] != COLUMNS:
        raise InvalidTelemetry(f"{path.name}: its header is not {','.join(COLUMNS)}")
    labels = {str(BENIGN): BENIGN, str(MALICIOUS): MALICIOUS}
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(COLUMNS) or row[1] not in labels or not row[0]:
            raise InvalidTelemetry(f"{path.name}, line {number}: not of its form")
    names = [row[0] for row in rows[1:]]
    is_number = np.array([name.isdecimal() for name in names], np.bool_)
    ids = np.where(is_number, np.uint64(0), flow_ids(names))
    ids[is_number] = [int(name) for name in names if name.isdecimal()]
    return Truth(
        flow_id=ids,
        label=np.array([labels[row[1]] for row in rows[1:]], np.int8),
        technique=tuple(row[2] or None for row in rows[1:]),
    )
