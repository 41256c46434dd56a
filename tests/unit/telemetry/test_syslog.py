# SPDX-License-Identifier: Apache-2.0
"""Frames of syslog: RFC 3164, RFC 5424 and what is written in their manner."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.telemetry.syslog import Frame, Framer, is_syslog

NOW = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)


def ns(text: str) -> int:
    time = dt.datetime.fromisoformat(text)
    return int((time - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)).total_seconds()) * 10**9


def frame(line: str, now: dt.datetime = NOW) -> Frame:
    return Framer(now).frame(line)


@pytest.mark.parametrize(
    ("line", "want"),
    [
        # RFC 3164, section 5.4, example 1
        (
            "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick",
            Frame(
                ns("2023-10-11T22:14:15Z"),
                "mymachine",
                "su",
                "'su root' failed for lonvick",
            ),
        ),
        # RFC 5424, section 6.5, examples 1, 3 and 4
        (
            (
                "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - "
                "\ufeff'su root' failed"
            ),
            Frame(
                ns("2003-10-11T22:14:15Z") + 3_000_000,
                "mymachine.example.com",
                "su",
                "'su root' failed",
            ),
        ),
        (
            (
                "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
                '[exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"] '
                "An application event log entry..."
            ),
            Frame(
                ns("2003-10-11T22:14:15Z") + 3_000_000,
                "mymachine.example.com",
                "evntslog",
                "An application event log entry...",
            ),
        ),
        (
            (
                "<165>1 2003-10-11T22:14:15.003Z - - - ID47 "
                r'[a@1 b="\"]\\"][examplePriority@32473 class="high"]'
            ),
            Frame(ns("2003-10-11T22:14:15Z") + 3_000_000, "", "", ""),
        ),
        # rsyslog, RSYSLOG_FileFormat
        (
            "2024-05-03T04:05:06.000007+02:00 web1 sshd[9]: hello",
            Frame(ns("2024-05-03T02:05:06Z") + 7_000, "web1", "sshd", "hello"),
        ),
        # a year behind the day (Cisco), fraction of a second
        (
            "Oct 11 2019 22:14:15.5: fw1 %ASA-6-302013: Built",
            Frame(
                ns("2019-10-11T22:14:15Z") + 500_000_000,
                "fw1",
                "%ASA-6-302013",
                "Built",
            ),
        ),
        # FreeBSD's syslogd sends no host
        (
            "<134>May  3 04:05:06 filterlog[77]: 5,,,",
            Frame(ns("2024-05-03T04:05:06Z"), "", "filterlog", "5,,,"),
        ),
        (
            "May 3 04:05:06 h -- MARK --",
            Frame(ns("2024-05-03T04:05:06Z"), "h", "", "-- MARK --"),
        ),
        ("CEF:0|a|b|c|d|e|f|", Frame(None, "", "", "CEF:0|a|b|c|d|e|f|")),
        (
            "May  3 04:05:06 CEF:0|a",
            Frame(ns("2024-05-03T04:05:06Z"), "", "", "CEF:0|a"),
        ),
        (
            "<5>May  3 04:05:06 h LEEF:1.0|a",
            Frame(ns("2024-05-03T04:05:06Z"), "h", "", "LEEF:1.0|a"),
        ),
    ],
)
def test_frames(line: str, want: Frame) -> None:
    assert frame(line) == want
    assert is_syslog(line)


@pytest.mark.parametrize(
    ("now", "day", "year"),
    [
        ("2024-06-01T12:00:00+00:00", "Jun  1 12:00:00", 2024),
        ("2024-06-01T12:00:00+00:00", "Jun  2 11:59:59", 2024),
        ("2024-06-01T12:00:00+00:00", "Jun  2 12:00:01", 2023),
        ("2024-01-01T00:10:00+00:00", "Dec 31 23:59:59", 2023),
        ("2024-01-01T00:10:00+00:00", "Jan  1 00:00:00", 2024),
        ("2024-12-31T23:59:00+00:00", "Jan  1 00:00:00", 2025),
        ("2024-12-31T23:59:00+00:00", "Jan  2 00:00:00", 2024),
        ("2023-06-01T00:00:00+00:00", "Feb 29 00:00:00", 2020),
        ("2107-06-01T00:00:00+00:00", "Feb 29 00:00:00", 2104),
        ("2101-06-01T00:00:00+00:00", "Feb 29 00:00:00", 2096),
    ],
)
def test_a_year_is_the_latest_that_is_not_to_come(
    now: str, day: str, year: int
) -> None:
    time_ns = frame(f"{day} h p: t", dt.datetime.fromisoformat(now)).time_ns
    assert time_ns is not None
    assert dt.datetime.fromtimestamp(time_ns // 10**9, dt.UTC).year == year


def test_new_year_does_not_step_back() -> None:
    framer = Framer(dt.datetime(2024, 1, 2, tzinfo=dt.UTC))
    times = [
        framer.frame(f"{day} h p: t").time_ns or 0
        for day in ("Dec 30 10:00:00", "Dec 31 23:59:59", "Jan  1 00:00:00")
    ]
    assert times == sorted(times)
    assert times[2] - times[1] == 10**9


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hello",
        "Foo  1 00:00:00 h p: t",
        "Feb 30 00:00:00 h p: t",
        "Feb 29 2023 00:00:00 h p: t",
        "Jan  0 00:00:00 h p: t",
        "Jan  1 24:00:00 h p: t",
        "Jan  1 00:60:00 h p: t",
        "Jan  1 0009 00:00:00 h p: t",
        "<34>1 2003-13-11T22:14:15Z h su - - - t",
        "<34>1 2003-10-11T22:14:15Z h su - - [a t",
        "<34>1 2003-10-11T22:14:15Z h su - - t",
        "2024-02-30T00:00:00Z h p: t",
    ],
)
def test_what_has_no_time_is_refused(line: str) -> None:
    with pytest.raises(InvalidTelemetry):
        frame(line)


@pytest.mark.parametrize("line", ["a,b", '{"a":1}', "2024-01-01 00:00:00, Info  CBS"])
def test_other_logs_are_not_taken_for_syslog(line: str) -> None:
    assert not is_syslog(line)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1714709106123", ns("2024-05-03T04:05:06Z") + 123_000_000),
        ("May 03 2024 04:05:06", ns("2024-05-03T04:05:06Z")),
        ("May 03 2024 04:05:06.5 UTC", ns("2024-05-03T04:05:06Z") + 500_000_000),
        ("May  3 04:05:06", ns("2024-05-03T04:05:06Z")),
        ("2024-05-03T06:05:06+02:00", ns("2024-05-03T04:05:06Z")),
        ("May 03 2024 04:05:06 CEST", None),
        ("May 32 2024 04:05:06", None),
        ("yesterday", None),
        ("9" * 40, None),
    ],
)
def test_times_that_lines_say_of_themselves(text: str, want: int | None) -> None:
    assert Framer(NOW).time(text) == want


def test_structured_data_without_time_is_none() -> None:
    assert frame("<34>1 - h su - - - t") == Frame(None, "h", "su", "t")


@given(
    st.text(max_size=200), st.sampled_from(["", "<1>", "May  3 04:05:06 ", "<1>1 - "])
)
def test_no_text_makes_it_fail_otherwise(text: str, start: str) -> None:
    try:
        frame(start + text)
    except InvalidTelemetry as error:
        assert len(str(error)) < 100  # noqa: PT017 - a message without content
