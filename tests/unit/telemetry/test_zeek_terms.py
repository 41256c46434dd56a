# SPDX-License-Identifier: Apache-2.0
"""Zeek's states, and labels as published captures write them."""

from __future__ import annotations

import pytest

from fedxdr.telemetry.catalogue import State
from fedxdr.telemetry.zeek_terms import label_of, state_of, technique_of


def test_every_state_zeek_documents_is_known() -> None:
    reset = ["RSTO", "RSTR", "RSTOS0", "RSTRH"]
    documented = ["S0", "S1", "SF", "REJ", "S2", "S3", *reset, "SH", "SHR", "OTH"]
    assert State.UNKNOWN not in {state_of(text) for text in documented}
    assert state_of("SF") is State.COMPLETED
    assert state_of("REJ") is State.REJECTED
    assert state_of(None) is state_of("-") is state_of("XX") is State.UNKNOWN


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("Malicious", 1),
        ("malicious ", 1),
        ("Benign", 0),
        ("benign", 0),
        ("Unknown", -1),
        ("Background", -1),
        ("", -1),
        (None, -1),
    ],
)
def test_labels(text: str | None, want: int) -> None:
    assert label_of(text) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        # Labels of CTU-SME-11 and IoT-23, in their spelling.
        ("From_malicious-To_malicious-Malware_data_exfiltration-RemcosRAT", "T1048"),
        ("From_benign-To_benign-Device_chromecast_tv_assistant", None),
        ("From_benign-To_benign-Portscan", None),
        ("PartOfAHorizontalPortScan", "T1046"),
        ("C&C-HeartBeat", "T1071"),
        ("C&C-FileDownload", "T1105"),
        ("DDoS", "T1498"),
        ("Okiru-Attack", None),
        ("lateral movement, T1021.002", "T1021.002"),
        ("T1110", "T1110"),
        ("(empty)", None),
    ],
)
def test_techniques(text: str, want: str | None) -> None:
    assert technique_of(text) == want
