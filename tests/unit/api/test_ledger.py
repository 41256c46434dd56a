# SPDX-License-Identifier: Apache-2.0
"""Routes of the ledger: readable by anyone, in pages, verified, and whole."""

import dataclasses

import pytest

from fedxdr.api import ledger, rounds
from fedxdr.api.app import PREFIX
from fedxdr.core.canonical import parse_jcs
from fedxdr.core.ids import org_id, sha256
from fedxdr.crypto.envelope import Envelope
from fedxdr.ledger import block as blocks
from fedxdr.ledger import verifier
from fedxdr.ledger.entries import ModelRetired
from fedxdr.parties import consent, views

LIST = ("/blockchain/ledger/blocks", "/ledger/blocks")
ONE = ("/blockchain/ledger/block/{}", "/ledger/block/{}")
LINEAGE = ("/blockchain/provenance/{}", "/ledger/provenance/{}")
HEIGHTS = list(range(5))
"""Genesis with four founders, a plan, three rounds."""


def heights(answer):
    assert answer.status_code == 200, answer.text
    return [b["height"] for b in answer.json()["blocks"]]


@pytest.mark.parametrize("path", LIST)
def test_blocks_come_newest_first_in_pages(settled, problem, path):
    def read(query):
        return settled.send("GET", f"{path}?{query}")

    found = settled.send("GET", path).json()
    assert (found["total"], found["limit"], found["offset"]) == (5, 10, 0)
    assert [b["height"] for b in found["blocks"]] == HEIGHTS[::-1]
    assert heights(read("limit=2")) == [4, 3]
    assert heights(read("limit=2&offset=2")) == [2, 1]
    assert heights(read("offset=5")) == []
    assert heights(read("from_height=1&to_height=3")) == [3, 2, 1]
    assert heights(read("to_height=0")) == [0]
    assert heights(read("from_height=4&to_height=99")) == [4]
    assert heights(read("from_height=99")) == []
    for query in ("limit=0", "limit=201", "offset=-1", "from_height=-1", "to_height=x"):
        problem(read(query), 422, "malformed-message", query.split("=")[0])


def test_a_page_of_blocks_is_all_that_is_read(settled, monkeypatch):
    asked = []
    read = settled.world.recorder.blocks

    def noting(*, begin, end):
        asked.append((begin, end))
        assert settled.service.lock.locked()
        return read(begin=begin, end=end)

    view = views.block_view

    def watched(signed):
        assert not settled.service.lock.locked()
        return view(signed)

    monkeypatch.setattr(settled.world.recorder, "blocks", noting)
    monkeypatch.setattr(ledger.views, "block_view", watched)
    for query, total in (
        ("limit=1", 5),
        ("limit=2&offset=1", 5),
        ("limit=2&from_height=1&to_height=3", 3),
        (f"from_height={2**70}&to_height={2**70}&offset={2**70}", 0),
    ):
        found = settled.send("GET", f"{LIST[0]}?{query}").json()
        assert found["total"] == total
    assert asked[:3] == [(4, 5), (2, 4), (2, 4)]
    assert asked[3][0] >= asked[3][1]


@pytest.mark.parametrize("path", ONE)
def test_a_block_has_every_field_of_the_origin_document(settled, problem, path):
    found = settled.send("GET", path.format(4)).json()
    assert {
        "height", "timestamp", "prev_hash", "model_hash", "org_signatures",
        "aggregation_metrics", "provenance", "entry", "hash", "signatures",
    } <= set(found)  # fmt: skip
    assert {
        "model_version", "parent_model", "round_id", "training_orgs",
        "training_config", "data_sources", "data_volume", "aggregation_method",
        "privacy_params",
    } <= set(found["provenance"])  # fmt: skip
    # what is not yet done says so
    assert set(found["provenance"]["privacy_params"]) == set(found["signatures"])
    for params in found["provenance"]["privacy_params"].values():
        assert params == {"mechanism": "none"}
    before = settled.send("GET", path.format(3)).json()
    assert found["prev_hash"] == before["hash"]
    problem(settled.send("GET", path.format(5)), 404, "not-found", "no block 5")
    problem(settled.send("GET", path.format("x")), 422, "malformed-message", "height")


def test_raw_blocks_carry_the_bytes_that_hash(settled):
    found = settled.send("GET", "/ledger/raw-blocks?begin=2&end=5").json()
    assert len(found) == 3
    listed = settled.send("GET", f"{LIST[0]}?from_height=2").json()["blocks"]
    for raw, view in zip(found, reversed(listed), strict=True):
        assert blocks.hash_of(raw["body"].encode()) == view["hash"]
        envelopes = [Envelope.from_json(e.encode()) for e in raw["envelopes"]]
        bound = blocks.signatures_digest(e.digest for e in envelopes)
        assert bound == parse_jcs(raw["body"].encode())["signatures_digest"]


