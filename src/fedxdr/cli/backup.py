# SPDX-License-Identifier: Apache-2.0
"""The operator's commands about what is stored: ``server backup|restore|…|compact``.

A backup is taken while the server runs; for the others it is stopped first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedxdr.cli.console import OUT, print_json, table
from fedxdr.core import canonical
from fedxdr.core.clock import SystemClock
from fedxdr.core.errors import InvalidSettings
from fedxdr.storage import backups, compaction
from fedxdr.storage.blobs import FileBlobs
from fedxdr.storage.database import Database, place_of

Folder = Annotated[Path, typer.Option("--dir", help="The orchestrator's folder.")]
Place = Annotated[
    str,
    typer.Option(
        "--db", help="Its database: a path, or postgresql+psycopg://…; default: in it."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def backup(
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    folder: Folder,
    db: Place = "",
    *,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Copy the private keys as well.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a backup while the server runs, and verify it."""
    manifest = backups.back_up(
        folder,
        out,
        place=place_of(db, folder),
        with_keys=with_keys,
        now=SystemClock().now(),
    )
    _print(f"{out}: verified", manifest, as_json=as_json)
    if not as_json:
        OUT.print(
            "  It holds the private keys: whoever reads it is the orchestrator."
            if with_keys
            else "  It holds no keys: keep those of --dir/keys elsewhere as well.",
            style="yellow",
            highlight=False,
        )


def restore(
    source: Annotated[Path, typer.Argument(help="Folder that `backup` made.")],
    folder: Folder,
    db: Place = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Make an orchestrator's folder from a backup, verified before and after.

    The server that runs on it asks every member what it saw since the backup, and signs
    nothing before all have told; see `server catch-up` if one of them never will.
    """
    manifest = backups.restore(
        source, folder, place=place_of(db, folder), now=SystemClock().now()
    )
    _print(f"{folder}: restored and verified", manifest, as_json=as_json)
    if not manifest.with_keys and not as_json:
        OUT.print(
            f"  The backup holds no keys: put them into {folder / backups.KEYS}.",
            style="yellow",
            highlight=False,
        )
    if not as_json:
        OUT.print(
            "  The server that runs on it asks every member what it saw since.",
            highlight=False,
        )


def catch_up(
    folder: Folder,
    bundle: Annotated[
        list[Path] | None,
        typer.Argument(help="A member's `fedxdr ledger export`, made after the loss."),
    ] = None,
    *,
    nothing_newer: Annotated[
        bool,
        typer.Option(
            "--nothing-newer",
            help="Your word that no member saw more than the ledger has now: whoever "
            "did will convict this orchestrator of two histories.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Help a restored ledger where a member cannot tell the server what it saw.

    Bundles bring blocks, and the server still asks every member. --nothing-newer ends
    the asking.
    """
    from fedxdr.app import ledger_copies  # noqa: PLC0415 - the others start faster

    if bool(bundle) == nothing_newer:
        raise InvalidSettings("name members' bundles, or say --nothing-newer")
    if nothing_newer:
        found = ledger_copies.nothing_newer(folder)
        if as_json:
            print_json(
                {"blocks": 0, "told": list(found.told), "missing": list(found.missing)}
            )
            return
        OUT.print(
            f"{len(found.told)} of {len(found.told) + len(found.missing)} members had "
            "told what they saw; the server signs again.",
            highlight=False,
        )
        if found.missing:
            OUT.print(
                f"  Not {', '.join(found.missing)}: whoever of them holds a head that "
                "this orchestrator signed since the backup will see a second one, and "
                "convict it.",
                style="yellow",
                highlight=False,
            )
        return
    came = ledger_copies.catch_up(folder, [_read(path) for path in bundle or ()])
    if as_json:
        print_json({"blocks": came})
        return
    OUT.print(
        f"{came} blocks came. The server starts restored: it signs nothing until every "
        "member's agent has told it what it saw.",
        highlight=False,
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidSettings(f"cannot read {path}: {error.strerror}") from error


def compact(
    folder: Folder,
    db: Place = "",
    *,
    keep_rounds: Annotated[
        int, typer.Option(help="How many of the newest rounds can still be replayed.")
    ] = compaction.WINDOW_ROUNDS,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without, only say what would go.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove large files that no block and no recent round names; shrink the database.

    Every block, every model and every message stays.
    """
    database = Database(place_of(db, folder))
    try:
        blobs = FileBlobs(folder / backups.BLOBS)
        found = compaction.survey(database, blobs, window_rounds=keep_rounds)
        if yes:
            compaction.compact(database, blobs, found)
    finally:
        database.close()
    unneeded = sum(found.unneeded.values())
    if as_json:
        print_json(
            {
                "done": yes,
                "kept": found.kept,
                "kept_bytes": found.kept_bytes,
                "removed" if yes else "unneeded": len(found.unneeded),
                "bytes": unneeded,
                "rounds_inside": found.rounds,
            }
        )
        return
    table(
        "Compacted" if yes else "Nothing changed; --yes does it",
        ["files", "number", "bytes"],
        [
            ["needed", str(found.kept), f"{found.kept_bytes:,}"],
            [
                "removed" if yes else "not needed",
                str(len(found.unneeded)),
                f"{unneeded:,}",
            ],
        ],
    )


def _print(title: str, manifest: backups.Manifest, *, as_json: bool) -> None:
    ledger = manifest.ledger
    if as_json:
        print_json(
            {
                "verified": True,
                "files": len(manifest.files),
                "with_keys": manifest.with_keys,
                "ledger": canonical.builtins(ledger),
            }
        )
        return
    table(
        title,
        ["what", "found"],
        [
            ["files", str(len(manifest.files))],
            ["blocks", str(ledger.size)],
            ["signed heads", str(ledger.heads)],
            ["root", ledger.root],
            ["model in force", str(ledger.model)],
        ],
    )
