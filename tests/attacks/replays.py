# SPDX-License-Identifier: Apache-2.0
"""Real signed requests of real rounds, sent again in every wrong way: none is taken.

Four organisations join, found a federation and run rounds over HTTP, against an
orchestrator on a folder; somebody on the way records every request. In a further round
one organisation is late, so that the server waits for each of its messages in turn: in
each of these windows, and after restarts of the server on nothing but its folder, the
recorded requests come again: the same bytes, now and when their signature has expired,
under another round's path, with another's nonce or signature, with another's body,
under fresh signatures of another member, and the sender's own old ones signed afresh.

A request counts as accepted if it is answered with success, or if anything but used
nonces has changed in the database.

    python -m tests.attacks.replays [--count 10000] [--seed 0]

prints one JSON line.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import logging
import re
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import sqlalchemy as sa
from tests.attacks.malicious_orchestrator.puppeteer import Loopback, on_loopback
from tests.attacks.malicious_orchestrator.stage import LAYOUT, DataOf

from fedxdr.api.app import create_app
from fedxdr.app.deciding import Somebody, find_change
from fedxdr.app.orchestrating import OpenOrchestrator, initialise
from fedxdr.app.participating import OpenParticipant, join, key_of
from fedxdr.app.server_file import ServerFile, operator_key
from fedxdr.app.settings import PlanSettings
from fedxdr.core.clock import SystemClock
from fedxdr.core.errors import FedxdrError, WaitingForQuorum
from fedxdr.core.randomness import SystemEntropy, generator
from fedxdr.crypto import requests
from fedxdr.crypto.keys import IdentityKey
from fedxdr.models.snapshot import Card, Snapshot
from fedxdr.parties.enrolment import InvitationToken
from fedxdr.storage.schema import METADATA, NONCES
from fedxdr.transport.client import Client

ORGS = ("org-a", "org-b", "org-c", "org-d")
LATE = ORGS[-1]
STEPS = ("keys", "shares", "contribution", "survivor-signature", "unmasking",
         "acceptance")  # fmt: skip
OPERATOR = "operator"
_CONTRIBUTION = "/federation/round/submit-gradient"
_LIMIT = 60
_DEADLINES = dict.fromkeys(
    ("keys_s", "shares_s", "contributions_s", "survivors_s", "unmasking_s"), 86_000.0
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request as it came over the wire.

    Attributes:
        by: who signed it.
        target: path and query.
        headers: those that the sender wrote.
        body: the exact bytes.
        at: when it came.
    """

    by: str
    target: str
    headers: dict[str, str]
    body: bytes
    at: datetime

    @property
    def kind(self) -> str:
        """What it is for, in a word."""
        path = self.target.split("?")[0].rstrip("/").split("/")
        if path[-2] == "checkpoint":
            return "cosignature"
        return "contribution" if path[-1] == "submit-gradient" else path[-1]


class Clock:
    """The machine's time until it is stopped, then what it is moved to."""

    def __init__(self) -> None:
        self._stopped: datetime | None = None

    def now(self) -> datetime:
        return self._stopped or SystemClock().now()

    def stop(self) -> None:
        self._stopped = self.now()

    def advance(self, seconds: float) -> None:
        self._stopped = self.now() + timedelta(seconds=seconds)


class Tape:
    """Stands before the application and records what it has accepted (ASGI)."""

    def __init__(self, app: Any, sent: list[Sent], world: World) -> None:
        self._app = app
        self._sent = sent
        self._world = world

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        parts: list[bytes] = []
        status = 0

        async def heard() -> Any:
            event = await receive()
            parts.append(event.get("body", b""))
            return event

        async def said(event: Any) -> None:
            nonlocal status
            status = event.get("status", status)
            await send(event)

        await self._app(scope, heard, said)
        if not self._world.is_recording or scope["method"] != "POST" or status >= 300:
            return
        headers = {k.decode(): v.decode() for k, v in scope["headers"]}
        query = scope["query_string"].decode()
        self._sent.append(
            Sent(
                by=self._world.who(headers),
                target=scope["path"] + (f"?{query}" if query else ""),
                headers={
                    name: value
                    for name, value in headers.items()
                    if name.startswith(("content-", "signature"))
                    and name != "content-length"
                },
                body=b"".join(parts),
                at=self._world.clock.now(),
            )
        )


