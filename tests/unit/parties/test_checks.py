# SPDX-License-Identifier: Apache-2.0
"""What a malicious orchestrator or member tries: one test for each rule of checks.py.

Each test changes one thing of an honest message, signed again by whoever could sign it,
and fails when its rule is removed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from fedxdr.core import canonical
from fedxdr.core.errors import (
    BadSignature,
    BelowFloor,
    FedxdrError,
    InvalidInput,
    InvalidShare,
    MalformedMessage,
    TooFewParticipants,
    UnknownSender,
    WrongPhase,
)
from fedxdr.core.ids import OrgId, RoundId, sha256
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
from fedxdr.federation.phases import Phase
from fedxdr.federation.sessions import TABLE, Step
from fedxdr.ledger.block import contributions_root
from fedxdr.parties.checks import CHECKS, check_announcement
from fedxdr.parties.dossier import Dossier
from fedxdr.parties.reception import Checked

A, B, C, D = (OrgId(f"org-{letter}") for letter in "abcd")
OTHER = sha256(b"other")
PHASE = {row.step: row.phase for row in TABLE["secagg"]}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """An honest federation just before org-a fetches something.

    org-d has shared, but not contributed.
    """

    federation: Any
    step: Step
    dossier: Dossier
    body: bytes

    def check(self, body: bytes | None = None, **changed: Any) -> None:
        dossier = dataclasses.replace(self.dossier, **changed)
        CHECKS[self.step](dossier, self.body if body is None else body)

    @property
    def envelopes(self) -> list[Envelope]:
        return wire.unpack_envelopes(self.body)

    def by(self, org: OrgId, message: messages.Message) -> Envelope:
        return messages.sign(message, self.federation.key(org))

    def by_orchestrator(self, message: messages.Message) -> bytes:
        return messages.sign(message, self.federation.fed.identity).to_json()

    def signed(self, type_: type) -> Any:
        """Return what the orchestrator signed."""
        return canonical.decode(Envelope.from_json(self.body).payload, type_)

    def resigned(self, type_: type, org: OrgId, **changed: Any) -> bytes:
        """Return the list of envelopes with one organisation's message changed."""
        found = []
        for envelope in self.envelopes:
            if messages.signer_of(envelope, self.dossier.members) == org:
                message = canonical.decode(envelope.payload, type_)
                found.append(self.by(org, dataclasses.replace(message, **changed)))
            else:
                found.append(envelope)
        return wire.pack_envelopes(found)


def stand_before(
    make: Callable[..., Any],
    step: Step,
    *,
    silent: frozenset[OrgId] = frozenset({D}),
    **how: Any,
) -> Stage:
    federation = make(n=4, **how)
    federation.play()
    federation.start()

    def is_gone(org: OrgId, phase: Phase) -> bool:
        return org in silent and phase not in {Phase.ANNOUNCED, Phase.KEYS}

    federation.go_on(gone=is_gone, until=PHASE[step])
    agent = federation.participant(A)
    agent.follow_ledger(federation.orchestrator.recorder.size())
    round_id = federation.round.announcement.round_id
    # what comes before the step in the same phase
    for row in TABLE["secagg"]:
        if row.step is step:
            break
        if row.phase is PHASE[step]:
            act = agent._fetch if row.does == "fetch" else agent._make
            act(agent.session, row.step)
    assert agent.session.ended is None
    return Stage(
        federation=federation,
        step=step,
        dossier=agent._dossier(agent.session),
        body=federation.links[A].fetch(round_id, step),
    )


@pytest.fixture(scope="module")
def stage(plain_world) -> Callable[[Step], Stage]:
    """Return the stage before a step; made once, never changed."""
    made: dict[Step, Stage] = {}

    def find(step: Step) -> Stage:
        if step not in made:
            made[step] = stand_before(plain_world, step)
        return made[step]

    return find


