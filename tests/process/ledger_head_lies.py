# SPDX-License-Identifier: Apache-2.0
"""Lies about heads: their form, whose lines they bear, and which of them are there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from tests.process.ledger_ends import (
    closed,
    ending,
    turned,
)

from fedxdr.ledger import cosignature
from fedxdr.ledger.note_form import COSIGNATURE_ED25519, NoteSignature, VerifierKey

_STRANGER = "— zulu AAAAAAA=\n"


def _in_the_future(head: str) -> str:
    """Return a head that a member cosigned, well, at a time that is none."""
    org, key = next(iter(ending("round").witnesses.items()))
    body = head.split("\n\n", 1)[0].encode() + b"\n"
    found = VerifierKey(
        name=org, kind=COSIGNATURE_ED25519, public_key=key.public.tlog_ed25519
    )
    message = cosignature.message_of(body, key=found, timestamp=2**63)
    signed = (2**63).to_bytes(8, "big") + key.sign_tlog_ed25519(message)
    line = NoteSignature(name=org, key_id=found.key_id, signature=signed).line()
    return head + line


HEADS: dict[str, tuple[int, Callable[[str], str]]] = {
    "a line by a stranger": (11, lambda head: head + _STRANGER),
    "a line by a stranger under the log's name": (
        11,
        lambda head: head + _STRANGER.replace("zulu", "test.example/ledger"),
    ),
    "a line from beyond time": (11, _in_the_future),
    "a line twice": (11, lambda head: head + head.split("\n")[-2] + "\n"),
    "the last newline missing": (10, lambda head: head[:-1] + "x"),
    "a control character": (10, lambda head: head + _STRANGER.replace("u", "\x01")),
    "a space of Unicode": (10, lambda head: head + _STRANGER.replace("u", "\x85")),
    "another space of Unicode": (
        10,
        lambda head: head + _STRANGER.replace("u", "\u3000"),
    ),
    "no space of Unicode": (11, lambda head: head + _STRANGER.replace("u", "\ufeff")),
    "a plus in a name": (10, lambda head: head + _STRANGER.replace("u", "+")),
    "no room for a signature": (
        10,
        lambda head: head + _STRANGER.replace("AAAAAAA=", "AAAAAA=="),
    ),
    "spare bits": (10, lambda head: head + _STRANGER.replace("AAA=", "AAB=")),
    "more lines than there may be": (10, lambda head: head + _STRANGER * 1_020),
    "as many lines as there may be": (11, lambda head: head + _STRANGER * 1_018),
    "more bytes than there may be": (
        10,
        lambda head: head + _STRANGER.replace("zulu", "u" * 999_000),
    ),
    "an extension": (10, lambda head: head.replace("\n\n", "\nmore\n\n")),
}


def unasked() -> dict[str, bytes]:
    """Return bundles without the head over a turn, and with one over none (11)."""
    plain = ending("round")
    more = dataclasses.replace(plain, earlier={2: plain.told.head(2)})
    return {
        "no head over a turn": closed(
            dataclasses.replace(turned(), earlier={}).lines()
        ),
        "a head over no turn": closed(more.lines()),
    }


def headed(name: str) -> tuple[bytes, int]:
    """Return a bundle whose newest head has another form, and its step."""
    true = ending("round")
    step, change = HEADS[name]
    head = true.head(list(true.bodies)).decode()
    return closed(true.lines(newest=change(head))), step
