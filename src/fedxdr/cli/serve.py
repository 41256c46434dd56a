# SPDX-License-Identifier: Apache-2.0
"""Commands of the operator: ``server``, ``invite``, ``round``.

The commands beside ``server`` talk to the running server over HTTP and sign as the
operator with the key in its folder.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fedxdr.app.server_file import ServerFile, operator_key
from fedxdr.cli.backup import backup, catch_up, compact, restore
from fedxdr.cli.console import OUT, print_json, start_logging, table
from fedxdr.core.canonical import jcs
from fedxdr.core.clock import SystemClock
from fedxdr.core.errors import InvalidSettings, NotFound, Unavailable
from fedxdr.core.randomness import SystemEntropy
from fedxdr.crypto.words import words_of
from fedxdr.transport.client import Client

server = typer.Typer(no_args_is_help=True, help="The orchestrator.")
rounds = typer.Typer(no_args_is_help=True, help="Rounds of the federation.")

CONSENT_S = 20.0
"""How long members' agents are waited for when a plan needs their approvals."""

Folder = Annotated[Path, typer.Option("--dir", help="The orchestrator's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@server.command()
def init(
    folder: Folder,
    federation: Annotated[str, typer.Option(help="Name of the federation.")] = (
        "federation"
    ),
    features: Annotated[
        str,
        typer.Option(
            help="What is learnt from: traffic; entities, where users are nodes too; "
            "traffic-event where single events are to be hidden (differential privacy)."
        ),
    ] = "traffic",
    database: Annotated[
        str, typer.Option(help="postgresql+psycopg://… instead of a SQLite file.")
    ] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Make an orchestrator's folder: keys and first model."""
    from fedxdr.app.orchestrating import first_model, initialise  # noqa: PLC0415

    initialise(
        folder, federation=federation, model=first_model(features), database=database
    )
    keys = operator_key(folder, name="orchestrator").public
    words = words_of(keys.fingerprint)
    if as_json:
        print_json(
            {
                "dir": str(folder),
                "orchestrator_keyid": keys.keyid,
                "orchestrator_fingerprint": keys.fingerprint,
                "words": list(words),
            }
        )
        return
    OUT.print(f"Orchestrator of [bold]{federation}[/] made in {folder}.")
    OUT.print(f"Fingerprint of its keys: {' '.join(words)}", highlight=False)
    OUT.print(f"Next: fedxdr server run --dir {folder}", highlight=False)


server.command("backup")(backup)
server.command("restore")(restore)
server.command("catch-up")(catch_up)
server.command("compact")(compact)


@server.command()
def run(
    folder: Folder,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for a free one.")] = 8000,
    *,
    anchor_rpc: Annotated[
        str | None,
        typer.Option(help="Node of a chain on which cosigned heads are anchored."),
    ] = None,
    anchor_contract: Annotated[
        str | None, typer.Option(help="Address that `ledger anchor deploy` printed.")
    ] = None,
    anchor_key: Annotated[
        Path | None, typer.Option(help="Key file of the contract's owner.")
    ] = None,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING.")] = "INFO",
) -> None:
    """Serve the federation until stopped."""
    import uvicorn  # noqa: PLC0415 - the other commands start faster without

    from fedxdr.api.app import create_app  # noqa: PLC0415 - the same
    from fedxdr.app.orchestrating import OpenOrchestrator  # noqa: PLC0415 - the same
    from fedxdr.app.settings import plan_settings  # noqa: PLC0415 - the same
    from fedxdr.cli.anchored import anchor_target, anchored  # noqa: PLC0415 - the same

    start_logging(level=log_level)
    target = anchor_target(anchor_rpc, anchor_contract, anchor_key)
    opened = OpenOrchestrator(folder, settings=plan_settings())
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        opened.close()
        raise InvalidSettings(f"cannot listen on {host}:{port}: {error}") from error
    bound = listener.getsockname()[1]
    address = f"http://{host}:{bound}"
    dataclasses.replace(opened.file, address=address).write(folder)
    OUT.print(f"Serving on {address}", highlight=False)
    app = create_app(opened.service)
    config = uvicorn.Config(
        app,
        log_config=None,
        lifespan="on",
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    serving = uvicorn.Server(config)
    # who listens to events is let go first, or the server would wait for them
    app.state.listeners.ends = lambda: serving.should_exit
    try:
        with anchored(opened.service, folder, target):
            serving.run(sockets=[listener])
    finally:
        opened.close()


def invite(
    org: Annotated[str, typer.Argument(help="Name the organisation will have.")],
    folder: Folder,
    server_address: Annotated[
        str | None,
        typer.Option("--server", help="Address to write into the invitation."),
    ] = None,
    expires_s: Annotated[
        int, typer.Option("--expires-s", help="Seconds until it expires.")
    ] = 86_400,
    *,
    as_json: AsJson = False,
) -> None:
    """Print a one-time invitation for an organisation."""
    form: dict[str, Any] = {"org_id": org, "lifetime_s": expires_s}
    if server_address is not None:
        form["server"] = server_address
    answer = as_operator(folder, "POST", "/federation/invitations", form)
    if as_json:
        print_json(answer)
        return
    OUT.print("Hand this line to the organisation; it works once:", style="dim")
    print(f"fedxdr join '{answer['token']}' --dir ./{org}")


@rounds.command("start")
def start_round(
    folder: Folder,
    task: Annotated[
        str | None, typer.Option(help="statistics or training; default: in turn.")
    ] = None,
    *,
    mode: Annotated[
        str | None,
        typer.Option(help="secagg (default), committee, paillier or clear."),
    ] = None,
    helper: Annotated[
        list[str] | None,
        typer.Option(help="Who holds seeds in mode committee, repeatable."),
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(help="Promise differential privacy: what each may spend."),
    ] = None,
    delta: Annotated[
        float | None, typer.Option(help="Of the promise; default 1e-5.")
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(help="Whom it hides: event (default), entity, organisation."),
    ] = None,
    rounds_planned: Annotated[
        int | None,
        typer.Option(help="Training rounds the budget is to last for; default 20."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "--wish", help="FIELD=JSON of the plan, e.g. clip_norm=5."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Open a round.

    The options make the plan: the same ones again go on under the plan in force, others
    put another plan on the ledger first.
    """
    config = mode_wishes(folder, mode, helpers=helper or ())
    config |= privacy_wishes(
        folder, epsilon=epsilon, delta=delta, unit=unit, rounds=rounds_planned
    )
    config |= dict(setting_of(s) for s in setting or ())
    form: dict[str, Any] = {"config": config}
    if task is not None:
        form["task"] = task
    answer = as_operator(
        folder, "POST", "/federation/round/start", form, wait_s=CONSENT_S
    )
    if as_json:
        print_json(answer)
        return
    protected = answer["privacy_params"]
    OUT.print(
        f"Round {answer['round_number']} ({answer['task']}) is open: "
        f"{answer['round_id']}, {len(answer['participants'])} organisations, mode "
        f"{protected['collection_mode']}, differential privacy "
        f"{protected['mechanism']}.",
        highlight=False,
    )


def mode_wishes(
    folder: Path, mode: str | None, *, helpers: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the fields of a plan that a collection mode needs.

    Args:
        folder: the orchestrator's, with a running server.
        mode: None for the server's default.
        helpers: of mode ``committee``.

    Raises:
        InvalidSettings: another mode, or what it needs is missing.
    """
    from fedxdr.app import privacy_plan  # noqa: PLC0415 - status starts faster without

    if mode is None:
        if helpers:
            raise InvalidSettings("--helper goes with --mode committee")
        return {}
    members: list[str] = []
    ceremony = ""
    if mode == "committee":
        answer = as_operator(folder, "GET", "/federation/organizations?limit=200")
        members = [member["org_id"] for member in answer["organizations"]]
    if mode == "paillier":
        try:
            answer = as_operator(folder, "GET", "/federation/key-ceremony")
            ceremony = answer["fingerprint"]
        except NotFound:
            ceremony = ""
    return privacy_plan.mode_fields(
        mode, members=members, helpers=helpers, ceremony=ceremony
    )


def privacy_wishes(
    folder: Path,
    *,
    epsilon: float | None,
    delta: float | None = None,
    unit: str | None = None,
    rounds: int | None = None,
) -> dict[str, Any]:
    """Return the fields of a plan that promises differential privacy, if any.

    Args:
        folder: the orchestrator's, with a running server.
        epsilon: of the promise; None: there is none.
        delta: of the promise.
        unit: whom it hides.
        rounds: how many training rounds it is to last for.

    Raises:
        InvalidSettings: figures of a promise without the promise.
        InvalidPlan: a promise that cannot be kept with this federation's features.
    """
    if epsilon is None:
        if (delta, unit, rounds) != (None, None, None):
            raise InvalidSettings(
                "--delta, --unit and --rounds-planned belong to a promise of "
                "differential privacy: add --epsilon"
            )
        return {}
    from fedxdr.app import privacy_plan  # noqa: PLC0415 - the accountant

    return privacy_plan.privacy_fields(
        _features(folder),
        epsilon=epsilon,
        delta=privacy_plan.DELTA if delta is None else delta,
        unit=unit or "event",
        rounds=privacy_plan.ROUNDS if rounds is None else rounds,
    )


def _features(folder: Path) -> str:
    """Return the name of the feature set that the model in force is made for."""
    from fedxdr.models import snapshot  # noqa: PLC0415 - only a promise asks

    found = as_operator(folder, "GET", "/federation/global-model?inline=true")
    file = base64.b64decode(found["weights"]["inline"])
    return str(snapshot.load(file).card.architecture.get("features"))


@rounds.command("status")
def round_status(
    folder: Folder,
    round_id: Annotated[
        str | None, typer.Argument(help="The round; default: the newest.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Say where a round stands and who is awaited."""
    answer = status_of(folder, round_id)
    if as_json:
        print_json(answer)
    else:
        rows = [
            [key, json.dumps(value) if isinstance(value, list) else str(value)]
            for key, value in answer.items()
        ]
        table(f"Round {answer['round_number']}", ["what", "value"], rows)


@rounds.command("watch")
def watch(
    folder: Folder,
    timeout_s: Annotated[float, typer.Option(help="Give up after.")] = 3600.0,
    *,
    as_json: AsJson = False,
) -> None:
    """Wait until the newest round has ended."""
    end = time.monotonic() + timeout_s
    phase = ""
    while time.monotonic() < end:
        answer = status_of(folder, None)
        if answer["phase"] != phase and not as_json:
            phase = answer["phase"]
            OUT.print(f"{answer['round_id']}: {phase}", highlight=False)
        if answer["status"] != "in_progress":
            if as_json:
                print_json(answer)
            return
        time.sleep(0.2)
    raise Unavailable("the round has not ended in that time; it goes on")


def status_of(folder: Path, round_id: str | None) -> dict[str, Any]:
    """Return the status of a round, the newest by default."""
    if round_id is None:
        standing = as_operator(folder, "GET", "/federation/standing")
        round_id = standing["round_id"]
        if round_id is None:
            raise Unavailable("no round was opened yet: `fedxdr round start`")
    return as_operator(folder, "GET", f"/federation/round/{round_id}/status")


def as_operator(
    folder: Path,
    method: str,
    path: str,
    form: dict[str, Any] | None = None,
    *,
    wait_s: float = 0.0,
) -> dict[str, Any]:
    """Return the answer of the running server to a request signed by the operator.

    Raises:
        Unavailable: no server runs on this folder.
    """
    address = ServerFile.read(folder).address
    if not address:
        raise Unavailable(f"start the server first: fedxdr server run --dir {folder}")
    client = Client(
        address,
        signer=operator_key(folder),
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )
    try:
        body = b"" if form is None else jcs(form)
        answer: dict[str, Any] = json.loads(
            client.call(method, path, body=body, wait_s=wait_s)
        )
    finally:
        client.close()
    return answer


def setting_of(text: str) -> tuple[str, Any]:
    """Return name and value of ``FIELD=JSON``; what is no JSON is text.

    Raises:
        InvalidSettings: there is no ``=``.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidSettings(f"a setting is FIELD=JSON, got {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
