# SPDX-License-Identifier: Apache-2.0
"""Routes of the ledger as a C2SP transparency log: head, policy, tiles, proofs.

Everything under ``/ledger/checkpoint`` and ``/ledger/tile/`` is what a web server would
serve from the static files of tiles.py, so tools for such logs read it with
``<prefix>/ledger`` as the log's address. An entry is the body of a block; the
signatures that it binds are not entries and come with ``/ledger/raw-blocks``.

Not here: taking cosignatures (changes.py), blocks as JSON (ledger.py). Nobody needs a
token: all of this is there to be checked, and nothing in it is believed unchecked.

Sources: C2SP tlog-tiles, "APIs"; tlog-proof; tlog-policy.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from fedxdr.api.service import Service, service_of
from fedxdr.core.errors import BadSignature, NotFound
from fedxdr.ledger import light, note_form, proofs, tiles
from fedxdr.ledger import policy as policies
from fedxdr.ledger.merkle import Tree

router = APIRouter(tags=["ledger"])

# The head changes with every block; a tile never does.
_MUTABLE = {"cache-control": "no-cache"}
_IMMUTABLE = {"cache-control": "public, max-age=31536000, immutable"}
_TEXT = "text/plain; charset=utf-8"
_BINARY = "application/octet-stream"
_HEADS_KEPT = 16

_Size = Annotated[int | None, Query(ge=1)]
_Index = Annotated[int, Query(ge=0)]


@router.get("/ledger/checkpoint")
async def checkpoint(request: Request, size: _Size = None) -> Response:
    """Return the newest signed head, or that of a size, with its cosignatures so far.

    The newest may not have its quorum yet: its policy says how many it needs.
    """

    def look(service: Service) -> bytes:
        return service.orchestrator.heads.at(_size(service, size))

    found = await service_of(request).run(look)
    return Response(found, media_type=_TEXT, headers=_MUTABLE)


@router.get("/ledger/policy")
async def policy(request: Request, size: _Size = None) -> Response:
    """Return the C2SP tlog-policy under which the head of a size counts.

    It follows from the blocks below; a reader who does not know them yet should get it
    from a member and not from here.
    """

    def look(service: Service) -> str:
        wanted = _size(service, size)
        return service.orchestrator.recorder.signers_at(wanted).policy_text()

    found = await service_of(request).run(look)
    return Response(found, media_type=_TEXT, headers=_MUTABLE)


@router.get("/ledger/tile/{path:path}")
async def tile(request: Request, path: str) -> Response:
    """Return a tile of the Merkle tree, or (below ``entries/``) a bundle of entries."""
    wanted = tiles.parse_path(f"tile/{path}")

    def look(service: Service) -> bytes:
        recorder = service.orchestrator.recorder
        if wanted.level is not None:
            return tiles.tile(recorder.tree, wanted)
        begin = wanted.index * tiles.FULL
        end = begin + wanted.width
        _require(end <= recorder.size(), str(wanted))
        return tiles.entry_bundle(
            [signed.block.body() for signed in recorder.blocks(begin=begin, end=end)]
        )

    found = await service_of(request).run(look)
    return Response(found, media_type=_BINARY, headers=_IMMUTABLE)


@router.get("/ledger/proof/inclusion")
async def inclusion(request: Request, index: _Index, size: _Size = None) -> Response:
    """Return the audit path of a block in the tree of a size, by default the newest."""

    def look(service: Service) -> dict[str, Any]:
        tree, wanted = service.orchestrator.recorder.tree, _size(service, size)
        _require(index < wanted, f"block {index} in a tree of {wanted}")
        return {
            "index": index,
            "size": wanted,
            "leaf_hash": note_form.to_base64(tree.node(0, index)),
            "root": _root(tree, wanted),
            "proof": _hashes(tree.inclusion_proof(index, wanted)),
        }

    found = await service_of(request).run(look)
    return JSONResponse(found, headers=_MUTABLE)


@router.get("/ledger/proof/consistency")
async def consistency(
    request: Request,
    begin: Annotated[int, Query(alias="from", ge=1)],
    end: Annotated[int | None, Query(alias="to", ge=1)] = None,
) -> Response:
    """Return the proof that the tree of one size extends that of a smaller one."""

    def look(service: Service) -> dict[str, Any]:
        tree, wanted = service.orchestrator.recorder.tree, _size(service, end)
        _require(begin <= wanted, f"growth from {begin} to {wanted} blocks")
        return {
            "old_size": begin,
            "new_size": wanted,
            "old_root": _root(tree, begin),
            "new_root": _root(tree, wanted),
            "proof": _hashes(tree.consistency_proof(begin, wanted)),
        }

    found = await service_of(request).run(look)
    return JSONResponse(found, headers=_MUTABLE)


@router.get("/ledger/proof/tlog")
async def tlog_proof(request: Request, height: _Index, size: _Size = None) -> Response:
    """Return a C2SP tlog-proof of a block, to be checked offline.

    Its head is the newest that a quorum cosigned, unless a size is asked for, with the
    signature lines that its policy asks for and no others: as few as make it count. One
    that has no quorum yet comes with those of listed keys.
    """

    def look(service: Service) -> tuple[list[bytes], bytes, str]:
        heads, recorder = service.orchestrator.heads, service.orchestrator.recorder
        wanted = _size(service, heads.newest_quorum() if size is None else size)
        _require(height < wanted, f"block {height} under the head over {wanted}")
        return (
            recorder.tree.inclusion_proof(height, wanted),
            heads.at(wanted),
            recorder.signers_at(wanted).policy_text(),
        )

    path, head, text = await service_of(request).run(look)
    lean = await asyncio.to_thread(_fewest_lines, head, text)
    found = proofs.write(index=height, path=path, checkpoint=lean)
    return Response(found, media_type=_TEXT, headers=_MUTABLE)


@functools.lru_cache(maxsize=_HEADS_KEPT)
def _fewest_lines(head: bytes, policy_text: str) -> bytes:
    """Return a head as a proof wants it; kept, as it takes a hundred signatures."""
    rules = policies.parse(policy_text.encode())
    try:
        return light.fewest_lines(head, rules=rules)
    except BadSignature:
        # asked for by its size, before a quorum cosigned it
        return rules.listed(head)


def _size(service: Service, size: int | None) -> int:
    """Return a size that the ledger has or had, its present one for None.

    Raises:
        NotFound: the ledger is empty or smaller.
    """
    present = service.orchestrator.recorder.size()
    wanted = present if size is None else size
    _require(1 <= wanted <= present, f"ledger of {wanted} blocks")
    return wanted


def _root(tree: Tree, size: int) -> str:
    return note_form.to_base64(tree.root(size))


def _hashes(found: list[bytes]) -> list[str]:
    return [note_form.to_base64(hash_) for hash_ in found]


def _require(is_there: bool, what: str) -> None:
    if not is_there:
        raise NotFound(f"there is no {what}")
