# SPDX-License-Identifier: Apache-2.0
"""One organisation's part in a masked round.

Pure functions: secrets, roster and mail go in, values come out. An agent that was
killed derives its secrets again and goes on with the same masks. Sealing alone is
random (ML-KEM draws its own coins): mail is stored before it is sent, and what is sent
again is what was stored.

It does NOT sign round keys or the survivor set, and does NOT remember across restarts
that it answered: the caller stores each answer before sending it, and hands the
partition it answered for to ``answer_unmasking`` again.

Rules that always hold:
1. Our own keys in the roster are ours, or nothing is shared (key swap).
2. Pair masks are made with exactly the peers whose mail was opened (U2).
3. Per peer one share is revealed: the self share of a survivor or the key share of a
   drop-out, never both, and for one partition only.
4. No answer for fewer survivors than threshold and minimum, or, in a k-regular graph,
   for survivors in parts or with a neighbourhood below its threshold.

Source: Bonawitz et al. 2017, figure 4; Bell et al. 2020 for neighbours (graph.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

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
from fedxdr.crypto.exchange import agree
from fedxdr.crypto.expand import KeyStream, hkdf
from fedxdr.crypto.sealing import open_between, seal_between
from fedxdr.secagg import masking, shamir
from fedxdr.secagg.derivation import RoundSecrets, box_context
from fedxdr.secagg.masking import Words
from fedxdr.secagg.stages import Answer, Mail, Partition, Roster

_SELF_POLYNOMIAL_LABEL = "fedxdr/secagg/shamir-self/v1"
_KEY_POLYNOMIAL_LABEL = "fedxdr/secagg/shamir-key/v1"
_SHARES_CONTEXT = b"fedxdr/secagg/shares/v1\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldShares:
    """What we hold of one participant's secrets.

    Attributes:
        self_share: share of its b, 33 bytes.
        key_share: share of its m, 33 bytes.
    """

    self_share: bytes = field(repr=False)
    key_share: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Our place in a round whose key list is fixed; made by ``join``.

    Attributes:
        me: our name.
        roster: what all agreed on.
        secrets: ours.
        channels: X25519 secret with each neighbour's channel key.
        pairs: X25519 secret with each neighbour's mask key.
        shares: each neighbour's shares of our secrets, ours included.
    """

    me: OrgId
    roster: Roster
    secrets: RoundSecrets = field(repr=False)
    channels: Mapping[OrgId, bytes] = field(repr=False)
    pairs: Mapping[OrgId, bytes] = field(repr=False)
    shares: Mapping[OrgId, HeldShares] = field(repr=False)


def join(secrets: RoundSecrets, *, roster: Roster, me: OrgId) -> Membership:
    """Return our place in the round: secrets agreed with peers, and our shares.

    Args:
        secrets: ours, from ``derive_secrets``.
        roster: the key list, each entry's signature already verified by the caller.
        me: our name.

    Raises:
        InvalidInput: we are not in the roster, or under keys that are not ours.
        MalformedMessage: a peer's key that cannot be agreed with; the message names it.
    """
    if roster.keys.get(me) != secrets.round_keys:
        raise InvalidInput(f"the roster does not hold the round keys that {me} sent")
    channels: dict[OrgId, bytes] = {}
    pairs: dict[OrgId, bytes] = {}
    for peer in roster.neighbours[me]:
        keys = roster.keys[peer]
        try:
            channels[peer] = agree(secrets.channel, keys.channel.x25519)
            pairs[peer] = agree(secrets.mask.pair, keys.mask.x25519)
        except MalformedMessage as error:
            raise MalformedMessage(f"round keys of {peer}: {error}") from error
    return Membership(
        me=me,
        roster=roster,
        secrets=secrets,
        channels=channels,
        pairs=pairs,
        shares=_own_shares(secrets, roster, me),
    )


