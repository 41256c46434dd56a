# SPDX-License-Identifier: Apache-2.0
"""Pictures: written, of the right kind, and only where they can be."""

from __future__ import annotations

import sys

import pytest

from fedxdr.core.errors import InvalidSettings
from fedxdr.learning import plots
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
