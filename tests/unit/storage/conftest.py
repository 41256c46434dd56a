# SPDX-License-Identifier: Apache-2.0
"""Databases for the tests of stores: files, and a PostgreSQL server of our own."""

from __future__ import annotations

import pytest
from tests.process.postgres import Postgres, PostgresMissing

from fedxdr.storage.database import Database


@pytest.fixture(scope="session")
def postgres():
    try:
        server = Postgres()
    except PostgresMissing as error:
        pytest.skip(f"no PostgreSQL here: {error}")
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path):
    """A path or URL where nothing is yet."""
    if request.param == "sqlite":
        yield tmp_path / "party" / "party.sqlite"
        return
    with request.getfixturevalue("postgres").lend() as lent:
        yield lent


@pytest.fixture
def database(place):
    opened = Database(place)
    yield opened
    opened.close()
