# SPDX-License-Identifier: Apache-2.0
"""CSV columns as numbers, instants and codes."""

from __future__ import annotations

import numpy as np
import pytest

from fedxdr.core.errors import InvalidTelemetry
from fedxdr.learning import csv_columns
from fedxdr.learning.csv_columns import Form


@pytest.fixture
def read(tmp_path):
    def make(text, **forms):
        path = tmp_path / "t.csv"
        path.write_bytes(text.encode())
        return csv_columns.read(path, lambda _: forms)

    return make


@pytest.mark.parametrize("block", [1, 2, 100])
def test_each_column_in_its_form(read, monkeypatch, block):
    monkeypatch.setattr(csv_columns, "_BLOCK_ROWS", block)
    text = "\ufeffa,b,t,x\n1,u,5,0\n\n-,v ,6,0\n2.5,u,7,0\n"
    found = read(text, a=Form.NUMBER, b=Form.TEXT, t=Form.INSTANT)
    assert set(found) == {"a", "b", "t"}
    assert np.array_equal(found["a"], [1, np.nan, 2.5], equal_nan=True)
    assert found["b"].values == ("u", "v")
    assert found["b"].codes.tolist() == [0, 1, 0]
    assert found["t"].dtype == np.int64


def test_instants_keep_what_they_can():
    whole = csv_columns.instants(["1690000000123456789"])
    assert whole.tolist() == [1690000000123456789]
    assert csv_columns.instants(["1.5", "2"]).tolist() == [1.5, 2.0]
    stamps = csv_columns.instants(["2022-01-15 02:32:32.5", "2022-01-15T02:32:33Z"])
    assert stamps.dtype == "datetime64[ns]"
    assert (stamps[1] - stamps[0]) == np.timedelta64(500, "ms")
    with pytest.raises(ValueError, match="yesterday"):
        csv_columns.instants(["yesterday"])


def test_what_is_wrong_is_said(read, monkeypatch):
    for text in ("", "a\n", "a\n\n"):
        with pytest.raises(InvalidTelemetry, match="no rows"):
            read(text, **({"a": Form.NUMBER} if text else {}))
    with pytest.raises(InvalidTelemetry, match="row 3 has 2 cells, the header 1"):
        read("a\n1\n1,2\n", a=Form.NUMBER)
    with pytest.raises(InvalidTelemetry, match="column a"):
        read("a\nx\n", a=Form.NUMBER)
    with pytest.raises(InvalidTelemetry, match="ISO 8601"):
        read("a\nx\n", a=Form.INSTANT)
    with pytest.raises(InvalidTelemetry, match="not CSV"):
        read("a\n" + "x" * 200_000 + "\n", a=Form.TEXT)
    monkeypatch.setattr(csv_columns, "_BLOCK_ROWS", 1)
    with pytest.raises(InvalidTelemetry, match="in turn"):
        read("a\n1\n2022-01-15\n", a=Form.INSTANT)
