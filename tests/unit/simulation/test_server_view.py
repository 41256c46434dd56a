# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from fedxdr.core.errors import NotFound
from fedxdr.federation import rounds
from fedxdr.models.architecture import Architecture
from fedxdr.secagg import packing
from fedxdr.simulation.attribution import EVERYBODY, HONEST, Game
from fedxdr.simulation.server_view import (
    integers,
    readings,
    sent_bytes,
    signed_integers,
    view_of,
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
    sent = view.contributions[HONEST[0]]
    words = packing.unpack(sent, size=view.size, width=view.width)
    assert np.array_equal(integers(view, sent), words)
    found = readings(view, HONEST[0], size=view.size)["words"]
    half = 2 ** (view.width - 1)
    wanted = words.astype(np.int64)
    assert np.array_equal(found, np.where(wanted < half, wanted, wanted - 2 * half))


def test_any_other_bytes_are_read_as_words(played) -> None:
    game, _ = played
    view = view_of(game.federation, game.federation.orchestrator.current)
    found = integers(view, b"\x01\x00\x00\x00\x02\x00\x00\x00\xff")
    assert list(found[:3]) == [1, 2, 0]
    assert integers(view, b"").shape == (view.size,)


def test_answers_of_helpers_are_in_the_view_and_put_on() -> None:
    game = Game(
        architecture=SMALL,
        plan={
            "collection_mode": "committee",
            "helpers": ("charlie", "delta"),
            "max_weight_exponent": 0,
        },
        seed=1,
    )
    game.play(1)
    view = view_of(game.federation, game.federation.orchestrator.current)
    assert len(view.answers) == 2
    assert not set(view.answers) & set(view.contributions.values())
    found = readings(view, HONEST[0], size=view.size)
    assert not np.array_equal(found["words"], found["words with answers"])
    # all together, with the answers, is the sum: its metric is four times one half
    total = sum(integers(view, vector) for vector in view.contributions.values())
    for answer in view.answers:
        total = total + integers(view, answer)
    opened = signed_integers(view, total)
    assert opened[-1] > 0
    assert np.abs(opened[:-1]).max() < opened[-1]


def test_what_an_organisation_sent_is_counted(played) -> None:
    game, _ = played
    view = view_of(game.federation, game.federation.orchestrator.current)
    sent = sent_bytes(view, HONEST[0])
    assert sent > len(view.contributions[HONEST[0]])
    mine = [b for slot, b in view.messages.items() if slot.endswith("/alpha")]
    assert sent == len(view.contributions[HONEST[0]]) + sum(map(len, mine))
