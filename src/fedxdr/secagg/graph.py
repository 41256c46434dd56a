# SPDX-License-Identifier: Apache-2.0
"""Who masks with whom above 32 organisations: a k-regular graph from a coin.

Organisations stand on a circle in an order that the coin gives; each is a neighbour of
the k/2 before and the k/2 after it (a Harary graph, vertices permuted). Pair masks are
made and shares are held between neighbours alone, so a round costs n k instead of n^2.
The *closed* neighbourhood N[u], u and its neighbours, holds the shares of u's secrets;
``share_threshold`` of the k + 1 give them.

It does NOT draw the coin's randomness and does NOT know who colludes.

**The coin** is SHA-256 over the round's transcript, which holds the signed key list. No
organisation's keys can be guessed before it sends them, so nobody knows the graph
before the list is fixed. Who sees the honest keys first, an orchestrator with
colluders, can bias it: it tries other keys of its own, or leaves somebody out, and
keeps the graph it likes best. It chooses among as many graphs as it can try between the
last honest key and the deadline, and no graph has properties of its choosing otherwise.
``degree_for`` therefore multiplies its failure bound by 2^``GRINDING_BITS`` (union
bound over the tries). The other way, commitments that are opened after the list is
fixed, needs one more message that a single silent organisation can block, and can still
be biased by 2^colluders tries through refusing to open.

**What can go wrong, and how its probability is bounded** (exactly, over the order):
A. *A part of the sum is opened alone*: survivors who do not collude fall into two parts
   with no honest edge between them. Then two of them are each followed on the circle
   by k/2 organisations that dropped out or collude. ``check_survivors`` leaves at most
   k + 1 - t drop-outs in N[u] for any survivor u, whoever chose them and when, so at
   least m = k/2 - (k + 1 - t) of these k/2 collude, twice, in disjoint windows. There
   are fewer than n^2/2 pairs of windows, each with hypergeometrically many colluders.
B. *Both secrets of one organisation*: t of its k neighbours collude. Honest ones reveal
   one kind of share each, and all the same kind, because survivors sign one set.
C. *The round fails*: more neighbours of one organisation drop out than k - t. Costs a
   round and no secret, so its bound is a looser one.

Rules that always hold: at most 32 organisations are all neighbours; a smaller degree
than the bound asks for is never returned; a sum is not opened where a survivor's
neighbourhood is below its threshold or the survivors' graph is in parts.

Source: Bell et al. 2020, "Secure Single-Server Aggregation with (Poly)Logarithmic
Overhead", sections 3 and 4 (Harary graph, good graphs); the bounds, against drop-outs
that the orchestrator chooses, are ours.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction

from fedxdr.core.errors import InvalidPlan, MalformedMessage, TooFewParticipants
from fedxdr.core.ids import OrgId, sha256
from fedxdr.secagg.masking import TRANSCRIPT_BYTES

COMPLETE_UP_TO = 32
"""Up to so many organisations everyone is everyone's neighbour."""

FAILURE_BITS = 40
"""A secret is lost with probability below 2^-40 per round, after any grinding."""

GRINDING_BITS = 48
"""2^48 graphs tried, each with a signature and a hash: a minute of 10^8 cores."""

LIVENESS_BITS = 20
"""A round fails for an unlucky graph with probability below 2^-20."""

Graph = Mapping[OrgId, tuple[OrgId, ...]]
"""The neighbours of each organisation, without itself, in order of their names."""

_COIN_LABEL = b"fedxdr/secagg/graph-coin/v1\x00"
_ORDER_LABEL = b"fedxdr/secagg/graph-order/v1\x00"


def coin_of(transcript: bytes) -> bytes:
    """Return the 32-byte coin of a round, from the digest of its transcript."""
    _want_coin(transcript)
    return bytes.fromhex(sha256(_COIN_LABEL, transcript))


def neighbours(names: Sequence[OrgId], coin: bytes, *, degree: int) -> Graph:
    """Return the graph of a round.

    Args:
        names: who is in it, each once.
        coin: 32 bytes that nobody could know before the names' keys were fixed.
        degree: k, even, at least 2; from ``len(names) - 1`` on everyone is everyone's
            neighbour.

    Returns:
        k neighbours of each, symmetric: v is u's if and only if u is v's.

    Raises:
        InvalidPlan: a degree that no such graph has.
        MalformedMessage: a coin of another length, or a name twice.
    """
    _want_coin(coin)
    ordered = tuple(sorted(names))
    if len(set(ordered)) != len(ordered):
        raise MalformedMessage("a graph has each name once")
    if degree < 1 or (degree % 2 and degree < len(ordered) - 1):
        raise InvalidPlan(
            f"degree {degree} of {len(ordered)}: even and at least 2, or all others"
        )
    return _graph(ordered, coin, min(degree, len(ordered) - 1))


