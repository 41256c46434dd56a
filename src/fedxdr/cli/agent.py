# SPDX-License-Identifier: Apache-2.0
"""Commands of an organisation: ``join``, ``agent run``, ``agent assess``."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, get_args

import typer

from fedxdr.app.participating import (
    OpenParticipant,
    key_of,
    take_next_key,
)
from fedxdr.app.participating import join as join_federation
from fedxdr.app.publishing import ModelMirror
from fedxdr.cli import handover
from fedxdr.cli.assessing import (
    AsJson,
    Eve,
    Folder,
    Until,
    Zeek,
    assess,
    load_learner,
)
from fedxdr.cli.console import OUT, print_json, start_logging
from fedxdr.cli.watching import Live, spool_learner, watching
from fedxdr.core.errors import (
    InvalidInput,
    InvalidSettings,
    Refused,
    Unavailable,
    UnknownSender,
)
from fedxdr.crypto.words import words_of
from fedxdr.federation.floor import Floor
from fedxdr.federation.plan import (
    MODES,
)
from fedxdr.parties.enrolment import InvitationToken
from fedxdr.parties.ports import Link
from fedxdr.privacy.mechanism import Unit
from fedxdr.storage.model_directory import FOLDER

logger = logging.getLogger(__name__)

agent = typer.Typer(no_args_is_help=True, help="An organisation's agent.")
agent.command("move")(handover.move)
agent.command("assess")(assess)

_MORE_MODES = ("committee", "paillier")
_WAIT_S = 10.0
_PAUSE_S = 1.0


def join(
    token: Annotated[str, typer.Argument(help="The line `fedxdr invite` printed.")],
    folder: Folder,
    name: Annotated[
        str | None, typer.Option(help="The organisation's name, for people.")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="Kinds of telemetry, repeatable.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Apply to join a federation: make keys here, check the pin, prove both."""
    began = time.monotonic()
    invitation = InvitationToken.parse(token)
    file = join_federation(
        folder,
        invitation,
        name=name or invitation.org,
        data_sources=tuple(source or ("suricata-eve", "zeek-conn")),
    )
    seconds = round(time.monotonic() - began, 3)
    fingerprint = key_of(folder).public.fingerprint
    if as_json:
        print_json(
            {
                "org_id": file.org,
                "server": file.server,
                "fingerprint": fingerprint,
                "words": list(words_of(fingerprint)),
                "dir": str(folder),
                "seconds": seconds,
            }
        )
        return
    OUT.print(f"[bold]{file.org}[/] has applied to {file.server} in {seconds} s.")
    OUT.print("Its keys were made here and stay here.", style="dim")
    OUT.print(
        f"Tell the other members these words: {' '.join(words_of(fingerprint))}",
        highlight=False,
    )
    OUT.print(
        f"Founding a federation: fedxdr members approve --dir {folder}, once the "
        "operator has proposed it",
        highlight=False,
    )
    OUT.print(
        f"Next: fedxdr agent run --dir {folder} --eve '/var/log/suricata/eve*.json'",
        highlight=False,
    )


