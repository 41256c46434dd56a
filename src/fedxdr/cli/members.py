# SPDX-License-Identifier: Apache-2.0
"""Commands of what members decide: ``members`` and ``plan``.

A person compares fingerprints: twelve words stand for the four keys of an organisation,
and are the same wherever they are shown.

Not here: how a change is shown (showing.py), what is signed and sent (app/deciding.py).

Rule that always holds: what is approved was shown here and confirmed, or, with
``--yes``, is named by its digest.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fedxdr.app.agreed import Agreed, agreed_in
from fedxdr.app.deciding import Somebody, find_change, require_digest
from fedxdr.cli import showing
from fedxdr.cli.console import OUT, print_json, table
from fedxdr.core.errors import InvalidSettings, Unavailable
from fedxdr.core.ids import org_id
from fedxdr.crypto.words import words_of
from fedxdr.ledger import entries
from fedxdr.ledger.entries import (
    Genesis,
    KeyCeremony,
    MemberSuspended,
    PlanAdopted,
)
from fedxdr.ledger.forms import require_text
from fedxdr.parties.changes import ProposedChange, governed

members = typer.Typer(no_args_is_help=True, help="Who is a member, and who decides.")
plan = typer.Typer(no_args_is_help=True, help="The plan of the rounds.")

Folder = Annotated[
    Path, typer.Option("--dir", help="An organisation's or the orchestrator's folder.")
]
Which = Annotated[
    str | None,
    typer.Argument(help="Organisation or digest; default: the only open change."),
]
Digits = Annotated[
    str, typer.Argument(help="Digest of the change, or its first 8 digits or more.")
]
Yes = Annotated[
    bool,
    typer.Option("--yes", help="Do not ask: it was compared; takes its digest only."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@members.command("list")
def list_members(folder: Folder, *, as_json: AsJson = False) -> None:
    """Show members, open changes and the fingerprints to compare, in words."""
    somebody = Somebody.of(folder)
    agreed = agreed_in(folder)
    try:
        answer = somebody.call("GET", "/federation/organizations?limit=200")
        changes = somebody.changes()
    except Unavailable as error:
        _list_mirrored(_mirror(somebody, agreed, error), error, as_json=as_json)
        return
    known = answer["organizations"]
    if as_json:
        print_json(
            {
                "source": "orchestrator",
                "members": [
                    {**one, "words": list(words_of(one["fingerprint"]))}
                    for one in known
                ],
                "changes": [showing.told(change, agreed) for change in changes],
                "genesis": somebody.agent.genesis if somebody.agent else None,
            }
        )
        return
    if somebody.agent is not None and somebody.agent.genesis:
        OUT.print(f"Genesis: {somebody.agent.genesis}", highlight=False)
    table(
        "Members",
        ["organisation", "status", "fingerprint of its keys"],
        [[m["org_id"], m["status"], showing.words(m["fingerprint"])] for m in known],
    )
    for change in changes:
        showing.show(change, agreed)


def _mirror(somebody: Somebody, agreed: Agreed | None, error: Unavailable) -> Agreed:
    """Return what a member's mirror says while the orchestrator is away."""
    if somebody.agent is None or agreed is None:
        raise error
    return agreed


def _list_mirrored(agreed: Agreed, error: Unavailable, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "source": "mirror",
                "blocks": agreed.blocks,
                "members": [
                    {
                        "org_id": org,
                        "status": "active",
                        "fingerprint": found,
                        "words": list(words_of(found)),
                    }
                    for org, found in agreed.members.items()
                ],
                "changes": [],
                "genesis": agreed.genesis,
            }
        )
        return
    _say_mirrored(agreed, error)
    OUT.print(f"Genesis: {agreed.genesis}", highlight=False)
    table(
        "Members",
        ["organisation", "fingerprint of its keys"],
        [
            ["orchestrator", showing.words(agreed.orchestrator)],
            *([org, showing.words(found)] for org, found in agreed.members.items()),
        ],
    )


