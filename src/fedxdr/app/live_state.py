# SPDX-License-Identifier: Apache-2.0
"""What live scoring must know after a restart, as the bytes of one file.

A line of canonical JSON, what was told, the detector's own bytes. It is as private as
the events: the organisation's own.

Rule: no code is in it, and what does not have its digest is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fedxdr.core import canonical
from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import Digest, sha256
from fedxdr.learning.detector import Detector
from fedxdr.models.graph import Integers

_VERSION: Final = 1
_NO_DIGEST: Final = Digest("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Where scoring stands.

    Attributes:
        number: of the last segment of the spool that the detector holds.
        until: of the last segment that is scored as one with the next, or ``number``.
        ledger_index: of the model.
        past: events that were calibrated on.
        since: events that were scored since.
        told_bytes: how long what was told is in the file.
        digest: SHA-256 of this without it, and of all that follows.
        version: of this form.
    """

    number: int
    until: int
    ledger_index: int | None
    past: int
    since: int
    told_bytes: int = 0
    digest: Digest = _NO_DIGEST
    version: int = _VERSION


def encode(card: Card, *, told: Integers, detector: Detector) -> bytes:
    """Return the file.

    Args:
        card: where scoring stands; lengths and digest are filled in.
        told: (m, 5) int64, see ``Grouper.state``.
        detector: is saved.
    """
    first = told.astype("<i8").tobytes()
    body = first + detector.save()
    bare = replace(card, told_bytes=len(first), digest=_NO_DIGEST)
    return canonical.encode(replace(bare, digest=_digest(bare, body))) + b"\n" + body


def decode(file: bytes) -> tuple[Card, Integers, Detector]:
    """Return what ``encode`` was given.

    Raises:
        MalformedMessage: not such a file, of another version, or not as it was written.
    """
    head, _, body = file.partition(b"\n")
    card = canonical.decode(head, Card)
    if card.version != _VERSION:
        raise MalformedMessage(f"the state of live scoring, version {card.version}")
    if card.digest != _digest(replace(card, digest=_NO_DIGEST), body):
        raise MalformedMessage("the state of live scoring does not have its digest")
    told = np.frombuffer(body[: card.told_bytes], "<i8").astype(np.int64)
    return card, told.reshape(-1, 5), Detector.load(body[card.told_bytes :])


def _digest(bare: Card, body: bytes) -> Digest:
    return sha256(sha256(canonical.encode(bare)).encode(), body)
