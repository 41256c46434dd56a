# SPDX-License-Identifier: Apache-2.0
"""Why an event scores as it does: what the network says without this or that.

Nothing is estimated. Each earlier event that the features read as a neighbour is taken
out (its places read as if nobody had been there), each group of the event's own numbers
is put to the federated mean, and the network is asked again, all in one batch. The
contribution is the difference of the logits.

It does NOT add up: networks are not sums, and what two neighbours say together neither
says alone. Windows (variety, means) keep what a neighbour brought to them. Sets that
look back without a bound cannot be explained so.

Rules that always hold:
    1. A contribution is what the network says with everything less what it says without
       that one thing: a loop over single questions gives the same.
    2. A sentence is made of our words and numbers (docs/adr/0008-detection.md).
    3. No label is read.

Source: occlusion, Zeiler and Fergus 2014, section 4.2; counterfactual removal of
neighbours, Ying et al. 2019, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning import columns, entities, features
from fedxdr.learning.features import FeatureSet
from fedxdr.learning.readings import COLUMNS, READINGS, Key
from fedxdr.learning.scorer import Scorer
from fedxdr.models import graph
from fedxdr.models.graph import Floats, Integers
from fedxdr.telemetry.catalogue import Kind, Service
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.features import OWN_FEATURES
from fedxdr.telemetry.findings import MAX_EVIDENCE, Evidence

_AT_ONCE: Final = 32
"""Rows that are asked about in one batch."""

_WORDS: Final = {"spoken": "service"}
"""What columns are called, where that is not their name."""

_REST: Final = "how long and how often its ends are known"
_SHOWN: Final = "account and sign-on"
_OWN: Final = (
    (
        "number of bytes and packets",
        ("log_bytes", "has_bytes", "log_packets", "has_packets", "out_share"),
    ),
    ("duration", ("log_duration", "has_duration")),
    ("name asked for", ("text_", "has_text")),
    ("kind of port", ("destination_port", "source_port")),
    ("protocol", ("protocol_",)),
    ("service", ("service_",)),
    ("kind of record", ("kind_",)),
    ("state of the connection", ("state_",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """One earlier event that the features of another one read.

    Attributes:
        contribution: logit with it less logit without it.
        reads: under which keys it is read, and how many events back, 1 the newest.
        row: its row in what was scored with the event; None if it came before that.
        event: what it was; None where that is remembered no longer.
    """

    contribution: float
    reads: tuple[tuple[str, int], ...]
    row: int | None
    event: Evidence | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why one event scores as it does.

    Attributes:
        row: of the event in what was scored.
        logit: what the network says of it.
        neighbours: the earlier events that it is read by, the largest contribution
            first.
        own: groups of its own numbers by name, each with its contribution, the largest
            first.
        sentence: the same for a person, in words of ours and numbers.
    """

    row: int
    logit: float
    neighbours: tuple[Neighbour, ...]
    own: tuple[tuple[str, float], ...]
    sentence: str

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The neighbours that are still known, as a finding shows them."""
        known = [item.event for item in self.neighbours if item.event is not None]
        return tuple(known[:MAX_EVIDENCE])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """Events to be explained, in the stream that they stand in.

    Attributes:
        features: (q, D) float32.
        stream: n events as the features read them, the newest last; what came before is
            not remembered.
        place: (q,) int64, where the events stand in the stream.
        rows: (n,) int64, row of each event of the stream in what was scored, -1 for
            those that came before.
        calibrated: (q,), share of the own benign past that scores as high.
    """

    features: Floats
    stream: Events
    place: Integers
    rows: Integers
    calibrated: npt.NDArray[np.float64]


def explain(scorer: Scorer, asked: Asked) -> list[Explanation]:
    """Return why each event scores as it does, in their order.

    Args:
        scorer: the network.
        asked: the events.

    Raises:
        InvalidTelemetry: a feature set that looks back without a bound.
    """
    found = features.find(scorer.architecture.features)
    if found.name not in READINGS:
        raise InvalidTelemetry(f"scores by {found.name!r} cannot be explained")
    place = neighbours(found.name, asked.stream, asked.place)
    read = asked.features[:, : found.keys * len(found.ranks) * found.token]
    tokens = read.reshape(*place.shape, found.token)
    is_there = (tokens != _absent(found)).any(axis=3)
    explained: list[Explanation] = []
    for begin in range(0, len(asked.place), _AT_ONCE):
        rows = range(begin, min(begin + _AT_ONCE, len(asked.place)))
        without = [_without(place[row], is_there[row], found) for row in rows]
        contributions = occlude(
            scorer, asked.features[begin : rows.stop], [one.masks for one in without]
        )
        explained += [
            _explanation(asked, row, one, contribution)
            for row, one, contribution in zip(rows, without, contributions, strict=True)
        ]
    return explained


def occlude(
    scorer: Scorer, rows: Floats, masks: Sequence[npt.NDArray[np.bool_]]
) -> list[npt.NDArray[np.float64]]:
    """Return what each part of each row contributes to its logit.

    Args:
        scorer: the network.
        rows: (q, D) float32.
        masks: per row (m, D), the numbers that belong to a part: those of neighbours
            are read as if nobody had been there, own numbers as the federated mean.

    Returns:
        per row (1 + m,) float64: its logit, then the contributions.
    """
    found = features.find(scorer.architecture.features)
    instead = scorer.mean.copy()
    tokens = found.keys * len(found.ranks)
    instead[: tokens * found.token] = np.tile(_absent(found), tokens)
    whole = [
        np.concatenate([row[None], np.where(mask, instead, row)])
        for row, mask in zip(rows, masks, strict=True)
    ]
    if not whole:
        return []
    logits = scorer.said(np.concatenate(whole)).malicious.astype(np.float64)
    ends = np.cumsum([len(part) for part in whole])
    return [
        np.concatenate([part[:1], part[0] - part[1:]])
        for part in np.split(logits, ends[:-1])
    ]


def neighbours(name: str, stream: Events, queries: Integers) -> Integers:
    """Return which events each one's features read, (q, keys, ranks) int64.

    Args:
        name: of the feature set.
        stream: n events in the order in which they came.
        queries: (q,) places in it.

    Returns:
        places in the stream, ``graph.NONE`` where there are none in it.
    """
    found, reading = features.find(name), READINGS[name]
    places = np.full((len(queries), found.keys, len(found.ranks)), graph.NONE, np.int64)
    for number, key in enumerate(reading.keys):
        node, other = _nodes(stream, key)
        past = graph.history(node, queries=queries, other=other)
        places[:, number] = graph.recent(past, found.ranks)
    return places


def groups_of(found: FeatureSet) -> list[tuple[str, Integers]]:
    """Return the groups of an event's own numbers: name, and their places among D."""
    reading = READINGS[found.name]
    begin = found.keys * len(found.ranks) * found.token
    groups: list[tuple[str, Integers]] = []
    if reading.has_own:
        for words, prefixes in _OWN:
            places = [
                begin + place
                for place, name in enumerate(OWN_FEATURES)
                if name.startswith(prefixes)
            ]
            groups.append((words, np.array(places, np.int64)))
        begin += len(OWN_FEATURES)
    if reading.has_shown:
        groups.append((_SHOWN, begin + np.arange(entities.SHOWN)))
        begin += entities.SHOWN
    width = len(reading.alike) + len(reading.diverse)
    for key in reading.keys:
        for compared in key.mixtures:
            names = " and ".join(f"{_word(name)}s" for name in compared)
            words = f"variety of {names} {_place(key)}"
            groups.append((words, begin + np.arange(width)))
            begin += width
    for key in reading.keys:
        if key.has_means:
            width = columns.EDGES * len(reading.means)
            words = f"means of events {_place(key)}"
            groups.append((words, begin + np.arange(width)))
            begin += width
    rest = np.arange(begin, found.keys * len(found.ranks) * found.token + found.own)
    return [*groups, (_REST, rest)] if len(rest) else groups


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Without:
    """What is taken out of one row, one thing at a time.

    Attributes:
        masks: (m, D), neighbours first.
        reads: places in the stream (``graph.NONE`` unknown) and (key, rank) of each
            neighbour.
        groups: names of the own groups.
    """

    masks: npt.NDArray[np.bool_]
    reads: list[tuple[int, list[tuple[int, int]]]]
    groups: list[str]
    found: FeatureSet