def make_mail(membership: Membership) -> tuple[Mail, ...]:
    """Return our mail to every neighbour, in the order of their names.

    Two calls give the same shares and salts under different seals: store the mail
    before sending it, and send the stored one again.

    Raises:
        MalformedMessage: a peer's key that is none; the message names it.
    """
    me, roster, secrets = membership.me, membership.roster, membership.secrets
    mails = []
    for peer in roster.neighbours[me]:
        keys = roster.keys[peer]
        held = membership.shares[peer]
        try:
            sealed = seal_between(
                membership.channels[peer],
                keys.channel,
                held.self_share + held.key_share,
                context=box_context(_SHARES_CONTEXT, me, peer, roster.transcript),
            )
            salt = (
                secrets.mask.seal_salt(
                    membership.pairs[peer],
                    sender=me,
                    recipient=peer,
                    recipient_key=keys.mask,
                    transcript=roster.transcript,
                )
                if me < peer
                else None
            )
        except MalformedMessage as error:
            raise MalformedMessage(f"round keys of {peer}: {error}") from error
        mails.append(Mail(sender=me, recipient=peer, shares=sealed, salt=salt))
    return tuple(mails)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedMail:
    """What we learned from our neighbours' mail.

    Attributes:
        held: what we hold of each participant, ourselves included, in order.
        salts: pair salt with each peer.
    """

    held: Mapping[OrgId, HeldShares] = field(repr=False)
    salts: Mapping[OrgId, bytes] = field(repr=False)

    @property
    def participants(self) -> tuple[OrgId, ...]:
        """Of the set U2 those whose shares we hold, ourselves included, in order.

        On the complete graph that is all of U2, else our neighbourhood's part of it.
        """
        return tuple(self.held)


def open_mail(membership: Membership, mails: Iterable[Mail]) -> OpenedMail:
    """Open what our peers sealed for us.

    Args:
        membership: our place in the round.
        mails: one per neighbour whose shares arrived in time, in any order. Who is
            missing here takes no further part: no mask is made with it.

    Raises:
        UnknownSender: mail from outside the roster or our neighbourhood.
        InvalidInput: mail for somebody else, or twice from one sender.
        InvalidShare: a box that does not open under this round's transcript, shares
            that are none, or a salt that is not the one committed to; names the sender.
        TooFewParticipants: fewer of us than threshold and minimum; in a k-regular graph
            fewer of our neighbourhood than give a secret.
    """
    me, roster, secrets = membership.me, membership.roster, membership.secrets
    held = {me: membership.shares[me]}
    salts: dict[OrgId, bytes] = {}
    for mail in mails:
        sender = mail.sender
        if sender not in membership.channels:
            raise UnknownSender(f"mail from {sender}, who is no peer in this round")
        if mail.recipient != me:
            raise InvalidInput(f"mail from {sender} is not for {me}")
        if sender in held:
            raise InvalidInput(f"mail from {sender} came twice")
        held[sender] = _open_shares(membership, mail)
        salts[sender] = (
            secrets.mask.salt(sender, transcript=roster.transcript)
            if me < sender
            else secrets.mask.open_salt(
                membership.pairs[sender], mail, transcript=roster.transcript
            )
        )
    needed = roster.quorum if roster.is_complete else roster.share_threshold
    if len(held) < needed:
        raise TooFewParticipants(
            f"shares of {len(held)} participants arrived, {needed} are needed"
        )
    return OpenedMail(held={name: held[name] for name in sorted(held)}, salts=salts)


def mask(
    membership: Membership,
    opened: OpenedMail,
    quantised: Words,
    *,
    in_place: bool = False,
) -> Words:
    """Return the masked vector: y_u = x_u + PRG(b_u) + sum of pair masks, mod 2^32.

    Bonawitz et al. 2017, figure 4, round 2, with pair masks over the opened mail.

    Args:
        membership: our place in the round.
        opened: the mail we opened.
        quantised: (d,) uint32 from quantise.py.
        in_place: whether ``quantised`` itself is masked and returned, so that the plain
            vector is gone; else it is not changed.

    Returns:
        (d,) uint32. Masking the same vector again gives the same bytes; masking another
        vector in the same round gives the difference away and must never happen: the
        caller stores the result before sending it.

    Raises:
        InvalidUpdate: another type or shape.
    """
    if quantised.dtype != np.uint32 or quantised.ndim != 1:
        raise InvalidUpdate(
            f"got {quantised.dtype} of shape {quantised.shape}, want uint32 (d,)"
        )
    me, transcript = membership.me, membership.roster.transcript
    own = masking.self_mask_seed(membership.secrets.self_seed, transcript=transcript)
    add, subtract = [own], list[bytes]()
    for peer, salt in opened.salts.items():
        low, high = min(me, peer), max(me, peer)
        seed = masking.pair_mask_seed(
            membership.pairs[peer], salt, low=low, high=high, transcript=transcript
        )
        (add if me == low else subtract).append(seed)
    masked = quantised if in_place else np.array(quantised, copy=True, order="C")
    masking.apply(masked, add=add, subtract=subtract)
    return masked


