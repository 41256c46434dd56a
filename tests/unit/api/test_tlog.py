# SPDX-License-Identifier: Apache-2.0
"""The ledger over HTTP as a transparency log: read with the C2SP files alone."""

import base64
import dataclasses
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI
from tests.unit.ledger.conftest import Federation

from fedxdr.api import problems, tlog
from fedxdr.core.errors import NotFound
from fedxdr.core.ids import round_id
from fedxdr.ledger import block as blocks
from fedxdr.ledger import checkpoint, light, merkle, note, policy, proofs, tiles
from fedxdr.ledger.entries import RoundFailed
from fedxdr.parties.recording import Recorder
from fedxdr.storage.memory import MemoryBlobs, MemoryBlockStore


class Reader:
    """Somebody with a URL and no token."""

    def __init__(self, api, service=None):
        app = FastAPI()
        app.state.service = service or api.service
        problems.install(app)
        app.include_router(tlog.router)
        self.http = httpx.Client(
            transport=type(api.transport)(app), base_url="http://testserver/ledger"
        )

    def get(self, path):
        answer = self.http.get(f"/{path}")
        assert answer.status_code == 200, answer.text
        return answer

    def file(self, path):
        answer = self.http.get(f"/{path}")
        if answer.status_code == 404:
            raise NotFound(path)
        assert answer.status_code == 200, answer.text
        return answer.content


@pytest.fixture(scope="module")
def reader(settled):
    return Reader(settled)


@pytest.fixture(scope="module")
def size(settled):
    return settled.world.recorder.size()


def raw(text):
    return base64.b64decode(text, validate=True)


def test_the_log_is_read_from_its_files_alone(reader, settled, size):
    data = reader.get("checkpoint")
    assert data.headers["content-type"] == "text/plain; charset=utf-8"
    assert data.headers["cache-control"] == "no-cache"
    rules = policy.parse(reader.get("policy").content)
    cosigned = rules.check(data.content)
    assert len(cosigned) >= policy.quorum(4)
    head = checkpoint.parse(data.content)
    assert (head.size, head.origin) == (
        size,
        settled.world.recorder.in_force.log.origin,
    )
    tree = tiles.read_tree(reader.file, head)
    assert tree.root() == head.root
    entries = list(tiles.read_entries(reader.file, tree))
    stored = settled.world.recorder.blocks(begin=0, end=size)
    assert entries == [signed.block.body() for signed in stored]
    assert [blocks.parse(entry).hash for entry in entries] == [
        tree.node(0, i).hex() for i in range(size)
    ]


def test_tiles_may_be_kept_for_ever(reader, size):
    for path in (
        f"tile/0/000.p/{size}",
        f"tile/entries/000.p/{size}",
        "tile/0/000.p/1",
    ):
        answer = reader.get(path)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert "immutable" in answer.headers["cache-control"]
    assert len(reader.get("tile/0/000.p/3").content) == 96
    assert len(tiles.parse_entry_bundle(reader.file("tile/entries/000.p/2"), 2)) == 2


def test_former_heads_are_there_with_their_policies(reader, size):
    for former in range(1, size + 1):
        answer = reader.http.get("/checkpoint", params={"size": former})
        if answer.status_code == 404:
            # (heads are signed when asked for: not every size ever had one)
            assert former < size
            continue
        head = checkpoint.parse(answer.content)
        assert head.size == former
        rules = policy.parse(reader.get(f"policy?size={former}").content)
        rules.check(answer.content)


def test_no_head_no_policy_and_no_tile_of_what_is_not_there(reader, problem, size):
    for path in (
        f"checkpoint?size={size + 1}",
        f"checkpoint?size={2**70}",
        f"policy?size={size + 1}",
        f"tile/0/000.p/{size + 1}",
        "tile/0/000",
        "tile/1/000.p/1",
        f"tile/entries/000.p/{size + 1}",
        "tile/entries/001.p/1",
        "tile/0/x999/x999/x999/x999/x999/999",
    ):
        problem(reader.http.get(f"/{path}"), 404, "not-found", "there is no")
    for path in ("checkpoint?size=0", "checkpoint?size=-1", "policy?size=x"):
        problem(reader.http.get(f"/{path}"), 422, "malformed-message", "size")
    for path in (
        "tile/0/0",
        "tile/00/000",
        "tile/data/000",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/",
        "tile/0/x000/000",
    ):
        problem(reader.http.get(f"/{path}"), 422, "malformed-message", "tile's path")


def test_each_block_is_proved_to_stand_in_each_tree_above_it(reader, size):
    for former in range(1, size + 1):
        for index in range(former):
            found = reader.get(f"proof/inclusion?index={index}&size={former}").json()
            assert (found["index"], found["size"]) == (index, former)
            merkle.verify_inclusion(
                leaf_hash=raw(found["leaf_hash"]),
                index=index,
                size=former,
                proof=[raw(text) for text in found["proof"]],
                root=raw(found["root"]),
            )
    newest = reader.get("proof/inclusion?index=0").json()
    head = checkpoint.parse(reader.get("checkpoint").content)
    assert (newest["size"], raw(newest["root"])) == (size, head.root)


