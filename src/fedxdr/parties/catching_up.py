# SPDX-License-Identifier: Apache-2.0
"""An orchestrator that was set back to a backup: it asks its members before it signs.

It has forgotten the heads that it signed since, and would sign other roots for the same
sizes: nobody could tell that from a lie. So it begins *restored*: it serves what it
has, takes nothing, signs nothing, and every member in force tells which heads it keeps
(testimony.py), hands over the blocks under them, and the models that are lacking. When
the last member has told, work goes on. What was heard outlives a restart.

A head that this orchestrator's own key signed is the proof that the blocks under it are
its own word; they still have to keep every rule of the ledger.

It does NOT find a head that no member in force keeps: one that only an auditor saw, or
whose members are all gone. A bundle of theirs is taken by ``fedxdr server catch-up``.

Rules that always hold:
    1. Nothing is signed before every member in force, as the ledger says by then, has
       told, and before every block under a head that was shown is here.
    2. A block is appended only under a head that our own key signed.
    3. A head by our own key that our ledger contradicts ends it: the backup is of
       another history, and this orchestrator never signs again.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fedxdr.core.errors import (
    BadSignature,
    MalformedMessage,
    NotFound,
    UnknownSender,
    WaitingForQuorum,
    WrongPhase,
)
from fedxdr.core.ids import Digest, OrgId, sha256
from fedxdr.crypto.keys import PublicIdentity
from fedxdr.ledger import checkpoint, merkle
from fedxdr.ledger import heads as signed_heads
from fedxdr.ledger.checkpoint import Checkpoint
from fedxdr.ledger.entries import MemberKeys
from fedxdr.ledger.standing import Log
from fedxdr.parties.heads import Heads, question
from fedxdr.parties.ports import Blobs, Fence
from fedxdr.parties.recording import Recorder
from fedxdr.parties.testimony import Heard, Testimony

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """What is known since an orchestrator was set back.

    Attributes:
        since: how many blocks came back.
        told: organisation -> size of its mirror, of those that have told everything.
        owed: size of the largest head of ours that was shown.
        contradiction: a sentence if one was shown that our ledger contradicts.
    """

    since: int
    told: Mapping[OrgId, int] = field(default_factory=dict)
    owed: int = 0
    contradiction: str = ""


class RestoredMark(Protocol):
    """Where it stands that an orchestrator was set back; outside of its database."""

    def read(self) -> Restoration | None:
        """Return what is known since, None if it was not set back."""

    def write(self, found: Restoration) -> None:
        """Store what is known; durable when this returns."""

    def clear(self) -> None:
        """Forget it: work goes on."""


class NeverRestored:
    """The mark of an orchestrator in memory, which no backup brings back."""

    def read(self) -> Restoration | None:
        """Return None."""
        return None

    def write(self, found: Restoration) -> None:
        """Keep nothing."""

    def clear(self) -> None:
        """Keep nothing."""


def beyond(fence: Fence, recorder: Recorder) -> int:
    """Return the size of the largest head that we hold to and lack blocks of, or 0."""
    size = recorder.size()
    while fence.held(question(size + 1)) is not None:
        size += 1
    return size if size > recorder.size() else 0


class CatchingUp:
    """The orchestrator's way back from a backup.

    Args:
        recorder: the ledger.
        heads: its signed heads.
        blobs: the models.
        identity: the orchestrator's public key.
        mark: whether it was set back, and what was heard since.
        fence: which heads it signed; notices copies that nobody marked.
        applicants: who applied, asked while the federation is not founded.
        go_on: called when it is over.
    """

    def __init__(
        self,
        *,
        recorder: Recorder,
        heads: Heads,
        blobs: Blobs,
        identity: PublicIdentity,
        mark: RestoredMark,
        fence: Fence | None,
        applicants: Callable[[], Collection[OrgId]],
        go_on: Callable[[], None],
    ) -> None:
        self._recorder = recorder
        self._heads = heads
        self._blobs = blobs
        self._identity = identity
        self._mark = mark
        self._fence = fence
        self._applicants = applicants
        self._go_on = go_on
        self._found = mark.read()
        self.awaited: tuple[OrgId, ...] = ()
        """Members that have not told yet; read without the lock."""

    @property
    def is_on(self) -> bool:
        """Whether members are asked still: nothing is signed, nothing is taken."""
        return self._found is not None

    def begin(self) -> None:
        """Look at the start whether this is a backup, and whether all is told."""
        size = self._recorder.size()
        if self._fence is not None:
            owed = beyond(self._fence, self._recorder)
            held = self._fence.held(question(size)) if size else None
            if self._found is None and (owed or self._fence.is_copy):
                logger.warning("this folder or its database is a restored copy")
                self._keep(Restoration(since=size))
            if owed > self._known.owed:
                self._keep(dataclasses.replace(self._known, owed=owed))
            if held not in {None, self._recorder.root_at(size) if size else None}:
                self._contradict(f"its folder holds to another root of {size} blocks")
        self._look()

    def require_over(self) -> None:
        """Return if work goes on.

        Raises:
            WaitingForQuorum: this orchestrator was set back, and members are awaited.
            WrongPhase: it was shown that it signed another history.
        """
        if self._found is None:
            return
        if self._found.contradiction:
            raise WrongPhase(self.sentence)
        raise WaitingForQuorum(self.sentence)

    @property
    def sentence(self) -> str:
        """What is waited for, for people; empty when it is over."""
        found, size = self._found, self._recorder.size()
        if found is None:
            return ""
        if found.contradiction:
            return (
                f"this orchestrator was set back to a backup of another history: "
                f"{found.contradiction}; it signs nothing any more"
            )
        waits = "nobody is known here who could be asked"
        if self._missing():
            waits = (
                "it signs nothing until every member has told which blocks it has; "
                f"not yet: {', '.join(self._missing())}. Their agents must be running"
            )
        elif found.owed > size:
            waits = (
                f"it signed a head over {found.owed} blocks and has {size}; no member "
                "has handed over the others yet"
            )
        elif self.awaited:
            waits = (
                f"no member has handed over the model in force, "
                f"{self._recorder.in_force.model}, yet"
            )
        return (
            f"this orchestrator was set back to a backup: {waits} (`fedxdr server "
            "catch-up --help` says what else helps)"
        )

    def hear(self, org: OrgId, said: Testimony) -> Heard:
        """Take what a member tells; the same page again changes nothing.

        Args:
            org: who signed the request.
            said: a page of what it saw.

        Raises:
            UnknownSender: no member, as the ledger says by now.
            BadSignature: a head that we did not sign, and that our ledger does not
                have.
            VerificationFailed: blocks that break a rule, or that do not lie under the
                head that they are shown for.
            WrongPhase: a head of ours that our ledger contradicts, now or before.
        """
        if self._found is None:
            return Heard(size=self._recorder.size())
        self._require_asked(org)
        for head in said.heads:
            self._weigh(org, head)
        if said.begin == self._recorder.size() < said.target:
            self._take(org, said)
        for head in said.heads:
            if checkpoint.parse(head).size <= self._recorder.size():
                self._heads.take(head)
        self._note(org, said)
        self._look()
        return Heard(size=self._recorder.size(), models=self._lacking())

    def take_model(self, org: OrgId, file: bytes) -> None:
        """Store a model's file that is lacking.

        Raises:
            NotFound: no block since the backup names it, or it is here already.
            UnknownSender: no member.
        """
        if self._found is None:
            return
        self._require_asked(org)
        if sha256(file) not in self._lacking():
            raise NotFound("no such model is lacking here")
        self._blobs.put(file)
        self._look()

    # What is shown.

    def _weigh(self, org: OrgId, head: bytes) -> None:
        """Hold a head against our ledger, and note it if we lack blocks of it."""
        says, ours = checkpoint.parse(head), self._recorder.size()
        root = self._recorder.root_at(says.size) if says.size <= ours else None
        if root == says.root.hex():
            return
        self._require_ours(head, says)
        if root is not None:
            raise self._contradict(
                f"{org} shows our signature over another root of {says.size} blocks"
            )
        if says.size > self._known.owed:
            # before a block of it is stored: whoever is killed then waits for them all
            self._keep(dataclasses.replace(self._known, owed=says.size))

    def _require_ours(self, head: bytes, says: Checkpoint) -> None:
        log = Log(
            origin=says.origin,
            keys=MemberKeys.of(self._identity),
            publisher=b"",
            since=1,
        )
        try:
            signed_heads.verify_log(head, log)
        except BadSignature as error:
            raise BadSignature(
                f"a head over {says.size} blocks that neither our ledger has nor our "
                "key signed"
            ) from error

    def _take(self, org: OrgId, said: Testimony) -> None:
        """Append the blocks of a page, if they lie under a head that we signed."""
        heads = map(checkpoint.parse, said.heads)
        target = {says.size: says.root for says in heads}.get(said.target)
        end = said.begin + len(said.blocks)
        if target is None or not said.begin < end <= said.target:
            raise MalformedMessage("blocks, and the head that they lie under, are told")
        if said.begin:
            _verify(said.begin, said.target, said.before, target, said.since)
            if said.before != self._recorder.root_at(said.begin):
                raise self._contradict(
                    f"{org} shows our signature over {said.target} blocks that do not "
                    f"extend our {said.begin}"
                )
        _, root = self._recorder.foresee(said.blocks)[-1]
        _verify(end, said.target, root, target, said.onward)
        for signed in said.blocks:
            self._recorder.append(signed)
        logger.warning("blocks came back", extra={"org": org, "size": end})

    def _note(self, org: OrgId, said: Testimony) -> None:
        """Note that a member has told everything, if it has."""
        if said.size > self._recorder.size():
            return
        if said.size and self._recorder.root_at(said.size) != said.root:
            logger.error(
                "a member has other blocks, and no head that says whose they are",
                extra={"org": org, "size": said.size},
            )
            return
        told = {**self._known.told, org: said.size}
        if told != self._known.told:
            self._keep(dataclasses.replace(self._known, told=told))
            logger.warning(
                "a member has told what it saw",
                extra={"org": org, "size": said.size, "missing": self._missing()},
            )

    def _contradict(self, sentence: str) -> WrongPhase:
        """End it for good; return the error that says so."""
        self._keep(dataclasses.replace(self._known, contradiction=sentence))
        self.awaited = ()
        logger.error(self.sentence)
        return WrongPhase(self.sentence)

    # What is awaited.

    @property
    def _known(self) -> Restoration:
        return self._found or Restoration(since=self._recorder.size())

    def _keep(self, found: Restoration) -> None:
        self._mark.write(found)
        self._found = found

    def _asked(self) -> list[OrgId]:
        """Return who has a say: the members in force, or who applied to found."""
        is_begun = self._recorder.is_begun
        names = self._recorder.in_force.members if is_begun else self._applicants()
        return sorted(names)

    def _require_asked(self, org: OrgId) -> None:
        if self._known.contradiction:
            raise WrongPhase(self.sentence)
        if org not in self._asked():
            raise UnknownSender(f"{org} is no member, as far as the ledger is back")

    def _missing(self) -> tuple[OrgId, ...]:
        return tuple(org for org in self._asked() if org not in self._known.told)

    def _lacking(self) -> tuple[Digest, ...]:
        """Return the models of the blocks since the backup that are not here."""
        if not self._recorder.is_begun:
            return ()
        size = self._recorder.size()
        since = self._recorder.blocks(begin=self._known.since, end=size)
        named = dict.fromkeys(signed.block.model_hash for signed in since)
        wanted = [*named, self._recorder.in_force.model]
        return tuple(dict.fromkeys(n for n in wanted if not self._blobs.has(n)))

    def _look(self) -> None:
        """Say who is awaited now; go on if nobody is."""
        found = self._found
        if found is None or found.contradiction:
            return
        asked, missing = self._asked(), self._missing()
        has_model = not self._recorder.is_begun or self._blobs.has(
            self._recorder.in_force.model
        )
        if not missing and (found.owed > self._recorder.size() or not has_model):
            missing = tuple(asked)  # again: somebody may have got it meanwhile
        self.awaited = missing
        if missing or not asked:
            logger.warning(self.sentence)
            return
        if self._fence is not None:
            self._fence.settle()
        self._mark.clear()
        self._found = None
        logger.warning("every member has told what it saw: work goes on")
        self._go_on()


def _verify(
    begin: int, end: int, before: str, after: bytes, proof: tuple[Digest, ...]
) -> None:
    merkle.verify_consistency(
        old_size=begin,
        new_size=end,
        proof=[bytes.fromhex(node) for node in proof],
        old_root=bytes.fromhex(before),
        new_root=after,
    )
