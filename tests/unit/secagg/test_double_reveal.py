# SPDX-License-Identifier: Apache-2.0
"""Both kinds of share for one organisation: asked for in every way, never given.

The same questions that Flower's client answers (tests/attacks/flower_double_reveal.py).
Three barriers stand one behind the other; each holds with those before it taken away.
"""

from __future__ import annotations

import pytest

from fedxdr.core import canonical
from fedxdr.core.errors import AlreadyAnswered, InvalidInput
from fedxdr.core.ids import OrgId
from fedxdr.secagg import client
from fedxdr.secagg.stages import Answer, Partition


def forced(survivors: tuple[OrgId, ...], dropouts: tuple[OrgId, ...]) -> Partition:
    """Return a partition that its own check would refuse."""
    partition = Partition(survivors=survivors)
    object.__setattr__(partition, "dropouts", dropouts)
    return partition


def ask(five, partition: Partition, **more: object) -> Answer:
    me = five.names[0]
    return client.answer_unmasking(five.members[me], five.opened[me], partition, **more)


def test_a_message_that_lists_one_organisation_on_both_sides_names_it(five) -> None:
    names = list(five.names)
    wire = canonical.jcs({"survivors": names, "dropouts": [names[2]]})
    with pytest.raises(InvalidInput, match=f"{names[2]} cannot be survivor and drop"):
        canonical.decode(wire, Partition)


def test_past_the_messages_check_the_client_refuses(five) -> None:
    names = tuple(five.names)
    both = forced(names, (names[2],))
    with pytest.raises(InvalidInput, match="whose shares arrived"):
        ask(five, both)


def test_past_the_client_the_answer_cannot_be_built(five) -> None:
    name = five.names[2]
    held = five.opened[five.names[0]].held[name]
    with pytest.raises(InvalidInput, match="both shares of one peer"):
        Answer(self_shares={name: held.self_share}, key_shares={name: held.key_share})


def test_two_messages_and_a_restart_between_do_not_help(five) -> None:
    names = tuple(five.names)
    everyone = Partition(survivors=names)
    without = Partition(
        survivors=tuple(n for n in names if n != names[2]), dropouts=(names[2],)
    )
    assert names[2] in ask(five, everyone).self_shares
    assert names[2] in ask(five, without).key_shares  # had it been asked first
    # What was stored before the first answer was sent is read again after the restart.
    stored = canonical.decode(canonical.encode(everyone), Partition)
    with pytest.raises(AlreadyAnswered):
        ask(five, without, answered=stored)


def test_neither_does_a_sparse_graph(play_round) -> None:
    played = play_round(34, threshold=23, degree=8)
    me = played.names[0]
    victim = played.roster.neighbours[me][0]
    both = forced(tuple(played.names), (victim,))
    with pytest.raises(InvalidInput, match="whose shares arrived"):
        client.answer_unmasking(played.members[me], played.opened[me], both)
