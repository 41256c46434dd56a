# SPDX-License-Identifier: Apache-2.0
"""Tab-separated logs: the header decides, and a bad row costs one row."""

from __future__ import annotations

import random  # noqa: TID251 - only hypothesis' own shuffling below uses it
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.telemetry import Kind, Service, State
from fedxdr.telemetry.parser import Parsed
from fedxdr.telemetry.zeek import ZeekTsvParser

CONN = {
    "ts": "1601998366.785668",
    "uid": "CNgrt04tHika5Pgpfi",
    "id.orig_h": "10.0.0.1",
    "id.orig_p": "54170",
    "id.resp_h": "192.0.2.9",
    "id.resp_p": "445",
    "proto": "tcp",
    "service": "gssapi,smb",
    "duration": "0.007707",
    "orig_bytes": "37",
    "resp_bytes": "77",
    "conn_state": "RSTO",
    "orig_pkts": "1",
    "orig_ip_bytes": "85",
    "resp_pkts": "2",
    "resp_ip_bytes": "125",
    "tunnel_parents": "-",
}


def tokenise(text: str) -> int:
    return zlib.crc32(text.encode()) or 1


def log(
    *rows: dict[str, str], path: str = "conn", fields: list[str] | None = None
) -> str:
    names = fields or list(rows[0])
    lines = [
        "#separator \\x09",
        "#set_separator\t,",
        "#empty_field\t(empty)",
        "#unset_field\t-",
        f"#path\t{path}",
        "#open\t2020-10-06-17-32-56",
        "#fields\t" + "\t".join(names),
        "#types\t" + "\t".join("string" for _ in names),
        *("\t".join(row.get(name, "-") for name in names) for row in rows),
        "#close\t2020-10-06-17-33-29",
    ]
    return "\n".join(lines) + "\n"


def parse(text: str) -> Parsed:
    return ZeekTsvParser(tokenise).parse(text.encode())


def test_a_connection() -> None:
    parsed = parse(log(CONN))
    assert (parsed.rejected, parsed.skipped, parsed.lines) == ((), 0, 10)
    events = parsed.events
    assert len(events) == 1
    assert events.time_ns[0] == 1_601_998_366_785_668_000
    assert events.source[0] == tokenise("10.0.0.1")
    assert events.destination[0] == tokenise("192.0.2.9")
    assert (events.source_port[0], events.destination_port[0]) == (54_170, 445)
    assert (events.protocol[0], events.service[0]) == (6, Service.SMB)
    assert (events.kind[0], events.state[0]) == (Kind.FLOW, State.RESET_BY_SOURCE)
    assert (events.bytes_out[0], events.bytes_in[0]) == (85, 125)
    assert (events.packets_out[0], events.packets_in[0]) == (1, 2)
    assert events.duration_s[0] == np.float32(0.007707)
    assert (events.label[0], events.technique[0]) == (-1, -1)
    assert events.flow_id[0] != 0
    assert events.text_length[0] == -1


@given(st.randoms(use_true_random=False))
def test_the_order_of_columns_does_not_matter(shuffle: random.Random) -> None:
    fields = list(CONN)
    shuffle.shuffle(fields)
    straight, mixed = parse(log(CONN)).events, parse(log(CONN, fields=fields)).events
    for name in ("time_ns", "source", "destination_port", "bytes_in", "flow_id"):
        assert getattr(mixed, name).tolist() == getattr(straight, name).tolist()


def test_unset_is_not_known() -> None:
    unset = dict.fromkeys(CONN, "-") | {
        name: CONN[name] for name in ("ts", "uid", "id.orig_h", "id.resp_h")
    }
    events = parse(log(unset)).events
    assert events.source_port[0] == events.bytes_out[0] == events.packets_in[0] == -1
    assert np.isnan(events.duration_s[0])
    assert (events.protocol[0], events.state[0]) == (-1, State.UNKNOWN)


def test_payload_counts_where_packets_are_not_counted() -> None:
    fields = [name for name in CONN if not name.endswith("_ip_bytes")]
    events = parse(log(CONN, fields=fields)).events
    assert (events.bytes_out[0], events.bytes_in[0]) == (37, 77)


