# SPDX-License-Identifier: Apache-2.0
"""What Zeek's logs have in common, whatever they are written in: from fields to events.

It does NOT read lines (zeek.py for tab-separated logs, zeek_json.py for JSON) and does
NOT join the logs of one connection: they share ``flow_id``.

Rule: bytes are those of the IP packets where Zeek counts them, else of the payload.

Source: Zeek documentation, "Zeek Log Formats and Inspection"; base/protocols/conn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedxdr.telemetry import catalogue
from fedxdr.telemetry.catalogue import Kind, State
from fedxdr.telemetry.event import MALICIOUS, UNLABELLED, Events
from fedxdr.telemetry.parser import (
    TextShapes,
    Tokenise,
    Tokeniser,
    codes,
    remembered_tokens,
    tokeniser_of,
)
from fedxdr.telemetry.zeek_accounts import FIELDS, TELLING, noticed, signed_on, user_of
from fedxdr.telemetry.zeek_terms import label_of, state_of, technique_of

TEXTS: Final = (
    "uid",
    "id.orig_h",
    "id.resp_h",
    "proto",
    "service",
    "conn_state",
    "query",
    "host",
    "uri",
    "server_name",
    "label",
    "detailedlabel",
)
"""Fields read as text."""

ENDS: Final = {
    "dhcp": ("client_addr", "server_addr", ""),
    "files": ("tx_hosts", "rx_hosts", "conn_uids"),
    "notice": ("src", "dst", ""),
}
"""Where logs name two ends, and the connection, that may lack ``id.orig_h``."""

MORE_TEXTS: Final = (
    *FIELDS,
    *(name for names in ENDS.values() for name in names if name),
    "is_orig",
)
"""Fields read as text of the logs of ``MORE_LOGS`` only."""

MORE_LOGS: Final = frozenset({*TELLING, *ENDS})

NUMBERS: Final = (
    "id.orig_p",
    "id.resp_p",
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
"""Fields read as numbers >= 0, besides the time ``ts``."""

LARGEST: Final = 2.0**62
"""Counts above this are refused."""

LAST_SECOND: Final = 9_000_000_000.0
"""Times after this (the year 2255) are refused."""

LARGEST_PORT: Final = 65_535.0

_NO: Final = frozenset({"F", "False", "false"})
_MULTIPLY_A: Final = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLY_B: Final = np.uint64(0x94D049BB133111EB)


class Tables:
    """What names mean, remembered from block to block.

    Args:
        tokenise: turns addresses, and users where it can, into tokens.
    """

    def __init__(self, tokenise: Tokenise | Tokeniser) -> None:
        tokeniser = tokeniser_of(tokenise)
        self.addresses = remembered_tokens(tokeniser.address)
        self.users = remembered_tokens(tokeniser.user)
        self.texts = TextShapes()


def _first(cell: str) -> str:
    """Return the first of a set as Zeek writes it, with commas."""
    return cell.partition(",")[0]


def flow_ids(uids: Sequence[str]) -> NDArray[np.uint64]:
    """Return (n,) uint64 identifiers of n Zeek uids, 0 for the empty uid.

    The 8-byte words of a uid are mixed one after another with the finaliser of
    SplitMix64 (Steele, Lea, Flood 2014, figure 16).
    """
    if not uids:
        return np.zeros(0, np.uint64)
    if "".join(uids).isascii():
        raw = np.array(uids, np.bytes_)
    else:
        raw = np.array([uid.encode("utf-8", "replace") for uid in uids])
    width = -(-raw.dtype.itemsize // 8) * 8
    words = raw.astype(f"S{width}").view("<u8").reshape(len(uids), -1)
    mixed = np.zeros(len(uids), np.uint64)
    for word in words.T:
        state = mixed ^ word.astype(np.uint64)
        state = (state ^ (state >> np.uint64(30))) * _MULTIPLY_A
        state = (state ^ (state >> np.uint64(27))) * _MULTIPLY_B
        # A word of padding leaves the identifier as it is, whatever else is in the log.
        mixed = np.where(word == 0, mixed, state ^ (state >> np.uint64(31)))
    return mixed


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """Rows of logs before they become events.

    Attributes:
        time_ns: (n,) int64, UTC nanoseconds.
        kind: (n,) int16, ``catalogue.Kind``.
        texts: n texts by name of ``TEXTS``, empty where unset; absent fields have no
            entry.
        numbers: (n,) float64 by name of ``NUMBERS``, -1 where unset; absent fields have
            no entry.
        logs: n paths of the logs the rows are of, or one for all rows.
    """

    time_ns: NDArray[np.int64]
    kind: NDArray[np.int16]
    texts: Mapping[str, Sequence[str]]
    numbers: Mapping[str, NDArray[np.float64]]
    logs: Sequence[str] | str = ""

    def _text(self, name: str) -> Sequence[str]:
        return self.texts.get(name) or [""] * len(self.time_ns)

    def _rows_of(self, logs: Collection[str]) -> list[tuple[int, str]]:
        """Return the rows of some logs, and of which of them each is."""
        if isinstance(self.logs, str):
            if self.logs not in logs:
                return []
            return [(row, self.logs) for row in range(len(self.time_ns))]
        return [(row, log) for row, log in enumerate(self.logs) if log in logs]

    def _ends(self) -> tuple[list[str], list[str], list[str]]:
        """Return source, destination and connection of each row, empty where unset."""
        sources = list(self._text("id.orig_h"))
        destinations = list(self._text("id.resp_h"))
        uids = list(self._text("uid"))
        for row, log in self._rows_of(ENDS):
            if not sources[row]:
                first, second, uid = (
                    _first(self.texts[name][row]) if name in self.texts else ""
                    for name in ENDS[log]
                )
                # A file's ends are sender and receiver; who asked for it comes first.
                is_answer = log == "files" and self._text("is_orig")[row] in _NO
                sources[row] = second if is_answer else first
                destinations[row] = first if is_answer else second
                uids[row] = uids[row] or uid
        return sources, destinations, uids

    def _number(self, *names: str) -> NDArray[np.float64]:
        """Return the first of some fields that is known, row by row; else -1."""
        first = np.full(len(self.time_ns), -1.0)
        for name in reversed(names):
            if name in self.numbers:
                first = np.where(self.numbers[name] >= 0, self.numbers[name], first)
        return first

    def events(self, tokeniser: Tokenise | Tokeniser | Tables) -> Events:
        """Return the rows that name two endpoints.

        Args:
            tokeniser: what names mean; a parser hands in what it remembers.
        """
        tables = tokeniser if isinstance(tokeniser, Tables) else Tables(tokeniser)
        rows = len(self.time_ns)
        if not rows:
            return Events.empty()
        sources, destinations, uids = self._ends()
        entities = tables.addresses.of([*sources, *destinations], np.int64)
        lengths, entropies = tables.texts.of(self._names())
        duration = self._number("duration", "rtt")
        columns: dict[str, NDArray[Any]] = {
            "time_ns": self.time_ns,
            "source": entities[:rows],
            "destination": entities[rows:],
            "source_port": self._number("id.orig_p"),
            "destination_port": self._number("id.resp_p"),
            "protocol": codes(self._text("proto"), catalogue.protocol_of),
            "service": self._services(),
            "kind": self.kind,
            "bytes_out": self._number(
                "orig_ip_bytes", "orig_bytes", "request_body_len"
            ),
            "bytes_in": self._number(
                "resp_ip_bytes", "resp_bytes", "response_body_len"
            ),
            "packets_out": self._number("orig_pkts"),
            "packets_in": self._number("resp_pkts"),
            "duration_s": np.where(duration >= 0, duration, np.nan),
            "state": codes(self._text("conn_state"), state_of),
            "text_length": lengths,
            "text_entropy": entropies,
            "label": np.full(rows, UNLABELLED, np.int8),
            "flow_id": flow_ids(uids),
        }
        techniques: dict[str, int] = {}
        if "label" in self.texts:
            columns["label"] = codes(self._text("label"), label_of).astype(np.int8)
        if "detailedlabel" in self.texts:
            details = self._text("detailedlabel")
            told = {detail: technique_of(detail) for detail in set(details)}
            names = sorted({name for name in told.values() if name})
            techniques = {name: number for number, name in enumerate(names)}
            columns["technique"] = codes(
                details, lambda detail: techniques.get(told[detail or ""] or "", -1)
            )
        self._fill_accounts(columns, tables, techniques)
        events = Events.build(rows, columns, techniques=tuple(techniques))
        return events.select((events.source != 0) & (events.destination != 0))

    def _fill_accounts(
        self,
        columns: dict[str, NDArray[Any]],
        tables: Tables,
        techniques: dict[str, int],
    ) -> None:
        """Write users, how signing on ended, and what notices mean into their rows.

        Args:
            columns: of all rows.
            tables: what names mean.
            techniques: numbers of techniques; those that notices mean are added.
        """
        texts = {name: self._text(name) for name in FIELDS}
        told = [
            (row, log)
            for row, log in self._rows_of(TELLING)
            if any(texts[name][row] for name in TELLING[log])
        ]
        if not told:
            return
        users: list[str] = []
        meanings: list[str] = []
        for row, log in told:
            fields = {name: texts[name][row] for name in FIELDS}
            users.append(user_of(log, fields))
            state = signed_on(log, fields)
            if state is not State.UNKNOWN:
                columns["state"][row] = state
            meanings.append(noticed(log, fields))
        where = np.array([row for row, _ in told], np.intp)
        columns["user"] = np.zeros(len(self.time_ns), np.int64)
        columns["user"][where] = tables.users.of(users, np.int64)
        is_meant = np.array([meaning != "" for meaning in meanings], np.bool_)
        if is_meant.any():
            numbers = [
                techniques.setdefault(meaning, len(techniques))
                for meaning in meanings
                if meaning
            ]
            none = np.full(len(self.time_ns), -1, np.int16)
            column = columns.setdefault("technique", none)
            column[where[is_meant]] = numbers
            columns["label"][where[is_meant]] = MALICIOUS

    def _services(self) -> NDArray[np.int16]:
        """Return the service of connections, and of other logs what they are about."""
        told = codes(self._text("service"), catalogue.service_of)
        if isinstance(self.logs, str):
            service = catalogue.service_of_record(self.logs)
            about = np.full(len(self.kind), service, np.int16)
        else:
            about = codes(self.logs, catalogue.service_of_record)
        return np.where((self.kind == Kind.FLOW) & (told > 0), told, about)

    def _names(self) -> Sequence[str]:
        """Return the name each record asked for: query, host and path, server name."""
        parts = [
            self.texts[n]
            for n in ("query", "host", "uri", "server_name")
            if n in self.texts
        ]
        if not parts:
            return [""] * len(self.time_ns)
        return (
            parts[0]
            if len(parts) == 1
            else ["".join(p) for p in zip(*parts, strict=True)]
        )
