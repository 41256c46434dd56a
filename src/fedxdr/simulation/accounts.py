# SPDX-License-Identifier: Apache-2.0
"""Who was it: accounts of sessions, whether they were let in, and what they opened.

Only sensors that write such things need them; sessions without stay as they are.

The campaign uses accounts that others use every day, guesses names that the scanner
tries too, and fails no more clearly than a script with an old password does: an
account alone tells nothing.

It does NOT know any log's format.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from fedxdr.simulation.campaign import BRUTE_FORCE, LATERAL
from fedxdr.simulation.campaign_ends import RANSOM
from fedxdr.simulation.estate import Estate, coded, word
from fedxdr.simulation.sessions import Sessions
from fedxdr.telemetry.catalogue import Service, State

GUESSED: Final = ("root", "admin", "administrator", "test", "guest", "oracle",
                  "backup", "ubuntu", "support", "user")  # fmt: skip
"""Names that are tried because they are common."""

_WITH_ACCOUNT: Final = (Service.SSH, Service.SMB, Service.RDP, Service.KERBEROS)
_SHARES: Final = ("sales", "finance", "projects", "public", "home$")
_NEAR_SHARES: Final = ("C$", "print$", "shared", "ADMIN$")
_SUFFIXES: Final = ("docx", "xlsx", "pdf", "jpg", "txt", "dwg")
_ONE_NAME_S: Final = 300
_MISTYPED: Final = 0.04
_GUESSED_WRONG: Final = 0.94


def short(name: str) -> str:
    """Return a host's name without its domain."""
    return name.partition(".")[0]


def with_accounts(
    draw: np.random.Generator, estate: Estate, made: Sessions
) -> Sessions:
    """Return the same sessions with accounts and with the names they asked for.

    Args:
        draw: generator of nothing else.
        estate: whose hosts.
        made: (n) sessions.
    """
    people = _People(draw, estate)
    has_account = np.isin(made.service, _WITH_ACCOUNT)
    user = made.user.copy()
    for row in np.flatnonzero(has_account).tolist():
        user[row] = people.account(
            draw,
            source=int(made.source[row]),
            destination=int(made.destination[row]),
            service=Service(int(made.service[row])),
            technique=str(made.technique[row]),
            start_s=float(made.start_s[row]),
        )
    chance = draw.random(len(made))
    guessed = (made.technique == BRUTE_FORCE).astype(np.bool_)
    # Whoever has no account here is never let in.
    guessed |= np.isin(made.source, [estate.scanner, *estate.strangers.tolist()])
    refused = (made.state == State.RESET_BY_DESTINATION) | (chance < _MISTYPED)
    refused = np.where(guessed, chance < _GUESSED_WRONG, refused)
    return dataclasses.replace(
        made,
        user=user,
        is_refused=has_account & refused,
        name=_names(draw, estate, made),
    )


class _People:
    """Accounts of one organisation.

    Args:
        draw: generator.
        estate: whose workstations.
    """

    def __init__(self, draw: np.random.Generator, estate: Estate) -> None:
        hosts = estate.workstations.tolist()
        self._estate = estate
        self._owner = {host: f"{word(draw, 2)}.{word(draw, 3)}" for host in hosts}
        self._owners = list(self._owner.values())
        self._administrators = hosts[:3]
        self._stolen = f"adm-{self._owner[int(draw.choice(hosts[:3]))]}"

    def account(
        self,
        draw: np.random.Generator,
        *,
        source: int,
        destination: int,
        service: Service,
        technique: str,
        start_s: float,
    ) -> str:
        """Return by which account a session was opened."""
        chance = float(draw.random())
        some = int(draw.integers(len(self._owners)))
        own = self._owner.get(source)
        is_stranger = source in self._estate.strangers or source == self._estate.scanner
        if technique == BRUTE_FORCE or is_stranger:
            # One name is tried for a while, then the next one.
            place = 7 * source + 3 * destination + int(start_s // _ONE_NAME_S)
            if technique == BRUTE_FORCE and place % 5 < 2:
                return self._owners[place % len(self._owners)]
            return GUESSED[place % len(GUESSED)]
        if technique in {LATERAL, RANSOM} and chance < 0.6:
            return self._stolen
        if own is None:
            return f"svc-{short(self._estate.names[source])}"
        if service is Service.KERBEROS and chance < 0.35:
            return f"{short(self._estate.names[source]).upper()}$"
        if source in self._administrators and chance < 0.75:
            is_first = source == self._administrators[0]
            if service is Service.SSH and is_first and chance < 0.5:
                return "deploy"
            return f"adm-{own}"
        if destination in self._owner and chance < 0.5:
            # Help on somebody's machine is given by who may do it everywhere.
            place = self._administrators[some % len(self._administrators)]
            return f"adm-{self._owner[place]}"
        return self._owners[some] if chance > 0.93 else own


def _names(
    draw: np.random.Generator, estate: Estate, made: Sessions
) -> np.typing.NDArray[np.object_]:
    """Return the names of sessions, also of those inside: pages, servers, files."""
    names = made.name.copy()
    asked = (made.service == Service.HTTP) | (made.service == Service.TLS)
    asked = asked & (names == "").astype(np.bool_)
    rows = np.flatnonzero(asked).tolist()
    paths = coded(draw, len(rows), low=2, high=32)
    for row, path in zip(rows, paths, strict=True):
        server = estate.names[int(made.destination[row])]
        is_page = made.service[row] == Service.HTTP
        names[row] = f"{server}/{path}" if is_page else server
    people = set(estate.workstations.tolist())
    for row in np.flatnonzero(made.service == Service.SMB).tolist():
        is_near = int(made.destination[row]) in people
        shares = _NEAR_SHARES if is_near else _SHARES
        share = shares[int(draw.integers(len(shares)))]
        folders = [word(draw, int(draw.integers(2, 5))) for _ in range(2)]
        suffix = _SUFFIXES[int(draw.integers(len(_SUFFIXES)))]
        names[row] = f"{share}\\{folders[0]}\\{folders[1]}.{suffix}"
    return names
