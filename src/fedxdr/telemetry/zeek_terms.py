# SPDX-License-Identifier: Apache-2.0
"""Zeek's own words, and Stratosphere's labels, in terms of the catalogue.

It does NOT parse lines (zeek.py).

Sources: Zeek documentation of ``conn_state``; Stratosphere Laboratory, labels of the
CTU, IoT-23 and CTU-SME-11 captures; MITRE ATT&CK v18 technique ids.
"""

from __future__ import annotations

import functools
import re
from typing import Final

from fedxdr.telemetry.catalogue import State
from fedxdr.telemetry.event import BENIGN, MALICIOUS, UNLABELLED

_STATES: Final = {
    "S0": State.ATTEMPTED,
    "S1": State.ESTABLISHED,
    "SF": State.COMPLETED,
    "REJ": State.REJECTED,
    "S2": State.HALF_CLOSED,
    "S3": State.HALF_CLOSED,
    "RSTO": State.RESET_BY_SOURCE,
    "RSTR": State.RESET_BY_DESTINATION,
    "RSTOS0": State.ABANDONED,
    "SH": State.ABANDONED,
    "RSTRH": State.PARTIAL,
    "SHR": State.PARTIAL,
    "OTH": State.PARTIAL,
}

_LABELS: Final = {
    "benign": BENIGN,
    "normal": BENIGN,
    "malicious": MALICIOUS,
    "malware": MALICIOUS,
    "botnet": MALICIOUS,
    "attack": MALICIOUS,
}

_TECHNIQUE_ID: Final = re.compile(r"T\d{4}(?:\.\d{3})?")
_TECHNIQUES: Final = (
    ("portscan", "T1046"),
    ("scan", "T1046"),
    ("brute", "T1110"),
    ("exfiltration", "T1048"),
    ("download", "T1105"),
    ("lateral", "T1021"),
    ("ddos", "T1498"),
    ("dos", "T1498"),
    ("c&c", "T1071"),
    ("c2", "T1071"),
    ("-cc-", "T1071"),
    ("heartbeat", "T1071"),
    ("phishing", "T1566"),
    ("ransom", "T1486"),
    ("mining", "T1496"),
)


def state_of(text: str | None) -> State:
    """Return how far a connection got, by Zeek's ``conn_state``."""
    return _STATES.get(text or "", State.UNKNOWN)


def label_of(text: str | None) -> int:
    """Return 1 for a malicious label, 0 for benign, -1 for others (``Background``)."""
    return _LABELS.get((text or "").strip().lower(), UNLABELLED)


@functools.lru_cache(maxsize=4096)
def technique_of(text: str) -> str | None:
    """Return the ATT&CK technique that a detailed label tells, None where none.

    Args:
        text: a detailed label (``PartOfAHorizontalPortScan``), with or without an
            ATT&CK id in it; an id wins. ``From_benign...`` names no technique.
    """
    named = _TECHNIQUE_ID.search(text)
    if named is not None:
        return named.group()
    lower = text.lower()
    if "from_benign" in lower or "from-benign" in lower or "from-normal" in lower:
        return None
    for word, technique in _TECHNIQUES:
        if word in lower:
            return technique
    return None
