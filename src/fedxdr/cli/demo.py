# SPDX-License-Identifier: Apache-2.0
"""``fedxdr demo``: a whole federation on this machine, as its users would run it.

An orchestrator and five organisations as processes of their own, talking HTTP on
loopback; telemetry written as Suricata and Zeek files and read back as such; protected
rounds; the ledger exported and verified offline; and what federation won each of them.
Orchestrator, agents, joining, export and verification are the commands a user types.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from fedxdr.app.server_file import ServerFile
from fedxdr.cli.assessing import assessment
from fedxdr.cli.console import OUT, print_json, table
from fedxdr.cli.serve import CONSENT_S, as_operator, status_of
from fedxdr.core.errors import InvalidSettings, Unavailable
from fedxdr.simulation import traffic

ORGANISATIONS = ("aurora-bank", "borealis-energy", "cascade-health", "delta-port",
                 "ember-university")  # fmt: skip
ROUNDS = 12
_START_S = 240.0
_ROUND_S = 120.0
_STOP_S = 10.0
_PHASES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where everything of one demo lies."""

    folder: Path

    @property
    def server(self) -> Path:
        return self.folder / "orchestrator"

    @property
    def bundle(self) -> Path:
        return self.folder / "ledger.fedxdr"

    def telemetry(self) -> Path:
        return self.folder / "telemetry"

    def organisation(self, name: str) -> Path:
        return self.folder / "organisations" / name

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"


