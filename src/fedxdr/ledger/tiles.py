# SPDX-License-Identifier: Apache-2.0
"""A log as static files: tiles of its Merkle tree, and bundles of its entries.

Any web server or bucket that holds these files serves the log::

    checkpoint                        the signed head
    tile/L/N[.p/W]                    W hashes of level 8·L of the tree, 256 without .p
    tile/entries/N[.p/W]              W entries, each behind its length in 2 bytes

N is written in groups of three digits, all but the last behind an x: 1234067 is
``x001/x234/067``. Tile N of level L holds the hashes over leaves
``[(256·N + i)·256^L, (256·N + i + 1)·256^L)`` for i in [0, W).

Not here: reading and writing files and HTTP, which are handed in; and checkpoints'
signatures: whoever reads a log here brings a head that was verified (policy.py).

Rules that always hold: a path has one spelling; what is read is the log under the given
head, byte for byte in every tile, or nothing.

Source: C2SP tlog-tiles, "Merkle Tree", "Partial Tiles" and "Log entries".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from typing_extensions import override

from fedxdr.core.errors import MalformedMessage, NotFound, VerificationFailed
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.merkle import HASH_BYTES, Tree, leaf_hash

CHECKPOINT = "checkpoint"
FULL = 256  # hashes of a tile, entries of a bundle
HEIGHT = 8  # levels of the tree from one level of tiles to the next
MAX_ENTRY_BYTES = 65_535

_MAX_LEVEL = 63
_STEP = "tiles"
_PATH = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/){0,5}[0-9]{3})"
    r"(?:\.p/([1-9][0-9]{0,2}))?\Z"
)

# Path -> the file's bytes; raises NotFound where there is none.
Reader = Callable[[str], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class TilePath:
    """Which tile or bundle.

    Attributes:
        level: in [0, 63]; None for a bundle of entries.
        index: N, in [0, 10^18).
        width: in [1, 256]; 256 is a full one.
    """

    level: int | None
    index: int
    width: int = FULL

    def __post_init__(self) -> None:
        if self.level is not None and not 0 <= self.level <= _MAX_LEVEL:
            raise MalformedMessage("a tile's level is 0 to 63")
        if not 0 <= self.index < 10**18:
            raise MalformedMessage("a tile's index is 0 or more and below 10^18")
        if not 1 <= self.width <= FULL:
            raise MalformedMessage("a tile's width is 1 to 256")

    @override
    def __str__(self) -> str:
        rest, last = divmod(self.index, 1000)
        groups = [f"{last:03}"]
        while rest:
            rest, group = divmod(rest, 1000)
            groups.append(f"x{group:03}")
        level = "entries" if self.level is None else str(self.level)
        partial = "" if self.width == FULL else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(reversed(groups))}{partial}"

    @property
    def whole(self) -> TilePath:
        """The full tile in the place of a partial one."""
        return TilePath(level=self.level, index=self.index)


def parse_path(text: str) -> TilePath:
    """Return which tile or bundle a path means.

    Raises:
        MalformedMessage: not the one spelling of a tile's path.
    """
    found = _PATH.match(text)
    if not found:
        raise MalformedMessage("a tile's path is tile/LEVEL/INDEX[.p/WIDTH]")
    level, groups, width = found.groups()
    path = TilePath(
        level=None if level == "entries" else int(level),
        index=int(groups.replace("/", "").replace("x", "")),
        width=int(width) if width else FULL,
    )
    if str(path) != text:
        raise MalformedMessage("a tile's path in another spelling than its own")
    return path


def tile_path(level: int, index: int, width: int = FULL) -> str:
    """Return ``tile/L/N[.p/W]``.

    Raises:
        MalformedMessage: level, index or width outside its range.
    """
    return str(TilePath(level=level, index=index, width=width))


def entries_path(index: int, width: int = FULL) -> str:
    """Return ``tile/entries/N[.p/W]``.

    Raises:
        MalformedMessage: index or width outside its range.
    """
    return str(TilePath(level=None, index=index, width=width))


def paths(size: int) -> Iterator[TilePath]:
    """Yield the tiles of a log of that many entries: bundles, then level by level.

    Full tiles and on each level the partial one of this size, none that is empty.
    """
    for level, width in [(None, size), *_level_widths(size)]:
        for index in range(-(-width // FULL)):
            rest = min(FULL, width - index * FULL)
            yield TilePath(level=level, index=index, width=rest)


def tile(tree: Tree, path: TilePath) -> bytes:
    """Return a tile of a tree: its hashes, one behind the other.

    Args:
        tree: may have grown further than the tile.
        path: with a level.

    Raises:
        NotFound: the tree does not have all of its hashes.
    """
    if path.level is None:
        raise NotFound("bundles of entries are not made from the tree")
    begin = path.index * FULL
    height = path.level * HEIGHT
    if begin + path.width > tree.size >> height:
        raise NotFound(f"there is no {path} in a log of {tree.size} entries")
    return b"".join(tree.node(height, begin + i) for i in range(path.width))


def parse_tile(data: bytes, width: int) -> list[bytes]:
    """Return the hashes of a tile, (width,) of 32 bytes.

    Raises:
        MalformedMessage: another length.
    """
    if len(data) != width * HASH_BYTES:
        raise MalformedMessage(
            f"a tile of {width} hashes: got {len(data)} bytes, want "
            f"{width * HASH_BYTES}"
        )
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def entry_bundle(entries: Sequence[bytes]) -> bytes:
    """Return entries, each behind its length in 2 bytes, big-endian.

    Args:
        entries: 1 to 256, of 0 to 65,535 bytes each.

    Raises:
        MalformedMessage: more entries or bytes.
    """
    if not 1 <= len(entries) <= FULL:
        raise MalformedMessage(f"a bundle has 1 to 256 entries, got {len(entries)}")
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise MalformedMessage(
                f"an entry of a log has at most {MAX_ENTRY_BYTES} bytes, got "
                f"{len(entry)}"
            )
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def parse_entry_bundle(data: bytes, width: int) -> list[bytes]:
    """Return the entries of a bundle, (width,).

    Raises:
        MalformedMessage: another number of them, or an end within an entry.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(data) and len(entries) < width:
        begin = at + 2
        at = begin + int.from_bytes(data[at:begin], "big")
        entries.append(data[begin:at])
    if at != len(data) or len(entries) != width:
        raise MalformedMessage(f"this is no bundle of {width} entries")
    return entries