@pytest.mark.parametrize("step", list(CHECKS))
def test_the_honest_message_passes(stage, step):
    stage(step).check()


@pytest.mark.parametrize("step", list(CHECKS))
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b"\xff", b"[1]", b"[[]]"])
def test_foreign_bytes_raise_our_errors_only(stage, step, body):
    with pytest.raises(FedxdrError):
        stage(step).check(body)


# The announcement.


@pytest.fixture(scope="module")
def opened(plain_world):
    federation = plain_world(n=4)
    federation.play()
    before = federation.fed.recorder.in_force
    federation.start()
    return federation, before, federation.round.announcement


def announce(opened, announcement, *, signer=None, floor=None, in_force=None, me=A):
    federation, before, _ = opened
    return check_announcement(
        messages.sign(announcement, signer or federation.fed.identity),
        round_id=opened[2].round_id,
        me=me,
        in_force=in_force or before,
        floor=floor or Floor(),
    )


def test_the_honest_announcement_passes(opened):
    assert announce(opened, opened[2]) == opened[2]


def test_an_announcement_by_anybody_else_is_refused(opened):
    with pytest.raises(BadSignature):
        announce(opened, opened[2], signer=opened[0].key(B))


@pytest.mark.parametrize(
    ("changed", "error", "why"),
    [
        ({"plan_digest": OTHER}, BelowFloor, "plan"),
        ({"parent_model": OTHER}, BelowFloor, "parent"),
        ({"prev_hash": OTHER}, BelowFloor, "newest block"),
        ({"number": 1}, BelowFloor, "number"),
        ({"number": 3}, BelowFloor, "number"),
        ({"cohort": (A, B, C)}, BelowFloor, "cohort"),
        ({"cohort": (A, B, D, C)}, BelowFloor, "cohort"),
        ({"cohort": (A, B, C, D, OrgId("sybil"))}, BelowFloor, "cohort"),
        ({"cohort": (B, C, D)}, BelowFloor, "not in the cohort"),
        ({"round_id": RoundId("round-1")}, BadSignature, "another round"),
    ],
)
def test_an_announcement_that_does_not_follow_the_ledger(opened, changed, error, why):
    with pytest.raises(error, match=why):
        announce(opened, dataclasses.replace(opened[2], **changed))


def test_a_cohort_of_another_size_than_the_plan_is_for(opened):
    _, before, announcement = opened
    members = {**before.members, OrgId("org-e"): before.members[A]}
    grown = dataclasses.replace(before, members=members)
    cohort = (*announcement.cohort, OrgId("org-e"))
    with pytest.raises(BelowFloor, match="cohort of 5"):
        announce(
            opened, dataclasses.replace(announcement, cohort=cohort), in_force=grown
        )


def test_without_a_plan_on_the_ledger_nothing_is_announced(opened):
    bare = dataclasses.replace(opened[1], plan=None)
    with pytest.raises(BelowFloor, match="plan"):
        announce(opened, opened[2], in_force=bare)


def test_a_plan_below_the_local_floor_is_refused(opened):
    with pytest.raises(BelowFloor, match="asks for at least 4"):
        announce(opened, opened[2], floor=Floor(min_survivors=4))


# The key list.


@pytest.fixture
def keys(stage) -> Stage:
    return stage(Step.KEY_LIST)


def test_keys_signed_by_a_key_that_is_not_on_the_ledger(keys):
    message = canonical.decode(keys.envelopes[1].payload, KeysMessage)
    swapped = messages.sign(message, keys.federation.fed.operator)
    body = wire.pack_envelopes([keys.envelopes[0], swapped, *keys.envelopes[2:]])
    with pytest.raises(BadSignature, match="no member"):
        keys.check(body)


def test_keys_signed_by_another_member(keys):
    message = canonical.decode(keys.envelopes[1].payload, KeysMessage)
    swapped = keys.by(D, message)
    body = wire.pack_envelopes([keys.envelopes[0], swapped, *keys.envelopes[2:]])
    with pytest.raises(BadSignature, match="in the name of org-b"):
        keys.check(body)


