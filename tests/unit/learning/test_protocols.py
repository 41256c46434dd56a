# SPDX-License-Identifier: Apache-2.0
"""Protocols by name: who counts, what fits, and that the future has no say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedxdr.core.errors import InvalidSettings, InvalidTelemetry
from fedxdr.learning import ait, features, protocols

REAL = Path(__file__).parents[4] / "shared" / "data" / "ait_ads"
SECOND = 10**9


@pytest.fixture
def organisations(make_organisation):
    return [
        make_organisation(name, begin=300 * place, seed=place, attack_at=0.7)
        for place, name in enumerate("abcdef")
    ]


def masked(item):
    is_train = np.arange(len(item.family)) % 3 != 0
    return replace(item, may_train=is_train, may_test=~is_train)


def test_names_are_the_keys():
    assert [protocols.find(name).name for name in protocols.PROTOCOLS] == [
        *("causal", "time-split", "subnet", "unseen-family")
    ]
    with pytest.raises(InvalidSettings, match="unseen-family"):
        protocols.find("magic")


def test_who_counts():
    counts = {item.name: item.counts_newcomers for item in protocols.PROTOCOLS.values()}
    assert not counts.pop("causal")
    assert all(counts.values())


@pytest.mark.parametrize("name", protocols.PROTOCOLS)
def test_the_future_changes_no_past(organisations, name):
    cut = 1400 * SECOND
    given = organisations
    if name == "subnet":
        given = [replace(item, cut_ns=cut) for item in given[2:5]]
    if name == "unseen-family":
        given = [masked(item) for item in given]
    protocol = protocols.find(name)
    before = protocol.situations(given)
    poisoned = []
    for item in given:
        is_tested = item.may_test if name == "unseen-family" else ~item.is_past
        rows = np.where(is_tested[:, None], np.float32(99), item.features)
        poisoned.append(replace(item, features=rows))
    after = protocol.situations(poisoned)
    for first, second in zip(before, after, strict=True):
        assert (second.test.features == 99).all()
        assert first.own.features.tobytes() == second.own.features.tobytes()
        if name in {"subnet", "unseen-family"}:
            for one, other in zip(first.others, second.others, strict=True):
                assert one.features.tobytes() == other.features.tobytes()
    for first, second in zip(
        protocol.validations(before), protocol.validations(after), strict=True
    ):
        assert first.name == second.name
        assert first.own.features.tobytes() == second.own.features.tobytes()


def test_causal_settings_are_chosen_without_the_last_two_tests(organisations):
    protocol = protocols.find("causal")
    cuts = {item.own.name: item.cut_ns for item in protocol.situations(organisations)}
    last_two = sorted(cuts, key=lambda name: cuts[name])[-2:]
    poisoned = [
        replace(
            item,
            features=np.where(
                (item.time_ns >= cuts[item.name])[:, None],
                np.float32(99),
                item.features,
            ),
        )
        if item.name in last_two
        else item
        for item in organisations
    ]
    found = protocol.validations(protocol.situations(poisoned))
    assert {item.name for item in found} == set(cuts) - set(last_two)
    for item in found:
        # the last two take part with their past, and never with their tests
        for part in (*item.parts, item.test):
            assert not (part.features == 99).any()
            assert part.time_ns.max() <= cuts[last_two[0]]


def test_without_victims_the_last_fifth_is_chosen_on(organisations):
    protocol = protocols.find("causal")
    quiet = [replace(item, family=item.family * 0) for item in organisations]
    found = protocol.situations(quiet)
    assert len(protocol.validations(found)) == len(found)
    assert len(protocol.validation(found[-1])) == 1
    few = protocol.situations(organisations[:2])
    assert len(protocol.validations(few)) == 2


def test_families_are_mirrored_and_held_out(organisations):
    protocol = protocols.find("unseen-family")
    found = protocol.situations([masked(item) for item in organisations])
    assert [item.own.name for item in found] == list("abcdef")
    assert all(item.cut_ns == 0 and len(item.others) == 5 for item in found)
    assert [item.name for item in protocol.validation(found[0])] == [
        *("a", "a without scan")
    ]
    assert len(protocol.validations(found)) == 12


def test_what_does_not_fit_is_refused(organisations):
    unseen, subnet = protocols.find("unseen-family"), protocols.find("subnet")
    with pytest.raises(InvalidTelemetry, match="nobody said"):
        unseen.situations(organisations)
    both = masked(organisations[0])
    with pytest.raises(InvalidTelemetry, match="tested on"):
        unseen.situations([replace(both, may_test=both.may_train)])
    with pytest.raises(InvalidTelemetry, match="same name"):
        unseen.situations([both, both])
    for cuts in ((None, None), (500 * SECOND, None), (500 * SECOND, 600 * SECOND)):
        with pytest.raises(InvalidTelemetry, match="one cut"):
            subnet.situations(
                [
                    replace(item, cut_ns=cut)
                    for item, cut in zip(organisations, cuts, strict=False)
                ]
            )


def test_the_alert_data_set_is_chosen_on_six_organisations():
    if not (REAL / ait.FILE).is_file():
        pytest.skip("the AIT alert data set is not on this machine")
    none = features.FeatureSet(
        name="none",
        keys=0,
        token=0,
        own=1,
        is_bounded=True,
        make=lambda _, rows: np.zeros((len(rows), 1), np.float32),
    )
    protocol = protocols.find("causal")
    found = protocol.validations(protocol.situations(ait.read(REAL, none)))
    # all but wilson and harrison, each with the rows of its own test
    assert {
        item.name: (len(item.test.family), item.test.attacks) for item in found
    } == {
        "santos": (14197, 8084),
        "fox": (16019, 8061),
        "wardbeck": (12485, 5573),
        "russellmitchell": (17553, 8081),
        "shaw": (14713, 5539),
        "wheeler": (16237, 8083),
    }