def files(
    *, checkpoint: bytes, tree: Tree, entries: Callable[[int, int], Sequence[bytes]]
) -> Iterator[tuple[str, bytes]]:
    """Yield the static files of a log as (path, bytes), the checkpoint last.

    Whoever writes them in this order never shows a head whose tiles are not there yet.

    Args:
        checkpoint: the signed head over all leaves of the tree.
        tree: the log's.
        entries: (begin, end) -> the entries [begin, end).

    Raises:
        MalformedMessage: an entry that is too long, or fewer than asked for.
    """
    for path in paths(tree.size):
        if path.level is None:
            begin = path.index * FULL
            found = entries(begin, begin + path.width)
            if len(found) != path.width:
                raise MalformedMessage(
                    f"{path}: got {len(found)} entries, want {path.width}"
                )
            yield str(path), entry_bundle(found)
        else:
            yield str(path), tile(tree, path)
    yield CHECKPOINT, checkpoint


def read_tree(reader: Reader, head: Checkpoint) -> Tree:
    """Return the tree of a log, read from its tiles and held against a head.

    Args:
        reader: where the files are.
        head: verified by the caller.

    Raises:
        NotFound: a tile is missing.
        VerificationFailed: a tile of another length, one that is not the tree's, or
            another root.
    """
    tree = Tree()
    for path in paths(head.size):
        if path.level is None:
            continue
        found = _fetch(reader, path)
        if path.level == 0:
            tree.extend(found)
        elif b"".join(found) != tile(tree, path):
            raise VerificationFailed(f"{path} is not of this tree", step=_STEP)
    if tree.root() != head.root:
        raise VerificationFailed("the tiles lead to another root", step=_STEP)
    return tree


def read_entries(
    reader: Reader, tree: Tree, *, begin: int = 0, end: int | None = None
) -> Iterator[bytes]:
    """Yield the entries [begin, end) of a log, each held against its leaf hash.

    Args:
        reader: where the files are.
        tree: of the log, as ``read_tree`` returns it.
        begin: in [0, end].
        end: at most the tree's size; None for all.

    Raises:
        NotFound: a bundle is missing.
        VerificationFailed: a bundle that is no bundle, or an entry that is not the
            leaf's; with the leaf's index as height.
    """
    end = tree.size if end is None else end
    for path in paths(tree.size):
        first = path.index * FULL
        if path.level is not None or first >= end:
            return
        if first + path.width <= begin:
            continue
        for index, entry in enumerate(_fetch(reader, path), start=first):
            if leaf_hash(entry) != tree.node(0, index):
                raise VerificationFailed(
                    "the entry does not hash to its leaf", step=_STEP, height=index
                )
            if begin <= index < end:
                yield entry


def _level_widths(size: int) -> Iterator[tuple[int, int]]:
    """Yield each level of tiles and how many hashes stand on it."""
    level = 0
    while width := size >> level * HEIGHT:
        yield level, width
        level += 1


def _fetch(reader: Reader, path: TilePath) -> list[bytes]:
    """Return what a tile or bundle holds, from the full one if the partial is gone."""
    used = path
    try:
        data = reader(str(path))
    except NotFound:
        if path.width == FULL:
            raise
        used = path.whole
        data = reader(str(used))
    try:
        if path.level is None:
            found = parse_entry_bundle(data, used.width)
        else:
            found = parse_tile(data, used.width)
    except MalformedMessage as error:
        raise VerificationFailed(f"{used}: {error}", step=_STEP) from error
    return found[: path.width]
