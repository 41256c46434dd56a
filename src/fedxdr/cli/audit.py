# SPDX-License-Identifier: Apache-2.0
"""Commands of the auditor: ``verify``, ``ledger export|evidence|prove|check``.

None needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from fedxdr.cli import handover, pins
from fedxdr.cli.anchors import anchor
from fedxdr.cli.console import OUT, print_json, table
from fedxdr.core import canonical
from fedxdr.core.errors import InvalidSettings, MalformedMessage, VerificationFailed
from fedxdr.core.ids import round_id
from fedxdr.ledger import bundle as bundles
from fedxdr.ledger import checkpoint, light, page, policy, proofs, verifier
from fedxdr.ledger.block import SignedBlock
from fedxdr.ledger.steps import Step

_BUNDLE = b'{"blocks":'

ledger = typer.Typer(no_args_is_help=True, help="The ledger.")


ledger.add_typer(anchor, name="anchor")
ledger.command("head")(handover.head)
ledger.command("compare")(handover.compare)
ledger.command("convict")(handover.convict)
ledger.command("handover")(handover.handover)


@ledger.callback()
def _group() -> None:
    """Keep ``export`` a command of a group."""


@ledger.command()
def export(
    out: Annotated[Path, typer.Argument(help="File to write.")],
    folder: Annotated[
        Path,
        typer.Option("--dir", help="The orchestrator's folder, or a member's."),
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Write the cosigned ledger and its newest model into one canonical file."""
    from fedxdr.app.ledger_copies import export as exported  # noqa: PLC0415 - verify needs none of it

    data = exported(folder)
    out.write_bytes(data)
    if as_json:
        print_json({"bundle": str(out), "bytes": len(data)})
    else:
        OUT.print(f"{out}: {len(data):,} bytes", highlight=False)


