# SPDX-License-Identifier: Apache-2.0
"""What a collection mode is made of, for the organisation and for the orchestrator.

Not here: the order of steps (the tables in federation/rounds.py and sessions.py) and
what all modes share (contributing.py, accepting.py, checks.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from fedxdr.core.clock import Clock
from fedxdr.core.errors import BelowFloor, InvalidInput
from fedxdr.core.ids import Digest, OrgId, RoundId, sha256
from fedxdr.core.randomness import Entropy
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation.opening import Opened
from fedxdr.federation.phases import Kind
from fedxdr.federation.rounds import Round
from fedxdr.federation.sessions import Step
from fedxdr.federation.wire import Evidence
from fedxdr.parties.dossier import Dossier
from fedxdr.parties.ports import Blobs, Fence, Learner, Link, Notes, PurseLog
from fedxdr.parties.reception import Checked
from fedxdr.parties.round_records import RoundRecords
from fedxdr.secagg.encrypted.ceremony import Ceremony
from fedxdr.secagg.encrypted.dealing import SecretShare
from fedxdr.secagg.encrypted.integers import Run, in_turn

ShareOf = Callable[[Ceremony], SecretShare]


def no_share(ceremony: Ceremony) -> SecretShare:
    """Refuse: an organisation that holds no share.

    Raises:
        BelowFloor: always, with what to do.
    """
    raise BelowFloor(
        f"this organisation holds no share of key {ceremony.fingerprint[:16]}…: "
        "install what the dealer sealed for it with `fedxdr keys install`"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What an organisation makes its messages with.

    Attributes:
        me: its name.
        identity: its key.
        notes: small values that outlive rounds.
        fence: round secrets, and what it answers once.
        purse: what it has spent of its privacy.
        blobs: its vectors and models.
        link: the way to the orchestrator.
        learner: its data and fit.
        clock: the time.
        entropy: for what is drawn once and stored.
        does_replay: whether it recomputes every proposed model.
        share_of: its share of a ceremony's key.
        run: a pool's map for what is heavy.
        newest_head: the newest head of the ledger that it saw, by the log alone; empty
            before the first.
    """

    me: OrgId
    identity: IdentityKey
    notes: Notes
    fence: Fence
    purse: PurseLog
    blobs: Blobs
    link: Link
    learner: Learner
    clock: Clock
    entropy: Entropy
    does_replay: bool = True
    share_of: ShareOf = no_share
    run: Run = in_turn
    newest_head: Callable[[], bytes] = bytes

    def model(self, digest: Digest) -> bytes:
        """Return a model's file, fetched once.

        Raises:
            InvalidInput: the orchestrator sent other bytes.
        """
        if not self.blobs.has(digest):
            file = self.link.model(digest)
            if sha256(file) != digest:
                raise InvalidInput("the model's file does not hash to its name")
            self.blobs.put(file)
        return self.blobs.get(digest)

    def vector(self, round_id: RoundId, digest: Digest) -> bytes:
        """Return a protected vector of a round, ours or another's.

        Raises:
            InvalidInput: the orchestrator sent other bytes.
        """
        if self.blobs.has(digest):
            return self.blobs.get(digest)
        vector = self.link.contribution(round_id, digest)
        if sha256(vector) != digest:
            raise InvalidInput("a contribution does not hash to its name")
        return vector


Maker = Callable[[Desk, Dossier], bytes]
Check = Callable[[Dossier, bytes], None]
Take = Callable[[RoundRecords, Round, OrgId, bytes], Checked]
Give = Callable[[RoundRecords, Round, OrgId], bytes]
Replay = Callable[[Dossier, bytes, Evidence, Callable[[Digest], bytes]], Opened]


def opened_contributions(records: RoundRecords, round_: Round) -> Collection[Digest]:
    """Return the digests of an opened round's contributions; of no other round's."""
    return () if round_.opened is None else records.contributions(round_).values()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One way to collect contributions.

    Attributes:
        makers: organisation: what it makes in a step.
        checks: organisation: what it checks before it believes what it fetched.
        attached: organisation: the vector that travels with a step's message.
        size_bytes: of one contribution's protected vector.
        takes: orchestrator: what it checks before it stores a kind of message.
        shows: orchestrator: which vectors members may fetch now.
        gives: orchestrator: what it answers who fetches a step, once the round has got
            there.
        evidence: orchestrator: what a member needs to replay an opened round.
        reopen: orchestrator: what the stored messages give.
        replay: anybody: what the kept messages give.
    """

    makers: Mapping[Step, Maker]
    checks: Mapping[Step, Check]
    attached: Mapping[Step, Callable[[Dossier], Digest]]
    size_bytes: Callable[[RoundRecords, Round], int]
    takes: Mapping[Kind, Take]
    gives: Mapping[Step, Give]
    shows: Callable[[RoundRecords, Round], Collection[Digest]] = opened_contributions
    evidence: Callable[[RoundRecords, Round], Evidence]
    reopen: Callable[[RoundRecords, Round], Opened]
    replay: Replay