def test_keys_changed_after_they_were_signed(keys):
    first, second = keys.envelopes[1], keys.envelopes[2]
    message = canonical.decode(first.payload, KeysMessage)
    other = canonical.decode(second.payload, KeysMessage).keys
    changed = dataclasses.replace(
        first, payload=canonical.encode(dataclasses.replace(message, keys=other))
    )
    body = wire.pack_envelopes([keys.envelopes[0], changed, *keys.envelopes[2:]])
    with pytest.raises(BadSignature, match="does not verify"):
        keys.check(body)


def test_keys_made_for_another_announcement(keys):
    with pytest.raises(InvalidInput, match="org-b answers another announcement"):
        keys.check(keys.resigned(KeysMessage, B, announcement=OTHER))


def test_keys_that_stand_twice(keys):
    body = wire.pack_envelopes([*keys.envelopes[:2], *keys.envelopes[1:]])
    with pytest.raises(InvalidInput, match="org-b stands twice"):
        keys.check(body)


@pytest.mark.parametrize("exponent", [-1, 17, 40])
def test_a_sample_bucket_out_of_the_plans_range(keys, exponent):
    with pytest.raises(InvalidInput, match="org-b claims a sample bucket"):
        keys.check(keys.resigned(KeysMessage, B, sample_exponent=exponent))


def test_keys_out_of_order(keys):
    with pytest.raises(InvalidInput, match="order"):
        keys.check(wire.pack_envelopes(keys.envelopes[::-1]))


def test_keys_of_a_member_outside_the_cohort(keys):
    stranger = OrgId("org-z")
    message = canonical.decode(keys.envelopes[1].payload, KeysMessage)
    envelope = messages.sign(
        dataclasses.replace(message, org=stranger), keys.federation.fed.operator
    )
    members = {
        **keys.dossier.members,
        stranger: keys.federation.fed.operator.public,
    }
    with pytest.raises(InvalidInput, match="outside the cohort"):
        keys.check(wire.pack_envelopes([*keys.envelopes, envelope]), members=members)


def test_a_key_list_without_us_means_we_were_late(keys):
    with pytest.raises(WrongPhase, match="too late"):
        keys.check(wire.pack_envelopes(keys.envelopes[1:]))


def test_other_keys_for_us_than_we_sent(keys):
    with pytest.raises(InvalidInput, match="other keys than those we sent"):
        keys.check(keys.resigned(KeysMessage, A, sample_exponent=1))


def test_without_keys_nobody_takes_part_in_a_masked_sum(keys):
    with pytest.raises(InvalidInput, match="org-b sent no round keys"):
        keys.check(keys.resigned(KeysMessage, B, keys=None))


def test_a_peers_key_that_agrees_on_nothing_is_named(keys):
    message = canonical.decode(keys.envelopes[1].payload, KeysMessage)
    null = dataclasses.replace(
        message.keys,
        mask=dataclasses.replace(message.keys.mask, x25519=bytes(32)),
    )
    with pytest.raises(InvalidInput, match="org-b"):
        keys.check(keys.resigned(KeysMessage, B, keys=null))


def test_a_key_list_of_too_few(keys):
    with pytest.raises(TooFewParticipants, match="2 keys; 3"):
        keys.check(wire.pack_envelopes(keys.envelopes[:2]))


def test_a_key_list_of_fewer_than_our_own_floor(keys):
    body = wire.pack_envelopes(keys.envelopes[:3])
    keys.check(body)
    with pytest.raises(TooFewParticipants, match="3 keys; 4"):
        keys.check(body, least=4)


