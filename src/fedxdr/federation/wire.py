# SPDX-License-Identifier: Apache-2.0
"""The bytes in which messages of a round travel.

Envelopes travel as canonical JSON, lists of them as a canonical JSON array. A
contribution carries a large vector and travels as CBOR: statement and vector side by
side, the vector as little-endian words. Its JSON form (base64) is accepted as well, so
that a plain ``curl`` works.

Rules that always hold: what is read has exactly one form; lengths are checked before
anything is allocated for them.

Source: RFC 8949 (CBOR), deterministic encoding, section 4.2.1.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import cbor2

from fedxdr.core.canonical import jcs, parse_jcs
from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import Digest, digest
from fedxdr.crypto.envelope import Envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """One organisation's protected update.

    Attributes:
        statement: its signed ``ContributionStatement``; of a helper's answer, that.
        vector: what the mode makes of the update; large.
        mail: further signed messages of the sender that go with it.
    """

    statement: Envelope
    vector: bytes
    mail: tuple[Envelope, ...] = ()


def pack_envelopes(envelopes: Sequence[Envelope]) -> bytes:
    """Return envelopes as one canonical JSON array."""
    return jcs([envelope.to_value() for envelope in envelopes])


def unpack_envelopes(data: bytes) -> list[Envelope]:
    """Return the envelopes of a canonical JSON array.

    Raises:
        MalformedMessage: anything else.
    """
    value = parse_jcs(data)
    if not isinstance(value, list):
        raise MalformedMessage("want an array of envelopes")
    return [Envelope.from_value(item) for item in value]


def pack_stored(contribution: Contribution) -> bytes:
    """Return a contribution without its vector, as both sides store it."""
    if contribution.mail:
        return pack_envelopes([contribution.statement, *contribution.mail])
    return contribution.statement.to_json()


def unpack_stored(data: bytes) -> tuple[Envelope, tuple[Envelope, ...]]:
    """Return the statement of a stored contribution, and the mail beside it.

    Raises:
        MalformedMessage: neither an envelope nor an array of them.
    """
    if data[:1] != b"[":
        return Envelope.from_json(data), ()
    statement, *mail = unpack_envelopes(data) or [Envelope.from_json(b"")]
    return statement, tuple(mail)


def pack_contribution(contribution: Contribution) -> bytes:
    """Return a contribution as deterministic CBOR."""
    value: dict[str, object] = {
        "statement": contribution.statement.to_json(),
        "vector": contribution.vector,
    }
    if contribution.mail:
        value["mail"] = [envelope.to_json() for envelope in contribution.mail]
    return cbor2.dumps(value, canonical=True)


def unpack_contribution(
    data: bytes, *, size_bytes: int, is_exact: bool = True
) -> Contribution:
    """Return the contribution in CBOR bytes.

    Args:
        data: as received.
        size_bytes: how long the vector must be.
        is_exact: whether it must be exactly that long; else at most.

    Raises:
        MalformedMessage: anything but what ``pack_contribution`` writes, or a vector of
            another length.
    """
    stream = BytesIO(data)
    try:
        value = cbor2.load(stream)
    except (
        cbor2.CBORError,
        ArithmeticError,
        EOFError,
        LookupError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise MalformedMessage("not CBOR") from error
    match value:
        case {"statement": bytes(statement), "vector": bytes(vector), **rest} if (
            not rest and stream.tell() == len(data)
        ):
            contribution = Contribution(
                statement=Envelope.from_json(statement), vector=vector
            )
        case {
            "statement": bytes(statement),
            "vector": bytes(vector),
            "mail": list(mail),
            **rest,
        } if not rest and stream.tell() == len(data):
            contribution = Contribution(
                statement=Envelope.from_json(statement),
                vector=vector,
                mail=_envelopes(mail),
            )
        case _:
            raise MalformedMessage("want a CBOR map of statement and vector")
    if pack_contribution(contribution) != data:
        raise MalformedMessage("CBOR, but not in its deterministic form")
    return _sized(contribution, size_bytes, is_exact=is_exact)


def contribution_from_json(data: bytes, *, size_bytes: int) -> Contribution:
    """Return the contribution in JSON: ``{"statement": {...}, "vector": base64}``.

    Raises:
        MalformedMessage: anything else, or a vector of another length.
    """
    try:
        value = json.loads(data)
        contribution = Contribution(
            statement=Envelope.from_value(value["statement"]),
            vector=base64.b64decode(value["vector"], validate=True),
        )
    except (
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
        binascii.Error,
    ) as error:
        raise MalformedMessage("want JSON with statement and vector") from error
    return _sized(contribution, size_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a member needs, beside the vectors, to replay a round.

    Attributes:
        contributions: signed contribution statements of the survivors.
        shares: signed share messages between survivors and drop-outs.
        answers: signed unmasking messages.
        proof: digest of what shows that the sum is right, in modes that have that.
    """

    contributions: tuple[Envelope, ...]
    shares: tuple[Envelope, ...]
    answers: tuple[Envelope, ...]
    proof: Digest | None = None


def pack_evidence(evidence: Evidence) -> bytes:
    """Return evidence as canonical JSON."""
    value: dict[str, object] = {
        name: [envelope.to_value() for envelope in getattr(evidence, name)]
        for name in ("contributions", "shares", "answers")
    }
    return jcs({**value, "proof": evidence.proof})


def unpack_evidence(data: bytes) -> Evidence:
    """Return the evidence in canonical JSON.

    Raises:
        MalformedMessage: anything but what ``pack_evidence`` writes.
    """
    match parse_jcs(data):
        case {
            "contributions": list(contributions),
            "shares": list(shares),
            "answers": list(answers),
            "proof": str() | None as proof,
            **rest,
        } if not rest:
            return Evidence(
                contributions=tuple(Envelope.from_value(e) for e in contributions),
                shares=tuple(Envelope.from_value(e) for e in shares),
                answers=tuple(Envelope.from_value(e) for e in answers),
                proof=None if proof is None else digest(proof),
            )
        case _:
            raise MalformedMessage("want contributions, shares and answers")


def _envelopes(mail: list[object]) -> tuple[Envelope, ...]:
    if not mail or not all(isinstance(item, bytes) for item in mail):
        raise MalformedMessage("mail is one signed message or more")
    return tuple(Envelope.from_json(bytes(item)) for item in mail)  # type: ignore[call-overload] # all are bytes


def _sized(
    contribution: Contribution, size_bytes: int, *, is_exact: bool = True
) -> Contribution:
    found = len(contribution.vector)
    if found > size_bytes or (is_exact and found != size_bytes):
        raise MalformedMessage(
            f"the vector: got {len(contribution.vector)} bytes, want {size_bytes}"
        )
    return contribution
