# SPDX-License-Identifier: Apache-2.0
"""Words for ATT&CK's identifiers: a finding is read without looking them up.

It does NOT say which technique an event is (models/), and it is not a full catalogue:
of techniques it names what network and host telemetry shows most often. What stands in
no table keeps its identifier as its name.

Source: MITRE ATT&CK Enterprise v18, names of tactics and techniques.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from fedxdr.core.tactics import TACTICS

TECHNIQUES: Final = {
    "T1021": "Remote Services",
    "T1021.001": "Remote Desktop Protocol",
    "T1021.002": "SMB/Windows Admin Shares",
    "T1021.004": "SSH",
    "T1041": "Exfiltration Over C2 Channel",
    "T1046": "Network Service Discovery",
    "T1048": "Exfiltration Over Alternative Protocol",
    "T1059": "Command and Scripting Interpreter",
    "T1068": "Exploitation for Privilege Escalation",
    "T1071": "Application Layer Protocol",
    "T1071.001": "Web Protocols",
    "T1071.004": "DNS",
    "T1078": "Valid Accounts",
    "T1105": "Ingress Tool Transfer",
    "T1110": "Brute Force",
    "T1133": "External Remote Services",
    "T1190": "Exploit Public-Facing Application",
    "T1210": "Exploitation of Remote Services",
    "T1213": "Data from Information Repositories",
    "T1486": "Data Encrypted for Impact",
    "T1498": "Network Denial of Service",
    "T1499": "Endpoint Denial of Service",
    "T1505.003": "Web Shell",
    "T1548": "Abuse Elevation Control Mechanism",
    "T1558": "Steal or Forge Kerberos Tickets",
    "T1566": "Phishing",
    "T1571": "Non-Standard Port",
    "T1572": "Protocol Tunneling",
    "T1595": "Active Scanning",
}
"""Name by identifier, the most usual ones."""

_SITE: Final = "https://attack.mitre.org"


class Word(NamedTuple):
    """What an identifier is called and where it is described.

    Attributes:
        uid: the identifier.
        name: of the matrix, the identifier itself where no table here has it.
        url: the page of it.
    """

    uid: str
    name: str
    url: str


def tactic(uid: str) -> Word:
    """Return the words for a tactic, ``TA0008``."""
    return Word(uid, TACTICS.get(uid, uid), f"{_SITE}/tactics/{uid}/")


def technique(uid: str) -> Word:
    """Return the words for a technique or sub-technique, ``T1021.002``."""
    page = uid.replace(".", "/")
    return Word(uid, TECHNIQUES.get(uid, uid), f"{_SITE}/techniques/{page}/")
