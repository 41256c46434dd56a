# SPDX-License-Identifier: Apache-2.0
"""The orchestrator's ledger: heads, what members decide, the way back from a backup.

Not here: rounds (orchestrator.py); what each of the three does (heads.py,
governance.py, catching_up.py), only that they are told of each other.

Rule that always holds: whatever members send is refused while the orchestrator is set
back to a backup, but for what they saw of the ledger.
"""

from __future__ import annotations

from fedxdr.core.clock import Clock
from fedxdr.core.ids import Digest, OrgId
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey
from fedxdr.ledger import note_form
from fedxdr.parties.catching_up import CatchingUp, NeverRestored, RestoredMark
from fedxdr.parties.governance import Governance
from fedxdr.parties.heads import Heads
from fedxdr.parties.ports import (
    Blobs,
    ChangeStore,
    CheckpointStore,
    FactLog,
    Fence,
    Standing,
)
from fedxdr.parties.recording import Recorder
from fedxdr.parties.serving import RoundServing
from fedxdr.parties.testimony import Heard, Testimony


class LedgerKeeping(RoundServing):
    """The orchestrator's records, and the ledger in its hands.

    Args:
        facts: facts and messages of rounds.
        blobs: masked contributions, sums and models.
        recorder: the ledger.
        checkpoints: its signed heads.
        changes: proposed changes of members, keys and plan.
        clock: the time.
        identity: the orchestrator's key.
        fence: which heads it signed, outside of the database; None: nobody holds to
            them, as in memory.
        mark: whether it was set back to a backup.
    """

    def __init__(
        self,
        *,
        facts: FactLog,
        blobs: Blobs,
        recorder: Recorder,
        checkpoints: CheckpointStore,
        changes: ChangeStore,
        clock: Clock,
        identity: IdentityKey,
        fence: Fence | None,
        mark: RestoredMark | None,
    ) -> None:
        super().__init__(facts=facts, blobs=blobs, recorder=recorder, identity=identity)
        self._clock = clock
        self._changes = changes
        self.version = 0
        self._quorate = 0
        self.heads = Heads(
            recorder=recorder,
            store=checkpoints,
            identity=identity,
            clock=clock,
            fence=fence,
            require=self._require_over,
        )
        self.governance = self._governed()
        self.catching_up = CatchingUp(
            recorder=recorder,
            heads=self.heads,
            blobs=blobs,
            identity=identity.public,
            mark=mark or NeverRestored(),
            fence=fence,
            applicants=self._applicants,
            go_on=self._go_on,
        )

    def _governed(self) -> Governance:
        """Return the desk for changes; what the ledger has adopted meanwhile closes."""
        return Governance(
            recorder=self.recorder,
            heads=self.heads,
            store=self._changes,
            clock=self._clock,
            is_busy=self._is_busy,
        )

    def _is_busy(self) -> bool:
        return self._round is not None and not self._round.is_ended

    def _applicants(self) -> tuple[OrgId, ...]:
        return tuple(self.governance.applications())

    def _require_over(self) -> None:
        self.catching_up.require_over()

    def standing(self) -> Standing:
        """Return what is told to whoever asks for news."""
        round_ = self._round
        return Standing(
            round_id=round_.announcement.round_id if round_ else None,
            phase=round_.phase if round_ else None,
            height=self.recorder.size() - 1,
            changes=self.governance.open_digests(),
            quorate=self._quorate,
            is_restored=self.catching_up.is_on,
            awaited=self.catching_up.awaited,
        )

    # Members' consent and cosignatures.

    def cosign(self, size: int, org: OrgId, lines: bytes) -> None:
        """Store a member's cosignature of a head; see ``Heads.cosign``."""
        self._require_over()
        found = note_form.parse_lines(lines)
        self.heads.cosign(size, org, found)
        self._note_quorum()
        self.version += 1
        self.governance.advance()

    def _note_quorum(self) -> None:
        """Let members know that the newest head has its quorum: they fetch it so."""
        size = self.recorder.size()
        if size > self._quorate and self.heads.has_quorum(size):
            self._quorate = size

    def approve(self, digest: Digest, org: OrgId, approval: Envelope) -> None:
        """Store a member's approval of a change; see ``Governance.approve``."""
        self._require_over()
        self.governance.approve(digest, org, approval)
        self.version += 1

    # The way back from a backup.

    def testify(self, org: OrgId, said: Testimony) -> Heard:
        """Take what a member saw of the ledger; see ``CatchingUp.hear``."""
        self.version += 1
        return self.catching_up.hear(org, said)

    def give_model(self, org: OrgId, file: bytes) -> None:
        """Take a model's file that is lacking; see ``CatchingUp.take_model``."""
        self.version += 1
        self.catching_up.take_model(org, file)

    def _go_on(self) -> None:
        """Begin work again after a backup, on the ledger as it is now."""
        self.governance = self._governed()
        if self.recorder.is_begun:
            self._note_quorum()
        self.version += 1
