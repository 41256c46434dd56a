# SPDX-License-Identifier: Apache-2.0
"""What was compiled is what stands beside it, and nothing else can be called.

That the compiler makes these bytes of this source: tests/process/test_anchors.py.
"""

import hashlib

import pytest
from eth_utils import keccak

from fedxdr.anchoring import contract
from fedxdr.core.errors import VerificationFailed

OWNER = bytes(12) + bytes(range(20))


def test_the_compiled_code_names_the_source_beside_it():
    # vyper ends what it compiles with SHA-256 over the sources' digests, in hexadecimal
    digest = hashlib.sha256(contract.source()).hexdigest()
    integrity = hashlib.sha256(digest.encode()).digest()
    assert integrity in contract.deployment_code()[-80:]


def test_deployment_code_carries_the_runtime_code():
    assert contract.runtime_code() in contract.deployment_code()


def test_the_event_topic_is_the_hash_of_its_signature():
    assert keccak(text="Anchored(bytes32,uint64,bytes32)") == contract.EVENT_TOPIC
    (event,) = [e for e in contract.abi() if e["type"] == "event"]
    assert [f["indexed"] for f in event["inputs"]] == [True, True, False]


def test_anchor_is_the_only_way_to_change_anything():
    functions = {
        e["name"]: e["stateMutability"]
        for e in contract.abi()
        if e["type"] == "function"
    }
    assert functions == {"anchor": "nonpayable", "head": "view", "owner": "view"}
    assert all(e.get("stateMutability") != "payable" for e in contract.abi())


def test_topics_are_words():
    topics = contract.event_topics(origin="example.com/log", size=258)
    assert [len(t) for t in topics] == [32, 32, 32]
    assert topics[1] == hashlib.sha256(b"example.com/log").digest()
    assert topics[2] == bytes(30) + b"\x01\x02"


def test_the_owner_stands_at_the_end_of_the_code():
    code = contract.runtime_code() + OWNER
    assert contract.owner_in(code) == f"0x{bytes(range(20)).hex()}"


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"",
        lambda code: code[:-1],
        lambda code: code + b"\x00",
        lambda code: code[:-32],
        lambda code: bytes([code[0] ^ 1]) + code[1:],
        lambda code: code[:100] + bytes([code[100] ^ 1]) + code[101:],
        lambda code: code[:-32] + b"\x01" + code[-31:],
    ],
)
def test_any_other_code_is_refused(change):
    code = contract.runtime_code() + OWNER
    with pytest.raises(VerificationFailed, match="step 3 contract"):
        contract.owner_in(change(code))
