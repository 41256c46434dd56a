# SPDX-License-Identifier: Apache-2.0
"""Values of a JSON line are found where they stand."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fedxdr.privacy.redaction_places import KEY, Path, inside, places

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
records = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), texts),
    lambda below: st.one_of(
        st.lists(below, max_size=3), st.dictionaries(texts, below, max_size=3)
    ),
    max_leaves=12,
)


def leaves(value: Any, path: Path = ()) -> dict[Path, Any]:
    if isinstance(value, dict):
        result = {(*path, key, KEY): key for key in value}
        for key, below in value.items():
            result |= leaves(below, (*path, key))
        return result
    if isinstance(value, list):
        result = {}
        for place, below in enumerate(value):
            result |= leaves(below, (*path, place))
        return result
    return {path: value}


@given(records, st.booleans(), st.booleans())
def test_every_value_and_key_is_where_it_says(
    record: Any, ascii_only: bool, spaced: bool
) -> None:
    text = json.dumps(
        record, ensure_ascii=ascii_only, separators=None if spaced else (",", ":")
    )
    known = places(text)
    expected = leaves(record)
    assert set(known) == set(expected)
    for path, value in expected.items():
        begin, end = known[path]
        written = text[begin:end]
        if isinstance(value, str):
            assert json.loads(f'"{written}"') == value
        else:
            assert json.loads(written) == value


@given(texts, texts, texts, st.booleans())
def test_positions_inside_a_string_hold_with_escapes(
    before: str, middle: str, after: str, ascii_only: bool
) -> None:
    text = json.dumps({"a": before + middle + after}, ensure_ascii=ascii_only)
    place = places(text)[("a",)]
    begin, end = inside(text, place, len(before), len(before) + len(middle))
    assert json.loads(f'"{text[begin:end]}"') == middle


def test_of_a_key_given_twice_the_last_counts() -> None:
    text = '{"a": "one", "a": "two"}'
    begin, end = places(text)[("a",)]
    assert text[begin:end] == "two"


@given(st.text(alphabet='{}[],:"\\a1 ', max_size=60))
def test_what_is_no_json_does_no_harm(text: str) -> None:
    for begin, end in places(text).values():
        assert 0 <= begin <= end <= len(text)