class World:
    """The federation, its recording, and the attempts.

    Args:
        server: the loopback server.
        folder: an empty one.
        seed: of the choice of attempts.
    """

    def __init__(self, server: Loopback, folder: Path, *, seed: int) -> None:
        self.server = server
        self.folder = folder
        self.clock = Clock()
        self._coins = generator(seed)
        self.sent: list[Sent] = []
        self.is_recording = True
        self.keys: dict[str, IdentityKey] = {}
        self.agents: dict[str, OpenParticipant] = {}
        self.restarts = -1
        self.tried: Counter[str] = Counter()
        self.answers: Counter[int] = Counter()
        self.accepted: list[str] = []
        vector = np.zeros(LAYOUT.size, dtype=np.float32)
        card = Card(layout=LAYOUT, architecture={"kind": "test"})
        initialise(
            folder / "server",
            federation="replays",
            model=Snapshot(vector=vector, card=card),
        )
        file = replace(ServerFile.read(folder / "server"), address=server.address)
        file.write(folder / "server")
        self.keys[OPERATOR] = operator_key(folder / "server")
        self.opened: OpenOrchestrator | None = None
        self.restart()
        self._found()
        self.http = httpx.Client(base_url=server.address, timeout=120)

    def close(self) -> None:
        """End everybody."""
        self.http.close()
        for agent in self.agents.values():
            agent.close()
        self.orchestrating.close()

    def restart(self) -> None:
        """End the server and start it again: nothing but its folder stays."""
        if self.opened is not None:
            self.opened.close()
        self.opened = OpenOrchestrator(
            self.folder / "server", settings=PlanSettings(), clock=self.clock
        )
        self.server.app = Tape(create_app(self.opened.service), self.sent, self)
        self.restarts += 1

    @property
    def orchestrating(self) -> OpenOrchestrator:
        assert self.opened is not None
        return self.opened

    def who(self, headers: dict[str, str]) -> str:
        """Return whose key a request names."""
        with suppress(FedxdrError):
            keyid = requests.claimed_keyid(headers)
            for name, key in self.keys.items():
                if key.public.keyid == keyid:
                    return name
        return "?"

    def _found(self) -> None:
        for org in ORGS:
            invited = self.call("/federation/invitations", {"org_id": org})
            token = InvitationToken.parse(invited["token"])
            join(self.folder / org, token, name=org, data_sources=("test",))
            self.keys[org] = key_of(self.folder / org)
        self.sent = [
            replace(sent, by=self.who(sent.headers)) if sent.by == "?" else sent
            for sent in self.sent
        ]
        self.restart()
        self.call("/federation/found", {})
        for org in ORGS:
            founder = Somebody.of(self.folder / org)
            founder.approve(find_change(founder.changes(), "founding"))
        self.clock.stop()
        for place, org in enumerate(ORGS):
            self.agents[org] = OpenParticipant(
                self.folder / org, learner=DataOf(place), clock=self.clock
            )

    def call(self, path: str, form: dict[str, Any]) -> dict[str, Any]:
        """Return the server's answer to the operator."""
        client = Client(
            self.server.address,
            signer=self.keys[OPERATOR],
            clock=self.clock,
            entropy=SystemEntropy(),
        )
        try:
            body = json.dumps(form).encode()
            return json.loads(client.call("POST", path, body=body))
        finally:
            client.close()

    # Rounds.

    def look(self, *orgs: str) -> None:
        """Let organisations do what is due, until nothing moves any more."""
        for _ in range(_LIMIT):
            before = self.orchestrating.orchestrator.version
            for org in orgs:
                self.agents[org].participant.step(wait_s=0)
            if self.orchestrating.orchestrator.version == before:
                return
        raise AssertionError("the round goes on for ever")

    def start_round(self) -> str:
        """Open a round, with the plan approved and the newest head cosigned before."""
        orchestrator = self.orchestrating.orchestrator
        for _ in range(_LIMIT):
            with suppress(WaitingForQuorum), self.orchestrating.service.lock:
                orchestrator._plan_in_force({"deadlines": _DEADLINES})
                orchestrator.heads.require_quorum()
                break
            self.look(*ORGS)
        form = {"task": "training", "config": {"deadlines": _DEADLINES}}
        return str(self.call("/federation/round/start", form)["round_id"])

    def run_round(self) -> str:
        """Run a round to its end, everybody in it."""
        name = self.start_round()
        self.look(*ORGS)
        round_ = self.orchestrating.orchestrator.current
        assert round_ is not None
        assert round_.failure is None
        assert round_.is_ended
        return name

    # Attempts.

    def state(self) -> str:
        """Return a digest of all that the server has stored, but for used nonces."""
        found = hashlib.sha256()
        with self.orchestrating._database.read() as connection:
            for table in METADATA.sorted_tables:
                if table is not NONCES:
                    rows = sorted(map(repr, connection.execute(sa.select(table))))
                    found.update(repr((table.name, rows)).encode())
        return found.hexdigest()

    def attempt(self, attempt: Attempt) -> None:
        """Send one request and note what came of it."""
        answer = self.http.post(
            attempt.target, content=attempt.body, headers=attempt.headers
        )
        self.tried[attempt.way] += 1
        self.answers[answer.status_code] += 1
        if answer.is_success:
            self.accepted.append(f"{attempt.way}: {attempt.target}")

    def attack(self, count: int) -> None:
        """Send wrong requests; whatever they change counts as accepted."""
        self.is_recording = False
        before = self.state()
        attempts = self._attempts()
        for _ in range(count):
            self.attempt(next(attempts))
        if self.state() != before:
            self.accepted.append("the database has changed")
        self.is_recording = True

    def _attempts(self) -> Iterator[Attempt]:
        known = {kind: [s for s in self.sent if s.kind == kind] for kind in self.kinds}
        while True:
            way, made = self.draw(list(WAYS)), None
            while made is None:
                # each kind alike: there are many messages of some and one of others
                source = self.draw(known[self.draw(self.kinds)])
                made = WAYS[way](self, source)
            yield replace(made, way=way)

    def draw(self, options: Sequence[T]) -> T:
        """Return one of these by chance."""
        return options[int(self._coins.integers(len(options)))]

    @property
    def kinds(self) -> list[str]:
        """The kinds of request that were recorded, sorted."""
        return sorted({sent.kind for sent in self.sent})

    def other(self, source: Sent) -> Sent:
        """Return a request with other signed bytes."""
        while True:
            found = self.draw(self.sent)
            if found.headers["signature"] != source.headers["signature"] and (
                found.body != source.body
            ):
                return found

    def signed(self, by: str, target: str, source: Sent) -> Attempt:
        """Return bytes of another request under a fresh signature."""
        headers = {"content-type": source.headers.get("content-type", "")}
        requests.sign(
            requests.Request(
                method="POST",
                url=f"{self.server.address}{target}",
                headers=headers,
                body=source.body,
            ),
            signer=self.keys[by],
            now=self.clock.now(),
            entropy=SystemEntropy(),
        )
        return Attempt(target=target, headers=headers, body=source.body)

    @property
    def rounds(self) -> list[str]:
        """The names of all rounds."""
        return list(self.orchestrating.orchestrator._facts.rounds())


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A wrong request.

    Attributes:
        target: path and query.
        headers: as they are sent.
        body: the exact bytes.
        way: in which way it is wrong.
    """

    target: str
    headers: dict[str, str]
    body: bytes
    way: str = ""


Way = Callable[[World, Sent], Attempt | None]


def same(world: World, source: Sent) -> Attempt:
    """The same bytes again."""
    del world
    return Attempt(target=source.target, headers=source.headers, body=source.body)


def _elsewhere(world: World, source: Sent) -> str | None:
    """Return the target of the same kind of request about something else."""
    rounds = re.findall(r"round-\d+-[0-9a-f]+", source.target)
    if rounds:
        others = [name for name in world.rounds if name != rounds[0]]
        return source.target.replace(rounds[0], world.draw(others))
    if source.kind == "cosignature":
        base, _, size = source.target.rpartition("/")
        sizes = [n for n in range(1, 9) if n != int(size)]
        return f"{base}/{world.draw(sizes)}"
    if source.kind == "approval":
        name = source.target.split("/")[-2]
        changes = world.orchestrating.orchestrator.governance.proposals(is_open=False)
        others = [c.digest for c in changes if c.digest != name]
        return source.target.replace(name, world.draw(others))
    return None


def other_place(world: World, source: Sent) -> Attempt | None:
    """The same bytes under another round's path, another head's, another change's."""
    target = _elsewhere(world, source)
    return None if target is None else replace(same(world, source), target=target)


