# SPDX-License-Identifier: Apache-2.0
"""Commands of the operator: ``server``, ``invite``, ``round``.

The commands beside ``server`` talk to the running server over HTTP and sign as the
operator with the key in its folder.
"""

from __future__ import annotations

import dataclasses
import json
import socket
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from fedxdr.app.server_file import ServerFile, operator_key
from fedxdr.cli.console import OUT, print_json, start_logging, table
from fedxdr.core.canonical import jcs
from fedxdr.core.clock import SystemClock
from fedxdr.core.errors import InvalidSettings, Unavailable
from fedxdr.core.randomness import SystemEntropy
from fedxdr.transport.client import Client

server = typer.Typer(no_args_is_help=True, help="The orchestrator.")
rounds = typer.Typer(no_args_is_help=True, help="Rounds of the federation.")

Folder = Annotated[Path, typer.Option("--dir", help="The orchestrator's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@server.command()
def init(
    folder: Folder,
    federation: Annotated[str, typer.Option(help="Name of the federation.")] = (
        "federation"
    ),
    *,
    as_json: AsJson = False,
) -> None:
    """Make an orchestrator's folder: keys, ledger, first model."""
    from fedxdr.app.orchestrating import first_model, initialise  # noqa: PLC0415

    initialise(folder, federation=federation, model=first_model())
    keyid = operator_key(folder, name="orchestrator").public.keyid
    if as_json:
        print_json({"dir": str(folder), "orchestrator_keyid": keyid})
        return
    OUT.print(f"Orchestrator of [bold]{federation}[/] made in {folder}.")
    OUT.print(f"Its key's fingerprint: {keyid}")
    OUT.print(f"Next: fedxdr server run --dir {folder}", highlight=False)


@server.command()
def run(
    folder: Folder,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for a free one.")] = 8000,
    *,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING.")] = "INFO",
) -> None:
    """Serve the federation until stopped."""
    import uvicorn  # noqa: PLC0415 - the other commands start faster without

    from fedxdr.api.app import create_app  # noqa: PLC0415 - the same
    from fedxdr.app.orchestrating import OpenOrchestrator  # noqa: PLC0415 - the same
    from fedxdr.app.settings import plan_settings  # noqa: PLC0415 - the same

    start_logging(level=log_level)
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
    config = uvicorn.Config(
        create_app(opened.service),
        log_config=None,
        lifespan="on",
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    try:
        uvicorn.Server(config).run(sockets=[listener])
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
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="FIELD=JSON of the plan, e.g. clip_norm=5."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Open a round."""
    form: dict[str, Any] = {"config": dict(_setting(s) for s in setting or ())}
    if task is not None:
        form["task"] = task
    answer = as_operator(folder, "POST", "/federation/round/start", form)
    if as_json:
        print_json(answer)
        return
    OUT.print(
        f"Round {answer['round_number']} ({answer['task']}) is open: "
        f"{answer['round_id']}, {len(answer['participants'])} organisations.",
        highlight=False,
    )


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
    folder: Path, method: str, path: str, form: dict[str, Any] | None = None
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
        answer: dict[str, Any] = json.loads(client.call(method, path, body=body))
    finally:
        client.close()
    return answer


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidSettings(f"--set takes FIELD=JSON, got {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
