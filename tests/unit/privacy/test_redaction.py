# SPDX-License-Identifier: Apache-2.0
"""Lines of every format as they may leave: nothing of the entities is left in them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidSettings, TooLarge
from fedxdr.privacy import redaction
from fedxdr.privacy.redaction import Rules, Sanitiser
from fedxdr.privacy.redaction_tokens import Tokens
from fedxdr.simulation.planted import plant
from fedxdr.simulation.planted_labels import Span
from fedxdr.simulation.planted_score import score
from fedxdr.simulation.planted_sources import read_real_lines

KEY = bytes(range(32))
TOKENS = Tokens(KEY)
SANITISER = Sanitiser(KEY)
DATA = Path(__file__).parents[4] / "shared/data"

EVE = {
    "timestamp": "2021-06-06T15:59:46.457984+0200",
    "flow_id": 1374195536821504,
    "event_type": "alert",
    "src_ip": "10.0.0.1",
    "src_port": 51698,
    "dest_ip": "2001:db8::1",
    "proto": "TCP",
    "community_id": "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
    "host": "sensor.example",
    "alert": {"signature_id": 2403388, "signature": "ET DNS foo.com", "severity": 2},
    "dns": {"rrname": "a.example", "answers": [{"rrtype": "A", "rdata": "10.9.8.7"}]},
    "http": {
        "hostname": "b.example",
        "url": "/x?user=bob",
        "http_user_agent": "Agent/1.0 (+http://c.example/bob)",
        "status": 200,
    },
    "tls": {"subject": "CN=d.example", "ja3": {"hash": "b7202231ff2db28363c109"}},
    "fileinfo": {"filename": "/home/bob/pay.xlsx", "size": 47},
    "payload": "Ym9i",
    "payload_printable": "bob",
}


def sanitised(record: dict[str, Any], **options: Any) -> dict[str, Any]:
    line = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    result: dict[str, Any] = json.loads(SANITISER.line(line, **options).text)
    return result


def test_eve_by_its_fields() -> None:
    got = sanitised(EVE)
    assert got["src_ip"] == TOKENS.replace("address", "10.0.0.1")
    assert got["dest_ip"] == TOKENS.replace("address", "2001:db8::1")
    assert got["host"] == TOKENS.replace("host", "sensor.example")
    assert got["community_id"].startswith("id-")
    assert got["dns"]["rrname"] == TOKENS.replace("host", "a.example")
    assert got["dns"]["answers"][0]["rdata"] == TOKENS.replace("address", "10.9.8.7")
    assert got["http"]["url"].startswith("/path-")
    assert got["tls"]["subject"].startswith("certificate-")
    assert got["fileinfo"]["filename"].endswith(".xlsx")
    assert "payload" not in got
    assert "payload_printable" not in got
    for name in ("timestamp", "flow_id", "src_port", "proto", "alert"):
        assert got[name] == EVE[name]
    assert got["http"]["status"] == 200
    assert got["tls"]["ja3"] == EVE["tls"]["ja3"]
    assert "bob" not in json.dumps(got)
    assert "example" not in json.dumps(got)


def test_the_text_of_an_own_rule_is_not_trusted() -> None:
    own = EVE | {"alert": {"signature_id": 1_000_001, "signature": "watch foo.com"}}
    assert sanitised(own)["alert"]["signature"] == "watch " + TOKENS.replace(
        "host", "foo.com"
    )


def test_unknown_fields_are_free_text_or_what_their_name_tells() -> None:
    got = sanitised(
        {
            "event_type": "x",
            "note": "bob@example.com from 10.0.0.1",
            "srcuser": "bob",
            "deep": [{"password": "hunter2", "n": 5, "ok": True, "none": None}],
            "card": 4111111111111111,
            "10.0.0.9": "as a key",
            "proto": {"hidden": "10.0.0.8"},
            "src_ip": ["10.0.0.7"],
        }
    )
    text = json.dumps(got)
    for leaked in ("bob", "10.0.0", "hunter2", "4111111111111111"):
        assert leaked not in text
    assert got["srcuser"] == TOKENS.replace("user", "bob")
    assert got["deep"] == [{"password": "[secret]", "n": 5, "ok": True, "none": None}]
    assert got["card"] == "[card]"
    assert got["proto"] == {"hidden": TOKENS.replace("address", "10.0.0.8")}


def test_zeek_json_under_both_spellings() -> None:
    for name in ("id.orig_h", "id_orig_h"):
        got = sanitised(
            {
                "_path": "conn",
                "uid": "CAb",
                name: "10.0.0.1",
                "proto": "udp",
                "note": "x",
            }
        )
        assert got[name] == TOKENS.replace("address", "10.0.0.1")
        assert (got["uid"], got["proto"]) == ("CAb", "udp")
    got = sanitised({"@stream": "kerberos", "uid": "C", "client": "bob/CORP"})
    assert got["client"].startswith("account-")


def test_zeek_tables_follow_their_headers() -> None:
    lines = [
        "#separator \\x09",
        "#path\tdns",
        "#fields\tts\tid.orig_h\tquery\tanswers\tnew_column",
        "1.5\t10.0.0.1\ta.example\tb.example,10.0.0.2\tby bob@example.com",
        "1.6\t10.0.0.1\t-\t(empty)\t-",
    ]
    got = [result.text for result in SANITISER.lines(lines)]
    assert got[:3] == lines[:3]
    cells = got[3].split("\t")
    assert cells[0] == "1.5"
    assert cells[1] == TOKENS.replace("address", "10.0.0.1")
    assert cells[3] == ",".join(
        [TOKENS.replace("host", "b.example"), TOKENS.replace("address", "10.0.0.2")]
    )
    assert cells[4] == "by " + TOKENS.replace("email", "bob@example.com")
    assert got[4].split("\t")[2:] == ["-", "(empty)", "-"]


def test_a_table_row_that_does_not_fit_is_free_text() -> None:
    got = SANITISER.line("10.0.0.1\tx", format="zeek-tsv", columns=("a", "b", "c"))
    assert got.text == TOKENS.replace("address", "10.0.0.1") + "\tx"


def test_wazuh_by_its_fields() -> None:
    log = "Dec 10 06:55:46 LabSZ sshd[1]: Invalid user bob from 10.0.0.1"
    got = sanitised(
        {
            "rule": {"id": "5710", "groups": ["authentication_failed"], "level": 5},
            "agent": {"id": "003", "name": "mail", "ip": "10.0.0.2"},
            "data": {"srcip": "10.0.0.1", "srcuser": "bob"},
            "full_log": log,
        }
    )
    assert got["rule"]["groups"] == ["authentication_failed"]
    assert got["agent"]["name"] == TOKENS.replace("host", "mail")
    assert got["data"]["srcuser"] == TOKENS.replace("user", "bob")
    assert got["full_log"] == SANITISER.line(log).text
    assert "LabSZ" not in got["full_log"]
    assert "bob" not in got["full_log"]


@pytest.mark.parametrize(
    "head",
    [
        "Dec 10 06:55:46 {} sshd[1]: ",
        "<34>Oct  1 22:14:15 {} su: ",
        "<165>1 2003-10-11T22:14:15.003Z {} app - ID47 - ",
        "2024-05-01T10:00:00.123+02:00 {} systemd[1]: ",
    ],
)
def test_the_host_of_a_syslog_header_is_found(head: str) -> None:
    for host, kind in (("web01", "host"), ("10.0.0.3", "address")):
        got = SANITISER.line(head.format(host) + "started")
        assert got.text == head.format(TOKENS.replace(kind, host)) + "started"


@pytest.mark.parametrize(
    "line",
    ['{"a": "10.0.0.1"', '{"a": "10.0.0.1"} 10.0.0.1', '{"\\ud800": "10.0.0.1"}', "{"],
)
def test_what_is_no_json_is_free_text(line: str) -> None:
    assert "10.0.0.1" not in SANITISER.line(line, format="eve").text


def test_deep_records_end_as_content() -> None:
    line = '{"a":' * 200 + '"10.0.0.1"' + "}" * 200
    got = SANITISER.line(line)
    assert "10.0.0.1" not in got.text
    assert "[content]" in got.text
    assert "10.0.0.1" not in SANITISER.line('{"a":' * 100_000 + '"10.0.0.1"').text


def test_findings_say_what_and_where() -> None:
    line = json.dumps(EVE, separators=(",", ":"))
    found = SANITISER.line(line).found
    texts = {(f.field, f.kind, f.action, line[f.begin : f.end]) for f in found}
    assert ("src_ip", "address", "pseudonymise", "10.0.0.1") in texts
    assert ("http.url", "url", "coarsen", "/x?user=bob") in texts
    assert ("payload", "content", "drop", "Ym9i") in texts
    assert ("http.http_user_agent", "url", "coarsen", "http://c.example/bob") in texts
    assert [f.begin for f in found] == sorted(f.begin for f in found)
    assert SANITISER.line(line).count == len(found)


def test_findings_in_escaped_strings_stand_right() -> None:
    line = '{"event_type":"x","note":"\\u00e9\\n\\"10.0.0.1\\" CORP\\\\bob"}'
    found = SANITISER.line(line).found
    assert [line[f.begin : f.end] for f in found] == ["10.0.0.1", "CORP\\\\bob"]


def test_findings_in_tables_stand_right() -> None:
    line = "1.5\t10.0.0.1\tb.example,10.0.0.2"
    found = SANITISER.line(
        line, format="zeek-tsv", columns=("ts", "id.orig_h", "answers"), stream="dns"
    ).found
    assert [(f.field, line[f.begin : f.end]) for f in found] == [
        ("id.orig_h", "10.0.0.1"),
        ("answers", "b.example"),
        ("answers", "10.0.0.2"),
    ]


def test_a_record_is_left_as_it_is() -> None:
    record = {"src_ip": "10.0.0.1", "event_type": "flow"}
    copy, found = SANITISER.record(record, format="eve")
    assert record["src_ip"] == "10.0.0.1"
    assert copy["src_ip"] == TOKENS.replace("address", "10.0.0.1")
    assert [(f.field, f.kind, f.begin, f.end) for f in found] == [
        ("src_ip", "address", 0, 8)
    ]


def test_own_fields_and_suffixes() -> None:
    rules = Rules(fields=(("note", "user"),), suffixes=frozenset(["acme-hq"]))
    own = Sanitiser(KEY, rules)
    got = json.loads(own.line('{"event_type":"x","note":"bob","b":"fs.acme-hq"}').text)
    assert got["note"] == TOKENS.replace("user", "bob")
    assert got["b"] == TOKENS.replace("host", "fs.acme-hq")
    with pytest.raises(InvalidSettings):
        Sanitiser(KEY, Rules(fields=(("note", "nonsense"),)))


def test_bytes_and_addresses_that_keep_prefixes() -> None:
    own = Sanitiser(KEY, Rules(addresses="prefix"))
    one, two = (own.line(b"from 10.1.2.%d \xff" % n).text for n in (3, 4))
    assert one.split()[1].rpartition(".")[0] == two.split()[1].rpartition(".")[0]
    assert "10.1.2" not in one
    assert one.endswith("\ufffd")


def test_lines_above_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "LINE_LIMIT", 10)
    assert SANITISER.line("x" * 10).text == "x" * 10
    with pytest.raises(TooLarge):
        SANITISER.line("x" * 11)


@given(st.text(max_size=200))
def test_any_line_is_sanitised_the_same_twice(line: str) -> None:
    for format_ in ("auto", "eve", "syslog", "text", "zeek-json"):
        got = SANITISER.line(line, format=format_)
        assert got.text == Sanitiser(KEY).line(line, format=format_).text
        for finding in got.found:
            assert 0 <= finding.begin <= finding.end <= len(line)


@given(
    st.dictionaries(
        st.text(max_size=10),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
            lambda below: (
                st.lists(below, max_size=3)
                | st.dictionaries(st.sampled_from(["src_ip", "dns", "a"]), below)
            ),
            max_leaves=8,
        ),
        max_size=5,
    )
)
def test_any_record_gives_a_line(record: dict[str, Any]) -> None:
    line = json.dumps(record)
    result = SANITISER.line(line, format="eve")
    for finding in result.found:
        assert 0 <= finding.begin <= finding.end <= len(line)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the shared real log lines")
def test_entities_planted_into_real_lines() -> None:
    lines = plant(read_real_lines(DATA, most=60), seed=99, formats="tune")
    found = []
    for planted in lines:
        line = planted.line
        result = SANITISER.line(
            line.text, format=line.log, columns=line.columns, stream=line.stream
        )
        for span in planted.truth:
            value = line.text[span.begin : span.end]
            if span.kind in {"email", "secret", "card", "sid", "account"}:
                assert value not in result.text
        spans = [Span(kind=f.kind, begin=f.begin, end=f.end) for f in result.found]
        found.append((planted, spans))
    result = score(found)
    assert result.total.entities > 3_000
    for kind, count in result.kinds.items():
        assert count.recall >= 0.99, kind
        assert count.precision >= 0.97, kind
    assert result.trapped <= result.traps // 100


PROGRAM = """
import socket
from fedxdr.privacy.redaction import Sanitiser
names = [name for _, name in socket.if_nameindex()]
assert names in ([], ["lo"]), names
line = "user=bob from 10.0.0.1 to https://www.example.com/x?y=z, bob@mail.example.co.uk"
print(Sanitiser(bytes(32)).line(line).count)
"""


def test_no_network_is_needed() -> None:
    probe = subprocess.run(
        ["unshare", "-r", "-n", "true"], capture_output=True, check=False
    )
    if probe.returncode:
        pytest.skip("no empty network namespace may be made here")
    done = subprocess.run(
        ["unshare", "-r", "-n", sys.executable, "-c", PROGRAM],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.stdout.strip() == "4", done.stderr


def test_no_socket_is_opened() -> None:
    opened: list[str] = []
    sys.addaudithook(
        lambda event, _: opened.append(event) if event.startswith("socket.") else None
    )
    Sanitiser(KEY).line(json.dumps(EVE))
    Sanitiser(KEY).line("bob@example.com https://www.example.co.uk 10.0.0.1")
    assert opened == []
