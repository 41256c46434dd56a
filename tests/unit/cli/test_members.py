# SPDX-License-Identifier: Apache-2.0
"""``members`` and ``plan`` as their users type them, on a federation's own folders."""

import dataclasses
import functools
import io
import json
import re
import sys

import httpx
import pytest

from fedxdr.app.deciding import Somebody
from fedxdr.app.participating import AgentFile, key_of
from fedxdr.app.server_file import operator_key
from fedxdr.cli import serve
from fedxdr.core import canonical
from fedxdr.crypto.words import words_of
from fedxdr.ledger.entries import MemberSuspended
from fedxdr.transport.client import Client

ORGS = ("aurora", "borealis", "cascade")


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """A terminal on which no word is broken."""
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr("fedxdr.cli.console.OUT.width", 400, raising=False)


@pytest.fixture
def place(place, network, monkeypatch):
    """The federation's folders; `round`, `invite` and `plan` reach it as well."""
    monkeypatch.setattr(serve, "Client", functools.partial(Client, transport=network))
    return place


@pytest.fixture
def founded(place):
    place.found(*ORGS)
    place.run_agents(*ORGS)
    return place


@pytest.fixture
def says(run, monkeypatch):
    """Run a command for somebody who answers its question."""

    def command(answer, *arguments):
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{answer}\n"))
        return run(*arguments)

    return command


def told(run, *command):
    done = run(*command, "--json")
    assert done.status == 0, done.err
    return json.loads(done.out)


def words(folder, name=None):
    key = operator_key(folder, name=name) if name else key_of(folder)
    return list(words_of(key.public.fingerprint))


def listed(run, folder):
    return told(run, "members", "list", "--dir", folder)


def open_changes(place):
    return place.network.opened.orchestrator.governance.proposals()


# The founding.


def test_a_federation_is_founded_by_commands_alone(place, run, says):
    for org in ORGS:
        invited = told(run, "invite", org, "--dir", place.server)
        joined = told(run, "join", invited["token"], "--dir", place.folder(org))
        assert joined["words"] == words(place.folder(org))
    change = told(run, "members", "propose", "--found", "--dir", place.server)
    assert (change["subject"], change["kind"]) == ("founding", "fedxdr/genesis/v2")
    # everybody sees the same words for the same keys
    shown = {name: one["words"] for name, one in change["fingerprints"].items()}
    assert shown == {
        "orchestrator": words(place.server, "orchestrator"),
        **{org: words(place.folder(org)) for org in ORGS},
    }
    approve = ("members", "approve", "founding")
    # who says that the words differ approves nothing
    done = says("n", *approve, "--dir", place.folder("aurora"))
    assert done.status == 3
    for name, their in shown.items():
        assert " ".join(their) in done.out, name
    assert change["digest"] in done.out
    (genesis,) = (c for c in open_changes(place) if c.digest == change["digest"])
    assert genesis.approved_by == ()
    assert AgentFile.read(place.folder("aurora")).founding == ""
    # who says that they agree does
    done = says("y", *approve, "--dir", place.folder("aurora"))
    assert done.status == 0
    assert "Approved, 1 so far" in done.out
    # so does who brings the digest along that was compared before
    approve = ("members", "approve", change["digest"])
    first = told(run, *approve, "--dir", place.folder("borealis"), "--yes")
    assert (first["outcome"], first["approved_by"]) == ("", ["aurora", "borealis"])
    done = run(*approve, "--dir", place.folder("cascade"), "--yes")
    assert "stands on the ledger now" in done.out
    members = place.network.opened.orchestrator.recorder.in_force.members
    assert tuple(sorted(members)) == ORGS


def test_without_an_answer_nothing_is_approved(place, run, monkeypatch):
    place.join("aurora")
    place.operator().call("POST", "/federation/found", {})
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    done = run("members", "approve", "--dir", place.folder("aurora"))
    assert done.status != 0
    assert all(not change.approved_by for change in open_changes(place))


# Listing.


