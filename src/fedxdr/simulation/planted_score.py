# SPDX-License-Identifier: Apache-2.0
"""Recall and precision of what a sanitiser finds in planted lines.

An entity is found when findings cover every character of it. A finding is right when
at least half of its characters belong to entities of its kind. So a rule gains nothing
from covering whole lines, and nothing from half an entity.

It does NOT run the sanitiser: findings are handed in as spans, those that were kept
left out.

Rule: kinds are counted apart; the totals count every entity and finding once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fedxdr.simulation.planted import PlantedLine
from fedxdr.simulation.planted_labels import Span


@dataclass(slots=True)
class Count:
    """Entities and findings of one kind.

    Attributes:
        entities: how many there are.
        found: how many of them are covered, by findings of whatever kind.
        findings: how many findings name this kind.
        right: how many of those stand on an entity of this kind.
    """

    entities: int = 0
    found: int = 0
    findings: int = 0
    right: int = 0

    @property
    def recall(self) -> float:
        """Share of entities found, in [0, 1]; 1 where there are none."""
        return self.found / self.entities if self.entities else 1.0

    @property
    def precision(self) -> float:
        """Share of findings that are right, in [0, 1]; 1 where there are none."""
        return self.right / self.findings if self.findings else 1.0


@dataclass(slots=True)
class Score:
    """What was counted.

    Attributes:
        kinds: counts by kind.
        traps: look-alikes.
        trapped: look-alikes of which any character was found.
        missed: some entities that were not found: (kind, their text, the line).
        wrong: some findings that are not right: (kind, their text, the line).
    """

    kinds: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    traps: int = 0
    trapped: int = 0
    missed: list[tuple[str, str, str]] = field(default_factory=list)
    wrong: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def total(self) -> Count:
        """All kinds together."""
        every = self.kinds.values()
        return Count(
            entities=sum(count.entities for count in every),
            found=sum(count.found for count in every),
            findings=sum(count.findings for count in every),
            right=sum(count.right for count in every),
        )


def score(
    lines: Iterable[tuple[PlantedLine, Sequence[Span]]], *, examples: int = 1_000
) -> Score:
    """Return the counts over lines and their findings.

    Args:
        lines: each planted line with what was found in it, positions in its text.
        examples: most misses, and most wrong findings, that are kept to be shown.
    """
    result = Score()
    for planted, found in lines:
        text = planted.line.text
        covered = _cover(found, len(text))
        for entity in planted.truth:
            count = result.kinds[entity.kind]
            count.entities += 1
            if all(covered[entity.begin : entity.end]):
                count.found += 1
            elif len(result.missed) < examples:
                value = text[entity.begin : entity.end]
                result.missed.append((entity.kind, value, text))
        for finding in found:
            count = result.kinds[finding.kind]
            count.findings += 1
            same = [span for span in planted.truth if span.kind == finding.kind]
            length = finding.end - finding.begin
            if 2 * sum(_cover(same, len(text))[finding.begin : finding.end]) >= length:
                count.right += 1
            elif len(result.wrong) < examples:
                value = text[finding.begin : finding.end]
                result.wrong.append((finding.kind, value, text))
        result.traps += len(planted.traps)
        result.trapped += sum(any(covered[t.begin : t.end]) for t in planted.traps)
    return result


def _cover(spans: Sequence[Span], length: int) -> bytearray:
    """Return one byte per character: 1 where a span covers it."""
    covered = bytearray(length)
    for span in spans:
        covered[span.begin : span.end] = b"\x01" * (span.end - span.begin)
    return covered
