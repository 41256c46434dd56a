# SPDX-License-Identifier: Apache-2.0
"""LEEF, by the examples of IBM's format guide."""

from __future__ import annotations

import pytest

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.telemetry.catalogue import Kind, State
from fedxdr.telemetry.edges import NO_ENDPOINTS, Edge
from fedxdr.telemetry.event import MALICIOUS
from fedxdr.telemetry.leef import read

# "QRadar LEEF Format Guide", "LEEF event components"
EXCHANGE = (
    "LEEF:1.0|Microsoft|MSExchange|4.0 SP1|15345|"
    "src=192.0.2.0\tdst=172.50.123.1\tsev=5\tcat=anomaly\tsrcPort=81\tdstPort=21\t"
    "usrName=joe.black"
)
CARET = (
    "LEEF:2.0|Lancope|StealthWatch|1.0|41|^|src=192.0.2.0^dst=172.50.123.1^sev=7^"
    "cat=anomaly^srcPort=81^dstPort=21^usrName=joe.black"
)


def want(**more: object) -> Edge:
    return Edge(
        kind=Kind.ALERT,
        source="192.0.2.0",
        destination="172.50.123.1",
        source_port=81,
        destination_port=21,
        user="joe.black",
        **more,  # type: ignore[arg-type]
    )


def test_both_versions() -> None:
    assert read(EXCHANGE) == ("", want())
    assert read(CARET) == ("", want(label=MALICIOUS))


@pytest.mark.parametrize(
    ("written", "used"),
    [("x5E", "^"), ("0x5e", "^"), ("x09", "\t"), ("", "\t"), ("=", "="), ("x", "x")],
)
def test_delimiters(written: str, used: str) -> None:
    text = CARET.replace("|^|", f"|{written}|")
    head, _, rest = text.rpartition("|")
    found = read(f"{head}|{rest.replace('^', used)}").read
    if used == "=":  # nothing is left of what keys and values are told apart by
        assert found == NO_ENDPOINTS
    else:
        assert found == want(label=MALICIOUS)


@pytest.mark.parametrize("written", ["0x", "x123456", "xyz", "^^"])
def test_a_delimiter_that_is_none_is_a_part_of_the_first_attribute(
    written: str,
) -> None:
    text = CARET.replace("|^|", f"|{written}|").replace("^", "\t")
    assert read(text).read == NO_ENDPOINTS


def test_version_two_without_a_delimiter() -> None:
    assert read(EXCHANGE.replace("1.0", "2.0", 1)) == ("", want())


def test_traffic_and_its_time() -> None:
    time, found = read(
        "LEEF:1.0|v|p|1|traffic|devTime=1714709106000\tsrc=a\tdst=b\tproto=UDP\t"
        "srcBytes=1\tdstBytes=2\tsrcPackets=3\tdstPackets=4\taction=Reject\tsrc=c"
    )
    assert time == "1714709106000"
    assert found == Edge(
        kind=Kind.FLOW,
        source="a",
        destination="b",
        protocol=17,
        bytes_out=1,
        bytes_in=2,
        packets_out=3,
        packets_in=4,
        state=State.REJECTED,
    )
    assert read("LEEF:1.0|v|p|1|x|devTime=1\tdevTimeFormat=yy").time == ""


@pytest.mark.parametrize(
    "text",
    ["LEEF:1.0|a|b|c", f"{EXCHANGE}\tproto=999", EXCHANGE.replace("=81", "=-1")],
)
def test_damaged_records_are_refused(text: str) -> None:
    with pytest.raises(InvalidTelemetry):
        read(text)
