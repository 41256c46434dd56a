# SPDX-License-Identifier: Apache-2.0
"""The form of notes and verifier keys: one spelling, nothing malformed."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import MalformedMessage
from fedxdr.ledger import note_form
from fedxdr.ledger.note_form import Note, NoteSignature, VerifierKey

# C2SP signed-note v1.0.0, "Example".
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
LINE = (
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsY"
    "jOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
NOTE = f"This is an example message.\n\n{LINE}".encode()

# golang/mod at fe2ec04, sumdb/note/note_test.go.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
# transparency-dev/formats at 0b850f1, note/note_cosigv1_test.go: a witness's key.
REMORA = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"

CONTROLS = [chr(code) for code in range(32)]
NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1
).filter(lambda name: "+" not in name and not any(map(str.isspace, name)))
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=CONTROLS)
    | st.just("\n")
)
LINES = st.builds(
    NoteSignature,
    name=NAMES,
    key_id=st.binary(min_size=4, max_size=4),
    signature=st.binary(min_size=1, max_size=80),
)


def refused(data, match=None):
    with pytest.raises(MalformedMessage, match=match):
        note_form.parse(data)


def test_the_published_note():
    found = note_form.parse(NOTE)
    assert found.text == b"This is an example message.\n"
    (line,) = found.signatures
    assert (line.name, line.key_id.hex()) == ("example.com/foo", "530d903a")
    assert len(line.signature) == 64
    assert found.to_bytes() == NOTE


@given(TEXTS, st.lists(LINES, min_size=1, max_size=5))
def test_what_is_written_is_read(text, lines):
    note = Note(text=text.encode() + b"\n", signatures=tuple(lines))
    assert note_form.parse(note.to_bytes()) == note


@given(st.data())
def test_a_changed_byte_is_refused_or_read_as_it_stands(data):
    at = data.draw(st.integers(0, len(NOTE) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != NOTE[at]))
    changed = NOTE[:at] + bytes([byte]) + NOTE[at + 1 :]
    try:
        found = note_form.parse(changed)
    except MalformedMessage:
        return
    assert found.to_bytes() == changed
    assert found != note_form.parse(NOTE)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_our_error_only(data):
    for foreign in (data, NOTE + data, data + NOTE):
        try:
            found = note_form.parse(foreign)
        except MalformedMessage:
            continue
        assert found.to_bytes() == foreign


@pytest.mark.parametrize("end", range(len(NOTE)))
def test_no_beginning_of_a_note_is_one(end):
    refused(NOTE[:end])


def test_the_last_empty_line_divides():
    found = note_form.parse(b"\n\na\n\n\n" + b"\n" + LINE.encode())
    assert found.text == b"\n\na\n\n\n"
    assert len(found.signatures) == 1


TEXT = "If you think\nso.\n"


# The first seven are those of golang/mod, TestOpen, badMsgs.
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(TEXT, id="text alone"),
        pytest.param(TEXT + "\n", id="no signatures"),
        pytest.param(TEXT + "\n" + LINE[:-1], id="no last newline"),
        pytest.param("\x01" + TEXT + "\n" + LINE, id="control character"),
        pytest.param(b"\xff" + NOTE, id="no UTF-8"),
        pytest.param(
            TEXT + "\n" + LINE.replace("example.", "Bad "), id="space in name"
        ),
        pytest.param(TEXT + "\n" + LINE + "Unexpected line.\n", id="another line"),
        pytest.param(TEXT[:-1] + "\n" + LINE, id="no empty line"),
        pytest.param("\n" + LINE, id="no text"),
        pytest.param(TEXT + "\n" + LINE + "\n", id="empty line at the end"),
        pytest.param(TEXT + "\n\n" + LINE + "\n" + LINE[2:], id="no dash"),
        pytest.param(TEXT + "\n" + LINE.replace("— ", "- "), id="hyphen"),
        pytest.param(TEXT + "\n" + LINE.replace("— ", "\u2013 "), id="en dash"),
        pytest.param(TEXT + "\n" + LINE.replace("— ", "—"), id="no space"),
        pytest.param(TEXT + "\n" + LINE.replace("— ", "—  "), id="two spaces"),
        pytest.param(TEXT + "\n" + LINE.replace("— ", "—\xa0"), id="hard space"),
        pytest.param(TEXT + "\n " + LINE, id="indented"),
        pytest.param(TEXT + "\n" + LINE.replace("=\n", "= \n"), id="space at the end"),
        pytest.param(TEXT + "\r\n\n" + LINE, id="carriage return in the text"),
        pytest.param(TEXT + "\n" + LINE.replace("\n", "\r\n"), id="carriage return"),
        pytest.param(TEXT + "\n" + LINE.replace("foo ", "foo\t"), id="tab"),
        pytest.param(TEXT + "\0\n\n" + LINE, id="null"),
        pytest.param(TEXT + "\n— a+b AAAAAAE=\n", id="plus in the name"),
        pytest.param(TEXT + "\n—  AAAAAAE=\n", id="no name"),
        pytest.param(TEXT + "\n— a\n", id="no signature"),
        pytest.param(TEXT + "\n— a \n", id="empty signature"),
        pytest.param(TEXT + "\n— a AAAAAA==\n", id="key ID alone"),
        # sigsum/sigsum-go at 192b553, TestCheckpointVerifyIgnoreExtraSignature; the
        # second is malformed there too.
        pytest.param(TEXT + "\n— a DEAD\n", id="shorter than a key ID"),
        pytest.param(TEXT + "\n— a DEADB\n", id="no base64"),
        pytest.param(TEXT + "\n— a AAAAAAE\n", id="no padding"),
        pytest.param(TEXT + "\n— a AAAAAAF=\n", id="spare bits set"),
        pytest.param(TEXT + "\n— a AAAAAAE==\n", id="too much padding"),
        pytest.param(TEXT + "\n— a AAAA AAE=\n", id="space in base64"),
        pytest.param(TEXT + "\n— a AAAA_-E=\n", id="alphabet of URLs"),
        pytest.param(TEXT + "\n— a ÄAAAAAE=\n", id="letters beyond ASCII"),
        pytest.param(TEXT.encode() + b"\n\xe2\x80", id="half a dash"),
        pytest.param(b"a\xed\xa0\x80\n\n" + LINE.encode(), id="surrogate"),
        pytest.param(b"a\xc0\x80\n\n" + LINE.encode(), id="overlong UTF-8"),
    ],
)
def test_malformed_notes_are_refused(data):
    refused(data if isinstance(data, bytes) else data.encode())


@pytest.mark.parametrize("code", [*range(10), *range(11, 32)])
def test_every_control_character_is_refused(code):
    refused(f"a{chr(code)}\n\n{LINE}".encode(), "control")


@pytest.mark.parametrize(
    "space", [c for c in map(chr, range(0x11000)) if c.isspace() and c > " "]
)
def test_no_name_has_a_unicode_space(space):
    refused(f"a\n\n— a{space}b AAAAAAE=\n".encode(), "spaces")


def test_no_more_signatures_than_the_limit():
    line = "— a AAAAAAE=\n"
    assert len(note_form.parse(f"a\n\n{line * 1024}".encode()).signatures) == 1024
    refused(f"a\n\n{line * 1025}".encode(), "1024")
    one = NoteSignature(name="a", key_id=bytes(4), signature=b"x")
    for lines in ((), (one,) * 1025):
        with pytest.raises(MalformedMessage, match="1024"):
            Note(text=b"a\n", signatures=lines)


def test_no_more_bytes_than_the_limit():
    padding = b"a" * (1_000_000 - len(NOTE))
    assert note_form.parse(padding + NOTE).to_bytes() == padding + NOTE
    refused(padding + b"a" + NOTE, "1000000")
    note = note_form.parse(NOTE)
    with pytest.raises(MalformedMessage, match="1000000"):
        Note(
            text=bytes(padding) + b"a" + note.text, signatures=note.signatures
        ).to_bytes()


@pytest.mark.parametrize("text", [b"", b"a", b"a\t\n", b"\xff\n", b"a\r\n"])
def test_no_note_is_made_over_such_text(text):
    line = NoteSignature(name="a", key_id=bytes(4), signature=b"x")
    with pytest.raises(MalformedMessage):
        Note(text=text, signatures=(line,))


@pytest.mark.parametrize(
    "name", ["", "a b", "a+b", "a\n", "a\u2003", "a\x00", "\ud800"]
)
def test_no_key_has_such_a_name(name):
    with pytest.raises(MalformedMessage, match="key name"):
        NoteSignature(name=name, key_id=bytes(4), signature=b"x")
    with pytest.raises(MalformedMessage, match="key name"):
        VerifierKey(name=name, kind=1, public_key=bytes(32))


@pytest.mark.parametrize("vkey", [VKEY, PETER, REMORA])
def test_published_verifier_keys(vkey):
    key = note_form.parse_verifier_key(vkey)
    assert str(key) == vkey
    made = note_form.verifier_key(
        name=key.name, kind=key.kind, public_key=key.public_key
    )
    assert made == vkey


@pytest.mark.parametrize(("kind", "size"), [(1, 32), (4, 32), (6, 1312)])
def test_a_key_id_is_the_hash_of_name_kind_and_key(kind, size):
    public = bytes(range(256)) * 6
    hashed = hashlib.sha256(b"a/\xc3\xa9\n" + bytes([kind]) + public[:size]).digest()[
        :4
    ]
    key = VerifierKey(name="a/é", kind=kind, public_key=public[:size])
    assert key.key_id == hashed
    given = {"name": "a/é", "kind": kind, "public_key": public[:size]}
    assert note_form.key_hash(**given) == hashed
    material = base64.b64encode(bytes([kind]) + public[:size]).decode()
    assert str(key) == f"a/é+{hashed.hex()}+{material}"
    assert note_form.parse_verifier_key(str(key)) == key


def test_no_part_and_no_change_of_a_verifier_key_is_one():
    # as golang/mod, TestNewVerifier
    for begin in range(len(PETER) + 1):
        for end in range(begin, len(PETER) + 1):
            if end - begin != len(PETER):
                with pytest.raises(MalformedMessage):
                    note_form.parse_verifier_key(PETER[begin:end])
    for at, letter in enumerate(PETER):
        changed = PETER[:at] + chr(ord(letter) + 1) + PETER[at + 1 :]
        with pytest.raises(MalformedMessage):
            note_form.parse_verifier_key(changed)


@pytest.mark.parametrize(
    "vkey",
    [
        # golang/mod, TestNewVerifier: a key too long, an algorithm that is none, both
        # with the right key ID
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        # transparency-dev/formats, TestCoSigV1NewVerifier
        "bananas.sigstore.dev+12344556",
        "rekor.sigstore.dev+12345678+THIS_IS_NOT_BASE64!",
        "rekor.sigstore.dev+12345678+AwEB",
        PETER.upper(),
        PETER.replace("c74f20a3", "C74F20A3"),
        PETER.replace("c74f20a3", "0c74f20a3"),
        PETER.replace("+c74f20a3", ""),
        PETER + "=",
        PETER + "\n",
        " " + PETER,
        "",
    ],
)
def test_malformed_verifier_keys_are_refused(vkey):
    with pytest.raises(MalformedMessage):
        note_form.parse_verifier_key(vkey)


@pytest.mark.parametrize(
    ("kind", "size"),
    [(0, 32), (2, 32), (3, 32), (5, 32), (255, 32), (1, 1312), (6, 32)],
)
def test_keys_of_other_kinds_and_lengths_are_refused(kind, size):
    with pytest.raises(MalformedMessage):
        note_form.verifier_key(name="a", kind=kind, public_key=bytes(size))


@given(st.binary(min_size=1, max_size=40))
def test_base64_has_one_spelling(data):
    text = note_form.to_base64(data)
    assert note_form.from_base64(text) == data
    for other in (text.rstrip("="), text + "\n", text[:-1], f" {text}"):
        if other != text:
            with pytest.raises(MalformedMessage):
                note_form.from_base64(other)
