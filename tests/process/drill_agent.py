# SPDX-License-Identifier: Apache-2.0
"""An organisation's process in a drill: the real agent, which can be told to die.

Only these things differ from ``fedxdr agent run``: the learner gives fixed numbers; the
plain quantised vector is written down before it is masked, and every head that is
stored; and the process kills itself with SIGKILL right before or after the step that
the file ``kill/ORG`` names.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np

from fedxdr.app.participating import OpenParticipant
from fedxdr.cli import agent
from fedxdr.core.ids import Digest, RoundId, sha256
from fedxdr.core.layout import Layout, Segment
from fedxdr.core.randomness import generator
from fedxdr.core.update import Update
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation.plan import SEGMENTS
from fedxdr.federation.sessions import Step
from fedxdr.parties.ports import Learned, Link
from fedxdr.secagg import quantise
from fedxdr.storage.checkpoints import SqlCheckpointStore

LAYOUT = Layout(
    segments=(
        Segment(name="statistics.mean", shape=(3,)),
        Segment(name="weights.w", shape=(50, 4)),
    )
)


class FixedLearner:
    """Numbers drawn from the organisation's name and the round's, in place of data."""

    def __init__(self, org: str) -> None:
        self._seed = int(sha256(org.encode())[:8], 16)
        self.number = 0

    def samples(self) -> int:
        return 64 + self._seed % 200

    def learn(self, *, task, parent, plan, number) -> Learned:
        del parent
        self.number = number
        begin, end = plan.layout.span(SEGMENTS[task])
        values = generator(self._seed, number).normal(size=end - begin)
        return Learned(
            update=Update(values=values.astype(np.float32), samples=self.samples()),
            metrics={"held_out_accuracy": 0.5} if task == "training" else {},
        )


def die_if_told(order: Path, point: str) -> None:
    """End this process as kill -9 does if ``order`` names this point; once."""
    try:
        is_meant = order.read_text() == point
    except FileNotFoundError:
        return
    if is_meant:
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


class MortalLink:
    """A link on which the process can die right before or after each call."""

    def __init__(self, link: Link, *, order: Path, sent: Path) -> None:
        self._link = link
        self._order = order
        self._sent = sent

    def __getattr__(self, name: str):
        return getattr(self._link, name)

    def send(self, round_id: RoundId, step: Step, body: bytes) -> None:
        die_if_told(self._order, f"{_number(round_id)} {step}:before")
        with self._sent.open("a") as log:
            log.write(f"{round_id} {step} {sha256(body)}\n")
        self._link.send(round_id, step, body)
        die_if_told(self._order, f"{_number(round_id)} {step}:after")

    def fetch(self, round_id: RoundId, step: Step) -> bytes:
        body = self._link.fetch(round_id, step)
        die_if_told(self._order, f"{_number(round_id)} {step}:after")
        return body

    def approve(self, digest: Digest, approval: Envelope) -> None:
        die_if_told(self._order, "approval:before")
        self._link.approve(digest, approval)
        die_if_told(self._order, "approval:after")

    def cosign(self, size: int, lines: bytes) -> None:
        die_if_told(self._order, "cosignature:before")
        self._link.cosign(size, lines)
        die_if_told(self._order, "cosignature:after")


def _number(round_id: RoundId) -> str:
    return round_id.split("-")[1]


def record_heads(notes: Path, order: Path) -> None:
    """Write down every head that is stored, before it is: size and root."""
    put = SqlCheckpointStore.put

    def noting(self: SqlCheckpointStore, size: int, root: Digest, note: bytes) -> None:
        with notes.open("a") as log:
            log.write(f"{size} {root}\n")
        die_if_told(order, "Head:before")
        put(self, size, root, note)
        die_if_told(order, "Head:after")

    SqlCheckpointStore.put = noting


def record_quantised(learner: FixedLearner, folder: Path) -> None:
    """Write down what is about to be masked, by number of the round."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = quantise.quantise

    def recording(values, **options):
        found = plain(values, **options)
        path = folder / f"{learner.number}.npy"
        if path.exists() and not np.array_equal(np.load(path), found):
            path = folder / f"{learner.number}-another.npy"
        np.save(path, found)
        return found

    quantise.quantise = recording


class NoModels:
    """Mirrors no models: a drill watches messages and heads."""

    def follow(self):
        """Do nothing."""


def main(org: str, world: Path) -> None:
    """Take part in rounds until stopped.

    Args:
        org: the organisation.
        world: the drill's folder.
    """
    agent.start_logging()
    learner = FixedLearner(org)
    record_quantised(learner, world / "quantised" / org)
    record_heads(world / "heads" / org, world / "kill" / org)
    opened = OpenParticipant(
        world / "organisations" / org,
        learner=learner,
        wrap=lambda link: MortalLink(
            link, order=world / "kill" / org, sent=world / "sent" / org
        ),
    )
    try:
        agent._reach(opened)
        (world / "ready" / org).touch()
        agent._serve(opened, NoModels())
    finally:
        opened.close()
