# SPDX-License-Identifier: Apache-2.0
"""Commands of ``ledger anchor``: ``deploy``, ``push``, ``verify``.

They put a checkpoint's root on an Ethereum-compatible chain and compare what a record
says with what a node says. They need the extra ``evm``.

Not here: the anchorer that a server runs (anchoring/anchorer.py). Nothing of a round or
of ``fedxdr verify`` waits for a chain.

Rules that always hold: an account's key is read from a file that only its owner can
read, and is never shown; a node's address is never shown.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from fedxdr.anchoring import proofs
from fedxdr.anchoring.proofs import AnchorRecord
from fedxdr.cli.console import OUT, print_json, table
from fedxdr.core import canonical
from fedxdr.core.clock import rfc3339
from fedxdr.core.errors import InvalidSettings, StorageFault
from fedxdr.ledger import checkpoint as checkpoints
from fedxdr.ledger import note

anchor = typer.Typer(
    no_args_is_help=True,
    help="Checkpoints on an Ethereum-compatible chain: extra evidence, never needed.",
)

_GWEI = 10**9
_POLL_S = 1.0
_KEY_CHARACTERS = 64
_OF_THE_EXTRA = {"web3", "eth_account", "eth_typing", "requests"}
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

Rpc = Annotated[
    str,
    typer.Option("--rpc", help="A node's JSON-RPC: http(s)://…"),
]
KeyFile = Annotated[
    Path, typer.Option("--key", help="File with the account's key, 64 hex digits.")
]
MaxFee = Annotated[
    float, typer.Option(min=0.000001, help="Most gwei for a unit of gas.")
]
Depth = Annotated[
    int, typer.Option(min=1, help="Blocks that must stand, the anchor's own counted.")
]
Timeout = Annotated[
    float, typer.Option("--timeout-s", min=1.0, help="Seconds to wait for a block.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@anchor.command()
def deploy(
    rpc: Rpc,
    key: KeyFile,
    *,
    max_fee_gwei: MaxFee = 100.0,
    timeout_s: Timeout = 120.0,
    as_json: AsJson = False,
) -> None:
    """Put the contract on a chain; the key's account owns it for ever."""
    with the_extra():
        from fedxdr.anchoring import evm  # noqa: PLC0415 - an extra, and slow to load
    account = evm.AccountKey(secret_in(key))
    with evm.Node(rpc) as node:
        contract = evm.deploy(
            node, account, max_fee_wei=_wei(max_fee_gwei), timeout_s=timeout_s
        )
        chain_id = node.chain_id()
    if as_json:
        print_json(
            {"contract": contract, "owner": account.address, "chain_id": chain_id}
        )
        return
    OUT.print(f"Contract {contract} on chain {chain_id}", highlight=False)
    OUT.print(f"Only {account.address} anchors in it.", highlight=False)
    print("Tell members and auditors both, by another way than this server.")


@anchor.command()
def push(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint: a signed note.")],
    rpc: Rpc,
    contract: Annotated[str, typer.Option(help="Address that `deploy` printed.")],
    key: KeyFile,
    out: Annotated[Path, typer.Option(help="File for the record.")],
    *,
    depth: Depth = 1,
    max_fee_gwei: MaxFee = 100.0,
    timeout_s: Timeout = 120.0,
    as_json: AsJson = False,
) -> None:
    """Anchor one checkpoint, wait for its block, and write the record.

    Doing it again writes the same record; a smaller size than the chain holds and
    another root of the same size are refused.
    """
    with the_extra():
        from fedxdr.anchoring import evm  # noqa: PLC0415 - an extra, and slow to load
    from fedxdr.anchoring.anchorer import anchor_now  # noqa: PLC0415 - slow to load

    newest = checkpoints.parse(_bytes(checkpoint))
    account = evm.AccountKey(secret_in(key))
    _require_writable(out)
    with evm.Node(rpc) as node:
        record = anchor_now(
            evm.EvmChain(
                node, contract.lower(), key=account, max_fee_wei=_wei(max_fee_gwei)
            ),
            newest,
            least_depth=depth,
            polls=max(1, round(timeout_s / _POLL_S)),
            pause=partial(time.sleep, _POLL_S),
        )
    try:
        out.write_bytes(proofs.encode(record) + b"\n")
    except OSError as error:
        raise StorageFault(f"cannot write {out}: {error.strerror}") from error
    if as_json:
        print_json(canonical.builtins(record))
        return
    _show(record, f"{checkpoint}: anchored")


