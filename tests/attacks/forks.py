# SPDX-License-Identifier: Apache-2.0
"""A malicious orchestrator tells two histories; f of its n members cosign anything.

Members, keys, blocks, heads, quorums and the honest agents' half that follows the
ledger (``Follower``) are the real ones; orchestrator and liars are code of this file.
After a common beginning it serves one history to some honest members and another one to
the rest. In each history the liars cosign every head; honest members cosign what their
own agent does. Four forms: two ordinary blocks; a change of the members in one history
(a new member, or the suspension of an honest one), with the approvals of everybody, as
if all had been talked into it; and one such change in each.

``python -m tests.attacks.forks`` prints the table of
docs/explanation/forks.md. A fork SUCCEEDS where a careful reader would accept both
histories: by quorums of those in force, at the newest head and at every change of who
cosigns. When members of both sides meet in one key list, a proof must exist in that
round.

Up to ten organisations agents follow every split by size, and quorums are counted for
every split by name; for a hundred quorums are counted with real signatures for every
split by size, and agents meet for three of them.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.unit.ledger.conftest import ORIGIN, Federation

from fedxdr.core.clock import ManualClock
from fedxdr.core.errors import BelowFloor, InvalidInput, NotFound
from fedxdr.core.ids import OrgId
from fedxdr.federation.floor import Floor
from fedxdr.ledger import equivocation, heads, note, policy, verifier
from fedxdr.ledger.note_form import Note, parse_lines
from fedxdr.ledger.standing import Log, witness_keys
from fedxdr.parties.following import Follower, Joined
from fedxdr.parties.recording import Recorder
from fedxdr.storage.fence import MemoryFence
from fedxdr.storage.memory import (
    MemoryBlobs,
    MemoryBlockStore,
    MemoryCheckpointStore,
    MemoryNotes,
)

SIZES = (3, 4, 5, 10, 100)
FORMS = ("blocks", "enrol", "suspend", "both")
FOLLOWED = 10  # organisations up to which agents follow every split
BEGIN = 1  # blocks that all histories share
MORE = 3  # blocks that each history has of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Who is shown which history.

    Attributes:
        first, second: honest members, at least one each.
        liars: the others; they are shown everything and cosign it.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    liars: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a fork came to.

    Attributes:
        first, second: whether a careful reader accepts that history beyond the fork.
        met: how many pairs of one honest member of each side met in a key list.
        proven: in how many of these meetings a proof existed within that round.
        stopped: in how many of them somebody refused every further round.
        faults: honest members of one side that held a proof without a meeting.
    """

    first: bool
    second: bool
    met: int
    proven: int
    stopped: int
    faults: int

    @property
    def succeeds(self) -> bool:
        """Whether both histories stand."""
        return self.first and self.second


@dataclass
class History:
    """One of the orchestrator's histories, and the lines that its heads have."""

    told: Federation
    liars: tuple[str, ...]
    lines: dict[int, list[note.NoteSignature]] = field(default_factory=dict)
    signed: dict[int, bytes] = field(default_factory=dict)

    def head(self, size: int) -> bytes:
        """Return a head with the cosignatures it has; liars cosign at once."""
        if size not in self.signed:
            root = heads.root_of(self.told.hashes(size))
            self.signed[size] = heads.sign(
                self.told.orchestrator,
                origin=ORIGIN,
                size=size,
                root=root,
                at=self.told.now,
            )
            members = self.told.standing(size).cosigners
            for liar in self.liars:
                if liar in members:
                    self.lines.setdefault(size, []).extend(
                        heads.cosign(
                            self.signed[size],
                            self.told.keys[liar],
                            org=OrgId(liar),
                            at=self.told.now,
                        )
                    )
        found = note.parse(self.signed[size])
        every = (*found.signatures, *self.lines.get(size, ()))
        return Note(text=found.text, signatures=every).to_bytes()

    def is_accepted(self) -> bool:
        """Return whether quorums carry it beyond the common beginning.

        As the verifier counts: under those in force, and at every turn before.
        """
        accepted = False
        for size in range(BEGIN + 1, len(self.told.blocks) + 1):
            standing = self.told.standing(size)
            root = bytes.fromhex(heads.root_of(self.told.hashes(size)))
            try:
                verifier.check_head(self.head(size), standing, root)
            except InvalidInput:
                if standing.is_turn:
                    return accepted
            else:
                accepted = True
        return accepted


