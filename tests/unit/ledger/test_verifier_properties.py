# SPDX-License-Identifier: Apache-2.0
"""Whatever a block says, the audit accepts the truth or raises its own error."""

import copy
import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedxdr.core.canonical import jcs, parse_jcs
from fedxdr.core.errors import VerificationFailed
from fedxdr.core.ids import sha256
from fedxdr.ledger import block
from fedxdr.ledger.verifier import verify

BLOCKS = 5
VALUES = st.sampled_from(
    [
        None,
        True,
        0,
        1,
        -1,
        2**53 - 1,
        0.5,
        1e300,
        "",
        "alpha",
        "zulu",
        "none",
        "a" * 64,
        [],
        {},
        ["bravo", "alpha"],
        {"alpha": 1},
        {"mechanism": "none"},
        "2026-01-02T03:04:05Z",
    ]
)


def places(value, path=()):
    """Return the path of every part of a JSON value."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    found = [path] if path else []
    for key, part in inner:
        found += places(part, (*path, key))
    return found


def changed(value, path, new, *, remove):
    """Return the value with one part replaced or removed."""
    value = copy.deepcopy(value)
    *way, last = path
    node = value
    for key in way:
        node = node[key]
    if remove:
        del node[last]
    else:
        node[last] = new
    return value


def bound_again(lines, height, line):
    """Return the bundle with one block's line, its digests and hash made anew."""
    beside = sorted((jcs(e) for e in line["envelopes"]), key=sha256)
    bound = block.signatures_digest(map(sha256, beside))
    body = jcs(line["block"] | {"signatures_digest": bound})
    lines = list(lines)
    lines[height + 1] = b'{"block":%b,"envelopes":[%b],"hash":"%b"}' % (
        body,
        b",".join(beside),
        block.hash_of(body).encode(),
    )
    before = b"".join(line + b"\n" for line in lines[:-1])
    head = lines[-1].split(b'"head":', 1)[1]
    digest = hashlib.sha256(before).hexdigest().encode()
    return before + b'{"digest":"' + digest + b'","head":' + head + b"\n"


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_block_that_says_anything_else_is_refused(small_bundle, data):
    lines = small_bundle.split(b"\n")[:-1]
    height = data.draw(st.integers(0, BLOCKS - 1))
    line = parse_jcs(lines[height + 1])
    part = data.draw(st.sampled_from(["block", "block", "block", "envelopes"]))
    found = places(line[part])
    if not found:
        return
    path = data.draw(st.sampled_from(found))
    remove = data.draw(st.booleans())
    other = line | {part: changed(line[part], path, data.draw(VALUES), remove=remove)}
    mutated = bound_again(lines, height, other)
    if mutated == small_bundle:
        verify(mutated)
        return
    with pytest.raises(VerificationFailed):
        verify(mutated)
