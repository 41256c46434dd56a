# SPDX-License-Identifier: Apache-2.0
# pragma version 0.4.3
# pragma evm-version paris
"""
@title Anchors of transparency logs
@license Apache-2.0
@notice
    Remembers the newest size and root of each log that its owner anchors, and writes
    each of them into the chain's history. It does not know whether a root is true.
    Rules that always hold: only the owner anchors; the size of a log only grows; there
    is no other way to change anything, and no way to change the owner.
"""

struct Head:
    size: uint64
    root: bytes32
    block_number: uint64

event Anchored:
    origin: indexed(bytes32)
    size: indexed(uint64)
    root: bytes32

OWNER: immutable(address)
_heads: HashMap[bytes32, Head]


@deploy
def __init__():
    """
    @notice Whoever deploys is the owner for ever.
    """
    OWNER = msg.sender


@external
def anchor(origin: bytes32, size: uint64, root: bytes32):
    """
    @notice Remember a log's size and root.
    @param origin SHA-256 of the checkpoint's origin line, without its line end.
    @param size Number of leaves; above every size that was anchored for the origin.
    @param root RFC 6962 root of the first `size` leaves.
    """
    assert msg.sender == OWNER, "only the owner anchors"
    assert size > self._heads[origin].size, "the size must grow"
    self._heads[origin] = Head(
        size=size, root=root, block_number=convert(block.number, uint64)
    )
    log Anchored(origin=origin, size=size, root=root)


@view
@external
def head(origin: bytes32) -> Head:
    """
    @notice The newest of a log: size, root, and the block that anchored it.
    @param origin SHA-256 of the checkpoint's origin line.
    @return All zero where nothing was anchored.
    """
    return self._heads[origin]


@view
@external
def owner() -> address:
    """
    @notice Who may anchor.
    """
    return OWNER
