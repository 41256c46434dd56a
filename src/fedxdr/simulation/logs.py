# SPDX-License-Identifier: Apache-2.0
"""An organisation's logs: which there are, their lines, and when each is written.

It does NOT touch a disk (traffic.py writes logs whole, growing.py as time passes).

Rule: lines stand in the order of what they tell; Suricata and the hosts write in that
order, Zeek writes a connection down when it is over.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final

from fedxdr.simulation.auth_writer import AuthLine, auth_lines, stamp
from fedxdr.simulation.eve_writer import eve_records
from fedxdr.simulation.sessions import SECOND_US, Sessions
from fedxdr.simulation.world import Organisation, Sensors
from fedxdr.simulation.zeek_json_writer import json_line
from fedxdr.simulation.zeek_logs import LOGS, zeek_records
from fedxdr.simulation.zeek_writer import close, header, line

EVE: Final = "eve.json"
CONN: Final = "conn.log"
AUTH: Final = "auth.log"
TRUTH: Final = "truth.csv"

Row = tuple[str, int, str]
"""Connection, label and technique, as ``truth.write_truth`` takes them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One log file.

    Attributes:
        name: of the file.
        head: lines before the first record, without their ends.
        lines: when written, in microseconds since 1970, and the line without its end.
        tail: lines behind the last record, once the file is closed.
    """

    name: str
    head: tuple[bytes, ...] = ()
    lines: tuple[tuple[int, bytes], ...] = ()
    tail: tuple[bytes, ...] = ()

    def whole(self) -> bytes:
        """Return the closed file."""
        lines = (*self.head, *(text for _, text in self.lines), *self.tail)
        return b"".join(text + b"\n" for text in lines)


def logs_of(one: Organisation, *, start_us: int) -> list[Log]:
    """Return the logs that an organisation's sensors write.

    Args:
        one: the organisation.
        start_us: when the world began, microseconds since 1970.
    """
    logs: list[Log] = []
    if one.sensors in {Sensors.MIXED, Sensors.SURICATA, Sensors.WITH_HOSTS}:
        eve = eve_records(
            one.border,
            addresses=one.estate.addresses,
            flow_id=one.flow_id,
            alerts=one.alerts,
            start_us=start_us,
            names=one.estate.names,
        )
        logs.append(Log(name=EVE, lines=tuple(eve)))
    if one.sensors is not Sensors.SURICATA:
        logs += _zeek_logs(one, start_us)
    if one.sensors is Sensors.WITH_HOSTS:
        lines = tuple((told.time_us, told.line) for told in _auth(one, start_us)[1])
        logs.append(Log(name=AUTH, lines=lines))
    return logs


def truth_of(one: Organisation, *, start_us: int) -> list[Row]:
    """Return label and technique of every connection and of every host's line."""
    names = [*map(str, one.flow_id.tolist()), *one.uids]
    labels = [*one.border.label.tolist(), *one.inside.label.tolist()]
    techniques = [*one.border.technique.tolist(), *one.inside.technique.tolist()]
    if one.sensors is Sensors.WITH_HOSTS:
        made, lines = _auth(one, start_us)
        names += [stamp(told.time_us) for told in lines]
        labels += made.label[[told.session for told in lines]].tolist()
        techniques += made.technique[[told.session for told in lines]].tolist()
    return list(zip(names, labels, techniques, strict=True))


def _auth(one: Organisation, start_us: int) -> tuple[Sessions, list[AuthLine]]:
    made = Sessions.concatenate([one.border, one.inside])
    return made, auth_lines(
        made,
        addresses=one.estate.addresses,
        names=one.estate.names,
        start_us=start_us,
    )


def _zeek_logs(one: Organisation, start_us: int) -> list[Log]:
    is_detailed = one.sensors is not Sensors.MIXED
    is_json = one.sensors is Sensors.ZEEK_JSON
    write: Callable[[str, Mapping[str, Any]], bytes] = _tsv
    if is_json:
        write = json_line
    lines: dict[str, list[tuple[int, bytes]]] = {"conn": []}
    for record in zeek_records(
        one.inside,
        addresses=one.estate.addresses,
        uids=one.uids,
        found_out=one.found_out,
        start_us=start_us,
        names=one.estate.names if is_detailed else (),
    ):
        text = write(record.log, record.values)
        lines.setdefault(record.log, []).append((record.written_us, text))
    last_s = one.inside.start_s[-1] if len(one.inside) else 0
    closed_us = start_us + int(SECOND_US * last_s)
    return [
        Log(
            name=f"{log}.log",
            head=() if is_json else _heads(log, start_us),
            lines=tuple(lines[log]),
            tail=() if is_json else (close(closed_us).encode(),),
        )
        for log in LOGS
        if log in lines
    ]


def _tsv(log: str, values: Mapping[str, Any]) -> bytes:
    return line(log, values).encode()


def _heads(log: str, opened_us: int) -> tuple[bytes, ...]:
    return tuple(text.encode() for text in header(log, opened_us=opened_us))
