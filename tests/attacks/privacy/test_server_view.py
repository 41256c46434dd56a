# SPDX-License-Identifier: Apache-2.0
"""All that an orchestrator sees does not tell whose update is whose; clear does."""

import numpy as np
import pytest

from fedxdr.parties.collecting.catalogue import MODES
from fedxdr.simulation.attribution import (
    COLLUDER,
    EVERYBODY,
    HONEST,
    Played,
    wilson,
)

HIDING = tuple(mode for mode in MODES if mode != "clear")
Z = 3.5
"""Of some twenty attacks per game none leaves chance by more, but in 1 run of 100."""


def beyond_chance(played: Played) -> dict[str, float]:
    found = {}
    for name, standing in played.standings().items():
        low, high = wilson(standing.accuracy * standing.trials, standing.trials, z=Z)
        if not low <= 0.5 <= high:
            found[name] = standing.accuracy
    return found


@pytest.mark.parametrize("batch", [1, 8])
def test_in_the_clear_both_attacks_name_the_owner_every_time(
    game_in, batch: int
) -> None:
    played = game_in("clear", batch=batch).play(8)
    standings = played.standings()
    assert standings["match floats"].accuracy == 1.0
    assert standings["invert floats"].accuracy == 1.0
    assert not standings["match floats"].is_chance


def test_in_the_clear_the_record_itself_is_read_out(game_in) -> None:
    played = game_in("clear").play(8)
    assert played.likeness["invert floats"].min() > 0.99


@pytest.mark.parametrize("mode", HIDING)
def test_no_attack_does_better_than_chance(game_in, mode: str) -> None:
    trials = 12 if mode == "paillier" else 20
    assert beyond_chance(game_in(mode).play(trials)) == {}


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("mode", HIDING)
def test_no_attack_does_better_than_chance_in_400_rounds(
    game_in, mode: str, batch: int
) -> None:
    assert beyond_chance(game_in(mode, batch=batch).play(400)) == {}


@pytest.mark.parametrize("mode", HIDING)
def test_no_record_is_read_out(game_in, mode: str) -> None:
    played = game_in(mode, seed=3).play(5)
    names = [name for name in played.likeness if name != "invert sum"]
    for name in names:
        assert np.abs(np.median(played.likeness[name])) < 0.35, name


@pytest.mark.parametrize("mode", ["secagg", "committee"])
def test_a_colluder_who_gives_everything_away_does_not_help(
    colluding_game, mode: str
) -> None:
    # in mode committee it is one of the two helpers
    played = colluding_game(mode, COLLUDER).play(14)
    assert "match unmasked" in played.scores
    assert beyond_chance(played) == {}


@pytest.mark.parametrize(
    ("mode", "colluders"),
    [("secagg", EVERYBODY[1:]), ("committee", EVERYBODY[2:])],
)
def test_the_same_attack_wins_when_everybody_who_could_protect_colludes(
    colluding_game, mode: str, colluders
) -> None:
    # the masks are what protects: without them the very same readings give it away
    played = colluding_game(mode, *colluders).play(5)
    assert played.standings()["match unmasked"].accuracy == 1.0


def test_in_mode_paillier_only_who_has_the_whole_key_reads_an_update(
    game_in, ceremony
) -> None:
    # the dealer of the ceremony, or a threshold of holders who break the rules
    played = game_in("paillier", more=ceremony.readings).play(3)
    assert played.standings()["match unmasked"].accuracy == 1.0


def test_the_sum_still_tells_that_somebody_has_the_record(game_in) -> None:
    # not broken and not hidden: this is what differential privacy is for
    played = game_in("secagg").play(4)
    assert (played.group > 0).all()


def test_the_game_is_the_same_with_its_seed(game_in) -> None:
    first = game_in("secagg", seed=5).play(3)
    again = game_in("secagg", seed=5).play(3)
    # masks differ: they are bound to a ledger, whose ML-DSA signatures are hedged
    assert np.array_equal(first.coins, again.coins)
    assert np.array_equal(first.group, again.group)
    assert np.array_equal(first.likeness["invert sum"], again.likeness["invert sum"])
    for name in ("match sum", "invert sum"):
        assert np.array_equal(first.scores[name], again.scores[name])


def test_the_coin_decides_who_holds_what(game_in) -> None:
    played = game_in("clear", seed=2)
    result = played.play(1)
    first, *_ = played._records(0)
    holder = HONEST[0] if result.coins[0] else HONEST[1]
    assert np.array_equal(played.held(holder), first)
