# SPDX-License-Identifier: Apache-2.0
"""Tiles: published paths and counts, the log there and back, every changed byte."""

import importlib.util
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import MalformedMessage, NotFound, VerificationFailed
from fedxdr.ledger import tiles
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.merkle import Tree, leaf_hash
from fedxdr.ledger.tiles import TilePath

_SOURCE = Path(__file__).parents[2] / "reference" / "merkle_definition.py"
_SPEC = importlib.util.spec_from_file_location("merkle_definition", _SOURCE)
definition = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(definition)

# C2SP tlog-tiles has 1234067; golang/mod at fe2ec04, sumdb/tlog/tile_test.go, has
# 3057500 and 123456078, behind a height which C2SP leaves out; others end ranges.
PATHS = [
    ("tile/0/000", 0, 0, 256),
    ("tile/0/001", 0, 1, 256),
    ("tile/0/x001/x234/067", 0, 1234067, 256),
    ("tile/0/x001/x234/067.p/200", 0, 1234067, 200),
    ("tile/0/x003/x057/500", 0, 3057500, 256),
    ("tile/5/x123/x456/078.p/2", 5, 123456078, 2),
    ("tile/3/x001/234.p/1", 3, 1234, 1),
    ("tile/63/999.p/255", 63, 999, 255),
    ("tile/entries/000.p/7", None, 0, 7),
    ("tile/entries/x273/000", None, 273000, 256),
    ("tile/0/x999/x999/x999/x999/x999/999", 0, 10**18 - 1, 256),
]


def log(size):
    entries = [b"entry %d " % i * (i % 5) for i in range(size)]
    return entries, Tree(map(leaf_hash, entries))


@cache
def served(size):
    entries, tree = log(size)
    files = dict(
        tiles.files(
            checkpoint=b"signed",
            tree=tree,
            entries=lambda begin, end: entries[begin:end],
        )
    )
    return files, Checkpoint(origin="a", size=size, root=tree.root())


def reader(files):
    def read(path):
        if path not in files:
            raise NotFound(f"no file {path}")
        return files[path]

    return read


def read_all(files, head):
    tree = tiles.read_tree(reader(files), head)
    return tree, list(tiles.read_entries(reader(files), tree))


@pytest.mark.parametrize(("text", "level", "index", "width"), PATHS)
def test_paths_as_they_are_written(text, level, index, width):
    path = TilePath(level=level, index=index, width=width)
    assert str(path) == text
    assert tiles.parse_path(text) == path
    if level is None:
        assert tiles.entries_path(index, width) == text
    else:
        assert tiles.tile_path(level, index, width) == text


@given(st.none() | st.integers(0, 63), st.integers(0, 10**18 - 1), st.integers(1, 256))
def test_what_is_written_is_read(level, index, width):
    path = TilePath(level=level, index=index, width=width)
    assert tiles.parse_path(str(path)) == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000",
        "tile/0/x000/000",  # 000 has a shorter spelling
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/x000",
        "tile/0/X001/000",
        "tile/00/000",
        "tile/-1/000",
        "tile/64/000",
        "tile/100/000",
        "tile/+1/000",
        "tile/data/000",
        "tile/5/123/456/078",  # this one and the next: golang/mod, FuzzParseTilePath
        "tile/-1/123/456/078",
        "tile/entries",
        "tile/Entries/000",
        "tile/8/0/000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/00",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/1000",
        "tile/0/000.p/-1",
        "tile/0/000.p/1/",
        "tile/0/000/p/1",
        "tile/0/000.q/1",
        "tile/0/000/",
        "/tile/0/000",
        " tile/0/000",
        "tile/0/000\n",
        "tile/0/\u0660\u0660\u0660",
        "tile/0/../000",
        "tile/0/x001/x999/x999/x999/x999/x999/999",
        "checkpoint",
    ],
)
def test_other_spellings_are_no_paths(text):
    with pytest.raises(MalformedMessage):
        tiles.parse_path(text)


