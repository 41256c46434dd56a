# SPDX-License-Identifier: Apache-2.0
"""Bodies of requests; unknown fields are refused, and fields that stand twice.

Of two fields of one name readers keep now the first, now the last: what one program
checked would not be what the next one does.
"""

from __future__ import annotations

import json
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedxdr.core.errors import MalformedMessage


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class InvitationProof(_Schema):
    """Which invitation is used, and the proof that its secret is known."""

    id: str = Field(description="SHA-256 of the invitation's secret, hexadecimal")
    proof: str = Field(description="HMAC-SHA256 over the enrolment, base64")


class Register(_Schema):
    """An organisation asks to join; ``fedxdr join`` makes this body."""

    org_id: str
    org_name: str = ""
    data_sources: dict[str, str] | list[str] = Field(default_factory=list)
    crypto_pubkey: str | None = Field(default=None, description="Ed25519, base64")
    public_key: str | None = Field(default=None, description="same as crypto_pubkey")
    endpoint: str = ""
    capabilities: list[str] = Field(default_factory=list)
    invitation: InvitationProof | None = None
    enrolment: dict[str, Any] | None = Field(
        default=None, description="the signed enrolment statement, a DSSE envelope"
    )


class Invite(_Schema):
    """The operator invites an organisation."""

    org_id: str
    server: str | None = Field(
        default=None, description="address in the token, if not that of this request"
    )
    lifetime_s: int = Field(default=86_400, ge=1, le=30 * 86_400)


class ProposeChange(_Schema):
    """Somebody proposes a change of members, keys or plan."""

    entry: dict[str, Any] = Field(description="the ledger entry, with its number")
    envelopes: list[dict[str, Any]] = Field(
        default_factory=list, description="what is signed beside it, without approvals"
    )


class ProposePlan(_Schema):
    """The operator asks the members for a plan."""

    aggregation_method: str | None = None
    min_orgs_required: int | None = Field(default=None, ge=1)
    config: dict[str, Any] = Field(
        default_factory=dict, description="fields of the plan that are to change"
    )


class StartRound(ProposePlan):
    """The operator opens a round, under a plan that these wishes make."""

    round_number: int | None = Field(default=None, ge=1)
    task: Literal["statistics", "training"] | None = None
    global_weights: str | None = Field(
        default=None, description="SHA-256 of the model in force, if given"
    )


class VerifyModel(_Schema):
    """A question about one model."""

    model_hash: str
    org_signatures: dict[str, str] = Field(default_factory=dict)


S = TypeVar("S", bound=_Schema)


def parse(schema: type[S], body: bytes) -> S:
    """Return a body as its schema.

    Raises:
        MalformedMessage: not JSON, an unknown or missing field, one that stands twice,
            or a wrong type.
    """
    try:
        found = schema.model_validate_json(body)
    except ValidationError as error:
        why = "; ".join(
            f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()
        )
        raise MalformedMessage(why) from error
    try:
        json.loads(body, object_pairs_hook=_require_each_once)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"not JSON: {error}") from error
    return found


def _require_each_once(pairs: list[tuple[str, Any]]) -> None:
    """Refuse an object of which a name stands twice; of the value nothing is kept."""
    names = {name for name, _ in pairs}
    if len(names) != len(pairs):
        raise MalformedMessage("a field stands twice in one object")
