# SPDX-License-Identifier: Apache-2.0
"""The signed set of those who are summed: in every mode where a quorum opens the sum.

Rules that always hold: on one parent model one sum is signed for opening and no other:
the same set, weights, bounds and fit (n-1 differencing: the difference of two sums
would show one update). Statistics do not depend on the parent: for them the same holds
for the same features.
"""

from __future__ import annotations

from collections.abc import Mapping

from fedxdr.core import canonical
from fedxdr.core.errors import AlreadyAnswered, InvalidInput, TooFewParticipants
from fedxdr.core.ids import Digest, OrgId, sha256
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation import messages, opening, wire
from fedxdr.federation.messages import Announcement, SurvivorSet
from fedxdr.federation.phases import Kind
from fedxdr.federation.plan import MODES_WITHOUT_WEIGHTS, SEGMENTS, Plan, Task
from fedxdr.federation.rounds import Round
from fedxdr.federation.wire import Evidence
from fedxdr.ledger.block import contributions_root
from fedxdr.ledger.statements import ContributionStatement
from fedxdr.parties import reception
from fedxdr.parties.collecting.mode import Desk
from fedxdr.parties.dossier import Dossier
from fedxdr.parties.ports import Fence
from fedxdr.parties.reception import Checked
from fedxdr.parties.round_records import RoundRecords


def sign(desk: Desk, dossier: Dossier) -> bytes:
    """Return our signature over the set that was asked for and checked.

    Raises:
        AlreadyAnswered: we signed another one on this parent model.
    """
    asked = dossier.survivor_set
    announcement = dossier.session.announcement
    is_weighed = dossier.plan.collection_mode not in MODES_WITHOUT_WEIGHTS
    open_once(
        desk.fence,
        announcement,
        dossier.plan,
        asked.survivors,
        weights=opening.effective_weights(dossier.plan, dossier.key_list)
        if is_weighed
        else None,
    )
    return messages.sign(asked, desk.identity).to_json()


def open_once(
    fence: Fence,
    announcement: Announcement,
    plan: Plan,
    survivors: tuple[OrgId, ...],
    *,
    weights: Mapping[OrgId, int] | None = None,
) -> None:
    """Bind us to one sum on a parent model; refuse any other.

    Not the names alone: under other weights, bounds or another fit the same names give
    another sum, and the difference of the two shows whoever was weighed otherwise.

    Args:
        fence: ours.
        announcement: of the round.
        plan: in force.
        survivors: in order.
        weights: effective weight of each who is listed, None where all weigh the same.

    Raises:
        AlreadyAnswered: another sum on this parent.
    """
    terms = {
        "survivors": list(survivors),
        "weights": None if weights is None else dict(weights),
        "bound": plan.bound(announcement.task),
        "metrics": list(opening.metrics_of(plan, announcement.task)),
        "training": canonical.builtins(plan.training),
        "sparsification": [plan.sparsification, plan.kept_fraction],
        "privacy": canonical.builtins(plan.privacy),
    }
    answer = canonical.fingerprint("fedxdr/opened-sum/v1", terms)
    questions = opening_of(announcement.parent_model, plan, announcement.task)
    # all are looked at before one is bound
    for question in questions:
        if fence.held(question) not in {None, answer}:
            raise AlreadyAnswered(
                "on this parent model (for statistics: of these features) another "
                "survivor set was signed for opening, or the same under other weights, "
                "bounds or another fit; the difference of the two sums would show one "
                "update"
            )
    for question in questions:
        fence.hold(question, answer)


def opening_of(parent: Digest, plan: Plan, task: Task) -> list[str]:
    """Return the questions that a sum answers once.

    Args:
        parent: the model that the round builds on.
        plan: in force.
        task: what the round is for. Statistics do not build on the parent: no new
            parent, plan or name of a segment makes those of the same features new.
    """
    if task == "training":
        return [f"opening/{parent}/training"]
    return [f"opening/{base}/statistics" for base in (parent, statistics_of(plan))]


def statistics_of(plan: Plan) -> Digest:
    """Return a digest of what statistics are about: features and how many numbers."""
    begin, end = plan.layout.span(SEGMENTS["statistics"])
    features = str(plan.architecture.get("features", ""))
    return sha256(
        b"fedxdr/statistics/v1\x00",
        features.encode(),
        b"\x00",
        str(end - begin).encode(),
    )


def stated(dossier: Dossier, evidence: Evidence) -> dict[OrgId, Digest]:
    """Return whose contributions the evidence holds, each signed by its sender.

    Raises:
        BadSignature: one that its organisation did not sign.
        InvalidInput: a contribution to another round.
    """
    found: dict[OrgId, Digest] = {}
    for envelope in evidence.contributions:
        org, statement = messages.open_by_sender(
            envelope, ContributionStatement, members=dossier.members
        )
        if statement.round_id != dossier.session.announcement.round_id:
            raise InvalidInput(f"a contribution of {org} to another round")
        found[org] = statement.contribution_digest
    return found


def check_named(dossier: Dossier, contributions: dict[OrgId, Digest]) -> None:
    """Return if contributions are those that the proposal names, ours among them.

    For modes in which no quorum signs a set: what a member can hold the orchestrator to
    is its signed proposal.

    Raises:
        InvalidInput: others, or without ours.
        TooFewParticipants: too few.
    """
    proposal = dossier.proposal
    if tuple(sorted(contributions)) != proposal.survivors:
        raise InvalidInput("other contributors than the proposal names")
    if contributions_root(contributions) != proposal.contributions_root:
        raise InvalidInput("other contributions than the proposal names")
    if contributions.get(dossier.me) != dossier.mine.contribution_digest:
        raise InvalidInput("our contribution was left out or replaced")
    if len(contributions) < dossier.fewest:
        raise TooFewParticipants(
            f"an aggregate of {len(contributions)}; {dossier.fewest} are needed"
        )


def take_signature(
    records: RoundRecords, round_: Round, org: OrgId, body: bytes
) -> Checked:
    """Check an organisation's signature over the survivor set."""
    mine = reception.open_from(records, Envelope.from_json(body), SurvivorSet, org)
    if mine != records.survivor_set(round_):
        raise InvalidInput("signed another survivor set than was asked")
    return Checked(message=body)


def give_keys(records: RoundRecords, round_: Round, org: OrgId) -> bytes:
    """Return the whole signed key list."""
    del org
    return wire.pack_envelopes(list(records.envelopes(round_, Kind.KEYS).values()))


def give_set(records: RoundRecords, round_: Round, org: OrgId) -> bytes:
    """Return the set that is summed, signed by the orchestrator."""
    del org
    return records.sign(records.survivor_set(round_)).to_json()


def give_signatures(records: RoundRecords, round_: Round, org: OrgId) -> bytes:
    """Return the survivors' signatures over the set."""
    del org
    return wire.pack_envelopes(
        list(records.envelopes(round_, Kind.SURVIVOR_SIGNATURE).values())
    )
