# SPDX-License-Identifier: Apache-2.0
"""``fedxdr detect``: findings in log files, by a federation's model.

Findings go to standard output, a file, or sinks; what is said to people goes to
standard error, so that a pipe gets findings alone.

It does NOT follow logs; ``fedxdr agent run --follow`` does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from fedxdr.app.participating import AgentFile
from fedxdr.app.sinks import open_sink
from fedxdr.cli.console import ERR, print_json, start_logging
from fedxdr.core.clock import SystemClock
from fedxdr.core.errors import InvalidSettings
from fedxdr.core.ids import OrgId, org_id
from fedxdr.core.randomness import SystemEntropy
from fedxdr.privacy.pseudonym import KEY_BYTES, Pseudonymiser
from fedxdr.storage.files import replace_file
from fedxdr.telemetry.findings import Finding
from fedxdr.telemetry.ocsf_out import to_ocsf
from fedxdr.telemetry.shown import Names
from fedxdr.telemetry.stix import to_stix
from fedxdr.transport.sinks.sink import Sink

_OWN = OrgId("own")
_BATCH = 256
_PRIVATE = 0o600


def detect(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="FILE…", help="Logs: files, folders, glob patterns."),
    ],
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="The organisation's folder: its newest model."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="A model's file, in place of --dir.")
    ] = None,
    *,
    budget: Annotated[
        float, typer.Option(help="Share of benign events that may alarm, in (0, 1).")
    ] = 0.01,
    past: Annotated[
        list[str] | None,
        typer.Option(
            help="Earlier logs to calibrate on, repeatable; default: the earlier half."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write findings to this file (OCSF, NDJSON).")
    ] = None,
    stix: Annotated[
        Path | None, typer.Option(help="Write a STIX 2.1 bundle to this file.")
    ] = None,
    sink: Annotated[
        list[str] | None,
        typer.Option(help="URL of a sink to send findings to, repeatable."),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print a summary; findings to --out or --sink."),
    ] = False,
) -> None:
    """Find what looks like an attack in log files, one line of JSON each."""
    began = time.monotonic()
    if (folder is None) == (model is None):
        raise InvalidSettings(
            "say which model scores: --dir FOLDER of an organisation, or --model FILE"
        )
    if not 0 < budget < 1:
        raise InvalidSettings("--budget is a share of events, above 0 and below 1")
    start_logging(level="WARNING")
    # torch, which a wrong option need not wait for
    from fedxdr.app import detecting  # noqa: PLC0415 - see above
    from fedxdr.app.learners import pseudonymiser_in  # noqa: PLC0415 - the same
    from fedxdr.app.names import KnownNames  # noqa: PLC0415 - the same
    from fedxdr.app.scoring import model_at, model_in  # noqa: PLC0415 - the same

    if folder is not None:
        org, chosen = org_id(AgentFile.read(folder).org), model_in(folder)
        tokeniser = pseudonymiser_in(folder)
    else:
        org, chosen = _OWN, model_at(Path(str(model)))
        # tokens of this call alone: nothing is kept that they would have to match
        tokeniser = Pseudonymiser(SystemEntropy().draw(KEY_BYTES))
    names = KnownNames(tokeniser)
    with ExitStack() as stack:
        # before anything is read: they may be written wrongly
        sinks = list(_opened(stack, sink or (), names))
        found = detecting.detect(
            sources,
            past=past or (),
            model=chosen,
            org=org,
            names=names,
            budget=budget,
            clock=SystemClock(),
        )
        if found.is_half_past:
            _say(
                f"The earlier half of the logs ({found.past} events) is taken for this "
                "organisation's past and not scored; --past names another."
            )
        if not found.is_calibrated:
            _say(
                f"{found.past} events of the past are too few to choose a threshold: "
                "it is a guess. Give more with --past."
            )
        _write(found.findings, names, out=out, stix=stix, is_told=not as_json)
        for one in sinks:
            _send(one, found.findings)
    told = detecting.summary(found, model=chosen, budget=budget)
    told["seconds"] = round(time.monotonic() - began, 3)
    if as_json:
        print_json(told)
    else:
        _summarise(told)


def _opened(stack: ExitStack, urls: Sequence[str], names: Names) -> Iterator[Sink]:
    """Yield sinks by their URLs, to be closed with the stack."""
    clock, entropy = SystemClock(), SystemEntropy()
    for url in urls:
        sink = open_sink(url, names=names, clock=clock, entropy=entropy)
        stack.callback(sink.close)
        yield sink


def _send(sink: Sink, findings: Sequence[Finding]) -> None:
    """Send findings; one that is away ends the command, which is then run again."""
    for begin in range(0, len(findings), _BATCH):
        sink.send(findings[begin : begin + _BATCH])


def _write(
    findings: Sequence[Finding],
    names: Names,
    *,
    out: Path | None,
    stix: Path | None,
    is_told: bool,
) -> None:
    """Write findings where they are asked for; files are for their owner only."""
    lines = b"".join(to_ocsf(one, names=names) + b"\n" for one in findings)
    if out is not None:
        replace_file(out, lines, mode=_PRIVATE)
    elif is_told:
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()
    if stix is not None and findings:
        bundle = to_stix(findings, names=names, created=SystemClock().now())
        replace_file(stix, bundle + b"\n", mode=_PRIVATE)
    elif stix is not None:
        _say(f"Nothing was found: {stix} is not written.")


def _summarise(told: dict[str, Any]) -> None:
    for one in told["files"]:
        reasons = {**one["why_skipped"], **one["why_refused"]}
        _say(
            f"{one['path']}: {one['format'] or one['problem']}, {one['kept']} events, "
            f"{one['skipped']} skipped, {one['refused']} refused"
            + "".join(f"; {count} {why}" for why, count in reasons.items())
        )
    alarms = told["expected_false_alarms_per_day"]
    _say(
        f"{told['findings']} findings in {told['events']} events, above "
        f"{told['threshold']:.3f}, by model {told['model'][:16]}…"
        + ("" if alarms is None else f"; at most {alarms:.0f} benign events a day are")
        + ("" if alarms is None else " expected above it")
    )
    if told["findings"]:
        counts = (f"{count} {word}" for word, count in told["by_severity"].items())
        _say(", ".join(counts))


def _say(sentence: str) -> None:
    ERR.print(sentence, highlight=False, markup=False, soft_wrap=True)
