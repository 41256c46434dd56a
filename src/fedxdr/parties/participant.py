# SPDX-License-Identifier: Apache-2.0
"""An organisation's agent in a round: checks everything, trusts its own ledger mirror.

It drives federation/sessions.py. What it makes is stored before it is sent and only
ever sent again byte for byte; what it fetches is checked (checks.py) before it is
stored. It holds telemetry (through the learner), its keys, the secrets of running
rounds, and never another organisation's update.

Rules that always hold:
    1. Shares are revealed once per round, for one survivor set.
    2. On one parent model one survivor set is signed for opening and no other: the
       difference of two sums would show one update (n-1 differencing). Statistics do
       not depend on the parent: for them the same holds under one plan.
    3. A proposed model is replayed from the masked contributions before it is accepted,
       unless the operator turned that off; the statement says which.
    4. When a round is over, or another begins, its secrets and our vector are erased;
       the facts that forbid a second answer stay.
    5. A round is over when the mirror of the ledger says so: what the orchestrator says
       about its phase is a hint, and nobody signed it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from fedxdr.core import canonical
from fedxdr.core.clock import Clock
from fedxdr.core.errors import (
    AlreadyAnswered,
    InvalidInput,
    NotFound,
    Refused,
    Unavailable,
    WrongPhase,
)
from fedxdr.core.ids import Digest, OrgId, RoundId
from fedxdr.core.randomness import Entropy
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey
from fedxdr.federation import messages, sessions, wire
from fedxdr.federation.floor import Floor
from fedxdr.federation.messages import (
    Announcement,
)
from fedxdr.federation.phases import ENDED, Phase
from fedxdr.federation.sessions import (
    Acknowledged,
    End,
    Ended,
    Fetch,
    Fetched,
    Made,
    Make,
    Missed,
    Send,
    Session,
    Step,
    Wait,
)
from fedxdr.parties.checks import check_announcement
from fedxdr.parties.collecting.catalogue import mode_of
from fedxdr.parties.collecting.mode import Desk, ShareOf, no_share
from fedxdr.parties.dossier import Dossier, Workings
from fedxdr.parties.following import Follower, Joined
from fedxdr.parties.ports import (
    Blobs,
    CheckpointStore,
    FactLog,
    Fence,
    Learner,
    Link,
    Notes,
    PurseLog,
    Standing,
    StoredFact,
)
from fedxdr.parties.recording import Recorder
from fedxdr.parties.restoring import remember_spending, settle
from fedxdr.parties.testifying import testify
from fedxdr.secagg.encrypted.integers import Run, in_turn

logger = logging.getLogger(__name__)

_FACTS: dict[str, type[sessions.Fact]] = {
    kind.__name__: kind for kind in (Made, Acknowledged, Missed, Fetched, Ended)
}
_ENTROPY_BYTES = 32
_WITH_HEADS = {Step.KEY_LIST, Step.COMMITTED_SET}


class Participant:
    """One organisation's agent.

    Args:
        me: its name.
        identity: its key.
        facts: facts of its sessions.
        notes: small values that outlive rounds.
        fence: round secrets, and what is answered once; notices restored backups.
        purse: what it has spent of its privacy.
        blobs: masked vectors and models.
        mirror: its own copy of the ledger.
        checkpoints: heads of the ledger that it saw, with its cosignatures.
        link: the way to the orchestrator.
        learner: its data and fit.
        floor: what it insists on.
        clock: the time.
        entropy: for round secrets.
        does_replay: whether it recomputes every proposed model.
        share_of: its share of a ceremony's key.
        run: a pool's map for what is heavy.
        joined: says which ledger it joined; by default (in simulations) the first
            that is shown.
        proofs: keeps what convicts the log; by default ``notes`` do.
        asks: whether a person decides about plans too.
    """

    def __init__(
        self,
        *,
        me: OrgId,
        identity: IdentityKey,
        facts: FactLog,
        notes: Notes,
        fence: Fence,
        purse: PurseLog,
        blobs: Blobs,
        mirror: Recorder,
        checkpoints: CheckpointStore,
        link: Link,
        learner: Learner,
        floor: Floor,
        clock: Clock,
        entropy: Entropy,
        does_replay: bool = True,
        share_of: ShareOf = no_share,
        run: Run = in_turn,
        joined: Callable[[], Joined] = Joined,
        proofs: Notes | None = None,
        asks: bool = False,
    ) -> None:
        self.me = me
        self.mirror = mirror
        self._checkpoints = checkpoints
        self._facts = facts
        self._floor = floor
        self._desk = Desk(
            me=me,
            identity=identity,
            notes=notes,
            fence=fence,
            purse=purse,
            blobs=blobs,
            link=link,
            learner=learner,
            clock=clock,
            entropy=entropy,
            does_replay=does_replay,
            share_of=share_of,
            run=run,
        )
        self.follower = Follower(
            me=me,
            identity=identity,
            mirror=mirror,
            checkpoints=checkpoints,
            link=link,
            floor=floor,
            clock=clock,
            joined=joined,
            fence=fence,
            proofs=proofs or notes,
            asks=asks,
        )
        self._desk = replace(self._desk, newest_head=self.follower.accuser.newest)
        self._session: Session | None = None
        self._workings = Workings()
        self._sat_out: RoundId | None = None
        self._counted_under: Digest | None = None
        self._standing: Standing | None = None

    @property
    def session(self) -> Session | None:
        """The session of the newest round, None before the first."""
        return self._session

    def step(self, *, wait_s: float) -> Standing:
        """Look at the orchestrator's standing and do all that is due here.

        Args:
            wait_s: how long to wait for news if nothing has changed.

        Returns:
            The standing that was seen.

        Raises:
            Unavailable: the orchestrator cannot be reached.
            InvalidInput: it sent something it should not have.
        """
        try:
            standing = self._desk.link.standing(known=self._standing, wait_s=wait_s)
        except Unavailable:
            self.follower.forget()
            raise
        if standing.is_restored:
            self.testify(standing)
            self._standing = standing
            return standing
        self.follow_ledger(standing.height + 1)
        self.follower.consent(standing.changes)
        if not self.mirror.is_begun:
            self._standing = standing
            return standing
        if standing.round_id is not None and standing.phase is not None:
            is_said_over = standing.phase in ENDED
            if is_said_over and not self.mirror.has_round(standing.round_id):
                raise InvalidInput(
                    f"round {standing.round_id} is said to be over; the ledger does "
                    "not say so"
                )
            plan = self.mirror.in_force.plan
            if plan is not None and plan.digest != self._counted_under:
                remember_spending(self._desk.purse, self.mirror, self.me)
                self._counted_under = plan.digest
            if self._desk.fence.is_copy:
                settle(self._desk.fence, self.mirror, standing)
            self._enter(standing.round_id, standing.phase)
            self._advance(standing.phase)
        elif self._desk.fence.is_copy:
            settle(self._desk.fence, self.mirror, standing)
        self._standing = standing
        return standing

    def look(self) -> Standing:
        """Return the orchestrator's standing now, without acting on it."""
        return self._desk.link.standing(known=None, wait_s=0)

    def testify(self, standing: Standing) -> None:
        """Tell an orchestrator that was set back to a backup what we saw, once.

        Args:
            standing: as it says; of one that was not set back nothing is done.
        """
        if not standing.is_restored:
            return
        self.follower.forget()  # it has lost our cosignatures
        if self.me in standing.awaited:
            testify(
                self._desk.link,
                mirror=self.mirror,
                store=self._checkpoints,
                blobs=self._desk.blobs,
                size=standing.height + 1,
            )

    def follow_ledger(self, size: int) -> None:
        """Fetch blocks into the mirror and cosign; see ``Follower.follow``."""
        self.follower.follow(size)

    def model(self, digest: Digest | None = None) -> bytes:
        """Return a model's file, the one in force by default; fetched once.

        Raises:
            InvalidInput: the orchestrator sent other bytes.
        """
        return self._desk.model(digest or self.mirror.in_force.model)

    # Entering a round.

    def _enter(self, round_id: RoundId, phase: Phase) -> None:
        session = self._session
        if session is not None and session.announcement.round_id == round_id:
            return
        known = self._facts.opening(round_id)
        if known is None:
            self._session = None
            if phase in ENDED:
                return
            known = self._join(round_id)
            if known is None:
                return
        session = self._load(round_id, Envelope.from_json(known))
        is_over = session is None or session.ended is not None
        self._erase_secrets(but=None if is_over else round_id)
        self._session = session
        if session is not None and not is_over:
            gone = self._desk.fence.why_gone(round_id)
            if gone:
                # whoever was set back might make other messages under old secrets
                self._end(session, "sat-out", gone)

    def _join(self, round_id: RoundId) -> bytes | None:
        """Return the stored announcement of a new round, None if we sit out."""
        envelope = self._desk.link.announcement(round_id)
        try:
            self.follower.require_quorum()
            check_announcement(
                envelope,
                round_id=round_id,
                me=self.me,
                in_force=self.mirror.in_force,
                floor=self._floor,
            )
        except Refused as error:
            self._sit_out(round_id, error)
            return None
        # the round's secret exists before anything about it is stored or sent
        try:
            self._desk.fence.create(round_id, self._desk.entropy.draw(_ENTROPY_BYTES))
        except AlreadyAnswered as error:
            self._sit_out(round_id, error)
            return None
        self._facts.begin(round_id, envelope.to_json())
        return envelope.to_json()

    def _sit_out(self, round_id: RoundId, error: Refused) -> None:
        if round_id != self._sat_out:
            logger.warning(
                "sat out", extra={"round_id": round_id, "reason": str(error)}
            )
        self._sat_out = round_id

    def _erase_secrets(self, *, but: RoundId | None) -> None:
        """Erase the secrets of every round but one: of ended, lost and left ones."""
        self._workings = Workings()
        for name in self._desk.fence.open_rounds():
            if name != but:
                self._desk.fence.erase(name)

    def _load(self, round_id: RoundId, envelope: Envelope) -> Session | None:
        announcement = canonical.decode(envelope.payload, Announcement)
        plan = self.mirror.in_force.plan
        if plan is None or plan.digest != announcement.plan_digest:
            return None
        session = Session(me=self.me, announcement=announcement, plan=plan)
        for stored in self._facts.facts(round_id):
            fact = canonical.decode(stored.body, _FACTS[stored.name])
            session = sessions.apply(session, fact)
        return session

    def _dossier(self, session: Session) -> Dossier:
        round_id = session.announcement.round_id
        in_force = self.mirror.in_force
        announcement = self._facts.opening(round_id)
        if announcement is None:
            raise NotFound(f"round {round_id} is not stored here")
        return Dossier(
            session=session,
            announcement=Envelope.from_json(announcement),
            entropy=self._desk.fence.read(round_id),
            members=in_force.identities,
            orchestrator=in_force.orchestrator,
            head=in_force.head_hash,
            least=self._floor.min_survivors,
            workings=self._workings,
            ceremony=in_force.ceremonies.get(Digest(session.plan.paillier_key)),
        )

    # Doing what is due.

    def _advance(self, phase: Phase) -> None:
        while self._session is not None:
            match sessions.due(self._session, phase):
                case Wait():
                    return
                case Make(step=step):
                    self._make(self._session, step)
                case Send(step=step, body=body):
                    self._send(self._session, step, body)
                case Fetch(step=step):
                    if not self._fetch(self._session, step):
                        return
                case End(reason=reason, sentence=sentence):
                    self._end(self._session, reason, sentence)

    def _store(self, fact: sessions.Fact) -> None:
        if self._session is None:
            raise NotFound("no round is running here")
        self._facts.append(
            self._session.announcement.round_id,
            StoredFact(name=type(fact).__name__, body=canonical.encode(fact)),
        )
        self._session = sessions.apply(self._session, fact)

    def _make(self, session: Session, step: Step) -> None:
        try:
            mode = mode_of(session.plan)
            body = mode.makers[step](self._desk, self._dossier(session))
        except Unavailable:
            raise
        except (InvalidInput, Refused) as error:
            self._end(session, "refused", f"{step}: {error}")
        else:
            self._store(Made(step=step, body=body))

    def _send(self, session: Session, step: Step, body: bytes) -> None:
        round_id = session.announcement.round_id
        attached = mode_of(session.plan).attached.get(step)
        if attached is not None:
            vector = self._desk.blobs.get(attached(self._dossier(session)))
            statement, mail = wire.unpack_stored(body)
            body = wire.pack_contribution(
                wire.Contribution(statement=statement, vector=vector, mail=mail)
            )
        try:
            self._desk.link.send(round_id, step, body)
        except WrongPhase:
            logger.warning(
                "came too late", extra={"round_id": round_id, "step": str(step)}
            )
            self._store(Missed(step=step))
        except AlreadyAnswered as error:
            # we sent other bytes and forgot: this agent was set back to a backup
            self._end(session, "refused", f"{step}: {error}")
        else:
            self._store(Acknowledged(step=step))

    def _fetch(self, session: Session, step: Step) -> bool:
        """Fetch, check and store; False if the orchestrator does not have it yet."""
        round_id = session.announcement.round_id
        try:
            body = self._desk.link.fetch(round_id, step)
        except NotFound:
            return False
        try:
            if step in _WITH_HEADS:
                self.follower.accuser.compare(
                    messages.heads_in(wire.unpack_envelopes(body))
                )
            mode_of(session.plan).checks[step](self._dossier(session), body)
        except WrongPhase:
            self._store(Missed(step=step))
        except (InvalidInput, Refused) as error:
            self._end(session, "refused", f"{step}: {error}")
        else:
            self._store(Fetched(step=step, body=body))
        return True

    def _end(self, session: Session, reason: str, sentence: str) -> None:
        round_id = session.announcement.round_id
        self._store(Ended(reason=reason, sentence=sentence))
        for step, attached in mode_of(session.plan).attached.items():
            if step in session.made:
                self._desk.blobs.delete(attached(self._dossier(session)))
        ours = self._desk.fence.held(f"{round_id}/contribution")
        if ours is not None:
            self._desk.blobs.delete(ours)
        self._erase_secrets(but=None)
        logger.log(
            logging.INFO if reason == "committed" else logging.WARNING,
            "session ended",
            extra={"round_id": round_id, "reason": reason, "why": sentence},
        )
