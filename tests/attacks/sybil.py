# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.attacks.sybil``: an operator who enrols members of its own.

A federation of n honest organisations, and an operator with k identities that it made
up. It wants them to be the cohort's majority, the round's threshold and the quorum:
then a sum holds one victim among figures it knows, and every change is its own.

What it tries, with the orchestrator's true keys and the real protocol:

1. The front door: its identities apply, approve each other and cosign.
2. The back door: it writes the blocks itself, past its own rules, signs heads over them
   and shows them to every agent (``FORGERIES``).

``approving`` honest members may be careless, and approve whatever applies. The table
says how many of the k became members, and what they reach.

Not here: what Sybils learn once they are in; see ``docs/explanation/threat-model.md``.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from dataclasses import dataclass

import numpy as np
from tests.attacks.sybil_forgeries import FORGERIES, Forged, TwoFaced

from fedxdr.core.errors import FedxdrError, InvalidInput, WaitingForQuorum
from fedxdr.core.ids import OrgId, org_id
from fedxdr.core.layout import Layout, Segment
from fedxdr.core.update import Update
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation.floor import Floor
from fedxdr.federation.plan import default_threshold
from fedxdr.ledger import heads, policy
from fedxdr.parties import consent, enrolment
from fedxdr.parties.changes import ProposedChange
from fedxdr.parties.enrolment import Application
from fedxdr.parties.orchestrator import Orchestrator
from fedxdr.parties.ports import Learned
from fedxdr.simulation.federation import SimulatedFederation

LAYOUT = Layout(
    segments=(
        Segment(name="statistics.mean", shape=(1,)),
        Segment(name="weights.w", shape=(2,)),
    )
)
SERVER = "http://127.0.0.1:1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an operator reached.

    Attributes:
        honest: n.
        sybils: k, how many applied.
        approving: how many honest members approve whatever applies.
        admitted: how many of the k are members on every honest mirror.
        forgeries_taken: how many of ``FORGERIES`` any honest agent took or cosigned.
    """

    honest: int
    sybils: int
    approving: int
    admitted: int
    forgeries_taken: int

    @property
    def members(self) -> int:
        """How many members there are."""
        return self.honest + self.admitted

    @property
    def is_majority(self) -> bool:
        """Whether the Sybils are most of every cohort."""
        return 2 * self.admitted > self.members

    @property
    def is_threshold(self) -> bool:
        """Whether they can sign a survivor set and accept a model alone."""
        return self.admitted >= default_threshold(self.members)

    @property
    def is_quorum(self) -> bool:
        """Whether they decide every change, and cosign every head, alone."""
        return self.admitted >= policy.quorum(self.members)


class Ones:
    """The data of an organisation that has nothing to tell."""

    def samples(self) -> int:
        """Return how many examples there are."""
        return 8

    def learn(self, *, task, parent, plan, number) -> Learned:
        """Return ones."""
        del parent, plan, number
        size, metrics = (
            (1, {}) if task == "statistics" else (2, {"held_out_accuracy": 1})
        )
        values = np.ones(size, dtype=np.float32)
        return Learned(update=Update(values=values, samples=8), metrics=metrics)


class Operator:
    """Who keeps the ledger, and has k identities more than it should.

    Args:
        honest: n.
        sybils: k.
        seed: of every key.
    """

    def __init__(self, *, honest: int, sybils: int, seed: int = 0) -> None:
        self.honest = [org_id(f"org-{place:02}") for place in range(honest)]
        self.links: dict[OrgId, TwoFaced] = {}
        self.fed = SimulatedFederation(
            {org: Ones() for org in self.honest},
            plan={"layout": LAYOUT, "architecture": {"kind": "test"}},
            initial=np.zeros(LAYOUT.size, dtype=np.float32),
            seed=seed,
            link_of=self._link,
        )
        self.keys = {
            org_id(f"sybil-{place:02}"): IdentityKey.generate(self.fed.entropy)
            for place in range(sybils)
        }
        self.fed.step()

    def _link(self, orchestrator: Orchestrator, org: OrgId) -> TwoFaced:
        self.links[org] = TwoFaced(orchestrator, org)
        return self.links[org]

    @property
    def members(self) -> tuple[OrgId, ...]:
        """The members on the operator's ledger."""
        return self.fed.recorder.in_force.cohort

    @property
    def inside(self) -> tuple[OrgId, ...]:
        """Its own identities among them."""
        return tuple(org for org in self.members if org in self.keys)

    @property
    def admitted(self) -> int:
        """How many of its own are members on any honest mirror."""
        mirrors = (agent.mirror for agent in self.fed.participants.values())
        return max(
            sum(org in self.keys for org in mirror.in_force.members)
            for mirror in mirrors
        )

    def application(self, sybil: OrgId) -> Application:
        """Return a good application of one of its own."""
        token = self.fed.registrar.invite(sybil, server=SERVER, lifetime_s=3600)
        return enrolment.apply_to_join(
            token,
            orchestrator=self.fed.identity.public,
            key=self.keys[sybil],
            name=sybil,
            data_sources=(),
            now=self.fed.clock.now(),
        )

    def approve(self, change: ProposedChange, org: OrgId) -> None:
        """Hand in an approval by whoever it has the key of, if it counts."""
        if self.fed.orchestrator.governance.proposal(change.digest).outcome:
            return
        key = self.keys.get(org) or self.fed.keys[org]
        envelope = consent.approve(
            change,
            me=org,
            identity=key,
            ledger=self.fed.recorder.in_force.genesis_hash,
            now=self.fed.clock.now(),
        )
        self.fed.orchestrator.approve(change.digest, org, envelope)

    def cosign(self) -> None:
        """Let everybody cosign the newest head: agents as they do, Sybils blindly."""
        self.fed.step()
        size = self.fed.recorder.size()
        counted = self.fed.recorder.signers_at(size).cosigners
        for org in self.inside:
            if org not in counted:
                continue
            head = self.fed.orchestrator.heads.at(size)
            lines = heads.cosign(head, self.keys[org], org=org, at=self.fed.clock.now())
            body = "".join(line.line() for line in lines).encode()
            self.fed.orchestrator.cosign(size, org, body)

    def walk_in(self, sybil: OrgId, *, approving: int) -> bool:
        """Let one apply, and all approve who would; return whether it is a member."""
        self.fed.registrar.enrol(self.application(sybil))
        self.cosign()
        change = self.fed.orchestrator.governance.applications()[sybil]
        # its own first, the applicant too; then whoever is careless
        for org in (*self.inside, sybil, *self.honest[:approving]):
            try:
                self.approve(change, org)
            except InvalidInput:
                continue
        self.cosign()
        is_in = sybil in self.members
        if not is_in:
            self.fed.orchestrator.governance.withdraw(change.digest)
        return is_in