def _word(column: str) -> str:
    return _WORDS.get(column, column)


def _place(key: Key) -> str:
    """Return what the events of a key have in common, in words."""
    if not key.by:
        return "anywhere"
    names = " and ".join(_word(name) for name in key.by)
    return f"of the same {names}{' in any role' if key.other else ''}"


def _absent(found: FeatureSet) -> Floats:
    """Return the token of a neighbour that is not there, (token,) float32."""
    token = np.zeros(found.token, np.float32)
    token[0] = columns.gap(np.array([np.inf], np.float32))[0]
    return token


def _nodes(stream: Events, key: Key) -> tuple[Integers, Integers | None]:
    """Return the node of each event under a key, and its second one."""
    if not key.by:
        return np.zeros(len(stream), np.int64), None
    parts = [COLUMNS[name](stream) for name in key.by]
    if key.has_unknown:
        # who is not known is each somebody else
        known = parts[0] != 0
        parts.append(np.where(known, 0, 1 + np.arange(len(stream))))
    if key.other is None:
        return graph.entities(*parts), None
    both = graph.entities(np.concatenate([parts[0], COLUMNS[key.other](stream)]))
    return both[: len(stream)], both[len(stream) :]


def _without(
    place: Integers,
    is_there: npt.NDArray[np.bool_],
    found: FeatureSet,
) -> _Without:
    groups, ranks = groups_of(found), len(found.ranks)
    reads: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for key, rank in np.argwhere(is_there).tolist():
        at = int(place[key, rank])
        # what is not remembered cannot be known to be the same event
        name = (at, -1) if at != graph.NONE else (graph.NONE, key * ranks + rank)
        reads.setdefault(name, []).append((key, rank))
    width = found.keys * ranks * found.token + found.own
    masks = np.zeros((len(reads) + len(groups), width), np.bool_)
    tokens = masks[:, : found.keys * ranks * found.token]
    tokens = tokens.reshape(len(masks), found.keys, ranks, found.token)
    for number, spots in enumerate(reads.values()):
        for key, rank in spots:
            tokens[number, key, rank] = True
    for number, (_, columns_) in enumerate(groups, start=len(reads)):
        masks[number, columns_] = True
    return _Without(
        masks=masks,
        reads=[(at, spots) for (at, _), spots in reads.items()],
        groups=[words for words, _ in groups],
        found=found,
    )


