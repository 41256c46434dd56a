# SPDX-License-Identifier: Apache-2.0
"""The threads of a live agent: begin, go on, stop, and end when something is wrong."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.app.detection import model, write_logs
from tests.unit.transport.sinks.receivers import KafkaCluster

from fedxdr.app import live as module
from fedxdr.app.live import FINDINGS, STATE, Live, Watch, living
from fedxdr.app.participating import AgentFile
from fedxdr.core.errors import Fault, InvalidSettings, StorageFault, Unavailable
from fedxdr.core.ids import Digest
from fedxdr.intake.spool import Spool

PATIENT_S = 30.0


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENT_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


class Federation:
    """Stands for a participant: whose model is in force."""

    def __init__(self) -> None:
        self.name = model(ledger_index=0).digest
        self.asked = 0

    @property
    def participant(self) -> Federation:
        return self

    mirror = property(lambda self: self)
    is_begun = True
    in_force = property(lambda self: self)

    @property
    def model(self) -> Digest:
        return self.name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "west").mkdir()
    AgentFile(
        org="west", server="http://127.0.0.1:9", orchestrator="0" * 64, token=""
    ).write(tmp_path / "west")
    return tmp_path / "west"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (path,) = write_logs(tmp_path / "logs")
    return path


@pytest.fixture
def halves(log: Path) -> tuple[bytes, bytes]:
    """The log holds its first half; return both."""
    lines = log.read_bytes().splitlines(keepends=True)
    one, two = b"".join(lines[:1500]), b"".join(lines[1500:2500])
    log.write_bytes(one)
    return one, two


@pytest.fixture
def federation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Federation]:
    made = Federation()

    def model_of(*_: object) -> object:
        made.asked += 1
        return model(ledger_index=0)

    monkeypatch.setattr(module, "model_of", model_of)
    return made


def grow(log: Path, more: bytes) -> None:
    with log.open("ab") as file:
        file.write(more)


def test_a_log_that_grows_gives_findings_with_names(
    folder: Path, log: Path, halves: tuple[bytes, bytes], federation: Federation
) -> None:
    watch = Watch(sources=(str(log),), budget=0.05)
    with living(folder, watch) as live:
        live.follow(federation)  # type: ignore[arg-type]
        live.follow(federation)  # type: ignore[arg-type]
        assert federation.asked == 1
        live.catch_up()
        assert live.figures()["kept"] == 1500
        until((folder / STATE).exists)
        assert live.figures()["findings"] == 0
        grow(log, halves[1] + b"no record\n")
        until(lambda: live.figures()["lines"] == 2501)
        until(lambda: live.figures()["scored"] == 1000)
        until(lambda: live._scored.number == live._stored)
        until(lambda: live.figures()["waiting"] == 0)
        told = live.figures()
    assert (told["refused"], told["segments_lost"], told["refused_times"]) == (1, 0, 0)
    findings = [
        json.loads(line) for line in (folder / FINDINGS).read_text().splitlines()
    ]
    assert len(findings) == told["findings"] > 3
    for one in findings:
        assert one["unmapped"]["ledger_index"] == 0
        assert not any("entity-" in who["value"] for who in one["observables"])
        assert str(log) in {edge["data"].get("log") for edge in one["evidences"]}
    assert "no record" in (folder / "dead-letter.ndjson").read_text()
    # another process goes on behind that
    with living(folder, watch) as again:
        again.catch_up()
        assert again.figures()["lines"] == 0
        until(lambda: again._scored.is_scoring)
    assert again.figures()["findings"] == 0


def test_it_waits_for_a_model(folder: Path, log: Path) -> None:
    with living(folder, Watch(sources=(str(log),))) as live:
        live.catch_up()
        time.sleep(0.3)
        assert live.figures()["kept"] > 1000
        assert not live._scored.is_scoring
    assert not (folder / STATE).exists()


def test_a_model_that_nobody_has_trained_does_not_score(
    folder: Path,
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="fedxdr.app.live")
    monkeypatch.setattr(module, "model_of", lambda *_: model(-1, ledger_index=0))
    with living(folder, Watch(sources=(str(log),))) as live:
        for _ in range(3):
            live.follow(Federation())  # type: ignore[arg-type]
        live.catch_up()
        time.sleep(0.3)
        assert not live._scored.is_scoring
    assert caplog.text.count("no model is trained yet") == 1


def test_a_model_that_cannot_score_is_told_once(
    folder: Path,
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers = [Unavailable("the orchestrator is away"), InvalidSettings("reads alerts")]

    def model_of(*_: object) -> object:
        raise answers.pop(0)

    monkeypatch.setattr(module, "model_of", model_of)
    with living(folder, Watch(sources=(str(log),))) as live:
        for _ in range(4):
            live.follow(Federation())  # type: ignore[arg-type]
    assert answers == []
    assert caplog.text.count("a model cannot score these logs") == 1


def test_what_goes_wrong_in_a_thread_ends_the_agent(
    folder: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise StorageFault("no space left")

    monkeypatch.setattr(Spool, "append", full)
    with (
        living(folder, Watch(sources=(str(log),))) as live,
        pytest.raises(StorageFault, match="no space"),
    ):
        live.catch_up()


def test_whatever_it_was_it_is_a_fault_of_ours(
    folder: Path,
    log: Path,
    federation: Federation,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is not a Fault would be taken for the orchestrator's, and asked again."""

    def refuse(*_: object, **__: object) -> bool:
        raise Unavailable("not of the orchestrator")

    monkeypatch.setattr(module.ScoredSpool, "turn", refuse)
    with living(folder, Watch(sources=(str(log),))) as live:
        until(lambda: live._fault is not None)
        with pytest.raises(Fault, match="has ended: not of the orchestrator"):
            live.follow(federation)  # type: ignore[arg-type]
    assert "live scoring ends" in caplog.text