class Shown:
    """Port ``Link`` of one honest member: it sees one history and no other."""

    def __init__(self, history: History, org: str) -> None:
        self._history, self._org = history, org

    def checkpoint(self, size: int | None = None) -> bytes:
        """Return the history's head."""
        return self._history.head(size or len(self._history.told.blocks))

    def blocks(self, *, begin: int, end: int) -> list:
        """Return its blocks."""
        return self._history.told.blocks[begin:end]

    def cosign(self, size: int, lines: bytes) -> None:
        """Take lines that are good."""
        if size > len(self._history.told.blocks):
            raise NotFound("no such head")
        member = self._history.told.standing(size).cosigners[OrgId(self._org)]
        found = parse_lines(lines)
        heads.member_lines(
            found,
            head=self._history.head(size),
            org=OrgId(self._org),
            keys=witness_keys(OrgId(self._org), member.keys),
        )
        self._history.lines.setdefault(size, []).extend(found)


def founded(n: int) -> Federation:
    """Return a federation of n founders."""
    return Federation(organisations=[f"org-{i:03d}" for i in range(n)]).begin()


def splits(n: int, *, by_name: bool) -> Iterator[Split]:
    """Return every way to show two histories to honest members.

    Args:
        n: organisations, of which (n - 1) // 3 lie.
        by_name: every two sets; else one for each pair of sizes, since whatever holds
            for some members holds for as many others.
    """
    orgs = [f"org-{i:03d}" for i in range(n)]
    lying = policy.faults(n)
    liars, honest = tuple(orgs[:lying]), orgs[lying:]
    for count in range(1, len(honest)):
        chosen: Iterable[Sequence[str]] = (
            itertools.combinations(honest, count) if by_name else [honest[:count]]
        )
        for first in chosen:
            yield Split(
                first=tuple(first),
                second=tuple(org for org in honest if org not in first),
                liars=liars,
            )


def histories(begun: Federation, split: Split, form: str) -> tuple[History, History]:
    """Return the two histories of a fork, without any honest cosignature."""
    both = []
    for side in range(2):
        told = copy.copy(begun)
        told.blocks, told.folds = list(begun.blocks), list(begun.folds)
        told.keys = dict(begun.keys)
        changes = {"enrol": (1,), "suspend": (1,), "both": (0, 1)}.get(form, ())
        if side not in changes:
            told.fail(f"round-1{side}")
        elif form == "enrol" or (form == "both" and side == 0):
            told.enrol(f"org-new-{side}")
        else:
            told.suspend(split.first[0])
        for number in range(1, MORE):
            told.fail(f"round-{number}{side}-more")
        both.append(History(told=told, liars=split.liars))
    return both[0], both[1]


def agent(history: History, org: str) -> Follower:
    """Return an honest member's agent that is shown a history."""
    clock = ManualClock(history.told.now)
    return Follower(
        me=OrgId(org),
        identity=history.told.keys[org],
        mirror=Recorder(store=MemoryBlockStore(), blobs=MemoryBlobs(), clock=clock),
        checkpoints=MemoryCheckpointStore(),
        link=Shown(history, org),
        floor=Floor(),
        clock=clock,
        joined=Joined,
        fence=MemoryFence(),
        proofs=MemoryNotes(),
    )


def follow(history: History, orgs: Sequence[str]) -> dict[str, Follower]:
    """Let honest members follow a history, block by block, and cosign what they do."""
    agents = {org: agent(history, org) for org in orgs}
    whole = history.told.blocks
    for size in range(BEGIN, len(whole) + 1):
        history.told.blocks = whole[:size]
        for one in agents.values():
            try:
                one.follow(size)
            except InvalidInput:
                continue  # what builds on a turn without its quorum is not taken
    history.told.blocks = whole
    return agents


def play(begun: Federation, split: Split, form: str, *, pairs: int) -> Outcome:
    """Return what came of one fork, with real agents on both sides.

    Args:
        begun: the common beginning.
        split: who sees what.
        form: of ``FORMS``.
        pairs: how many pairs of the two sides meet afterwards, at most.
    """
    one, other = histories(begun, split, form)
    first, second = follow(one, split.first), follow(other, split.second)
    faults = sum(bool(a.accuser.proofs()) for a in (*first.values(), *second.values()))
    met = proven = stopped = 0
    log = one.told.standing(BEGIN).log
    chosen = list(itertools.product(split.first, split.second))[:pairs]
    for left, right in chosen:
        # the round in which both stand on one key list; nobody has met before
        agents = (copy_of(first[left]), copy_of(second[right]))
        shown = [
            (OrgId(o), a.accuser.newest())
            for o, a in zip((left, right), agents, strict=True)
        ]
        met += 1
        refusing = 0
        for each in agents:
            try:
                each.accuser.compare(shown)
            except BelowFloor:
                refusing += 1
        proofs = [p for a in agents for p in a.accuser.proofs().values()]
        proven += bool(proofs) and all(convicts(proof, log) for proof in proofs)
        stopped += bool(refusing)
    return Outcome(
        first=one.is_accepted(),
        second=other.is_accepted(),
        met=met,
        proven=proven,
        stopped=stopped,
        faults=faults,
    )


