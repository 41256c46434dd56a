# SPDX-License-Identifier: Apache-2.0
"""A finding is a Detection Finding of OCSF that others' readers take.

``py_ocsf_models`` 0.10.0 checks all but the ends of an evidence, which it has no model
of; those are held against forms typed in from OCSF 1.5.0 here.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ocsf_models.events.findings.detection_finding import DetectionFinding
from py_ocsf_models.events.findings.severity_id import SeverityID
from tests.unit.telemetry.found import (
    HOST,
    MODEL,
    NAMES,
    NOW,
    SERVER,
    USER,
    evidence,
    finding,
)

from fedxdr.telemetry.catalogue import Kind, Service
from fedxdr.telemetry.findings import MAX_EVIDENCE, Severity
from fedxdr.telemetry.ocsf_out import title_of, to_ocsf
from fedxdr.telemetry.shown import no_names, token_text


class Endpoint(msgspec.Struct, forbid_unknown_fields=True):
    """``network_endpoint``: at least one of its names."""

    ip: str | None = None
    hostname: str | None = None
    uid: str | None = None
    svc_name: str | None = None

    def __post_init__(self) -> None:
        if not (self.ip or self.hostname or self.uid or self.svc_name):
            raise ValueError("an endpoint without a name")


class Connection(msgspec.Struct, forbid_unknown_fields=True):
    """``network_connection_info``: the direction is required."""

    direction_id: int


class User(msgspec.Struct, forbid_unknown_fields=True):
    """``user``: at least one."""

    name: str | None = None
    uid: str | None = None


class Actor(msgspec.Struct, forbid_unknown_fields=True):
    """``actor``."""

    user: User


class Artifacts(msgspec.Struct, forbid_unknown_fields=True):
    """``evidences``."""

    connection_info: Connection
    data: dict[str, object]
    src_endpoint: Endpoint | None = None
    dst_endpoint: Endpoint | None = None
    actor: Actor | None = None


class Ends(msgspec.Struct):
    """What of a record is read strictly here."""

    evidences: list[Artifacts] = []


def read(line: bytes) -> DetectionFinding:
    msgspec.json.decode(line, type=Ends)
    return DetectionFinding.model_validate_json(line)


def test_everything_that_a_finding_says_is_there() -> None:
    line = to_ocsf(finding(), names=NAMES.get)
    assert b"\n" not in line
    found = read(line)
    assert (found.class_uid, found.type_uid, found.activity_id) == (2004, 200401, 1)
    assert found.severity_id is SeverityID.High
    assert found.severity == "High"
    assert found.message == finding().sentence
    assert found.time == NOW // 10**6
    assert (found.start_time, found.end_time) == (
        NOW // 10**6 - 9000,
        NOW // 10**6 - 5000,
    )
    assert found.metadata.version == "1.5.0"
    assert found.metadata.tenant_uid == "alpha"
    info = found.finding_info
    assert info.uid == finding().id
    assert info.analytic is not None
    assert (info.analytic.uid, info.analytic.version) == (MODEL, "12")
    assert info.attacks is not None
    [attack] = info.attacks
    assert attack.tactic is not None
    assert attack.technique is not None
    assert attack.sub_technique is not None
    assert (attack.tactic.uid, attack.tactic.name) == ("TA0008", "Lateral Movement")
    assert (attack.technique.uid, attack.sub_technique.uid) == ("T1021", "T1021.002")
    assert found.unmapped == {
        "organisation": "alpha",
        "score": 3.5,
        "threshold": 2.5,
        "calibrated": 0.002,
        "model": MODEL,
        "ledger_index": 12,
        "nearest_campaign": "lateral-movement_7.1",
    }


def test_the_edges_have_real_ends() -> None:
    first, second = msgspec.json.decode(
        to_ocsf(finding(), names=NAMES.get), type=Ends
    ).evidences
    assert first.src_endpoint == Endpoint(ip="10.1.2.3")
    assert first.dst_endpoint == Endpoint(ip="93.184.216.34", svc_name="smb")
    assert first.actor == Actor(user=User(name="acme\\alice"))
    assert first.data == {
        "time": NOW // 10**6 - 5000,
        "kind": "flow",
        "service": "smb",
        "contribution": 0.25,
        "log": "/var/log/eve.json",
        "begin": 100,
        "end": 250,
    }
    assert second.actor is None
    assert set(second.data) == {"time", "kind", "service", "contribution"}
    observed = read(to_ocsf(finding(), names=NAMES.get)).observables
    assert observed is not None
    assert [(one.name, one.value) for one in observed] == [
        ("src_endpoint", "10.1.2.3"),
        ("dst_endpoint", "93.184.216.34"),
        ("actor.user", "acme\\alice"),
    ]


def test_who_is_forgotten_is_a_token_and_no_address() -> None:
    line = to_ocsf(finding(), names=no_names)
    read(line)
    [first, _] = msgspec.json.decode(line, type=Ends).evidences
    assert first.src_endpoint == Endpoint(uid=token_text(HOST))
    assert first.dst_endpoint == Endpoint(uid=token_text(SERVER), svc_name="smb")
    assert first.actor == Actor(user=User(uid=token_text(USER)))


def test_what_may_be_unknown_is_left_out() -> None:
    bare = finding(
        tactic=None,
        technique=None,
        ledger_index=None,
        nearest=None,
        source=0,
        destination=0,
        user=0,
        evidence=(),
    )
    found = read(to_ocsf(bare, names=NAMES.get))
    assert found.finding_info.attacks is None
    assert found.evidences is None
    assert found.observables is None
    assert found.finding_info.title == "Suspicious activity"
    lone = evidence(source=0, destination=0, user=0, service=Service.UNKNOWN)
    line = to_ocsf(finding(evidence=(lone,)), names=NAMES.get)
    [only] = msgspec.json.decode(line, type=Ends).evidences
    assert (only.src_endpoint, only.dst_endpoint, only.actor) == (None, None, None)


@pytest.mark.parametrize(
    ("tactic", "technique", "title"),
    [
        ("TA0008", None, "Lateral Movement (TA0008)"),
        (None, "T1046", "Network Service Discovery (T1046)"),
        ("TA0008", "T9999", "T9999"),
        (None, None, "Suspicious activity"),
    ],
)
def test_titles(tactic: str | None, technique: str | None, title: str) -> None:
    assert title_of(finding(tactic=tactic, technique=technique)) == title


def names_in(value: object) -> set[str]:
    match value:
        case dict():
            return {*value}.union(*map(names_in, value.values()))
        case list():
            return set().union(*map(names_in, value))
    return set()


def test_every_field_is_documented() -> None:
    written = names_in(msgspec.json.decode(to_ocsf(finding(), names=NAMES.get)))
    page = Path(__file__).parents[3] / "docs/reference/findings.md"
    text = page.read_text()
    usual = {"class_uid", "class_name", "category_uid", "category_name"}
    usual |= {"activity_name", "type_uid", "type_name", "status", "product"}
    usual |= {"vendor_name", "type", "type_id", "version", "value", "user", "actor"}
    missing = {name for name in written - usual if name not in text}
    assert missing == set()


ATTACKS = [(None, None), ("TA0011", None), (None, "T1071"), ("TA0011", "T1071.004")]


@settings(deadline=None)
@given(
    names=st.dictionaries(st.sampled_from([HOST, SERVER, USER]), st.text(max_size=40)),
    severity=st.sampled_from(Severity),
    spoken=st.tuples(st.sampled_from(Kind), st.sampled_from(Service)),
    attack=st.sampled_from(ATTACKS),
    count=st.sampled_from([0, 1, MAX_EVIDENCE]),
)
def test_whatever_is_found_their_reader_takes_it(
    names: dict[int, str],
    severity: Severity,
    spoken: tuple[Kind, Service],
    attack: tuple[str | None, str | None],
    count: int,
) -> None:
    one = evidence(kind=spoken[0], service=spoken[1])
    made = finding(
        severity=severity,
        tactic=attack[0],
        technique=attack[1],
        evidence=(one,) * count,
    )
    line = to_ocsf(made, names=names.get)
    assert b"\n" not in line
    found = read(line)
    assert found.severity_id == severity
    assert len(found.evidences or ()) == count
