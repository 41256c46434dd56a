# SPDX-License-Identifier: Apache-2.0
"""What sinks over HTTP share: one POST, and what its answer means.

Rules that always hold: a redirect is not followed, it would carry findings and secrets
to somebody else; certificates are checked; proxies of the environment are not used;
httpx's own log lines do not show the path and query of a request, which can be secret.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from typing import Final, NamedTuple

import httpx
from typing_extensions import override

from fedxdr.core.errors import InvalidInput, Unavailable
from fedxdr.transport.sinks.sink import TIMEOUT_S

_LIMIT_BYTES: Final = 8 << 20
_TOO_LARGE: Final = 413


class Answer(NamedTuple):
    """What was answered."""

    status: int
    body: bytes


class Poster:
    """Sends POST requests to one server.

    Args:
        name: of the sink, for messages.
        base: ``http://host:port`` or with https.
        headers: of every request, secrets among them.
        context: how certificates are checked; None for plain HTTP.
        timeout_s: how long an answer is waited for.
    """

    def __init__(
        self,
        name: str,
        base: str,
        *,
        headers: Mapping[str, str],
        context: ssl.SSLContext | None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._name = name
        self._base = base
        self._http = httpx.Client(
            headers=dict(headers),
            timeout=timeout_s,
            trust_env=False,
            follow_redirects=False,
            verify=False if context is None else context,
        )

    def post(self, target: str, body: bytes, *, headers: Mapping[str, str]) -> Answer:
        """Return the answer to a request.

        Args:
            target: path and query.
            body: the exact bytes.
            headers: of this request.

        Raises:
            Unavailable: no answer, or a redirect.
            InvalidInput: the body is too large for the server.
        """
        parts, size = [], 0
        try:
            with self._http.stream(
                "POST", self._base + target, content=body, headers=dict(headers)
            ) as answer:
                for part in answer.iter_bytes():
                    size += len(part)
                    if size > _LIMIT_BYTES:
                        raise Unavailable(f"{self._name} answers too much")
                    parts.append(part)
        except httpx.HTTPError as error:
            raise Unavailable(f"{self._name} cannot be reached: {error}") from error
        if answer.is_redirect:
            raise Unavailable(f"{self._name} redirects, which is not followed")
        if answer.status_code == _TOO_LARGE:
            raise InvalidInput(f"{self._name} says that it is too large")
        return Answer(answer.status_code, b"".join(parts))

    def refusal(self, answer: Answer) -> Unavailable:
        """Return the error for an answer that is no success and no verdict."""
        return Unavailable(f"{self._name} answers {answer.status}")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class _HideTargets(logging.Filter):
    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                f"{part.scheme}://{part.netloc.decode()}/..."
                if isinstance(part, httpx.URL)
                else part
                for part in record.args
            )
        return True


logging.getLogger("httpx").addFilter(_HideTargets())
