# SPDX-License-Identifier: Apache-2.0
"""The port to a chain: what the anchorer asks of one.

It does NOT wait, retry or decide; anchorer.py does. Implemented by evm.py with web3,
and by a chain in memory in the tests.

Rules that always hold for an implementation: at most one transaction of its account is
under way, since each is sent with the account's first unused number, so that a second
one replaces the first and never follows it; every answer of a node that cannot be
understood is ``Unavailable``; no message holds the node's address, which often carries
a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fedxdr.anchoring.proofs import AnchorRecord
from fedxdr.ledger.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchoredHead:
    """The newest anchor of a log, as the contract remembers it.

    Attributes:
        size: number of leaves, at least 1.
        root: 32 bytes.
        block_number: of the block that holds the anchor.
        depth: how many blocks stand, its own counted; at least 1.
    """

    size: int
    root: bytes
    block_number: int
    depth: int


class Chain(Protocol):
    """A contract on a chain, and the account that may anchor."""

    def head(self, origin: str) -> AnchoredHead | None:
        """Return the newest anchor of a log, None where there is none.

        Raises:
            Unavailable: the node does not answer, or not as one.
            VerificationFailed: the contract is not the published one.
        """

    def send(self, checkpoint: Checkpoint, *, attempt: int) -> str:
        """Hand in a transaction that anchors a checkpoint's root; do not wait for it.

        Args:
            checkpoint: what to anchor.
            attempt: 0 for the first; each further one offers a higher fee, so that it
                replaces what is stuck.

        Returns:
            The transaction's hash.

        Raises:
            Refused: the contract would not take it: not the owner, or the size does
                not grow; or the account cannot pay.
            Unavailable: the node does not answer, does not take it now, or the fee is
                above the limit.
        """

    def record(self, origin: str, head: AnchoredHead) -> AnchorRecord:
        """Return the record of what ``head`` returned.

        Raises:
            Unavailable: the node does not answer, or the block is gone.
        """
