# SPDX-License-Identifier: Apache-2.0
"""docs/how-to/detect.md: every command runs as it is written, into real receivers.

The last one, of the live agent, is run by test_live.py.

Filled in is what a reader has: the places of logs, and the machines of Splunk and
Elastic with their certificates.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from py_ocsf_models.events.findings.detection_finding import DetectionFinding
from tests.process.drill_live import member
from tests.process.test_how_to import commands_of
from tests.unit.app.detection import snapshot_of
from tests.unit.transport.sinks.receivers import (
    Elastic,
    HttpReceiver,
    Splunk,
    certificate,
)

from fedxdr.cli.main import main
from fedxdr.simulation import traffic
from fedxdr.simulation.world import Sensors

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]


class Reader:
    """Somebody with an organisation's folder, logs, Splunk and Elastic."""

    def __init__(self, base: Path) -> None:
        self.base = base
        member(base, snapshot_of(), me="north")
        world = traffic.generate(
            organisations=["north"], seed=1, hours=24, sensors=[Sensors.MIXED]
        )
        traffic.write(world, base / "made")
        suricata, zeek = base / "log/suricata", base / "log/zeek"
        for folder in (suricata, zeek, base / "log/fedxdr"):
            folder.mkdir(parents=True)
        lines = (base / "made/north/eve.json").read_bytes().splitlines(keepends=True)
        self.eve = suricata / "eve.json"
        (suricata / "eve.json.1").write_bytes(b"".join(lines[:1000]))
        self.eve.write_bytes(b"".join(lines[1000:2500]))
        conn = (base / "made/north/conn.log").read_bytes().splitlines(keepends=True)
        (zeek / "conn.log").write_bytes(b"".join(conn[:500]))
        trusted, context = certificate(base)
        self.splunk = HttpReceiver(Splunk(), context=context)
        self.elastic = HttpReceiver(Elastic(), context=context)
        self.filled = {
            "/var/log": str(base / "log"),
            "https://splunk:8088": self.splunk.base,
            "https://elastic:9200": self.elastic.base,
            "splunk.pem": str(trusted),
            "elastic.pem": str(trusted),
        }
        for name in ("hec.token", "elastic.key"):
            (base / name).write_text("secret")
            (base / name).chmod(0o600)

    def words(self, line: str) -> list[str]:
        for written, real in self.filled.items():
            line = line.replace(written, real)
        return shlex.split(line)

    def close(self) -> None:
        self.splunk.down()
        self.elastic.down()


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    found = Reader(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield found
    found.close()


def test_the_guide_to_detection(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = commands_of("detect.md")
    assert len(lines) == 5
    for line in lines[:-1]:
        monkeypatch.setattr(sys, "argv", reader.words(line))
        with pytest.raises(SystemExit) as end:
            main()
        shown = capsys.readouterr().err
        assert end.value.code == 0, shown
        assert "refused" in shown
    for name in ("findings.ndjson", "today.ndjson"):
        found = (reader.base / name).read_text().splitlines()
        for one in found:
            DetectionFinding.model_validate(json.loads(one))
        assert found or name == "today.ndjson"
    assert reader.splunk.requests
    assert reader.elastic.requests
