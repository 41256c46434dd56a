# SPDX-License-Identifier: Apache-2.0
"""Accounts: shown where they are used, shared with everyday work, refused at times."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fedxdr.core.randomness import generator
from fedxdr.simulation.accounts import GUESSED, short, with_accounts
from fedxdr.simulation.benign_inside import inside_traffic
from fedxdr.simulation.campaign import ALL_TECHNIQUES, campaign_steps
from fedxdr.simulation.estate import HOUR_S, Estate, build_estate
from fedxdr.simulation.sessions import Sessions
from fedxdr.telemetry.catalogue import Service

END_S = 30 * HOUR_S


@pytest.fixture(scope="module")
def estate() -> Estate:
    return build_estate(generator(1), 0)


@pytest.fixture(scope="module")
def bare(estate: Estate) -> Sessions:
    steps = campaign_steps(
        generator(3),
        estate,
        begin_s=5 * HOUR_S,
        end_s=END_S,
        techniques=ALL_TECHNIQUES,
    )
    everyday = inside_traffic(generator(2), estate, end_s=END_S)
    return Sessions.concatenate([everyday, steps])


@pytest.fixture(scope="module")
def made(estate: Estate, bare: Sessions) -> Sessions:
    return with_accounts(generator(4), estate, bare)


def test_nothing_else_changes(bare: Sessions, made: Sessions) -> None:
    for field in dataclasses.fields(bare):
        if field.name not in {"user", "is_refused", "name"}:
            one, other = getattr(bare, field.name), getattr(made, field.name)
            assert one.tolist() == other.tolist()
    had = bare.name != ""
    smb = made.service == Service.SMB
    kept = np.array(had & ~smb, np.bool_)
    assert bare.name[kept].tolist() == made.name[kept].tolist()


def test_who_logs_on_has_an_account_and_nobody_else(made: Sessions) -> None:
    services = (Service.SSH, Service.SMB, Service.RDP, Service.KERBEROS)
    has = np.isin(made.service, services)
    assert ((made.user != "") == has).all()
    assert not made.is_refused[~has].any()
    assert 0.03 < made.is_refused[has & (made.label == 0)].mean() < 0.3


def test_no_account_is_the_campaign_s_alone(made: Sessions) -> None:
    bad = {user for user in made.user[made.label == 1] if user}
    good = set(made.user[made.label == 0].tolist())
    assert bad - good <= set(GUESSED)
    assert bad & good


def test_guessing_fails_and_stays_with_a_name(made: Sessions) -> None:
    guessed = made.select(
        np.array((made.technique == "T1110") & (made.user != ""), np.bool_)
    )
    assert guessed.is_refused.mean() > 0.8
    same = guessed.user[1:] == guessed.user[:-1]
    assert same.mean() > 0.5


def test_pages_and_files_inside_have_names(estate: Estate, made: Sessions) -> None:
    pages = made.select(np.isin(made.service, (Service.HTTP, Service.TLS)))
    inside = np.isin(pages.destination, estate.inside)
    for host, name in zip(
        pages.destination[inside].tolist(), pages.name[inside].tolist(), strict=True
    ):
        assert name.startswith(estate.names[host])
    files = made.name[made.service == Service.SMB].tolist()
    assert all(name.count("\\") == 2 for name in files)


def test_short_names() -> None:
    assert short("srv1.abc.example") == "srv1"
    assert short("srv1") == "srv1"
