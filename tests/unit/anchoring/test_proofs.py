# SPDX-License-Identifier: Apache-2.0
"""A record has one form; each step of its verification refuses its own lie."""

import dataclasses
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.anchoring.chain_suite import ORIGIN, checkpoint

from fedxdr.anchoring import contract, proofs
from fedxdr.anchoring.proofs import AnchorRecord, ChainFacts, Log, Receipt
from fedxdr.core.errors import FedxdrError, MalformedMessage, VerificationFailed

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CONTRACT, OTHER = f"0x{'c0' * 20}", f"0x{'0c' * 20}"
OWNER = f"0x{'ab' * 20}"
RECORD = AnchorRecord(
    chain_id=1337,
    contract=CONTRACT,
    transaction=f"0x{'11' * 32}",
    block_number=40,
    block_hash=f"0x{'22' * 32}",
    block_timestamp=NOON,
    origin=ORIGIN,
    size=42,
    root=checkpoint(42).root,
)
EVENT = Log(
    contract=CONTRACT,
    topics=contract.event_topics(origin=ORIGIN, size=42),
    data=RECORD.root,
)
RECEIPT = Receipt(
    block_number=40, block_hash=RECORD.block_hash, is_success=True, logs=(EVENT,)
)
FACTS = ChainFacts(
    chain_id=1337,
    code=contract.runtime_code() + bytes(12) + bytes.fromhex(OWNER[2:]),
    receipt=RECEIPT,
    block_hash=RECORD.block_hash,
    block_timestamp=NOON,
    newest_block=45,
)


def with_event(**changed):
    event = dataclasses.replace(EVENT, **changed)
    return {"receipt": dataclasses.replace(RECEIPT, logs=(event,))}


def with_receipt(**changed):
    return {"receipt": dataclasses.replace(RECEIPT, **changed)}


def test_a_record_is_read_as_it_was_written():
    data = proofs.encode(RECORD)
    assert proofs.parse(data) == RECORD
    assert proofs.parse(data + b"\n") == RECORD
    assert b'"type":"fedxdr/anchor/v1"' in data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"null",
        b"\xff",
        proofs.encode(RECORD) + b"\n\n",
        b" " + proofs.encode(RECORD),
        proofs.encode(RECORD).replace(b"anchor/v1", b"anchor/v2"),
        proofs.encode(RECORD).replace(b'"size":42', b'"size":42,"size":42'),
        proofs.encode(RECORD).replace(b'"size":42', b'"size":42.0'),
        proofs.encode(RECORD).replace(b"12:00:00Z", b"12:00:00+00:00"),
        proofs.encode(RECORD)[:-1] + b',"z":1}',
    ],
)
def test_any_other_form_is_refused(data):
    with pytest.raises(MalformedMessage):
        proofs.parse(data)


@pytest.mark.parametrize(
    "changed",
    [
        {"chain_id": 0},
        {"chain_id": 2**53},
        {"contract": CONTRACT.upper()},
        {"contract": CONTRACT[:-1]},
        {"contract": CONTRACT + "\n"},
        {"transaction": "11" * 32},
        {"block_hash": f"0x{'2G' * 32}"},
        {"block_number": -1},
        {"block_timestamp": NOON.replace(tzinfo=None)},
        {"block_timestamp": NOON.astimezone(timezone(timedelta(hours=1)))},
        {"block_timestamp": NOON + timedelta(microseconds=1)},
        {"origin": ""},
        {"origin": "two\nlines"},
        {"size": 0},
        {"size": 2**53},
        {"root": bytes(31)},
    ],
)
def test_a_wrong_record_cannot_be_built(changed):
    with pytest.raises(MalformedMessage):
        dataclasses.replace(RECORD, **changed)


def test_a_true_record_is_verified_and_names_the_owner():
    proofs.verify_against_checkpoint(RECORD, checkpoint(42))
    assert proofs.verify_on_chain(RECORD, FACTS) == OWNER
    proofs.verify_on_chain(RECORD, FACTS, contract=CONTRACT, least_depth=6)


