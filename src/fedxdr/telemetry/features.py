# SPDX-License-Identifier: Apache-2.0
"""What a model may see of one event by itself: behaviour, never identity or verdict.

Columns become bounded numbers: logarithms of volumes and durations, kinds of port, one
column per protocol, service, record and state. No address, port number, name, label or
alert is among them, so that a model learns what is done and not who did it here.

It does NOT look at other events (models/graph.py does), and does not standardise
(statistics are federated).

Rule that always holds: every value lies in [0, 4], whatever a log says.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedxdr.telemetry.catalogue import Kind, Service, State
from fedxdr.telemetry.event import Events

LARGEST: Final = 4.0
_LOG_SCALE: Final = 1 / 8
_VOLUMES: Final = ("bytes_out", "bytes_in", "packets_out", "packets_in")
_PROTOCOLS: Final = (6, 17, 1)
_WELL_KNOWN, _REGISTERED = 1024, 49152
_SERVICES: Final = (
    Service.DNS,
    Service.HTTP,
    Service.TLS,
    Service.SSH,
    Service.SMB,
    Service.RDP,
    Service.SMTP,
    Service.NTP,
    Service.KERBEROS,
    Service.FTP,
    Service.LDAP,
)
_KINDS: Final = (Kind.FLOW, Kind.DNS, Kind.HTTP, Kind.TLS, Kind.SSH, Kind.SMB)
_STATES: Final = tuple(state for state in State if state is not State.UNKNOWN)

OWN_FEATURES: Final[tuple[str, ...]] = (
    *(f"log_{name}" for name in _VOLUMES),
    *(f"has_{name}" for name in _VOLUMES),
    "log_duration",
    "has_duration",
    "log_bytes_per_packet_out",
    "log_bytes_per_packet_in",
    "out_share",
    "text_length",
    "text_entropy",
    "has_text",
    "destination_port_well_known",
    "destination_port_registered",
    "source_port_well_known",
    *(f"protocol_{number}" for number in _PROTOCOLS),
    *(f"service_{service.name.lower()}" for service in _SERVICES),
    *(f"kind_{kind.name.lower()}" for kind in _KINDS),
    *(f"state_{state.name.lower()}" for state in _STATES),
)
"""Names of the columns of ``own_features``, in order."""


def own_features(events: Events) -> NDArray[np.float32]:
    """Return what each event shows by itself.

    Args:
        events: n rows; rows of kind ``ALERT`` should have been left out.

    Returns:
        (n, len(OWN_FEATURES)) float32 in [0, 4].
    """
    columns: list[NDArray[Any]] = []
    known = {name: getattr(events, name) for name in _VOLUMES}
    columns += [_log(column) for column in known.values()]
    columns += [column >= 0 for column in known.values()]
    duration = events.duration_s
    has_duration = np.isfinite(duration)
    columns += [_log(np.where(has_duration, duration, 0) * 1000.0), has_duration]
    for way in ("out", "in"):
        sent, packets = known[f"bytes_{way}"], known[f"packets_{way}"]
        columns.append(_log(np.maximum(sent, 0) / np.maximum(packets, 1)))
    out, back = np.maximum(known["bytes_out"], 0), np.maximum(known["bytes_in"], 0)
    columns.append(out / np.maximum(out + back, 1))
    has_text = events.text_length >= 0
    entropy = np.where(np.isfinite(events.text_entropy), events.text_entropy, 0)
    columns += [_log(events.text_length), entropy / 2, has_text]
    port = events.destination_port
    columns += [
        (port >= 0) & (port < _WELL_KNOWN),
        (port >= _WELL_KNOWN) & (port < _REGISTERED),
        (events.source_port >= 0) & (events.source_port < _WELL_KNOWN),
    ]
    columns += [events.protocol == number for number in _PROTOCOLS]
    columns += [events.service == service for service in _SERVICES]
    columns += [events.kind == kind for kind in _KINDS]
    columns += [events.state == state for state in _STATES]
    matrix = np.stack([column.astype(np.float32) for column in columns], axis=1)
    return np.clip(matrix, 0.0, LARGEST)


def _log(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return log(1 + x) / 8 of values >= 0; unknown (negative) becomes 0."""
    scaled = np.log1p(np.maximum(values, 0).astype(np.float64)) * _LOG_SCALE
    logs: NDArray[np.float32] = scaled.astype(np.float32)
    return logs