@pytest.mark.parametrize(
    ("n", "plan"), [(5, {}), (4, {"min_survivors": 4}), (4, {"threshold": 4})]
)
def test_a_key_list_of_fewer_than_the_plan_says(plain_world, n, plan):
    federation = plain_world(n=n, plan=plan)
    federation.start()
    federation.go_on(until=Phase.KEYS)
    agent, announcement = federation.participant(A), federation.round.announcement
    body = federation.links[A].fetch(announcement.round_id, Step.KEY_LIST)
    body = wire.pack_envelopes(wire.unpack_envelopes(body)[:3])
    with pytest.raises(TooFewParticipants, match="3 keys; 4"):
        CHECKS[Step.KEY_LIST](agent._dossier(agent.session), body)


# The mail.


@pytest.fixture
def mail(stage) -> Stage:
    return stage(Step.MAIL)


def test_mail_made_by_the_orchestrator(mail):
    message = canonical.decode(mail.envelopes[0].payload, ShareMessage)
    forged = messages.sign(message, mail.federation.fed.identity)
    with pytest.raises(BadSignature, match="no member"):
        mail.check(wire.pack_envelopes([forged, *mail.envelopes[1:]]))


def test_mail_signed_by_another_member(mail):
    message = canonical.decode(mail.envelopes[0].payload, ShareMessage)
    forged = mail.by(D, message)
    with pytest.raises(BadSignature, match="in the name of org-b"):
        mail.check(wire.pack_envelopes([forged, *mail.envelopes[1:]]))


def test_mail_under_another_key_list(mail):
    with pytest.raises(InvalidInput, match="org-b under another key list"):
        mail.check(mail.resigned(ShareMessage, B, transcript=OTHER))


def test_mail_of_another_round(mail):
    with pytest.raises(InvalidInput, match="org-b of another round"):
        mail.check(mail.resigned(ShareMessage, B, round_id=RoundId("round-1")))


def test_mail_for_somebody_else(mail):
    (for_c,) = [
        envelope
        for envelope in wire.unpack_envelopes(
            mail.federation.links[C].fetch(
                mail.federation.round.announcement.round_id, Step.MAIL
            )
        )
        if messages.signer_of(envelope, mail.dossier.members) == B
    ]
    with pytest.raises(InvalidInput, match="not for org-a"):
        mail.check(wire.pack_envelopes([for_c, *mail.envelopes[1:]]))


def test_mail_that_comes_twice(mail):
    with pytest.raises(InvalidInput, match="twice"):
        mail.check(wire.pack_envelopes([mail.envelopes[0], *mail.envelopes]))


def test_mail_that_does_not_open_names_its_sender(mail):
    message = canonical.decode(mail.envelopes[0].payload, ShareMessage)
    garbled = bytes([message.mail.shares[0] ^ 1]) + message.mail.shares[1:]
    changed = dataclasses.replace(message.mail, shares=garbled)
    with pytest.raises(InvalidShare, match="org-b"):
        mail.check(mail.resigned(ShareMessage, B, mail=changed))


def test_mail_from_a_member_who_is_not_on_the_key_list(plain_world):
    federation = plain_world(n=4)
    federation.start()
    federation.go_on(gone=lambda org, _: org == D, until=Phase.SHARES)
    agent, round_id = federation.participant(A), federation.round.announcement.round_id
    dossier = agent._dossier(agent.session)
    envelopes = wire.unpack_envelopes(federation.links[A].fetch(round_id, Step.MAIL))
    message = canonical.decode(envelopes[0].payload, ShareMessage)
    forged = messages.sign(
        dataclasses.replace(message, mail=dataclasses.replace(message.mail, sender=D)),
        federation.key(D),
    )
    with pytest.raises(UnknownSender, match="org-d"):
        CHECKS[Step.MAIL](dossier, wire.pack_envelopes([*envelopes, forged]))


def test_mail_of_too_few(mail):
    with pytest.raises(TooFewParticipants, match="2 participants"):
        mail.check(wire.pack_envelopes(mail.envelopes[:1]))


# The survivor set.


@pytest.fixture
def asked(stage) -> Stage:
    return stage(Step.SURVIVOR_SET)


