# SPDX-License-Identifier: Apache-2.0
"""``fedxdr generate``: embedded telemetry as log files, whole or as time passes.

For trying detection where no logs may be used yet. Addresses are private or set aside
for tests; ``truth.csv`` beside the logs says what was an attack.

It does NOT replace files of one's own logs for judging anything: what is found here
says how things work, not how well they will.
"""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from fedxdr.cli.console import OUT, print_json, table
from fedxdr.core.clock import SystemClock
from fedxdr.core.errors import InvalidSettings
from fedxdr.simulation.campaign import ALL_TECHNIQUES
from fedxdr.simulation.growing import GrowingLogs
from fedxdr.simulation.traffic import HOURS, generate, write
from fedxdr.simulation.world import EVERY_MIX, START, Sensors, World

_STEP_S = 0.2


def generate_telemetry(
    directory: Annotated[
        Path, typer.Argument(help="Gets a folder of logs for each organisation.")
    ],
    *,
    orgs: Annotated[int, typer.Option(help="How many organisations.")] = 5,
    seed: Annotated[int, typer.Option(help="Another seed, another world.")] = 0,
    hours: Annotated[float, typer.Option(help="How long it lasts, from 24.")] = HOURS,
    sensors: Annotated[
        list[Sensors] | None,
        typer.Option(help="Dealt in turn; repeat it. Without it: one of each."),
    ] = None,
    technique: Annotated[
        list[str] | None,
        typer.Option(help="What the campaign does; repeat it. Without it: all."),
    ] = None,
    private_at: Annotated[
        str | None, typer.Option(help="Who is hit by what nobody else had.")
    ] = None,
    live: Annotated[
        float | None,
        typer.Option(
            help="The second half comes as time passes, this many times as fast."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object.")] = False,
) -> None:
    """Write logs of several organisations that one campaign reaches in turn."""
    if live is not None and not live > 0:
        raise InvalidSettings("--live wants a speed above 0; 1 is as fast as life")
    start = START
    if live is not None:
        # The past ends now.
        now = SystemClock().now().replace(microsecond=0)
        start = now - dt.timedelta(hours=hours / 2)
    world = generate(
        organisations=[f"org-{number + 1}" for number in range(orgs)],
        seed=seed,
        hours=hours,
        private_campaign_at=private_at,
        techniques=technique or ALL_TECHNIQUES,
        sensors=sensors or EVERY_MIX,
        start=start.replace(microsecond=0),
    )
    if live is None:
        files = dict(write(world, directory))
        _tell(world, files, as_json=as_json)
        return
    growing = GrowingLogs(world, directory)
    growing.append(growing.begin, world.cut)
    _tell(world, dict(growing.files), as_json=as_json)
    _grow(growing, since=world.cut, speed=live)


def _grow(growing: GrowingLogs, *, since: dt.datetime, speed: float) -> None:
    """Append what is written from a time on, until there is no more."""
    clock = SystemClock()
    began, first = clock.now(), since
    while since < growing.end:
        time.sleep(_STEP_S)
        until = max(since, first + (clock.now() - began) * speed)
        growing.append(since, until)
        since = until


def _tell(world: World, files: dict[Any, Any], *, as_json: bool) -> None:
    found = {
        one.name: {
            "sensors": one.sensors.value,
            "logs": [str(path) for path in files[one.name].logs],
            "truth": str(files[one.name].truth),
        }
        for one in world.organisations
    }
    if as_json:
        print_json({"cut": world.cut.isoformat(), "organisations": found})
        return
    rows = [
        [name, str(one["sensors"]), *_sizes(files[name].logs)]
        for name, one in found.items()
    ]
    table("Embedded telemetry", ["organisation", "sensors", "logs", "MB"], rows)
    OUT.print(f"What is before {world.cut.isoformat()} is past.", highlight=False)


def _sizes(logs: tuple[Path, ...]) -> list[str]:
    total = sum(path.stat().st_size for path in logs)
    return [" ".join(path.name for path in logs), f"{total / 1e6:.1f}"]
