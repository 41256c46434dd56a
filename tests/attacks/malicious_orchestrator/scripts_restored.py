# SPDX-License-Identifier: Apache-2.0
"""Attacks on agents that were set back: the same masks over other numbers."""

from __future__ import annotations

import shutil

import numpy as np
from tests.attacks.malicious_orchestrator import loot
from tests.attacks.malicious_orchestrator.attack import Attack
from tests.attacks.malicious_orchestrator.known_rules import (
    ENTROPY_NOT_COPIED,
    ONE_VECTOR,
)
from tests.attacks.malicious_orchestrator.loot import NOTHING, Loot
from tests.attacks.malicious_orchestrator.stage import TASK_SIZES, Stage

from fedxdr.core.ids import OrgId
from fedxdr.federation.phases import Phase

_SHIFT = 0.25


def _difference(stage: Stage, victim: str) -> Loot:
    """Return whether two contributions of one round show what changed in the data."""
    sent = [
        loot.words_of(stage, loot.vector_in(body))
        for body in stage.posted(victim, "contribution")
    ]
    view = loot.view_of(stage, victim)
    if view is None or len(sent) < 2 or (sent[0] == sent[-1]).all():
        return NOTHING
    moved = loot.signed(stage, sent[-1] - sent[0])
    found = loot.dequantised(stage, view, moved, {victim: 1.0})
    off = float(np.abs(found[: TASK_SIZES["training"]] - _SHIFT).max())
    return Loot(
        won=off < loot.TOLERANCE,
        gain=f"how the update of {victim} has changed, in the clear: two vectors under "
        f"one mask (largest error {off:.1e})",
    )


def _until_mail(stage: Stage, victim: str) -> None:
    """Bring the round to where the victim has its mail and has sent no vector yet."""
    stage.start()
    stage.go(until=Phase.SHARES)
    stage.swallow("contribution", org=victim)


def restore_folder(stage: Stage) -> Loot:
    """The agent's whole folder is restored from a backup of the same round."""
    victim = stage.orgs[0]
    _until_mail(stage, victim)
    kept = stage.backup(victim)
    stage.step(victim)
    stage.data[OrgId(victim)].shift = _SHIFT
    stage.restore(victim, kept)
    stage.step(victim)
    return _difference(stage, victim)


def restore_database(stage: Stage) -> Loot:
    """Only the database is restored, from a copy made while the agent ran."""
    victim = stage.orgs[0]
    _until_mail(stage, victim)
    folder, kept = stage.folder / victim, stage.folder / "copy"
    kept.mkdir()
    for path in folder.glob("agent.db*"):
        shutil.copy2(path, kept)
    stage.step(victim)
    stage.data[OrgId(victim)].shift = _SHIFT
    stage.agents[OrgId(victim)].close()
    for path in folder.glob("agent.db*"):
        path.unlink()
    for path in kept.iterdir():
        shutil.copy2(path, folder)
    stage.open(victim)
    stage.step(victim)
    return _difference(stage, victim)


ATTACKS = (
    Attack(
        name="pad-reuse-restored-folder",
        aim="restore an agent's folder from a backup of the running round",
        rules=(ENTROPY_NOT_COPIED,),
        script=restore_folder,
    ),
    Attack(
        name="pad-reuse-restored-database",
        aim="restore an agent's database alone, from a copy made while it ran",
        rules=(ENTROPY_NOT_COPIED, ONE_VECTOR),
        script=restore_database,
    ),
)
