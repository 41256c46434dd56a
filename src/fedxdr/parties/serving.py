# SPDX-License-Identifier: Apache-2.0
"""Rounds as organisations ask for them: what a mode makes of the stored messages.

Not here: taking messages and doing what is due (orchestrator.py). Nothing in this file
changes anything.
"""

from __future__ import annotations

from fedxdr.core.errors import NotFound
from fedxdr.core.ids import Digest, OrgId, RoundId
from fedxdr.federation import opening, wire
from fedxdr.federation.phases import Phase
from fedxdr.federation.rounds import Round
from fedxdr.federation.sessions import TABLE, Step
from fedxdr.parties.collecting.catalogue import mode_of
from fedxdr.parties.round_records import RoundRecords

_ORDER = {phase: place for place, phase in enumerate(Phase)}


class RoundServing(RoundRecords):
    """The orchestrator's records, and what is answered from them."""

    def fetch(self, round_id: RoundId, step: Step, org: OrgId) -> bytes:
        """Return what an organisation fetches in a step of its session.

        Raises:
            NotFound: it is not there yet, or there is no such round or step.
        """
        round_ = self.load(round_id)
        if step is Step.PROPOSAL:
            return self.proposal_envelope(round_).to_json()
        give = mode_of(round_.plan).gives.get(step)
        rows = TABLE[round_.plan.collection_mode]
        (begins,) = [row.phase for row in rows if row.step is step] or (None,)
        if give is None or begins is None or _ORDER[round_.phase] < _ORDER[begins]:
            raise NotFound(f"round {round_id} has no {step} yet")
        return give(self, round_, org)

    def evidence(self, round_id: RoundId) -> wire.Evidence:
        """Return what members need to replay a round whose sum was opened.

        Raises:
            NotFound: no such round, or its sum is not open.
        """
        round_ = self.load(round_id)
        if round_.opened is None:
            raise NotFound(f"the sum of round {round_id} is not open")
        return mode_of(round_.plan).evidence(self, round_)

    def vector(self, round_id: RoundId, digest: Digest) -> bytes:
        """Return a protected vector that members may have.

        Raises:
            NotFound: no such round, or no vector of it that may be shown now.
        """
        round_ = self.load(round_id)
        if digest not in mode_of(round_.plan).shows(self, round_):
            raise NotFound("no contribution of an opened round has that digest")
        return self.blobs.get(digest)

    def contribution_bytes(self, round_: Round) -> int:
        """Return how long the protected vector of a contribution is."""
        return mode_of(round_.plan).size_bytes(self, round_)

    def reopen(self, round_: Round) -> opening.Opened:
        """Return what the stored contributions and answers give: replay."""
        return mode_of(round_.plan).reopen(self, round_)
