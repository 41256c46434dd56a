# SPDX-License-Identifier: Apache-2.0
"""Findings to write out, keep and send; and the names that go with their tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fedxdr.core.ids import OrgId, sha256
from fedxdr.telemetry.catalogue import Kind, Service
from fedxdr.telemetry.findings import Evidence, Finding, Position, Severity

NOW: Final = 1_763_800_000 * 10**9
MODEL: Final = sha256(b"model")
HOST, SERVER, USER = 4_242_424_242_424_242, -77_777_777_777, 31_313_131_313
NAMES: Final[Mapping[int, str]] = {
    HOST: "10.1.2.3",
    SERVER: "93.184.216.34",
    USER: "acme\\alice",
}


def evidence(**changes: Any) -> Evidence:
    values = {
        "time_ns": NOW - 5 * 10**9,
        "source": HOST,
        "destination": SERVER,
        "user": USER,
        "kind": Kind.FLOW,
        "service": Service.SMB,
        "contribution": 0.25,
        "line": Position(
            source="/var/log/eve.json",
            device=2049,
            inode=2**63 + 7,
            fingerprint=sha256(b"first KiB"),
            begin=100,
            end=250,
        ),
    }
    return Evidence(**values | changes)


def finding(number: int = 0, **changes: Any) -> Finding:
    values = {
        "id": sha256(b"id", str(number).encode()),
        "org": OrgId("alpha"),
        "time_ns": NOW + number,
        "first_ns": NOW - 9 * 10**9,
        "last_ns": NOW - 5 * 10**9,
        "score": 3.5,
        "calibrated": 0.002,
        "threshold": 2.5,
        "severity": Severity.HIGH,
        "tactic": "TA0008",
        "technique": "T1021.002",
        "model": MODEL,
        "ledger_index": 12,
        "source": HOST,
        "destination": SERVER,
        "user": USER,
        "evidence": (evidence(), evidence(contribution=-0.5, user=0, line=None)),
        "sentence": "One host opened SMB to 40 others in 12 s; 38 refused (T1021.002).",
        "nearest": "lateral-movement_7.1",
    }
    return Finding(**values | changes)


def findings(count: int, *, begin: int = 0) -> list[Finding]:
    return [finding(number) for number in range(begin, begin + count)]