def test_before_the_founding_those_who_joined_are_listed_as_open(place, run):
    place.join("aurora", "borealis")
    found = listed(run, place.folder("aurora"))
    assert found["members"] == []
    assert [change["subject"] for change in found["changes"]] == ["aurora", "borealis"]
    assert found["changes"][1]["fingerprints"]["borealis"]["words"] == words(
        place.folder("borealis")
    )
    done = run("members", "list", "--dir", place.server)
    assert done.status == 0, done.err
    assert " ".join(words(place.folder("borealis"))) in done.out


def test_members_are_listed_with_the_words_of_their_keys(founded, run):
    found = listed(run, founded.folder("cascade"))
    assert [one["org_id"] for one in found["members"]] == list(ORGS)
    for one in found["members"]:
        assert one["words"] == words(founded.folder(one["org_id"]))
    assert found["changes"] == []
    in_force = founded.network.opened.orchestrator.recorder.in_force
    assert found["genesis"] == in_force.genesis_hash
    done = run("members", "list", "--dir", founded.folder("cascade"))
    assert in_force.genesis_hash in done.out
    for org in ORGS:
        assert " ".join(words(founded.folder(org))) in done.out


@pytest.mark.parametrize(
    "command",
    [
        ("members", "list"),
        ("members", "propose", "--found"),
        ("members", "approve"),
        ("plan", "show"),
        ("plan", "propose"),
        ("plan", "approve"),
    ],
    ids=" ".join,
)
def test_nobodys_folder_is_named(fails, tmp_path, command):
    place = tmp_path / "nobody"
    fails([*command, "--dir", place], 2, "invalid-settings", str(place))


def test_a_server_that_is_away_is_told(place, run, fails, monkeypatch):
    assert run
    place.join("aurora")
    monkeypatch.setattr(
        "fedxdr.app.deciding.Client", Client
    )  # the real network, where nobody listens on that port
    file = AgentFile.read(place.folder("aurora"))
    dataclasses.replace(file, server="http://127.0.0.1:1").write(place.folder("aurora"))
    fails(["members", "list", "--dir", place.folder("aurora")], 4, "unavailable")


@pytest.fixture
def away(founded, run, monkeypatch):
    """The orchestrator is gone for good; its members have seen a plan."""
    command = ("plan", "propose", "--set", "clip_norm=5", "--dir", founded.server)
    assert run(*command).status == 0
    founded.run_agents(*ORGS, steps=2)
    assert founded.network.opened.orchestrator.recorder.in_force.plan.clip_norm == 5

    def fail(request):
        raise httpx.ConnectError("nobody listens", request=request)

    monkeypatch.setattr(founded.network, "handle_request", fail)
    return founded


def test_without_an_orchestrator_members_read_their_own_mirror(away, run, fails):
    in_force = away.network.opened.orchestrator.recorder.in_force
    folder = away.folder("borealis")
    found = told(run, "members", "list", "--dir", folder)
    assert (found["source"], found["blocks"]) == ("mirror", 2)
    assert found["genesis"] == in_force.genesis_hash
    assert [(one["org_id"], one["words"]) for one in found["members"]] == [
        (org, words(away.folder(org))) for org in ORGS
    ]
    shown = run("members", "list", "--dir", folder).out
    assert "The orchestrator does not answer" in shown
    assert "own mirror of the ledger: 2 blocks" in shown
    assert in_force.genesis_hash in shown
    for org in ORGS:
        assert " ".join(words(away.folder(org))) in shown
    assert " ".join(words(away.server, "orchestrator")) in shown
    # the operator has no mirror, but what failed it
    fails(["members", "list", "--dir", away.server], 4, "unavailable")
    fails(["members", "approve", "--dir", folder], 4, "unavailable")


def test_without_an_orchestrator_the_plan_in_force_is_read_all_the_same(away, run):
    folder = away.folder("borealis")
    found = told(run, "plan", "show", "--dir", folder)
    assert (found["source"], found["changes"]) == ("mirror", [])
    assert found["in_force"]["clip_norm"] == 5
    shown = run("plan", "show", "--dir", folder).out
    assert "own mirror of the ledger" in shown
    assert "No plan waits" not in shown
    assert re.search(r"clip_norm +5\n", shown)


