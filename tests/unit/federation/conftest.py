# SPDX-License-Identifier: Apache-2.0
"""Plans and announcements that tests change one field of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fedxdr.core.ids import OrgId, RoundId, sha256
from fedxdr.core.layout import Layout, Segment
from fedxdr.federation.messages import Announcement
from fedxdr.federation.plan import Plan, default_threshold

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LAYOUT = Layout(
    segments=(
        Segment(name="statistics.mean", shape=(2,)),
        Segment(name="weights.w", shape=(3,)),
    )
)


def make_plan(n: int = 4, **changed: Any) -> Plan:
    fields: dict[str, Any] = {
        "federation": "f",
        "run_id": "run-1",
        "participants": n,
        "threshold": default_threshold(n),
        "layout": LAYOUT,
        "architecture": {"kind": "test"},
        **changed,
    }
    return Plan(**fields)


def make_announcement(n: int = 4, *, task: str = "training") -> Announcement:
    return Announcement(
        round_id=RoundId("round-1"),
        number=1,
        task=task,
        plan_digest=sha256(b"plan"),
        parent_model=sha256(b"parent"),
        prev_hash=sha256(b"head"),
        cohort=tuple(OrgId(f"org-{i:02d}") for i in range(n)),
        opened_at=NOW,
    )


@pytest.fixture(scope="session")
def plan():
    return make_plan


@pytest.fixture(scope="session")
def announcement():
    return make_announcement
