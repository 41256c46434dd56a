# SPDX-License-Identifier: Apache-2.0
"""Host logs through intake: the year of their lines, users, and dead letters."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path

from fedxdr.intake import read
from fedxdr.intake.sniffing import LogFormat
from fedxdr.privacy.pseudonym import Pseudonymiser

LINE = (
    "Dec 31 23:59:59 h sshd[1]: Accepted password for root from 192.0.2.7 port 5 ssh2"
)
TOKENISER = Pseudonymiser(b"k" * 32)


def test_the_year_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "auth.log"
    for written, year in (
        ("2020-01-03", 2019),
        ("2019-12-31", 2019),
        ("2024-05-05", 2023),
    ):
        path.write_text(f"{LINE}\n")
        seconds = dt.datetime.fromisoformat(f"{written}T00:00:00+00:00").timestamp()
        os.utime(path, (seconds, seconds))
        (time_ns,) = read([path], tokenise=TOKENISER).events.time_ns.tolist()
        assert dt.datetime.fromtimestamp(time_ns // 10**9, dt.UTC).year == year


def test_a_file_from_beyond_all_times_is_read(tmp_path: Path) -> None:
    path = tmp_path / "auth.log"
    path.write_text(f"{LINE}\n")
    os.utime(path, (10**11, 10**11))
    assert len(read([path], tokenise=TOKENISER).events) == 1


def test_who_hands_in_a_tokeniser_knows_users(tmp_path: Path) -> None:
    path = tmp_path / "auth.log"
    path.write_text(f"{LINE}\n")
    known = read([path], tokenise=TOKENISER).events
    assert known.user.tolist() == [TOKENISER.user("root")]
    assert read([path], tokenise=TOKENISER.address).events.user.tolist() == [0]


def test_bad_lines_are_kept(tmp_path: Path) -> None:
    path, letters = tmp_path / "auth.log", tmp_path / "letters"
    path.write_text(f"{LINE}\nFeb 30 00:00:00 h sshd[1]: x\n{LINE}\n")
    taken = read([path], tokenise=TOKENISER, dead_letter=letters)
    (report,) = taken.files
    assert (report.format, report.events, report.rejected) == (LogFormat.SYSLOG, 2, 1)
    assert json.loads(letters.read_text()) == {
        "file": str(path),
        "line": 2,
        "reason": "the day does not exist",
        "text": "Feb 30 00:00:00 h sshd[1]: x",
    }
