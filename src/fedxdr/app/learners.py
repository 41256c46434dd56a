# SPDX-License-Identifier: Apache-2.0
"""An organisation's logs become its learner.

Addresses are pseudonymised with a key that is made here, lies in the organisation's
folder and never leaves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from fedxdr.core.randomness import SystemEntropy
from fedxdr.intake import files
from fedxdr.learning.streams.architecture import DEFAULT, initial_snapshot
from fedxdr.learning.streams.dataset import examples_of
from fedxdr.learning.streams.trainer import Trainer
from fedxdr.privacy.pseudonym import Pseudonymiser
from fedxdr.storage.secrets import read_seed, write_seed


def load(
    folder: Path, sources: Sequence[str], *, until: datetime | None = None
) -> Trainer:
    """Return the learner over some logs.

    Args:
        folder: the organisation's.
        sources: files, folders and glob patterns.
        until: where the past ends, UTC-aware; None: all of it is past.

    Raises:
        InvalidTelemetry: no readable log.
        InvalidSettings: no event in the past.
    """
    path = folder / "keys" / "pseudonym.key"
    if not path.exists():
        write_seed(path, SystemEntropy().draw(32))
    pseudonymiser = Pseudonymiser(read_seed(path))
    intake = files.read(
        sources,
        tokenise=pseudonymiser.address,
        dead_letter=folder / "dead-letter.ndjson",
    )
    examples = examples_of(
        intake.events,
        k=int(DEFAULT["recent_events"]),
        until_ns=None if until is None else int(until.timestamp() * 1e9),
    )
    return Trainer(examples, initial=initial_snapshot())
