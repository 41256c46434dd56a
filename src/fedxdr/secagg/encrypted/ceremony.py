# SPDX-License-Identifier: Apache-2.0
"""The key ceremony: what organisations bring, what the dealer makes and hands out.

Each organisation brings the public half of a hybrid key pair made for the ceremony
(``CeremonyKey``). The dealer, one organisation's offline machine, makes the primes,
deals, seals each share to its holder and hands out a ``Ceremony`` (public, for the
ledger) and the sealed boxes. Every holder opens its own box (``open_box``) and compares
the fingerprint of the record with everybody else's.

It does NOT make the dealer unnecessary: whoever saw the primes decrypts everything for
as long as the key is used, so the dealer must be trusted to forget them.

Rules that always hold: a box is in the record by digest and the key it was sealed to by
fingerprint, so that whoever exchanges either is noticed; holders are in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fedxdr.core import canonical
from fedxdr.core.errors import InvalidShare, MalformedMessage
from fedxdr.core.ids import Digest, OrgId, org_id, sha256
from fedxdr.core.randomness import Entropy
from fedxdr.crypto.exchange import HybridPrivateKey, HybridPublicKey, check_public
from fedxdr.secagg.encrypted.dealing import (
    SecretShare,
    ThresholdKey,
    deal,
    open_share,
    seal_share,
)
from fedxdr.secagg.encrypted.paillier import PrivateKey

_KEY_LABEL = "fedxdr/paillier/ceremony-key/v1"
_CEREMONY_LABEL = "fedxdr/paillier/ceremony/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class CeremonyKey:
    """An organisation's public key for one ceremony.

    Attributes:
        holder: whose it is.
        key: under which its share will be sealed.
    """

    holder: OrgId
    key: HybridPublicKey

    def __post_init__(self) -> None:
        org_id(self.holder)
        check_public(self.key)

    @property
    def fingerprint(self) -> Digest:
        """SHA-256 over label and canonical form: what people compare."""
        return canonical.fingerprint(_KEY_LABEL, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceremony:
    """The public record of a ceremony.

    Attributes:
        key: what contributors encrypt under and holders share.
        recipients: fingerprint of the ceremony key of each holder, in their order.
        boxes: SHA-256 of each holder's sealed share, in their order.
    """

    key: ThresholdKey
    recipients: tuple[Digest, ...]
    boxes: tuple[Digest, ...]

    def __post_init__(self) -> None:
        n = len(self.key.holders)
        if len(self.recipients) != n or len(self.boxes) != n:
            raise MalformedMessage(
                f"{n} holders: got {len(self.recipients)} recipients and "
                f"{len(self.boxes)} boxes"
            )

    @property
    def fingerprint(self) -> Digest:
        """SHA-256 over label and canonical form: what people compare."""
        return canonical.fingerprint(_CEREMONY_LABEL, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a dealer hands out.

    Attributes:
        record: for everybody.
        boxes: one per holder, for that holder; opens under its ceremony key alone.
    """

    record: Ceremony
    boxes: Mapping[OrgId, bytes]


def hold(
    private: PrivateKey,
    keys: Iterable[CeremonyKey],
    *,
    threshold: int,
    entropy: Entropy,
    degree: int = 1,
) -> Held:
    """Deal a key to those who brought one, and seal each share.

    Args:
        private: two safe primes; the caller forgets them afterwards.
        keys: one per organisation, in any order.
        threshold: t, above two thirds of them.
        entropy: where the shares come from.
        degree: Damgard-Jurik's s.

    Raises:
        MalformedMessage: an organisation twice.
        InvalidPlan: too few or too many, or a threshold out of range.
    """
    brought = sorted(keys, key=lambda key: key.holder)
    dealt = deal(
        private,
        holders=tuple(key.holder for key in brought),
        threshold=threshold,
        entropy=entropy,
        degree=degree,
    )
    boxes = {
        key.holder: seal_share(dealt.key, dealt.shares[key.holder], key.key)
        for key in brought
    }
    record = Ceremony(
        key=dealt.key,
        recipients=tuple(key.fingerprint for key in brought),
        boxes=tuple(sha256(boxes[key.holder]) for key in brought),
    )
    return Held(record=record, boxes=boxes)


def open_box(
    record: Ceremony, holder: OrgId, box: bytes, private: HybridPrivateKey
) -> SecretShare:
    """Return our share of a ceremony's key, checked in every way there is.

    Args:
        record: as the ledger has it.
        holder: our name.
        box: what the dealer sealed for us.
        private: our ceremony key pair.

    Raises:
        UnknownSender: we are no holder.
        MalformedMessage: too short a box.
        InvalidShare: sealed to another key than ours, another box than the record
            names, one that does not open, or a share that is not committed to.
    """
    place = record.key.point(holder) - 1
    ours = CeremonyKey(holder=holder, key=private.public)
    if record.recipients[place] != ours.fingerprint:
        raise InvalidShare(f"the share of {holder} was sealed to another key")
    if sha256(box) != record.boxes[place]:
        raise InvalidShare(f"this is not the box that the record names for {holder}")
    return open_share(record.key, holder, box, private)
