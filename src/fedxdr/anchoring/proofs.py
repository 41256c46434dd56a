# SPDX-License-Identifier: Apache-2.0
"""The record of an anchor, and what proves it.

A record says which transaction put which root on which chain. It is a hint, not a
proof: whoever holds it asks a node that he trusts, and compares step by step.

1. checkpoint: origin, size and root are those of the checkpoint at hand
2. chain: the node is on the record's chain
3. contract: the code there is the published one, so that sizes only grew
4. transaction: it succeeded, in the record's block
5. event: it says the record's origin, size and root
6. block: the chain still holds that block, with that time
7. depth: enough blocks stand on it

It does NOT ask the node (evm.py), and it does NOT verify the checkpoint's signatures
(ledger/note.py). A node that lies is believed: run your own, or ask several. Any
owner's contract shows that a root existed by then; that its log showed no other root of
that size takes a contract known beforehand, from the operator or the ledger.

Rules that always hold: a verification returns nothing and raises at the first step that
fails; what a node says reaches a verdict only as ``ChainFacts``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from fedxdr.anchoring import contract as contracts
from fedxdr.core import canonical
from fedxdr.core.errors import MalformedMessage, VerificationFailed
from fedxdr.ledger.checkpoint import Checkpoint

RECORD_TYPE: Literal["fedxdr/anchor/v1"] = "fedxdr/anchor/v1"

_ADDRESS = re.compile(r"0x[0-9a-f]{40}\Z")
_HASH = re.compile(r"0x[0-9a-f]{64}\Z")
_MAX_NUMBER = 2**53 - 1
_WHAT = "a record of an anchor, as `fedxdr ledger anchor push` writes it"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorRecord:
    """Where a checkpoint's root stands on a chain.

    Attributes:
        chain_id: EIP-155 number of the chain, in [1, 2^53).
        contract: its address, ``0x`` and 40 lower-case hexadecimal digits.
        transaction: its hash, ``0x`` and 64 lower-case hexadecimal digits.
        block_number: of the block that holds the transaction, in [0, 2^53).
        block_hash: as ``transaction``.
        block_timestamp: the block's time, UTC, whole seconds.
        origin: the log's name, one line.
        size: number of leaves, in [1, 2^53).
        root: 32 bytes, the RFC 6962 root over the leaves.
        type: of this form.
    """

    chain_id: int
    contract: str
    transaction: str
    block_number: int
    block_hash: str
    block_timestamp: datetime
    origin: str
    size: int
    root: bytes
    type: Literal["fedxdr/anchor/v1"] = RECORD_TYPE

    def __post_init__(self) -> None:
        require_address(self.contract)
        for found in (self.transaction, self.block_hash):
            if not _HASH.match(found):
                raise MalformedMessage(
                    "a hash on a chain is 0x and 64 lower-case hexadecimal digits"
                )
        for number, least in (
            (self.chain_id, 1),
            (self.block_number, 0),
            (self.size, 1),
        ):
            if not least <= number <= _MAX_NUMBER:
                raise MalformedMessage(
                    f"a number of an anchor is {least} to 2^53 - 1, not {number}"
                )
        instant = self.block_timestamp
        if instant.utcoffset() != timedelta(0) or instant.microsecond:
            raise MalformedMessage("a block's time is UTC in whole seconds")
        # the checkpoint's own rules for its three lines
        Checkpoint(origin=self.origin, size=self.size, root=self.root)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One event that a transaction left.

    Attributes:
        contract: who emitted it, ``0x`` and 40 lower-case hexadecimal digits.
        topics: 32 bytes each.
        data: the fields that are not topics.
    """

    contract: str
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of a transaction.

    Attributes:
        block_number: of its block.
        block_hash: ``0x`` and 64 lower-case hexadecimal digits.
        is_success: whether it was carried out.
        logs: what it left, in order.
    """

    block_number: int
    block_hash: str
    is_success: bool
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainFacts:
    """What a node says about one record.

    Attributes:
        chain_id: of the node's chain.
        code: what stands at the record's contract address now.
        receipt: of the record's transaction; None where the node knows none.
        block_hash: of the block at the record's number; None where there is none.
        block_timestamp: of that block; None where there is none.
        newest_block: number of the node's newest block.
    """

    chain_id: int
    code: bytes
    receipt: Receipt | None
    block_hash: str | None
    block_timestamp: datetime | None
    newest_block: int


def encode(record: AnchorRecord) -> bytes:
    """Return a record's one form: RFC 8785, without a line end."""
    return canonical.encode(record)


