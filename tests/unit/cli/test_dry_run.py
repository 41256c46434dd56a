# SPDX-License-Identifier: Apache-2.0
"""A dry run shows what the link would send, for every mode, and nothing else."""

import base64
import dataclasses
import functools

import numpy as np
import pytest

from fedxdr.app.learners import load
from fedxdr.app.orchestrating import plan_with
from fedxdr.app.privacy_plan import mode_fields, privacy_fields
from fedxdr.cli import dry_run
from fedxdr.cli.rehearsal import Rehearsed, rehearse, tasks_of
from fedxdr.core.errors import Refused
from fedxdr.core.ids import OrgId, sha256
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.exchange import HybridPrivateKey
from fedxdr.federation.floor import Floor
from fedxdr.federation.plan import MODES, Plan, default_threshold
from fedxdr.learning import features as feature_sets
from fedxdr.parties.collecting.mode import no_share
from fedxdr.secagg.encrypted.ceremony import CeremonyKey, hold, open_box
from fedxdr.secagg.encrypted.paillier import PrivateKey
from fedxdr.simulation import traffic
from fedxdr.simulation.federation import SimulatedFederation
from fedxdr.transport.loopback import Loopback

ORGS = tuple(OrgId(name) for name in ("aurora", "borealis", "cascade"))
ME = ORGS[0]
ARCHITECTURE = feature_sets.find("traffic-event").architecture(
    neighbour=2, mixer=2, embedding=2
)
# 512 bits, made once by primes.safe_prime: for tests and nothing else
PRIMES = PrivateKey(
    p=0xD75D3E21FF44322CE34EF1B95D141B657CB12F091531A2F784ED5A2B2F035243,
    q=0xF48183DCE17550F6442F0B10B901D5A5CA36A98A3E94D9D76887BBCD18D999AB,
)
KEYS = {
    org: HybridPrivateKey.from_seed(bytes([place]) * 32)
    for place, org in enumerate(ORGS)
}


@functools.cache
def held():
    return hold(
        PRIMES,
        [CeremonyKey(holder=o, key=key.public) for o, key in KEYS.items()],
        threshold=3,
        entropy=SeededEntropy(1),
    )


def share_of(org):
    return lambda record: open_box(record, org, held().boxes[org], KEYS[org])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Telemetry of three organisations as files."""
    folder = tmp_path_factory.mktemp("telemetry")
    made = traffic.generate(organisations=ORGS, seed=0)
    return traffic.write(made, folder), made


@pytest.fixture(scope="module")
def learner(world, tmp_path_factory):
    found, made = world
    folder = tmp_path_factory.mktemp("aurora")
    return load(folder, [str(found[ME].conn)], name=ME, until=made.cut)


def plan_of(mode, **more):
    fields = mode_fields(mode, members=ORGS, ceremony=held().record.fingerprint)
    if mode == "paillier":
        more.setdefault("quantisation_bits", 20)
    base = Plan(
        federation="f",
        run_id="run-1",
        participants=3,
        threshold=default_threshold(3),
        layout=ARCHITECTURE.layout,
        architecture=ARCHITECTURE.describe(),
    )
    return plan_with(base, fields | more)


def rehearsed(mode, learner, task="training", **more):
    return rehearse(
        task,
        org=ME,
        members=ORGS,
        plan=plan_of(mode, **more),
        model=ARCHITECTURE.first_vector(0),
        learner=learner,
        ceremony=held().record if mode == "paillier" else None,
        share_of=share_of(ME),
    )


class Noting(Loopback):
    """A link that writes down what it sends."""

    def __init__(self, orchestrator, org, sent):
        super().__init__(orchestrator, org)
        self.sent = sent

    def send(self, round_id, step, body):
        self.sent.append((str(step), body))
        super().send(round_id, step, body)


def really_sent(mode, learner, task, **more):
    """Return what an agent's link sends in a whole round among agents with data."""
    plan, sent = plan_of(mode, **more), []
    given = ("federation", "run_id", "participants", "version")
    names = [f.name for f in dataclasses.fields(plan) if f.name not in given]
    federation = SimulatedFederation(
        dict.fromkeys(ORGS, learner),
        plan={name: getattr(plan, name) for name in names},
        initial=ARCHITECTURE.first_vector(0),
        floor=Floor(modes=MODES),
        link_of=lambda o, org: Noting(o, org, sent if org == ME else []),
    )
    if mode == "paillier":
        federation.publish(held().record)
        for org, participant in federation.participants.items():
            participant._desk = dataclasses.replace(
                participant._desk, share_of=share_of(org)
            )
    federation.run_round(task=task)
    return sent


def shape(value):
    """Return types and names of fields, without values."""
    match value:
        case dict():
            return {name: shape(inner) for name, inner in value.items()}
        case list():
            return [shape(inner) for inner in value]
        case bool() | None:
            return type(value).__name__
        case int() | float():
            return "number"
        case _:
            return type(value).__name__


