# SPDX-License-Identifier: Apache-2.0
"""The contract that keeps anchors: what was compiled, and how its event reads.

``contract.compiled`` is what the compiler prints and nothing else, made by::

    vyper -f abi,bytecode,bytecode_runtime contract.vy > contract.compiled

It does NOT talk to a chain (evm.py), and nothing here needs web3.

Rules that always hold: the compiled form is that of the source beside it (its last
bytes name the source's digest); code on a chain is this contract only if it is equal
byte for byte, but for the owner's address at its end.

Source: Vyper 0.4.3, "Compiling a contract" and "Immutables"; Ethereum contract ABI
specification, "Events".
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import resources
from typing import Any

from fedxdr.core.errors import VerificationFailed

EVENT_TOPIC = bytes.fromhex(
    "bea4d11b910aad40d2df2a90d97a3329219b6389f85777c99daad7eb5fafd439"
)
"""Keccak-256 of ``Anchored(bytes32,uint64,bytes32)``: the event's first topic."""

_WORD_BYTES = 32
_ADDRESS_BYTES = 20


@cache
def abi() -> list[dict[str, Any]]:
    """Return the contract's interface, as ABI entries."""
    found: list[dict[str, Any]] = json.loads(_lines()[0])
    return found


def deployment_code() -> bytes:
    """Return the code that makes the contract; its sender becomes the owner."""
    return bytes.fromhex(_lines()[1].removeprefix("0x"))


def runtime_code() -> bytes:
    """Return the contract's code, without the owner's address that follows it."""
    return bytes.fromhex(_lines()[2].removeprefix("0x"))


def source() -> bytes:
    """Return the contract's source text."""
    return resources.files(__package__).joinpath("contract.vy").read_bytes()


def owner_in(code: bytes) -> str:
    """Return who may anchor, by the code that stands at a contract's address.

    Args:
        code: all of it.

    Returns:
        The owner's address, ``0x`` and 40 lower-case hexadecimal digits.

    Raises:
        VerificationFailed: the code is not this contract's.
    """
    known = runtime_code()
    owner = code[len(known) :]
    is_whole = len(owner) == _WORD_BYTES
    if not is_whole or code[: len(known)] != known or any(owner[:-_ADDRESS_BYTES]):
        raise VerificationFailed(
            f"the {len(code)} bytes of code there are not the published contract's",
            step="3 contract",
        )
    return f"0x{owner[-_ADDRESS_BYTES:].hex()}"


def origin_topic(origin: str) -> bytes:
    """Return what stands for a log's name on the chain: SHA-256 of it, 32 bytes."""
    return hashlib.sha256(origin.encode()).digest()


def event_topics(*, origin: str, size: int) -> tuple[bytes, bytes, bytes]:
    """Return the three topics, 32 bytes each, of the event of an anchor.

    Args:
        origin: the checkpoint's origin line.
        size: number of leaves, in [0, 2^63).
    """
    return EVENT_TOPIC, origin_topic(origin), size.to_bytes(_WORD_BYTES, "big")


@cache
def _lines() -> tuple[str, str, str]:
    text = resources.files(__package__).joinpath("contract.compiled").read_text("ascii")
    interface, deployment, runtime = text.splitlines()
    return interface, deployment, runtime