def test_the_chain_is_verified_from_an_export(settled):
    found = settled.send("GET", "/blockchain/ledger/verify").json()
    assert found == {
        "chain_valid": True,
        "blocks_verified": 5,
        "last_block_hash": settled.world.recorder.in_force.head.hash,
        "verification_timestamp": "2026-01-01T00:00:00Z",
        "reason": None,
    }


def test_a_chain_that_was_changed_is_not_valid_and_says_where(make_api):
    api = make_api(rounds=1)
    store = api.world.recorder._store
    signed = store._blocks[1]
    plan = {**signed.block.entry.plan, "clip_norm": 1.0}
    entry = dataclasses.replace(signed.block.entry, plan=plan)
    forged = dataclasses.replace(signed.block, entry=entry)
    store._blocks[1] = dataclasses.replace(signed, block=forged)
    found = api.send("GET", "/blockchain/ledger/verify").json()
    assert found["chain_valid"] is False
    assert found["blocks_verified"] <= 1
    assert found["last_block_hash"] is None
    assert "block 1" in found["reason"]
    model = api.world.recorder.in_force.model
    found = api.send("POST", "/ledger/verify", {"model_hash": model}).json()
    assert (found["verified"], found["trust_score"]) == (False, 0)
    assert "does not verify: block 1" in found["why"][0]


def test_the_bundle_verifies_offline(settled):
    answer = settled.send("GET", "/ledger/bundle")
    assert answer.headers["content-type"] == "application/x-ndjson"
    report = verifier.verify(
        answer.content, pinned_orchestrator_key=settled.world.identity.public.ed25519
    )
    assert report.blocks_verified == 5


@pytest.mark.parametrize("path", LINEAGE)
def test_a_lineage_goes_back_to_the_first_model(settled, problem, path):
    model = settled.world.recorder.in_force.model
    found = settled.send("GET", path.format(model)).json()
    assert set(found) == {"model_hash", "lineage", "train_history"}
    versions = [step["model_version"] for step in found["lineage"]]
    assert versions == ["v3", "v2", "v1", "v0"]
    parents = [step["parent_model"] for step in found["lineage"]]
    models = [step["model_hash"] for step in found["lineage"]]
    assert parents[:-1] == models[1:]
    assert [h["block_height"] for h in found["train_history"]] == [4, 3, 2]
    assert {h["status"] for h in found["train_history"]} == {"completed"}
    problem(settled.send("GET", path.format("0" * 64)), 404, "not-found")
    problem(settled.send("GET", path.format("xyz")), 422, "malformed-message")


def test_a_failed_round_stands_in_the_history(make_api):
    api = make_api(rounds=1)
    api.bring_to(None)
    assert api.start().status_code == 201
    api.world.clock.advance(seconds=100)
    api.world.orchestrator.drive()
    standing = api.get("/federation/standing").json()
    assert standing["phase"] == "failed"
    status = api.get(f"/federation/round/{standing['round_id']}/status").json()
    assert status["status"] == "failed"
    assert "in time" in status["reason"]
    model = api.world.recorder.in_force.model
    history = api.send("GET", LINEAGE[0].format(model)).json()["train_history"]
    assert history[0]["status"] == "failed"


def test_a_model_and_signatures_are_judged(settled, problem):
    def judge(**form):
        return settled.send("POST", "/ledger/verify", form)

    block = settled.send("GET", ONE[0].format(4)).json()
    good = judge(
        model_hash=block["model_hash"], org_signatures=block["org_signatures"]
    ).json()
    assert good["verified"] is True
    assert 0 < good["trust_score"] < 1
    assert good["why"]
    wrong = judge(
        model_hash=block["model_hash"],
        org_signatures=block["org_signatures"] | {"alpha": "0" * 64},
    ).json()
    assert wrong["verified"] is False
    assert wrong["trust_score"] == 0
    assert wrong["why"] == ["alpha: no such signature on the ledger"]
    other = judge(model_hash=sha256(b"another")).json()
    assert other["verified"] is False
    problem(judge(), 422, "malformed-message", "model_hash")
    problem(judge(model_hash="x"), 422, "malformed-message")
    problem(
        judge(model_hash="0" * 64, colour="red"), 422, "malformed-message", "colour"
    )


def test_an_alias_is_the_same_handler_and_marked_as_one(settled):
    """Rows 8 to 11 of the interface: one handler, two paths."""
    paths = settled.app.openapi()["paths"]
    aliases = (
        (LIST, "GET"),
        (ONE, "GET"),
        (LINEAGE, "GET"),
        (("/federation/round/start", "/federation/start-round"), "POST"),
        (
            ("/federation/round/submit-gradient", "/federation/submit-gradient"),
            "POST",
        ),
    )
    for pair, method in aliases:
        name = "{model_hash}" if "provenance" in pair[0] else "{height}"
        found, other = (
            paths[f"{PREFIX}{path.format(name)}"][method.lower()] for path in pair
        )
        assert "deprecated" not in found
        assert other["deprecated"] is True
        for part in ("summary", "description", "parameters", "tags"):
            assert found.get(part) == other.get(part)
    handlers = [
        {r.endpoint for r in router.routes if r.path in pair}
        for router, pair in (
            (ledger.router, LIST),
            (ledger.router, tuple(p.format("{height}") for p in ONE)),
            (ledger.router, tuple(p.format("{model_hash}") for p in LINEAGE)),
            (rounds.router, ("/federation/round/start", "/federation/start-round")),
        )
    ]
    assert [len(found) for found in handlers] == [1, 1, 1, 1]


