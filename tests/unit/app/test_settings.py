# SPDX-License-Identifier: Apache-2.0
"""Variables that seed the next plan: read once, and refused by name."""

import pytest

from fedxdr.app.settings import PlanSettings, plan_settings
from fedxdr.core.errors import InvalidSettings


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for field in PlanSettings.model_fields:
        monkeypatch.delenv(f"FL_{field.upper()}", raising=False)


def test_every_variable_reaches_the_plan(monkeypatch):
    for name, value in {
        "FL_AGGREGATION_METHOD": "FedAvg",
        "FL_PRIVACY_CLIPPING_NORM": "2.5",
        "FL_MIN_SURVIVORS": "5",
        "FL_MAX_ORG_FAILURE_RATE": "0.1",
        "FL_LOCAL_EPOCHS": "3",
        "FL_BATCH_SIZE": "32",
        "FL_LEARNING_RATE": "0.5",
        "FL_PROXIMAL_PARAMETER": "0",
        "FL_TRAINING_SEED": "9",
        "FL_PHASE_TIMEOUT": "7",
        "FL_FEDERATION_TIMEOUT": "77",
    }.items():
        monkeypatch.setenv(name, value)
    fields = plan_settings().plan_fields()
    assert fields["aggregation_method"] == "FedAvg"
    assert fields["clip_norm"] == 2.5
    assert fields["min_survivors"] == 5
    assert fields["max_failure_rate"] == 0.1
    training = fields["training"]
    assert (training.local_epochs, training.batch_size, training.seed) == (3, 32, 9)
    assert (training.learning_rate, training.proximal_mu) == (0.5, 0)
    deadlines = fields["deadlines"]
    assert deadlines.contributions_s == 77
    assert {deadlines.keys_s, deadlines.shares_s, deadlines.survivors_s,
            deadlines.unmasking_s} == {7}  # fmt: skip


def test_a_robust_method_counts_with_its_aggregator_only(monkeypatch):
    monkeypatch.setenv("FL_AGGREGATION_ROBUST_METHOD", "median")
    assert plan_settings().plan_fields()["robust_method"] is None
    monkeypatch.setenv("FL_AGGREGATION_METHOD", "RobustAggregator")
    assert plan_settings().plan_fields()["robust_method"] == "median"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FL_MIN_SURVIVORS", "two"),
        ("FL_MIN_SURVIVORS", "2"),
        ("FL_MAX_ORG_FAILURE_RATE", "1"),
        ("FL_PRIVACY_CLIPPING_NORM", "0"),
        ("FL_PRIVACY_CLIPPING_NORM", "-3"),
        ("FL_LEARNING_RATE", "0"),
        ("FL_PHASE_TIMEOUT", "0"),
        ("FL_BATCH_SIZE", "1.5"),
    ],
)
def test_a_value_that_is_none_is_refused_by_name(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings, match=name):
        plan_settings()


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize(
    "name", ["FL_PRIVACY_CLIPPING_NORM", "FL_LEARNING_RATE", "FL_FEDERATION_TIMEOUT"]
)
def test_what_is_not_finite_is_refused(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings, match=name):
        plan_settings()
