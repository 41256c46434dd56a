# SPDX-License-Identifier: Apache-2.0
"""The attack on the graph of neighbours, which exists above 32 organisations only.

So many agents over HTTP would take minutes: this one script plays the messages through
the library that the agents answer with (secagg/client.py).
"""

from __future__ import annotations

import numpy as np
from tests.attacks.malicious_orchestrator.attack import Attack
from tests.attacks.malicious_orchestrator.known_rules import (
    CONNECTED,
    NEIGHBOURHOOD_THRESHOLD,
)
from tests.attacks.malicious_orchestrator.loot import NOTHING, Loot
from tests.attacks.malicious_orchestrator.stage import Stage

from fedxdr.core.errors import FedxdrError
from fedxdr.core.ids import OrgId
from fedxdr.core.randomness import generator
from fedxdr.crypto.exchange import agree
from fedxdr.secagg import client, masking, shamir
from fedxdr.secagg.derivation import MaskKey, derive_secrets
from fedxdr.secagg.stages import Partition, Roster

_N, _DEGREE, _THRESHOLD, _SIZE = 36, 4, 25, 50


def cut_off(stage: Stage) -> Loot:
    """All neighbours of one organisation are said to have dropped out.

    Its vector is then a sum of its own: every mask in it is one of a drop-out.
    """
    names = [OrgId(f"org-{place:02}") for place in range(_N)]
    secrets = {name: derive_secrets(stage.entropy.draw(32)) for name in names}
    roster = Roster(
        keys={name: secrets[name].round_keys for name in names},
        transcript=stage.entropy.draw(32),
        threshold=_THRESHOLD,
        min_survivors=3,
        degree=_DEGREE,
    )
    victim = names[0]
    gone = roster.neighbours[victim]
    # whoever holds a share of a drop-out, and the victim
    asked = sorted({victim, *(v for name in gone for v in roster.neighbours[name])})
    members = {
        name: client.join(secrets[name], roster=roster, me=name) for name in names
    }
    mail = [m for member in members.values() for m in client.make_mail(member)]
    opened = {
        name: client.open_mail(members[name], [m for m in mail if m.recipient == name])
        for name in asked
    }
    plain = generator(1).integers(0, 2**20, size=_SIZE).astype(np.uint32)
    vector = client.mask(members[victim], opened[victim], plain)
    partition = Partition.of(set(names) - set(gone), participants=names)
    answers = {}
    for name in asked:
        if name in gone:
            continue
        try:
            answers[name] = client.answer_unmasking(
                members[name], opened[name], partition
            )
        except FedxdrError as error:
            stage.refusals.append((name, str(error)))

    def secret(owner: OrgId, kind: str) -> bytes | None:
        shares = {
            roster.points[name]: getattr(answer, kind)[owner]
            for name, answer in answers.items()
            if owner in getattr(answer, kind)
        }
        chosen = dict(sorted(shares.items())[: roster.share_threshold])
        return shamir.combine(chosen) if len(chosen) == roster.share_threshold else None

    own = secret(victim, "self_shares")
    masters = {name: secret(name, "key_shares") for name in gone}
    if own is None or None in masters.values():
        return NOTHING
    transcript = roster.transcript
    add, subtract = [], [masking.self_mask_seed(own, transcript=transcript)]
    for name, master in masters.items():
        # the victim's name is the lowest: its salts went to the others
        key = MaskKey.derive(master or b"")
        agreed = agree(key.pair, roster.keys[victim].mask.x25519)
        (sent,) = [m for m in mail if (m.sender, m.recipient) == (victim, name)]
        subtract.append(
            masking.pair_mask_seed(
                agreed,
                key.open_salt(agreed, sent, transcript=transcript),
                low=victim,
                high=name,
                transcript=transcript,
            )
        )
    masking.apply(vector, add=add, subtract=subtract)
    return Loot(
        won=bool((vector == plain).all()),
        gain=f"the vector of {victim} in the clear, {_SIZE} of {_SIZE} numbers exact: "
        "a sum of one",
    )


ATTACKS = (
    Attack(
        name="graph-disconnected",
        aim="call all neighbours of one organisation drop-outs (36 organisations, 4 "
        "neighbours each; through the library)",
        rules=(CONNECTED, NEIGHBOURHOOD_THRESHOLD),
        script=cut_off,
        stage={"n": 0},
    ),
)