def ask(asked: Stage, *, dossier: dict[str, Any] | None = None, **changed: Any) -> None:
    honest = asked.signed(SurvivorSet)
    assert honest.survivors == (A, B, C)
    assert honest.dropouts == (D,)
    body = asked.by_orchestrator(dataclasses.replace(honest, **changed))
    asked.check(body, **(dossier or {}))


def test_a_set_that_the_orchestrator_did_not_sign(asked):
    forged = asked.by(B, asked.signed(SurvivorSet)).to_json()
    with pytest.raises(BadSignature):
        asked.check(forged)


def test_a_set_of_another_round(asked):
    with pytest.raises(InvalidInput, match="another round"):
        ask(asked, round_id=RoundId("round-1"))


def test_a_set_under_another_key_list(asked):
    with pytest.raises(InvalidInput, match="another key list"):
        ask(asked, transcript=OTHER)


@pytest.mark.parametrize(
    "changed",
    [
        {"dropouts": ()},
        {"dropouts": (D, OrgId("org-z"))},
        {"survivors": (A, B, C, OrgId("org-z"))},
        {"survivors": (A, B)},
    ],
)
def test_a_set_that_is_no_partition_of_those_who_shared(asked, changed):
    with pytest.raises(InvalidInput, match="no partition"):
        ask(asked, **changed)


def test_a_set_that_names_one_as_survivor_and_drop_out(asked):
    with pytest.raises(InvalidInput, match="survivor and drop-out"):
        ask(asked, dropouts=(C, D))


@pytest.mark.parametrize("names", [(A, B), (A, B, C, D), (A, B, D)])
def test_a_set_without_one_contribution_for_each_survivor(asked, names):
    honest = asked.signed(SurvivorSet).contributions
    with pytest.raises(InvalidInput, match="one contribution for each"):
        ask(asked, contributions={name: honest.get(name, OTHER) for name in names})


def test_a_set_without_us_means_we_were_late(asked):
    contributions = dict(asked.signed(SurvivorSet).contributions)
    contributions[D] = contributions.pop(A)
    with pytest.raises(WrongPhase, match="too late"):
        ask(asked, survivors=(B, C, D), dropouts=(A,), contributions=contributions)


def test_a_set_with_another_contribution_under_our_name(asked):
    contributions = {**asked.signed(SurvivorSet).contributions, A: OTHER}
    with pytest.raises(InvalidInput, match="another contribution than ours"):
        ask(asked, contributions=contributions)


def test_a_set_of_too_few(asked):
    contributions = dict(asked.signed(SurvivorSet).contributions)
    del contributions[C]
    with pytest.raises(TooFewParticipants, match="sum of 2; we answer for 3"):
        ask(asked, survivors=(A, B), dropouts=(C, D), contributions=contributions)


def test_a_set_of_fewer_than_our_own_floor(asked):
    with pytest.raises(TooFewParticipants, match="sum of 3; we answer for 4"):
        ask(asked, dossier={"least": 4})


@pytest.mark.parametrize("plan", [{"min_survivors": 4}, {"threshold": 4}])
def test_a_set_of_fewer_than_the_plan_says(asked, plan):
    session = dataclasses.replace(
        asked.dossier.session, plan=dataclasses.replace(asked.dossier.plan, **plan)
    )
    with pytest.raises(TooFewParticipants, match="sum of 3; we answer for 4"):
        ask(asked, dossier={"session": session})


# The quorum.


@pytest.fixture
def quorum(stage) -> Stage:
    return stage(Step.QUORUM)


def test_a_quorum_with_a_forged_signature(quorum):
    forged = messages.sign(quorum.dossier.survivor_set, quorum.federation.fed.identity)
    with pytest.raises(BadSignature, match="no member"):
        quorum.check(wire.pack_envelopes([*quorum.envelopes[:2], forged]))


