# SPDX-License-Identifier: Apache-2.0
"""What is written as EVE is read back as it happened."""

from __future__ import annotations

import dataclasses
import json
import zlib

import numpy as np
import pytest

from fedxdr.core.randomness import generator
from fedxdr.simulation.eve_writer import Alert, eve_lines
from fedxdr.simulation.sessions import ICMP, TCP, UDP, Sessions, sessions
from fedxdr.telemetry.catalogue import Kind, Service, State
from fedxdr.telemetry.suricata import EveParser, mark_alerted

START_US = 1_740_960_000_000_000
ADDRESSES = ["10.0.0.1", "198.18.0.2"]
STATES = [
    State.COMPLETED,
    State.ATTEMPTED,
    State.REJECTED,
    State.ESTABLISHED,
    State.RESET_BY_SOURCE,
    State.RESET_BY_DESTINATION,
]


def tokenise(text: str) -> int:
    return zlib.crc32(text.encode()) or 1


def made(**more: object) -> Sessions:
    fields: dict[str, object] = {
        "start_s": np.arange(6) * 10.0 + 0.25,
        "source": 0,
        "destination": 1,
        "port": 443,
        "sent": 700.0,
        "received": 900.0,
        "duration_s": 1.5,
    }
    return sessions(generator(1), **(fields | more))  # type: ignore[arg-type] # one of several shapes of call


def lines(one: Sessions, alerts: dict[int, Alert] | None = None) -> list[bytes]:
    return list(
        eve_lines(
            one,
            addresses=ADDRESSES,
            flow_id=np.arange(1, len(one) + 1).astype(np.uint64),
            alerts=alerts or {},
            start_us=START_US,
        )
    )


def test_flows_come_back_as_they_were() -> None:
    one = made(state=np.array(STATES, np.int16))
    parsed = EveParser(tokenise).parse(b"\n".join(lines(one)))
    assert parsed.rejected == ()
    events = parsed.events.sort()
    flows = events.select(events.kind == Kind.FLOW)
    assert flows.state.tolist() == STATES
    assert flows.flow_id.tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(
        flows.time_ns, START_US * 1000 + (one.start_s * 1e9).astype(np.int64)
    )
    np.testing.assert_array_equal(flows.bytes_out, one.bytes_out + 14 * one.packets_out)
    np.testing.assert_array_equal(flows.packets_in, one.packets_in)
    np.testing.assert_allclose(flows.duration_s, one.duration_s, atol=1e-5)
    np.testing.assert_array_equal(flows.source_port, one.source_port)
    assert set(flows.source.tolist()) == {tokenise("10.0.0.1")}


@pytest.mark.parametrize(
    ("port", "protocol", "name", "kind", "length"),
    [
        (443, TCP, "www.example", Kind.TLS, 11),
        (80, TCP, "www.example/path", Kind.HTTP, 16),
        (53, UDP, "a.test", Kind.DNS, 6),
        (445, TCP, "ignored", None, -1),
        (443, TCP, "", None, -1),
        (0, ICMP, "", None, -1),
    ],
)
def test_the_application_s_record(
    port: int, protocol: int, name: str, kind: Kind | None, length: int
) -> None:
    one = made(port=port, protocol=protocol, name=[name] * 6)
    events = EveParser(tokenise).parse(b"\n".join(lines(one))).events
    details = events.select(events.kind != Kind.FLOW)
    assert details.kind.tolist() == ([kind] * 6 if kind else [])
    if kind:
        assert set(details.text_length.tolist()) == {length}
        service = Service[kind.name]
        assert set(events.service.tolist()) == {service}


def test_alerts_label_their_sessions_only() -> None:
    alert = Alert(
        signature_id=1, signature="x", category="y", severity=1, technique="T1046"
    )
    written = lines(made(name=["a.example"] * 6), {2: alert})
    events = mark_alerted(EveParser(tokenise).parse(b"\n".join(written)).events)
    assert set(events.flow_id[events.label == 1].tolist()) == {3}
    assert (events.label == 1).sum() == 3
    assert events.techniques == ("T1046",)
    flagged = [
        json.loads(line)["flow"]["alerted"] for line in written if b'"age"' in line
    ]
    assert flagged == [False, False, True, False, False, False]


def test_records_are_in_the_order_of_their_timestamps() -> None:
    one = made(start_s=np.zeros(6), duration_s=np.array([50.0, 1, 9, 0, 3, 7]))
    times = [json.loads(line)["timestamp"] for line in lines(one)]
    assert times == sorted(times)
    assert len(set(times)) == 6


def details(port: int, *, refused: bool = False, user: str = "eve") -> list[dict]:
    one = made(port=port, name=["share\\a\\b.txt"] * 6)
    one = dataclasses.replace(
        one,
        user=np.full(6, user, np.object_),
        is_refused=np.full(6, refused),
    )
    written = eve_lines(
        one,
        addresses=ADDRESSES,
        flow_id=np.arange(1, 7).astype(np.uint64),
        alerts={},
        start_us=START_US,
        names=["ws1.abc.example", "fs1.abc.example"],
    )
    block = b"\n".join(written)
    assert EveParser(tokenise).parse(block).rejected == ()
    records = [json.loads(line) for line in block.splitlines()]
    return [r for r in records if r["flow_id"] == 1 and r["event_type"] != "flow"]


def test_who_logs_on_is_told_where_suricata_tells_it() -> None:
    (shell,) = details(22)
    assert shell["ssh"]["client"]["proto_version"] == "2.0"
    logon, opened = (one["smb"] for one in details(445))
    assert logon["ntlmssp"] == {"domain": "ABC", "user": "eve", "host": "WS1"}
    assert opened["filename"] == "a\\b.txt"
    (logon,) = (one["smb"] for one in details(445, refused=True))
    assert logon["status"] == "STATUS_LOGON_FAILURE"
    (screen,) = details(3389, user="adm-eve.bob")
    assert screen["rdp"]["cookie"] == "adm-eve.b"
    (ticket,) = details(88)
    assert ticket["krb5"]["msg_type"] == "KRB_AS_REP"
    assert (ticket["krb5"]["cname"], ticket["krb5"]["realm"]) == ("eve", "ABC.EXAMPLE")
    (refused,) = details(88, refused=True)
    assert refused["krb5"]["error_code"] == "KDC_ERR_PREAUTH_FAILED"
    assert details(5432) == []
