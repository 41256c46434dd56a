# SPDX-License-Identifier: Apache-2.0
"""Marks come out of the text again, and fields are labelled by their formats."""

from __future__ import annotations

import json

import pytest

from fedxdr.simulation.planted_labels import (
    EVE_FIELDS,
    Span,
    label_cells,
    label_record,
    label_syslog,
    mark,
    unmark,
    zeek_fields,
)


def found(marked: str) -> list[tuple[str, str]]:
    text, spans = unmark(marked)
    return [(span.kind, text[span.begin : span.end]) for span in spans]


def test_marks_come_out_and_say_where() -> None:
    text, spans = unmark(
        f"a {mark('user', 'bob')} b {mark('host', '')}{mark('host', 'h')}"
    )
    assert text == "a bob b h"
    assert spans == (
        Span(kind="user", begin=2, end=5),
        Span(kind="host", begin=8, end=9),
    )


def test_marks_survive_the_escapes_of_json() -> None:
    marked = json.dumps({"a": mark("account", 'CORP\\bob"')}, ensure_ascii=False)
    assert found(marked) == [("account", 'CORP\\\\bob\\"')]


def test_eve_by_dotted_names() -> None:
    record = {"src_ip": "10.0.0.1", "http": {"http_user_agent": "x (+http://b.c/d)"}}
    marked = json.dumps(label_record(record, EVE_FIELDS), ensure_ascii=False)
    assert found(marked) == [("address", "10.0.0.1"), ("url", "http://b.c/d")]


def test_zeek_under_both_spellings_and_by_log() -> None:
    assert zeek_fields("conn")["id.orig_h"] == zeek_fields("conn")["id_orig_h"]
    assert zeek_fields("kerberos")["service"] == "account"
    assert zeek_fields("conn")["service"] == ""
    cells = label_cells(
        ["a.b,TXT 3 x,y,10.0.0.1", "-"], ("answers", "server_name"), "dns"
    )
    assert found("\t".join(cells)) == [
        ("host", "a.b"),
        ("content", "TXT 3 x"),
        ("host", "y"),
        ("address", "10.0.0.1"),
    ]


@pytest.mark.parametrize(
    ("message", "entities"),
    [
        (
            "su(pam_unix)[1]: session opened for user news by (uid=0)",
            [("user", "news")],
        ),
        ("sshd(pam_unix)[2]: check pass; user unknown", []),
        (
            "sshd[3]: pam_unix(sshd:auth): failure; ruser= rhost=h.example  user=root",
            [("host", "h.example"), ("user", "root")],
        ),
        (
            "ftpd[4]: connection from 10.0.0.9 (d.example) at Sun Jul 3 10:05:25 2005",
            [("address", "10.0.0.9"), ("host", "d.example")],
        ),
    ],
)
def test_syslog_by_its_programs_sentences(
    message: str, entities: list[tuple[str, str]]
) -> None:
    marked = label_syslog(f"Jul  3 10:05:25 combo {message}")
    assert found(marked) == [("host", "combo"), *entities]
    assert label_syslog("no syslog") == "no syslog"
