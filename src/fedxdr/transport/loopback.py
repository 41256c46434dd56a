# SPDX-License-Identifier: Apache-2.0
"""A link to an orchestrator in the same process, for simulations and tests.

It carries exactly the bytes that HTTP would; only the network is missing.
"""

from __future__ import annotations

from fedxdr.core import canonical
from fedxdr.core.ids import Digest, OrgId, RoundId
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation import wire
from fedxdr.federation.phases import Kind
from fedxdr.federation.sessions import Step
from fedxdr.ledger.block import SignedBlock
from fedxdr.parties.changes import ProposedChange
from fedxdr.parties.orchestrator import Orchestrator
from fedxdr.parties.ports import Standing
from fedxdr.parties.testimony import Heard, Testimony


class Loopback:
    """Port ``Link`` of one organisation.

    Args:
        orchestrator: the other end.
        org: whose link this is; the request signature of HTTP would say so.
    """

    def __init__(self, orchestrator: Orchestrator, org: OrgId) -> None:
        self._orchestrator = orchestrator
        self._org = org

    def standing(self, *, known: Standing | None, wait_s: float) -> Standing:
        """Return the standing at once; in one process nothing changes by waiting."""
        del known, wait_s
        return self._orchestrator.standing()

    def announcement(self, round_id: RoundId) -> Envelope:
        """Return the signed announcement of a round."""
        return self._orchestrator.announcement(round_id)

    def fetch(self, round_id: RoundId, step: Step) -> bytes:
        """Return what the orchestrator has for a step of this organisation."""
        return self._orchestrator.fetch(round_id, step, self._org)

    def send(self, round_id: RoundId, step: Step, body: bytes) -> None:
        """Deliver the message of a step."""
        self._orchestrator.receive(round_id, Kind(step), self._org, body)

    def evidence(self, round_id: RoundId) -> bytes:
        """Return what a member needs to replay a round."""
        return wire.pack_evidence(self._orchestrator.evidence(round_id))

    def contribution(self, round_id: RoundId, digest: Digest) -> bytes:
        """Return the protected vector of a contribution, for replay."""
        return self._orchestrator.vector(round_id, digest)

    def checkpoint(self, size: int | None = None) -> bytes:
        """Return the signed head over the first blocks, by default the newest."""
        heads = self._orchestrator.heads
        return heads.newest() if size is None else heads.at(size)

    def cosign(self, size: int, lines: bytes) -> None:
        """Deliver our two signature lines on a head."""
        self._orchestrator.cosign(size, self._org, lines)

    def changes(self) -> list[ProposedChange]:
        """Return the changes that wait for approvals."""
        return self._orchestrator.governance.proposals()

    def approve(self, digest: Digest, approval: Envelope) -> None:
        """Deliver our approval of a change."""
        self._orchestrator.approve(digest, self._org, approval)

    def blocks(self, *, begin: int, end: int) -> list[SignedBlock]:
        """Return blocks with heights [begin, end)."""
        return self._orchestrator.recorder.blocks(begin=begin, end=end)

    def model(self, digest: Digest) -> bytes:
        """Return a model's file."""
        return self._orchestrator.blobs.get(digest)

    def testify(self, said: Testimony) -> Heard:
        """Tell what we saw, through the form that travels."""
        value = canonical.parse_jcs(canonical.jcs(said.to_value()))
        return self._orchestrator.testify(self._org, Testimony.from_value(value))

    def give_model(self, file: bytes) -> None:
        """Hand over a model's file that is lacking."""
        self._orchestrator.give_model(self._org, file)
