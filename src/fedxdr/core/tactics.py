# SPDX-License-Identifier: Apache-2.0
"""ATT&CK's tactics, and which of them a technique serves.

One table for all rooms: the order is the matrix's, and the network's head for tactics
has its outputs in that order.

It does NOT name techniques (telemetry/attack.py) and does not map sensors' words
(privacy/categories.py).

Rule that always holds: a sub-technique serves what its technique serves, unless it
stands here itself; a technique that does not stand here serves none that we know.

Source: MITRE ATT&CK Enterprise v18.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TACTICS: Final[Mapping[str, str]] = {
    "TA0043": "Reconnaissance",
    "TA0042": "Resource Development",
    "TA0001": "Initial Access",
    "TA0002": "Execution",
    "TA0003": "Persistence",
    "TA0004": "Privilege Escalation",
    "TA0005": "Defense Evasion",
    "TA0006": "Credential Access",
    "TA0007": "Discovery",
    "TA0008": "Lateral Movement",
    "TA0009": "Collection",
    "TA0011": "Command and Control",
    "TA0010": "Exfiltration",
    "TA0040": "Impact",
}
"""Name by identifier, in the order of the matrix."""

_SERVES: Final[Mapping[str, tuple[str, ...]]] = {
    "T1003": ("TA0006",),
    "T1014": ("TA0005",),
    "T1016": ("TA0007",),
    "T1018": ("TA0007",),
    "T1021": ("TA0008",),
    "T1027": ("TA0005",),
    "T1033": ("TA0007",),
    "T1036": ("TA0005",),
    "T1039": ("TA0009",),
    "T1040": ("TA0006", "TA0007"),
    "T1041": ("TA0010",),
    "T1046": ("TA0007",),
    "T1047": ("TA0002",),
    "T1048": ("TA0010",),
    "T1049": ("TA0007",),
    "T1053": ("TA0002", "TA0003", "TA0004"),
    "T1055": ("TA0004", "TA0005"),
    "T1056": ("TA0006", "TA0009"),
    "T1057": ("TA0007",),
    "T1059": ("TA0002",),
    "T1068": ("TA0004",),
    "T1069": ("TA0007",),
    "T1070": ("TA0005",),
    "T1071": ("TA0011",),
    "T1074": ("TA0009",),
    "T1078": ("TA0001", "TA0003", "TA0004", "TA0005"),
    "T1082": ("TA0007",),
    "T1083": ("TA0007",),
    "T1087": ("TA0007",),
    "T1090": ("TA0011",),
    "T1095": ("TA0011",),
    "T1098": ("TA0003", "TA0004"),
    "T1102": ("TA0011",),
    "T1105": ("TA0011",),
    "T1110": ("TA0006",),
    "T1114": ("TA0009",),
    "T1132": ("TA0011",),
    "T1133": ("TA0001", "TA0003"),
    "T1135": ("TA0007",),
    "T1136": ("TA0003",),
    "T1187": ("TA0006",),
    "T1189": ("TA0001",),
    "T1190": ("TA0001",),
    "T1203": ("TA0002",),
    "T1204": ("TA0002",),
    "T1210": ("TA0008",),
    "T1213": ("TA0009",),
    "T1219": ("TA0011",),
    "T1222": ("TA0005",),
    "T1485": ("TA0040",),
    "T1486": ("TA0040",),
    "T1489": ("TA0040",),
    "T1490": ("TA0040",),
    "T1496": ("TA0040",),
    "T1498": ("TA0040",),
    "T1499": ("TA0040",),
    "T1505": ("TA0003",),
    "T1543": ("TA0003", "TA0004"),
    "T1547": ("TA0003", "TA0004"),
    "T1548": ("TA0004", "TA0005"),
    "T1550": ("TA0005", "TA0008"),
    "T1552": ("TA0006",),
    "T1555": ("TA0006",),
    "T1557": ("TA0006", "TA0009"),
    "T1558": ("TA0006",),
    "T1560": ("TA0009",),
    "T1562": ("TA0005",),
    "T1564": ("TA0005",),
    "T1566": ("TA0001",),
    "T1567": ("TA0010",),
    "T1568": ("TA0011",),
    "T1569": ("TA0002",),
    "T1570": ("TA0008",),
    "T1571": ("TA0011",),
    "T1572": ("TA0011",),
    "T1573": ("TA0011",),
    "T1583": ("TA0042",),
    "T1589": ("TA0043",),
    "T1590": ("TA0043",),
    "T1592": ("TA0043",),
    "T1595": ("TA0043",),
}
"""The techniques that network and host telemetry shows, and the tactics they serve."""


def tactics_of(technique: str) -> tuple[str, ...]:
    """Return the tactics that a technique serves, empty if it is not known here.

    Args:
        technique: ``T1021`` or ``T1021.002``.
    """
    own = _SERVES.get(technique)
    return _SERVES.get(technique.partition(".")[0], ()) if own is None else own


def short_name(tactic: str) -> str:
    """Return a tactic's name as kill chains write it, ``lateral-movement``.

    An identifier that is not in the matrix stays what it is, in small letters.
    """
    return TACTICS.get(tactic, tactic).lower().replace(" ", "-")
