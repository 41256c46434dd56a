# SPDX-License-Identifier: Apache-2.0
"""Packets that pfSense and OPNsense logged: ``filterlog``, values with commas.

One packet is one ``FLOW`` edge. A packet that was let through begins a connection of
which nothing more is known here; a blocked one got no answer, a rejected one did.

It does NOT read what follows the addresses of protocols without ports.

Source: Netgate documentation, "Raw Filter Log Format" (its grammar in BNF).
"""

from __future__ import annotations

from typing import Final

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.telemetry.catalogue import Kind, State
from fedxdr.telemetry.edges import Edge
from fedxdr.telemetry.syslog_fields import (
    LARGEST,
    LARGEST_PORT,
    LARGEST_PROTOCOL,
    VERDICTS,
    Read,
    number,
)

_ACTION: Final = 6
_VERSION: Final = 8
# Where a packet says protocol number, length, source and destination, by IP version.
_PLACES: Final = {"4": (15, 17, 18, 19), "6": (13, 14, 15, 16)}
_WITH_PORTS: Final = frozenset({6, 17, 132})


def read(text: str, _host: str = "") -> Read:
    """Return the edge of a logged packet, or why the line is none.

    Args:
        text: behind ``filterlog[1]: ``.

    Raises:
        InvalidTelemetry: fewer values than the grammar has, or one that is none.
    """
    values = text.split(",")
    if len(values) <= _VERSION:
        raise InvalidTelemetry("a packet cut off before its addresses")
    places = _PLACES.get(values[_VERSION])
    if places is None:
        return "filterlog: neither IPv4 nor IPv6"
    if len(values) <= places[-1]:
        raise InvalidTelemetry("a packet cut off before its addresses")
    number_of, length, source, destination = (values[place] for place in places)
    protocol = number(number_of, LARGEST_PROTOCOL, "protocol")
    if not (source and destination):
        raise InvalidTelemetry("a packet without both addresses")
    ports = values[places[-1] + 1 : places[-1] + 3]
    if protocol not in _WITH_PORTS or len(ports) < len(("source", "destination")):
        ports = ["", ""]
    return Edge(
        kind=Kind.FLOW,
        source=source,
        destination=destination,
        source_port=number(ports[0], LARGEST_PORT, "source port"),
        destination_port=number(ports[1], LARGEST_PORT, "destination port"),
        protocol=protocol,
        bytes_out=number(length, LARGEST, "length"),
        packets_out=1,
        state=VERDICTS.get(values[_ACTION], State.UNKNOWN),
    )
