# SPDX-License-Identifier: Apache-2.0
"""A finding as an OCSF Detection Finding, one line of NDJSON.

Class 2004, type 200401 (created). Score, threshold, share of the own past that scores
as high, organisation, height of the model's block and nearest campaign have no place in
the schema and stand in ``unmapped``; the model is the ``analytic``, its digest the
``uid``.

It does NOT decide where the line goes: it holds real addresses where ``names`` knows
them, so it goes to systems of the organisation alone (docs/adr/0008-detection.md).

Rule 1: the same finding and names give the same bytes.
Rule 2: an entity nobody remembers is a ``uid`` of the form ``entity-…``, never an
address.

Source: OCSF 1.5.0: class detection_finding; objects finding_info, attack, analytic,
evidences, network_endpoint, network_connection_info, actor, observable, metadata.
"""

from __future__ import annotations

from typing import Final

import msgspec

from fedxdr import __version__
from fedxdr.telemetry import attack
from fedxdr.telemetry.catalogue import Service
from fedxdr.telemetry.findings import Evidence, Finding
from fedxdr.telemetry.shown import Entity, Names, entity_of

VERSION: Final = "1.5.0"
"""Of the schema that is written."""

_MS: Final = 10**6
_CREATE: Final = 1
_NEW: Final = 1
_LEARNING: Final = 4
_OBSERVABLES: Final = {"ipv4": 2, "ipv6": 2, "host": 1, "token": 10}
_USER_NAME: Final = 4


