# SPDX-License-Identifier: Apache-2.0
"""Going on without the orchestrator: a member's mirror becomes a new orchestrator's.

Any organisation can do it, beside its running agent, whose folder is only read. The new
folder holds the blocks, their heads as they were signed, the models that the member
has, and keys of its own; the change of orchestrator waits in it for the members'
approvals. Until a quorum has approved, the new orchestrator can sign nothing that
counts; from then on the old one cannot.

Or without any server: the ledger as static files (C2SP tlog-tiles), with policy and
bundle, which any web server can hold.

Not here: approving (deciding.py), serving (orchestrating.py), what makes such a change
valid (ledger/change_rules.py).

Rules that always hold: nothing is written into the member's folder; ``server.json``
comes last, so that a call that was killed is made again and goes on with its keys; the
new log has a name and keys that the ledger never had.
"""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path

from fedxdr.app.ledger_folder import LedgerFolder, mirror_in
from fedxdr.app.participating import AgentFile
from fedxdr.app.server_file import KEYS, ServerFile, operator_key, publisher_key
from fedxdr.app.settings import database_setting
from fedxdr.core.clock import SystemClock
from fedxdr.core.errors import InvalidSettings
from fedxdr.core.ids import Digest, OrgId
from fedxdr.core.randomness import SystemEntropy
from fedxdr.ledger import tiles
from fedxdr.ledger.entries import MemberKeys, OrchestratorReplaced
from fedxdr.ledger.merkle import Tree
from fedxdr.parties.governance import Governance
from fedxdr.parties.heads import Heads
from fedxdr.parties.recording import Recorder
from fedxdr.storage.blobs import FileBlobs
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.changes import SqlChangeStore
from fedxdr.storage.checkpoints import SqlCheckpointStore
from fedxdr.storage.database import Database
from fedxdr.storage.files import replace_file
from fedxdr.storage.model_directory import FOLDER
from fedxdr.storage.secrets import write_seed

