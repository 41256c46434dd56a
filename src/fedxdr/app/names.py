# SPDX-License-Identifier: Apache-2.0
"""Real names of tokens, remembered while logs are read, for who writes findings out.

Where a name was forgotten, or the process began anew, the lines that a finding rests on
are parsed once more (``recall``).

Rules that always hold:
    1. Names are in memory alone, in a table of bounded size; nothing writes them to a
       disk, and ``repr`` shows none (docs/adr/0008-detection.md).
    2. Tokens are those of the tokeniser inside.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from typing_extensions import override

from fedxdr.core.errors import InvalidInput
from fedxdr.intake.lookup import line_at
from fedxdr.intake.parsers import header_of, instant, parser_for
from fedxdr.intake.sniffing import sniff
from fedxdr.privacy.pseudonym import canonical_address
from fedxdr.telemetry.findings import Finding, Position
from fedxdr.telemetry.parser import Tokeniser

MOST_NAMES: Final = 1 << 19
"""Names that are remembered at most; about 100 MB."""

_LONGEST: Final = 256
_HEAD_BYTES: Final = 1 << 13


class KnownNames(Tokeniser):
    """A tokeniser that remembers who its tokens are; threads may share it.

    Called with a token it returns the name, None where it does not know it.

    Args:
        inner: makes the tokens.
        most: names that are remembered at most, >= 2; the newest half always is.
    """

    def __init__(self, inner: Tokeniser, *, most: int = MOST_NAMES) -> None:
        self._inner = inner
        self._half = max(1, most // 2)
        # guards the two below while they are changed; they are read without it
        self._lock = threading.Lock()
        self._new: dict[int, str] = {}
        self._old: dict[int, str] = {}

    @override
    def __repr__(self) -> str:
        return f"KnownNames(<{len(self)} names hidden>)"

    def __len__(self) -> int:
        return len(self._new.keys() | self._old.keys())

    @override
    def address(self, text: str) -> int:
        """Return the token of an address, and remember whose it is."""
        token = self._inner.address(text)
        self._remember(token, canonical_address(text))
        return token

    @override
    def user(self, text: str) -> int:
        """Return the token of an account, and remember whose it is."""
        token = self._inner.user(text)
        self._remember(token, text)
        return token

    def __call__(self, token: int) -> str | None:
        """Return the name of a token, None where it is not known."""
        return self._new.get(token) or self._old.get(token)

    def recall(self, findings: Iterable[Finding]) -> None:
        """Learn again whom findings speak of, from the lines of their evidence.

        Args:
            findings: whose names may be forgotten; lines that are gone say nothing.
        """
        places: dict[int, Position] = {}
        for finding in findings:
            for one in finding.evidence:
                for token in (one.source, one.destination, one.user):
                    if token and one.line is not None and not self(token):
                        places.setdefault(token, one.line)
        by_log: dict[str, dict[Position, None]] = {}
        for place in places.values():
            by_log.setdefault(place.source, {})[place] = None
        for source, wanted in by_log.items():
            self._read(Path(source), [line_at(place) for place in wanted])

    def _read(self, path: Path, found: list[bytes | None]) -> None:
        """Parse lines of a log again; the tokeniser is this one, so it remembers."""
        lines = [line for line in found if line is not None]
        if not lines:
            return
        head = b""
        with suppress(OSError), path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        with suppress(InvalidInput):
            format_ = sniff(head or lines[0])
            # when it was written matters to times alone
            parser = parser_for(
                format_, name=path.name, written=instant(0), tokenise=self
            )
            parser.parse(header_of(format_, head) + b"\n".join(lines) + b"\n")

    def _remember(self, token: int, name: str) -> None:
        if not token or not name or self._new.get(token) == name:
            return
        with self._lock:
            if len(self._new) >= self._half:
                self._old, self._new = self._new, {}
            self._new[token] = name[:_LONGEST]
