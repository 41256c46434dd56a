# SPDX-License-Identifier: Apache-2.0
"""Windows' servicing log: read to its end, and nothing in it."""

from __future__ import annotations

from fedxdr.telemetry.cbs import NO_ENDPOINTS, CbsParser


def test_lines_are_skipped_and_others_refused() -> None:
    block = b"2016-09-28 04:30:30, Info                  CBS    Loaded\n\nother\n"
    parsed = CbsParser().parse(block, first_line=5)
    assert (len(parsed.events), parsed.skipped, parsed.lines) == (0, 1, 3)
    assert parsed.why_skipped == {NO_ENDPOINTS: 1}
    assert [one.line_number for one in parsed.rejected] == [7]
