# SPDX-License-Identifier: Apache-2.0
"""What really happened: label and technique of every connection, in ``truth.csv``.

It is read for the closing evaluation only, never for training.

It does NOT belong to any sensor's format. Columns: ``connection`` (Suricata's flow_id
in digits, or Zeek's uid; of a line in a host's log, which knows no connection, the time
that stands in it), ``label`` (0 or 1), ``technique`` (ATT&CK id or empty).
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
from fedxdr.telemetry.catalogue import Kind
from fedxdr.telemetry.event import BENIGN, MALICIOUS, Events
from fedxdr.telemetry.timestamps import iso_times_ns
from fedxdr.telemetry.zeek_table import flow_ids

COLUMNS: Final = ["connection", "label", "technique"]

_OF_HOSTS: Final = (Kind.AUTH, Kind.SSH)
"""Kinds of records in hosts' logs."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """Labels by connection, or by time where there is none.

    Attributes:
        flow_id: (m,) uint64, as ``Events.flow_id``; of lines in hosts' logs their time,
            UTC nanoseconds.
        label: (m,) int8, 0 benign, 1 malicious.
        technique: m ATT&CK ids, None for benign connections.
        is_line: (m,) bool, which are lines in hosts' logs.
    """

    flow_id: NDArray[np.uint64]
    label: NDArray[np.int8]
    technique: tuple[str | None, ...]
    is_line: NDArray[np.bool_]

    def applied_to(self, events: Events) -> Events:
        """Return events with the true labels in place of the weak ones."""
        labelled = self._labelled(events, of_lines=False)
        if not self.is_line.any():
            return labelled
        # Events of a host's log are looked up by their time as if it named them.
        by_line = (events.flow_id == 0) & np.isin(events.kind, _OF_HOSTS)
        times = np.where(by_line, events.time_ns, 0).astype(np.uint64)
        timed = self._labelled(
            dataclasses.replace(labelled, flow_id=times), of_lines=True
        )
        return dataclasses.replace(timed, flow_id=events.flow_id)

    def _labelled(self, events: Events, *, of_lines: bool) -> Events:
        rows = np.flatnonzero(self.is_line == of_lines)
        return events.labelled(
            flow_id=self.flow_id[rows],
            label=self.label[rows],
            technique=[self.technique[row] for row in rows.tolist()],
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
    # A time is the only name with colons: Zeek's uids are letters and digits.
    is_line = np.array([":" in name for name in names], np.bool_)
    times, is_sound = iso_times_ns([name for name in names if ":" in name])
    if not is_sound.all():
        raise InvalidTelemetry(f"{path.name}: a connection that is named by no time")
    ids[is_line] = times.astype(np.uint64)
    return Truth(
        flow_id=ids,
        label=np.array([labels[row[1]] for row in rows[1:]], np.int8),
        technique=tuple(row[2] or None for row in rows[1:]),
        is_line=is_line,
    )
