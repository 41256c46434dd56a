# SPDX-License-Identifier: Apache-2.0
"""Routes of rounds: both documents' paths, who may, and every field answered."""

import base64
import dataclasses
import json
import time

import numpy as np
import pytest

from fedxdr.core import canonical
from fedxdr.core.ids import sha256
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation import messages, wire
from fedxdr.federation.phases import Phase
from fedxdr.federation.sessions import Step
from fedxdr.ledger.statements import ContributionStatement

START = ("/federation/round/start", "/federation/start-round")
SUBMIT = ("/federation/round/submit-gradient", "/federation/submit-gradient")


READ = (
    "/federation/organizations",
    "/federation/standing",
    "/federation/status",
    "/federation/global-model",
    "/federation/round/{round_id}/status",
    "/federation/round/{round_id}/announcement",
    "/federation/round/{round_id}/evidence",
    "/federation/round/{round_id}/contribution/{contribution}",
    "/federation/round/{round_id}/key-list",
    "/federation/model/{model}",
)


@pytest.mark.parametrize("path", READ)
def test_every_reading_route_asks_who_reads(settled, problem, path):
    round_ = settled.world.orchestrator.current
    path = path.format(
        round_id=round_.announcement.round_id,
        contribution=settled.world.orchestrator.contributions(round_)["alpha"],
        model=settled.world.recorder.in_force.model,
    )
    assert settled.get(path).status_code == 200
    problem(settled.send("GET", path), 401, "unauthorised")


def test_status_at_a_glance_has_every_field(settled):
    assert settled.get("/federation/status").json() == {
        "current_round": 3,
        "total_orgs": 4,
        "active_orgs": 4,
        "global_model_version": "v3",
        "last_aggregation": "2026-01-01T00:00:00Z",
        "training_accuracy": pytest.approx(0.5, abs=1e-5),
        "privacy_budget_used": None,
    }


def test_the_status_of_a_round_has_every_field(settled, problem):
    round_id = settled.get("/federation/standing").json()["round_id"]
    found = settled.get(f"/federation/round/{round_id}/status").json()
    assert found == {
        "round_id": round_id,
        "round_number": 3,
        "task": "training",
        "status": "completed",
        "phase": "committed",
        "orgs_submitted": 4,
        "orgs_expected": 4,
        "convergence_metric": found["convergence_metric"],
        "waiting_for": [],
        "deadline": None,
        "reason": None,
        "height": 4,
    }
    assert found["convergence_metric"] > 0
    answer = settled.get("/federation/round/round-9-000000000000/status")
    problem(answer, 404, "not-found", "no round")
    assert settled.get("/federation/round/..%2f/status").status_code in {404, 422}


def test_standing_answers_at_once_on_news_and_holds_without(settled):
    now = settled.get("/federation/standing").json()
    assert set(now) == {
        "round_id", "phase", "height", "changes", "quorate", "restored", "awaited",
    }  # fmt: skip
    assert now["changes"] == now["awaited"] == []
    assert now["restored"] is False
    assert now["quorate"] == now["height"] + 1
    known = f"round_id={now['round_id']}&phase={now['phase']}&height={now['height']}"
    began = time.monotonic()
    held = settled.get(f"/federation/standing?{known}&wait_s=0.1")
    assert time.monotonic() - began >= 0.1
    began = time.monotonic()
    news = settled.get("/federation/standing?height=0&wait_s=20")
    assert time.monotonic() - began < 15
    assert held.json() == news.json() == now
    # who knows more of it waits for more
    for more, is_held in (
        (f"&quorate={now['quorate']}&restored=false&awaited=", True),
        (f"&quorate={now['quorate'] - 1}", False),
        ("&restored=true", False),
        ("&awaited=alpha", False),
    ):
        began = time.monotonic()
        wait_s = 0.1 if is_held else 20
        settled.get(f"/federation/standing?{known}{more}&wait_s={wait_s}")
        assert (time.monotonic() - began >= 0.1) or not is_held
        assert time.monotonic() - began < 15


def test_a_change_that_waits_for_approvals_is_news(api):
    before = api.get("/federation/standing").json()
    known = "&".join(f"{k}={before[k] or ''}" for k in ("round_id", "phase", "height"))
    told = api.post("/federation/plan", {"config": {"clip_norm": 5}}).json()
    began = time.monotonic()
    now = api.get(f"/federation/standing?{known}&changes=&wait_s=20").json()
    assert time.monotonic() - began < 15
    assert now == before | {"changes": [told["digest"]]}


# Opening a round.


