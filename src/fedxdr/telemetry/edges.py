# SPDX-License-Identifier: Apache-2.0
"""Records of hosts and collectors, one at a time, as events.

Such logs hold many kinds of records in one file, and which field is the source depends
on the kind. Their parsers turn each record into an ``Edge`` of plain words; here edges
become columns.

It does NOT know any format: decoder and meaning are handed in.

Rule 1: a record that is not about two endpoints is skipped and its reason counted; the
reasons are our own few words, never the record's.
Rule 2: a record without a time is rejected, whatever it is about.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedxdr.telemetry.catalogue import Kind, Service, State
from fedxdr.telemetry.event import UNLABELLED, Events
from fedxdr.telemetry.json_lines import read_json_lines
from fedxdr.telemetry.parser import (
    Parsed,
    Tokenise,
    Tokeniser,
    line_count,
    text_shapes,
    tokeniser_of,
    tokens,
)
from fedxdr.telemetry.timestamps import iso_times_ns

T = TypeVar("T")

Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
"""Bytes or packets of a record."""

Port = (
    Annotated[int, msgspec.Meta(ge=0, le=65_535)]
    | Annotated[
        str,
        msgspec.Meta(
            pattern=r"\A(-|[0-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}"
            r"|655[0-2][0-9]|6553[0-5])?\Z"
        ),
    ]
    | None
)
"""A port as a number or in digits; ``-`` and the empty text say nothing."""

Text = str | int | float | bool | None
"""A value that some writers quote and others do not."""

MILLISECOND_NS: Final = 1_000_000
LATEST_MS: Final = 9_214_646_400_000
"""2262-01-01 in milliseconds since 1970: later times have no nanoseconds."""

_TECHNIQUE: Final = re.compile(r"T[0-9]{4}(\.[0-9]{3})?")
_SAYS_NOTHING: Final = frozenset({"", "-"})
_LOOPBACK: Final = frozenset({"::1", "0:0:0:0:0:0:0:1", "localhost"})


class Edge(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """One record about two endpoints, in words; see ``event.Events`` for each.

    A technique that is not written like one of ATT&CK's is none.
    """

    kind: Kind
    source: str
    destination: str
    source_port: int = -1
    destination_port: int = -1
    protocol: int = -1
    service: Service = Service.UNKNOWN
    bytes_out: int = -1
    bytes_in: int = -1
    packets_out: int = -1
    packets_in: int = -1
    duration_s: float = float("nan")
    state: State = State.UNKNOWN
    text: str = ""
    label: int = UNLABELLED
    technique: str = ""
    flow_id: int = 0
    user: str = ""


NO_ENDPOINTS: Final = "names no two endpoints"
"""Why a record is skipped that is of a known kind."""

_SAME_NAME: Final = (
    "source_port",
    "destination_port",
    "protocol",
    "service",
    "kind",
    "bytes_out",
    "bytes_in",
    "packets_out",
    "packets_in",
    "state",
    "label",
)


class EdgeParser(Generic[T]):
    """Reads lines of JSON, each of them one record (``parser.Parser``).

    Args:
        tokenise: turns addresses, and users where it can, into tokens.
        decoder: decodes one record and refuses values of another type.
        time_of: its time, ISO 8601 or UTC nanoseconds.
        edge_of: the record as an edge, or why it is skipped; it never fails.
    """

    def __init__(
        self,
        tokenise: Tokenise | Tokeniser,
        decoder: msgspec.json.Decoder[T],
        *,
        time_of: Callable[[T], str | int],
        edge_of: Callable[[T], Edge | str],
    ) -> None:
        self._tokeniser = tokeniser_of(tokenise)
        self._decoder = decoder
        self._time_of = time_of
        self._edge_of = edge_of

    def parse(self, block: bytes, *, first_line: int = 1) -> Parsed:
        """Return what a block of whole lines holds, see ``parser.Parser``."""
        records, times, rejected = read_json_lines(
            block,
            self._decoder,
            lambda some: times_ns([self._time_of(one) for one in some]),
            first_line=first_line,
        )
        made = [self._edge_of(record) for record in records]
        edges = [one for one in made if isinstance(one, Edge)]
        is_kept = np.array([isinstance(one, Edge) for one in made], np.bool_)
        return Parsed(
            events=events_of(edges, times[is_kept], self._tokeniser),
            rejected=rejected,
            skipped=len(made) - len(edges),
            why_skipped=Counter(one for one in made if isinstance(one, str)),
            lines=line_count(block),
        )


def events_of(
    edges: Sequence[Edge], times: NDArray[np.int64], tokeniser: Tokeniser
) -> Events:
    """Return edges as columns.

    Args:
        edges: n of them.
        times: (n,) int64, UTC nanoseconds.
        tokeniser: turns addresses and users into tokens.
    """
    rows = len(edges)
    ends = [edge.source for edge in edges]
    ends += [edge.destination for edge in edges]
    entities = tokens(ends, tokeniser.address)
    lengths, entropies = text_shapes([edge.text for edge in edges])
    named = dict.fromkeys(edge.technique for edge in edges)
    names = [name for name in named if _TECHNIQUE.fullmatch(name)]
    number = {name: index for index, name in enumerate(names)}
    columns: dict[str, NDArray[Any]] = {
        name: np.array([getattr(edge, name) for edge in edges], np.int64)
        for name in _SAME_NAME
    }
    columns |= {
        "time_ns": times,
        "source": entities[:rows],
        "destination": entities[rows:],
        "duration_s": np.array([edge.duration_s for edge in edges], np.float64),
        "text_length": lengths,
        "text_entropy": entropies,
        "technique": np.array(
            [number.get(edge.technique, -1) for edge in edges], np.int16
        ),
        "flow_id": np.array([edge.flow_id for edge in edges], np.uint64),
        "user": tokens([edge.user for edge in edges], tokeniser.user),
    }
    return Events.build(rows, columns, techniques=tuple(names))


def times_ns(
    times: Sequence[str | int],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return (n,) int64 UTC nanoseconds of ISO texts or numbers, and which are sound.

    Args:
        times: n texts in ISO 8601, or nanoseconds within int64.
    """
    found = np.array([one if isinstance(one, int) else 0 for one in times], np.int64)
    sound = np.array([isinstance(one, int) for one in times], np.bool_)
    where = np.flatnonzero(~sound)
    if len(where):
        texts = [str(times[row]) for row in where.tolist()]
        found[where], sound[where] = iso_times_ns(texts)
    return found, sound


def text_of(value: Text) -> str:
    """Return a value as text; what says nothing (null, ``-``) is empty."""
    text = "" if value is None else str(value).strip()
    return "" if text in _SAYS_NOTHING else text


def port_of(value: str | int | None) -> int:
    """Return a port, -1 where it says nothing; 0 is no port.

    Args:
        value: as ``Port`` lets it through.
    """
    return int(text_of(value) or 0) or -1


def host_of(value: Text, here: str) -> str:
    """Return an end of an exchange; a loopback address is the host it is seen on.

    Without this the loopback addresses of all hosts were one entity.

    Args:
        value: an address or a name.
        here: name of the host that wrote the record.
    """
    text = text_of(value)
    bare = text.lower().removeprefix("::ffff:")
    if bare in _LOOPBACK or bare.startswith("127."):
        return here or text
    return text


def account(name: Text, domain: Text) -> str:
    r"""Return an account with its domain, ``DOMAIN\name``, as far as it is written."""
    user, realm = text_of(name), text_of(domain)
    return f"{realm}\\{user}" if user and realm and "@" not in user else user
