# SPDX-License-Identifier: Apache-2.0
"""What one event shows by itself: which columns, in which order, how bounded."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from fedxdr.telemetry.catalogue import Kind, Service, State
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.features import LARGEST, OWN_FEATURES, own_features

NAMES = (
    *("log_bytes_out", "log_bytes_in", "log_packets_out", "log_packets_in"),
    *("has_bytes_out", "has_bytes_in", "has_packets_out", "has_packets_in"),
    *("log_duration", "has_duration"),
    *("log_bytes_per_packet_out", "log_bytes_per_packet_in", "out_share"),
    *("text_length", "text_entropy", "has_text"),
    *("destination_port_well_known", "destination_port_registered"),
    "source_port_well_known",
    *("protocol_6", "protocol_17", "protocol_1"),
    *("service_dns", "service_http", "service_tls", "service_ssh", "service_smb"),
    *("service_rdp", "service_smtp", "service_ntp", "service_kerberos"),
    *("service_ftp", "service_ldap"),
    *("kind_flow", "kind_dns", "kind_http", "kind_tls", "kind_ssh", "kind_smb"),
    *("state_attempted", "state_rejected", "state_established", "state_completed"),
    *("state_half_closed", "state_reset_by_source", "state_reset_by_destination"),
    *("state_abandoned", "state_partial"),
)


def one(**columns: float) -> dict[str, float]:
    events = Events.build(1, {name: np.array([v]) for name, v in columns.items()})
    return dict(zip(OWN_FEATURES, own_features(events)[0].tolist(), strict=True))


def test_names_and_order_are_those_that_models_were_trained_on() -> None:
    """A kind or service that is added later gets no column here: a new set does."""
    assert OWN_FEATURES == NAMES


def test_what_is_not_known_is_zero() -> None:
    assert not any(one().values())


def test_a_flow() -> None:
    shown = one(
        kind=Kind.FLOW,
        service=Service.TLS,
        state=State.COMPLETED,
        protocol=6,
        bytes_out=math.e**8 - 1,
        bytes_in=0,
        packets_out=1,
        duration_s=(math.e**4 - 1) / 1000,
        destination_port=443,
        source_port=50_000,
    )
    assert shown["log_bytes_out"] == pytest.approx(1, abs=1e-4)
    assert shown["log_bytes_per_packet_out"] == pytest.approx(1, abs=1e-4)
    assert shown["log_duration"] == pytest.approx(0.5, abs=1e-4)
    assert {name for name, value in shown.items() if value == 1} >= {
        *("has_bytes_out", "has_bytes_in", "has_packets_out", "has_duration"),
        *("out_share", "kind_flow", "service_tls", "state_completed", "protocol_6"),
        "destination_port_well_known",
    }


@pytest.mark.parametrize("kind", [Kind.AUTH, Kind.PROCESS])
def test_a_hosts_own_records_have_no_column_of_their_kind(kind: Kind) -> None:
    assert not any(one(kind=kind, user=77).values())


def test_identities_are_no_input_and_values_are_bounded() -> None:
    draw = np.random.default_rng(0)
    most = np.iinfo(np.int64).max
    events = Events.build(
        50,
        {
            "bytes_out": draw.integers(-1, most, 50),
            "packets_in": draw.integers(-1, most, 50),
            "duration_s": np.full(50, 2.0**62),
            "text_length": np.full(50, 2**31 - 1),
            "text_entropy": np.full(50, 8.0),
        },
    )
    shown = own_features(events)
    assert (shown.shape, shown.dtype) == ((50, len(OWN_FEATURES)), np.float32)
    assert ((shown >= 0) & (shown <= LARGEST)).all()
    named = dataclasses.replace(
        events,
        source=draw.integers(-most, most, 50),
        destination=draw.integers(-most, most, 50),
        user=draw.integers(-most, most, 50),
    )
    assert own_features(named).tobytes() == shown.tobytes()
