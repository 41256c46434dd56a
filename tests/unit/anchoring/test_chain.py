# SPDX-License-Identifier: Apache-2.0
"""The chain in memory, which other tests stand on, keeps the port's promises."""

import pytest
from tests.unit.anchoring.chain_suite import ChainSuite
from tests.unit.anchoring.memory_chain import MemoryWorld


class TestMemoryChain(ChainSuite):
    """The suite."""

    @pytest.fixture
    def world(self, clock):
        return MemoryWorld(clock)
