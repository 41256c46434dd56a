# SPDX-License-Identifier: Apache-2.0
"""Packets that Linux' netfilter logged: iptables and nftables, ufw, firewalld.

One packet is one ``FLOW`` edge with its own length. What became of it stands in the
prefix, which the administrator chose: the usual words are understood, others leave the
state unknown.

It does NOT read the packet inside an ICMP error: of every field the first counts.

Source: Linux, net/netfilter/nf_log_syslog.c; ufw(8), "LOGGING".
"""

from __future__ import annotations

import re
from typing import Final

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.telemetry.catalogue import Kind, State, protocol_of
from fedxdr.telemetry.edges import Edge
from fedxdr.telemetry.syslog_fields import (
    LARGEST,
    LARGEST_PORT,
    LARGEST_PROTOCOL,
    VERDICTS,
    Read,
    number,
)

_WORD: Final = re.compile(r"[A-Za-z]++")
_LARGEST_PREFIX: Final = 256


def read(text: str, _host: str = "") -> Read:
    """Return the edge of a logged packet, or why the line is none.

    Args:
        text: behind ``kernel: ``.

    Raises:
        InvalidTelemetry: a packet whose fields cannot be read.
    """
    text = text.partition(" [SRC=")[0]
    if "SRC=" not in text:
        return "kernel: no packet"
    field: dict[str, str] = {}
    for one in text.split(" "):
        name, _, value = one.partition("=")
        field.setdefault(name, value)
    source, destination = field.get("SRC", ""), field.get("DST", "")
    if not (source and destination):
        raise InvalidTelemetry("a packet without both addresses")
    protocol = protocol_of(field.get("PROTO"))
    if protocol > LARGEST_PROTOCOL:
        raise InvalidTelemetry("PROTO is not a protocol")
    prefix = text.partition("IN=")[0][:_LARGEST_PREFIX].lower()
    words = (VERDICTS.get(word) for word in _WORD.findall(prefix))
    return Edge(
        kind=Kind.FLOW,
        source=source,
        destination=destination,
        state=next((state for state in words if state is not None), State.UNKNOWN),
        source_port=number(field.get("SPT", ""), LARGEST_PORT, "SPT"),
        destination_port=number(field.get("DPT", ""), LARGEST_PORT, "DPT"),
        protocol=protocol,
        bytes_out=number(field.get("LEN", ""), LARGEST, "LEN"),
        packets_out=1,
    )
