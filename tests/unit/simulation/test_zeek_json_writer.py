# SPDX-License-Identifier: Apache-2.0
"""What is written as JSON is read back as what is written with tabs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fedxdr.simulation.zeek_json_writer import json_line
from fedxdr.simulation.zeek_logs import LOGS
from fedxdr.simulation.zeek_writer import header, line
from fedxdr.telemetry.event import COLUMNS
from fedxdr.telemetry.zeek import ZeekTsvParser
from fedxdr.telemetry.zeek_json import ZeekJsonParser

ENDS = {
    "ts": 1_740_960_000_123_456,
    "uid": "CHhAvVGS1DHFjwGM9",
    "id.orig_h": "10.0.0.1",
    "id.orig_p": 40_000,
    "id.resp_h": "10.0.0.2",
    "id.resp_p": 445,
}
OWN = {
    "conn": {"proto": "tcp", "duration": 1_500_000, "conn_state": "SF",
             "orig_ip_bytes": 900, "resp_ip_bytes": 70, "local_orig": True},
    "dns": {"proto": "udp", "rtt": 20_000, "query": "a.example", "rejected": False},
    "http": {"host": "www.example", "uri": "/a", "response_body_len": 7, "tags": ()},
    "ssl": {"server_name": "www.example", "established": True},
    "ssh": {"auth_success": False, "client": "SSH-2.0-OpenSSH_9.6"},
    "smb_files": {"path": "\\\\fs1\\a", "name": "b\\c.txt", "size": 3},
}  # fmt: skip


@pytest.mark.parametrize("log", OWN)
def test_both_writers_say_the_same(log: str) -> None:
    values = {**ENDS, **OWN[log], "label": "Malicious", "detailedlabel": "T1486"}
    tabs = "\n".join([*header(log, opened_us=0), line(log, values)])
    one = ZeekTsvParser(len).parse(tabs.encode())
    other = ZeekJsonParser(len, log=log).parse(json_line(log, values))
    assert (one.rejected, other.rejected) == ((), ())
    for name, _, _ in COLUMNS:
        if name in {"text_length", "text_entropy"} and log == "smb_files":
            continue  # tabs double backslashes
        np.testing.assert_array_equal(
            getattr(one.events, name), getattr(other.events, name), err_msg=name
        )
    assert other.events.label.tolist() == [1]


def test_what_is_unset_is_left_out_and_times_are_seconds() -> None:
    found = json.loads(json_line("conn", {**ENDS, **OWN["conn"]}))
    assert found["ts"] == pytest.approx(1_740_960_000.123456, abs=1e-6)
    assert found["duration"] == 1.5
    assert found["id.orig_h"] == "10.0.0.1"
    assert "service" not in found
    assert "label" not in found
    assert list(found) == [name for name, _ in LOGS["conn"] if name in found]
