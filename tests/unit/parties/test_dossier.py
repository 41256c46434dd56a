# SPDX-License-Identifier: Apache-2.0
"""A dossier reads back what was stored, works things out once, and shows no secret."""

from __future__ import annotations

import dataclasses

import pytest

from fedxdr.core.errors import NotFound
from fedxdr.core.ids import OrgId, sha256
from fedxdr.federation.phases import Phase
from fedxdr.parties.dossier import Workings
from fedxdr.secagg import client, derivation

A = OrgId("org-a")


@pytest.fixture(scope="module")
def dossier(plain_world):
    federation = plain_world(n=3)
    federation.start()
    federation.go_on(until=Phase.SURVIVORS)
    agent = federation.participant(A)
    made = agent._dossier(agent.session)
    return dataclasses.replace(made, workings=Workings()), federation


def test_it_reads_what_the_orchestrator_has(dossier):
    found, federation = dossier
    round_ = federation.round
    orchestrator = federation.orchestrator
    assert found.key_list == orchestrator.keys(round_)
    assert found.transcript == orchestrator.transcript(round_)
    assert found.survivor_set == orchestrator.survivor_set(round_)
    assert found.partition.survivors == round_.survivors
    assert found.mine.contribution_digest == orchestrator.contributions(round_)[A]
    assert found.announced == sha256(
        orchestrator.announcement(round_.announcement.round_id).payload
    )


def test_it_works_things_out_once(dossier, monkeypatch):
    found, _ = dossier
    calls = []
    for module, name in (
        (client, "join"),
        (client, "open_mail"),
        (derivation, "derive_secrets"),
    ):
        honest = getattr(module, name)
        monkeypatch.setattr(
            module,
            name,
            lambda *a, honest=honest, name=name, **k: (
                calls.append(name) or honest(*a, **k)
            ),
        )
    fresh = dataclasses.replace(found, workings=Workings())
    for _ in range(3):
        membership, opened = fresh.membership, fresh.opened_mail
    assert sorted(calls) == ["derive_secrets", "join", "open_mail"]
    # and what was worked out is what the stored bytes give
    again = dataclasses.replace(found, workings=Workings())
    assert again.membership == membership
    assert again.opened_mail == opened


def test_workings_are_kept_by_name_and_source():
    workings = Workings()
    assert workings.once("a", b"x", lambda: 1) == 1
    assert workings.once("a", b"x", lambda: 2) == 1
    assert workings.once("a", b"y", lambda: 3) == 3
    assert workings.once("b", b"x", lambda: 4) == 4


def test_what_fails_is_not_kept():
    workings, calls = Workings(), []

    def fail() -> int:
        calls.append(1)
        raise NotFound("x")

    for _ in range(2):
        with pytest.raises(NotFound):
            workings.once("a", b"", fail)
    assert len(calls) == 2


@pytest.mark.parametrize("entropy", [None, b""])
def test_without_its_entropy_a_round_has_no_secrets(dossier, entropy):
    bare = dataclasses.replace(dossier[0], entropy=entropy, workings=Workings())
    with pytest.raises(NotFound, match="erased"):
        _ = bare.secrets


def test_no_representation_shows_a_secret(dossier):
    found, _ = dossier
    _ = found.membership
    shown = repr(found)
    for secret in (
        found.entropy,
        found.secrets.self_seed,
        found.secrets.mask.master,
        *found.membership.pairs.values(),
    ):
        assert repr(secret) not in shown
        assert secret.hex() not in shown
