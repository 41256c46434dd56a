# SPDX-License-Identifier: Apache-2.0
"""From events to findings: in which order, by which model, with which reasons."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.unit.app.detection import events, model, snapshot_of

from fedxdr.app import scoring as module
from fedxdr.app.scoring import ModelFile, Scoring, arrived, model_at, model_in
from fedxdr.core.clock import ManualClock
from fedxdr.core.errors import InvalidSettings, MalformedMessage, NotFound, Unavailable
from fedxdr.core.ids import OrgId, sha256
from fedxdr.intake.lines import Lines
from fedxdr.learning.detector import Detector
from fedxdr.models import snapshot
from fedxdr.telemetry.event import Events
from fedxdr.telemetry.findings import Position

PAST = 800
NOW = datetime(2027, 1, 1, tzinfo=UTC)


def scoring(**options: bool) -> Scoring:
    past = events().select(slice(0, PAST))
    return Scoring(
        Detector.prepare(snapshot_of(), past, budget=0.1),
        org=OrgId("west"),
        ledger_index=3,
        clock=ManualClock(NOW),
        **options,
    )


def later(count: int = 600) -> Events:
    return events().select(slice(PAST, PAST + count))


def lines_of(count: int) -> Lines:
    place = Position(
        source="/log", device=1, inode=2, fingerprint=sha256(b""), begin=0, end=10**6
    )
    begin = 100 * np.arange(count)
    return Lines(
        places=(place,), place=np.zeros(count, np.int32), begin=begin, end=begin + 100
    )


def test_findings_name_the_model_and_say_why() -> None:
    found = scoring().push(later(), lines_of(600))
    assert found
    for one in found:
        assert (one.model, one.ledger_index) == (model().digest, 3)
        assert one.sentence.count("score") >= 2
        assert "About 1 in" in one.sentence
        weights = [edge.contribution for edge in one.evidence]
        assert weights == sorted(weights, reverse=True)
        # where an event stands is told, and is where that event stands
        for edge in one.evidence:
            if edge.line is not None:
                row = edge.line.begin // 100
                assert later().time_ns[row] == edge.time_ns
    around = [edge for one in found for edge in one.evidence if edge.line is None]
    assert around, "events of the past speak for findings, too"


def test_the_order_in_which_events_come_does_not_matter() -> None:
    shuffled = np.roll(np.arange(600), 250)
    one = scoring().push(later(), lines_of(600))
    two = scoring().push(later().select(shuffled), lines_of(600).select(shuffled))
    assert one == two


def test_by_arrival_is_what_a_stream_of_records_reads() -> None:
    live, batch = scoring(by_arrival=True), scoring()
    order = module._written(later())
    scores: list[float] = []
    for part in np.array_split(order, 7):
        live.push(later().select(part))
    scores = live.detector._stream.newest_ns, batch.detector._stream.newest_ns
    assert scores[0] == later().time_ns.max()
    assert live.late > 0
    assert batch.late == 0
    # times in findings are those of the events, not those at which they were read
    found = scoring(by_arrival=True).push(later(), lines_of(600))
    times = set(events().time_ns.tolist())
    assert {one.first_ns for one in found} <= times


def test_records_arrive_when_they_are_written() -> None:
    made = Events.build(
        3,
        {
            "time_ns": np.array([10, 20, 30]) * 10**9,
            "duration_s": np.array([15.0, np.nan, 1.0]),
            "source": np.array([1, 2, 3]),
        },
    )
    found = arrived(made)
    assert found.source.tolist() == [2, 1, 3]
    assert (found.time_ns // 10**9).tolist() == [20, 20, 30]


def test_a_time_that_cannot_be_is_left_out_and_counted() -> None:
    far = int((NOW + timedelta(days=2)).timestamp()) * 10**9
    times = later(100).time_ns.copy()
    times[7] = far
    spoilt = dataclasses.replace(later(100), time_ns=times)
    one = scoring()
    one.push(spoilt, lines_of(100))
    assert (one.events, one.refused, one.late) == (99, 1, 0)
    assert one.push(spoilt.select(slice(7, 8))) == []
    assert one.push(Events.empty()) == []


def test_another_model_has_findings_of_its_own() -> None:
    one = scoring()
    first = one.push(later(300))
    one.swap(model(1, ledger_index=8))
    second = one.push(events().select(slice(PAST + 300, PAST + 900)))
    assert first
    assert {(f.model, f.ledger_index) for f in second} == {(model(1).digest, 8)}


def test_more_findings_than_can_be_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_EXPLAINED", 5)
    found = scoring().push(later())
    told = ["About 1 in" in one.sentence for one in found]
    assert 0 < sum(told) <= 5
    assert not all(told)


def test_what_was_told_goes_on_in_another_process() -> None:
    one, two = scoring(), scoring()
    one.push(later(300))
    two.push(later(300))
    state = two.told()
    other = scoring()
    other.restore(state)
    assert np.array_equal(np.sort(other.told(), axis=0), np.sort(state, axis=0))


# Models.


def test_a_file_is_a_model_on_no_ledger(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(snapshot_of())
    found = model_at(path)
    assert (found.digest, found.ledger_index) == (sha256(snapshot_of()), None)
    assert "content" not in repr(found)


def test_what_is_no_model_of_logs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with pytest.raises(InvalidSettings, match="cannot read"):
        model_at(path)
    path.write_bytes(b"no snapshot")
    with pytest.raises(MalformedMessage):
        model_at(path)
    path.write_bytes(snapshot_of(features="alerts"))
    with pytest.raises(InvalidSettings, match="'alerts'"):
        model_at(path)
    path.write_bytes(snapshot_of(-1))
    with pytest.raises(InvalidSettings, match="nobody has trained"):
        model_at(path)


def test_statistics_alone_train_nothing() -> None:
    first = snapshot.load(snapshot_of(-1))
    vector = first.vector.copy()
    begin, end = first.card.layout.span("statistics.")
    vector[begin:end] += 1
    for change, is_trained in ((0.0, False), (1.0, True)):
        vector[-1] += change
        content = snapshot.save(
            vector, layout=first.card.layout, architecture=first.card.architecture
        )
        found = ModelFile(content=content, digest=sha256(content), ledger_index=1)
        assert found.is_trained is is_trained


def test_a_folder_without_a_ledger_has_no_model(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="belongs to no member"):
        model_in(tmp_path)


def test_the_newest_model_of_a_federation_and_its_block(place) -> None:  # type: ignore[no-untyped-def]
    place.join("aurora", "borealis", "cascade")
    with pytest.raises(Unavailable, match="never run"):
        model_in(place.folder("aurora"))
    place.operator().call("POST", "/federation/found", {})
    place.approve("founding", "aurora", "borealis", "cascade")
    place.run_agents("aurora")
    with pytest.raises(NotFound, match="let its agent run"):
        model_in(place.folder("aurora"))
    opened = place.agent("aurora")
    try:
        mirror = opened.participant.mirror
        content = snapshot_of()
        found = dataclasses.replace(
            ModelFile(content=content, digest=sha256(content), ledger_index=None),
            ledger_index=module.height_of(mirror, mirror.in_force.model),
        )
        assert found.ledger_index == 0
        assert module.height_of(mirror, sha256(b"another")) is None
    finally:
        opened.close()
