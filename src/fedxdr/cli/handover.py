# SPDX-License-Identifier: Apache-2.0
"""Commands of members against their orchestrator: compare, convict, go on without it.

``ledger head|compare|convict|handover`` and ``agent move``; each works beside a running
agent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fedxdr.cli.console import OUT, print_json
from fedxdr.core import canonical
from fedxdr.core.errors import InvalidSettings, VerificationFailed
from fedxdr.crypto.words import words_of

Folder = Annotated[Path, typer.Option("--dir", help="An organisation's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_OUTCOMES = {
    "same": "The same {size} blocks as here.",
    "behind": "It covers {size} blocks; the {ours} here extend them.",
    "ahead": "It covers {size} blocks, and only {ours} are here: nothing is known yet. "
    "Compare again when this agent has followed.",
}


def head(folder: Folder, *, as_json: AsJson = False) -> None:
    """Print the newest head of the ledger that this organisation saw.

    For another member: it holds it against its own with `fedxdr ledger compare`.
    """
    from fedxdr.app import comparing  # noqa: PLC0415 - verify needs none of it

    found = comparing.newest_head(folder).decode()
    if as_json:
        print_json({"head": found})
    else:
        print(found, end="")


def compare(
    other: Annotated[
        str, typer.Argument(help="File made by `ledger head`, or a server's address.")
    ],
    folder: Folder,
    *,
    as_json: AsJson = False,
) -> None:
    """Hold what another member or server shows against what this one saw."""
    from fedxdr.app import comparing  # noqa: PLC0415 - verify needs none of it

    if other.startswith(("http://", "https://")):
        found = comparing.compare_with_server(folder, other)
    else:
        found = comparing.compare(folder, _read(Path(other)))
    if found.outcome == "contradiction":
        kept = f"{folder / found.proof} convicts the log" if found.proof else (
            "nothing that is here proves it to others: compare with the blocks, by "
            "the address of who serves them"
        )  # fmt: skip
        raise VerificationFailed(
            f"the log signed two histories: its head over {found.size} blocks is not "
            f"of the ledger that is here; {kept}",
            step="equivocation",
        )
    if as_json:
        print_json(_told(found))
    else:
        text = _OUTCOMES[found.outcome].format(size=found.size, ours=found.ours)
        OUT.print(text, highlight=False)


def convict(
    proof: Annotated[Path, typer.Argument(help="File equivocation-….json.")],
    folder: Annotated[
        Path | None, typer.Option("--dir", help="An organisation's folder.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="The ledger, made by `ledger export`.")
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="The log's verifier keys, as a policy lists them; both."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Check a proof that a log told two histories; the log's keys come from you.

    Exit status 0 if it convicts, 1 if it does not.
    """
    from fedxdr.app import comparing  # noqa: PLC0415 - verify needs none of it

    if (folder is not None, bundle is not None, bool(key)).count(True) != 1:
        raise InvalidSettings("name one of --dir, --bundle and --key (twice)")
    found = comparing.convict(
        _read(proof),
        agent=folder,
        bundle=None if bundle is None else _read(bundle),
        keys=key or (),
    )
    if as_json:
        print_json(
            {
                "convicts": True,
                "origin": found.origin,
                "kind": found.kind,
                "sizes": [found.first.size, found.second.size],
                "index": found.index,
                "digest": found.digest,
                "sentence": found.sentence,
            }
        )
    else:
        OUT.print(f"Convicted: {found.sentence}.", highlight=False)


def handover(
    folder: Folder,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the new orchestrator.")
    ] = None,
    origin: Annotated[
        str | None, typer.Option(help="The ledger's new name in heads.")
    ] = None,
    static: Annotated[
        Path | None,
        typer.Option(help="Write the ledger as static files for any web server."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Go on from this organisation's mirror when the orchestrator is gone."""
    from fedxdr.app import handover as handing  # noqa: PLC0415 - verify needs none of it

    if out is None and static is None:
        raise InvalidSettings("--out SERVERDIR, --static DIR, or both")
    told: dict[str, Any] = {}
    if static is not None:
        told |= {"static": str(static), "blocks": handing.write_static(folder, static)}
    if out is not None:
        made = handing.hand_over(folder, out, origin=origin)
        told |= _told(made) | {"dir": str(out), "words": words_of(made.fingerprint)}
    if as_json:
        print_json(told)
        return
    if static is not None:
        OUT.print(f"{static}: the ledger as static files.", highlight=False)
    if out is not None:
        _print_steps(out, told)


def move(
    folder: Folder,
    server: Annotated[str, typer.Option(help="Address: http://host:port.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Point this organisation's agent at another orchestrator; then start it again."""
    from fedxdr.app import handover as handing  # noqa: PLC0415 - imports storage

    file = handing.move(folder, server)
    if as_json:
        print_json({"org_id": file.org, "server": file.server})
    else:
        OUT.print(
            f"{file.org} asks {file.server} from its next start on. What it believes "
            "does not change: who may sign its ledger stands on the ledger.",
            highlight=False,
        )


def _print_steps(out: Path, told: dict[str, Any]) -> None:
    OUT.print(
        f"{out}: an orchestrator with the {told['blocks']} blocks that {told['by']} "
        f"mirrored, and {told['models']} models.",
        highlight=False,
    )
    if told["missing"]:
        OUT.print(f"  {len(told['missing'])} older models are not here.", style="dim")
    OUT.print(f"Fingerprint of its keys: {' '.join(told['words'])}", highlight=False)
    OUT.print(
        f"Next, here: fedxdr server run --dir {out}\n"
        "Each member then, with the address that it prints:\n"
        "  fedxdr agent move --dir DIR --server ADDRESS, and start its agent again\n"
        "  fedxdr members approve --dir DIR, after comparing the words",
        highlight=False,
        markup=False,
    )


def _told(value: object) -> dict[str, Any]:
    found: dict[str, Any] = canonical.builtins(value)
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidSettings(f"cannot read {path}: {error.strerror}") from error
