# SPDX-License-Identifier: Apache-2.0
"""A node of an Ethereum-compatible chain over JSON-RPC, and the contract on it.

It does NOT wait for a transaction (but for ``deploy``) or decide which to send
(anchorer.py), and it does not check what a node says: a node lies if it likes.

Rules that always hold: an account's next transaction takes its first unused number;
nothing above the fee limit is ever offered; code at the contract's address is compared
with the published one before it is believed; no message holds the node's address, which
often carries a secret; what a node makes a library raise leaves this file as an error
of this house.

Source: Ethereum execution JSON-RPC API; EIP-155, EIP-1559.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

import requests
from eth_account import Account
from eth_typing import ChecksumAddress, HexStr
from typing_extensions import override
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.exceptions import (
    BlockNotFound,
    ContractLogicError,
    TransactionNotFound,
    Web3Exception,
    Web3RPCError,
)
from web3.middleware import ExtraDataToPOAMiddleware
from web3.types import RPCEndpoint, TxParams, TxReceipt, Wei

from fedxdr.anchoring import RECURSION_LIMIT
from fedxdr.anchoring import contract as contracts
from fedxdr.anchoring.chain import AnchoredHead, Chain
from fedxdr.anchoring.proofs import (
    AnchorRecord,
    ChainFacts,
    Log,
    Receipt,
    require_address,
)
from fedxdr.core.errors import (
    FedxdrError,
    InvalidSettings,
    Refused,
    Unavailable,
    VerificationFailed,
)
from fedxdr.ledger.checkpoint import Checkpoint

# One of web3's own libraries (py_ecc) raises the limit of the whole process to 100,000
# when it is imported. Every reader of messages here relies on it: with so high a limit
# JSON nested deeply enough ends the process instead of being refused.
sys.setrecursionlimit(RECURSION_LIMIT)

TIMEOUT_S = 10.0
MAX_FEE_WEI = 100 * 10**9
"""Default limit: 100 gwei for each unit of gas; an anchor takes about 37,000 units."""

_RAISE = (5, 4)
_MAX_RAISES = 16
_RAISES_AT_ONCE = 4
_KNOWN_ALREADY = ("already known", "already imported", "known transaction")
_GAS_MARGIN = (5, 4)
_TIP_WEI = 10**9
_SAID_CHARACTERS = 200
_KEY_BYTES = 32


class AccountKey:
    """The secret key of the account that anchors; shows nothing of it.

    Args:
        secret: 32 bytes, a number in [1, n) of secp256k1.

    Raises:
        InvalidSettings: not such a number.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) != _KEY_BYTES:
            raise InvalidSettings("an account's key has 32 bytes")
        try:
            self._account = Account.from_key(secret)
        except (ValueError, TypeError):
            # the library's message would show the key
            raise InvalidSettings("no account has this key") from None

    @property
    def address(self) -> str:
        """The account's address, ``0x`` and 40 lower-case hexadecimal digits."""
        return str(self._account.address).lower()

    def sign(self, transaction: Mapping[str, Any]) -> bytes:
        """Return a transaction with its signature, as it is handed in."""
        return bytes(self._account.sign_transaction(transaction).raw_transaction)

    @override
    def __repr__(self) -> str:
        return f"AccountKey({self.address})"


