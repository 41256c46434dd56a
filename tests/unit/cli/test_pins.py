# SPDX-License-Identifier: Apache-2.0
"""``--pin`` is read alike wherever it stands."""

import base64

import pytest

from fedxdr.cli.pins import Pin, read_pin
from fedxdr.core.errors import InvalidSettings

GENESIS = "0123456789abcdef" * 4
KEY = bytes(range(32))


def test_64_hexadecimal_digits_are_a_genesis_and_32_bytes_a_key():
    assert read_pin(None) == Pin()
    assert read_pin(GENESIS) == read_pin(GENESIS.upper()) == Pin(genesis=GENESIS)
    assert read_pin(base64.b64encode(KEY).decode()) == Pin(key=KEY)


@pytest.mark.parametrize(
    "text",
    ["", "?", "xx", GENESIS[:-1], GENESIS + "0", GENESIS[:-1] + "g",
     base64.b64encode(bytes(31)).decode(), f"{GENESIS}\n"],
)  # fmt: skip
def test_what_is_neither_is_refused_with_both_forms_named(text):
    with pytest.raises(InvalidSettings, match=r"(?s)base64.*hexad|hexad.*base64"):
        read_pin(text)


def test_both_commands_take_a_genesis_and_a_key(run, bundle, federation):
    in_force = federation.recorder.in_force
    good = (
        in_force.genesis_hash,
        in_force.genesis_hash.upper(),
        base64.b64encode(federation.identity.public.ed25519).decode(),
    )
    wrong = ("0" * 64, base64.b64encode(bytes(32)).decode())
    for command in (
        ("verify", bundle),
        ("lineage", in_force.model, "--bundle", bundle),
    ):
        for pin in good:
            assert run(*command, "--pin", pin).status == 0, pin
        for pin, word in zip(wrong, ("Genesis", "key"), strict=True):
            done = run(*command, "--pin", pin)
            assert done.status == 1
            assert f"{word} is not the pinned one" in done.err
        assert run(*command, "--pin", GENESIS[:-1]).status == 2
