# SPDX-License-Identifier: Apache-2.0
"""The audit that routes of the ledger share, and the export that it reads.

An audit of a long ledger takes seconds, and everybody may ask for one. So there is one
at a time, and what it found is kept until members cosign another head: the blocks under
a head do not change.

Not here: the audit itself (ledger/verifier.py). It does NOT look again whether the disk
still holds what was audited: ``Audit.at`` says when it did. Whoever reads a block from
the disk has it checked against its hash.

Rules that always hold: the service's lock is held for a page of blocks and no longer,
however long the ledger is; an audit that failed is not kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from fedxdr.api.service import Service
from fedxdr.core.ids import Digest
from fedxdr.ledger import bundle, verifier
from fedxdr.ledger.block import SignedBlock
from fedxdr.ledger.entries import ModelRetired

_PAGE_BLOCKS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """An audit that found no fault, and what questions about models need of it.

    Attributes:
        report: what it found.
        at: when, UTC.
        heads: the heads that it was made of, by size; over more blocks or with more
            cosignatures the ledger is audited anew.
        firsts: model -> height of the first block that has it.
        withdrawn: model -> height of the first block that withdraws it.
    """

    report: verifier.Report
    at: datetime
    heads: Mapping[int, bytes]
    firsts: Mapping[Digest, int]
    withdrawn: Mapping[Digest, int]


@dataclass(slots=True, kw_only=True)
class Audits:
    """The audits of one application; belongs to its event loop."""

    # held during an audit: others wait for it, and mostly find what they came for
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _known: Audit | None = None

    async def newest(self, service: Service) -> Audit:
        """Return an audit of the ledger as far as a quorum cosigned it by now.

        Raises:
            VerificationFailed: the first fault found.
            Unavailable: the federation is not founded yet.
            WaitingForQuorum: no head has a quorum yet.
        """

        def prepare(service: Service) -> tuple[bytes, dict[int, bytes]]:
            genesis = service.orchestrator.recorder.in_force.genesis
            return genesis.orchestrator.ed25519, _heads(service)

        async with self._turn:
            pinned, heads = await service.run(prepare)
            if self._known is None or self._known.heads != heads:
                self._known = await _audit(service, heads, pinned)
            return self._known


async def export(service: Service) -> bytes:
    """Return the ledger, as far as a quorum cosigned it, as a bundle.

    Raises:
        WaitingForQuorum: no head has a quorum yet.
    """
    heads = await service.run(_heads)
    return await _write(service, await _blocks(service, max(heads)), heads)


def first_heights(
    blocks: Sequence[SignedBlock],
) -> tuple[dict[Digest, int], dict[Digest, int]]:
    """Return where each model first stands, and where it is first withdrawn."""
    firsts, withdrawn = dict[Digest, int](), dict[Digest, int]()
    for block in (signed.block for signed in blocks):
        firsts.setdefault(block.model_hash, block.height)
        if isinstance(block.entry, ModelRetired):
            withdrawn.setdefault(block.entry.model_hash, block.height)
    return firsts, withdrawn


async def _audit(service: Service, heads: Mapping[int, bytes], pinned: bytes) -> Audit:
    blocks, at = await _blocks(service, max(heads)), service.clock.now()
    report = await asyncio.to_thread(
        verifier.verify,
        await _write(service, blocks, heads),
        pinned_orchestrator_key=pinned,
    )
    firsts, withdrawn = first_heights(blocks)
    return Audit(report=report, at=at, heads=heads, firsts=firsts, withdrawn=withdrawn)


async def _blocks(service: Service, end: int) -> list[SignedBlock]:
    """Return the first blocks, in pages, between which others get the lock."""
    found: list[SignedBlock] = []
    for begin in range(0, end, _PAGE_BLOCKS):
        found += await service.run(_page, begin, min(begin + _PAGE_BLOCKS, end))
    return found


async def _write(
    service: Service, blocks: Sequence[SignedBlock], heads: Mapping[int, bytes]
) -> bytes:
    """Return a bundle of blocks with the file of the newest one's model."""

    def model(service: Service) -> bytes:
        return service.orchestrator.blobs.get(blocks[-1].block.model_hash)

    models = [await service.run(model)]
    return await asyncio.to_thread(
        bundle.write, blocks=blocks, models=models, heads=heads
    )


# Under the lock.


def _heads(service: Service) -> dict[int, bytes]:
    return service.orchestrator.heads.for_bundle()


def _page(service: Service, begin: int, end: int) -> list[SignedBlock]:
    return service.orchestrator.recorder.blocks(begin=begin, end=end)
