# SPDX-License-Identifier: Apache-2.0
"""What happens, told as it happens: in order, resumed, and to whom it may be."""

import asyncio
import json
import socket
import threading
from dataclasses import dataclass

import httpx
import pytest
import uvicorn

from fedxdr.api import events
from fedxdr.api.app import PREFIX, create_app
from fedxdr.api.events import Listeners
from fedxdr.core.errors import Unavailable
from fedxdr.core.ids import org_id, round_id
from fedxdr.ledger.entries import RoundFailed
from fedxdr.parties import consent

PATH = f"{PREFIX}/events"


@dataclass(frozen=True)
class Event:
    """One event as a browser understands it."""

    kind: str
    data: dict
    id: str = ""


def parse(text):
    """Return the events in a stream, by the rules of the HTML standard."""
    found = []
    for part in text.split("\n\n"):
        fields = {"data": ""}
        for line in part.splitlines():
            if line.startswith(":") or not line:
                continue
            name, _, value = line.partition(": ")
            fields[name] = value
        if fields["data"]:
            found.append(
                Event(
                    fields.get("event", "message"),
                    json.loads(fields["data"]),
                    fields.get("id", ""),
                )
            )
    return found


class Listening:
    """A listener in this process; time passes between its turns only."""

    def __init__(self, api, *, after=None, is_whole=True, listeners=None):
        self.listeners = listeners or Listeners()
        self.told = events.stream(
            api.service, self.listeners, after=after, is_whole=is_whole
        )

    async def until(self, is_last):
        """Return the events up to the first of a kind."""
        found = []
        async with asyncio.timeout(60):
            async for part in self.told:
                found += parse(part.decode())
                if found and is_last(found[-1]):
                    break
        return found

    async def rest(self):
        """Return what comes until the stream ends."""
        async with asyncio.timeout(20):
            return parse("".join([part.decode() async for part in self.told]))


def of(kind, found):
    return [event for event in found if event.kind == kind]


def approve(api, org):
    (change,) = api.world.orchestrator.governance.proposals()
    made = consent.approve(
        change,
        me=org_id(org),
        identity=api.keys[org],
        ledger=api.world.recorder.in_force.genesis_hash,
        now=api.world.clock.now(),
    )
    api.world.orchestrator.approve(change.digest, org_id(org), made)


def test_at_first_it_is_told_how_things_stand(settled):
    async def listen():
        listening = Listening(settled)
        return await listening.until(lambda e: e.kind == "round")

    found = asyncio.run(listen())
    assert [event.kind for event in found] == ["head", "round"]
    head, round_ = found
    assert head == Event(
        "head",
        {
            "size": 5,
            "cosigned_by": ["alpha", "bravo", "charlie", "delta"],
            "has_quorum": True,
        },
    )
    current = settled.world.orchestrator.current
    assert round_.data == {
        "round_id": current.announcement.round_id,
        "round_number": 3,
        "task": "training",
        "phase": "committed",
        "status": "completed",
    }


def test_a_round_is_told_from_its_announcement_to_its_block(api):
    size = api.world.recorder.size()

    async def listen():
        listening = Listening(api)
        begun = await listening.until(lambda e: e.kind == "head")

        def start(_service):
            api.world.start_round()

        async def run_agents():
            await api.service.run(start)
            while True:
                await asyncio.sleep(2 * events._POLL_S)
                await api.service.run(lambda _: api.world.step())

        agents = asyncio.ensure_future(run_agents())
        told = await listening.until(
            lambda e: (
                e.kind == "head" and e.data["size"] > size and e.data["has_quorum"]
            )
        )
        agents.cancel()
        return begun, told

    begun, told = asyncio.run(listen())
    assert [event.kind for event in begun] == ["head"]
    block = api.world.recorder.in_force.head
    assert of("block", told) == [
        Event(
            "block",
            {
                "height": size,
                "hash": block.hash,
                "kind": "fedxdr/round-committed/v1",
                "model_hash": block.model_hash,
            },
            str(size),
        )
    ]
    phases = [event.data["phase"] for event in of("round", told)]
    assert phases[0] == "announced"
    assert phases[-1] == "committed"
    assert len(phases) == len(set(phases)) > 3
    statuses = [event.data["status"] for event in of("round", told)]
    assert set(statuses[:-1]) == {"in_progress"}
    assert statuses[-1] == "completed"
    # nothing but a block has an id: it is what a client resumes from
    assert all(event.kind == "block" for event in told if event.id)


