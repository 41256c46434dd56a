# SPDX-License-Identifier: Apache-2.0
"""secagg/stages.py: values that cannot be built wrong, and their canonical form."""

from __future__ import annotations

import pytest

from fedxdr.core.canonical import decode, encode
from fedxdr.core.errors import (
    InvalidInput,
    InvalidShare,
    MalformedMessage,
    TooFewParticipants,
)
from fedxdr.core.ids import OrgId
from fedxdr.secagg.derivation import derive_secrets
from fedxdr.secagg.shamir import PRIME
from fedxdr.secagg.stages import (
    SALT_BOX_BYTES,
    SHARES_BOX_BYTES,
    Answer,
    Mail,
    Partition,
    Roster,
    RoundKeys,
    SealedSalt,
    commit_salt,
    commit_self_seed,
)

A, B, C, D = (OrgId(name) for name in "abcd")
KEYS = derive_secrets(bytes(32)).round_keys
SHARE = (7).to_bytes(33)


def roster(
    names: list[OrgId], threshold: int, *, min_survivors: int = 2, transcript=bytes(32)
) -> Roster:
    return Roster(
        keys=dict.fromkeys(names, KEYS),
        transcript=transcript,
        threshold=threshold,
        min_survivors=min_survivors,
    )


def test_a_roster_gives_points_in_order_and_its_quorum() -> None:
    four = roster([A, B, C, D], 3)
    assert four.points == {A: 1, B: 2, C: 3, D: 4}
    assert four.quorum == 3
    assert roster([A, B, C, D], 3, min_survivors=4).quorum == 4


@pytest.mark.parametrize(("n", "threshold"), [(4, 2), (4, 5), (3, 1), (2, 1), (1, 0)])
def test_a_threshold_of_half_or_less_or_above_all_is_refused(
    n: int, threshold: int
) -> None:
    # At half, two disjoint halves could be asked for opposite partitions.
    with pytest.raises(TooFewParticipants):
        roster([A, B, C, D][:n], threshold)


@pytest.mark.parametrize("min_survivors", [0, 1, 4])
def test_a_sum_of_one_or_of_more_than_all_is_refused(min_survivors: int) -> None:
    with pytest.raises(TooFewParticipants):
        roster([A, B, C], 2, min_survivors=min_survivors)


def test_a_roster_in_another_order_or_without_transcript_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        roster([B, A, C], 2)
    with pytest.raises(MalformedMessage):
        roster([A, B, C], 2, transcript=bytes(31))


def mail(sender: OrgId, recipient: OrgId, *, salt: bool) -> Mail:
    sealed = SealedSalt(commitment=bytes(32), box=bytes(SALT_BOX_BYTES))
    return Mail(
        sender=sender,
        recipient=recipient,
        shares=bytes(SHARES_BOX_BYTES),
        salt=sealed if salt else None,
    )


def test_a_salt_goes_one_way_per_pair() -> None:
    mail(A, B, salt=True)
    mail(B, A, salt=False)
    with pytest.raises(MalformedMessage):
        mail(A, B, salt=False)
    with pytest.raises(MalformedMessage):
        mail(B, A, salt=True)
    with pytest.raises(MalformedMessage):
        mail(A, A, salt=False)


def test_lengths_are_exact() -> None:
    with pytest.raises(MalformedMessage):
        SealedSalt(commitment=bytes(31), box=bytes(SALT_BOX_BYTES))
    with pytest.raises(MalformedMessage):
        SealedSalt(commitment=bytes(32), box=bytes(SALT_BOX_BYTES + 1))
    with pytest.raises(MalformedMessage):
        Mail(sender=B, recipient=A, shares=bytes(SHARES_BOX_BYTES - 1), salt=None)
    with pytest.raises(MalformedMessage):
        RoundKeys(channel=KEYS.channel, mask=KEYS.mask, self_seed_commitment=bytes(33))


def test_nobody_is_survivor_and_dropout() -> None:
    with pytest.raises(InvalidInput, match="b cannot be survivor and drop-out"):
        Partition(survivors=(A, B), dropouts=(B, C))


@pytest.mark.parametrize("survivors", [(B, A), (A, A)])
def test_a_partition_lists_each_once_in_order(survivors: tuple[OrgId, ...]) -> None:
    with pytest.raises(MalformedMessage):
        Partition(survivors=survivors)
    with pytest.raises(MalformedMessage):
        Partition(survivors=(), dropouts=survivors)


def test_a_partition_of_participants() -> None:
    partition = Partition.of([C, A], participants=[A, B, C])
    assert partition == Partition(survivors=(A, C), dropouts=(B,))
    assert partition.participants == (A, B, C)
    with pytest.raises(InvalidInput):
        Partition.of([D], participants=[A, B, C])


def test_an_answer_never_holds_both_shares_of_one_peer() -> None:
    Answer(self_shares={A: SHARE}, key_shares={B: SHARE})
    with pytest.raises(InvalidInput):
        Answer(self_shares={A: SHARE}, key_shares={A: SHARE})


@pytest.mark.parametrize("share", [bytes(32), PRIME.to_bytes(33)])
def test_an_answer_of_no_shares_is_refused(share: bytes) -> None:
    with pytest.raises(InvalidShare):
        Answer(self_shares={A: share}, key_shares={})
    with pytest.raises(InvalidShare):
        Answer(self_shares={}, key_shares={A: share})


def test_answers_do_not_show_shares() -> None:
    shown = repr(Answer(self_shares={A: SHARE}, key_shares={}))
    assert "x07" not in shown


@pytest.mark.parametrize(
    "value",
    [
        KEYS,
        mail(A, B, salt=True),
        mail(B, A, salt=False),
        Partition(survivors=(A, C), dropouts=(B,)),
        Answer(self_shares={A: SHARE}, key_shares={B: SHARE}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_message_has_a_canonical_form(value: object) -> None:
    assert decode(encode(value), type(value)) == value


def test_commitments_of_two_kinds_differ() -> None:
    assert commit_self_seed(bytes(32)) != commit_salt(bytes(32))
    assert commit_self_seed(bytes(32)) != commit_self_seed(b"\x01" * 32)