@pytest.mark.parametrize("paths", [LIST, ONE, LINEAGE], ids=["list", "one", "lineage"])
def test_both_paths_answer_the_same(settled, paths):
    model = settled.world.recorder.in_force.model
    name = model if "provenance" in paths[0] else 3
    first, second = (settled.send("GET", path.format(name)) for path in paths)
    assert first.status_code == second.status_code == 200
    assert first.content == second.content


def test_the_public_routes_need_no_token_and_take_no_orders(settled):
    model = settled.world.recorder.in_force.model
    for path in (
        LIST[0], ONE[0].format(0), "/blockchain/ledger/verify",
        LINEAGE[0].format(model), "/ledger/bundle",
    ):  # fmt: skip
        assert settled.send("GET", path).status_code == 200
        for method in ("PUT", "DELETE", "PATCH"):
            assert settled.send(method, path).status_code == 405


def test_what_no_quorum_has_cosigned_is_not_verified(make_api):
    api = make_api(rounds=1)
    size = api.world.recorder.size()
    model = api.world.recorder.in_force.model
    question = {"model_hash": model}
    assert api.send("POST", "/ledger/verify", question).json()["verified"]
    # another round, whose block nobody has cosigned yet
    api.world.start_round()
    for _ in range(20):
        for participant in api.world.participants.values():
            participant.follower._cosign = lambda: None
            participant.step(wait_s=0)
    assert api.world.recorder.size() == size + 1
    found = api.send("GET", "/blockchain/ledger/verify").json()
    assert (found["chain_valid"], found["blocks_verified"]) == (True, size)
    fresh = api.world.recorder.in_force.model
    assert fresh != model
    judged = api.send("POST", "/ledger/verify", {"model_hash": fresh}).json()
    assert (judged["verified"], judged["trust_score"]) == (False, 0)
    assert "waits for cosignatures" in judged["why"][0]
    assert api.send("POST", "/ledger/verify", question).json()["verified"]


def test_a_model_that_the_members_withdrew_is_not_verified(make_api):
    api = make_api(rounds=2)
    recorder, governance = api.world.recorder, api.world.orchestrator.governance
    bad = recorder.in_force.model
    successor = recorder.in_force.head.provenance.parent_model
    change = governance.propose(
        ModelRetired(
            change=governance.next_number,
            model_hash=bad,
            successor=successor,
            reason="poisoned",
        ),
        by="operator",
    )
    for org in ("alpha", "bravo", "charlie"):
        approval = consent.approve(
            change,
            me=org_id(org),
            identity=api.keys[org],
            ledger=recorder.in_force.genesis_hash,
            now=api.world.clock.now(),
        )
        api.world.orchestrator.approve(change.digest, org_id(org), approval)
    api.world.step()
    height = recorder.size() - 1
    assert recorder.in_force.model == successor
    judged = api.send("POST", "/ledger/verify", {"model_hash": bad}).json()
    assert (judged["verified"], judged["trust_score"]) == (False, 0)
    assert judged["why"] == [f"the members have withdrawn it: block {height}"]
    assert api.send("POST", "/ledger/verify", {"model_hash": successor}).json()[
        "verified"
    ]


def test_signatures_are_held_against_the_models_own_block(settled):
    newest, before = (settled.send("GET", ONE[0].format(h)).json() for h in (4, 3))
    judged = settled.send(
        "POST",
        "/ledger/verify",
        {
            "model_hash": newest["model_hash"],
            "org_signatures": before["org_signatures"],
        },
    ).json()
    assert judged["verified"] is False
    assert len(judged["why"]) == 4
    one = {"alpha": newest["org_signatures"]["alpha"]}
    form = {"model_hash": newest["model_hash"], "org_signatures": one}
    assert settled.send("POST", "/ledger/verify", form).json()["verified"] is True
    nobody = {"nobody": one["alpha"]}
    form = {"model_hash": newest["model_hash"], "org_signatures": nobody}
    judged = settled.send("POST", "/ledger/verify", form).json()
    assert judged["why"] == ["nobody: no such signature on the ledger"]


def test_the_first_model_has_a_lineage_of_one_and_no_parent(settled):
    first = settled.world.recorder.in_force.genesis.initial_model
    found = settled.send("GET", LINEAGE[0].format(first)).json()
    (alone,) = found["lineage"]
    assert (alone["model_hash"], alone["parent_model"], alone["block_height"]) == (
        first, None, 0,
    )  # fmt: skip
