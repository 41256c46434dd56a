# SPDX-License-Identifier: Apache-2.0
"""LANL's red-team list; lines are those of the archive's own example."""

from __future__ import annotations

from fedxdr.privacy.pseudonym import Pseudonymiser
from fedxdr.telemetry import MALICIOUS, Kind
from fedxdr.telemetry.redteam import IS_HEADER, RedteamParser, is_redteam

HEADER = b"timestamp,uname,src_comp,dst_comp"
LINE = b"150885,U620@DOM1,C17693,C1003"


def test_logons_are_labelled() -> None:
    tokeniser = Pseudonymiser(b"k" * 32)
    parsed = RedteamParser(tokeniser).parse(b"\n".join((HEADER, LINE, b"", b"1,2,3,4")))
    events = parsed.events
    assert events.time_ns.tolist() == [150_885 * 10**9]
    assert events.source.tolist() == [tokeniser.address("C17693")]
    assert events.destination.tolist() == [tokeniser.address("C1003")]
    assert events.user.tolist() == [tokeniser.user("U620@DOM1")]
    assert events.kind.tolist() == [Kind.AUTH]
    assert events.label.tolist() == [MALICIOUS]
    assert (parsed.skipped, parsed.lines) == (1, 4)
    assert parsed.why_skipped == {IS_HEADER: 1}
    assert [(one.line_number, one.line) for one in parsed.rejected] == [(4, b"1,2,3,4")]


def test_which_lines_are_of_the_list() -> None:
    assert is_redteam(HEADER)
    assert is_redteam(LINE + b"\r")
    assert not is_redteam(b"1,2,3,4")
    assert not is_redteam(b"time,a,b,c")
