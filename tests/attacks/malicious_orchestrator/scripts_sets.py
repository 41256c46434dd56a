# SPDX-License-Identifier: Apache-2.0
"""Attacks on survivor sets and answers: whose shares are revealed, and how often."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.attacks.malicious_orchestrator import loot
from tests.attacks.malicious_orchestrator.attack import Attack
from tests.attacks.malicious_orchestrator.known_rules import (
    ANSWER_IS_PARTITION,
    ANSWER_NEVER_BOTH,
    ANSWERED_ONCE,
    ENOUGH_SIGNED,
    ENOUGH_TO_OPEN,
    NEVER_BOTH,
    ONE_SET_FOR_ALL,
    ONE_SET_PER_PARENT,
    OWN_CONTRIBUTION,
    SET_IS_PARTITION,
    SET_SIGNED_BY_KEY,
    SET_SIGNED_BY_MEMBERS,
    SIGNER_IS_MEMBER,
    STORED_BEFORE_SENT,
    STRANGERS,
    SUM_FLOOR,
)
from tests.attacks.malicious_orchestrator.loot import NOTHING, Loot
from tests.attacks.malicious_orchestrator.stage import Stage

from fedxdr.core.ids import OrgId
from fedxdr.crypto.envelope import Envelope, EnvelopeSignature
from fedxdr.federation import messages, opening, wire
from fedxdr.federation.messages import SurvivorSet
from fedxdr.federation.phases import Phase

_ASKED = ("survivor-signature", "unmasking")


def a_set(
    stage: Stage, survivors: Sequence[str], dropouts: Sequence[str] = ()
) -> SurvivorSet:
    """Return a survivor set over the contributions that were sent."""
    named = {}
    for org in survivors:
        vector = stage.vector(org)
        assert vector is not None
        named[OrgId(org)] = opening.contribution_digest(vector)
    view = loot.view_of(stage, survivors[0])
    assert view is not None
    return SurvivorSet(
        round_id=stage.round_id,
        transcript=view.transcript.hex(),
        survivors=tuple(OrgId(o) for o in survivors),
        dropouts=tuple(OrgId(o) for o in dropouts),
        contributions=named,
    )


def unchecked(survivors: Sequence[str], dropouts: Sequence[str], like: SurvivorSet):
    """Return a set that the product's own class may refuse to build."""
    found = object.__new__(SurvivorSet)
    for name in SurvivorSet.__slots__:
        object.__setattr__(found, name, getattr(like, name))
    object.__setattr__(found, "survivors", tuple(survivors))
    object.__setattr__(found, "dropouts", tuple(dropouts))
    return found


def ask(stage: Stage, asked: SurvivorSet, orgs: Iterable[str]) -> None:
    """Show a set to organisations and take their signatures over it."""
    body = stage.sign(asked).to_json()
    for org in orgs:
        stage.answer("survivor-set", body, org=org)
        stage.say(Phase.CONTRIBUTIONS, org=org)
        stage.swallow(*_ASKED, org=org)
        stage.step(org)


def signatures(stage: Stage, orgs: Iterable[str]) -> list[Envelope]:
    """Return the signatures over survivor sets that organisations sent last."""
    found = []
    for org in orgs:
        body = stage.last(org, "survivor-signature")
        if body is not None:
            found.append(Envelope.from_json(body))
    return found


def unmask(stage: Stage, quorum: Sequence[Envelope], orgs: Iterable[str]) -> None:
    """Show these signatures to organisations and take their answers."""
    for org in orgs:
        stage.answer("quorum", wire.pack_envelopes(quorum), org=org)
        stage.say(Phase.SURVIVORS, org=org)
        stage.step(org)


def both_kinds(stage: Stage, victim: str, *, task: str = "training") -> Loot:
    """Return whether shares of both kinds give the victim's update."""
    own, key = loot.answers(stage, stage.orgs)
    view = loot.view_of(stage, victim)
    found = loot.peel(
        stage,
        victim,
        self_seed=loot.secret(view, own.get(OrgId(victim), {})),
        master=loot.secret(view, key.get(OrgId(victim), {})),
    )
    return loot.compare(stage, victim, found, task=task)


