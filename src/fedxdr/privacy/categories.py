# SPDX-License-Identifier: Apache-2.0
"""One vocabulary for threats: ATT&CK tactic and technique for what sensors call them.

``normalise`` takes a sensor's own words (a Suricata classtype or category, a rule group
of Wazuh, an alert's name) and returns the identifiers of MITRE ATT&CK, so that
organisations with different sensors can speak of the same thing without sending an
alert's text to each other.

It does NOT guess: what stands in no table is ``UNMAPPED`` and says so; a word that
names a tactic but no technique has a tactic only. It does NOT judge whether an alert is
right.

Rule: an exact word of a sensor's own vocabulary comes before a pattern in a name; of
patterns the first in the table counts.

Sources: Suricata 8, classification.config; Wazuh 4 ruleset, groups and the ``mitre``
field of rules; Emerging Threats rule categories (ET Category Descriptions); MITRE
ATT&CK Enterprise v18.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final

from fedxdr.core.tactics import short_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """A normalised category.

    Attributes:
        tactic: identifier of core/tactics.py, or empty.
        technique: identifier such as ``T1110.001``, or empty.
    """

    tactic: str = ""
    technique: str = ""

    @property
    def is_mapped(self) -> bool:
        """Whether a tactic is known."""
        return bool(self.tactic)

    @property
    def name(self) -> str:
        """The tactic's short name, or ``unmapped``."""
        return short_name(self.tactic) if self.tactic else "unmapped"


UNMAPPED: Final = Category()
"""What stands in no table."""


def _of(tactic: str, technique: str = "") -> Category:
    return Category(tactic=tactic, technique=technique)


_SCAN = _of("TA0007", "T1046")
_RECON = _of("TA0043", "T1595")
_EXPLOIT = _of("TA0001", "T1190")
_BRUTE = _of("TA0006", "T1110")
_CONTROL = _of("TA0011", "T1071")
_ESCALATE = _of("TA0004", "T1068")
_DENIAL = _of("TA0040", "T1498")
_EXFILTRATE = _of("TA0010", "T1048")
_VALID = _of("TA0001", "T1078")

_CLASSTYPES: Final = {
    # classtype, and the category text that EVE shows for it
    "attempted-recon": _RECON,
    "attempted information leak": _RECON,
    "successful-recon-limited": _RECON,
    "information leak": _RECON,
    "successful-recon-largescale": _RECON,
    "large scale information leak": _RECON,
    "network-scan": _SCAN,
    "detection of a network scan": _SCAN,
    "attempted-dos": _DENIAL,
    "attempted denial of service": _DENIAL,
    "successful-dos": _DENIAL,
    "denial of service": _DENIAL,
    "denial-of-service": _DENIAL,
    "detection of a denial of service attack": _DENIAL,
    "attempted-user": _EXPLOIT,
    "attempted user privilege gain": _EXPLOIT,
    "successful-user": _EXPLOIT,
    "successful user privilege gain": _EXPLOIT,
    "unsuccessful-user": _EXPLOIT,
    "unsuccessful user privilege gain": _EXPLOIT,
    "attempted-admin": _EXPLOIT,
    "attempted administrator privilege gain": _EXPLOIT,
    "successful-admin": _EXPLOIT,
    "successful administrator privilege gain": _EXPLOIT,
    "web-application-attack": _EXPLOIT,
    "web application attack": _EXPLOIT,
    "web-application-activity": _RECON,
    "access to a potentially vulnerable web application": _RECON,
    "trojan-activity": _CONTROL,
    "a network trojan was detected": _CONTROL,
    "command-and-control": _CONTROL,
    "malware command and control activity detected": _CONTROL,
    "domain-c2": _of("TA0011", "T1071.004"),
    "domain observed used for c2 detected": _of("TA0011", "T1071.004"),
    "shellcode-detect": _of("TA0002", "T1203"),
    "executable code was detected": _of("TA0002", "T1203"),
    "exploit-kit": _of("TA0001", "T1189"),
    "exploit kit activity detected": _of("TA0001", "T1189"),
    "credential-theft": _of("TA0006"),
    "successful credential theft detected": _of("TA0006"),
    "suspicious-login": _VALID,
    "an attempted login using a suspicious username was detected": _VALID,
    "default-login-attempt": _of("TA0001", "T1078.001"),
    "attempt to login by a default username and password": _of("TA0001", "T1078.001"),
    "social-engineering": _of("TA0001", "T1566"),
    "possible social engineering attempted": _of("TA0001", "T1566"),
    "coin-mining": _of("TA0040", "T1496"),
    "crypto currency mining activity detected": _of("TA0040", "T1496"),
    "external-ip-check": _of("TA0007", "T1016"),
    "device retrieving external ip address detected": _of("TA0007", "T1016"),
    "targeted-activity": _of("TA0011"),
    "targeted malicious activity was detected": _of("TA0011"),
    "rpc-portmap-decode": _of("TA0007", "T1046"),
    "decode of an rpc query": _of("TA0007", "T1046"),
}

