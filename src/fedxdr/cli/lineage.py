# SPDX-License-Identifier: Apache-2.0
"""``lineage``: where a model comes from, and how a stranger verifies its files.

The ledger is a bundle, which is verified first, or the database in a party's own
folder, read beside the process that may be running on it.

It does NOT verify a model's files: it prints three commands that do, for tools that
know nothing of us. Needs neither torch nor a server.

Rules that always hold: the digests in the commands are the ledger's, never the
directory's; what is printed is a shell script as a whole and line by line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fedxdr.cli import pins
from fedxdr.cli.console import print_json, table
from fedxdr.core import canonical
from fedxdr.core.errors import InvalidSettings, NotFound
from fedxdr.core.ids import Digest, sha256
from fedxdr.ledger import bundle as bundles
from fedxdr.ledger import verifier
from fedxdr.ledger.block import Block
from fedxdr.ledger.entries import Genesis, ModelRetired
from fedxdr.ledger.lineage import Ancestor, brings_model
from fedxdr.ledger.lineage import lineage as ancestors_of
from fedxdr.storage.model_directory import FOLDER, MODEL, how_to_verify
from fedxdr.storage.publishing import publisher_at

_PREFIX = re.compile(r"[0-9a-f]{8,64}")
_SHORT = 16

_UNPINNED = (
    "# The bundle was not pinned: it says itself who publishes; see `fedxdr verify`."
)


def lineage(
    model: Annotated[
        str,
        typer.Argument(
            help="Its SHA-256, 8 or more digits of it, its file or its directory."
        ),
    ],
    folder: Annotated[
        Path | None, typer.Option("--dir", help="A server's or an agent's folder.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="File made by `ledger export`.")
    ] = None,
    pin: Annotated[
        str | None,
        typer.Option(help=f"With --bundle. {pins.HELP}"),
    ] = None,
    *,
    commands: Annotated[
        bool,
        typer.Option("--how-to-verify", help="Print commands for a stranger's tools."),
    ] = False,
    graph: Annotated[
        bool, typer.Option("--graph", help="Print the lineage as DOT, for Graphviz.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show the models from which a model comes, newest first."""
    if graph and (commands or as_json):
        raise InvalidSettings("--graph goes with neither --how-to-verify nor --json")
    if pin is not None and bundle is None:
        raise InvalidSettings("--pin goes with --bundle")
    blocks = _blocks(folder, bundle, pin)
    found = _find(model, blocks)
    ancestors = ancestors_of(blocks, found)
    retired = {b.entry.model_hash for b in blocks if isinstance(b.entry, ModelRetired)}
    told: dict[str, Any] = {}
    if commands:
        place = _directory(model, found, folder)
        publisher = publisher_at(blocks, ancestors[0].block_height)
        script = how_to_verify(place, model_hash=found, publisher=publisher)
        told = {"publisher": publisher.fingerprint, "how_to_verify": list(script)}
    if as_json:
        print_json(
            {
                "model_hash": found,
                "lineage": [
                    {
                        **canonical.builtins(ancestor),
                        "retired": ancestor.model_hash in retired,
                    }
                    for ancestor in ancestors
                ],
                **told,
            }
        )
    elif commands:
        print(f"# Model {found} of {_federation(blocks)}.")
        print(f"# The publisher's key on the ledger: {told['publisher']}.")
        if found in retired:
            print("# It was WITHDRAWN: a later block says that it must not be used.")
        if bundle is not None and pin is None:
            print(_UNPINNED)
        print("# It is genuine if each command ends with status 0:")
        print("\n".join(told["how_to_verify"]))
    elif graph:
        print("\n".join(_graph(ancestors, retired)))
    else:
        _table(ancestors, retired)