@pytest.mark.parametrize("path", START)
def test_a_round_opens_on_both_paths(api, path):
    answer = api.start({"round_number": 1, "config": {"clip_norm": 5}}, path=path)
    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert set(found) == {
        "round_id", "round_number", "task", "status", "participants", "started_at",
        "deadline", "plan_digest", "privacy_params",
    }  # fmt: skip
    assert found["status"] == "in_progress"
    assert found["task"] == "statistics"
    assert found["participants"] == ["alpha", "bravo", "charlie", "delta"]
    assert found["privacy_params"] == {
        "mechanism": "none", "collection_mode": "secagg", "clipping_norm": 5,
    }  # fmt: skip
    assert found["plan_digest"] == api.world.recorder.in_force.plan.digest
    assert found["deadline"] > found["started_at"]


def test_only_the_operator_opens_rounds_and_invites(api, problem):
    for path, form in ((START[0], {}), ("/federation/invitations", {"org_id": "x"})):
        answer = api.post(path, form, by="alpha")
        problem(answer, 403, "unknown-sender", "only the operator")
        by_token = api.send("POST", path, form, headers=api.bearer())
        problem(by_token, 401, "bad-signature")
    assert api.world.orchestrator.current is None


@pytest.mark.parametrize(
    ("form", "status", "code", "word"),
    [
        ({"round_number": 7}, 409, "wrong-phase", "number 1"),
        ({"round_number": 0}, 422, "malformed-message", "round_number"),
        ({"global_weights": "0" * 64}, 409, "wrong-phase", "model in force"),
        ({"task": "sing"}, 422, "malformed-message", "task"),
        ({"colour": "red"}, 422, "malformed-message", "colour"),
        ({"config": {"colour": "red"}}, 422, "invalid-plan", "colour"),
        ({"min_orgs_required": 2}, 422, "invalid-plan", "min_survivors"),
        ({"min_orgs_required": 5}, 422, "invalid-plan", "min_survivors"),
        ({"aggregation_method": "Sum"}, 422, "invalid-plan", "Sum"),
        (
            {
                "aggregation_method": "RobustAggregator",
                "config": {"robust_method": "median"},
            },
            422,
            "invalid-plan",
            "clear",
        ),
        ([], 422, "malformed-message", ""),
        (b"{", 422, "malformed-message", "JSON"),
    ],
)
def test_a_round_that_cannot_be_is_refused_in_words(  # noqa: PLR0917 - fixtures
    api, problem, form, status, code, word
):
    problem(api.post(START[0], form), status, code, word)
    assert api.world.orchestrator.current is None


def test_one_round_at_a_time(api, problem):
    assert api.post(START[0]).status_code == 201
    problem(api.post(START[1]), 409, "wrong-phase", "is running")


# Sending.


def test_a_whole_round_over_http_commits_and_every_link_method_works(api):
    api.use_http()
    for _ in range(2):
        assert api.start().status_code == 201
        for _ in range(20):
            for participant in api.world.participants.values():
                participant.step(wait_s=0)
            if api.world.orchestrator.current.is_ended:
                break
        assert api.world.orchestrator.current.phase is Phase.COMMITTED
    assert len(api.world.orchestrator.current.survivors) == 4


@pytest.mark.parametrize("path", SUBMIT)
@pytest.mark.parametrize("is_json", [False, True])
def test_a_contribution_is_taken_on_both_paths_in_both_forms(api, path, is_json):
    round_id, held = api.bring_to(Step.CONTRIBUTION, held=["alpha"])
    body = held["alpha"]
    path = f"{path}?round_id={round_id}"
    if is_json:
        round_ = api.world.orchestrator.current
        size = api.world.orchestrator.contribution_bytes(round_)
        made = wire.unpack_contribution(body, size_bytes=size)
        body = json.dumps(
            {
                "statement": made.statement.to_value(),
                "vector": base64.b64encode(made.vector).decode(),
            }
        ).encode()
    headers = api.headers("alpha", "POST", path, body)
    if not is_json:
        headers["content-type"] = "application/cbor"
    answer = api.send("POST", path, body, headers=headers)
    assert answer.status_code == 202, answer.text
    found = answer.json()
    assert set(found) == {
        "status", "gradient_id", "received_at", "ack", "aggregation_eta",
    }  # fmt: skip
    assert (found["status"], found["ack"]) == ("accepted", True)
    stored = api.world.orchestrator.current.arrived["contribution"]["alpha"]
    assert found["gradient_id"] == stored


def test_the_same_message_again_gets_the_same_receipt(api):
    round_id, held = api.bring_to(Step.SHARES, held=["alpha", "bravo"])
    path = f"/federation/round/{round_id}/shares"
    first = api.post(path, held["alpha"], by="alpha")
    api.world.clock.advance(seconds=2)
    again = api.post(path, held["alpha"], by="alpha")
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert set(first.json()) == {"status", "digest", "received_at"}


