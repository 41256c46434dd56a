# SPDX-License-Identifier: Apache-2.0
"""Which part of an update travels, and what an organisation keeps for the next one.

The common mask follows from plan and parent model: nobody chooses it, everybody has it,
and a round that is tried again has the same. What was left out is put into the next
update of this organisation (error feedback); it never leaves.

Rules that always hold: what is left out of a round that made no model is that of the
round before.

Source: privacy/sparsify.py.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from fedxdr.core import canonical
from fedxdr.core.ids import Digest
from fedxdr.core.layout import Vector
from fedxdr.core.update import Update
from fedxdr.federation import opening
from fedxdr.parties.collecting.mode import Desk
from fedxdr.parties.dossier import Dossier
from fedxdr.privacy.sparsify import Residual, scatter, top_k

_NOTE = "residual"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What was left out, before and after the newest round we sent something in."""

    parent: Digest
    layout: Digest
    before: Digest
    after: Digest


def kept(desk: Desk, dossier: Dossier, update: Update) -> Update:
    """Return the part of an update that travels in this round.

    Args:
        desk: ours.
        dossier: the round.
        update: over the task's segments.

    Returns:
        the update itself without sparsification; (k,) values under the common mask;
        for ``top-k`` the whole length, zero where nothing travels.
    """
    plan, announcement = dossier.plan, dossier.session.announcement
    if plan.sparsification == "none" or announcement.task != "training":
        return update
    known = _known(desk)
    parent, layout = announcement.parent_model, plan.layout.digest
    residual = Residual.zero(update.values.size)
    before = desk.blobs.put(residual.values.tobytes())
    if known is not None and known.layout == layout:
        # the model moved on, so what was sent then is in it
        before = known.before if known.parent == parent else known.after
        data = np.frombuffer(desk.blobs.get(before), dtype=np.float32)
        residual = Residual(values=data.copy())
    if plan.sparsification == "common-mask":
        indices = opening.common_indices(plan, parent)
    else:
        count = opening.kept_count(plan, update.values.size)
        indices = top_k(residual.corrected(update.values), count)
    values, left = residual.keep(update.values, indices)
    after = desk.blobs.put(left.values.tobytes())
    note = _Kept(parent=parent, layout=layout, before=before, after=after)
    desk.notes.put(_NOTE, canonical.encode(note))
    _forget(desk, known, but={before, after})
    if plan.sparsification == "top-k":
        values = scatter(indices, values, update.values.size)
    return dataclasses.replace(update, values=_as_vector(values))


def _known(desk: Desk) -> _Kept | None:
    stored = desk.notes.get(_NOTE)
    return canonical.decode(stored, _Kept) if stored else None


def _forget(desk: Desk, known: _Kept | None, *, but: set[Digest]) -> None:
    if known is not None:
        for digest in {known.before, known.after} - but:
            desk.blobs.delete(digest)


def _as_vector(values: Vector) -> Vector:
    return np.ascontiguousarray(values, dtype=np.float32)