@pytest.mark.parametrize(
    ("level", "index", "width"),
    [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 10**18, 1), (0, 0, 0), (0, 0, 257)],
)
def test_no_such_path_can_be_made(level, index, width):
    with pytest.raises(MalformedMessage):
        TilePath(level=level, index=index, width=width)


def test_the_published_counts():
    # C2SP tlog-tiles, "Partial Tiles"
    found = Counter((p.level, p.width) for p in tiles.paths(70_000))
    assert found == {
        (None, 256): 273,
        (None, 112): 1,
        (0, 256): 273,
        (0, 112): 1,
        (1, 256): 1,
        (1, 17): 1,
        (2, 1): 1,
    }
    assert list(map(str, tiles.paths(256))) == [
        "tile/entries/000",
        "tile/0/000",
        "tile/1/000.p/1",
    ]
    assert list(tiles.paths(0)) == []


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 512, 513, 1000])
def test_tiles_are_those_of_the_definition(size):
    entries, _ = log(size)
    files, head = served(size)
    assert head.root == definition.tree_hash(entries)
    for path in tiles.paths(size):
        data = files[str(path)]
        begin = path.index * 256
        if path.level is None:
            found = tiles.parse_entry_bundle(data, path.width)
            assert found == entries[begin : begin + path.width]
            continue
        step = 256**path.level
        assert tiles.parse_tile(data, path.width) == [
            definition.tree_hash(entries[i * step : (i + 1) * step])
            for i in range(begin, begin + path.width)
        ]


def test_a_tree_of_three_levels_of_tiles():
    files, head = served(66_000)
    assert (
        files["tile/2/000.p/1"]
        == Tree(tiles.parse_tile(files["tile/1/000"], 256)).root()
    )
    tree, entries = read_all(files, head)
    assert (tree.root(), entries) == (head.root, log(66_000)[0])


def test_the_checkpoint_comes_last():
    assert list(served(300)[0])[-1] == "checkpoint"
    assert served(300)[0]["checkpoint"] == b"signed"
    assert served(0)[0] == {"checkpoint": b"signed"}


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 600])
def test_a_log_is_read_as_it_was_written(size):
    entries, tree = log(size)
    files, head = served(size)
    found, read = read_all(files, head)
    assert read == entries
    assert (found.size, found.root()) == (size, tree.root())


@given(st.integers(0, 600), st.integers(0, 600))
@settings(max_examples=25, deadline=None)
def test_a_part_of_the_entries_is_read(begin, end):
    files, head = served(600)
    tree = tiles.read_tree(reader(files), head)
    asked = []

    def counting(path):
        asked.append(path)
        return files[path]

    found = tiles.read_entries(counting, tree, begin=begin, end=end)
    assert list(found) == log(600)[0][begin:end]
    assert len(asked) <= max(0, end - begin) // 256 + 2


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_of_any_file_is_found(draw):
    files, head = served(600)
    name = draw.draw(st.sampled_from([n for n in files if n != "checkpoint"]))
    data = files[name]
    at = draw.draw(st.integers(0, len(data) - 1))
    bit = draw.draw(st.integers(0, 7))
    changed = bytearray(data)
    changed[at] ^= 1 << bit
    with pytest.raises(VerificationFailed):
        read_all(files | {name: bytes(changed)}, head)


@pytest.mark.parametrize(
    "change", [lambda d: d[:-1], lambda d: d + b"\0", lambda _: b""]
)
def test_files_of_another_length_are_refused(change):
    files, head = served(600)
    for name in files:
        if name != "checkpoint":
            with pytest.raises(VerificationFailed):
                read_all(files | {name: change(files[name])}, head)


def test_a_missing_file_is_missed():
    files, head = served(600)
    for name in files:
        if name != "checkpoint":
            rest = {n: d for n, d in files.items() if n != name}
            with pytest.raises(NotFound):
                read_all(rest, head)