def parse(data: bytes) -> AnchorRecord:
    """Return the record of its bytes; one line end after them is allowed.

    Raises:
        MalformedMessage: not the one form of a record.
    """
    return canonical.decode(data.removesuffix(b"\n"), AnchorRecord, what=_WHAT)


def require_address(text: str) -> str:
    """Return an address on a chain as it was given.

    Raises:
        MalformedMessage: not ``0x`` and 40 lower-case hexadecimal digits.
    """
    if not _ADDRESS.match(text):
        raise MalformedMessage("an address is 0x and 40 lower-case hexadecimal digits")
    return text


def verify_against_checkpoint(record: AnchorRecord, checkpoint: Checkpoint) -> None:
    """Verify that a record is about this checkpoint (step 1).

    Args:
        record: the record.
        checkpoint: whose signatures the caller verified, if he wants more than that
            these bytes existed.

    Raises:
        VerificationFailed: it is about another log, size or root.
    """
    step = "1 checkpoint"
    if record.origin != checkpoint.origin:
        raise VerificationFailed(
            f"the anchor is of {record.origin!r}, the checkpoint of "
            f"{checkpoint.origin!r}",
            step=step,
        )
    if record.size != checkpoint.size:
        raise VerificationFailed(
            f"the anchor is of size {record.size}, the checkpoint of {checkpoint.size}",
            step=step,
        )
    if record.root != checkpoint.root:
        raise VerificationFailed(
            f"two roots of size {record.size}: {record.root.hex()} in the anchor, "
            f"{checkpoint.root.hex()} in the checkpoint",
            step=step,
        )


def verify_on_chain(
    record: AnchorRecord,
    facts: ChainFacts,
    *,
    contract: str | None = None,
    least_depth: int = 1,
) -> str:
    """Verify that a record says what the chain holds (steps 2 to 7).

    Args:
        record: the record.
        facts: what a node says about it.
        contract: the address it must be in; None: any contract of the published code.
        least_depth: how many blocks, its own counted, must stand; at least 1.

    Returns:
        The address of the contract's owner.

    Raises:
        VerificationFailed: a step failed.
    """
    if facts.chain_id != record.chain_id:
        raise VerificationFailed(
            f"the node is on chain {facts.chain_id}, the anchor on {record.chain_id}",
            step="2 chain",
        )
    if contract is not None and contract != record.contract:
        raise VerificationFailed(
            f"the anchor is in contract {record.contract}, not in {contract}",
            step="3 contract",
        )
    owner = contracts.owner_in(facts.code)
    receipt = _require_receipt(record, facts)
    _require_event(record, receipt)
    _require_block(record, facts)
    depth = facts.newest_block - record.block_number + 1
    if depth < least_depth:
        raise VerificationFailed(
            f"{depth} blocks deep, {least_depth} are asked for", step="7 depth"
        )
    return owner


def _require_receipt(record: AnchorRecord, facts: ChainFacts) -> Receipt:
    step = "4 transaction"
    receipt = facts.receipt
    if receipt is None:
        raise VerificationFailed(
            f"the node knows no transaction {record.transaction}", step=step
        )
    if not receipt.is_success:
        raise VerificationFailed("the transaction was refused", step=step)
    found = (receipt.block_number, receipt.block_hash)
    if found != (record.block_number, record.block_hash):
        raise VerificationFailed(
            f"the transaction is in block {found[0]} {found[1]}, the record says "
            f"{record.block_number} {record.block_hash}",
            step=step,
        )
    return receipt


def _require_event(record: AnchorRecord, receipt: Receipt) -> None:
    wanted = Log(
        contract=record.contract,
        topics=contracts.event_topics(origin=record.origin, size=record.size),
        data=record.root,
    )
    if wanted not in receipt.logs:
        raise VerificationFailed(
            f"the transaction did not anchor root {record.root.hex()} for size "
            f"{record.size} of {record.origin!r}",
            step="5 event",
        )


def _require_block(record: AnchorRecord, facts: ChainFacts) -> None:
    if facts.block_hash != record.block_hash:
        raise VerificationFailed(
            f"the chain's block {record.block_number} is {facts.block_hash}, the "
            f"record says {record.block_hash}",
            step="6 block",
        )
    if facts.block_timestamp != record.block_timestamp:
        raise VerificationFailed(
            f"the block's time is {facts.block_timestamp}, the record says "
            f"{record.block_timestamp}",
            step="6 block",
        )
