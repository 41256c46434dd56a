# SPDX-License-Identifier: Apache-2.0
"""secagg/graph.py: the graph, its bounds against counting, what a client refuses."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedxdr.core.errors import (
    InvalidInput,
    InvalidPlan,
    InvalidShare,
    MalformedMessage,
    TooFewParticipants,
    UnknownSender,
)
from fedxdr.core.ids import OrgId, org_id
from fedxdr.core.randomness import generator
from fedxdr.crypto.exchange import agree
from fedxdr.secagg import client, graph, server
from fedxdr.secagg.stages import Answer, Mail, Partition

N, DEGREE = 36, 12


def names_of(n: int) -> tuple[OrgId, ...]:
    return tuple(org_id(f"o-{index:04}") for index in range(n))


def coin_of(number: int) -> bytes:
    return number.to_bytes(32)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(3, 60), half=st.integers(1, 12), seed=st.integers(0, 2**64))
def test_every_graph_is_regular_and_symmetric(n: int, half: int, seed: int) -> None:
    names = names_of(n)
    got = graph.neighbours(names[::-1], coin_of(seed), degree=2 * half)
    assert tuple(got) == names
    for name, near in got.items():
        assert len(near) == min(2 * half, n - 1)
        assert list(near) == sorted(set(near) - {name})
        assert all(name in got[other] for other in near)
    assert graph.is_connected(got, names)
    assert graph.neighbours(names, coin_of(seed), degree=2 * half) == got


def test_the_circle_is_the_one_of_the_definition() -> None:
    # Neighbours stand within k/2 steps of each other, whatever the order is called.
    names = names_of(11)
    got = graph.neighbours(names, coin_of(3), degree=4)
    circle = [names[0]]
    while len(circle) < len(names):
        # The next one shares three of its four neighbours' arcs: try, by definition.
        here = circle[-1]
        nexts = [
            name
            for name in got[here]
            if name not in circle and len(set(got[here]) & set(got[name])) == 2
        ]
        circle.append(nexts[0])
    for place, name in enumerate(circle):
        steps = {circle[(place + step) % 11] for step in (-2, -1, 1, 2)}
        assert steps == set(got[name])


def test_another_coin_is_another_graph_and_each_pair_is_as_likely() -> None:
    names = names_of(7)
    edges: Counter[tuple[OrgId, OrgId]] = Counter()
    for seed in range(2100):
        got = graph.neighbours(names, coin_of(seed), degree=2)
        edges.update((a, b) for a, near in got.items() for b in near if a < b)
    # Each of 21 pairs is an edge in a third of the graphs: 700, sd 21.6.
    assert len(edges) == 21
    assert all(abs(count - 700) < 110 for count in edges.values())


@pytest.mark.parametrize("degree", [0, -2, 1, 3, 5])
def test_degrees_that_no_circle_has_are_refused(degree: int) -> None:
    with pytest.raises(InvalidPlan, match=f"degree {degree}"):
        graph.neighbours(names_of(9), coin_of(1), degree=degree)


def test_other_coins_and_names_are_refused() -> None:
    with pytest.raises(MalformedMessage, match="coin"):
        graph.neighbours(names_of(5), bytes(31), degree=2)
    with pytest.raises(MalformedMessage, match="coin"):
        graph.coin_of(b"")
    with pytest.raises(MalformedMessage, match="once"):
        graph.neighbours((*names_of(5), names_of(1)[0]), coin_of(1), degree=2)


def test_the_coin_is_bound_to_all_of_the_transcript() -> None:
    one = graph.coin_of(bytes(32))
    assert one != bytes(32)
    assert len({graph.coin_of(bit.to_bytes(32)) for bit in range(256)}) == 256


def test_connection_is_that_of_the_definition() -> None:
    names = names_of(10)
    got = graph.neighbours(names, coin_of(5), degree=2)  # one circle
    assert graph.is_connected(got, ())
    assert graph.is_connected(got, names[:1])
    for gone in itertools.combinations(names, 2):
        left = set(names) - set(gone)
        assert graph.is_connected(got, left) == (gone[1] in got[gone[0]])


def test_survivors_in_parts_are_refused() -> None:
    got = graph.neighbours(names_of(10), coin_of(5), degree=2)
    a = names_of(10)[0]
    b = next(name for name in got if name != a and name not in got[a])
    left = [name for name in got if name not in {a, b}]
    with pytest.raises(TooFewParticipants, match="not connected"):
        graph.check_survivors(got, left, threshold=1)
    graph.check_survivors(got, [name for name in got if name != a], threshold=2)


def test_a_neighbourhood_below_its_threshold_is_refused_and_named() -> None:
    names = names_of(40)
    got = graph.neighbours(names, coin_of(5), degree=12)
    t = graph.share_threshold(12)
    assert t == 9
    spare = 13 - t
    me = names[7]
    left = [name for name in names if name not in got[me][:spare]]
    graph.check_survivors(got, left, threshold=t)
    left = [name for name in names if name not in got[me][: spare + 1]]
    with pytest.raises(TooFewParticipants, match=r"8 of the neighbourhood of o-\d+"):
        graph.check_survivors(got, left, threshold=t)


def test_no_dropouts_that_pass_the_check_split_the_survivors() -> None:
    # Whoever chooses them: blocks of the circle, cut out where they hurt most.
    names, degree = names_of(40), 8
    t = graph.share_threshold(degree)
    dice = generator(1)
    for seed in range(300):
        got = graph.neighbours(names, coin_of(seed), degree=degree)
        gone = set()
        for centre in dice.choice(len(names), 2, replace=False):
            near = got[names[centre]]
            count = dice.integers(1, 7)
            gone |= {near[i] for i in dice.choice(len(near), count, replace=False)}
        left = [name for name in names if name not in gone]
        try:
            graph.check_survivors(got, left, threshold=t)
        except TooFewParticipants:
            continue
        assert graph.is_connected(got, left)


def test_the_share_threshold_is_above_two_thirds() -> None:
    for degree in range(2, 200):
        t = graph.share_threshold(degree)
        assert 3 * t > 2 * (degree + 1) >= 3 * (t - 1)


def holds(bound: Fraction, bits: int) -> bool:
    return bound * 2**bits <= 1


@pytest.mark.parametrize(
    ("n", "colluders", "dropouts"),
    [(33, 3, 3), (50, 5, 5), (100, 10, 10), (300, 15, 15), (1000, 50, 50)],
)
def test_the_degree_is_the_least_whose_bounds_hold(
    n: int, colluders: int, dropouts: int
) -> None:
    def good(degree: int) -> bool:
        return holds(graph.exposure(n, colluders, degree=degree), 88) and holds(
            graph.unluckiness(n, dropouts, degree=degree), 20
        )

    degree = graph.degree_for(n, colluders, dropouts)
    assert degree < n - 1
    assert good(degree)
    assert not any(good(less) for less in range(2, degree, 2))


def test_few_organisations_and_hopeless_cases_get_the_complete_graph() -> None:
    for n in (1, 2, 3, 10, 32):
        assert graph.degree_for(n, 0, 0) == max(n - 1, 1)
    assert graph.degree_for(33, 0, 0) < 32
    assert graph.degree_for(50, 24, 3) == 49
    for bad in ((0, 0, 0), (5, 5, 0), (5, -1, 0), (5, 0, 5), (5, 0, -1)):
        with pytest.raises(InvalidPlan):
            graph.degree_for(*bad)


def test_more_security_is_never_had_from_a_smaller_degree() -> None:
    degrees = [graph.degree_for(200, c, 10) for c in range(0, 60, 6)]
    assert degrees == sorted(degrees)
    bits = [graph.degree_for(500, 40, 10, failure_bits=b) for b in (20, 40, 88, 120)]
    assert bits == sorted(bits)
    assert bits[0] < bits[-1]


@pytest.mark.parametrize(
    ("n", "colluders", "degree", "is_harmed"),
    [
        (8, 2, 2, True),
        (10, 1, 4, False),
        (9, 3, 4, True),
        (10, 4, 4, True),
        (9, 1, 6, False),
        (11, 5, 6, True),
        (11, 3, 8, False),
    ],
)
def test_harm_needs_what_the_bound_counts(
    n: int, colluders: int, degree: int, *, is_harmed: bool
) -> None:
    # Every placing of the colluders on the circle; the orchestrator then drops whomever
    # the checks allow. Harm happens in no placing that the bound does not count.
    circle, half, t = range(n), degree // 2, graph.share_threshold(degree)
    near = {u: {(u + s) % n for s in range(-half, half + 1) if s} for u in circle}
    windows = [{(u + s) % n for s in range(1, half + 1)} for u in circle]
    among = half - (degree + 1 - t)
    harmed = counted = 0
    for chosen in itertools.combinations(circle, colluders):
        bad = set(chosen)
        both = any(len(near[u] & bad) >= t for u in set(circle) - bad)
        harm = both or any_split(near, set(circle) - bad, bad, t)
        parts = any(
            not one & two and len(bad & (one | two)) >= 2 * among
            for one, two in itertools.combinations(windows, 2)
        )
        assert both or parts or not harm
        harmed += harm
        counted += both or parts
    bound = graph.exposure(n, colluders, degree=degree)
    assert Fraction(counted, math.comb(n, colluders)) <= bound
    assert (harmed > 0) == is_harmed == (bound > 0)


def any_split(
    near: dict[int, set[int]], honest: set[int], bad: set[int], t: int
) -> bool:
    """Whether some drop-outs pass every check and part the honest survivors."""
    for count in range(len(honest) - 1):
        for gone in itertools.combinations(sorted(honest), count):
            alive = (honest | bad) - set(gone)
            if any(1 + len(near[u] & alive) < t for u in alive):
                continue
            left = honest - set(gone)
            reached = [left.pop()]
            while reached:
                found = near[reached.pop()] & left
                left -= found
                reached.extend(found)
            if left:
                return True
    return False


def test_the_tail_is_that_of_counting() -> None:
    for population, marked, drawn in ((7, 3, 4), (6, 6, 2), (5, 0, 3), (8, 5, 5)):
        for least in range(-1, drawn + 2):
            hits = [
                len(set(chosen) & set(range(marked))) >= least
                for chosen in itertools.combinations(range(population), drawn)
            ]
            want = Fraction(sum(hits), len(hits))
            got = graph._tail(population, marked, drawn, at_least=least)
            assert got == want


# The protocol on a graph.


@pytest.fixture(scope="module")
def sparse(play_round: Callable):
    return play_round(
        N, threshold=25, degree=DEGREE, silent_at_shares=[3], silent_at_vectors=[9, 30]
    )


def open_(played, partition: Partition | None = None, answers=None) -> np.ndarray:
    recovery = server.recover(
        played.roster, partition or played.partition, answers or played.answers
    )
    return server.open_sum(
        played.masked.items(),
        size=played.plain_sum.size,
        roster=played.roster,
        partition=partition or played.partition,
        revealed=recovery.revealed,
        mails=played.mails,
    )


def test_a_sparse_round_opens_the_exact_sum(sparse) -> None:
    assert np.array_equal(open_(sparse), sparse.plain_sum)
    near = sparse.roster.neighbours
    assert not sparse.roster.is_complete
    for name, mails in itertools.groupby(sparse.mails, key=lambda mail: mail.sender):
        assert tuple(mail.recipient for mail in mails) == near[name]
    for name, opened in sparse.opened.items():
        silent = sparse.names[3]
        assert set(opened.salts) == set(near[name]) - {silent}


def test_up_to_32_the_graph_is_complete_whatever_the_degree(play_round) -> None:
    one = play_round(5, threshold=4, silent_at_vectors=[4])
    two = play_round(5, threshold=4, silent_at_vectors=[4], degree=2)
    assert two.roster.is_complete
    assert {n: v.tolist() for n, v in one.masked.items()} == {
        n: v.tolist() for n, v in two.masked.items()
    }
    assert one.answers == two.answers
    with pytest.raises(InvalidPlan, match="even"):
        dataclasses.replace(one.roster, degree=3)


def test_shares_are_of_the_neighbourhoods_threshold(sparse) -> None:
    roster = sparse.roster
    me = sparse.names[0]
    assert roster.share_threshold == graph.share_threshold(DEGREE) == 9
    holders = roster.holders(me)
    assert set(sparse.members[me].shares) == set(holders)
    assert len(holders) == DEGREE + 1
    few = {h: sparse.answers[h] for h in holders[:8] if h in sparse.answers}
    answers = {
        name: answer
        for name, answer in sparse.answers.items()
        if name not in holders or name in few
    }
    with pytest.raises(TooFewParticipants, match=r"answers for org-\d+, 9 are needed"):
        server.recover(roster, sparse.partition, answers)


def test_mail_from_outside_the_neighbourhood_is_refused(sparse) -> None:
    me = sparse.names[0]
    near = sparse.roster.neighbours[me]
    far = next(v for v in sparse.names if v != me and v not in near)
    mail = next(m for m in sparse.mails if m.recipient == me)
    forged = dataclasses.replace(mail, sender=far)
    with pytest.raises(UnknownSender, match="no peer"):
        client.open_mail(sparse.members[me], [forged])


def test_too_little_mail_of_a_neighbourhood_ends_the_round(sparse) -> None:
    me = sparse.names[0]
    mails = [mail for mail in sparse.mails if mail.recipient == me]
    client.open_mail(sparse.members[me], mails[:8])
    with pytest.raises(TooFewParticipants, match="8 participants arrived, 9"):
        client.open_mail(sparse.members[me], mails[:7])


def ask(sparse, name: OrgId, partition: Partition) -> Answer:
    return client.answer_unmasking(sparse.members[name], sparse.opened[name], partition)


def test_an_answer_is_one_share_per_holder(sparse) -> None:
    me = sparse.names[0]
    answer = ask(sparse, me, sparse.partition)
    holders = set(sparse.roster.holders(me))
    assert set(answer.self_shares) == holders & set(sparse.partition.survivors)
    assert set(answer.key_shares) == holders & set(sparse.partition.dropouts)
    server.check_answer(answer, sparse.partition, holders=holders)
    with pytest.raises(InvalidInput):
        server.check_answer(answer, sparse.partition)
    other = next(n for n in sparse.answers if n != me)
    crossed = {**sparse.answers, me: sparse.answers[other]}
    with pytest.raises(InvalidInput, match=me):
        server.recover(sparse.roster, sparse.partition, crossed)


def test_a_client_refuses_when_any_neighbourhood_is_too_small(sparse) -> None:
    # The one that is asked is far from the victim whose neighbours are dropped.
    near = sparse.roster.neighbours
    victim = sparse.names[0]
    gone = {v for v in near[victim] if v in sparse.partition.survivors}
    asked = next(
        v
        for v in sparse.partition.survivors
        if v != victim
        and v not in gone
        and len(set(near[v]) & gone) <= 1
        and sparse.names[3] not in near[v]
    )
    partition = Partition.of(
        set(sparse.partition.survivors) - set(sorted(gone)[:7]),
        participants=sparse.partition.participants,
    )
    assert len(partition.survivors) >= 25
    with pytest.raises(TooFewParticipants, match=f"neighbourhood of {victim}|of org-"):
        ask(sparse, asked, partition)
    with pytest.raises(TooFewParticipants):
        open_(sparse, partition=partition)


def test_a_client_refuses_survivors_in_parts(sparse, monkeypatch) -> None:
    # At our thresholds a small neighbourhood shows first; parts are looked for anyway.
    monkeypatch.setattr(graph, "share_threshold", lambda _: 1)
    near, names = sparse.roster.neighbours, sparse.names
    victim = next(
        name
        for name in names
        if name in sparse.partition.survivors and names[3] not in near[name]
    )
    partition = Partition.of(
        set(sparse.partition.survivors) - set(near[victim]),
        participants=sparse.partition.participants,
    )
    roster = dataclasses.replace(sparse.roster, threshold=19)
    member = dataclasses.replace(sparse.members[victim], roster=roster)
    assert len(partition.survivors) >= 19
    with pytest.raises(TooFewParticipants, match="not connected"):
        client.answer_unmasking(member, sparse.opened[victim], partition)


def test_a_partition_that_contradicts_our_neighbours_is_refused(sparse) -> None:
    me = sparse.names[0]
    gone = next(v for v in sparse.roster.neighbours[me] if v in sparse.opened)
    names = [v for v in sparse.partition.participants if v != gone]
    forgotten = Partition.of(
        [v for v in sparse.partition.survivors if v != gone], participants=names
    )
    with pytest.raises(InvalidInput, match="whose shares arrived"):
        ask(sparse, me, forgotten)
    stranger = dataclasses.replace(
        sparse.partition, dropouts=(*sparse.partition.dropouts, OrgId("x"))
    )
    with pytest.raises(InvalidInput, match="whose shares arrived"):
        ask(sparse, me, stranger)


def test_a_liar_in_a_neighbourhood_is_named(sparse) -> None:
    liar = sparse.partition.survivors[5]
    answer = sparse.answers[liar]
    wrong = {
        name: (int.from_bytes(share) ^ 1).to_bytes(33)
        for name, share in answer.self_shares.items()
    }
    answers = {
        **sparse.answers,
        liar: Answer(self_shares=wrong, key_shares=answer.key_shares),
    }
    recovery = server.recover(sparse.roster, sparse.partition, answers)
    assert recovery.liars == (liar,)
    assert np.array_equal(open_(sparse, answers=answers), sparse.plain_sum)


def test_no_pair_mask_is_made_outside_the_neighbourhood(sparse) -> None:
    # A far organisation's mask key is never agreed with: its secret is in no channel.
    me = sparse.names[0]
    near = set(sparse.roster.neighbours[me])
    member = sparse.members[me]
    assert set(member.pairs) == set(member.channels) == near
    far = next(v for v in sparse.names if v != me and v not in near)
    with pytest.raises(KeyError):
        member.pairs[far]
    assert agree(
        sparse.secrets[me].mask.pair, sparse.roster.keys[far].mask.x25519
    ) not in set(member.pairs.values())


def test_tampered_salts_of_a_dropout_are_found_on_a_graph(sparse) -> None:
    dropout = sparse.partition.dropouts[0]
    near = sparse.roster.neighbours[dropout]
    other = next(v for v in near if v in sparse.partition.survivors and dropout < v)

    def bad(mail: Mail) -> Mail:
        if (mail.sender, mail.recipient) != (dropout, other):
            return mail
        salt = dataclasses.replace(mail.salt, commitment=bytes(32))
        return dataclasses.replace(mail, salt=salt)

    recovery = server.recover(sparse.roster, sparse.partition, sparse.answers)
    with pytest.raises(InvalidShare, match=f"{dropout} sent {other}"):
        server.open_sum(
            sparse.masked.items(),
            size=sparse.plain_sum.size,
            roster=sparse.roster,
            partition=sparse.partition,
            revealed=recovery.revealed,
            mails=[bad(mail) for mail in sparse.mails],
        )


@pytest.mark.soak
def test_a_thousand_organisations(play_round: Callable) -> None:
    degree = graph.degree_for(1000, 20, 20)
    played = play_round(
        1000, threshold=667, degree=degree, silent_at_vectors=[5, 500, 999]
    )
    assert np.array_equal(open_(played), played.plain_sum)
