# SPDX-License-Identifier: Apache-2.0
"""The data sets that an evaluation knows by name, and which protocols fit which.

It does NOT download: who has a set gives its folder.

Rule that always holds: what does not fit (a set, a protocol, features, a promise) is
refused before anything is read, with what would fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from fedxdr.core.errors import InvalidSettings
from fedxdr.learning import ait, cic, darpa98, features, lifetimes, nsl_kdd
from fedxdr.learning.darpa98 import Sight
from fedxdr.learning.dataset import Organisation
from fedxdr.learning.features import FeatureSet


class Reading(StrEnum):
    """Which features are read."""

    BOUNDED = "bounded"
    COUNTERS = "counters"
    OWN = "own"
    LIFETIMES = "lifetimes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A data set.

    Attributes:
        protocols: that fit it, the usual one first.
        readings: features that it has, the usual ones first.
        has_privacy: whether its rows can be kept in a way that differential privacy
            allows.
        has_sight: whether what an organisation sees can be chosen.
    """

    protocols: tuple[str, ...]
    readings: tuple[Reading, ...]
    has_privacy: bool = False
    has_sight: bool = False


DATASETS: Final[Mapping[str, Known]] = {
    "ait-ads": Known(
        protocols=("causal", "time-split"),
        readings=(Reading.BOUNDED, Reading.COUNTERS),
        has_privacy=True,
    ),
    "cic": Known(protocols=("unseen-family",), readings=(Reading.OWN, Reading.BOUNDED)),
    "darpa98": Known(
        protocols=("subnet",),
        readings=(Reading.LIFETIMES, Reading.BOUNDED, Reading.COUNTERS),
        has_sight=True,
    ),
    "nsl-kdd": Known(protocols=("unseen-family",), readings=(Reading.OWN,)),
    "nsl-kdd-21": Known(protocols=("unseen-family",), readings=(Reading.OWN,)),
}
"""Every known data set, by its name on the command line."""

_OF_EDGES: Final = {
    Reading.LIFETIMES: lifetimes.NAME,
    Reading.BOUNDED: "traffic",
    Reading.COUNTERS: "counters",
}

OWN_FILES: Final = Known(
    protocols=("time-split", "causal"), readings=(Reading.BOUNDED,), has_privacy=True
)
"""Anybody's labelled logs and tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked of a data set.

    Attributes:
        protocol: by name.
        reading: which features.
        is_private: whether rows are read for differential privacy.
        sight: what an organisation sees; None where that is no question.
    """

    protocol: str
    reading: Reading
    is_private: bool
    sight: Sight | None


def wish(
    name: str | None,
    *,
    protocol: str | None,
    reading: Reading | None,
    is_private: bool,
    sight: Sight | None,
) -> Wish:
    """Return what is asked, what was not said filled in.

    Args:
        name: of the data set; None for one's own files.
        protocol: by name; the usual one if None.
        reading: which features; the usual ones if None.
        is_private: whether differential privacy is asked for.
        sight: what an organisation sees; the usual if None.

    Raises:
        InvalidSettings: a combination that does not fit.
    """
    known = OWN_FILES if name is None else _find(name)
    what = "--org" if name is None else f"--dataset {name}"
    if protocol is not None and protocol not in known.protocols:
        raise InvalidSettings(
            f"--protocol {protocol} does not fit {what}: use "
            f"{' or '.join(known.protocols)}"
        )
    if is_private and reading is Reading.COUNTERS:
        raise InvalidSettings(
            "--features counters has no bounded past: one event touches every later "
            "example, and no noise hides it; leave the option out with dp"
        )
    if is_private and not known.has_privacy:
        raise InvalidSettings(
            f"{what}: its rows are kept under caps, so one row lets another in, and no "
            "promise for single rows holds; use dp with --dataset ait-ads or --org"
        )
    if reading is not None and reading not in known.readings:
        fitting = [
            name
            for name, item in {**DATASETS, "(--org)": OWN_FILES}.items()
            if reading in item.readings
        ]
        raise InvalidSettings(
            f"--features {reading} does not fit {what}: it is for --dataset "
            f"{', '.join(fitting)}"
        )
    if sight is not None and not known.has_sight:
        raise InvalidSettings(f"--sight does not fit {what}: it is for darpa98 only")
    return Wish(
        protocol=protocol or known.protocols[0],
        reading=reading or known.readings[0],
        is_private=is_private,
        sight=(sight or Sight.BOTH) if known.has_sight else None,
    )


def read(name: str, folder: Path, asked: Wish) -> tuple[list[Organisation], FeatureSet]:
    """Return a data set's organisations and what their features are.

    Args:
        name: of the data set.
        folder: where it lies.
        asked: as made by ``wish``.

    Raises:
        InvalidSettings: no such data set, or its files are not there.
        InvalidTelemetry: a file is not what it should be.
    """
    _find(name)
    if name == "ait-ads":
        suffix = "-event" if asked.is_private else ""
        is_bounded = asked.reading is Reading.BOUNDED
        found = features.find(f"alerts{suffix}" if is_bounded else "counters")
        return ait.read(folder, found, by_coins=asked.is_private), found
    if name == "cic":
        is_own = asked.reading is Reading.OWN
        return cic.read(folder, around=None if is_own else features.find("traffic"))
    if name == "darpa98":
        found = features.find(_OF_EDGES[asked.reading])
        sight = asked.sight or Sight.BOTH
        return darpa98.read(folder, found, sight=sight), found
    test = nsl_kdd.TEST_21 if name.endswith("21") else nsl_kdd.TEST
    return nsl_kdd.read(folder, test=test)


def _find(name: str) -> Known:
    if name not in DATASETS:
        raise InvalidSettings(f"data set {name!r}: use one of {', '.join(DATASETS)}")
    return DATASETS[name]
