# SPDX-License-Identifier: Apache-2.0
"""What a world is made of: organisations, what each saw, and by which sensors.

It does NOT make anything happen (traffic.py) and writes no log (logs.py).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedxdr.core.errors import InvalidSettings
from fedxdr.core.ids import OrgId
from fedxdr.simulation.estate import Estate
from fedxdr.simulation.eve_writer import Alert
from fedxdr.simulation.sessions import SECOND_US, Sessions

START: Final = dt.datetime(2025, 3, 3, tzinfo=dt.UTC)
"""When the world begins: a Monday."""


class Sensors(enum.Enum):
    """Which logs an organisation has."""

    MIXED = "mixed"
    """Suricata at the border; of Zeek inside only ``conn.log``. No accounts."""

    SURICATA = "suricata"
    """Suricata everywhere."""

    ZEEK = "zeek"
    """Zeek everywhere, tab-separated."""

    ZEEK_JSON = "zeek-json"
    """Zeek everywhere, JSON."""

    WITH_HOSTS = "with-hosts"
    """Suricata at the border, all logs of Zeek inside, and servers' ``auth.log``."""


EVERY_MIX: Final = tuple(Sensors)
"""One organisation of each, dealt in this order."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Organisation:
    """One organisation's part of the world.

    Attributes:
        name: its name.
        estate: its hosts.
        border: sessions its Suricata sensor sees: across the border, and DNS; or all.
        inside: sessions its Zeek sensor sees: between own hosts; or all.
        flow_id: (border,) uint64.
        uids: one per session inside.
        alerts: what Suricata said, by number of the session.
        found_out: technique by number of the session, what the incident team labelled.
        sensors: which logs it has.
    """

    name: OrgId
    estate: Estate
    border: Sessions
    inside: Sessions
    flow_id: NDArray[np.uint64]
    uids: tuple[str, ...]
    alerts: dict[int, Alert]
    found_out: dict[int, str]
    sensors: Sensors = Sensors.MIXED


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """Everything that happened.

    Attributes:
        organisations: in the order in which the campaign reached them.
        cut: UTC; what is before is past at every organisation.
        start: UTC; when it began.
    """

    organisations: tuple[Organisation, ...]
    cut: dt.datetime
    start: dt.datetime = START

    @property
    def start_us(self) -> int:
        """When it began, microseconds since 1970."""
        return int(self.start.timestamp()) * SECOND_US


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationFiles:
    """Where one organisation's files lie.

    Attributes:
        eve: of Suricata; there only where the organisation has it, as ``conn``.
        conn: of Zeek.
        truth: label of every connection, for the closing evaluation only.
        logs: every log that there is, what an agent of it is to read.
    """

    eve: Path
    conn: Path
    truth: Path
    logs: tuple[Path, ...]


def cut_time(world: World, organisation: str) -> dt.datetime:
    """Return the time, UTC, at which an organisation's past ends.

    It may train on what is before, and is tested on what is not.

    Raises:
        InvalidSettings: no organisation of that name.
    """
    if not any(one.name == organisation for one in world.organisations):
        raise InvalidSettings(f"no organisation named {organisation} in this world")
    return world.cut