def test_each_tree_is_proved_to_extend_each_before_it(reader, size):
    for new in range(1, size + 1):
        for old in range(1, new + 1):
            found = reader.get(f"proof/consistency?from={old}&to={new}").json()
            merkle.verify_consistency(
                old_size=found["old_size"],
                new_size=found["new_size"],
                proof=[raw(text) for text in found["proof"]],
                old_root=raw(found["old_root"]),
                new_root=raw(found["new_root"]),
            )
            assert (found["old_size"], found["new_size"]) == (old, new)
    assert reader.get("proof/consistency?from=1").json()["new_size"] == size


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("proof/inclusion", 422),
        ("proof/inclusion?index=-1", 422),
        ("proof/inclusion?index=0&size=0", 422),
        ("proof/inclusion?index=99999", 404),
        ("proof/inclusion?index=1&size=1", 404),
        ("proof/inclusion?index=0&size=99999", 404),
        ("proof/consistency", 422),
        ("proof/consistency?from=0", 422),
        ("proof/consistency?from=2&to=1", 404),
        ("proof/consistency?from=1&to=99999", 404),
        ("proof/consistency?from=99999", 404),
        ("proof/tlog", 422),
        ("proof/tlog?height=-1", 422),
        ("proof/tlog?height=99999", 404),
        ("proof/tlog?height=1&size=1", 404),
        ("proof/tlog?height=0&size=99999", 404),
    ],
)
def test_no_proof_of_what_is_not_there(reader, problem, path, status):
    code = {404: "not-found", 422: "malformed-message"}[status]
    problem(reader.http.get(f"/{path}"), status, code)


def test_a_proof_of_each_block_holds_offline(reader, settled, size):
    rules = policy.parse(reader.get("policy").content)
    for signed in settled.world.recorder.blocks(begin=0, end=size):
        height = signed.block.height
        answer = reader.get(f"proof/tlog?height={height}")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        leaf = merkle.leaf_hash(signed.block.body())
        head = proofs.verify(answer.content, leaf_hash=leaf, policy=rules)
        assert head.size == size
        lines = note.parse(proofs.parse(answer.content).checkpoint).signatures
        # one of the log, two of each of a quorum: what the policy asks for
        assert len(lines) == 1 + 2 * policy.quorum(4)
        assert rules.check(proofs.parse(answer.content).checkpoint)


def test_a_proof_and_its_block_take_20_kb_at_five_organisations(settled):
    """Aim of issue 4, held by the route as by ``ledger prove``."""
    told = Federation(("alpha", "bravo", "charlie", "delta", "echo"))
    told.founded().commit().commit()
    standing, head = told.standing(), told.head()
    tree = merkle.Tree(map(bytes.fromhex, told.hashes()))
    recorder = SimpleNamespace(size=lambda: 4, tree=tree, signers_at=lambda _: standing)
    heads = SimpleNamespace(newest_quorum=lambda: 4, at=lambda _: head)
    service = dataclasses.replace(
        settled.service,
        orchestrator=SimpleNamespace(recorder=recorder, heads=heads),
    )
    body = told.blocks[3].block.body()
    proof = Reader(settled, service).get("proof/tlog?height=3").content
    rules = policy.parse(standing.policy_text().encode())
    proofs.verify(proof, leaf_hash=merkle.leaf_hash(body), policy=rules)
    assert len(proof) + len(body) <= 20_000
    # a quorum of five is four: the fifth one's lines would not change anything
    lines = note.parse(proofs.parse(proof).checkpoint).signatures
    assert len(lines) == 1 + 2 * policy.quorum(5)


def test_a_head_is_made_lean_once_and_not_under_the_lock(settled, monkeypatch):
    tlog._fewest_lines.cache_clear()
    made, lean = [], light.fewest_lines

    def watched(head, *, rules):
        assert not settled.service.lock.locked()
        made.append(head)
        return lean(head, rules=rules)

    monkeypatch.setattr(tlog.light, "fewest_lines", watched)
    for height in (0, 1, 2):
        Reader(settled).get(f"proof/tlog?height={height}")
    assert len(made) == 1


def test_a_proof_stands_under_a_head_that_has_its_quorum(make_api):
    api = make_api(rounds=1)
    reader = Reader(api)
    recorder, heads = api.world.recorder, api.world.orchestrator.heads
    cosigned = heads.newest_quorum()
    # one more block, which nobody has cosigned yet
    recorder.record(
        RoundFailed(
            round_id=round_id("round-9"), phase="keys", reason="a", sentence="b"
        )
    )
    assert recorder.size() == cosigned + 1
    proof = proofs.parse(reader.get("proof/tlog?height=0").content)
    assert checkpoint.parse(proof.checkpoint).size == cosigned
    answer = reader.http.get(f"/proof/tlog?height={cosigned}")
    assert answer.status_code == 404
    newest = reader.get("checkpoint").content
    assert checkpoint.parse(newest).size == cosigned + 1
    # by the log alone: its two lines
    assert len(note.parse(newest).signatures) == 2
    # asked for by size, it comes as it is
    proof = proofs.parse(
        reader.get(f"proof/tlog?height={cosigned}&size={cosigned + 1}").content
    )
    # with the line of the log's key that the policy lists
    (line,) = note.parse(proof.checkpoint).signatures
    assert line == note.parse(newest).signatures[0]


def test_an_empty_ledger_has_nothing(api, problem):
    empty = Recorder(
        store=MemoryBlockStore(), blobs=MemoryBlobs(), clock=api.world.clock
    )
    nobody = SimpleNamespace(recorder=empty, heads=api.world.orchestrator.heads)
    reader = Reader(api, dataclasses.replace(api.service, orchestrator=nobody))
    for path in (
        "checkpoint",
        "checkpoint?size=1",
        "policy",
        "proof/inclusion?index=0",
        "proof/consistency?from=1",
        "tile/0/000.p/1",
        "tile/entries/000.p/1",
    ):
        problem(reader.http.get(f"/{path}"), 404, "not-found", "there is no")
