# SPDX-License-Identifier: Apache-2.0
r"""A finding as one line of ArcSight's Common Event Format.

The other direction of cef.py, which reads it back. Evidence stays out: a line of syslog
is short, and ``externalId`` finds the whole finding elsewhere.

It does NOT write the syslog header around it (transport/sinks/syslog.py).

Rule 1: ``\`` and ``|`` are escaped in the header, ``\`` and ``=`` in the extension, and
line ends become ``\n`` and ``\r``, other control characters spaces: no name in a
finding can begin a key of its own.
Rule 2: an IPv6 address is never written as ``src`` or ``dst``, which are IPv4 only.

Source: Micro Focus, "Implementing ArcSight Common Event Format (CEF)", version 26,
"Header Field Definitions", "Character Encoding" and "Extension Dictionary".
"""

from __future__ import annotations

from typing import Final

from fedxdr import __version__
from fedxdr.telemetry.findings import Finding, Severity
from fedxdr.telemetry.ocsf_out import title_of
from fedxdr.telemetry.shown import Names, entity_of

_MS: Final = 10**6
_SEVERITIES: Final = {
    Severity.INFORMATIONAL: 1,
    Severity.LOW: 3,
    Severity.MEDIUM: 5,
    Severity.HIGH: 8,
    Severity.CRITICAL: 10,
}
_SOURCE: Final = {"ipv4": "src", "ipv6": "c6a2", "host": "shost", "token": "shost"}
_DESTINATION: Final = {"ipv4": "dst", "ipv6": "c6a3", "host": "dhost", "token": "dhost"}
_CONTROLS: Final = dict.fromkeys((*range(32), *range(127, 160), 8232, 8233), " ")
_LABELS: Final = {
    "c6a2": "Source IPv6 Address",
    "c6a3": "Destination IPv6 Address",
}


def to_cef(finding: Finding, names: Names) -> str:
    """Return a finding as one line, from ``CEF:0`` on.

    Args:
        finding: what was found.
        names: looks up who a token is; where it says None the token is written.
    """
    header = (
        *("fedxdr", "fedxdr", __version__),
        finding.technique or finding.tactic or "anomaly",
        title_of(finding),
        str(_SEVERITIES[finding.severity]),
    )
    start = "|".join(("CEF:0", *map(_in_header, header)))
    pairs = " ".join(
        f"{key}={_in_value(value)}" for key, value in _fields(finding, names)
    )
    return f"{start}|{pairs}"


def _fields(finding: Finding, names: Names) -> list[tuple[str, str]]:
    fields = [
        ("externalId", finding.id),
        ("cat", finding.tactic or "anomaly"),
        ("start", str(finding.first_ns // _MS)),
        ("end", str(finding.last_ns // _MS)),
        ("rt", str(finding.time_ns // _MS)),
    ]
    for token, keys in ((finding.source, _SOURCE), (finding.destination, _DESTINATION)):
        who = entity_of(token, names)
        if who is not None:
            key = keys[who.form]
            fields.append((key, who.text))
            if key in _LABELS:
                fields.append((f"{key}Label", _LABELS[key]))
    user = entity_of(finding.user, names)
    if user is not None:
        fields.append(("suser", user.text))
    fields += [
        ("msg", finding.sentence),
        ("cs1Label", "model"),
        ("cs1", finding.model),
        ("cs2Label", "organisation"),
        ("cs2", finding.org),
        ("cfp1Label", "score"),
        ("cfp1", repr(finding.score)),
        ("cfp2Label", "threshold"),
        ("cfp2", repr(finding.threshold)),
        ("cfp3Label", "calibrated"),
        ("cfp3", repr(finding.calibrated)),
    ]
    if finding.ledger_index is not None:
        fields += [("cn1Label", "ledgerIndex"), ("cn1", str(finding.ledger_index))]
    return fields


def _in_header(text: str) -> str:
    return _one_line(text.replace("\\", "\\\\").replace("|", "\\|"))


def _in_value(text: str) -> str:
    return _one_line(text.replace("\\", "\\\\").replace("=", "\\="))


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n").replace("\r", "\\r").translate(_CONTROLS)
