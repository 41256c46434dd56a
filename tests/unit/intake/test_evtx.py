# SPDX-License-Identifier: Apache-2.0
"""Binary event logs: records as the library gives them, and files that are none.

No genuine file is here; records are typed in as ``PyEvtxParser`` gave those of
samples/Security_short_selected.evtx and samples/sysmon.evtx of its own repository,
shortened.
"""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedxdr.core.errors import InvalidSettings, InvalidTelemetry
from fedxdr.intake import read
from fedxdr.intake.blocks import blocks_of
from fedxdr.intake.evtx import DAMAGED, MAGIC, evtx_blocks
from fedxdr.intake.sniffing import LogFormat
from fedxdr.telemetry import Kind

evtx = pytest.importorskip("evtx")


def record(number: int, channel: str, provider: str, **data: object) -> dict[str, Any]:
    event = {
        "Event": {
            "#attributes": {
                "xmlns": "http://schemas.microsoft.com/win/2004/08/events/event"
            },
            "System": {
                "Provider": {"#attributes": {"Name": provider}},
                "EventID": number,
                "TimeCreated": {
                    "#attributes": {"SystemTime": "2017-12-26T13:10:29.136879Z"}
                },
                "Correlation": None,
                "Channel": channel,
                "Computer": "DESKTOP-2KGM189",
            },
            "EventData": data or None,
        }
    }
    return {"event_record_id": 1, "timestamp": "", "data": json.dumps(event, indent=1)}


AUDIT = "Microsoft-Windows-Security-Auditing"
RECORDS = [
    record(4608, "Security", AUDIT),
    record(
        4624,
        "Security",
        AUDIT,
        TargetUserName="u",
        TargetDomainName="D",
        LogonType=3,
        IpAddress="10.0.0.9",
        IpPort="4711",
    ),
    record(
        3,
        "Microsoft-Windows-Sysmon/Operational",
        "Microsoft-Windows-Sysmon",
        UtcTime="2017-12-26 13:10:29.136",
        Protocol="tcp",
        SourceIp="10.0.2.15",
        SourcePort=49700,
        DestinationIp="13.33.23.22",
        DestinationPort=443,
    ),
]


class Records:
    """What the library hands out, a damaged chunk in the middle."""

    def __init__(self, path: str, threads: int) -> None:
        assert Path(path).read_bytes().startswith(MAGIC)
        assert threads == 1
        self._left: list[Any] = [*RECORDS[:2], RuntimeError("bad chunk"), RECORDS[2]]

    def records_json(self) -> Iterator[dict[str, Any]]:
        return self

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        if not self._left:
            raise StopIteration
        one = self._left.pop(0)
        if isinstance(one, Exception):
            raise one
        return one


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "Security.evtx"
    path.write_bytes(MAGIC + b"no header")
    return path


@pytest.mark.parametrize("block_bytes", [1, 500, 1 << 20])
def test_records_become_events_and_damage_costs_its_part(
    log: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    monkeypatch.setattr("fedxdr.intake.blocks.BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(evtx, "PyEvtxParser", Records)
    lines = b"".join(blocks_of(log)).splitlines()
    assert [line == DAMAGED for line in lines] == [False, False, True, False]
    taken = read([log.parent], tokenise=len)
    (report,) = taken.files
    assert report.format is LogFormat.WINDOWS
    assert (report.events, report.skipped, report.rejected) == (2, 1, 1)
    assert sorted(taken.events.kind.tolist()) == [Kind.FLOW, Kind.AUTH]


def test_a_file_that_only_begins_like_one(log: Path) -> None:
    with pytest.raises(InvalidTelemetry, match="damaged Windows event log"):
        list(evtx_blocks(log, block_bytes=1))


def test_the_extra_that_is_missing_is_named(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "evtx":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InvalidSettings, match=r"fedxdr\[windows\]"):
        list(blocks_of(log))
