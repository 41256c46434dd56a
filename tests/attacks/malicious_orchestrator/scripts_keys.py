# SPDX-License-Identifier: Apache-2.0
"""Attacks on keys and mail: whom an organisation believes it shares secrets with."""

from __future__ import annotations

from tests.attacks.malicious_orchestrator import loot
from tests.attacks.malicious_orchestrator.attack import Attack
from tests.attacks.malicious_orchestrator.known_rules import (
    ENOUGH_MAIL,
    MAIL_FOR_US,
    OWN_KEYS,
    OWN_KEYS_IN_ROSTER,
    SIGNED_BY_MEMBERS,
)
from tests.attacks.malicious_orchestrator.loot import NOTHING, Loot
from tests.attacks.malicious_orchestrator.puppeteer import TAKEN
from tests.attacks.malicious_orchestrator.rules import removed
from tests.attacks.malicious_orchestrator.stage import Stage

from fedxdr.core import canonical
from fedxdr.core.ids import OrgId
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.exchange import HybridPrivateKey, agree
from fedxdr.crypto.sealing import open_between, seal_between
from fedxdr.federation import messages, wire
from fedxdr.federation.messages import KeysMessage, ShareMessage
from fedxdr.federation.phases import Kind, Phase
from fedxdr.secagg import client
from fedxdr.secagg.derivation import box_context, derive_secrets
from fedxdr.secagg.shamir import SHARE_BYTES
from fedxdr.secagg.stages import Mail, RoundKeys

_SHARES = client._SHARES_CONTEXT


def swap_keys_of_others(stage: Stage) -> Loot:
    """One organisation is shown keys that the attacker made for everybody else."""
    victim, others = stage.orgs[0], stage.orgs[1:]
    stage.start()
    stage.swallow("keys", "shares", "contribution", org=victim)
    stage.step(victim)
    mine = stage.last(victim, "keys")
    if mine is None:
        return NOTHING
    sent = canonical.decode(Envelope.from_json(mine).payload, KeysMessage)
    puppets = {org: derive_secrets(stage.entropy.draw(32)) for org in others}
    listed = [Envelope.from_json(mine)] + [
        stage.forge(
            KeysMessage(
                round_id=sent.round_id,
                org=org,
                announcement=sent.announcement,
                sample_exponent=sent.sample_exponent,
                keys=secrets.round_keys,
            ),
            org=org,
        )
        for org, secrets in puppets.items()
    ]
    stage.answer("key-list", wire.pack_envelopes(listed), org=victim)
    stage.say(Phase.KEYS, org=victim)
    stage.step(victim)
    view = loot.view_of(stage, victim)
    sealed = loot.mail_in(stage.last(victim, "shares") or b"[]")
    if view is None or not sealed:
        return NOTHING
    members = {
        org: client.join(secrets, roster=view.roster, me=org)
        for org, secrets in puppets.items()
    }
    made = [client.make_mail(member) for member in members.values()]
    mail = [*sealed, *(m for of_one in made for m in of_one)]
    held = {
        org: client.open_mail(member, [m for m in mail if m.recipient == org]).held
        for org, member in members.items()
    }
    stage.answer(
        "mail",
        wire.pack_envelopes(
            [
                stage.forge(
                    ShareMessage(
                        round_id=sent.round_id,
                        transcript=view.transcript.hex(),
                        mail=m,
                    ),
                    org=m.sender,
                )
                for m in mail
                if m.recipient == victim
            ]
        ),
        org=victim,
    )
    stage.say(Phase.SHARES, org=victim)
    stage.step(victim)
    found = loot.peel(
        stage,
        victim,
        self_seed=loot.secret(
            view, {o: shares[victim].self_share for o, shares in held.items()}
        ),
        master=loot.secret(
            view, {o: shares[victim].key_share for o, shares in held.items()}
        ),
    )
    return loot.compare(stage, victim, found)


