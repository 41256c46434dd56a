# SPDX-License-Identifier: Apache-2.0
"""Pictures: written, of the right kind, and only where they can be."""

from __future__ import annotations

import struct
import sys

import numpy as np
import pytest

from fedxdr.core.errors import InvalidSettings
from fedxdr.learning import plots
from fedxdr.learning.curves import Run
from fedxdr.learning.plots import Point

POINTS = [
    Point(epsilon=8.0, value=0.9, interval=(0.88, 0.92)),
    Point(epsilon=1.0, value=0.8, interval=None),
    Point(epsilon=None, value=0.95, interval=(0.94, 0.96)),
]


def test_a_picture_is_written(tmp_path):
    path = tmp_path / "curve.png"
    plots.curve(path, POINTS, title="title", label="recall")
    assert path.read_bytes().startswith(b"\x89PNG\r\n")
    assert path.stat().st_size > 5_000


def test_what_is_drawn_is_what_was_given(tmp_path):
    path = tmp_path / "curve.svg"
    plots.curve(path, POINTS, title="title", label="recall")
    drawn = path.read_text()
    assert "<svg" in drawn
    one = plots.curve(tmp_path / "one.png", POINTS[:1], title="t", label="l")
    assert one is None


def test_a_file_that_cannot_be_written_is_refused(tmp_path):
    for path in (tmp_path / "no" / "curve.png", tmp_path / "curve.unknown"):
        with pytest.raises(InvalidSettings, match="cannot write"):
            plots.curve(path, POINTS, title="title", label="recall")


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InvalidSettings, match="fedxdr\\[evaluate\\]"):
        plots.curve(tmp_path / "a.png", POINTS, title="title", label="recall")


def test_reach_is_measured_from_the_value():
    assert plots._reach(POINTS[0]) == pytest.approx((0.02, 0.02))
    assert plots._reach(POINTS[1]) == (0, 0)


def runs(*organisations, methods=("local", "federated"), seeds=2):
    def one(seed, quiet):
        draw = np.random.default_rng(seed)
        is_attack = np.zeros(60, bool) if quiet else np.arange(60) < 20
        scores = (draw.normal(0, 1, 60) + 2 * is_attack).astype(np.float32)
        return Run(scores=scores, is_attack=is_attack, own_bar=1.0)

    return {
        method: {
            name: [one(seed + 10 * place, name == "quiet") for seed in range(seeds)]
            for name in organisations
        }
        for place, method in enumerate(methods)
    }


def size_of(path):
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", head[16:24])


@pytest.mark.parametrize(
    "draw", [plots.precision_recall, plots.recall_against_false_alarms]
)
def test_every_organisation_gets_a_panel(tmp_path, monkeypatch, draw):
    monkeypatch.setattr(plots, "_DPI", 40)
    draw(tmp_path / "a.png", runs("a", "quiet", seeds=1))
    draw(tmp_path / "b.png", runs("a", "b", "c", "d", "e"))
    wide, high = size_of(tmp_path / "a.png"), size_of(tmp_path / "b.png")
    assert min(*wide, *high) > 100
    assert high[1] > 1.5 * wide[1]
    draw(tmp_path / "c.svg", runs("a", "quiet"))
    drawn = (tmp_path / "c.svg").read_text()
    assert drawn.count("<!-- no attack here, or nothing else -->") == 1
    for word in ("local", "federated", "quiet"):
        assert f"<!-- {word} -->" in drawn


def test_methods_differ_without_colour():
    names = [f"method-{number}" for number in range(len(plots._LINES))]
    styles = [plots._LINES[place] for place, _ in enumerate(names)]
    assert len(set(styles)) == len(names) <= len(set(plots._MARKERS))
    # seven lines and eleven markers: 77 methods before a pair comes again
    pairs = {(plots._LINES[n % 7], plots._MARKERS[n % 11]) for n in range(77)}
    assert len(pairs) == 77


def test_a_matrix_carries_its_numbers(tmp_path):
    path = tmp_path / "who.svg"
    gains = {"a": {"b": 0.25, "c": None}, "b": {"a": -0.5}, "c": {"a": 0.001}}
    plots.learned_from(path, gains)
    drawn = path.read_text()
    for text in ("+0.25", "\N{MINUS SIGN}0.50", "0", "who learned", "learned from"):
        assert f"<!-- {text} -->" in drawn
    plots.learned_from(tmp_path / "who.png", gains)
    assert min(size_of(tmp_path / "who.png")) > 400
    plots.learned_from(tmp_path / "alone.png", {"a": {}})
