# SPDX-License-Identifier: Apache-2.0
r"""The exported ledger: one canonical container for blocks, signatures, models, head.

Text, one line of RFC 8785 JSON each, every line closed by one ``\n``, in this order::

    {"blocks":n,"format":"fedxdr-ledger-bundle","heads":k,"models":m,"origin":"…",
     "version":2}                                    (one line)
    {"block":{…},"envelopes":[{…},…],"hash":"…"}     n times, line h + 2 is height h
    {"data":"…","sha256":"…"}                        m times, ascending by sha256
    {"head":"…","size":s}                            k times, ascending by size
    {"digest":"…","head":"…"}

``data`` is base64 of a model's file, ``head`` a cosigned checkpoint (a C2SP signed
note), the last one over all n blocks, and ``digest`` SHA-256 over all bytes before its
line. Envelopes ascend by their digests.

Not here: whether signatures verify and whether what the blocks say is true; that is
verifier.py.

Rules that always hold: for one content there is one sequence of bytes; ``read`` takes
no other, so that no changed byte goes unseen. What is wrong inside a block's line is
reported with its height before anything about the whole container.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import msgspec

from fedxdr.core.canonical import decode, encode, jcs
from fedxdr.core.errors import MalformedMessage, VerificationFailed
from fedxdr.core.ids import Digest, sha256
from fedxdr.crypto.envelope import Envelope
from fedxdr.ledger import block as blocks_
from fedxdr.ledger.block import Block, SignedBlock
from fedxdr.ledger.entries import Genesis
from fedxdr.ledger.standing import Standing
from fedxdr.ledger.steps import Step, located, require

FORMAT = "fedxdr-ledger-bundle"
_WHAT = "the first line of a ledger, as `fedxdr ledger export` writes it"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What a bundle holds.

    Attributes:
        origin: the ledger's name.
        blocks: in order of height, from the Genesis.
        hashes: of the blocks' bytes as stored, in the same order.
        models: SHA-256 of a model's file -> the file's bytes.
        heads: size -> cosigned checkpoint, signatures not yet checked; the one over
            all blocks among them.
    """

    origin: str
    blocks: tuple[SignedBlock, ...]
    hashes: tuple[Digest, ...]
    models: Mapping[Digest, bytes]
    heads: Mapping[int, bytes]

    def standing(self) -> Standing:
        """Return what is in force after the newest block; the blocks are believed."""
        found = Standing()
        for signed, hash_ in zip(self.blocks, self.hashes, strict=True):
            found.follow(signed, hash_)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Skimmed:
    """What lies in a bundle, unread but for its hashes.

    Attributes:
        origin: the ledger's name.
        bodies: the blocks' bytes as stored, in order of height from the Genesis;
            checked as they are taken, to be taken once and to the end.
        head: the cosigned checkpoint over all blocks, signatures not yet checked.
    """

    origin: str
    bodies: Iterator[bytes]
    head: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    blocks: int
    format: Literal["fedxdr-ledger-bundle"] = "fedxdr-ledger-bundle"
    heads: int
    models: int
    origin: str
    version: Literal[2] = 2

    def __post_init__(self) -> None:
        if self.blocks < 1 or self.models < 0 or self.heads < 0:
            raise MalformedMessage("a bundle holds at least one block")


@dataclass(frozen=True, slots=True, kw_only=True)
class _BlockLine:
    block: msgspec.Raw
    envelopes: tuple[msgspec.Raw, ...]
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """A block's line in its stored bytes; the hash is that of the body."""

    body: bytes
    beside: tuple[bytes, ...]
    hash: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class _ModelLine:
    data: bytes
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _HeadLine:
    head: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _LastLine:
    digest: str
    head: str


