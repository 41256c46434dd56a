# SPDX-License-Identifier: Apache-2.0
"""JSON logs say the same as tab-separated ones."""

from __future__ import annotations

import dataclasses
import json
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.telemetry import Events, Kind, Service
from fedxdr.telemetry.zeek import ZeekTsvParser
from fedxdr.telemetry.zeek_json import ZeekJsonParser

CONN: dict[str, Any] = {
    "ts": 1588205199.82437,
    "uid": "Cvf4XX17hSAgXDdGEd",
    "id.orig_h": "10.0.1.6",
    "id.orig_p": 54243,
    "id.resp_h": "10.0.0.4",
    "id.resp_p": 445,
    "proto": "tcp",
    "service": "gssapi,smb,krb",
    "duration": 10.761076,
    "orig_bytes": 4020,
    "resp_bytes": 1681,
    "conn_state": "RSTO",
    "orig_pkts": 12,
    "orig_ip_bytes": 1307,
    "resp_pkts": 11,
    "resp_ip_bytes": 2133,
}


def tokenise(text: str) -> int:
    return zlib.crc32(text.encode()) or 1


def parse(*records: dict[str, Any], log: str = "") -> Events:
    block = "".join(json.dumps(one) + "\n" for one in records).encode()
    parsed = ZeekJsonParser(tokenise, log=log).parse(block)
    assert parsed.rejected == ()
    return parsed.events


def same(one: Events, other: Events) -> bool:
    return all(
        np.array_equal(
            getattr(one, field.name),
            getattr(other, field.name),
            equal_nan=field.name in {"duration_s", "text_entropy"},
        )
        for field in dataclasses.fields(one)
        if field.name != "techniques"
    )


def test_json_and_tabs_say_the_same() -> None:
    text = "\n".join(
        [
            "#separator \\x09",
            "#unset_field\t-",
            "#path\tconn",
            "#fields\t" + "\t".join(CONN),
            "\t".join(str(value) for value in CONN.values()),
        ]
    )
    tabs = ZeekTsvParser(tokenise).parse(text.encode()).events
    assert len(tabs) == 1
    assert same(parse(CONN), tabs)


def test_dotted_and_underscored_names_say_the_same() -> None:
    flat = {name.replace(".", "_"): value for name, value in CONN.items()}
    assert same(parse(flat), parse(CONN))


def test_times_may_be_written_as_iso_8601() -> None:
    written = "2020-04-30T00:06:39.824370Z"
    assert parse(CONN | {"ts": written}).time_ns[0] == 1_588_205_199_824_370_000


@pytest.mark.parametrize(
    ("record", "log", "kind"),
    [
        ({"_path": "dns"}, "conn", Kind.DNS),
        ({"@stream": "ssl"}, "", Kind.TLS),
        ({}, "rdp", Kind.RDP),
        ({"conn_state": "SF"}, "", Kind.FLOW),
        ({"query": "x.test"}, "", Kind.DNS),
        ({"uri": "/"}, "", Kind.HTTP),
        ({"server_name": "x.test"}, "", Kind.TLS),
        ({}, "", Kind.OTHER),
    ],
)
def test_which_log_it_is(record: dict[str, Any], log: str, kind: Kind) -> None:
    bare = {name: CONN[name] for name in ("ts", "uid", "id.orig_h", "id.resp_h")}
    assert parse(bare | record, log=log).kind[0] == kind


def test_null_lists_and_labels() -> None:
    events = parse(
        CONN | {"service": None, "duration": None, "label": "Benign"},
        CONN | {"service": ["ssl", "http"], "label": None},
        CONN | {"label": "Malicious", "detailedlabel": "C&C"},
    )
    assert events.service.tolist()[:2] == [Service.UNKNOWN, Service.HTTP]
    assert np.isnan(events.duration_s[0])
    assert events.label.tolist() == [0, -1, 1]
    assert events.techniques == ("T1071",)


def test_bad_lines_cost_a_line_and_the_sensor_s_own_logs_are_skipped() -> None:
    lines = [
        json.dumps(CONN),
        json.dumps({"_path": "loaded_scripts", "name": "x.zeek"}),
        json.dumps({"ts": 1.5, "_path": "x509", "fingerprint": "ab"}),
        json.dumps(CONN | {"ts": "noon"}),
        json.dumps({name: CONN[name] for name in CONN if name != "ts"}),
        json.dumps(CONN | {"id.resp_p": 70_000}),
        json.dumps(CONN | {"orig_bytes": -3}),
        '{"torn":',
    ]
    parsed = ZeekJsonParser(tokenise).parse("\n".join(lines).encode())
    assert len(parsed.events) == 1
    assert parsed.skipped == 2
    assert [one.line_number for one in parsed.rejected] == [4, 5, 6, 7, 8]


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(block: bytes) -> None:
    parsed = ZeekJsonParser(tokenise).parse(block)
    assert len(parsed.rejected) <= parsed.lines
