# SPDX-License-Identifier: Apache-2.0
"""The rules that the attacks meet, by the sentence with which each refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.attacks.malicious_orchestrator.rules import Rule, Swap

from fedxdr.core.ids import sha256
from fedxdr.crypto import envelope as envelopes
from fedxdr.crypto.requests import Proof
from fedxdr.federation.messages import (
    PAYLOAD_TYPES,
    Announcement,
    KeysMessage,
    ShareMessage,
    SurvivorSet,
)

_BAD = "the ed25519 signature does not verify"


def _unsigned(*types: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what makes ``envelope.verify`` believe these messages unseen."""
    believed = {PAYLOAD_TYPES[type_] for type_ in types}

    def without(verify: Callable[..., bytes]) -> Callable[..., bytes]:
        def lenient(envelope: Any, *, public_key: Any, payload_type: str) -> bytes:
            if payload_type in believed:
                return envelope.payload
            return verify(envelope, public_key=public_key, payload_type=payload_type)

        return lenient

    return without


SIGNED_BY_MEMBERS = Swap(
    name="round keys and mail are signed by the members' keys on the ledger",
    where="fedxdr.crypto.envelope.verify",
    without=_unsigned(KeysMessage, ShareMessage),
    says=_BAD,
    code="bad-signature",
)
OWN_KEYS = Rule(
    name="our keys on the key list are those we sent",
    says="the key list holds other keys than those we sent",
)
OWN_KEYS_IN_ROSTER = Rule(
    name="masks are made under our own keys only",
    says="the roster does not hold the round keys that {} sent",
)
ENOUGH_MAIL = Rule(
    name="masks are made with enough peers",
    says="shares of {} participants arrived, {} are needed",
)
MAIL_FOR_US = Rule(
    name="mail is for whom it is delivered to",
    says="mail from {} is not for {}",
)

# Announcements and plans.

SIGNED_BY_ORCHESTRATOR = Swap(
    name="announcements are signed by the orchestrator's key on the ledger",
    where="fedxdr.crypto.envelope.verify",
    without=_unsigned(Announcement),
    says="no single signature by key",
    code="bad-signature",
)
OF_THIS_ROUND = Rule(
    name="an announcement is of the round it was fetched for",
    says="the announcement of another round",
    within="parties.checks",
)
PARENT_IN_FORCE = Rule(
    name="a round starts from the model in force",
    says="the announced parent is not the model in force",
)
NEWEST_BLOCK = Rule(
    name="a round follows the newest block",
    says="the announcement does not follow the newest block",
)
NEXT_NUMBER = Rule(
    name="a round has the next number",
    says="the round's number does not follow those on the ledger",
)
COHORT_ON_LEDGER = Rule(
    name="the cohort is all members on the ledger",
    says="the cohort is not the members on the ledger, in order",
)
COHORT_OF_PLAN = Rule(
    name="the cohort has the plan's size",
    says="a cohort of {}; the plan is for {}",
)
MODE_FLOOR = Rule(
    name="no plan collects in a mode below the floor",
    says="the plan collects in mode {}; this organisation takes part in",
)
SIZE_FLOOR = Rule(
    name="no plan opens smaller sums than the floor",
    says="the plan opens sums of {}; this organisation asks for at least",
)
PRIVACY_FLOOR = Rule(
    name="no plan goes without differential privacy below the floor",
    says="the plan has no differential privacy",
)
MODEL_IS_NAMED = Swap(
    name="the model is the file whose hash was announced",
    where="fedxdr.parties.collecting.mode.Desk.model",
    without=lambda _: lambda self, digest: self.link.model(digest),
    says="the model's file does not hash to its name",
    code="invalid-input",
)

# Survivor sets and answers.

SUM_FLOOR = Rule(
    name="no sum of too few is answered for",
    says="a sum of {}; we answer for {} or more",
    within="parties.checks",
)
ENOUGH_TO_OPEN = Rule(
    name="no share is revealed for a sum of too few",
    says="{} survivors, {} are needed to open their sum",
    within="secagg.stages",
)
ONE_SET_FOR_ALL = Rule(
    name="all signed the very set that we signed",
    says="{} signed another survivor set than we did",
)
ENOUGH_SIGNED = Rule(
    name="a threshold of the survivors signed the set",
    says="{} signatures over the survivor set; {} are needed",
)
SET_SIGNED_BY_MEMBERS = Swap(
    name="the set is signed by the members' keys on the ledger",
    where="fedxdr.crypto.envelope.verify",
    without=_unsigned(SurvivorSet),
    says=_BAD,
    code="bad-signature",
)
SET_SIGNED_BY_KEY = Swap(
    name="the set is signed by the very key on the ledger",
    where="fedxdr.crypto.envelope.verify",
    without=_unsigned(SurvivorSet),
    says="no single signature by key",
    code="bad-signature",
)
NEVER_BOTH = Rule(
    name="nobody is survivor and drop-out",
    says="{} cannot be survivor and drop-out",
)
SET_IS_PARTITION = Rule(
    name="the set is a partition of those who sent shares",
    says="the set is no partition of those who sent shares",
)
ANSWER_IS_PARTITION = Rule(
    name="shares are revealed for a partition of those whose shares arrived",
    says="the partition is not one of those whose shares arrived",
)
ANSWER_NEVER_BOTH = Rule(
    name="an answer never holds both shares of one peer",
    says="an answer holds both shares of one peer",
)
OWN_CONTRIBUTION = Rule(
    name="the set names our own contribution",
    says="the set names another contribution than ours",
)
ONE_SET_PER_PARENT = Rule(
    name="on one parent model one survivor set is signed",
    says="another survivor set was signed for opening",
)