@agent.command()
def run(
    folder: Folder,
    eve: Eve = None,
    zeek: Zeek = None,
    until: Until = None,
    *,
    min_survivors: Annotated[
        int, typer.Option(help="Local floor: fewest updates in a sum.")
    ] = 3,
    accept_mode: Annotated[
        list[str] | None,
        typer.Option(
            help="Local floor: take part in mode committee or paillier as well, "
            "repeatable."
        ),
    ] = None,
    max_epsilon: Annotated[
        float | None,
        typer.Option(help="Local floor: most that a plan may let this one spend."),
    ] = None,
    unit: Annotated[
        list[str] | None,
        typer.Option(
            help="Local floor: event, entity or organisation, whom a promise must "
            "hide; repeatable, default any."
        ),
    ] = None,
    api_port: Annotated[
        int | None,
        typer.Option(
            help="Answer programs on this machine on that port of 127.0.0.1 (0: a free "
            "one): /privacy/budget, /privacy/encrypt …; default: no."
        ),
    ] = None,
    accept_clear: Annotated[
        bool, typer.Option(help="Local floor: take part in mode clear as well.")
    ] = False,
    require_privacy: Annotated[
        bool,
        typer.Option(
            "--require-privacy", help="Local floor: only with differential privacy."
        ),
    ] = False,
    replay: Annotated[
        bool, typer.Option(help="Recompute every proposed model before accepting.")
    ] = True,
    ask: Annotated[
        bool,
        typer.Option(
            "--ask",
            help="Approve no plan without a person, however well it keeps to the "
            "floor: fedxdr plan approve.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print every byte and field that would leave, and end."
        ),
    ] = False,
    wish: Annotated[
        list[str] | None,
        typer.Option(help="With --dry-run: FIELD=JSON of another plan, repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="With --dry-run: write the exact bytes into this file."),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Follow the logs as they grow: score what comes, learn from it too.",
        ),
    ] = False,
    sink: Annotated[
        list[str] | None,
        typer.Option(
            help="With --follow: URL of a sink for findings, repeatable; default: "
            "findings.ndjson in the folder."
        ),
    ] = None,
    budget: Annotated[
        float,
        typer.Option(help="With --follow: share of benign events that may alarm."),
    ] = 0.01,
    kafka: Annotated[
        str | None,
        typer.Option(help="With --follow: HOST:PORT of a Kafka broker, with commas."),
    ] = None,
    topic: Annotated[
        list[str] | None,
        typer.Option(help="With --kafka: a topic to follow, repeatable."),
    ] = None,
    as_json: AsJson = False,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING.")] = "INFO",
) -> None:
    """Take part in rounds until stopped."""
    start_logging(level=log_level)
    if (wish or out) and not dry_run:
        raise InvalidSettings("--wish and --out go with --dry-run")
    floor = floor_of(
        min_survivors=min_survivors,
        accept_clear=accept_clear,
        accept_modes=accept_mode or (),
        max_epsilon=max_epsilon,
        units=unit or (),
        require_privacy=require_privacy,
    )
    with ExitStack() as stack:
        live: Live | None = None
        if follow:
            if dry_run:
                raise InvalidSettings(
                    "--dry-run does not go with --follow: leave --follow out, and the "
                    "same logs are read once"
                )
            live = stack.enter_context(
                watching(
                    folder,
                    [*(eve or ()), *(zeek or ())],
                    sinks=sink or (),
                    budget=budget,
                    kafka=kafka,
                    topics=topic or (),
                    until=until,
                )
            )
            learner = spool_learner(folder, until)
        elif sink or kafka or topic:
            raise InvalidSettings("--sink, --kafka and --topic go with --follow")
        else:
            learner = load_learner(folder, eve, zeek, until)
        while True:
            opened = OpenParticipant(
                folder,
                learner=learner,
                floor=floor,
                does_replay=replay,
                asks=ask,
                wrap=_reading_only if dry_run else None,
            )
            try:
                if dry_run:
                    from fedxdr.cli.dry_run import print_dry_run  # noqa: PLC0415 - rehearses

                    print_dry_run(opened, learner, wish or (), out=out, as_json=as_json)
                    return
                if not _take_part(opened, api_port, live):
                    return
            finally:
                opened.close()


def _take_part(opened: OpenParticipant, port: int | None, live: Live | None) -> bool:
    """Take part until told to stop; return whether to begin again, with a new key."""
    with _answering(opened, port), _mirroring(opened) as models:
        if live is not None:
            # what we have scores, whether or not the orchestrator is there
            live.follow(opened.participant)
            live.catch_up()
        _reach(opened, live)
        OUT.print(f"{opened.file.org}: ready", highlight=False)
        try:
            return _serve(opened, models, live)
        finally:
            opened.note_sent_bytes()


def _reading_only(link: Link) -> Link:
    from fedxdr.cli.dry_run import reading_only  # noqa: PLC0415 - rehearses

    return reading_only(link)