def forge(operator: Operator, name: str) -> bool:
    """Show a forged history to every agent; return whether any took or cosigned it."""
    forged = Forged(
        operator.fed,
        honest=operator.honest,
        keys=operator.keys,
        application=operator.application,
    )
    begin = len(forged.blocks)
    FORGERIES[name](forged)
    is_taken = False
    for org, link in operator.links.items():
        link.shown = forged
        agent = operator.fed.participants[org]
        # refused, as it should be; what it holds now is looked at below
        with contextlib.suppress(FedxdrError):
            agent.step(wait_s=0)
        is_taken |= agent.mirror.size() > begin
        link.shown = None
    return is_taken


def play(*, honest: int, sybils: int, approving: int = 0) -> Outcome:
    """Return what an operator with so many identities reaches."""
    operator = Operator(honest=honest, sybils=sybils)
    for sybil in operator.keys:
        if not operator.walk_in(sybil, approving=approving):
            break
    if not operator.admitted:
        for sybil in list(operator.keys)[1:]:
            operator.walk_in(sybil, approving=approving)
    taken = 0
    if approving == 0:
        taken = sum(forge(operator, name) for name in FORGERIES)
    return Outcome(
        honest=honest,
        sybils=sybils,
        approving=approving,
        admitted=operator.admitted,
        forgeries_taken=taken,
    )


def careless_needed(honest: int, inside: int) -> int:
    """Return how many honest approvals the next Sybil takes when some are inside."""
    return max(0, policy.quorum(honest + inside) - inside)


def adopt_alone(operator: Operator, *, asked: int, floor: int) -> tuple[OrgId, ...]:
    """Adopt a plan by the Sybils alone, open a round; return which honest take part.

    Args:
        operator: with Sybils enough to decide alone.
        asked: fewest updates in a sum, as the plan has it.
        floor: fewest that every honest organisation insists on.
    """
    wishes = {"min_survivors": asked, "clip_norm": 2.0}
    for agent in operator.fed.participants.values():
        agent._floor = agent.follower._floor = Floor(min_survivors=floor)
    change = operator.fed.orchestrator.propose_plan(wishes)
    operator.cosign()
    for org in operator.inside:
        operator.approve(change, org)
    for _ in range(3):
        operator.cosign()
        try:
            operator.fed.orchestrator.start_round(wishes=wishes)
        except WaitingForQuorum:
            continue
        break
    operator.fed.step()
    sessions = {org: agent.session for org, agent in operator.fed.participants.items()}
    return tuple(org for org, session in sessions.items() if session is not None)


def main() -> None:
    """Play and print a table."""
    parser = argparse.ArgumentParser(prog="tests.attacks.sybil")
    parser.add_argument("--honest", type=int, nargs="+", default=[3, 4, 5, 7])
    options = parser.parse_args()
    say = sys.stdout.write
    say("  n   k  approving  admitted  majority  threshold  quorum  forgeries taken\n")
    for n in options.honest:
        needed = policy.quorum(n)
        rows = [(k, 0) for k in sorted({1, n - 1, n, 2 * n, 3 * n})]
        rows += [(3 * n, needed - 1), (3 * n, needed)]
        for k, approving in rows:
            found = play(honest=n, sybils=k, approving=approving)
            tried = 0 if approving else len(FORGERIES)
            say(
                f"{n:3} {k:3} {approving:10} {found.admitted:9}"
                f" {found.is_majority!s:>9} {found.is_threshold!s:>10}"
                f" {found.is_quorum!s:>7} {found.forgeries_taken:5} of {tried}\n"
            )
        alone = next(s for s in range(10 * n) if careless_needed(n, s) == 0)
        say(
            f"      the first takes {needed} of {n} honest approvals; with {alone} "
            "inside the next takes none\n"
        )


if __name__ == "__main__":
    main()
