# SPDX-License-Identifier: Apache-2.0
"""The agent's loop: it outlives bad answers and silence, and stops when told to."""

import os
import signal
from dataclasses import dataclass, field

import pytest
from tests.unit.cli.test_lineage import shell

from fedxdr.api import agent_app
from fedxdr.cli import agent, dry_run
from fedxdr.core.errors import (
    BadSignature,
    IntegrityFault,
    InvalidSettings,
    NotFound,
    Unavailable,
    VerificationFailed,
)
from fedxdr.federation.floor import Floor
from fedxdr.federation.plan import MODES


@dataclass
class Opened:
    """Stands for an open participant; each step gives the next answer."""

    answers: list
    steps: list = field(default_factory=list)

    @property
    def participant(self):
        return self

    def follow_ledger(self):
        self.step(wait_s=0)

    def step(self, *, wait_s):
        self.steps.append(wait_s)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Models:
    """Stands for the mirror of models; counts how often it was its turn."""

    turns = 0

    def follow(self):
        self.turns += 1


@pytest.fixture
def models():
    return Models()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Pauses are noted, not waited for; signal handlers are put back."""
    pauses = []
    monkeypatch.setattr(agent.time, "sleep", pauses.append)
    before = signal.getsignal(signal.SIGTERM)
    yield pauses
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("nobody there"),
        BadSignature("not the orchestrator's"),
        VerificationFailed("block breaks a rule", step="5 links"),
        NotFound("no such round"),
    ],
    ids=lambda e: e.code,
)
def test_what_the_other_side_does_wrong_is_logged_and_asked_again(
    error, no_waiting, models, caplog
):
    opened = Opened([None, error, None, KeyboardInterrupt()])
    with caplog.at_level("INFO", logger="fedxdr.cli.agent"):
        assert agent._serve(opened, models) is False
    # models are mirrored between the rounds' steps
    assert models.turns == 2
    assert len(opened.steps) == 4
    assert no_waiting == [1.0]
    assert str(error) in {getattr(r, "reason", "") for r in caplog.records}
    assert caplog.records[-1].message == "stopped"


def test_a_fault_of_our_own_ends_the_process(models):
    opened = Opened([IntegrityFault("what is stored here was changed"), None])
    with pytest.raises(IntegrityFault):
        agent._serve(opened, models)
    assert len(opened.steps) == 1


def test_sigterm_ends_it_in_order(models):
    class Terminated(Opened):
        def step(self, *, wait_s):
            super().step(wait_s=wait_s)
            os.kill(os.getpid(), signal.SIGTERM)

    opened = Terminated([None, None])
    agent._serve(opened, models)
    assert len(opened.steps) == 1


def test_an_agent_may_start_before_its_orchestrator(no_waiting):
    opened = Opened([Unavailable("nobody there"), Unavailable("not yet"), None])
    agent._reach(opened)
    assert len(opened.steps) == 3
    assert no_waiting == [1.0, 1.0]


def test_an_agent_does_not_start_on_another_ledger():
    opened = Opened([BadSignature("another ledger than the one joined"), None])
    with pytest.raises(BadSignature):
        agent._reach(opened)


# The local floor as options.


def floor(**changed):
    options = {
        "min_survivors": 3,
        "accept_clear": False,
        "accept_modes": (),
        "max_epsilon": None,
        "units": (),
        "require_privacy": False,
    }
    return agent.floor_of(**(options | changed))


def test_without_options_the_floor_is_the_default():
    assert floor() == Floor()


def test_every_option_raises_or_widens_the_floor():
    assert floor(accept_modes=["paillier"]).modes == ("secagg", "paillier")
    widest = floor(accept_modes=["paillier", "committee"], accept_clear=True)
    assert widest.modes == MODES
    strict = floor(max_epsilon=2.0, units=["event"], require_privacy=True)
    assert strict == Floor(
        max_epsilon=2.0, units=("event",), allow_no_privacy_mechanism=False
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"accept_modes": ["clear"]}, "--accept-clear"),
        ({"accept_modes": ["open"]}, "committee or paillier"),
        ({"units": ["planet"]}, "--unit planet"),
        ({"max_epsilon": 0.0}, "--max-epsilon"),
        ({"max_epsilon": float("nan")}, "--max-epsilon"),
    ],
)
def test_an_option_that_is_none_is_refused(wrong, words):
    with pytest.raises(InvalidSettings, match=words):
        floor(**wrong)


def test_the_agents_routes_are_off_until_they_are_asked_for(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("nothing listens unless it is asked for")

    monkeypatch.setattr(agent_app, "listen", refuse)
    with agent._answering(None, None):
        pass


def test_a_wish_and_a_file_go_with_a_dry_run(fails):
    for option in (["--wish", "clip_norm=1"], ["--out", "x"]):
        fails(["agent", "run", "--dir", "nowhere", *option], 2, "invalid-settings")


def test_following_has_options_of_its_own(fails, place):
    place.join("aurora")
    run_it = ["agent", "run", "--dir", place.folder("aurora")]
    for options, words in (
        (["--zeek", "x", "--sink", "file:/x"], "--follow"),
        (["--zeek", "x", "--kafka", "h:1"], "--follow"),
        (["--zeek", "x", "--follow", "--dry-run"], "--dry-run"),
        (["--follow"], "--eve"),
        (["--zeek", "x", "--follow", "--budget", "0"], "--budget"),
        (["--zeek", "x", "--follow", "--sink", "ftp://x"], "sink"),
        (["--zeek", "x", "--follow", "--until", "noon"], "noon"),
        (["--zeek", "x", "--follow", "--topic", "t"], "--kafka"),
    ):
        fails([*run_it, *options], 2, "invalid-settings", words)


@dataclass
class Live:
    """Stands for live scoring; counts what the agent's loop asks of it."""

    fault: Exception | None = None
    followed: int = 0

    def follow(self, _participant):
        self.followed += 1
        self.check()

    def catch_up(self):
        self.check()

    def check(self):
        if self.fault is not None:
            raise self.fault


