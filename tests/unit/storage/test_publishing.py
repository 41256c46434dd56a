# SPDX-License-Identifier: Apache-2.0
"""From blocks to published models: whose, which, and what is left after a crash."""

from __future__ import annotations

import dataclasses
import json

import pytest
from tests.unit.ledger.conftest import PUBLISHER, Federation

from fedxdr.core.errors import BadSignature, MalformedMessage, NotFound
from fedxdr.core.ids import sha256
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.publisher import PublisherKey
from fedxdr.ledger import block as blocks
from fedxdr.storage.model_directory import (
    CARD,
    PROVENANCE,
    check_model_directory,
    read_seal,
)
from fedxdr.storage.publishing import (
    card_of,
    mirror,
    provenance_of,
    publish,
    publisher_at,
    unpublished,
)

KEY = PublisherKey(seed=bytes(range(32)))
NEXT = PublisherKey(seed=bytes(32))
MODELS = {sha256(file): file for file in (b"model 0", b"model 1", b"model 2")}


@pytest.fixture(scope="module")
def ledger():
    """Genesis, plan, a round, a failure, a round under a new orchestrator."""
    told = Federation().begin(publisher=KEY.public_der).adopt()
    told.commit().fail("round-x")
    told.replace("next.example/ledger", publisher=NEXT.public_der)
    return told.commit().blocks


def test_what_is_published_is_the_block_and_what_was_signed_about_it(ledger, tmp_path):
    place = publish(tmp_path, signed=ledger[2], model=b"model 1", publisher=KEY)
    check_model_directory(place, model_hash=sha256(b"model 1"), publisher=KEY.public)
    assert (place / CARD).read_bytes() == card_of(ledger[2].block)
    found = json.loads((place / PROVENANCE).read_bytes())
    assert found["hash"] == ledger[2].block.hash
    assert found["block"]["model_hash"] == sha256(b"model 1")
    beside = [Envelope.from_value(value) for value in found["envelopes"]]
    assert beside == list(ledger[2].envelopes)
    assert (
        blocks.signatures_digest(e.digest for e in beside)
        == (found["block"]["signatures_digest"])
    )


def test_the_statements_in_it_are_in_toto_about_this_very_file(ledger):
    found = json.loads(provenance_of(ledger[2]))
    payloads = [
        json.loads(Envelope.from_value(value).payload) for value in found["envelopes"]
    ]
    told = [p for p in payloads if p.get("predicateType")]
    assert len(told) == 3
    for statement in told:
        assert statement["_type"] == "https://in-toto.io/Statement/v1"
        (subject,) = statement["subject"]
        assert subject == {
            "name": "model.safetensors",
            "digest": {"sha256": sha256(b"model 1")},
        }


@pytest.mark.parametrize(
    ("height", "model"), [(1, b"model 0"), (3, b"model 1"), (2, b"model 0"), (2, b"")]
)
def test_a_block_publishes_the_model_it_brings_and_no_other(
    ledger, tmp_path, height, model
):
    signed = ledger[height]
    with pytest.raises(MalformedMessage, match="does not bring"):
        publish(tmp_path, signed=signed, model=model, publisher=KEY)
    assert list(tmp_path.iterdir()) == []


def test_a_mirror_of_the_ledger_publishes_the_same(ledger, tmp_path):
    place = publish(tmp_path / "a", signed=ledger[2], model=b"model 1", publisher=KEY)
    given = {"model": b"model 1", "publisher": KEY.public, "seal": read_seal(place)}
    again = mirror(tmp_path / "b", signed=ledger[2], **given)
    assert {p.name: p.read_bytes() for p in again.iterdir()} == {
        p.name: p.read_bytes() for p in place.iterdir()
    }
    fewer = dataclasses.replace(ledger[2], envelopes=ledger[2].envelopes[1:])
    with pytest.raises(BadSignature):
        mirror(tmp_path / "c", signed=fewer, **given)
    with pytest.raises(MalformedMessage, match="does not bring"):
        mirror(tmp_path / "c", signed=ledger[3], **given)


def test_each_model_is_published_once_under_the_key_of_its_height(ledger, tmp_path):
    found = list(unpublished(tmp_path, ledger))
    assert [(s.block.height, key) for s, key in found] == [
        (0, KEY.public),
        (2, KEY.public),
        (5, NEXT.public),
    ]
    for signed, _ in found[:2]:
        model = MODELS[signed.block.model_hash]
        publish(tmp_path, signed=signed, model=model, publisher=KEY)
    (left,) = unpublished(tmp_path, ledger)
    assert left == found[2]
    assert list(unpublished(tmp_path, [])) == []


def test_the_key_of_a_height(ledger):
    told = [signed.block for signed in ledger]
    assert [publisher_at(told, height) for height in range(6)] == (
        [KEY.public] * 4 + [NEXT.public] * 2
    )
    with pytest.raises(NotFound):
        publisher_at([], 0)


def test_a_ledger_that_names_no_point_of_the_curve_publishes_nothing(tmp_path):
    no_point = PUBLISHER[:-1] + bytes([PUBLISHER[-1] ^ 1])
    found = Federation().begin(publisher=no_point).blocks
    with pytest.raises(MalformedMessage):
        list(unpublished(tmp_path, found))


# Cards


def test_a_card_says_what_the_block_says(ledger):
    card = card_of(ledger[5].block).decode()
    for word in (
        "# Model v2",
        sha256(b"model 2"),
        sha256(b"model 1"),
        ledger[5].block.hash,
        "alpha, bravo, charlie",
        "| public sample bucket of alpha | 128 |",
        "| privacy claimed by charlie | mechanism none |",
        "| convergence | 0.25 |",
        "| recorded | 2026-01-02T03:04:",
        "suricata\\-eve",
        "--how-to-verify",
    ):
        assert word in card, word
    first = card_of(ledger[0].block).decode()
    assert "| parent model | none |" in first
    assert "first model" in first


def test_a_version_cannot_put_markup_into_a_card(ledger):
    made = dataclasses.replace(
        ledger[2].block.provenance, model_version="v1 | [x](http://y) <b> `c`"
    )
    block = dataclasses.replace(ledger[2].block, provenance=made)
    title = card_of(block).decode().splitlines()[0]
    assert title == r"# Model v1 \| \[x\]\(http://y\) \<b\> \`c\`"


def test_provenance_is_the_line_of_a_bundle(ledger):
    signed = ledger[2]
    line = provenance_of(signed)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert signed.block.body() in line
    assert sha256(b"\x00", signed.block.body()) == json.loads(line)["hash"]
