# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from fedxdr.models.architecture import Architecture
from fedxdr.simulation.attribution import HONEST, Game, standing, wilson
from fedxdr.simulation.server_view import view_of

SMALL = Architecture(features="small", own=3, embedding=4)


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
