# SPDX-License-Identifier: Apache-2.0
"""Commands run in this process, as ``fedxdr`` runs them."""

import logging
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from tests.unit.app.conftest import made, network, place  # noqa: F401 - fixtures

from fedxdr.cli.main import main
from fedxdr.core.ids import org_id
from fedxdr.core.layout import Layout, Segment
from fedxdr.core.update import Update
from fedxdr.federation.plan import SEGMENTS
from fedxdr.parties.ports import Learned
from fedxdr.simulation.federation import SimulatedFederation

LAYOUT = Layout(
    segments=(
        Segment(name="statistics.mean", shape=(3,)),
        Segment(name="weights.w", shape=(2, 4)),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended and what it printed."""

    status: int
    out: str
    err: str


class Learner:
    """Fixed figures in place of data."""

    def samples(self):
        return 64

    def learn(self, *, task, parent, plan, number):
        del parent
        begin, end = plan.layout.span(SEGMENTS[task])
        values = np.full(end - begin, 0.1 * number, np.float32)
        return Learned(
            update=Update(values=values, samples=64),
            metrics={"held_out_accuracy": 0.5} if task == "training" else {},
        )


@pytest.fixture(autouse=True)
def logging_as_before():
    """Commands set up logging for a process; tests share one."""
    root = logging.getLogger("fedxdr")
    before = (root.handlers[:], root.level, root.propagate)
    yield
    root.handlers[:], root.level, root.propagate = before


@pytest.fixture
def run(monkeypatch, capsys):
    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["fedxdr", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        else:
            status = 0
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return Done(status=status, out=shown.out, err=shown.err)

    return command


@pytest.fixture
def fails(run):
    """Fail unless a command ends with this status and one line that says why."""

    def command(arguments, status, code, *words):
        done = run(*arguments)
        assert done.status == status, done
        assert done.out == ""
        (line,) = done.err.strip().splitlines()
        assert line.startswith(f"error ({code}): ")
        for word in words:
            assert word in line

    return command


@pytest.fixture(scope="session")
def federation():
    """Three organisations after a statistics and a training round."""
    world = SimulatedFederation(
        {org_id(name): Learner() for name in ("alpha", "bravo", "charlie")},
        plan={"layout": LAYOUT, "architecture": {"name": "tiny"}},
        initial=np.zeros(LAYOUT.size, np.float32),
    )
    for _ in range(2):
        world.run_round()
    return world


def exported(world):
    """Return what a federation has cosigned, as one file."""
    return world.recorder.export(heads=world.orchestrator.heads.for_bundle())


@pytest.fixture(scope="session")
def bundle(federation, tmp_path_factory):
    """An exported ledger: genesis of three founders, a plan, two rounds."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.fedxdr"
    path.write_bytes(exported(federation))
    return path
