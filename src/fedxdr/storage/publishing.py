# SPDX-License-Identifier: Apache-2.0
"""From a block that brings a model to the directory in which strangers find it.

``publish`` is the orchestrator's, who holds the publisher's key; ``mirror`` is an
agent's, who gets card and signatures from there and everything else from its own
ledger. Both write the same bytes.

``provenance.json`` is the block with its envelopes and hash, the line that a bundle has
for it (ledger/bundle.py): in each DSSE envelope of an acceptance lies an in-toto
Statement v1 with SLSA provenance, subject ``model.safetensors``.

Not here: signing and writing (model_directory.py), whether the block is true (ledger).

Rules that always hold: only a block that brings this very model into force is
published with it; nothing in a card is markup that a block could choose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from fedxdr.core import canonical
from fedxdr.core.errors import MalformedMessage, NotFound
from fedxdr.core.ids import sha256
from fedxdr.crypto.publisher import Publisher, PublisherKey
from fedxdr.ledger import block as blocks
from fedxdr.ledger.block import Block, SignedBlock
from fedxdr.ledger.entries import Genesis, OrchestratorReplaced
from fedxdr.ledger.lineage import brings_model
from fedxdr.storage.model_directory import (
    KEY,
    MODEL,
    PROVENANCE,
    Seal,
    mirror_model_directory,
    write_model_directory,
)

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+!|~&-])")


def publish(
    folder: Path, *, signed: SignedBlock, model: bytes, publisher: PublisherKey
) -> Path:
    """Sign and publish the model that a block brings; again, it changes nothing.

    Args:
        folder: of all published models.
        signed: the block as it stands on the ledger, with its envelopes.
        model: the model's file.
        publisher: the key that the ledger names at that height.

    Returns:
        The directory, named by the model's SHA-256.

    Raises:
        MalformedMessage: the block does not bring this model.
        IntegrityFault: something else is published under that name.
        StorageFault: the disk said no.
    """
    _require_brought(signed.block, model)
    return write_model_directory(
        folder,
        model=model,
        provenance=provenance_of(signed),
        card=card_of(signed.block),
        publisher=publisher,
    )


def mirror(
    folder: Path,
    *,
    signed: SignedBlock,
    model: bytes,
    publisher: Publisher,
    seal: Seal,
) -> Path:
    """Publish the same from a mirror of the ledger, sealed by the publisher.

    Args:
        folder: of all published models.
        signed: the block of this mirror, with its envelopes.
        model: the model's file.
        publisher: the key that the ledger names at that height.
        seal: what the holder of that key added.

    Returns:
        The directory.

    Raises:
        MalformedMessage: the block does not bring this model.
        BadSignature: the seal is not by that key over this block and model.
        IntegrityFault: something else is published under that name.
        StorageFault: the disk said no.
    """
    _require_brought(signed.block, model)
    return mirror_model_directory(
        folder,
        model=model,
        provenance=provenance_of(signed),
        publisher=publisher,
        seal=seal,
    )


def unpublished(
    folder: Path, blocks: Iterable[SignedBlock], *, publisher: Publisher | None = None
) -> Iterator[tuple[SignedBlock, Publisher]]:
    """Yield what is not published yet: each block that brings a model, and its key.

    After a crash between commit and publication the model is still here.

    Args:
        folder: of all published models.
        blocks: in order of height, from the Genesis.
        publisher: ``publisher_after`` the blocks before these, if they follow on some.

    Raises:
        MalformedMessage: the ledger names a publisher's key that is none.
    """
    for signed in blocks:
        publisher = _named(signed.block) or publisher
        if publisher is None or not brings_model(signed.block):
            continue
        if not (folder / signed.block.model_hash).exists():
            yield signed, publisher


def publisher_after(
    blocks: Iterable[SignedBlock], *, before: Publisher | None = None
) -> Publisher | None:
    """Return the key that is in force after some blocks.

    Args:
        blocks: in order of height.
        before: the key in force before them, None if they begin with the Genesis.
    """
    for signed in blocks:
        before = _named(signed.block) or before
    return before


def publisher_at(blocks: Iterable[Block], height: int) -> Publisher:
    """Return the key under which the model of a block is published.

    Args:
        blocks: in order of height, from the Genesis.
        height: of the block that brings the model.

    Raises:
        NotFound: no Genesis up to there.
        MalformedMessage: the ledger names a key that is none.
    """
    keys = [_named(block) for block in blocks if block.height <= height]
    for key in reversed(keys):
        if key is not None:
            return key
    raise NotFound("a ledger without a Genesis names no publisher")


def provenance_of(signed: SignedBlock) -> bytes:
    """Return a block, its envelopes and its hash as one line of RFC 8785 JSON."""
    body = signed.block.body()
    beside = b",".join(e.to_json() for e in blocks.in_order(signed.envelopes))
    hash_ = canonical.jcs(blocks.hash_of(body))
    return b'{"block":%b,"envelopes":[%b],"hash":%b}\n' % (body, beside, hash_)


def card_of(block: Block) -> bytes:
    """Return what people read first about the model of a block: Markdown, UTF-8."""
    lines = (
        f"# Model {_plain(block.provenance.model_version)}",
        "",
        "| what | as the ledger says |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in _rows(block)),
        "",
        f"`{PROVENANCE}` holds the block and what the organisations signed about it.",
        f"The key in `{KEY}` proves nothing by itself: whoever made this directory put",
        "it there. Who has the ledger prints three commands that hold it against that,",
        "for `model_signing`, `openssl` and `sha256sum`:",
        "",
        f"    fedxdr lineage {block.model_hash} --how-to-verify",
        "",
    )
    return "\n".join(lines).encode()


def _named(block: Block) -> Publisher | None:
    """Return the publisher's key that a block puts into force, if it does."""
    if isinstance(block.entry, Genesis | OrchestratorReplaced):
        return Publisher(der=block.entry.publisher)
    return None


def _rows(block: Block) -> Iterator[tuple[str, str]]:
    made = block.provenance
    yield f"SHA-256 of `{MODEL}`", f"`{block.model_hash}`"
    yield "parent model", f"`{made.parent_model}`" if made.parent_model else "none"
    yield "round", _plain(made.round_id or "none, it is the first model")
    yield "block", f"{block.height}, `{block.hash}`"
    yield "recorded", block.timestamp.isoformat()
    yield "organisations in the sum", _plain(", ".join(made.training_orgs)) or "none"
    yield "kinds of telemetry", _plain(", ".join(made.data_sources)) or "none"
    yield "aggregation", _plain(made.aggregation_method or "none")
    for org in sorted(made.data_volume):
        yield f"public sample bucket of {_plain(org)}", str(made.data_volume[org])
    for org in sorted(made.privacy_params):
        claim = canonical.builtins(made.privacy_params[org])
        said = ", ".join(f"{name} {claim[name]}" for name in sorted(claim))
        yield f"privacy claimed by {_plain(org)}", _plain(said)
    for name in sorted(block.aggregation_metrics):
        yield _plain(name), _plain(repr(block.aggregation_metrics[name]))


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return _MARKUP.sub(r"\\\1", text)


def _require_brought(block: Block, model: bytes) -> None:
    found = sha256(model)
    if not brings_model(block) or block.model_hash != found:
        raise MalformedMessage(
            f"block {block.height} does not bring model {found[:16]}… into force"
        )
