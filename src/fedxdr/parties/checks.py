# SPDX-License-Identifier: Apache-2.0
"""What an organisation checks before it believes an orchestrator.

Pure functions of a dossier and the bytes that were fetched; each raises or returns
None. Every rule has a test that fails when the rule is removed.

Rules that always hold (malicious orchestrator):
    1. Announcements are signed by the key on the ledger, name the plan on the ledger
       and the model in force there, and keep to the local floor.
    2. Keys of others are signed by their identities on the ledger; ours are ours.
    3. Shares come from their senders, under this round's transcript.
    4. A survivor set is a partition of those who sent shares; it holds us, our own
       contribution, and enough others; a threshold of its members signed it.
    5. A proposal follows the ledger's newest block and names the signed set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fedxdr.core import canonical
from fedxdr.core.errors import (
    BadSignature,
    BelowFloor,
    InvalidInput,
    TooFewParticipants,
    WrongPhase,
)
from fedxdr.core.ids import OrgId, RoundId
from fedxdr.crypto.envelope import Envelope
from fedxdr.federation import messages, wire
from fedxdr.federation.floor import Floor
from fedxdr.federation.messages import (
    Announcement,
    KeysMessage,
    Proposal,
    ShareMessage,
    SurvivorSet,
)
from fedxdr.federation.sessions import TABLE, Step
from fedxdr.ledger.block import contributions_root
from fedxdr.parties.dossier import Dossier
from fedxdr.parties.recording import InForce
from fedxdr.secagg.stages import Partition

MODES_WITH_SIGNED_SETS = {
    mode for mode, rows in TABLE.items() if Step.QUORUM in {row.step for row in rows}
}
"""Where a quorum of the survivors signs whose sum is opened."""


def check_announcement(
    envelope: Envelope, *, round_id: RoundId, me: OrgId, in_force: InForce, floor: Floor
) -> Announcement:
    """Return the announcement if this organisation may take part.

    Args:
        envelope: as fetched.
        round_id: the round it was fetched for.
        me: this organisation.
        in_force: what the mirror of the ledger says.
        floor: the local floor.

    Raises:
        BadSignature: not signed by the orchestrator on the ledger.
        BelowFloor: another plan, parent, cohort or number than the ledger allows, or a
            plan below the floor.
    """
    announcement = messages.open_signed(
        envelope, Announcement, by=in_force.orchestrator
    )
    plan = in_force.plan
    if plan is None or plan.digest != announcement.plan_digest:
        raise BelowFloor("the announced plan is not the one on the ledger")
    floor.check(plan)
    if announcement.task == "statistics" and plan.privacy.is_on:
        raise BelowFloor("statistics are not noised; the plan has a privacy mechanism")
    if announcement.round_id != round_id:
        raise BadSignature("the announcement of another round")
    if announcement.parent_model != in_force.model:
        raise BelowFloor("the announced parent is not the model in force")
    if announcement.prev_hash != in_force.head_hash:
        raise BelowFloor("the announcement does not follow the newest block")
    if announcement.number != in_force.attempted + 1:
        raise BelowFloor("the round's number does not follow those on the ledger")
    if me not in announcement.cohort:
        raise BelowFloor("this organisation is not in the cohort")
    if announcement.cohort != in_force.cohort:
        raise BelowFloor("the cohort is not the members on the ledger, in order")
    if len(announcement.cohort) != plan.participants:
        raise BelowFloor(
            f"a cohort of {len(announcement.cohort)}; the plan is for "
            f"{plan.participants}"
        )
    return announcement


def check_key_list(dossier: Dossier, body: bytes) -> None:
    """Return if the key list may be shared with.

    Raises:
        BadSignature: an entry not signed by the member it names.
        InvalidInput: names twice, out of order or outside the cohort; no keys; other
            keys than ours under our name; an answer to another announcement.
        WrongPhase: we are not on it: our keys came too late.
        TooFewParticipants: fewer than the plan's threshold or minimum.
    """
    plan = dossier.plan
    keys: dict[OrgId, KeysMessage] = {}
    for envelope in wire.unpack_envelopes(body):
        org, message = messages.open_by_sender(
            envelope, KeysMessage, members=dossier.members
        )
        if message.announcement != dossier.announced:
            raise InvalidInput(f"{org} answers another announcement")
        if org in keys:
            raise InvalidInput(f"{org} stands twice on the key list")
        if not 0 <= message.sample_exponent <= plan.max_weight_exponent:
            raise InvalidInput(f"{org} claims a sample bucket out of range")
        if (message.keys is None) != (plan.collection_mode == "clear"):
            # whoever has no keys would count for the quorum without being in the sum
            raise InvalidInput(f"{org} sent no round keys, or keys that are not wanted")
        keys[org] = message
    if list(keys) != sorted(keys):
        raise InvalidInput("the key list is not in order")
    if not set(keys) <= set(dossier.session.announcement.cohort):
        raise InvalidInput("the key list holds names outside the cohort")
    if dossier.me not in keys:
        raise WrongPhase("our keys came too late for the key list")
    mine = Envelope.from_json(dossier.session.made[Step.KEYS])
    if canonical.encode(keys[dossier.me]) != mine.payload:
        raise InvalidInput("the key list holds other keys than those we sent")
    if len(keys) < dossier.fewest:
        raise TooFewParticipants(f"{len(keys)} keys; {dossier.fewest} are needed")
    if plan.collection_mode == "secagg":
        dossier.membership_of(body)


def check_mail(dossier: Dossier, body: bytes) -> None:
    """Return if the mail opens and comes from whom it says.

    Raises:
        BadSignature: not signed by its sender.
        InvalidInput: under another key list, for another round, or it does not open.
        TooFewParticipants: shares of too few arrived.
    """
    transcript = dossier.transcript
    for envelope in wire.unpack_envelopes(body):
        org, message = messages.open_by_sender(
            envelope, ShareMessage, members=dossier.members
        )
        if message.transcript != transcript:
            raise InvalidInput(f"shares from {org} under another key list")
        if message.round_id != dossier.session.announcement.round_id:
            raise InvalidInput(f"shares from {org} of another round")
    dossier.open_mail(body)


def check_survivor_set(dossier: Dossier, body: bytes) -> None:
    """Return if the set may be signed for opening.

    Raises:
        BadSignature: not signed by the orchestrator.
        InvalidInput: another round or key list; no partition of those who sent shares;
            another contribution than ours under our name.
        WrongPhase: we are not in it: our contribution came too late.
        TooFewParticipants: a sum of too few.
    """
    asked = messages.open_signed(
        Envelope.from_json(body), SurvivorSet, by=dossier.orchestrator
    )
    partition = Partition(survivors=asked.survivors, dropouts=asked.dropouts)
    roster, near = dossier.membership.roster, dossier.opened_mail.participants
    around = roster.holders(dossier.me)
    # of our neighbourhood we know who sent shares; of the others the key list
    if tuple(org for org in partition.participants if org in around) != near or not (
        set(partition.participants) <= set(roster.keys)
    ):
        raise InvalidInput("the set is no partition of those who sent shares")
    check_asked(dossier, asked)
    roster.check_survivors(partition.survivors)


def check_asked(dossier: Dossier, asked: SurvivorSet) -> None:
    """Return if a set is of this round, holds our contribution, and enough others.

    Raises:
        InvalidInput: another round or list of those who came first; another
            contribution than ours under our name.
        WrongPhase: we are not in it: our contribution came too late.
        TooFewParticipants: a sum of too few.
    """
    if asked.round_id != dossier.session.announcement.round_id:
        raise InvalidInput("a survivor set of another round")
    if asked.transcript != dossier.transcript:
        raise InvalidInput("a survivor set under another key list")
    if set(asked.contributions) != set(asked.survivors):
        raise InvalidInput("one contribution for each survivor")
    if dossier.me not in asked.survivors:
        raise WrongPhase("our contribution came too late to be counted")
    if asked.contributions[dossier.me] != dossier.mine.contribution_digest:
        raise InvalidInput("the set names another contribution than ours")
    check_enough(dossier, asked)


def check_enough(dossier: Dossier, asked: SurvivorSet) -> None:
    """Return if a set is large enough for us to help open its sum.

    Raises:
        TooFewParticipants: fewer than plan or local floor ask for.
    """
    if len(asked.survivors) < dossier.fewest:
        raise TooFewParticipants(
            f"a sum of {len(asked.survivors)}; we answer for {dossier.fewest} or more"
        )


def check_quorum(dossier: Dossier, body: bytes) -> None:
    """Return if a threshold of the survivors signed the very set that we signed.

    Every payload is compared; of the signatures, as many are verified as make a
    threshold with ours, which we made before we asked for this list.

    Raises:
        BadSignature: a signature that is no member's, or wrong.
        InvalidInput: a signature over another set (equivocation), or by a non-survivor.
        TooFewParticipants: fewer signers than the threshold.
    """
    asked, members = dossier.survivor_set, dossier.members
    expected = canonical.encode(asked)
    signed: dict[OrgId, Envelope] = {}
    for envelope in wire.unpack_envelopes(body):
        org = messages.signer_of(envelope, members)
        if envelope.payload != expected:
            # Nobody is blamed for what it did not sign.
            messages.open_by_sender(envelope, SurvivorSet, members=members)
            raise InvalidInput(f"{org} signed another survivor set than we did")
        signed.setdefault(org, envelope)
    if not set(signed) <= set(asked.survivors):
        raise InvalidInput("signed by organisations that are no survivors")
    if len(signed) < dossier.plan.threshold:
        raise TooFewParticipants(
            f"{len(signed)} signatures over the survivor set; "
            f"{dossier.plan.threshold} are needed"
        )
    others = [org for org in signed if org != dossier.me]
    for org in others[: dossier.plan.threshold - 1]:
        messages.open_from(signed[org], SurvivorSet, org=org, members=members)


def check_proposal(dossier: Dossier, body: bytes) -> None:
    """Return if the proposal is one of this round and follows the ledger.

    Raises:
        BadSignature: not signed by the orchestrator.
        InvalidInput: another round, parent, head, survivor set or contributions.
    """
    proposal = messages.open_signed(
        Envelope.from_json(body), Proposal, by=dossier.orchestrator
    )
    announcement = dossier.session.announcement
    if (proposal.round_id, proposal.parent_model) != (
        announcement.round_id,
        announcement.parent_model,
    ):
        raise InvalidInput("the proposal of another round or parent")
    if proposal.contributions_root != contributions_root(proposal.contributions):
        raise InvalidInput("the proposal's root is not that of its contributions")
    if proposal.prev_hash != dossier.head:
        raise InvalidInput("the proposal does not follow the ledger's newest block")
    if dossier.plan.collection_mode in MODES_WITH_SIGNED_SETS:
        asked = dossier.survivor_set
        if (proposal.survivors, proposal.dropouts) != (asked.survivors, asked.dropouts):
            raise InvalidInput("the proposal names another survivor set")
        if proposal.contributions_root != contributions_root(asked.contributions):
            raise InvalidInput("the proposal names other contributions")


CHECKS: Mapping[Step, Callable[[Dossier, bytes], None]] = {
    Step.KEY_LIST: check_key_list,
    Step.MAIL: check_mail,
    Step.SURVIVOR_SET: check_survivor_set,
    Step.QUORUM: check_quorum,
    Step.PROPOSAL: check_proposal,
}