class _Out(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is None is not written."""


class _Named(_Out, frozen=True, kw_only=True):
    name: str | None = None
    uid: str
    src_url: str | None = None


class _Attack(_Out, frozen=True, kw_only=True):
    tactic: _Named | None = None
    technique: _Named | None = None
    sub_technique: _Named | None = None
    version: str | None = None


class _Analytic(_Out, frozen=True, kw_only=True):
    name: str
    uid: str
    type_id: int
    type: str
    version: str | None = None


class _FindingInfo(_Out, frozen=True, kw_only=True):
    uid: str
    title: str
    desc: str
    created_time: int
    first_seen_time: int
    last_seen_time: int
    analytic: _Analytic
    attacks: tuple[_Attack, ...] | None = None


class _Endpoint(_Out, frozen=True, kw_only=True):
    ip: str | None = None
    hostname: str | None = None
    uid: str | None = None
    svc_name: str | None = None


class _Connection(_Out, frozen=True, kw_only=True):
    direction_id: int


class _User(_Out, frozen=True, kw_only=True):
    name: str | None = None
    uid: str | None = None


class _Actor(_Out, frozen=True, kw_only=True):
    user: _User


class _Edge(_Out, frozen=True, kw_only=True):
    time: int
    kind: str
    service: str
    contribution: float
    log: str | None = None
    begin: int | None = None
    end: int | None = None


class _Evidence(_Out, frozen=True, kw_only=True):
    src_endpoint: _Endpoint | None = None
    dst_endpoint: _Endpoint | None = None
    connection_info: _Connection
    actor: _Actor | None = None
    data: _Edge


class _Observable(_Out, frozen=True, kw_only=True):
    name: str
    type_id: int
    value: str


class _Product(_Out, frozen=True, kw_only=True):
    name: str
    vendor_name: str
    version: str


class _Metadata(_Out, frozen=True, kw_only=True):
    version: str
    product: _Product
    uid: str
    tenant_uid: str


class _Unmapped(msgspec.Struct, frozen=True, kw_only=True):
    organisation: str
    score: float
    threshold: float
    calibrated: float
    model: str
    ledger_index: int | None
    nearest_campaign: str | None


class _Record(_Out, frozen=True, kw_only=True):
    class_uid: int
    class_name: str
    category_uid: int
    category_name: str
    activity_id: int
    activity_name: str
    type_uid: int
    type_name: str
    time: int
    start_time: int
    end_time: int
    severity_id: int
    severity: str
    status_id: int
    status: str
    is_alert: bool
    message: str
    metadata: _Metadata
    finding_info: _FindingInfo
    evidences: tuple[_Evidence, ...] | None = None
    observables: tuple[_Observable, ...] | None = None
    unmapped: _Unmapped


_ENCODER: Final = msgspec.json.Encoder()
_PRODUCT: Final = _Product(name="fedxdr", vendor_name="fedxdr", version=__version__)


def to_ocsf(finding: Finding, *, names: Names) -> bytes:
    """Return a finding as one line of JSON, without the newline.

    Args:
        finding: what was found.
        names: looks up who a token is; where it says None the token is written.
    """
    severity = finding.severity.name.capitalize()
    return _ENCODER.encode(
        _Record(
            class_uid=2004,
            class_name="Detection Finding",
            category_uid=2,
            category_name="Findings",
            activity_id=_CREATE,
            activity_name="Create",
            type_uid=200_400 + _CREATE,
            type_name="Detection Finding: Create",
            time=finding.time_ns // _MS,
            start_time=finding.first_ns // _MS,
            end_time=finding.last_ns // _MS,
            severity_id=finding.severity.value,
            severity=severity,
            status_id=_NEW,
            status="New",
            is_alert=True,
            message=finding.sentence,
            metadata=_Metadata(
                version=VERSION,
                product=_PRODUCT,
                uid=finding.id,
                tenant_uid=finding.org,
            ),
            finding_info=_info(finding),
            evidences=tuple(_evidence(one, names) for one in finding.evidence) or None,
            observables=_observables(finding, names) or None,
            unmapped=_Unmapped(
                organisation=finding.org,
                score=finding.score,
                threshold=finding.threshold,
                calibrated=finding.calibrated,
                model=finding.model,
                ledger_index=finding.ledger_index,
                nearest_campaign=finding.nearest,
            ),
        )
    )


def title_of(finding: Finding) -> str:
    """Return a few words for what was found: its technique, or tactic, by name."""
    if finding.technique is not None:
        word = attack.technique(finding.technique)
    elif finding.tactic is not None:
        word = attack.tactic(finding.tactic)
    else:
        return "Suspicious activity"
    return word.name if word.name == word.uid else f"{word.name} ({word.uid})"


def _info(finding: Finding) -> _FindingInfo:
    found = _attack(finding)
    return _FindingInfo(
        uid=finding.id,
        title=title_of(finding),
        desc=finding.sentence,
        created_time=finding.time_ns // _MS,
        first_seen_time=finding.first_ns // _MS,
        last_seen_time=finding.last_ns // _MS,
        analytic=_Analytic(
            name="fedxdr federated detector",
            uid=finding.model,
            type_id=_LEARNING,
            type="Learning (ML/DL)",
            version=None if finding.ledger_index is None else str(finding.ledger_index),
        ),
        attacks=None if found is None else (found,),
    )


def _attack(finding: Finding) -> _Attack | None:
    if finding.tactic is None and finding.technique is None:
        return None
    tactic = technique = below = None
    if finding.tactic is not None:
        tactic = _named(attack.tactic(finding.tactic))
    if finding.technique is not None:
        above = finding.technique.partition(".")[0]
        technique = _named(attack.technique(above))
        if above != finding.technique:
            below = _named(attack.technique(finding.technique))
    return _Attack(tactic=tactic, technique=technique, sub_technique=below)


def _named(word: attack.Word) -> _Named:
    return _Named(name=word.name, uid=word.uid, src_url=word.url)


def _evidence(one: Evidence, names: Names) -> _Evidence:
    service = one.service.name.lower()
    user = entity_of(one.user, names)
    return _Evidence(
        src_endpoint=_endpoint(entity_of(one.source, names)),
        dst_endpoint=_endpoint(
            entity_of(one.destination, names),
            service=None if one.service is Service.UNKNOWN else service,
        ),
        connection_info=_Connection(direction_id=0),
        actor=None if user is None else _Actor(user=_user(user)),
        data=_Edge(
            time=one.time_ns // _MS,
            kind=one.kind.name.lower(),
            service=service,
            contribution=one.contribution,
            log=None if one.line is None else one.line.source,
            begin=None if one.line is None else one.line.begin,
            end=None if one.line is None else one.line.end,
        ),
    )


def _endpoint(who: Entity | None, *, service: str | None = None) -> _Endpoint | None:
    if who is None:
        return None if service is None else _Endpoint(svc_name=service)
    match who.form:
        case "ipv4" | "ipv6":
            return _Endpoint(ip=who.text, svc_name=service)
        case "host":
            return _Endpoint(hostname=who.text, svc_name=service)
        case "token":
            return _Endpoint(uid=who.text, svc_name=service)


def _user(who: Entity) -> _User:
    return _User(uid=who.text) if who.form == "token" else _User(name=who.text)


def _observables(finding: Finding, names: Names) -> tuple[_Observable, ...]:
    """Return who is concerned, under the paths of the schema where analysts search."""
    found = []
    for name, token in (
        ("src_endpoint", finding.source),
        ("dst_endpoint", finding.destination),
    ):
        who = entity_of(token, names)
        if who is not None:
            kind = _OBSERVABLES[who.form]
            found.append(_Observable(name=name, type_id=kind, value=who.text))
    user = entity_of(finding.user, names)
    if user is not None:
        found.append(
            _Observable(name="actor.user", type_id=_USER_NAME, value=user.text)
        )
    return tuple(found)
