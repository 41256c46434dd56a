# SPDX-License-Identifier: Apache-2.0
"""Opening the sum: what the orchestrator does, and any member who replays it.

``recover`` turns the survivors' answers into the secrets they may reveal; ``check``
holds revealed secrets against what was published; ``open_sum`` adds the masked vectors
up and takes the masks off.

It does NOT decide who survived, and it does NOT see a single update: b_u of a survivor
is revealed only beside pair masks that stay secret, m_v of a drop-out only where no
vector of v is used.

Rules that always hold: nothing that does not match its commitment or public key is
used; exactly ``threshold`` shares are combined; memory is O(d), whatever the number of
participants; the sum is exact as long as quantise.py's bound was kept.

How liars are found: a reconstruction is held against a commitment, so right shares are
recognised. Subsets of ``threshold`` answers are tried, leaving out 0, 1, 2, … of them;
where one fits, every other share is compared with its polynomial. m answerers are named
when at least ``threshold - 1 + m`` agree: then nobody honest is named unless the liars
outnumber the honest answers beyond the threshold by 3. Limits: with exactly
``threshold`` answers a wrong share is noticed but nobody can be named, and the search
ends after ``MAX_TRIALS`` subsets.

Source: Bonawitz et al. 2017, figure 4, round 4; Bell et al. 2020 for neighbours.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fedxdr.core.errors import (
    InvalidInput,
    InvalidShare,
    InvalidUpdate,
    MalformedMessage,
    TooFewParticipants,
    UnknownSender,
)
from fedxdr.core.ids import OrgId
from fedxdr.crypto.exchange import agree
from fedxdr.secagg import masking, packing, shamir
from fedxdr.secagg.derivation import MaskKey
from fedxdr.secagg.masking import Words
from fedxdr.secagg.stages import (
    Answer,
    Mail,
    Partition,
    Roster,
    commit_salt,
    commit_self_seed,
)

MAX_TRIALS = 4096
"""Most subsets of answers tried for one secret: under a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revealed:
    """What the survivors revealed, kept for replay by members.

    Attributes:
        self_seeds: b_v of every survivor, 32 bytes each.
        mask_masters: m_v of every drop-out, 32 bytes each.
    """

    self_seeds: Mapping[OrgId, bytes] = field(repr=False)
    mask_masters: Mapping[OrgId, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """The outcome of ``recover``.

    Attributes:
        revealed: every secret, each matching what was published.
        liars: who sent a wrong share of any of them, in order; the round goes on
            without their shares.
    """

    revealed: Revealed
    liars: tuple[OrgId, ...]


def check_answer(
    answer: Answer, partition: Partition, *, holders: Collection[OrgId] | None = None
) -> None:
    """Return if an answer holds the shares it should, and no other.

    Whether they are right shows only in ``recover``.

    Args:
        answer: as it arrived.
        partition: the one that was asked about.
        holders: whose shares the sender holds, its closed neighbourhood; None for all.

    Raises:
        InvalidInput: another set of names.
    """
    wanted = frozenset(partition.participants if holders is None else holders)
    if answer.self_shares.keys() != wanted.intersection(
        partition.survivors
    ) or answer.key_shares.keys() != wanted.intersection(partition.dropouts):
        raise InvalidInput("an answer for another partition than was asked about")


def recover(
    roster: Roster, partition: Partition, answers: Mapping[OrgId, Answer]
) -> Recovery:
    """Return the secrets the answers give, each checked.

    Args:
        roster: what all agreed on.
        partition: the one that was answered for.
        answers: by survivor, in any order.

    Raises:
        UnknownSender: an answer from somebody who is no survivor.
        InvalidInput: an answer for another partition; names the sender.
        TooFewParticipants: fewer survivors than threshold and minimum, or fewer answers
            than the threshold, in all or in the neighbourhood of one participant.
        InvalidShare: a secret that no ``threshold`` of the answers give; names whose.
    """
    _want_opening(roster, partition)
    for sender, answer in answers.items():
        if sender not in partition.survivors:
            raise UnknownSender(f"an answer from {sender}, who is no survivor")
        try:
            check_answer(answer, partition, holders=roster.holders(sender))
        except InvalidInput as error:
            raise InvalidInput(f"{sender}: {error}") from error
    helpers_of = {
        name: [helper for helper in roster.holders(name) if helper in answers]
        for name in partition.participants
    }
    name, fewest = min(helpers_of.items(), key=lambda pair: len(pair[1]))
    if len(fewest) < roster.share_threshold:
        where = "" if roster.is_complete else f" for {name}"
        raise TooFewParticipants(
            f"{len(fewest)} answers{where}, {roster.share_threshold} are needed"
        )
    points, suspects = roster.points, set[OrgId]()

    def secret_of(
        name: OrgId, shares: Mapping[OrgId, bytes], fits: Callable[[bytes], bool]
    ) -> bytes:
        # Who lied about one secret comes last for the next.
        order = sorted(shares, key=lambda helper: (helper in suspects, helper))
        secret, liars = _reconstruct(
            {helper: shares[helper] for helper in order},
            points=points,
            threshold=roster.share_threshold,
            fits=fits,
            owner=name,
        )
        suspects.update(liars)
        return secret

    self_seeds = {
        name: secret_of(
            name,
            {h: answers[h].self_shares[name] for h in helpers_of[name]},
            functools.partial(_is_self_seed, roster, name),
        )
        for name in partition.survivors
    }
    mask_masters = {
        name: secret_of(
            name,
            {h: answers[h].key_shares[name] for h in helpers_of[name]},
            functools.partial(_is_mask_master, roster, name),
        )
        for name in partition.dropouts
    }
    return Recovery(
        revealed=Revealed(self_seeds=self_seeds, mask_masters=mask_masters),
        liars=tuple(sorted(suspects)),
    )


def check(roster: Roster, partition: Partition, revealed: Revealed) -> None:
    """Return if revealed secrets are those of this partition and match the roster.

    Args:
        roster: what all agreed on.
        partition: who survived.
        revealed: as stored or received.

    Raises:
        InvalidInput: secrets of other organisations than the partition's.
        InvalidShare: one that does not match what its owner published; names the owner.
    """
    if (
        tuple(sorted(revealed.self_seeds)) != partition.survivors
        or tuple(sorted(revealed.mask_masters)) != partition.dropouts
    ):
        raise InvalidInput("revealed secrets of another partition")
    for name, seed in revealed.self_seeds.items():
        if not _is_self_seed(roster, name, seed):
            raise InvalidShare(f"the self seed of {name} is not the one committed to")
    for name, master in revealed.mask_masters.items():
        if not _is_mask_master(roster, name, master):
            raise InvalidShare(f"the mask key of {name} is not the one published")


def open_sum(
    masked: Iterable[tuple[OrgId, Words | bytes]],
    *,
    size: int,
    roster: Roster,
    partition: Partition,
    revealed: Revealed,
    mails: Iterable[Mail],
    width: int = packing.MAX_WIDTH,
) -> npt.NDArray[np.int32]:
    """Return the exact signed sum of the survivors' quantised vectors.

    Whoever redoes it with the same inputs gets the same integers, in whatever order the
    vectors come.

    Args:
        masked: each survivor's masked vector, (d,) uint32 or its packed bytes, once, in
            any order; read one at a time.
        size: d.
        roster: what all agreed on.
        partition: who survived.
        revealed: from ``recover``, or from the ledger's audit data.
        mails: the mail of the round; the salts between survivors and drop-outs are
            read from it, the rest is ignored.
        width: bits per word that travelled (``packing.upload_width``).

    Returns:
        (d,) int32.

    Raises:
        InvalidUpdate: a vector of another type, size or packed form; names the sender.
        UnknownSender: a vector from somebody who is no survivor, or twice from one.
        TooFewParticipants: a survivor's vector is missing, or fewer survivors than
            threshold and minimum.
        InvalidInput: secrets of other organisations than the partition's, or mail
            missing.
        InvalidShare: a revealed secret or a salt that does not match.
    """
    _want_opening(roster, partition)
    check(roster, partition, revealed)
    add, subtract = _masks(roster, partition, revealed, mails)
    total = np.zeros(size, dtype=np.uint32)
    missing = set(partition.survivors)
    for name, vector in masked:
        if name not in missing:
            raise UnknownSender(f"a masked vector from {name} is not expected (again)")
        if not isinstance(vector, np.ndarray):
            try:
                packing.add(total, vector, width=width)
            except MalformedMessage as error:
                raise InvalidUpdate(f"masked vector of {name}: {error}") from error
        elif vector.dtype != np.uint32 or vector.shape != (size,):
            raise InvalidUpdate(
                f"masked vector of {name}: got {vector.dtype} of shape "
                f"{vector.shape}, want uint32 ({size},)"
            )
        else:
            np.add(total, vector, out=total)
        missing.remove(name)
    if missing:
        raise TooFewParticipants(
            f"masked vectors are missing: {', '.join(sorted(missing))}"
        )
    masking.apply(total, add=add, subtract=subtract)
    return packing.signed(total, width=width)


def _masks(
    roster: Roster, partition: Partition, revealed: Revealed, mails: Iterable[Mail]
) -> tuple[list[bytes], list[bytes]]:
    """Return the seeds to add and to subtract so that the sum of masks is zero.

    Every survivor added its self mask: subtract it. Pair masks of two survivors cancel.
    Of a survivor s and a drop-out v, only the survivor's half is in: s added the stream
    if s < v, else it subtracted it.
    """
    transcript = roster.transcript
    subtract = [
        masking.self_mask_seed(seed, transcript=transcript)
        for seed in revealed.self_seeds.values()
    ]
    add: list[bytes] = []
    if not partition.dropouts:
        return add, subtract
    mail_of = {(mail.sender, mail.recipient): mail for mail in mails}
    neighbours = roster.neighbours
    for dropout, master in revealed.mask_masters.items():
        key = MaskKey.derive(master)
        near = frozenset(neighbours[dropout])
        for survivor in partition.survivors:
            if survivor not in near:
                continue
            low, high = min(survivor, dropout), max(survivor, dropout)
            mail = mail_of.get((low, high))
            if mail is None:
                raise InvalidInput(f"the mail from {low} to {high} is missing")
            agreed = agree(key.pair, roster.keys[survivor].mask.x25519)
            if dropout == high:
                salt = key.open_salt(agreed, mail, transcript=transcript)
            else:
                salt = key.salt(high, transcript=transcript)
                if mail.salt is None or mail.salt.commitment != commit_salt(salt):
                    raise InvalidShare(
                        f"{low} sent {high} another pair salt than its key gives"
                    )
            seed = masking.pair_mask_seed(
                agreed, salt, low=low, high=high, transcript=transcript
            )
            (subtract if survivor == low else add).append(seed)
    return add, subtract


def _reconstruct(
    shares: Mapping[OrgId, bytes],
    *,
    points: Mapping[OrgId, int],
    threshold: int,
    fits: Callable[[bytes], bool],
    owner: OrgId,
) -> tuple[bytes, list[OrgId]]:
    """Return the secret that fits, and the helpers who are named as liars."""
    found: bytes | None = None
    for helpers in itertools.islice(_subsets(list(shares), threshold), MAX_TRIALS):
        chosen = {points[helper]: shares[helper] for helper in helpers}
        try:
            secret = shamir.combine(chosen)
        except InvalidShare:
            continue  # above 32 bytes: no secret, so not this subset
        if not fits(secret):
            continue
        found = secret
        liars = [
            helper
            for helper, share in shares.items()
            if helper not in helpers
            and shamir.evaluate(chosen, at=points[helper]) != shamir.parse_share(share)
        ]
        if not liars or len(shares) - len(liars) >= threshold - 1 + len(liars):
            return secret, liars
    if found is None:
        raise InvalidShare(
            f"the answers do not give the secret of {owner}: a share is wrong, and "
            f"{len(shares)} answers at threshold {threshold} do not tell whose"
        )
    return found, []


def _subsets(helpers: Sequence[OrgId], size: int) -> Iterable[tuple[OrgId, ...]]:
    """Yield every subset of that size once, leaving out 0, 1, 2, … of the first ones.

    If at most e helpers lie, one of the subsets that leave out e is free of them.
    """
    for left_out in range(len(helpers) - size + 1):
        last = size - 1 + left_out
        for excluded in itertools.combinations(range(last), left_out):
            yield tuple(
                helpers[index] for index in range(last + 1) if index not in excluded
            )


def _is_self_seed(roster: Roster, name: OrgId, seed: bytes) -> bool:
    return (
        len(seed) == shamir.SECRET_BYTES
        and commit_self_seed(seed) == roster.keys[name].self_seed_commitment
    )


def _is_mask_master(roster: Roster, name: OrgId, master: bytes) -> bool:
    return (
        len(master) == shamir.SECRET_BYTES
        and MaskKey.derive(master).pair.public == roster.keys[name].mask
    )


def _want_opening(roster: Roster, partition: Partition) -> None:
    """Refuse a partition of strangers, and one too small to open."""
    if not roster.keys.keys() >= set(partition.participants):
        raise UnknownSender("the partition names somebody outside the roster")
    roster.check_survivors(partition.survivors)
