# SPDX-License-Identifier: Apache-2.0
"""Known techniques: means of directions, names that a finding may carry."""

from __future__ import annotations

import numpy as np

from fedxdr.learning import campaigns
from fedxdr.learning.campaigns import Campaigns, Examples
from fedxdr.telemetry.event import Events


class Plane:
    """A network that places an event where its two features say."""

    class architecture:  # noqa: N801 - stands for an instance
        embedding = 2

    @staticmethod
    def embeddings(features):
        return features


def known(*, names=("T1046", "T1110")):
    features = np.array([[5, 1], [9, 1], [1, 6], [1, 4]], np.float32)
    number = np.array([0, 0, 1, 1])
    examples = Examples(
        features=features[: 2 * len(names)],
        number=number[: 2 * len(names)],
        names=names,
    )
    return Campaigns(Plane(), examples, np.ones((3, 2), np.float32))


def test_an_event_is_like_the_technique_in_its_direction_from_benign():
    found = known()
    assert found.nearest(np.array([3, 1.1], np.float32)) == "T1046"
    assert found.nearest(np.array([1.1, 50], np.float32)) == "T1110"


def test_what_lies_elsewhere_is_like_none():
    found = known()
    for place in ([1, 1], [-4, 1], [-3, -3]):
        assert found.nearest(np.array(place, np.float32)) is None


def test_where_nothing_is_known_nothing_is_near():
    assert known(names=()).nearest(np.ones(2, np.float32)) is None


def events(technique, *, label=None, techniques=("T1046", "T1110", "T1021.002")):
    count = len(technique)
    return Events.build(
        count,
        {
            "technique": np.array(technique),
            "label": np.ones(count) if label is None else np.array(label),
        },
        techniques=techniques,
    )


def test_examples_are_attacks_with_a_technique_the_latest_of_each(monkeypatch):
    monkeypatch.setattr(campaigns, "MOST_PER_TECHNIQUE", 2)
    rows, number, names = campaigns.labelled(events([0, 2, 0, -1, 0, 2]))
    assert rows.tolist() == [1, 2, 4, 5]
    assert [names[one] for one in number] == [
        "T1021.002",
        "T1046",
        "T1046",
        "T1021.002",
    ]


def test_what_is_not_an_attack_or_has_no_name_to_show_is_left_out():
    found = events([0, 1, 2], label=[1, 0, -1])
    assert campaigns.labelled(found)[0].tolist() == [0]
    named = events([0, 1, 1], techniques=("10.0.0.7/admin", "T1110"))
    rows, number, names = campaigns.labelled(named)
    assert (rows.tolist(), number.tolist(), names) == ([1, 2], [0, 0], ("T1110",))
    rows, number, names = campaigns.labelled(events([-1, -1]))
    assert (len(rows), len(number), names) == (0, 0, ())
