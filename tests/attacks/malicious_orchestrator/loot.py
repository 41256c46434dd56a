# SPDX-License-Identifier: Apache-2.0
"""What an attacker makes of what it has seen: computed, never asserted.

From messages as they came over the wire, and from what colluding members know: secrets
out of shares, masks taken off one vector, differences of two sums. Success is the
comparison of the result with the victim's true update, which only the test knows.

It uses the product's own secure aggregation: the attacker has the same program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cbor2
import numpy as np
from tests.attacks.malicious_orchestrator.stage import Stage

from fedxdr.core import canonical
from fedxdr.core.errors import FedxdrError, InvalidShare
from fedxdr.core.ids import OrgId
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.exchange import agree
from fedxdr.federation import messages, opening, wire
from fedxdr.federation.messages import KeysMessage, ShareMessage, UnmaskingMessage
from fedxdr.secagg import client, masking, packing, quantise, shamir
from fedxdr.secagg.derivation import MaskKey
from fedxdr.secagg.stages import Mail, Roster

TOLERANCE = 1e-3
"""Largest difference of a recovered number from the true one: rounding, many times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loot:
    """What an attack has brought.

    Attributes:
        won: whether the attacker has what it wanted.
        gain: what that is, with its figures.
    """

    won: bool
    gain: str


NOTHING = Loot(won=False, gain="nothing")


def compare(
    stage: Stage, victim: str, found: np.ndarray | None, *, task: str = "training"
) -> Loot:
    """Return whether a vector is the victim's update, and nobody else's."""
    if found is None:
        return NOTHING
    errors = {
        org: float(np.abs(found[: data.truth(task).size] - data.truth(task)).max())
        for org, data in stage.data.items()
    }
    off = errors.pop(OrgId(victim))
    return Loot(
        won=off < TOLERANCE and min(errors.values()) > 100 * TOLERANCE,
        gain=f"the update of {victim} in the clear (largest error {off:.1e})",
    )


