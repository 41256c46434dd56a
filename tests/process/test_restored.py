# SPDX-License-Identifier: Apache-2.0
"""The documented restore, as its users type it: an orchestrator that convicts nobody.

A backup, a plan adopted after it, a loss, and the way back, with real processes.
"""

import shutil
import signal
import time
from urllib.parse import urlsplit

import pytest
from tests.process.test_handover import Processes, head_at
from tests.process.test_modes import (
    ORGS,
    PATIENT_S,
    Federation,
    answer_of,
    fedxdr,
)

from fedxdr.app.deciding import Somebody
from fedxdr.app.orchestrating import first_model, initialise
from fedxdr.app.participating import join
from fedxdr.app.server_file import ServerFile
from fedxdr.cli.serve import as_operator
from fedxdr.ledger import checkpoint
from fedxdr.ledger.entries import Genesis
from fedxdr.parties.enrolment import InvitationToken
from fedxdr.simulation import traffic

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

QUIET = ORGS[-1]


@pytest.fixture
def processes(tmp_path):
    federation = Federation(tmp_path)
    world = traffic.generate(organisations=ORGS, seed=0)
    found = Processes(federation, traffic.write(world, tmp_path / "telemetry"))
    yield found
    found.end()


def standing_of(folder):
    return as_operator(folder, "GET", "/federation/standing")


def wait_until(folder, is_so):
    """Wait until the server's standing is as wanted; return it."""
    end = time.monotonic() + PATIENT_S
    while not is_so(found := standing_of(folder)):
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return found


def found(processes):
    """Found a federation of three, whose agents run; return its server's process."""
    federation = processes.federation
    # (what every test types is typed elsewhere: here in this process, it takes seconds)
    initialise(federation.server, federation="drill", model=first_model())
    server, address = processes.serve(federation.server, "server")
    for org in ORGS:
        form = {"org_id": org}
        token = as_operator(federation.server, "POST", "/federation/invitations", form)
        invitation = InvitationToken.parse(token["token"])
        join(federation.folder / org, invitation, name=org, data_sources=("zeek-conn",))
    as_operator(federation.server, "POST", "/federation/found", {})
    for org in ORGS:
        somebody = Somebody.of(federation.folder / org)
        (genesis,) = [c for c in somebody.changes() if isinstance(c.entry, Genesis)]
        somebody.approve(genesis)
    for org in ORGS:
        processes.agent(org)
    wait_until(federation.server, lambda now: now["quorate"] == 1)
    return server, address


def test_the_documented_restore_goes_on_with_one_history(processes, tmp_path):
    federation, again = processes.federation, tmp_path / "again"
    server, address = found(processes)
    answer_of("server", "backup", tmp_path / "backup", "--dir", federation.server)
    before = standing_of(federation.server)["height"]

    # one block more, and it is gone before anybody asks again
    as_operator(
        federation.server, "POST", "/federation/plan", {"config": {"clip_norm": 3.5}}
    )
    wait_until(federation.server, lambda now: now["height"] == before + 1)
    signed = checkpoint.parse(head_at(address))
    wait_until(federation.server, lambda now: now["quorate"] == before + 2)
    server.send_signal(signal.SIGKILL)
    server.wait(30)
    keys = shutil.copytree(federation.server / "keys", tmp_path / "keys")
    shutil.rmtree(federation.server)
    processes.end(QUIET)

    answer_of("server", "restore", tmp_path / "backup", "--dir", again)
    shutil.copytree(keys, again / "keys")
    processes.start(
        "again", "Serving on", "server", "run", "--dir", again,
        "--port", urlsplit(address).port,
    )  # fmt: skip
    assert ServerFile.read(again).address == address
    now = wait_until(again, lambda now: now["awaited"] == [QUIET])
    assert now["restored"] is True
    assert now["height"] == before + 1  # the others have handed the block over
    asked = fedxdr("round", "start", "--dir", again)
    assert asked.returncode == 4, asked.stdout
    assert f"not yet: {QUIET}." in asked.stderr
    assert checkpoint.parse(head_at(address)) == signed

    processes.agent(QUIET)
    wait_until(again, lambda now: not now["restored"])
    assert not (again / "restored.json").exists()
    federation.server = again
    ended = federation.round()
    assert ended["status"] == "completed", ended
    for org in ORGS:
        federation.hears(org, "session ended")
        assert not list((tmp_path / org).glob("equivocation-*"))
    assert len(federation.blocks()) >= before + 3
