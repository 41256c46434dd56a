# SPDX-License-Identifier: Apache-2.0
"""Formats by their first bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.intake.sniffing import LogFormat, is_array, sniff, zeek_log_of


@pytest.mark.parametrize(
    ("head", "want"),
    [
        (b"", LogFormat.EMPTY),
        (b"\n  \n", LogFormat.EMPTY),
        (b"#separator \\x09\n", LogFormat.ZEEK_TSV),
        (b"\t#separator \\x09\n", LogFormat.ZEEK_TSV),
        (b'{"timestamp":"x","event_type":"flow"}\n', LogFormat.EVE),
        (b'{"event_type":null,"timestamp":0}\n', LogFormat.EVE),
        (b'{"ts":1.5,"uid":"C1"}\n', LogFormat.ZEEK_JSON),
        (b'{"_path":"dns"}\n', LogFormat.ZEEK_JSON),
        (b'{"@stream":"conn","id_orig_h":"x"}\n', LogFormat.ZEEK_JSON),
        (b'torn"}\n{"ts":1}\n', LogFormat.ZEEK_JSON),
        (b"May  3 04:05:06 h sshd[1]: x\n", LogFormat.SYSLOG),
        (b"<34>1 2003-10-11T22:14:15.003Z h su - ID47 - x\n", LogFormat.SYSLOG),
        (b"torn\nCEF:0|a|b|c|d|e|f|\n", LogFormat.SYSLOG),
        (b"2016-09-28 04:30:30, Info                  CBS\n", LogFormat.CBS),
        (b"150885,U620@DOM1,C17693,C1003\n", LogFormat.REDTEAM),
        (b'{"Event":{"System":{}}}\n', LogFormat.WINDOWS),
        (b'{"@timestamp":"x","winlog":{},"ecs":{}}\n', LogFormat.WINDOWS),
        (b'{"EventTime":"x","EventID":4624}\n', LogFormat.WINDOWS),
        (b'{"timestamp":"x","rule":{},"agent":{}}\n', LogFormat.WAZUH),
        (b"ts,te,td,sa,da,sp,dp,pr\n", LogFormat.NETFLOW),
        (b'{"class_uid":4001,"time":1}\n', LogFormat.OCSF),
        (b'{"@timestamp":"x","ecs":{"version":"8"}}\n', LogFormat.ECS),
    ],
)
def test_formats(head: bytes, want: LogFormat) -> None:
    assert sniff(head) is want


@pytest.mark.parametrize(
    "head", [b"a,b,c\n1,2,3\n", b'{"a":1}\n', b"\x00\x01", b"{" * 9]
)
def test_what_is_not_known_is_refused(head: bytes) -> None:
    with pytest.raises(InvalidTelemetry, match="neither Suricata EVE nor a Zeek log"):
        sniff(head)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail_otherwise(head: bytes) -> None:
    try:
        sniff(head)
    except InvalidTelemetry:
        assert head.strip()


def test_arrays() -> None:
    assert is_array(b"\n [\n{")
    assert not is_array(b"{")
    assert not is_array(b"")


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("conn.log", "conn"),
        ("conn.2024-01-01-00-00-00.log.gz", "conn"),
        ("apt29_day1_NASHUA_conn.log.gz", "conn"),
        ("smb_files.log", "smb_files"),
        ("site_smb_files.log", "smb_files"),
        ("unconn.log", ""),
        ("export.json", ""),
    ],
)
def test_which_zeek_log_a_name_tells(name: str, want: str) -> None:
    assert zeek_log_of(name) == want
