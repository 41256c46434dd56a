# SPDX-License-Identifier: Apache-2.0
"""The truth, written, read and laid over events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.simulation.truth import read_truth, write_truth
from fedxdr.telemetry import Events, Kind
from fedxdr.telemetry.zeek_table import flow_ids

ROWS = [("1374195536821504", 1, "T1046"), ("CHj3uxdVz7FlQgQFgy", 0, ""), ("7", 0, "")]


def test_it_is_read_as_it_was_written_and_found_by_connection(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    write_truth(path, ROWS)
    truth = read_truth(path)
    uid = flow_ids(["CHj3uxdVz7FlQgQFgy"])[0]
    assert truth.flow_id.tolist() == [1374195536821504, int(uid), 7]
    assert truth.label.tolist() == [1, 0, 0]
    assert truth.technique == ("T1046", None, None)
    events = Events.build(
        4, {"flow_id": np.array([7, 9, uid, 1374195536821504], np.uint64)}
    )
    labelled = truth.applied_to(events)
    assert labelled.label.tolist() == [0, -1, 0, 1]
    assert labelled.technique.tolist() == [-1, -1, -1, 0]
    assert labelled.techniques == ("T1046",)


def test_lines_of_hosts_are_found_by_their_time(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    when = "2025-03-03T00:00:01.000002+00:00"
    write_truth(path, [*ROWS, (when, 1, "T1110")])
    time_ns = 1_740_960_001_000_002_000
    events = Events.build(
        4,
        {
            "time_ns": np.array([time_ns] * 3 + [time_ns + 1], np.int64),
            "kind": np.array([Kind.AUTH, Kind.AUTH, Kind.FLOW, Kind.AUTH], np.int16),
            "flow_id": np.array([0, 7, 0, 0], np.uint64),
        },
    )
    labelled = read_truth(path).applied_to(events)
    assert labelled.label.tolist() == [1, 0, -1, -1]
    assert labelled.techniques[labelled.technique[0]] == "T1110"
    assert labelled.flow_id.tolist() == [0, 7, 0, 0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b\n",
        "connection,label,technique\n7,2,\n",
        "connection,label,technique\n7,1\n",
        "connection,label,technique\n,1,\n",
        "connection,label,technique\n2025-03-03T99:00:00,1,\n",
        "connection,label,technique\n\xff\xfe",
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "truth.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidTelemetry, match=r"truth\.csv"):
        read_truth(path)
    with pytest.raises(InvalidTelemetry, match="cannot be read"):
        read_truth(tmp_path / "absent.csv")