def write(
    *,
    blocks: Sequence[SignedBlock],
    models: Iterable[bytes],
    heads: Mapping[int, bytes],
) -> bytes:
    """Return the bundle of a ledger.

    Args:
        blocks: in order of height, from the Genesis.
        models: files of models in force at some height, at least the newest one's.
        heads: size -> cosigned checkpoint: over all of these blocks, and over every
            block that changed who cosigns.

    Raises:
        MalformedMessage: no blocks, the first is no Genesis, or the head over all of
            them is missing.
    """
    first = blocks[0].block.entry if blocks else None
    if not isinstance(first, Genesis):
        raise MalformedMessage("a bundle begins with the Genesis")
    files = {sha256(file): file for file in models}
    earlier = {size: head for size, head in heads.items() if size < len(blocks)}
    if set(heads) != {*earlier, len(blocks)} or min(heads) < 1:
        raise MalformedMessage("a bundle ends with the head over all of its blocks")
    header = _Header(
        blocks=len(blocks), heads=len(earlier), models=len(files), origin=first.origin
    )
    lines = [encode(header)]
    for signed in blocks:
        body = signed.block.body()
        beside = [e.to_json() for e in blocks_.in_order(signed.envelopes)]
        lines.append(_block_line(body, beside, blocks_.hash_of(body)))
    lines.extend(_model_line(files[found], found) for found in sorted(files))
    lines.extend(_head_line(earlier[size].decode(), size) for size in sorted(earlier))
    before = b"".join(line + b"\n" for line in lines)
    last = heads[len(blocks)].decode()
    return before + _last_line(sha256(before), last) + b"\n"


def read(data: bytes) -> Bundle:
    """Return what a bundle holds: steps 0, 1 and 3 of an audit, and the hashes of 2.

    Args:
        data: the bundle's bytes, all of them and nothing else.

    Raises:
        VerificationFailed: any other sequence of bytes than ``write`` gives; with the
            height where the fault lies inside a block's line.
    """
    lines = data.split(b"\n")
    with located(Step.CONTAINER):
        header = decode(lines[0], _Header, what=_WHAT)
    # What is cheap comes first for all blocks: hashes, then blocks, then envelopes.
    parts = [_split(_line(lines, 1 + h, h), h) for h in range(header.blocks)]
    blocks = [_read_body(found, height) for height, found in enumerate(parts)]
    beside = [_read_envelopes(found, height) for height, found in enumerate(parts)]
    begin = 1 + header.blocks
    middle, end = begin + header.models, begin + header.models + header.heads
    with located(Step.CONTAINER):
        models = dict(_read_model(_line(lines, i)) for i in range(begin, middle))
        if list(models) != sorted(models) or len(models) != header.models:
            raise MalformedMessage("models ascend by their digests, each once")
        earlier = [_read_head(_line(lines, i)) for i in range(middle, end)]
        sizes = [size for size, _ in earlier]
        if sizes != sorted(set(sizes)) or not set(sizes) <= set(
            range(1, header.blocks)
        ):
            raise MalformedMessage(
                "heads ascend by size from 1, each once, the last one apart"
            )
        last = _line(lines, end)
        digest, head = _read_last(last)
        if len(lines) != end + 2 or lines[-1]:
            raise MalformedMessage("bytes after the last line, or its end is missing")
        if digest != sha256(data[: -len(last) - 1]):
            raise MalformedMessage("the digest is not that of the bytes before it")
    return Bundle(
        origin=header.origin,
        blocks=tuple(
            SignedBlock(block=block, envelopes=envelopes)
            for block, envelopes in zip(blocks, beside, strict=True)
        ),
        hashes=tuple(found.hash for found in parts),
        models=models,
        heads={**dict(earlier), header.blocks: head},
    )


def skim(data: bytes) -> Skimmed:
    """Return the blocks' bytes of a bundle, one by one, and the head over them.

    For an audit by the tree (light.py): blocks, envelopes, models and earlier heads are
    not read; the hashes beside the blocks and the bundle's digest are checked, as the
    bodies are taken.

    Args:
        data: the bundle's bytes, all of them and nothing else.

    Raises:
        VerificationFailed: no bundle. While the bodies are taken: a line of a block
            that is not in canonical form or does not hash to its hash, with its height;
            and after the last, bytes that the digest does not cover.
    """
    first = data.find(b"\n") + 1
    last = data.rfind(b"\n", 0, max(0, len(data) - 1)) + 1
    with located(Step.CONTAINER):
        header = decode(data[: max(0, first - 1)], _Header, what=_WHAT)
        if not data.endswith(b"\n"):
            raise MalformedMessage("the end of the last line is missing")
        digest, head = _read_last(data[last:-1])
    bodies = _bodies(data, header, begin=first, end=last, digest=digest)
    return Skimmed(origin=header.origin, bodies=bodies, head=head)