@functools.lru_cache(maxsize=8)
def _graph(names: tuple[OrgId, ...], coin: bytes, degree: int) -> Graph:
    """Return the graph; every function of a round asks for the same one."""
    if degree == len(names) - 1:
        return {name: tuple(v for v in names if v != name) for name in names}
    circle = sorted(names, key=lambda name: sha256(_ORDER_LABEL, coin, name.encode()))
    n, half = len(circle), degree // 2
    graph = {
        name: tuple(
            sorted(
                circle[(place + step) % n]
                for step in (*range(-half, 0), *range(1, half + 1))
            )
        )
        for place, name in enumerate(circle)
    }
    return {name: graph[name] for name in names}


def share_threshold(degree: int) -> int:
    """Return t, how many of the k + 1 holders give a secret: the least above 2/3."""
    return 2 * (degree + 1) // 3 + 1


def is_connected(graph: Graph, survivors: Collection[OrgId]) -> bool:
    """Return whether the survivors hang together by edges between survivors."""
    left = set(survivors)
    if not left:
        return True
    reached = [left.pop()]
    while reached:
        near = left.intersection(graph[reached.pop()])
        left -= near
        reached.extend(near)
    return not left


def check_survivors(
    graph: Graph, survivors: Collection[OrgId], *, threshold: int
) -> None:
    """Return if the survivors' sum may be opened.

    Every organisation calls it before it answers, and whoever opens before opening.

    Args:
        graph: of the round.
        survivors: those whose vectors are in the sum.
        threshold: t, how many holders give a secret.

    Raises:
        TooFewParticipants: a survivor of whose closed neighbourhood fewer than t
            survive (names it), or survivors in parts that could be opened apart.
    """
    alive = frozenset(survivors)
    for name in sorted(alive):
        holders = 1 + len(alive.intersection(graph[name]))
        if holders < threshold:
            raise TooFewParticipants(
                f"{holders} of the neighbourhood of {name} survive, {threshold} are "
                "needed"
            )
    if not is_connected(graph, alive):
        raise TooFewParticipants(
            "the survivors' graph is not connected: the sum of a part could be opened"
        )


@functools.lru_cache(maxsize=64)
def degree_for(
    n: int,
    colluders: int,
    dropouts: int,
    *,
    failure_bits: int = FAILURE_BITS + GRINDING_BITS,
    liveness_bits: int = LIVENESS_BITS,
) -> int:
    """Return the least degree whose failure bounds hold.

    Args:
        n: how many organisations, >= 1.
        colluders: how many may work with the orchestrator, in [0, n).
        dropouts: how many fall silent of themselves, in [0, n); they cost liveness
            only, since those the orchestrator silences are in the other bound.
        failure_bits: A and B together below 2^-failure_bits, grinding included.
        liveness_bits: C below 2^-liveness_bits.

    Returns:
        k: n - 1 up to 32 organisations and wherever no smaller degree is enough, else
        an even number below.

    Raises:
        InvalidPlan: numbers out of their range.
    """
    if n < 1 or not 0 <= colluders < n or not 0 <= dropouts < n:
        raise InvalidPlan(f"{colluders} colluders and {dropouts} drop-outs of {n}")
    if n > COMPLETE_UP_TO:
        for degree in range(2, n - 1, 2):
            if exposure(n, colluders, degree=degree) * 2**failure_bits <= 1 and (
                unluckiness(n, dropouts, degree=degree) * 2**liveness_bits <= 1
            ):
                return degree
    return max(n - 1, 1)


def exposure(n: int, colluders: int, *, degree: int) -> Fraction:
    """Return the bound on A or B for one graph whose coin nobody chose.

    Args:
        n: how many organisations, > degree + 1.
        colluders: fixed before the coin.
        degree: k, even.
    """
    threshold, half = share_threshold(degree), degree // 2
    among = half - (degree + 1 - threshold)
    windows = min(2 * half, n)
    parts = math.comb(n, 2) * _tail(n, colluders, windows, at_least=2 * among)
    both = n * _tail(n - 1, min(colluders, n - 1), degree, at_least=threshold)
    return min(parts + both, Fraction(1))


def unluckiness(n: int, dropouts: int, *, degree: int) -> Fraction:
    """Return the bound on C for drop-outs that do not depend on the graph."""
    spare = degree - share_threshold(degree)
    bound = n * _tail(n - 1, min(dropouts, n - 1), degree, at_least=spare + 1)
    return min(bound, Fraction(1))


def _tail(population: int, marked: int, drawn: int, *, at_least: int) -> Fraction:
    """Return P[X >= at_least], X marked among drawn without replacement."""
    ways = sum(
        math.comb(marked, hits) * math.comb(population - marked, drawn - hits)
        for hits in range(max(at_least, 0), min(marked, drawn) + 1)
    )
    return Fraction(ways, math.comb(population, drawn))


def _want_coin(coin: bytes) -> None:
    if len(coin) != TRANSCRIPT_BYTES:
        raise MalformedMessage(f"a coin: got {len(coin)} bytes, want 32")
