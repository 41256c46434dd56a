# SPDX-License-Identifier: Apache-2.0
"""The normalised event, as columns.

``Events`` is a struct of numpy arrays of one length, one row per record of a log.
Entities are already pseudonymous tokens and no text is kept: of a name only its length
and entropy remain, because they are behaviour.

It does NOT read logs (see suricata.py, zeek.py), pseudonymise (privacy/pseudonym.py)
or make features (models/).

Rule 1: all columns have one length and exactly the type of the table ``COLUMNS``.
Rule 2: a value that is not known is the column's ``unknown``, never 0.
Rule 3: ``label`` and ``technique`` are what is to be learned, never an input; the same
holds for whole rows of kind ``ALERT``.
Rule 4: an entity (``source``, ``destination``, ``user``) is a key by which the past is
looked up, never a number that a model reads.
Rule 5: arrays of an ``Events`` are not written to after they were made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.telemetry.catalogue import Kind, Service, State

UNLABELLED: Final = -1
BENIGN: Final = 0
MALICIOUS: Final = 1


class Column(NamedTuple):
    """One column: its name, its type, and the value that says "not known"."""

    name: str
    dtype: np.dtype[Any]
    unknown: float


COLUMNS: Final[tuple[Column, ...]] = (
    Column("time_ns", np.dtype(np.int64), 0),
    Column("source", np.dtype(np.int64), 0),
    Column("destination", np.dtype(np.int64), 0),
    Column("source_port", np.dtype(np.int32), -1),
    Column("destination_port", np.dtype(np.int32), -1),
    Column("protocol", np.dtype(np.int16), -1),
    Column("service", np.dtype(np.int16), Service.UNKNOWN),
    Column("kind", np.dtype(np.int16), Kind.OTHER),
    Column("bytes_out", np.dtype(np.int64), -1),
    Column("bytes_in", np.dtype(np.int64), -1),
    Column("packets_out", np.dtype(np.int64), -1),
    Column("packets_in", np.dtype(np.int64), -1),
    Column("duration_s", np.dtype(np.float32), float("nan")),
    Column("state", np.dtype(np.int16), State.UNKNOWN),
    Column("text_length", np.dtype(np.int32), -1),
    Column("text_entropy", np.dtype(np.float32), float("nan")),
    Column("label", np.dtype(np.int8), UNLABELLED),
    Column("technique", np.dtype(np.int16), -1),
    Column("flow_id", np.dtype(np.uint64), 0),
    Column("user", np.dtype(np.int64), 0),
)
"""Every column, in order; a new one is appended."""

_BY_NAME: Final = {column.name: column for column in COLUMNS}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Events:
    """Records of one organisation, (n,) per column.

    Attributes:
        time_ns: (n,) int64, UTC nanoseconds since 1970; start of the flow for flows.
        source: (n,) int64, token of the entity that opened the exchange, 0 unknown.
        destination: (n,) int64, token of the entity it was opened to, 0 unknown.
        source_port: (n,) int32, 0 to 65535, -1 unknown.
        destination_port: (n,) int32, 0 to 65535, -1 unknown.
        protocol: (n,) int16, IANA number 0 to 255, -1 unknown.
        service: (n,) int16, ``catalogue.Service``.
        kind: (n,) int16, ``catalogue.Kind``.
        bytes_out: (n,) int64, bytes from source to destination, -1 unknown.
        bytes_in: (n,) int64, bytes from destination to source, -1 unknown.
        packets_out: (n,) int64, -1 unknown.
        packets_in: (n,) int64, -1 unknown.
        duration_s: (n,) float32, seconds >= 0, NaN unknown.
        state: (n,) int16, ``catalogue.State``.
        text_length: (n,) int32, characters of the name asked for (DNS query, host and
            path, server name), -1 where the record has none.
        text_entropy: (n,) float32, Shannon entropy of that name in bits per character,
            NaN where the record has none.
        label: (n,) int8, -1 unlabelled, 0 benign, 1 malicious.
        technique: (n,) int16, index into ``techniques``, -1 none.
        flow_id: (n,) uint64, the sensor's identifier of the connection, 0 unknown;
            records of one connection share it.
        user: (n,) int64, token of the account that acted, 0 unknown.
        techniques: MITRE ATT&CK technique ids (``T1046``), each once.

    Raises:
        InvalidTelemetry: a column of another length or type, or a technique index
            that points nowhere.
    """

    time_ns: NDArray[np.int64]
    source: NDArray[np.int64]
    destination: NDArray[np.int64]
    source_port: NDArray[np.int32]
    destination_port: NDArray[np.int32]
    protocol: NDArray[np.int16]
    service: NDArray[np.int16]
    kind: NDArray[np.int16]
    bytes_out: NDArray[np.int64]
    bytes_in: NDArray[np.int64]
    packets_out: NDArray[np.int64]
    packets_in: NDArray[np.int64]
    duration_s: NDArray[np.float32]
    state: NDArray[np.int16]
    text_length: NDArray[np.int32]
    text_entropy: NDArray[np.float32]
    label: NDArray[np.int8]
    technique: NDArray[np.int16]
    flow_id: NDArray[np.uint64]
    user: NDArray[np.int64]
    techniques: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows = len(self.time_ns)
        for name, dtype, _ in COLUMNS:
            column: NDArray[Any] = getattr(self, name)
            if column.shape != (rows,) or column.dtype != dtype:
                raise InvalidTelemetry(
                    f"column {name}: got {column.dtype} {column.shape}, "
                    f"want {dtype} ({rows},)"
                )
        if len(set(self.techniques)) != len(self.techniques):
            raise InvalidTelemetry("a technique is named twice")
        if rows and not (
            -1 <= self.technique.min() <= self.technique.max() < len(self.techniques)
        ):
            raise InvalidTelemetry(
                f"technique indices must be in [-1, {len(self.techniques)})"
            )

    def __len__(self) -> int:
        return len(self.time_ns)

    @classmethod
    def build(
        cls,
        rows: int,
        columns: Mapping[str, NDArray[Any]],
        *,
        techniques: tuple[str, ...] = (),
    ) -> Self:
        """Return events from some columns; the others are filled with "not known".

        Args:
            rows: how many, >= 0.
            columns: (rows,) arrays by column name, cast to the column's type.
            techniques: ATT&CK ids that ``technique`` points into.

        Raises:
            InvalidTelemetry: an unknown column name or a wrong length.
        """
        for name in columns:
            if name not in _BY_NAME:
                raise InvalidTelemetry(f"no column named {name}")
        full: dict[str, NDArray[Any]] = {}
        for name, dtype, unknown in COLUMNS:
            given = columns.get(name)
            full[name] = (
                np.full(rows, unknown, dtype)
                if given is None
                else given.astype(dtype, copy=False)
            )
        return cls(**full, techniques=techniques)

    @classmethod
    def empty(cls) -> Self:
        """Return events of no rows."""
        return cls.build(0, {})

    @classmethod
    def concatenate(cls, parts: Iterable[Events]) -> Self:
        """Return all rows of the parts, in their order; technique indices are merged.

        Args:
            parts: any number of events; none gives no rows.
        """
        kept = list(parts)
        names: dict[str, int] = {}
        for part in kept:
            for name in part.techniques:
                names.setdefault(name, len(names))
        if not kept:
            return cls.empty()
        full = {
            name: np.concatenate([getattr(part, name) for part in kept])
            for name in _BY_NAME
            if name != "technique"
        }
        full["technique"] = np.concatenate(
            [_renumbered(part, names) for part in kept], dtype=np.int16
        )
        return cls(**full, techniques=tuple(names))

    def select(self, rows: slice | NDArray[np.bool_] | NDArray[np.integer]) -> Self:
        """Return some rows.

        Args:
            rows: a slice, an (n,) mask, or (m,) indices.
        """
        return dataclasses.replace(
            self, **{name: getattr(self, name)[rows] for name in _BY_NAME}
        )

    def sort(self) -> Self:
        """Return the rows by ascending time; equal times keep their order."""
        if self.is_sorted:
            return self
        return self.select(np.argsort(self.time_ns, kind="stable"))

    @property
    def is_sorted(self) -> bool:
        """Whether times never descend."""
        return bool(np.all(self.time_ns[1:] >= self.time_ns[:-1]))

    @property
    def is_input(self) -> NDArray[np.bool_]:
        """(n,) mask of the rows a model may read: all but alerts (rule 3)."""
        return np.not_equal(self.kind, Kind.ALERT)

    def labelled(
        self,
        *,
        flow_id: NDArray[np.uint64],
        label: NDArray[np.int8],
        technique: Sequence[str | None],
    ) -> Self:
        """Return the same rows with labels looked up by connection.

        Rows whose connection is not listed, or is 0, keep label and technique.

        Args:
            flow_id: (m,) uint64, connections, each once.
            label: (m,) int8, -1, 0 or 1.
            technique: m ATT&CK ids or None.

        Raises:
            InvalidTelemetry: lengths differ, or a connection is listed twice.
        """
        if not len(flow_id) == len(label) == len(technique):
            raise InvalidTelemetry(
                f"lengths differ: {len(flow_id)} connections, {len(label)} labels, "
                f"{len(technique)} techniques"
            )
        if not len(flow_id):
            return self
        order = np.argsort(flow_id, kind="stable")
        ids = flow_id[order]
        if np.any(ids[1:] == ids[:-1]):
            raise InvalidTelemetry("a connection is labelled twice")
        names = dict.fromkeys((*self.techniques, *(t for t in technique if t)))
        number = {name: index for index, name in enumerate(names)}
        codes = np.array([number[t] if t else -1 for t in technique], np.int16)[order]
        place = np.minimum(np.searchsorted(ids, self.flow_id), len(ids) - 1)
        found = (ids[place] == self.flow_id) & (self.flow_id != 0)
        return dataclasses.replace(
            self,
            label=np.where(found, label[order][place], self.label),
            technique=np.where(found, codes[place], self.technique),
            techniques=tuple(names),
        )


def _renumbered(part: Events, names: Mapping[str, int]) -> NDArray[np.int16]:
    """Return the technique column of one part, pointing into the merged names."""
    table = np.array([*(names[name] for name in part.techniques), -1], np.int16)
    return table[part.technique]
