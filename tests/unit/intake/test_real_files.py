# SPDX-License-Identifier: Apache-2.0
"""Every real log at hand: what was kept, skipped and refused, file by file."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from fedxdr.intake import stream
from fedxdr.intake.sniffing import LogFormat

DATA = Path(__file__).parents[4] / "shared" / "data"
EVE, TSV, JSON = LogFormat.EVE, LogFormat.ZEEK_TSV, LogFormat.ZEEK_JSON

COUNTED = {
    "suricata_eve/first-org-conf-2015-alerts-only.json.gz": (EVE, 136, 136, 0),
    "suricata_eve/honeypot-2018-alerts-only.json.gz": (EVE, 44, 44, 0),
    "suricata_eve/slips_test6-malicious.suricata.json.gz": (EVE, 5000, 5000, 0),
    "suricata_eve/wrccdc-2017-alerts-only.json.gz": (EVE, 161, 161, 0),
    "suricata_eve/wrccdc-2018-alerts-only.json.gz": (EVE, 207, 207, 0),
    "zeek_samples/apt29_day1_NASHUA_conn.log.gz": (JSON, 479, 479, 0),
    "zeek_samples/apt29_day1_SCRANTON_conn.log.gz": (JSON, 134, 134, 0),
    # certificates, programs, and what Zeek says of itself
    "zeek_samples/apt29_day1_combined_zeek.log.gz": (JSON, 2140, 1752, 388),
    "zeek_samples/apt29_day2_NEWYORK_conn.log.gz": (JSON, 314, 314, 0),
    "zeek_samples/apt29_day2_SCRANTON_conn.log.gz": (JSON, 53, 53, 0),
    "zeek_samples/apt29_day2_UTICA-A_conn.log.gz": (JSON, 353, 353, 0),
    "zeek_samples/apt29_day2_UTICA-C_conn.log.gz": (JSON, 31, 31, 0),
    "zeek_samples/apt29_day2_UTICA-D_conn.log.gz": (JSON, 357, 357, 0),
    "zeek_samples/apt29_day2_UTICA-ONE-DRIVE_conn.log.gz": (JSON, 64, 64, 0),
    "zeek_samples/apt29_day2_combined_zeek.log.gz": (JSON, 5664, 2662, 3002),
    # of these the lines that are neither are the header and #close
    "zeek_samples/slips_test10-mixed-zeek-dir_conn.log.gz": (TSV, 150, 141, 0),
    "zeek_samples/slips_test18-malicious-ctu-sme-11-win_conn.log.labeled.gz": (
        TSV,
        774,
        766,
        0,
    ),
    "zeek_samples/slips_test9-mixed-zeek-dir_conn.log.gz": (JSON, 576, 576, 0),
    "zeek_samples/wrccdc2018_dns.log.gz": (TSV, 53624, 53615, 0),
    "zeek_samples/wrccdc2018_ntp.log.gz": (TSV, 913, 904, 0),
    "zeek_samples/wrccdc2018_rdp.log.gz": (TSV, 4131, 4122, 0),
    "zeek_samples/wrccdc2018_smtp.log.gz": (TSV, 1197, 1188, 0),
    "zeek_samples/wrccdc2018_ssl.log.gz": (TSV, 49483, 49474, 0),
    "zeek_samples/wrccdc2018_weird.log.gz": (TSV, 24211, 24201, 1),
    # certificates
    "zeek_samples/wrccdc2018_x509.log.gz": (TSV, 357, 0, 348),
    "auth/lanl_redteam.txt": (LogFormat.REDTEAM, 750, 749, 1),
    "auth/loghub_Linux_2k.log.gz": (LogFormat.SYSLOG, 2000, 1511, 489),
    "auth/loghub_OpenSSH_2k.log.gz": (LogFormat.SYSLOG, 2000, 1146, 854),
    # servicing of Windows
    "auth/loghub_Windows_2k.log.gz": (LogFormat.CBS, 2000, 0, 2000),
}
"""Format, lines, kept and skipped; none is refused."""


def test_all_files_that_are_here_are_counted() -> None:
    folders = {name.partition("/")[0] for name in COUNTED}
    if not DATA.exists():
        pytest.skip("real telemetry is not here: shared/data")
    here = {
        f"{folder}/{path.name}"
        for folder in folders
        for path in (DATA / folder).iterdir()
        if path.name != "SOURCE.txt"
    }
    assert here == set(COUNTED)


@pytest.mark.parametrize("name", COUNTED)
def test_every_line_is_accounted_for(name: str) -> None:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"real telemetry is not here: shared/data/{name}")
    *_, last = stream([path], tokenise=lambda text: zlib.crc32(text.encode()) or 1)
    report = last.report
    told = (report.format, report.lines, report.events, report.skipped)
    assert told == COUNTED[name]
    assert (report.rejected, report.problem) == (0, None)
    assert last.is_last
    rest = report.lines - report.events - report.skipped
    assert rest == 0 or (report.format is TSV and 8 <= rest <= 9)
