# SPDX-License-Identifier: Apache-2.0
"""The one place where bytes that are signed or hashed are made.

Values are frozen dataclasses. Their canonical form is RFC 8785 (JSON Canonicalization
Scheme): ``bytes`` as padded base64, ``datetime`` as RFC 3339 in UTC, tuples as arrays.
Reading accepts nothing but that one form: what was read is written again and must give
the same bytes, which refuses unknown and duplicate fields, other number forms, other
field orders, other time zones and white space in one comparison.

Most values hold no float. Those are written by msgspec, 20 times faster than by the
rfc8785 package; a property test holds the two against each other.

It does NOT sign (see crypto/envelope.py), and it never sees floats that are not finite.

Source: RFC 8785.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
import rfc8785

from fedxdr.core.errors import MalformedMessage
from fedxdr.core.ids import Digest, sha256

T = TypeVar("T")

_MAX_INTEGER = 2**53 - 1
_UTC = timedelta(0)


def jcs(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return the RFC 8785 form of a JSON value.

    Args:
        value: None, bool, int within ±(2^53 - 1), finite float, str, list, dict with
            text keys, nested.

    Raises:
        MalformedMessage: a value that RFC 8785 has no form for.
    """
    try:
        if _is_plain(value):
            return msgspec.json.encode(value, order="sorted")
        return rfc8785.dumps(value)
    except (
        rfc8785.CanonicalizationError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        raise MalformedMessage(f"no canonical JSON form: {error}") from error


def parse_jcs(data: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return the JSON value whose canonical form is exactly ``data``.

    Raises:
        MalformedMessage: not JSON, or JSON in any other than its canonical form.
    """
    try:
        value = msgspec.json.decode(data, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(f"not JSON: {error}") from error
    if jcs(value) != data:
        raise MalformedMessage("JSON, but not in canonical form (RFC 8785)")
    return value


def encode(value: object) -> bytes:
    """Return the canonical bytes of a dataclass value.

    Args:
        value: a frozen dataclass of JSON-like fields, bytes, datetimes and others such.

    Raises:
        MalformedMessage: a field that has no canonical form (NaN, 2^53 and beyond, an
            instant that is not in UTC).
    """
    return jcs(builtins(value))


def builtins(value: object) -> Any:  # noqa: ANN401 - any JSON value
    """Return a dataclass value as the JSON value that ``encode`` writes.

    Raises:
        MalformedMessage: a number that is not finite, an instant that is not in UTC.
    """
    try:
        return _as_json(msgspec.to_builtins(value, builtin_types=(datetime,)))
    except RecursionError as error:
        raise MalformedMessage("nested too deeply") from error


def decode(data: bytes, type_: type[T], *, what: str = "") -> T:
    """Return the value of ``type_`` whose canonical bytes are exactly ``data``.

    Args:
        data: canonical bytes.
        type_: the dataclass expected.
        what: what people call it, with its article and who makes it; for files that a
            person names, who knows no type of ours.

    Raises:
        MalformedMessage: not JSON, not of that type, or not in canonical form.
    """
    name = what or f"a {type_.__name__}"
    try:
        value = msgspec.json.decode(data, type=type_, strict=True)
    except MalformedMessage:
        raise
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedMessage(f"not {name}: {error}") from error
    if encode(value) != data:
        raise MalformedMessage(
            f"not the canonical form of {name}: unknown field, other order "
            "or other spelling"
        )
    return value


def from_builtins(value: Any, type_: type[T]) -> T:  # noqa: ANN401 - any JSON value
    """Return a JSON value as ``type_``; unknown fields are refused.

    Raises:
        MalformedMessage: not of that type, or with fields it does not have.
    """
    return decode(jcs(value), type_)


def fingerprint(label: str, value: object) -> Digest:
    """Return SHA-256(label || 0x00 || canonical bytes) in hexadecimal.

    Args:
        label: what is hashed, with a version: ``"fedxdr/plan/v1"``.
        value: as for ``encode``.
    """
    return sha256(label.encode(), b"\x00", encode(value))


def _as_json(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return value with its instants as text.

    Refuses what msgspec would let pass: NaN and infinity, which it writes as null, and
    instants of other zones or none, which would give one instant several forms.
    """
    kind = type(value)
    if kind is dict:
        return {key: _as_json(inner) for key, inner in value.items()}
    if kind is list or kind is tuple:
        return [_as_json(inner) for inner in value]
    if kind is float and not math.isfinite(value):
        raise MalformedMessage("a number is not finite")
    if kind is datetime:
        if value.utcoffset() != _UTC:
            raise MalformedMessage("an instant is not in UTC")
        return msgspec.to_builtins(value)
    return value


def _is_plain(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Return whether msgspec writes value as RFC 8785 wants it.

    That is all but floats, integers that RFC 8785 refuses, and keys outside ASCII,
    whose order in UTF-16 may be another.
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-_MAX_INTEGER <= value <= _MAX_INTEGER)
    if kind is dict:
        return all(
            type(key) is str and key.isascii() and _is_plain(inner)
            for key, inner in value.items()
        )
    if kind is list or kind is tuple:
        return all(map(_is_plain, value))
    return False
