# SPDX-License-Identifier: Apache-2.0
"""Canonical bytes: RFC 8785 vectors, one form only, and nothing that is not finite."""

from __future__ import annotations

import contextlib
import json
import math
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core import canonical
from fedxdr.core.canonical import builtins, decode, encode, from_builtins, jcs
from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import sha256

VECTORS = Path(__file__).parents[4] / "shared/vectors/rfc8785/testdata"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    number: float = 0.0
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    name: str
    data: bytes = b""
    at: datetime = NOON
    parts: tuple[Inner, ...] = ()
    table: dict[str, int] = field(default_factory=dict)
    maybe: str | None = None


@pytest.mark.parametrize(
    "name", ["arrays", "french", "structures", "unicode", "values", "weird"]
)
def test_jcs_gives_the_published_bytes(name):
    if not VECTORS.is_dir():
        pytest.skip(f"no RFC 8785 vectors at {VECTORS.name}; see ../shared")
    value = json.loads((VECTORS / "input" / f"{name}.json").read_text("utf-8"))
    want = (VECTORS / "output" / f"{name}.json").read_bytes()
    assert jcs(value) == want
    assert canonical.parse_jcs(want) == value


# RFC 8785, appendix B, by the bits of the IEEE 754 double.
@pytest.mark.parametrize(
    ("bits", "want"),
    [
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555557", "333333333.33333343"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_floats_are_written_as_the_rfc_writes_them(bits, want):
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert jcs(value) == want.encode()


def test_keys_are_sorted_by_utf_16_code_units():
    # U+10000 is above U+FB33 as a code point and below it in UTF-16
    value = {"\U00010000": 1, "\ufb33": 2, "a": 3}
    assert jcs(value) == '{"a":3,"\U00010000":1,"\ufb33":2}'.encode()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**54), max_value=2**54)
    | st.floats()
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(JSON)
def test_the_fast_writer_and_the_rfc8785_package_agree(value):
    try:
        want = rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, ValueError):
        with pytest.raises(MalformedMessage):
            jcs(value)
    else:
        assert jcs(value) == want


# A whole float from 2^53 on looks like an integer that has no form: it is written, and
# read only where a dataclass says that it is a float.
READABLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**53) + 1, max_value=2**53 - 1)
    | st.floats(min_value=-(2.0**52), max_value=2.0**52)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(READABLE)
def test_what_was_written_is_read_back(value):
    data = jcs(value)
    assert canonical.parse_jcs(data) == value
    assert jcs(canonical.parse_jcs(data)) == data


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        2**53,
        -(2**53),
        {"deep": [1, {"x": math.nan}]},
        {1: "a number as key"},
        b"bytes",
        {"a set"},
        "\ud800",
        object(),
    ],
)
def test_what_has_no_form_is_refused(value):
    with pytest.raises(MalformedMessage):
        jcs(value)


def test_the_largest_integers_have_a_form():
    assert jcs([2**53 - 1, -(2**53) + 1]) == b"[9007199254740991,-9007199254740991]"


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}',  # a key twice
        b'{"b":1,"a":2}',  # another order
        b'{"a": 1}',  # white space
        b'{"a":1}\n',
        b'{"a":1.0}',  # another form of the number
        b'{"a":1e0}',
        b'{"a":-0}',
        b'"\\u0061"',  # another form of the letter
        b'"\\/"',
        b'"\\u001F"',
        b"[1,]",
        b"9007199254740992",
        b"1e999",
        b"NaN",
        b"",
        b"\xff",
        b"\xef\xbb\xbf1",  # byte order mark
        b'"\xed\xa0\x80"',  # surrogate in UTF-8
    ],
)
def test_other_forms_are_not_read(data):
    with pytest.raises(MalformedMessage):
        canonical.parse_jcs(data)


@pytest.mark.parametrize("depth", [400, 5_000, 200_000])
def test_deep_nesting_is_refused_and_not_a_crash(depth):
    with pytest.raises(MalformedMessage):
        canonical.parse_jcs(b"[" * depth + b"]" * (depth - 1) + b" ]")
    nested: list[object] = []
    for _ in range(5_000):
        nested = [nested]
    with pytest.raises(MalformedMessage):
        jcs(nested)