def test_models_are_offered_after_every_step(models):
    live = Live()
    agent._serve(Opened([None, None, KeyboardInterrupt()]), models, live)
    assert live.followed == 2


def test_what_ends_live_scoring_ends_the_agent(models):
    live = Live(fault=IntegrityFault("the spool was changed"))
    with pytest.raises(IntegrityFault):
        agent._serve(Opened([None, None]), models, live)
    with pytest.raises(IntegrityFault):
        agent._reach(Opened([Unavailable("nobody there")] * 3), live)


# Models, from a round over HTTP to what a stranger runs.


def test_a_committed_model_is_verified_by_strangers_on_both_sides(place, run):
    orgs = ("aurora", "borealis", "cascade")
    place.found(*orgs)
    model = place.run_round(*orgs)
    seals = place.server / "models" / model / "SHA256SUMS.sig"
    place.serve_until(seals.exists)
    opened = place.agent("aurora")
    try:
        with agent._mirroring(opened) as models:
            models.follow()
            models._work.result(60)
    finally:
        opened.close()
    for folder in (place.server, place.folder("aurora")):
        done = run("lineage", model, "--how-to-verify", "--dir", folder)
        assert done.status == 0, done.err
        assert str(folder / "models" / model) in done.out
        verified = shell(done.out)
        assert verified.returncode == 0, verified.stderr
        # and the first model, that of the Genesis, lies there as well
        assert len(list((folder / "models").glob("?" * 64))) == 2
    ours, theirs = (
        {p.name: p.read_bytes() for p in (f / "models" / model).iterdir()}
        for f in (place.server, place.folder("aurora"))
    )
    assert ours == theirs


# A dry run.


def test_a_dry_run_sends_nothing_at_all(place, run, monkeypatch):
    """Not even the cosignature of the head that it reads, nor an approval."""
    place.found("aurora", "borealis", "cascade")
    heads = place.network.opened.orchestrator.heads
    seen = []

    def look(opened, *_, **__):
        opened.follow_ledger()
        opened.participant.step(wait_s=0)
        seen.append((opened.participant.mirror.size(), opened.client.sent_bytes))

    monkeypatch.setattr(dry_run, "print_dry_run", look)
    monkeypatch.setattr(agent, "load_learner", lambda *_: None)
    orchestrator = place.network.opened.orchestrator
    change = orchestrator.propose_plan({"clip_norm": 5.0})
    folder = place.folder("aurora")
    done = run("agent", "run", "--dir", folder, "--zeek", "x", "--dry-run")
    assert done.status == 0, done.err
    assert seen == [(1, 0)]
    assert heads.cosigned_by(1) == ()
    assert orchestrator.governance.proposal(change.digest).approved_by == ()
    # as a running agent does
    place.run_agents("aurora")
    assert heads.cosigned_by(1) == ("aurora",)
    assert orchestrator.governance.proposal(change.digest).approved_by == ("aurora",)


def test_on_a_link_that_only_reads_messages_stay_here():
    class Real:
        def send(self, *_):
            raise AssertionError("sent")

        cosign = approve = send

        def checkpoint(self, size):
            return size

    link = dry_run.reading_only(Real())
    assert link.checkpoint(7) == 7
    link.send("round-1", "keys", b"x")
    link.cosign(1, b"x")
    link.approve("0" * 64, None)