def _bodies(
    data: bytes, header: _Header, *, begin: int, end: int, digest: str
) -> Iterator[bytes]:
    """Return the blocks' bytes in [begin, end), and check what follows them."""
    at = begin
    for height in range(header.blocks):
        stop = data.find(b"\n", at, end)
        if stop < 0:
            raise VerificationFailed(
                "the bundle ends before this block", step=Step.CONTAINER, height=height
            )
        yield _split(data[at:stop], height).body
        at = stop + 1
    lines = data.count(b"\n", at, end)
    require(
        lines == header.models + header.heads,
        f"{lines} lines of models and heads, want {header.models + header.heads}",
        step=Step.CONTAINER,
    )
    require(
        hashlib.sha256(memoryview(data)[:end]).hexdigest() == digest,
        "the digest is not that of the bytes before it",
        step=Step.CONTAINER,
    )


def _line(lines: Sequence[bytes], index: int, height: int | None = None) -> bytes:
    """Return a line that must be there; what follows the last line end is none."""
    if index >= len(lines) - 1:
        raise VerificationFailed(
            f"the bundle ends before its line {index + 1}",
            step=Step.CONTAINER,
            height=height,
        )
    return lines[index]


def _split(line: bytes, height: int) -> _Parts:
    """Return the stored bytes of a block's line, if its hash is theirs."""
    # (1): the line put together again from its parts is the line.
    try:
        parts = _decode(line, _BlockLine)
    except MalformedMessage as error:
        raise VerificationFailed(str(error), step=Step.FORM, height=height) from error
    body = bytes(parts.block)
    beside = tuple(bytes(raw) for raw in parts.envelopes)
    if line != _block_line(body, beside, parts.hash):
        raise VerificationFailed(
            "a block's line is not in canonical form", step=Step.FORM, height=height
        )
    found = _Parts(body=body, beside=beside, hash=blocks_.hash_of(body))
    # (2): the hash is that of the stored bytes.
    if found.hash != parts.hash:
        raise VerificationFailed(
            f"the bytes hash to {found.hash[:16]}…, not to {parts.hash[:16]}…",
            step=Step.LINKS,
            height=height,
        )
    return found


def _read_body(parts: _Parts, height: int) -> Block:
    """Return the block, if the envelopes beside it are those that it names."""
    # (1): the block written again is its stored bytes.
    with located(Step.FORM, height):
        block = blocks_.parse(parts.body)
    # (3): the envelopes are bound.
    digests = [sha256(raw) for raw in parts.beside]
    require(
        digests == sorted(set(digests)),
        "envelopes ascend by their digests, each once",
        step=Step.SIGNATURES_DIGEST,
        height=height,
    )
    require(
        blocks_.signatures_digest(digests) == block.signatures_digest,
        "the envelopes are not those that the block names",
        step=Step.SIGNATURES_DIGEST,
        height=height,
    )
    return block


def _read_envelopes(parts: _Parts, height: int) -> tuple[Envelope, ...]:
    # (1): each envelope written again is its stored bytes.
    with located(Step.FORM, height):
        return tuple(Envelope.from_json(raw) for raw in parts.beside)


def _read_model(line: bytes) -> tuple[Digest, bytes]:
    parts = _decode(line, _ModelLine)
    found = sha256(parts.data)
    if found != parts.sha256:
        raise VerificationFailed(
            f"a file hashes to {found[:16]}…, not to {parts.sha256[:16]}…",
            step=Step.MODELS,
        )
    if line != _model_line(parts.data, found):
        raise MalformedMessage("a model's line is not in canonical form")
    return found, parts.data


def _read_head(line: bytes) -> tuple[int, bytes]:
    parts = _decode(line, _HeadLine)
    if line != _head_line(parts.head, parts.size):
        raise MalformedMessage("a head's line is not in canonical form")
    return parts.size, parts.head.encode()


def _read_last(line: bytes) -> tuple[str, bytes]:
    parts = _decode(line, _LastLine)
    if line != _last_line(parts.digest, parts.head):
        raise MalformedMessage("the last line is not in canonical form")
    return parts.digest, parts.head.encode()


def _decode(line: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(line, type=kind, strict=True)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedMessage(f"not a line of a bundle: {error}") from error


def _block_line(body: bytes, envelopes: Sequence[bytes], hash_: str) -> bytes:
    beside = b",".join(envelopes)
    return b'{"block":%b,"envelopes":[%b],"hash":%b}' % (body, beside, jcs(hash_))


def _model_line(file: bytes, digest: str) -> bytes:
    return b'{"data":"%b","sha256":%b}' % (base64.b64encode(file), jcs(digest))


def _head_line(head: str, size: int) -> bytes:
    return b'{"head":%b,"size":%d}' % (jcs(head), size)


def _last_line(digest: str, head: str) -> bytes:
    return b'{"digest":%b,"head":%b}' % (jcs(digest), jcs(head))
