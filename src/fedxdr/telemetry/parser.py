# SPDX-License-Identifier: Apache-2.0
"""What every parser is: blocks of lines in, columns and rejected lines out.

It does NOT read files and knows no log format; it holds the contract and the
conversions that all formats need (tokens, shapes of texts, lines of a block).

Rule 1: a bad line costs one line. It is rejected with its number and the reason, and
the rest of the block is read.
Rule 2: memory is bounded by the block; a parser keeps nothing between blocks but a
header.
Rule 3: no address or name gets past this file: addresses and users become tokens,
texts become length and entropy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from fedxdr.telemetry.event import Events

Tokenise = Callable[[str], int]
"""Turns an address into a 64-bit token, see privacy/pseudonym.py."""


@runtime_checkable
class Tokeniser(Protocol):
    """Turns names of entities into 64-bit tokens; ``privacy.Pseudonymiser`` is one.

    A name has one token for the tokeniser's life; an address and a user of one spelling
    are two entities. A token is in [-2^63, 2^63); 0 means "not known" and is the token
    of no entity, so that a tokeniser that knows no users gives 0 for each.
    """

    def address(self, text: str) -> int:
        """Return the token of a network address or host name, not empty."""

    def user(self, text: str) -> int:
        """Return the token of an account, not empty, with its domain as it is written.

        With and without a domain it is two accounts: who cuts the domain off makes one
        entity of every ``administrator``.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class _AddressesOnly(Tokeniser):
    """A bare function as a tokeniser: it knows addresses, and no user."""

    tokenise: Tokenise

    @override
    def address(self, text: str) -> int:
        return self.tokenise(text)

    @override
    def user(self, text: str) -> int:
        return 0


def tokeniser_of(given: Tokenise | Tokeniser) -> Tokeniser:
    """Return what a parser was handed as a tokeniser.

    Args:
        given: a tokeniser, or a bare function of addresses, whose users are all
            unknown.
    """
    return given if isinstance(given, Tokeniser) else _AddressesOnly(given)


MAX_KEPT_BYTES: Final = 65_536
"""Of a rejected line at most this much is kept."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A line that could not be read.

    Attributes:
        line_number: from 1, counted from where the caller began to count.
        reason: what is wrong with it, without its content.
        line: its bytes, at most ``MAX_KEPT_BYTES`` of them; for the organisation's own
            dead-letter file only, never for a log message.
    """

    line_number: int
    reason: str
    line: bytes = dataclasses.field(repr=False)

    @classmethod
    def of(cls, line_number: int, reason: str, line: bytes) -> Rejected:
        """Return a rejection that keeps no more of the line than allowed."""
        return cls(line_number=line_number, reason=reason, line=line[:MAX_KEPT_BYTES])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parsed:
    """What a block held.

    Attributes:
        events: the records, in the order of their lines.
        rejected: the lines that could not be read, in order.
        skipped: sound records that are not about two endpoints (sensor statistics,
            certificates), not counted as rejected.
        lines: lines in the block, blank ones and comments too.
        why_skipped: how many were skipped for which reason, where the parser tells;
            reasons are the parser's own words, never the record's.
    """

    events: Events
    rejected: tuple[Rejected, ...] = ()
    skipped: int = 0
    lines: int = 0
    why_skipped: Mapping[str, int] = dataclasses.field(default_factory=dict)


class Parser(Protocol):
    """Reads one kind of log. Blocks of one file go to one parser, in order."""

    def parse(self, block: bytes, *, first_line: int = 1) -> Parsed:
        """Return what a block of whole lines holds.

        Args:
            block: bytes, cut at line ends.
            first_line: number of the block's first line.
        """


def lines_of(block: bytes) -> list[bytes]:
    r"""Return the lines of a block without their ends; only ``\n`` ends a line."""
    lines = block.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def numbered(block: bytes, first_line: int) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each line of a block that is not blank."""
    for number, line in enumerate(lines_of(block), first_line):
        if line.strip():
            yield number, line


def tokens(texts: Sequence[str], tokenise: Tokenise) -> NDArray[np.int64]:
    """Return (n,) int64 tokens; each different name is tokenised once.

    Args:
        texts: n names of one kind; the empty text is "not known" and becomes 0.
        tokenise: of that kind: ``Tokeniser.address`` or ``Tokeniser.user``.
    """
    table = {text: tokenise(text) for text in set(texts) if text}
    table[""] = 0
    return np.fromiter(map(table.__getitem__, texts), np.int64, len(texts))


_MAX_TEXT: Final = 1024
_C_LOG_C: Final = np.array(
    [0.0, *(c * np.log2(c) for c in range(1, _MAX_TEXT + 1))], np.float64
)


def text_shapes(
    texts: Sequence[str | None],
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return length and entropy of texts: all of a name that is kept.

    Entropy is Shannon's over the bytes of the text, H = log2 n - (1/n) sum c log2 c
    for the counts c of the bytes that occur, in bits per byte.

    Args:
        texts: n names; None or the empty text is "none".

    Returns:
        (n,) int32 lengths in UTF-8 bytes, -1 for none, and (n,) float32 entropies in
        [0, 8], NaN for none. Of texts longer than 1,024 bytes the entropy is that of
        the first 1,024.
    """
    names = {text for text in texts if text}
    distinct = {text: index for index, text in enumerate(names)}
    if not distinct:
        rows = len(texts)
        return np.full(rows, -1, np.int32), np.full(rows, np.nan, np.float32)
    raw = [text.encode("utf-8", "replace") for text in distinct]
    full = np.fromiter(map(len, raw), np.int32, len(raw))
    cut = np.minimum(full, _MAX_TEXT)
    joined = np.frombuffer(b"".join(line[:_MAX_TEXT] for line in raw), np.uint8)
    # Counts per (text, byte), a slab of texts at a time to bound memory.
    entropy = np.empty(len(raw), np.float32)
    ends = np.cumsum(cut)
    slab = 1024
    for begin in range(0, len(raw), slab):
        end = min(begin + slab, len(raw))
        first = int(ends[begin - 1]) if begin else 0
        row = np.repeat(np.arange(end - begin), cut[begin:end])
        cell = row * 256 + joined[first : int(ends[end - 1])]
        counts = np.bincount(cell, minlength=(end - begin) * 256)
        seen = np.flatnonzero(counts)
        terms = _C_LOG_C[counts[seen]]
        spread = np.bincount(seen >> 8, weights=terms, minlength=end - begin)
        size = cut[begin:end]
        entropy[begin:end] = np.maximum(np.log2(size) - spread / size, 0.0)
    table: dict[str | None, int] = {None: -1, "": -1}
    table.update(distinct)
    place = np.fromiter(map(table.__getitem__, texts), np.intp, len(texts))
    lengths = np.append(full, np.int32(-1))[place]
    return lengths, np.append(entropy, np.float32(np.nan))[place]


def line_count(block: bytes) -> int:
    """Return how many lines a block has; the last one may lack its end."""
    return block.count(b"\n") + (len(block) > 0 and not block.endswith(b"\n"))


def codes(
    names: Sequence[str | None], code_of: Callable[[str | None], int]
) -> NDArray[np.int16]:
    """Return (n,) int16 codes of n names; each different name is looked up once."""
    table = {name: code_of(name) for name in set(names)}
    return np.fromiter(map(table.__getitem__, names), np.int16, len(names))
