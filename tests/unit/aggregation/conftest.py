# SPDX-License-Identifier: Apache-2.0
"""The slow definitions, for every test of this room."""

import importlib.util
from pathlib import Path

import pytest

_SOURCE = Path(__file__).parents[2] / "reference" / "aggregation_definition.py"


@pytest.fixture(scope="session")
def definition():
    spec = importlib.util.spec_from_file_location("aggregation_definition", _SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
