# SPDX-License-Identifier: Apache-2.0
"""The hosts of one simulated organisation and the part of the internet it meets.

Every organisation has the same kinds of hosts in other numbers, other addresses, other
habits and another time zone.

It does NOT make traffic. All addresses are private (RFC 1918) or set aside for tests
(RFC 2544, 198.18.0.0/15), all names end in ``.example`` or ``.test`` (RFC 2606).
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedxdr.simulation.sessions import Hosts, Numbers

DAY_S: Final = 86_400.0
HOUR_S: Final = 3_600.0

_CONSONANTS: Final = "bcdfghjklmnprstvwz"
_VOWELS: Final = "aeiou"
_TOPS: Final = ("example", "example", "test")
_HEX: Final = np.array(list("0123456789abcdef"))
_BASE32: Final = np.array(list("abcdefghijklmnopqrstuvwxyz234567"))

# Load by hour of the local day: an office, with a lunch dip and a thin night.
_OFFICE: Final = np.array(
    [2, 2, 1, 1, 1, 2, 5, 14, 26, 34, 36, 34, 24, 28, 34, 34, 30, 22, 12, 8, 6, 5, 4, 3]
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estate:
    """Host numbers by role; ``addresses`` and ``names`` are indexed by host number.

    Attributes:
        addresses: one per host.
        names: DNS name of each host.
        workstations: people's machines; the first few belong to administrators.
        controllers: directory, time and DNS servers.
        file_servers: SMB.
        servers: mail, web, application and database servers.
        devices: cameras, printers, building controls.
        backup: backup server.
        monitor: monitoring server.
        scanner: the organisation's own vulnerability scanner.
        internet: other hosts, most visited first.
        updates: software update and telemetry services.
        clouds: storage in the cloud.
        vendors: one cloud service per device.
        strangers: hosts that knock from outside.
        hostile: hosts that only a campaign uses.
        hours_ahead: local time minus UTC.
        scale: factor on sizes, this organisation's habit.
    """

    addresses: tuple[str, ...]
    names: tuple[str, ...]
    workstations: Hosts
    controllers: Hosts
    file_servers: Hosts
    servers: Hosts
    devices: Hosts
    backup: int
    monitor: int
    scanner: int
    internet: Hosts
    updates: Hosts
    clouds: Hosts
    vendors: Hosts
    strangers: Hosts
    hostile: Hosts
    hours_ahead: float
    scale: float

    @property
    def is_internal(self) -> NDArray[np.bool_]:
        """(hosts,) mask of the organisation's own hosts."""
        return np.array([text.startswith("10.") for text in self.addresses], np.bool_)

    @property
    def domain(self) -> str:
        """The organisation's DNS domain."""
        return self.names[int(self.workstations[0])].partition(".")[2]

    @property
    def inside(self) -> Hosts:
        """All of the organisation's own hosts."""
        return np.flatnonzero(self.is_internal).astype(np.int32)


def build_estate(draw: np.random.Generator, number: int) -> Estate:
    """Return the estate of the organisation of that number (0 to 199)."""
    addresses: list[str] = []
    names: list[str] = []
    domain = f"{word(draw, 3)}.example"

    def inside(count: int, segment: int, prefix: str) -> Hosts:
        first = len(addresses)
        addresses.extend(f"10.{20 + number}.{segment}.{10 + n}" for n in range(count))
        names.extend(f"{prefix}{n + 1}.{domain}" for n in range(count))
        return np.arange(first, first + count, dtype=np.int32)

    def outside(count: int, prefix: str = "") -> Hosts:
        first = len(addresses)
        for _ in range(count):
            third, fourth = draw.integers(1, 255, 2).tolist()
            addresses.append(f"198.{18 + len(addresses) % 2}.{third}.{fourth}")
            top = _TOPS[int(draw.integers(len(_TOPS)))]
            names.append(f"{prefix}{word(draw, int(draw.integers(2, 7)))}.{top}")
        return np.arange(first, first + count, dtype=np.int32)

    workstations = inside(int(draw.integers(22, 31)), 1, "ws")
    controllers = inside(2, 2, "dc")
    file_servers = inside(2, 3, "fs")
    servers = inside(int(draw.integers(6, 10)), 4, "srv")
    devices = inside(int(draw.integers(4, 7)), 5, "dev")
    backup, monitor, scanner = inside(3, 6, "ops").tolist()
    return Estate(
        workstations=workstations,
        controllers=controllers,
        file_servers=file_servers,
        servers=servers,
        devices=devices,
        backup=backup,
        monitor=monitor,
        scanner=scanner,
        internet=outside(260, "www."),
        updates=outside(8, "updates."),
        clouds=outside(4, "storage."),
        vendors=outside(len(devices), "iot."),
        strangers=outside(60),
        hostile=outside(12, "www."),
        hours_ahead=float(draw.integers(-3, 4)),
        scale=float(np.exp(draw.uniform(-0.35, 0.35))),
        addresses=tuple(addresses),
        names=tuple(names),
    )


def word(draw: np.random.Generator, syllables: int) -> str:
    """Return a word that could be a name, two letters per syllable."""
    first = draw.integers(len(_CONSONANTS), size=syllables).tolist()
    second = draw.integers(len(_VOWELS), size=syllables).tolist()
    return "".join(
        _CONSONANTS[one] + _VOWELS[two] for one, two in zip(first, second, strict=True)
    )


def coded(draw: np.random.Generator, rows: int, *, low: int, high: int) -> list[str]:
    """Return texts of base-32 digits of low to high - 1 characters: data in a name."""
    return _random_texts(draw, rows, low, high, _BASE32)


def hashed(draw: np.random.Generator, rows: int, *, low: int, high: int) -> list[str]:
    """Return texts of hexadecimal digits of low to high - 1 characters."""
    return _random_texts(draw, rows, low, high, _HEX)


def served_names(
    draw: np.random.Generator, estate: Estate, hosts: NDArray[np.int32]
) -> list[str]:
    """Return the server name of each of (n,) visits: some ask for a random part of it.

    Content networks and applications serve from names such as ``x7kq2.site.example``.
    """
    parts = coded(draw, len(hosts), low=2, high=15)
    whole = (draw.random(len(hosts)) < 0.55).tolist()
    names = [estate.names[host] for host in hosts.tolist()]
    return [
        name if plain else f"{part}.{name.removeprefix('www.')}"
        for name, part, plain in zip(names, parts, whole, strict=True)
    ]


def office_times(
    draw: np.random.Generator, estate: Estate, rows: int, *, end_s: float
) -> Numbers:
    """Return (rows,) times in [0, end_s) under the load of an office day."""
    bins = int(np.ceil(end_s / HOUR_S))
    local = (np.arange(bins) + int(estate.hours_ahead)) % 24
    load = _OFFICE[local].astype(np.float64)
    load[-1] *= end_s / HOUR_S - (bins - 1)
    hour = draw.choice(bins, rows, p=load / load.sum())
    times: Numbers = np.minimum((hour + draw.random(rows)) * HOUR_S, end_s - 1.0)
    return times


def _random_texts(
    draw: np.random.Generator,
    rows: int,
    low: int,
    high: int,
    alphabet: NDArray[np.str_],
) -> list[str]:
    lengths = draw.integers(low, high, rows).tolist()
    letters = "".join(
        alphabet[draw.integers(len(alphabet), size=sum(lengths))].tolist()
    )
    texts: list[str] = []
    begin = 0
    for length in lengths:
        texts.append(letters[begin : begin + length])
        begin += length
    return texts