def _forgetful(append: Callable[..., None]) -> Callable[..., None]:
    """Return a log that does not keep what was asked and answered about sets."""

    def forgetting(self: Any, round_id: Any, fact: Any) -> None:
        if not any(f'"{step}"'.encode() in fact.body for step in _ABOUT_SETS):
            append(self, round_id, fact)

    return forgetting


def _signed_once(envelope: Any, *, public_key: Any, payload_type: str) -> bytes:
    """Check the Ed25519 signature alone."""
    first = dataclasses.replace(envelope, signatures=envelope.signatures[:1])
    return envelopes.verify(first, public_key=public_key, payload_type=payload_type)


def _unverified(request: Any, *, identity: Any, now: Any) -> Any:
    """Believe a request's signature unseen."""
    return Proof(
        keyid=identity.keyid,
        nonce=sha256(str(request.headers).encode()),
        expires=now + timedelta(seconds=60),
    )


STRANGERS = ("a" * 64, "b" * 64)
_ABOUT_SETS = ("survivor-set", "survivor-signature", "quorum", "unmasking")

STORED_BEFORE_SENT = Swap(
    name="what was signed and revealed is stored before it is sent",
    where="fedxdr.storage.rounds.SqlFactLog.append",
    without=_forgetful,
    says="",
    code="",
)


def _anybody(signer_of: Callable[..., Any]) -> Callable[..., Any]:
    """Return what takes two strangers for members."""

    def lenient(envelope: Any, members: dict[Any, Any]) -> Any:
        keyid = envelope.signatures[0].keyid
        if keyid in STRANGERS:
            return sorted(members)[1 + STRANGERS.index(keyid)]
        return signer_of(envelope, members)

    return lenient


SIGNER_IS_MEMBER = Swap(
    name="only keys on the ledger count for a quorum",
    where="fedxdr.federation.messages.signer_of",
    without=_anybody,
    says="signed by a key that is no member's on the ledger",
    code="bad-signature",
)

# Openings, proposals, backups.

REPLAYED = Rule(
    name="a model is accepted after the round was redone from its contributions",
    says="replay of the contributions gives another model than the proposed one",
)
LEFT_OUT = Rule(
    name="our contribution is in the aggregate",
    says="our contribution was left out or replaced",
)
ENTROPY_NOT_COPIED = Swap(
    name="nothing secret is read from a restored backup",
    where="fedxdr.storage.fence.FileFence.why_gone",
    without=lambda _: lambda _self, _name: "",
    says="a restored backup",
    code="not-found",
)
ONE_VECTOR = Swap(
    name="one protected vector is made in a round, and sent again or not at all",
    where="fedxdr.parties.collecting.contributing.once",
    without=lambda _: lambda desk, _dossier, make: desk.blobs.put(make()),
    says="",
    code="",
)
ANSWERED_ONCE = Rule(
    name="an answer binds the agent for good, restored or not",
    says="{} was answered otherwise before",
    within="FileFence",
)

# The ledger and those who decide about it.

APPROVED_BY_QUORUM = Rule(
    name="changes of members, keys or plan are approved by a quorum of those before",
    says="{} of {} members approved, a quorum is {}",
)
APPROVED_THIS = Rule(
    name="an approval is of this very change, at this place",
    says="{} approved another entry",
)
SIGNED_TWICE = Swap(
    name="what stands on the ledger is signed by ML-DSA-65 as well",
    where="fedxdr.crypto.envelope.verify_twice",
    without=lambda _: _signed_once,
    says="and its ML-DSA-65 key",
    code="bad-signature",
)
HEAD_HAS_QUORUM = Rule(
    name="a round starts on a head that a quorum of the members has cosigned",
    says="the newest head has no quorum",
    within="parties.following",
)
QUORUM_AWAITED = Rule(
    name="(the attacker's own server does not wait)",
    says="the newest block, {}, waits for the cosignatures of",
)
BLOCKS_LINK = Rule(
    name="a block names the hash of the block before it",
    says="prev_hash {}…, want {}…",
)
HEAD_OVER_BLOCKS = Rule(
    name="a head is over the blocks that are held, and no others",
    says="the signed head is not over the blocks that were sent",
)
FIGURES_REDONE = Rule(
    name="figures are those that the redone round gives",
    says="replay gives other figures than the proposed ones",
)
CLAIMS_AS_STATED = Rule(
    name="what is said of an organisation is what it stated and signed",
    says="the proposal says otherwise than {} stated",
)

# Requests to the server.

REQUEST_SIGNED = Swap(
    name="a request is signed by the key that it names",
    where="fedxdr.crypto.requests.verify",
    without=lambda _: _unverified,
    says="request signature:",
    code="bad-signature",
)
ONLY_OPERATOR = Rule(
    name="only the operator opens rounds",
    says="only the operator may do this",
)
REQUEST_ONCE = Rule(
    name="a request is taken once",
    says="this request was received before",
    within="storage.memory",
)
IN_OWN_NAME = Rule(
    name="nobody writes in another's name",
    says="{} signed a message in the name of {}",
    within="reception",
)

# The graph above 32 organisations.

CONNECTED = Rule(
    name="survivors hang together in the graph",
    says="the survivors' graph is not connected",
)
NEIGHBOURHOOD_THRESHOLD = Swap(
    name="a secret needs above two thirds of its neighbourhood",
    where="fedxdr.secagg.graph.share_threshold",
    without=lambda _: lambda _degree: 1,
    says="of the neighbourhood of",
    code="too-few-participants",
)
