# SPDX-License-Identifier: Apache-2.0
"""The own past divided: what is asked was not fitted to; the end is still to come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedxdr.learning import dataset, own_past
from fedxdr.learning.trainer import held_out


@pytest.fixture
def situation(make_organisation):
    items = [
        make_organisation("a", attack_at=0.3),
        make_organisation("b", begin=100, seed=1),
        make_organisation("late", begin=3000, seed=3, attack_at=0.3),
    ]
    return dataset.situations(items)[-1]


def test_what_is_asked_of_the_past_is_benign_and_was_not_fitted_to(situation):
    own = situation.own
    asked, rows = own_past.asked(situation)
    test = len(situation.test.family)
    assert np.array_equal(asked[:test], situation.test.features)
    assert np.array_equal(asked[test:], own.features[rows])
    assert (own.family[rows] == 0).all()
    assert np.array_equal(
        rows, np.flatnonzero(held_out(own.family) & (own.family == 0))
    )
    fitted = own_past.fitted_to(situation)
    assert len(fitted.family) == len(own.family) - len(rows)
    assert fitted.attacks == own.attacks
    seen = {row.tobytes() for row in fitted.features}
    assert not any(row.tobytes() in seen for row in own.features[rows])


def test_where_all_was_fitted_to_all_benign_rows_are_asked(situation):
    _, rows = own_past.asked(situation, fits_all=True)
    assert np.array_equal(rows, np.flatnonzero(situation.own.family == 0))


def test_scores_are_cut_where_the_past_begins(situation):
    asked, rows = own_past.asked(situation)
    found = own_past.scored(np.arange(len(asked), dtype=np.float32), rows)
    assert len(found.test) == len(situation.test.family)
    assert found.benign_past[0] == len(found.test)
    assert len(found.benign_past) == len(found.rows)


def test_by_the_clock_the_end_is_the_last_fifth_of_time(situation):
    found = own_past.earlier(situation)
    time = situation.own.time_ns
    cut = time[0] + int(0.8 * (time[-1] - time[0])) + 1
    assert (found.own.time_ns < cut).all()
    assert (found.test.time_ns >= cut).all()
    assert len(found.own.family) + len(found.test.family) == len(time)
    assert all((part.time_ns < cut).all() for part in found.others)


def test_where_a_window_opens_at_no_instant_it_is_the_last_fifth_of_each_family(
    situation,
):
    found = own_past.earlier(replace(situation, cut_ns=0))
    for number in (0, 1):
        whole = (situation.own.family == number).sum()
        assert (found.own.family == number).sum() == int(0.8 * whole)
        assert (found.test.family == number).sum() == whole - int(0.8 * whole)
    assert found.others == situation.others


def test_a_past_that_has_no_end_of_its_own_gives_none(situation):
    own = situation.own
    still = replace(own, time_ns=np.full(len(own.family), 5))
    assert own_past.earlier(replace(situation, own=still)) is None
