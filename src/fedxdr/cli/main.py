# SPDX-License-Identifier: Apache-2.0
"""``fedxdr``: the commands in one tree, and what an error becomes.

A command's module is imported when the command is called, so that ``verify`` starts
without a server and without torch. An error is one line on standard error that says
what to do, and an exit status (docs/reference/exit-codes.md); no traceback reaches a
user. A verification that failed is one JSON object on standard output as well, where
``--json`` asks for one: its reader is told what it asked.
"""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typing_extensions import override

from fedxdr import __version__
from fedxdr.cli import console
from fedxdr.core.errors import (
    Fault,
    FedxdrError,
    Refused,
    StorageFault,
    Unavailable,
    VerificationFailed,
)

EXIT_STATUS: tuple[tuple[type[FedxdrError], int], ...] = (
    (VerificationFailed, 1),
    (Unavailable, 4),
    (Refused, 3),
    (Fault, 5),
    (FedxdrError, 2),
)
"""First match wins; everything else that the other side or the user got wrong is 2."""

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "demo"),
    "server": ("serve", "server"),
    "invite": ("serve", "invite"),
    "members": ("members", "members"),
    "plan": ("members", "plan"),
    "round": ("serve", "rounds"),
    "join": ("agent", "join"),
    "agent": ("agent", "agent"),
    "keys": ("keys", "keys"),
    "privacy": ("privacy", "privacy"),
    "detect": ("detect", "detect"),
    "evaluate": ("evaluate", "evaluate"),
    "generate": ("generate", "generate_telemetry"),
    "ledger": ("audit", "ledger"),
    "lineage": ("lineage", "lineage"),
    "verify": ("audit", "verify"),
}
"""Command -> module of this package, and the function or group in it."""


class _Commands(TyperGroup):
    """A group whose commands are imported when they are asked for."""

    @override
    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        found = getattr(importlib.import_module(f"fedxdr.cli.{module}"), attribute)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            alone.command(cmd_name)(found)
            found = alone
        command = typer.main.get_command(found)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Detect threats together without showing each other a single log line.",
)


def _version(value: bool) -> None:  # the signature that typer calls
    if value:
        print(__version__)
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    """Detect threats together without showing each other a single log line."""


def main() -> None:
    """Run the command line and end the process with its status."""
    try:
        app(prog_name="fedxdr")
    except FedxdrError as error:
        if isinstance(error, VerificationFailed) and "--json" in sys.argv[1:]:
            console.print_json(_told(error))
        console.complain(error)
        sys.exit(exit_status(error))
    except OSError as error:
        # a path that cannot be read or written, a disk that is full
        fault = StorageFault(f"{error.filename or 'the system'}: {error.strerror}")
        console.complain(fault)
        sys.exit(exit_status(fault))


def _told(error: VerificationFailed) -> dict[str, Any]:
    return {
        "verified": False,
        "step": error.step,
        "height": error.height,
        "message": str(error),
    }


def exit_status(error: FedxdrError) -> int:
    """Return the exit status that an error becomes."""
    return next(status for kind, status in EXIT_STATUS if isinstance(error, kind))