def with_signature_of(envelope: Envelope, other: Envelope) -> Envelope:
    """Return an envelope that names its key, but holds another one's signature."""
    (signature,), (wrong,) = envelope.signatures, other.signatures
    return dataclasses.replace(
        envelope, signatures=(dataclasses.replace(signature, sig=wrong.sig),)
    )


@pytest.mark.parametrize("place", [1, 2])
def test_a_quorum_whose_signature_is_of_somebody_else(quorum, place):
    envelopes = quorum.envelopes
    envelopes[place] = with_signature_of(envelopes[place], envelopes[0])
    with pytest.raises(BadSignature, match="does not verify"):
        quorum.check(wire.pack_envelopes(envelopes))


@pytest.fixture(scope="module")
def quorum_of_four(plain_world) -> Stage:
    return stand_before(plain_world, Step.QUORUM, silent=frozenset())


def test_a_quorum_needs_a_threshold_of_signatures_and_not_more(quorum_of_four):
    # Ours and threshold - 1 others: what comes after them may be wrong.
    ours, b, c, d = quorum_of_four.envelopes
    assert quorum_of_four.dossier.plan.threshold == 3
    quorum_of_four.check(wire.pack_envelopes([ours, b, c, with_signature_of(d, ours)]))
    quorum_of_four.check(wire.pack_envelopes([b, c, d]))
    for not_enough in (
        [ours, b, with_signature_of(d, ours), c],
        [with_signature_of(b, ours), c, d],
    ):
        with pytest.raises(BadSignature, match="does not verify"):
            quorum_of_four.check(wire.pack_envelopes(not_enough))


def test_another_set_is_found_wherever_it_stands_in_a_quorum(quorum_of_four):
    body = quorum_of_four.resigned(SurvivorSet, D, survivors=(A, B, C), dropouts=(D,))
    with pytest.raises(InvalidInput, match="org-d signed another survivor set"):
        quorum_of_four.check(body)


def test_nobody_is_blamed_for_another_set_that_it_did_not_sign(quorum):
    body = quorum.resigned(SurvivorSet, B, survivors=(A, B, C, D), dropouts=())
    first, other, third = wire.unpack_envelopes(body)
    forged = with_signature_of(other, first)
    with pytest.raises(BadSignature, match="does not verify"):
        quorum.check(wire.pack_envelopes([first, forged, third]))


def test_a_quorum_over_another_set_is_equivocation(quorum):
    body = quorum.resigned(SurvivorSet, B, survivors=(A, B, C, D), dropouts=())
    with pytest.raises(InvalidInput, match="org-b signed another survivor set"):
        quorum.check(body)


def test_a_quorum_over_other_contributions_is_equivocation(quorum):
    contributions = {**quorum.dossier.survivor_set.contributions, B: OTHER}
    body = quorum.resigned(SurvivorSet, C, contributions=contributions)
    with pytest.raises(InvalidInput, match="org-c signed another survivor set"):
        quorum.check(body)


def test_a_quorum_of_others_than_survivors(quorum):
    by_dropout = quorum.by(D, quorum.dossier.survivor_set)
    with pytest.raises(InvalidInput, match="no survivors"):
        quorum.check(wire.pack_envelopes([*quorum.envelopes, by_dropout]))


def test_a_quorum_of_too_few(quorum):
    with pytest.raises(TooFewParticipants, match="2 signatures"):
        quorum.check(wire.pack_envelopes(quorum.envelopes[:2]))


def test_a_quorum_in_which_one_signs_for_many(quorum):
    with pytest.raises(TooFewParticipants, match="1 signatures"):
        quorum.check(wire.pack_envelopes([quorum.envelopes[0]] * 3))


# The proposal.


@pytest.fixture
def proposal(stage) -> Stage:
    return stage(Step.PROPOSAL)


