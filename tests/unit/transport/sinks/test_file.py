# SPDX-License-Identifier: Apache-2.0
"""A file of findings: whole lines, each once, whatever happened before."""

from __future__ import annotations

import json
import os
import stat

import pytest
from tests.unit.telemetry.found import NAMES, finding, findings

from fedxdr.core.errors import InvalidSettings, Unavailable
from fedxdr.telemetry.ocsf_out import to_ocsf
from fedxdr.transport.sinks import file as module
from fedxdr.transport.sinks.file import FileSink


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new folder" / "findings.ndjson"


@pytest.fixture
def open_sink(path):
    made = []

    def build():
        for one in made:
            one.close()
        made.append(FileSink(path, names=NAMES.get))
        return made[-1]

    yield build
    for one in made:
        one.close()


def lines(path):
    return path.read_bytes().splitlines()


def ids(path):
    return [json.loads(line)["finding_info"]["uid"] for line in lines(path)]


def test_one_record_a_line(open_sink, path):
    sink = open_sink()
    sink.send(findings(2))
    sink.send([finding(2)])
    assert lines(path) == [to_ocsf(one, names=NAMES.get) for one in findings(3)]
    assert sink.name == f"file:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_batch_that_comes_again_is_not_written_again(open_sink, path):
    sink = open_sink()
    sink.send(findings(2))
    sink.send(findings(3))
    sink = open_sink()  # after a crash, by what the file ends with
    sink.send(findings(4))
    assert ids(path) == [one.id for one in findings(4)]


@pytest.mark.parametrize("cut", [1, 2, 17, 100, -1])
def test_a_torn_line_is_completed(open_sink, path, cut):
    open_sink().send(findings(2))
    whole = path.read_bytes()
    last = whole.rfind(b"\n", 0, -1) + 1
    end = last + cut if cut > 0 else len(whole) - 1
    path.write_bytes(whole[:end])
    open_sink().send(findings(2))
    assert path.read_bytes() == whole


def test_a_file_of_something_else_is_left_alone(path):
    path.parent.mkdir()
    path.write_text("root:x:0:0\nno newline at the end")
    with pytest.raises(InvalidSettings, match="something else"):
        FileSink(path, names=NAMES.get)
    assert path.read_text() == "root:x:0:0\nno newline at the end"


def test_lines_of_others_are_left_alone(open_sink, path):
    path.parent.mkdir()
    path.write_text('{"class_uid":4001}\nnoise\n')
    open_sink().send(findings(1))
    assert lines(path)[:2] == [b'{"class_uid":4001}', b"noise"]
    assert len(lines(path)) == 3


def test_only_the_end_is_read(open_sink, path, monkeypatch):
    open_sink().send(findings(20))
    size = len(lines(path)[0])
    monkeypatch.setattr(module, "_TAIL_BYTES", 5 * size)
    sink = open_sink()
    sink.send(findings(20)[-3:])
    assert len(lines(path)) == 20
    assert 3 <= len(sink._ids) <= 5


def test_ids_are_remembered_in_bounds(open_sink, monkeypatch):
    monkeypatch.setattr(module, "_REMEMBERED", 4)
    sink = open_sink()
    sink.send(findings(9))
    assert list(sink._ids) == [one.id for one in findings(9)[-4:]]


@pytest.mark.parametrize("has_new", [False, True])
def test_a_renamed_file_is_left_and_a_new_one_begun(open_sink, path, has_new):
    sink = open_sink()
    sink.send(findings(1))
    path.rename(path.with_suffix(".1"))
    if has_new:
        path.touch()
    sink.send(findings(2))
    assert ids(path.with_suffix(".1")) == [finding(0).id]
    assert ids(path) == [finding(1).id]


def test_what_the_disk_takes_in_part_is_taken_back(open_sink, path, monkeypatch):
    sink = open_sink()
    sink.send(findings(1))
    write, left = os.write, [100, 50]

    def full(descriptor, data):
        if not left:
            raise OSError(28, "No space left on device")
        return write(descriptor, bytes(data[: left.pop()]))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(Unavailable, match="cannot write"):
        sink.send(findings(3)[1:])
    monkeypatch.undo()
    assert ids(path) == [finding(0).id]
    sink.send(findings(3)[1:])
    assert ids(path) == [one.id for one in findings(3)]


def test_one_process_writes(open_sink, path):
    sink = open_sink()
    with pytest.raises(Unavailable, match="another process"):
        FileSink(path, names=NAMES.get)
    sink.close()
    sink.close()
    sink.send(findings(1))  # opens it again
    assert len(lines(path)) == 1


def test_a_place_that_is_none(tmp_path):
    with pytest.raises(Unavailable, match="cannot open"):
        FileSink(tmp_path, names=NAMES.get)
