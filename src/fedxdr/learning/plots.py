# SPDX-License-Identifier: Apache-2.0
"""Pictures of an evaluation, drawn without a screen.

It does NOT measure; it draws what it is given, with the intervals it is given.

Rules that always hold: matplotlib is imported when a picture is asked for; methods are
told apart by line and marker as well as by colour, and a matrix carries its numbers, so
that a picture can be read without colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from fedxdr.core.errors import InvalidSettings
from fedxdr.learning import curves
from fedxdr.learning.curves import Band, Run

_INCHES: Final = (6.4, 4.0)
_DPI: Final = 160
_BLUE, _GREY = "#1f5fa8", "#777777"
_COLOURS: Final = (
    *("#0072b2", "#d55e00", "#009e73", "#000000", "#cc79a7", "#e69f00", "#56b4e9"),
)
"""Told apart by most eyes (Okabe and Ito 2008)."""

_LINES: Final = (
    "-",
    "--",
    "-.",
    ":",
    (0, (7, 2)),
    (0, (1, 1)),
    (0, (3, 1, 1, 1, 1, 1)),
)
_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")
_PANEL_INCHES: Final = (3.0, 2.7)
_LEGEND_INCHES: Final = 0.28
_MOST_COLUMNS: Final = 4
_RECALLS: Final = np.linspace(0.005, 1, 200)
_LEAST_SHARE: Final = 1e-3
_BUDGET: Final = 0.01

Runs = Mapping[str, Mapping[str, Sequence[Run]]]
"""Method -> organisation -> runs."""


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
    budgets = sorted(
        (point for point in points if point.epsilon is not None),
        key=lambda point: point.epsilon or 0.0,
    )
    places = list(range(len(budgets)))
    figure = _figure(_INCHES)
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
    _plain(axes)
    _save(figure, path)


def precision_recall(path: Path, runs: Runs) -> None:
    """Draw precision over recall, one panel per organisation.

    Args:
        path: a PNG or SVG file to write.
        runs: of each method at each organisation.

    Raises:
        InvalidSettings: matplotlib is not installed, or the file cannot be written.
    """

    def draw(axes: Any, method: str, found: Sequence[Run], style: _Style) -> None:  # noqa: ANN401 - matplotlib's
        chance = float(found[0].is_attack.mean())
        axes.axhline(chance, color=_GREY, linestyle=":", linewidth=1)
        _band(axes, method, curves.precision_band(found, _RECALLS), style)

    def frame(axes: Any) -> None:  # noqa: ANN401 - matplotlib's
        axes.set_xlim(0, 1.02)
        axes.set_xticks([0, 0.5, 1])

    _panels(
        path,
        runs,
        draw=draw,
        frame=frame,
        labels=("recall", "precision"),
        title="Precision and recall; dotted: share of attacks",
    )


def recall_against_false_alarms(path: Path, runs: Runs) -> None:
    """Draw recall over false alarms, one panel per organisation, and own thresholds.

    Args:
        path: a PNG or SVG file to write.
        runs: of each method at each organisation.

    Raises:
        InvalidSettings: matplotlib is not installed, or the file cannot be written.
    """
    shares = np.geomspace(_LEAST_SHARE, 1, 200)

    def draw(axes: Any, method: str, found: Sequence[Run], style: _Style) -> None:  # noqa: ANN401 - matplotlib's
        _band(axes, method, curves.recall_band(found, shares), style)
        point = curves.at_own_bar(found)
        if point is not None:
            axes.plot(
                [max(point[0], _LEAST_SHARE)],
                [point[1]],
                marker=style.marker,
                color=style.colour,
                markeredgecolor="white",
                markersize=8,
                linestyle="none",
                clip_on=False,
                zorder=5,
            )

    def frame(axes: Any) -> None:  # noqa: ANN401 - matplotlib's
        axes.set_xscale("log")
        axes.set_xlim(_LEAST_SHARE, 1)
        axes.set_xticks([0.001, 0.01, 0.1, 1], ["0.1", "1", "10", "100"])
        axes.axvline(_BUDGET, color=_GREY, linestyle=":", linewidth=1)

    _panels(
        path,
        runs,
        draw=draw,
        frame=frame,
        labels=("false alarms, %", "recall"),
        title="Recall against false alarms; marker: threshold from the own past alone",
        has_markers=True,
    )


def learned_from(path: Path, gains: Mapping[str, Mapping[str, float | None]]) -> None:
    """Draw who learned how much from whom, as a matrix with its numbers.

    Args:
        path: a PNG or SVG file to write.
        gains: who learned -> from whom -> recall gained, in [-1, 1].

    Raises:
        InvalidSettings: matplotlib is not installed, or the file cannot be written.
    """
    learners = list(gains)
    teachers = list(
        dict.fromkeys([*learners, *(name for row in gains.values() for name in row)])
    )
    values = np.full((len(learners), len(teachers)), np.nan)
    for row, learner in enumerate(learners):
        for column, teacher in enumerate(teachers):
            value = gains[learner].get(teacher)
            values[row, column] = np.nan if value is None else value
    size = (2.6 + 0.85 * len(teachers), 1.9 + 0.5 * len(learners))
    figure = _figure(size)
    axes = figure.subplots()
    axes.set_facecolor("#eeeeee")
    largest = max(0.05, float(np.nanmax(np.abs(values), initial=0.0)))
    image = axes.imshow(values, cmap="RdBu", vmin=-largest, vmax=largest, aspect="auto")
    for row, learner in enumerate(learners):
        for column, teacher in enumerate(teachers):
            value = values[row, column]
            is_dark = not math.isnan(value) and abs(value) > largest * 0.6
            axes.text(
                column,
                row,
                _cell(value, is_self=learner == teacher),
                ha="center",
                va="center",
                color="white" if is_dark else "black",
                fontsize=9,
            )
    axes.set_xticks(range(len(teachers)), teachers, rotation=40, ha="right")
    axes.set_yticks(range(len(learners)), learners)
    axes.set_xlabel("learned from")
    axes.set_ylabel("who learned")
    axes.set_title("Recall at 1 % false alarms gained", fontsize=11)
    figure.colorbar(image, ax=axes, shrink=0.8)
    _save(figure, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Style:
    """How one method is drawn."""

    colour: str
    line: Any
    marker: str


def _panels(
    path: Path,
    runs: Runs,
    *,
    draw: Callable[[Any, str, Sequence[Run], _Style], None],
    frame: Callable[[Any], None],
    labels: tuple[str, str],
    title: str,
    has_markers: bool = False,
) -> None:
    styles = {
        method: _Style(
            colour=_COLOURS[place % len(_COLOURS)],
            line=_LINES[place % len(_LINES)],
            marker=_MARKERS[place % len(_MARKERS)],
        )
        for place, method in enumerate(runs)
    }
    organisations = list(next(iter(runs.values())))
    rows = math.ceil(len(organisations) / _MOST_COLUMNS)
    columns = math.ceil(len(organisations) / rows)
    legend_columns = max(1, min(len(styles), round(columns * 1.3)))
    legend_rows = math.ceil(len(styles) / legend_columns)
    figure = _figure(
        (
            max(_INCHES[0], columns * _PANEL_INCHES[0]),
            rows * _PANEL_INCHES[1] + 0.5 + legend_rows * _LEGEND_INCHES,
        )
    )
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for place, axes in enumerate(grid.flat):
        if place >= len(organisations):
            axes.set_visible(False)
            continue
        name = organisations[place]
        _plain(axes)
        axes.set_ylim(0, 1.03)
        frame(axes)
        axes.set_title(name, fontsize=10)
        if place % columns == 0:
            axes.set_ylabel(labels[1])
        if place + columns >= len(organisations):
            axes.set_xlabel(labels[0])
        for method, style in styles.items():
            found = [run for run in runs[method][name] if run.is_defined]
            if found:
                draw(axes, method, found, style)
        if not axes.get_lines() or not any(
            run.is_defined for method in runs for run in runs[method][name]
        ):
            axes.text(
                *(0.5, 0.5, "no attack here, or nothing else"),
                transform=axes.transAxes,
                ha="center",
                color=_GREY,
            )
    figure.suptitle(title, fontsize=12)
    figure.legend(
        handles=_handles(styles, has_markers=has_markers),
        loc="outside lower center",
        ncols=legend_columns,
        frameon=False,
        fontsize=9,
    )
    _save(figure, path)


def _handles(styles: Mapping[str, _Style], *, has_markers: bool) -> list[Any]:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - extra "evaluate"

    return [
        Line2D(
            [],
            [],
            label=method,
            color=style.colour,
            linestyle=style.line,
            marker=style.marker if has_markers else None,
            markeredgecolor="white",
            markersize=8,
        )
        for method, style in styles.items()
    ]


def _band(axes: Any, method: str, band: Band, style: _Style) -> None:  # noqa: ANN401 - matplotlib's
    axes.plot(
        band.at,
        band.mean,
        color=style.colour,
        linestyle=style.line,
        linewidth=1.6,
        label=method,
    )
    if not np.array_equal(band.low, band.high):
        axes.fill_between(
            band.at, band.low, band.high, color=style.colour, alpha=0.15, linewidth=0
        )


def _cell(value: float, *, is_self: bool) -> str:
    if math.isnan(value):
        return "" if is_self else "\N{EN DASH}"
    return (
        f"{value:+.2f}".replace("-", "\N{MINUS SIGN}") if abs(value) >= 0.005 else "0"
    )


def _plain(axes: Any) -> None:  # noqa: ANN401 - matplotlib's
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _figure(inches: tuple[float, float]) -> Any:  # noqa: ANN401 - matplotlib's
    try:
        from matplotlib.backends.backend_agg import (  # noqa: PLC0415 - extra "evaluate"
            FigureCanvasAgg,
        )
        from matplotlib.figure import Figure  # noqa: PLC0415 - extra "evaluate"
    except ImportError as error:
        raise InvalidSettings(
            "a picture needs matplotlib: pip install 'fedxdr[evaluate]'"
        ) from error
    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: Path) -> None:  # noqa: ANN401 - matplotlib's
    try:
        figure.savefig(path, dpi=_DPI)
    except (OSError, ValueError) as error:
        raise InvalidSettings(f"{path}: cannot write a picture: {error}") from error


def _reach(point: Point) -> tuple[float, float]:
    """Return how far the interval reaches below and above the value."""
    if point.interval is None:
        return 0.0, 0.0
    return point.value - point.interval[0], point.interval[1] - point.value