def test_a_change_is_told_with_each_approval_and_how_it_ended(api):
    api.world.orchestrator.propose_plan({"clip_norm": 5.0})
    orgs = ("alpha", "bravo", "charlie")

    async def listen():
        listening, told = Listening(api), []
        for org in orgs:
            told += await listening.until(lambda e: e.kind == "change")
            approve(api, org)
        last = await listening.until(lambda e: e.kind == "change")
        return told + last

    changes = [event.data for event in of("change", asyncio.run(listen()))]
    assert [len(change["approved_by"]) for change in changes] == [0, 1, 2, 3]
    assert [change["outcome"] for change in changes] == ["open"] * 3 + ["adopted"]
    assert {change["kind"] for change in changes} == {"fedxdr/plan-adopted/v2"}
    assert {change["proposed_by"] for change in changes} == {"operator"}
    assert len({change["digest"] for change in changes}) == 1


def test_a_withdrawn_change_is_told_as_such(api):
    change = api.world.orchestrator.propose_plan({"clip_norm": 5.0})

    async def listen():
        listening = Listening(api)
        await listening.until(lambda e: e.kind == "change")
        api.world.orchestrator.governance.withdraw(change.digest)
        api.world.orchestrator.version += 1
        return await listening.until(lambda e: e.kind == "change")

    (told,) = of("change", asyncio.run(listen()))
    assert (told.data["digest"], told.data["outcome"]) == (change.digest, "withdrawn")


def test_whoever_sends_no_token_is_told_of_blocks_and_heads_alone(api):
    api.world.orchestrator.propose_plan({"clip_norm": 5.0})

    async def listen():
        listening = Listening(api, after=-1, is_whole=False)
        api.world.start_round()
        api.world.step()
        listening.listeners.ends = iter([False] * 4 + [True]).__next__
        return await listening.rest()

    found = asyncio.run(listen())
    assert {event.kind for event in found} == {"block", "head"}


@pytest.mark.parametrize(("after", "heights"), [(0, [1, 2, 3, 4]), (3, [4]), (4, [])])
def test_what_was_missed_comes_from_the_ledger_in_order(settled, after, heights):
    async def listen(**options):
        listening = Listening(settled, **options)
        listening.listeners.ends = iter([False, False, True]).__next__
        return await listening.rest()

    found = of("block", asyncio.run(listen(after=after)))
    assert [event.data["height"] for event in found] == heights
    assert [event.id for event in found] == list(map(str, heights))
    stored = settled.world.recorder.blocks(begin=after + 1, end=5)
    assert [event.data["hash"] for event in found] == [s.block.hash for s in stored]
    # without an id, and ahead of the ledger, nothing is repeated
    assert of("block", asyncio.run(listen(after=None))) == []
    assert of("block", asyncio.run(listen(after=99))) == []


def test_a_long_past_is_read_in_parts(settled, monkeypatch):
    monkeypatch.setattr(events, "_BLOCKS_AT_ONCE", 2)
    asked = []
    read = settled.world.recorder.blocks

    def noting(*, begin, end):
        asked.append((begin, end))
        return read(begin=begin, end=end)

    async def listen():
        listening = Listening(settled, after=-1, is_whole=False)
        listening.listeners.ends = iter([False, True]).__next__
        return await listening.rest()

    monkeypatch.setattr(settled.world.recorder, "blocks", noting)
    found = of("block", asyncio.run(listen()))
    assert [event.data["height"] for event in found] == [0, 1, 2, 3, 4]
    assert asked == [(0, 2), (2, 4), (4, 5)]


