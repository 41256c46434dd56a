# SPDX-License-Identifier: Apache-2.0
"""Sets of files as one sequence of events, and what is told about each."""

from __future__ import annotations

import gzip
import json
import stat
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.intake import Intake, files, read
from fedxdr.intake.files import expand
from fedxdr.intake.sniffing import LogFormat
from fedxdr.telemetry import COLUMNS, Kind

DATA = Path(__file__).parents[4] / "shared" / "data"


def tokenise(text: str) -> int:
    return zlib.crc32(text.encode()) or 1


def take(*sources: Path | str, **more: Any) -> Intake:
    return read(sources, tokenise=tokenise, **more)


def eve(second: int, event_type: str = "flow", **more: Any) -> str:
    return json.dumps(
        {
            "timestamp": f"2024-01-01T00:00:{second:02d}.000000+0000",
            "event_type": event_type,
            "flow_id": second,
            "src_ip": "10.0.0.1",
            "dest_ip": "10.0.0.2",
            "proto": "TCP",
            **more,
        }
    )


def conn(second: int) -> str:
    head = "#separator \\x09\n#path\tconn\n#fields\tts\tuid\tid.orig_h\tid.resp_h\n"
    return f"{head}{1_704_067_200 + second}.0\tC{second}\t10.0.0.3\t10.0.0.4\n"


