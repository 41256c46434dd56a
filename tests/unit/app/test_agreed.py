# SPDX-License-Identifier: Apache-2.0
"""What is in force, read beside whatever runs on the folder."""

import pytest

from fedxdr.app.agreed import agreed_in
from fedxdr.app.participating import key_of
from fedxdr.app.server_file import operator_key
from fedxdr.core import canonical
from fedxdr.core.errors import InvalidSettings

ORGS = ("aurora", "borealis", "cascade")


def test_a_folder_says_what_its_ledger_says(place):
    place.found(*ORGS)
    place.run_agents(*ORGS)
    place.start_round(*ORGS)
    place.run_agents("aurora")
    in_force = place.network.opened.orchestrator.recorder.in_force
    found = agreed_in(place.folder("aurora"))
    assert found == agreed_in(place.server)
    assert (found.genesis, found.blocks) == (in_force.genesis_hash, 2)
    assert found.newest_at == in_force.head.timestamp
    assert found.members == {
        org: key_of(place.folder(org)).public.fingerprint for org in ORGS
    }
    orchestrator = operator_key(place.server, name="orchestrator").public
    assert found.orchestrator == orchestrator.fingerprint
    assert found.plan == canonical.builtins(in_force.plan)
    assert found.plan_digest == in_force.plan.digest


def test_a_mirror_is_as_its_agent_left_it(place):
    place.found(*ORGS)
    assert agreed_in(place.folder("aurora")) is None, "no agent was run on it"
    place.run_agents(*ORGS)
    found = agreed_in(place.folder("aurora"))
    assert (found.blocks, found.plan, found.plan_digest) == (1, None, "")
    assert sorted(found.members) == list(ORGS)


def test_before_the_founding_nothing_is_agreed(place):
    place.join("aurora")
    assert agreed_in(place.server) is None
    assert agreed_in(place.folder("aurora")) is None
    with pytest.raises(InvalidSettings):
        agreed_in(place.base / "nowhere")