def test_other_events_of_the_same_transaction_do_not_matter():
    logs = (dataclasses.replace(EVENT, contract=OTHER), EVENT)
    facts = dataclasses.replace(FACTS, receipt=dataclasses.replace(RECEIPT, logs=logs))
    proofs.verify_on_chain(RECORD, facts)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (checkpoint(41), "is of size 42"),
        (checkpoint(42, branch="other"), "two roots of size 42"),
        (checkpoint(42, origin="elsewhere.example/log"), "elsewhere.example/log"),
    ],
)
def test_a_record_of_another_checkpoint_is_refused(other, words):
    with pytest.raises(VerificationFailed, match=words) as refused:
        proofs.verify_against_checkpoint(RECORD, other)
    assert refused.value.step == "1 checkpoint"


@pytest.mark.parametrize(
    ("step", "changed"),
    [
        ("2 chain", {"chain_id": 1}),
        ("3 contract", {"code": b""}),
        ("3 contract", {"code": FACTS.code[:-1]}),
        ("4 transaction", {"receipt": None}),
        ("4 transaction", with_receipt(is_success=False)),
        ("4 transaction", with_receipt(block_number=41)),
        ("4 transaction", with_receipt(block_hash=f"0x{'23' * 32}")),
        ("5 event", with_receipt(logs=())),
        ("5 event", with_event(contract=OTHER)),
        ("5 event", with_event(data=bytes(32))),
        ("5 event", with_event(data=RECORD.root + bytes(32))),
        ("5 event", with_event(topics=EVENT.topics[:2])),
        ("5 event", with_event(topics=(bytes(32), *EVENT.topics[1:]))),
        (
            "5 event",
            with_event(topics=contract.event_topics(origin=ORIGIN, size=43)),
        ),
        (
            "5 event",
            with_event(topics=contract.event_topics(origin="other", size=42)),
        ),
        ("6 block", {"block_hash": None, "block_timestamp": None}),
        ("6 block", {"block_hash": f"0x{'23' * 32}"}),
        ("6 block", {"block_timestamp": NOON - timedelta(seconds=1)}),
        ("7 depth", {"newest_block": 39}),
    ],
)
def test_what_the_chain_does_not_hold_is_refused(step, changed):
    with pytest.raises(VerificationFailed) as refused:
        proofs.verify_on_chain(RECORD, dataclasses.replace(FACTS, **changed))
    assert refused.value.step == step


def test_another_contract_than_the_known_one_is_refused():
    with pytest.raises(VerificationFailed, match="step 3 contract"):
        proofs.verify_on_chain(RECORD, FACTS, contract=OTHER)


def test_an_anchor_that_is_not_deep_enough_is_refused():
    with pytest.raises(VerificationFailed, match="6 blocks deep, 7 are asked for"):
        proofs.verify_on_chain(RECORD, FACTS, least_depth=7)


@given(place=st.integers(0, len(proofs.encode(RECORD)) - 1), flip=st.integers(1, 255))
def test_any_changed_byte_of_a_record_is_refused(place, flip):
    data = bytearray(proofs.encode(RECORD))
    data[place] ^= flip
    with pytest.raises(FedxdrError):
        accept(bytes(data))


def accept(data):
    """Verify a record against what a node that holds the true anchor would say."""
    record = proofs.parse(data)
    proofs.verify_against_checkpoint(record, checkpoint(42))
    is_known = record.transaction == RECORD.transaction
    facts = dataclasses.replace(
        FACTS,
        code=FACTS.code if record.contract == CONTRACT else b"",
        receipt=RECEIPT if is_known else None,
        block_hash=FACTS.block_hash if record.block_number == 40 else None,
    )
    proofs.verify_on_chain(record, facts)


def test_the_unchanged_record_is_accepted():
    accept(proofs.encode(RECORD))