def reveal_both_in_one_message(stage: Stage) -> Loot:
    """One organisation stands in the set as survivor and as drop-out."""
    victim = stage.orgs[-1]
    stage.start()
    stage.go(until=Phase.CONTRIBUTIONS)
    honest = a_set(stage, stage.orgs)
    ask(stage, unchecked(stage.orgs, (victim,), honest), stage.orgs)
    unmask(stage, signatures(stage, stage.orgs), stage.orgs)
    return both_kinds(stage, victim)


def reveal_again_after_restart(stage: Stage) -> Loot:
    """All agents are killed after they answered, and are asked for another set."""
    victim, others = stage.orgs[-1], stage.orgs[:-1]
    stage.start()
    stage.go(until=Phase.CONTRIBUTIONS)
    ask(stage, a_set(stage, stage.orgs), stage.orgs)
    unmask(stage, signatures(stage, stage.orgs), stage.orgs)
    stage.restart(*others)
    ask(stage, a_set(stage, others, (victim,)), others)
    unmask(stage, signatures(stage, others), others)
    return both_kinds(stage, victim)


def _two_halves(stage: Stage, pick) -> Loot:
    """Show two sets to two halves; each gets the signatures that ``pick`` makes.

    Won are shares of both kinds of one organisation, which the design never lets out.
    """
    victim = stage.orgs[0]
    first, second = stage.orgs[:2], stage.orgs[2:]
    stage.start()
    stage.go(until=Phase.CONTRIBUTIONS)
    sets = (a_set(stage, stage.orgs), a_set(stage, stage.orgs[1:], (victim,)))
    for asked, half in zip(sets, (first, second), strict=True):
        ask(stage, asked, half)
    for asked, half in zip(sets, (first, second), strict=True):
        unmask(stage, pick(stage, asked, half), half)
    own, key = loot.answers(stage, stage.orgs)
    counts = len(own.get(victim, {})), len(key.get(victim, {}))
    threshold = stage.round.plan.threshold
    return Loot(
        won=all(counts),
        gain=f"shares of both kinds of {victim}: {counts[0]} of its self mask and "
        f"{counts[1]} of its mask key (a threshold of {threshold} > 2n/3 still keeps "
        "it closed as long as fewer than 2t - n members lie too)",
    )


def equivocate(stage: Stage) -> Loot:
    """Two sets for two halves; each sees what the others signed."""
    return _two_halves(stage, lambda s, asked, _: signatures(s, asked.survivors))


def equivocate_below_threshold(stage: Stage) -> Loot:
    """Two sets for two halves; each sees the signatures of its own half only."""
    return _two_halves(stage, lambda s, _, half: signatures(s, half))


def equivocate_with_forged_signatures(stage: Stage) -> Loot:
    """Two sets for two halves; the attacker signs in the others' names."""

    def forged(s: Stage, asked: SurvivorSet, half: Sequence[str]) -> list[Envelope]:
        rest = [o for o in asked.survivors if o not in half]
        return signatures(s, half) + [s.forge(asked, org=o) for o in rest]

    return _two_halves(stage, forged)


def equivocate_with_foreign_signatures(stage: Stage) -> Loot:
    """Two sets for two halves; the attacker signs with keys that are no members'."""

    def foreign(s: Stage, asked: SurvivorSet, half: Sequence[str]) -> list[Envelope]:
        found = messages.sign(asked, s.fed.identity)
        keys = [EnvelopeSignature(keyid=k, sig=bytes(64)) for k in STRANGERS]
        return signatures(s, half) + [
            Envelope(
                payload_type=found.payload_type, payload=found.payload, signatures=(k,)
            )
            for k in keys
        ]

    return _two_halves(stage, foreign)


