# SPDX-License-Identifier: Apache-2.0
"""``round start``: what its options ask of the server."""

import base64
import json

import pytest

from fedxdr.app.orchestrating import first_model
from fedxdr.app.privacy_plan import privacy_fields
from fedxdr.cli import serve
from fedxdr.core.errors import NotFound
from fedxdr.models import snapshot

OPENED = {
    "round_id": "round-1-0",
    "round_number": 1,
    "task": "training",
    "participants": ["a", "b", "c"],
    "privacy_params": {"collection_mode": "secagg", "mechanism": "none"},
}


@pytest.fixture
def server(monkeypatch):
    """A server that answers from a table and keeps what it was asked to open."""
    card = first_model("traffic-event").card
    file = snapshot.save(
        first_model("traffic-event").vector,
        layout=card.layout,
        architecture=card.architecture,
    )
    inline = {"weights": {"inline": base64.b64encode(file).decode()}}
    answers = {
        "/federation/organizations?limit=200": {
            "organizations": [{"org_id": name} for name in ("d", "a", "c", "b")]
        },
        "/federation/key-ceremony": {"fingerprint": "f" * 64},
        "/federation/global-model?inline=true": inline,
        "/federation/round/start": OPENED,
    }
    asked = []

    def as_operator(folder, method, path, form=None, *, wait_s=0.0):
        assert str(folder) == "srv"
        # the members' agents are waited for where they have a say
        assert wait_s == (serve.CONSENT_S if method == "POST" else 0)
        if method == "POST":
            asked.append(form)
        answer = answers[path]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(serve, "as_operator", as_operator)
    as_operator.answers, as_operator.asked = answers, asked
    return as_operator


def wished(run, server, *options):
    done = run("round", "start", "--dir", "srv", *options)
    assert done.status == 0, done.err
    return server.asked[-1]["config"]


def test_without_options_the_server_decides(run, server):
    assert wished(run, server) == {}
    assert server.asked == [{"config": {}}]


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        (["secagg"], {"collection_mode": "secagg"}),
        (
            ["committee"],
            {
                "collection_mode": "committee",
                "max_weight_exponent": 0,
                "helpers": ["a", "b", "c"],
            },
        ),
        (
            ["committee", "--helper", "d", "--helper", "b"],
            {
                "collection_mode": "committee",
                "max_weight_exponent": 0,
                "helpers": ["b", "d"],
            },
        ),
        (
            ["paillier"],
            {
                "collection_mode": "paillier",
                "max_weight_exponent": 0,
                "paillier_key": "f" * 64,
            },
        ),
        (["clear"], {"collection_mode": "clear", "acknowledge_clear": True}),
    ],
)
def test_a_mode_brings_what_it_needs(run, server, options, fields):
    assert wished(run, server, "--mode", *options) == fields


def test_a_promise_is_made_for_the_model_in_force(run, server):
    options = ("--epsilon", 8, "--rounds-planned", 2)
    assert wished(run, server, *options) == privacy_fields(
        "traffic-event", epsilon=8.0, rounds=2
    )


def test_what_is_set_by_hand_wins(run, server):
    fields = wished(
        run, server, "--mode", "secagg", "--set", "collection_mode=clear",
        "--wish", "clip_norm=2",
    )  # fmt: skip
    assert fields == {"collection_mode": "clear", "clip_norm": 2}


def test_people_are_told_how_a_round_is_protected(run, server):
    done = run("round", "start", "--dir", "srv")
    assert "mode secagg, differential privacy none" in " ".join(done.out.split())
    told = json.loads(run("round", "start", "--dir", "srv", "--json").out)
    assert told == OPENED
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--helper", "a"], "--mode committee"),
        (["--mode", "open"], "secagg, committee, paillier, clear"),
        (["--delta", "1e-6"], "--epsilon"),
        (["--unit", "event"], "--epsilon"),
        (["--rounds-planned", 3], "--epsilon"),
        (["--epsilon", 8, "--unit", "planet"], "--unit planet"),
        (["--set", "clip_norm"], "FIELD=JSON"),
    ],
)
def test_options_that_do_not_go_together_are_refused(fails, server, options, words):
    command = ["round", "start", "--dir", "srv", *options]
    fails(command, 2, "invalid-settings", words)
    assert server.asked == []


def test_a_mode_whose_key_is_missing_says_what_to_do(fails, server):
    server.answers["/federation/key-ceremony"] = NotFound("none")
    command = ["round", "start", "--dir", "srv", "--mode", "paillier"]
    fails(command, 2, "invalid-settings", "fedxdr keys publish")
    assert server.asked == []
