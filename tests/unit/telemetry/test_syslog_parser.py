# SPDX-License-Identifier: Apache-2.0
"""Syslog as events: dispatch, what is skipped and refused, and hostile lines."""

from __future__ import annotations

import datetime as dt
import time
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fedxdr.privacy.pseudonym import Pseudonymiser
from fedxdr.telemetry import Kind, Service, State
from fedxdr.telemetry.parser import Parsed
from fedxdr.telemetry.syslog_parser import LARGEST_LINE, READERS, SyslogParser

NOW = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
AT = "May  3 04:05:06"

LINES = {
    "sshd": f"{AT} h sshd[1]: Failed password for root from 192.0.2.7 port 5 ssh2",
    "pam": f"{AT} h su[1]: pam_unix(su:session): session opened for user root by a",
    "old-pam": f"{AT} h su(pam_unix)[1]: session opened for user root by a(uid=0)",
    "sudo": f"{AT} h sudo: a : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls",
    "su": f"{AT} h su[1]: (to root) a on pts/0",
    "ftpd": f"{AT} h ftpd[1]: connection from 192.0.2.7 () at Fri",
    "klogind": f"{AT} h klogind[1]: Authentication failed from x (192.0.2.7): no",
    "kernel": f"{AT} h kernel: [1.2] IN=e OUT= SRC=192.0.2.7 DST=10.0.0.1 PROTO=TCP",
    "filterlog": f"{AT} filterlog[1]: 4,,,1,i,match,block,in,4,0x0,,6,0,0,DF,6,tcp,60,"
    "192.0.2.7,10.0.0.1,1,2,0",
    "cef": f"{AT} h CEF:0|a|b|c|d|e|9|src=192.0.2.7 dst=10.0.0.1",
    "cef-bare": "CEF:0|a|b|c|d|e|9|rt=May 3 2024 04:05:06 src=192.0.2.7 dst=10.0.0.1",
    "leef": f"{AT} h p[1]: LEEF:1.0|a|b|c|d|src=192.0.2.7\tdst=10.0.0.1",
    "leef-bare": "LEEF:1.0|a|b|c|d|devTime=1714709106000\tsrc=192.0.2.7\tdst=10.0.0.1",
}


def tokenise(text: str) -> int:
    return zlib.crc32(text.encode()) or 1


def parse(text: str | bytes, host: str = "") -> Parsed:
    block = text if isinstance(text, bytes) else text.encode()
    return SyslogParser(tokenise, now=NOW, host=host).parse(block)


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_every_reader_is_reached(line: str) -> None:
    parsed = parse(f"{line}\r\n")
    assert len(parsed.events) == 1
    assert parsed.events.time_ns.tolist() == [1_714_709_106 * 10**9]


def test_names_become_tokens_of_their_kinds() -> None:
    tokeniser = Pseudonymiser(b"k" * 32)
    events = SyslogParser(tokeniser, now=NOW).parse(LINES["sshd"].encode()).events
    assert events.source.tolist() == [tokeniser.address("192.0.2.7")]
    assert events.destination.tolist() == [tokeniser.address("h")]
    assert events.user.tolist() == [tokeniser.user("root")]
    assert events.kind.tolist() == [Kind.AUTH]
    assert events.service.tolist() == [Service.SSH]
    assert events.state.tolist() == [State.REJECTED]


def test_a_bad_line_costs_one_line() -> None:
    bad = "May 32 04:05:06 h sshd[1]: x"
    block = f"{LINES['sshd']}\n\n{bad}\nno frame\n{AT} h cups: up\n{LINES['su']}\n"
    parsed = SyslogParser(tokenise, now=NOW).parse(block.encode(), first_line=10)
    assert (len(parsed.events), parsed.skipped, parsed.lines) == (2, 1, 6)
    assert [one.line_number for one in parsed.rejected] == [12, 13]
    assert [one.line for one in parsed.rejected] == [bad.encode(), b"no frame"]
    assert sum(parsed.why_skipped.values()) == parsed.skipped
    assert not any("no frame" in one.reason for one in parsed.rejected)


def test_the_host_is_the_frames_or_the_callers() -> None:
    line = f"{AT} sshd[1]: Invalid user a from 192.0.2.7"
    assert parse(line).why_skipped == {"the host is not named": 1}
    assert parse(line, "web1").events.destination.tolist() == [tokenise("web1")]
    named = parse(LINES["sshd"], "web1").events
    assert named.destination.tolist() == [tokenise("h")]


def test_a_record_without_any_time_is_refused() -> None:
    for when in ("", "rt=x ", "rt=May 3 2024 04:05:06 CEST "):
        parsed = parse(f"CEF:0|a|b|c|d|e|9|{when}src=192.0.2.7 dst=10.0.0.1")
        (one,) = parsed.rejected
        assert one.reason == "no time, neither in the frame nor in the line"


def test_lines_above_the_limit_are_refused() -> None:
    line = LINES["sshd"].encode()
    assert not parse(line.ljust(LARGEST_LINE, b" ")).rejected
    (one,) = parse(line.ljust(LARGEST_LINE + 1, b" ")).rejected
    assert one.reason == f"a line above {LARGEST_LINE} bytes"


PIECES = (
    *LINES.values(),
    *(f"{AT} h {program}[1]: " for program in READERS),
    *("<34>1 2003-10-11T22:14:15Z h su - - [", "CEF:0|", "LEEF:2.0|", f"{AT} h CEF:0|"),
    *(
        " from ",
        " port 1",
        "user ",
        "rhost=",
        "SRC=",
        "a=",
        "\\",
        "|",
        '"',
        "[",
        "]",
        ",",
    ),
    *(
        "pam_unix(x:auth): authentication failure; ",
        "session opened for user ",
        "(",
        ": ",
    ),
)


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=9), max_size=9).map("".join))
def test_no_line_makes_it_fail(line: str) -> None:
    block = line.encode("utf-8", "replace")
    parsed = parse(block)
    seen = len(parsed.events) + parsed.skipped + len(parsed.rejected)
    assert seen == sum(bool(one.strip()) for one in block.split(b"\n"))


def _seconds(line: bytes) -> float:
    """Return the least of some runs, so that a busy machine does not count."""
    took = []
    for _ in range(3):
        begin = time.process_time()
        parse(line)
        took.append(time.process_time() - begin)
    return min(took)


@settings(max_examples=40, deadline=None)
@given(
    start=st.sampled_from(PIECES),
    again=st.lists(
        st.sampled_from(PIECES) | st.text(min_size=1, max_size=3), min_size=1
    )
    .map("".join)
    .filter(lambda text: len(text) < 100 and "\n" not in text),
)
@example(start=f"{AT} h kernel: SRC=", again="a")
@example(start="CEF:0|", again="\\")
@example(start="CEF:0|a|b|c|d|e|f|", again=" a")
@example(start="<34>1 2003-10-11T22:14:15Z h su - - [a ", again='"')
@example(start="<34>1 2003-10-11T22:14:15Z h su - - ", again='[a b="c"]')
@example(start=f"{AT} h sshd[1]: Failed password for ", again=" from a port 1 ssh2: ")
@example(
    start=f"{AT} h x[1]: pam_unix(x:auth): authentication failure; ", again="rhost="
)
@example(start=AT, again=" ")
def test_time_is_linear_in_the_line(start: str, again: str) -> None:
    """64 KiB of anything, thousands of times over: a square would take seconds."""
    line = start.encode() + again.encode() * (LARGEST_LINE // len(again.encode()))
    assert _seconds(line[:LARGEST_LINE]) < 0.1
