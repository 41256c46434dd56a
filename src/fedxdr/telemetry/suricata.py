# SPDX-License-Identifier: Apache-2.0
"""Suricata's EVE log (newline-delimited JSON) as events.

Reads every record type that names two addresses: flow, netflow, alert, drop, anomaly,
dns (versions 1, 2 and 3), http, tls, ssh, smb, rdp, krb5, ftp, smtp, nfs, dhcp, arp,
quic, ldap, mqtt and all others; ``stats`` and the like are skipped.

It does NOT make features of what Suricata thought: signature, category and severity of
an alert become a weak label at most (``mark_alerted``), and the row of an alert, or of
a packet that a rule dropped, is of kind ``ALERT``, which no model reads.

Rule: bytes are those Suricata counts, whole frames with their headers.

Source: Suricata 8 user guide, "EVE JSON Format" and etc/schema.json.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedxdr.telemetry.catalogue import Kind
from fedxdr.telemetry.event import MALICIOUS, Events
from fedxdr.telemetry.json_lines import UNREADABLE, read_line_by_line
from fedxdr.telemetry.parser import (
    Parsed,
    Rejected,
    Tokenise,
    Tokeniser,
    line_count,
    tokeniser_of,
)
from fedxdr.telemetry.suricata_columns import Gathered, Tables
from fedxdr.telemetry.suricata_fields import FullRecord, Record
from fedxdr.telemetry.suricata_types import MORE
from fedxdr.telemetry.timestamps import iso_times_ns

LABEL_SEVERITY: Final = 2
"""Alerts up to this severity (1 high, 2 medium) are weak labels; 3 informs only."""

PIECE_BYTES: Final = 1 << 15
"""Records of about so many bytes are decoded at a time, so that they stay in the
processor's cache until they are columns."""

_DECODER: Final = msgspec.json.Decoder(Record, strict=False)
_FULL_DECODER: Final = msgspec.json.Decoder(FullRecord, strict=False)
_ODD_A, _ODD_B, _ODD_C = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xC2B2AE3D27D4EB4F),
    np.uint64(0x165667B19E3779F9),
)


class EveParser:
    """Reads EVE.

    Args:
        tokenise: turns addresses, and users where it can, into tokens.
        label_severity: alerts of this severity and worse (lower numbers) are weak
            labels, 0 for none.
    """

    def __init__(
        self,
        tokenise: Tokenise | Tokeniser,
        *,
        label_severity: int = LABEL_SEVERITY,
    ) -> None:
        self._tables = Tables(tokeniser_of(tokenise))
        self._label_severity = label_severity
        self._expects_more = False

    def parse(self, block: bytes, *, first_line: int = 1) -> Parsed:
        """Return what a block of whole lines holds, see ``parser.Parser``.

        Only alerts are labelled in it; ``mark_alerted`` carries their labels over to
        the other records of the connection once all blocks are read.
        """
        rejected: tuple[Rejected, ...] = ()
        gathered = Gathered(self._tables)
        try:
            for piece in _pieces(block):
                gathered.take(self._records(piece))
            events, is_sound = gathered.events(label_severity=self._label_severity)
        except UNREADABLE:
            events, is_sound = Events.empty(), False
        if not is_sound:
            records, _, rejected = read_line_by_line(
                block, _FULL_DECODER, _times, first_line=first_line
            )
            gathered = Gathered(self._tables)
            gathered.take(records)
            events, _ = gathered.events(label_severity=self._label_severity)
        return Parsed(
            events=events,
            rejected=rejected,
            skipped=gathered.why_skipped.total(),
            lines=line_count(block),
            why_skipped=gathered.why_skipped,
        )

    def _records(self, piece: bytes) -> Sequence[Record]:
        """Return the records of some lines, in full if one of them is of a rarer type.

        Where the last piece had such a one, this one is expected to have one too.
        """
        records: Sequence[Record] = ()
        if not self._expects_more:
            records = _DECODER.decode_lines(piece)
            self._expects_more = _have_more(records)
        if self._expects_more:
            records = _FULL_DECODER.decode_lines(piece)
            self._expects_more = _have_more(records)
        return records


def mark_alerted(events: Events) -> Events:
    """Return events in which every record of an alerted connection is labelled.

    A record is labelled like an alert of the same flow identifier between the same two
    entities (Suricata uses an identifier again, for other hosts). Where alerts of one
    connection name several techniques, the first one counts.

    Args:
        events: all records of a sensor, alerts among them.
    """
    pair = np.minimum(events.source, events.destination).view(np.uint64) * _ODD_A
    pair += np.maximum(events.source, events.destination).view(np.uint64) * _ODD_B
    connection = events.flow_id * _ODD_C ^ pair
    is_label = (events.kind == Kind.ALERT) & (events.label == MALICIOUS)
    is_label &= events.flow_id != 0
    marks = np.flatnonzero(is_label)
    if not len(marks):
        return events
    # The first alert with a technique stands for its connection, or else the first.
    named_first = np.argsort(events.technique[marks] < 0, kind="stable")
    ids, first = np.unique(connection[marks[named_first]], return_index=True)
    mark = marks[named_first[first]]
    place = np.minimum(np.searchsorted(ids, connection), len(ids) - 1)
    found = (ids[place] == connection) & (events.flow_id != 0)
    return dataclasses.replace(
        events,
        label=np.where(found, np.int8(MALICIOUS), events.label),
        technique=np.where(found, events.technique[mark][place], events.technique),
    )


def _times(records: Sequence[Record]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    return iso_times_ns([record.timestamp for record in records])


def _have_more(records: Sequence[Record]) -> bool:
    return not MORE.isdisjoint([record.event_type for record in records])


def _pieces(block: bytes) -> Iterator[bytes]:
    """Yield a block in pieces of whole lines."""
    begin = 0
    while begin < len(block):
        end = block.find(b"\n", begin + PIECE_BYTES) + 1
        yield block[begin : end or len(block)]
        begin = end or len(block)
