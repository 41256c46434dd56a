# SPDX-License-Identifier: Apache-2.0
"""One probe on two secure aggregations: both kinds of share for one participant.

``python -m benchmarks.double_reveal``

A server that gets, for one participant, a threshold of shares of its self mask *and* a
threshold of shares of its mask key takes off all its masks and reads its update. The
probe asks three clients for both in one message: ours (``fedxdr.secagg.client``) and
Flower's (tests/attacks/flower_double_reveal.py, its own client mod). Ours is asked in
three further ways: past the message's own check, in two messages, and in two messages
with a restart between them.

Prints one JSON line: for ours, each way with the code and the words of the refusal; for
Flower, whether it answered and whether the update was read. Where flwr is not installed
``peer`` is null and ``reason`` says so.
"""

from __future__ import annotations

import hashlib
import json
import subprocess  # the peer's program runs by itself; arguments are our own
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.measure import commit, machine, show
from fedxdr.core import canonical
from fedxdr.core.errors import FedxdrError
from fedxdr.core.ids import OrgId, org_id
from fedxdr.core.randomness import SeededEntropy
from fedxdr.secagg import client
from fedxdr.secagg.derivation import derive_secrets
from fedxdr.secagg.stages import Answer, Mail, Partition, Roster

_PEER = Path(__file__).resolve().parent.parent / "tests/attacks/flower_double_reveal.py"
_SEED = 1


class _Asked:
    """One of three organisations in a round whose vectors have been sent.

    Attributes:
        names: all three; the second is the victim.
    """

    def __init__(self) -> None:
        entropy = SeededEntropy(_SEED)
        self.names = tuple(org_id(f"org-{letter}") for letter in "abc")
        self._entropy = {name: entropy.draw(32) for name in self.names}
        self._mails: list[Mail] = []
        members = {name: self._join(name) for name in self.names}
        for member in members.values():
            self._mails += client.make_mail(member)
        for name in self.names:
            vector = np.arange(1000, dtype=np.uint32)
            client.mask(members[name], self._open(members[name]), vector)

    def answer(self, partition: Partition, *, answered: Partition | None) -> Answer:
        """Ask the first organisation, started anew from what it had stored."""
        member = self._join(self.names[0])
        return client.answer_unmasking(
            member, self._open(member), partition, answered=answered
        )

    def _join(self, me: OrgId) -> client.Membership:
        secrets = {name: derive_secrets(seed) for name, seed in self._entropy.items()}
        roster = Roster(
            keys={name: secrets[name].round_keys for name in self.names},
            transcript=hashlib.sha256(b"plan, round and parent stand here").digest(),
            threshold=2,
            min_survivors=2,
        )
        return client.join(secrets[me], roster=roster, me=me)

    def _open(self, member: client.Membership) -> client.OpenedMail:
        inbox = [mail for mail in self._mails if mail.recipient == member.me]
        return client.open_mail(member, inbox)


def ours() -> dict[str, object]:
    """Return how each way of asking ended."""
    asked = _Asked()
    a, b, c = asked.names
    everyone = Partition(survivors=(a, b, c))
    without = Partition(survivors=(a, c), dropouts=(b,))
    wire = canonical.jcs({"survivors": [a, b, c], "dropouts": [b]})

    def forced() -> Answer:
        both = Partition(survivors=(a, b, c))
        object.__setattr__(both, "dropouts", (b,))
        return asked.answer(both, answered=None)

    ways: dict[str, Callable[[], Answer]] = {
        "one message": lambda: asked.answer(
            canonical.decode(wire, Partition), answered=None
        ),
        "one message, its own check left out": forced,
        "two messages": lambda: asked.answer(without, answered=everyone),
        "two messages, a restart between": lambda: asked.answer(
            canonical.decode(canonical.encode(without), Partition),
            answered=canonical.decode(canonical.encode(everyone), Partition),
        ),
    }
    honest = asked.answer(everyone, answered=None)
    if b not in honest.self_shares:
        raise SystemExit("the probe is broken: an honest question has no answer")
    results: list[dict[str, object]] = []
    for way, ask in ways.items():
        try:
            answer = ask()
        except FedxdrError as error:
            refusal = {"refusal": error.code, "words": str(error)}
            results.append({"way": way, "answered": False, **refusal})
        else:
            both = b in answer.self_shares and b in answer.key_shares
            results.append({"way": way, "answered": True, "both_kinds": both})
    read = any(result.get("both_kinds", False) for result in results)
    return {"name": "fedxdr", "update_read": read, "attempts": results}


def flower() -> tuple[dict[str, object] | None, str]:
    """Return what Flower's clients did, or None and why there is nothing to say."""
    if find_spec("flwr") is None:
        return None, "flwr is not installed; `make bench` builds a place that has it"
    done = subprocess.run(
        [sys.executable, str(_PEER)], capture_output=True, check=False, text=True
    )
    if done.returncode:
        return None, f"the probe did not run: {done.stderr.strip()[-500:]}"
    value: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return value, ""


def main() -> int:
    """Run the probe on both and print one JSON line; 1 if ours answered."""
    mine = ours()
    peer, reason = flower()
    result: dict[str, object] = {
        "name": "double-reveal",
        "machine": machine(),
        "commit": commit(),
        "ours": mine,
        "peer": peer,
    }
    show(result | ({"reason": reason} if reason else {}))
    attempts = mine["attempts"]
    refused = isinstance(attempts, list) and not any(a["answered"] for a in attempts)
    return 0 if refused else 1


if __name__ == "__main__":
    sys.exit(main())
