# SPDX-License-Identifier: Apache-2.0
"""What is written as conn.log is read back as it happened."""

from __future__ import annotations

import zlib

import numpy as np

from fedxdr.core.randomness import generator
from fedxdr.simulation.sessions import ICMP, UDP, Sessions, sessions
from fedxdr.simulation.zeek_writer import zeek_lines
from fedxdr.telemetry.catalogue import Service, State
from fedxdr.telemetry.zeek import ZeekTsvParser
from fedxdr.telemetry.zeek_table import flow_ids

START_US = 1_740_960_000_000_000
STATES = [
    State.COMPLETED,
    State.ATTEMPTED,
    State.REJECTED,
    State.ESTABLISHED,
    State.RESET_BY_SOURCE,
    State.RESET_BY_DESTINATION,
]
PORTS = [22, 80, 445, 3389, 389, 5432]


def tokenise(text: str) -> int:
    return zlib.crc32(text.encode()) or 1


def written(one: Sessions, found_out: dict[int, str]) -> list[str]:
    return list(
        zeek_lines(
            one,
            addresses=["10.0.0.1", "10.0.0.2"],
            uids=[f"C{n}" for n in range(len(one))],
            found_out=found_out,
            start_us=START_US,
        )
    )


def test_connections_come_back_as_they_were() -> None:
    one = sessions(
        generator(1),
        start_s=np.arange(6) * 10.0 + 0.125,
        source=0,
        destination=1,
        port=np.array(PORTS, np.int32),
        sent=700.0,
        received=900.0,
        duration_s=1.5,
        state=np.array(STATES, np.int16),
    )
    text = "\n".join(written(one, {4: "T1021"}))
    parsed = ZeekTsvParser(tokenise).parse(text.encode())
    assert (parsed.rejected, parsed.skipped) == ((), 0)
    events = parsed.events
    assert events.state.tolist() == STATES
    assert events.destination_port.tolist() == PORTS
    assert events.service.tolist() == one.service.tolist()
    assert Service.SQL in events.service.tolist()
    np.testing.assert_array_equal(
        events.time_ns, START_US * 1000 + (one.start_s * 1e9).astype(np.int64)
    )
    for name in ("bytes_out", "bytes_in", "packets_out", "packets_in", "source_port"):
        np.testing.assert_array_equal(getattr(events, name), getattr(one, name))
    measured = one.packets_out + one.packets_in > 1
    np.testing.assert_allclose(
        events.duration_s[measured], one.duration_s[measured], atol=1e-5
    )
    assert np.isnan(events.duration_s[~measured]).all()
    assert events.flow_id.tolist() == flow_ids([f"C{n}" for n in range(6)]).tolist()
    assert events.label.tolist() == [-1, -1, -1, -1, 1, -1]
    assert events.techniques == ("T1021",)


def test_other_protocols_and_an_empty_log() -> None:
    for protocol in (UDP, ICMP):
        one = sessions(
            generator(1),
            start_s=np.zeros(1),
            source=0,
            destination=1,
            port=0,
            protocol=protocol,
        )
        events = ZeekTsvParser(tokenise).parse("\n".join(written(one, {})).encode())
        assert events.events.protocol.tolist() == [protocol]
    empty = one.select(np.zeros(1, np.bool_))
    lines = written(empty, {})
    assert all(line.startswith("#") for line in lines)
    assert lines[-1] == "#close\t2025-03-03-00-00-00"
