# SPDX-License-Identifier: Apache-2.0
"""Everything an orchestrator sees of a round, and every way to read an update in it.

It does NOT judge who can be told from whom (attribution.py) and it knows no secret: the
view is what the orchestrator's stores hold when a round is over.

Rules that always hold: nothing is read but stored messages, vectors and models; a
reading is a function of a view and of one organisation's name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedxdr.core.errors import MalformedMessage, NotFound
from fedxdr.core.ids import OrgId, RoundId
from fedxdr.core.layout import Vector
from fedxdr.federation import opening
from fedxdr.federation.phases import Kind
from fedxdr.federation.rounds import Round
from fedxdr.models import snapshot
from fedxdr.parties.collecting.catalogue import mode_of
from fedxdr.secagg import packing
from fedxdr.secagg.masking import Words
from fedxdr.simulation.federation import SimulatedFederation
from fedxdr.simulation.inversion import Float64


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerView:
    """What the orchestrator holds when a round is over.

    Attributes:
        round_id: the round.
        messages: slot -> exact bytes of every stored message.
        contributions: organisation -> the protected vector, as it came.
        answers: every other vector that it was sent, such as helpers' sums of masks.
        size: how many numbers a contribution holds.
        width: bits of a number of a masked contribution.
        parent: (d,) float32, the model before.
        model: (d,) float32, the model after.
    """

    round_id: RoundId
    messages: Mapping[str, bytes]
    contributions: Mapping[OrgId, bytes]
    answers: tuple[bytes, ...]
    size: int
    width: int
    parent: Vector
    model: Vector


def view_of(federation: SimulatedFederation, round_: Round) -> ServerView:
    """Return what the orchestrator of a federation holds of a round.

    Raises:
        NotFound: the round brought no model.
    """
    orchestrator = federation.orchestrator
    announcement = round_.announcement
    slots = ["figures", "proposal"]
    slots += [f"{kind}/{org}" for kind in Kind for org in announcement.cohort]
    found = {
        slot: federation.facts.message(announcement.round_id, slot) for slot in slots
    }
    if round_.opened is None:
        raise NotFound(f"round {announcement.round_id} brought no model")
    digests = orchestrator.contributions(round_)
    shown = set(mode_of(round_.plan).shows(orchestrator, round_))
    blobs = orchestrator.blobs
    return ServerView(
        round_id=announcement.round_id,
        messages={slot: body for slot, body in found.items() if body is not None},
        contributions={org: blobs.get(digest) for org, digest in digests.items()},
        answers=tuple(blobs.get(d) for d in sorted(shown - set(digests.values()))),
        size=opening.vector_size(round_.plan, announcement.task),
        width=opening.upload_width(round_.plan),
        parent=snapshot.load(blobs.get(announcement.parent_model)).vector,
        model=snapshot.load(blobs.get(round_.opened.model_hash)).vector,
    )


def readings(view: ServerView, org: OrgId, *, size: int) -> dict[str, Float64]:
    """Return every way to read an organisation's update out of a view.

    Args:
        view: the orchestrator's.
        org: whose update.
        size: how many numbers an update has.

    Returns:
        name -> (size,) float64: its contribution as float32, as packed integers (as it
        came, and with every other vector) and as bytes, and all its other messages as
        bytes; cut or padded to ``size``.
    """
    contribution = view.contributions[org]
    others = b"".join(
        body for slot, body in view.messages.items() if slot.endswith(f"/{org}")
    )
    words = integers(view, contribution)
    opened = words.copy()
    for answer in view.answers:
        opened += integers(view, answer)
    return {
        "floats": _numbers(contribution, "<f4", size),
        "words": _cut(signed_integers(view, words), size),
        "words with answers": _cut(signed_integers(view, opened), size),
        "bytes": _numbers(contribution, "i1", size),
        "messages": _numbers(others, "i1", size),
    }


def integers(view: ServerView, vector: bytes) -> Words:
    """Return a vector as the ring elements that masks are added to, (d,) uint32.

    What is no packed vector of this round is read as 32-bit words.
    """
    width, size = view.width, view.size
    if len(vector) == packing.packed_bytes(size, width=width):
        # a stranger's trailing bits are read as they are
        with contextlib.suppress(MalformedMessage):
            return packing.unpack(vector, size=size, width=width)
    words = np.zeros(size, np.uint32)
    read = np.frombuffer(vector[: len(vector) // 4 * 4], "<u4")[:size]
    words[: read.size] = read
    return words


def signed_integers(view: ServerView, words: Words) -> Float64:
    """Return ring elements as the signed numbers they stand for, (d,) float64."""
    return packing.signed(words.copy(), width=view.width).astype(np.float64)


def sent_bytes(view: ServerView, org: OrgId) -> int:
    """Return how many bytes an organisation sent in the round."""
    messages = (b for slot, b in view.messages.items() if slot.endswith(f"/{org}"))
    return len(view.contributions[org]) + sum(len(body) for body in messages)


def _cut(values: Float64, size: int) -> Float64:
    found = np.zeros(size, np.float64)
    found[: min(size, values.size)] = values[:size]
    return found


def _numbers(data: bytes, dtype: str, size: int) -> Float64:
    """Return bytes read as numbers, cut or padded to a length; NaN and infinity 0."""
    width = np.dtype(dtype).itemsize
    read = np.frombuffer(data[: len(data) // width * width], dtype=dtype)[:size]
    found = np.zeros(size, np.float64)
    with np.errstate(invalid="ignore"):
        found[: read.size] = np.nan_to_num(
            read.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0
        )
    return found
