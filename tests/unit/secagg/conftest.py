# SPDX-License-Identifier: Apache-2.0
"""A whole masked round in memory, with drop-outs wherever a test wants them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import pytest

from fedxdr.core.ids import OrgId, org_id
from fedxdr.core.randomness import SeededEntropy, generator
from fedxdr.secagg import client
from fedxdr.secagg.client import Membership, OpenedMail
from fedxdr.secagg.derivation import RoundSecrets, derive_secrets
from fedxdr.secagg.masking import Words
from fedxdr.secagg.stages import Answer, Mail, Partition, Roster


@dataclass(kw_only=True)
class Round:
    """Everything that was made in a round, by whom."""

    names: list[OrgId]
    secrets: dict[OrgId, RoundSecrets]
    roster: Roster
    members: dict[OrgId, Membership]
    mails: list[Mail]
    opened: dict[OrgId, OpenedMail]
    plain: dict[OrgId, Words]
    masked: dict[OrgId, Words]
    partition: Partition
    answers: dict[OrgId, Answer]

    @property
    def plain_sum(self) -> np.ndarray:
        """The survivors' sum in wide integers, without any masking."""
        return sum(
            self.plain[name].view(np.int32).astype(np.int64)
            for name in self.partition.survivors
        )


def transcript_of(text: str = "round") -> bytes:
    return hashlib.sha256(text.encode()).digest()


def play(
    n: int,
    *,
    threshold: int | None = None,
    min_survivors: int = 2,
    degree: int | None = None,
    size: int = 7,
    seed: int = 0,
    silent_at_shares: Collection[int] = (),
    silent_at_vectors: Collection[int] = (),
    silent_at_answers: Collection[int] = (),
    transcript: bytes | None = None,
) -> Round:
    entropy, random = SeededEntropy(seed), generator(seed)
    digits = len(str(n - 1))
    names = [org_id(f"org-{index:0{digits}}") for index in range(n)]
    secrets = {name: derive_secrets(entropy.draw(32)) for name in names}
    roster = Roster(
        keys={name: secrets[name].round_keys for name in names},
        transcript=transcript or transcript_of(),
        threshold=threshold if threshold is not None else n // 2 + 1,
        min_survivors=min_survivors,
        degree=degree,
    )
    members = {
        name: client.join(secrets[name], roster=roster, me=name) for name in names
    }
    sharing = [name for i, name in enumerate(names) if i not in silent_at_shares]
    mails = [mail for name in sharing for mail in client.make_mail(members[name])]
    inbox: dict[OrgId, list[Mail]] = {name: [] for name in names}
    for mail in mails:
        inbox[mail.recipient].append(mail)
    opened = {name: client.open_mail(members[name], inbox[name]) for name in sharing}
    plain = {
        name: random.integers(-1000, 1000, size, dtype=np.int32).view(np.uint32)
        for name in names
    }
    contributing = [
        name
        for i, name in enumerate(names)
        if name in opened and i not in silent_at_vectors
    ]
    masked = {
        name: client.mask(members[name], opened[name], plain[name])
        for name in contributing
    }
    partition = Partition.of(contributing, participants=sharing)
    answers = {
        name: client.answer_unmasking(members[name], opened[name], partition)
        for i, name in enumerate(names)
        if name in masked and i not in silent_at_answers
    }
    return Round(
        names=names,
        secrets=secrets,
        roster=roster,
        members=members,
        mails=mails,
        opened=opened,
        plain=plain,
        masked=masked,
        partition=partition,
        answers=answers,
    )


@pytest.fixture(scope="session")
def play_round() -> Callable[..., Round]:
    """Return the function that plays a round."""
    return play


@pytest.fixture(scope="session")
def five() -> Round:
    """Return a round of five at threshold 4, whose last one drops out at vectors."""
    return play(5, threshold=4, silent_at_vectors=[4])
