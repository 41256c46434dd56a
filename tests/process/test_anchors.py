# SPDX-License-Identifier: Apache-2.0
"""Anchors on a real chain: anvil from npm, started here on loopback.

Deployed, anchored and verified as a user types it; the contract's own refusals; a chain
that dies, hangs, forgets or does not make blocks; kill -9 at every call.
"""

import dataclasses
import hashlib
import json
import logging
import multiprocessing
import os
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.process import anvil as nodes
from tests.process import drill_anchorer
from tests.unit.anchoring.chain_suite import ORIGIN, ChainSuite, checkpoint

from fedxdr.anchoring import contract as contracts
from fedxdr.anchoring import proofs
from fedxdr.anchoring.anchorer import Anchorer, Pace, anchor_now
from fedxdr.anchoring.evm import AccountKey, EvmChain, Node, deploy
from fedxdr.anchoring.notes import Notes
from fedxdr.cli import main
from fedxdr.core.clock import SystemClock
from fedxdr.core.errors import Refused, Unavailable, VerificationFailed
from fedxdr.ledger import cosignature
from fedxdr.ledger.note_form import Note, verifier_key

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

SECRET = hashlib.sha256(b"the owner in these tests").digest()
OWNER = AccountKey(SECRET)
STRANGER = AccountKey(hashlib.sha256(b"a stranger in these tests").digest())
PATIENT_S = 60.0
PACE = Pace(every_blocks=1, poll_s=0.02, first_wait_s=0.02, longest_wait_s=0.1)
RICH = hex(10**20)


@pytest.fixture(scope="module")
def program(pytestconfig):
    return nodes.binary(pytestconfig.cache)


@pytest.fixture(scope="module")
def shared(program, tmp_path_factory):
    """A chain for tests that leave it running."""
    made = nodes.Anvil(program, tmp_path_factory.mktemp("chain"))
    made.start()
    for account in (OWNER, STRANGER):
        made.call("anvil_setBalance", account.address, RICH)
    yield made
    made.kill()


@pytest.fixture
def chain_of_its_own(program, tmp_path):
    """A chain for tests that end it."""
    made = nodes.Anvil(program, tmp_path)
    made.start()
    made.call("anvil_setBalance", OWNER.address, RICH)
    yield made
    made.kill()


@pytest.fixture
def contract(shared):
    with Node(shared.rpc) as node:
        return deploy(node, OWNER)


@pytest.fixture
def anchored(shared, contract):
    """A node, a handle to the contract, and the record of size 42."""
    with Node(shared.rpc) as node:
        chain = EvmChain(node, contract, key=OWNER)
        yield node, chain, now(chain, checkpoint(42))


def now(chain, found):
    return anchor_now(
        chain, found, least_depth=1, polls=200, pause=lambda: time.sleep(0.02)
    )


def until(is_so):
    end = time.monotonic() + PATIENT_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


class World:
    """A real chain as ``chain_suite`` wants it."""

    def __init__(self, chain, node):
        self._anvil, self._node = chain, node
        self._contract = deploy(node, OWNER)

    def chain(self, *, is_owner=True):
        key = OWNER if is_owner else STRANGER
        return EvmChain(self._node, self._contract, key=key)

    def hold(self):
        self._anvil.call("evm_setAutomine", False)

    def mine(self, blocks=1):
        self._anvil.call("anvil_mine", hex(blocks))

    def forget(self, blocks):
        self._anvil.call("anvil_reorg", blocks, [])


class TestEvmChain(ChainSuite):
    """The suite of the port, on the real chain."""

    @pytest.fixture
    def world(self, shared):
        with Node(shared.rpc) as node:
            yield World(shared, node)
        shared.call("evm_setAutomine", True)
        shared.call("anvil_mine", "0x1")


# what was compiled