def _explanation(
    asked: Asked, row: int, without: _Without, contribution: npt.NDArray[np.float64]
) -> Explanation:
    logit, parts = float(contribution[0]), contribution[1:].tolist()
    found = without.found
    keys = [_place(key) for key in READINGS[found.name].keys]
    near = [
        Neighbour(
            contribution=part,
            reads=tuple((keys[key], found.ranks[rank]) for key, rank in spots),
            row=_row(asked, at),
            event=_event(asked.stream, at, part),
        )
        for (at, spots), part in zip(without.reads, parts, strict=False)
    ]
    near.sort(key=lambda item: -item.contribution)
    own = sorted(
        zip(without.groups, parts[len(near) :], strict=True), key=lambda item: -item[1]
    )
    return Explanation(
        row=int(asked.rows[asked.place[row]]),
        logit=logit,
        neighbours=tuple(near),
        own=tuple(own),
        sentence=_sentence(float(asked.calibrated[row]), near, own),
    )


def _row(asked: Asked, at: int) -> int | None:
    if at == graph.NONE or asked.rows[at] < 0:
        return None
    return int(asked.rows[at])


def _event(stream: Events, at: int, contribution: float) -> Evidence | None:
    if at == graph.NONE or stream.time_ns[at] <= 0:
        return None
    return Evidence(
        time_ns=int(stream.time_ns[at]),
        source=int(stream.source[at]),
        destination=int(stream.destination[at]),
        user=int(stream.user[at]),
        kind=Kind(int(stream.kind[at])),
        service=Service(int(stream.service[at])),
        contribution=contribution,
    )


def _sentence(
    calibrated: float, near: list[Neighbour], own: list[tuple[str, float]]
) -> str:
    """Return what speaks for the score, in words of ours and numbers."""
    rare = f"{round(1 / calibrated):,}" if calibrated > 1e-9 else "a billion"
    words = [f"About 1 in {rare} benign events of this organisation scores so high."]
    raising = [item for item in near if item.contribution > 0]
    if raising:
        best = raising[0]
        words.append(
            f"{len(raising)} of the {len(near)} earlier events that it is seen with "
            f"raise{'s' * (len(raising) == 1)} the score, most of all one "
            f"{best.reads[0][0]} (by {best.contribution:.2f})."
        )
    if own and own[0][1] > 0:
        words.append(f"Of its own, {own[0][0]} counts most (by {own[0][1]:.2f}).")
    return " ".join(words)