def test_while_nothing_happens_no_lock_is_held_and_nobody_looks(settled, monkeypatch):
    monkeypatch.setattr(events, "_HEARTBEAT_S", 0.2)
    looked = []
    look = events._look_around
    monkeypatch.setattr(
        events, "_look_around", lambda service: looked.append(1) or look(service)
    )

    async def listen():
        listeners = Listeners()
        many = [Listening(settled, listeners=listeners) for _ in range(5)]
        for one in many:
            await one.until(lambda e: e.kind == "round")
        assert looked == [1], "one look serves all"
        with settled.service.lock:
            async with asyncio.timeout(20):
                for one in many:
                    assert await anext(one.told) == b": alive\n\n"
        assert looked == [1]

    asyncio.run(listen())


def test_there_are_only_so_many_listeners_and_places_come_back(monkeypatch):
    monkeypatch.setattr(events, "MOST_LISTENERS", 2)
    listeners = Listeners()
    listeners.enter(is_known=True)
    listeners.enter(is_known=False)
    for is_known in (True, False):
        with pytest.raises(Unavailable, match="2 clients"):
            listeners.enter(is_known=is_known)
    listeners.leave(is_known=False)
    listeners.enter(is_known=True)
    assert (listeners.count, listeners.anonymous) == (2, 0)


def test_strangers_leave_places_for_members():
    listeners = Listeners()
    for _ in range(events.MOST_ANONYMOUS):
        listeners.enter(is_known=False)
    with pytest.raises(Unavailable, match="without a token"):
        listeners.enter(is_known=False)
    for _ in range(events.MOST_LISTENERS - events.MOST_ANONYMOUS):
        listeners.enter(is_known=True)
    with pytest.raises(Unavailable):
        listeners.enter(is_known=True)
    listeners.leave(is_known=True)
    # a place that a member left is no stranger's
    with pytest.raises(Unavailable, match="without a token"):
        listeners.enter(is_known=False)
    listeners.leave(is_known=False)
    listeners.enter(is_known=False)
    assert events.MOST_ANONYMOUS < events.MOST_LISTENERS


def test_before_the_founding_there_is_nothing_to_tell(api, monkeypatch):
    monkeypatch.setattr(
        api.world.orchestrator, "recorder", Empty(api.world.orchestrator.recorder)
    )
    api.world.orchestrator._round = None

    async def listen():
        listening = Listening(api)
        listening.listeners.ends = iter([False, False, True]).__next__
        return await listening.rest()

    assert asyncio.run(listen()) == []


class Empty:
    """A ledger that is not founded."""

    def __init__(self, _):
        pass

    def size(self):
        return 0


# Over HTTP.


@pytest.mark.parametrize("last", ["x", "-1", "1.0", "٣", "9" * 19])
def test_an_id_that_is_none_of_ours_is_refused(settled, problem, last):
    answer = settled.http.get(PATH, headers={"last-event-id": last.encode()})
    problem(answer, 422, "malformed-message", "height of a block")
    assert settled.app.state.listeners.count == 0


def test_a_bad_token_is_refused_and_not_taken_for_none(settled, problem):
    bad = {"authorization": "Bearer x.y.z"}
    problem(settled.http.get(PATH, headers=bad), 401, "unauthorised")
    unsigned = {"signature-input": "fedxdr=()"}
    problem(settled.http.get(PATH, headers=unsigned), 401, "bad-signature")
    assert settled.app.state.listeners.count == 0


