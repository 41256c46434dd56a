# SPDX-License-Identifier: Apache-2.0
"""Findings into Elasticsearch or OpenSearch by ``_bulk``.

``create`` with the finding's id as ``_id``: what is there already answers 409 and
counts as taken, so nothing stands twice in an index. The document is the OCSF record
with ``@timestamp`` before it, so that data streams take it; they know an ``_id`` within
one backing index only.

Source: Elasticsearch 8, "Bulk API", request, response body, ``filter_path``.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

import msgspec

from fedxdr.core.clock import rfc3339
from fedxdr.core.errors import InvalidInput, Unavailable
from fedxdr.telemetry.findings import Finding
from fedxdr.telemetry.ocsf_out import to_ocsf
from fedxdr.telemetry.shown import Names
from fedxdr.transport.sinks.posting import Poster
from fedxdr.transport.sinks.sink import TIMEOUT_S

_OK: Final = 200
_BAD: Final = 400
_TAKEN: Final = frozenset({200, 201, 409})
_FILTER: Final = "errors,items.*.status,items.*.error.type"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Error(msgspec.Struct):
    type: str = ""


class _Result(msgspec.Struct):
    status: int
    error: _Error | None = None


class _Item(msgspec.Struct):
    create: _Result


class _Reply(msgspec.Struct):
    items: list[_Item]


class ElasticSink:
    """Posts to ``/INDEX/_bulk``.

    Args:
        name: without secrets.
        base: ``https://host:9200``.
        index: an index, alias or data stream.
        authorisation: value of the header, ``ApiKey …`` or ``Basic …``; none if empty.
        names: looks up who a token is.
        context: how certificates are checked; None for plain HTTP.
        timeout_s: how long an answer is waited for.
    """

    def __init__(
        self,
        name: str,
        base: str,
        index: str,
        *,
        authorisation: str,
        names: Names,
        context: ssl.SSLContext | None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._name = name
        self._names = names
        self._target = f"/{quote(index, safe='')}/_bulk?filter_path={_FILTER}"
        headers = {"content-type": "application/x-ndjson"}
        if authorisation:
            headers["authorization"] = authorisation
        self._poster = Poster(
            name, base, headers=headers, context=context, timeout_s=timeout_s
        )

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    def send(self, batch: Sequence[Finding]) -> None:
        """Create a document for each finding that has none.

        Raises:
            Unavailable: not all were taken, and again may help.
            InvalidInput: a document does not fit the index's mapping.
        """
        body = b"".join(self._document(one) for one in batch)
        answer = self._poster.post(self._target, body, headers={})
        if answer.status != _OK:
            raise self._poster.refusal(answer)
        try:
            items = msgspec.json.decode(answer.body, type=_Reply).items
        except msgspec.DecodeError as error:
            raise Unavailable(f"{self._name} answers no bulk response") from error
        if len(items) != len(batch):
            raise Unavailable(
                f"{self._name} answers for {len(items)} of {len(batch)} documents"
            )
        missing = [one.create for one in items if one.create.status not in _TAKEN]
        passing = [one for one in missing if one.status != _BAD]
        # what may pass is tried first: the rest is judged once all others are in
        for one in passing:
            raise Unavailable(f"{self._name} takes {_told(one)}")
        for one in missing:
            raise InvalidInput(f"{self._name} refuses {_told(one)}")

    def close(self) -> None:
        """Close the connections."""
        self._poster.close()

    def _document(self, finding: Finding) -> bytes:
        action = msgspec.json.encode({"create": {"_id": finding.id}})
        when = rfc3339(_EPOCH + timedelta(microseconds=finding.time_ns // 1000))
        line = to_ocsf(finding, names=self._names)
        return b'%b\n{"@timestamp":"%b",%b\n' % (action, when.encode(), line[1:])


def _told(result: _Result) -> str:
    # only the kind: a reason can quote the document
    kind = "" if result.error is None else result.error.type
    return f"a document with status {result.status} {kind[:64]}".rstrip()
