# SPDX-License-Identifier: Apache-2.0
"""Backup, loss and restore on real folders; HTTP in process."""

import shutil
from datetime import UTC, datetime

import pytest
from tests.unit.app.conftest import reopen

from fedxdr.app import ledger_copies
from fedxdr.app.ledger_copies import Unasked
from fedxdr.core.errors import (
    InvalidSettings,
    VerificationFailed,
    WaitingForQuorum,
)
from fedxdr.core.ids import OrgId
from fedxdr.ledger import checkpoint
from fedxdr.parties.catching_up import Restoration
from fedxdr.storage import backups
from fedxdr.storage.database import place_of
from fedxdr.storage.restored import RestoredFile

pytestmark = pytest.mark.timeout(600)

ORGS = ("aurora", "borealis", "cascade")
NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Lost:
    """A federation of three whose orchestrator signed one block after its backup."""

    def __init__(self, place, folder):
        self.place, self.network = place, place.network
        self.backup, self.again = folder / "backup", folder / "again"
        place.found(*ORGS)
        place.run_agents(*ORGS, steps=3)
        backups.back_up(
            place.server,
            self.backup,
            place=place_of("", place.server),
            with_keys=True,
            now=NOW,
        )
        self.size = self.orchestrator.recorder.size()
        self.database = folder / "server.db.before"
        shutil.copy(self.backup / "server.db", self.database)
        self.adopt(3.5)
        assert self.orchestrator.recorder.size() == self.size + 1
        self.model = self.orchestrator.recorder.in_force.model
        self.head = self.orchestrator.heads.newest()
        self.network.opened.close()

    @property
    def orchestrator(self):
        return self.network.opened.orchestrator

    def adopt(self, clip_norm):
        self.orchestrator.propose_plan({"clip_norm": clip_norm})
        self.place.run_agents(*ORGS, steps=2)

    def restore(self):
        """Restore the backup; nothing runs on it yet."""
        backups.restore(
            self.backup, self.again, place=place_of("", self.again), now=NOW
        )
        return self.again

    def run(self, folder):
        self.network.opened = reopen(folder)
        return self.orchestrator

    def look(self, *orgs, steps=1):
        self.place.run_agents(*orgs, steps=steps)

    def export(self, org):
        """Return a member's bundle; it has fetched the model in force."""
        model = self.place.server / "blobs" / str(self.model)
        shutil.copy(model, self.place.folder(org) / "blobs" / str(self.model))
        return ledger_copies.export(self.place.folder(org))

    def has_one_history(self):
        for org in ORGS:
            assert not list(self.place.folder(org).glob("equivocation-*"))
        ours = {self.orchestrator.recorder.root_at(self.size + 1)}
        assert ours == {checkpoint.parse(self.head).root.hex()}


@pytest.fixture
def lost(place, tmp_path):
    return Lost(place, tmp_path)


def test_a_restored_folder_asks_its_members_and_goes_on(lost):
    orchestrator = lost.run(lost.restore())
    standing = orchestrator.standing()
    assert (standing.is_restored, standing.awaited) == (True, ORGS)
    # (an agent that starts tells at once)
    lost.look("aurora")
    assert orchestrator.standing().awaited == ("borealis", "cascade")
    assert RestoredFile(lost.again).read().told == {"aurora": lost.size + 1}
    # killed in the middle: what was heard stays
    lost.network.opened.close()
    orchestrator = lost.run(lost.again)
    assert orchestrator.standing().awaited == ("borealis", "cascade")
    with pytest.raises(WaitingForQuorum, match="borealis, cascade"):
        orchestrator.start_round()
    lost.look("borealis", "cascade")
    assert not orchestrator.standing().is_restored
    assert RestoredFile(lost.again).read() is None
    lost.has_one_history()
    lost.adopt(4.5)
    assert orchestrator.recorder.size() == lost.size + 2
    lost.has_one_history()
    # and a new start finds nothing to ask for
    lost.network.opened.close()
    assert not lost.run(lost.again).standing().is_restored


def test_a_bundle_brings_blocks_and_ends_nothing(lost):
    lost.restore()
    bundle = lost.export("aurora")
    other = bundle.replace(b"drill", b"other")
    with pytest.raises(VerificationFailed):
        ledger_copies.catch_up(lost.again, [bundle, other])
    assert ledger_copies.catch_up(lost.again, [bundle, bundle]) in {0, 1}
    orchestrator = lost.run(lost.again)
    assert orchestrator.standing().awaited == ORGS
    lost.look(*ORGS)
    assert not orchestrator.standing().is_restored
    lost.has_one_history()


def test_the_operators_word_ends_it_and_says_for_whom(lost):
    lost.restore()
    lost.run(lost.again)
    lost.look("cascade")
    lost.network.opened.close()
    found = ledger_copies.nothing_newer(lost.again)
    assert found == Unasked(
        told=(OrgId("cascade"),), missing=(OrgId("aurora"), OrgId("borealis"))
    )
    orchestrator = lost.run(lost.again)
    assert not orchestrator.standing().is_restored
    with pytest.raises(InvalidSettings, match="not restored"):
        ledger_copies.nothing_newer(lost.again)
    lost.look(*ORGS)
    lost.has_one_history()


def test_the_operators_word_does_not_stand_against_what_is_known(lost):
    lost.restore()
    file = RestoredFile(lost.again)
    file.write(Restoration(since=lost.size, owed=lost.size + 1))
    with pytest.raises(InvalidSettings, match=f"a head over {lost.size + 1} blocks"):
        ledger_copies.nothing_newer(lost.again)
    file.write(Restoration(since=lost.size, contradiction="two roots"))
    with pytest.raises(InvalidSettings, match="two roots"):
        ledger_copies.nothing_newer(lost.again)


def test_a_database_set_back_by_hand_is_noticed_by_the_folder(lost):
    """As an operator restores PostgreSQL by its own tools: no file says so."""
    server = lost.place.server
    (server / "server.db").unlink()
    for beside in server.glob("server.db-*"):
        beside.unlink()
    shutil.copy(lost.database, server / "server.db")
    assert RestoredFile(server).read() is None
    orchestrator = lost.run(server)
    assert orchestrator.standing().awaited == ORGS
    # it is known even which head is missing
    assert RestoredFile(server).read().owed == lost.size + 1
    lost.network.opened.close()
    with pytest.raises(InvalidSettings, match="of which the last 1 are not here"):
        ledger_copies.nothing_newer(server)
    orchestrator = lost.run(server)
    lost.look(*ORGS)
    assert not orchestrator.standing().is_restored
    lost.has_one_history()


def test_a_folder_copied_by_other_tools_is_noticed(lost, tmp_path):
    copied = shutil.copytree(lost.place.server, tmp_path / "copied")
    assert lost.run(copied).standing().is_restored
    lost.look(*ORGS)
    assert not lost.orchestrator.standing().is_restored
    lost.has_one_history()


def test_a_stop_and_a_start_are_no_restore(lost):
    for _ in range(2):
        assert not lost.run(lost.place.server).standing().is_restored
        lost.network.opened.close()
    lost.run(lost.place.server)