def test_a_full_outbox_stops_the_scoring_and_loses_nothing(
    folder: Path,
    log: Path,
    halves: tuple[bytes, bytes],
    federation: Federation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.02)
    watch = Watch(sources=(str(log),), budget=0.05)
    is_full = threading.Event()
    is_full.set()
    put = module.Deliveries.put

    def full(self: object, findings: object) -> int:
        if is_full.is_set():
            raise Unavailable("the outbox is full")
        return put(self, findings)  # type: ignore[arg-type]

    monkeypatch.setattr(module.Deliveries, "put", full)
    with living(folder, watch) as live:
        live.follow(federation)  # type: ignore[arg-type]
        until((folder / STATE).exists)
        grow(log, halves[1])
        until(lambda: live.figures()["scored"] > 0)
        number = live._scored.number
        time.sleep(0.2)
        assert (live._scored.number, live.figures()["findings"]) == (number, 0)
    # stopped while it waited: what was not put is found again
    is_full.clear()
    with living(folder, watch) as live:
        until(lambda: live.figures()["findings"] > 0)


def test_one_process_on_a_folder(folder: Path, log: Path) -> None:
    watch = Watch(sources=(str(log),))
    with living(folder, watch), pytest.raises(Unavailable), living(folder, watch):
        raise AssertionError("two of them")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"sources": ()}, "--eve"),
        ({"sources": ("x",), "servers": "h:1"}, "--topic"),
        ({"sources": ("x",), "topics": ("t",)}, "--kafka"),
        ({"sources": ("x",), "budget": 0.0}, "--budget"),
        ({"sources": ("x",), "budget": float("nan")}, "--budget"),
    ],
)
def test_what_cannot_be_watched(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidSettings, match=words):
        Watch(**wrong)  # type: ignore[arg-type]


def test_no_members_folder(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidSettings, match="belongs to no member"),
        living(tmp_path, Watch(sources=("x",))),
    ):
        raise AssertionError("nobody's")


def test_topics_are_followed_as_well(
    folder: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TOPICS_COME_S", 0.5)
    cluster = KafkaCluster()
    lines = log.read_bytes().splitlines()[:200]
    produce(cluster.servers, "eve", lines)
    watch = Watch(sources=(), servers=cluster.servers, topics=("eve",))
    with living(folder, watch) as live:
        until(lambda: live.figures()["kept"] == 200)
        live.catch_up()
    assert isinstance(live, Live)
    assert {one.source for one in Spool(folder / "spool").positions()} == {"kafka:eve"}


def produce(servers: str, topic: str, lines: list[bytes]) -> None:
    from confluent_kafka import Producer  # noqa: PLC0415 - an extra

    producer = Producer({"bootstrap.servers": servers})
    for line in lines:
        producer.produce(topic, line)
    producer.flush(10)
