# SPDX-License-Identifier: Apache-2.0
"""A small model, and the logs of one small organisation, for tests of detection."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from fedxdr.app.learners import ARCHITECTURE
from fedxdr.app.scoring import ModelFile
from fedxdr.core.ids import sha256
from fedxdr.intake import read
from fedxdr.learning.features import find
from fedxdr.models import snapshot
from fedxdr.privacy.pseudonym import Pseudonymiser
from fedxdr.simulation import traffic
from fedxdr.simulation.world import Sensors
from fedxdr.telemetry.event import Events

KEY = bytes(32)


@functools.cache
def snapshot_of(seed: int = 0, features: str = "traffic") -> bytes:
    """Return a model that learned nothing, and is not the first of a federation."""
    shape = ARCHITECTURE if features == "traffic" else find(features).architecture()
    return snapshot.save(
        shape.first_vector(seed + 1), layout=shape.layout, architecture=shape.describe()
    )


def model(seed: int = 0, *, ledger_index: int | None = None) -> ModelFile:
    content = snapshot_of(seed)
    return ModelFile(content=content, digest=sha256(content), ledger_index=ledger_index)


@functools.cache
def logs() -> tuple[tuple[str, bytes], ...]:
    """Return name and content of the logs of one organisation."""
    with tempfile.TemporaryDirectory() as folder:
        world = traffic.generate(
            organisations=["west"], seed=1, hours=24, sensors=[Sensors.SURICATA]
        )
        files = traffic.write(world, Path(folder))
        return tuple(
            (path.name, path.read_bytes())
            for one in files.values()
            for path in one.logs
        )


def write_logs(folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in logs():
        (folder / name).write_bytes(content)
    return [folder / name for name, _ in logs()]


@functools.cache
def events() -> Events:
    """Return their events, in the order of time."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write_logs(Path(folder))
        return read(paths, tokenise=Pseudonymiser(KEY)).events
