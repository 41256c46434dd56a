# SPDX-License-Identifier: Apache-2.0
"""The frame of a syslog line: when, which host, which program, and the text.

Reads RFC 5424, RFC 3164 and what is written into files in their manner: a time of ISO
8601 (rsyslog), a year behind the day (Cisco), no host (FreeBSD), no ``<priority>``.

It does NOT read the text (syslog_parser.py says who does).

Rule 1: a time without a year is of the latest year that puts it before ``now`` and one
day. So lines of December, read in January, are of the year before; a file that spans
more than a year without saying so is read wrong. A time without an offset is UTC.
Rule 2: time spent grows linearly with the line, whatever is in it.

Source: RFC 3164, section 4; RFC 5424, section 6.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Final, NamedTuple

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.telemetry.edges import LATEST_MS, MILLISECOND_NS
from fedxdr.telemetry.timestamps import SECOND_NS, iso_times_ns

_MONTH: Final = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_MONTHS: Final = {name: month for month, name in enumerate(_MONTH.split("|"), 1)}
_PRIORITY: Final = r"(?:<\d{1,3}>)?"
_BSD: Final = re.compile(
    rf"{_PRIORITY}((?:{_MONTH}) [ \d]?\d(?: \d{{4}})?) "
    r"(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*+)?:? +"
)
_ISO: Final = re.compile(
    rf"{_PRIORITY}(\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d:\d\d"
    r"(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?) +"
)
_RFC5424: Final = re.compile(
    r"<\d{1,3}>[1-9]\d?+ (\S{1,64}) (\S{1,255}) (\S{1,48}) \S{1,128} \S{1,32} "
)
_DATA: Final = re.compile(r'\[(?:[^\]"]|"(?:[^"\\]|\\.)*+")*+\]', re.DOTALL)
_TAG: Final = re.compile(r"([^\s\[:]{1,128})(?:\[[^\]\s]{0,64}\])?: ?")
_BARE: Final = ("CEF:", "LEEF:")
_SLACK: Final = dt.timedelta(days=1)
_DAY_S: Final = 86_400
_LEAP_CYCLE: Final = 8
"""Years within which 29 February comes again, across a century too."""
_EPOCH: Final = dt.date(1970, 1, 1).toordinal()


class Frame(NamedTuple):
    """One line, taken out of its frame.

    Attributes:
        time_ns: UTC nanoseconds since 1970, None where the line has no frame.
        host: who wrote it, empty where the line does not say.
        program: its tag without process id, empty where there is none.
        text: the rest.
    """

    time_ns: int | None
    host: str
    program: str
    text: str


def is_syslog(line: str) -> bool:
    """Return whether a line has a frame that can be read, or is bare CEF or LEEF."""
    if line.startswith(_BARE):
        return True
    if _BSD.match(line) or _RFC5424.match(line):
        return True
    # rsyslog's frame has a host and a tag; many other logs begin with a date
    found = _ISO.match(line)
    if found is None:
        return False
    _, _, rest = line[found.end() :].partition(" ")
    return _TAG.match(rest) is not None


class Framer:
    """Takes lines out of their frames.

    Args:
        now: UTC-aware; no line is of a later day than the next.
    """

    def __init__(self, now: dt.datetime) -> None:
        self._latest = (now.astimezone(dt.UTC) + _SLACK).replace(tzinfo=None)
        self._latest_s = self._seconds(self._latest.date(), self._latest.time())
        # a file has few days; forgotten when it has many
        self._days: dict[str, tuple[int, int]] = {}

    def frame(self, line: str) -> Frame:
        """Return what a line's frame says.

        Args:
            line: without its end.

        Raises:
            InvalidTelemetry: no frame, or one whose time does not exist.
        """
        if line.startswith(_BARE):
            return Frame(None, "", "", line)
        found = _BSD.match(line)
        if found is not None:
            time_ns = self._bsd_time(*found.groups())
            return _tagged(time_ns, line[found.end() :])
        found = _RFC5424.match(line)
        if found is not None:
            return _rfc5424(line, found)
        found = _ISO.match(line)
        if found is not None:
            return _tagged(_iso_time(found[1].replace(",", ".")), line[found.end() :])
        raise InvalidTelemetry("no syslog frame: no time where one is expected")

    def time(self, text: str) -> int | None:
        """Return a time that a line says of itself, None where it cannot be read.

        Args:
            text: milliseconds since 1970; ``Oct 11 2019 22:14:15.123``, the year and
                ``UTC`` or ``GMT`` behind it may lack; or ISO 8601.
        """
        if text.isascii() and text.isdigit() and len(text) <= len(str(LATEST_MS)):
            return min(int(text), LATEST_MS) * MILLISECOND_NS
        found = _BSD.match(f"{text} ")
        try:
            if found is None:
                return _iso_time(text)
            rest = text[found.end() :]
            is_utc = rest in {"", "UTC", "GMT", "Z"}
            return self._bsd_time(*found.groups()) if is_utc else None
        except InvalidTelemetry:
            return None

    def _bsd_time(
        self, day: str, hour: str, minute: str, second: str, fraction: str | None
    ) -> int:
        found = self._days.get(day)
        if found is None:
            if len(self._days) > 10 * 366:
                self._days.clear()
            found = self._days[day] = self._midnights(day)
        of_day = (int(hour) * 60 + int(minute)) * 60 + int(second)
        if hour > "23" or minute > "59" or second > "60":
            raise InvalidTelemetry("the time does not exist")
        seconds = found[0] + of_day
        if seconds > self._latest_s:
            seconds = found[1] + of_day
        nanos = int(fraction.ljust(9, "0")) if fraction else 0
        return seconds * SECOND_NS + nanos

    def _midnights(self, text: str) -> tuple[int, int]:
        """Return seconds since 1970 of a day's last two beginnings before the latest.

        A day of a given year has one.
        """
        name, day, *year = text.split()
        month, of_month = _MONTHS[name], int(day)
        if year:
            only = self._midnight(int(year[0]), month, of_month)
            if only is None:
                raise InvalidTelemetry("the day does not exist")
            return only, only
        found: list[int] = []
        last = self._latest.year
        for one in range(last, last - 2 * _LEAP_CYCLE - 1, -1):
            midnight = self._midnight(one, month, of_month)
            if midnight is not None and midnight <= self._latest_s:
                found.append(midnight)
        if len(found) < 2:
            raise InvalidTelemetry("the day does not exist")
        return found[0], found[1]

    def _midnight(self, year: int, month: int, day: int) -> int | None:
        if not 1678 <= year < 2262:
            return None
        try:
            return self._seconds(dt.date(year, month, day), dt.time())
        except ValueError:
            return None

    @staticmethod
    def _seconds(day: dt.date, time: dt.time) -> int:
        of_day = (time.hour * 60 + time.minute) * 60 + time.second
        return (day.toordinal() - _EPOCH) * _DAY_S + of_day


def _iso_time(text: str) -> int:
    times, sound = iso_times_ns([text])
    if not sound[0]:
        raise InvalidTelemetry("the time does not exist")
    return int(times[0])


def _tagged(time_ns: int, rest: str) -> Frame:
    """Return the frame of ``host program[1]: text``, each of which may lack."""
    if rest.startswith(_BARE):
        return Frame(time_ns, "", "", rest)
    host, _, text = rest.partition(" ")
    if host.endswith(":"):
        host, text = "", rest
    text = text.lstrip(" ")
    if text.startswith(_BARE):
        return Frame(time_ns, host, "", text)
    tag = _TAG.match(text)
    if tag is None:
        return Frame(time_ns, host, "", text)
    return Frame(time_ns, host, tag[1], text[tag.end() :])


def _rfc5424(line: str, found: re.Match[str]) -> Frame:
    stamp, host, program = found.groups()
    rest = line[found.end() :]
    if rest.startswith("-"):
        text = rest[1:]
    else:
        end = 0
        while (element := _DATA.match(rest, end)) is not None:
            end = element.end()
        if not end:
            raise InvalidTelemetry("structured data that does not end")
        text = rest[end:]
    time_ns = None if stamp == "-" else _iso_time(stamp)
    return Frame(
        time_ns,
        "" if host == "-" else host,
        "" if program == "-" else program,
        text.lstrip(" ").removeprefix("\ufeff"),
    )
