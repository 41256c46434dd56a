# SPDX-License-Identifier: Apache-2.0
"""Logs of real networks, where they are at hand: all of them are read."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from pathlib import Path

import pytest

from fedxdr.telemetry import Kind
from fedxdr.telemetry.parser import Parsed, Parser
from fedxdr.telemetry.suricata import EveParser, mark_alerted
from fedxdr.telemetry.zeek import ZeekTsvParser
from fedxdr.telemetry.zeek_json import ZeekJsonParser

DATA = Path(__file__).parents[4] / "shared" / "data"


def tokenise(text: str) -> int:
    return zlib.crc32(text.encode()) or 1


def read(name: str, parser: Parser) -> Parsed:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"real telemetry is not here: shared/data/{name}")
    return parser.parse(gzip.decompress(path.read_bytes()))


def kinds(parsed: Parsed) -> dict[str, int]:
    counted = Counter(parsed.events.kind.tolist())
    return {Kind(kind).name: count for kind, count in counted.items()}


def test_suricata_of_stratosphere() -> None:
    parsed = read(
        "suricata_eve/slips_test6-malicious.suricata.json.gz", EveParser(tokenise)
    )
    assert (parsed.rejected, parsed.skipped, parsed.lines) == ((), 0, 5000)
    assert kinds(parsed) == {
        "FLOW": 3512,
        "ALERT": 745,
        "DNS": 680,
        "HTTP": 56,
        "FILE": 3,
        "ANOMALY": 3,
        "TLS": 1,
    }
    marked = mark_alerted(parsed.events)
    labelled = Counter(marked.kind[marked.label == 1].tolist())
    assert labelled == {Kind.ALERT: 743, Kind.FLOW: 364, Kind.HTTP: 14, Kind.FILE: 1}


@pytest.mark.parametrize(
    ("name", "events", "skipped"),
    [
        ("apt29_day1_NASHUA_conn.log.gz", 479, 0),
        ("apt29_day1_SCRANTON_conn.log.gz", 134, 0),
        ("apt29_day1_combined_zeek.log.gz", 1752, 388),
        ("apt29_day2_NEWYORK_conn.log.gz", 314, 0),
        ("apt29_day2_SCRANTON_conn.log.gz", 53, 0),
        ("apt29_day2_UTICA-A_conn.log.gz", 353, 0),
        ("apt29_day2_UTICA-C_conn.log.gz", 31, 0),
        ("apt29_day2_UTICA-D_conn.log.gz", 357, 0),
        ("apt29_day2_UTICA-ONE-DRIVE_conn.log.gz", 64, 0),
        ("apt29_day2_combined_zeek.log.gz", 2662, 3002),
        ("slips_test9-mixed-zeek-dir_conn.log.gz", 576, 0),
    ],
)
def test_zeek_in_json(name: str, events: int, skipped: int) -> None:
    parsed = read(f"zeek_samples/{name}", ZeekJsonParser(tokenise))
    assert parsed.rejected == ()
    assert (len(parsed.events), parsed.skipped) == (events, skipped)
    if name.endswith("_conn.log.gz"):
        assert kinds(parsed) == {"FLOW": events}


@pytest.mark.parametrize(
    ("name", "events", "skipped", "kind"),
    [
        ("slips_test10-mixed-zeek-dir_conn.log.gz", 141, 0, "FLOW"),
        ("slips_test18-malicious-ctu-sme-11-win_conn.log.labeled.gz", 766, 0, "FLOW"),
        ("wrccdc2018_dns.log.gz", 53_615, 0, "DNS"),
        ("wrccdc2018_ntp.log.gz", 904, 0, "NTP"),
        ("wrccdc2018_rdp.log.gz", 4122, 0, "RDP"),
        ("wrccdc2018_smtp.log.gz", 1188, 0, "SMTP"),
        ("wrccdc2018_ssl.log.gz", 49_474, 0, "TLS"),
        ("wrccdc2018_weird.log.gz", 24_201, 1, "ANOMALY"),
        ("wrccdc2018_x509.log.gz", 0, 348, ""),
    ],
)
def test_zeek_in_columns(name: str, events: int, skipped: int, kind: str) -> None:
    parsed = read(f"zeek_samples/{name}", ZeekTsvParser(tokenise))
    assert parsed.rejected == ()
    assert (len(parsed.events), parsed.skipped) == (events, skipped)
    assert kinds(parsed) == ({kind: events} if kind else {})
    if name.endswith("labeled.gz"):
        assert Counter(parsed.events.label.tolist()) == {1: 719, 0: 44, -1: 3}
        assert parsed.events.techniques == ("T1048",)


class Users:
    """Tokens of accounts too."""

    def address(self, text: str) -> int:
        return tokenise(text)

    def user(self, text: str) -> int:
        return tokenise(text)


def test_accounts_in_real_logs() -> None:
    rdp = read("zeek_samples/wrccdc2018_rdp.log.gz", ZeekTsvParser(Users()))
    assert (rdp.events.user != 0).sum() == 23
    name = "zeek_samples/apt29_day1_combined_zeek.log.gz"
    mixed = read(name, ZeekJsonParser(Users()))
    assert mixed.why_skipped == {"names no two endpoints": 388}
    kerberos = mixed.events.kind == Kind.KERBEROS
    assert (mixed.events.user != 0).sum() == (mixed.events.user != 0)[kerberos].sum()
    assert (kerberos.sum(), (mixed.events.user != 0).sum()) == (35, 25)
