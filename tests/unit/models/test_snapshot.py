# SPDX-License-Identifier: Apache-2.0
"""A model's file has one form, holds no code, and nothing foreign gets through."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from fedxdr.core.errors import InvalidUpdate, MalformedMessage
from fedxdr.core.layout import Layout, Segment
from fedxdr.models import snapshot

LAYOUT = Layout(
    segments=(
        Segment(name="statistics.mean", shape=(2,)),
        Segment(name="weights.b", shape=()),
        Segment(name="weights.a", shape=(2, 3)),
    )
)
ARCHITECTURE = {"kind": "tgnn", "layers": 2, "rate": 0.5}
VECTOR = np.arange(9, dtype=np.float32)


def save(vector=VECTOR, *, layout=LAYOUT, architecture=None) -> bytes:
    return snapshot.save(
        np.asarray(vector), layout=layout, architecture=architecture or ARCHITECTURE
    )


def parts(file: bytes) -> tuple[dict, bytes]:
    size = int.from_bytes(file[:8], "little")
    return json.loads(file[8 : 8 + size]), file[8 + size :]


def joined(header: object, data: bytes, *, pad: int = 0) -> bytes:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    head += b" " * pad
    return len(head).to_bytes(8, "little") + head + data


@given(
    st.lists(
        st.floats(width=32, allow_nan=False, allow_infinity=False),
        min_size=9,
        max_size=9,
    )
)
def test_a_model_comes_back_bit_for_bit(values):
    vector = np.array(values, dtype=np.float32)
    found = snapshot.load(save(vector))
    assert found.vector.tobytes() == vector.tobytes()
    assert found.card.layout == LAYOUT
    assert found.card.architecture == ARCHITECTURE


def test_any_safetensors_reader_reads_it():
    tensors = load_tensors(save())
    assert {n: t.shape for n, t in tensors.items()} == {
        s.name: s.shape for s in LAYOUT.segments
    }
    assert tensors["weights.a"].tolist() == [[3, 4, 5], [6, 7, 8]]
    assert all(t.dtype == np.float32 for t in tensors.values())


def test_the_same_model_gives_the_same_bytes():
    other = np.concatenate([VECTOR, VECTOR])[:9]
    reordered = dict(reversed(ARCHITECTURE.items()))
    assert save() == save(other, architecture=reordered)
    assert save() != save(VECTOR + 1)
    assert save() != save(architecture={"kind": "x"})


@pytest.mark.parametrize(
    "vector",
    [
        VECTOR.astype(np.float64),
        VECTOR[:-1],
        VECTOR.reshape(3, 3),
        np.where(VECTOR == 4, np.nan, VECTOR).astype(np.float32),
        np.where(VECTOR == 4, np.inf, VECTOR).astype(np.float32),
    ],
)
def test_what_is_no_model_is_not_saved(vector):
    with pytest.raises(InvalidUpdate):
        save(vector)


def test_every_flipped_byte_is_refused_or_another_model():
    good = save()
    for place in range(len(good)):
        damaged = bytearray(good)
        damaged[place] ^= 1
        try:
            found = snapshot.load(bytes(damaged))
        except MalformedMessage:
            continue
        card = found.card
        again = snapshot.save(
            found.vector, layout=card.layout, architecture=card.architecture
        )
        assert again == damaged
        assert again != good


def test_every_cut_is_refused():
    good = save()
    for end in range(len(good)):
        with pytest.raises(MalformedMessage):
            snapshot.load(good[:end])
    with pytest.raises(MalformedMessage):
        snapshot.load(good + b"\0")


HEADER, DATA = parts(save())
CARD = HEADER["__metadata__"]["fedxdr"]


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"null",
        b"[]",
        b"[[]]",
        b'"text"',
        b"7",
        b"{}",
        b"\xff",
        b"[" * 5000,
        {**HEADER, "__metadata__": None},
        {**HEADER, "__metadata__": []},
        {**HEADER, "__metadata__": "x"},
        {**HEADER, "__metadata__": {}},
        {**HEADER, "__metadata__": {"fedxdr": None}},
        {**HEADER, "__metadata__": {"fedxdr": "{}"}},
        {**HEADER, "__metadata__": {"fedxdr": " " + CARD}},
        {**HEADER, "__metadata__": {"fedxdr": CARD, "more": "x"}},
        {**HEADER, "__metadata__": {"fedxdr": CARD.replace("layers", "sreyal")}},
        {k: v for k, v in HEADER.items() if k != "weights.b"},
        {k: v for k, v in HEADER.items() if k != "__metadata__"},
    ],
    ids=lambda value: repr(value)[:40],
)
def test_other_headers_are_refused(header):
    for pad in (0, 1, 8):
        with pytest.raises(MalformedMessage):
            snapshot.load(joined(header, DATA, pad=pad))


def test_a_header_longer_than_the_file_costs_nothing():
    for size in (2**63, 2**40, len(DATA) * 100):
        with pytest.raises(MalformedMessage):
            snapshot.load(size.to_bytes(8, "little") + DATA)


@pytest.mark.parametrize(
    "dtype", [np.float64, np.float16, np.int32, np.uint8, np.bool_]
)
def test_tensors_of_another_type_are_refused(dtype):
    tensors = {n: t.astype(dtype) for n, t in load_tensors(save()).items()}
    with pytest.raises(MalformedMessage):
        snapshot.load(save_tensors(tensors, metadata={"fedxdr": CARD}))


def test_a_type_that_numpy_has_not_is_refused():
    header = json.loads(json.dumps(HEADER))
    for name, entry in header.items():
        if name != "__metadata__":
            entry["dtype"] = "BF16"
            begin, end = entry["data_offsets"]
            entry["data_offsets"] = [begin // 2, end // 2]
    with pytest.raises(MalformedMessage):
        snapshot.load(joined(header, DATA[: len(DATA) // 2]))


def test_a_model_that_is_not_finite_is_not_loaded():
    tensors = load_tensors(save())
    tensors["weights.a"] = np.full((2, 3), np.nan, dtype=np.float32)
    with pytest.raises(MalformedMessage):
        snapshot.load(save_tensors(tensors, metadata={"fedxdr": CARD}))


@given(st.binary())
def test_foreign_bytes_raise_our_error_only(data):
    with pytest.raises(MalformedMessage):
        snapshot.load(data)
    with pytest.raises(MalformedMessage):
        snapshot.load(joined(data, DATA))