def answer_unmasking(
    membership: Membership,
    opened: OpenedMail,
    partition: Partition,
    *,
    answered: Partition | None = None,
) -> Answer:
    """Return one share per participant of our neighbourhood, ourselves included.

    Of survivors the self share, of drop-outs the key share.

    Args:
        membership: our place in the round.
        opened: the mail we opened; of our neighbourhood the partition must cover
            exactly its participants.
        partition: survivors and drop-outs, signed by a quorum of survivors, which the
            caller has verified.
        answered: the partition we answered before in this round, None if none. The
            caller stores it before it sends the answer.

    Raises:
        AlreadyAnswered: we answered for another partition in this round.
        InvalidInput: the partition is not one of our participants, or counts us among
            the drop-outs.
        TooFewParticipants: fewer survivors than threshold and minimum, in all or in the
            neighbourhood of one of them, or a survivors' graph in parts.
    """
    if answered is not None and answered != partition:
        raise AlreadyAnswered("shares were revealed for another partition already")
    roster, holders = membership.roster, frozenset(opened.held)
    participants = partition.participants
    near = frozenset(roster.holders(membership.me))
    # As tuples: a name that stands on both sides is in it twice.
    if tuple(
        name for name in participants if name in near
    ) != opened.participants or not roster.keys.keys() >= set(participants):
        raise InvalidInput("the partition is not one of those whose shares arrived")
    if membership.me not in partition.survivors:
        raise InvalidInput(f"{membership.me} is no survivor and has nothing to answer")
    roster.check_survivors(partition.survivors)
    return Answer(
        self_shares={
            v: opened.held[v].self_share for v in partition.survivors if v in holders
        },
        key_shares={
            v: opened.held[v].key_share for v in partition.dropouts if v in holders
        },
    )


def _own_shares(
    secrets: RoundSecrets, roster: Roster, me: OrgId
) -> dict[OrgId, HeldShares]:
    """Return each neighbour's shares of our secrets, ours included.

    The coefficient streams are bound to transcript and threshold: two rosters in one
    round (an orchestrator that starts again with other keys) never meet on one
    polynomial of two degrees, which would give coefficients away.
    """
    context = roster.transcript + roster.share_threshold.to_bytes(4)
    everyone = roster.points
    points = {name: everyone[name] for name in roster.holders(me)}
    halves = []
    for secret, label in (
        (secrets.self_seed, _SELF_POLYNOMIAL_LABEL),
        (secrets.mask.master, _KEY_POLYNOMIAL_LABEL),
    ):
        seed = hkdf(secrets.coefficients, label=label, context=context)
        halves.append(
            shamir.split(
                secret,
                threshold=roster.share_threshold,
                points=tuple(points.values()),
                coefficients=KeyStream(seed, label=label),
            )
        )
    return {
        name: HeldShares(self_share=self_share, key_share=key_share)
        for name, self_share, key_share in zip(points, *halves, strict=True)
    }


def _open_shares(membership: Membership, mail: Mail) -> HeldShares:
    try:
        plaintext = open_between(
            membership.channels[mail.sender],
            membership.secrets.channel,
            mail.shares,
            context=box_context(
                _SHARES_CONTEXT,
                mail.sender,
                mail.recipient,
                membership.roster.transcript,
            ),
        )
        self_share = plaintext[: shamir.SHARE_BYTES]
        key_share = plaintext[shamir.SHARE_BYTES :]
        shamir.parse_share(self_share)
        shamir.parse_share(key_share)
    except InvalidShare as error:
        raise InvalidShare(f"the shares from {mail.sender}: {error}") from error
    return HeldShares(self_share=self_share, key_share=key_share)