def test_who_has_seen_no_ledger_has_nothing_else_to_read(place, fails, monkeypatch):
    place.join("aurora")
    monkeypatch.setattr("fedxdr.app.deciding.Client", Client)
    file = AgentFile.read(place.folder("aurora"))
    dataclasses.replace(file, server="http://127.0.0.1:1").write(place.folder("aurora"))
    fails(["plan", "show", "--dir", place.folder("aurora")], 4, "unavailable")


# Proposing.


@pytest.mark.parametrize(
    "options",
    [[], ["--found", "--rotate"], ["--suspend", "x", "--rotate"]],
    ids=str,
)
def test_one_change_is_proposed_at_a_time(place, fails, options):
    command = ["members", "propose", "--dir", place.server, *options]
    fails(command, 2, "invalid-settings", "name one of --found")


@pytest.mark.parametrize("reason", [(), ("--reason", "")], ids=str)
def test_a_suspension_without_a_reason_is_sent_nowhere(founded, fails, reason):
    founded.network.opened.close()  # nothing comes that far
    command = ["members", "propose", "--suspend", "cascade", *reason]
    fails(
        [*command, "--dir", founded.folder("aurora")],
        2, "invalid-settings", "--suspend needs --reason",
    )  # fmt: skip


def test_a_suspension_takes_the_others(founded, run):
    server = founded.server
    change = told(
        run, "members", "propose", "--suspend", "cascade", "--reason", "left us",
        "--dir", server,
    )  # fmt: skip
    assert (change["subject"], change["proposed_by"]) == ("cascade", "operator")
    assert change["fingerprints"]["cascade"]["words"] == words(
        founded.folder("cascade")
    )
    assert change["entry"]["reason"] == "left us"
    shown = run("members", "list", "--dir", founded.folder("aurora")).out
    assert "left us" in shown
    for org in ("aurora", "borealis"):
        done = told(
            run, "members", "approve", change["digest"][:16],
            "--dir", founded.folder(org), "--yes",
        )  # fmt: skip
    assert done["outcome"] == "adopted"
    assert [one["org_id"] for one in listed(run, server)["members"]] == [
        "aurora", "borealis",
    ]  # fmt: skip


def test_new_keys_are_proposed_by_their_own_organisation(founded, run, fails):
    fails(
        ["members", "propose", "--rotate", "--dir", founded.server],
        2, "invalid-settings", "its own keys",
    )  # fmt: skip
    folder = founded.folder("aurora")
    old = words(folder)
    change = told(run, "members", "propose", "--rotate", "--dir", folder)
    assert change["subject"] == "aurora"
    new = change["fingerprints"]["aurora"]["words"]
    assert new != old == words(folder)
    # the same words at whoever approves
    seen = listed(run, founded.folder("borealis"))["changes"][0]
    assert seen["fingerprints"]["aurora"]["words"] == new


def test_another_change_comes_from_a_file(founded, run, fails, tmp_path):
    path = tmp_path / "change.json"
    entry = MemberSuspended(change=999, org_id="cascade", reason="from a file")
    path.write_bytes(canonical.encode(entry))
    command = ["members", "propose", "--entry", path, "--dir", founded.server]
    assert told(run, *command)["subject"] == "cascade"
    (change,) = open_changes(founded)
    assert (change.entry.change, change.entry.reason) == (1, "from a file")
    for text in ("", "[]", "7"):
        path.write_text(text)
        fails(command, 2, "invalid-settings", "change.json")
    fails([*command[:3], tmp_path / "none", *command[4:]], 2, "invalid-settings")
    path.write_text('{"type": "fedxdr/tea/v1"}')
    fails(command, 2, "malformed-message")


# Approving.


