# SPDX-License-Identifier: Apache-2.0
"""Parquet columns as numbers and codes."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedxdr.core.errors import InvalidSettings, InvalidTelemetry
from fedxdr.learning import parquet


def test_texts_are_kept_once_over_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "_BLOCK_ROWS", 3)
    texts = ["b", "a ", None, "b", "c", "a", "c"]
    path = tmp_path / "t.parquet"
    pq.write_table(
        pa.table(
            {
                "plain": texts,
                "coded": pa.array(texts).dictionary_encode(),
                "large": pa.array(texts, pa.large_string()),
                "number": np.arange(7),
                "gaps": pa.array([1.5, None, 2, 3, 4, 5, 6]),
            }
        ),
        path,
    )
    found = parquet.read(path)
    for name in ("plain", "coded", "large"):
        assert found[name].values == ("", "a", "b", "c")
        read = [found[name].values[code] for code in found[name].codes]
        assert read == ["b", "a", "", "b", "c", "a", "c"]
    assert found["number"].tolist() == list(range(7))
    assert np.isnan(found["gaps"][1])


def test_a_value_that_no_row_has_is_none(tmp_path):
    coded = pa.DictionaryArray.from_arrays(pa.array([1, 1]), pa.array(["x", "y"]))
    pq.write_table(pa.table({"a": coded}), tmp_path / "t.parquet")
    assert parquet.read(tmp_path / "t.parquet")["a"].values == ("y",)


def test_only_what_is_asked_for_is_read(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [1], "b": [[1, 2]]}), path)
    assert list(parquet.read(path, ["a"])) == ["a"]
    with pytest.raises(InvalidTelemetry, match=r"no column c \(there is: a, b\)"):
        parquet.read(path, ["a", "c"])


def test_what_is_no_table_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"x")
    with pytest.raises(InvalidTelemetry, match=r"t\.parquet: not a Parquet file"):
        parquet.read(path)
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), path)
    with pytest.raises(InvalidTelemetry, match="no rows"):
        parquet.read(path)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InvalidSettings, match="fedxdr\\[evaluate\\]"):
        parquet.read(path)
