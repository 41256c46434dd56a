# SPDX-License-Identifier: Apache-2.0
"""Pictures of an evaluation, drawn without a screen.

It does NOT measure; it draws what it is given, with the intervals it is given.

Rule that always holds: matplotlib is imported when a picture is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedxdr.core.errors import InvalidSettings

_INCHES: Final = (6.4, 4.0)
_DPI: Final = 160
_BLUE, _GREY = "#1f5fa8", "#777777"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One figure at one budget.

    Attributes:
        epsilon: the budget, > 0; None without differential privacy.
        value: the figure's mean, in [0, 1].
        interval: of that mean, None where there is none.
    """

    epsilon: float | None
    value: float
    interval: tuple[float, float] | None


def curve(path: Path, points: Sequence[Point], *, title: str, label: str) -> None:
    """Draw a figure against epsilon, and as a line what it is without privacy.

    Args:
        path: a PNG or SVG file to write.
        points: at least one with a budget.
        title: above the picture.
        label: of the figure.

    Raises:
        InvalidSettings: matplotlib is not installed, or the file cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import (  # noqa: PLC0415 - extra "evaluate"
            FigureCanvasAgg,
        )
        from matplotlib.figure import Figure  # noqa: PLC0415 - extra "evaluate"
    except ImportError as error:
        raise InvalidSettings(
            "a picture needs matplotlib: pip install 'fedxdr[evaluate]'"
        ) from error
    budgets = sorted(
        (point for point in points if point.epsilon is not None),
        key=lambda point: point.epsilon or 0.0,
    )
    places = list(range(len(budgets)))
    figure = Figure(figsize=_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for point in points:
        if point.epsilon is None:
            axes.axhline(point.value, color=_GREY, linestyle="--", linewidth=1.2)
            axes.annotate(
                f"without differential privacy: {point.value:.3f}",
                # between the first two budgets, clear of every interval's bar
                xy=(0.08, point.value),
                xytext=(0, 5),
                textcoords="offset points",
                ha="left",
                color=_GREY,
            )
            if point.interval is not None:
                axes.axhspan(*point.interval, color=_GREY, alpha=0.12, linewidth=0)
    low, high = zip(*(_reach(point) for point in budgets), strict=True)
    axes.errorbar(
        places,
        [point.value for point in budgets],
        yerr=[low, high],
        color=_BLUE,
        marker="o",
        capsize=4,
        linewidth=1.8,
    )
    for place, point in zip(places, budgets, strict=True):
        axes.annotate(
            f"{point.value:.3f}",
            xy=(place, point.value),
            xytext=(7, -14),
            textcoords="offset points",
            color=_BLUE,
        )
    axes.set_xticks(places, [f"{point.epsilon:g}" for point in budgets])
    axes.set_xlim(-0.35, len(budgets) - 0.6 if len(budgets) > 1 else 0.35)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("epsilon of one organisation for the whole run (single events)")
    axes.set_ylabel(label)
    axes.set_title(title)
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    try:
        figure.savefig(path, dpi=_DPI)
    except (OSError, ValueError) as error:
        raise InvalidSettings(f"{path}: cannot write a picture: {error}") from error


def _reach(point: Point) -> tuple[float, float]:
    """Return how far the interval reaches below and above the value."""
    if point.interval is None:
        return 0.0, 0.0
    return point.value - point.interval[0], point.interval[1] - point.value
