# SPDX-License-Identifier: Apache-2.0
"""Commands of the auditor: ``ledger export`` and ``verify``; neither needs torch."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Annotated

import typer

from fedxdr.cli.anchors import anchor
from fedxdr.cli.console import OUT, print_json, table
from fedxdr.core import canonical
from fedxdr.core.errors import InvalidSettings
from fedxdr.ledger import bundle as bundles
from fedxdr.ledger import verifier

ledger = typer.Typer(no_args_is_help=True, help="The ledger.")


ledger.add_typer(anchor, name="anchor")


@ledger.callback()
def _group() -> None:
    """Keep ``export`` a command of a group."""


@ledger.command()
def export(
    out: Annotated[Path, typer.Argument(help="File to write.")],
    folder: Annotated[Path, typer.Option("--dir", help="The orchestrator's folder.")],
    *,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Write the whole ledger and the newest model into one canonical file."""
    from fedxdr.app.orchestrating import OpenOrchestrator  # noqa: PLC0415 - verify
    from fedxdr.app.server_file import ServerFile  # noqa: PLC0415 - needs none of it
    from fedxdr.app.settings import plan_settings  # noqa: PLC0415 - the same
    from fedxdr.core.clock import SystemClock  # noqa: PLC0415 - the same
    from fedxdr.core.errors import Unavailable  # noqa: PLC0415 - the same
    from fedxdr.core.randomness import SystemEntropy  # noqa: PLC0415 - the same
    from fedxdr.transport.client import Client  # noqa: PLC0415 - the same

    try:
        opened = OpenOrchestrator(folder, settings=plan_settings())
    except Unavailable:
        # a server runs on the folder: ask it
        client = Client(
            ServerFile.read(folder).address,
            signer=None,
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )
        try:
            data = client.call("GET", "/ledger/bundle")
        finally:
            client.close()
    else:
        try:
            orchestrator = opened.orchestrator
            data = orchestrator.recorder.export(heads=orchestrator.heads.for_bundle())
        finally:
            opened.close()
    out.write_bytes(data)
    if as_json:
        print_json({"bundle": str(out), "bytes": len(data)})
    else:
        OUT.print(f"{out}: {len(data):,} bytes", highlight=False)


def verify(
    bundle: Annotated[Path, typer.Argument(help="File made by `ledger export`.")],
    pin: Annotated[
        str | None,
        typer.Option(help="The orchestrator's Ed25519 key, base64, if you know it."),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Verify a ledger offline, step by step, trusting nobody."""
    try:
        data = bundle.read_bytes()
        key = None if pin is None else base64.b64decode(pin, validate=True)
    except OSError as error:
        raise InvalidSettings(f"cannot read {bundle}: {error.strerror}") from error
    except (ValueError, binascii.Error) as error:
        raise InvalidSettings("--pin takes a key in base64") from error
    report = verifier.verify(data, pinned_orchestrator_key=key)
    spent = _spent(data)
    if as_json:
        print_json(
            {"verified": True, **canonical.builtins(report), "epsilon_spent": spent}
        )
        return
    table(
        f"{bundle}: verified",
        ["what", "found"],
        [
            ["federation", report.federation],
            ["blocks verified", str(report.blocks_verified)],
            ["last block", report.last_block_hash],
            ["members", ", ".join(report.members)],
            ["rounds committed", str(len(report.rounds))],
            ["rounds failed", str(len(report.rounds_failed))],
            ["model in force", f"{report.model_version} {report.model_hash}"],
            ["trust score", f"{report.trust.score:.2f}"],
            *([f"epsilon spent by {org}", f"{e:.4g}"] for org, e in spent.items()),
        ],
    )
    for reason in report.trust.reasons:
        OUT.print(f"  trust: {reason}", style="dim", highlight=False)
    for warning in report.warnings:
        OUT.print(f"  note: {warning}", style="yellow", highlight=False)


def _spent(data: bytes) -> dict[str, float]:
    """Return organisation -> epsilon, recomputed from what it claims to have done.

    Args:
        data: a bundle that was verified.

    Raises:
        VerificationFailed: an organisation under-reports.
    """
    blocks = bundles.read(data).blocks
    if not any(
        claim.mechanism != "none"
        for signed in blocks
        for claim in signed.block.provenance.privacy_params.values()
    ):
        return {}
    from fedxdr.parties.auditing import check_spending  # noqa: PLC0415 - the accountant

    return {str(org): spent for org, spent in check_spending(blocks).items()}
