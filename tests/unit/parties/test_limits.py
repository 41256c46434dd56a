# SPDX-License-Identifier: Apache-2.0
"""The largest plan still gives a round whose block fits into the ledger."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fedxdr.core import canonical
from fedxdr.core.errors import InvalidPlan
from fedxdr.core.ids import OrgId, RoundId, sha256
from fedxdr.core.layout import Layout, Segment
from fedxdr.core.randomness import SeededEntropy
from fedxdr.crypto.keys import IdentityKey
from fedxdr.crypto.publisher import PublisherKey
from fedxdr.federation.plan import MOST_PARTICIPANTS, Plan, Training, default_threshold
from fedxdr.ledger import block as blocks
from fedxdr.ledger import statements
from fedxdr.ledger.block import BLOCK_BYTES_LIMIT
from fedxdr.ledger.entries import Genesis, MemberKeys
from fedxdr.ledger.statements import (
    NO_PRIVACY,
    AcceptanceStatement,
    ContributionStatement,
)

NOW = datetime(2026, 1, 1, 1, 1, 1, 123456, tzinfo=UTC)
KEY = IdentityKey.generate(SeededEntropy(1))
DIGEST, ROUND = sha256(b"x"), RoundId("round-123456-0123456789ab")
LAYOUT = Layout(
    segments=(
        Segment(name="statistics.s", shape=(1,)),
        Segment(name="weights.w", shape=(1,)),
    )
)


def plan(n: int) -> Plan:
    return Plan(
        federation="f",
        run_id="run-1",
        participants=n,
        threshold=default_threshold(n),
        layout=LAYOUT,
        architecture={},
        training=Training(seed=2**53 - 1, learning_rate=0.1234567890123456),
    )


def test_one_more_organisation_is_refused():
    assert plan(MOST_PARTICIPANTS)
    with pytest.raises(InvalidPlan, match=f"participants: 1 to {MOST_PARTICIPANTS}"):
        plan(MOST_PARTICIPANTS + 1)


def test_the_block_of_the_largest_round_with_the_longest_names_fits():
    made = plan(MOST_PARTICIPANTS)
    orgs = [OrgId(f"{i:064d}") for i in range(MOST_PARTICIPANTS)]
    genesis = Genesis(
        federation="f",
        origin="f.example/ledger",
        orchestrator=MemberKeys.of(KEY.public),
        created=NOW,
        protocol_version=1,
        publisher=PublisherKey(seed=bytes(32)).public_der,
        initial_model=DIGEST,
        layout_digest=DIGEST,
        founders=dict.fromkeys(orgs, KEY.public.fingerprint),
    )
    first = blocks.next_block(None, entry=genesis, timestamp=NOW).block
    assert len(first.body()) <= BLOCK_BYTES_LIMIT
    number = 0.12345678901234567
    metrics = {
        "round": 123456,
        "convergence": number,
        "gradient_norm": number,
        "survivors_weight": 2**40,
        "held_out_accuracy": number,
    }
    about = {"round_id": ROUND, "parent_model": DIGEST, "issued_at": NOW}
    envelopes = []
    for org in orgs:
        contribution = ContributionStatement(
            org=org,
            plan_digest=DIGEST,
            contribution_digest=DIGEST,
            sample_exponent=made.max_weight_exponent,
            privacy=NO_PRIVACY,
            **about,
        )
        acceptance = AcceptanceStatement(
            org=org,
            task="statistics",
            builder=KEY.public.fingerprint,
            plan_digest=DIGEST,
            prev_hash=first.hash,
            model_hash=DIGEST,
            sum_digest=DIGEST,
            contributions=dict.fromkeys(orgs, DIGEST),
            contributions_root=DIGEST,
            data_volume=dict.fromkeys(orgs, 1 << made.max_weight_exponent),
            privacy_params=dict.fromkeys(orgs, NO_PRIVACY),
            figures=metrics,
            replayed=True,
            verdict="accepted",
            **about,
        )
        envelopes += [statements.sign(s, KEY) for s in (contribution, acceptance)]
    signed = blocks.committed_block(
        first,
        round_id=ROUND,
        task="statistics",
        plan=canonical.builtins(made),
        cohort=orgs,
        sum_digest=DIGEST,
        model_hash=DIGEST,
        model_version="v123456",
        metrics=metrics,
        training_config=canonical.builtins(made.training),
        data_sources=[f"source-{i}" for i in range(10)],
        timestamp=NOW,
        envelopes=envelopes,
    )
    assert len(signed.block.body()) <= BLOCK_BYTES_LIMIT
