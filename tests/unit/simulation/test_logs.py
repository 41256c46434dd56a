# SPDX-License-Identifier: Apache-2.0
"""Which logs each mix of sensors writes, and that all of it is read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedxdr.intake import read
from fedxdr.intake.sniffing import LogFormat
from fedxdr.privacy import Pseudonymiser
from fedxdr.simulation import (
    ALL_TECHNIQUES,
    EVERY_MIX,
    Organisation,
    Sensors,
    World,
    generate,
    read_truth,
    write,
)
from fedxdr.simulation.logs import AUTH, CONN, EVE, Log, logs_of, truth_of
from fedxdr.simulation.zeek_logs import LOGS
from fedxdr.telemetry import Kind

NAMES = [sensors.value for sensors in EVERY_MIX]
ZEEK = {f"{log}.log" for log in LOGS}


@pytest.fixture(scope="module")
def world() -> World:
    return generate(
        organisations=NAMES,
        seed=5,
        hours=24,
        techniques=ALL_TECHNIQUES,
        sensors=EVERY_MIX,
    )


def organisation(world: World, sensors: Sensors) -> Organisation:
    return next(one for one in world.organisations if one.sensors is sensors)


def test_which_files_there_are(world: World) -> None:
    names = {
        one.sensors: {log.name for log in logs_of(one, start_us=0)}
        for one in world.organisations
    }
    assert names[Sensors.MIXED] == {EVE, CONN}
    assert names[Sensors.SURICATA] == {EVE}
    assert names[Sensors.ZEEK] == names[Sensors.ZEEK_JSON] == ZEEK
    assert names[Sensors.WITH_HOSTS] == {EVE, AUTH} | ZEEK - {"dns.log"}


def test_all_of_it_is_read_back_and_its_truth_is_known(
    world: World, tmp_path: Path
) -> None:
    formats = {
        Sensors.SURICATA: {LogFormat.EVE},
        Sensors.ZEEK: {LogFormat.ZEEK_TSV},
        Sensors.ZEEK_JSON: {LogFormat.ZEEK_JSON},
        Sensors.MIXED: {LogFormat.EVE, LogFormat.ZEEK_TSV},
        Sensors.WITH_HOSTS: {LogFormat.EVE, LogFormat.ZEEK_TSV, LogFormat.SYSLOG},
    }
    for name, files in write(world, tmp_path).items():
        sensors = Sensors(name)
        intake = read(files.logs, tokenise=Pseudonymiser(bytes(32)))
        assert intake.rejected == 0
        assert {report.format for report in intake.files} == formats[sensors]
        for report in intake.files:
            # PAM repeats what sshd says, and ends of sessions are no events.
            assert report.events > 0
            assert (report.skipped > 0) == (report.path.name == AUTH)
        truth = read_truth(files.truth)
        true = truth.applied_to(intake.events)
        assert not (true.label == -1).any()
        assert {t for t in truth.technique if t} <= set(ALL_TECHNIQUES)
        kinds = set(intake.events.kind.tolist())
        if sensors is not Sensors.MIXED:
            assert {Kind.SSH, Kind.SMB, Kind.RDP, Kind.KERBEROS} <= kinds
        if sensors is Sensors.WITH_HOSTS:
            assert (true.label[true.kind == Kind.AUTH] == 1).any()
            assert (true.label[true.kind == Kind.AUTH] == 0).any()


def test_the_campaign_s_past_is_labelled_in_every_log(
    world: World, tmp_path: Path
) -> None:
    cut_ns = int(world.cut.timestamp()) * 10**9
    for name, files in write(world, tmp_path).items():
        if name not in {Sensors.ZEEK.value, Sensors.SURICATA.value}:
            continue
        weak = read(files.logs, tokenise=Pseudonymiser(bytes(32))).events
        true = read_truth(files.truth).applied_to(weak)
        past = (true.label == 1) & (weak.time_ns < cut_ns)
        if past.any():
            assert 0.8 < (weak.label[past] == 1).mean() < 0.97
        future = (true.label == 1) & (weak.time_ns >= cut_ns)
        assert not (weak.label[future] == 1).any()


def test_a_closed_file_and_lines_of_hosts_in_the_truth(world: World) -> None:
    log = Log(name="a.log", head=(b"#a",), lines=((2, b"b"), (1, b"c")), tail=(b"#d",))
    assert log.whole() == b"#a\nb\nc\n#d\n"
    one = organisation(world, Sensors.WITH_HOSTS)
    rows = truth_of(one, start_us=world.start_us)
    names = [name for name, _, _ in rows]
    assert len(set(names)) == len(names)
    assert sum(":" in name for name in names) > 100
