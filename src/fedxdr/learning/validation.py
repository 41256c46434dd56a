# SPDX-License-Identifier: Apache-2.0
"""Situations made of the past alone, on which settings are chosen.

Whoever tries rounds, rates or features and keeps what does best on a test has learned
from the test. Each protocol's past therefore gives situations of its own:

- ``last_fifth``: the end of an organisation's own past is scored, what lies before it,
  of anybody, is learned from.
- ``victims_held_out``: an earlier victim's rows after its own cut are scored with what
  all others knew by then.
- ``mirrored``: the split by families once more, inside what is learned from.
- ``families_held_out``: an organisation's own rows with one of its families taken out.

It does NOT choose settings and does not read files.

Rule that always holds: every row of a result comes from ``own`` or ``others`` of the
situation it was made of, so nothing of its test is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning.dataset import FEWEST_ROWS, VICTIM_ROWS, Part, Situation
from fedxdr.models.graph import Integers

LEARNED_SHARE: Final = 0.8
"""Part of the past that is still learned from; the last fifth is scored."""

Mask = npt.NDArray[np.bool_]


def last_fifth(situation: Situation) -> Situation:
    """Return the situation in which the end of the own past is the test.

    It begins at ``validate_ns`` where that is given, else after four fifths of the
    past's time.

    Raises:
        InvalidTelemetry: nothing before or after that instant.
    """
    time = _times(situation.own)
    cut = situation.validate_ns
    if cut is None:
        first, last = int(time[0]), int(time[-1])
        cut = first + int(LEARNED_SHARE * (last - first)) + 1
    is_early = time < cut
    if is_early.all() or not is_early.any():
        raise InvalidTelemetry(
            f"{situation.own.name}: its past has no rows on both sides of where "
            "validation begins"
        )
    others = [part.select(_times(part) < cut) for part in situation.others]
    return replace(
        situation,
        own=situation.own.select(is_early),
        others=tuple(part for part in others if len(part.family) > FEWEST_ROWS),
        test=situation.own.select(~is_early),
        cut_ns=cut,
        validate_ns=None,
    )


def victims_held_out(situation: Situation) -> list[Situation]:
    """Return one situation per earlier victim, the victim's later rows as its test.

    A victim is another organisation that was attacked after its own cut and before
    this one's. What it learned from itself is its own past; everybody else's rows up
    to this situation's cut are learned from too.
    """
    found = []
    for victim in situation.others:
        if victim.cut_ns is None:
            continue
        is_past = _times(victim) < victim.cut_ns
        test = victim.select(~is_past)
        if test.attacks <= VICTIM_ROWS or not (test.family == 0).any():
            continue
        found.append(
            replace(
                situation,
                own=victim.select(is_past),
                others=tuple(
                    part
                    for part in (*situation.others, situation.own)
                    if part is not victim
                ),
                test=test,
                title=victim.name,
                validate_ns=None,
            )
        )
    return found


def mirrored(situation: Situation) -> Situation:
    """Return the split by families once more, inside what is learned from.

    Of everybody's rows the last fifth of each family is taken out. The organisation is
    tested on what was taken from itself and on the attacks that were taken from others
    in families it does not know.
    """
    parts = situation.parts
    late = [_last_fifth_of_each(part) for part in parts]
    known = np.unique(situation.own.family)
    tests = [situation.own.select(late[-1])]
    for part, is_late in zip(situation.others, late, strict=False):
        is_new = (part.family != 0) & ~np.isin(part.family, known)
        tests.append(part.select(is_late & is_new))
    return replace(
        situation,
        own=situation.own.select(~late[-1]),
        others=tuple(
            part.select(~is_late)
            for part, is_late in zip(situation.others, late, strict=False)
        ),
        test=_together(tests),
    )


def families_held_out(situation: Situation) -> list[Situation]:
    """Return one situation per own attack family, which the organisation then lacks.

    The test is the last fifth of each of its own families and of its benign rows.
    Others keep the family, up to their own last fifth.
    """
    own = situation.own
    is_late = _last_fifth_of_each(own)
    others = tuple(part.select(~_last_fifth_of_each(part)) for part in situation.others)
    return [
        replace(
            situation,
            own=own.select(~is_late & (own.family != number)),
            others=others,
            test=own.select(is_late),
            title=f"{situation.name} without {situation.families[number]}",
        )
        for number in np.unique(own.family[own.family != 0]).tolist()
    ]


def _last_fifth_of_each(part: Part) -> Mask:
    """Return (n,) mask of the last fifth of each family's rows, benign ones too."""
    is_late = np.zeros(len(part.family), bool)
    for number in np.unique(part.family):
        rows = np.flatnonzero(part.family == number)
        is_late[rows[int(LEARNED_SHARE * len(rows)) :]] = True
    return is_late


def _together(parts: Sequence[Part]) -> Part:
    """Return the rows of several parts as one; what they share no longer is none."""
    first = parts[0]
    tables = [part.table for part in parts if part.table is not None]
    return Part(
        name=first.name,
        features=np.concatenate([part.features for part in parts]),
        family=np.concatenate([part.family for part in parts]),
        table=np.concatenate(tables) if len(tables) == len(parts) else None,
        columns=first.columns,
    )


def _times(part: Part) -> Integers:
    if part.time_ns is None:
        raise InvalidTelemetry(f"{part.name}: rows without time cannot be split by it")
    return part.time_ns
