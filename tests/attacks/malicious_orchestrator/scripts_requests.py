# SPDX-License-Identifier: Apache-2.0
"""Attacks on the live server: by strangers, by members, with recorded requests."""

from __future__ import annotations

import dataclasses
from contextlib import suppress

import httpx
from tests.attacks.malicious_orchestrator.attack import Attack
from tests.attacks.malicious_orchestrator.known_rules import (
    IN_OWN_NAME,
    ONLY_OPERATOR,
    REQUEST_ONCE,
    REQUEST_SIGNED,
)
from tests.attacks.malicious_orchestrator.loot import Loot
from tests.attacks.malicious_orchestrator.stage import Stage

from fedxdr.core import canonical
from fedxdr.core.errors import FedxdrError
from fedxdr.crypto import requests
from fedxdr.crypto.envelope import Envelope
from fedxdr.crypto.keys import IdentityKey, PublicIdentity
from fedxdr.federation.messages import KeysMessage
from fedxdr.federation.phases import Phase
from fedxdr.transport.client import PREFIX, problem

_START = "/federation/round/start"


class Impostor:
    """Signs with its own key and says that it is another's."""

    def __init__(self, key: IdentityKey, says: PublicIdentity) -> None:
        self._key = key
        self.public = says

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


def _post(stage: Stage, headers: dict[str, str], body: bytes = b"{}") -> None:
    """Send a request as it is; what the server refuses is noted."""
    url = f"{stage.server.address}{PREFIX}{_START}"
    answer = httpx.post(url, content=body, headers=headers)
    if not answer.is_success:
        stage.refusals.append(
            ("server", str(problem(answer.status_code, answer.content)))
        )


def _signed(stage: Stage, signer) -> dict[str, str]:
    headers = {"content-type": "application/json"}
    request = requests.Request(
        method="POST",
        url=f"{stage.server.address}{PREFIX}{_START}",
        headers=headers,
        body=b"{}",
    )
    requests.sign(
        request, signer=signer, now=stage.fed.clock.now(), entropy=stage.entropy
    )
    return headers


def _opened(stage: Stage, before: object, by: str) -> Loot:
    now = stage.orchestrator.current
    return Loot(won=now is not before, gain=f"a round that {by} has opened")


def start_as_stranger(stage: Stage) -> Loot:
    """Somebody without a key names the operator's."""
    key = IdentityKey.generate(stage.entropy)
    stage.settle()
    _post(stage, _signed(stage, Impostor(key, stage.fed.operator.public)))
    return _opened(stage, None, "a stranger")


def start_as_member(stage: Stage) -> Loot:
    """A member signs, with its own key, what only the operator may ask for."""
    stage.settle()
    _post(stage, _signed(stage, stage.keys[stage.colluders[0]]))
    return _opened(stage, None, "a member")


def replay_request(stage: Stage) -> Loot:
    """Somebody on the way sends the operator's request a second time."""
    stage.settle()
    headers = _signed(stage, stage.fed.operator)
    _post(stage, headers)
    stage.go()
    stage.settle()
    first = stage.orchestrator.current
    _post(stage, headers)
    return _opened(stage, first, "nobody who was asked")


def write_for_another(stage: Stage) -> Loot:
    """A member's entry says that it is another's: all would refuse the key list."""
    member = stage.colluders[0]
    stage.start()
    announcement = Envelope.from_json(
        stage.orchestrator.announcement(stage.round_id).to_json()
    )
    stage.wire.shown[member, "announcement"] = announcement.to_json()
    others = [o for o in stage.orgs if o != member]
    stage.step(others[0])
    mine = stage.last(others[0], "keys")
    assert mine is not None
    sent = canonical.decode(Envelope.from_json(mine).payload, KeysMessage)
    lie = stage.sign(dataclasses.replace(sent, org=others[0]), by=member)
    client = stage.client(stage.keys[member])
    try:
        client.call(
            "POST", f"/federation/round/{stage.round_id}/keys", body=lie.to_json()
        )
    except FedxdrError as error:
        stage.refusals.append(("server", str(error)))
    finally:
        client.close()
    with suppress(AssertionError):
        stage.go(only=others)
    return Loot(
        won=stage.round.phase is not Phase.COMMITTED
        and not any(stage.posted(org, "contribution") for org in others),
        gain="a round that one member has ended for all",
    )


ATTACKS = (
    Attack(
        name="operator-impersonated",
        aim="open a round in the operator's name without its key",
        rules=(REQUEST_SIGNED,),
        script=start_as_stranger,
    ),
    Attack(
        name="operator-played-by-member",
        aim="open a round with a member's key",
        rules=(ONLY_OPERATOR,),
        script=start_as_member,
        stage={"colluders": ("org-d",)},
    ),
    Attack(
        name="request-replayed",
        aim="send the operator's recorded request a second time",
        rules=(REQUEST_ONCE,),
        script=replay_request,
        is_long=True,
    ),
    Attack(
        name="keys-in-anothers-name",
        aim="put an entry on the key list that names another member",
        rules=(IN_OWN_NAME,),
        script=write_for_another,
        is_long=True,
        stage={"colluders": ("org-d",)},
    ),
)
