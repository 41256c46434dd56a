# SPDX-License-Identifier: Apache-2.0
"""One clock that stands still, and retries that do not wait."""

from datetime import UTC, datetime

import pytest
import stamina

# before any test module asks for web3, which changes the whole process; see evm.py
import fedxdr.anchoring.evm
from fedxdr.core.clock import ManualClock

HOUSE = fedxdr.anchoring.evm


@pytest.fixture(autouse=True)
def no_waiting():
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
def clock():
    return ManualClock(datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