def _blocks(folder: Path | None, bundle: Path | None, pin: str | None) -> list[Block]:
    """Return the blocks of the ledger that the options name, from the Genesis."""
    if (folder is None) == (bundle is None):
        raise InvalidSettings("say where the ledger is: --dir or --bundle")
    if bundle is not None:
        try:
            data = bundle.read_bytes()
        except OSError as error:
            raise InvalidSettings(f"cannot read {bundle}: {error.strerror}") from error
        pinned = pins.read_pin(pin)
        found = bundles.read(data)
        verifier.verify(
            found, pinned_orchestrator_key=pinned.key, pinned_genesis=pinned.genesis
        )
        return [signed.block for signed in found.blocks]
    # the database's library, which a bundle does not need
    from fedxdr.app.ledger_folder import database_in  # noqa: PLC0415 - see above
    from fedxdr.storage.blocks import SqlBlockStore  # noqa: PLC0415 - see above
    from fedxdr.storage.database import Database  # noqa: PLC0415 - see above

    database = Database(database_in(Path(str(folder))), access="reading")
    try:
        store = SqlBlockStore(database)
        return [signed.block for signed in store.read(begin=0, end=store.size())]
    finally:
        database.close()


def _find(model: str, blocks: Sequence[Block]) -> Digest:
    """Return the one model of the ledger that an argument names."""
    known = [block.model_hash for block in blocks if brings_model(block)]
    path = Path(model)
    if path.exists():
        file = path / MODEL if path.is_dir() else path
        try:
            wanted = str(sha256(file.read_bytes()))
        except OSError as error:
            raise InvalidSettings(f"cannot read {file}: {error.strerror}") from error
    else:
        wanted = model.lower()
        if not _PREFIX.fullmatch(wanted):
            raise InvalidSettings(
                f"{model} is no file, and no SHA-256 of which 8 to 64 hexadecimal "
                "digits are given"
            )
    found = [digest for digest in known if digest.startswith(wanted)]
    if not found:
        raise NotFound(f"no model {wanted[:_SHORT]}… on the ledger")
    if len(found) > 1:
        raise InvalidSettings(f"{len(found)} models begin with {wanted}: give more")
    return found[0]


def _directory(model: str, found: Digest, folder: Path | None) -> Path:
    """Return where the files of a model are published."""
    if Path(model).is_dir():
        return Path(model)
    if folder is None:
        raise InvalidSettings(
            "with --bundle give the model's directory in place of its SHA-256"
        )
    place = folder / FOLDER / found
    if not place.is_dir():
        raise NotFound(f"model {found[:_SHORT]}… is not published in {folder / FOLDER}")
    return place


def _federation(blocks: Sequence[Block]) -> str:
    entry = blocks[0].entry
    return entry.federation if isinstance(entry, Genesis) else "an unknown federation"


def _table(ancestors: Sequence[Ancestor], retired: set[Digest]) -> None:
    table(
        f"{ancestors[0].model_version}: {len(ancestors)} models, newest first",
        ["model", "SHA-256", "block", "recorded", "round", "organisations"],
        [
            [
                found.model_version
                + (" (retired)" if found.model_hash in retired else ""),
                f"{found.model_hash[:_SHORT]}…",
                str(found.block_height),
                f"{found.timestamp:%Y-%m-%d %H:%M:%S}",
                found.round_id or "",
                ", ".join(found.training_orgs),
            ]
            for found in ancestors
        ],
    )


def _graph(ancestors: Sequence[Ancestor], retired: set[Digest]) -> Iterator[str]:
    """Yield the lines of a DOT graph, parents before their children."""
    yield "digraph lineage {"
    yield "  rankdir=LR;"
    yield '  node [shape=box, fontname="monospace"];'
    for found in reversed(ancestors):
        style = ", style=dashed" if found.model_hash in retired else ""
        label = _quoted(
            found.model_version,
            f"{found.model_hash[:_SHORT]}…",
            f"block {found.block_height}",
        )
        yield f'  "{found.model_hash}" [label={label}{style}];'
        if found.parent_model is not None:
            edge = _quoted(found.round_id or "", ", ".join(found.training_orgs))
            yield f'  "{found.parent_model}" -> "{found.model_hash}" [label={edge}];'
    yield "}"


def _quoted(*lines: str) -> str:
    """Return lines as one quoted string of DOT."""
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"{}"'.format("\\n".join(escaped))