def test_a_proposal_that_the_orchestrator_did_not_sign(proposal):
    with pytest.raises(BadSignature):
        proposal.check(proposal.by(B, proposal.signed(Proposal)).to_json())


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"round_id": RoundId("round-1")}, "another round or parent"),
        ({"parent_model": OTHER}, "another round or parent"),
        ({"prev_hash": OTHER}, "newest block"),
        ({"survivors": (A, B)}, "another survivor set"),
        ({"survivors": (A, B, C, D), "dropouts": ()}, "another survivor set"),
        ({"dropouts": ()}, "another survivor set"),
        ({"contributions": {A: OTHER, B: OTHER, C: OTHER}}, "other contributions"),
        ({"contributions_root": OTHER}, "not that of its contributions"),
    ],
)
def test_a_proposal_that_is_not_this_rounds(proposal, changed, why):
    honest = proposal.signed(Proposal)
    changed = {**of_survivors(honest, changed.get("survivors", (A, B, C))), **changed}
    changed.setdefault(
        "contributions_root", contributions_root(changed["contributions"])
    )
    body = proposal.by_orchestrator(dataclasses.replace(honest, **changed))
    with pytest.raises(InvalidInput, match=why):
        proposal.check(body)


def of_survivors(honest: Proposal, survivors) -> dict:
    """Return what a proposal says of each survivor, for other ones than it names."""
    return {
        name: {org: said.get(org, said[A]) for org in survivors}
        for name in ("contributions", "data_volume", "privacy_params")
        if (said := getattr(honest, name))
    }


@pytest.mark.parametrize("name", ["contributions", "data_volume", "privacy_params"])
def test_a_proposal_that_leaves_a_survivor_out_is_none(proposal, name):
    honest = proposal.signed(Proposal)
    said = dict(getattr(honest, name))
    said.pop(A)
    with pytest.raises(MalformedMessage, match="each survivor"):
        dataclasses.replace(honest, **{name: said})


# What an organisation does about it.


@pytest.mark.parametrize("step", list(CHECKS))
def test_whoever_is_lied_to_ends_its_session_and_the_others_go_on(plain_world, step):
    federation = plain_world(n=4)
    federation.play()
    federation.links[A].lies[step] = lambda _: b"[1]"
    round_ = federation.play()
    assert federation.why(A).startswith(f"refused: {step}: ")
    assert round_.phase is Phase.COMMITTED
    assert (A in round_.survivors) is (
        step not in {Step.KEY_LIST, Step.MAIL, Step.CONTRIBUTION}
    )


def test_two_sets_for_two_halves_open_neither(plain_world):
    federation = plain_world(n=4)
    federation.play()

    def lie(body: bytes) -> bytes:
        honest = canonical.decode(Envelope.from_json(body).payload, SurvivorSet)
        contributions = dict(honest.contributions)
        del contributions[D]
        other = dataclasses.replace(
            honest, survivors=(A, B, C), dropouts=(D,), contributions=contributions
        )
        return messages.sign(other, federation.fed.identity).to_json()

    for org in (A, B):
        federation.links[org].lies[Step.SURVIVOR_SET] = lie
    # an orchestrator that takes signatures over either set
    honest_check = federation.orchestrator._check
    federation.orchestrator._check = lambda round_, kind, org, body: (
        Checked(message=body)
        if kind == "survivor-signature"
        else honest_check(round_, kind, org, body)
    )
    federation.play()
    for org in federation.orgs:
        assert "signed another survivor set than we did" in federation.why(org)
    assert federation.round.opened is None


def test_a_forged_announcement_is_not_answered(plain_world):
    federation = plain_world(n=4)
    federation.play()

    def forge(envelope: Envelope) -> Envelope:
        honest = canonical.decode(envelope.payload, Announcement)
        return messages.sign(honest, federation.fed.operator)

    federation.links[A].lies["announcement"] = forge
    federation.start()
    with pytest.raises(BadSignature):
        federation.participant(A).step(wait_s=0)
    assert all(step is not Step.KEYS for step, _ in federation.links[A].sent[6:])
