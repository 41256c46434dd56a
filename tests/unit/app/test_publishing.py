# SPDX-License-Identifier: Apache-2.0
"""Committed models become directories at the orchestrator and at every agent."""

import logging
import threading

import pytest

from fedxdr.app.publishing import ModelMirror, ModelPublisher
from fedxdr.core import canonical
from fedxdr.core.errors import BadSignature, NotFound, StorageFault, Unavailable
from fedxdr.core.ids import sha256
from fedxdr.crypto.publisher import PublisherKey
from fedxdr.ledger.lineage import brings_model
from fedxdr.storage import publishing
from fedxdr.storage.model_directory import Seal, check_model_directory, read_seal

KEY = PublisherKey(seed=bytes(range(32)))
OTHER = PublisherKey(seed=bytes(32))


@pytest.fixture
def world(tell):
    """Two rounds, and what is known of their three models."""
    return tell(KEY)


@pytest.fixture
def tell():
    from tests.unit.ledger.conftest import Federation  # noqa: PLC0415 - its door

    def make(key):
        federation = Federation().begin(publisher=key.public_der).adopt()
        return Told(federation.commit().commit().blocks)

    return make


class Told:
    """A ledger and its models, as a publisher or a mirror sees them."""

    def __init__(self, blocks):
        self.all = list(blocks)
        self.files = {sha256(b"model %d" % n): b"model %d" % n for n in range(3)}
        self.asked = []

    def size(self):
        return len(self.all)

    def blocks(self, *, begin, end):
        self.asked.append((begin, end))
        return self.all[begin:end]

    def model(self, digest):
        try:
            return self.files[digest]
        except KeyError:
            raise NotFound("no such model") from None

    def names(self):
        return [s.block.model_hash for s in self.all if brings_model(s.block)]


def publisher(folder, world, key=KEY):
    return ModelPublisher(folder, key=key, model_of=world.model)


def mirror(folder, world, seal_of):
    return ModelMirror(folder, ledger=world, model_of=world.model, seal_of=seal_of)


def finish(models):
    """Wait until the thread has done what it was given."""
    if models._work is not None:
        models._work.exception()


def published(folder):
    return {p.name for p in folder.iterdir() if not p.name.startswith(".")}


# The orchestrator's.


def test_each_model_is_published_whichever_way_its_blocks_come(tmp_path, world):
    whole, single = tmp_path / "whole", tmp_path / "single"
    publisher(whole, world).publish(world.all)
    one_by_one = publisher(single, world)
    for signed in world.all:
        one_by_one.publish([signed])
    assert published(whole) == published(single) == set(world.names())
    for name in world.names():
        check_model_directory(whole / name, model_hash=name, publisher=KEY.public)
        check_model_directory(single / name, model_hash=name, publisher=KEY.public)
    before = {p: p.read_bytes() for p in whole.rglob("*") if p.is_file()}
    publisher(whole, world).publish(world.all)
    assert {p: p.read_bytes() for p in whole.rglob("*") if p.is_file()} == before


def test_what_failed_is_published_when_the_blocks_come_again(tmp_path, world):
    models = publisher(tmp_path, world)
    newest = world.names()[-1]
    file = world.files.pop(newest)
    with pytest.raises(NotFound):
        models.publish(world.all)
    assert published(tmp_path) == set(world.names()[:-1])
    world.files[newest] = file
    models.publish(world.all)
    assert published(tmp_path) == set(world.names())


def test_nothing_is_signed_in_the_name_of_another_publisher(tmp_path, world, caplog):
    with caplog.at_level("WARNING"):
        publisher(tmp_path, world, OTHER).publish(world.all)
    assert not list(tmp_path.iterdir())
    assert "another publisher" in caplog.text


def test_a_seal_is_what_mirrors_need(tmp_path, world):
    models = publisher(tmp_path, world)
    models.publish(world.all)
    name = world.names()[1]
    assert canonical.decode(models.seal(name), Seal) == read_seal(tmp_path / name)
    with pytest.raises(NotFound):
        models.seal("0" * 64)


# An agent's.