def demo(
    workdir: Annotated[
        Path | None, typer.Option(help="Leave everything here (new or empty folder).")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Training rounds.")] = ROUNDS,
    seed: Annotated[int, typer.Option(help="Of the embedded telemetry.")] = 0,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object.")] = False,
) -> None:
    """Run a whole federation on this machine and show what it won."""
    began = time.monotonic()
    if workdir is not None and workdir.exists() and any(workdir.iterdir()):
        raise InvalidSettings(f"{workdir} is not empty: name a new folder")
    folder = workdir or Path(tempfile.mkdtemp(prefix="fedxdr-demo-"))
    place = _Place(folder=folder.resolve())
    (place.folder / "logs").mkdir(parents=True, exist_ok=True)
    with Progress(
        TextColumn("{task.description:<44}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        console=OUT,
        disable=as_json or not OUT.is_terminal,
    ) as progress:
        report = _run(place, rounds=rounds, seed=seed, progress=progress)
    report["seconds"] = round(time.monotonic() - began, 1)
    if as_json:
        print_json(report)
    else:
        _tell(report, place)


def _run(
    place: _Place, *, rounds: int, seed: int, progress: Progress
) -> dict[str, Any]:
    world = traffic.generate(organisations=ORGANISATIONS, seed=seed)
    files = traffic.write(world, place.telemetry())
    _say(progress, "telemetry of five organisations written", total=1)
    _fedxdr("server", "init", "--dir", place.server, "--federation", "demo")
    with _serving(place):
        _in_parallel(lambda name: _join(place, name))
        _say(progress, "five organisations joined", total=1)
        founding = _fedxdr("members", "propose", "--found", "--dir", place.server)
        _in_parallel(lambda name: _approve(place, name, founding["digest"]))
        _say(progress, "all five approved the Genesis of the ledger", total=1)
        logs = {
            name: ["--eve", str(files[name].eve), "--zeek", str(files[name].conn)]
            for name in files
        }
        until = world.cut.isoformat()
        with _agents(place, logs, until):
            _say(progress, "agents have read their telemetry", total=1)
            for number in range(rounds + 1):
                _round(place, number, progress)
        sent = {name: _bytes_sent(place, name) for name in ORGANISATIONS}
        found = _assess(place, files, until, progress)
        _fedxdr("ledger", "export", place.bundle, "--dir", place.server)
    verified = _fedxdr("verify", place.bundle)
    return {
        "bundle": str(place.bundle),
        "organisations": {
            name: {
                "recall_alone": found[name]["recall_alone"],
                "recall_federated": found[name]["recall_federated"],
                "bytes_sent": sent[name],
                "attacks_to_find": found[name]["attacks"],
            }
            for name in ORGANISATIONS
        },
        "rounds": len(verified["rounds"]),
        "blocks_verified": verified["blocks_verified"],
        "trust_score": verified["trust"]["score"],
        "model": verified["model_hash"],
    }


def _round(place: _Place, number: int, progress: Progress) -> None:
    opened = as_operator(
        place.server, "POST", "/federation/round/start", {}, wait_s=CONSENT_S
    )
    what = "feature statistics" if opened["task"] == "statistics" else "training"
    bar = progress.add_task(f"round {number + 1}: {what}", total=_PHASES - 1)
    order = ("announced", "keys", "shares", "contributions", "survivors", "unmasking",
             "aggregated", "proposed", "committed")  # fmt: skip
    end = time.monotonic() + _ROUND_S
    while time.monotonic() < end:
        status = status_of(place.server, opened["round_id"])
        if status["status"] == "failed":
            raise Unavailable(f"round {number + 1} failed: {status['reason']}")
        progress.update(bar, completed=order.index(status["phase"]) + 1)
        if status["status"] == "completed":
            return
        time.sleep(0.1)
    raise Unavailable(
        f"round {number + 1} has not ended in {_ROUND_S:.0f} s; see {place.folder}/logs"
    )


def _assess(
    place: _Place,
    files: Any,  # noqa: ANN401 - organisation -> OrganisationFiles
    until: str,
    progress: Progress,
) -> dict[str, dict[str, Any]]:
    bar = progress.add_task("alone against federated, on later events", total=5)

    def one(name: str) -> dict[str, Any]:
        found = assessment(
            place.organisation(name),
            eve=[str(files[name].eve)],
            zeek=[str(files[name].conn)],
            until=until,
            truth=files[name].truth,
        )
        progress.advance(bar)
        return found

    return _in_parallel(one)


def _in_parallel(
    work: Callable[[str], dict[str, Any]],
) -> dict[str, dict[str, Any]]:
    """Return what work gives for each organisation, as many at once as cores."""
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return dict(zip(ORGANISATIONS, pool.map(work, ORGANISATIONS), strict=True))


def _join(place: _Place, name: str) -> dict[str, Any]:
    """Invite one organisation and let it join by the command its user types."""
    form = {"org_id": name}
    invited = as_operator(place.server, "POST", "/federation/invitations", form)
    return _fedxdr("join", invited["token"], "--dir", place.organisation(name))


def _approve(place: _Place, name: str, founding: str) -> dict[str, Any]:
    """Approve the founding, as its user does after comparing fingerprints."""
    folder = place.organisation(name)
    return _fedxdr("members", "approve", founding, "--dir", folder, "--yes")


def _bytes_sent(place: _Place, name: str) -> int:
    """Return how many bytes of request bodies an agent has sent, from its own count."""
    count = place.organisation(name) / "sent-bytes"
    return int(count.read_text())


@contextmanager
def _serving(place: _Place) -> Iterator[None]:
    with _process(
        place, "orchestrator", ["server", "run", "--dir", str(place.server),
                                "--port", "0"],
    ) as process:  # fmt: skip
        _until_said(place, "orchestrator", process, "Serving on")
        if not ServerFile.read(place.server).address:
            raise Unavailable("the orchestrator did not say where it listens")
        yield


@contextmanager
def _agents(place: _Place, logs: dict[Any, list[str]], until: str) -> Iterator[None]:
    with ExitStack() as stack:
        running = {}
        for name in ORGANISATIONS:
            command = ["agent", "run", "--dir", str(place.organisation(name)),
                       *logs[name], "--until", until]  # fmt: skip
            running[name] = stack.enter_context(_process(place, name, command))
        for name, process in running.items():
            _until_said(place, name, process, "ready")
        yield


@contextmanager
def _process(
    place: _Place, name: str, command: Sequence[str]
) -> Iterator[subprocess.Popen[bytes]]:
    with place.log(name).open("wb") as log:
        process = _start(command, log)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(command: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "fedxdr", *command],
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
    )


def _until_said(
    place: _Place, name: str, process: subprocess.Popen[bytes], word: str
) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        text = place.log(name).read_text(errors="replace")
        if word in text:
            return
        if process.poll() is not None:
            raise Unavailable(f"{name} ended early:\n{text[-2000:]}")
        time.sleep(0.05)
    raise Unavailable(f"{name} is not ready after {_START_S:.0f} s: {place.log(name)}")


def _fedxdr(*command: str | Path) -> dict[str, Any]:
    """Return the JSON that one of our own commands prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "fedxdr", *map(str, command), "--json"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode != 0:
        raise Unavailable(
            f"`fedxdr {' '.join(map(str, command[:2]))}` ended with "
            f"{done.returncode}: {done.stderr.strip()}"
        )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _say(progress: Progress, sentence: str, *, total: int) -> None:
    bar = progress.add_task(sentence, total=total)
    progress.update(bar, completed=total)


def _tell(report: dict[str, Any], place: _Place) -> None:
    rows = [
        [
            name,
            _share(one["recall_alone"]),
            _share(one["recall_federated"]),
            str(one["attacks_to_find"]),
            f"{one['bytes_sent'] / 1e6:.1f} MB",
        ]
        for name, one in report["organisations"].items()
    ]
    table(
        "What federation won (attacks found at 1 % false alarms, on later events)",
        ["organisation", "alone", "federated", "to find", "request bodies sent"],
        rows,
    )
    OUT.print(
        "What left each organisation: keys and sealed shares of each round, one masked "
        "vector per round (noise to all, but for their sum), signatures. No log line, "
        "no address, no unmasked update. Differential privacy: none in the demo.",
        highlight=False,
    )
    OUT.print(
        f"{report['rounds']} rounds committed; {report['blocks_verified']} blocks "
        f"verified offline; trust score {report['trust_score']:.2f}.",
        highlight=False,
    )
    OUT.print(f"Everything lies in {place.folder}", highlight=False)
    OUT.print(f"Check it yourself: fedxdr verify {place.bundle}", highlight=False)
    OUT.print(f"{report['seconds']:.0f} seconds in all.", highlight=False)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
