# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from fedxdr.core.errors import NotFound
from fedxdr.federation import rounds
from fedxdr.models.architecture import Architecture
from fedxdr.simulation.server_view import (
    EVERYBODY,
    HONEST,
    Game,
    readings,
    standing,
    view_of,
    wilson,
)

SMALL = Architecture(features="small", own=3, embedding=4)


@pytest.fixture(scope="module")
def played():
    game = Game(architecture=SMALL, plan={"collection_mode": "secagg"}, seed=1)
    return game, game.play(1)


def test_a_view_holds_every_message_of_the_round(played) -> None:
    game, _ = played
    orchestrator = game.federation.orchestrator
    view = view_of(game.federation, orchestrator.current)
    for kind in ("keys", "shares", "contribution", "unmasking", "acceptance"):
        for org in EVERYBODY:
            assert view.messages[f"{kind}/{org}"]
    assert view.messages["proposal"]
    assert set(view.contributions) == set(EVERYBODY)
    assert np.array_equal(view.model, game.federation.vector)
    assert not np.array_equal(view.model, view.parent)


def test_a_round_without_a_model_has_no_view(played) -> None:
    game, _ = played
    round_ = game.federation.orchestrator.current
    unopened = rounds.begin(round_.announcement, round_.plan)
    with pytest.raises(NotFound):
        view_of(game.federation, unopened)


def test_readings_have_the_length_asked_for(played) -> None:
    game, _ = played
    view = view_of(game.federation, game.federation.orchestrator.current)
    for size in (5, 10_000):
        for name, values in readings(view, HONEST[0], size=size).items():
            assert values.shape == (size,), name
            assert np.isfinite(values).all()


def test_a_contribution_is_read_as_the_integers_it_is(played) -> None:
    game, _ = played
    view = view_of(game.federation, game.federation.orchestrator.current)
    words = np.frombuffer(view.contributions[HONEST[0]], "<i4")
    found = readings(view, HONEST[0], size=words.size)["words"]
    assert np.array_equal(found, words)


# Wilson 1927 as tabled in Newcombe 1998, Statistics in Medicine 17, table I, method 3
@pytest.mark.parametrize(
    ("right", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_the_published_one(right, trials, low, high) -> None:
    found = wilson(right, trials)
    assert found == pytest.approx((low, high), abs=6e-5)


def test_scores_with_the_coins_sign_are_right() -> None:
    coins = np.array([True, False, True, False])
    found = standing(np.array([2.0, -1.0, -3.0, 0.0]), coins)
    assert found.accuracy == pytest.approx(2.5 / 4)
    assert found.trials == 4
    assert found.is_chance
    sure = standing(np.where(np.arange(50) % 2 == 0, 1.0, -1.0), np.arange(50) % 2 == 0)
    assert sure.accuracy == 1.0
    assert not sure.is_chance


def test_the_attackers_recomputation_is_the_organisations_own_update() -> None:
    clear = Game(
        architecture=SMALL,
        plan={"collection_mode": "clear", "acknowledge_clear": True},
        seed=1,
    )
    clear.play(1)
    view = view_of(clear.federation, clear.federation.orchestrator.current)
    sent = np.frombuffer(view.contributions[HONEST[0]], "<f4")
    own = clear.update_on(clear.held(HONEST[0]), view.parent)
    assert np.array_equal(sent[: own.size], own)