def test_an_agent_publishes_the_same_bytes(tmp_path, world):
    here, there = tmp_path / "here", tmp_path / "there"
    source = publisher(there, world)
    source.publish(world.all)
    models = mirror(here, world, source.seal)
    models.follow()
    finish(models)
    models.close()
    assert published(here) == set(world.names())
    for name in world.names():
        for path in (there / name).iterdir():
            assert (here / name / path.name).read_bytes() == path.read_bytes()


def test_an_agent_reads_each_block_once_and_comes_back_for_what_was_missing(
    tmp_path, world
):
    here, there = tmp_path / "here", tmp_path / "there"
    source = publisher(there, world)
    models = mirror(here, world, source.seal)
    size = world.size()
    for _ in range(3):
        models.follow()
        finish(models)
    assert not here.exists() or not published(here)
    assert world.asked == [(0, size)]
    source.publish(world.all)
    models.follow()
    finish(models)
    models.close()
    assert published(here) == set(world.names())
    assert world.asked == [(0, size)]


@pytest.mark.parametrize("error", [Unavailable("away"), StorageFault("disk full")])
def test_what_fails_is_tried_again_and_raises_nothing(tmp_path, world, error, caplog):
    here, there = tmp_path / "here", tmp_path / "there"
    source = publisher(there, world)
    source.publish(world.all)
    answers = [error] * 3

    def seal(name):
        if answers:
            raise answers.pop()
        return source.seal(name)

    models = mirror(here, world, seal)
    with caplog.at_level("WARNING"):
        for _ in range(5):
            models.follow()
            finish(models)
    models.close()
    assert published(here) == set(world.names())
    assert ("disk full" in str([r.__dict__ for r in caplog.records])) == (
        not isinstance(error, Unavailable)
    )


def test_a_seal_by_another_key_publishes_nothing(tmp_path, world, tell, caplog):
    """Whoever serves us signs with a key of his own, under the ledger's name."""
    forged = tmp_path / "forged"
    theirs = tell(OTHER)
    publisher(forged, theirs, OTHER).publish(theirs.all)
    models = mirror(
        tmp_path / "here", world, lambda n: canonical.encode(read_seal(forged / n))
    )
    with caplog.at_level("WARNING"):
        models.follow()
        finish(models)
        models.close()
    assert not published(tmp_path / "here")
    assert caplog.records
    with pytest.raises(BadSignature):
        publishing.mirror(
            tmp_path / "x",
            signed=world.all[0],
            model=world.files[world.names()[0]],
            publisher=KEY.public,
            seal=read_seal(forged / world.names()[0]),
        )


def test_what_is_no_seal_is_given_up_in_the_end(tmp_path, world):
    asked = []

    def seal(name):
        asked.append(name)
        return b"no seal"

    models = mirror(tmp_path, world, seal)
    for _ in range(30):
        models.follow()
        finish(models)
    models.close()
    assert len(asked) == 20 * len(world.names())


def test_closing_waits_for_one_directory_and_not_for_all(tmp_path, world):
    source = publisher(tmp_path / "there", world)
    source.publish(world.all)
    entered, go_on = threading.Event(), threading.Event()

    def seal(name):
        entered.set()
        assert go_on.wait(20)
        return source.seal(name)

    models = mirror(tmp_path / "here", world, seal)
    models.follow()
    assert entered.wait(20)
    closing = threading.Thread(target=models.close)
    closing.start()
    while not models._is_closing:
        closing.join(0.01)
    go_on.set()
    closing.join(20)
    assert published(tmp_path / "here") == set(world.names()[:1])


def test_a_fault_of_the_thread_is_logged_and_the_next_turn_goes_on(
    tmp_path, world, caplog
):
    source = publisher(tmp_path / "there", world)
    source.publish(world.all)
    broken = [True]

    def seal(name):
        if broken:
            broken.clear()
            raise ZeroDivisionError("ours")
        return source.seal(name)

    models = mirror(tmp_path / "here", world, seal)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            models.follow()
            finish(models)
    models.close()
    assert "ZeroDivisionError" in caplog.text
    assert published(tmp_path / "here") == set(world.names())
