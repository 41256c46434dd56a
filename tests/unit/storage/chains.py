# SPDX-License-Identifier: Apache-2.0
"""Small ledgers for the tests of stores: blocks and heads that are cheaply made."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

from fedxdr.core.ids import Digest, OrgId, RoundId, sha256
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.keys import IdentityKey
from fedxdr.crypto.publisher import PublisherKey
from fedxdr.ledger import block as blocks
from fedxdr.ledger.block import Block, SignedBlock
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.entries import Genesis, MemberKeys, RoundFailed

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def genesis(*, name: str = "f") -> SignedBlock:
    """Return a first block."""
    orchestrator, founder = (
        MemberKeys.of(IdentityKey.generate(SeededEntropy(seed)).public)
        for seed in (1, 2)
    )
    entry = Genesis(
        federation=name,
        origin="f.example/ledger",
        orchestrator=orchestrator,
        publisher=PublisherKey(seed=bytes(32)).public_der,
        created=BEGIN,
        protocol_version=1,
        initial_model=sha256(b"model"),
        layout_digest=sha256(b"layout"),
        founders={OrgId("org-a"): founder.fingerprint},
    )
    return blocks.next_block(None, entry=entry, timestamp=BEGIN)


def failed(previous: Block, *, name: str = "") -> SignedBlock:
    """Return a block about a failed round that follows another block."""
    height = previous.height + 1
    entry = RoundFailed(
        round_id=RoundId(name or f"round-{height}"),
        phase="keys",
        reason="too-few-participants",
        sentence="nobody came",
        survivors=(),
    )
    at = BEGIN + timedelta(seconds=height)
    return blocks.next_block(previous, entry=entry, timestamp=at)


def chain(n: int) -> list[SignedBlock]:
    """Return the first n blocks of a ledger, n >= 1."""
    found = [genesis()]
    while len(found) < n:
        found.append(failed(found[-1].block))
    return found


def head(size: int, root: Digest, *, lines: int = 1) -> bytes:
    """Return a note about a head, with signature lines that nobody made."""
    body = Checkpoint(origin="f.example/ledger", size=size, root=bytes.fromhex(root))
    signature = base64.b64encode(bytes(68)).decode()
    signed = "".join(f"\u2014 witness-{n} {signature}\n" for n in range(lines))
    return body.body() + b"\n" + signed.encode()