@pytest.mark.parametrize(
    ("path", "more", "kind", "service", "length"),
    [
        ("dns", {"query": "www.example", "rtt": "0.25"}, Kind.DNS, Service.DNS, 11),
        ("ssl", {"server_name": "s.test"}, Kind.TLS, Service.TLS, 6),
        ("http", {"host": "h.test", "uri": "/x"}, Kind.HTTP, Service.HTTP, 8),
        ("rdp", {"cookie": "x"}, Kind.RDP, Service.RDP, -1),
        ("weird", {"name": "bad_checksum"}, Kind.ANOMALY, Service.UNKNOWN, -1),
        ("notice", {"note": "Scan"}, Kind.ALERT, Service.UNKNOWN, -1),
        ("kerberos", {"service": "krbtgt/x"}, Kind.KERBEROS, Service.KERBEROS, -1),
        ("new_one", {}, Kind.OTHER, Service.UNKNOWN, -1),
    ],
)
def test_other_logs(
    path: str, more: dict[str, str], kind: Kind, service: Service, length: int
) -> None:
    shared = ("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p")
    events = parse(log({name: CONN[name] for name in shared} | more, path=path)).events
    assert (events.kind[0], events.service[0]) == (kind, service)
    assert events.text_length[0] == length
    if "rtt" in more:
        assert events.duration_s[0] == np.float32(0.25)


def test_labels_as_stratosphere_writes_them() -> None:
    detail = "From_malicious-To_malicious-Malware_data_exfiltration-RemcosRAT"
    events = parse(
        log(
            CONN | {"label": "Malicious", "detailedlabel": detail},
            CONN | {"label": "Benign", "detailedlabel": "From_benign-To_benign"},
            CONN | {"label": "Unknown", "detailedlabel": "(empty)"},
        )
    ).events
    assert events.label.tolist() == [1, 0, -1]
    assert events.techniques == ("T1048",)
    assert events.technique.tolist() == [0, -1, -1]


def test_labels_as_iot_23_writes_them_behind_spaces() -> None:
    text = log(CONN)
    text = text.replace("tunnel_parents\n", "tunnel_parents   label   detailed-label\n")
    text = text.replace("125\t-\n", "125\t-   Malicious   PartOfAHorizontalPortScan\n")
    parsed = parse(text)
    assert parsed.rejected == ()
    assert parsed.events.label.tolist() == [1]
    assert parsed.events.bytes_in.tolist() == [125]


def test_bad_rows_cost_a_row_each() -> None:
    rows = [
        CONN,
        CONN | {"ts": "noon"},
        CONN | {"id.resp_p": "70000"},
        CONN | {"orig_ip_bytes": "-5"},
        CONN | {"duration": "nan"},
        CONN | {"resp_pkts": "inf"},
        CONN | {"ts": "-"},
        CONN | {"id.resp_p": "53"},
    ]
    text = log(*rows).replace("#close", "one cell only\n#close")
    parsed = ZeekTsvParser(tokenise).parse(text.encode(), first_line=501)
    assert parsed.events.destination_port.tolist() == [445, 53]
    assert [one.line_number for one in parsed.rejected] == [*range(510, 516), 517]
    assert "noon" not in "".join(one.reason for one in parsed.rejected)
    assert parsed.rejected[-1].line == b"one cell only"


def test_rows_before_any_header_are_rejected() -> None:
    parsed = parse("1\t2\t3\n")
    assert [one.reason for one in parsed.rejected] == ["no header before this line"]
    no_time = parse(log({"uid": "C1", "id.orig_h": "a", "id.resp_h": "b"}))
    assert [one.line_number for one in no_time.rejected] == [9]


def test_the_header_is_kept_between_blocks_and_replaced_by_a_new_one() -> None:
    parser = ZeekTsvParser(tokenise)
    lines = log(CONN, CONN).encode().splitlines(keepends=True)
    dns = log(
        CONN | {"query": "x.test"},
        path="dns",
        fields=["ts", "id.orig_h", "id.resp_h", "query"],
    )
    kinds: list[int] = []
    for block in (b"".join(lines[:8]), lines[8], lines[9] + dns.encode()):
        kinds += parser.parse(block).events.kind.tolist()
    assert kinds == [Kind.FLOW, Kind.FLOW, Kind.DNS]


def test_another_separator_and_a_header_after_white_space() -> None:
    text = log(CONN).replace("\t", "|").replace("\\x09", "\\x7c")
    assert (
        parse("\t" + text.replace("#separator|", "#separator ")).events.bytes_in[0]
        == 125
    )


def test_rows_without_endpoints_are_skipped() -> None:
    parsed = parse(log({"ts": "1.5", "fingerprint": "ab"}, path="x509"))
    assert (len(parsed.events), parsed.skipped, parsed.rejected) == (0, 1, ())


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_make_it_fail(block: bytes, with_header: bool) -> None:
    parser = ZeekTsvParser(tokenise)
    if with_header:
        parser.parse(log(CONN).encode())
    parsed = parser.parse(block)
    assert len(parsed.events) + parsed.skipped + len(parsed.rejected) <= parsed.lines
