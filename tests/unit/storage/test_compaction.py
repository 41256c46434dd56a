# SPDX-License-Identifier: Apache-2.0
"""What is removed is needed by nobody; what replay of recent rounds needs stays."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.storage.chains import BEGIN, chain, failed

from fedxdr.core.canonical import jcs
from fedxdr.core.errors import InvalidSettings, NotFound
from fedxdr.core.ids import OrgId, RoundId, sha256
from fedxdr.crypto.envelope import Envelope, EnvelopeSignature
from fedxdr.ledger import block as blocks
from fedxdr.ledger.block import Provenance
from fedxdr.ledger.entries import RoundCommitted
from fedxdr.parties.ports import StoredFact
from fedxdr.storage import compaction
from fedxdr.storage.blobs import FileBlobs
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.registry import SqlNotes
from fedxdr.storage.rounds import SqlFactLog

A = OrgId("org-a")
ROUNDS = 4


def envelope(value):
    return Envelope(
        payload_type="t",
        payload=jcs(value),
        signatures=(EnvelopeSignature(keyid="k", sig=b"s"),),
    )


class World:
    """Some rounds with the files that they leave behind."""

    def __init__(self, database, folder):
        self.database = database
        self.blobs = FileBlobs(folder)
        self.facts = SqlFactLog(database)
        self.store = SqlBlockStore(database)
        (first,) = chain(1)
        self.store.append(first)
        self.blobs.put(b"model")
        for number in range(1, ROUNDS + 1):
            self.run(number)

    def put(self, what, number):
        return self.blobs.put(f"{what} {number}".encode())

    def run(self, number):
        """Hold a round: contributions named in signed messages, a model in a block."""
        round_id = RoundId(f"round-{number}")
        self.facts.begin(round_id, b"{}")
        contribution, late = (self.put(w, number) for w in ("contribution", "late"))
        for org, digest in (("a", contribution), ("b", late)):
            said = envelope({"contribution_digest": digest}).to_json()
            fact = StoredFact(
                name="Received", body=b"{}", slot=f"contribution/{org}", message=said
            )
            self.facts.append(round_id, fact)
        sum_, proof = self.put("sum", number), self.put("proof", number)
        model = self.put("model of round", number)
        body = jcs({"model_hash": model, "proof": proof, "sum_digest": sum_})
        self.facts.append(round_id, StoredFact(name="SumOpened", body=body))
        previous = self.store.head().block
        entry = RoundCommitted(
            round_id=round_id,
            task="training",
            plan_digest=sha256(b"plan"),
            collection_mode="secagg",
            cohort=(A,),
            survivors=(A,),
            contributions={A: contribution},
            contributions_root=sha256(b"root"),
            sum_digest=sum_,
        )
        block = blocks.next_block(
            previous,
            entry=entry,
            timestamp=BEGIN + timedelta(seconds=number),
            model_hash=model,
            provenance=Provenance(
                model_version=f"v{number}", parent_model=previous.model_hash
            ),
        )
        self.store.append(block)

    def survey(self, **options):
        return compaction.survey(self.database, self.blobs, **options)

    def left(self, found):
        return {self.blobs.get(name).decode() for name in found.unneeded}


@pytest.fixture
def world(database, tmp_path):
    return World(database, tmp_path / "blobs")


def leftovers(*numbers):
    kinds = ("contribution", "late", "sum", "proof")
    return {f"{kind} {number}" for kind in kinds for number in numbers}


def test_what_only_rounds_outside_the_window_name_can_go(world):
    for window in range(ROUNDS + 2):
        found = world.survey(window_rounds=window)
        assert world.left(found) == leftovers(*range(1, ROUNDS + 1 - window))
        assert found.rounds == min(window, ROUNDS)
        assert found.kept == 5 * ROUNDS + 1 - len(found.unneeded)
    assert world.survey().unneeded == {}


def test_a_survey_changes_nothing(world):
    before = world.blobs.all()
    world.survey(window_rounds=0)
    assert world.blobs.all() == before


def test_models_stay_for_good(world):
    compaction.compact(world.database, world.blobs, world.survey(window_rounds=0))
    assert {world.blobs.get(name).decode() for name in world.blobs.all()} == {
        "model",
        *(f"model of round {number}" for number in range(1, ROUNDS + 1)),
    }
    assert world.store.size() == ROUNDS + 1
    assert len(world.facts.facts(RoundId("round-1"))) == 3
    with pytest.raises(NotFound):
        world.blobs.get(sha256(b"sum 1"))


def test_what_goes_is_counted(world):
    found = world.survey(window_rounds=3)
    assert sum(found.unneeded.values()) == sum(map(len, leftovers(1)))
    sizes = world.blobs.all()
    assert found.kept_bytes == sum(sizes.values()) - sum(found.unneeded.values())


def test_a_round_that_has_not_ended_is_inside(world):
    round_id = RoundId("round-9")
    world.facts.begin(round_id, b"{}")
    digest = world.put("contribution", 9)
    message = envelope({"contribution_digest": digest}).to_json()
    world.facts.append(
        round_id, StoredFact(name="Received", body=b"{}", slot="c", message=message)
    )
    found = world.survey(window_rounds=0)
    assert "contribution 9" not in world.left(found)
    assert found.rounds == 1
    world.store.append(failed(world.store.head().block, name="round-9"))
    assert "contribution 9" in world.left(world.survey(window_rounds=0))
    assert "contribution 9" not in world.left(world.survey(window_rounds=1))


def test_what_nothing_names_can_go_and_what_any_other_row_names_stays(world):
    orphan, noted = world.put("orphan", 0), world.put("noted", 0)
    SqlNotes(world.database).put("evidence", noted.encode())
    assert world.survey().unneeded == {orphan: len("orphan 0")}


def test_a_window_is_no_negative_number(world):
    with pytest.raises(InvalidSettings):
        world.survey(window_rounds=-1)


@given(
    digests=st.lists(st.binary(max_size=8).map(sha256), max_size=3),
    layers=st.integers(0, 3),
    is_url_safe=st.booleans(),
)
def test_names_are_found_inside_of_signed_messages(digests, layers, is_url_safe):
    data = jcs({"names": digests, "other": "z" * 70})
    for _ in range(layers):
        encode = base64.urlsafe_b64encode if is_url_safe else base64.b64encode
        data = b'{"payload":"' + encode(data) + b'","x":[]}'
    assert compaction.names_in(data) == set(digests)


def test_longer_numbers_are_no_names():
    name = sha256(b"x").encode()
    for data in (b"0" + name, name + b"0", name[:-1], name.upper()):
        assert sha256(b"x") not in compaction.names_in(data)
