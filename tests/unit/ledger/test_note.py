# SPDX-License-Identifier: Apache-2.0
"""Verifying notes: published ones, every changed byte, known and unknown keys."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import BadSignature, InvalidInput, MalformedMessage
from fedxdr.ledger import cosignature, note
from fedxdr.ledger.note import Note, NoteSignature

# C2SP signed-note v1.0.0, "Example".
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = (
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq"
    "6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()

# golang/mod at fe2ec04, sumdb/note/note_test.go, TestOpen.
PETER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH_KEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
PETER = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgK"
    "vqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01"
    "oOTGwnWLox33WWd1RvMc+QQ=\n"
)

# sigsum/sigsum-go at 192b553, pkg/checkpoint/checkpoint_test.go: the Go checksum
# database's checkpoint of 2024-09-23, a log's, and the log's key's cosignature.
SUMDB_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
SUMDB = (
    "go.sum database tree\n30055305\nmXfgRcJ0bG0j3CPdKwgGWtUzBUbX67saZGRmFuJGGsM=\n\n"
    "— sum.golang.org Az3grpgEild5qw7+5dtV13Kf1C2Xurm8q4fhdxvcsDHnqNTaxL2AFjBY+2TyGKe"
    "vucFcAAlWFJJYle3EJlDCrQ+y3A8=\n"
).encode()
SIGSUM_PUBLIC = bytes.fromhex(
    "66e0b858e462a609e66fe71370c816d8846ff103d5499a22a7fec37fdbc424a7"
)
SIGSUM_ORIGIN = (
    "sigsum.org/v1/tree/"
    "e796172b92befd62d9dc67e41c2f5bc9d3100a3023b20b1ca40288dd1c679e69"
)
SIGSUM = (
    f"{SIGSUM_ORIGIN}\n10\nHA5HAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n"
    f"— {SIGSUM_ORIGIN} gJ2ho0n8F8olcerUF1FFdv235A/5as/coWrpLrtE7ovMeP5whgwouYExowG/"
    "lTznxu6OUGjjt5yJQ6bXtTcf718MqAQ=\n"
).encode()
WITNESS = "example.org/witness"
COSIGNED = (
    "example.org/log\n10\nHA5HAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n"
    f"— {WITNESS} ys8uUAAAAAAAAATSftMzceM8zssdZ9jin9SjwIxzx9iADMf63VqirX2hafol9RsqNqb"
    "ofIz0LVRqHXI2kpEBSki5RTXFtxz1vo9+Cg==\n"
).encode()
COSIGNED_KEY = note.verifier_key(name=WITNESS, kind=4, public_key=SIGSUM_PUBLIC)

PUBLISHED = [
    (EXAMPLE, EXAMPLE_KEY),
    ((TEXT + "\n" + PETER).encode(), PETER_KEY),
    ((TEXT + "\n" + ENOCH).encode(), ENOCH_KEY),
    (SUMDB, SUMDB_KEY),
    (
        SIGSUM,
        note.verifier_key(name=SIGSUM_ORIGIN, kind=1, public_key=SIGSUM_PUBLIC),
    ),
    (COSIGNED, COSIGNED_KEY),
]

ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ED_PUBLIC = ED.public_key().public_bytes_raw()
ML = mldsa.MLDSA44PrivateKey.from_seed_bytes(bytes(range(32)))
ML_PUBLIC = ML.public_key().public_bytes_raw()
ML_KEY = note.verifier_key(name="w", kind=6, public_key=ML_PUBLIC)
BODY = b"log.example/1\n7\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
ML_NOTE = Note(
    text=BODY,
    signatures=(
        cosignature.sign_ml_dsa_44(
            BODY, name="w", timestamp=5, sign=ML.sign, public_key=ML_PUBLIC
        ),
    ),
).to_bytes()


def both(*lines):
    return (TEXT + "\n" + "".join(lines)).encode()


@pytest.mark.parametrize(("data", "key"), PUBLISHED)
def test_published_notes_verify(data, key):
    assert note.verify(data, [key]) == (key.split("+", maxsplit=1)[0],)


@pytest.mark.parametrize(("data", "key"), [*PUBLISHED, (ML_NOTE, ML_KEY)])
def test_without_a_key_that_signed_a_note_says_nothing(data, key):
    others = [k for _, k in PUBLISHED if k != key]
    for keys in ([], others):
        with pytest.raises(BadSignature, match="none of the keys"):
            note.verify(data, keys)


@pytest.mark.parametrize(("data", "key"), [*PUBLISHED, (ML_NOTE, ML_KEY)])
@given(draw=st.data())
def test_a_changed_byte_is_refused(data, key, draw):
    at = draw.draw(st.integers(0, len(data) - 1))
    byte = draw.draw(st.integers(0, 255).filter(lambda b: b != data[at]))
    with pytest.raises(InvalidInput):
        note.verify(data[:at] + bytes([byte]) + data[at + 1 :], [key])


@pytest.mark.parametrize(("data", "key"), PUBLISHED)
def test_bytes_that_go_or_come_are_refused(data, key):
    for at in range(len(data)):
        for changed in (data[:at] + data[at + 1 :], data[:at] + b"a" + data[at:]):
            with pytest.raises(InvalidInput):
                note.verify(changed, [key])


def test_one_known_key_is_enough_and_all_are_named():
    data = both(PETER, ENOCH)
    assert note.verify(data, [PETER_KEY]) == ("PeterNeumann",)
    assert note.verify(data, [ENOCH_KEY]) == ("EnochRoot",)
    for keys in ([PETER_KEY, ENOCH_KEY], [ENOCH_KEY, PETER_KEY]):
        assert note.verify(data, keys) == ("PeterNeumann", "EnochRoot")
    assert note.verify(both(ENOCH, PETER), [PETER_KEY, ENOCH_KEY, PETER_KEY]) == (
        "EnochRoot",
        "PeterNeumann",
    )


def test_a_key_that_signs_twice_is_named_once():
    data = both(PETER, PETER, ENOCH, ENOCH)
    assert note.verify(data, [PETER_KEY]) == ("PeterNeumann",)


def test_a_bad_line_of_a_known_key_refuses_the_note():
    # golang/mod, TestOpen, "Invalid signature."
    longer = PETER[:60] + "ABCD" + PETER[60:]
    for lines in ([longer], [longer, ENOCH], [ENOCH, longer], [ENOCH, PETER, longer]):
        with pytest.raises(BadSignature, match="PeterNeumann"):
            note.verify(both(*lines), [PETER_KEY, ENOCH_KEY])
    # the same, unknown
    assert note.verify(both(longer, ENOCH), [ENOCH_KEY]) == ("EnochRoot",)


def test_a_line_of_another_text_refuses_the_note():
    data = (TEXT + "More.\n\n" + PETER).encode()
    with pytest.raises(BadSignature, match="PeterNeumann"):
        note.verify(data, [PETER_KEY])


def test_lines_of_unknown_keys_are_ignored_whatever_they_hold():
    # name or key ID alone do not make a key known
    renamed = PETER.replace("PeterNeumann", "CarmenSandiego")
    other_id = PETER.replace("x08g", "xxxx")
    garbage = "— a AAAAAAE=\n"
    for line in (renamed, other_id, garbage):
        with pytest.raises(BadSignature, match="none of the keys"):
            note.verify(both(line), [PETER_KEY])
        for lines in ([line, PETER], [PETER, line], [line, PETER, line]):
            assert note.verify(both(*lines), [PETER_KEY]) == ("PeterNeumann",)


def test_a_malformed_line_refuses_the_note_though_nobody_knows_it():
    for line in ("— a\n", "— a AAAA\n", "a AAAAAAE=\n", "— a AAAAAAF=\n"):
        with pytest.raises(MalformedMessage):
            note.verify(both(PETER, line), [PETER_KEY])


def test_cosignatures_of_both_kinds_stand_side_by_side():
    sign = cosignature.sign_log(
        BODY, name="log.example/1", sign=ED.sign, public_key=ED_PUBLIC
    )
    ed = cosignature.sign_ed25519(
        BODY, name="w", timestamp=5, sign=ED.sign, public_key=ED_PUBLIC
    )
    data = cosignature.merge(
        Note(text=BODY, signatures=(sign, ed)), note.parse(ML_NOTE)
    ).to_bytes()
    keys = [
        note.verifier_key(name="log.example/1", kind=1, public_key=ED_PUBLIC),
        note.verifier_key(name="w", kind=4, public_key=ED_PUBLIC),
        ML_KEY,
    ]
    assert note.verify(data, keys) == ("log.example/1", "w", "w")
    for at, name in enumerate(("log.example/1", "w", "w")):
        assert note.verify(data, [keys[at]]) == (name,)


def test_a_key_of_one_kind_does_not_stand_for_another():
    as_log = note.verifier_key(name=WITNESS, kind=1, public_key=SIGSUM_PUBLIC)
    with pytest.raises(BadSignature, match="none of the keys"):
        note.verify(COSIGNED, [as_log])


def test_a_cosignature_over_what_is_no_checkpoint_is_malformed():
    line = NoteSignature(
        name="w",
        key_id=note.key_hash(name="w", kind=6, public_key=ML_PUBLIC),
        signature=bytes(2428),
    )
    data = Note(text=b"some text\n", signatures=(line,)).to_bytes()
    with pytest.raises(MalformedMessage, match="checkpoint"):
        note.verify(data, [ML_KEY])


def test_a_note_around_a_signed_note_is_not_the_note_within():
    # the text of the outer note is the whole inner one; its witness signed less
    inner = note.parse(ML_NOTE)
    outer = Note(text=ML_NOTE, signatures=inner.signatures)
    with pytest.raises(MalformedMessage):
        note.verify(outer.to_bytes(), [ML_KEY])


def test_two_keys_of_one_name_and_key_id_are_refused():
    # some 2^17 tries find a pair with 32 equal bits; found by counting up
    def key(number):
        public = number.to_bytes(32, "little")
        return note.VerifierKey(name="a", kind=1, public_key=public)

    first, second = key(20777), key(121280)
    assert first.key_id == second.key_id
    with pytest.raises(MalformedMessage, match="two keys a"):
        note.keyring([first, second])
    assert len(note.keyring([first, first])) == 1


@pytest.mark.parametrize("vkey", ["", "a", PETER_KEY[:-1], PETER_KEY + "\n"])
def test_malformed_keys_are_refused(vkey):
    with pytest.raises(MalformedMessage):
        note.verify(both(PETER), [PETER_KEY, vkey])


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_our_errors_only(data):
    for foreign in (data, data + both(PETER), both(PETER) + data):
        if foreign == both(PETER):
            continue
        with pytest.raises(InvalidInput):
            note.verify(foreign, [PETER_KEY])
