# SPDX-License-Identifier: Apache-2.0
"""Mode ``clear``: the orchestrator sees every update; for research and comparison.

Nobody signs a survivor set here: what a member can hold the orchestrator to is its
signed proposal.
"""

from __future__ import annotations

from collections.abc import Callable

from fedxdr.core.ids import Digest, OrgId
from fedxdr.federation import opening
from fedxdr.federation.phases import Kind
from fedxdr.federation.rounds import Round
from fedxdr.federation.sessions import Step
from fedxdr.federation.wire import Evidence
from fedxdr.parties import checks, reception
from fedxdr.parties.collecting import accepting, contributing, survivors
from fedxdr.parties.collecting.mode import Desk, Mode
from fedxdr.parties.dossier import Dossier
from fedxdr.parties.reception import Checked
from fedxdr.parties.round_records import RoundRecords


def _size_bytes(records: RoundRecords, round_: Round) -> int:
    del records
    return opening.clear_bytes(round_.plan, round_.announcement.task)


def _make_keys(desk: Desk, dossier: Dossier) -> bytes:
    return contributing.join(desk, dossier, keys=None)


def _make_contribution(desk: Desk, dossier: Dossier) -> bytes:
    def plain() -> bytes:
        values = contributing.learn(desk, dossier)
        task = dossier.session.announcement.task
        return opening.pack_clear(dossier.plan, task, values)

    return contributing.state(
        desk,
        dossier,
        contribution=contributing.once(desk, dossier, plain),
        sample_exponent=dossier.key_list[desk.me].sample_exponent,
    ).to_json()


def _replay(
    dossier: Dossier,
    parent: bytes,
    evidence: Evidence,
    vector_of: Callable[[Digest], bytes],
) -> opening.Opened:
    contributions = survivors.stated(dossier, evidence)
    survivors.check_named(dossier, contributions)
    return opening.open_clear(
        plan=dossier.plan,
        task=dossier.session.announcement.task,
        parent=parent,
        keys=dossier.key_list,
        survivors=tuple(sorted(contributions)),
        vector_of=lambda org: vector_of(contributions[org]),
    )


def _take_contribution(
    records: RoundRecords, round_: Round, org: OrgId, body: bytes
) -> Checked:
    plan, task = round_.plan, round_.announcement.task
    checked = reception.take_contribution(
        records,
        round_,
        org,
        body,
        size_bytes=_size_bytes(records, round_),
        is_exact=not opening.is_sparse(plan, task),
    )
    opening.screen(plan, task, checked.vector or b"")
    return checked


def _evidence(records: RoundRecords, round_: Round) -> Evidence:
    return Evidence(
        contributions=tuple(records.envelopes(round_, Kind.CONTRIBUTION).values()),
        shares=(),
        answers=(),
    )


def _reopen(records: RoundRecords, round_: Round) -> opening.Opened:
    digests = records.contributions(round_)
    return opening.open_clear(
        plan=round_.plan,
        task=round_.announcement.task,
        parent=records.blobs.get(round_.announcement.parent_model),
        keys=records.keys(round_),
        survivors=round_.survivors,
        vector_of=lambda org: records.blobs.get(digests[org]),
    )


MODE = Mode(
    makers={
        Step.KEYS: _make_keys,
        Step.CONTRIBUTION: _make_contribution,
        Step.ACCEPTANCE: accepting.maker(_replay),
    },
    checks={
        Step.KEY_LIST: checks.check_key_list,
        Step.PROPOSAL: checks.check_proposal,
    },
    attached={Step.CONTRIBUTION: lambda dossier: dossier.mine.contribution_digest},
    size_bytes=_size_bytes,
    takes={
        Kind.KEYS: reception.take_keys,
        Kind.CONTRIBUTION: _take_contribution,
        Kind.ACCEPTANCE: reception.take_acceptance,
    },
    gives={Step.KEY_LIST: survivors.give_keys},
    evidence=_evidence,
    reopen=_reopen,
    replay=_replay,
)