def test_a_message_signed_by_another_organisation_is_refused(api, problem):
    round_id, held = api.bring_to(Step.KEYS, held=["alpha", "bravo"])
    path = f"/federation/round/{round_id}/keys"
    # another one's message under one's own request
    answer = api.post(path, held["alpha"], by="bravo")
    problem(answer, 401, "bad-signature")
    # somebody who is no member
    stranger = IdentityKey.generate(api.entropy)
    problem(api.post(path, held["alpha"], by=stranger), 403, "unknown-sender")
    # the operator writes no contributions
    problem(api.post(path, held["alpha"], by="operator"), 403, "unknown-sender")
    assert api.world.orchestrator.current.sent("keys") == ("charlie", "delta")


def test_late_unknown_and_malformed_messages_are_refused(api, problem):
    round_id, held = api.bring_to(Step.SHARES, held=["alpha"])
    keys = f"/federation/round/{round_id}/keys"
    shares = f"/federation/round/{round_id}/shares"
    problem(api.post(shares, b"[]", by="alpha"), 422, "invalid-input")
    problem(api.post(shares, b"\xff", by="alpha"), 422, "malformed-message")
    problem(api.post(f"{keys}x", held["alpha"], by="alpha"), 404, "not-found")
    other = shares.replace(round_id, "round-9-000000000000")
    problem(api.post(other, held["alpha"], by="alpha"), 404, "not-found")
    problem(api.post(keys, held["alpha"], by="alpha"), 422, "malformed-message")
    answer = api.get(f"/federation/round/{round_id}/mail")
    problem(answer, 404, "not-found", "no mail yet")
    problem(api.get(f"/federation/round/{round_id}/teapot"), 404, "not-found")


def test_nothing_of_a_round_is_shown_before_it_is_opened(api, problem):
    round_id, _ = api.bring_to(Step.UNMASKING, held=["alpha"])
    orchestrator = api.world.orchestrator
    name = orchestrator.contributions(orchestrator.current)["bravo"]
    path = f"/federation/round/{round_id}"
    problem(api.get(f"{path}/evidence"), 404, "not-found", "not open")
    problem(api.get(f"{path}/contribution/{name}"), 404, "not-found")
    problem(api.get(f"{path}/proposal"), 404, "not-found")


@pytest.mark.parametrize("path", SUBMIT)
def test_a_plaintext_gradient_is_refused_with_the_reason(api, problem, path):
    round_id = api.start().json()["round_id"]
    form = {
        "round_id": round_id,
        "org_id": "alpha",
        "gradient": {"model_weights": [0.1, 0.2], "shape": [2], "samples_seen": 10},
    }
    answer = api.post(f"{path}?round_id={round_id}", form, by="alpha")
    problem(answer, 409, "wrong-phase", "plaintext gradient", "secagg")
    assert not api.world.orchestrator.current.arrived


def test_a_contribution_without_a_round_is_refused(api, problem):
    answer = api.post(SUBMIT[0], {"statement": {}}, by="alpha")
    problem(answer, 409, "wrong-phase", "no round")


def test_in_clear_an_update_that_is_not_finite_or_too_long_is_refused(
    make_api, problem
):
    api = make_api(clear=True, rounds=1)
    assert canonical.builtins(api.world.recorder.in_force.plan)["collection_mode"] == (
        "clear"
    )
    round_id, held = api.bring_to(Step.CONTRIBUTION, held=["alpha"])
    path = f"{SUBMIT[0]}?round_id={round_id}"
    made = wire.unpack_contribution(held["alpha"], size_bytes=36)
    values = np.frombuffer(made.vector, "<f4")
    for value, word in (
        (np.nan, "not-finite"),
        (np.inf, "not-finite"),
        (1e6, "norm-over-bound"),
    ):
        changed = np.where(np.arange(9) == 3, np.float32(value), values)
        vector = changed.astype("<f4").tobytes()
        said = canonical.decode(made.statement.payload, ContributionStatement)
        said = dataclasses.replace(said, contribution_digest=sha256(vector))
        body = wire.pack_contribution(
            wire.Contribution(
                statement=messages.sign(said, api.keys["alpha"]), vector=vector
            )
        )
        headers = api.headers("alpha", "POST", path, body)
        headers["content-type"] = "application/cbor"
        answer = api.send("POST", path, body, headers=headers)
        problem(answer, 422, "invalid-update", word)
    assert api.world.orchestrator.current.sent("contribution") == (
        "bravo", "charlie", "delta",
    )  # fmt: skip
