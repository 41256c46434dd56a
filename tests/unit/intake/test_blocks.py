# SPDX-License-Identifier: Apache-2.0
"""Blocks end where lines end, whatever the sizes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from fedxdr.core.errors import InvalidTelemetry, TooLarge
from fedxdr.intake import blocks
from fedxdr.intake.blocks import blocks_of


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 16)
    monkeypatch.setattr(blocks, "MAX_LINE_BYTES", 64)
    monkeypatch.setattr(blocks, "MAX_ARRAY_BYTES", 128)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a",
        b"a\n",
        b"\n\n\n",
        b"one\ntwo\nthree\nfour\nfive\nsix\nseven\n",
        b"a line longer than one block of bytes\nshort\nunended",
        b"x" * 60 + b"\n",
    ],
)
def test_blocks_hold_whole_lines_and_lose_nothing(
    tmp_path: Path, content: bytes, packed: bool
) -> None:
    path = tmp_path / "any.name"
    path.write_bytes(gzip.compress(content) if packed else content)
    found = list(blocks_of(path))
    assert b"".join(found) == content
    assert all(block.endswith(b"\n") for block in found[:-1])


@pytest.mark.usefixtures("small")
def test_an_endless_line_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"x" * 1000 + b"\nnext\n")
    found = list(blocks_of(path))
    assert max(map(len, found)) <= 64 + 16
    assert b"".join(found).endswith(b"\nnext\n")


@pytest.mark.usefixtures("small")
def test_an_array_becomes_lines(tmp_path: Path) -> None:
    path = tmp_path / "array.json"
    records = [{"a": 1, "b": "x\ny"}, {"c": [1, 2]}]
    path.write_text(json.dumps(records, indent=2))
    (block,) = blocks_of(path)
    assert [json.loads(line) for line in block.split(b"\n")] == records


@pytest.mark.usefixtures("small")
def test_arrays_that_are_none_or_too_large(tmp_path: Path) -> None:
    path = tmp_path / "array.json"
    path.write_bytes(b"[{]")
    with pytest.raises(InvalidTelemetry, match="JSON array"):
        list(blocks_of(path))
    path.write_bytes(b"[" + b" " * 200 + b"]")
    with pytest.raises(TooLarge, match="one record per line"):
        list(blocks_of(path))


def test_damage_is_told_after_what_was_sound(tmp_path: Path) -> None:
    path = tmp_path / "torn.gz"
    lines = b"".join(b"line %d\n" % n for n in range(300_000))
    path.write_bytes(gzip.compress(lines)[:-20_000])
    found: list[bytes] = []
    with pytest.raises(InvalidTelemetry, match="damaged gzip"):
        found.extend(blocks_of(path))
    assert lines.startswith(b"".join(found))
    assert found


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidTelemetry, match="No such file"):
        list(blocks_of(tmp_path / "absent"))
    with pytest.raises(InvalidTelemetry, match="directory"):
        list(blocks_of(tmp_path))
