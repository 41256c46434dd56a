# SPDX-License-Identifier: Apache-2.0
"""Lifetimes in a stream as the set ``entities`` tells them.

Of sources, destinations, pairs, users, users at either end and what is spoken at a
destination: the streaming form of what entities.py reads of the whole past.

It does NOT hold neighbours (models/rings.py).

Rules that always hold: those of lives.py; a user who is not known is no node.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from typing_extensions import override

from fedxdr.learning import columns
from fedxdr.learning.lives import Block, Lived, SetLives
from fedxdr.learning.pasts import Truths
from fedxdr.models.graph import Floats, Integers


class EntityLives(SetLives):
    """Lifetimes as the set ``entities`` tells them.

    A user is met in two ways, as who came to a destination and as who came from a
    source; each has partners of its own.
    """

    KINDS = MappingProxyType(
        {
            "pair": 2,
            "source": 1,
            "destination": 1,
            "service": 2,
            "user_there": 2,
            "user_here": 2,
            "user": 1,
            "met": 1,
        }
    )

    @override
    def push(
        self, known: Mapping[str, Integers], *, serial: Integers, time_ns: Integers
    ) -> Floats:
        """Return lifetimes, then how many partners, (n, 25) float32."""
        source, destination = known["source"], known["destination"]
        whole = Block(
            serial=serial, time_ns=time_ns, is_marked=np.zeros(len(serial), np.bool_)
        )
        pair = self._of("pair", (source, destination), whole)
        by_pair = _marked(whole, pair.count == 0)
        as_source = self._of("source", (source,), by_pair)
        as_target = self._of("destination", (destination,), by_pair)
        service = self._of("service", (destination, known["spoken"]), whole)
        rows = np.flatnonzero(known["user"] != 0)
        account, part = known["user"][rows], _some(whole, rows)
        there = self._of("user_there", (account, destination[rows]), part)
        here = self._of("user_here", (account, source[rows]), part)
        user = self._of("user", (account,), _marked(part, there.count == 0))
        met = self._of("met", (account,), _marked(part, here.count == 0))
        user, met, there, here = (
            _spread(one, rows, len(serial)) for one in (user, met, there, here)
        )
        lived = (as_source, as_target, pair, user, there, here, service)
        partners = (as_source, as_target, user, met)
        told = [
            columns.lifetime(
                one.count, np.where(one.count > 0, time_ns - one.first_ns, 0)
            )
            for one in lived
        ]
        told += [columns.acquaintance(one.partners)[:, None] for one in partners]
        return np.concatenate(told, axis=1, dtype=np.float32)

    def _of(self, kind: str, keys: tuple[Integers, ...], block: Block) -> Lived:
        return self._kinds[kind].push(np.stack(keys), block)[0]


def _marked(block: Block, is_marked: Truths) -> Block:
    return Block(serial=block.serial, time_ns=block.time_ns, is_marked=is_marked)


def _some(block: Block, rows: Integers) -> Block:
    return Block(
        serial=block.serial[rows],
        time_ns=block.time_ns[rows],
        is_marked=block.is_marked[rows],
    )


def _spread(lived: Lived, rows: Integers, n: int) -> Lived:
    """Return what n nodes had behind them; all but some had nothing."""
    found = np.zeros((3, n), np.int64)
    found[:, rows] = lived.count, lived.first_ns, lived.partners
    count, first_ns, partners = found
    return Lived(count=count, first_ns=first_ns, partners=partners)