def test_a_head_of_another_root_or_size_is_refused():
    files, head = served(600)
    other = Checkpoint(origin="a", size=600, root=bytes(32))
    with pytest.raises(VerificationFailed, match="another root"):
        tiles.read_tree(reader(files), other)
    for size in (599, 601):
        other = Checkpoint(origin="a", size=size, root=head.root)
        with pytest.raises((VerificationFailed, NotFound)):
            tiles.read_tree(reader(files), other)
    with pytest.raises(VerificationFailed, match="another root"):
        tiles.read_tree(reader({}), Checkpoint(origin="a", size=0, root=bytes(32)))


def test_an_entry_that_is_not_the_leafs_is_found_at_its_index():
    files, head = served(600)
    tree = tiles.read_tree(reader(files), head)
    entries = list(log(600)[0])
    entries[300] = b"another"
    changed = files | {"tile/entries/001": tiles.entry_bundle(entries[256:512])}
    with pytest.raises(VerificationFailed, match="does not hash") as caught:
        list(tiles.read_entries(reader(changed), tree))
    assert caught.value.height == 300


def test_a_full_tile_stands_in_for_a_partial_one_that_is_gone():
    # a mirror keeps the tiles of its newest size only
    later, _ = served(1024)
    full = {name: data for name, data in later.items() if ".p/" not in name}
    _, head = served(700)
    full["tile/1/000.p/2"] = served(700)[0]["tile/1/000.p/2"]
    _, entries = read_all(full, head)
    assert entries == log(700)[0]


def test_a_tree_gives_no_tile_that_it_has_not():
    _, tree = log(300)
    for level, index, width in (
        (0, 1, 45),
        (0, 1, 256),
        (0, 2, 1),
        (1, 0, 2),
        (2, 0, 1),
    ):
        path = TilePath(level=level, index=index, width=width)
        with pytest.raises(NotFound):
            tiles.tile(tree, path)
    with pytest.raises(NotFound):
        tiles.tile(tree, TilePath(level=None, index=0))
    # of a grown tree the former partial tiles stay
    assert tiles.tile(tree, TilePath(level=0, index=0, width=3)) == b"".join(
        tree.node(0, i) for i in range(3)
    )


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=20))
def test_bundles_are_read_as_they_were_written(entries):
    data = tiles.entry_bundle(entries)
    assert tiles.parse_entry_bundle(data, len(entries)) == entries
    for wrong in (len(entries) - 1, len(entries) + 1):
        with pytest.raises(MalformedMessage):
            tiles.parse_entry_bundle(data, wrong)
    for other in (data[:-1], data + b"\0", data + b"\0\0", data + b"\0\1"):
        with pytest.raises(MalformedMessage):
            tiles.parse_entry_bundle(other, len(entries))


def test_a_bundle_as_its_bytes():
    assert tiles.entry_bundle([b"ab", b"", b"c" * 258]) == (
        b"\x00\x02ab\x00\x00\x01\x02" + b"c" * 258
    )


def test_entries_have_a_limit():
    long = bytes(65_535)
    assert tiles.parse_entry_bundle(tiles.entry_bundle([long]), 1) == [long]
    for entries in ([long + b"\0"], [], [b""] * 257):
        with pytest.raises(MalformedMessage):
            tiles.entry_bundle(entries)


def test_fewer_entries_than_leaves_are_not_written():
    entries, tree = log(300)
    with pytest.raises(MalformedMessage, match="entries"):
        list(
            tiles.files(
                checkpoint=b"", tree=tree, entries=lambda b, e: entries[b : e - 1]
            )
        )


@given(st.binary(max_size=100), st.integers(1, 256))
def test_any_bytes_are_refused_with_our_error_only(data, width):
    for parse in (tiles.parse_tile, tiles.parse_entry_bundle):
        try:
            found = parse(data, width)
        except MalformedMessage:
            continue
        assert len(found) == width
