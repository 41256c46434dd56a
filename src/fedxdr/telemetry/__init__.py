# SPDX-License-Identifier: Apache-2.0
"""Logs of any sensor as one kind of event: catalogue, event, parser, suricata, zeek.

It takes blocks of bytes and gives columns; it does NOT open files (intake/) and does
NOT know the pseudonymisation key (privacy/pseudonym.py): whoever calls a parser hands
in what turns addresses and users into tokens. Findings are not handed on here: few
rooms may know them, and those name the file.
"""

from fedxdr.telemetry.catalogue import Kind, Service, State
from fedxdr.telemetry.event import BENIGN, COLUMNS, MALICIOUS, UNLABELLED, Events

__all__ = [
    "BENIGN",
    "COLUMNS",
    "MALICIOUS",
    "UNLABELLED",
    "Events",
    "Kind",
    "Service",
    "State",
]
