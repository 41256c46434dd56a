# SPDX-License-Identifier: Apache-2.0
"""Findings as a STIX 2.1 bundle, for an organisation that decides to share them.

identity (the organisation), per finding: attack-pattern (its technique, else its
tactic), network-traffic between addresses that have names, observed-data, an indicator
for every public address, a sighting of the indicators, else of the attack-pattern, and
the relationship indicator → indicates → attack-pattern.

It does NOT send anything and is never a default: sharing is the organisation's own act
(docs/adr/0008-detection.md). Whom it must not name, ``names`` does not know.

Rules that always hold:
    1. No token: an entity without a name is left out, and so is what would need it.
    2. No score, threshold or calibrated share: they tell of the organisation's past. No
       finding's id: it is as private as tokens. No place in a log, no account.
    3. The same findings, names and ``created`` give the same bytes: identifiers are
       UUIDv5, those of observables as the specification makes them.
    4. Everything of ours is marked TLP:AMBER.

Source: OASIS STIX 2.1, sections 2.9 (identifiers), 3 (common properties), 4.1, 4.5,
4.7, 4.14, 5.1, 5.2 (objects), 6.4, 6.7, 6.8, 6.12 (observables), 7.2.1.4 (TLP), 9
(patterns).
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from fedxdr.core import canonical
from fedxdr.core.errors import InvalidInput
from fedxdr.core.ids import OrgId
from fedxdr.core.tactics import short_name
from fedxdr.telemetry import attack
from fedxdr.telemetry.catalogue import Service
from fedxdr.telemetry.findings import Evidence, Finding
from fedxdr.telemetry.shown import Entity, Names, entity_of

_SPEC: Final = "2.1"
_OBSERVABLES: Final = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")  # section 2.9
_OURS: Final = uuid.UUID("7d0c5a0e-52f5-5d0f-9d4c-5f6c1f9b5f0a")
_AMBER: Final = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"
_TYPES: Final = {"ipv4": "ipv4-addr", "ipv6": "ipv6-addr", "host": "domain-name"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_Object = dict[str, Any]


def to_stix(findings: Iterable[Finding], *, names: Names, created: datetime) -> bytes:
    """Return findings of one organisation as a bundle, JSON.

    Args:
        findings: at least one; of one organisation.
        names: looks up who a token is; whoever it does not know is left out.
        created: when the bundle is made, UTC-aware.

    Raises:
        InvalidInput: no finding, or findings of two organisations.
    """
    kept = sorted(findings, key=lambda finding: (finding.first_ns, finding.id))
    orgs = {finding.org for finding in kept}
    if len(orgs) != 1:
        raise InvalidInput(f"a bundle is of one organisation, got {len(orgs)}")
    bundle = _Bundle(kept[0].org, names, _instant(created))
    for finding in kept:
        bundle.add(finding)
    objects = list(bundle.objects.values())
    number = uuid.uuid5(_OURS, canonical.jcs([one["id"] for one in objects]).hex())
    value = {"type": "bundle", "id": f"bundle--{number}", "objects": objects}
    return msgspec.json.encode(value)


class _Bundle:
    """Objects by identifier, each once, in the order in which they were needed."""

    def __init__(self, org: OrgId, names: Names, created: str) -> None:
        self.objects: dict[str, _Object] = {}
        self._names = names
        self._created = created
        self._author = ""
        self._author = self._own(
            "identity", org, name=org, identity_class="organization"
        )

    def add(self, finding: Finding) -> None:
        """Add what one finding needs."""
        pattern = self._pattern(finding)
        ends = [
            who
            for token in (finding.source, finding.destination)
            if (who := self._known(token)) is not None
        ]
        seen = self._observed(finding, ends)
        times = {
            "first_seen": _time(finding.first_ns),
            "last_seen": _time(finding.last_ns),
        }
        indicators = [self._indicator(finding, who) for who in ends if _is_public(who)]
        if pattern is not None:
            for one in indicators:
                self._own(
                    "relationship",
                    f"{one} indicates {pattern}",
                    relationship_type="indicates",
                    source_ref=one,
                    target_ref=pattern,
                )
        fallback = [] if pattern is None else [pattern]
        for target in dict.fromkeys(indicators or fallback):
            self._own(
                "sighting",
                f"{target} {finding.id}",
                **times,
                count=max(1, len(finding.evidence)),
                sighting_of_ref=target,
                where_sighted_refs=[self._author],
                description=finding.sentence,
                external_references=[_model(finding)],
                **({"observed_data_refs": [seen]} if seen is not None else {}),
            )

    def _known(self, token: int) -> Entity | None:
        who = entity_of(token, self._names)
        return None if who is None or who.form == "token" else who

    def _pattern(self, finding: Finding) -> str | None:
        """Add the attack-pattern; return its identifier."""
        if finding.technique is not None:
            word = attack.technique(finding.technique)
        elif finding.tactic is not None:
            word = attack.tactic(finding.tactic)
        else:
            return None
        reference = {
            "source_name": "mitre-attack",
            "external_id": word.uid,
            "url": word.url,
        }
        phases = {}
        if finding.tactic is not None:
            phase = short_name(finding.tactic)
            phases["kill_chain_phases"] = [
                {"kill_chain_name": "mitre-attack", "phase_name": phase}
            ]
        return self._own(
            "attack-pattern",
            f"{word.uid} {finding.tactic}",
            name=word.name,
            external_references=[reference],
            **phases,
        )

    def _observed(self, finding: Finding, ends: Sequence[Entity]) -> str | None:
        """Add what was seen between named ends; None where nobody has a name."""
        refs = [self._end(who) for who in ends]
        for one in finding.evidence:
            refs += self._traffic(one)
        if not refs:
            return None
        return self._own(
            "observed-data",
            finding.id,
            first_observed=_time(finding.first_ns),
            last_observed=_time(finding.last_ns),
            number_observed=max(1, len(finding.evidence)),
            object_refs=list(dict.fromkeys(refs)),
        )

    def _traffic(self, one: Evidence) -> list[str]:
        source, destination = self._known(one.source), self._known(one.destination)
        both = [who for who in (source, destination) if who is not None]
        if not both:
            return []
        refs = {
            name: self._end(who)
            for name, who in (("src_ref", source), ("dst_ref", destination))
            if who is not None
        }
        protocols = ["ipv6" if any(who.form == "ipv6" for who in both) else "ipv4"]
        if one.service not in {Service.UNKNOWN, Service.OTHER}:
            protocols.append(one.service.name.lower().replace("_", "-"))
        # identifiers are made of text: others write an instant without empty digits
        start = _time(one.time_ns).removesuffix("Z").rstrip("0").removesuffix(".") + "Z"
        parts = {"start": start, **refs, "protocols": protocols}
        return [*refs.values(), self._observable("network-traffic", parts)]

    def _end(self, who: Entity) -> str:
        return self._observable(_TYPES[who.form], {"value": who.text})

    def _indicator(self, finding: Finding, who: Entity) -> str:
        kind = _TYPES[who.form]
        value = who.text.replace("\\", "\\\\").replace("'", "\\'")
        return self._own(
            "indicator",
            f"{kind} {who.text}",
            name="Address in suspicious activity",
            indicator_types=["anomalous-activity"],
            pattern=f"[{kind}:value = '{value}']",
            pattern_type="stix",
            valid_from=_time(finding.first_ns),
        )

    def _own(self, kind: str, key: str, /, **properties: Any) -> str:  # noqa: ANN401
        """Add an object of ours, unless it is there; return its identifier."""
        number = uuid.uuid5(_OURS, f"{kind} {self._author} {key}")
        found = f"{kind}--{number}"
        author = self._author or found
        self.objects.setdefault(
            found,
            {
                "type": kind,
                "spec_version": _SPEC,
                "id": found,
                "created_by_ref": author,
                "created": self._created,
                "modified": self._created,
                **properties,
                "object_marking_refs": [_AMBER],
            },
        )
        return found

    def _observable(self, kind: str, properties: _Object) -> str:
        """Add an observable, unless it is there; return its identifier."""
        name = canonical.jcs(properties).decode()
        found = f"{kind}--{uuid.uuid5(_OBSERVABLES, name)}"
        value = {"type": kind, "spec_version": _SPEC, "id": found, **properties}
        self.objects.setdefault(found, value)
        return found


def _model(finding: Finding) -> _Object:
    reference = {"source_name": "fedxdr-model", "external_id": finding.model}
    if finding.ledger_index is not None:
        reference["description"] = f"block {finding.ledger_index} of the ledger"
    return reference


def _is_public(who: Entity) -> bool:
    return who.form != "host" and ipaddress.ip_address(who.text).is_global


def _time(time_ns: int) -> str:
    return _instant(_EPOCH + timedelta(microseconds=time_ns // 1000))


def _instant(instant: datetime) -> str:
    """Return an instant with milliseconds, cut, as STIX writes it."""
    text = instant.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
