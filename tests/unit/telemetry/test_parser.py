# SPDX-License-Identifier: Apache-2.0
"""What all parsers share: lines, tokens, shapes of texts."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.telemetry.parser import (
    MAX_KEPT_BYTES,
    MOST_REMEMBERED,
    Rejected,
    Remembered,
    TextShapes,
    Tokeniser,
    codes,
    line_count,
    lines_of,
    numbered,
    text_shapes,
    tokeniser_of,
    tokens,
)


def shape_by_definition(text: str | None) -> tuple[int, float]:
    """Length in bytes and Shannon entropy, written from the definition."""
    if not text:
        return -1, math.nan
    raw = text.encode()
    cut = raw[:1024]
    shares = [count / len(cut) for count in Counter(cut).values()]
    return len(raw), -sum(p * math.log2(p) for p in shares)


@given(st.lists(st.one_of(st.none(), st.text(max_size=40)), max_size=12))
def test_shapes_of_texts(texts: list[str | None]) -> None:
    lengths, entropies = text_shapes(texts)
    assert (lengths.dtype, entropies.dtype) == (np.int32, np.float32)
    want = [shape_by_definition(text) for text in texts]
    assert lengths.tolist() == [length for length, _ in want]
    np.testing.assert_allclose(entropies, [h for _, h in want], atol=1e-5)


@pytest.mark.parametrize(
    ("text", "entropy"), [("aaaa", 0.0), ("abab", 1.0), ("abcd", 2.0)]
)
def test_known_entropies(text: str, entropy: float) -> None:
    assert text_shapes([text])[1][0] == entropy


def test_a_very_long_text_is_measured_at_its_beginning() -> None:
    text = "ab" * 512 + "xyz" * 5000
    lengths, entropies = text_shapes([text])
    assert lengths[0] == 16_024
    assert entropies[0] == 1.0


def test_many_texts_are_read_in_slabs() -> None:
    texts = [f"{n:05d}" for n in range(9000)]
    lengths, entropies = text_shapes(texts)
    assert (lengths == 5).all()
    want = [shape_by_definition(text)[1] for text in texts]
    np.testing.assert_allclose(entropies, want, atol=1e-5)


def test_each_address_is_tokenised_once() -> None:
    asked: list[str] = []

    def tokenise(text: str) -> int:
        asked.append(text)
        return int(text)

    assert tokens(["7", "", "-8", "7"], tokenise).tolist() == [7, 0, -8, 7]
    assert sorted(asked) == ["-8", "7"]


@given(st.lists(st.binary(max_size=6)))
def test_lines_are_counted_and_numbered_alike(parts: list[bytes]) -> None:
    block = b"\n".join(parts)
    lines = lines_of(block)
    assert line_count(block) == len(lines)
    assert b"\n".join(lines) == block.removesuffix(b"\n")
    for number, line in numbered(block, 10):
        assert line.strip()
        assert lines[number - 10] == line


def test_a_rejected_line_is_not_shown_and_not_kept_whole() -> None:
    one = Rejected.of(3, "not JSON", b"secret" * 100_000)
    assert len(one.line) == MAX_KEPT_BYTES
    assert "secret" not in repr(one)


def test_codes() -> None:
    assert codes(["a", None, "a"], lambda text: len(text or "")).tolist() == [1, 0, 1]
    assert len(codes([], lambda _: 0)) == 0


class Both:
    """A tokeniser of its own, which inherits from nothing of ours."""

    def address(self, text: str) -> int:
        return len(text)

    def user(self, text: str) -> int:
        return -len(text)


def test_a_tokeniser_is_handed_on_as_it_is() -> None:
    both = Both()
    assert isinstance(both, Tokeniser)
    assert tokeniser_of(both) is both
    assert tokens(["bob", ""], tokeniser_of(both).user).tolist() == [-3, 0]


def test_a_bare_function_knows_addresses_and_no_user() -> None:
    """Also where it is a method of something that knows users."""
    for function in (len, Both().address):
        bare = tokeniser_of(function)
        assert isinstance(bare, Tokeniser)
        assert tokens(["10.0.0.1", ""], bare.address).tolist() == [8, 0]
        assert tokens(["alice", ""], bare.user).tolist() == [0, 0]


def test_shapes_do_not_depend_on_what_was_read_before() -> None:
    """Also when so much was read that it is forgotten."""
    shapes = TextShapes()
    names = [f"{n:x}.example" for n in range(3 * MOST_REMEMBERED)]
    for begin in range(0, len(names), 20_000):
        block = [*names[begin : begin + 20_000], None, "", "x" * 5000, names[0]]
        for got, want in zip(shapes.of(block), text_shapes(block), strict=True):
            np.testing.assert_array_equal(got, want)
    long = [chr(97 + n) * (1 << 20) for n in range(6)]
    for text in long:
        assert shapes.of([text, "ab"])[0].tolist() == [1 << 20, 2]


def test_what_is_remembered_is_bounded_and_right() -> None:
    asked: list[str | None] = []

    def number_of(name: str | None) -> int:
        asked.append(name)
        return len(name or "")

    names = Remembered(number_of, most=3)
    assert names.of(["a", "bb", "a", None], np.int64).tolist() == [1, 2, 1, 0]
    assert asked == ["a", "bb", None]
    assert names.of(["ccc", "a"], np.int64).tolist() == [3, 1]
    assert len(names) == 4
    assert names.of(["a", "y" * 1000, "y" * 1000], np.int64).tolist() == [1, 1000, 1000]
    assert len(names) == 1