def told_of(body):
    parts, vector = dry_run.parts_of(body)
    return (
        [(part["type"], shape(part["fields"])) for part in parts],
        None if vector is None else len(vector),
    )


@pytest.mark.parametrize("task", ["statistics", "training"])
@pytest.mark.parametrize("mode", MODES)
def test_what_is_shown_is_what_the_link_sends(mode, task, learner):
    found = rehearsed(mode, learner, task)
    real = really_sent(mode, learner, task)
    missing = {"acceptance"} if mode == "paillier" else set()
    assert set(found.missing) == missing
    shown = [(str(message.step), *told_of(message.body)) for message in found.sent]
    assert shown == [
        (step, *told_of(body)) for step, body in real if step not in missing
    ]
    assert len(shown) >= 3


def test_a_private_round_claims_its_figures(learner):
    more = privacy_fields("traffic-event", epsilon=8.0, rounds=1)
    plan = plan_of("secagg", **more)
    assert tasks_of(plan) == ("training",)
    found = rehearsed("secagg", learner, **more)
    real = really_sent("secagg", learner, "training", **more)
    assert [(str(m.step), *told_of(m.body)) for m in found.sent] == [
        (step, *told_of(body)) for step, body in real
    ]
    (statement,) = [
        part["fields"]
        for message in dry_run.report([found])["messages"]
        for part in message["parts"]
        if "contribution-statement" in part["type"]
    ]
    assert statement["privacy"]["mechanism"] == "dp-sgd"
    assert statement["privacy"]["occurrences"] == 16


def strings_of(world):
    """Return addresses and names that stand in the raw log."""
    found, _ = world
    lines = [
        line.split("\t")
        for line in found[ME].conn.read_text().splitlines()
        if not line.startswith("#")
    ]
    names = next(
        line
        for line in found[ME].conn.read_text().splitlines()
        if line.startswith("#fields")
    ).split("\t")[1:]
    at = [names.index(name) for name in ("id.orig_h", "id.resp_h", "uid")]
    return {line[place] for line in lines for place in at}


@pytest.mark.parametrize("mode", MODES)
def test_no_address_of_the_logs_is_in_any_byte(mode, learner, world):
    raw = strings_of(world)
    assert len(raw) > 100
    assert any("." in text for text in raw)
    told = dry_run.report([rehearsed(mode, learner)])
    held_bytes = []
    for message in told["messages"]:
        body = base64.b64decode(message["body"])
        held_bytes.append(body)
        held_bytes += [repr(part["fields"]).encode() for part in message["parts"]]
        if message["vector"] is not None:
            held_bytes.append(base64.b64decode(message["vector"]))
    everything = b"\x00".join(held_bytes)
    assert [text for text in raw if text.encode() in everything] == []


def test_two_rehearsals_mask_alike_nothing(learner):
    """The simulation's coins are seeded; masks of a dry run must not be."""
    first, second = (rehearsed("secagg", learner) for _ in range(2))

    def vector(found):
        return next(
            dry_run.parts_of(m.body)[1] for m in found.sent if m.step == "contribution"
        )

    one, other = (np.frombuffer(vector(f), np.uint8) for f in (first, second))
    assert one.shape == other.shape
    assert (one == other).mean() < 0.1


def test_the_report_holds_every_byte_in_order(learner):
    found = rehearsed("clear", learner)
    told = dry_run.report([found])
    data = dry_run.bodies([found])
    assert told["bytes"] == len(data)
    for message in told["messages"]:
        begin = message["offset"]
        body = data[begin : begin + message["bytes"]]
        assert base64.b64decode(message["body"]) == body
        assert message["sha256"] == sha256(body)
    lines = dry_run.lines(told)
    assert any(line.startswith("training: contribution") for line in lines)
    assert any("sample_exponent = " in line for line in lines)
    vector = base64.b64decode(told["messages"][1]["vector"])
    assert any(f"begins {vector[:32].hex()}" in line for line in lines)
    assert not any(vector[:33].hex() in line for line in lines)


def test_what_cannot_be_rehearsed_is_named():
    told = dry_run.report([Rehearsed(sent=(), reads={}, missing=("acceptance",))])
    assert told["missing"] == ["acceptance"]


def test_a_round_that_would_be_refused_is_refused_here(learner):
    with pytest.raises(Refused, match="holds no share"):
        rehearse(
            "training",
            org=ME,
            members=ORGS,
            plan=plan_of("paillier"),
            model=ARCHITECTURE.first_vector(0),
            learner=learner,
            ceremony=held().record,
            share_of=no_share,
        )


def test_members_without_names_fill_up_to_three(learner):
    plan = dataclasses.replace(plan_of("secagg"), participants=3)
    found = rehearse(
        "training", org=ME, members=[ME], plan=plan,
        model=ARCHITECTURE.first_vector(0), learner=learner,
    )  # fmt: skip
    assert found.missing == ()