_GROUPS: Final = {
    # Wazuh rule groups
    "authentication_failed": _BRUTE,
    "authentication_failures": _BRUTE,
    "invalid_login": _BRUTE,
    "win_authentication_failed": _BRUTE,
    "authentication_success": _VALID,
    "recon": _RECON,
    "web_scan": _RECON,
    "attack": _EXPLOIT,
    "web_attack": _EXPLOIT,
    "sql_injection": _EXPLOIT,
    "sqlinjection": _EXPLOIT,
    "exploit_attempt": _EXPLOIT,
    "rootcheck": _of("TA0005", "T1014"),
    "rootkit": _of("TA0005", "T1014"),
    "adduser": _of("TA0003", "T1136"),
    "account_changed": _of("TA0003", "T1098"),
    "sudo": _of("TA0004", "T1548.003"),
    "privilege_escalation": _ESCALATE,
    "logs_cleared": _of("TA0005", "T1070.001"),
    "ransomware": _of("TA0040", "T1486"),
    "lateral_movement": _of("TA0008"),
    "exfiltration": _of("TA0010"),
    "dos": _DENIAL,
    "ddos": _DENIAL,
}

_NAMES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), category)
    for pattern, category in (
        (
            r"\bbrute.?force|multiple (?:failed|authentication fail)|failed logins",
            _BRUTE,
        ),
        (r"password.?spray", _of("TA0006", "T1110.003")),
        (r"credential.?dump|mimikatz|lsass", _of("TA0006", "T1003")),
        (r"kerberoast", _of("TA0006", "T1558.003")),
        (r"login failed|authentication fail|invalid user login|login attempt", _BRUTE),
        (r"\bnmap\b|port.?scan|potential \w+ scan|service.?scan|^et scan\b", _SCAN),
        (r"dns.?tunnel|dnsteal|data exfiltration|exfiltration", _EXFILTRATE),
        (r"sql.?injection|command injection|path traversal|shellshock", _EXPLOIT),
        (r"common web attack|remote code execution|log4j|log4shell", _EXPLOIT),
        (r"web.?shell", _of("TA0003", "T1505.003")),
        (r"reverse.?shell", _of("TA0002", "T1059")),
        (r"powershell", _of("TA0002", "T1059.001")),
        (r"psexec", _of("TA0002", "T1569.002")),
        (r"pass.the.hash", _of("TA0008", "T1550.002")),
        (r"ransomware", _of("TA0040", "T1486")),
        (r"coin.?min(?:er|ing)|cryptomin", _of("TA0040", "T1496")),
        (r"phish", _of("TA0001", "T1566")),
        (r"\btor (?:known )?(?:relay|exit)|known tor", _of("TA0011", "T1090.003")),
        (r"command and control|\bc2\b|\bcnc\b|beacon", _CONTROL),
        (
            r"successful sudo to root|first time user executed sudo",
            _of("TA0004", "T1548.003"),
        ),
        (r"successfully changed uid", _of("TA0004", "T1548")),
        (r"access forbidden file|suspicious url access|wpscan|\bdirb\b", _RECON),
        (r"denial of service|\bddos\b|syn flood", _DENIAL),
    )
)
_TECHNIQUE: Final = re.compile(r"T[0-9]{4}(?:\.[0-9]{3})?")
_LONGEST: Final = 512


@functools.lru_cache(maxsize=8_192)
def normalise(word: str) -> Category:
    """Return tactic and technique of a sensor's word, ``UNMAPPED`` where none is known.

    Args:
        word: a Suricata classtype or category, a Wazuh rule group, or an alert's name;
            of long ones the first 512 characters count.
    """
    plain = " ".join(word[:_LONGEST].strip().rstrip(".").lower().split())
    known = _CLASSTYPES.get(plain) or _GROUPS.get(plain.replace("-", "_"))
    if known is not None:
        return known
    for pattern, category in _NAMES:
        if pattern.search(plain):
            return category
    return UNMAPPED


def normalise_alert(*words: str, technique: str = "") -> Category:
    """Return the first of an alert's words that is mapped.

    A technique that the sensor itself names (``mitre`` in Wazuh, ``mitre_technique_id``
    in Suricata's metadata) comes first; its tactic is that of the words where they give
    the same technique, else not known.

    Args:
        words: category, groups and name of one alert, the most exact first.
        technique: an ATT&CK identifier, or empty.
    """
    mapped = [found for found in map(normalise, words) if found.is_mapped]
    if _TECHNIQUE.fullmatch(technique):
        for found in mapped:
            if found.technique.partition(".")[0] == technique.partition(".")[0]:
                return Category(tactic=found.tactic, technique=technique)
        return Category(technique=technique)
    return mapped[0] if mapped else UNMAPPED
