# SPDX-License-Identifier: Apache-2.0
"""Findings to a webhook: a signed POST with a JSON array of OCSF records.

Signed as Standard Webhooks 1.0 say: ``webhook-signature`` is ``v1,`` and the base64 of
HMAC-SHA256(secret, ``webhook-id`` || ``.`` || ``webhook-timestamp`` || ``.`` || body).
The id is a digest of the findings' ids: the same batch again has the same. A receiver
checks the signature over the bytes that came, refuses a timestamp (seconds since 1970)
far from its own, and drops records whose ``finding_info.uid`` it has.

Any 2xx confirms the whole array; 400, 413 and 422 refuse it for good.

Source: Standard Webhooks 1.0, "Symmetric"; RFC 2104.
"""

from __future__ import annotations

import base64
import hmac
import ssl
from collections.abc import Sequence
from typing import Final

from fedxdr.core.clock import Clock
from fedxdr.core.errors import InvalidInput, InvalidSettings
from fedxdr.core.ids import sha256
from fedxdr.telemetry.findings import Finding
from fedxdr.telemetry.ocsf_out import to_ocsf
from fedxdr.telemetry.shown import Names
from fedxdr.transport.sinks.posting import Poster
from fedxdr.transport.sinks.sink import TIMEOUT_S

_PREFIX: Final = "whsec_"
_FEWEST_BYTES: Final = 24
_REFUSES: Final = frozenset({400, 422})
_SUCCESS: Final = range(200, 300)


class WebhookSink:
    """Posts to one address.

    Args:
        name: without secrets: path and query of the address can be some.
        base: ``https://host:port``.
        target: path and query.
        secret: what both sides hold: ``whsec_`` and base64 of 24 bytes or more, or a
            text of 24 or more.
        names: looks up who a token is.
        context: how certificates are checked; None for plain HTTP.
        clock: the time.
        timeout_s: how long an answer is waited for.

    Raises:
        InvalidSettings: a secret that is too short or no base64.
    """

    def __init__(
        self,
        name: str,
        base: str,
        target: str,
        *,
        secret: str,
        names: Names,
        context: ssl.SSLContext | None,
        clock: Clock,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._name = name
        self._target = target
        self._key = _key(secret)
        self._names = names
        self._clock = clock
        headers = {"content-type": "application/json"}
        self._poster = Poster(
            name, base, headers=headers, context=context, timeout_s=timeout_s
        )

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    def send(self, batch: Sequence[Finding]) -> None:
        """Post all findings at once.

        Raises:
            Unavailable: no success.
            InvalidInput: 400, 413 or 422.
        """
        body = b"[" + b",".join(to_ocsf(one, names=self._names) for one in batch) + b"]"
        number = f"msg_{sha256(*(one.id.encode() for one in batch))}"
        timestamp = str(int(self._clock.now().timestamp()))
        headers = {
            "webhook-id": number,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature(self._key, number, timestamp, body),
        }
        answer = self._poster.post(self._target, body, headers=headers)
        if answer.status in _REFUSES:
            raise InvalidInput(f"{self._name} answers {answer.status}")
        if answer.status not in _SUCCESS:
            raise self._poster.refusal(answer)

    def close(self) -> None:
        """Close the connections."""
        self._poster.close()


def signature(key: bytes, number: str, timestamp: str, body: bytes) -> str:
    """Return the value of ``webhook-signature``.

    Args:
        key: the secret's bytes.
        number: value of ``webhook-id``.
        timestamp: value of ``webhook-timestamp``.
        body: the exact bytes.
    """
    signed = f"{number}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"


def _key(secret: str) -> bytes:
    try:
        key = (
            base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
            if secret.startswith(_PREFIX)
            else secret.encode()
        )
    except ValueError as error:
        # without the cause: its message may quote the secret
        raise InvalidSettings("a webhook's secret is no base64") from error
    if len(key) < _FEWEST_BYTES:
        raise InvalidSettings(
            f"a webhook's secret has {_FEWEST_BYTES} bytes or more, got {len(key)}"
        )
    return key