def _say_mirrored(agreed: Agreed, error: Unavailable) -> None:
    OUT.print(
        f"The orchestrator does not answer ({error}). So says this organisation's own "
        f"mirror of the ledger: {agreed.blocks} blocks, the newest of "
        f"{agreed.newest_at:%Y-%m-%d %H:%M} UTC. What is proposed only the "
        "orchestrator knows.",
        highlight=False,
        markup=False,
    )


@members.command("propose")
def propose_members(
    folder: Folder,
    *,
    found: Annotated[
        bool, typer.Option("--found", help="Found the federation with all who joined.")
    ] = False,
    suspend: Annotated[
        str | None, typer.Option(help="An organisation that shall leave.")
    ] = None,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="New keys for this organisation.")
    ] = False,
    reason: Annotated[str, typer.Option(help="For people, of a suspension.")] = "",
    entry: Annotated[
        Path | None, typer.Option(help="File with another change as JSON.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Propose a change of the members; who joined is proposed already."""
    if (found, suspend is not None, rotate, entry is not None).count(True) != 1:
        raise InvalidSettings("name one of --found, --suspend, --rotate, --entry")
    if suspend is not None:
        if not reason:
            raise InvalidSettings(
                "--suspend needs --reason: those who approve it read it, and it stands "
                "on the ledger"
            )
        require_text(reason, "--reason")
    somebody = Somebody.of(folder)
    if found:
        change = ProposedChange.from_value(
            somebody.call("POST", "/federation/found", {})
        )
    elif rotate:
        change = somebody.propose(*somebody.rotation())
    elif suspend is not None:
        change = somebody.propose(
            MemberSuspended(
                change=somebody.next_change(), org_id=org_id(suspend), reason=reason
            )
        )
    else:
        change = somebody.propose(_entry_in(entry, somebody.next_change()))
    if as_json:
        print_json(showing.told(change, agreed_in(folder)))
        return
    showing.show(change, agreed_in(folder))
    OUT.print(
        "Each organisation now compares and runs, with its own folder:\n"
        f"fedxdr members approve {change.digest} --dir DIR",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


@members.command("approve")
def approve_members(
    folder: Folder, which: Which = None, *, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Approve a change of the members, after comparing fingerprints."""
    _approve(folder, which, yes=yes, as_json=as_json, are_plans=False)


@members.command("withdraw")
def withdraw_members(
    folder: Folder, digest: Digits, *, as_json: AsJson = False
) -> None:
    """Take back a change of the members that this organisation proposed."""
    _withdraw(folder, digest, as_json=as_json, are_plans=False)


@plan.command("show")
def show_plan(folder: Folder, *, as_json: AsJson = False) -> None:
    """Show the plans that wait for approvals, against the plan in force."""
    somebody = Somebody.of(folder)
    agreed, away = agreed_in(folder), None
    try:
        changes = [c for c in somebody.changes() if _is_plan(c)]
    except Unavailable as error:
        agreed, changes, away = _mirror(somebody, agreed, error), [], error
    if as_json:
        print_json(
            {
                "source": "orchestrator" if away is None else "mirror",
                "changes": [showing.told(change, agreed) for change in changes],
                "in_force": None if agreed is None else agreed.plan,
            }
        )
        return
    for change in changes:
        showing.show(change, agreed)
    if away is not None and agreed is not None:
        _say_mirrored(agreed, away)
    elif not changes:
        OUT.print("No plan waits for approvals.")
    if not changes and agreed is not None:
        showing.show_plan_in_force(agreed)


@plan.command("propose")
def propose_plan(
    folder: Folder,
    *,
    mode: Annotated[
        str | None, typer.Option(help="secagg, committee, paillier or clear.")
    ] = None,
    helper: Annotated[
        list[str] | None, typer.Option(help="Of mode committee, repeatable.")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="What each may spend of its privacy.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="FIELD=JSON of the plan.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Propose a plan; agents approve what keeps to their local floor."""
    from fedxdr.cli.serve import mode_wishes, privacy_wishes, setting_of  # noqa: PLC0415 - only here

    config = mode_wishes(folder, mode, helpers=helper or ())
    config |= privacy_wishes(folder, epsilon=epsilon)
    config |= dict(setting_of(text) for text in setting or ())
    answer = Somebody.of(folder).call("POST", "/federation/plan", {"config": config})
    if as_json:
        print_json(answer)
        return
    status = "in force" if answer["outcome"] == "adopted" else "waits for approvals"
    OUT.print(
        f"Change {answer['digest']}\nto plan {answer['plan_digest']}\n{status}.",
        highlight=False,
        soft_wrap=True,
    )


@plan.command("approve")
def approve_plan(
    folder: Folder, which: Which = None, *, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Approve a plan that this organisation's agent does not approve by itself."""
    _approve(folder, which, yes=yes, as_json=as_json, are_plans=True)


@plan.command("withdraw")
def withdraw_plan(folder: Folder, digest: Digits, *, as_json: AsJson = False) -> None:
    """Take back a plan or a key ceremony that waits for approvals."""
    _withdraw(folder, digest, as_json=as_json, are_plans=True)


def _approve(
    folder: Path,
    which: str | None,
    *,
    yes: bool,
    as_json: bool,
    are_plans: bool,
) -> None:
    if yes:
        require_digest(which)
    somebody = Somebody.of(folder)
    open_now = _open_now(somebody, are_plans=are_plans)
    # what becomes part of the Genesis is approved with it
    if any(isinstance(change.entry, Genesis) for change in open_now):
        open_now = [c for c in open_now if isinstance(c.entry, Genesis)]
    change = find_change(open_now, which, by_digest=yes)
    if not as_json:
        showing.show(change, agreed_in(folder))
    if not yes and not typer.confirm(_question(change)):
        raise typer.Exit(3)
    told = somebody.approve(change)
    _print_outcome(told, folder, done="Approved", as_json=as_json)
    if told.outcome == "withdrawn":
        raise typer.Exit(3)


def _withdraw(folder: Path, digest: str, *, as_json: bool, are_plans: bool) -> None:
    somebody = Somebody.of(folder)
    change = find_change(_open_now(somebody, are_plans=are_plans), digest)
    told = somebody.withdraw(change)
    _print_outcome(told, folder, done="Taken back", as_json=as_json)


def _print_outcome(
    change: ProposedChange, folder: Path, *, done: str, as_json: bool
) -> None:
    if as_json:
        print_json(showing.told(change, agreed_in(folder)))
        return
    match change.outcome:
        case "adopted":
            said = f"{done}; it stands on the ledger now."
        case "withdrawn":
            why = change.why or "the orchestrator does not say why"
            said = f"{done}; it is withdrawn: {why}."
        case _:
            said = f"{done}, {len(change.approved_by)} so far."
    OUT.print(said, highlight=False, markup=False, soft_wrap=True)


def _open_now(somebody: Somebody, *, are_plans: bool) -> list[ProposedChange]:
    return [found for found in somebody.changes() if _is_plan(found) is are_plans]


def _question(change: ProposedChange) -> str:
    if _is_plan(change):
        return "Is this what this organisation wants?"
    return "Do these words agree with what you were told?"


def _is_plan(change: ProposedChange) -> bool:
    return isinstance(change.entry, PlanAdopted | KeyCeremony)


def _entry_in(path: Path | None, number: int) -> Any:  # noqa: ANN401 - a Change
    if path is None:
        raise InvalidSettings("--entry takes a file")
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InvalidSettings(f"{path} holds no JSON object") from error
    if not isinstance(value, dict):
        raise InvalidSettings(f"{path} holds no JSON object")
    return governed(entries.parse({**value, "change": number}))
