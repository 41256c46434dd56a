# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: published ones, one spelling, nothing malformed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import MalformedMessage
from fedxdr.ledger import checkpoint
from fedxdr.ledger.checkpoint import Checkpoint

# C2SP tlog-checkpoint v1.0.0.
BODY = (
    b"example.com/behind-the-sofa\n20852163\n"
    b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
)
SIGNED = (
    BODY
    + "\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRD"
    "e4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n".encode()
)
ROOT = "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"
HASH = b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"

CONTROLS = [chr(code) for code in range(32)]
LINES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=CONTROLS),
    min_size=1,
)
CHECKPOINTS = st.builds(
    Checkpoint,
    origin=LINES,
    size=st.integers(0, 2**63 - 1),
    root=st.binary(min_size=32, max_size=32),
    extensions=st.lists(LINES, max_size=3).map(tuple),
)


@pytest.mark.parametrize("data", [BODY, SIGNED])
def test_the_published_checkpoint(data):
    found = checkpoint.parse(data)
    assert found == Checkpoint(
        origin="example.com/behind-the-sofa", size=20852163, root=bytes.fromhex(ROOT)
    )
    assert found.body() == BODY


@given(CHECKPOINTS)
def test_what_is_written_is_read(head):
    assert checkpoint.parse(head.body()) == head
    assert checkpoint.parse_body(head.body()) == head
    assert checkpoint.parse(head.body() + "\n— a AAAAAAE=\n".encode()) == head


@given(st.data())
def test_a_changed_byte_is_refused_or_read_as_it_stands(data):
    at = data.draw(st.integers(0, len(BODY) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != BODY[at]))
    changed = BODY[:at] + bytes([byte]) + BODY[at + 1 :]
    try:
        found = checkpoint.parse_body(changed)
    except MalformedMessage:
        return
    assert found.body() == changed
    assert found != checkpoint.parse(BODY)


@given(st.binary(max_size=100))
def test_any_bytes_are_refused_with_our_error_only(data):
    for foreign in (data, b"a\n1\n" + data, BODY + data, SIGNED + data):
        try:
            found = checkpoint.parse(foreign)
        except MalformedMessage:
            continue
        assert foreign.startswith(found.body())


@pytest.mark.parametrize("end", range(len(BODY)))
def test_no_beginning_of_a_body_is_one(end):
    with pytest.raises(MalformedMessage):
        checkpoint.parse(BODY[:end])


def test_extension_lines_are_kept():
    found = checkpoint.parse(BODY + b"lots\nof\nlines\n")
    assert found.extensions == ("lots", "of", "lines")
    assert found.body() == BODY + b"lots\nof\nlines\n"


