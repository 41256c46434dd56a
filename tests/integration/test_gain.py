# SPDX-License-Identifier: Apache-2.0
"""What federation wins on the embedded telemetry, and where it cannot win anything.

The generator must not flatter: a campaign that reached others before is what federation
helps with; an intrusion that reached nobody else gains nothing.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fedxdr.app.learners import ARCHITECTURE, Comparison, LogLearner
from fedxdr.app.settings import PlanSettings
from fedxdr.core.ids import OrgId
from fedxdr.intake import files
from fedxdr.learning.federate import in_the_clear, plan_fields
from fedxdr.models import snapshot
from fedxdr.privacy.pseudonym import Pseudonymiser
from fedxdr.simulation import traffic
from fedxdr.simulation.truth import read_truth

NAMES = ("alpha", "bravo", "charlie", "delta", "echo")
ROUNDS = 8


def compare(folder: Path, *, private_at: str | None) -> dict[str, Comparison]:
    """Return each organisation's comparison after a federation over a world."""
    world = traffic.generate(
        organisations=NAMES, seed=3, private_campaign_at=private_at
    )
    written = traffic.write(world, folder)
    tokenise = Pseudonymiser(bytes(32)).address
    learners = {
        name: LogLearner(
            files.read([one.eve, one.conn], tokenise=tokenise).events,
            name=name,
            until=world.cut,
        )
        for name, one in written.items()
    }
    fields = plan_fields(ARCHITECTURE, **PlanSettings().plan_fields())
    vector = in_the_clear(
        learners,
        plan=fields,
        initial=ARCHITECTURE.first_vector(0),
        rounds=ROUNDS,
        seed=0,
    )
    model = snapshot.save(
        vector, layout=ARCHITECTURE.layout, architecture=ARCHITECTURE.describe()
    )
    from fedxdr.federation.plan import Plan, default_threshold  # noqa: PLC0415

    plan = Plan(
        federation="test",
        run_id="run-1",
        participants=len(NAMES),
        threshold=default_threshold(len(NAMES)),
        **fields,
    )
    return {
        name: learner.assess(
            federated=model,
            plan=plan,
            rounds=ROUNDS,
            labels_of=read_truth(written[OrgId(name)].truth).labels_of,
        )
        for name, learner in learners.items()
    }


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Comparison]:
    return compare(tmp_path_factory.mktemp("shared"), private_at=None)


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Comparison]:
    return compare(tmp_path_factory.mktemp("private"), private_at="echo")


def gain(found: Comparison) -> float:
    assert found.recall_alone is not None
    assert found.recall_federated is not None
    return found.recall_federated - found.recall_alone


def test_who_had_no_attack_before_gains_what_others_learned(
    shared: dict[str, Comparison],
) -> None:
    assert gain(shared["delta"]) > 0.3
    assert gain(shared["echo"]) > 0.3


def test_an_intrusion_that_reached_nobody_else_gains_nothing(
    private: dict[str, Comparison], shared: dict[str, Comparison]
) -> None:
    assert private["echo"].attacks > 50
    assert abs(gain(private["echo"])) < 0.1
    assert gain(private["echo"]) < gain(shared["echo"]) - 0.3


def test_the_others_gain_all_the_same(private: dict[str, Comparison]) -> None:
    assert gain(private["delta"]) > 0.3
