# SPDX-License-Identifier: Apache-2.0
"""Sensors' words and the numbers they become."""

from __future__ import annotations

import pytest

from fedxdr.telemetry.catalogue import (
    KINDS,
    PROTOCOLS,
    SERVICE_BY_KIND,
    SERVICES,
    Kind,
    Service,
    State,
    kind_of,
    protocol_of,
    service_of,
)


def test_numbers_are_never_changed() -> None:
    """A model trained last year reads these numbers."""
    assert (Kind.FLOW, Kind.DNS, Kind.ALERT, Kind.QUIC) == (1, 2, 5, 17)
    assert (Service.DNS, Service.SMB, Service.KERBEROS, Service.OTHER) == (1, 5, 9, 30)
    assert (State.ATTEMPTED, State.COMPLETED, State.PARTIAL) == (1, 4, 9)
    for catalogue in (Kind, Service, State):
        assert sorted(catalogue) == list(range(len(catalogue)))


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (None, Service.UNKNOWN),
        ("-", Service.UNKNOWN),
        ("failed", Service.UNKNOWN),
        ("tls", Service.TLS),
        ("SSL", Service.TLS),
        ("gssapi,smb,krb", Service.SMB),
        ("krb,smb,gssapi", Service.SMB),
        ("ssl,http", Service.HTTP),
        ("never-heard-of", Service.OTHER),
        ("never-heard-of,ssh", Service.SSH),
    ],
)
def test_service(text: str | None, want: Service) -> None:
    assert service_of(text) is want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (None, -1),
        ("TCP", 6),
        ("udp", 17),
        ("IPv6-ICMP", 58),
        ("47", 47),
        ("12345", -1),
        ("²", -1),
        ("martian", -1),
    ],
)
def test_protocol(text: str | None, want: int) -> None:
    assert protocol_of(text) == want


def test_protocol_numbers_are_those_of_iana() -> None:
    assert {name: PROTOCOLS[name] for name in ("icmp", "tcp", "udp", "sctp")} == {
        "icmp": 1,
        "tcp": 6,
        "udp": 17,
        "sctp": 132,
    }


def test_kind() -> None:
    assert kind_of("conn") is kind_of("flow") is Kind.FLOW
    assert kind_of("notice") is Kind.ALERT, "what Zeek thought is no input either"
    assert kind_of(None) is kind_of("loaded_scripts") is Kind.OTHER


def test_a_kind_tells_only_its_own_service() -> None:
    assert SERVICE_BY_KIND[Kind.TLS] == Service.TLS
    for kind in (Kind.OTHER, Kind.FLOW, Kind.ALERT, Kind.ANOMALY, Kind.FILE):
        assert SERVICE_BY_KIND[kind] == Service.UNKNOWN
    assert set(KINDS.values()) <= set(Kind)
    assert Service.UNKNOWN not in SERVICES.values()


def test_kinds_of_hosts_stand_behind_those_of_the_wire() -> None:
    assert (Kind.AUTH, Kind.PROCESS) == (18, 19)
    for kind in (Kind.AUTH, Kind.PROCESS):
        assert SERVICE_BY_KIND[kind] == Service.UNKNOWN
