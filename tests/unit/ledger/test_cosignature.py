# SPDX-License-Identifier: Apache-2.0
"""Cosignatures: the signed messages against their definition, lines there and back."""

import importlib.util
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import BadSignature, MalformedMessage
from fedxdr.ledger import cosignature
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.note_form import Note, NoteSignature, VerifierKey

_SOURCE = Path(__file__).parents[2] / "reference" / "cosigned_definition.py"
_SPEC = importlib.util.spec_from_file_location("cosigned_definition", _SOURCE)
definition = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(definition)

# C2SP tlog-cosignature, "Ed25519 signed message".
PUBLISHED = b"""cosignature/v1
time 1679315147
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
"""
BODY = PUBLISHED.split(b"\n", 2)[2]
WHEN = 1679315147

ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ED_PUBLIC = ED.public_key().public_bytes_raw()
ML = mldsa.MLDSA44PrivateKey.from_seed_bytes(bytes(range(32)))
ML_PUBLIC = ML.public_key().public_bytes_raw()

LOG_KEY = VerifierKey(name="example.com/behind-the-sofa", kind=1, public_key=ED_PUBLIC)
ED_KEY = VerifierKey(name="witness.example/w1", kind=4, public_key=ED_PUBLIC)
ML_KEY = VerifierKey(name="witness.example/w1", kind=6, public_key=ML_PUBLIC)


def log_line(body=BODY):
    return cosignature.sign_log(
        body, name=LOG_KEY.name, sign=ED.sign, public_key=ED_PUBLIC
    )


def ed_line(body=BODY, timestamp=WHEN, name=ED_KEY.name):
    return cosignature.sign_ed25519(
        body, name=name, timestamp=timestamp, sign=ED.sign, public_key=ED_PUBLIC
    )


def ml_line(body=BODY, timestamp=WHEN, name=ML_KEY.name):
    return cosignature.sign_ml_dsa_44(
        body, name=name, timestamp=timestamp, sign=ML.sign, public_key=ML_PUBLIC
    )


LINES = [(log_line, LOG_KEY), (ed_line, ED_KEY), (ml_line, ML_KEY)]


def test_the_published_message():
    found = cosignature.message_of(BODY, key=ED_KEY, timestamp=WHEN)
    assert found == PUBLISHED


def test_the_message_of_ml_dsa_byte_by_byte():
    name, origin = b"witness.example/w1", b"example.com/behind-the-sofa"
    assert cosignature.message_of(BODY, key=ML_KEY, timestamp=WHEN) == (
        b"subtree/v1\n\0"
        + bytes([18])
        + name
        + bytes.fromhex("00000000641850cb")
        + bytes([27])
        + origin
        + bytes(8)
        + bytes.fromhex("00000000013e2dc3")
        + bytes.fromhex(
            "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"
        )
    )


@given(
    st.text("abc/é.", min_size=1, max_size=40),
    st.integers(0, 2**63 - 1),
    st.builds(
        Checkpoint,
        origin=st.text("xyz é", min_size=1, max_size=40),
        size=st.integers(0, 2**63 - 1),
        root=st.binary(min_size=32, max_size=32),
        extensions=st.just(()) | st.just(("more", "lines")),
    ),
)
def test_messages_are_those_of_the_definition(name, timestamp, head):
    body = head.body()
    key = VerifierKey(name=name, kind=4, public_key=ED_PUBLIC)
    found = cosignature.message_of(body, key=key, timestamp=timestamp)
    assert found == definition.ed25519_message(timestamp, body)
    key = VerifierKey(name=name, kind=6, public_key=ML_PUBLIC)
    found = cosignature.message_of(body, key=key, timestamp=timestamp)
    assert found == definition.ml_dsa_44_message(name, timestamp, body)


def test_lines_are_those_of_the_definition():
    message = definition.ed25519_message(WHEN, BODY)
    line = ed_line()
    assert line.signature == definition.timestamped(WHEN, ED.sign(message))
    line = ml_line()
    assert line.signature[:8] == definition.timestamped(WHEN, b"")
    # checked by the library itself, with the context that FIPS 204 calls empty
    ML.public_key().verify(
        line.signature[8:], definition.ml_dsa_44_message(ML_KEY.name, WHEN, BODY)
    )
    # and the other way: a line made by the definition verifies here
    signed = ML.sign(definition.ml_dsa_44_message(ML_KEY.name, WHEN, BODY))
    made = NoteSignature(
        name=ML_KEY.name,
        key_id=ML_KEY.key_id,
        signature=definition.timestamped(WHEN, signed),
    )
    cosignature.verify_line(BODY, made, ML_KEY)