def test_files_of_every_format_become_one_sorted_sequence(tmp_path: Path) -> None:
    (tmp_path / "eve.json").write_text(f"{eve(5)}\n{eve(1)}\n")
    (tmp_path / "conn.log").write_text(conn(3))
    (tmp_path / "dns.log.gz").write_bytes(
        gzip.compress(b'{"ts":1704067202,"id.orig_h":"a","id.resp_h":"b"}\n')
    )
    (tmp_path / "truth.csv").write_text("connection,label,technique\n")
    (tmp_path / "empty.log").write_text("")
    taken = take(tmp_path)
    assert (taken.events.time_ns // 10**9 - 1_704_067_200).tolist() == [1, 2, 3, 5]
    assert taken.events.kind.tolist() == [Kind.FLOW, Kind.DNS, Kind.FLOW, Kind.FLOW]
    told = {one.path.name: (one.format, one.lines, one.events) for one in taken.files}
    assert told == {
        "conn.log": (LogFormat.ZEEK_TSV, 4, 1),
        "dns.log.gz": (LogFormat.ZEEK_JSON, 1, 1),
        "empty.log": (LogFormat.EMPTY, 0, 0),
        "eve.json": (LogFormat.EVE, 2, 2),
    }
    assert taken.rejected == 0


def test_an_alert_in_one_file_labels_a_flow_in_another(tmp_path: Path) -> None:
    alert = {"severity": 1, "metadata": {"mitre_technique_id": ["T1046"]}}
    (tmp_path / "a.json").write_text(eve(7))
    (tmp_path / "b.json").write_text(eve(7, "alert", alert=alert))
    taken = take(tmp_path / "*.json").events
    assert taken.label.tolist() == [1, 1]
    assert [taken.techniques[index] for index in taken.technique] == ["T1046", "T1046"]
    quiet = take(tmp_path / "*.json", label_severity=0).events
    assert quiet.label.tolist() == [-1, -1]


def test_lines_are_numbered_over_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedxdr.intake.blocks.BLOCK_BYTES", 300)
    lines = [eve(second) for second in range(30)]
    lines[20] = "torn"
    path = tmp_path / "eve.json"
    path.write_text("\n".join(lines))
    letters = tmp_path / "dead.ndjson"
    taken = take(path, dead_letter=letters)
    (report,) = taken.files
    assert (report.lines, report.events, report.rejected) == (30, 29, 1)
    assert report.examples[0].line_number == 21
    assert json.loads(letters.read_text()) == {
        "file": str(path),
        "line": 21,
        "reason": "not JSON",
        "text": "torn",
    }
    assert stat.S_IMODE(letters.stat().st_mode) == 0o600


def test_dead_letters_are_appended_whatever_bytes_they_are(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    path.write_bytes(eve(1).encode() + b"\n\xff\x00\n")
    letters = tmp_path / "dead.ndjson"
    for _ in range(2):
        assert take(path, dead_letter=letters).rejected == 1
    texts = [json.loads(line)["text"] for line in letters.read_text().splitlines()]
    assert texts == ["\\xff\x00"] * 2


def test_only_some_rejected_lines_are_kept_in_the_report(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    path.write_text("\n".join([eve(1), *["torn"] * 50]))
    (report,) = take(path).files
    assert (report.rejected, len(report.examples)) == (50, files.EXAMPLES)


def test_damaged_files_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    path = tmp_path / "eve.json.gz"
    lines = "\n".join(eve(n % 60) for n in range(20_000))
    path.write_bytes(gzip.compress(lines.encode())[:-3000])
    (report,) = take(path).files
    assert report.events > 1000
    assert report.problem is not None
    assert "damaged gzip" in report.problem


def test_named_files_must_be_readable_and_others_are_passed_over(
    tmp_path: Path,
) -> None:
    (tmp_path / "eve.json").write_text(eve(1))
    (tmp_path / "other.json").write_text('{"a":1}\n')
    with pytest.raises(InvalidTelemetry, match=r"other\.json: neither"):
        take(tmp_path / "other.json")
    taken = take(tmp_path)
    assert len(taken.events) == 1
    assert [one.problem is None for one in taken.files] == [True, False]
    (tmp_path / "eve.json").unlink()
    with pytest.raises(InvalidTelemetry, match="none of 1 files"):
        take(tmp_path)


@pytest.mark.parametrize("source", ["absent.json", "*.json", "."])
def test_a_source_that_names_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidTelemetry, match=r"no log file there|No such file"):
        take(source)
    with pytest.raises(InvalidTelemetry, match="no source"):
        take()


def test_a_dead_letter_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "eve.json").write_text(eve(1))
    with pytest.raises(InvalidTelemetry, match="cannot be written"):
        take(tmp_path / "eve.json", dead_letter=tmp_path / "none" / "dead.ndjson")


def test_files_are_taken_once_and_folders_not_descended_but_by_pattern(
    tmp_path: Path,
) -> None:
    deep = tmp_path / "deep"
    deep.mkdir()
    for path in (tmp_path / "a.json", tmp_path / "b[1].log", deep / "c.log.gz"):
        path.write_text("")
    folder = [tmp_path / "a.json", tmp_path / "b[1].log"]
    assert expand([tmp_path]) == [(path, False) for path in folder]
    assert expand([tmp_path / "b[1].log"]) == [(folder[1], True)]
    every = dict(expand([tmp_path / "**" / "*", tmp_path, folder[0]]))
    assert every == {folder[0]: True, folder[1]: False, deep / "c.log.gz": False}


def test_all_real_files_are_read() -> None:
    if not DATA.exists():
        pytest.skip("real telemetry is not here: shared/data")
    taken = take(DATA / "suricata_eve", DATA / "zeek_samples")
    told = {one.path.name: one for one in taken.files}
    assert {name: told[name].events for name in told if "alerts-only" in name} == {
        "first-org-conf-2015-alerts-only.json.gz": 136,
        "honeypot-2018-alerts-only.json.gz": 44,
        "wrccdc-2017-alerts-only.json.gz": 161,
        "wrccdc-2018-alerts-only.json.gz": 207,
    }
    assert told["slips_test6-malicious.suricata.json.gz"].events == 5000
    assert len(told) == 25
    assert [one.problem for one in taken.files if one.problem] == []
    assert taken.rejected == 0
    assert taken.events.is_sorted
    assert len(taken.events) == 146_734


class Counting:
    """A tokeniser that notes what it was asked."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    def address(self, text: str) -> int:
        self.addresses.append(text)
        return tokenise(text)

    def user(self, text: str) -> int:
        return tokenise(text)


def test_a_tokeniser_reads_what_a_bare_function_reads(tmp_path: Path) -> None:
    (tmp_path / "eve.json").write_text(f"{eve(5)}\n{eve(1)}\n")
    (tmp_path / "conn.log").write_text(conn(3))
    dns = '{"ts":1704067202,"id.orig_h":"a","id.resp_h":"b"}'
    (tmp_path / "dns.log").write_text(dns)
    one = Counting()
    whole = read([tmp_path], tokenise=one).events
    bare = take(tmp_path).events
    assert len(whole) == 4
    assert set(one.addresses) == {*(f"10.0.0.{n}" for n in range(1, 5)), "a", "b"}
    for column in COLUMNS:
        if column.name != "user":
            want = getattr(bare, column.name)
            np.testing.assert_array_equal(getattr(whole, column.name), want)
    assert not bare.user.any()


_TIME = "2024-01-01T00:00:09Z"
_LOGON = {"TargetUserName": "a", "LogonType": "2"}
_ENDS = {"source": {"ip": "10.0.0.1"}, "destination": {"ip": "10.0.0.2"}}
_SECURITY = {"EventTime": _TIME, "Channel": "Security", "Hostname": "h"}


@pytest.mark.parametrize(
    ("record", "skipped", "want", "kind"),
    [
        (
            _SECURITY | {"EventID": 4624} | _LOGON,
            _SECURITY | {"EventID": 4672},
            LogFormat.WINDOWS,
            Kind.AUTH,
        ),
        (
            {"timestamp": _TIME, "rule": {"level": 3}, "agent": {"name": "h"}},
            {"timestamp": _TIME},
            LogFormat.WAZUH,
            Kind.ALERT,
        ),
        (
            {
                "class_uid": 4001,
                "time": 1_704_067_209_000,
                "src_endpoint": {"ip": "10.0.0.1"},
                "dst_endpoint": {"ip": "10.0.0.2"},
            },
            {"class_uid": 6001, "time": 1_704_067_209_000},
            LogFormat.OCSF,
            Kind.FLOW,
        ),
        (
            {"@timestamp": _TIME, "ecs": {}, "event": {"category": "network"}} | _ENDS,
            {"@timestamp": _TIME, "ecs": {}},
            LogFormat.ECS,
            Kind.FLOW,
        ),
    ],
)
def test_json_of_hosts_and_collectors(
    tmp_path: Path,
    record: dict[str, Any],
    skipped: dict[str, Any],
    want: LogFormat,
    kind: Kind,
) -> None:
    lines = [json.dumps(record), "torn", json.dumps(skipped)]
    (tmp_path / "export.json").write_text("\n".join(lines))
    taken = take(tmp_path / "export.json")
    assert taken.events.kind.tolist() == [kind]
    assert taken.events.time_ns.tolist() == [1_704_067_209_000_000_000]
    report = taken.files[0]
    assert (report.format, report.skipped, report.rejected) == (want, 1, 1)
    assert sum(report.why_skipped.values()) == 1


def test_netflow(tmp_path: Path) -> None:
    (tmp_path / "flows.csv").write_text("ts,sa,da\n2024-01-01 00:00:09,a,b\nSummary\n")
    taken = take(tmp_path / "flows.csv")
    assert taken.events.time_ns.tolist() == [1_704_067_209_000_000_000]
    assert taken.files[0].format is LogFormat.NETFLOW
    assert taken.files[0].why_skipped == {"nfdump's summary": 1}
