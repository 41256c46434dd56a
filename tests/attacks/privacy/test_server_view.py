# SPDX-License-Identifier: Apache-2.0
"""All that an orchestrator sees does not tell whose update is whose; clear does."""

import numpy as np
import pytest

from fedxdr.federation.plan import MODES
from fedxdr.simulation.server_view import (
    COLLUDER,
    EVERYBODY,
    HONEST,
    Game,
    Played,
    wilson,
)

HIDING = tuple(mode for mode in MODES if mode != "clear")
Z = 3.5
"""Of some twenty attacks per game none leaves chance by more, but in 1 run of 100."""


def game(architecture, mode: str, **more) -> Game:
    return Game(
        architecture=architecture,
        plan={"collection_mode": mode, "acknowledge_clear": mode == "clear"},
        **more,
    )


def beyond_chance(played: Played) -> dict[str, float]:
    found = {}
    for name, standing in played.standings().items():
        low, high = wilson(standing.accuracy * standing.trials, standing.trials, z=Z)
        if not low <= 0.5 <= high:
            found[name] = standing.accuracy
    return found


@pytest.mark.parametrize("batch", [1, 8])
def test_in_the_clear_both_attacks_name_the_owner_every_time(
    architecture, batch: int
) -> None:
    played = game(architecture, "clear", batch=batch).play(10)
    standings = played.standings()
    assert standings["match floats"].accuracy == 1.0
    assert standings["invert floats"].accuracy == 1.0
    assert not standings["match floats"].is_chance


def test_in_the_clear_the_record_itself_is_read_out(architecture) -> None:
    played = game(architecture, "clear").play(8)
    assert played.likeness["invert floats"].min() > 0.99


@pytest.mark.parametrize("mode", HIDING)
def test_no_attack_does_better_than_chance(architecture, mode: str) -> None:
    assert beyond_chance(game(architecture, mode).play(40)) == {}


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("mode", HIDING)
def test_no_attack_does_better_than_chance_in_400_rounds(
    architecture, mode: str, batch: int
) -> None:
    assert beyond_chance(game(architecture, mode, batch=batch).play(400)) == {}


@pytest.mark.parametrize("mode", HIDING)
def test_no_record_is_read_out(architecture, mode: str) -> None:
    played = game(architecture, mode, seed=3).play(8)
    names = [name for name in played.likeness if name != "invert sum"]
    for name in names:
        assert np.abs(np.median(played.likeness[name])) < 0.35, name


def test_a_colluder_who_gives_everything_away_does_not_help(colluding_game) -> None:
    played = colluding_game(COLLUDER).play(32)
    assert "match unmasked" in played.scores
    assert beyond_chance(played) == {}


def test_the_same_attack_wins_when_all_others_collude(colluding_game) -> None:
    # the masks are what protects: without them the very same readings give it away
    _, *others = EVERYBODY
    played = colluding_game(*others).play(10)
    assert played.standings()["match unmasked"].accuracy == 1.0


def test_the_sum_still_tells_that_somebody_has_the_record(architecture) -> None:
    # not broken and not hidden: this is what differential privacy is for
    played = game(architecture, "secagg").play(6)
    assert (played.group > 0).all()


def test_the_game_is_the_same_with_its_seed(architecture) -> None:
    first = game(architecture, "secagg", seed=5).play(3)
    again = game(architecture, "secagg", seed=5).play(3)
    assert np.array_equal(first.coins, again.coins)
    for name in ("match words", "invert words", "match sum"):
        assert np.array_equal(first.scores[name], again.scores[name])


def test_the_coin_decides_who_holds_what(architecture) -> None:
    played = game(architecture, "clear", seed=2)
    result = played.play(1)
    first, *_ = played._records(0)
    holder = HONEST[0] if result.coins[0] else HONEST[1]
    assert np.array_equal(played.held(holder), first)
