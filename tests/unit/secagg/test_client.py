# SPDX-License-Identifier: Apache-2.0
"""secagg/client.py: one test per rule of an organisation that trusts nobody."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from fedxdr.core.errors import (
    AlreadyAnswered,
    InvalidInput,
    InvalidShare,
    InvalidUpdate,
    MalformedMessage,
    TooFewParticipants,
    UnknownSender,
)
from fedxdr.core.ids import OrgId
from fedxdr.crypto.exchange import HybridPublicKey, agree
from fedxdr.crypto.sealing import open_between, seal_between
from fedxdr.secagg import client, shamir
from fedxdr.secagg.derivation import MaskKey, box_context, derive_secrets
from fedxdr.secagg.stages import Mail, Partition


def for_recipient(mails: list[Mail], name: OrgId) -> list[Mail]:
    return [mail for mail in mails if mail.recipient == name]


def test_key_swap_is_noticed(five) -> None:
    me, other = five.names[0], five.names[1]
    swapped = dataclasses.replace(
        five.roster, keys={**five.roster.keys, me: five.roster.keys[other]}
    )
    with pytest.raises(InvalidInput, match="does not hold the round keys"):
        client.join(five.secrets[me], roster=swapped, me=me)


def test_a_stranger_does_not_join(five) -> None:
    with pytest.raises(InvalidInput):
        client.join(derive_secrets(bytes(32)), roster=five.roster, me=OrgId("x"))


@pytest.mark.parametrize("half", ["channel", "mask"])
def test_a_peers_key_of_small_order_is_named(five, half: str) -> None:
    me, peer = five.names[0], five.names[1]
    keys = five.roster.keys[peer]
    bad = HybridPublicKey(x25519=bytes(32), mlkem=getattr(keys, half).mlkem)
    roster = dataclasses.replace(
        five.roster,
        keys={**five.roster.keys, peer: dataclasses.replace(keys, **{half: bad})},
    )
    with pytest.raises(MalformedMessage, match=f"round keys of {peer}"):
        client.join(five.secrets[me], roster=roster, me=me)


@pytest.mark.parametrize("half", ["channel", "mask"])
def test_a_peers_lattice_key_that_is_none_is_named(five, half: str) -> None:
    me, peer = five.names[0], five.names[1]
    keys = five.roster.keys[peer]
    bad = HybridPublicKey(x25519=getattr(keys, half).x25519, mlkem=b"\xff" * 1184)
    roster = dataclasses.replace(
        five.roster,
        keys={**five.roster.keys, peer: dataclasses.replace(keys, **{half: bad})},
    )
    member = client.join(five.secrets[me], roster=roster, me=me)
    with pytest.raises(MalformedMessage, match=f"round keys of {peer}"):
        client.make_mail(member)


def test_mail_is_one_per_peer_and_shares_are_those_of_the_secrets(five) -> None:
    me = five.names[1]
    mails = [mail for mail in five.mails if mail.sender == me]
    assert [mail.recipient for mail in mails] == [n for n in five.names if n != me]
    points = five.roster.points
    for which, secret in (
        ("self_share", five.secrets[me].self_seed),
        ("key_share", five.secrets[me].mask.master),
    ):
        shares = {
            points[name]: getattr(opened.held[me], which)
            for name, opened in five.opened.items()
        }
        for subset in itertools.combinations(shares, five.roster.threshold):
            assert shamir.combine({p: shares[p] for p in subset}) == secret


def test_an_agent_that_was_killed_makes_the_same_shares_and_salts(five) -> None:
    # Sealed anew, the boxes differ; what is in them does not.
    me, peer = five.names[0], five.names[2]
    again = client.make_mail(five.members[me])
    mail = next(mail for mail in again if mail.recipient == peer)
    first = next(m for m in five.mails if (m.sender, m.recipient) == (me, peer))
    assert mail.shares != first.shares
    assert mail.salt.commitment == first.salt.commitment
    others = [m for m in for_recipient(five.mails, peer) if m.sender != me]
    opened = client.open_mail(five.members[peer], [*others, mail])
    assert opened == five.opened[peer]


def test_shares_under_another_transcript_or_threshold_are_of_another_polynomial(
    five,
) -> None:
    me = five.names[0]
    base = five.opened[me].held[me]
    for change in ({"transcript": b"x" * 32}, {"threshold": 3}):
        roster = dataclasses.replace(five.roster, **change)
        member = client.join(five.secrets[me], roster=roster, me=me)
        own = member.shares[me]
        assert own.self_share != base.self_share
        assert own.key_share != base.key_share


def test_mail_of_another_round_sender_or_recipient_does_not_open(five) -> None:
    a, b, c = five.names[:3]
    mail = next(m for m in five.mails if (m.sender, m.recipient) == (c, b))
    rest = [m for m in for_recipient(five.mails, b) if m.sender != c]
    other_round = client.join(
        five.secrets[b],
        roster=dataclasses.replace(five.roster, transcript=b"x" * 32),
        me=b,
    )
    with pytest.raises(InvalidShare, match=f"shares from {c}"):
        client.open_mail(other_round, [mail])
    # The orchestrator relabels what c sealed for b as coming from another peer.
    relabelled = dataclasses.replace(mail, sender=five.names[3], recipient=b, salt=None)
    with pytest.raises(InvalidShare, match=five.names[3]):
        client.open_mail(five.members[b], [relabelled])
    # And hands b's mail to a.
    redirected = dataclasses.replace(mail, recipient=a)
    with pytest.raises(InvalidShare):
        client.open_mail(five.members[a], [redirected])
    assert client.open_mail(five.members[b], [*rest, mail]) == five.opened[b]


@pytest.mark.parametrize("where", [0, 600, -1])
def test_tampered_mail_names_its_sender(five, where: int) -> None:
    me = five.names[1]
    mail, *rest = for_recipient(five.mails, me)
    for field in ("shares", "salt"):
        box = bytearray(mail.shares if field == "shares" else mail.salt.box)
        box[where] ^= 1
        changed = (
            dataclasses.replace(mail, shares=bytes(box))
            if field == "shares"
            else dataclasses.replace(
                mail, salt=dataclasses.replace(mail.salt, box=bytes(box))
            )
        )
        with pytest.raises(InvalidShare, match=f"from {mail.sender}"):
            client.open_mail(five.members[me], [changed, *rest])


def test_shares_that_are_no_field_elements_name_their_sender(five) -> None:
    me, sender = five.names[0], five.names[1]
    peer = five.members[sender]
    box = seal_between(
        peer.channels[me],
        five.roster.keys[me].channel,
        b"\xff" * 66,
        context=box_context(
            b"fedxdr/secagg/shares/v1\x00", sender, me, five.roster.transcript
        ),
    )
    bad = Mail(sender=sender, recipient=me, shares=box, salt=None)
    with pytest.raises(InvalidShare, match=f"shares from {sender}.*field"):
        client.open_mail(five.members[me], [bad])


def test_mail_from_strangers_for_others_twice_or_from_oneself_is_refused(five) -> None:
    a, b = five.names[:2]
    mail = next(m for m in five.mails if (m.sender, m.recipient) == (b, a))
    member = five.members[a]
    stranger = dataclasses.replace(mail, sender=OrgId("x"))
    with pytest.raises(UnknownSender):
        client.open_mail(member, [stranger])
    with pytest.raises(UnknownSender):
        client.open_mail(five.members[b], [mail])
    elsewhere = next(m for m in five.mails if m.recipient == five.names[2])
    with pytest.raises(InvalidInput, match="is not for"):
        client.open_mail(
            member, [dataclasses.replace(elsewhere, sender=b, salt=elsewhere.salt)]
        )
    with pytest.raises(InvalidInput, match="twice"):
        client.open_mail(member, [mail, mail])


def test_too_little_mail_ends_the_round(five) -> None:
    me = five.names[0]
    mails = for_recipient(five.mails, me)
    client.open_mail(five.members[me], mails[:3])  # 4 of us: the threshold
    with pytest.raises(TooFewParticipants):
        client.open_mail(five.members[me], mails[:2])


def test_recovering_a_mask_key_opens_no_mail(five) -> None:
    # What the orchestrator learns about a drop-out v is m_v. With the mail it relayed
    # and m_v it tries every X25519 agreement and both KEM keys it can make from m_v.
    v = five.names[4]
    recovered = MaskKey.derive(five.secrets[v].mask.master)
    for mail in for_recipient(five.mails, v):
        keys = five.roster.keys[mail.sender]
        context = box_context(
            b"fedxdr/secagg/shares/v1\x00", mail.sender, v, five.roster.transcript
        )
        for public in (keys.channel, keys.mask):
            agreed = agree(recovered.pair, public.x25519)
            with pytest.raises(InvalidShare):
                open_between(agreed, recovered.pair, mail.shares, context=context)
    # The same attempt with v's channel key opens it: the attempt is a fair one.
    mail = for_recipient(five.mails, v)[0]
    agreed = agree(
        five.secrets[v].channel, five.roster.keys[mail.sender].channel.x25519
    )
    context = box_context(
        b"fedxdr/secagg/shares/v1\x00", mail.sender, v, five.roster.transcript
    )
    opened = open_between(agreed, five.secrets[v].channel, mail.shares, context=context)
    assert opened[:33] == five.opened[v].held[mail.sender].self_share


def test_masks_cancel_in_the_sum_up_to_self_masks(play_round) -> None:
    played = play_round(4, size=50)
    total = sum(played.masked[name].astype(object) for name in played.names)
    plain = sum(played.plain[name].astype(object) for name in played.names)
    for name in played.names:
        # Every single masked vector is far from the plain one.
        assert (played.masked[name] != played.plain[name]).all()
    assert ((total - plain) % 2**32 != 0).any()  # the self masks are still in


def test_masking_again_gives_the_same_bytes_and_leaves_the_input(five) -> None:
    me = five.names[0]
    before = five.plain[me].copy()
    again = client.mask(five.members[me], five.opened[me], five.plain[me])
    assert np.array_equal(again, five.masked[me])
    assert np.array_equal(five.plain[me], before)


def test_masking_in_place_gives_the_same_and_the_plain_vector_is_gone(five) -> None:
    me = five.names[0]
    vector = five.plain[me].copy()
    masked = client.mask(five.members[me], five.opened[me], vector, in_place=True)
    assert masked is vector
    assert np.array_equal(masked, five.masked[me])


def test_no_mask_is_made_with_a_peer_whose_shares_did_not_arrive(play_round) -> None:
    # Both rounds have the same roster; in one, the last organisation sent no shares.
    full = play_round(4)
    partial = play_round(4, silent_at_shares=[3])
    assert full.roster == partial.roster
    me, gone = full.names[0], full.names[3]
    assert gone not in partial.opened[me].salts
    assert not np.array_equal(full.masked[me], partial.masked[me])


def test_another_model_means_another_mask(play_round) -> None:
    # Model inconsistency: the parent's digest is in the transcript.
    one, other = play_round(3), play_round(3, transcript=b"x" * 32)
    name = one.names[0]
    assert np.array_equal(one.plain[name], other.plain[name])
    assert (one.masked[name] != other.masked[name]).any()


@pytest.mark.parametrize(
    "vector", [np.zeros(3, dtype=np.int32), np.zeros((2, 2), dtype=np.uint32)]
)
def test_other_vectors_are_not_masked(five, vector: np.ndarray) -> None:
    me = five.names[0]
    with pytest.raises(InvalidUpdate):
        client.mask(five.members[me], five.opened[me], vector)


def answer(five, index: int, partition: Partition, **more: object):
    me = five.names[index]
    return client.answer_unmasking(five.members[me], five.opened[me], partition, **more)


def test_an_answer_is_one_share_per_peer(five) -> None:
    got = answer(five, 0, five.partition)
    held = five.opened[five.names[0]].held
    assert got.self_shares == {v: held[v].self_share for v in five.names[:4]}
    assert got.key_shares == {five.names[4]: held[five.names[4]].key_share}


def test_a_partition_of_others_than_those_who_shared_is_refused(five) -> None:
    names = tuple(five.names)
    for partition in (
        Partition(survivors=names[:4]),  # one forgotten: n-1 differencing
        Partition(survivors=names[:4], dropouts=(names[4], OrgId("x"))),
    ):
        with pytest.raises(InvalidInput, match="whose shares arrived"):
            answer(five, 0, partition)


def test_a_dropout_does_not_answer(five) -> None:
    with pytest.raises(InvalidInput, match="no survivor"):
        answer(five, 4, five.partition)


def test_too_few_survivors_are_not_opened(five, play_round) -> None:
    names = tuple(five.names)
    with pytest.raises(TooFewParticipants, match="3 survivors, 4 are needed"):
        answer(five, 0, Partition(survivors=names[:3], dropouts=names[3:]))
    strict = play_round(5, threshold=3, min_survivors=4)
    with pytest.raises(TooFewParticipants):
        answer(strict, 0, Partition(survivors=names[:3], dropouts=names[3:]))


def test_a_second_answer_for_another_partition_is_refused(five) -> None:
    # Otherwise an orchestrator asks once for b_v and once for m_v.
    everyone = Partition(survivors=tuple(five.names))
    first = answer(five, 0, five.partition)
    assert answer(five, 0, five.partition, answered=five.partition) == first
    with pytest.raises(AlreadyAnswered):
        answer(five, 0, everyone, answered=five.partition)


def test_representations_show_no_secret(five) -> None:
    name = five.names[0]
    shown = repr(five.opened[name]) + repr(five.opened[name].held[name])
    member = repr(five.members[name])
    assert shown == "OpenedMail()HeldShares()"
    for secret in (
        five.secrets[name].self_seed,
        five.secrets[name].mask.master,
        *five.members[name].channels.values(),
        *five.members[name].pairs.values(),
    ):
        assert repr(secret)[2:-1] not in member
