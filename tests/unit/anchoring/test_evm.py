# SPDX-License-Identifier: Apache-2.0
"""What a node answers, however wrong, becomes an error of this house and no secret.

The chain itself is a real one in tests/process/test_anchors.py.
"""

import hashlib
import json
import subprocess
import sys

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.anchoring.chain_suite import ORIGIN, checkpoint
from tests.unit.anchoring.test_proofs import RECORD
from web3.exceptions import ContractLogicError
from web3.providers import BaseProvider

from fedxdr.anchoring import contract
from fedxdr.anchoring.chain import AnchoredHead
from fedxdr.anchoring.evm import AccountKey, EvmChain, Node, asking, deploy
from fedxdr.core.errors import (
    FedxdrError,
    InvalidSettings,
    MalformedMessage,
    Refused,
    Unavailable,
    VerificationFailed,
)

GWEI = 10**9
SECRET = hashlib.sha256(b"an account of these tests").digest()
KEY = AccountKey(SECRET)
ADDRESS = f"0x{'c0' * 20}"
WITH_SECRETS = "http://user:word@127.0.0.1:1/v3/0123456789abcdef"


class Canned(BaseProvider):
    """Answers each method with what was written for it."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers
        self.asked = []

    def make_request(self, method, params):
        self.asked.append((method, params))
        answer = self.answers.get(method, {"result": None})
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(params)
        return {"jsonrpc": "2.0", "id": 1, **answer}


def node_with(**answers):
    node = Node("http://127.0.0.1:1")
    node.web3.provider = Canned(answers)
    return node


def block(**fields):
    return {"result": {"number": "0x7", "timestamp": "0x65e1c0d0", **fields}}


def selling(**changed):
    """Return answers of a node that takes a transaction."""
    return {
        "eth_chainId": {"result": "0x539"},
        "eth_getBalance": {"result": "0x1"},
        "eth_getTransactionCount": {"result": "0x5"},
        "eth_estimateGas": {"result": "0x9c40"},
        "eth_getBlockByNumber": block(baseFeePerGas=hex(10 * GWEI)),
        "eth_maxPriorityFeePerGas": {"result": hex(GWEI)},
        "eth_sendRawTransaction": {"result": f"0x{'77' * 32}"},
        **changed,
    }


def fees_of(monkeypatch, *, attempt, limit=100 * GWEI, **changed):
    """Return the transaction that would be signed."""
    signed = []

    def sign(self, transaction):
        signed.append((self, dict(transaction)))
        return b"raw"

    monkeypatch.setattr(AccountKey, "sign", sign)
    chain = EvmChain(node_with(**selling(**changed)), ADDRESS, key=KEY,
                     max_fee_wei=limit)  # fmt: skip
    chain.send(checkpoint(3), attempt=attempt)
    return signed[-1][1]


def refusal(words, *, code=-32000):
    return {"error": {"code": code, "message": words}}


@pytest.mark.parametrize(
    "rpc",
    ["", "127.0.0.1:8545", "ws://127.0.0.1:8545", "file:///etc/passwd", "http://",
     "http://[::1", "http://host:99999", "http://host:0"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(rpc):
    with pytest.raises(InvalidSettings):
        Node(rpc)


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(32), b"\xff" * 32])
def test_a_key_that_is_none_is_refused_and_not_shown(secret):
    with pytest.raises(InvalidSettings) as refused:
        AccountKey(secret)
    cause = refused.value.__context__
    assert cause is None or refused.value.__suppress_context__


def test_a_key_shows_its_address_only():
    assert repr(KEY) == f"AccountKey({KEY.address})"
    assert SECRET.hex() not in repr(KEY)
    assert KEY.address == KEY.address.lower()


def test_no_message_holds_the_address_of_the_node():
    with Node(WITH_SECRETS, timeout_s=5) as node:
        for ask in (
            node.chain_id,
            lambda: node.facts(RECORD),
            lambda: EvmChain(node, ADDRESS).head(ORIGIN),
        ):
            with pytest.raises(Unavailable) as refused:
                ask()
            assert "ConnectionError" in str(refused.value)
            for secret in ("0123456789abcdef", "word", "127.0.0.1"):
                assert secret not in str(refused.value)
            # nor what a log would print of its cause
            assert refused.value.__cause__ is None
            assert refused.value.__suppress_context__


def test_the_environment_has_no_say(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with Node("http://127.0.0.1:1") as node:
        assert node.web3.provider._request_session_manager is not None
        assert node._session.trust_env is False
        assert node.web3.provider.global_ccip_read_enabled is False


def test_a_transaction_offers_twice_the_base_fee_and_the_tip(monkeypatch):
    made = fees_of(monkeypatch, attempt=0)
    assert made["maxFeePerGas"] == 21 * GWEI
    assert made["maxPriorityFeePerGas"] == GWEI
    assert (made["nonce"], made["chainId"], made["value"]) == (5, 1337, 0)
    assert made["gas"] == 50_000, "a quarter more than estimated"
    assert made["data"].startswith("0x70c127c6")


def test_each_further_attempt_offers_a_quarter_more(monkeypatch):
    made = fees_of(monkeypatch, attempt=2)
    assert made["maxFeePerGas"] == 21 * GWEI * 25 // 16
    assert made["maxPriorityFeePerGas"] == GWEI * 25 // 16


def test_nothing_above_the_limit_is_offered(monkeypatch):
    made = fees_of(monkeypatch, attempt=60, limit=30 * GWEI)
    assert made["maxFeePerGas"] == 30 * GWEI
    assert made["maxPriorityFeePerGas"] <= 30 * GWEI
    with pytest.raises(Unavailable, match="the limit is 9000000000"):
        fees_of(monkeypatch, attempt=0, limit=9 * GWEI)


def test_a_chain_without_base_fee_and_a_node_without_advice(monkeypatch):
    old = {"eth_getBlockByNumber": block(), "eth_gasPrice": {"result": hex(4 * GWEI)}}
    assert fees_of(monkeypatch, attempt=1, **old)["gasPrice"] == 5 * GWEI
    assert fees_of(monkeypatch, attempt=9, limit=6 * GWEI, **old)["gasPrice"] == (
        6 * GWEI
    )
    with pytest.raises(Unavailable, match="the limit is 3000000000"):
        fees_of(monkeypatch, attempt=0, limit=3 * GWEI, **old)
    silent = {"eth_maxPriorityFeePerGas": refusal("no such method", code=-32601)}
    assert fees_of(monkeypatch, attempt=0, **silent)["maxPriorityFeePerGas"] == GWEI


def test_what_pays_too_little_is_offered_for_more(monkeypatch):
    answers = iter(
        [refusal("replacement transaction underpriced")] * 2
        + [{"result": f"0x{'77' * 32}"}]
    )
    made = fees_of(
        monkeypatch, attempt=1, eth_sendRawTransaction=lambda _: next(answers)
    )
    assert made["maxFeePerGas"] == 21 * GWEI * 5**3 // 4**3
    with pytest.raises(Unavailable, match="pays more"):
        fees_of(
            monkeypatch, attempt=0,
            eth_sendRawTransaction=refusal("replacement transaction underpriced"),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (refusal("nonce too low"), Unavailable, "nonce too low"),
        (refusal("insufficient funds for gas * price"), Refused, "cannot pay"),
        ({"error": {"code": 3, "message": "x" * 999}}, Unavailable, "x" * 200),
        ({"error": {"code": 3, "message": "a\x1b[31m\nb"}}, Unavailable, "a .31m b"),
    ],
)
def test_a_node_that_does_not_take_it_is_quoted(monkeypatch, answer, kind, words):
    with pytest.raises(kind, match=words) as refused:
        fees_of(monkeypatch, attempt=0, eth_sendRawTransaction=answer)
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


def test_an_account_without_coin_is_named(monkeypatch):
    with pytest.raises(Refused, match=f"account {KEY.address} cannot pay"):
        fees_of(monkeypatch, attempt=0, eth_getBalance={"result": "0x0"})


def test_without_a_key_nothing_is_sent():
    node = node_with(**selling())
    with pytest.raises(Refused, match="needs the key"):
        EvmChain(node, ADDRESS).send(checkpoint(3), attempt=0)
    assert node.web3.provider.asked == []


@pytest.mark.parametrize("address", ["", "0x", ADDRESS[:-1], ADDRESS.upper()])
def test_a_contract_address_that_is_none_is_refused(address):
    with pytest.raises(MalformedMessage):
        EvmChain(node_with(), address)


def test_other_code_at_the_address_is_refused_before_it_is_asked():
    node = node_with(eth_blockNumber={"result": "0x7"},
                     eth_getCode={"result": "0x6001"})  # fmt: skip
    with pytest.raises(VerificationFailed, match="step 3 contract"):
        EvmChain(node, ADDRESS).head(ORIGIN)
    assert [method for method, _ in node.web3.provider.asked] == [
        "eth_blockNumber", "eth_getCode",
    ]  # fmt: skip


def test_a_contract_that_is_not_ours_is_not_taken_for_deployed():
    code = contract.runtime_code() + bytes(31) + b"\x01"
    node = node_with(
        **selling(),
        eth_getTransactionReceipt={
            "result": {"contractAddress": ADDRESS, "status": "0x1"}
        },
        eth_getCode={"result": f"0x{code.hex()}"},
    )
    with pytest.raises(VerificationFailed, match="the contract belongs to"):
        deploy(node, KEY)
    node.web3.provider.answers["eth_getTransactionReceipt"] = {
        "result": {"contractAddress": ADDRESS, "status": "0x0"}
    }
    with pytest.raises(Refused, match="did not take the contract"):
        deploy(node, KEY)


def test_a_reason_of_the_contract_is_told():
    with pytest.raises(Refused, match="the contract says no: the size"), asking():
        raise ContractLogicError("the size must grow")


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("http://secret.example"),
        requests.Timeout("http://secret.example"),
        ConnectionResetError(104, "http://secret.example"),
        json.JSONDecodeError("http://secret.example", "", 0),
        KeyError("http://secret.example"),
        OverflowError("http://secret.example"),
    ],
)
def test_what_a_library_raises_is_told_by_its_name_only(error):
    with pytest.raises(Unavailable, match=type(error).__name__) as refused, asking():
        raise error
    assert "secret" not in str(refused.value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**70) | st.text(max_size=9)
    | st.integers(0, 2**270).map(hex)
    | st.binary(max_size=70).map(lambda data: f"0x{data.hex()}"),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["hash", "number", "timestamp", "logs", "status", "data",
                         "blockHash", "blockNumber", "topics", "baseFeePerGas",
                         "transactionHash", "contractAddress", "address"]),
        inner, max_size=6,
    ),
    max_leaves=8,
)  # fmt: skip
METHODS = sorted(
    [*selling(), "eth_blockNumber", "eth_getCode", "eth_call", "eth_gasPrice",
     "eth_getLogs", "eth_getTransactionReceipt", "eth_getBlockByHash"]
)  # fmt: skip


@given(
    answers=st.dictionaries(
        st.sampled_from(METHODS),
        st.one_of(
            ANYTHING.map(lambda value: {"result": value}),
            ANYTHING.map(lambda value: {"error": value}),
            st.just({}),
        ),
        max_size=4,
    )
)
@example(answers={"eth_chainId": {"result": -1}})
@example(answers={"eth_getTransactionCount": {"result": -1}})
@example(answers={"eth_estimateGas": {"result": -1}})
@example(answers={"eth_maxPriorityFeePerGas": {"result": -(2**70)}})
def test_whatever_a_node_answers_only_errors_of_this_house_come_out(answers):
    true_code = f"0x{(contract.runtime_code() + bytes(32)).hex()}"
    known = {
        "eth_blockNumber": {"result": "0x9"},
        "eth_getCode": {"result": true_code},
        "eth_call": {"result": f"0x{'00' * 31}05{'11' * 32}{'00' * 31}07"},
        "eth_getBlockByHash": block(hash=f"0x{'22' * 32}"),
    }
    node = node_with(**{**selling(**known), **answers})
    chain = EvmChain(node, ADDRESS, key=KEY)
    head = AnchoredHead(size=5, root=b"\x11" * 32, block_number=7, depth=1)
    for ask in (
        node.chain_id,
        lambda: node.facts(RECORD),
        lambda: chain.head(ORIGIN),
        lambda: chain.record(ORIGIN, head),
        lambda: chain.send(checkpoint(6), attempt=0),
    ):
        try:
            ask()
        except FedxdrError as error:
            assert str(error)  # noqa: PT017 - only the kind of what is raised counts


def test_the_recursion_limit_of_the_process_stays():
    # one of web3's libraries raises it to 100,000: nested JSON would end the process
    program = (
        "import sys; before = sys.getrecursionlimit(); import fedxdr.anchoring.evm; "
        "import web3, eth_account; print(before, sys.getrecursionlimit())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    before, after = done.stdout.split()
    assert before == after
