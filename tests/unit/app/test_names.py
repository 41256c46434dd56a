# SPDX-License-Identifier: Apache-2.0
"""Names are remembered in memory alone, and looked up again in the logs."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

from tests.unit.telemetry.found import finding

from fedxdr.app.names import KnownNames
from fedxdr.core.clock import ManualClock
from fedxdr.intake.follow import Follower
from fedxdr.intake.lines import lines_of_events
from fedxdr.intake.parsers import header_of, parser_for
from fedxdr.intake.sniffing import sniff
from fedxdr.privacy.pseudonym import Pseudonymiser
from fedxdr.telemetry.findings import Evidence, Finding

KEY = bytes(range(32))
CLOCK = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
EVE = (
    b'{"timestamp":"2025-03-04T05:25:34.2+0000","flow_id":1,"event_type":"flow",'
    b'"src_ip":"10.0.0.1","dest_ip":"%s","proto":"TCP","flow":{}}\n'
)
TSV = (
    b"#separator \\x09\n#path\tconn\n"
    b"#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\n"
    b"#types\ttime\tstring\taddr\tport\taddr\tport\tenum\n"
    b"1700000000.0\tC1\t192.0.2.1\t1\t192.0.2.2\t2\ttcp\n"
)


def known() -> KnownNames:
    return KnownNames(Pseudonymiser(KEY))


def test_tokens_are_those_of_the_tokeniser_inside() -> None:
    names, plain = known(), Pseudonymiser(KEY)
    assert names.address("10.0.0.1") == plain.address("10.0.0.1")
    assert names.user("CORP\\Anna") == plain.user("CORP\\Anna")
    assert names(plain.address("10.0.0.1")) == "10.0.0.1"
    assert names(plain.address("::ffff:10.0.0.1")) == "10.0.0.1"
    assert names(plain.user("CORP\\Anna")) == "CORP\\Anna"
    assert names(plain.address("10.0.0.2")) is None
    assert len(names) == 2


def test_memory_is_bounded_and_the_newest_half_stays() -> None:
    names = KnownNames(Pseudonymiser(KEY), most=100)
    tokens = [names.address(f"10.0.{n // 256}.{n % 256}") for n in range(1000)]
    assert len(names) <= 100
    assert all(names(token) for token in tokens[-50:])
    assert not any(names(token) for token in tokens[:800])
    long = names.user("x" * 10_000)
    assert len(names(long) or "") < 1000


def test_no_name_is_shown() -> None:
    names = known()
    names.address("10.0.0.1")
    assert "10.0" not in repr(names)


def about(log: Path) -> Finding:
    """Return a finding on the last line of a log, found with our tokens."""
    (chunk,) = list(Follower([log], clock=CLOCK).poll())
    format_ = sniff(chunk.head or chunk.block)
    parser, again = (
        parser_for(
            format_, name=log.name, written=CLOCK.now(), tokenise=Pseudonymiser(KEY)
        )
        for _ in range(2)
    )
    again.parse(header_of(format_, chunk.head))
    parsed = parser.parse(chunk.block)
    lines = lines_of_events(chunk, parsed, again=again)
    events, row = parsed.events, len(parsed.events) - 1
    made = finding(1)
    evidence: Evidence = dataclasses.replace(
        made.evidence[0],
        source=int(events.source[row]),
        destination=int(events.destination[row]),
        user=0,
        line=lines.of(row),
    )
    return dataclasses.replace(
        made,
        source=evidence.source,
        destination=evidence.destination,
        user=0,
        evidence=(evidence,),
    )


def test_a_forgotten_name_is_read_in_its_line(tmp_path: Path) -> None:
    log = tmp_path / "eve.json"
    log.write_bytes(EVE % b"10.0.0.8" + EVE % b"10.0.0.9")
    found = about(log)
    names = known()
    assert names(found.source) is None
    names.recall([found])
    assert (names(found.source), names(found.destination)) == ("10.0.0.1", "10.0.0.9")
    assert len(names) == 2


def test_also_where_the_head_of_the_log_names_the_columns(tmp_path: Path) -> None:
    log = tmp_path / "conn.log"
    log.write_bytes(TSV)
    found = about(log)
    names = known()
    names.recall([found])
    assert names(found.destination) == "192.0.2.2"


def test_a_line_that_is_gone_says_nothing(tmp_path: Path) -> None:
    log = tmp_path / "eve.json"
    log.write_bytes(EVE % b"10.0.0.8")
    found = about(log)
    log.unlink()
    names = known()
    names.recall([found, finding(2)])
    assert len(names) == 0


def test_what_is_known_is_not_read_again(tmp_path: Path) -> None:
    log = tmp_path / "eve.json"
    log.write_bytes(EVE % b"10.0.0.8")
    found = about(log)
    names = known()
    names.recall([found])
    names._read = None  # type: ignore[assignment, method-assign]
    names.recall([found])