def other_place_afresh(world: World, source: Sent) -> Attempt | None:
    """An old message of its own sender, signed afresh for another round."""
    target = _elsewhere(world, source)
    return None if target is None else world.signed(source.by, target, source)


def other_step_afresh(world: World, source: Sent) -> Attempt | None:
    """A message of its own sender, signed afresh, as that of another step."""
    if source.kind not in STEPS:
        return None
    step = world.draw([s for s in STEPS if s != source.kind])
    prefix = source.target.split("/federation/")[0]
    name = world.draw(world.rounds)
    target = f"{prefix}/federation/round/{name}/{step}"
    if step == "contribution":
        target = f"{prefix}{_CONTRIBUTION}?round_id={name}"
    return world.signed(source.by, target, source)


def _nonce(headers: dict[str, str]) -> str:
    found = re.search(r'nonce="([^"]+)"', headers["signature-input"])
    assert found is not None
    return found[1]


def other_nonce(world: World, source: Sent) -> Attempt:
    """The same bytes with another request's nonce."""
    old, new = _nonce(source.headers), _nonce(world.other(source).headers)
    changed = source.headers["signature-input"].replace(old, new)
    headers = {**source.headers, "signature-input": changed}
    return Attempt(target=source.target, headers=headers, body=source.body)


def other_signature(world: World, source: Sent) -> Attempt:
    """The same bytes with another request's signature headers."""
    other = world.other(source).headers
    kept = {n: other[n] for n in ("signature", "signature-input")}
    return replace(same(world, source), headers={**source.headers, **kept})


