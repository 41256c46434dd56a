# SPDX-License-Identifier: Apache-2.0
"""Entities planted into lines, and the truth of where they stand."""

from __future__ import annotations

import json

import pytest

from fedxdr.simulation.planted import PlantedLine, RealLine, plant, sentences
from fedxdr.simulation.planted_labels import TRAP

EVE = RealLine(
    log="eve",
    text='{"event_type":"dns","src_ip":"10.0.0.1","dest_ip":"::1","src_port":53,'
    '"dns":{"rrname":"a.example","answers":[{"rdata":"1.2.3.4"}]}}',
)
ZEEK = RealLine(
    log="zeek-tsv",
    text="1.5\tCab\t10.0.0.1\t53\ta.example\tb.example,1.2.3.4\t-",
    stream="dns",
    columns=("ts", "uid", "id.orig_h", "id.orig_p", "query", "answers", "server_name"),
)
SYSLOG = RealLine(
    log="syslog",
    text="Dec 10 09:17:00 LabSZ sshd[24599]: Failed password for invalid user butter "
    "from 187.141.143.180 port 48369 ssh2",
)


def values(planted: PlantedLine) -> list[tuple[str, str]]:
    text = planted.line.text
    return [(span.kind, text[span.begin : span.end]) for span in planted.truth]


def test_what_a_line_held_is_labelled_by_its_format() -> None:
    eve, zeek, syslog = plant([EVE, ZEEK, SYSLOG], seed=1, formats="tune", share=0)
    assert eve.line == EVE
    assert values(eve) == [
        ("address", "10.0.0.1"),
        ("address", "::1"),
        ("host", "a.example"),
        ("address", "1.2.3.4"),
    ]
    assert zeek.line == ZEEK
    assert values(zeek) == [
        ("address", "10.0.0.1"),
        ("host", "a.example"),
        ("host", "b.example"),
        ("address", "1.2.3.4"),
    ]
    assert syslog.line == SYSLOG
    assert values(syslog) == [
        ("host", "LabSZ"),
        ("user", "butter"),
        ("address", "187.141.143.180"),
    ]


def test_with_share_one_every_field_that_can_is_swapped_and_a_sentence_put_in() -> None:
    (eve,) = plant([EVE], seed=1, formats="tune", share=1)
    record = json.loads(eve.line.text)
    assert {"src_ip", "dest_ip", "dns"} < set(record)
    assert record["src_ip"] != "10.0.0.1"
    assert record["dns"]["answers"] == [{"rdata": "1.2.3.4"}]
    assert len(set(record) & {"note", "comment", "message_detail"}) == 1
    assert record["dns"]["rrname"] in dict(map(reversed, values(eve)))


@pytest.mark.parametrize("formats", ["tune", "held_out"])
def test_one_seed_gives_one_result_and_spans_in_order(formats: str) -> None:
    first, again, other = (
        sentences(seed=seed, formats=formats, count=200) for seed in (5, 5, 6)
    )
    assert first == again != other
    kinds = {span.kind for planted in first for span in planted.truth}
    assert kinds >= {"address", "email", "user", "host", "url", "sid", "account"}
    assert kinds >= {"mac", "card", "phone", "secret"}
    assert TRAP not in kinds
    for planted in first:
        assert len(planted.truth) + len(planted.traps) >= 12
        spans = sorted((*planted.truth, *planted.traps), key=lambda span: span.begin)
        ends = [0, *(span.end for span in spans)]
        assert all(e <= s.begin < s.end for e, s in zip(ends, spans, strict=False))
        assert "\ue001" not in planted.line.text


def test_the_two_sets_share_no_value() -> None:
    found = [
        {
            value
            for line in sentences(seed=3, formats=formats, count=100)
            for kind, value in values(line)
            if kind in {"email", "host", "url", "mac", "phone"}
        }
        for formats in ("tune", "held_out")
    ]
    assert not found[0] & found[1]
