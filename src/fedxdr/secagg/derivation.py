# SPDX-License-Identifier: Apache-2.0
"""All secrets of one organisation in one round, from 32 bytes of entropy.

The caller draws the entropy once per round and stores it before anything derived from
it is sent; an agent that was killed derives the same secrets again::

    entropy ── b_u             self-mask seed, shared by Shamir
            ├─ m_u             mask master key, shared by Shamir
            │   ├─ mask key pair   pair masks are agreed with it
            │   └─ r_uv            pair salts, one per peer v with u < v
            ├─ channel key pair    peers seal their shares for u under it
            ├─ coefficients        of the Shamir polynomials
            └─ rounding            seed of the vector's stochastic rounding

It does NOT draw entropy, store or erase anything.

Rules that always hold: channel key and m_u are siblings, so recovering m_v of a
drop-out never opens the shares that were sealed for v; r_uv travels under v's mask key,
so whoever holds m_u or m_v has it and nobody else; a salt is held against its
commitment; no representation shows a secret.

Source: Bonawitz et al. 2017, figure 4; the salt under ML-KEM is ours, so that recorded
traffic does not fall to a quantum computer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fedxdr.core.errors import InvalidShare, MalformedMessage
from fedxdr.core.ids import OrgId
from fedxdr.crypto.exchange import HybridPrivateKey, HybridPublicKey
from fedxdr.crypto.expand import SEED_BYTES, hkdf
from fedxdr.crypto.sealing import open_between, seal_between
from fedxdr.secagg.stages import (
    Mail,
    RoundKeys,
    SealedSalt,
    commit_salt,
    commit_self_seed,
)

_SELF_SEED_LABEL = "fedxdr/secagg/self-seed/v1"
_MASK_MASTER_LABEL = "fedxdr/secagg/mask-master/v1"
_CHANNEL_LABEL = "fedxdr/secagg/channel-key/v1"
_COEFFICIENTS_LABEL = "fedxdr/secagg/shamir-coefficients/v1"
_ROUNDING_LABEL = "fedxdr/secagg/rounding-seed/v1"
_MASK_KEY_LABEL = "fedxdr/secagg/mask-key/v1"
_SALT_LABEL = "fedxdr/secagg/pair-salt/v1"
_SALT_CONTEXT = b"fedxdr/secagg/salt/v1\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskKey:
    """What derives from m_u: u itself holds it, and after a drop-out everyone.

    Attributes:
        master: m_u, 32 bytes.
        pair: the mask key pair.
    """

    master: bytes = field(repr=False)
    pair: HybridPrivateKey = field(repr=False)

    @classmethod
    def derive(cls, master: bytes) -> MaskKey:
        """Return the mask key of a master secret of 32 bytes."""
        seed = hkdf(master, label=_MASK_KEY_LABEL)
        return cls(master=master, pair=HybridPrivateKey.from_seed(seed))

    def salt(self, peer: OrgId, *, transcript: bytes) -> bytes:
        """Return r_uv, the 32-byte salt of the pair with a peer whose name is higher.

        Args:
            peer: v.
            transcript: 32-byte digest of the round's transcript.
        """
        context = transcript + peer.encode()
        return hkdf(self.master, label=_SALT_LABEL, context=context)

    def seal_salt(
        self,
        agreed: bytes,
        *,
        sender: OrgId,
        recipient: OrgId,
        recipient_key: HybridPublicKey,
        transcript: bytes,
    ) -> SealedSalt:
        """Return our salt r_uv, committed to and sealed under the recipient's key.

        Args:
            agreed: X25519 secret of the two mask keys.
            sender: u, the holder of this key.
            recipient: v, whose name sorts after u's.
            recipient_key: v's mask key.
            transcript: 32-byte digest of the round's transcript.
        """
        salt = self.salt(recipient, transcript=transcript)
        box = seal_between(
            agreed,
            recipient_key,
            salt,
            context=box_context(_SALT_CONTEXT, sender, recipient, transcript),
        )
        return SealedSalt(commitment=commit_salt(salt), box=box)

    def open_salt(self, agreed: bytes, mail: Mail, *, transcript: bytes) -> bytes:
        """Return the salt r_uv that a peer whose name is lower sealed under this key.

        Args:
            agreed: X25519 secret of the two mask keys.
            mail: from the peer to the holder of this key.
            transcript: 32-byte digest of the round's transcript.

        Raises:
            InvalidShare: no salt in it, a box that does not open, or a salt that is not
                the one committed to.
        """
        if mail.salt is None:
            raise InvalidShare(f"the mail from {mail.sender} holds no salt")
        try:
            salt = open_between(
                agreed,
                self.pair,
                mail.salt.box,
                context=box_context(
                    _SALT_CONTEXT, mail.sender, mail.recipient, transcript
                ),
            )
        except InvalidShare as error:
            raise InvalidShare(
                f"the pair salt from {mail.sender} does not open"
            ) from error
        if commit_salt(salt) != mail.salt.commitment:
            raise InvalidShare(
                f"the pair salt from {mail.sender} is not the one it committed to"
            )
        return salt


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundSecrets:
    """All secrets of one organisation in one round; its representation shows none.

    Attributes:
        self_seed: b_u, 32 bytes.
        mask: m_u and what derives from it.
        channel: key pair under which peers seal our shares; NOT derived from m_u.
        coefficients: 32 bytes from which Shamir coefficients are read.
        rounding: 32 bytes, the seed of the vector's stochastic rounding.
    """

    self_seed: bytes = field(repr=False)
    mask: MaskKey = field(repr=False)
    channel: HybridPrivateKey = field(repr=False)
    coefficients: bytes = field(repr=False)
    rounding: bytes = field(repr=False)

    @property
    def round_keys(self) -> RoundKeys:
        """What is published, under the identity's signature."""
        return RoundKeys(
            channel=self.channel.public,
            mask=self.mask.pair.public,
            self_seed_commitment=commit_self_seed(self.self_seed),
        )


def derive_secrets(entropy: bytes) -> RoundSecrets:
    """Return the secrets of a round.

    Args:
        entropy: 32 bytes, fresh for this round and stored before anything derived from
            it is sent. The same bytes always give the same secrets.

    Raises:
        MalformedMessage: another length.
    """
    if len(entropy) != SEED_BYTES:
        raise MalformedMessage(f"round entropy: got {len(entropy)} bytes, want 32")
    return RoundSecrets(
        self_seed=hkdf(entropy, label=_SELF_SEED_LABEL),
        mask=MaskKey.derive(hkdf(entropy, label=_MASK_MASTER_LABEL)),
        channel=HybridPrivateKey.from_seed(hkdf(entropy, label=_CHANNEL_LABEL)),
        coefficients=hkdf(entropy, label=_COEFFICIENTS_LABEL),
        rounding=hkdf(entropy, label=_ROUNDING_LABEL),
    )


def box_context(
    label: bytes, sender: OrgId, recipient: OrgId, transcript: bytes
) -> bytes:
    """Return label || transcript || sender || 0x00 || recipient, to bind a box to.

    Args:
        label: purpose of the box, of a fixed length per purpose.
        sender: who sealed it.
        recipient: who opens it.
        transcript: 32-byte digest of the round's transcript.
    """
    return label + transcript + sender.encode() + b"\x00" + recipient.encode()
