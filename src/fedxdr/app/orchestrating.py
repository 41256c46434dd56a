# SPDX-License-Identifier: Apache-2.0
"""An orchestrator's folder: how it is made, and what runs on it.

The folder holds ``server.db`` (rounds, members, ledger), ``blobs/`` (masked
contributions, sums, models), ``models/`` (what is published of them), ``keys/``
(orchestrator, operator, token, publisher), ``fence/`` (which heads were signed; a
database that is set back is noticed by it) and ``server.json`` (name of the federation,
origin of its ledger, address). In a folder that was set back lies ``restored.json``.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedxdr.api.service import Service
from fedxdr.app.publishing import ModelPublisher
from fedxdr.app.server_file import KEYS, ServerFile, operator_key, publisher_key
from fedxdr.app.settings import PlanSettings, database_setting
from fedxdr.core import canonical
from fedxdr.core.clock import Clock, SystemClock
from fedxdr.core.errors import InvalidPlan, InvalidSettings, MalformedMessage
from fedxdr.core.ids import digest, org_id
from fedxdr.core.randomness import SystemEntropy
from fedxdr.crypto.keys import TokenKey
from fedxdr.federation.plan import Plan, default_threshold
from fedxdr.learning import features as feature_sets
from fedxdr.ledger.entries import Genesis
from fedxdr.models import snapshot
from fedxdr.models.architecture import TACTICS
from fedxdr.parties.orchestrator import Orchestrator
from fedxdr.parties.recording import Recorder
from fedxdr.parties.registrar import Charter, Registrar
from fedxdr.parties.vouching import newest_signed
from fedxdr.storage.backups import FENCE
from fedxdr.storage.blobs import FileBlobs
from fedxdr.storage.blocks import SqlBlockStore
from fedxdr.storage.changes import SqlChangeStore
from fedxdr.storage.checkpoints import SqlCheckpointStore
from fedxdr.storage.database import Database
from fedxdr.storage.fence import FileFence
from fedxdr.storage.model_directory import FOLDER
from fedxdr.storage.registry import SqlNotes, SqlRegistry
from fedxdr.storage.restored import RestoredFile
from fedxdr.storage.rounds import SqlFactLog
from fedxdr.storage.secrets import read_seed, write_seed

PROTOCOL_VERSION = 1
FEATURE_SETS = feature_sets.OF_TRAFFIC
"""What a federation of logs can learn from; the first one by default."""

_MAX_BODY_BYTES = 256 * 1024 * 1024
_PRIVATE_SIZES = {"neighbour": 4, "mixer": 8, "embedding": 16}
_SIZES: Mapping[str, Mapping[str, int]] = {
    "traffic-event": _PRIVATE_SIZES,
    # own numbers as ramps, and all three heads; smaller, as 16 ramps of each are read
    "entities": {
        "mixer": 16,
        "embedding": 64,
        "bins": 16,
        "tactics": TACTICS,
        "following": 1,
    },
}
"""Sizes of the network by feature set, where they are not the usual ones."""

_GIVEN = ("federation", "run_id", "participants", "layout", "architecture", "version")


def initialise(
    folder: Path, *, federation: str, model: snapshot.Snapshot, database: str = ""
) -> None:
    """Make an orchestrator's folder: keys and first model.

    The ledger begins when the founders have approved its Genesis. Where an earlier call
    was killed half-way, the same call goes on with its keys.

    Args:
        folder: new, empty, or left by an interrupted call.
        federation: the federation's name, as an organisation's name is formed.
        model: the first model.
        database: URL of a PostgreSQL database; empty for SQLite in the folder.

    Raises:
        InvalidSettings: there is an orchestrator already, or the name is none.
    """
    if (folder / "server.json").exists():
        raise InvalidSettings(f"{folder} holds an orchestrator already")
    name = org_id(federation)
    entropy = SystemEntropy()
    _require_ours(folder, name, database)
    for key in KEYS:
        path = folder / "keys" / f"{key}.key"
        if not path.exists():
            write_seed(path, entropy.draw(32))
    file = snapshot.save(
        model.vector, layout=model.card.layout, architecture=model.card.architecture
    )
    model_hash = FileBlobs(folder / "blobs").put(file)
    ServerFile(
        federation=name,
        origin=f"{name}.fedxdr.example/ledger",
        model=model_hash,
        database=database,
    ).write(folder)


def _require_ours(folder: Path, federation: str, database: str) -> None:
    """Make the database; refuse one with the ledger of another federation."""
    opened = Database(database_setting() or database or folder / "server.db")
    try:
        first = SqlBlockStore(opened).read(begin=0, end=1)
    finally:
        opened.close()
    for signed in first:
        entry = signed.block.entry
        if not isinstance(entry, Genesis) or entry.federation != federation:
            found = getattr(entry, "federation", "none")
            raise InvalidSettings(
                f"{opened.name} holds the ledger of another federation, {found}"
            )


def first_model(features: str = FEATURE_SETS[0], *, seed: int = 0) -> snapshot.Snapshot:
    """Return the first model of a federation that learns from traffic.

    Args:
        features: ``traffic``; ``entities``, with users as nodes too and a network of
            the second version; or ``traffic-event``, whose past is so short that single
            events can be hidden, with a smaller network: every number that is trained
            takes noise.
        seed: public, so that anyone can make the genesis model again.

    Raises:
        InvalidSettings: another feature set.
    """
    if features not in FEATURE_SETS:
        raise InvalidSettings(
            f"--features {features}: use one of {', '.join(FEATURE_SETS)}"
        )
    found = feature_sets.find(features)
    architecture = found.architecture(**_SIZES.get(features, {}))
    return snapshot.Snapshot(
        vector=architecture.first_vector(seed),
        card=snapshot.Card(
            layout=architecture.layout, architecture=architecture.describe()
        ),
    )


class OpenOrchestrator:
    """An orchestrator on its folder; close it when done.

    Args:
        folder: made by ``initialise``.
        settings: seeds of the next plan.
        clock: the time.
    """

    def __init__(
        self, folder: Path, *, settings: PlanSettings, clock: Clock | None = None
    ) -> None:
        self.file = ServerFile.read(folder)
        self._settings = settings
        self._database = Database(
            database_setting() or self.file.database or folder / "server.db"
        )
        clock, entropy = clock or SystemClock(), SystemEntropy()
        self.identity = operator_key(folder, name="orchestrator")
        blobs = FileBlobs(folder / "blobs")
        registry = SqlRegistry(self._database)
        checkpoints = SqlCheckpointStore(self._database)
        recorder = Recorder(
            store=SqlBlockStore(self._database),
            blobs=blobs,
            clock=clock,
            vouched=newest_signed(checkpoints, self.identity.public),
        )
        first = digest(self.file.model)
        in_force = recorder.in_force.model if recorder.is_begun else first
        self._card = snapshot.load(blobs.get(in_force)).card
        self.publisher = publisher_key(folder)
        self.orchestrator = Orchestrator(
            facts=SqlFactLog(self._database),
            blobs=blobs,
            recorder=recorder,
            checkpoints=checkpoints,
            changes=SqlChangeStore(self._database),
            registry=registry,
            clock=clock,
            entropy=entropy,
            identity=self.identity,
            plan_for=self._plan_for,
            fence=FileFence(folder / FENCE, SqlNotes(self._database)),
            mark=RestoredFile(folder),
        )
        self.registrar = Registrar(
            orchestrator=self.orchestrator,
            registry=registry,
            clock=clock,
            entropy=entropy,
            identity=self.identity,
            operator=operator_key(folder).public,
            token_key=TokenKey(seed=read_seed(folder / "keys" / "token.key")),
            charter=Charter(
                federation=self.file.federation,
                origin=self.file.origin,
                publisher=self.publisher.public_der,
                initial_model=first,
                layout_digest=self._card.layout.digest,
                protocol_version=PROTOCOL_VERSION,
            ),
        )
        self.service = Service(
            orchestrator=self.orchestrator,
            registrar=self.registrar,
            recogniser=self.registrar.recogniser,
            registry=registry,
            identity=self.identity,
            clock=clock,
            max_body_bytes=_MAX_BODY_BYTES,
            models=ModelPublisher(
                folder / FOLDER, key=self.publisher, model_of=blobs.get
            ),
            lock=threading.Lock(),
        )

    def close(self) -> None:
        """Release the folder."""
        self._database.close()

    def _plan_for(self, participants: int, wishes: Mapping[str, Any]) -> Plan:
        plan = Plan(
            federation=self.file.federation,
            run_id="run-1",
            participants=participants,
            threshold=default_threshold(participants),
            layout=self._card.layout,
            architecture=self._card.architecture,
            **self._settings.plan_fields(),
        )
        return plan_with(plan, wishes) if wishes else plan


def plan_with(plan: Plan, wishes: Mapping[str, Any]) -> Plan:
    """Return a plan with the fields that the operator wants otherwise.

    Args:
        plan: as the settings make it.
        wishes: field -> JSON value; for ``training`` and ``deadlines`` an object with
            the fields that change.

    Raises:
        InvalidPlan: a field that is no plan's or not the operator's to choose, a value
            of another type, or a combination that cannot work.
    """
    fields: dict[str, Any] = canonical.builtins(plan)
    for name, wish in wishes.items():
        if name not in fields:
            raise InvalidPlan(
                f"a plan has no field {name!r}; it has {', '.join(sorted(fields))}"
            )
        if name in _GIVEN:
            raise InvalidPlan(f"{name} follows from members and model; leave it out")
        is_part = isinstance(wish, Mapping) and isinstance(fields[name], dict)
        fields[name] = {**fields[name], **wish} if is_part else wish
    try:
        return canonical.from_builtins(fields, Plan)
    except MalformedMessage as error:
        raise InvalidPlan(f"these wishes make no plan: {error}") from error