def test_of_several_changes_one_is_named(founded, says, fails):
    for org in ("delta", "ember"):
        founded.join(org)
    folder = founded.folder("aurora")
    approve = ["members", "approve", "--dir", folder]
    fails(approve, 3, "not-found", "more than one", "delta (", "ember (")
    fails([*approve, "fox"], 3, "not-found", "none", "delta (")
    fails([*approve, open_changes(founded)[0].digest[:7]], 3, "not-found", "none")
    assert all(not change.approved_by for change in open_changes(founded))
    done = says("y", *approve, "ember")
    assert "Approved, 1 so far" in done.out
    (ember,) = (c for c in open_changes(founded) if c.approved_by)
    assert (ember.entry.org_id, ember.approved_by) == ("ember", ("aurora",))
    by_digest = next(c for c in open_changes(founded) if not c.approved_by).digest
    assert "member-enrolled: delta" in says("y", *approve, by_digest[:8]).out
    # the second approval takes it in; the other is proposed anew under the next number
    done = says("y", "members", "approve", "ember", "--dir", founded.folder("borealis"))
    assert "it stands on the ledger now" in done.out
    (left,) = open_changes(founded)
    assert (left.entry.org_id, left.approved_by, left.entry.change) == ("delta", (), 2)


@pytest.mark.parametrize(
    "named", [(), ("delta",), ("f" * 15,), ("F" * 16,), ("f" * 65,)], ids=str
)
@pytest.mark.parametrize("command", ["members", "plan"])
def test_unseen_nothing_is_approved_but_by_its_digest(founded, fails, named, command):
    """A server may show one change to who compares, and another to who signs."""
    founded.join("delta")
    folder = founded.folder("aurora")
    approve = [command, "approve", *named, "--dir", folder, "--yes"]
    for further in ([], ["--json"]):
        fails([*approve, *further], 2, "invalid-settings", "by its digest", "16 digits")
    assert open_changes(founded)[0].approved_by == ()


def test_a_name_that_is_a_digest_is_none_with_yes(founded, run, fails):
    founded.join("deadbeefdeadbeef")
    (change,) = open_changes(founded)
    command = ["members", "approve", "--dir", founded.folder("aurora"), "--yes"]
    fails([*command, "deadbeefdeadbeef"], 3, "not-found", change.digest[:16])
    assert told(run, *command, change.digest)["approved_by"] == ["aurora"]


def test_what_an_approval_came_to_is_said(founded, run, monkeypatch):
    """Withdrawn too, and why; a program sees it by the exit code."""
    founded.join("delta")
    (change,) = open_changes(founded)
    withdrawn = dataclasses.replace(change, outcome="withdrawn", why="cannot stand")
    monkeypatch.setattr(Somebody, "approve", lambda *_: withdrawn)
    command = ["members", "approve", change.digest, "--yes", "--dir"]
    done = run(*command, founded.folder("aurora"))
    assert done.status == 3
    assert "it is withdrawn: cannot stand" in done.out
    done = run(*command, founded.folder("aurora"), "--json")
    found = json.loads(done.out)
    assert (done.status, found["outcome"], found["why"]) == (
        3, "withdrawn", "cannot stand",
    )  # fmt: skip


def test_the_operator_approves_nothing(founded, fails):
    founded.join("delta")
    (change,) = open_changes(founded)
    command = ["members", "approve", change.digest, "--dir", founded.server, "--yes"]
    fails([*command, "--json"], 2, "invalid-settings", "no say")
    assert open_changes(founded)[0].approved_by == ()


def test_an_organisation_that_has_not_seen_the_ledger_is_told_what_to_do(place, fails):
    place.found(*ORGS)
    place.join("delta")
    (change,) = open_changes(place)
    command = ["members", "approve", change.digest, "--dir", place.folder("aurora")]
    fails([*command, "--yes", "--json"], 2, "invalid-settings", "agent run")


# Withdrawing.


