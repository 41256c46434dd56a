# SPDX-License-Identifier: Apache-2.0
"""What participants of a masked round send each other, and what they agree on.

Plain values of bytes and names that core/canonical.py can encode, each refusing a wrong
length. In the order of the round: ``RoundKeys`` (signed, to all), ``Roster`` (what the
transcript binds), ``Mail`` (sealed shares, one per peer), ``Partition`` (who survived;
signed by the survivors), ``Answer`` (shares, one per peer).

It does NOT sign, store or send; federation does.

Rules that always hold: participants are ordered by name; in a partition nobody is both
survivor and drop-out; an answer holds one share per peer and never two.

Source: Bonawitz et al. 2017, figure 4, rounds 0 to 4.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from fedxdr.core.errors import (
    InvalidInput,
    InvalidPlan,
    MalformedMessage,
    TooFewParticipants,
)
from fedxdr.core.ids import OrgId
from fedxdr.crypto.exchange import HybridPublicKey
from fedxdr.crypto.expand import hkdf
from fedxdr.crypto.sealing import BETWEEN_OVERHEAD_BYTES
from fedxdr.secagg import graph
from fedxdr.secagg.masking import TRANSCRIPT_BYTES
from fedxdr.secagg.shamir import SECRET_BYTES, SHARE_BYTES, parse_share

COMMITMENT_BYTES = 32
SHARES_BOX_BYTES = 2 * SHARE_BYTES + BETWEEN_OVERHEAD_BYTES
SALT_BOX_BYTES = SECRET_BYTES + BETWEEN_OVERHEAD_BYTES

_SELF_COMMITMENT_LABEL = "fedxdr/secagg/self-seed-commitment/v1"
_SALT_COMMITMENT_LABEL = "fedxdr/secagg/pair-salt-commitment/v1"


def commit_self_seed(self_seed: bytes) -> bytes:
    """Return the 32-byte commitment to a self-mask seed b_u (32 bytes, uniform)."""
    return hkdf(self_seed, label=_SELF_COMMITMENT_LABEL)


def commit_salt(salt: bytes) -> bytes:
    """Return the 32-byte commitment to a pair salt r_uv (32 bytes, uniform)."""
    return hkdf(salt, label=_SALT_COMMITMENT_LABEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundKeys:
    """What an organisation publishes for one round, under its identity's signature.

    The two key pairs are separate on purpose. Peers seal their Shamir shares under the
    **channel** key; the **mask** key comes from m_u, which the survivors reveal when u
    drops out. Were they one, recovering m_u would open the mail that was sealed to u.

    Attributes:
        channel: under which shares for this organisation are sealed.
        mask: from which its pair masks are agreed.
        self_seed_commitment: 32 bytes, commitment to b_u.
    """

    channel: HybridPublicKey
    mask: HybridPublicKey
    self_seed_commitment: bytes

    def __post_init__(self) -> None:
        _want_length("commitment", self.self_seed_commitment, COMMITMENT_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """What every participant must agree on before it shares a secret.

    Attributes:
        keys: the round keys of every participant, in the order of their names.
        transcript: 32-byte digest over plan, round, parent model and the signed key
            list, made by the caller; it goes into every seal and every mask.
        threshold: t, how many survivors a sum needs, and how many shares give a secret
            on the complete graph; n/2 < t <= n of the n in ``keys``.
        min_survivors: fewest contributions whose sum may be opened, in [2, n].
        degree: neighbours of each organisation (``graph.degree_for``), even; None for
            the complete graph, which is also what 32 organisations and fewer get.
    """

    keys: Mapping[OrgId, RoundKeys]
    transcript: bytes
    threshold: int
    min_survivors: int
    degree: int | None = None

    def __post_init__(self) -> None:
        _want_length("transcript", self.transcript, TRANSCRIPT_BYTES)
        n = len(self.keys)
        if list(self.keys) != sorted(self.keys):
            raise MalformedMessage("a roster is in the order of its names")
        if not n < 2 * self.threshold <= 2 * n:
            raise TooFewParticipants(
                f"threshold {self.threshold} with {n} participants: it must be more "
                "than half of them and at most all"
            )
        if not 2 <= self.min_survivors <= n:
            raise TooFewParticipants(
                f"a sum of at least {self.min_survivors} cannot be had from {n}, and "
                "a sum of one is that one's update"
            )
        if self.degree is not None and (self.degree < 2 or self.degree % 2):
            raise InvalidPlan(f"degree {self.degree}: even, and at least 2")

    @property
    def is_complete(self) -> bool:
        """Whether everyone is everyone's neighbour."""
        n = len(self.keys)
        return self.degree is None or n <= max(graph.COMPLETE_UP_TO, self.degree + 1)

    @property
    def neighbours(self) -> graph.Graph:
        """The neighbours of each participant; the coin is in the transcript."""
        n = len(self.keys)
        degree = n - 1 if self.degree is None or self.is_complete else self.degree
        coin = graph.coin_of(self.transcript)
        return graph.neighbours(tuple(self.keys), coin, degree=degree)

    @property
    def share_threshold(self) -> int:
        """How many of the holders of a secret give it."""
        if self.degree is None or self.is_complete:
            return self.threshold
        return graph.share_threshold(self.degree)

    def holders(self, name: OrgId) -> tuple[OrgId, ...]:
        """Return who holds shares of a participant's secrets: it and its neighbours."""
        return tuple(sorted((name, *self.neighbours[name])))

    def check_survivors(self, survivors: Collection[OrgId]) -> None:
        """Return if the sum of these may be opened.

        Raises:
            TooFewParticipants: fewer than threshold and minimum, or than the share
                threshold in a survivor's neighbourhood, or a graph in parts.
        """
        if len(survivors) < self.quorum:
            raise TooFewParticipants(
                f"{len(survivors)} survivors, {self.quorum} are needed to open their "
                "sum"
            )
        if not self.is_complete:
            graph.check_survivors(
                self.neighbours, survivors, threshold=self.share_threshold
            )

    @property
    def points(self) -> dict[OrgId, int]:
        """The Shamir evaluation point of each participant: 1 to n, in order."""
        return {name: point for point, name in enumerate(self.keys, start=1)}

    @property
    def quorum(self) -> int:
        """Fewest survivors with whom a sum is opened."""
        return max(self.threshold, self.min_survivors)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSalt:
    """The pair salt r_uv on its way from u to v.

    Attributes:
        commitment: 32 bytes; the recipient and, after a drop-out, everyone who redoes
            the sum hold the salt against it.
        box: 1,136 bytes, sealed under the recipient's mask key.
    """

    commitment: bytes
    box: bytes

    def __post_init__(self) -> None:
        _want_length("commitment", self.commitment, COMMITMENT_BYTES)
        _want_length("sealed salt", self.box, SALT_BOX_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What one participant seals for one peer.

    Attributes:
        sender: u.
        recipient: v.
        shares: 1,170 bytes: u's self share and key share, under v's channel key.
        salt: r_uv where u's name sorts before v's, else None: one direction per pair.
    """

    sender: OrgId
    recipient: OrgId
    shares: bytes
    salt: SealedSalt | None

    def __post_init__(self) -> None:
        _want_length("sealed shares", self.shares, SHARES_BOX_BYTES)
        if self.sender == self.recipient:
            raise MalformedMessage("nobody writes to itself")
        if (self.salt is not None) != (self.sender < self.recipient):
            raise MalformedMessage(
                f"mail from {self.sender} to {self.recipient}: a pair salt goes from "
                "the name that sorts first to the other, and only so"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """Who contributed, among those whose shares arrived (the set U2 of the paper).

    Attributes:
        survivors: those whose masked vector is in the sum, in order.
        dropouts: those who sent shares and no vector in time, in order.
    """

    survivors: tuple[OrgId, ...]
    dropouts: tuple[OrgId, ...] = ()

    def __post_init__(self) -> None:
        for names in (self.survivors, self.dropouts):
            if list(names) != sorted(set(names)):
                raise MalformedMessage("a partition lists each name once, in order")
        both = set(self.survivors) & set(self.dropouts)
        if both:
            # Both shares of one peer would open that peer's update.
            raise InvalidInput(
                f"{', '.join(sorted(both))} cannot be survivor and drop-out"
            )

    @classmethod
    def of(
        cls, survivors: Iterable[OrgId], *, participants: Iterable[OrgId]
    ) -> Partition:
        """Return the partition of ``participants`` into survivors and the rest."""
        alive = set(survivors)
        everyone = set(participants)
        if not alive <= everyone:
            raise InvalidInput("a survivor who never sent shares")
        return cls(
            survivors=tuple(sorted(alive)), dropouts=tuple(sorted(everyone - alive))
        )

    @property
    def participants(self) -> tuple[OrgId, ...]:
        """Survivors and drop-outs, in order."""
        return tuple(sorted((*self.survivors, *self.dropouts)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One survivor's shares: for each neighbour, and itself, exactly one.

    Attributes:
        self_shares: share of b_v for every survivor v, 33 bytes each.
        key_shares: share of m_v for every drop-out v, 33 bytes each.
    """

    self_shares: Mapping[OrgId, bytes] = field(repr=False)
    key_shares: Mapping[OrgId, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        if self.self_shares.keys() & self.key_shares.keys():
            raise InvalidInput("an answer holds both shares of one peer")
        for share in (*self.self_shares.values(), *self.key_shares.values()):
            parse_share(share)


def _want_length(what: str, data: bytes, want: int) -> None:
    if len(data) != want:
        raise MalformedMessage(f"{what}: got {len(data)} bytes, want {want}")
