# SPDX-License-Identifier: Apache-2.0
"""Every attack, in the order of docs/explanation/malicious-orchestrator.md."""

from __future__ import annotations

from tests.attacks.malicious_orchestrator import (
    scripts_graph,
    scripts_keys,
    scripts_ledger,
    scripts_requests,
    scripts_restored,
    scripts_results,
    scripts_rounds,
    scripts_sets,
)
from tests.attacks.malicious_orchestrator.attack import Attack

ATTACKS: tuple[Attack, ...] = (
    *scripts_rounds.ATTACKS,
    *scripts_ledger.ATTACKS,
    *scripts_keys.ATTACKS,
    *scripts_sets.ATTACKS,
    *scripts_graph.ATTACKS,
    *scripts_results.ATTACKS,
    *scripts_restored.ATTACKS,
    *scripts_requests.ATTACKS,
)
