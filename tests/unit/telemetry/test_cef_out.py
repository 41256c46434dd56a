# SPDX-License-Identifier: Apache-2.0
"""What is written as CEF is read back by our own reader, whatever names hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.telemetry.found import HOST, MODEL, NAMES, NOW, SERVER, USER, finding

from fedxdr.telemetry.catalogue import Kind
from fedxdr.telemetry.cef import read
from fedxdr.telemetry.cef_out import to_cef
from fedxdr.telemetry.edges import Edge
from fedxdr.telemetry.event import MALICIOUS, UNLABELLED
from fedxdr.telemetry.findings import Severity
from fedxdr.telemetry.shown import no_names, token_text


def edge(text: str) -> Edge:
    found = read(text).read
    assert isinstance(found, Edge)
    return found


def test_it_is_an_alert_with_its_ends() -> None:
    text = to_cef(finding(), NAMES.get)
    assert text.startswith(
        "CEF:0|fedxdr|fedxdr|0.1.0|T1021.002|SMB/Windows Admin Shares (T1021.002)|8|"
    )
    assert read(text).time == str(NOW // 10**6 - 9000)
    assert edge(text) == Edge(
        kind=Kind.ALERT,
        source="10.1.2.3",
        destination="93.184.216.34",
        label=MALICIOUS,
        user="acme\\alice",
    )
    for pair in (
        f"externalId={finding().id}",
        f"cs1={MODEL}",
        "cn1=12",
        "cfp1=3.5",
        "cfp2=2.5",
        "cfp3=0.002",
        "cat=TA0008",
    ):
        assert f" {pair} " in f" {text.split('|')[-1]} "


def test_forgotten_names_and_ipv6() -> None:
    assert edge(to_cef(finding(), no_names)).source == token_text(HOST)
    text = to_cef(finding(), {HOST: "2001:db8::1", SERVER: "fe80::2"}.get)
    assert " src=" not in text
    assert "c6a2=2001:db8::1 c6a2Label=Source IPv6 Address" in text
    assert (edge(text).source, edge(text).destination) == ("2001:db8::1", "fe80::2")


def test_what_may_be_unknown() -> None:
    text = to_cef(
        finding(tactic=None, technique=None, ledger_index=None, source=0, user=0),
        NAMES.get,
    )
    assert "|anomaly|Suspicious activity|" in text
    assert "cn1" not in text
    assert "suser" not in text


@pytest.mark.parametrize(
    ("severity", "label"),
    [(Severity.MEDIUM, UNLABELLED), (Severity.CRITICAL, MALICIOUS)],
)
def test_severity(severity: Severity, label: int) -> None:
    assert edge(to_cef(finding(severity=severity), NAMES.get)).label == label


NASTY = st.text(st.sampled_from("a=|\\ \n\r\t\x00\u2028src"), min_size=1, max_size=30)


@settings(deadline=None)
@given(host=NASTY, server=NASTY, user=NASTY)
def test_no_name_begins_a_field_or_a_line(host: str, server: str, user: str) -> None:
    text = to_cef(finding(), {HOST: host, SERVER: server, USER: user}.get)
    assert len(text.splitlines()) == 1
    # control characters are spaces, and the reader strips values
    plain = [name.translate({0: " ", 9: " ", 0x2028: " "}) for name in (host, server)]
    if all(name.strip(" ") for name in plain):
        found = edge(text)
        assert [found.source, found.destination] == [name.strip(" ") for name in plain]