@pytest.fixture
def served(api):
    """The application on a loopback port, as ``server run`` serves it."""
    app = create_app(api.service)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=2)
    )
    app.state.listeners.ends = lambda: server.should_exit
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    port = listener.getsockname()[1]
    yield app, server, f"http://127.0.0.1:{port}{PATH}"
    server.should_exit = True
    thread.join(20)
    listener.close()


def blocks_of(lines, count):
    """Return so many block events of an open stream."""
    found = []
    while len(found) < count:
        part = []
        for line in lines:
            if not line:
                break
            part.append(line)
        found += of("block", parse("\n".join(part)))
    return found


def add_block(api, number):
    with api.service.lock:
        api.world.recorder.record(
            RoundFailed(
                round_id=round_id(f"round-{number}"),
                phase="keys",
                reason="a",
                sentence="b",
            )
        )


def test_a_client_that_lost_its_connection_misses_no_block(api, served):
    app, server, url = served
    size = api.world.recorder.size()
    with httpx.Client(trust_env=False, timeout=20) as client:
        with client.stream("GET", url) as answer:
            assert answer.status_code == 200
            kind = answer.headers["content-type"]
            assert kind.startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-store"
            lines = answer.iter_lines()
            assert next(lines) == "retry: 2000"
            while "event: head" not in next(lines):
                pass
            add_block(api, 1)
            while (line := next(lines)) != f"id: {size}":
                assert "id:" not in line
        for number in (2, 3):
            add_block(api, number)
        with client.stream("GET", url, headers={"last-event-id": str(size)}) as answer:
            lines = answer.iter_lines()
            missed = blocks_of(lines, 2)
            assert [event.id for event in missed] == [str(size + 1), str(size + 2)]
            add_block(api, 4)
            (live,) = blocks_of(lines, 1)
            assert live.id == str(size + 3)
            assert app.state.listeners.count >= 1
            # the server does not wait for who listens
            server.should_exit = True
            assert of("block", parse("\n".join(lines))) == []
    assert server.should_exit


def test_a_member_is_told_of_rounds_over_http(api, served):
    app, _, url = served
    headers = api.bearer()
    with httpx.Client(trust_env=False, timeout=20) as client:
        with client.stream("GET", url, headers=headers) as answer:
            lines = answer.iter_lines()
            while "event: head" not in next(lines):
                pass
            with api.service.lock:
                api.world.orchestrator.start_round()
            while "event: round" not in next(lines):
                pass
            assert json.loads(next(lines)[len("data: ") :])["phase"] == "announced"
        # its place comes back
        for _ in range(500):
            if app.state.listeners.count == 0:
                break
            threading.Event().wait(0.01)
        assert app.state.listeners.count == 0


def test_too_many_listeners_are_told_to_come_back(served, monkeypatch):
    _, _, url = served
    monkeypatch.setattr(events, "MOST_LISTENERS", 1)
    with (
        httpx.Client(trust_env=False, timeout=20) as client,
        client.stream("GET", url) as answer,
    ):
        assert answer.status_code == 200
        refused = client.get(url)
        assert refused.status_code == 503
        assert refused.json()["type"].endswith("/unavailable")


def test_where_strangers_take_all_they_may_a_member_listens(api, served, monkeypatch):
    app, _, url = served
    monkeypatch.setattr(events, "MOST_ANONYMOUS", 1)
    with httpx.Client(trust_env=False, timeout=20) as client:
        with client.stream("GET", url) as answer:
            assert answer.status_code == 200
            refused = client.get(url)
            assert refused.status_code == 503
            assert refused.json()["type"].endswith("/unavailable")
            with client.stream("GET", url, headers=api.bearer()) as member:
                assert member.status_code == 200
                assert next(member.iter_lines()) == "retry: 2000"
                assert app.state.listeners.anonymous == 1
        for _ in range(500):
            if app.state.listeners.count == 0:
                break
            threading.Event().wait(0.01)
        assert (app.state.listeners.count, app.state.listeners.anonymous) == (0, 0)
