# SPDX-License-Identifier: Apache-2.0
"""What a member tells an orchestrator that was set back to a backup, and its answer.

One page of it: the heads that the member keeps, some blocks that the orchestrator
lacks, and proofs that these lie under a head that the orchestrator itself signed.

Not here: what is believed of it (catching_up.py), how a member makes it
(testifying.py), who sent it (the signature of the request says so).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fedxdr.core.canonical import from_builtins
from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import Digest, digest
from fedxdr.crypto.envelope import Envelope
from fedxdr.ledger import block as blocks
from fedxdr.ledger.block import SignedBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class Testimony:
    """A page of what one member saw of the ledger.

    Attributes:
        size: of its mirror; 0 for an empty one.
        root: over the mirror, in hexadecimal; empty for an empty one.
        heads: signed heads that it keeps, with the cosignatures that it knows: the
            newest one, the one that the proofs lead to, and those of this page.
        target: size of the head, among ``heads``, that the proofs lead to; it lies
            within the mirror. 0 without one.
        begin: height of the first of ``blocks``.
        before: the mirror's root over the blocks before that one; empty for none.
        since: consistency proof from ``begin`` to ``target``.
        blocks: some that follow; none if the orchestrator lacks none under ``target``.
        onward: consistency proof from the end of ``blocks`` to ``target``.
    """

    size: int
    root: str
    heads: tuple[bytes, ...] = ()
    target: int = 0
    begin: int = 0
    before: str = ""
    since: tuple[Digest, ...] = ()
    blocks: tuple[SignedBlock, ...] = ()
    onward: tuple[Digest, ...] = ()

    def to_value(self) -> dict[str, object]:
        """Return the testimony as the JSON value that travels."""
        return {
            "size": self.size,
            "root": self.root,
            "heads": [head.decode() for head in self.heads],
            "target": self.target,
            "begin": self.begin,
            "before": self.before,
            "since": list(self.since),
            "blocks": [
                {
                    "body": signed.block.body().decode(),
                    "envelopes": [e.to_json().decode() for e in signed.envelopes],
                }
                for signed in self.blocks
            ],
            "onward": list(self.onward),
        }

    @classmethod
    def from_value(cls, value: Any) -> Testimony:  # noqa: ANN401 - any JSON value
        """Return the testimony that ``to_value`` wrote.

        Raises:
            MalformedMessage: no such value.
        """
        wire = from_builtins(value, _Wire)
        if not all(0 <= n < 1 << 53 for n in (wire.size, wire.target, wire.begin)):
            raise MalformedMessage("a size that no ledger has")
        return cls(
            size=wire.size,
            root=digest(wire.root) if wire.size else "",
            heads=tuple(head.encode() for head in wire.heads),
            target=wire.target,
            begin=wire.begin,
            before=digest(wire.before) if wire.before else "",
            since=tuple(map(digest, wire.since)),
            blocks=tuple(map(_signed_block, wire.blocks)),
            onward=tuple(map(digest, wire.onward)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the orchestrator answers.

    Attributes:
        size: of its ledger now.
        models: SHA-256 of the files that it lacks.
    """

    size: int
    models: tuple[Digest, ...] = ()

    def to_value(self) -> dict[str, object]:
        """Return the answer as the JSON value that travels."""
        return {"size": self.size, "models": list(self.models)}

    @classmethod
    def from_value(cls, value: Any) -> Heard:  # noqa: ANN401 - any JSON value
        """Return the answer that ``to_value`` wrote.

        Raises:
            MalformedMessage: no such value.
        """
        return from_builtins(value, Heard)


@dataclass(frozen=True, slots=True, kw_only=True)
class _WireBlock:
    """A block as text: its exact bytes, so that the hash is over what was sent."""

    body: str
    envelopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wire:
    size: int
    root: str
    heads: tuple[str, ...]
    target: int
    begin: int
    before: str
    since: tuple[str, ...]
    blocks: tuple[_WireBlock, ...]
    onward: tuple[str, ...]


def _signed_block(wire: _WireBlock) -> SignedBlock:
    return SignedBlock(
        block=blocks.parse(wire.body.encode()),
        envelopes=tuple(Envelope.from_json(e.encode()) for e in wire.envelopes),
    )