@pytest.fixture(scope="module")
def vyper(pytestconfig):
    """The compiler in an environment of its own: it wants an older cbor2 than ours."""
    folder = Path(pytestconfig.cache.mkdir("vyper"))
    program = folder / "bin" / "vyper"
    if not program.exists():
        made = nodes.subprocess.run(
            [sys.executable, "-m", "venv", str(folder)],
            capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip
        done = made if made.returncode else nodes.subprocess.run(
            [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet",
             "--disable-pip-version-check", "vyper==0.4.3"],
            capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"vyper 0.4.3 cannot be had: {done.stderr.strip()[-200:]}")
    return program


def test_the_compiler_makes_these_very_bytes_of_the_source(vyper, tmp_path):
    (tmp_path / "contract.vy").write_bytes(contracts.source())
    done = nodes.subprocess.run(
        [str(vyper), "-f", "abi,bytecode,bytecode_runtime", "contract.vy"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    committed = Path(contracts.__file__).with_name("contract.compiled").read_text()
    assert done.stdout == committed


# as a user types it


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command; what it printed, or its exit status and complaint."""

    def command(*arguments):
        typed = ["fedxdr", "ledger", "anchor", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", typed)
        status = 0
        try:
            main.main()
        except SystemExit as end:
            status = end.code or 0
        shown = capsys.readouterr()
        assert SECRET.hex() not in shown.out + shown.err
        if status:
            assert shown.out == ""
            return status, shown.err
        return shown.out

    return command


LOG_KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"a log").digest())


def signed(body):
    """Return a checkpoint's body as a note that the log signed."""
    line = cosignature.sign_log(
        body, name=ORIGIN, sign=LOG_KEY.sign,
        public_key=LOG_KEY.public_key().public_bytes_raw(),
    )  # fmt: skip
    return Note(text=body, signatures=(line,)).to_bytes()


@pytest.fixture
def files(tmp_path):
    """The owner's key and two checkpoints in files."""
    key = tmp_path / "owner.key"
    key.write_text(SECRET.hex() + "\n")
    key.chmod(0o600)
    for size in (7, 9):
        (tmp_path / f"checkpoint-{size}").write_bytes(signed(checkpoint(size).body()))
    return key, tmp_path


def test_deploy_push_verify(run, shared, files):
    key, folder = files
    rpc = ("--rpc", shared.rpc)
    made = json.loads(run("deploy", *rpc, "--key", key, "--json"))
    assert made == {
        "contract": made["contract"], "owner": OWNER.address, "chain_id": 31337,
    }  # fmt: skip
    at = ("--contract", made["contract"])
    push = ("push", folder / "checkpoint-7", *rpc, *at, "--key", key, "--out",
            folder / "record")  # fmt: skip
    told = json.loads(run(*push, "--json"))
    assert (told["size"], told["origin"]) == (7, ORIGIN)
    record = (folder / "record").read_bytes()
    assert proofs.parse(record).root == checkpoint(7).root
    run(*push)
    assert (folder / "record").read_bytes() == record, "done twice it is the same"

    verify = ("verify", folder / "record", folder / "checkpoint-7", *rpc)
    told = json.loads(run(*verify, *at, "--json"))
    assert told["verified"] is told["contract_pinned"] is True
    assert (told["owner"], told["depth"]) == (OWNER.address, 1)
    spoken = " ".join(run(*verify).split())
    assert "verified, 1 blocks deep" in spoken
    assert "any contract was taken" in spoken
    assert "signatures were not checked" in spoken

    log_key = verifier_key(
        name=ORIGIN, kind=1, public_key=LOG_KEY.public_key().public_bytes_raw()
    )
    told = json.loads(run(*verify, "--log-key", log_key, "--json"))
    assert told["signers"] == [ORIGIN]

    # another checkpoint, another contract, a greater depth, another node
    refused = run("verify", folder / "record", folder / "checkpoint-9", *rpc)
    assert refused[0] == 1
    assert "step 1 checkpoint" in refused[1]
    refused = run(*verify, "--contract", f"0x{'0c' * 20}")
    assert "step 3 contract" in refused[1]
    refused = run(*verify, "--depth", "99")
    assert "step 7 depth" in refused[1]
    lie = json.loads(record)
    lie["root"] = told["root"].replace(told["root"][:4], "AAAA")
    (folder / "lie").write_bytes(
        json.dumps(lie, sort_keys=True, separators=(",", ":")).encode()
    )
    (folder / "forged").write_bytes(
        (folder / "checkpoint-7")
        .read_bytes()
        .replace(told["root"].encode(), lie["root"].encode())
    )
    forged = ("verify", folder / "lie", folder / "forged", *rpc)
    refused = run(*forged)
    assert refused[0] == 1
    assert "step 5 event" in refused[1]
    refused = run(*forged, "--log-key", log_key)
    assert "(bad-signature)" in refused[1]

    # an older checkpoint, and one of somebody else's
    run("push", folder / "checkpoint-9", *rpc, *at, "--key", key, "--out",
        folder / "record-9")  # fmt: skip
    status, words = run(*push)
    assert (status, "the chain holds size 9" in words) == (3, True)
    (folder / "stranger.key").write_text(
        hashlib.sha256(b"a stranger in these tests").hexdigest()
    )
    (folder / "stranger.key").chmod(0o600)
    (folder / "checkpoint-10").write_bytes(checkpoint(10).body())
    status, words = run(
        "push", folder / "checkpoint-10", *rpc, *at, "--key", folder / "stranger.key",
        "--out", folder / "record-10",
    )  # fmt: skip
    assert (status, "only the owner anchors" in words) == (3, True)
    assert not (folder / "record-10").exists()


def test_the_guide_line_by_line(shared, tmp_path):
    guide = Path(__file__).parents[2] / "docs" / "how-to" / "anchors.md"
    blocks = re.findall(
        r"^```sh\n(.*?)^```", guide.read_text(), re.DOTALL | re.MULTILINE
    )
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) == 4
    (tmp_path / "checkpoint").write_bytes(signed(checkpoint(7).body()))
    contract = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "fedxdr").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -m fedxdr "$@"\n'
    )
    (tools / "fedxdr").chmod(0o700)

    def types(line):
        line = line.replace("http://127.0.0.1:8545", shared.rpc)
        line = line.replace(contract, made.get("contract", contract))
        return nodes.subprocess.run(
            ["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True,
            check=False, timeout=PATIENT_S,
            env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        )  # fmt: skip

    made = {}
    assert types(lines[0]).returncode == 0
    poor = types(lines[1])
    assert poor.returncode == 3
    account = re.search(r"account (0x[0-9a-f]{40}) cannot pay", poor.stderr)[1]
    shared.call("anvil_setBalance", account, RICH)
    for line in lines[1:]:
        done = types(line)
        assert done.returncode == 0, (line, done.stderr)
        found = re.search(r"Contract (0x[0-9a-f]{40}) on chain 31337", done.stdout)
        made.update({"contract": found[1]} if found else {})
    assert "verified, 1 blocks deep" in " ".join(done.stdout.split())


# what the chain itself says


def test_a_true_record_verifies_and_each_lie_fails_at_its_step(anchored):
    node, chain, record = anchored
    proofs.verify_against_checkpoint(record, checkpoint(42))
    owner = proofs.verify_on_chain(record, node.facts(record), contract=chain.contract)
    assert owner == OWNER.address
    other = now(chain, checkpoint(43))
    for step, changed in (
        ("2 chain", {"chain_id": 1}),
        ("3 contract", {"contract": OWNER.address}),
        ("4 transaction", {"transaction": f"0x{'11' * 32}"}),
        ("4 transaction", {"block_hash": other.block_hash}),
        ("4 transaction", {"block_number": other.block_number}),
        ("4 transaction", {"block_number": 2**40}),
        ("5 event", {"root": checkpoint(41).root}),
        ("5 event", {"size": 43}),
        ("5 event", {"origin": "elsewhere.example/log"}),
        ("5 event", {
            "transaction": other.transaction, "block_number": other.block_number,
            "block_hash": other.block_hash,
        }),
        ("6 block", {"block_timestamp": record.block_timestamp - timedelta(seconds=1)}),
    ):  # fmt: skip
        lie = dataclasses.replace(record, **changed)
        with pytest.raises(VerificationFailed) as refused:
            proofs.verify_on_chain(lie, node.facts(lie))
        assert refused.value.step == step, changed


def test_an_anchor_in_a_look_alike_contract_is_refused(shared, anchored):
    # the same code, but for one byte: "only the owner" is not asked any more
    node, _, record = anchored
    code = bytearray(contracts.runtime_code() + bytes(32))
    code[200] ^= 1
    address = f"0x{'5e' * 20}"
    shared.call("anvil_setCode", address, f"0x{code.hex()}")
    lie = dataclasses.replace(record, contract=address)
    with pytest.raises(VerificationFailed, match="not the published contract"):
        proofs.verify_on_chain(lie, node.facts(lie))
    with pytest.raises(VerificationFailed, match="not the published contract"):
        EvmChain(node, address).head(ORIGIN)


def test_an_account_that_cannot_pay_is_told_so(shared):
    poor = AccountKey(hashlib.sha256(b"a poor one in these tests").digest())
    with Node(shared.rpc) as node, pytest.raises(Refused, match="cannot pay"):
        deploy(node, poor)


def test_a_block_has_the_chains_time(shared, anchored):
    del shared
    _, _, record = anchored
    assert abs(datetime.now(UTC) - record.block_timestamp) < timedelta(minutes=10)  # noqa: TID251 - a real chain's clock is the machine's


# outages


@pytest.fixture
def anchoring(chain_of_its_own, tmp_path):
    """An anchorer that runs, its notes, and a look at its chain."""
    node = Node(chain_of_its_own.rpc, timeout_s=0.3)
    contract = deploy(Node(chain_of_its_own.rpc), OWNER)
    chain = EvmChain(node, contract, key=OWNER)
    with (
        Notes(tmp_path / "anchors.jsonl") as notes,
        Anchorer(
            chain, notes, origin=ORIGIN, clock=SystemClock(), pace=PACE
        ) as anchorer,
    ):
        yield anchorer, notes, chain
    node.close()


def offers(anchorer, begin, end):
    """Offer sizes as a loop of rounds does; return the longest wait, in seconds."""
    longest = 0.0
    for size in range(begin, end):
        start = time.perf_counter()
        anchorer.offer(checkpoint(size))
        longest = max(longest, time.perf_counter() - start)
    return longest


def anchored_is(anchorer, size):
    return lambda: anchorer.status().anchored_size == size


def test_a_dead_node_stops_nothing_and_is_caught_up_with(
    chain_of_its_own, anchoring, caplog
):
    caplog.set_level(logging.INFO, "fedxdr.anchoring")
    anchorer, notes, chain = anchoring
    offers(anchorer, 1, 2)
    until(anchored_is(anchorer, 1))
    chain_of_its_own.stop()
    assert offers(anchorer, 2, 500) < 1.0
    until(lambda: anchorer.status().trouble == "unavailable")
    until(lambda: anchorer._failures > 3)
    assert offers(anchorer, 500, 1000) < 1.0
    assert anchorer.status().anchored_size == 1
    chain_of_its_own.start()
    until(anchored_is(anchorer, 999))
    assert chain.head(ORIGIN).size == 999
    assert [r.size for r in notes.records] == [1, 999]
    assert anchorer.status().trouble is None
    said = [r.getMessage() for r in caplog.records]
    assert said.count("no anchors for now; rounds go on") == 1
    assert said.count("anchors go on") == 1
    node = Node(chain_of_its_own.rpc)
    for record in notes.records:
        proofs.verify_on_chain(record, node.facts(record))
    node.close()


def test_a_node_that_hangs_stops_nothing(chain_of_its_own, anchoring):
    anchorer, notes, _ = anchoring
    with chain_of_its_own.hung():
        assert offers(anchorer, 1, 1000) < 1.0
        until(lambda: anchorer.status().trouble == "unavailable")
        assert notes.records == ()
    until(anchored_is(anchorer, 999))


def test_a_chain_that_forgot_everything_is_a_trouble_and_no_smaller_size_follows(
    chain_of_its_own, anchoring
):
    anchorer, notes, _ = anchoring
    offers(anchorer, 1, 21)
    until(anchored_is(anchorer, 20))
    chain_of_its_own.kill()
    chain_of_its_own.start()
    assert chain_of_its_own.call("eth_blockNumber") == "0x0", "it came back empty"
    offers(anchorer, 21, 22)
    until(lambda: anchorer.status().trouble == "verification-failed")
    assert [r.size for r in notes.records][-1] == 20


def test_an_anchor_that_a_fork_took_back_is_seen_and_made_again(
    chain_of_its_own, anchoring
):
    anchorer, notes, chain = anchoring
    offers(anchorer, 1, 2)
    until(anchored_is(anchorer, 1))
    (lost,) = notes.records
    chain_of_its_own.call("evm_setAutomine", False)
    chain_of_its_own.call("anvil_reorg", 1, [])
    # what a fork drops waits again, here for ever
    chain_of_its_own.call("anvil_dropAllTransactions")
    node = Node(chain_of_its_own.rpc)
    with pytest.raises(VerificationFailed):
        proofs.verify_on_chain(lost, node.facts(lost))
    chain_of_its_own.call("evm_setAutomine", True)
    offers(anchorer, 2, 3)
    until(anchored_is(anchorer, 2))
    proofs.verify_on_chain(notes.records[-1], node.facts(notes.records[-1]))
    assert chain.head(ORIGIN).size == 2
    node.close()


def test_what_is_stuck_is_replaced_by_the_newest(chain_of_its_own, anchoring):
    _, notes, chain = anchoring
    anchorer = Anchorer(
        chain, notes, origin=ORIGIN, clock=SystemClock(),
        pace=dataclasses.replace(PACE, resend_s=0.05),
    )  # fmt: skip
    chain_of_its_own.call("evm_setAutomine", False)
    with anchorer:
        offers(anchorer, 1, 2)
        until(lambda: anchorer._attempt >= 1)
        offers(anchorer, 2, 6)
        attempt = anchorer._attempt
        until(lambda: anchorer._attempt > attempt + 1)
        waiting = chain_of_its_own.call("txpool_status")
        assert waiting == {"pending": "0x1", "queued": "0x0"}
        chain_of_its_own.call("anvil_mine", "0x1")
        until(anchored_is(anchorer, 5))
    assert anchorer.status().trouble in {None, "unavailable"}
    assert sizes_on(chain_of_its_own, chain) == [5]


def sizes_on(node, chain):
    """Return the sizes of every anchor of a contract, in order."""
    logs = node.call(
        "eth_getLogs",
        {"address": chain.contract, "fromBlock": "0x0", "toBlock": "latest"},
    )
    return [int(log["topics"][2], 16) for log in logs]


# kill -9


@pytest.mark.parametrize("mines", [True, False], ids=["mined", "waiting"])
@pytest.mark.parametrize(
    "order", [f"{p}:{m}" for p in drill_anchorer.POINTS for m in ("before", "after")]
)
def test_killed_at_any_call_it_goes_on_and_sizes_only_grow(
    shared, contract, tmp_path, order, mines
):
    # the server of forks may have been started by another test, elsewhere
    root = str(Path(__file__).parents[2])
    if root not in sys.path:
        sys.path.append(root)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.process.drill_anchorer"])
    path = tmp_path / "anchors.jsonl"

    def process(size, order=""):
        made = context.Process(
            target=drill_anchorer.run,
            args=(
                drill_anchorer.Life(
                    rpc=shared.rpc,
                    contract=contract,
                    secret=SECRET,
                    path=path,
                    checkpoint=checkpoint(size),
                    order=order,
                ),
            ),
        )
        made.start()
        return made

    def ends(made, status):
        made.join(PATIENT_S)
        assert made.exitcode == status
        made.close()

    ends(process(1), 0)
    if not mines and order.partition(":")[0] in {"head", "send"}:
        shared.call("evm_setAutomine", False)
    ends(process(5, order), -9)
    again = process(7)
    if not mines:
        end = time.monotonic() + PATIENT_S
        while again.is_alive() and time.monotonic() < end:
            shared.call("anvil_mine", "0x1")
            again.join(0.02)
        shared.call("evm_setAutomine", True)
    ends(again, 0)
    with Node(shared.rpc) as node, Notes(path) as notes:
        chain = EvmChain(node, contract)
        on_chain = sizes_on(shared, chain)
        assert on_chain == sorted(set(on_chain))
        assert on_chain[-1] == chain.head(ORIGIN).size == 7
        assert [r.size for r in notes.records] == on_chain
        for record in notes.records:
            proofs.verify_against_checkpoint(record, checkpoint(record.size))
            proofs.verify_on_chain(record, node.facts(record), contract=contract)


def test_a_node_that_is_gone_is_unavailable(program, tmp_path):
    chain = nodes.Anvil(program, tmp_path)
    chain.start()
    with Node(chain.rpc) as node:
        assert node.chain_id() == 31337
        chain.kill()
        with pytest.raises(Unavailable):
            node.chain_id()
