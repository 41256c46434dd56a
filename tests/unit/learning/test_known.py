# SPDX-License-Identifier: Apache-2.0
"""Known data sets: what fits what, and that the right reader is asked."""

from __future__ import annotations

import pytest

from fedxdr.core.errors import InvalidSettings
from fedxdr.learning import known, protocols
from fedxdr.learning.darpa98 import Sight
from fedxdr.learning.known import DATASETS, OWN_FILES, Reading


def wish(name, **changes):
    asked = {"protocol": None, "reading": None, "is_private": False, "sight": None}
    return known.wish(name, **{**asked, **changes})


@pytest.mark.parametrize("name", [None, *DATASETS])
def test_the_usual_is_filled_in(name):
    item = OWN_FILES if name is None else DATASETS[name]
    asked = wish(name)
    assert asked.protocol == item.protocols[0]
    assert asked.reading == item.readings[0]
    assert (asked.sight is Sight.BOTH) == (name == "darpa98")
    assert set(item.protocols) <= set(protocols.PROTOCOLS)


@pytest.mark.parametrize("name", [None, *DATASETS])
@pytest.mark.parametrize("protocol", protocols.PROTOCOLS)
def test_a_protocol_fits_or_is_refused_with_what_fits(name, protocol):
    item = OWN_FILES if name is None else DATASETS[name]
    if protocol in item.protocols:
        assert wish(name, protocol=protocol).protocol == protocol
        return
    with pytest.raises(InvalidSettings, match=item.protocols[0]):
        wish(name, protocol=protocol)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("magic", {}, "ait-ads, cic, darpa98"),
        ("cic", {"is_private": True}, "under caps"),
        ("ait-ads", {"is_private": True, "reading": Reading.COUNTERS}, "bounded past"),
        ("nsl-kdd", {"reading": Reading.BOUNDED}, "ait-ads, cic, darpa98"),
        (None, {"reading": Reading.COUNTERS}, "ait-ads, darpa98"),
        ("cic", {"sight": Sight.INTO}, "darpa98 only"),
    ],
)
def test_what_does_not_fit_is_refused(name, changes, said):
    with pytest.raises(InvalidSettings, match=said):
        wish(name, **changes)


@pytest.mark.parametrize(
    ("name", "changes", "features"),
    [
        ("ait-ads", {}, "alerts"),
        ("ait-ads", {"is_private": True}, "alerts-event"),
        ("ait-ads", {"reading": Reading.COUNTERS}, "counters"),
        ("darpa98", {}, "edges"),
        ("darpa98", {"reading": Reading.BOUNDED}, "traffic"),
        ("darpa98", {"reading": Reading.COUNTERS}, "counters"),
    ],
)
def test_the_reader_is_asked_with_the_features(
    tmp_path, monkeypatch, name, changes, features
):
    told = {}

    def read(folder, found, **more):
        told.update(folder=folder, name=found.name, **more)

    monkeypatch.setattr(known.ait, "read", read)
    monkeypatch.setattr(known.darpa98, "read", read)
    asked = wish(name, **changes)
    assert known.read(name, tmp_path, asked)[1].name == features == told["name"]
    assert told["folder"] == tmp_path
    if name == "ait-ads":
        assert told["by_coins"] == asked.is_private
    else:
        assert told["sight"] is Sight.BOTH


def test_sets_with_own_columns_say_their_features(tmp_path, monkeypatch):
    monkeypatch.setattr(known.cic, "read", lambda _, around: around)
    monkeypatch.setattr(known.nsl_kdd, "read", lambda _, test: test)
    assert known.read("cic", tmp_path, wish("cic")) is None
    bounded = wish("cic", reading=Reading.BOUNDED)
    assert known.read("cic", tmp_path, bounded).name == "traffic"
    assert known.read("nsl-kdd", tmp_path, wish("nsl-kdd")) == "KDDTest+.parquet"
    found = known.read("nsl-kdd-21", tmp_path, wish("nsl-kdd-21"))
    assert found == "KDDTest-21.parquet"
    with pytest.raises(InvalidSettings, match="data set"):
        known.read("magic", tmp_path, wish("cic"))
