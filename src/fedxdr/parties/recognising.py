# SPDX-License-Identifier: Apache-2.0
"""Who asks: members, applicants and the operator, by request signature or by token.

Not here: who joins (registrar.py), what a member may propose (api/changes.py).

Rules that always hold: whoever is recognised has the key now, on the ledger or in an
open application; a token is worth nothing once its bearer has other keys; a nonce is
accepted once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import urlsplit

from fedxdr.core.clock import Clock
from fedxdr.core.errors import Unauthorised, UnknownSender
from fedxdr.core.ids import OrgId
from fedxdr.crypto import requests, tokens
from fedxdr.crypto.keys import PublicIdentity, TokenKey
from fedxdr.ledger.entries import MemberEnrolled, MemberKeys
from fedxdr.ledger.standing import Member
from fedxdr.parties.orchestrator import OPERATOR, Orchestrator
from fedxdr.parties.ports import Registry

_COSIGNING = re.compile(r"/ledger/checkpoint/[0-9]+\Z")
TOKEN_LIFETIME_S = 30 * 86_400


class Recogniser:
    """The orchestrator's eye for who is who.

    Args:
        orchestrator: whose members and applicants these are.
        registry: the nonces.
        clock: the time.
        operator: the operator's public key.
        token_key: signs bearer tokens.
        federation: the issuer that tokens name.
    """

    def __init__(
        self,
        *,
        orchestrator: Orchestrator,
        registry: Registry,
        clock: Clock,
        operator: PublicIdentity,
        token_key: TokenKey,
        federation: str,
    ) -> None:
        self._orchestrator = orchestrator
        self._registry = registry
        self._clock = clock
        self._operator = operator
        self._token_key = token_key
        self._federation = federation

    @property
    def members(self) -> Mapping[OrgId, Member]:
        """The members in force; none before the founding."""
        recorder = self._orchestrator.recorder
        return recorder.in_force.members if recorder.is_begun else {}

    def applied(self) -> dict[OrgId, MemberKeys]:
        """Return the keys with which organisations applied, until they are members."""
        return {
            org: change.entry.keys
            for org, change in self._orchestrator.governance.applications().items()
            if isinstance(change.entry, MemberEnrolled)
        }

    def issue_token(self, org: OrgId) -> str:
        """Return a bearer token that lets an organisation read for 30 days.

        Raises:
            UnknownSender: it is no member and has not applied.
        """
        keys = self._keys_of(org)
        if keys is None:
            raise UnknownSender(f"{org} is no member of this federation")
        return tokens.issue(
            key=self._token_key,
            subject=org,
            fingerprint=keys.fingerprint,
            role="organisation",
            issuer=self._federation,
            now=self._clock.now(),
            lifetime_s=TOKEN_LIFETIME_S,
        )

    def bearer(self, token: str) -> str:
        """Return who bears a token.

        Raises:
            Unauthorised: it is not ours, has expired, or its bearer is no member any
                more or has other keys now.
        """
        claims = tokens.check(
            token,
            public_key=self._token_key.public,
            issuer=self._federation,
            now=self._clock.now(),
        )
        keys = self._keys_of(OrgId(claims.subject))
        if keys is None:
            raise Unauthorised(f"{claims.subject} is no member of this federation")
        if keys.fingerprint != claims.fingerprint:
            raise Unauthorised(
                f"the bearer token is for keys that {claims.subject} has no more: its "
                "agent fetches a new one when it takes its new keys; POST "
                "/federation/token, signed with them, answers with one"
            )
        return claims.subject

    def require_member(self, name: str) -> None:
        """Return if a reader may see what is for members only.

        Raises:
            UnknownSender: an organisation that only applied.
        """
        if name != OPERATOR and name not in self.members:
            raise UnknownSender(f"{name} is no member yet")

    def signer(self, request: requests.Request, *, is_write: bool) -> str:
        """Return who signed a request: an organisation's name, or ``operator``.

        Args:
            request: as it arrived.
            is_write: whether its nonce is to be used up.

        Raises:
            BadSignature: not signed, expired, or over another request.
            UnknownSender: signed by a key that is not on the ledger.
            ReplayedRequest: the nonce was used before.
        """
        name, identity = self._by_keyid(request)
        proof = requests.verify(request, identity=identity, now=self._clock.now())
        if is_write:
            self.use_nonce(proof)
        return name

    def use_nonce(self, proof: requests.Proof) -> None:
        """Use up the nonce of a request whose signature is good.

        Raises:
            ReplayedRequest: it was used before.
        """
        self._registry.use_nonce(
            proof.keyid,
            proof.nonce,
            expires=proof.expires + timedelta(seconds=requests.CLOCK_SKEW_S),
        )
        self._registry.forget_nonces(before=self._clock.now())

    def _keys_of(self, org: OrgId) -> MemberKeys | None:
        member = self.members.get(org)
        return self.applied().get(org) if member is None else member.keys

    def _by_keyid(self, request: requests.Request) -> tuple[str, PublicIdentity]:
        keyid = requests.claimed_keyid(request.headers)
        if keyid == self._operator.keyid:
            return OPERATOR, self._operator
        for org, member in self.members.items():
            if member.keys.identity.keyid == keyid:
                return org, member.keys.identity
        recorder = self._orchestrator.recorder
        if recorder.is_begun and _COSIGNING.search(urlsplit(request.url).path):
            # the head over a block that took a key or a member away still waits for it
            before = recorder.signers_at(recorder.size()).cosigners
            for org, member in before.items():
                if member.keys.identity.keyid == keyid:
                    return org, member.keys.identity
        for org, keys in self.applied().items():
            if keys.identity.keyid == keyid:
                return org, keys.identity
        raise UnknownSender(
            f"key {keyid[:16]}… is no member's on the ledger: join first"
        )
