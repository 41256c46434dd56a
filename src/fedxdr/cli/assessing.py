# SPDX-License-Identifier: Apache-2.0
"""``agent assess``, and an organisation's logs as options of its commands."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from fedxdr.app.participating import AgentFile, OpenParticipant
from fedxdr.cli.console import print_json, table
from fedxdr.core import canonical
from fedxdr.core.errors import InvalidSettings

Folder = Annotated[Path, typer.Option("--dir", help="The organisation's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Eve = Annotated[
    list[str] | None, typer.Option(help="Suricata EVE files (glob), repeatable.")
]
Zeek = Annotated[
    list[str] | None, typer.Option(help="Zeek logs (file, folder, glob), repeatable.")
]
Until = Annotated[
    str | None, typer.Option(help="Train on events before this RFC 3339 time only.")
]


def assess(
    folder: Folder,
    truth: Annotated[Path, typer.Option(help="CSV of connection,label,technique.")],
    until: Annotated[str, typer.Option(help="Where the past ends, RFC 3339.")],
    eve: Eve = None,
    zeek: Zeek = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Compare, on what came after UNTIL, this organisation alone and federated."""
    value = assessment(folder, eve=eve, zeek=zeek, until=until, truth=truth)
    if as_json:
        print_json(value)
        return
    rows = [[key, str(found)] for key, found in value.items()]
    table("Alone and federated", ["what", "value"], rows)


def assessment(
    folder: Path,
    *,
    eve: list[str] | None,
    zeek: list[str] | None,
    until: str,
    truth: Path,
) -> dict[str, Any]:
    """Return what ``agent assess`` prints, as a JSON object.

    Raises:
        InvalidSettings: no round was run yet, or no source was named.
    """
    from fedxdr.simulation.truth import read_truth  # noqa: PLC0415 - not for `run`

    learner = load_learner(folder, eve, zeek, until)
    opened = OpenParticipant(folder, learner=learner)
    try:
        opened.follow_ledger()
        participant = opened.participant
        plan = participant.mirror.in_force.plan
        if plan is None:
            raise InvalidSettings("no round was run yet: there is nothing to compare")
        found = learner.assess(
            federated=participant.model(),
            plan=plan,
            rounds=participant.mirror.in_force.tasks.count("training"),
            labels_of=read_truth(truth).labels_of,
        )
        return {"org_id": opened.file.org, **canonical.builtins(found)}
    finally:
        opened.close()


def load_learner(
    folder: Path, eve: list[str] | None, zeek: list[str] | None, until: str | None
) -> Any:  # noqa: ANN401 - a Trainer; its type needs torch
    """Return this organisation's data, read and pseudonymised under its own key.

    Raises:
        InvalidSettings: no source was named, or UNTIL is not a time.
        InvalidTelemetry: a source that cannot be read.
    """
    from fedxdr.app.learners import load  # noqa: PLC0415 - imports torch

    sources = [*(eve or ()), *(zeek or ())]
    if not sources:
        raise InvalidSettings(
            "name this organisation's logs: --eve '/var/log/suricata/eve*.json' or "
            "--zeek /var/log/zeek"
        )
    return load(
        folder,
        sources,
        name=AgentFile.read(folder).org,
        until=None if until is None else instant(until),
    )


def instant(text: str) -> datetime:
    """Return an RFC 3339 time; without an offset it is UTC.

    Raises:
        InvalidSettings: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidSettings(f"{text!r} is no RFC 3339 time") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