def copy_of(agent_: Follower) -> Follower:
    """Return an agent with the same mirror and heads that has met nobody."""
    found = copy.copy(agent_)
    found.accuser = copy.copy(agent_.accuser)
    found.accuser._files = MemoryNotes()
    found.accuser._ahead = {}
    return found


def convicts(proof: bytes, log: Log | None) -> bool:
    """Return whether a stranger who knows the log's keys is convinced."""
    if log is None:
        return False
    return equivocation.verify(proof, log=log).origin == ORIGIN


def count(begun: Federation, n: int, form: str, *, by_name: bool) -> tuple[int, int]:
    """Return how many splits there are and in how many both histories have a quorum.

    At the first head of its own of each history; real signatures, real policy. A member
    signs once; which lines a head gets follows from the split.
    """
    tried = both = 0
    every = next(splits(n, by_name=False))
    one, other = histories(begun, every, form)
    lines: list[dict[str, tuple[note.NoteSignature, ...]]] = []
    for history in (one, other):
        history.liars = ()
        head = history.head(BEGIN + 1)
        lines.append(
            {
                org: heads.cosign(head, key, org=OrgId(org), at=begun.now)
                for org, key in begun.keys.items()
            }
        )
    for split in splits(n, by_name=by_name):
        tried += 1
        reached = 0
        for side, (history, honest) in enumerate(
            ((one, split.first), (other, split.second))
        ):
            standing = history.told.standing(BEGIN + 1)
            signed = [
                line for org in (*split.liars, *honest) for line in lines[side][org]
            ]
            found = note.parse(history.signed[BEGIN + 1])
            head = Note(text=found.text, signatures=(*found.signatures, *signed))
            try:
                policy.parse(standing.policy_text().encode()).check(head.to_bytes())
            except InvalidInput:
                continue
            reached += 1
        both += reached == 2
    return tried, both


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        n, liars, quorum: organisations, of them lying, needed.
        form: what differs.
        counted: splits whose quorums were counted.
        followed: splits that agents followed.
        succeeded: forks of which both histories stood.
        met, proven: meetings of two sides, and those with a proof in that round.
        stopped: meetings after which somebody takes part in no further round.
        cpu_s: CPU seconds.
    """

    n: int
    liars: int
    quorum: int
    form: str
    counted: int
    followed: int
    succeeded: int
    met: int
    proven: int
    stopped: int
    cpu_s: float


def drill(n: int, form: str, *, begun: Federation | None = None) -> Row:
    """Return what became of every fork of one form among n organisations."""
    began = time.process_time()
    begun = begun or founded(n)
    is_small = n <= FOLLOWED
    counted, succeeded = count(begun, n, form, by_name=is_small)
    found = list(splits(n, by_name=False))
    if not is_small:
        found = [found[0], found[len(found) // 2], found[-1]]
        found = [thinned(split) for split in found]
    outcomes = [play(begun, split, form, pairs=4) for split in found]
    if any(outcome.faults for outcome in outcomes):
        raise AssertionError("somebody was accused before anybody met")
    return Row(
        n=n,
        liars=policy.faults(n),
        quorum=policy.quorum(n),
        form=form,
        counted=counted,
        followed=len(outcomes),
        succeeded=succeeded + sum(outcome.succeeds for outcome in outcomes),
        met=sum(outcome.met for outcome in outcomes),
        proven=sum(outcome.proven for outcome in outcomes),
        stopped=sum(outcome.stopped for outcome in outcomes),
        cpu_s=round(time.process_time() - began, 1),
    )


def thinned(split: Split) -> Split:
    """Return a split in which two honest members of each side have agents."""
    return Split(first=split.first[:2], second=split.second[-2:], liars=split.liars)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="tests.attacks.forks")
    parser.add_argument("n", nargs="*", type=int, default=list(SIZES))
    say = sys.stdout.write
    logging.disable(logging.CRITICAL)  # every conviction is an error in the log
    say(
        "| organisations | lying | quorum | differ by | splits counted | followed "
        "| forks with both quorums | meetings | with a proof | CPU s |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n"
    )
    for n in parser.parse_args().n:
        begun = founded(n)
        for form in FORMS:
            row = drill(n, form, begun=begun)
            say(
                f"| {row.n} | {row.liars} | {row.quorum} | {row.form} | {row.counted} "
                f"| {row.followed} | {row.succeeded} | {row.met} | {row.proven} "
                f"| {row.cpu_s} |\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
