# SPDX-License-Identifier: Apache-2.0
"""What modes and promises put into a plan, and that such plans can be made."""

import pytest

from fedxdr.app.orchestrating import first_model, plan_with
from fedxdr.app.privacy_plan import PER_ENTITY, mode_fields, privacy_fields
from fedxdr.core.errors import InvalidPlan, InvalidSettings
from fedxdr.federation.plan import MODES, Plan
from fedxdr.learning import methods
from fedxdr.learning.features import find
from fedxdr.privacy import accountant

MEMBERS = ("delta", "alpha", "charlie", "bravo")


def plan_of(fields, features="traffic-event"):
    card = first_model(features).card
    base = Plan(
        federation="f",
        run_id="run-1",
        participants=4,
        threshold=3,
        layout=card.layout,
        architecture=card.architecture,
    )
    return plan_with(base, fields)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_gets_what_it_needs(mode):
    plan = plan_of(mode_fields(mode, members=MEMBERS, ceremony="0" * 64))
    assert plan.collection_mode == mode
    assert plan.helpers == (
        ("alpha", "bravo", "charlie") if mode == "committee" else ()
    )
    assert plan.paillier_key == ("0" * 64 if mode == "paillier" else "")
    assert plan.acknowledge_clear is (mode == "clear")


def test_named_helpers_win_in_order():
    fields = mode_fields("committee", members=MEMBERS, helpers=["delta", "bravo"])
    assert fields["helpers"] == ["bravo", "delta"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"mode": "open"}, "--mode open"),
        ({"mode": "secagg", "helpers": ["alpha"]}, "--helper goes with"),
        ({"mode": "committee", "helpers": ["alpha", "zulu"]}, "zulu: no member"),
        ({"mode": "paillier"}, "fedxdr keys publish"),
    ],
)
def test_a_mode_without_what_it_needs_is_refused(wish, words):
    with pytest.raises(InvalidSettings, match=words):
        mode_fields(wish.pop("mode"), members=MEMBERS, **wish)


@pytest.mark.parametrize("epsilon", [1.0, 8.0])
def test_a_promise_lasts_for_the_rounds_that_were_planned(epsilon):
    plan = plan_of(privacy_fields("traffic-event", epsilon=epsilon, rounds=5))
    privacy = plan.privacy
    assert (privacy.mechanism, privacy.unit) == ("dp-sgd", "event")
    assert (privacy.context, privacy.index_keys, privacy.occurrences) == (8, 2, 16)
    spent = accountant.epsilon({privacy.charge: 5}, delta=privacy.delta)
    assert 0.99 * epsilon < spent <= epsilon
    assert accountant.epsilon({privacy.charge: 6}, delta=privacy.delta) > epsilon


def test_it_is_the_promise_that_evaluations_measure():
    made = plan_of(privacy_fields("traffic-event", epsilon=8.0, rounds=20)).privacy
    same = methods.event_privacy(
        find("traffic-event"), epsilon=8.0, delta=1e-5, rounds=20
    )
    assert made == same


def test_hosts_are_bounded_and_organisations_noised_in_the_sum():
    hosts = plan_of(
        privacy_fields("traffic-event", epsilon=8.0, unit="entity", rounds=1)
    ).privacy
    assert (hosts.unit, hosts.own) == ("entity", PER_ENTITY)
    assert hosts.occurrences == 16 * PER_ENTITY
    whole = plan_of(
        privacy_fields("traffic", epsilon=1.0, unit="organisation", rounds=20),
        "traffic",
    ).privacy
    assert (whole.mechanism, whole.steps) == ("discrete-gaussian", 1)


def test_the_same_wishes_make_the_same_plan():
    one, other = (privacy_fields("traffic-event", epsilon=3.0) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("wish", "kind", "words"),
    [
        ({"unit": "planet"}, InvalidSettings, "--unit planet"),
        ({"rounds": 0}, InvalidSettings, "--rounds-planned"),
        ({"epsilon": 0.0}, InvalidPlan, "epsilon"),
        ({"features": "counters"}, InvalidPlan, "--features traffic-event"),
        ({"features": "nonsense"}, InvalidPlan, "nonsense"),
    ],
)
def test_a_promise_that_cannot_be_made_is_refused(wish, kind, words):
    features = wish.pop("features", "traffic-event")
    with pytest.raises(kind, match=words):
        privacy_fields(features, **{"epsilon": 8.0, **wish})


def test_a_federation_learns_from_what_logs_serve():
    assert first_model().card.architecture["features"] == "traffic"
    small = first_model("traffic-event").card
    assert small.layout.size < first_model().card.layout.size
    wide = first_model("entities").card.architecture
    assert (wide["bins"], wide["tactics"], wide["following"]) == (16, 14, 1)
    with pytest.raises(InvalidPlan, match="traffic-event"):
        privacy_fields("entities", epsilon=8.0)
    with pytest.raises(InvalidSettings, match="--features alerts"):
        first_model("alerts")
