# SPDX-License-Identifier: Apache-2.0
"""Wazuh's alerts (``alerts.json``) as events.

Every record becomes one row of kind ``ALERT`` between the addresses that it names; an
alert about a host alone is between the host and itself.

It does NOT make inputs of what Wazuh thought: level and technique of a rule become a
weak label, and no model reads rows of kind ``ALERT``. It does NOT read the events that
an alert quotes, nor Wazuh's archives (records without a rule are skipped).

Rule: levels are read as Wazuh's dashboard groups them: 12 and above is high, 7 and
above is medium; those are Suricata's severities 1 and 2.

Source: Wazuh documentation, "Rules classification" and "Alert management".
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from fedxdr.telemetry import catalogue
from fedxdr.telemetry.catalogue import Kind
from fedxdr.telemetry.edges import (
    NO_ENDPOINTS,
    Edge,
    EdgeParser,
    Port,
    Text,
    host_of,
    port_of,
    text_of,
)
from fedxdr.telemetry.event import MALICIOUS, UNLABELLED
from fedxdr.telemetry.parser import Tokenise, Tokeniser
from fedxdr.telemetry.suricata import LABEL_SEVERITY

_LEVELS: Final = {1: 12, 2: 7}
"""Lowest rule level that is as bad as a severity of Suricata's."""

_ANY_LEVEL: Final = 0
_NEVER: Final = 1 << 16
_NO_RULE: Final = "a record without a rule"


class _Mitre(msgspec.Struct, gc=False):
    id: list[str] | str | None = None


class _Rule(msgspec.Struct, gc=False):
    level: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0
    mitre: _Mitre | None = None


class _Agent(msgspec.Struct, gc=False):
    name: Text = None
    ip: Text = None


class _Data(msgspec.Struct, gc=False):
    """What a decoder read; the second names are those of Suricata's records."""

    srcip: Text = None
    dstip: Text = None
    srcport: Port = None
    dstport: Port = None
    srcuser: Text = None
    dstuser: Text = None
    protocol: Text = None
    src_ip: Text = None
    dest_ip: Text = None
    src_port: Port = None
    dest_port: Port = None
    proto: Text = None
    flow_id: Text = None


class _Record(msgspec.Struct, gc=False):
    timestamp: str
    rule: _Rule | None = None
    agent: _Agent | None = None
    data: _Data | None = None


_DECODER: Final = msgspec.json.Decoder(_Record)
_NO_AGENT: Final = _Agent()
_NO_DATA: Final = _Data()


class WazuhParser(EdgeParser[_Record]):
    """Reads alerts.

    Args:
        tokenise: turns addresses, and users where it can, into tokens.
        label_severity: alerts as bad as this severity of Suricata's, and worse (lower
            numbers), are weak labels; 0 for none, 3 and above for all.
    """

    def __init__(
        self,
        tokenise: Tokenise | Tokeniser,
        *,
        label_severity: int = LABEL_SEVERITY,
    ) -> None:
        super().__init__(
            tokenise,
            _DECODER,
            time_of=lambda record: record.timestamp,
            edge_of=self._edge,
        )
        self._label_level = (
            _LEVELS.get(label_severity, _ANY_LEVEL) if label_severity > 0 else _NEVER
        )

    def _edge(self, record: _Record) -> Edge | str:
        if record.rule is None:
            return _NO_RULE
        data = record.data or _NO_DATA
        agent = record.agent or _NO_AGENT
        here = host_of(agent.ip, "") or text_of(agent.name)
        if here.startswith("127."):
            here = text_of(agent.name)
        source = host_of(data.srcip, here) or host_of(data.src_ip, here) or here
        destination = host_of(data.dstip, here) or host_of(data.dest_ip, here) or here
        if not (source and destination):
            return NO_ENDPOINTS
        is_label = record.rule.level >= self._label_level
        return Edge(
            kind=Kind.ALERT,
            source=source,
            destination=destination,
            source_port=max(port_of(data.srcport), port_of(data.src_port)),
            destination_port=max(port_of(data.dstport), port_of(data.dest_port)),
            protocol=catalogue.protocol_of(
                text_of(data.protocol) or text_of(data.proto)
            ),
            label=MALICIOUS if is_label else UNLABELLED,
            technique=_technique(record.rule) if is_label else "",
            flow_id=_flow_id(data),
            user=text_of(data.dstuser) or text_of(data.srcuser),
        )


def _technique(rule: _Rule) -> str:
    """Return the first ATT&CK technique that a rule names."""
    named = rule.mitre.id if rule.mitre is not None else None
    if isinstance(named, list):
        return named[0] if named else ""
    return named or ""


def _flow_id(data: _Data) -> int:
    """Return Suricata's connection; Wazuh may write it as ``1234.000000``."""
    digits = text_of(data.flow_id).partition(".")[0]
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= len("1" * 19)
    return int(digits) if is_number else 0
