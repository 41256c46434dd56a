# SPDX-License-Identifier: Apache-2.0
"""Recall and precision by characters."""

from __future__ import annotations

from fedxdr.simulation.planted import PlantedLine, RealLine
from fedxdr.simulation.planted_labels import Span
from fedxdr.simulation.planted_score import score

LINE = PlantedLine(
    line=RealLine(log="text", text="10.0.0.1 bob 1.2.3.4-5"),
    truth=(
        Span(kind="address", begin=0, end=8),
        Span(kind="user", begin=9, end=12),
    ),
    traps=(Span(kind="trap", begin=13, end=22),),
)


def spans(*found: tuple[str, int, int]) -> list[Span]:
    return [Span(kind=kind, begin=begin, end=end) for kind, begin, end in found]


def test_everything_found_and_nothing_else() -> None:
    result = score([(LINE, spans(("address", 0, 8), ("user", 9, 12)))])
    assert (result.total.recall, result.total.precision) == (1.0, 1.0)
    assert (result.traps, result.trapped) == (1, 0)


def test_half_an_entity_is_missed_and_a_trap_is_wrong() -> None:
    result = score([(LINE, spans(("address", 0, 7), ("address", 13, 20)))])
    assert result.kinds["address"].recall == 0
    assert result.kinds["address"].precision == 0.5
    assert result.kinds["user"].recall == 0
    assert result.trapped == 1
    assert [kind for kind, *_ in result.missed] == ["address", "user"]
    assert [value for _, value, _ in result.wrong] == ["1.2.3.4"]


def test_covering_the_whole_line_is_not_precise() -> None:
    result = score([(LINE, spans(("address", 0, 22)))])
    assert result.total.recall == 1
    assert result.total.precision == 0


def test_the_wrong_kind_hides_the_entity_but_is_no_right_finding() -> None:
    result = score([(LINE, spans(("host", 0, 8), ("user", 9, 12)))])
    assert result.total.recall == 1
    assert result.total.precision == 0.5


def test_nothing_to_find_and_nothing_found_is_perfect() -> None:
    empty = PlantedLine(line=RealLine(log="text", text="quiet"), truth=(), traps=())
    result = score([(empty, [])])
    assert (result.total.recall, result.total.precision) == (1.0, 1.0)