@ledger.command()
def evidence(
    round_name: Annotated[str, typer.Argument(metavar="ROUND", help="Its name.")],
    out: Annotated[Path, typer.Argument(help="File to write.")],
    folder: Annotated[Path, typer.Option("--dir", help="A member's folder.")],
    *,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Fetch all that was kept of a round, so that it can be replayed offline.

    For members: masked vectors and revealed seeds. It is replayed while it is fetched.
    """
    from fedxdr.app.deciding import Somebody  # noqa: PLC0415 - verify needs none of it
    from fedxdr.core.clock import SystemClock  # noqa: PLC0415 - the same
    from fedxdr.core.randomness import SystemEntropy  # noqa: PLC0415 - the same
    from fedxdr.parties import replaying  # noqa: PLC0415 - the same
    from fedxdr.transport.client import Client, HttpLink  # noqa: PLC0415 - the same

    somebody = Somebody.of(folder)
    client = Client(
        somebody.server,
        signer=somebody.key,
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )
    try:
        ledger_now = bundles.read(client.call("GET", "/ledger/bundle"))
        package = replaying.collect(
            HttpLink(client), round_id(round_name), blocks=ledger_now.blocks
        )
    finally:
        client.close()
    data = package.to_bytes()
    out.write_bytes(data)
    if as_json:
        print_json({"evidence": str(out), "bytes": len(data)})
    else:
        OUT.print(f"{out}: {len(data):,} bytes", highlight=False)


@ledger.command()
def prove(
    height: Annotated[int, typer.Argument(min=0, help="Of the block.")],
    out: Annotated[Path, typer.Option(help="File to write, with two more beside it.")],
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="The orchestrator's folder, or a member's."),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Instead: file made by `ledger export`.")
    ] = None,
) -> None:
    """Prove one block by a small file: FILE, FILE.block and the policy FILE.policy."""
    if folder is not None and bundle is None:
        from fedxdr.app.ledger_copies import export as exported  # noqa: PLC0415 - a bundle needs none of it

        data = exported(folder)
    elif bundle is not None and folder is None:
        data = _bytes(bundle)
    else:
        raise InvalidSettings("--dir FOLDER or --bundle FILE, one of them")
    made = light.prove(bundles.read(data), height)
    for path, content in (
        (out, made.proof),
        (_beside(out, "block"), made.block),
        (_beside(out, "policy"), made.policy.encode()),
    ):
        path.write_bytes(content)
        OUT.print(f"{path}: {len(content):,} bytes", highlight=False)


@ledger.command()
def check(
    file: Annotated[
        Path, typer.Argument(help="Made by `ledger prove`, or by `ledger export`.")
    ],
    rules: Annotated[
        Path,
        typer.Option(
            "--policy", help="Whose cosignatures count, from somebody you trust."
        ),
    ],
    block: Annotated[
        Path | None, typer.Option(help="The proven block; FILE.block if not named.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Check in milliseconds that a quorum saw a block, or a whole exported ledger.

    What blocks say is not judged: `fedxdr verify` does that.
    """
    counts, data = policy.parse(_bytes(rules)), _bytes(file)
    if data.startswith(proofs.HEADER.encode()):
        body = _bytes(block or _beside(file, "block"))
        found = light.verify(data, body, policy=counts)
        height, hash_, head = found.height, found.hash, proofs.parse(data).checkpoint
        cosigned_by = counts.check(head)
    elif not data.startswith(_BUNDLE):
        raise VerificationFailed(
            f"{file} is neither a proof, as `fedxdr ledger prove` writes it, nor a "
            "ledger, as `fedxdr ledger export` does",
            step=Step.CONTAINER,
        )
    else:
        skimmed = bundles.skim(data)
        audited = light.audit(skimmed.bodies, head=skimmed.head, policy=counts)
        height, hash_ = audited.head.size - 1, audited.last_hash
        head = skimmed.head
        cosigned_by = audited.cosigned_by
    size = checkpoint.parse(head).size
    if as_json:
        told = {"height": height, "hash": hash_, "size": size}
        print_json({"verified": True, **told, "cosigned_by": list(cosigned_by)})
        return
    OUT.print(
        f"{file}: block {height} ({hash_}) stands in a ledger of {size} blocks that "
        f"{', '.join(cosigned_by) or 'nobody'} cosigned",
        highlight=False,
    )


def _beside(file: Path, what: str) -> Path:
    return file.with_name(f"{file.name}.{what}")


def _bytes(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        InvalidSettings: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidSettings(
            f"cannot read {error.filename}: {error.strerror}"
        ) from error


def _write_page(out: Path | None) -> None:
    """Write the verifier for browsers and end the command."""
    if out is None:
        return
    try:
        out.write_bytes(page.path().read_bytes())
    except OSError as error:
        raise InvalidSettings(f"cannot write {out}: {error.strerror}") from error
    OUT.print(f"{out}: open it in a browser and give it a bundle", highlight=False)
    raise typer.Exit


def verify(
    bundle: Annotated[Path, typer.Argument(help="File made by `ledger export`.")],
    pin: Annotated[
        str | None,
        typer.Option(help=pins.HELP),
    ] = None,
    seen: Annotated[
        Path | None,
        typer.Option(help="A head of this ledger kept from earlier; must be extended."),
    ] = None,
    replay: Annotated[
        str | None, typer.Option(metavar="ROUND", help="Redo this round bit for bit.")
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(help="With --replay: file made by `ledger evidence`."),
    ] = None,
    _page: Annotated[
        Path | None,
        typer.Option(
            "--page",
            metavar="OUT",
            callback=_write_page,
            is_eager=True,
            help="Write a page that verifies bundles in a browser, and end.",
        ),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Verify a ledger offline, step by step, trusting nobody."""
    if (replay is None) != (evidence is None):
        raise InvalidSettings(
            "--replay ROUND takes --evidence FILE, which a member makes with `fedxdr "
            "ledger evidence ROUND FILE`"
        )
    try:
        data = bundle.read_bytes()
        pinned = pins.read_pin(pin)
        head = None if seen is None else _head_in(seen)
        kept = None if evidence is None else evidence.read_bytes()
    except OSError as error:
        raise InvalidSettings(
            f"cannot read {error.filename}: {error.strerror}"
        ) from error
    read = bundles.read(data)
    report = verifier.verify(
        read,
        pinned_orchestrator_key=pinned.key,
        pinned_genesis=pinned.genesis,
        seen=head,
    )
    spent = _spent(read.blocks)
    redone = (
        None if replay is None or kept is None else _redo(read.blocks, replay, kept)
    )
    if as_json:
        told = {**canonical.builtins(report), "epsilon_spent": spent}
        print_json({"verified": True, **told, "replayed": redone})
        return
    table(
        f"{bundle}: verified",
        ["what", "found"],
        [
            ["federation", report.federation],
            ["blocks verified", str(report.blocks_verified)],
            ["last block", report.last_block_hash],
            [
                "cosigned by",
                (
                    f"{', '.join(report.cosigned_by)} (a quorum is {report.quorum}), "
                    f"{report.head_timestamp:%Y-%m-%d %H:%M:%S} UTC"
                ),
            ],
            ["members", ", ".join(report.members)],
            ["rounds committed", str(len(report.rounds))],
            ["rounds failed", str(len(report.rounds_failed))],
            ["model in force", f"{report.model_version} {report.model_hash}"],
            ["trust score", f"{report.trust.score:.2f}"],
            *([["replayed bit for bit", replay]] if redone and replay else []),
            *([f"epsilon spent by {org}", f"{e:.4g}"] for org, e in spent.items()),
        ],
    )
    for reason in report.trust.reasons:
        OUT.print(f"  trust: {reason}", style="dim", highlight=False)
    for warning in report.warnings:
        OUT.print(f"  note: {warning}", style="yellow", highlight=False)


def _head_in(path: Path) -> checkpoint.Checkpoint:
    try:
        return checkpoint.parse(path.read_bytes())
    except MalformedMessage as error:
        raise MalformedMessage(
            f"{path} is no head, as `fedxdr ledger head` prints it: {error}"
        ) from error


def _redo(blocks: Sequence[SignedBlock], name: str, kept: bytes) -> dict[str, str]:
    """Return what a round gave when it was redone.

    Raises:
        VerificationFailed: something else than its block says.
    """
    from fedxdr.parties import replaying  # noqa: PLC0415 - only a replay needs it

    package = replaying.Package.from_bytes(kept)
    if package.round_id != name:
        raise InvalidSettings(f"the evidence is of round {package.round_id}")
    opened = replaying.replay(package, blocks=blocks)
    return {
        "round_id": name,
        "model_hash": opened.model_hash,
        "sum_digest": opened.sum_digest,
    }


def _spent(blocks: Sequence[SignedBlock]) -> dict[str, float]:
    """Return organisation -> epsilon, recomputed from what it claims to have done.

    Args:
        blocks: a ledger that was verified.

    Raises:
        VerificationFailed: an organisation under-reports.
    """
    if not any(
        claim.mechanism != "none"
        for signed in blocks
        for claim in signed.block.provenance.privacy_params.values()
    ):
        return {}
    from fedxdr.parties.auditing import check_spending  # noqa: PLC0415 - the accountant

    return {str(org): spent for org, spent in check_spending(blocks).items()}
