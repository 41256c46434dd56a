# SPDX-License-Identifier: Apache-2.0
"""No request is taken twice, elsewhere or in another's name; the count can count."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.attacks.malicious_orchestrator.puppeteer import Loopback, on_loopback
from tests.attacks.malicious_orchestrator.rules import Swap, removed
from tests.attacks.replays import STEPS, WAYS, play

ROOT = Path(__file__).parents[2]
NONCES = Swap(
    name="a request is taken once",
    where="fedxdr.storage.registry.SqlRegistry.use_nonce",
    without=lambda _: lambda *_arguments, **_named: None,
    says="this request was received before",
    code="replayed-request",
)

pytestmark = [pytest.mark.attack, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with on_loopback() as found:
        yield found


def test_300_of_every_kind_in_every_way_across_restarts(
    server: Loopback, tmp_path: Path
) -> None:
    world = play(server, tmp_path, count=300)
    assert world.accepted == []
    assert sum(world.tried.values()) >= 300
    assert set(WAYS) <= set(world.tried)
    assert {"register", "found", "invitations", "approval", "cosignature", "start"} | (
        set(STEPS)
    ) == set(world.kinds)
    assert world.restarts >= 4
    # refused, and not by a server that answers nothing
    assert not [status for status in world.answers if status >= 500]


@pytest.mark.soak
def test_without_nonces_recorded_requests_are_taken(
    server: Loopback, tmp_path: Path
) -> None:
    with removed((NONCES,)):
        world = play(server, tmp_path, count=300)
    assert any(taken.startswith("same-bytes") for taken in world.accepted)


@pytest.mark.soak
def test_the_program_prints_one_line() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "tests.attacks.replays", "--count", "90"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    said = json.loads(found.stdout)
    assert (said["name"], said["accepted"]) == ("replays", 0)
    assert said["sent"] >= 90
