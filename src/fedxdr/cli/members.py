# SPDX-License-Identifier: Apache-2.0
"""Commands of what members decide: ``members`` and ``plan``.

A person compares fingerprints: twelve words stand for the four keys of an organisation,
and are the same wherever they are shown.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fedxdr.app.deciding import Somebody, find_change, subject_of
from fedxdr.cli.console import OUT, print_json, table
from fedxdr.core import canonical
from fedxdr.core.errors import InvalidSettings
from fedxdr.core.ids import org_id
from fedxdr.crypto.words import words_of
from fedxdr.ledger import entries, statements
from fedxdr.ledger.entries import (
    Genesis,
    KeyCeremony,
    MemberEnrolled,
    MemberKeyRotated,
    MemberSuspended,
    ModelRetired,
    OrchestratorReplaced,
    PlanAdopted,
)
from fedxdr.ledger.statements import EnrolmentStatement
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
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask: it was compared.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@members.command("list")
def list_members(folder: Folder, *, as_json: AsJson = False) -> None:
    """Show members, open changes and the fingerprints to compare, in words."""
    somebody = Somebody.of(folder)
    answer = somebody.call("GET", "/federation/organizations?limit=200")
    known = answer["organizations"]
    changes = somebody.changes()
    if as_json:
        print_json(
            {
                "members": [
                    {**one, "words": list(words_of(one["fingerprint"]))}
                    for one in known
                ],
                "changes": [_told(change) for change in changes],
                "genesis": somebody.agent.genesis if somebody.agent else None,
            }
        )
        return
    if somebody.agent is not None and somebody.agent.genesis:
        OUT.print(f"Genesis: {somebody.agent.genesis}", highlight=False)
    table(
        "Members",
        ["organisation", "status", "fingerprint of its keys"],
        [[m["org_id"], m["status"], _words(m["fingerprint"])] for m in known],
    )
    for change in changes:
        _show(change)


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
    _print_proposed(change, folder, as_json=as_json)


@members.command("approve")
def approve_members(
    folder: Folder, which: Which = None, *, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Approve a change of the members, after comparing fingerprints."""
    _approve(folder, which, yes=yes, as_json=as_json, kinds=None)


@plan.command("show")
def show_plan(folder: Folder, *, as_json: AsJson = False) -> None:
    """Show the plans that wait for approvals."""
    changes = [c for c in Somebody.of(folder).changes() if _is_plan(c)]
    if as_json:
        print_json({"changes": [_told(change) for change in changes]})
        return
    for change in changes:
        _show(change)
    if not changes:
        OUT.print("No plan waits for approvals.")


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
    OUT.print(f"Plan {answer['plan_digest'][:16]}… {status}.", highlight=False)


@plan.command("approve")
def approve_plan(
    folder: Folder, which: Which = None, *, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Approve a plan that this organisation's agent does not approve by itself."""
    _approve(folder, which, yes=yes, as_json=as_json, kinds=(PlanAdopted, KeyCeremony))


def _approve(
    folder: Path,
    which: str | None,
    *,
    yes: bool,
    as_json: bool,
    kinds: tuple[type, ...] | None,
) -> None:
    somebody = Somebody.of(folder)
    open_now = [
        change
        for change in somebody.changes()
        if (_is_plan(change) if kinds else not _is_plan(change))
    ]
    # what becomes part of the Genesis is approved with it
    if any(isinstance(change.entry, Genesis) for change in open_now):
        open_now = [c for c in open_now if isinstance(c.entry, Genesis)]
    change = find_change(open_now, which)
    if not as_json:
        _show(change)
    if not yes and not typer.confirm("Do these words agree with what you were told?"):
        raise typer.Exit(3)
    told = somebody.approve(change)
    if as_json:
        print_json(_told(told))
    elif told.outcome == "adopted":
        OUT.print("Approved; it stands on the ledger now.")
    else:
        OUT.print(f"Approved, {len(told.approved_by)} so far.", highlight=False)


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


def _fingerprints(change: ProposedChange) -> dict[str, str]:
    """Return whose keys a change brings -> their fingerprint."""
    entry = change.entry
    match entry:
        case Genesis():
            founders = {str(o): str(f) for o, f in sorted(entry.founders.items())}
            return {"orchestrator": entry.orchestrator.fingerprint, **founders}
        case MemberEnrolled() | MemberKeyRotated():
            return {str(entry.org_id): entry.keys.fingerprint}
        case OrchestratorReplaced():
            return {"orchestrator": entry.orchestrator.fingerprint}
        case _:
            return {}


def _told(change: ProposedChange) -> dict[str, Any]:
    return {
        "digest": change.digest,
        "kind": change.entry.type,
        "subject": subject_of(change),
        "proposed_by": change.proposed_by,
        "approved_by": list(change.approved_by),
        "outcome": change.outcome,
        "fingerprints": {
            name: {"hex": found, "words": list(words_of(found))}
            for name, found in _fingerprints(change).items()
        },
    }


def _show(change: ProposedChange) -> None:
    rows: list[list[str]] = [
        ["digest", change.digest],
        ["proposed by", change.proposed_by],
        ["approved by", ", ".join(change.approved_by) or "nobody yet"],
    ]
    names = {
        str(statement.org): statement.name
        for _, statement in statements.by_organisation(
            change.envelopes, EnrolmentStatement
        ).values()
    }
    rows += [
        [f"keys of {name}" + (f" ({names[name]})" if name in names else ""), _words(f)]
        for name, f in _fingerprints(change).items()
    ]
    entry = change.entry
    if isinstance(entry, MemberSuspended | ModelRetired):
        rows.append(["reason", entry.reason])
    if isinstance(entry, PlanAdopted):
        kept = {k: v for k, v in entry.plan.items() if k != "layout"}
        rows.append(["plan", canonical.jcs(kept).decode()])
    table(f"{entry.type.split('/')[1]}: {subject_of(change)}", ["what", "value"], rows)


def _words(fingerprint: str) -> str:
    return " ".join(words_of(fingerprint))


def _print_proposed(change: ProposedChange, folder: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(_told(change))
        return
    _show(change)
    OUT.print(
        f"Each organisation now compares and runs `fedxdr members approve --dir …` "
        f"(not with {folder}).",
        highlight=False,
    )
