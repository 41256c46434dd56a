# SPDX-License-Identifier: Apache-2.0
"""Decoded records and cells by the rules of their fields."""

from __future__ import annotations

from typing import Any

import pytest

from fedxdr.privacy.redaction_fields import plan_of
from fedxdr.privacy.redaction_records import Mark, Records, split_syslog
from fedxdr.privacy.redaction_tokens import Tokens

TOKENS = Tokens(bytes(32))
RECORDS = Records(TOKENS, frozenset(), cache_size=16)


def planned(record: dict[str, Any], **own: str) -> tuple[dict[str, Any], list[Mark]]:
    marks: list[Mark] = []
    plan = plan_of("json", own=tuple(own.items()))
    RECORDS.planned(record, plan, marks)
    return record, marks


def test_each_rule_does_what_it_says() -> None:
    record, marks = planned(
        {"k": "bob", "t": {"x": "10.0.0.1"}, "u": "bob", "c": "body", "f": "10.0.0.1"},
        k="keep",
        t="tree",
        u="user",
        c="content",
        f="text",
    )
    assert record == {
        "k": "bob",
        "t": {"x": "10.0.0.1"},
        "u": TOKENS.replace("user", "bob"),
        "f": TOKENS.replace("address", "10.0.0.1"),
    }
    assert [(path, kind) for path, kind, _, _ in marks] == [
        (("u",), "user"),
        (("c",), "content"),
        (("f",), "address"),
    ]


@pytest.mark.parametrize(
    ("value", "kind"),
    [("10.0.0.1", "address"), ("a.example", "host"), ("TXT 3 secret", "content")],
)
def test_a_host_may_be_an_address(value: str, kind: str) -> None:
    record, marks = planned({"h": value}, h="host")
    assert record["h"] == TOKENS.replace(kind, value)
    assert marks == [(("h",), kind, 0, len(value))]


def test_an_address_that_is_none_is_a_host() -> None:
    record, _ = planned({"a": "gw", "e": "", "n": None, "l": ["::1"]}, a="address")
    assert record["a"] == TOKENS.replace("host", "gw")
    assert (record["e"], record["n"]) == ("", None)


def test_values_of_another_type_than_their_rule() -> None:
    record, marks = planned(
        {
            "k": ["10.0.0.1"],
            "u": 7,
            "h": {"x": "10.0.0.2"},
            "l": ["b.example", 5, None],
        },
        k="keep",
        u="user",
        h="host",
        l="host",
    )
    assert record["k"] == [TOKENS.replace("address", "10.0.0.1")]
    assert record["u"] == TOKENS.replace("user", "7")
    assert record["h"] == {"x": TOKENS.replace("address", "10.0.0.2")}
    assert record["l"][0] == TOKENS.replace("host", "b.example")
    assert record["l"][2] is None
    assert len(marks) == 5


def test_plain_words_in_a_field_of_users_stay() -> None:
    assert planned({"u": "unknown"}, u="user")[0] == {"u": "unknown"}


def test_cells_with_several_values() -> None:
    marks: list[Mark] = []
    cell = RECORDS.cell("a.example,10.0.0.1", "host", 4, marks)
    first, second = cell.split(",")
    assert first == TOKENS.replace("host", "a.example")
    assert second == TOKENS.replace("address", "10.0.0.1")
    assert marks == [((4,), "host", 0, 9), ((4,), "address", 10, 18)]
    name = "CN=a,O=b"
    assert RECORDS.cell(name, "certificate", 0, []) == TOKENS.replace(
        "certificate", name
    )


@pytest.mark.parametrize(
    ("line", "host"),
    [
        ("Dec 10 06:55:46 LabSZ sshd[1]: x", "LabSZ"),
        ("Jul  1 10:56:41 combo sshd(pam_unix)[2]: x", "combo"),
        ("<165>1 2003-10-11T22:14:15.003Z host.example app - - - x", "host.example"),
        ("Dec 10 06:55:46 without a program", ""),
        ("no header", ""),
    ],
)
def test_the_header_of_syslog(line: str, host: str) -> None:
    head = split_syslog(line)
    assert (line[head[0] : head[1]] if head else "") == host