@anchor.command()
def verify(
    record: Annotated[Path, typer.Argument(help="The record that `push` wrote.")],
    checkpoint: Annotated[Path, typer.Argument(help="The checkpoint it is about.")],
    rpc: Rpc,
    contract: Annotated[
        str | None, typer.Option(help="Address the operator told you beforehand.")
    ] = None,
    log_key: Annotated[
        list[str] | None,
        typer.Option(help="The log's verifier key NAME+ID+KEY; may be repeated."),
    ] = None,
    *,
    depth: Depth = 1,
    as_json: AsJson = False,
) -> None:
    """Compare a record with its checkpoint and with what a node says."""
    with the_extra():
        from fedxdr.anchoring import evm  # noqa: PLC0415 - an extra, and slow to load
    found = proofs.parse(_bytes(record))
    signed = _bytes(checkpoint)
    signers = note.verify(signed, log_key) if log_key else ()
    proofs.verify_against_checkpoint(found, checkpoints.parse(signed))
    with evm.Node(rpc) as node:
        facts = node.facts(found)
    owner = proofs.verify_on_chain(
        found,
        facts,
        contract=None if contract is None else contract.lower(),
        least_depth=depth,
    )
    blocks = facts.newest_block - found.block_number + 1
    if as_json:
        print_json(
            {
                "verified": True,
                **canonical.builtins(found),
                "owner": owner,
                "depth": blocks,
                "signers": list(signers),
                "contract_pinned": contract is not None,
            }
        )
        return
    _show(found, f"{record}: verified, {blocks} blocks deep")
    OUT.print(f"  the contract's owner is {owner}", style="dim", highlight=False)
    if contract is None:
        OUT.print(
            "  note: any contract was taken (no --contract): this shows that the root "
            "existed by then, not that no other was anchored",
            style="yellow", highlight=False,
        )  # fmt: skip
    if not signers:
        OUT.print(
            "  note: the checkpoint's signatures were not checked (no --log-key)",
            style="yellow", highlight=False,
        )  # fmt: skip


@contextmanager
def the_extra() -> Iterator[None]:
    """Say what to install where the extra is missing.

    Raises:
        InvalidSettings: it is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_THE_EXTRA:
            raise
        raise InvalidSettings(
            "anchors need an extra that is not here: pip install 'fedxdr[evm]'"
        ) from error


def _wei(gwei: float) -> int:
    return round(gwei * _GWEI)


def secret_in(path: Path) -> bytes:
    """Return the key in a file.

    Raises:
        InvalidSettings: no such file, others can read it, or it holds no key.
    """
    try:
        with path.open(encoding="ascii") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                raise InvalidSettings(f"others can read {path}: chmod 600 {path}")
            text = file.read(_KEY_CHARACTERS + 4)
    except FileNotFoundError as error:
        raise InvalidSettings(f"there is no key file {path}") from error
    except (OSError, ValueError) as error:
        # the file's own text must not be shown
        raise InvalidSettings(f"{path} is not a key file") from error
    digits = text.strip().removeprefix("0x")
    try:
        if len(digits) == _KEY_CHARACTERS:
            return bytes.fromhex(digits)
    except ValueError:
        pass
    raise InvalidSettings(f"{path} is not a key file: want 64 hexadecimal digits")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidSettings(f"cannot read {path}: {error.strerror}") from error


def _require_writable(path: Path) -> None:
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InvalidSettings(f"cannot write to {path.parent}")


def _show(record: AnchorRecord, title: str) -> None:
    table(
        title,
        ["what", "found"],
        [
            ["log", record.origin],
            ["size", str(record.size)],
            ["root", record.root.hex()],
            ["chain", str(record.chain_id)],
            ["contract", record.contract],
            ["transaction", record.transaction],
            ["block", f"{record.block_number} {record.block_hash}"],
            ["existed by", rfc3339(record.block_timestamp)],
        ],
    )