# What a round looked like to one organisation.


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Key list, transcript and mail as they were shown to one organisation."""

    org: OrgId
    keys: dict[OrgId, KeysMessage]
    roster: Roster
    mail: tuple[Mail, ...]

    @property
    def transcript(self) -> bytes:
        return self.roster.transcript


def view_of(stage: Stage, org: str) -> View | None:
    """Return a round as an organisation was shown it, None if it was shown no keys."""
    shown, announced = stage.wire.shown, stage.wire.shown.get((org, "announcement"))
    listed = shown.get((org, "key-list"))
    if listed is None or announced is None:
        return None
    envelopes = wire.unpack_envelopes(listed)
    keys = {
        message.org: message
        for message in (canonical.decode(e.payload, KeysMessage) for e in envelopes)
    }
    transcript = messages.transcript(Envelope.from_json(announced), envelopes)
    return View(
        org=OrgId(org),
        keys=keys,
        roster=opening.roster_of(stage.round.plan, keys, transcript),
        mail=mail_in(shown.get((org, "mail"), b"[]")),
    )


def mail_in(body: bytes) -> tuple[Mail, ...]:
    """Return the mail in a list of signed share messages."""
    return tuple(
        canonical.decode(envelope.payload, ShareMessage).mail
        for envelope in wire.unpack_envelopes(body)
    )


# Secrets out of shares.


Shares = dict[OrgId, dict[OrgId, bytes]]
"""Owner of a secret -> who held the share -> share."""


def answers(stage: Stage, orgs: Iterable[str]) -> tuple[Shares, Shares]:
    """Return the self shares and the key shares that were revealed, all messages."""
    own: Shares = {}
    key: Shares = {}
    for org in orgs:
        for body in stage.posted(org, "unmasking"):
            envelope = Envelope.from_json(body)
            said = canonical.decode(envelope.payload, UnmaskingMessage)
            for kept, shares in ((own, said.self_shares), (key, said.key_shares)):
                for owner, share in shares.items():
                    kept.setdefault(owner, {})[said.org] = share
    return own, key


def held_by(stage: Stage, org: str) -> dict[OrgId, client.HeldShares]:
    """Return every share that a colluding member holds."""
    view, secrets = view_of(stage, org), stage.insiders.get(org)
    if view is None or secrets is None:
        return {}
    try:
        membership = client.join(secrets, roster=view.roster, me=view.org)
        return dict(client.open_mail(membership, view.mail).held)
    except FedxdrError:
        return {}


def secret(view: View | None, shares: Mapping[OrgId, bytes]) -> bytes | None:
    """Return what enough shares give, None if they are too few."""
    if view is None or len(shares) < view.roster.threshold:
        return None
    points = view.roster.points
    chosen = sorted(shares)[: view.roster.threshold]
    try:
        return shamir.combine({points[org]: shares[org] for org in chosen})
    except InvalidShare:
        return None


# Masks off.


def peel(
    stage: Stage,
    victim: str,
    *,
    self_seed: bytes | None,
    master: bytes | None = None,
    masters: Mapping[str, bytes] | None = None,
) -> np.ndarray | None:
    """Return the victim's update from its masked vector, None if a secret is missing.

    Args:
        stage: what was seen.
        victim: whose vector.
        self_seed: its b.
        master: its m; gives every pair mask.
        masters: m of its peers, colluders' included; each gives one pair mask.
    """
    view, vector = view_of(stage, victim), stage.vector(victim)
    if view is None or vector is None or self_seed is None:
        return None
    me = view.org
    known = {
        **{o: s.mask.master for o, s in stage.insiders.items()},
        **(masters or {}),
    }
    own = masking.self_mask_seed(self_seed, transcript=view.transcript)
    subtract, add = [own], list[bytes]()
    for mail in view.mail:
        peer = mail.sender
        seed = _pair(stage, view, peer, master=master, peers=known.get(peer))
        if seed is None:
            return None
        (subtract if me < peer else add).append(seed)
    plain = words_of(stage, vector)
    masking.apply(plain, add=add, subtract=subtract)
    return dequantised(stage, view, signed(stage, plain), {victim: 1.0})


def _pair(
    stage: Stage, view: View, peer: OrgId, *, master: bytes | None, peers: bytes | None
) -> bytes | None:
    """Return the seed of the mask of a pair, from the secret of either."""
    me = view.org
    low, high = min(me, peer), max(me, peer)
    holder = me if master is not None else peer
    held = master if master is not None else peers
    if held is None:
        return None
    key, other = MaskKey.derive(held), peer if holder == me else me
    agreed = agree(key.pair, view.roster.keys[other].mask.x25519)
    if holder == low:
        salt = key.salt(high, transcript=view.transcript)
    else:
        mail = _mail_between(stage, view, low, high)
        if mail is None:
            return None
        try:
            salt = key.open_salt(agreed, mail, transcript=view.transcript)
        except InvalidShare:
            return None
    return masking.pair_mask_seed(
        agreed, salt, low=low, high=high, transcript=view.transcript
    )


def _mail_between(stage: Stage, view: View, low: OrgId, high: OrgId) -> Mail | None:
    for mail in (*view.mail, *mail_in(stage.last(low, "shares") or b"[]")):
        if (mail.sender, mail.recipient) == (low, high):
            return mail
    return None


def dequantised(
    stage: Stage,
    view: View,
    total: np.ndarray,
    of: Mapping[str, float],
    *,
    task: str = "training",
) -> np.ndarray:
    """Return the weighted mean of the named organisations whose integer sum this is."""
    plan = stage.round.plan
    weight = opening.effective_weights(plan, view.keys)
    return quantise.dequantise(
        np.ascontiguousarray(total, dtype=np.int32),
        bits=plan.quantisation_bits,
        bound=plan.bound(task),
        participants=len(weight),
        survivors_weight=sum(weight[OrgId(org)] for org in of),
        total_weight=sum(weight.values()),
    )


def opened_sum(stage: Stage) -> np.ndarray | None:
    """Return the integer sum that the present round opened, None if it did not."""
    opened = stage.round.opened
    if opened is None:
        return None
    return np.frombuffer(stage.orchestrator.blobs.get(opened.sum_digest), dtype="<i8")


def without_colluders(
    stage: Stage, survivors: Iterable[str], total: np.ndarray | None
) -> np.ndarray | None:
    """Return what is left of an opened sum when colluders take out their own part.

    All weights are alike here: every organisation has the same sample count.
    """
    if total is None:
        return None
    names = list(survivors)
    view = view_of(stage, next(n for n in names if n not in stage.colluders))
    if view is None:
        return None
    mean = dequantised(stage, view, total, dict.fromkeys(names, 1.0))
    size = mean.size - 1
    left = mean[:size] * len(names)
    for org in names:
        if org in stage.colluders:
            left = left - stage.data[OrgId(org)].truth("training")
    return left


def words_of(stage: Stage, vector: bytes) -> masking.Words:
    """Return the words of a masked vector as it travels."""
    plan = stage.round.plan
    size = opening.vector_size(plan, stage.round.announcement.task)
    return packing.unpack(vector, size=size, width=opening.upload_width(plan))


def signed(stage: Stage, words: masking.Words) -> np.ndarray:
    """Return words of the ring as the integers that they stand for."""
    return packing.signed(words, width=opening.upload_width(stage.round.plan))


def vector_in(body: bytes) -> bytes:
    """Return the protected vector in a contribution as it travels."""
    found: bytes = cbor2.loads(body)["vector"]
    return found