def other_body(world: World, source: Sent) -> Attempt:
    """The same headers over another request's body."""
    return replace(same(world, source), body=world.other(source).body)


def other_body_and_digest(world: World, source: Sent) -> Attempt:
    """The same signature over another request's body, with the digest of that body."""
    body = world.other(source).body
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    headers = {**source.headers, "content-digest": f"sha-256=:{digest}:"}
    return Attempt(target=source.target, headers=headers, body=body)


def by_another(world: World, source: Sent) -> Attempt:
    """The same message under a fresh signature of somebody else who is known."""
    by = world.draw([name for name in world.keys if name != source.by])
    return world.signed(by, source.target, source)


def into_the_window(world: World, source: Sent) -> Attempt | None:
    """Somebody's message of such a step, in the round that waits for one like it.

    The late one signs the request: its own message of an earlier round, or another's.
    """
    if source.kind not in STEPS:
        return None
    name = world.rounds[-1]
    target = re.sub(r"round-\d+-[0-9a-f]+", name, source.target)
    if source.by == LATE and target == source.target:
        return None  # its own message of this round, which is a retry
    return world.signed(LATE, target, source)


WAYS: dict[str, Way] = {
    "same-bytes": same,
    "other-place": other_place,
    "other-place-signed-afresh": other_place_afresh,
    "other-step-signed-afresh": other_step_afresh,
    "other-nonce": other_nonce,
    "other-signature": other_signature,
    "other-body": other_body,
    "other-body-and-digest": other_body_and_digest,
    "signed-by-another": by_another,
    "into-the-window": into_the_window,
}


def at_the_edge(world: World) -> None:
    """Send again what is about to expire, a moment before, at and after that."""
    newest = max(sent.at for sent in world.sent)
    edge = requests.LIFETIME_S + requests.CLOCK_SKEW_S
    fresh = [sent for sent in world.sent if sent.at == newest][-20:]
    passed = (world.clock.now() - newest).total_seconds()
    world.is_recording = False
    for moment in (edge - 1.0, edge - 0.5, edge, edge + 0.5, edge + 1.0):
        world.clock.advance(max(0.0, moment - passed))
        passed = max(passed, moment)
        for sent in fresh:
            world.attempt(replace(same(world, sent), way="at-the-edge"))
    world.is_recording = True


def play(server: Loopback, folder: Path, *, count: int, seed: int = 0) -> World:
    """Run rounds and send wrong requests in between.

    Args:
        server: the loopback server.
        folder: an empty one.
        count: how many, at least.
        seed: of the choice.
    """
    world = World(server, folder, seed=seed)
    try:
        world.run_round()
        world.run_round()
        parts = len(STEPS) + 3
        share = -(-count // parts)
        world.attack(share)
        world.start_round()
        for place, step in enumerate(STEPS):
            world.look(*(org for org in ORGS if org != LATE))
            if place % 2:
                world.restart()
            world.attack(share)
            before = len(world.sent)
            world.agents[LATE].participant.step(wait_s=0)
            kinds = [s.kind for s in world.sent[before:] if s.by == LATE]
            assert step in kinds, (step, kinds)
        world.look(*ORGS)
        round_ = world.orchestrating.orchestrator.current
        assert round_ is not None
        assert round_.survivors == ORGS
        assert round_.is_ended
        world.attack(share)
        world.restart()
        at_the_edge(world)
        world.clock.advance(3600)
        world.attack(share)
    finally:
        world.close()
    return world


def main() -> None:
    """Play and print one line."""
    parser = argparse.ArgumentParser(prog="tests.attacks.replays")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # each refusal is logged by the server: they are what is asked for
    logging.getLogger("fedxdr").addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory() as folder, on_loopback() as server:
        world = play(server, Path(folder), count=options.count, seed=options.seed)
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "name": "replays",
        "sent": sum(world.tried.values()),
        "accepted": len(world.accepted),
        "which": world.accepted[:10],
        "recorded": len(world.sent),
        "kinds": world.kinds,
        "ways": dict(sorted(world.tried.items())),
        "answers": {str(k): v for k, v in sorted(world.answers.items())},
        "restarts": world.restarts,
        "seed": options.seed,
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.exit(bool(world.accepted))


if __name__ == "__main__":
    main()
