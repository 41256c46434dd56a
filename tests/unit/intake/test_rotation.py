# SPDX-License-Identifier: Apache-2.0
"""What is read from where, as a script of facts."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.ids import sha256
from fedxdr.intake import rotation
from fedxdr.intake.rotation import ALL, Plan, Seen, mark_of, plan, root_of, siblings
from fedxdr.telemetry.findings import Position

LOG = "/var/log/eve.json"
ONE, TWO, THREE = (name * 500 for name in (b"one\n", b"two\n", b"three"))


def live(inode: int, content: bytes, **more: object) -> Seen:
    return seen(LOG, inode, content, is_live=True, written_ns=9, **more)


def seen(path: str, inode: int, content: bytes, **more: object) -> Seen:
    given_ = {
        "path": path,
        "device": 1,
        "inode": inode,
        "size": len(content),
        "head": content[:1024],
    }
    return Seen(**(given_ | more))  # type: ignore[arg-type]


def old(number: int, inode: int, content: bytes, **more: object) -> Seen:
    return seen(f"{LOG}.{number}", inode, content, written_ns=9 - number, **more)


def packed(number: int, inode: int, content: bytes, **more: object) -> Seen:
    return dataclasses.replace(
        old(number, inode, content, **more), path=f"{LOG}.{number}.gz", is_packed=True
    )


def read(inode: int, content: bytes) -> Position:
    """A mark: so much of a file was read."""
    return mark_of(LOG, 1, inode, content, len(content))


ANCHOR = Position(
    source=LOG, device=0, inode=0, fingerprint=sha256(b""), begin=0, end=0
)


def after(*files: Seen, marks: list[Position], **more: object) -> list[tuple[int, int]]:
    """Return inode and offset of what is to be read."""
    planned = plan(LOG, files, [ANCHOR, *marks], **more)  # type: ignore[arg-type]
    return [(one.seen.inode, one.mark.end) for one in planned.reads]


def first(*files: Seen, **more: bool) -> Plan:
    return plan(LOG, files, [], **more)  # type: ignore[arg-type]


# A first start.


def test_a_log_is_read_from_its_beginning_and_its_past_is_not() -> None:
    planned = first(live(7, ONE), old(1, 6, TWO), packed(2, 5, THREE))
    assert [(one.seen.inode, one.mark.end) for one in planned.reads] == [(7, 0)]
    again = plan(LOG, [live(7, ONE), old(1, 6, TWO)], planned.marks)
    assert [(one.seen.inode, one.mark.end) for one in again.reads] == [(7, 0)]


def test_history_is_read_on_request_oldest_first() -> None:
    planned = first(
        live(7, ONE), old(1, 6, TWO), packed(2, 5, THREE), with_history=True
    )
    assert [one.seen.inode for one in planned.reads] == [5, 6, 7]


def test_a_log_that_is_not_there_yet_has_no_past() -> None:
    marks = first().marks
    assert [one.seen.inode for one in plan(LOG, [old(1, 6, ONE)], marks).reads] == [6]


def test_the_past_stays_past_when_it_is_packed_and_renamed() -> None:
    marks = first(live(7, ONE), old(1, 6, TWO), packed(2, 5, THREE)).marks
    later = [live(7, ONE), packed(2, 16, TWO), packed(3, 15, THREE)]
    assert [one.seen.inode for one in plan(LOG, later, marks).reads] == [7]


# Growth and rotation.


def test_a_file_goes_on_where_it_was_left() -> None:
    assert after(live(7, ONE + TWO), marks=[read(7, ONE)]) == [(7, 2000)]


def test_a_renamed_file_is_read_to_its_end_and_the_new_one_from_its_beginning() -> None:
    files = (live(8, THREE), old(1, 7, ONE + TWO))
    assert after(*files, marks=[read(7, ONE)]) == [(7, 2000), (8, 0)]


def test_a_packed_file_is_found_by_its_content() -> None:
    files = (live(8, THREE), packed(1, 9, ONE + TWO))
    assert after(*files, marks=[read(7, ONE)]) == [(9, 2000), (8, 0)]


def test_a_packed_file_that_was_read_is_not_opened() -> None:
    files = (live(8, THREE), packed(1, 9, ONE))
    assert after(*files, marks=[read(7, ONE)]) == [(8, 0)]


def test_an_inode_used_again_is_another_file() -> None:
    files = (live(7, TWO), packed(1, 9, ONE))
    assert after(*files, marks=[read(7, ONE)]) == [(7, 0)]
    assert after(live(7, TWO), marks=[read(7, ONE)]) == [(7, 0)]


def test_a_file_that_was_missed_while_nobody_looked_is_read() -> None:
    files = (live(9, THREE), old(1, 8, TWO), old(2, 7, ONE))
    assert after(*files, marks=[read(7, ONE)]) == [(8, 0), (9, 0)]


def test_a_sibling_that_is_written_to_is_waited_for() -> None:
    files = (live(9, THREE), old(1, 8, TWO, is_still=False))
    assert after(*files, marks=[read(9, THREE)]) == [(9, 2500)]


# Copies.


def test_a_truncated_file_is_new_and_its_copy_is_read_on() -> None:
    files = (live(7, b"new\n"), old(1, 8, ONE + TWO))
    assert after(*files, marks=[read(7, ONE)]) == [(8, 2000), (7, 0)]


def test_a_copy_that_ends_before_what_was_read_has_nothing_new() -> None:
    files = (live(7, b"new\n"), old(1, 8, ONE))
    assert after(*files, marks=[read(7, ONE + TWO)]) == [(7, 0)]


def test_a_copy_beside_its_original_is_not_read() -> None:
    for copy in (old(1, 8, ONE), packed(1, 8, ONE + TWO), old(1, 8, ONE + TWO)):
        files = (live(7, ONE + TWO), copy)
        assert after(*files, marks=[read(7, ONE)]) == [(7, 2000)]


def test_two_logs_of_one_header_are_not_copies() -> None:
    files = (live(9, b"head\nb\n"), old(1, 8, b"head\naa\n"), old(2, 7, b"head\n"))
    assert after(*files, marks=[read(7, b"head\n")]) == [(8, 0), (9, 0)]


def test_an_open_file_is_read_where_it_is() -> None:
    files = (live(8, TWO), packed(1, 9, ONE + THREE))
    held = frozenset({read(7, ONE)})
    assert after(*files, marks=[read(7, ONE)], held=held) == [(8, 0)]


def test_an_inode_of_an_empty_file_used_again_for_one_that_was_read() -> None:
    files = (live(9, TWO), packed(1, 7, ONE))
    marks = [read(7, b""), read(8, ONE)]
    assert after(*files, marks=marks) == [(9, 0)]
    assert after(*files, marks=marks, held=frozenset(marks[1:])) == [(9, 0)]


def test_a_copy_is_read_on_while_the_truncated_file_is_open() -> None:
    files = (live(7, TWO), old(1, 8, ONE + THREE))
    held = frozenset({read(7, TWO)})
    marks = [read(7, ONE), read(7, TWO)]
    assert after(*files, marks=marks, held=held) == [(8, 2000), (7, 2000)]


def test_a_plain_file_is_taken_before_a_packed_one() -> None:
    files = (live(9, TWO), packed(1, 6, ONE + THREE), old(1, 8, ONE + THREE))
    assert after(*files, marks=[read(7, ONE)])[0] == (8, 2000)


# Marks.


def test_marks_of_files_that_are_gone_are_forgotten_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rotation, "MOST_GONE", 2)
    marks = [ANCHOR, *(read(inode, b"%d\n" % inode * 300) for inode in range(5, 12))]
    kept = plan(LOG, [live(5, b"5\n" * 300)], marks).marks
    assert [mark.inode for mark in kept] == [0, 5, 10, 11]


def test_a_packed_file_of_the_past_has_no_known_length() -> None:
    (_, past, _) = first(live(7, ONE), packed(1, 6, b"short\n")).marks
    assert past.end == ALL
    assert packed(2, 16, b"short\n").holds(past)
    assert not packed(2, 16, b"short and more\n").holds(past)


@given(
    st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=5, unique=True),
    st.data(),
)
def test_any_renaming_of_files_that_were_read_gives_nothing_new(
    contents: list[bytes], data: st.DataObject
) -> None:
    bodies = [content + b"\n" + content * 200 + b"\n" for content in contents]
    marks = [ANCHOR, *(read(5 + n, body) for n, body in enumerate(bodies))]
    files = [
        seen(
            f"{LOG}.{n}",
            5 + n if data.draw(st.booleans()) else 100 + n,
            body,
            is_packed=data.draw(st.booleans()),
        )
        for n, body in enumerate(bodies)
    ]
    assert plan(LOG, data.draw(st.permutations(files)), marks).reads == ()


# Names.


@pytest.mark.parametrize(
    ("name", "want", "others"),
    [
        (
            "eve.json",
            "eve.json.1 eve.json.2.gz eve.json-20240101 eve-2024-01-01.json.gz",
            "eve.json eve.json.bak eve.jsonl other.json.1 eve-stats.json",
        ),
        (
            "conn.log",
            "conn.2024-01-01-00-00-00.log.gz conn.00:00:00-01:00:00.log.gz",
            "conn.log conn-summary.log xconn.log",
        ),
        ("messages", "messages.1 messages-1", "messages x message.1"),
        ("auth.log", "auth.log.1 auth.log.10.gz", "auth.log auth.log.gzip"),
    ],
)
def test_names_that_rotation_makes(name: str, want: str, others: str) -> None:
    assert siblings(name, f"{others} {want}".split()) == want.split()


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("eve.json", "eve.json"),
        ("eve.json.12", "eve.json"),
        ("eve.json.2.gz", "eve.json"),
        ("eve.json-20240101.gz", "eve.json"),
        ("eve-2024-01-01.json", "eve-2024-01-01.json"),
        ("dns.log.gz", "dns.log"),
        (".1", ".1"),
    ],
)
def test_the_name_before_rotation(name: str, want: str) -> None:
    assert root_of(name) == want
