# SPDX-License-Identifier: Apache-2.0
"""secagg/derivation.py: what derives from what, and what must not."""

from __future__ import annotations

import pytest

from fedxdr.core.errors import InvalidShare, MalformedMessage
from fedxdr.core.ids import OrgId
from fedxdr.crypto.exchange import agree
from fedxdr.crypto.expand import hkdf
from fedxdr.secagg.derivation import MaskKey, box_context, derive_secrets
from fedxdr.secagg.stages import Mail, SealedSalt, commit_self_seed

A, B = OrgId("a"), OrgId("b")
TRANSCRIPT = b"t" * 32
ANNA, BELA = derive_secrets(b"a" * 32), derive_secrets(b"b" * 32)
AGREED = agree(ANNA.mask.pair, BELA.mask.pair.public.x25519)


def salt_mail(salt: SealedSalt) -> Mail:
    return Mail(sender=A, recipient=B, shares=bytes(1170), salt=salt)


def sealed_salt() -> SealedSalt:
    return ANNA.mask.seal_salt(
        AGREED,
        sender=A,
        recipient=B,
        recipient_key=BELA.mask.pair.public,
        transcript=TRANSCRIPT,
    )


def test_the_same_entropy_gives_the_same_secrets() -> None:
    again = derive_secrets(b"a" * 32)
    assert again.round_keys == ANNA.round_keys
    assert again.self_seed == ANNA.self_seed
    assert again.coefficients == ANNA.coefficients
    assert again.rounding == ANNA.rounding


def test_no_two_secrets_of_a_round_are_the_same() -> None:
    secrets = [ANNA.self_seed, ANNA.mask.master, ANNA.coefficients, ANNA.rounding]
    publics = [ANNA.channel.public.x25519, ANNA.mask.pair.public.x25519]
    assert len({*secrets, *publics, b"a" * 32}) == 7


def test_round_keys_are_the_public_halves() -> None:
    keys = ANNA.round_keys
    assert keys.channel == ANNA.channel.public
    assert keys.mask == ANNA.mask.pair.public
    assert keys.self_seed_commitment == commit_self_seed(ANNA.self_seed)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_entropy_has_32_bytes(size: int) -> None:
    with pytest.raises(MalformedMessage):
        derive_secrets(bytes(size))


def test_the_mask_key_derives_from_its_master_and_the_channel_key_does_not() -> None:
    recovered = MaskKey.derive(ANNA.mask.master)
    assert recovered.pair.public == ANNA.round_keys.mask
    assert recovered.pair.public.x25519 != ANNA.round_keys.channel.x25519
    assert recovered.pair.public.mlkem != ANNA.round_keys.channel.mlkem


def test_both_ends_of_a_pair_and_nobody_else_have_the_salt() -> None:
    mail = salt_mail(sealed_salt())
    salt = ANNA.mask.salt(B, transcript=TRANSCRIPT)
    assert BELA.mask.open_salt(AGREED, mail, transcript=TRANSCRIPT) == salt
    eve = derive_secrets(b"e" * 32).mask
    with pytest.raises(InvalidShare, match="from a does not open"):
        eve.open_salt(AGREED, mail, transcript=TRANSCRIPT)
    # The channel key of the recipient does not open it either.
    channel = MaskKey(master=bytes(32), pair=BELA.channel)
    with pytest.raises(InvalidShare):
        channel.open_salt(AGREED, mail, transcript=TRANSCRIPT)


def test_salts_differ_by_peer_transcript_and_master() -> None:
    salts = {
        ANNA.mask.salt(B, transcript=TRANSCRIPT),
        ANNA.mask.salt(OrgId("c"), transcript=TRANSCRIPT),
        ANNA.mask.salt(B, transcript=b"u" * 32),
        BELA.mask.salt(B, transcript=TRANSCRIPT),
    }
    assert len(salts) == 4


def test_a_salt_of_another_round_does_not_open() -> None:
    mail = salt_mail(sealed_salt())
    with pytest.raises(InvalidShare, match="does not open"):
        BELA.mask.open_salt(AGREED, mail, transcript=b"u" * 32)


def test_a_salt_other_than_committed_to_is_refused() -> None:
    honest = sealed_salt()
    mail = salt_mail(SealedSalt(commitment=bytes(32), box=honest.box))
    with pytest.raises(InvalidShare, match="not the one it committed to"):
        BELA.mask.open_salt(AGREED, mail, transcript=TRANSCRIPT)


def test_mail_without_a_salt_is_refused() -> None:
    mail = Mail(sender=B, recipient=A, shares=bytes(1170), salt=None)
    with pytest.raises(InvalidShare, match="holds no salt"):
        ANNA.mask.open_salt(AGREED, mail, transcript=TRANSCRIPT)


def test_contexts_cannot_be_split_in_two_ways() -> None:
    one = box_context(b"l\x00", OrgId("ab"), OrgId("c"), TRANSCRIPT)
    two = box_context(b"l\x00", OrgId("a"), OrgId("bc"), TRANSCRIPT)
    assert one != two


def test_no_representation_shows_a_secret() -> None:
    shown = repr(ANNA) + repr(ANNA.mask)
    for secret in (ANNA.self_seed, ANNA.mask.master, ANNA.coefficients, ANNA.rounding):
        assert repr(secret)[2:-1] not in shown
    assert repr(hkdf(b"a" * 32, label="fedxdr/secagg/self-seed/v1")) not in shown
    assert shown == "RoundSecrets()MaskKey()"
