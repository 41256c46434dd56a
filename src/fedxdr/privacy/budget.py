# SPDX-License-Identifier: Apache-2.0
"""The purse: what an organisation may still release, and a no when it may not.

Everything that is opened goes through one purse: detector, policy, statistics, metrics,
adaptive clipping. A release is reserved before anything is computed for it, and spent
before the first byte of it leaves; both are facts that somebody stores first.

It does NOT store (storage/purse.py), compute prices (accountant.py) or add noise.

Rules that always hold:
    1. Reserved counts like spent, for ever. There is no way back: a process that dies
       between the two has paid, because nobody can say what it had released.
    2. A release pays once: the same charge under the same name is a retry, another
       charge under that name is refused, and so are other bytes once it is spent: two
       noises on one sum are two releases.
    3. Nothing is reserved whose price, with all that was reserved before, is above the
       budget; the price is the accountant's, an upper bound.
    4. A purse has one unit. A promise for hosts says nothing for members, and the
       other way round.
    5. Nothing is spent that was not reserved.

**Charges that depend on releases.** Figures of a plan are fixed before its first round,
so rounds of one plan compose as the accountant says. A later plan may be chosen in view
of what was released. Stopping such a sequence at a budget is a privacy filter, proven
for Gaussian and Renyi accounting (Feldman and Zrnic 2021), not for privacy loss
distributions in general: whoever plans anew in view of results relies on more than is
proven there.

Source: Rogers, Roth, Ullman and Vadhan 2016 (odometers and filters).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, assert_never

from fedxdr.core.errors import (
    AlreadyAnswered,
    BelowFloor,
    BudgetExhausted,
    Fault,
    InvalidPlan,
    MalformedMessage,
)
from fedxdr.core.ids import Digest, digest
from fedxdr.privacy import accountant
from fedxdr.privacy.mechanism import Charge, Unit

Purpose = Literal["detector", "policy", "statistics", "metrics", "clipping"]
"""What is opened; all of it is paid from one purse."""

PURPOSES: Final[tuple[Purpose, ...]] = (
    "detector",
    "policy",
    "statistics",
    "metrics",
    "clipping",
)

_RELEASE = re.compile(r"[a-z0-9](?:[a-z0-9/-]{0,126}[a-z0-9])?")
_LARGER = (1.5, 2.0)
"""Multiples of the budget for which a refusal says what they would buy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """A release was paid for; it may or may not have left.

    Attributes:
        release_id: names the release for good, for example ``round-7/training``: 1 to
            128 characters of ``a-z``, ``0-9`` and inner hyphens and slashes.
        charge: what it costs.
        purpose: what is opened.
    """

    release_id: str
    charge: Charge
    purpose: Purpose = "detector"

    def __post_init__(self) -> None:
        _check_name(self.release_id)
        if self.purpose not in PURPOSES:
            raise MalformedMessage(f"no purpose of a release: {self.purpose!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """A reserved release is about to leave.

    Attributes:
        release_id: as it was reserved.
        digest: SHA-256 of the bytes that leave, stored already; they may leave again,
            others never.
    """

    release_id: str
    digest: Digest

    def __post_init__(self) -> None:
        _check_name(self.release_id)
        digest(self.digest)


Fact = Reserved | Spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """What was reserved and spent, under the terms of the plan in force.

    A value: ``reserve`` and ``spend`` return the fact that has to be stored, ``after``
    the purse with it. ``of`` makes a purse from stored facts.

    Attributes:
        epsilon: the whole budget, > 0, finite.
        delta: in [1e-12, 1).
        unit: whom the budget protects.
        reserved: release -> what was reserved for it, oldest first.
        spent: release -> digest of what left.

    Raises:
        InvalidPlan: a budget that is none.
        BelowFloor: releases of another unit were paid from this purse.
        Fault: a release was spent that was never reserved.
    """

    epsilon: float
    delta: float
    unit: Unit
    reserved: Mapping[str, Reserved] = field(default_factory=dict)
    spent: Mapping[str, Digest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0.0 < self.epsilon < math.inf:
            raise InvalidPlan(f"a budget of epsilon {self.epsilon}: want above 0")
        if not accountant.MIN_DELTA <= self.delta < 1.0:
            raise InvalidPlan(f"delta {self.delta}: want 1e-12 to below 1")
        for entry in self.reserved.values():
            self._check_unit(entry.charge)
        for name in self.spent:
            if name not in self.reserved:
                raise _never_reserved(name)
        for name in ("reserved", "spent"):
            frozen = MappingProxyType(dict(getattr(self, name)))
            object.__setattr__(self, name, frozen)

    @classmethod
    def of(
        cls, facts: Iterable[Fact], *, epsilon: float, delta: float, unit: Unit
    ) -> Purse:
        """Return the purse that stored facts amount to.

        Facts are not judged by the budget again: a smaller budget than before only
        means that nothing more can be reserved.

        Args:
            facts: in the order in which they were stored.
            epsilon: the budget now, > 0.
            delta: in [1e-12, 1).
            unit: whom it protects.

        Raises:
            InvalidPlan: a budget that is none.
            BelowFloor: facts of another unit.
            AlreadyAnswered: one release with two charges, or spent for two vectors.
            Fault: a release was spent that was never reserved.
        """
        reserved: dict[str, Reserved] = {}
        spent: dict[str, Digest] = {}
        for fact in facts:
            match fact:
                case Reserved():
                    if reserved.setdefault(fact.release_id, fact) != fact:
                        raise _another_charge(fact.release_id)
                case Spent():
                    if fact.release_id not in reserved:
                        raise _never_reserved(fact.release_id)
                    if spent.setdefault(fact.release_id, fact.digest) != fact.digest:
                        raise _other_bytes(fact.release_id)
                case _:
                    assert_never(fact)
        return cls(
            epsilon=epsilon,
            delta=delta,
            unit=unit,
            reserved=reserved,
            spent=spent,
        )

    # Decisions: each returns what has to be stored before anything else is done.

    def reserve(
        self, release_id: str, charge: Charge, *, purpose: Purpose = "detector"
    ) -> Reserved | None:
        """Return the fact that pays for a release, None if it was paid for before.

        Args:
            release_id: names the release, as in ``Reserved``.
            charge: what it costs.
            purpose: what is opened.

        Raises:
            BudgetExhausted: there is not enough left; the message says how many more
                of these a larger epsilon would buy.
            AlreadyAnswered: another charge was reserved under this name.
            BelowFloor: a charge of another unit.
            MalformedMessage: not a name of a release, or no purpose.
        """
        fact = Reserved(release_id=release_id, charge=charge, purpose=purpose)
        known = self.reserved.get(release_id)
        if known is not None:
            if known != fact:
                raise _another_charge(release_id)
            return None
        self._check_unit(charge)
        wanted = accountant.epsilon(_with(self.charges, charge), delta=self.delta)
        if not wanted <= self.epsilon:
            raise BudgetExhausted(self._why_not(charge, wanted))
        return fact

    def spend(self, release_id: str, digest: Digest) -> Spent | None:
        """Return the fact that lets a release leave, None if it was stored before.

        Args:
            release_id: as it was reserved.
            digest: SHA-256 of the bytes that are to leave; whoever may have to send
                them again has stored them.

        Raises:
            AlreadyAnswered: other bytes were spent under this name.
            Fault: it was never reserved; nothing may leave.
        """
        fact = Spent(release_id=release_id, digest=digest)
        if release_id not in self.reserved:
            raise _never_reserved(release_id)
        known = self.spent.get(release_id)
        if known not in (None, digest):
            raise _other_bytes(release_id)
        return fact if known is None else None

    def after(self, fact: Fact | None) -> Purse:
        """Return the purse once a fact is stored; None changes nothing.

        Raises:
            AlreadyAnswered: one release with two charges, or spent for two vectors.
            BelowFloor: a charge of another unit.
            Fault: a release was spent that was never reserved.
        """
        if fact is None:
            return self
        history: list[Fact] = list(self.reserved.values())
        history += [
            Spent(release_id=name, digest=digest) for name, digest in self.spent.items()
        ]
        return Purse.of(
            [*history, fact], epsilon=self.epsilon, delta=self.delta, unit=self.unit
        )

    # Figures.

    @property
    def charges(self) -> Mapping[Charge, int]:
        """How many times each charge was reserved."""
        return Counter(entry.charge for entry in self.reserved.values())

    @property
    def unconfirmed(self) -> tuple[str, ...]:
        """Releases that are paid for and may not have left, oldest first."""
        return tuple(name for name in self.reserved if name not in self.spent)

    def used(self) -> float:
        """Return epsilon of everything reserved, at the purse's delta."""
        return accountant.epsilon(self.charges, delta=self.delta)

    def remaining(self) -> float:
        """Return what is left of epsilon, >= 0; it does not buy in proportion."""
        return max(0.0, self.epsilon - self.used())

    def textbook(self) -> float:
        """Return what the textbook rule would say was used: for comparison only."""
        return accountant.textbook_epsilon(self.charges, delta=self.delta)

    def rounds_until_exhausted(
        self, charge: Charge, *, limit: int = accountant.MAX_USES
    ) -> int:
        """Return how many more releases of this charge fit, by the accountant.

        Args:
            charge: what one round costs.
            limit: most to look for, >= 1.

        Raises:
            BelowFloor: a charge of another unit.
        """
        self._check_unit(charge)
        return accountant.uses_left(
            self.charges, charge, epsilon=self.epsilon, delta=self.delta, limit=limit
        )

    def count(self, purpose: Purpose) -> int:
        """Return how many releases were reserved for a purpose."""
        return sum(entry.purpose == purpose for entry in self.reserved.values())

    def _check_unit(self, charge: Charge) -> None:
        if charge.unit != self.unit:
            raise BelowFloor(
                f"this purse protects the unit {self.unit}, the charge is for the unit "
                f"{charge.unit}; they do not add up: keep the plan's unit, or begin "
                "with a new purse and say so to those it protects"
            )

    def _why_not(self, charge: Charge, wanted: float) -> str:
        """Return why a charge is refused, and what would help."""
        used = self.used()
        would = f"{wanted:.4g}" if math.isfinite(wanted) else "no finite number"
        bought = []
        for multiple in _LARGER:
            larger = multiple * self.epsilon
            rounds = accountant.uses_left(
                self.charges, charge, epsilon=larger, delta=self.delta
            )
            bought.append(
                f"epsilon {larger:.4g} would buy {rounds} more"
                if rounds
                else f"epsilon {larger:.4g} would not be enough"
            )
        return (
            f"the privacy purse is exhausted: epsilon {used:.4g} of {self.epsilon:.4g} "
            f"is used (delta {self.delta:.1e}, unit {self.unit}), this release would "
            f"make it {would}; {', '.join(bought)}; or plan with more noise"
        )


def forgotten(purse: Purse, on_ledger: Mapping[str, Charge]) -> tuple[Reserved, ...]:
    """Return what the ledger says was released and the purse does not know.

    A purse that came back from a backup has given rounds back; the ledger has not. The
    facts returned are stored and put in, whether there is budget for them or not.

    Args:
        purse: what this organisation remembers.
        on_ledger: release -> its charge, from the blocks this organisation signed.

    Raises:
        AlreadyAnswered: the purse knows a release with another charge.
        BelowFloor: a charge of another unit.
    """
    found = []
    for release_id, charge in on_ledger.items():
        known = purse.reserved.get(release_id)
        if known is None:
            purse._check_unit(charge)  # noqa: SLF001 - same file
            found.append(Reserved(release_id=release_id, charge=charge))
        elif known.charge != charge:
            raise _another_charge(release_id)
    return tuple(found)


def _with(charges: Mapping[Charge, int], charge: Charge) -> Mapping[Charge, int]:
    counted = Counter(charges)
    counted[charge] += 1
    return counted


def _check_name(release_id: str) -> None:
    if not _RELEASE.fullmatch(release_id):
        raise MalformedMessage(
            "a release has 1 to 128 of a-z, 0-9 and inner hyphens and slashes"
        )


def _another_charge(release_id: str) -> AlreadyAnswered:
    return AlreadyAnswered(
        f"release {release_id} was paid for before, with another charge"
    )


def _other_bytes(release_id: str) -> AlreadyAnswered:
    return AlreadyAnswered(
        f"release {release_id} left before, with other bytes; noised anew it would be "
        "a second release"
    )


def _never_reserved(release_id: str) -> Fault:
    return Fault(f"release {release_id} was never reserved; nothing of it may leave")
