# SPDX-License-Identifier: Apache-2.0
"""Zeek's logs written as JSON, one record per line, as events.

One log per file, or all logs in one file with their name in ``_path`` (Zeek's
json-streaming-logs) or ``@stream`` (Corelight). Dotted field names (``id.orig_h``) and
underscored ones (``id_orig_h``) are read.

It does NOT read tab-separated logs (zeek.py).

Source: Zeek documentation, policy/tuning/json-logs; JSON streaming logs package.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedxdr.telemetry import catalogue
from fedxdr.telemetry.edges import NO_ENDPOINTS
from fedxdr.telemetry.json_lines import read_json_lines
from fedxdr.telemetry.parser import Parsed, Tokenise, Tokeniser, codes, line_count
from fedxdr.telemetry.timestamps import epoch_times_ns, iso_times_ns
from fedxdr.telemetry.zeek_table import (
    ENDS,
    LARGEST,
    LARGEST_PORT,
    LAST_SECOND,
    MORE_LOGS,
    MORE_TEXTS,
    Table,
    Tables,
)

_Count = Annotated[float, msgspec.Meta(ge=0, le=LARGEST)] | None
_Port = Annotated[float, msgspec.Meta(ge=0, le=LARGEST_PORT)] | None
_Time = Annotated[float, msgspec.Meta(ge=0, le=LAST_SECOND)] | str


class _Record(msgspec.Struct, gc=False, kw_only=True):
    ts: _Time | None = None
    path: str = msgspec.field(name="_path", default="")
    stream: str = msgspec.field(name="@stream", default="")
    uid: str | None = None
    orig_h: str = msgspec.field(name="id.orig_h", default="")
    resp_h: str = msgspec.field(name="id.resp_h", default="")
    orig_p: _Port = msgspec.field(name="id.orig_p", default=None)
    resp_p: _Port = msgspec.field(name="id.resp_p", default=None)
    id_orig_h: str = ""
    id_resp_h: str = ""
    id_orig_p: _Port = None
    id_resp_p: _Port = None
    proto: str | None = None
    service: str | list[str] | None = None
    conn_state: str | None = None
    query: str | None = None
    host: str | None = None
    uri: str | None = None
    server_name: str | None = None
    label: str | None = None
    detailedlabel: str | None = None
    duration: _Count = -1.0
    rtt: _Count = -1.0
    orig_bytes: _Count = -1.0
    resp_bytes: _Count = -1.0
    orig_ip_bytes: _Count = -1.0
    resp_ip_bytes: _Count = -1.0
    orig_pkts: _Count = -1.0
    resp_pkts: _Count = -1.0
    request_body_len: _Count = -1.0
    response_body_len: _Count = -1.0


_FullRecord = msgspec.defstruct(
    "_FullRecord",
    [(name, Any, None) for name in MORE_TEXTS],
    bases=(_Record,),
    gc=False,
    kw_only=True,
)
"""A record of one of ``MORE_LOGS``; of these fields no value costs the line."""

_DECODER: Final = msgspec.json.Decoder(_Record, strict=False)
_FULL_DECODER: Final[msgspec.json.Decoder[_Record]] = msgspec.json.Decoder(
    _FullRecord, strict=False
)
_SOURCES: Final = ("orig_h", "id_orig_h", *(names[0] for names in ENDS.values()))
_SAME_NAME_TEXTS: Final = ("query", "host", "uri", "server_name")
_SAME_NAME_NUMBERS: Final = (
    "duration",
    "rtt",
    "orig_bytes",
    "resp_bytes",
    "orig_ip_bytes",
    "resp_ip_bytes",
    "orig_pkts",
    "resp_pkts",
    "request_body_len",
    "response_body_len",
)


class ZeekJsonParser:
    """Reads JSON logs.

    Args:
        tokenise: turns addresses, and users where it can, into tokens.
        log: name of the log (``conn``) for records that do not say it; empty to tell
            it from the fields.
    """

    def __init__(self, tokenise: Tokenise | Tokeniser, *, log: str = "") -> None:
        self._tables = Tables(tokenise)
        self._log = log
        self._expects_more = False

    def parse(self, block: bytes, *, first_line: int = 1) -> Parsed:
        """Return what a block of whole lines holds, see ``parser.Parser``."""
        decoder = _FULL_DECODER if self._expects_more else _DECODER
        records, times, rejected = read_json_lines(
            block, decoder, _times, first_line=first_line
        )
        logs = self._logs_of(records)
        has_more = not MORE_LOGS.isdisjoint(logs)
        if has_more and not self._expects_more:
            records, times, rejected = read_json_lines(
                block, _FULL_DECODER, _times, first_line=first_line
            )
            logs = self._logs_of(records)
        self._expects_more = has_more
        events = self._table(records, times, logs).events(self._tables)
        skipped = len(records) - len(events)
        return Parsed(
            events=events,
            rejected=rejected,
            skipped=skipped,
            lines=line_count(block),
            why_skipped={NO_ENDPOINTS: skipped} if skipped else {},
        )

    def _logs_of(self, records: Sequence[_Record]) -> list[str]:
        return [r.path or r.stream or self._log or _log_of(r) for r in records]

    def _table(
        self, records: Sequence[_Record], times: NDArray[np.int64], logs: Sequence[str]
    ) -> Table:
        texts = {
            "uid": [r.uid or "" for r in records],
            "id.orig_h": [r.orig_h or r.id_orig_h for r in records],
            "id.resp_h": [r.resp_h or r.id_resp_h for r in records],
            "proto": [r.proto or "" for r in records],
            "service": [
                r.service if isinstance(r.service, str) else ",".join(r.service or ())
                for r in records
            ],
            "conn_state": [r.conn_state or "" for r in records],
        }
        for name in _SAME_NAME_TEXTS:
            given = list(map(attrgetter(name), records))
            if any(given):
                texts[name] = [text or "" for text in given]
        if any(r.label for r in records):
            texts["label"] = [r.label or "" for r in records]
            texts["detailedlabel"] = [r.detailedlabel or "" for r in records]
        numbers = {
            "id.orig_p": _numbers(
                [r.id_orig_p if r.orig_p is None else r.orig_p for r in records]
            ),
            "id.resp_p": _numbers(
                [r.id_resp_p if r.resp_p is None else r.resp_p for r in records]
            ),
        }
        for name in _SAME_NAME_NUMBERS:
            numbers[name] = _numbers(list(map(attrgetter(name), records)))
        kind = codes(logs, catalogue.kind_of)
        if self._expects_more:
            for name in MORE_TEXTS:
                texts[name] = [_text(getattr(r, name)) for r in records]
        return Table(time_ns=times, kind=kind, texts=texts, numbers=numbers, logs=logs)


def _log_of(record: _Record) -> str:
    """Tell from its fields which log a record is of; empty where they do not."""
    if record.conn_state is not None:
        return "conn"
    if record.query is not None:
        return "dns"
    if record.uri is not None:
        return "http"
    return "ssl" if record.server_name is not None else ""


def _text(value: object) -> str:
    """Return a value as Zeek's tab-separated logs have it: a set with commas."""
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return "" if value is None else str(value)


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    """Return numbers, -1 where there is none."""
    numbers = np.array(values, np.float64)
    return np.where(np.isnan(numbers), -1.0, numbers)


def _times(records: Sequence[_Record]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return UTC nanoseconds of epoch seconds or ISO texts, and which are sound.

    Records without endpoints (the sensor's own logs) need no time.
    """
    given = [record.ts for record in records]
    seconds = [time if isinstance(time, float) else 0.0 for time in given]
    times = epoch_times_ns(np.array(seconds, np.float64))
    sound = np.array([isinstance(time, float) for time in given], np.bool_)
    where = [row for row, time in enumerate(given) if isinstance(time, str)]
    if where:
        times[where], sound[where] = iso_times_ns([str(given[row]) for row in where])
    if not sound.all():
        needless = [not any(getattr(r, name, "") for name in _SOURCES) for r in records]
        sound |= np.array(needless, np.bool_)
    return times, sound