class Node:
    """A node that answers JSON-RPC over HTTP; a context manager.

    Args:
        rpc: its address, ``http(s)://…``; treated as a secret.
        timeout_s: for connecting, and for each wait for bytes.

    Raises:
        InvalidSettings: the address is none.
    """

    def __init__(self, rpc: str, *, timeout_s: float = TIMEOUT_S) -> None:
        try:
            url = urlsplit(rpc)
            known = url.scheme in {"http", "https"} and bool(url.hostname)
            known = known and url.port != 0
        except ValueError:
            known = False
        if not known:
            raise InvalidSettings("--rpc takes a node's address: http://host:port")
        self._session = requests.Session()
        self._session.trust_env = False
        provider = HTTPProvider(
            rpc,
            request_kwargs={"timeout": timeout_s, "allow_redirects": False},
            session=self._session,
            exception_retry_configuration=None,
        )
        # a contract must not make this process ask other servers (EIP-3668)
        provider.global_ccip_read_enabled = False
        self.web3 = Web3(provider)
        # blocks of proof-of-authority chains have longer extra data
        self.web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def __enter__(self) -> Self:
        """Return the node."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self.close()

    def chain_id(self) -> int:
        """Return the EIP-155 number of the node's chain.

        Raises:
            Unavailable: the node does not answer, or not as one.
        """
        with asking():
            return int(self.web3.eth.chain_id)

    def facts(self, record: AnchorRecord) -> ChainFacts:
        """Return what this node says about a record.

        Raises:
            Unavailable: the node does not answer, or not as one.
        """
        eth = self.web3.eth
        with asking():
            chain_id, newest = eth.chain_id, eth.block_number
            code = bytes(eth.get_code(_checksummed(record.contract)))
            try:
                receipt = _receipt(
                    eth.get_transaction_receipt(HexStr(record.transaction))
                )
            except TransactionNotFound:
                receipt = None
            block_hash, timestamp = None, None
            try:
                block = eth.get_block(record.block_number)
            except BlockNotFound:
                pass
            else:
                block_hash, timestamp = _hex(block["hash"]), _instant(block)
        return ChainFacts(
            chain_id=chain_id,
            code=code,
            receipt=receipt,
            block_hash=block_hash,
            block_timestamp=timestamp,
            newest_block=newest,
        )

    def submit(
        self, transaction: TxParams, key: AccountKey, *, attempt: int, max_fee_wei: int
    ) -> str:
        """Hand in a transaction of an account; return its hash.

        Args:
            transaction: its ``data``, and ``to`` if it calls a contract.
            key: of the account.
            attempt: 0 for the first; each further one raises the fee by a quarter. So
                does each answer that a transaction under way pays more.
            max_fee_wei: most for a unit of gas.

        Raises:
            Refused: the chain would not carry it out, or the account cannot pay.
            Unavailable: no answer, not now, or the fee is above the limit.
        """
        eth = self.web3.eth
        with asking():
            sender = _checksummed(key.address)
            if not eth.get_balance(sender):
                raise Refused(
                    f"account {key.address} cannot pay: it holds nothing on this chain"
                )
            made: TxParams = {
                **transaction,
                "from": sender,
                "value": Wei(0),
                "chainId": eth.chain_id,
                "nonce": eth.get_transaction_count(sender, "latest"),
            }
            margin, unit = _GAS_MARGIN
            made["gas"] = eth.estimate_gas(made) * margin // unit
            for raises in range(attempt, attempt + _RAISES_AT_ONCE):
                made |= self._fees(attempt=raises, max_fee_wei=max_fee_wei)
                _require_natural(made)
                raw = key.sign(cast("Mapping[str, Any]", made))
                try:
                    return _hex(eth.send_raw_transaction(raw))
                except Web3RPCError as error:
                    said = _said(error).lower()
                    if any(words in said for words in _KNOWN_ALREADY):
                        return _hex(Web3.keccak(raw))
                    if "underpriced" not in said:
                        raise
        raise Unavailable("a transaction under way pays more than the limit allows")

    def _fees(self, *, attempt: int, max_fee_wei: int) -> TxParams:
        """Return the fields of the fee.

        Twice the base fee, so that six full blocks in a row do not outbid it, and the
        tip that the node advises (EIP-1559); the node's price on chains without.
        """
        eth = self.web3.eth
        raised, unit = (n ** min(attempt, _MAX_RAISES) for n in _RAISE)
        base = eth.get_block("latest").get("baseFeePerGas")
        if base is None:
            price = eth.gas_price
            _require_affordable(price, max_fee_wei)
            return {"gasPrice": Wei(min(price * raised // unit, max_fee_wei))}
        _require_affordable(base, max_fee_wei)
        tip = self._advised_tip()
        most = min((2 * base + tip) * raised // unit, max_fee_wei)
        return {
            "maxFeePerGas": Wei(most),
            "maxPriorityFeePerGas": Wei(min(tip * raised // unit, most)),
        }

    def _advised_tip(self) -> int:
        """Return the node's advice in wei; web3's own way would guess and warn."""
        method = RPCEndpoint("eth_maxPriorityFeePerGas")
        try:
            advice: Any = self.web3.manager.request_blocking(method, [])
        except Web3RPCError:
            return _TIP_WEI
        return int(advice, 16) if isinstance(advice, str) else int(advice)


class EvmChain(Chain):
    """The published contract on one chain; implements port ``Chain``.

    Args:
        node: whom to ask.
        contract: its address, ``0x`` and 40 lower-case hexadecimal digits.
        key: of its owner; None to read only.
        max_fee_wei: most for a unit of gas.

    Raises:
        MalformedMessage: the address is none.
    """

    def __init__(
        self,
        node: Node,
        contract: str,
        *,
        key: AccountKey | None = None,
        max_fee_wei: int = MAX_FEE_WEI,
    ) -> None:
        self.contract = require_address(contract)
        self._node = node
        self._key = key
        self._max_fee_wei = max_fee_wei
        self._functions: Contract = node.web3.eth.contract(
            address=_checksummed(contract), abi=contracts.abi()
        )

    @override
    def head(self, origin: str) -> AnchoredHead | None:
        eth = self._node.web3.eth
        with asking():
            newest = eth.block_number
            contracts.owner_in(bytes(eth.get_code(self._functions.address)))
            call = self._functions.functions.head(contracts.origin_topic(origin))
            size, root, block_number = call.call()
            if size == 0:
                return None
            return AnchoredHead(
                size=int(size),
                root=bytes(root),
                block_number=int(block_number),
                # a block may have come between the two answers
                depth=max(1, newest - int(block_number) + 1),
            )

    @override
    def send(self, checkpoint: Checkpoint, *, attempt: int) -> str:
        if self._key is None:
            raise Refused("anchoring needs the key of the contract's owner")
        call = (
            contracts.origin_topic(checkpoint.origin),
            checkpoint.size,
            checkpoint.root,
        )
        transaction: TxParams = {
            "to": self._functions.address,
            "data": self._functions.encode_abi("anchor", call),
        }
        return self._node.submit(
            transaction, self._key, attempt=attempt, max_fee_wei=self._max_fee_wei
        )

    @override
    def record(self, origin: str, head: AnchoredHead) -> AnchorRecord:
        eth = self._node.web3.eth
        with asking():
            # web3 types a topic as text; bytes would do but for that
            topics = [
                HexStr(f"0x{topic.hex()}")
                for topic in contracts.event_topics(origin=origin, size=head.size)
            ]
            found = [
                log
                for log in eth.get_logs(
                    {
                        "fromBlock": head.block_number,
                        "toBlock": head.block_number,
                        "address": self._functions.address,
                        "topics": topics,
                    }
                )
                if bytes(log["data"]) == head.root
            ]
            if not found:
                raise Unavailable(
                    f"block {head.block_number} does not hold the anchor of size "
                    f"{head.size} any more"
                )
            block = eth.get_block(found[0]["blockHash"])
            return AnchorRecord(
                chain_id=eth.chain_id,
                contract=self.contract,
                transaction=_hex(found[0]["transactionHash"]),
                block_number=int(block["number"]),
                block_hash=_hex(block["hash"]),
                block_timestamp=_instant(block),
                origin=origin,
                size=head.size,
                root=head.root,
            )


def deploy(
    node: Node,
    key: AccountKey,
    *,
    max_fee_wei: int = MAX_FEE_WEI,
    timeout_s: float = 120.0,
) -> str:
    """Put the contract on a chain, wait for it, and return its address.

    Args:
        node: of the chain.
        key: of the account that pays and owns the contract for ever.
        max_fee_wei: most for a unit of gas.
        timeout_s: how long to wait for the block.

    Raises:
        Refused: the account cannot pay.
        Unavailable: no answer, or no block in time.
        VerificationFailed: what stands there is not what was sent.
    """
    sent = node.submit(
        {"data": contracts.deployment_code()},
        key,
        attempt=0,
        max_fee_wei=max_fee_wei,
    )
    eth = node.web3.eth
    with asking():
        receipt = eth.wait_for_transaction_receipt(
            HexStr(sent), timeout=timeout_s, poll_latency=0.2
        )
        address = receipt["contractAddress"]
        if address is None or not receipt["status"]:
            raise Refused("the chain did not take the contract")
        owner = contracts.owner_in(bytes(eth.get_code(address)))
    if owner != key.address:
        raise VerificationFailed(
            f"the contract belongs to {owner}, not to {key.address}", step="3 contract"
        )
    return str(address).lower()


@contextmanager
def asking() -> Iterator[None]:
    """Turn what a node and the libraries raise into errors of this house.

    Raises:
        Refused: the contract says no, with its reason; or the account cannot pay.
        Unavailable: anything else; the library's own words would show the address.
    """
    try:
        yield
    except FedxdrError:
        raise
    except ContractLogicError as error:
        raise Refused(f"the contract says no: {_printable(error.message)}") from None
    except Web3RPCError as error:
        said = _said(error)
        if "insufficient funds" in said.lower():
            raise Refused(f"the account cannot pay so much: {said}") from None
        raise Unavailable(f"the chain's node says: {said}") from None
    except (
        Web3Exception,
        requests.RequestException,
        OSError,
        # what web3 makes of answers that no node gives
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        raise Unavailable(
            f"the chain's node does not answer as one: {type(error).__name__}"
        ) from None


def _require_natural(made: TxParams) -> None:
    """Refuse what a node answered and no transaction can hold: a negative number.

    Raises:
        ValueError: it did.
    """
    for name, value in made.items():
        if isinstance(value, int) and value < 0:
            raise ValueError(f"{name} of {value}")


def _require_affordable(price: int, limit: int) -> None:
    if price > limit:
        raise Unavailable(
            f"the chain asks {price} wei for a unit of gas, the limit is {limit}"
        )


def _said(error: Web3RPCError) -> str:
    answer: Any = error.rpc_response or {}
    try:
        message = answer["error"]["message"]
    except (LookupError, TypeError):
        message = "an error without a reason"
    return _printable(message)


def _printable(text: object) -> str:
    shown = "".join(c if c.isprintable() else " " for c in str(text))
    return shown[:_SAID_CHARACTERS]


def _checksummed(address: str) -> ChecksumAddress:
    return Web3.to_checksum_address(address)


def _hex(data: Any) -> str:  # noqa: ANN401 - web3 has several types of bytes
    return f"0x{bytes(data).hex()}"


def _instant(block: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(int(block["timestamp"]), UTC)


def _receipt(found: TxReceipt) -> Receipt:
    return Receipt(
        block_number=int(found["blockNumber"]),
        block_hash=_hex(found["blockHash"]),
        is_success=found["status"] == 1,
        logs=tuple(
            Log(
                contract=str(log["address"]).lower(),
                topics=tuple(bytes(topic) for topic in log["topics"]),
                data=bytes(log["data"]),
            )
            for log in found["logs"]
        ),
    )
