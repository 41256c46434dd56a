# SPDX-License-Identifier: Apache-2.0
"""Who may learn from what, and what is measured: the protocols by name.

- ``causal``: by wall clock; the mean is over those with an earlier victim elsewhere.
- ``time-split``: the same split, everybody counts.
- ``subnet``: one cut for all, fixed by the data set; everybody counts.
- ``unseen-family``: not by the clock. The data set says which rows are learned from
  and which are tested on, so that each organisation meets families that only others
  trained on.

It does NOT read files, fit or measure.

Rules that always hold: a protocol gives situations for the test and, from these
situations' past alone, situations to choose settings on (validation.py); under
``causal`` the last two organisations' tests have no part in the latter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fedxdr.core.errors import InvalidSettings, InvalidTelemetry
from fedxdr.learning import dataset, validation
from fedxdr.learning.dataset import Organisation, Situation

_SET_ASIDE: Final = 2
"""How many organisations at the end of ``causal`` are never chosen on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One way to split.

    Attributes:
        name: on the command line.
        counts_newcomers: whether organisations without an earlier victim elsewhere
            are part of the mean.
        situations: from organisations to one situation each.
        validation: from one situation to those made of its past.
        validations: from all situations to those on which settings are chosen.
    """

    name: str
    counts_newcomers: bool
    situations: Callable[[Sequence[Organisation]], list[Situation]]
    validation: Callable[[Situation], list[Situation]]
    validations: Callable[[Sequence[Situation]], list[Situation]]


def find(name: str) -> Protocol:
    """Return a protocol by its name.

    Raises:
        InvalidSettings: there is none of that name.
    """
    if name not in PROTOCOLS:
        raise InvalidSettings(f"protocol {name!r}: use one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def _unseen_family(organisations: Sequence[Organisation]) -> list[Situation]:
    dataset.refuse_twins(organisations)
    masks = []
    for item in organisations:
        if item.may_train is None or item.may_test is None:
            raise InvalidTelemetry(
                f"{item.name}: nobody said which rows are learned from; protocol "
                "unseen-family is for data sets that do"
            )
        if (item.may_train & item.may_test).any():
            raise InvalidTelemetry(f"{item.name}: a row to learn from is tested on")
        masks.append((item.may_train, item.may_test))
    parts = [
        dataset.part_of(item, train)
        for item, (train, _) in zip(organisations, masks, strict=True)
    ]
    return [
        Situation(
            own=own,
            others=tuple(part for part in parts if part is not own),
            test=dataset.part_of(item, test),
            cut_ns=0,
            families=item.families,
        )
        for item, own, (_, test) in zip(organisations, parts, masks, strict=True)
    ]


def _subnet(organisations: Sequence[Organisation]) -> list[Situation]:
    cuts = {item.cut_ns for item in organisations}
    if len(cuts) != 1 or None in cuts:
        raise InvalidTelemetry("protocol subnet needs one cut that all share")
    return dataset.situations(organisations)


def _by_time(situation: Situation) -> list[Situation]:
    return [validation.last_fifth(situation)]


def _by_victims(situation: Situation) -> list[Situation]:
    return validation.victims_held_out(situation) or _by_time(situation)


def _by_family(situation: Situation) -> list[Situation]:
    return [validation.mirrored(situation), *validation.families_held_out(situation)]


def _of_each(
    validate: Callable[[Situation], list[Situation]],
) -> Callable[[Sequence[Situation]], list[Situation]]:
    def all_of(situations: Sequence[Situation]) -> list[Situation]:
        return [found for situation in situations for found in validate(situation)]

    return all_of


def _before_the_last_two(situations: Sequence[Situation]) -> list[Situation]:
    """Return the victims held out up to the cut of the last organisation but one."""
    ordered = sorted(situations, key=lambda item: item.cut_ns)
    if len(ordered) > _SET_ASIDE:
        found = validation.victims_held_out(ordered[-_SET_ASIDE])
        if found:
            return found
    return [found for situation in ordered for found in _by_time(situation)]


PROTOCOLS: Final[Mapping[str, Protocol]] = {
    item.name: item
    for item in (
        Protocol(
            name="causal",
            counts_newcomers=False,
            situations=dataset.situations,
            validation=_by_victims,
            validations=_before_the_last_two,
        ),
        Protocol(
            name="time-split",
            counts_newcomers=True,
            situations=dataset.situations,
            validation=_by_time,
            validations=_of_each(_by_time),
        ),
        Protocol(
            name="subnet",
            counts_newcomers=True,
            situations=_subnet,
            validation=_by_time,
            validations=_of_each(_by_time),
        ),
        Protocol(
            name="unseen-family",
            counts_newcomers=True,
            situations=_unseen_family,
            validation=_by_family,
            validations=_of_each(_by_family),
        ),
    )
}
"""Every protocol by its name on the command line."""
