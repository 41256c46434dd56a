# SPDX-License-Identifier: Apache-2.0
"""The agent: a whole round, drop-outs everywhere, killed at every write."""

from __future__ import annotations

import numpy as np
import pytest

from fedxdr.federation.rounds import Phase


def test_a_round_opens_exactly_the_plain_sum(world):
    federation = world(n=4)
    for _ in range(3):
        round_ = federation.play()
        assert round_.phase is Phase.COMMITTED
        assert np.array_equal(
            federation.opened_sum(round_), federation.plain_sum(round_)
        )
        assert all(
            federation.why(org).startswith("committed") for org in federation.orgs
        )
