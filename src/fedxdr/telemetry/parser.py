# SPDX-License-Identifier: Apache-2.0
"""What every parser is: blocks of lines in, columns and rejected lines out.

It does NOT read files and knows no log format; it holds the contract and the
conversions that all formats need (tokens, shapes of texts, lines of a block).

Rule 1: a bad line costs one line. It is rejected with its number and the reason, and
the rest of the block is read.
Rule 2: memory is bounded by the block; between blocks a parser keeps nothing but a
header and what it looked up last, at most ``MOST_REMEMBERED`` names each.
Rule 3: no address or name gets past this file: addresses and users become tokens,
texts become length and entropy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from fedxdr.telemetry.event import Events

N = TypeVar("N", bound=np.generic)

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


MOST_REMEMBERED: Final = 1 << 15
"""Names of one sort that a parser remembers from block to block."""

_LONGEST_REMEMBERED: Final = 256


class Remembered(dict[str | None, int]):
    """Numbers of names, each computed when it is first asked for.

    Args:
        number_of: returns a name's number; it is the same whenever it is asked.
        most: when more names than these are remembered, all of them are forgotten
            before the next look-up.
    """

    def __init__(
        self, number_of: Callable[[str | None], int], *, most: int = MOST_REMEMBERED
    ) -> None:
        super().__init__()
        self._number_of = number_of
        self._most = most

    def __missing__(self, name: str | None) -> int:
        number = self._number_of(name)
        if name is None or len(name) <= _LONGEST_REMEMBERED:
            self[name] = number
        return number

    def trim(self) -> None:
        """Forget all names if they have become too many."""
        if len(self) > self._most:
            self.clear()

    def of(self, names: Sequence[str | None], dtype: type[N]) -> NDArray[N]:
        """Return (n,) numbers of n names.

        Args:
            names: any, in any order.
            dtype: one that holds every number.
        """
        self.trim()
        return np.fromiter(map(self.__getitem__, names), dtype, len(names))


def remembered_tokens(tokenise: Tokenise) -> Remembered:
    """Return tokens of names of one kind; the empty name is "not known", token 0.

    Args:
        tokenise: of that kind: ``Tokeniser.address`` or ``Tokeniser.user``.
    """
    return Remembered(lambda name: tokenise(name) if name else 0)


def tokens(texts: Sequence[str], tokenise: Tokenise) -> NDArray[np.int64]:
    """Return (n,) int64 tokens; each different name is tokenised once.

    Args:
        texts: n names of one kind; the empty text is "not known" and becomes 0.
        tokenise: of that kind: ``Tokeniser.address`` or ``Tokeniser.user``.
    """
    return remembered_tokens(tokenise).of(texts, np.int64)


_MAX_TEXT: Final = 1024
_MOST_CHARACTERS: Final = 1 << 22
_SLAB: Final = 1024
_C_LOG_C: Final = np.array(
    [0.0, *(c * np.log2(c) for c in range(1, _MAX_TEXT + 1))], np.float64
)


class TextShapes:
    """Lengths and entropies of texts: all of a name that is kept.

    Entropy is Shannon's over the bytes of the text, H = log2 n - (1/n) sum c log2 c
    for the counts c of the bytes that occur, in bits per byte.
    """

    def __init__(self) -> None:
        # Of every text its place in the arrays, whose first is that of no text.
        self._places: dict[str | None, int] = {}
        self._characters = 0
        self._lengths = np.full(1, -1, np.int32)
        self._entropies = np.full(1, np.nan, np.float32)

    def of(
        self, texts: Sequence[str | None]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the shapes of n texts; None or the empty text is "none".

        Returns:
            (n,) int32 lengths in UTF-8 bytes, -1 for none, and (n,) float32 entropies
            in [0, 8], NaN for none. Of texts longer than 1,024 bytes the entropy is
            that of the first 1,024.
        """
        if self._characters > _MOST_CHARACTERS or len(self._places) > MOST_REMEMBERED:
            self._places, self._characters = {}, 0
            self._lengths, self._entropies = self._lengths[:1], self._entropies[:1]
        places = self._places
        places[None] = places[""] = 0
        new = [text for text in dict.fromkeys(texts) if text and text not in places]
        if new:
            places.update(zip(new, range(len(self._lengths), 1 << 62)))  # noqa: B905 - the range is endless
            self._characters += sum(map(len, new))
            lengths, entropies = _shapes(new)
            self._lengths = np.concatenate([self._lengths, lengths])
            self._entropies = np.concatenate([self._entropies, entropies])
        place = np.fromiter(map(places.__getitem__, texts), np.intp, len(texts))
        return self._lengths[place], self._entropies[place]


def text_shapes(
    texts: Sequence[str | None],
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return length and entropy of texts, see ``TextShapes.of``."""
    return TextShapes().of(texts)


def _shapes(texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return length and entropy of texts that are not empty."""
    raw = [text.encode("utf-8", "replace") for text in texts]
    full = np.fromiter(map(len, raw), np.int32, len(raw))
    cut = np.minimum(full, _MAX_TEXT)
    if full.max() > _MAX_TEXT:
        raw = [line[:_MAX_TEXT] for line in raw]
    joined = np.frombuffer(b"".join(raw), np.uint8)
    # Bytes that occur anywhere, numbered in ascending order, to count only those.
    occurs = np.bincount(joined, minlength=256) > 0
    number = (np.cumsum(occurs) - 1)[joined]
    entropy = np.empty(len(raw), np.float32)
    ends = np.cumsum(cut)
    # Counts per (byte, text), a slab of texts at a time to bound memory.
    for begin in range(0, len(raw), _SLAB):
        end = min(begin + _SLAB, len(raw))
        first = int(ends[begin - 1]) if begin else 0
        size = cut[begin:end]
        cell = number[first : int(ends[end - 1])] * len(size)
        cell += np.repeat(np.arange(len(size)), size)
        counts = np.bincount(cell, minlength=int(occurs.sum()) * len(size))
        # Rows are added one after another: the sum does not depend on the other texts.
        spread = _C_LOG_C[counts].reshape(-1, len(size)).sum(axis=0)
        entropy[begin:end] = np.maximum(np.log2(size) - spread / size, 0.0)
    return full, entropy


def line_count(block: bytes) -> int:
    """Return how many lines a block has; the last one may lack its end."""
    ends = np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n"))
    return int(ends) + (len(block) > 0 and not block.endswith(b"\n"))


def codes(
    names: Sequence[str | None], code_of: Callable[[str | None], int]
) -> NDArray[np.int16]:
    """Return (n,) int16 codes of n names; each different name is looked up once."""
    return Remembered(code_of).of(names, np.int16)
