# SPDX-License-Identifier: Apache-2.0
"""CEF, by the examples of the specification and of products' own documentation."""

from __future__ import annotations

import pytest

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.telemetry.catalogue import Kind, Service, State
from fedxdr.telemetry.cef import read
from fedxdr.telemetry.edges import NO_ENDPOINTS, Edge
from fedxdr.telemetry.event import MALICIOUS, UNLABELLED

# "Implementing ArcSight Common Event Format", "Header Information"
WORM = (
    "CEF:0|Security|threatmanager|1.0|100|worm successfully stopped|10|"
    "src=10.0.0.1 dst=2.1.2.2 spt=1232"
)
# In the form of Palo Alto's "PAN-OS CEF Configuration Guide", TRAFFIC
TRAFFIC = (
    "CEF:0|Palo Alto Networks|PAN-OS|10.0.0|end|TRAFFIC|1|"
    "rt=May 03 2024 04:05:06 GMT src=192.0.2.7 dst=10.0.0.1 suser=example\\\\alice "
    "app=ssl spt=50111 dpt=443 proto=tcp act=allow in=900 out=4000 cs1Label=Rule "
    "cs1=a b c"
)


def edge(text: str) -> Edge:
    found = read(text).read
    assert isinstance(found, Edge)
    return found


def test_an_alert_is_a_label_at_most() -> None:
    assert read(WORM) == (
        "",
        Edge(
            kind=Kind.ALERT,
            source="10.0.0.1",
            destination="2.1.2.2",
            source_port=1232,
            label=MALICIOUS,
        ),
    )


def test_traffic() -> None:
    assert read(TRAFFIC) == (
        "May 03 2024 04:05:06 GMT",
        Edge(
            kind=Kind.FLOW,
            source="192.0.2.7",
            destination="10.0.0.1",
            source_port=50111,
            destination_port=443,
            protocol=6,
            service=Service.TLS,
            bytes_out=900,
            bytes_in=4000,
            user="example\\alice",
        ),
    )


@pytest.mark.parametrize(
    ("severity", "label"),
    [
        ("0", UNLABELLED),
        ("6", UNLABELLED),
        ("7", MALICIOUS),
        ("10", MALICIOUS),
        ("Medium", UNLABELLED),
        ("High", MALICIOUS),
        ("Very-High", MALICIOUS),
        ("", UNLABELLED),
        ("999", UNLABELLED),
    ],
)
def test_severities(severity: str, label: int) -> None:
    assert edge(WORM.replace("|10|", f"|{severity}|")).label == label


@pytest.mark.parametrize("name", ["Suspicious traffic", "drop of malware", "detect"])
def test_words_of_a_detection_system_do_not_make_traffic(name: str) -> None:
    assert edge(WORM.replace("worm successfully stopped", name)).kind == Kind.ALERT


@pytest.mark.parametrize("name", ["Accept", "traffic:forward accept", "TRAFFIC"])
def test_words_of_a_firewall_do(name: str) -> None:
    found = edge(WORM.replace("worm successfully stopped", name))
    assert (found.kind, found.label) == (Kind.FLOW, UNLABELLED)


def test_what_is_escaped() -> None:
    r"""As in the specification, "Character Encoding": ``\|``, ``\\`` and ``\=``."""
    found = edge(
        r"CEF:0|security|threat\|manager|1.0|100|detected a \| in \\ it|10|"
        r"src=10.0.0.1 request=http://x/?a\=b src\=9.9.9.9 c\\d\n act=Blocked "
        r"dst=1.1.1.1 src=8.8.8.8"
    )
    assert (found.source, found.destination) == ("10.0.0.1", "1.1.1.1")
    assert found.text == "http://x/?a=b src=9.9.9.9 c\\d\n"
    assert found.state == State.ATTEMPTED


def test_names_and_newer_addresses_stand_in() -> None:
    found = edge("CEF:0|a|b|c|d|e|1|c6a2=2001:db8::1 dhost=mail duser=bob")
    assert (found.source, found.destination) == ("2001:db8::1", "mail")
    assert found.user == "bob"


@pytest.mark.parametrize(
    "rest", ["", "src=10.0.0.1", "dst=10.0.0.1 msg=a", "src= dst=b"]
)
def test_records_without_two_endpoints(rest: str) -> None:
    assert read(f"CEF:0|a|b|c|d|e|1|{rest}").read == NO_ENDPOINTS


@pytest.mark.parametrize(
    "text",
    [
        "CEF:0|a|b",
        r"CEF:0|a|b|c|d|e|f\|",
        WORM.replace("1232", "65536"),
        WORM + " proto=256",
        WORM + " in=many",
    ],
)
def test_damaged_records_are_refused(text: str) -> None:
    with pytest.raises(InvalidTelemetry):
        read(text)
