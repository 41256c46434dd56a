# SPDX-License-Identifier: Apache-2.0
"""Names are safe in paths and URLs; digests have one spelling."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import digest, org_id, round_id, sha256


@pytest.mark.parametrize("text", ["a", "7", "org-a", "a--b", "x" * 64, "0-9"])
def test_good_names(text):
    assert org_id(text) == text
    assert round_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-a",
        "a-",
        "A",
        "a_b",
        "a.b",
        "a/b",
        "..",
        "a\n",
        "é",
        "x" * 65,
        "a b",
        "a\0",
    ],
)
def test_bad_names(text):
    with pytest.raises(MalformedMessage, match="an organisation"):
        org_id(text)
    with pytest.raises(MalformedMessage, match="a round"):
        round_id(text)


@given(st.text())
def test_a_name_that_passes_is_safe_in_a_path(text):
    try:
        name = org_id(text)
    except MalformedMessage:
        return
    assert name.isascii()
    assert name == name.lower()
    assert not set(name) & set("/\\.:%? \n\0")


@pytest.mark.parametrize(
    "text", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, "0" * 64 + "\n", "é" * 64]
)
def test_bad_digests(text):
    with pytest.raises(MalformedMessage):
        digest(text)


def test_a_digest_is_hexadecimal_sha_256():
    want = hashlib.sha256(b"abc").hexdigest()
    assert sha256(b"a", b"", b"bc") == want
    assert digest(want) == want
