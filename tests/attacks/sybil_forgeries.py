# SPDX-License-Identifier: Apache-2.0
"""Histories in which an operator enrols its own members past its own rules.

Everything in them is good but for the approvals: enrolments and keys, numbers, links,
the head with the log's true signatures and those of every Sybil.

Not here: the front door, and what comes of it (sybil.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from fedxdr.core.ids import OrgId
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import block as blocks
from fedxdr.ledger import entries, heads, note, statements
from fedxdr.ledger.block import SignedBlock
from fedxdr.ledger.entries import MemberEnrolled
from fedxdr.ledger.note_form import Note
from fedxdr.ledger.statements import ApprovalStatement
from fedxdr.parties import consent
from fedxdr.parties.enrolment import Application
from fedxdr.simulation.federation import SimulatedFederation
from fedxdr.transport.loopback import Loopback


class Forged:
    """Blocks that the operator wrote past its own rules, and heads over them.

    Args:
        fed: the true federation, whose history comes first.
        honest: its members.
        keys: of the operator's own identities.
        application: makes a good application of one of these.
    """

    def __init__(
        self,
        fed: SimulatedFederation,
        *,
        honest: Sequence[OrgId],
        keys: Mapping[OrgId, IdentityKey],
        application: Callable[[OrgId], Application],
    ) -> None:
        self.fed, self.honest, self.keys = fed, honest, keys
        self.application = application
        recorder = fed.recorder
        self.blocks: list[SignedBlock] = recorder.blocks(begin=0, end=recorder.size())
        self.ledger = recorder.in_force.genesis_hash
        self.changes = recorder.in_force.changes

    def head(self, size: int) -> bytes:
        """Return the head over the first blocks, cosigned by all Sybils."""
        fed = self.fed
        head = heads.sign(
            fed.identity,
            origin=fed.recorder.in_force.log.origin,
            size=size,
            root=heads.root_of([signed.block.hash for signed in self.blocks[:size]]),
            at=fed.clock.now(),
        )
        found = note.parse(head)
        lines = [
            line
            for org, key in self.keys.items()
            for line in heads.cosign(head, key, org=org, at=fed.clock.now())
        ]
        return Note(text=found.text, signatures=(*found.signatures, *lines)).to_bytes()

    def enrol(
        self,
        sybil: OrgId,
        approvals: Callable[[MemberEnrolled], list[Envelope]],
    ) -> None:
        """Write a block that enrols one of its own."""
        application = self.application(sybil)
        stated = statements.read(application.enrolment)
        self.changes += 1
        entry = MemberEnrolled(
            change=self.changes,
            org_id=stated.org,
            name=stated.name,
            keys=stated.keys,
            data_sources=stated.data_sources,
            invitation_digest=stated.invitation_digest,
        )
        self.blocks.append(
            blocks.next_block(
                self.blocks[-1].block,
                entry=entry,
                timestamp=self.fed.clock.now(),
                envelopes=[application.enrolment, *approvals(entry)],
            )
        )

    def approval(self, entry: MemberEnrolled, org: OrgId, *, by: OrgId) -> Envelope:
        """Return an approval in somebody's name, signed by one of its own."""
        now = self.fed.clock.now()
        statement = ApprovalStatement(
            org=org,
            ledger=self.ledger,
            entry=entries.entry_digest(entry),
            expires=now + timedelta(days=7),
            issued_at=now,
        )
        return statements.sign(statement, self.keys[by])


def _nobody(forged: Forged) -> None:
    for sybil in forged.keys:
        forged.enrol(sybil, lambda _: [])


def _itself(forged: Forged) -> None:
    for sybil in forged.keys:
        forged.enrol(sybil, lambda entry, me=sybil: [forged.approval(entry, me, by=me)])


def _each_other(forged: Forged) -> None:
    before: list[OrgId] = []
    for sybil in forged.keys:
        forged.enrol(
            sybil,
            lambda entry: [forged.approval(entry, org, by=org) for org in before],
        )
        before.append(sybil)


def _honest_names(forged: Forged) -> None:
    for sybil in forged.keys:
        forged.enrol(
            sybil,
            lambda entry, me=sybil: [
                forged.approval(entry, org, by=me) for org in forged.honest
            ],
        )


def _approvals_of_something_else(forged: Forged) -> None:
    """What honest agents signed for a plan, beside an enrolment."""
    fed = forged.fed
    change = fed.orchestrator.propose_plan({"clip_norm": 3.0})
    now = fed.clock.now()
    signed = [
        consent.approve(
            change,
            me=org,
            identity=fed.keys[org],
            ledger=forged.ledger,
            now=now,
        )
        for org in forged.honest
    ]
    fed.orchestrator.governance.withdraw(change.digest)
    for sybil in forged.keys:
        forged.enrol(sybil, lambda _: signed)


FORGERIES: dict[str, Callable[[Forged], None]] = {
    "nobody approves": _nobody,
    "each approves itself": _itself,
    "those before approve the next": _each_other,
    "honest names, Sybil signatures": _honest_names,
    "honest approvals of something else": _approvals_of_something_else,
}


class TwoFaced(Loopback):
    """The way to an operator who shows a history of its own, once it has one."""

    shown: Forged | None = None

    def standing(self, *, known, wait_s):
        """Say that there are more blocks."""
        true = super().standing(known=known, wait_s=wait_s)
        if self.shown is None:
            return true
        height = len(self.shown.blocks) - 1
        return dataclasses.replace(true, height=height, round_id=None, phase=None)

    def checkpoint(self, size=None):
        """Return the forged head."""
        if self.shown is None:
            return super().checkpoint(size)
        return self.shown.head(size or len(self.shown.blocks))

    def blocks(self, *, begin, end):
        """Return the forged blocks."""
        if self.shown is None:
            return super().blocks(begin=begin, end=end)
        return self.shown.blocks[begin:end]
