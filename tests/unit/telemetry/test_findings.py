# SPDX-License-Identifier: Apache-2.0
"""A finding cannot be wrong, cannot be sent by mistake, and shows nobody."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core import canonical
from fedxdr.core.errors import InvalidTelemetry, MalformedMessage
from fedxdr.core.ids import OrgId, sha256
from fedxdr.telemetry.catalogue import Kind, Service
from fedxdr.telemetry.findings import (
    MAX_EVIDENCE,
    MAX_SENTENCE,
    Evidence,
    Finding,
    Position,
    Severity,
    finding_id,
)

NOW = 1_763_800_000 * 10**9
MODEL = sha256(b"model")
TOKEN, OTHER, USER = 4_242_424_242_424_242, -77_777_777_777, 31_313_131_313


def position(**changes: Any) -> Position:
    values = {
        "source": "/var/log/secret-host/eve.json",
        "device": 2049,
        "inode": 6_660_666,
        "fingerprint": sha256(b"first KiB"),
        "begin": 100,
        "end": 250,
    }
    return Position(**values | changes)


def evidence(**changes: Any) -> Evidence:
    values = {
        "time_ns": NOW - 5,
        "source": TOKEN,
        "destination": OTHER,
        "user": USER,
        "kind": Kind.FLOW,
        "service": Service.SMB,
        "contribution": 0.25,
        "line": position(),
    }
    return Evidence(**values | changes)


def finding(**changes: Any) -> Finding:
    values = {
        "id": sha256(b"id"),
        "org": OrgId("alpha"),
        "time_ns": NOW,
        "first_ns": NOW - 9,
        "last_ns": NOW - 5,
        "score": 3.5,
        "calibrated": 0.002,
        "threshold": 2.5,
        "severity": Severity.HIGH,
        "tactic": "TA0008",
        "technique": "T1021.002",
        "model": MODEL,
        "ledger_index": 12,
        "source": TOKEN,
        "destination": OTHER,
        "user": USER,
        "evidence": (evidence(), evidence(contribution=-0.5)),
        "sentence": "One host opened SMB to 40 others in 12 s; 38 refused (T1021.002).",
        "nearest": "lateral-movement_7.1",
    }
    return Finding(**values | changes)


def test_what_may_be_unknown() -> None:
    bare = finding(
        tactic=None,
        technique=None,
        ledger_index=None,
        nearest=None,
        user=0,
        source=0,
        destination=0,
        evidence=(),
        first_ns=NOW + 10,
        last_ns=NOW + 10,
    )
    assert bare.nearest is None
    short = Evidence(
        time_ns=NOW,
        source=1,
        destination=2,
        kind=Kind.AUTH,
        service=Service.UNKNOWN,
        contribution=0.0,
    )
    assert (short.user, short.line) == (0, None)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"time_ns": 0}, "time"),
        ({"last_ns": 2**63}, "time"),
        ({"first_ns": NOW}, "before its first"),
        ({"score": math.nan}, "finite"),
        ({"threshold": -math.inf}, "finite"),
        ({"score": 2.4}, "below"),
        ({"calibrated": -0.1}, "share"),
        ({"calibrated": 1.1}, "share"),
        ({"calibrated": math.nan}, "share"),
        ({"tactic": "TA08"}, "tactic"),
        ({"tactic": ""}, "tactic"),
        ({"tactic": "TA0008\n"}, "tactic"),
        ({"technique": "TA0008"}, "technique"),
        ({"technique": "T1021.2"}, "technique"),
        ({"technique": "T٣٣٣٣"}, "technique"),
        ({"ledger_index": -1}, "height"),
        ({"evidence": (evidence(),) * (MAX_EVIDENCE + 1)}, "at most"),
        ({"evidence": (evidence(), evidence(contribution=1.0))}, "largest"),
        ({"sentence": ""}, "characters"),
        ({"sentence": "a" * (MAX_SENTENCE + 1)}, "characters"),
        ({"nearest": ""}, "campaign"),
        ({"nearest": "a" * 65}, "campaign"),
        ({"nearest": "a|b=c"}, "campaign"),
        ({"nearest": "10.0.0.1"}, "address"),
    ],
)
def test_a_wrong_finding_cannot_be_built(change: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidTelemetry, match=text):
        finding(**change)


@pytest.mark.parametrize(
    "change", [{"id": "x"}, {"model": "0" * 63}, {"org": "Not A Name"}]
)
def test_names_are_names(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessage):
        finding(**change)


@pytest.mark.parametrize(
    "name",
    [
        "192.0.2.7",
        "2001:db8::7",
        "FE80::1",
        "::1",
        "::ffff:192.0.2.7",
        "00:1B:44:11:3a:b7",
        "alice@example.org",
        "CORP\\alice",
        "/home/alice",
        "https://example.org",
        "two\nlines",
        "bell\x07",
        "two\u2028lines",
    ],
)
def test_a_sentence_that_names_somebody_is_refused_and_not_shown(name: str) -> None:
    with pytest.raises(InvalidTelemetry, match="something like an address") as caught:
        finding(sentence=f"The host {name} did it.")
    assert name not in str(caught.value)


@given(st.ip_addresses())
def test_no_address_of_any_kind_gets_into_a_sentence(address: object) -> None:
    for text in (str(address), address.exploded):  # type: ignore[attr-defined] # hypothesis types ip_addresses loosely
        with pytest.raises(InvalidTelemetry):
            finding(sentence=f"It was {text}, as ever.")


@pytest.mark.parametrize(
    "change",
    [{"device": -1}, {"inode": -1}, {"begin": -1}, {"begin": 251}, {"end": 99}],
)
def test_a_wrong_position_cannot_be_built(change: dict[str, int]) -> None:
    with pytest.raises(InvalidTelemetry):
        position(**change)


def test_a_position_may_be_empty_and_has_a_digest() -> None:
    assert position(begin=0, end=0).end == 0
    with pytest.raises(MalformedMessage):
        position(fingerprint="short")


@pytest.mark.parametrize("contribution", [math.nan, math.inf])
def test_a_contribution_is_finite(contribution: float) -> None:
    with pytest.raises(InvalidTelemetry, match="finite"):
        evidence(contribution=contribution)


def test_the_time_of_evidence_is_a_time() -> None:
    with pytest.raises(InvalidTelemetry, match="time"):
        evidence(time_ns=-1)


def test_nothing_shows_who_or_where() -> None:
    """What is logged by accident is its ``repr``."""
    shown = repr(finding()) + repr(evidence()) + repr(position())
    assert "T1021.002" in shown
    for secret in (TOKEN, OTHER, USER, "secret-host", 2049, 6_660_666, "SMB to 40"):
        assert str(secret) not in shown
    assert position().fingerprint not in shown


@pytest.mark.parametrize("value", [finding(), finding(evidence=()), evidence()])
def test_nothing_can_be_signed_or_put_in_an_envelope(value: object) -> None:
    with pytest.raises(MalformedMessage):
        canonical.encode(value)


def test_values_do_not_change() -> None:
    for value in (finding(), evidence(), position()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            value.source = 1  # type: ignore[misc,assignment] # that is what is tested


def test_the_name_is_the_documented_digest() -> None:
    made = finding_id(
        org=OrgId("alpha"),
        model=MODEL,
        source=TOKEN,
        destination=OTHER,
        tactic=None,
        first_ns=NOW,
    )
    array = json.dumps(
        ["alpha", MODEL, str(TOKEN), str(OTHER), "", str(NOW)], separators=(",", ":")
    )
    want = hashlib.sha256(b"fedxdr/finding/v1\x00" + array.encode()).hexdigest()
    assert made == want


def test_another_finding_has_another_name() -> None:
    same: dict[str, Any] = {
        "org": OrgId("alpha"),
        "model": MODEL,
        "source": TOKEN,
        "destination": OTHER,
        "tactic": "TA0008",
        "first_ns": NOW,
    }
    others = (
        {"org": OrgId("bravo")},
        {"model": sha256(b"next")},
        {"source": OTHER, "destination": TOKEN},
        {"tactic": None},
        {"first_ns": NOW + 1},
    )
    names = {finding_id(**same | other) for other in ({}, {}, *others)}
    assert len(names) == 1 + len(others)


def test_severities_are_those_of_ocsf() -> None:
    assert [(one.name, int(one)) for one in Severity] == [
        ("INFORMATIONAL", 1),
        ("LOW", 2),
        ("MEDIUM", 3),
        ("HIGH", 4),
        ("CRITICAL", 5),
    ]