@pytest.mark.parametrize(("make", "key"), LINES)
def test_a_line_verifies_for_its_body_only(make, key):
    line = make()
    assert (line.name, line.key_id) == (key.name, key.key_id)
    cosignature.verify_line(BODY, line, key)
    for other in (BODY.replace(b"63", b"64"), BODY.replace(b"sofa", b"sofb")):
        with pytest.raises(BadSignature, match="does not verify"):
            cosignature.verify_line(other, line, key)


@pytest.mark.parametrize(("make", "key"), LINES)
@given(data=st.data())
@settings(max_examples=60)
def test_every_changed_bit_of_a_line_is_found(make, key, data):
    line = make()
    signature = bytearray(line.signature)
    bit = data.draw(st.integers(0, len(signature) * 8 - 1))
    signature[bit // 8] ^= 1 << bit % 8
    changed = NoteSignature(
        name=line.name, key_id=line.key_id, signature=bytes(signature)
    )
    # (a first bit in the time makes it too large for a time)
    with pytest.raises((BadSignature, MalformedMessage)):
        cosignature.verify_line(BODY, changed, key)


@pytest.mark.parametrize(("make", "key"), LINES)
@pytest.mark.parametrize("change", [-1, 1, 72])
def test_lines_of_other_lengths_are_refused(make, key, change):
    line = make()
    longer = (line.signature + bytes(72))[: len(line.signature) + change]
    changed = NoteSignature(name=line.name, key_id=line.key_id, signature=longer)
    with pytest.raises(BadSignature, match="bytes of signature"):
        cosignature.verify_line(BODY, changed, key)


def test_a_time_beyond_its_range_is_refused_however_it_is_signed():
    for key, sign in ((ED_KEY, ED.sign), (ML_KEY, ML.sign)):
        for timestamp, is_good in ((2**63 - 1, True), (2**63, False)):
            message = cosignature.message_of(BODY, key=key, timestamp=timestamp)
            line = NoteSignature(
                name=key.name,
                key_id=key.key_id,
                signature=timestamp.to_bytes(8, "big") + sign(message),
            )
            if is_good:
                cosignature.verify_line(BODY, line, key)
                assert cosignature.timestamp_of(line) == timestamp
                continue
            with pytest.raises(MalformedMessage, match="time"):
                cosignature.verify_line(BODY, line, key)
            with pytest.raises(MalformedMessage, match="time"):
                cosignature.timestamp_of(line)


@pytest.mark.parametrize("timestamp", [-1, 0, 2**63, 2**64])
def test_nobody_cosigns_at_such_a_time(timestamp):
    for make in (ed_line, ml_line):
        with pytest.raises(MalformedMessage, match="cosigns at a time"):
            make(timestamp=timestamp)


@pytest.mark.parametrize("timestamp", [1, WHEN, 2**63 - 1])
def test_a_line_says_when(timestamp):
    for make in (ed_line, ml_line):
        assert cosignature.timestamp_of(make(timestamp=timestamp)) == timestamp


@pytest.mark.parametrize("size", [1, 8])
def test_a_line_without_room_for_a_time_says_none(size):
    line = NoteSignature(name="a", key_id=bytes(4), signature=bytes(size))
    with pytest.raises(MalformedMessage, match="8 bytes of time"):
        cosignature.timestamp_of(line)


def test_the_time_is_signed():
    for make, key in LINES[1:]:
        line = make()
        later = (WHEN + 1).to_bytes(8, "big") + line.signature[8:]
        changed = NoteSignature(name=line.name, key_id=line.key_id, signature=later)
        with pytest.raises(BadSignature):
            cosignature.verify_line(BODY, changed, key)


def test_extension_lines_are_signed_by_ed25519_and_not_by_ml_dsa():
    extended = BODY + b"more\n"
    with pytest.raises(BadSignature):
        cosignature.verify_line(extended, ed_line(), ED_KEY)
    cosignature.verify_line(extended, ed_line(extended), ED_KEY)
    cosignature.verify_line(extended, ml_line(), ML_KEY)


def test_the_name_is_signed_by_ml_dsa_and_not_by_ed25519():
    other = VerifierKey(name="another", kind=6, public_key=ML_PUBLIC)
    with pytest.raises(BadSignature):
        cosignature.verify_line(BODY, ml_line(), other)
    other = VerifierKey(name="another", kind=4, public_key=ED_PUBLIC)
    cosignature.verify_line(BODY, ed_line(), other)


def test_the_kinds_do_not_mix():
    # one key, one body: neither line passes for the other
    as_log = VerifierKey(name=ED_KEY.name, kind=1, public_key=ED_PUBLIC)
    bare = NoteSignature(
        name=ED_KEY.name, key_id=as_log.key_id, signature=ed_line().signature[8:]
    )
    with pytest.raises(BadSignature):
        cosignature.verify_line(BODY, bare, as_log)
    timed = NoteSignature(
        name=ED_KEY.name,
        key_id=ED_KEY.key_id,
        signature=WHEN.to_bytes(8, "big") + log_line().signature,
    )
    with pytest.raises(BadSignature):
        cosignature.verify_line(BODY, timed, ED_KEY)


@pytest.mark.parametrize(
    "body",
    [
        b"some text\n",
        BODY[:-1],
        BODY + b"\n",
        # a whole note is not the body in it, though the body was cosigned
        BODY + b"\n" + "— a AAAAAAE=\n".encode(),
    ],
)
def test_only_checkpoints_are_cosigned(body):
    for make in (ed_line, ml_line):
        with pytest.raises(MalformedMessage):
            make(body)
    for make, key in LINES[1:]:
        with pytest.raises(MalformedMessage):
            cosignature.verify_line(body, make(), key)


def test_a_log_signs_any_text():
    line = log_line(b"some text\n")
    cosignature.verify_line(b"some text\n", line, LOG_KEY)


def test_ml_dsa_has_room_for_255_bytes_of_name_and_origin():
    assert ml_line(name="é" * 127 + "a").name.endswith("a")
    with pytest.raises(MalformedMessage, match="255"):
        ml_line(name="é" * 128)
    origin = Checkpoint(origin="o" * 255, size=1, root=bytes(32)).body()
    ml_line(origin)
    with pytest.raises(MalformedMessage, match="255"):
        ml_line(b"o" + origin)
    ed_line(b"o" + origin, name="é" * 128)


@pytest.mark.parametrize(
    "make",
    [
        lambda: cosignature.sign_log(
            BODY, name="a", sign=lambda _: bytes(63), public_key=ED_PUBLIC
        ),
        lambda: cosignature.sign_log(
            BODY, name="a", sign=ED.sign, public_key=ED_PUBLIC[:-1]
        ),
        lambda: cosignature.sign_log(
            BODY, name="a b", sign=ED.sign, public_key=ED_PUBLIC
        ),
        lambda: cosignature.sign_ml_dsa_44(
            BODY, name="a", timestamp=1, sign=ED.sign, public_key=ML_PUBLIC
        ),
        lambda: cosignature.sign_ml_dsa_44(
            BODY, name="a", timestamp=1, sign=ML.sign, public_key=ED_PUBLIC
        ),
        lambda: cosignature.sign_ed25519(
            BODY, name="a", timestamp=1, sign=ML.sign, public_key=ED_PUBLIC
        ),
    ],
)
def test_keys_and_signatures_that_do_not_fit_are_refused(make):
    with pytest.raises(MalformedMessage):
        make()


def test_notes_over_one_text_merge():
    log, ed, ml = log_line(), ed_line(), ml_line()
    later = ed_line(timestamp=WHEN + 1)
    first = Note(text=BODY, signatures=(log, ed))
    second = Note(text=BODY, signatures=(later, ml, log))
    merged = cosignature.merge(first, second)
    assert merged.signatures == (log, ed, later, ml)
    assert cosignature.merge(merged, second) == merged
    assert cosignature.merge(merged, merged) == merged
    assert cosignature.merge(second, first).signatures == (later, ml, log, ed)


def test_notes_over_two_texts_do_not_merge():
    first = Note(text=BODY, signatures=(log_line(),))
    second = Note(text=BODY + b"more\n", signatures=(log_line(),))
    with pytest.raises(MalformedMessage, match="two texts"):
        cosignature.merge(first, second)


def test_merged_notes_keep_the_limit():
    lines = [
        NoteSignature(name="a", key_id=bytes(4), signature=i.to_bytes(2, "big"))
        for i in range(1025)
    ]
    first = Note(text=BODY, signatures=tuple(lines[:1000]))
    cosignature.merge(first, Note(text=BODY, signatures=tuple(lines[900:1024])))
    with pytest.raises(MalformedMessage, match="1024"):
        cosignature.merge(first, Note(text=BODY, signatures=tuple(lines[900:])))