def swap_channel_keys_of_all(stage: Stage) -> Loot:
    """Everybody gets the same list, in which the attacker holds every channel key.

    It opens all shares on their way, seals them again, and the round ends as if nothing
    had happened.
    """
    channels = {
        org: HybridPrivateKey.from_seed(stage.entropy.draw(32)) for org in stage.orgs
    }
    true: dict[OrgId, RoundKeys] = {}
    shares: dict[OrgId, dict[OrgId, bytes]] = {}

    def store(kind: Kind, org: OrgId, body: bytes) -> None:
        # the attacker's own server: no rule of the product binds it
        with removed((SIGNED_BY_MEMBERS,)), stage.service.lock:
            stage.orchestrator.receive(stage.round_id, kind, org, body)

    def swap(org: OrgId, body: bytes) -> None:
        sent = canonical.decode(Envelope.from_json(body).payload, KeysMessage)
        assert sent.keys is not None
        true[org] = sent.keys
        other = KeysMessage(
            round_id=sent.round_id,
            org=org,
            announcement=sent.announcement,
            sample_exponent=sent.sample_exponent,
            keys=RoundKeys(
                channel=channels[org].public,
                mask=sent.keys.mask,
                self_seed_commitment=sent.keys.self_seed_commitment,
            ),
        )
        store(Kind.KEYS, org, stage.forge(other, org=org).to_json())

    def read(org: OrgId, body: bytes) -> None:
        again = []
        for envelope in wire.unpack_envelopes(body):
            sent = canonical.decode(envelope.payload, ShareMessage)
            to = sent.mail.recipient
            context = box_context(_SHARES, org, to, bytes.fromhex(sent.transcript))
            plain = open_between(
                agree(channels[to], true[org].channel.x25519),
                channels[to],
                sent.mail.shares,
                context=context,
            )
            shares.setdefault(org, {})[to] = plain
            box = seal_between(
                agree(channels[org], true[to].channel.x25519),
                true[to].channel,
                plain,
                context=context,
            )
            mail = Mail(sender=org, recipient=to, shares=box, salt=sent.mail.salt)
            other = ShareMessage(
                round_id=sent.round_id, transcript=sent.transcript, mail=mail
            )
            again.append(stage.forge(other, org=org))
        store(Kind.SHARES, org, wire.pack_envelopes(again))

    def hook(act, org):
        return lambda body: (act(org, body), TAKEN)[1]

    for org in stage.orgs:
        stage.wire.takes[org, "keys"] = hook(swap, org)
        stage.wire.takes[org, "shares"] = hook(read, org)
    stage.start()
    stage.go()
    victim = stage.orgs[1]
    view = loot.view_of(stage, victim)
    found = loot.peel(
        stage,
        victim,
        self_seed=loot.secret(
            view, {o: s[:SHARE_BYTES] for o, s in shares.get(victim, {}).items()}
        ),
        master=loot.secret(
            view, {o: s[SHARE_BYTES:] for o, s in shares.get(victim, {}).items()}
        ),
    )
    got = loot.compare(stage, victim, found)
    return Loot(
        won=got.won and stage.round.phase is Phase.COMMITTED,
        gain=f"{got.gain}, of every organisation in turn; the round is "
        f"{stage.round.phase} and nobody noticed",
    )


def withhold_mail(stage: Stage) -> Loot:
    """One organisation gets the mail of the attacker's accomplice and of nobody else.

    It would mask with that one alone; the others answer for it as for a survivor.
    """
    victim, accomplice = stage.orgs[0], stage.colluders[0]

    def only_the_accomplice(reply):
        return wire.pack_envelopes(
            [
                envelope
                for envelope in wire.unpack_envelopes(reply.body)
                if canonical.decode(envelope.payload, ShareMessage).mail.sender
                == accomplice
            ]
        )

    stage.wire.answers[victim, "mail"] = only_the_accomplice
    stage.start()
    stage.go(until=Phase.PROPOSED)
    own, _ = loot.answers(stage, stage.orgs)
    view = loot.view_of(stage, victim)
    found = loot.peel(stage, victim, self_seed=loot.secret(view, own.get(victim, {})))
    return loot.compare(stage, victim, found)


def deliver_mail_of_others(stage: Stage) -> Loot:
    """The attacker hands an organisation the mail that was sealed for another one."""
    victim, other = stage.orgs[0], stage.orgs[1]
    stage.start()
    stage.go(until=Phase.SHARES)
    sealed = stage.envelopes("org-c", "shares")
    for_other = next(
        e
        for e in sealed
        if canonical.decode(e.payload, ShareMessage).mail.recipient == other
    )

    def swapped(reply):
        found = [
            for_other
            if messages.signer_of(e, stage.fed.recorder.in_force.identities) == "org-c"
            else e
            for e in wire.unpack_envelopes(reply.body)
        ]
        return wire.pack_envelopes(found)

    stage.wire.answers[victim, "mail"] = swapped
    stage.step(victim)
    return Loot(
        won=stage.vector(victim) is not None,
        gain="a contribution that is masked with shares of somebody else",
    )


ATTACKS = (
    Attack(
        name="key-swap-others",
        aim="show one organisation keys that the attacker made for everybody else",
        rules=(SIGNED_BY_MEMBERS,),
        script=swap_keys_of_others,
    ),
    Attack(
        name="key-swap-channels",
        aim="put its own channel key into every entry of the one list that all see, "
        "read the shares on their way and seal them again",
        rules=(SIGNED_BY_MEMBERS, OWN_KEYS, OWN_KEYS_IN_ROSTER),
        script=swap_channel_keys_of_all,
    ),
    Attack(
        name="mail-withheld",
        aim="let one organisation mask with an accomplice only",
        rules=(ENOUGH_MAIL,),
        script=withhold_mail,
        stage={"colluders": ("org-d",)},
    ),
    Attack(
        name="mail-swapped",
        aim="hand one organisation the mail that was sealed for another",
        rules=(MAIL_FOR_US,),
        script=deliver_mail_of_others,
        is_long=True,
        backstop="does not open",
    ),
)