BUNDLE, POLICY = "ledger.fedxdr", "policy"
"""Names of what lies beside the static files of C2SP tlog-tiles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """What was made.

    Attributes:
        by: the organisation from whose mirror.
        blocks: how many the new orchestrator holds.
        origin: the ledger's name from the change on.
        fingerprint: of the new orchestrator's keys; members compare it as words.
        change: digest of the change that they approve.
        models: how many of the ledger's models came along.
        missing: SHA-256 of those that this member does not hold.
    """

    by: OrgId
    blocks: int
    origin: str
    fingerprint: Digest
    change: Digest
    models: int
    missing: tuple[Digest, ...]


def hand_over(agent: Path, out: Path, *, origin: str | None = None) -> HandedOver:
    """Make an orchestrator's folder from a member's mirror, and propose the change.

    Args:
        agent: an organisation's folder; its agent may run.
        out: new, empty, or left by an interrupted call.
        origin: the ledger's new name; default: this organisation's before the old one.

    Raises:
        InvalidSettings: there is an orchestrator already, another ledger lies there, or
            this member does not hold the model in force.
        InvalidInput: a name that the ledger had before, or none.
        Unavailable: the member has not seen the ledger yet.
    """
    if (out / "server.json").exists():
        raise InvalidSettings(f"{out} holds an orchestrator already")
    with mirror_in(agent) as mirror:
        size, _ = mirror.newest_head()
        wanted = _models(mirror, size)
        held = [digest for digest in wanted if mirror.blobs.has(digest)]
        if mirror.recorder.in_force.model not in held:
            raise InvalidSettings(
                f"{agent} does not hold the model in force: hand over from a member "
                "that took part in the last round"
            )
        for name in KEYS:
            path = out / "keys" / f"{name}.key"
            if not path.exists():
                write_seed(path, SystemEntropy().draw(32))
        blobs = FileBlobs(out / "blobs")
        for digest in held:
            blobs.put(mirror.blobs.get(digest))
        _copy_published(agent / FOLDER, out / FOLDER)
        database = Database(database_setting() or out / "server.db")
        try:
            recorder = _copy_ledger(mirror, size, database, blobs)
            name = origin or _next_origin(mirror)
            change = _propose(recorder, database, out, origin=name, by=mirror.org)
        finally:
            database.close()
        genesis = recorder.in_force.genesis
        ServerFile(
            federation=genesis.federation, origin=name, model=genesis.initial_model
        ).write(out)
    return HandedOver(
        by=mirror.org,
        blocks=size,
        origin=name,
        fingerprint=operator_key(out, name="orchestrator").public.fingerprint,
        change=change,
        models=len(held),
        missing=tuple(digest for digest in wanted if digest not in held),
    )


def write_static(agent: Path, out: Path) -> int:
    """Write the ledger as static files that any web server can hold.

    As far as a quorum has cosigned it: tiles, entries, ``checkpoint``, and beside them
    the policy under which the checkpoint counts and the whole as one bundle. Again into
    the same folder it adds what is new; the checkpoint is replaced last.

    Args:
        agent: an organisation's folder; its agent may run.
        out: the folder to write.

    Returns:
        How many blocks.

    Raises:
        Unavailable: no head has a quorum yet.
    """
    with mirror_in(agent) as mirror:
        recorder = mirror.recorder
        heads = mirror.cosigned()
        size = max(heads)
        stored = recorder.blocks(begin=0, end=size)
        out.mkdir(parents=True, exist_ok=True)
        replace_file(out / BUNDLE, recorder.export(heads=heads))
        policy = recorder.signers_at(size).policy_text()
        replace_file(out / POLICY, policy.encode())
        found = tiles.files(
            checkpoint=heads[size],
            tree=Tree(bytes.fromhex(signed.block.hash) for signed in stored),
            entries=lambda begin, end: [s.block.body() for s in stored[begin:end]],
        )
        for path, data in found:
            place = out / path
            place.parent.mkdir(parents=True, exist_ok=True)
            replace_file(place, data)
    return size


def move(agent: Path, server: str) -> AgentFile:
    """Point an organisation's agent at another address of the orchestrator.

    Which ledger it follows, and whose signatures count there, does not change.

    Args:
        agent: its folder; a running agent takes it up when it is started again.
        server: base address.

    Raises:
        InvalidSettings: no member's folder.
    """
    moved = dataclasses.replace(AgentFile.read(agent), server=server)
    moved.write(agent)
    return moved


def _models(mirror: LedgerFolder, size: int) -> list[Digest]:
    """Return the models that the blocks name, each once, the oldest first."""
    blocks = mirror.recorder.blocks(begin=0, end=size)
    return list(dict.fromkeys(signed.block.model_hash for signed in blocks))


def _copy_published(source: Path, target: Path) -> None:
    """Copy the published models that the member mirrors; they vouch for themselves."""
    if not source.is_dir():
        return
    for found in sorted(source.iterdir()):
        place = target / found.name
        if found.is_dir() and not found.name.startswith(".") and not place.exists():
            part = target / f".handover-{found.name}"
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(found, part)
            part.rename(place)


def _copy_ledger(
    mirror: LedgerFolder, size: int, database: Database, blobs: FileBlobs
) -> Recorder:
    """Return the ledger with the mirror's blocks and heads, each checked again."""
    store = SqlBlockStore(database)
    recorder = Recorder(store=store, blobs=blobs, clock=SystemClock())
    known = recorder.size()
    if known > size or (
        known and recorder.root_at(known) != mirror.recorder.root_at(known)
    ):
        raise InvalidSettings(f"{database.name} holds another ledger")
    for signed in mirror.recorder.blocks(begin=known, end=size):
        recorder.append(signed)
    checkpoints = SqlCheckpointStore(database)
    for at in mirror.store.sizes():
        head = mirror.store.get(at)
        if head is not None and at <= size:
            checkpoints.put(at, recorder.root_at(at), head)
    return recorder


def _propose(
    recorder: Recorder, database: Database, out: Path, *, origin: str, by: OrgId
) -> Digest:
    clock, identity = SystemClock(), operator_key(out, name="orchestrator")
    governance = Governance(
        recorder=recorder,
        heads=Heads(
            recorder=recorder,
            store=SqlCheckpointStore(database),
            identity=identity,
            clock=clock,
        ),
        store=SqlChangeStore(database),
        clock=clock,
        is_busy=lambda: False,
    )
    entry = OrchestratorReplaced(
        change=governance.next_number,
        orchestrator=MemberKeys.of(identity.public),
        publisher=publisher_key(out).public_der,
        origin=origin,
    )
    return governance.propose(entry, by=by).digest


def _next_origin(mirror: LedgerFolder) -> str:
    """Return a name for the ledger that it never had."""
    logs = mirror.recorder.standing.logs
    used, base = {log.origin for log in logs}, logs[0].origin
    names = (f"{mirror.org}-{n}.{base}" for n in range(2, len(logs) + 3))
    return next(name for name in (f"{mirror.org}.{base}", *names) if name not in used)
