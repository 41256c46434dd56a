# SPDX-License-Identifier: Apache-2.0
"""The calculator: numbers in, numbers out, errors that say what to do."""

import json

import pytest
from typer.testing import CliRunner

from fedxdr.cli.main import exit_status
from fedxdr.cli.privacy import privacy
from fedxdr.core.errors import InvalidSettings

STEPS = ["--sampling-rate", "0.001", "--steps", "2000", "--delta", "1e-5"]

ORGANISATION = ["--unit", "organisation"]


def figures(*arguments):
    done = CliRunner().invoke(privacy, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_epsilon_of_noise_with_context():
    got = figures("epsilon", "--noise-multiplier", "2", *STEPS, "--context", "16")
    assert got["epsilon"] == pytest.approx(3.105, rel=1e-3)
    assert got["rdp_epsilon"] == pytest.approx(3.625, rel=1e-2)
    assert got["textbook_epsilon"] == pytest.approx(205_222, rel=1e-3)
    assert got["noise_multiplier"] == 2
    assert (got["unit"], got["occurrences"]) == ("event", 16)
    assert (got["sampling_rate"], got["steps"], got["delta"]) == (0.001, 2000, 1e-5)


def test_keys_multiply_the_context():
    four = ["--context", "4", "--index-keys", "4"]
    got = figures("epsilon", "--noise-multiplier", "2", *STEPS, *four)
    assert got["occurrences"] == 16
    assert got["epsilon"] == pytest.approx(3.105, rel=1e-3)


def test_sigma_keeps_its_epsilon():
    got = figures(
        "sigma", "--epsilon", "8", *STEPS, "--unit", "event", "--context", "32"
    )
    assert 7.98 < got["epsilon"] <= 8
    assert got["noise_multiplier"] == pytest.approx(1.7532, rel=2e-3)


def test_an_entity_counts_the_context_of_all_its_events():
    entity = ["--unit", "entity", "--own", "4", "--context", "8"]
    got = figures("epsilon", "--noise-multiplier", "4", *STEPS, *entity)
    assert (got["unit"], got["own"], got["occurrences"]) == ("entity", 4, 32)


def test_an_organisation_has_no_context():
    got = figures("epsilon", "--noise-multiplier", "4", *STEPS, *ORGANISATION)
    assert (got["unit"], got["occurrences"]) == ("organisation", 0)


def test_fixed_windows_are_one_changed_example():
    window = ["--own", "0", "--context", "1"]
    got = figures("epsilon", "--noise-multiplier", "1", *STEPS, *window)
    assert (got["own"], got["occurrences"]) == (0, 1)
    assert got["epsilon"] < 1


def test_what_has_no_number_is_null():
    got = figures(
        *["epsilon", "--noise-multiplier", "0.01", "--sampling-rate", "0.5"],
        *["--steps", "1", "--delta", "1e-5", "--context", "1000"],
    )
    assert got["rdp_epsilon"] is None
    assert got["epsilon"] > 1e6


def test_people_are_told_what_the_textbook_costs():
    done = CliRunner().invoke(
        privacy,
        ["epsilon", "--noise-multiplier", "8.489", "--steps", "200", "--delta", "1e-5"],
    )
    assert done.exit_code == 0
    assert "17.2 times the noise" in " ".join(done.output.split())
    assert "The unit is one event." in done.output
    with_context = CliRunner().invoke(
        privacy, ["sigma", "--epsilon", "4", *STEPS, "--context", "8"]
    )
    assert "can change 8 other" in " ".join(with_context.output.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["epsilon", "--noise-multiplier", "-1", *STEPS], "want 0.01 to"),
        (["epsilon", "--noise-multiplier", "nan", *STEPS], "want 0.01 to"),
        (["sigma", "--epsilon", "0", *STEPS], "above 0"),
        (["sigma", "--epsilon", "1", *STEPS, "--delta", "1"], "less than 1"),
        (["sigma", "--epsilon", "1", *STEPS, "--sampling-rate", "2"], "at most 1"),
        (["sigma", "--epsilon", "1", *STEPS, "--steps", "0"], "want 1 to"),
        (["sigma", "--epsilon", "1", *STEPS, "--context", "-1"], "want 0 or more"),
        (["sigma", "--epsilon", "1", *STEPS, "--context", "9999"], "smaller context"),
        (
            [*["sigma", "--epsilon", "1", *STEPS], *ORGANISATION, "--context", "4"],
            "leave --context out",
        ),
        (
            ["sigma", "--epsilon", "1e-6", *STEPS, "--context", "4096"],
            "fewer occurrences",
        ),
    ],
)
def test_wrong_numbers_say_what_to_do(arguments, says):
    done = CliRunner().invoke(privacy, arguments)
    assert isinstance(done.exception, InvalidSettings)
    assert exit_status(done.exception) == 2
    assert says in str(done.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ["epsilon", *STEPS],
        ["epsilon", "--noise-multiplier", "much", *STEPS],
        ["sigma", "--epsilon", "1", *STEPS, "--unit", "planet"],
    ],
)
def test_what_is_missing_or_unreadable_is_a_usage_error(arguments):
    assert CliRunner().invoke(privacy, arguments).exit_code == 2
