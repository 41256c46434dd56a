# SPDX-License-Identifier: Apache-2.0
"""Telemetry of several organisations that one campaign reaches one after another.

Each organisation has a Suricata sensor at its border (``eve.json``) and a Zeek sensor
inside (``conn.log``), or other sensors if asked (world.py). All share one cut: what
came before is past, and was worked up; what comes after is to be detected. Campaign
sessions of the past carry alerts or an incident team's labels, those of the future
carry nothing: only ``truth.csv`` knows.

The first organisation is hit first, the last ones only after the cut, so that they have
no labelled attack of their own while others had it before them. Those that were hit
early are hit once more after the cut.

It does NOT make it easy: no single feature separates the campaign, alerts miss some of
it and also fire on benign traffic, and ``private_campaign_at`` gives one organisation
an intrusion that reached nobody else.

Rule: the same arguments give the same bytes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedxdr.core.errors import InvalidSettings
from fedxdr.core.ids import OrgId, org_id
from fedxdr.core.randomness import generator
from fedxdr.simulation.accounts import with_accounts
from fedxdr.simulation.benign import border_traffic
from fedxdr.simulation.benign_inside import inside_traffic
from fedxdr.simulation.campaign import (
    ALL_TECHNIQUES,
    CAMPAIGN_TECHNIQUES,
    CHAIN_S,
    campaign_steps,
    private_steps,
)
from fedxdr.simulation.estate import HOUR_S, build_estate
from fedxdr.simulation.eve_writer import Alert
from fedxdr.simulation.logs import CONN, EVE, TRUTH, Log, logs_of, truth_of
from fedxdr.simulation.lookalikes import lookalikes
from fedxdr.simulation.sessions import Sessions
from fedxdr.simulation.truth import write_truth
from fedxdr.simulation.world import (
    EVERY_MIX,
    START,
    Organisation,
    OrganisationFiles,
    Sensors,
    World,
    cut_time,
)
from fedxdr.telemetry.catalogue import Service
from fedxdr.telemetry.event import MALICIOUS

__all__ = [
    "ALL_TECHNIQUES",
    "CAMPAIGN_TECHNIQUES",
    "EVERY_MIX",
    "HOURS",
    "START",
    "Organisation",
    "OrganisationFiles",
    "Sensors",
    "World",
    "cut_time",
    "files_in",
    "generate",
    "write",
    "write_truths",
]

HOURS: Final = 48.0
CUT: Final = 0.5
"""The cut, as a share of the whole time."""

MAX_ORGANISATIONS: Final = 200
MAX_HOURS: Final = 24 * 366

_MISSED: Final = 0.1
"""Share of past campaign sessions that no alert and no incident team found."""

_FALSE_ALARMS: Final = 0.002
_INFORMING: Final = 0.012
_BASE62: Final = np.array(
    list("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
)


def generate(
    *,
    organisations: Sequence[str],
    seed: int,
    hours: float = HOURS,
    private_campaign_at: str | None = None,
    techniques: Collection[str] = CAMPAIGN_TECHNIQUES,
    sensors: Sequence[Sensors] = (Sensors.MIXED,),
    start: dt.datetime = START,
) -> World:
    """Return a world.

    Args:
        organisations: 1 to 200 names; the campaign reaches them in this order.
        seed: >= 0; another seed gives another world.
        hours: how long it lasts, from 24 to a year.
        private_campaign_at: name of an organisation that is hit, after the cut, by an
            intrusion that reached nobody else, in place of the campaign.
        techniques: what the campaign does, of ``ALL_TECHNIQUES``.
        sensors: dealt to the organisations in turn; ``EVERY_MIX`` for one of each.
        start: UTC-aware, whole seconds; what happens at night happens by this clock.

    Raises:
        InvalidSettings: no names, too many, one twice, another length or
            seed, no techniques or unknown ones, or no sensors.
    """
    names = [org_id(name) for name in organisations]
    if not 1 <= len(names) <= MAX_ORGANISATIONS or len(set(names)) != len(names):
        raise InvalidSettings(
            f"a world has 1 to {MAX_ORGANISATIONS} organisations of different names"
        )
    if not 24 <= hours <= MAX_HOURS:
        raise InvalidSettings(f"a world lasts at least 24 hours, at most {MAX_HOURS}")
    if seed < 0:
        raise InvalidSettings("a seed is not below 0")
    if private_campaign_at is not None and private_campaign_at not in names:
        raise InvalidSettings(f"no organisation named {private_campaign_at} is listed")
    if not techniques or not set(techniques) <= set(ALL_TECHNIQUES):
        raise InvalidSettings(f"a campaign does some of {', '.join(ALL_TECHNIQUES)}")
    if not sensors:
        raise InvalidSettings("name at least one mix of sensors")
    is_new = not set(techniques) <= set(CAMPAIGN_TECHNIQUES)
    is_new |= any(one is not Sensors.MIXED for one in sensors)
    end_s = hours * HOUR_S
    cut_s = CUT * end_s
    onsets = _onsets(len(names), end_s)
    return World(
        organisations=tuple(
            _organisation(
                name,
                number=number,
                seed=seed,
                onset_s=onset,
                cut_s=cut_s,
                end_s=end_s,
                is_private=name == private_campaign_at,
                techniques=techniques,
                sensors=sensors[number % len(sensors)],
                has_lookalikes=is_new,
            )
            for number, (name, onset) in enumerate(zip(names, onsets, strict=True))
        ),
        cut=start + dt.timedelta(seconds=cut_s),
        start=start,
    )


def write(world: World, directory: Path) -> dict[OrgId, OrganisationFiles]:
    """Write each organisation's logs into a folder of its name; return the files.

    Args:
        world: what happened.
        directory: made where it does not exist; files of the same names are replaced.
    """
    written: dict[OrgId, OrganisationFiles] = {}
    for one in world.organisations:
        logs = logs_of(one, start_us=world.start_us)
        files = files_in(directory, one, logs)
        files.truth.parent.mkdir(parents=True, exist_ok=True)
        for path, log in zip(files.logs, logs, strict=True):
            path.write_bytes(log.whole())
        written[one.name] = files
    write_truths(world, written)
    return written


def files_in(
    directory: Path, one: Organisation, logs: Sequence[Log]
) -> OrganisationFiles:
    """Return where an organisation's files lie below a folder; writes none.

    Args:
        directory: of the world.
        one: the organisation.
        logs: those it has.
    """
    folder = directory / one.name
    return OrganisationFiles(
        eve=folder / EVE,
        conn=folder / CONN,
        truth=folder / TRUTH,
        logs=tuple(folder / log.name for log in logs),
    )


def write_truths(world: World, files: Mapping[OrgId, OrganisationFiles]) -> None:
    """Write what really happened at each organisation into its file.

    Args:
        world: what happened.
        files: where; their folders are there.
    """
    for one in world.organisations:
        rows = truth_of(one, start_us=world.start_us)
        write_truth(files[one.name].truth, rows)


def _onsets(count: int, end_s: float) -> list[float]:
    """Return when the campaign reaches each organisation: evenly spread."""
    first, last = 0.02 * end_s, end_s - CHAIN_S - 0.04 * end_s
    if count == 1:
        return [first]
    return [first + (last - first) * n / (count - 1) for n in range(count)]


def _organisation(
    name: OrgId,
    *,
    number: int,
    seed: int,
    onset_s: float,
    cut_s: float,
    end_s: float,
    is_private: bool,
    techniques: Collection[str],
    sensors: Sensors,
    has_lookalikes: bool,
) -> Organisation:
    draw = generator(seed, number)
    estate = build_estate(draw, number)
    parts = [
        border_traffic(draw, estate, end_s=end_s),
        inside_traffic(draw, estate, end_s=end_s),
    ]
    again_s = float(draw.uniform(cut_s, end_s - CHAIN_S))
    if is_private:
        parts.append(private_steps(draw, estate, begin_s=again_s, end_s=end_s))
    else:
        begins = [onset_s, again_s] if onset_s + CHAIN_S < cut_s else [onset_s]
        parts += [
            campaign_steps(
                draw, estate, begin_s=begin_s, end_s=end_s, techniques=techniques
            )
            for begin_s in begins
        ]
    # What is new draws from streams of its own: the rest stays as it always was.
    if has_lookalikes:
        parts.append(lookalikes(generator(seed, number, 1), estate, end_s=end_s))
    everything = Sessions.concatenate(parts)
    if sensors is not Sensors.MIXED:
        everything = with_accounts(generator(seed, number, 2), estate, everything)
    own = estate.is_internal
    at_border = ~(own[everything.source] & own[everything.destination])
    at_border |= everything.service == Service.DNS
    at_border |= sensors is Sensors.SURICATA
    at_border &= sensors not in {Sensors.ZEEK, Sensors.ZEEK_JSON}
    border, inside = everything.select(at_border), everything.select(~at_border)
    return Organisation(
        name=name,
        estate=estate,
        border=border,
        inside=inside,
        flow_id=_flow_ids(draw, len(border)),
        uids=_uids(draw, len(inside)),
        alerts=_alerts(draw, border, cut_s),
        found_out=_found_out(draw, inside, cut_s),
        sensors=sensors,
    )


def _flow_ids(draw: np.random.Generator, rows: int) -> NDArray[np.uint64]:
    """Return (rows,) different identifiers below 2^53, as Suricata writes them."""
    spread = draw.integers(1, 2**38, rows).astype(np.uint64)
    order = draw.permutation(rows).astype(np.uint64)
    return (spread << np.uint64(14)) | (order & np.uint64(0x3FFF))


def _uids(draw: np.random.Generator, rows: int) -> tuple[str, ...]:
    """Return different identifiers as Zeek writes them."""
    letters = _BASE62[draw.integers(62, size=(rows, 17))]
    return tuple("C" + "".join(row) for row in letters.tolist())


def _alerts(
    draw: np.random.Generator, border: Sessions, cut_s: float
) -> dict[int, Alert]:
    """Return what signatures said: of the campaign's past, and wrongly of the rest."""
    chance = draw.random(len(border))
    is_campaign = border.label == MALICIOUS
    known = is_campaign & (border.start_s < cut_s) & (chance >= _MISSED)
    alerts = {
        row: Alert(
            signature_id=9_000_001,
            signature="FEDXDR campaign infrastructure or tool",
            category="A Network Trojan was detected",
            severity=1,
            technique=str(border.technique[row]),
        )
        for row in np.flatnonzero(known).tolist()
    }
    wrong = ~is_campaign & (chance < _FALSE_ALARMS)
    for row in np.flatnonzero(wrong).tolist():
        alerts[row] = Alert(
            signature_id=9_000_002,
            signature="FEDXDR suspicious pattern",
            category="Potentially Bad Traffic",
            severity=2,
        )
    informing = ~is_campaign & ~wrong & (chance < _FALSE_ALARMS + _INFORMING)
    for row in np.flatnonzero(informing).tolist():
        alerts[row] = Alert(
            signature_id=9_000_003,
            signature="FEDXDR protocol decoder event",
            category="Generic Protocol Command Decode",
            severity=3,
        )
    return alerts


def _found_out(
    draw: np.random.Generator, inside: Sessions, cut_s: float
) -> dict[int, str]:
    """Return what the incident team labelled: most of the campaign's past."""
    chance = draw.random(len(inside))
    known = (inside.label == MALICIOUS) & (inside.start_s < cut_s) & (chance >= _MISSED)
    return {row: str(inside.technique[row]) for row in np.flatnonzero(known).tolist()}
