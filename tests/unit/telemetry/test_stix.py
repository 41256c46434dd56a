# SPDX-License-Identifier: Apache-2.0
"""A bundle that others read, and in which nobody finds a token or our past."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest
import stix2
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.telemetry.found import (
    HOST,
    MODEL,
    NAMES,
    NOW,
    SERVER,
    evidence,
    finding,
)

from fedxdr.core.errors import InvalidInput
from fedxdr.core.ids import OrgId, sha256
from fedxdr.telemetry.catalogue import Service
from fedxdr.telemetry.shown import no_names, token_text
from fedxdr.telemetry.stix import to_stix

CREATED = datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC)


def bundle(*findings, names=NAMES.get):
    return stix2.parse(to_stix(findings, names=names, created=CREATED)).objects


def of(objects, kind):
    return [one for one in objects if one["type"] == kind]


def test_what_stands_in_a_bundle():
    objects = bundle(finding())
    assert Counter(one["type"] for one in objects) == {
        "identity": 1,
        "attack-pattern": 1,
        "ipv4-addr": 2,
        "network-traffic": 1,
        "observed-data": 1,
        "indicator": 1,
        "relationship": 1,
        "sighting": 1,
    }
    [pattern] = of(objects, "attack-pattern")
    assert pattern["external_references"][0]["external_id"] == "T1021.002"
    assert pattern["external_references"][0]["source_name"] == "mitre-attack"
    assert pattern["kill_chain_phases"][0]["phase_name"] == "lateral-movement"
    [indicator] = of(objects, "indicator")
    assert indicator["pattern"] == "[ipv4-addr:value = '93.184.216.34']"
    [relationship] = of(objects, "relationship")
    assert relationship["source_ref"] == indicator["id"]
    assert relationship["target_ref"] == pattern["id"]
    [sighting] = of(objects, "sighting")
    [seen] = of(objects, "observed-data")
    assert sighting["sighting_of_ref"] == indicator["id"]
    assert sighting["observed_data_refs"] == [seen["id"]]
    assert sighting["external_references"][0]["external_id"] == MODEL
    assert sighting["description"] == finding().sentence
    amber = {
        str(mark) for one in objects for mark in one.get("object_marking_refs", ())
    }
    assert amber == {"marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"}
    ids = {one["id"] for one in objects}
    for one in objects:
        for name in (
            "source_ref",
            "target_ref",
            "src_ref",
            "dst_ref",
            "created_by_ref",
        ):
            assert name not in one or one[name] in ids


def test_observables_have_the_identifiers_of_the_specification():
    # the library computes them itself where they are left out
    [first, second] = of(bundle(finding()), "ipv4-addr")
    assert first["id"] == stix2.v21.IPv4Address(value="10.1.2.3").id
    assert second["id"] == stix2.v21.IPv4Address(value="93.184.216.34").id
    for late_ns in (0, 10**8, 123 * 10**6):  # whole seconds, tenths, milliseconds
        one = evidence(time_ns=NOW - 10**9 + late_ns)
        [traffic] = of(bundle(finding(evidence=(one,))), "network-traffic")
        again = {name: traffic[name] for name in ("src_ref", "dst_ref", "protocols")}
        made = stix2.v21.NetworkTraffic(start=traffic["start"], **again)
        assert traffic["id"] == made.id


def test_tokens_numbers_of_the_past_accounts_and_places_stay_at_home():
    one = finding()
    for names in (NAMES.get, no_names, {SERVER: "93.184.216.34"}.get):
        text = to_stix([one], names=names, created=CREATED).decode()
        for secret in (
            *(token_text(HOST), token_text(SERVER), str(HOST), str(SERVER), one.id),
            *("0.002", "3.5", "2.5", "alice", "/var/log", "0.25", one.nearest),
        ):
            assert secret not in text


def test_without_names_there_is_the_technique_and_no_more():
    kinds = {one["type"] for one in bundle(finding(), names=no_names)}
    assert kinds == {"identity", "attack-pattern", "sighting"}
    bare = finding(tactic=None, technique=None)
    assert {one["type"] for one in bundle(bare, names=no_names)} == {"identity"}


def test_private_addresses_make_no_indicator():
    names = {HOST: "10.1.2.3", SERVER: "db.acme"}
    objects = bundle(finding(technique=None), names=names.get)
    assert of(objects, "indicator") == []
    [pattern] = of(objects, "attack-pattern")
    assert pattern["name"] == "Lateral Movement"
    [sighting] = of(objects, "sighting")
    assert sighting["sighting_of_ref"] == pattern["id"]
    assert [one["value"] for one in of(objects, "domain-name")] == ["db.acme"]


def test_shared_objects_stand_once_and_bytes_are_the_same():
    pair = [finding(1), finding(2, technique=None, tactic=None)]
    objects = bundle(*pair)
    assert len({one["id"] for one in objects}) == len(objects)
    assert len(of(objects, "sighting")) == 2
    assert len(of(objects, "indicator")) == 1
    made = to_stix(pair, names=NAMES.get, created=CREATED)
    assert made == to_stix(reversed(pair), names=NAMES.get, created=CREATED)


def test_a_bundle_is_of_one_organisation():
    with pytest.raises(InvalidInput, match="got 0"):
        to_stix([], names=no_names, created=CREATED)
    both = [finding(), finding(1, org=OrgId("bravo"))]
    with pytest.raises(InvalidInput, match="got 2"):
        to_stix(both, names=no_names, created=CREATED)


@settings(deadline=None)
@given(
    service=st.sampled_from(Service),
    names=st.dictionaries(
        st.sampled_from([HOST, SERVER]),
        st.sampled_from(["8.8.8.8", "2606:4700::1", "10.0.0.9", "it's \\ a host"]),
    ),
    tactic=st.none() | st.just("TA0010"),
    technique=st.none() | st.just("T1048"),
    count=st.integers(0, 3),
)
def test_whatever_is_found_their_reader_takes_it(
    service, names, tactic, technique, count
):
    one = finding(
        id=sha256(b"x"),
        tactic=tactic,
        technique=technique,
        evidence=(evidence(service=service),) * count,
    )
    bundle(one, names=names.get)
