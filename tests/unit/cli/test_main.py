# SPDX-License-Identifier: Apache-2.0
"""Every command has help; every error is one line and an exit status."""

import json

import pytest
import typer

from fedxdr import __version__
from fedxdr.cli import main as main_module
from fedxdr.cli.main import COMMANDS, app, exit_status
from fedxdr.core import errors
from fedxdr.ledger import bundle as bundles


def every_command():
    """Return the words of every command, groups and what is in them."""

    def walk(command, words):
        yield words
        for name in getattr(command, "commands", None) or ():
            yield from walk(command.commands[name], (*words, name))

    root = typer.main.get_command(app)
    yield ()
    for name in COMMANDS:
        yield from walk(root.get_command(None, name), (name,))


@pytest.mark.parametrize("words", list(every_command()), ids=" ".join)
def test_every_command_explains_itself(run, words):
    done = run(*words, "--help")
    assert done.status == 0
    assert "Usage: fedxdr" in done.out
    assert done.err == ""
    sentences = [
        line.strip() for line in done.out.splitlines() if line.strip().endswith(".")
    ]
    assert sentences, "what it does, in a sentence"


def test_the_commands_are_those_that_are_promised(run):
    assert {" ".join(words) for words in every_command()} >= {
        "demo", "server init", "server run", "invite", "join", "agent run",
        "round start", "ledger export", "verify", "evaluate",
    }  # fmt: skip
    done = run("--help")
    for name in COMMANDS:
        assert name in done.out


def test_version(run):
    assert run("--version").out.strip() == __version__


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.VerificationFailed("x", step="1 y"), 1),
        (errors.InvalidSettings("x"), 2),
        (errors.BadSignature("x"), 2),
        (errors.InvitationRefused("x"), 3),
        (errors.WrongPhase("x"), 3),
        (errors.Unavailable("x"), 4),
        (errors.StorageFault("x"), 5),
        (errors.IntegrityFault("x"), 5),
    ],
)
def test_an_error_becomes_an_exit_status(error, status):
    assert exit_status(error) == status


def test_every_error_has_an_exit_status():
    def every(root):
        yield root
        for below in root.__subclasses__():
            yield from every(below)

    for kind in every(errors.FedxdrError):
        assert exit_status(kind.__new__(kind)) in {1, 2, 3, 4, 5}


def test_no_command_and_a_wrong_one(run):
    assert "Usage" in run().out
    for words in (("nosuch",), ("server", "nosuch"), ("verify",), ("join", "x")):
        done = run(*words)
        assert done.status == 2
        assert "Traceback" not in done.err + done.out


def test_what_the_system_refuses_is_one_line_too(fails, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device", "/var/x")

    monkeypatch.setattr(main_module, "app", full)
    fails(("anything",), 5, "storage-fault", "/var/x: No space left on device")


def test_markup_in_a_message_is_shown_as_it_is(fails, monkeypatch):
    def refuse(*_args, **_options):
        raise errors.InvalidSettings("[bold]x[/] " + "y" * 300)

    monkeypatch.setattr(main_module, "app", refuse)
    fails(("anything",), 2, "invalid-settings", "[bold]x[/]", "y" * 300)


@pytest.mark.parametrize("height", [3, None])
def test_a_failed_verification_is_an_object_where_one_is_asked_for(
    run, monkeypatch, height
):
    error = errors.VerificationFailed("other bytes", step="2 hash links", height=height)

    def refuse(*_args, **_options):
        raise error

    monkeypatch.setattr(main_module, "app", refuse)
    plain, asked = run("anything"), run("anything", "--json")
    assert (plain.status, plain.out) == (1, "")
    assert (asked.status, asked.err) == (1, plain.err)
    assert json.loads(asked.out) == {
        "verified": False,
        "step": "2 hash links",
        "height": height,
        "message": str(error),
    }
    # of other errors there is nothing to tell a program but the status
    error = errors.InvalidSettings("x")
    assert run("anything", "--json").out == ""


def test_every_command_that_verifies_tells_of_a_failure_as_json(run, bundle, tmp_path):
    read = bundles.read(bundle.read_bytes())
    (tmp_path / "policy").write_text(read.standing().policy_text())
    broken = tmp_path / "broken"
    broken.write_bytes(bundle.read_bytes().replace(b'"height":2', b'"height":4', 1))
    model = read.blocks[-1].block.model_hash
    for command in (
        ("verify", broken),
        ("ledger", "check", broken, "--policy", tmp_path / "policy"),
        ("lineage", model, "--bundle", broken),
    ):
        done = run(*command, "--json")
        assert done.status == 1
        assert done.err.startswith("error (verification-failed): ")
        told = json.loads(done.out)
        assert told["verified"] is False
        assert told["height"] == 2
        assert told["message"] in done.err