def floor_of(
    *,
    min_survivors: int,
    accept_clear: bool,
    accept_modes: Sequence[str],
    max_epsilon: float | None,
    units: Sequence[str],
    require_privacy: bool,
) -> Floor:
    """Return the local floor that the options of ``agent run`` ask for.

    Raises:
        InvalidSettings: a mode or unit that is none, or an epsilon that is none.
    """
    if set(accept_modes) - set(_MORE_MODES):
        raise InvalidSettings(
            f"--accept-mode {', '.join(accept_modes)}: use committee or paillier; "
            "secagg is always taken part in, clear has --accept-clear"
        )
    if set(units) - set(get_args(Unit)):
        raise InvalidSettings(
            f"--unit {', '.join(units)}: use event, entity or organisation"
        )
    if max_epsilon is not None and not max_epsilon > 0:
        raise InvalidSettings("--max-epsilon is a number above 0")
    wanted = {"secagg", *accept_modes} | ({"clear"} if accept_clear else set())
    return Floor(
        modes=tuple(mode for mode in MODES if mode in wanted),
        min_survivors=min_survivors,
        allow_no_privacy_mechanism=not require_privacy,
        max_epsilon=max_epsilon,
        units=tuple(units) or None,
    )


@contextmanager
def _answering(opened: OpenParticipant, port: int | None) -> Iterator[None]:
    """Answer programs on this machine while the agent takes part in rounds."""
    if port is None:
        yield
        return
    from fedxdr.api.agent_app import PREFIX, create_agent_app, listen  # noqa: PLC0415 - a server
    from fedxdr.api.agent_server import AgentServer  # noqa: PLC0415 - the same
    from fedxdr.app.agent_service import service_of  # noqa: PLC0415 - the same

    listener = listen(port=port)
    with AgentServer(create_agent_app(service_of(opened)), listener) as server:
        address = f"http://127.0.0.1:{server.port}{PREFIX}"
        OUT.print(f"{opened.file.org}: answers on {address}", highlight=False)
        yield


@contextmanager
def _mirroring(opened: OpenParticipant) -> Iterator[ModelMirror]:
    """Publish committed models in this folder as well, beside the rounds."""
    participant, client = opened.participant, opened.client
    models = ModelMirror(
        opened.folder / FOLDER,
        ledger=participant.mirror,
        model_of=participant.model,
        seal_of=lambda name: client.call("GET", f"/federation/model/{name}/seal"),
    )
    try:
        yield models
    finally:
        models.close()


def _reach(opened: OpenParticipant, live: Live | None = None) -> None:
    """Follow the ledger as soon as there is one; the orchestrator may start later."""
    said = ""
    while True:
        if live is not None:
            live.check()
        try:
            opened.follow_ledger()
        except UnknownSender as error:
            if not opened.has_next_key:
                raise
            # whether they were put into force says the ledger, below and in _serve
            logger.warning("our keys are not known", extra={"reason": str(error)})
            return
        except Unavailable as error:
            if str(error) != said:
                said = str(error)
                logger.warning("waiting for the ledger", extra={"reason": said})
            time.sleep(_PAUSE_S)
        else:
            return


def _takes_next_key(opened: OpenParticipant) -> bool:
    """Take this organisation's next key if the ledger has put it into force."""
    try:
        has_rotated = opened.has_rotated()
    except (InvalidInput, Refused) as error:
        logger.warning("the ledger cannot be followed", extra={"reason": str(error)})
        return False
    if has_rotated and take_next_key(opened.folder):
        logger.info("our next key is in force: beginning again with it")
        return True
    return False


def _serve(
    opened: OpenParticipant, models: ModelMirror, live: Live | None = None
) -> bool:
    """Take part until SIGTERM; return whether to begin again, with our next key.

    An orchestrator that is away is waited for; one that sends what it should not have,
    or refuses, is asked again later: nothing of it was believed. Faults of our own end
    the process.
    """
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        while not stopping:
            try:
                opened.participant.step(wait_s=_WAIT_S)
                models.follow()
                if live is not None:
                    live.follow(opened.participant)
            except Unavailable as error:
                logger.warning("the orchestrator is away", extra={"reason": str(error)})
                time.sleep(_PAUSE_S)
            except (InvalidInput, Refused) as error:
                if isinstance(error, UnknownSender) and _takes_next_key(opened):
                    return True
                logger.warning(
                    "cannot go on for now",
                    extra={"code": error.code, "reason": str(error)},
                )
                time.sleep(_PAUSE_S)
    except KeyboardInterrupt:
        logger.info("stopped")
    return False