def test_who_proposed_a_change_takes_it_back(founded, run, fails):
    folder = founded.folder("aurora")
    suspend = ("members", "propose", "--suspend", "cascade", "--reason", "left us")
    change = told(run, *suspend, "--dir", folder)
    withdraw = ("members", "withdraw", change["digest"][:16])
    fails(
        [*withdraw, "--dir", founded.folder("cascade")],
        2, "unknown-sender", "only who proposed",
    )  # fmt: skip
    fails(["plan", *withdraw[1:], "--dir", folder], 3, "not-found")
    fails([*withdraw[:2], "0" * 16, "--dir", folder], 3, "not-found")
    done = run(*withdraw, "--dir", folder)
    assert (done.status, done.out) == (
        0, "Taken back; it is withdrawn: aurora took it back.\n",
    )  # fmt: skip
    assert open_changes(founded) == []


def test_the_operator_takes_a_plan_back(founded, run):
    told(run, "plan", "propose", "--set", "clip_norm=5", "--dir", founded.server)
    (change,) = open_changes(founded)
    command = ("plan", "withdraw", change.entry.plan_digest, "--dir", founded.server)
    found = told(run, *command)
    assert (found["digest"], found["outcome"]) == (change.digest, "withdrawn")
    assert open_changes(founded) == []


# The plan.


def test_a_plan_waits_for_people_where_agents_ask_them(founded, run, fails):
    server = founded.server
    assert "No plan waits" in run("plan", "show", "--dir", server).out
    done = run("plan", "propose", "--set", "clip_norm=5", "--dir", server)
    assert done.status == 0, done.err
    (change,) = open_changes(founded)
    assert done.out == (
        f"Change {change.digest}\nto plan {change.entry.plan_digest}\n"
        "waits for approvals.\n"
    )
    founded.run_agents(*ORGS, asks=True)
    (change,) = told(run, "plan", "show", "--dir", founded.folder("aurora"))["changes"]
    assert (change["subject"], change["approved_by"]) == ("plan-adopted", [])
    digest = change["entry"]["plan_digest"]
    shown = run("plan", "show", "--dir", founded.folder("aurora")).out
    assert re.search(r"clip_norm +5\n", shown)
    # it is no change of the members
    command = ["members", "approve", digest, "--dir", founded.folder("aurora")]
    fails([*command, "--yes", "--json"], 3, "not-found", "there are: none")
    for org in ("aurora", "borealis"):
        done = run("plan", "approve", digest, "--dir", founded.folder(org), "--yes")
        assert done.status == 0, done.err
    assert "stands on the ledger" in done.out
    plan = founded.network.opened.orchestrator.recorder.in_force.plan
    assert plan.clip_norm == 5
    done = run("plan", "show", "--dir", server)
    assert "No plan waits" in done.out
    assert f"digest  {digest}" in done.out
    assert re.search(r"clip_norm +5\n", done.out)


def test_members_and_plans_are_approved_each_by_its_command(founded, fails):
    founded.join("delta")
    (change,) = open_changes(founded)
    command = ["plan", "approve", "--dir", founded.folder("aurora")]
    fails(command, 3, "not-found", "there are: none")
    fails([*command, "delta"], 3, "not-found", "there are: none")
    fails([*command, change.digest, "--yes"], 3, "not-found", "there are: none")


def test_a_plan_is_the_operators_to_propose(founded, fails):
    command = ["plan", "propose", "--dir", founded.folder("aurora"), "--json"]
    fails(command, 2, "unknown-sender", "only the operator")
    fails(
        ["plan", "propose", "--set", "colour=red", "--dir", founded.server],
        2, "invalid-plan", "colour",
    )  # fmt: skip
    fails(
        ["plan", "propose", "--helper", "aurora", "--dir", founded.server],
        2, "invalid-settings", "--mode committee",
    )  # fmt: skip
    assert open_changes(founded) == []


def test_a_round_that_waits_says_who_is_missing(founded, fails):
    command = ["round", "start", "--dir", founded.server]
    fails(command, 4, "waiting-for-quorum", "aurora, borealis, cascade", "plan approve")
    assert founded.network.opened.orchestrator.current is None