def test_a_dataclass_is_written_field_by_field():
    value = Sample(name="é", data=b"\x00\xff", parts=(Inner(number=0.5, count=2),))
    assert (
        encode(value)
        == (
            '{"at":"2026-03-01T12:00:00Z","data":"AP8=","maybe":null,"name":"é",'
            '"parts":[{"count":2,"number":0.5}],"table":{}}'
        ).encode()
    )
    assert builtins(value)["parts"] == [{"count": 2, "number": 0.5}]


@given(
    st.builds(
        Sample,
        name=st.text(),
        data=st.binary(),
        at=st.datetimes(timezones=st.just(UTC)),
        parts=st.lists(
            st.builds(
                Inner,
                number=st.floats(allow_nan=False, allow_infinity=False),
                count=st.integers(-(2**53) + 1, 2**53 - 1),
            )
        ).map(tuple),
        table=st.dictionaries(st.text(), st.integers(0, 9)),
        maybe=st.none() | st.text(),
    )
)
def test_values_come_back_as_they_were(value):
    assert decode(encode(value), Sample) == value
    assert from_builtins(builtins(value), Sample) == value


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_value_with_a_number_that_is_not_finite_is_not_written(number):
    with pytest.raises(MalformedMessage, match="finite"):
        encode(Inner(number=number))


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 3, 1, 12, 0),  # noqa: DTZ001 - the point of the test
        datetime(2026, 3, 1, 13, 0, tzinfo=timezone(timedelta(hours=1))),
    ],
)
def test_an_instant_that_is_not_utc_is_not_written(at):
    with pytest.raises(MalformedMessage, match="UTC"):
        encode(Sample(name="x", at=at))


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T12:00:00",
        "2026-03-01T13:00:00+01:00",
        "2026-03-01T12:00:00+00:00",
        "2026-03-01t12:00:00z",
        "2026-03-01T12:00:00.000000Z",
        "2026-03-01T12:00:00.0000001Z",
        "2026-03-01 12:00:00Z",
    ],
)
def test_an_instant_has_one_form(text):
    good = encode(Sample(name="x"))
    assert decode(good, Sample).at == NOON
    bad = good.replace(b"2026-03-01T12:00:00Z", text.encode())
    assert bad != good
    with pytest.raises(MalformedMessage):
        decode(bad, Sample)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"name"', b'"other":1,"name"'),  # unknown field
        (b'"name":"x"', b'"name":"x","name":"x"'),  # a field twice
        (b'"maybe":null,', b""),  # a default left out
        (b'"data":""', b'"data":"AA"'),  # base64 without padding
        (b'"data":""', b'"data":"AB=="'),  # bits after the end
        (b'"data":""', b'"data":"A A="'),
        (b'"table":{}', b'"table":{"a":"1"}'),
        (b'"name":"x"', b'"name":7'),
        (b"{", b" {"),
    ],
)
def test_bytes_of_another_form_are_no_value(before, after):
    good = encode(Sample(name="x"))
    bad = good.replace(before, after, 1)
    assert bad != good
    with pytest.raises(MalformedMessage):
        decode(bad, Sample)


@given(st.binary())
def test_foreign_bytes_raise_our_error_only(data):
    with pytest.raises(MalformedMessage):
        decode(data, Sample)


def test_the_fingerprint_binds_label_and_value():
    value = Inner(count=1)
    want = sha256(b"label/v1\x00" + b'{"count":1,"number":0}')
    assert canonical.fingerprint("label/v1", value) == want
    assert canonical.fingerprint("label/v2", value) != want
    assert canonical.fingerprint("label/v1", Inner(count=2)) != want


def test_deep_nesting_is_refused_and_never_a_recursion_error() -> None:
    for depth in (300, 600, 950, 5_000):
        text = b"[" * depth + b"]" * depth
        with contextlib.suppress(MalformedMessage):
            canonical.parse_jcs(text)
        value: list[object] = []
        for _ in range(depth):
            value = [value]
        with contextlib.suppress(MalformedMessage):
            canonical.encode(value)


@pytest.mark.parametrize("data", [b"", b"{}", b'{"number":0,"count":1}'])
def test_of_a_file_it_is_said_what_people_call_it(data: bytes) -> None:
    with pytest.raises(MalformedMessage, match="a Inner"):
        decode(data, Inner)
    with pytest.raises(MalformedMessage, match="an answer, as it comes") as caught:
        decode(data, Inner, what="an answer, as it comes")
    assert "Inner" not in str(caught.value)
