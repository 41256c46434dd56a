# SPDX-License-Identifier: Apache-2.0
"""What every implementation of port ``Chain`` does; run by each of them.

A fixture ``world`` gives handles to one chain (``chain``), stops blocks (``hold``),
makes them (``mine``) and takes the newest ones back (``forget``).
"""

import hashlib

import pytest

from fedxdr.core.errors import Refused, Unavailable
from fedxdr.ledger.checkpoint import Checkpoint

ORIGIN = "ledger.example/north-south"


def checkpoint(size, *, origin=ORIGIN, branch=""):
    root = hashlib.sha256(f"{origin}{branch} {size}".encode()).digest()
    return Checkpoint(origin=origin, size=size, root=root)


class ChainSuite:
    """Tests of the port."""

    def test_nothing_is_anchored_at_first(self, world):
        assert world.chain().head(ORIGIN) is None

    def test_what_was_sent_is_the_head_once_a_block_holds_it(self, world):
        chain = world.chain()
        chain.send(checkpoint(3), attempt=0)
        head = chain.head(ORIGIN)
        assert (head.size, head.root, head.depth) == (3, checkpoint(3).root, 1)
        world.mine(4)
        assert chain.head(ORIGIN).depth == 5

    def test_its_record_says_where(self, world):
        chain = world.chain()
        sent = chain.send(checkpoint(3), attempt=0)
        head = chain.head(ORIGIN)
        record = chain.record(ORIGIN, head)
        assert record.transaction == sent
        assert record.block_number == head.block_number
        assert (record.origin, record.size, record.root) == (
            ORIGIN, 3, checkpoint(3).root,
        )  # fmt: skip
        # later anchors do not change it
        chain.send(checkpoint(9), attempt=0)
        assert chain.record(ORIGIN, head) == record

    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_a_size_that_does_not_grow_is_refused(self, world, size):
        chain = world.chain()
        chain.send(checkpoint(3), attempt=0)
        with pytest.raises(Refused, match="the size must grow"):
            chain.send(checkpoint(size, branch="other"), attempt=0)
        assert chain.head(ORIGIN).root == checkpoint(3).root

    def test_only_the_owner_anchors(self, world):
        with pytest.raises(Refused, match="only the owner anchors"):
            world.chain(is_owner=False).send(checkpoint(3), attempt=0)
        assert world.chain().head(ORIGIN) is None

    def test_logs_do_not_disturb_each_other(self, world):
        chain, other = world.chain(), "elsewhere.example/log"
        chain.send(checkpoint(7), attempt=0)
        chain.send(checkpoint(2, origin=other), attempt=0)
        assert (chain.head(ORIGIN).size, chain.head(other).size) == (7, 2)

    def test_a_second_transaction_replaces_the_first(self, world):
        chain = world.chain()
        world.hold()
        chain.send(checkpoint(3), attempt=0)
        assert chain.head(ORIGIN) is None
        chain.send(checkpoint(5), attempt=1)
        world.mine()
        world.mine()
        assert chain.head(ORIGIN).size == 5
        assert chain.head(ORIGIN).depth == 2, "both were carried out"

    def test_the_same_transaction_again_is_no_error(self, world):
        world.hold()
        sent = world.chain().send(checkpoint(3), attempt=0)
        assert world.chain().send(checkpoint(3), attempt=0) == sent
        world.mine()
        assert world.chain().head(ORIGIN).size == 3

    def test_a_chain_forgets(self, world):
        chain = world.chain()
        chain.send(checkpoint(3), attempt=0)
        world.hold()
        chain.send(checkpoint(5), attempt=0)
        world.mine()
        lost = chain.head(ORIGIN)
        world.forget(1)
        assert chain.head(ORIGIN).size == 3
        with pytest.raises(Unavailable):
            chain.record(ORIGIN, lost)