def open_a_small_sum(stage: Stage) -> Loot:
    """The sum of one organisation and two accomplices, below the plan's minimum."""
    victim, (honest, *_) = stage.orgs[0], stage.orgs[1:]
    survivors = (victim, *stage.colluders)
    stage.start()
    stage.go(until=Phase.CONTRIBUTIONS)
    asked = a_set(stage, survivors, (honest,))
    ask(stage, asked, (victim,))
    signed = signatures(stage, (victim,))
    signed += [stage.sign(asked, by=org) for org in stage.colluders]
    unmask(stage, signed, (victim,))
    own, key = loot.answers(stage, (victim,))
    for org in stage.colluders:
        for owner, held in loot.held_by(stage, org).items():
            own.setdefault(owner, {})[OrgId(org)] = held.self_share
            key.setdefault(owner, {})[OrgId(org)] = held.key_share
    view = loot.view_of(stage, victim)
    master = loot.secret(view, key.get(honest, {}))
    found = loot.peel(
        stage,
        victim,
        self_seed=loot.secret(view, own.get(victim, {})),
        masters={} if master is None else {honest: master},
    )
    return loot.compare(stage, victim, found)


def replace_a_contribution(stage: Stage) -> Loot:
    """The set names a vector that the attacker made from an organisation's own."""
    victim = stage.orgs[0]
    stage.start()
    stage.go(until=Phase.CONTRIBUTIONS)
    sent = stage.vector(victim)
    assert sent is not None
    shifted = bytes(byte ^ 1 for byte in sent)
    true = a_set(stage, stage.orgs)
    asked = SurvivorSet(
        round_id=true.round_id,
        transcript=true.transcript,
        survivors=true.survivors,
        dropouts=(),
        contributions={
            **true.contributions,
            victim: opening.contribution_digest(shifted),
        },
    )
    ask(stage, asked, (victim,))
    signed = signatures(stage, (victim,))
    if not signed:
        return NOTHING
    found = messages.open_from(
        signed[0],
        SurvivorSet,
        org=victim,
        members=stage.fed.recorder.in_force.identities,
    )
    return Loot(
        won=found.contributions[victim] == opening.contribution_digest(shifted),
        gain=f"the signature of {victim} under a vector that is not its own",
    )


ATTACKS = (
    Attack(
        name="double-reveal-in-one-message",
        aim="ask for both kinds of share of one organisation at once",
        rules=(NEVER_BOTH, SET_IS_PARTITION, ANSWER_IS_PARTITION, ANSWER_NEVER_BOTH),
        script=reveal_both_in_one_message,
    ),
    Attack(
        name="double-reveal-after-restart",
        aim="kill every agent after its answer and ask for the other kind; open the "
        "round a second time with one survivor removed",
        rules=(STORED_BEFORE_SENT, ONE_SET_PER_PARENT, ANSWERED_ONCE),
        script=reveal_again_after_restart,
        silent="no agent answers again: what it had stored is all it ever says",
    ),
    Attack(
        name="equivocation",
        aim="show two survivor sets to two halves",
        rules=(ONE_SET_FOR_ALL,),
        script=equivocate,
    ),
    Attack(
        name="equivocation-below-threshold",
        aim="show two sets to two halves, and to each only its own signatures",
        rules=(ENOUGH_SIGNED,),
        script=equivocate_below_threshold,
    ),
    Attack(
        name="equivocation-forged",
        aim="show two sets to two halves and sign in the others' names",
        rules=(SET_SIGNED_BY_MEMBERS,),
        script=equivocate_with_forged_signatures,
        is_long=True,
    ),
    Attack(
        name="equivocation-foreign",
        aim="show two sets to two halves and sign with keys of nobody",
        rules=(SIGNER_IS_MEMBER, SET_SIGNED_BY_KEY),
        script=equivocate_with_foreign_signatures,
        is_long=True,
    ),
    Attack(
        name="undersized-set",
        aim="open the sum of one organisation and two accomplices",
        rules=(SUM_FLOOR, ENOUGH_TO_OPEN),
        script=open_a_small_sum,
        stage={"colluders": ("org-c", "org-d"), "plan": {"min_survivors": 4}},
    ),
    Attack(
        name="contribution-replaced",
        aim="sum another vector in an organisation's name",
        rules=(OWN_CONTRIBUTION,),
        script=replace_a_contribution,
    ),
)
