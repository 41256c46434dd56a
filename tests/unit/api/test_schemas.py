# SPDX-License-Identifier: Apache-2.0
"""A body says each thing once, and nothing that nobody asked for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.api.schemas import ProposePlan, VerifyModel, parse
from fedxdr.core.errors import MalformedMessage

MODEL = "0" * 64


@pytest.mark.parametrize(
    "body",
    [
        f'{{"model_hash": "{MODEL}", "model_hash": "{MODEL}"}}',
        f'{{"model_hash": "x", "model_hash": "{MODEL}"}}',
        # the same name, spelled in two ways
        f'{{"model_hash": "x", "model\\u005fhash": "{MODEL}"}}',
        f'{{"model_hash": "{MODEL}", "org_signatures": {{"a": "1", "a": "1"}}}}',
    ],
)
def test_a_field_that_stands_twice_is_refused(body, settled, problem):
    with pytest.raises(MalformedMessage, match="stands twice"):
        parse(VerifyModel, body.encode())
    answer = settled.send("POST", "/ledger/verify", body.encode())
    problem(answer, 422, "malformed-message", "stands twice")


def test_however_deep_it_stands():
    inner = '{"config": {"a": [{"b": {"c": 1, "c": 2}}]}}'
    with pytest.raises(MalformedMessage, match="stands twice"):
        parse(ProposePlan, inner.encode())


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"\xff", b'{"model_hash"', b'{"model_hash": 1}', b"[" * 9000,
     b'{"config": ' + b'{"a":' * 9000, b'{"config": {"a": ' + b"9" * 9000 + b"}}",
     b"\xef\xbb\xbf{}", "{}".encode("utf-16")],
)  # fmt: skip
def test_nothing_but_our_error_gets_out(body):
    for schema in (VerifyModel, ProposePlan):
        with pytest.raises(MalformedMessage):
            parse(schema, body)


@given(
    config=st.dictionaries(
        st.text(max_size=3),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=8,
        ),
        max_size=4,
    )
)
def test_what_says_each_thing_once_is_read_as_it_is(config):
    body = json.dumps({"config": config}).encode()
    assert parse(ProposePlan, body).config == config