# Cases with names are those of transparency-dev/formats at 0b850f1,
# log/checkpoint_test.go, their roots made 32 bytes long where another fault is meant.
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"Head\n9944\n", id="insufficient lines"),
        pytest.param(b"\n9944\n" + HASH, id="empty header"),
        pytest.param(BODY[:-1], id="missing newline on roothash"),
        pytest.param(b"Log\nbananas\n" + HASH, id="not a number"),
        pytest.param(b"Log\n-34\n" + HASH, id="negative"),
        pytest.param(b"Log\n3438945738945739845734895735\n" + HASH, id="too large"),
        pytest.param(b"Log\n123\nThisIsn'tBase64\n", id="not base64"),
        pytest.param(b"Log\n123\nYmFuYW5hcw==\n", id="a root of 7 bytes"),
        pytest.param(
            b"Log\n9\ndGhlIHZpZXcgZnJvbSB0aGUgdHJlZSB0b3BzIGlzIGdyZWF0IQ==\n",
            id="a root of 37 bytes",
        ),
        pytest.param(BODY + b"\n\n\n", id="trailing newlines"),
        pytest.param(BODY + b"\n", id="an empty extension"),
        pytest.param(BODY + b"a\n\nb\n", id="an empty extension between two"),
        pytest.param(BODY + b"a", id="an extension without newline"),
        pytest.param(b"Log\n9223372036854775808\n" + HASH, id="2^63"),
        pytest.param(b"Log\n01\n" + HASH, id="leading zero"),
        pytest.param(b"Log\n00\n" + HASH, id="two zeros"),
        pytest.param(b"Log\n+1\n" + HASH, id="sign"),
        pytest.param(b"Log\n-0\n" + HASH, id="minus zero"),
        pytest.param(b"Log\n1_0\n" + HASH, id="underscore"),
        pytest.param(b"Log\n 1\n" + HASH, id="space before"),
        pytest.param(b"Log\n1 \n" + HASH, id="space behind"),
        pytest.param(b"Log\n1.0\n" + HASH, id="point"),
        pytest.param(b"Log\n0x1\n" + HASH, id="hexadecimal"),
        pytest.param(b"Log\n\n" + HASH, id="no size"),
        pytest.param("Log\n\u0661\n".encode() + HASH, id="arabic digit"),
        pytest.param(b"Log\n1\n\n", id="no root"),
        pytest.param(b"Log\n1\n" + HASH.replace(b"=", b""), id="no padding"),
        pytest.param(b"Log\n1\n" + HASH.replace(b"I=", b"J="), id="spare bits set"),
        pytest.param(b"Log\n1\n" + HASH.replace(b"/", b"_"), id="alphabet of URLs"),
        pytest.param(b"Log\n1\n " + HASH, id="space before the root"),
        pytest.param(BODY.replace(b"\n", b"\r\n"), id="carriage returns"),
        pytest.param(b"L\tg\n1\n" + HASH, id="tab"),
        pytest.param(b"L\xffg\n1\n" + HASH, id="no UTF-8"),
        pytest.param(b"\n" + BODY, id="empty line first"),
        pytest.param(b"", id="nothing"),
        pytest.param(SIGNED[:-1], id="note without its last newline"),
        pytest.param(SIGNED + SIGNED, id="two notes"),
        pytest.param(b"Log\n1\n\n" + SIGNED[len(BODY) + 1 :], id="note, two lines"),
    ],
)
def test_malformed_checkpoints_are_refused(data):
    with pytest.raises(MalformedMessage):
        checkpoint.parse(data)


def test_a_note_is_no_body():
    with pytest.raises(MalformedMessage):
        checkpoint.parse_body(SIGNED)


@pytest.mark.parametrize("size", [0, 1, 9, 10, 2**53 + 1, 2**63 - 1])
def test_sizes_at_their_ends(size):
    found = checkpoint.parse(b"Log\n%d\n" % size + HASH)
    assert found.size == size


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": ""},
        {"origin": "a\nb"},
        {"origin": "a\x00"},
        {"origin": "\ud800"},
        {"size": -1},
        {"size": 2**63},
        {"root": bytes(31)},
        {"root": bytes(33)},
        {"extensions": ("",)},
        {"extensions": ("a\n",)},
        {"extensions": ("a", "\t")},
    ],
)
def test_no_such_checkpoint_can_be_made(wrong):
    right = {"origin": "a", "size": 1, "root": bytes(32)}
    with pytest.raises(MalformedMessage):
        Checkpoint(**(right | wrong))


def test_a_body_has_a_limit():
    line = b"x" * (1_000_000 - len(BODY) - 1) + b"\n"
    assert checkpoint.parse(BODY + line).body() == BODY + line
    with pytest.raises(MalformedMessage, match="1,000,000"):
        checkpoint.parse(BODY + b"x" + line)


@pytest.mark.parametrize("text", ["9223372036854775808", "01", "-1", "1\n", "", "1e3"])
def test_numbers_have_one_spelling_and_a_limit(text):
    assert checkpoint.parse_decimal("9223372036854775807") == 2**63 - 1
    with pytest.raises(MalformedMessage):
        checkpoint.parse_decimal(text)
